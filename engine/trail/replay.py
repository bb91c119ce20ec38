"""Replay: strips the decisions of a journal, recomputes them from its inputs and compares."""
import time
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.records import CLOSING, PAYLOADS, RECORD_NAMES
from _ext.entrance import Core
from _ext.trail.verifier import Verifier
from engine.signals.models import load_models
from engine.strategies import loading
from engine.trail.checked import capacity_of, damage_of, reader_of, ring_depth_of, run_at, sources_of
from engine.trail.day_files import day_files_of
from engine.trail.rundir import is_held


def replay(path: Path, models: Path) -> dict[str, Any]:
    """Replays the journal of `path`. Keys: identical, digest, expected digest, updates, updates/s, mismatches and so on."""
    reader = reader_of(path)
    verifier = Verifier(reader)
    core = Core(verifier, capacity_of(path), ring_depth_of(reader_of(path)))
    core.models.update(load_models(models))
    core_folder = run.path if (run := run_at(path)) is not None else path.parent
    loading.recall(core, sources_of(reader_of(path)), core_folder, run is None or not is_held(run.lock))
    core.day_files.update(day_files_of(reader_of(path)))
    began = time.perf_counter()
    problem = None
    try:
        core.replay(reader, verifier)
    except (LookupError, ValueError) as error:             # a model that is gone, limits of another build
        problem = str(error)
    seconds = time.perf_counter() - began
    counts = core.counts()
    expected = None if core.closed_with is None else int(np.frombuffer(core.closed_with, CLOSING)["digest"][0])
    problem = problem or damage_of(path, reader)
    identical = problem is None and verifier.mismatched == 0 and not verifier.missing and expected in (None, core.digest)
    return {
        "journal": str(path), "identical": identical, "digest": f"{core.digest:016x}",
        "expected": None if expected is None else f"{expected:016x}", "updates": counts["updates"],
        "candidates": counts["candidates"], "intents": counts["requests"], "records": counts["records"],
        "matched": verifier.matched, "mismatched": verifier.mismatched, "missing": len(verifier.missing),
        "corrupt": reader.corrupt, "lost": reader.missing, "problem": problem,
        "first_mismatch": describe(verifier.first_mismatch), "seconds": round(seconds, 3),
        "updates_per_s": round(counts["updates"] / max(seconds, 1e-9))}


def describe(mismatch: Any) -> str | None:
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
