"""Compiles `_ext`: one Extension per .pyx, one dict of directives; SPIKE_BUILD names the mode.

release (default) · debug (bounds checks) · sanitize (ASAN + UBSAN) · none · annotate (Cython's HTML beside the source).
"""
import os
import platform
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.modified import newer_group

SHARED = "_ext.shared"                 # what typed memoryviews need, compiled once and not in each module that has some
WHOLE = {"_ext.core.records"}          # Cython 3.3 forgets what names a struct's fields where that is shared
CORES = len(os.sched_getaffinity(0))
BEGUN = Path("build/begun")            # what is being made: an interruption, a kill or a full disk leaves half a file there
MODE = os.environ.get("SPIKE_BUILD", "release")
CHECKED = MODE in ("debug", "sanitize")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "embedsignature": True,
}


def architecture() -> list[str]:
    """x86-64-v3 where this CPU has it (BMI2 is worth a quarter of the decoder's time), v2 otherwise; never `native`."""
    if platform.machine() != "x86_64":
        return []
    words = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    return ["-march=x86-64-v3"] if {"avx2", "bmi2", "fma", "movbe", "abm"} <= words else ["-march=x86-64-v2"]


# -ffp-contract=off and no fast-math: the same journal must give the same bits on every build. -fno-math-errno only
# lets gcc write llrint and sqrt as one instruction each: a call of libm per price cost an eighth of the decoder.
BY_MODE = {
    "release": ["-O3", "-g1", "-DNDEBUG"],
    "annotate": ["-O3"],
    "debug": ["-O1", "-g"],
    "sanitize": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
                 "-fno-omit-frame-pointer"],
}
CFLAGS = [*BY_MODE.get(MODE, []), "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-Wall", "-Wsign-compare",
          "-Wno-unused-function", *architecture()]
LDFLAGS = ["-fsanitize=address,undefined"] if MODE == "sanitize" else []

extensions = [
    Extension(
        name,
        [source],
        include_dirs=[numpy.get_include(), "_ext/core"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=CFLAGS,
        extra_link_args=LDFLAGS,
        depends=["_ext/core/checksum.h", "setup.py"],
    )
    for name, source in [(SHARED, "_ext/shared.c")] + [
        (".".join(path.with_suffix("").parts), str(path)) for path in sorted(Path("_ext").rglob("*.pyx"))]
]


def translated() -> list[Extension]:
    """The extensions with their C sources, which are written where the .pyx or what it imports is newer."""
    runpy.run_path("tools/generate.py", run_name="__main__")
    mark = BEGUN / "translation"
    for path in Path("_ext").rglob("*.c"):
        at = path.stat().st_mtime
        if at < os.path.getmtime("setup.py") or (mark.exists() and at >= mark.stat().st_mtime):
            path.unlink()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    print(f"looking for what changed in {len(extensions)} modules, writing its C", flush=True)
    try:
        alone = [ext for ext in extensions if ext.name in WHOLE]
        shared = [ext for ext in extensions if ext.name not in WHOLE]
        options = {"compiler_directives": DIRECTIVES, "annotate": MODE == "annotate", "nthreads": CORES, "quiet": True}
        done = cythonize(alone, **options) + cythonize(shared, shared_utility_qualified_name=SHARED, **options)
    except BaseException as problem:
        if isinstance(problem.__context__ or problem, KeyboardInterrupt):      # Cython fails at ending its own processes
            sys.exit("interrupted: the next make goes on")
        raise
    mark.unlink()
    return done


class Build(build_ext):
    """Compiles what changed, the longest first, and says so."""

    def build_extensions(self) -> None:
        begun = time.monotonic()
        for ext in self.extensions:
            if self._mark(ext).exists():
                Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
        stale = [ext for ext in self.extensions if newer_group(ext.sources + ext.depends, self.get_ext_fullpath(ext.name))]
        stale.sort(key=lambda ext: -os.path.getsize(ext.sources[0]))
        self.left = len(stale)
        if stale:
            print(f"compiling {len(stale)} of {len(self.extensions)} modules", flush=True)
            every, self.extensions = self.extensions, stale
            super().build_extensions()
            self.extensions = every
            print(f"compiled: {time.monotonic() - begun:.0f} s", flush=True)

    def build_extension(self, ext: Extension) -> None:
        self._mark(ext).touch()
        super().build_extension(ext)
        self._mark(ext).unlink()
        self.left -= 1
        if self.left and self.left % 9 == 0:
            print(f"  {self.left} to go", flush=True)

    def copy_extensions_to_source(self) -> None:
        self.force = True              # a copy that was cut short is newer than what it is a copy of
        super().copy_extensions_to_source()

    def _mark(self, ext: Extension) -> Path:
        return BEGUN / ext.name


def bundle_page() -> None:
    """The browser page, where its sources changed; says itself where it cannot be made."""
    if MODE != "none":
        subprocess.run([sys.executable, "tools/page.py", "--again"], check=False)


class BuildPython(build_py):
    """What a wheel holds."""

    def run(self) -> None:
        if not self.editable_mode:
            bundle_page()
            self.data_files = self._get_data_files()
        super().run()


class Archive(sdist):
    """The source archive, with the page bundled: who builds from it needs no node."""

    def run(self) -> None:
        bundle_page()
        super().run()


# pip resolves and links the package first (SPIKE_BUILD=none), then `make` compiles in place.
setup(ext_modules=[] if MODE == "none" else translated(),
      cmdclass={"build_ext": Build, "build_py": BuildPython, "sdist": Archive})
