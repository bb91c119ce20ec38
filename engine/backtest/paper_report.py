"""Paper days: what they would have earned after costs, each trade beside the backtest of its day, and the seed's criteria."""
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.records import CANDIDATE, REC_CANDIDATE, REC_REPLY, REC_TIMING, REC_VERDICT, REPLY, TIMING
from engine.backtest import results
from engine.backtest.parity import parity
from engine.backtest.remade import paper_run, start_of, symbols_of
from engine.backtest.uptime import WANTED, uptime
from engine.config import Config
from engine.errors import DataError, EngineError
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir
from engine.watch.trades import KEPT, Trade, trades_of

WEEK = 5
"""Trading days of a week."""
DRAWS, SEED = 2000, 1

TARGETS = {
    "detection": (1.0, "ms from a frame's receipt to the decision of its candidate, 99 %: at most"),
    "noise filter": (0.99, "share of candidates worth trading that the filter judged: at least"),
    "win rate": (0.5, "share of closed trades that earned something after costs: more than"),
    "order": (100.0, "ms from a request to its answer, median (of paper: as drawn): at most"),
    "uptime": (WANTED, "share of the session in which the engine was there and its feed spoke: at least"),
    "paper P&L": (0.0, "rupees after costs of the last five trading days together: more than"),
}
"""What each criterion must reach, and what its figure is."""

Measured = tuple[float | None, list[float] | None]
"""A figure and its interval."""


@dataclass
class Day:
    """What one day of paper came to. Latencies in ns."""
    day: str
    runs: list[RunDir] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)       # of parity
    is_same: bool = True
    uptime: float = 0.0
    decided: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)                # candidates worth trading, and those the filter was asked about
    problems: list[str] = field(default_factory=list)

    @property
    def net(self) -> float:
        """Rupees."""
        return sum(trade.net for trade in self.trades) / 100


def paper_runs(folders: Iterable[Path], is_any: bool = False) -> list[RunDir]:
    """Runs on paper among `folders`, on a live feed unless `is_any`, in order of their days."""
    found = []
    for folder in sorted(folders):
        run = paper_run(folder) if folder.is_dir() and not folder.is_symlink() else None
        if run is not None and (is_any or start_of(run)["source"] == "upstox"):
            found.append(run)
    return sorted(found, key=lambda run: str(start_of(run)["day"]))


def report(runs: Sequence[RunDir], config: Config, say: Callable[[str], Any] = lambda _: None) -> dict[str, Any]:
    """The days of `runs` as a document; money in rupees. DataError without any."""
    if not runs:
        raise DataError("there is no paper run on a live feed yet: `python -m engine run --source upstox`, or name run folders")
    days: dict[str, Day] = {}
    for run in runs:
        day = str(start_of(run)["day"])
        say(f"{run.path}: {day}")
        made = days.setdefault(day, Day(day))
        try:
            take(made, run, config)
        except EngineError as error:                       # one that was cut before its day began, or whose model is gone
            made.is_same = False
            made.problems.append(str(error))
    for made in days.values():
        made.uptime = uptime(made.runs, made.day)
    ordered = [days[name] for name in sorted(days)]
    trades = [trade for day in ordered for trade in day.trades]
    equity = round(config.risk.account_size * 100)
    names = [day.day for day in ordered]
    result = results.summary(trades, names, equity)
    return {"days": [_document(day) for day in ordered], "result": result, "groups": results.groups(trades, names),
            "criteria": criteria(ordered, result), "account": equity / 100,
            "problem": next((problem for day in ordered for problem in day.problems), None)}


def take(day: Day, run: RunDir, config: Config) -> None:
    """Adds a run to its day."""
    beside = parity(run, config)
    records = reader_of(run.path).pick((*KEPT, REC_REPLY, REC_TIMING))
    kept = [record for record in records if record[0] in KEPT]
    sources = [str(entry["name"]) for entry in start_of(run)["sources"]]
    day.runs.append(run)
    day.trades += [trade for trade in trades_of(kept, day.day, symbols_of(run), sources) if trade.is_closed]
    day.rows += beside["trades"]
    day.is_same &= beside["is_same"]
    day.problems += [*beside["alarms"], *([beside["problem"]] if beside["problem"] else [])]
    for kind, _, payload in records:
        if kind == REC_REPLY:
            if (latency := int(np.frombuffer(payload, REPLY)[0]["latency"])) > 0:      # 0: it never left
                day.answered.append(latency)
        elif kind == REC_TIMING:
            day.decided.append(int(np.frombuffer(payload, TIMING)[0]["decided"]))
    worth, asked = set[int](), set[int]()
    for kind, _, payload in kept:
        if kind in (REC_CANDIDATE, REC_VERDICT):
            c = np.frombuffer(payload, CANDIDATE)[0]
            if c["level"] == 1:
                worth.add(int(c["id"]))
                if not (math.isnan(c["score"]) and math.isnan(c["score_next"])):
                    asked.add(int(c["id"]))
    day.judged += [len(worth), len(asked)]


def _document(day: Day) -> dict[str, Any]:
    charges = sum(trade.charges for trade in day.trades) / 100
    return {"day": day.day, "runs": [str(run.path) for run in day.runs], "trades": len(day.trades), "net": round(day.net, 2),
            "charges": round(charges, 2), "uptime": day.uptime, "is_same": day.is_same, "beside": day.rows,
            "problems": day.problems}


def criteria(days: Sequence[Day], result: dict[str, Any]) -> list[dict[str, Any]]:
    """Figure, interval over days, target, and whether it is reached, of each; `passed` None: nothing was measured."""
    worth, asked = ([sum(day.judged[k::2]) for day in days] for k in (0, 1))
    last = days[-WEEK:]
    rows = [
        _row("detection", _quantile(days, "decided", 0.99), lambda value, target: value <= target),
        _row("noise filter", _ratio(asked, worth), lambda value, target: value >= target),
        _row("win rate", (result["win_rate"], result["interval"]["win_rate"]), lambda value, target: value > target),
        _row("order", _quantile(days, "answered", 0.5), lambda value, target: value <= target),
        _row("uptime", _mean([day.uptime for day in days]), lambda value, target: value >= target),
        _row("paper P&L", (sum(day.net for day in last), _mean([day.net for day in days], WEEK)[1]),
             lambda value, target: value > target)]
    if len(last) < WEEK:
        rows[-1] |= {"passed": None, "why": f"{len(last)} of {WEEK} days"}
    return rows


def _row(name: str, measured: Measured, is_reached: Callable[[float, float], bool]) -> dict[str, Any]:
    value, interval = measured
    target, words = TARGETS[name]
    return {"name": name, "figure": value, "interval": interval, "target": target, "words": words, "why": None,
            "passed": None if value is None else is_reached(round(value, 9), target)}


def _drawn(figure: Callable[[np.ndarray], np.ndarray], days: int) -> list[float] | None:
    """The middle 95 % of a figure over days drawn with replacement; None for a single day."""
    if days < 2:
        return None
    values = figure(np.random.default_rng(SEED).integers(0, days, (DRAWS, days)))
    return [float(edge) for edge in np.percentile(values, (2.5, 97.5))]


def _mean(values: Sequence[float], times: int = 1) -> Measured:
    """Mean of the days, `times` so much for the interval."""
    column = np.array(values, float)
    return (float(column.mean()) if len(column) else None, _drawn(lambda picks: column[picks].mean(1) * times, len(column)))


def _ratio(part: Sequence[int], whole: Sequence[int]) -> Measured:
    a, b = np.array(part, float), np.array(whole, float)
    if b.sum() == 0:
        return None, None
    return float(a.sum() / b.sum()), _drawn(lambda picks: a[picks].sum(1) / np.maximum(b[picks].sum(1), 1), len(b))


def _quantile(days: Sequence[Day], name: str, share: float) -> Measured:
    """Milliseconds."""
    columns = [np.array(getattr(day, name), float) / 1e6 for day in days if getattr(day, name)]
    if not columns:
        return None, None

    def of(picks: np.ndarray) -> np.ndarray:
        return np.array([np.quantile(np.concatenate([columns[k] for k in row]), share) for row in picks[:200]])

    return float(np.quantile(np.concatenate(columns), share)), _drawn(of, len(columns))
