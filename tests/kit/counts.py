"""How much a long test does: little in `make test`, more in CI (`COUNTS=long`), all of it in `make soak` (`COUNTS=soak`).

A test whose count is taken here bears the mark `long`; `make soak` runs those alone.
"""
import os
from typing import TypeVar

T = TypeVar("T")
LEVELS = ("test", "long", "soak")
LEVEL = LEVELS.index(os.environ.get("COUNTS", "test"))


def count(test: T, long: T, soak: T | None = None) -> T:
    """What the level that COUNTS names takes; a soak without a count of its own takes the long one."""
    return (test, long, long if soak is None else soak)[LEVEL]
