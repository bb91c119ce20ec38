"""What a report says, put together: of run folders (a day, a week) and of a backtest's folder."""
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from _ext.core.reasons import REASONS
from engine.backtest import paper_report, results
from engine.backtest.parity import parity
from engine.backtest.uptime import uptime
from engine.config import Config
from engine.errors import DataError, EngineError
from engine.market.sessions import IST
from engine.report import candles, figures, seen, suggest, timing
from engine.report.payload import Block
from engine.report.runs import Run, read, together
from engine.report.seen import Seen
from engine.report.settings import settings_of
from engine.trail.rundir import RunDir
from engine.watch.trades import Trade

Say = Callable[[str], Any]
Report = tuple[str, dict[str, Any], list[Block]]
"""Title, header, blocks."""

MOST_CANDIDATES = 20_000
"""Rows of candidates in a file; of more the ones that were judged and came nearest are kept."""
KINDS = {"paper": "paper on the live feed", "live": "real money", "simulated": "a simulated market", "backtest": "backtest"}
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:;,]+/)+")
PROMISE = ("Profit is not promised: on the data we have, spikes predict activity, not direction. Intervals are of the middle 95 % "
           "of days drawn anew.")


def of_runs(runs: Sequence[tuple[str, RunDir]], config: Config, what: str, say: Say = lambda _: None) -> Report:
    """The report of run folders, each with its day, in order of the days. DataError where none can be read."""
    days = list(dict.fromkeys(day for day, _ in runs))
    found, notes = list[Run](), list[str]()
    for day, run in runs:
        say(f"{run.path}: {day}")
        try:
            found.append(read(run, days.index(day)))
        except (EngineError, ValueError) as error:
            notes.append(f"{run.path.name} is left out: {plain(str(error))}")
    if not found:
        raise DataError(f"no run of {len(runs)} can be read: {'; '.join(notes)}")
    kind = found[0].kind
    notes += [f"{run.path.name} is still running: this is what it had come to" for run in found if run.is_running]
    notes += [f"{run.path.name} is of a backtest's day: its journal has no prices; `report backtest` has the candles"
              for run in found if not run.frames]
    trades = [trade for run in found for trade in run.trades]
    saw = together(found)
    equity = found[0].account or round(config.risk.account_size * 100)
    beside, is_judged = _beside(found, config, notes, say)
    header = {"kind": what, "what": KINDS[kind], "runs": [run.path.name for run in found], "account": equity / 100,
              "notes": notes, "problem": "; ".join(plain(run.problem) for run in found if run.problem) or None,
              **common(trades, days, equity), "seen": seen.summary(saw), "latency": timing.latency(run.latencies for run in found),
              "criteria": _criteria(found, days, trades, equity, kind, beside), "slippage": None,
              "suggestions": suggest.suggestions(saw.rows, found[-1].thresholds),
              "feed": _feed(found), "settings": settings_of(found[-1].start),
              "thresholds": found[-1].thresholds}
    header["slippage"] = (timing.against_backtest(beside) if is_judged else None) or timing.against_quotes(trades, saw, days)
    bars = {(run.day, symbol): rows for run in found for symbol, rows in run.bars.items()}
    begin = min((int(run.rows["time"].min()) for run in found if len(run.rows)), default=0) // 1_000_000_000
    title = f"{what.capitalize()} {days[0]}" if len(days) == 1 else f"{what.capitalize()} {days[0]} to {days[-1]}"
    return title, header, blocks_of(trades, saw, days, lambda day, names: {
        name: bars[day, name] for name in names if (day, name) in bars}, equity, begin, header)


def common(trades: Sequence[Trade], days: Sequence[str], equity: int) -> dict[str, Any]:
    """What every report's header has; `equity` in paise."""
    return {"days": list(days), "made": dt.datetime.now(IST).isoformat(timespec="seconds"), "promise": PROMISE,
            **figures.figures(trades, days, equity)}


def blocks_of(trades: Sequence[Trade], saw: Seen, days: Sequence[str], bars: candles.Bars, equity: int, begin: int,
            header: dict[str, Any]) -> list[Block]:
    """The blocks; notes of what they leave out go into the header."""
    parts, windows = candles.blocks_of(trades, bars)
    if missing := sum(window < 0 for window in windows):
        header["notes"].append(f"{missing} of {len(trades)} trades have no candles: their prices are not there any more")
    header["candles"] = {"steps": candles.STEPS, "is_exact": bool(len(parts[0].parts) and _are_whole(trades))}
    rows, left_out = _kept_candidates(saw.rows)
    if left_out:
        header["notes"].append(f"{left_out:,} candidates are counted and not listed: the {len(rows):,} nearest to a trade are")
    return [figures.equity_block(trades, equity, begin), figures.trades_block(trades, windows), *parts,
            candidates_block(saw, rows, days)]


def _are_whole(trades: Sequence[Trade]) -> bool:
    return len({(trade.day, trade.symbol) for trade in trades}) <= candles.WHOLE_DAYS


def _kept_candidates(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Places of the candidates that are listed, in order, and how many are not."""
    if len(rows) <= MOST_CANDIDATES:
        return np.arange(len(rows)), 0
    miss = np.nan_to_num(seen.miss_of(rows), nan=1e9)
    order = np.lexsort((miss, -rows["stage"]))[:MOST_CANDIDATES]
    return np.sort(order), len(rows) - MOST_CANDIDATES


def candidates_block(saw: Seen, places: np.ndarray, days: Sequence[str]) -> Block:
    """The listed candidates."""
    rows = saw.rows[places]
    block = Block("candidates", len(rows))
    block.words("day", [days[k] for k in rows["day"]], "trading day")
    block.words("symbol", [saw.symbols[k] for k in places])
    block.words("source", [saw.sources[k] for k in places])
    block.whole("id", rows["id"].astype(np.int64), "number in its day's journal")
    block.whole("time", rows["time"] // 1_000_000_000, "s since 1970")
    block.whole("move", rows["move"], "1 up, -1 down", differ=False)
    block.whole("price", rows["price"], "paise", differ=False)
    for name, size in (("strength", 1000), ("score", 1000), ("volume", 100)):
        values = np.nan_to_num(rows[name] * size, nan=-1.0, posinf=1e8)
        block.whole(name, np.clip(np.round(values), -1, 1e8), f"{size} is one; -1: not known", differ=False)
    block.words("stage", [seen.STAGES[k] for k in rows["stage"]])
    block.words("reason", [seen.word_at(REASONS, int(k)) for k in rows["reason"]])
    block.real("measured", rows["measured"], "by the rule that decided")
    block.real("limit", rows["limit"], "of that rule")
    block.whole("stayed", rows["stayed"], "1, 0, -1: nobody knows", differ=False)
    return block


def _beside(found: Sequence[Run], config: Config, notes: list[str], say: Say) -> tuple[list[dict[str, Any]], bool]:
    """Days of real money and of paper, each trade beside the one the backtester makes; whether there are any."""
    out = []
    for run in found:
        if (run.kind != "live" and run.start.get("via") != 1) or run.is_running or not run.frames:
            continue
        say(f"{run.path}: its day made again")
        try:
            made = parity(RunDir.existing(run.path), config)
        except (EngineError, ValueError) as error:
            notes.append(f"{run.path.name} cannot be made again: {plain(str(error))}")
            continue
        out.append({"day": run.day, "beside": made["trades"], "is_same": made["is_same"], "problems": made["alarms"]})
        notes += [f"{run.day}: {plain(alarm)}" for alarm in made["alarms"]]
    return out, bool(out)


def _criteria(found: Sequence[Run], days: Sequence[str], trades: Sequence[Trade], equity: int, kind: str,
              beside: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The seed's criteria of these days."""
    made = []
    for day in days:
        runs = [run for run in found if run.day == day]
        worth = [int((run.rows["stage"] != seen.WATCHED).sum()) for run in runs]
        asked = [int(((run.rows["stage"] != seen.WATCHED) & np.isfinite(run.rows["score"])).sum()) for run in runs]
        made.append(paper_report.Day(
            day, [RunDir.existing(run.path) for run in runs], [trade for run in runs for trade in run.trades if trade.is_closed],
            uptime=_uptime(runs, day), judged=[value for pair in zip(worth, asked, strict=True) for value in pair],
            decided=[int(v) for run in runs for v in run.latencies.get("decided", ())],
            answered=[int(v) for run in runs for v in run.latencies.get("order", ())]))
    result = results.summary(trades, days, equity)
    said = {"paper": "of paper on the live feed: the delays of orders are drawn from the model",
            "simulated": "of a simulated market: these say how the engine behaved and nothing of a real market",
            "live": "of real orders"}.get(kind, "of a backtest")
    return {"of": said, "rows": paper_report.criteria(made, result),
            "days": [{"day": day.day, "uptime": day.uptime, "net": day.net, "trades": len(day.trades),
                      "is_same": next((bool(row["is_same"]) for row in beside if row["day"] == day.day), None)} for day in made]}


def _uptime(runs: Sequence[Run], day: str) -> float:
    try:
        return uptime([RunDir.existing(run.path) for run in runs], day)
    except (EngineError, ValueError, ZeroDivisionError):
        return 0.0


def _feed(found: Sequence[Run]) -> dict[str, Any]:
    """Updates, gaps by kind, alarms, and why entries were stopped."""
    gaps, alarms = dict[str, int](), dict[str, int]()
    for run in found:
        for into, more in ((gaps, run.gaps), (alarms, run.state.alarms)):
            for name, count in more.items():
                into[name] = into.get(name, 0) + count
    return {"updates": sum(run.updates for run in found), "gaps": gaps, "alarms": alarms,
            "reducing": [reason for run in found for reason in run.state.reducing],
            "stopped": {name: plain(why) for run in found for name, why in run.state.stopped.items()}}


def plain(text: str) -> str:
    """Words without the folders of this machine: a report is shown to others. Of a path its last part stays."""
    return FOLDERS.sub("", text)
