"""The only module that knows all parts: what a core is told before its first tick, and a run on virtual time."""
import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from _ext.core.records import (
    CLOSING,
    FUNDS,
    REC_BARS,
    REC_BOOT,
    REC_CLOSED,
    REC_FUNDS,
    REC_INSTRUMENTS,
    REC_LINK,
    REC_MODEL,
    REC_PROFILE,
    REC_START,
    REC_UNIVERSE,
    STREAM_FEED,
    STREAM_ORDERS,
)
from _ext.trail.journal import Journal, Reader, Verifier
from _ext.wiring import Core
from engine.broker.upstox.protocol import link_record
from engine.config import Config
from engine.market import instruments, sessions, universe
from engine.market.instruments import Spec
from engine.signals import models
from engine.sim.exchange import Exchange
from engine.sim.virtual import VirtualRun
from engine.trail.resources import ROOM, advice_for
from engine.trail.rundir import RunDir, RunError

ENGINE_ID = "spk"
VIRTUAL_SEGMENT = 16 << 20
VIRTUAL_BATCH_S = 120.0


class Source(Protocol):
    """A market to run on: recorded or synthetic."""
    specs: list[Spec]
    day: dt.date

    def frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]: ...
    def history(self) -> np.ndarray: ...


@dataclass
class Boot:
    """What the first records say."""
    source: str
    seed: int
    nonce: str
    engine: str = ENGINE_ID
    store_seconds: float = 5.0     # of journal time in one batch of the store


def begin(core: Core, config: Config, specs: list[Spec], day: dt.date, history: np.ndarray, now: int, boot: Boot,
          funds: int, screened: Sequence[dict[str, Any]] = ()) -> None:
    """Feeds everything the core must know before the first tick. `funds` in paise; `screened`: the UNIVERSE records, by default one
    of what the specs say."""
    document = config.record() | {"source": boot.source, "seed": boot.seed, "nonce": boot.nonce, "engine": boot.engine,
                                  "day": day.isoformat(), "store_seconds": boot.store_seconds, "store_rows": config.store.rows}
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


def funds_record(available: int, at_day_start: int) -> bytes:
    """The FUNDS record, paise."""
    row = np.zeros(1, FUNDS)
    row["available"], row["at_day_start"] = available, at_day_start
    return row.tobytes()


def restore(folders: Sequence[Path], journal_of: Callable[[int], Journal], capacity: int, config: Config, nonce: str) -> Core:
    """The core of a day that was cut off: its journal replayed with outputs closed, then gone on with in a new epoch.

    `journal_of(sequence)` opens the new journal after that record. What was under way is unknown until the broker is read.
    Raises RunError for a journal that another build or configuration wrote, or that has a gap.
    """
    reader = Reader(*folders)
    verifier = Verifier(reader)
    core = Core(verifier, capacity, config.ring_depth)
    core.models.update(models.load_models(Path(config.models)))
    core.replay(reader, verifier)
    last = last_sequence(folders)                          # first: a damaged journal makes other decisions too
    if verifier.mismatched:
        raise RunError(f"the journal in {folders[0]} was written by another build or configuration: "
                       f"start a new run folder ({verifier.first_mismatch})")
    journal = journal_of(last)
    for kind, now, payload in verifier.missing:
        journal.append(kind, now, payload)
    core.attach(journal)
    core.feed(REC_BOOT, core.now, orjson.dumps({"nonce": nonce}))
    return core


def last_sequence(folders: Sequence[Path]) -> int:
    """Sequence of the last record; RunError where the journal is damaged, has a gap or ends before the day began."""
    reader, last, has_begun, gap = Reader(*folders), 0, False, ""
    while (record := reader.read()) is not None:
        if last and record[1] != last + 1:
            gap = gap or f"records {last + 1} to {record[1] - 1} are missing"
        last = record[1]
        has_begun |= record[0] == REC_FUNDS
    if gap or reader.corrupt or not has_begun:
        why = gap or reader.problem or "it was cut before the day began"
        raise RunError(f"the journal in {folders[0]} cannot be gone on with ({why}): start a new run folder; this one "
                       "stays as it is")
    return last


def closing(core: Core) -> bytes:
    """The writer's last record: what a replay must arrive at."""
    counts = core.counts()
    row = np.zeros(1, CLOSING)
    row["records"], row["updates"], row["candidates"] = counts["records"], counts["updates"], counts["candidates"]
    row["intents"], row["digest"] = counts["requests"], core.digest
    return row.tobytes()


def run_virtual(config: Config, source: Source, name: str, run: RunDir, seed: int, seconds: float | None,
                progress: Callable[[Core, int], None] | None = None) -> dict[str, Any]:
    """Runs the whole of `source` on virtual time, or `seconds` of wall time of it; the report.

    A run folder that holds a journal of the same run, killed half-way, is repeated and gone on with. The caller holds the
    folder's lock. Raises RunError when it holds another run's journal.
    """
    has_journal = any(run.journal.glob("*.seg"))
    try:
        journal = Journal(run.journal, VIRTUAL_SEGMENT, 1 << 50, prefix=run.reader() if has_journal else None)
    except OSError as error:
        raise RunError(f"{error}: {advice_for(str(error), ROOM)}") from None
    core = Core(journal, max(len(source.specs), 1), config.ring_depth)
    first = sessions.epoch_ms(source.day) * 1_000_000
    funds = round(config.risk.account_size * 100)
    begin(core, config, source.specs, source.day, source.history(), first,
          Boot(name, seed, f"{seed:x}", store_seconds=VIRTUAL_BATCH_S), funds)
    core.feed(REC_LINK, first, link_record(STREAM_FEED, True))
    core.feed(REC_LINK, first, link_record(STREAM_ORDERS, True))
    exchange = Exchange(source.specs, funds)
    began = time.perf_counter()

    def each(now: int) -> bool:
        if progress is not None:
            progress(core, now)
        return not journal.diverged and (seconds is None or time.perf_counter() - began < seconds)

    virtual = VirtualRun(core, source.frames(), exchange, ENGINE_ID, f"{seed:x}", each)
    virtual.run()
    took = time.perf_counter() - began
    if journal.diverged:
        raise RunError(f"{run.path} holds the journal of another run: use a new folder, or the same source and seed")
    problem = f"{journal.problem}: {advice_for(journal.problem or '', ROOM)}" if journal.full else None
    journal.append(REC_CLOSED, core.now, closing(core))
    journal.close()
    return report(core, exchange, name, source, seed, took) | {"run_dir": str(run.path), "problem": problem}


def report(core: Core, exchange: Exchange, name: str, source: Source, seed: int, took: float) -> dict[str, Any]:
    """What a run did, for `--json` and the closing summary; money in rupees."""
    counts, money = core.counts(), core.money()
    return {
        "source": name, "day": source.day.isoformat(), "seed": seed, "instruments": len(source.specs),
        "market_time": dt.datetime.fromtimestamp(core.now / 1e9, sessions.IST).strftime("%H:%M:%S"),
        **counts, "trades": len(exchange.trades), "open_positions": len(core.positions()),
        "realised": money["realised"] / 100, "charges": money["charges"] / 100, "open": money["open"] / 100,
        "net": (money["realised"] + money["open"] - money["charges"]) / 100,
        "clock_skew_ms": core.market.clock_skew_ms(), "digest": f"{core.digest:016x}", "seconds": round(took, 2),
        "updates_per_s": round(counts["updates"] / max(took, 1e-9))}
