"""Fails on any "performance hint" or warning of Cython: `cython -Werror` lets hints pass."""
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def hints_of(path: Path) -> list[str]:
    """What Cython says of one module."""
    with tempfile.NamedTemporaryFile(suffix=".c") as out:
        command = [sys.executable, "-m", "cython", "-3", "-X", "wraparound=False", "-X", "boundscheck=False", "-o", out.name,
                   str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    text = result.stdout + result.stderr
    found = [f"{path}: {line}" for line in text.splitlines() if "performance hint" in line or line.startswith("warning:")]
    return found + ([f"{path}: does not compile: {text[-400:]}"] if result.returncode else [])


def main() -> int:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [text for found in pool.map(hints_of, sorted(Path("_ext").rglob("*.pyx"))) for text in found]
    print("\n".join(bad) or "no performance hints, no warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
