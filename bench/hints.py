"""Fails on any "performance hint" or warning of Cython: `cython -Werror` lets hints pass."""
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(Path("_ext").rglob("*.pyx")):
            command = [sys.executable, "-m", "cython", "-3", "-X", "wraparound=False", "-X", "boundscheck=False", "-o",
                       str(Path(folder) / "out.c"), str(path)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            text = result.stdout + result.stderr
            bad += [f"{path}: {line}" for line in text.splitlines()
                    if "performance hint" in line or line.startswith("warning:")]
            if result.returncode:
                bad.append(f"{path}: does not compile: {text[-400:]}")
    print("\n".join(bad) or "no performance hints, no warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
