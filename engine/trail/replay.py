"""Replay: strips the decisions of a journal, recomputes them from its inputs and compares."""
import time
from pathlib import Path

import numpy as np

from _ext.core.records import CLOSING, PAYLOADS, RECORD_NAMES
from _ext.trail.journal import Reader, Verifier
from _ext.wiring import Core
from engine.signals.models import load_models


class JournalError(ValueError):
    """There is nothing to replay, or it cannot be read."""


def reader_of(path: Path) -> Reader:
    """A reader of a run folder or of a folder of segments."""
    from engine.trail.rundir import RunDir

    if (path / "journal").is_dir():
        return RunDir(path).reader()
    if path.is_dir():
        return Reader(path)
    raise JournalError(f"{path}: no such run or journal folder")


def capacity_of(path: Path) -> int:
    """Instruments in the journal, for a table of the right size."""
    from _ext.core.records import INSTRUMENT

    reader, total = reader_of(path), 0
    while (record := reader.read()) is not None and record[0] != 5:
        if record[0] == 2:
            total += len(record[3]) // INSTRUMENT.itemsize
    if record is None and total == 0:
        detail = f": {reader.problem}" if reader.problem else ""
        raise JournalError(f"{path} holds no journaled instruments{detail}")
    return total


def replay(path: Path, models: Path) -> dict:
    """Replays the journal of `path`. Keys: identical, digest, expected digest, updates, updates/s, mismatches and so on."""
    reader = reader_of(path)
    verifier = Verifier(reader)
    core = Core(verifier, capacity_of(path))   # the ring depth is the default: a minute of ticks fits
    core.models.update(load_models(models))
    began = time.perf_counter()
    problem = None
    try:
        core.replay(reader, verifier)
    except LookupError as error:
        problem = str(error)
    seconds = time.perf_counter() - began
    counts = core.counts()
    expected = closing_digest(path)
    identical = (problem is None and verifier.mismatched == 0 and not verifier.missing and reader.corrupt == 0
                 and expected in (None, core.digest))
    return {
        "journal": str(path), "identical": identical, "digest": f"{core.digest:016x}",
        "expected": None if expected is None else f"{expected:016x}", "updates": counts["updates"],
        "candidates": counts["candidates"], "intents": counts["requests"], "records": counts["records"],
        "matched": verifier.matched, "mismatched": verifier.mismatched, "missing": len(verifier.missing),
        "corrupt": reader.corrupt, "problem": problem or reader.problem,
        "first_mismatch": describe(verifier.first_mismatch), "seconds": round(seconds, 3),
        "updates_per_s": round(counts["updates"] / max(seconds, 1e-9))}


def closing_digest(path: Path) -> int | None:
    """The digest the writer noted when it ended; None when it was killed."""
    digest = None
    for kind, _, _, payload in reader_of(path):
        if kind == 129:
            digest = int(np.frombuffer(payload, CLOSING)["digest"][0])
        elif kind < 128:
            digest = None
    return digest


def describe(mismatch) -> str | None:
    """The first difference in words: which record, and which fields differ."""
    if mismatch is None or isinstance(mismatch, str):
        return mismatch
    seq, known, got, _, ours, theirs = mismatch
    if known != got:
        return f"record {seq}: the journal has {RECORD_NAMES.get(known, known)}, replay {RECORD_NAMES.get(got, 'nothing')}"
    dtype = PAYLOADS.get(known)
    if dtype is None or len(ours) != dtype.itemsize or len(theirs) != dtype.itemsize:
        return f"record {seq}: {RECORD_NAMES.get(known, known)} differs"
    a, b = np.frombuffer(ours, dtype)[0], np.frombuffer(theirs, dtype)[0]
    names = [f"{n} {b[n]} -> {a[n]}" for n in dtype.names or () if a[n].tobytes() != b[n].tobytes()]
    return f"record {seq}: {RECORD_NAMES[known]}: " + ", ".join(names)
