"""Compiles `_ext`: one Extension per .pyx, one dict of directives; SPIKE_BUILD names the mode.

release (default) · debug (bounds checks) · sanitize (ASAN + UBSAN) · none · annotate (Cython's HTML beside the source).
"""
import os
import platform
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

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
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=[numpy.get_include(), "_ext/core"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=CFLAGS,
        extra_link_args=LDFLAGS,
        depends=["_ext/core/checksum.h"],
    )
    for path in sorted(Path("_ext").rglob("*.pyx"))
]

# pip resolves and links the package first (SPIKE_BUILD=none), then `make` compiles in place, incrementally.
setup(ext_modules=[] if MODE == "none" else cythonize(
    extensions, compiler_directives=DIRECTIVES, annotate=MODE == "annotate", nthreads=2))
