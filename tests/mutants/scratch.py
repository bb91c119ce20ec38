"""A scratch copy of the project, in which one source file at a time is replaced and, where it is Cython, compiled alone without
optimisation: a few seconds where the whole build takes minutes. Its links are hard: a process that is confined to the copy may
open no file that lies elsewhere.
"""
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy

ROOT = Path(__file__).parents[2]
FOLDERS = ("_ext", "engine", "tests", "proto", "models", "bench", "docs", "tools")
FILES = ("pyproject.toml", "setup.py", "Makefile", "README.md", "CHANGELOG.md", "LICENSE")
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# as setup.py's, but not optimised; SSE 4.2 because a checksum is computed with it
CFLAGS = ["-O0", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-fno-strict-aliasing",
          "-DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION"]
DIRECTIVES = ["boundscheck=False", "wraparound=False", "initializedcheck=False", "embedsignature=True"]
KILLED, SURVIVED, UNBUILT, NO_TESTS = "killed", "SURVIVED", "failed to build", "NO TESTS RAN"


class Scratch:
    """One tree of links under `folder`, with the environment its tests run in: no recording, few episodes."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        for name in FOLDERS:
            for path, folders, files in os.walk(ROOT / name):
                folders[:] = [f for f in folders if f != "__pycache__"]
                here = folder / Path(path).relative_to(ROOT)
                here.mkdir(parents=True, exist_ok=True)
                for file in files:
                    if not file.endswith(".c"):
                        os.link(Path(path) / file, here / file)
        for file in FILES:
            if (ROOT / file).exists():
                os.link(ROOT / file, folder / file)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ENGINE_")} | {
            "PYTHONPATH": str(folder), "ENGINE_DATA": "/nonexistent", "EPISODES": "150"}

    def judge(self, file: str, text: str, tests: list[str], seconds: float) -> tuple[str, str]:
        """What becomes of `file` with the contents `text`: (verdict, its evidence)."""
        place = self.folder / file
        place.unlink()
        place.write_text(text)
        try:
            for module in self._owners(file):
                built = self.folder / Path(module).with_suffix(SUFFIX)
                built.unlink(missing_ok=True)
                trouble = self._compile(self.folder / module, built)
                if trouble:
                    return UNBUILT, trouble
            return self.run(tests, seconds)
        finally:
            Path(importlib.util.cache_from_source(str(place))).unlink(missing_ok=True)
            place.unlink()
            os.link(ROOT / file, place)
            for module in self._owners(file):
                built = self.folder / Path(module).with_suffix(SUFFIX)
                built.unlink(missing_ok=True)
                os.link((ROOT / module).with_suffix(SUFFIX), built)

    @staticmethod
    def _owners(file: str) -> list[str]:
        """Modules to be compiled once more where `file` changes: itself, who includes it, or who takes inlines of it."""
        path = Path(file)
        if path.suffix == ".pyx":
            return [file]
        words = {".pxi": f'include "{path.name}"', ".pxd": f"from {'.'.join(path.with_suffix('').parts)} cimport"}.get(path.suffix)
        found = sorted((ROOT / "_ext").rglob("*.pyx")) if words is not None else []
        return [str(module.relative_to(ROOT)) for module in found
                if words in module.read_text() or (path.suffix == ".pxd" and module.with_suffix("") == ROOT / path.with_suffix(""))]

    def _compile(self, place: Path, built: Path) -> str:
        """The compiler's words, empty when it went well."""
        source = place.with_suffix(".c")
        machine = ["-msse4.2"] if os.uname().machine == "x86_64" else []
        for command in (
            [sys.executable, "-m", "cython", "-3", *(f"-X{d}" for d in DIRECTIVES), str(place), "-o", str(source)],
            ["gcc", *CFLAGS, *machine, f"-I{sysconfig.get_path('include')}", f"-I{numpy.get_include()}",
             f"-I{self.folder / '_ext' / 'core'}", str(source), "-o", str(built)],
        ):
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode:
                return (done.stdout + done.stderr)[-600:]
        source.unlink()
        return ""

    def run(self, tests: list[str], seconds: float) -> tuple[str, str]:
        """Runs `tests` until the first that fails. One that does not end in time has failed too."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", *tests]
        process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)         # with whatever its tests have started
            process.communicate()
            return KILLED, f"took longer than {seconds:g} s"
        if process.returncode == 0:
            return SURVIVED, ""
        if process.returncode in (4, 5):
            return NO_TESTS, output[-600:]
        lines = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return KILLED, lines[0] if lines else f"pytest ended with {process.returncode}"
