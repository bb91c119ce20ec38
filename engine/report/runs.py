"""A run folder read for a report: trades, candidates and what came of them, minutes, timings. The run may still go on."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import (
    CANDIDATE,
    FUNDS,
    MODEL_ACTIVE,
    MODEL_CHANGE,
    REC_CANDIDATE,
    REC_DATA,
    REC_FUNDS,
    REC_MODEL,
    REC_REPLY,
    REC_START,
    REC_TIMING,
)
from _ext.recorder import BAR_ROW, TickRecorder
from engine.errors import DataError
from engine.report import candles, seen, suggest
from engine.report.seen import Seen
from engine.report.timing import latencies_of
from engine.trail.checked import capacity_of, damage_of, reader_of
from engine.trail.rundir import RunDir, is_held
from engine.watch.ledger import rows_of as gap_rows
from engine.watch.state import RunState
from engine.watch.trades import KEPT, Trade, trades_of

WANTED = (*KEPT, REC_REPLY, REC_TIMING)


@dataclass
class Run:
    """What one run came to. Money in paise."""
    path: Path
    start: dict[str, Any]
    day: str
    trades: list[Trade]
    state: RunState
    rows: np.ndarray                                   # seen.COLUMNS
    bars: dict[str, np.ndarray]                        # symbol -> candles.BAR
    latencies: dict[str, np.ndarray]
    thresholds: dict[str, float | None]
    updates: int = 0
    is_running: bool = False
    problem: str | None = None
    account: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    frames: bool = True

    @property
    def kind(self) -> str:
        """paper, live, simulated or backtest."""
        source = str(self.start.get("source", ""))
        if source == "backtest":
            return source
        return "simulated" if source != "upstox" else "paper" if self.start.get("via") == 1 else "live"


def read(run: RunDir, day: int = 0) -> Run:
    """The run, its candidates labelled where its journal has the frames; `day`: its day's place in the report. JournalError where
    there is nothing to read, DataError where its beginning is missing."""
    reader = reader_of(run.path)
    follower, state, later = TickRecorder(capacity_of(run.path)), RunState(), _Later()
    kept: list[tuple[int, int, bytes]] = []
    bars: list[np.ndarray] = []
    start: dict[str, Any] = {}
    threshold, account, has_frames = None, 0, True
    while (record := follower.step(reader)) is not None:
        kind, _, now, payload = record
        if follower.count:
            later.take(follower.take())
        if follower.bars_count:
            bars.append(follower.take_bars())
        state.take(kind, payload)
        if kind in WANTED:
            kept.append((kind, now, payload))
        if kind == REC_CANDIDATE:
            later.ask(np.frombuffer(payload, CANDIDATE)[0])
        elif kind == REC_START:
            start = dict(orjson.loads(payload))
        elif kind == REC_MODEL and (change := np.frombuffer(payload, MODEL_CHANGE)[0])["role"] == MODEL_ACTIVE:
            threshold = float(change["threshold"])
        elif kind == REC_FUNDS:
            account = account or int(np.frombuffer(payload, FUNDS)[0]["at_day_start"])
        elif kind == REC_DATA:
            has_frames = False
    if "day" not in start:
        raise DataError(f"the journal of {run.path} has no beginning: nothing can be said of its day")
    rows = seen.candidates_of(kept, day)
    later.label(rows)
    name = str(start["day"])
    return Run(run.path, start, name, trades_of(kept, name, state.symbols, state.sources), state, rows,
               candles.of_recorded(np.concatenate(bars) if bars else np.zeros(0, BAR_ROW), state.symbols), latencies_of(kept),
               thresholds_of(start, threshold), follower.updates, is_held(run.lock), damage_of(run.path, reader), account,
               gap_rows(state)[1], has_frames)


def thresholds_of(start: dict[str, Any], model: float | None) -> dict[str, float | None]:
    """Thresholds that were in force, by setting; None: not known."""
    signals = start.get("signals", {})
    return {"signals.strength": signals.get("strength"), "signals.volume": signals.get("volume"),
            "signals.spread_bp": signals.get("spread_bp"), "filter": model}


class _Later:
    """The last price within a minute after each candidate's last trade, by the exchange's time; from ticks in order of receipt."""

    def __init__(self) -> None:
        self.asked: dict[int, list[tuple[int, int]]] = {}          # instrument -> (candidate, ms until) not yet over
        self.price: dict[int, int] = {}                            # candidate -> last price so far
        self.over: set[int] = set()
        self.latest = 0

    def ask(self, c: np.void) -> None:
        self.asked.setdefault(int(c["inst"]), []).append((int(c["id"]), int(c["ltt"]) + suggest.AFTER_MS))
        self.price[int(c["id"])] = int(c["price"])

    def take(self, ticks: np.ndarray) -> None:
        """TICK_ROW rows."""
        if len(ticks):
            self.latest = max(self.latest, int(ticks["recv_ts"][-1]) // 1000)
        if not self.asked:
            return
        for tick in ticks[np.isin(ticks["inst"], list(self.asked))]:
            waiting, at = self.asked[int(tick["inst"])], int(tick["exch_ts"])
            for number, until in waiting:
                if at <= until:
                    self.price[number] = int(tick["ltp"]) or self.price[number]
                else:
                    self.over.add(number)
            if any(number in self.over for number, _ in waiting):
                self.asked[int(tick["inst"])] = [entry for entry in waiting if entry[0] not in self.over]
        self.asked = {inst: waiting for inst, waiting in self.asked.items() if waiting}

    def label(self, rows: np.ndarray) -> None:
        """Sets `stayed` of each row whose minute was over before the feed ended."""
        for row in rows:
            number = int(row["id"])
            if number in self.price and int(row["ltt"]) + suggest.AFTER_MS <= self.latest:
                row["stayed"] = suggest.stayed(int(row["move"]), int(row["last_close"]), int(row["price"]), self.price[number])


def together(runs: Sequence[Run]) -> Seen:
    """What they saw, as one."""
    out = Seen()
    for run in runs:
        out.add(run.rows, run.state.symbols, run.state.sources)
    return out


def chosen(folders: Sequence[Path], days: int) -> list[tuple[str, RunDir]]:
    """(day, run) of the last `days` trading days among `folders`, all of the kind the latest run is of: paper, live or simulated.
    Of a simulated day the latest run alone, since each is another market."""
    found = []
    for folder in folders:
        if folder.is_symlink() or not folder.is_dir() or (facts := facts_of(folder)) is None:
            continue
        found.append((*facts, folder.stat().st_mtime_ns, folder))
    if not found:
        return []
    kind = max(found, key=lambda entry: entry[2])[1]
    mine = sorted(entry for entry in found if entry[1] == kind)
    last = sorted({entry[0] for entry in mine})[-days:]
    if kind == "simulated":
        latest = {entry[0]: entry for entry in sorted(mine, key=lambda entry: entry[2])}
        mine = [latest[day] for day in sorted(latest)]
    return [(entry[0], RunDir.existing(entry[3])) for entry in mine if entry[0] in last]


def day_of(run: RunDir) -> str:
    """The trading day of a run. DataError where its journal has no beginning."""
    for kind, _, _, payload in reader_of(run.path):
        if kind == REC_START:
            return str(orjson.loads(payload)["day"])
    raise DataError(f"the journal of {run.path} has no beginning: nothing can be said of its day")


def facts_of(folder: Path) -> tuple[str, str] | None:
    """(day, kind) of a run folder; None where it is none, is a backtest's, or was made again from another's inputs."""
    try:
        if not (folder / "journal").is_dir():
            return None
        first = next((payload for kind, _, _, payload in reader_of(RunDir.existing(folder).path) if kind == REC_START), b"{}")
        start = orjson.loads(first)
    except (DataError, ValueError, OSError):
        return None
    if "day" not in start or "inputs" in start or start.get("source") == "backtest":
        return None
    kind = "simulated" if start["source"] != "upstox" else "paper" if start.get("via") == 1 else "live"
    return str(start["day"]), kind
