"""Fails on any "performance hint" or warning of Cython: `cython -Werror` lets hints pass."""
import subprocess
import sys
from pathlib import Path

ALLOWED = ("setuptools",)


def main() -> int:
    bad = []
    for path in sorted(Path("_ext").rglob("*.pyx")):
        result = subprocess.run([sys.executable, "-m", "cython", "-3", "-X", "wraparound=False", "-X", "boundscheck=False", "-o",
                                 "/dev/null", str(path)], capture_output=True, text=True, check=False)
        text = result.stdout + result.stderr
        bad += [f"{path}: {line}" for line in text.splitlines()
                if ("performance hint" in line or line.startswith("warning:")) and not any(a in line for a in ALLOWED)]
        if result.returncode:
            bad.append(f"{path}: does not compile: {text[-400:]}")
    print("\n".join(bad) or "no performance hints, no warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
