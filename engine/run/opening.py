"""What a core is told before its first tick, when a day begins and when it goes on, and what its journal ends with."""
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from _ext.core.records import (
    CLOSING,
    GAP,
    REC_BARS,
    REC_BOOT,
    REC_FUNDS,
    REC_GAP,
    REC_INSTRUMENTS,
    REC_MODEL,
    REC_PROFILE,
    REC_START,
    REC_UNIVERSE,
)
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.verifier import Verifier
from engine.config import Config
from engine.market import instruments, sessions, universe
from engine.market.instruments import Instrument
from engine.signals import models
from engine.strategies import loading, stops
from engine.trade.inputs import funds_record
from engine.trail.checked import ring_depth_of, sources_of
from engine.trail.rundir import RunError

ENGINE_ID = "spk"


@dataclass
class Boot:
    """What the first records say."""
    source: str
    seed: int
    nonce: str
    engine: str = ENGINE_ID
    store_seconds: float = 5.0     # of journal time in one batch of the store
    folder: Path | None = None     # of the run: it keeps its strategies
    loaded: dict[str, Any] | None = None       # strategies that are loaded already, by name
    is_paper: bool = False         # the engine's own matching takes the orders
    step: int = 0                  # of the roll-out, with real money
    latencies: list[int] | None = None         # of its requests, measured: see PaperVenue


def begin(core: Core, config: Config, specs: list[Instrument], day: dt.date, history: np.ndarray, now: int, boot: Boot,
          funds: int, screened: Sequence[dict[str, Any]] = ()) -> None:
    """Feeds everything the core must know before the first tick. `funds` in paise; `screened`: the UNIVERSE records, by default one
    of what the specs say."""
    specs = with_options(specs) if config.option_orders else specs
    document = config.record() | {"ring_depth": config.ring_depth}
    for entry in loading.prepare(core, config.strategies, boot.folder, boot.loaded):
        document["sources"].append(entry | {"limits": config.share(entry["name"])})
    document |= {"source": boot.source, "seed": boot.seed, "nonce": boot.nonce, "engine": boot.engine, "day": day.isoformat(),
                 "store_seconds": boot.store_seconds, "store_rows": config.store.rows, "via": int(boot.is_paper)}
    document |= {name: value for name, value in (("latencies", boot.latencies), ("step", boot.step)) if value}
    core.feed(REC_START, now, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    core.feed(REC_INSTRUMENTS, now, instruments.table(specs, day).tobytes())
    for known in screened or [universe.described(specs, day)]:
        core.feed(REC_UNIVERSE, now, orjson.dumps(known))
    core.feed(REC_PROFILE, now, sessions.profile(day).tobytes())
    for part in range(0, len(history), 4096):
        core.feed(REC_BARS, now, history[part:part + 4096].tobytes())
    folder = Path(config.models)
    for needed, record in models.records(folder, 1 - config.signals.noise):
        core.models.update(needed)
        core.feed(REC_MODEL, now, record)
    core.feed(REC_FUNDS, now, funds_record(funds, funds))


def with_options(specs: Sequence[Instrument]) -> list[Instrument]:
    """`specs` with the options of those that are traded traded too."""
    traded = {s.key for s in specs if s.tradable and s.kind == "equity"}
    return [replace(s, tradable=True) if s.kind == "option" and s.underlying in traded else s for s in specs]


class Restored(NamedTuple):
    """A day gone on with."""
    core: Core
    gaps: list[np.void]                # rows of the gap ledger so far (records.GAP)


def restore(folders: Sequence[Path], journal_of: Callable[[int], Journal], capacity: int, config: Config, nonce: str,
            run: Path | None = None) -> Restored:
    """The core of a day that was cut off: its journal replayed with outputs closed, then gone on with in a new epoch.

    `journal_of(sequence)` opens the new journal after that record; `run` is the folder that keeps its strategies. What was under
    way is unknown until the broker is read. The journal is read once. Raises RunError for one that another build or configuration
    wrote, or that has a gap.
    """
    reader = Reader(*folders)
    verifier = Verifier(reader, (REC_GAP,))
    core = Core(verifier, capacity, ring_depth_of(Reader(*folders)))
    recalled(core, folders, config, run or folders[0])
    try:
        core.replay(reader, verifier)
    except ValueError as error:
        raise RunError(f"the journal in {folders[0]} cannot be gone on with ({error})") from None
    if reader.corrupt or reader.missing or not reader.has_read(REC_FUNDS):     # first: a damaged one makes other decisions too
        raise cut_short(reader)
    if verifier.mismatched:
        raise RunError(f"the journal in {folders[0]} was written by another build or configuration: "
                       f"start a new run folder ({verifier.first_mismatch})")
    journal = journal_of(reader.last)
    for kind, now, payload in verifier.missing:
        journal.append(kind, now, payload)
    core.attach(journal)
    core.feed(REC_BOOT, core.now, orjson.dumps({"nonce": nonce}))
    return Restored(core, [np.frombuffer(payload, GAP)[0] for _, _, payload in verifier.kept])


def cut_short(reader: Reader) -> RunError:
    """Why a journal with a gap, or without a beginning, is not gone on with."""
    why = reader.problem or "it was cut before the day began"
    return RunError(f"the journal in {reader.folders[0]} cannot be gone on with ({why}): start a new run folder; this one stays as "
                    "it is")


def recalled(core: Core, folders: Sequence[Path], config: Config, run: Path) -> None:
    """Gives `core` the models and strategies that the journal in `folders` names; `run` keeps the strategies."""
    core.models.update(models.load_models(Path(config.models)))
    sources = sources_of(Reader(*folders))
    for name, call in stops.unended_in(run, sources).items():
        stops.note_stopped(run, name, call)
    loading.recall(core, sources, run)


def closing(core: Core) -> bytes:
    """The writer's last record: what a replay must arrive at."""
    counts = core.counts()
    row = np.zeros(1, CLOSING)
    row["records"], row["updates"], row["candidates"] = counts["records"], counts["updates"], counts["candidates"]
    row["intents"], row["digest"] = counts["requests"], core.digest
    return row.tobytes()
