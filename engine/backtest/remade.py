"""A run's day made again into a run of its own, which refers to the inputs of the first: frames and timers are not written twice.

`Beginning` says what the core is told before its first tick: what it was told then, or something else.
"""
import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import (
    CLOSING,
    FIRST_DECISION,
    INSTRUMENT,
    MODEL_CHANGE,
    REC_CLOSED,
    REC_DATA,
    REC_FRAME,
    REC_FUNDS,
    REC_INSTRUMENTS,
    REC_MODEL,
    REC_REPLY,
    REC_START,
    REC_STRATEGY_OFF,
)
from _ext.core.sink import KeepingSink, RecordSink, ReferringSink
from _ext.entrance import Core
from _ext.trade.venue import PaperVenue
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine.backtest.trades import mark_open
from engine.config import Config
from engine.errors import DataError
from engine.market.instruments import of_table
from engine.run.again import Again, Told, venue_of_start
from engine.run.opening import closing
from engine.signals import models
from engine.strategies import loading, stops
from engine.strategies.watchdog import watched
from engine.trade.inputs import funds_record
from engine.trail.checked import JournalError, capacity_of, damage_of, reader_of, ring_depth_of, sources_of
from engine.trail.replay import replay
from engine.trail.resources import ROOM, advice_for
from engine.trail.rundir import RunDir, RunError, is_held
from engine.watch.trades import KEPT, Kept, Trade, trades_of

SEGMENT = 4 << 20


def start_of(source: RunDir) -> dict[str, Any]:
    """The START record of a run. DataError for a journal without frames: a backtest's, or one that refers to another run."""
    found: dict[str, Any] = {}
    for kind, _, _, payload in reader_of(source.path):
        if kind == REC_START:
            found = dict(orjson.loads(payload)) | {"sha256": hashlib.sha256(payload).hexdigest()}
            if "inputs" in found:
                raise DataError(f"{source.path} was made from the inputs of {found['inputs']['run']}: name that run")
        elif kind == REC_DATA:
            raise DataError(f"{source.path} is of a backtest, whose inputs are day files: run `python -m engine backtest` again")
        if kind == REC_FRAME or kind >= FIRST_DECISION:
            break
    if not found:
        raise DataError(f"the journal of {source.path} has no beginning")
    return found


class Beginning:
    """What the core is told at first: all that `source` was told, its orders to the engine's own matching. `into`: the folder of
    the run that is made, if there is one."""

    def __init__(self, source: RunDir, config: Config, into: Path | None):
        self.source, self.config, self.into = source, config, into
        self.start = start_of(source)
        self.refers = {"run": str(source.path.resolve()), "start": self.start.pop("sha256")}
        self.texts = _texts(self.start)

    def prepare(self, core: Core) -> None:
        """Before the first record: models and strategies, which the run that is made keeps too."""
        self._recall(core, self.source)
        if self.into is not None and (self.source.path / stops.KEPT).is_dir():
            shutil.copytree(self.source.path / stops.KEPT, self.into / stops.KEPT, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns(stops.STOPPED, stops.UNDER_WAY))
            self._keep_stops(core, self.into)

    def _keep_stops(self, core: Core, into: Path) -> None:
        """Notes in the run that is made at which call each strategy is to be stopped."""
        for name, call in core.pipeline.stopped.items():
            if call:
                stops.note_stopped(into, name, call)

    def _recall(self, core: Core, run: RunDir) -> None:
        core.models.update(models.load_models(Path(self.config.models)))
        loading.recall(core, sources_of(reader_of(run.path)), run.path, not is_held(run.lock))

    def told(self) -> dict[str, Any]:
        """The START record."""
        return self.start

    def record(self, kind: int, payload: bytes) -> Told:
        """What stands for a record of the beginning, a change of models, or the end of a strategy: that of one whose text or
        parameters are others now says nothing of it."""
        if kind == REC_STRATEGY_OFF:
            name = orjson.loads(payload)["name"]
            return ((kind, payload),) if self.texts.get(name) == _texts(self.told()).get(name) else ()
        if kind == REC_START:
            payload = orjson.dumps(self.told() | {"via": 1, "inputs": self.refers}, option=orjson.OPT_SORT_KEYS)
        return ((kind, payload),)


def _texts(start: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Strategy -> its text and parameters, of a START record."""
    return {entry["name"]: (entry["sha256"], entry["parameters"]) for entry in start["sources"] if "sha256" in entry}


class Recorded(Beginning):
    """The beginning of a run that was made again, to make it once more."""

    def __init__(self, made: RunDir, config: Config):
        self.made = made
        told = [(kind, payload) for kind, _, payload in reader_of(made.path).pick((REC_START, REC_FUNDS, REC_MODEL))]
        kinds = [kind for kind, _ in told]
        if kinds[:1] != [REC_START] or REC_FUNDS not in kinds:
            raise RunError(f"the journal of {made.path} was cut before its day began")
        refers = orjson.loads(told[0][1])["inputs"]
        super().__init__(RunDir.existing(Path(refers["run"])), config, None)
        if self.refers != refers:
            raise RunError(f"{self.source.path} is not the run whose inputs {made.path} was made from: put that one back")
        begun = kinds.index(REC_FUNDS) + 1
        self.first, self.later = told[:begun], told[begun:]
        self.start = orjson.loads(self.first[0][1])

    def prepare(self, core: Core) -> None:
        self._recall(core, self.made)

    def record(self, kind: int, payload: bytes) -> Told:
        if kind == REC_START:
            return self.first[:1]
        if kind == REC_FUNDS:                              # models are the last before it
            told, self.first = self.first[1:], []
            return told
        if kind == REC_MODEL:
            return [self.later.pop(0)] if not self.first and self.later else ()
        return super().record(kind, payload)


class Changed(Beginning):
    """The run's own settings with some changed: `start` is its START record so, `strategies` are loaded anew by name."""

    def __init__(self, source: RunDir, config: Config, into: Path | None, start: dict[str, Any],
                 strategies: dict[str, tuple[Any, loading.Source]]):
        super().__init__(source, config, into)
        self.is_other_filter = start["signals"]["min_score"] != self.start["signals"]["min_score"]
        self.start, self.strategies = {name: value for name, value in start.items() if name != "sha256"}, strategies

    def prepare(self, core: Core) -> None:
        super().prepare(core)
        for name, (strategy, text) in self.strategies.items():
            core.pipeline.strategies[name] = strategy
            if self.into is not None:
                loading.keep(self.into, text)

    def _keep_stops(self, core: Core, into: Path) -> None:
        for name in self.strategies:
            core.pipeline.stopped.pop(name, None)
        super()._keep_stops(core, into)

    def told(self) -> dict[str, Any]:
        return self.start

    def record(self, kind: int, payload: bytes) -> Told:
        if kind == REC_MODEL and self.is_other_filter:
            row = np.frombuffer(payload, MODEL_CHANGE).copy()
            row["threshold"] = self.start["signals"]["min_score"]
            return ((kind, row.tobytes()),)
        if kind == REC_FUNDS and "account_size" in self.start:
            return ((kind, funds_record(round(self.start["account_size"] * 100), round(self.start["account_size"] * 100))),)
        return super().record(kind, payload)


class ByConfig(Beginning):
    """The settings of a configuration, as they would be in force on that day."""

    def __init__(self, source: RunDir, config: Config, into: Path | None):
        super().__init__(source, config, into)
        self.entries: list[dict[str, Any]] = []
        self.changes = models.records(Path(config.models), 1 - config.signals.noise)

    def prepare(self, core: Core) -> None:
        self.entries = loading.prepare(core, self.config.strategies, self.into)
        for needed, _ in self.changes:
            core.models.update(needed)

    def told(self) -> dict[str, Any]:
        document = self.start | self.config.record() | {"ring_depth": self.config.ring_depth}
        document["sources"] += [entry | {"limits": self.config.share(entry["name"])} for entry in self.entries]
        return document

    def record(self, kind: int, payload: bytes) -> Told:
        if kind == REC_MODEL:                              # the configuration's own, however many the run had
            return ()
        if kind == REC_FUNDS:
            cash = round(self.config.risk.account_size * 100)
            return [*((REC_MODEL, change) for _, change in self.changes), (REC_FUNDS, funds_record(cash, cash))]
        return super().record(kind, payload)


@dataclass
class Remade:
    """A day made again. `problem`: why it is not whole."""
    core: Core
    kept: Kept
    replies: Kept                      # of the matching
    day: str
    symbols: list[str]
    trades: list[Trade]
    stopped: list[str]
    problem: str | None
    refers: dict[str, Any]             # whose inputs

    def has_decided(self, kept: Kept) -> bool:
        """Whether these are its decisions, each at its time."""
        return [record[1:] for record in self.kept] == [record[1:] for record in kept]


def remake(beginning: Beginning, into: RunDir | None, each: Callable[[int], bool] = lambda now: True,
           venue_of: Callable[[Core], PaperVenue] = venue_of_start, sink: RecordSink | None = None) -> Remade:
    """Makes a day again from `beginning`, its journal into `into`, or its records to `sink`. DataError or RunError where that
    cannot be."""
    source = beginning.source
    folders = [source.memory, source.journal]
    try:
        journal = Journal(into.journal, SEGMENT, 1 << 50, touched=False) if into is not None else None
    except OSError as error:
        raise RunError(f"{error}: {advice_for(str(error), ROOM)}") from None
    kept = KeepingSink((*KEPT, REC_REPLY), ReferringSink(journal) if journal is not None else sink)
    core = Core(kept, capacity_of(source.path), ring_depth_of(Reader(*folders)))
    beginning.prepare(core)
    reader = Reader(*folders)
    try:
        with contextlib.ExitStack() as stack:
            paper = Again(core, reader, venue_of, beginning.record, True, folder=into.path if into is not None else None, each=each,
                          begun=lambda core: stack.enter_context(watched(core.pipeline.host))).run()
    except (ValueError, LookupError) as error:
        raise RunError(f"the journal of {source.path} cannot be made again ({error})") from None
    if paper is None:
        raise DataError(f"the journal of {source.path} was cut before its day began")
    problem = damage_of(source.path, reader)
    if journal is not None:
        if journal.full:
            problem = f"{journal.problem}: {advice_for(journal.problem or '', ROOM)}"
        journal.append(REC_CLOSED, core.now, closing(core))
        journal.close()
    day, symbols = str(core.config["day"]), symbols_of(source)
    decided = [record for record in kept.kept if record[0] != REC_REPLY]
    trades = trades_of(decided, day, symbols, core.pipeline.names)
    mark_open(trades, core, core.now)
    replies = [record for record in kept.kept if record[0] == REC_REPLY]
    return Remade(core, decided, replies, day, symbols, trades, paper.shell.stopped, problem, beginning.refers)


def paper_run(path: Path) -> RunDir | None:
    """The run on paper whose folder `path` is, with inputs of its own; None where it is anything else."""
    if not (path / "journal").is_dir():
        return None
    try:
        run = RunDir.existing(path)
        return run if start_of(run).get("via") == 1 else None
    except (DataError, RunError, JournalError):
        return None


def symbols_of(run: RunDir) -> list[str]:
    """Symbols by their numbers in the records."""
    found: list[str] = []
    for kind, _, _, payload in reader_of(run.path):
        if kind == REC_INSTRUMENTS:
            found += [spec.symbol for spec in of_table(np.frombuffer(payload, INSTRUMENT))]
        elif kind == REC_FRAME:
            break
    return found


def refers(path: Path) -> bool:
    """Whether a run refers to the inputs of another."""
    record = next((record for record in reader_of(path) if record[0] in (REC_START, REC_FRAME)), None)
    return record is not None and record[0] == REC_START and "inputs" in orjson.loads(record[3])


def replayed(path: Path, config: Config) -> dict[str, Any]:
    """Every decision of a run recomputed and compared, also where its inputs stand in another run: `engine.trail.replay.replay` has
    the keys."""
    return _replay(path, config) if refers(path) else replay(path, Path(config.models))


def _replay(path: Path, config: Config) -> dict[str, Any]:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="spike-again-") as folder:
        journal = Journal(Path(folder) / "journal", SEGMENT, prefix=reader_of(path), touched=False)
        remade = remake(Recorded(RunDir.existing(path), config), None, sink=ReferringSink(journal))
        journal.close()
    seconds = time.perf_counter() - began
    reader = reader_of(path)
    closed = [np.frombuffer(payload, CLOSING)[0] for _, _, payload in reader.pick((REC_CLOSED,))]
    core, counts = remade.core, remade.core.counts()
    expected = int(closed[-1]["digest"]) if closed else None
    problem = remade.problem or damage_of(path, reader)
    return {"journal": str(path), "identical": problem is None and not journal.diverged and expected in (None, core.digest),
            "digest": f"{core.digest:016x}", "expected": None if expected is None else f"{expected:016x}",
            "updates": counts["updates"], "candidates": counts["candidates"], "intents": counts["requests"],
            "records": counts["records"], "matched": reader.last, "mismatched": int(journal.diverged), "missing": 0,
            "corrupt": reader.corrupt, "lost": reader.missing, "problem": problem,
            "first_mismatch": journal.problem if journal.diverged else None, "seconds": round(seconds, 3),
            "updates_per_s": round(counts["updates"] / max(seconds, 1e-9))}
