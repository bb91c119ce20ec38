"""Reading a journal to say something of it: the one place where commands open it, and where what is missing from it is found."""
import contextlib
from pathlib import Path
from typing import Any

import orjson

from _ext.core.records import INSTRUMENT, REC_DATA, REC_FRAME, REC_INSTRUMENTS, REC_START
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from _ext.trail.status import StatusBlock
from engine.errors import UsageError
from engine.trail.rundir import FolderError, RunDir, is_held

RING_DEPTH, RING_MAX = 256, 65_536
"""The core's own default, and the most that a configuration allows."""


class JournalError(UsageError, ValueError):
    """There is no journal, or it cannot be read."""


def reader_of(path: Path) -> Reader:
    """A reader of a run folder or of a folder of segments. JournalError where there is nothing to read."""
    if not path.is_dir():
        raise JournalError(f"{path}: no such run or journal folder")
    run = run_at(path)
    folders = [run.memory, run.journal] if run is not None else [path]
    if not segment_names(*folders):
        if days := sorted(one.parent.name for one in path.glob("*/journal")):
            raise JournalError(f"{path} has a run folder for each day: name one, such as {path / days[-1]}")
        raise JournalError(f"there is no journal in {path}: nothing was journaled there, or it was removed")
    return Reader(*folders)


def run_at(path: Path) -> RunDir | None:
    """The run whose folder `path` is; None where it is a folder of segments alone."""
    try:
        return RunDir.existing(path)
    except FolderError:
        return None


def damage_of(path: Path, reader: Reader) -> str | None:
    """What is missing from a journal that `reader` has read to its end, in words; None where nothing is.

    Besides what the records themselves tell (checksums, numbers passed over) the engine's last sign of life says how far it had
    come: a lost end shows by that alone.
    """
    if reader.problem:
        return (f"the journal of {path} is damaged: {reader.problem}; in all {reader.corrupt:,} records cannot be read and "
                f"{reader.missing:,} are missing: what is said here is of the rest")
    run = run_at(path)
    if run is None or is_held(run.lock):
        return None
    try:
        status = StatusBlock(run.status).read()
    except (OSError, ValueError):
        return None                                        # a run on virtual time has none
    lost = int(status["sequence"]) - reader.last if status is not None else 0
    return None if lost <= 0 else (
        f"the journal of {path} is damaged: it ends with record {reader.last:,}, the engine had written "
        f"{int(status['sequence']):,}: the last {lost:,} are missing, as when shared memory was lost: what is said here "
        "is of the rest")


def damage_words(reader: Reader) -> str:
    """Of a journal that is followed while it grows."""
    return f"the journal is damaged: {reader.problem}"


def survey(path: Path) -> str | None:
    """Reads a whole journal for its damage alone."""
    reader = reader_of(path)
    reader.skim()
    return damage_of(path, reader)


def ring_depth_of(reader: Reader) -> int:
    """Updates that were kept of each instrument when the journal was written, which its features hang on: as START has it, else the
    core's default."""
    record = next((record for record in reader if record[0] in (REC_START, REC_FRAME)), None)
    if record is None or record[0] != REC_START:
        return RING_DEPTH
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        depth = int(orjson.loads(record[3]).get("ring_depth", RING_DEPTH))
        return depth if 0 < depth <= RING_MAX else RING_DEPTH
    return RING_DEPTH


def sources_of(reader: Reader) -> list[dict[str, Any]]:
    """Candidate sources as the START record names them; none where there is no such record."""
    record = next((record for record in reader if record[0] in (REC_START, REC_FRAME)), None)
    if record is None or record[0] != REC_START:
        return []
    try:
        return [dict(entry) for entry in orjson.loads(record[3])["sources"]]
    except (ValueError, TypeError, KeyError):
        return []


def capacity_of(path: Path) -> int:
    """Instruments in the journal, for a table of the right size."""
    reader, total = reader_of(path), 0
    while (record := reader.read()) is not None and record[0] not in (REC_FRAME, REC_DATA):
        if record[0] == REC_INSTRUMENTS:
            total += len(record[3]) // INSTRUMENT.itemsize
    if record is None and total == 0:
        detail = f": {reader.problem}" if reader.problem else ""
        raise JournalError(f"{path} holds no journaled instruments{detail}")
    return total
