"""Which strategies a run calls no more, and since which of their calls; kept with the run, so that restart and replay stop there.

A call into C that does not come back cannot be ended from within, and one that crashes ends the process. So the call under way
stands in a small mapped file that outlives the process: the launcher ends an engine whose call does not end, and the restart finds
in the file what it must not call again.
"""
import contextlib
import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

KEPT, STOPPED, UNDER_WAY = "strategies", "stopped.json", "under-way"
MARK = np.dtype([("place", "<i8"), ("call", "<i8")])
"""Place among the sources from 1 on, 0: no call is under way; and the number of the call."""


class Call(NamedTuple):
    """A call of a strategy."""
    place: int                        # among the sources, from 0 on
    number: int


def stopped_in(folder: Path) -> dict[str, int]:
    """Strategy -> number of the call it was stopped at, of a run."""
    try:
        document = orjson.loads((folder / KEPT / STOPPED).read_bytes())
        return {str(name): int(call) for name, call in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def unended_in(folder: Path, sources: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The strategy whose call had not come back when the run's engine ended, whatever it ended of, and that call's number; empty
    without one. `sources` as the START record has them."""
    call = under_way(folder)
    if call is None or call.place >= len(sources) or "sha256" not in sources[call.place]:
        return {}
    return {str(sources[call.place]["name"]): call.number}


def note_stopped(folder: Path, name: str, call: int) -> None:
    """Keeps that a strategy was stopped at a call: a restart, or a replay, stops before it."""
    (folder / KEPT).mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / KEPT / STOPPED
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(stopped_in(folder) | {name: call}))
    temporary.replace(path)


def mark_in(folder: Path) -> np.ndarray:
    """The mark of a run, int64 (place from 1 on, call), empty: for its one writer. What is written stays when the process is
    killed."""
    (folder / KEPT).mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(folder / KEPT / UNDER_WAY, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(fd, 0, MARK.itemsize)
        return np.frombuffer(mmap.mmap(fd, MARK.itemsize), np.int64)
    finally:
        os.close(fd)


def under_way(folder: Path) -> Call | None:
    """The call that is under way in a run, or was when its engine ended; None without one."""
    with contextlib.suppress(OSError, ValueError):
        place, call = (int(number) for number in np.frombuffer((folder / KEPT / UNDER_WAY).read_bytes(), np.int64))
        if place > 0 and call > 0:
            return Call(place - 1, call)
    return None
