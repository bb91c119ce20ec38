"""How long each stage took, and how far fills lay from the quote their decision was made at."""
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from _ext.core.records import PAYLOADS, REC_REPLY, REC_TIMING
from engine.report.seen import Seen
from engine.watch.trades import Kept, Trade, rows_of

EDGES_NS = np.round(10 ** np.arange(3, 10.01, 0.125)).astype(np.int64)
"""Of the histograms: eight a decade, 1 us to 10 s."""
WORDS = {"decoded": "frame decoded", "scored": "features and score", "decided": "decision made", "done": "frame done",
         "order": "request to the broker's answer"}
"""Stages: ns from the receipt of the frame; of an order from the request to the answer."""
DRAWS, SEED = 2000, 1


def latencies_of(kept: Kept) -> dict[str, np.ndarray]:
    """Stage -> ns, from the records of timings and replies."""
    timing, reply = rows_of(kept, REC_TIMING), rows_of(kept, REC_REPLY)
    found = {name: timing[name] for name in WORDS if name in (PAYLOADS[REC_TIMING].names or ())}
    return {name: values[values > 0] for name, values in found.items()} | {"order": reply["latency"][reply["latency"] > 0]}


def latency(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """A histogram and quantiles of each stage that was measured, ns."""
    parts, out = list(parts), {}
    for name, words in WORDS.items():
        values = np.concatenate([part[name] for part in parts if name in part] or [np.zeros(0, np.int64)])
        if len(values):
            counts, _ = np.histogram(np.clip(values, EDGES_NS[0], EDGES_NS[-1]), EDGES_NS)
            p50, p99, p999, most = (float(v) for v in np.quantile(values, (0.5, 0.99, 0.999, 1.0)))
            out[name] = {"words": words, "edges_ns": EDGES_NS.tolist(), "counts": counts.tolist(), "count": len(values),
                         "p50": p50, "p99": p99, "p999": p999, "max": most}
    return out


def against_quotes(trades: Sequence[Trade], seen: Seen, days: Sequence[str]) -> dict[str, Any] | None:
    """How much worse each entry was than the best price shown at the tick of its candidate, bp of it; None where none was shown. A
    trade in another instrument than its candidate's is left out."""
    at = {(int(row["day"]), int(row["id"])): k for k, row in enumerate(seen.rows)}
    place, rows = {day: k for k, day in enumerate(days)}, []
    for trade in trades:
        k = at.get((place[trade.day], trade.candidate))
        if k is None or seen.symbols[k] != trade.symbol or not trade.quantity:
            continue
        quote = int(seen.rows["quote"][k])
        if quote > 0:
            rows.append((place[trade.day], trade.symbol, trade.side * (trade.entry_price / quote - 1) * 1e4, quote,
                         trade.entry_price, (trade.entry_time - int(seen.rows["time"][k])) / 1e9))
    if not rows:
        return None
    day, bp = np.array([row[0] for row in rows]), np.array([row[2] for row in rows])
    return {"against": "quote", "words": "entry price against the best price shown at the candidate's tick, bp; plus is worse",
            "trades": len(rows), "entry": spread_of(bp, day), "exit": None,
            "delay_s": float(np.median([row[5] for row in rows])), "rows": []}


def against_backtest(days: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of paper and live days (rows of `parity`): how much worse each fill was than the one the backtester makes of the same inputs,
    bp; and the trades themselves. None without any."""
    rows = [(k, row) for k, day in enumerate(days) for row in day["beside"]]
    if not rows:
        return None

    def of(name: str) -> dict[str, Any] | None:
        known = [(k, row[name]) for k, row in rows if row.get(name) is not None]
        return spread_of(np.array([value for _, value in known]), np.array([k for k, _ in known])) if known else None

    delays = [row["entry_delay_s"] for _, row in rows if row.get("entry_delay_s") is not None]
    table = [{"day": days[k]["day"], "symbol": row["symbol"], "side": row["side"], "decision": row["decision"],
              "run": row["run"], "made": row["made"], "entry_bp": row.get("entry_bp"), "exit_bp": row.get("exit_bp"),
              "net": row.get("net")} for k, row in rows]
    return {"against": "backtest", "words": "fill against the one the backtester makes of the same inputs, bp; plus is worse",
            "trades": sum("net" in row for _, row in rows), "entry": of("entry_bp"), "exit": of("exit_bp"),
            "delay_s": float(np.median(delays)) if delays else None, "rows": table[:500],
            "net": {name: round(sum((row[name] or {}).get("net", 0.0) for _, row in rows), 2) for name in ("run", "made")}}


def spread_of(values: np.ndarray, days: np.ndarray) -> dict[str, Any]:
    """Mean with its interval over days, median and the outer values."""
    names, at = np.unique(days, return_inverse=True)
    interval = None
    if len(names) > 1:
        picks = np.random.default_rng(SEED).integers(0, len(names), (DRAWS, len(names)))
        sums, counts = np.bincount(at, values, len(names)), np.bincount(at, minlength=len(names))
        interval = [float(e) for e in np.percentile(sums[picks].sum(1) / counts[picks].sum(1), (2.5, 97.5))]
    low, median, high = (float(v) for v in np.quantile(values, (0.05, 0.5, 0.95)))
    return {"count": len(values), "mean": float(values.mean()), "interval": interval, "median": median, "p5": low, "p95": high}
