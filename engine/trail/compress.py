"""Closed journals, compressed: a segment becomes `NAME.seg.zst` beside it. Killed at any step the journal reads whole."""
import os
from pathlib import Path

WORTH = 64 << 20
"""Bytes of a journal below which nothing is gained."""
LEVEL = 3


def compress(folder: Path, worth: int = WORTH) -> tuple[int, int]:
    """(bytes before, bytes after) of the plain segments in `folder`; nothing is done where they are few. No writer may be at work.

    Written beside, synced, named, and only then is the plain one removed; a name that is there as both counts once. OSError where
    the disk has no room: what is not compressed stays plain.
    """
    import zstandard

    segments = sorted(folder.glob("*.seg"))
    before = sum(path.stat().st_size for path in segments)
    if before < worth:
        return 0, 0
    after = 0
    for path in segments:
        target = path.with_name(path.name + ".zst")
        temporary = target.with_name(target.name + ".new")
        try:
            with path.open("rb") as source, temporary.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).copy_stream(source, file, size=path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            after += temporary.stat().st_size
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(folder)
        path.unlink()
    return before, after


def _sync(folder: Path) -> None:
    """The new name is on disk before the old one goes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
