"""The compiled path under AddressSanitizer and UndefinedBehaviorSanitizer: a copy of the tree, built so, its tests run there."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "sanitize"
TESTS = ["tests/feed", "tests/trade", "tests/trail/test_journal.py", "tests/signals/test_scorer.py"]


def library(name: str) -> str:
    return subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    for name in ("_ext", "engine", "tests", "proto", "models", "bench", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
        else:
            COPY.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, COPY / name)
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "-j2"], cwd=COPY, check=True,
                   env=os.environ | {"SPIKE_BUILD": "sanitize"})
    env = os.environ | {
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}", "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "ENGINE_DATA": str(ROOT.parent / "shared" / "data"), "PYTHONPATH": str(COPY), "EPISODES": "100"}
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], cwd=COPY, env=env,
                          check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
