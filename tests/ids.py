"""`python -m tests.ids`: names every test of the suite that tests/ids.txt does not list, or adds it with `--add`.

The list has each test function once, whatever its parameters are. It only grows: a test that is renamed or goes away is an
explicit change of the list, in the same commit.
"""
import argparse
import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

LIST = ROOT / "tests" / "ids.txt"


def ids_of(path: Path) -> Iterator[str]:
    """The ids of one file, by its text: what is not collected on this machine is there all the same."""
    file = path.relative_to(ROOT).as_posix()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield f"{file}::{node.name}"
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (f"{file}::{node.name}::{part.name}" for part in node.body
                        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith("test"))


@cache
def present() -> frozenset[str]:
    return frozenset(name for path in (ROOT / "tests").rglob("test_*.py") for name in ids_of(path))


def listed() -> list[str]:
    return LIST.read_text().splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ids", description="Names tests that tests/ids.txt does not list.")
    parser.add_argument("--add", action="store_true", help="add them")
    add = parser.parse_args().add
    known = listed() if LIST.exists() else []
    new = sorted(present() - set(known))
    if add:
        LIST.write_text("".join(f"{name}\n" for name in sorted({*known, *new})))
    print("\n".join(new))
    return 1 if new and not add else 0


if __name__ == "__main__":
    sys.exit(main())
