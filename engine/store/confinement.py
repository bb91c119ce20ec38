"""What the store process may touch, and the environment it is started with.

It runs the SQL of others: whatever a statement finds to open, the kernel gives it the data home, the segments of its runs in
memory, the libraries, and nothing else; and its environment, which /proc shows, holds no secret.
"""
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from engine.config import Config
from engine.store import landlock
from engine.store.landlock import READ, REMOVE_DIR, WRITE, ConfinementError
from engine.trail.rundir import RunDir

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime",
             "/usr/share/zoneinfo")
MACHINE = ("/dev/null", "/dev/urandom", "/proc/self/maps", "/proc/self/auxv", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat",
           "/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/bus/pci/devices")
"""Read by chDB and ONNX Runtime for the stack, memory and processors they have. Without auxv chDB looks for it behind the last
variable of the environment, which is the heap's once a variable was set: whether it crashed hung on the length of a path."""
RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/ssl",
            "/usr/share/ca-certificates")
"""Read to reach a ClickHouse by name and TLS."""
KEPT = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_STATE_HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
                  "SSL_CERT_FILE", "SSL_CERT_DIR", "ENGINE_CONFIG", "ENGINE_DATA", "ENGINE_DEBUG", "ENGINE_SHM"})
KEPT_PREFIXES = ("LC_", "PYTHON", "COVERAGE_")


def environment() -> dict[str, str]:
    """The environment of a store process: what it needs by name, so that no secret of any name comes along."""
    settings = tuple(f"ENGINE_{name.upper()}" for name in Config.model_fields)
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)
            or name.upper().split("__")[0] in settings}
    return kept | {"OPENBLAS_NUM_THREADS": "1"}        # its threads start with numpy, before anything can be confined


def command(*arguments: str) -> list[str]:
    """What starts a store process."""
    return [sys.executable, "-m", "engine.store", *arguments]


def confine(run: RunDir, config: Config, own_port: int) -> bool:
    """Confines this process; False where the kernel has no Landlock. Raises ConfinementError where it has but refuses."""
    if landlock.version() == 0:
        return False
    url = urlsplit(config.store.url) if config.store.url else None
    ports = [own_port] if url is None else [url.port or (443 if url.scheme == "https" else 8123)]
    rights = [(run.home, WRITE), (run.memory if run.home == run.path else run.memory.parent, WRITE)]
    rights += [(run.memory.parent, REMOVE_DIR), (run.memory.parent.parent, REMOVE_DIR)]
    rights += [(path, READ) for path in readable(config, url is not None)]
    temporary = run.database / "tmp"
    temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ |= {"TMPDIR": str(temporary), "HOME": str(temporary)}     # chDB and ONNX Runtime make files there when imported
    landlock.confine(rights, ports)
    return True


def readable(config: Config, needs_names: bool) -> Iterable[Path]:
    """Libraries, this interpreter's packages, this project's two packages, the models."""
    packages = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages |= {str(Path(__file__).parents[2] / name) for name in ("_ext", "engine")}
    return map(Path, [*LIBRARIES, *MACHINE, *sorted(packages), config.models, *(RESOLVER if needs_names else ())])


__all__ = ["ConfinementError", "command", "confine", "environment", "readable"]
