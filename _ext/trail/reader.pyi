from collections.abc import Iterator
from pathlib import Path

Record = tuple[int, int, int, bytes]
"""Type, sequence, ns since 1970, payload."""

class Reader:
    """Every record of a journal's segments, plain or compressed, of which the first folder that has one is asked."""

    corrupt: int
    missing: int
    last: int
    problem: str | None
    folders: list[Path]

    def __init__(self, *folders: Path | str) -> None: ...
    def read(self) -> Record | None: ...
    def __iter__(self) -> Iterator[Record]: ...
    def has_read(self, type: int) -> bool: ...
    def skim(self) -> None: ...
    @property
    def position(self) -> tuple[str, int]: ...
