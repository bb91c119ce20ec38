"""Parity: a recorded day of paper or of a broker, its answers left out and made again by the backtester's matching, trade by trade.

What differs is what the model of fills and delays gets wrong. Of a run on paper nothing may differ.
"""
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from _ext.core.records import (
    INTENT,
    INTENT_PLACE,
    REC_INTENT,
    REC_REPLY,
    ROLE_ENTRY,
)
from engine.backtest.remade import Beginning, remake, symbols_of
from engine.backtest.trades import mark_open
from engine.broker.paper.latency import LEAST, keep, quantiles_of
from engine.config import Config
from engine.errors import DataError
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir
from engine.watch.trades import END, KEPT, Kept, Trade, rows_of, trades_of

DRIFT = {"unmatched": 0.10, "entry_bp": 5.0, "exit_bp": 5.0, "entry_delay_s": 2.0, "exit_delay_s": 2.0, "latency": 1.5}
"""From where on a difference is an alarm: share of trades that one account alone has; medians of price and delay; ratio of the
latencies' medians either way."""
FEWEST = 5
"""Trades from which on a median is one."""


def parity(run: RunDir, config: Config, keep_latencies: bool = False) -> dict[str, Any]:
    """The day of `run` beside the same day made again; `alarms` says what has drifted. `keep_latencies`: those of this day become
    what the matching draws from. EngineError where the day cannot be made again or has too few answers."""
    beginning = Beginning(run, config, None)
    is_paper = beginning.start.get("via") == 1
    if keep_latencies and is_paper:
        raise DataError(f"{run.path} traded on paper: its delays are the model's own, and say nothing of a broker's")
    made = remake(beginning, None)
    records = reader_of(run.path).pick((*KEPT, REC_REPLY))
    kept = [record for record in records if record[0] != REC_REPLY]
    trades = trades_of(kept, made.day, symbols_of(run), made.core.pipeline.names)
    is_same = made.has_decided(kept)
    if is_same:
        mark_open(trades, made.core, made.core.now)
    rows = _pairs(trades, made.trades, _asked(kept), _asked(made.kept))
    latencies = [int(reply["latency"]) for reply in rows_of(records, REC_REPLY) if reply["latency"] > 0]    # 0: it never left
    drawn = [int(reply["latency"]) for reply in rows_of(made.replies, REC_REPLY) if reply["latency"] > 0]
    figures = _figures(rows, latencies, drawn)
    document = {"run": str(run.path), "day": made.day, "is_paper": is_paper, "is_same": is_same, "trades": rows, **figures,
                "alarms": _alarms(figures, is_paper, is_same), "problem": made.problem, "latencies_kept": None}
    if keep_latencies:
        document["latencies_kept"] = str(keep(quantiles_of(latencies), str(run.path), len(latencies)))
    return document


def _asked(kept: Kept) -> dict[int, tuple[int, int, int]]:
    """Candidate -> (ns, quantity, limit) of the entry that was sent for it."""
    out = {}
    for kind, now, payload in kept:
        if kind == REC_INTENT:
            intent = np.frombuffer(payload, INTENT)[0]
            if intent["kind"] == INTENT_PLACE and intent["role"] == ROLE_ENTRY:
                out[int(intent["candidate"])] = now, int(intent["quantity"]), int(intent["price"])
    return out


def _pairs(run: Sequence[Trade], made: Sequence[Trade], asked: dict[int, tuple[int, int, int]],
           asked_again: dict[int, tuple[int, int, int]]) -> list[dict[str, Any]]:
    """A row a candidate that either account sent an entry for. Prices in rupees; `entry_bp` and `exit_bp`: how much worse the run's
    fill was than the one made again."""
    ours, theirs = ({trade.candidate: trade for trade in trades} for trades in (run, made))
    rows = []
    for number in sorted(asked.keys() | asked_again.keys() | ours.keys() | theirs.keys()):
        a, b = ours.get(number), theirs.get(number)
        one = a or b
        row: dict[str, Any] = {"candidate": number, "symbol": one.symbol if one else "", "side": one.side if one else 0,
                               "decision": _decision(asked.get(number), asked_again.get(number)),
                               "run": _told(a, asked.get(number)), "made": _told(b, asked_again.get(number))}
        if a is not None and b is not None:
            is_over = a.is_closed and b.is_closed and END not in (a.reason, b.reason)
            row |= {"entry_bp": a.side * (a.entry_price / b.entry_price - 1) * 1e4,
                    "exit_bp": -a.side * (a.exit_price / b.exit_price - 1) * 1e4 if is_over else None,
                    "entry_delay_s": (a.entry_time - b.entry_time) / 1e9,
                    "exit_delay_s": (a.exit_time - b.exit_time) / 1e9 if is_over else None,
                    "net": (a.net - b.net) / 100 if is_over else 0.0}
        rows.append(row)
    return rows


def _decision(was: tuple[int, int, int] | None, now: tuple[int, int, int] | None) -> str:
    if was == now:
        return "the same"
    if was is None or now is None:
        return "entered only when made again" if was is None else "entered only in the run"
    return "another time" if was[1:] == now[1:] else "another quantity or price"


def _told(trade: Trade | None, asked: tuple[int, int, int] | None) -> dict[str, Any] | None:
    """What one account has of a trade."""
    if trade is None:
        return None if asked is None else {"quantity": 0, "reason": "not filled"}
    return {"quantity": trade.quantity, "entry_time": trade.entry_time, "entry": round(trade.entry_price / 100, 4),
            "exit_time": trade.exit_time, "exit": round(trade.exit_price / 100, 4), "reason": trade.reason,
            "net": trade.net / 100, "wait_ms": round((trade.entry_time - asked[0]) / 1e6) if asked else None}


def _figures(rows: Sequence[dict[str, Any]], latencies: Sequence[int], drawn: Sequence[int]) -> dict[str, Any]:
    both = [row for row in rows if "net" in row]
    alone = len(rows) - len(both) - sum(_unfilled(row) for row in rows)

    def median(name: str) -> float | None:
        values = [row[name] for row in both if row[name] is not None]
        return statistics.median(values) if values else None

    return {"matched": len(both), "alone": alone, "unmatched": alone / len(rows) if rows else 0.0,
            "median": {name: median(name) for name in ("entry_bp", "exit_bp", "entry_delay_s", "exit_delay_s")},
            "net": {"run": round(sum((row["run"] or {}).get("net", 0.0) for row in rows), 2),
                    "made": round(sum((row["made"] or {}).get("net", 0.0) for row in rows), 2)},
            "latency_ms": {"run": _of_latencies(latencies), "made": _of_latencies(drawn)}}


def _unfilled(row: dict[str, Any]) -> bool:
    """Whether both accounts asked and neither got anything."""
    return all(row[name] is not None and not row[name]["quantity"] for name in ("run", "made"))


def _of_latencies(values: Sequence[int]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p99, most = (float(np.quantile(np.array(values, float), share)) / 1e6 for share in (0.5, 0.99, 1.0))
    return {"count": len(values), "p50": round(p50, 1), "p99": round(p99, 1), "max": round(most, 1)}


def _alarms(figures: dict[str, Any], is_paper: bool, is_same: bool) -> list[str]:
    """What has drifted, in words."""
    if is_paper:
        return [] if is_same else ["the day made again is another: the run is of another build, or its journal was changed"]
    out, median = [], figures["median"]
    if figures["unmatched"] > DRIFT["unmatched"] and figures["alone"] > 1:
        out.append(f"{figures['alone']} trades stand in one account alone ({figures['unmatched']:.0%})")
    for name, words in (("entry_bp", "entries"), ("exit_bp", "exits")):
        if figures["matched"] >= FEWEST and abs(median[name] or 0.0) > DRIFT[name]:
            out.append(f"{words} fill {median[name]:+.1f} bp worse than the model says, at the median")
    for name, words in (("entry_delay_s", "entries"), ("exit_delay_s", "exits")):
        if figures["matched"] >= FEWEST and abs(median[name] or 0.0) > DRIFT[name]:
            out.append(f"{words} fill {median[name]:+.1f} s later than the model says, at the median")
    run, made = figures["latency_ms"]["run"], figures["latency_ms"]["made"]
    if run and made and min(run["count"], made["count"]) >= LEAST:
        ratio = run["p50"] / made["p50"]
        if not 1 / DRIFT["latency"] < ratio < DRIFT["latency"]:
            out.append(f"requests take {run['p50']:.0f} ms, the model draws {made['p50']:.0f}: `--keep` makes this day's the "
                       "model's")
    return out
