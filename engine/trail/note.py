"""A note: what one process of a run has to say to the others, a small document in a file whose room is reserved.

It is written in place: a disk that fills up later must not silence the process that has to say so.
"""
import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import orjson

SIZE = 4096                       # one page: a reader sees the old document or the new one, or tries again
TEXTS = (400, 150, 50)            # longest text kept, the first that lets the whole fit


class Note:
    """The writer's side. Raises OSError where the file cannot be made or its room not be had."""

    def __init__(self, path: Path):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(self.fd, 0, SIZE)
        except OSError:
            os.close(self.fd)
            raise

    def write(self, document: dict[str, Any]) -> None:
        data = b"{}"
        for longest in TEXTS:
            data = orjson.dumps(_cut(document, longest))
            if len(data) <= SIZE:
                break
        with contextlib.suppress(OSError):
            os.pwrite(self.fd, data[:SIZE].ljust(SIZE), 0)

    def close(self) -> None:
        os.close(self.fd)


def read_note(path: Path) -> dict[str, Any]:
    """The document; empty where there is none, or none that can be read."""
    for _ in range(3):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return {}
            document = orjson.loads(os.pread(fd, SIZE, 0))
            return document if isinstance(document, dict) else {}
        except (OSError, ValueError):
            continue
        finally:
            os.close(fd)
    return {}


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest - 4] + " ..."
    if isinstance(value, dict):
        return {key: _cut(part, longest) for key, part in value.items()}
    if isinstance(value, list):
        return [_cut(part, longest) for part in value]
    return value
