"""Rows of the page's tables and what is drawn on its charts, from a `Day`. Money in paise, times in us, unknown numbers None."""
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from _ext.core.clock import AHEAD_OF_UTC, MINUTE, OPEN_OF_DAY
from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    GAPS,
    INTENT_CANCEL,
    KINDS,
    ORDER_TYPES,
    POSITION_STATES,
    ROLES,
    STREAM_FEED,
    WHYS,
)
from engine.market.sessions import day_of
from engine.watch.day import Day, Seen
from engine.watch.trades import Trade

OPEN_UTC = OPEN_OF_DAY - AHEAD_OF_UTC
"""09:15 in India, minutes of UTC's day: candles of an hour begin there, too."""
TIMEFRAMES = (1, 3, 5, 15, 30, 60)
"""Minutes of the candles that are made of one-minute ones."""


def number(value: Any) -> float | None:
    """A float as JSON knows it: None for one that is no number."""
    value = float(value)
    return value if math.isfinite(value) else None


def known(column: np.ndarray) -> list[float | None]:
    return [number(value) for value in column]


def text(value: bytes) -> str:
    return value.decode(errors="replace")


# ---- candidates --------------------------------------------------------------------------------------------------------
def verdict(row: np.void) -> str:
    return "watched" if row["level"] == 0 else "passed" if row["reason"] == PASS else "refused"


def score_of(row: np.void) -> float | None:
    """What decided: the score at the next trade update where there was one, else that at the tick."""
    return number(row["score_next"] if row["score_next"] == row["score_next"] else row["score"])


def candidate(day: Day, number_: int) -> dict[str, Any]:
    """One line of the list of candidates."""
    seen = day.candidates[number_]
    c = seen.last
    return {"id": number_, "t_us": seen.now // 1000, "inst": int(c["inst"]), "symbol": day.state.symbol(int(c["inst"])),
            "source": day.state.source(int(c["source"])), "move": int(c["move"]), "side": int(c["side"]), "price": int(c["price"]),
            "strength": number(c["strength"]), "volume_ratio": number(c["volume_ratio"]), "rz": number(c["rz"]),
            "score": score_of(c), "verdict": verdict(c), "reason": REASONS[c["reason"]] if c["level"] else "",
            "measured": number(c["measured"]), "limit": number(c["limit"]), "gate": gate_of(seen)}


def gate_of(seen: Seen) -> str:
    """Why the gate refused a candidate that passed the rules; empty: it did not, or was not asked."""
    return "" if seen.gate is None or seen.gate["reason"] == PASS else str(REASONS[seen.gate["reason"]])


def candidates(day: Day, before: int = 0, limit: int = 200, symbol: str = "", reason: str = "", outcome: str = "",
               source: str = "") -> dict[str, Any]:
    """The newest `limit` candidates before number `before` (0: all) that are of these; `total` of them in the day."""
    found: list[dict[str, Any]] = []
    total = 0
    for name in reversed(day.candidates):
        c = day.candidates[name].last
        if symbol and day.state.symbol(int(c["inst"])) != symbol:
            continue
        if outcome and verdict(c) != outcome:
            continue
        if source and day.state.source(int(c["source"])) != source:
            continue
        if reason and reason not in (REASONS[c["reason"]] if c["level"] else "", gate_of(day.candidates[name])):
            continue
        total += 1
        if len(found) < limit and (not before or name < before):
            found.append(candidate(day, name))
    return {"total": total, "rows": found}


# ---- orders and trades -------------------------------------------------------------------------------------------------
def order(day: Day, number_: int) -> dict[str, Any]:
    asked = day.orders[number_]
    i, candidate_ = asked.last, int(asked.placed["candidate"])
    request = asked.placed if i["kind"] == INTENT_CANCEL else i
    return {"id": number_, "t_us": asked.now // 1000, "inst": int(i["inst"]), "symbol": day.state.symbol(int(i["inst"])),
            "candidate": candidate_, "source": day.source_of(candidate_), "role": ROLES[i["role"]], "side": int(i["side"]),
            "type": ORDER_TYPES[request["order_type"]], "why": WHYS[i["why"]], "quantity": int(request["quantity"]),
            "price": int(request["price"]), "trigger": int(request["trigger"]), "filled": asked.filled,
            "average": asked.value / asked.filled if asked.filled else None, "status": asked.status, "order_id": asked.order_id,
            "latency_ms": asked.latency / 1e6 if asked.latency else None}


def orders(day: Day, before: int = 0, limit: int = 200) -> dict[str, Any]:
    wanted = [name for name in reversed(day.orders) if not before or name < before][:limit]
    return {"total": len(day.orders), "rows": [order(day, name) for name in wanted]}


def trade(day: Day, at: int, one: Trade) -> dict[str, Any]:
    inst = day.state.symbols.index(one.symbol) if one.symbol in day.state.symbols else -1
    return {"n": at, "inst": inst, "symbol": one.symbol, "source": one.source, "candidate": one.candidate, "side": one.side,
            "quantity": one.quantity, "entered_us": one.entry_time // 1000,
            "exited_us": one.exit_time // 1000 if one.is_closed else None, "entry": one.entry_price,
            "exit": one.exit_price if one.is_closed else None, "gross": one.gross, "charges": one.charges, "net": one.net,
            "exit_why": one.reason, "strength": number(one.strength), "score": number(one.score)}


def trades(day: Day) -> dict[str, Any]:
    return {"rows": [trade(day, at, one) for at, one in enumerate(day.trades, 1)]}


# ---- instruments and candles -------------------------------------------------------------------------------------------
def instruments(day: Day, before: np.ndarray, sectors: Sequence[str]) -> dict[str, list[Any]]:
    """What is static for the day, by column; `before`: closes of the day before, paise."""
    table = day.instruments
    return {"symbol": [text(v) for v in table["symbol"]], "key": [text(v) for v in table["key"]],
            "kind": [KINDS[kind] for kind in table["kind"]],
            "sector": [sectors[s] if 0 <= s < len(sectors) else "" for s in table["sector"]],
            **{name: table[name].tolist() for name in ("tick", "lot", "lower_band", "upper_band", "strike", "right")},
            "under": [int(u) if u < len(table) else -1 for u in table["under"]],
            "expiry": [day_of(int(d)).isoformat() if d > 0 else "" for d in table["expiry"]],
            "tradable": (table["tradable"] != 0).tolist(), "previous_close": before.tolist()}


def candles(day: Day, inst: int, minutes: np.ndarray, step: int, now: int, with_history: bool = True) -> dict[str, Any]:
    """History and `minutes` (quotes.CANDLE) of one instrument in candles of `step` minutes, counted from 09:15 of each day;
    `closed` of them are over at `now` (ns)."""
    old = [bars[bars["inst"] == inst] for bars in day.history] if with_history else []
    names = ("minute", "open", "high", "low", "close", "volume", "flags")
    columns = {name: np.concatenate([*(part[name].astype(np.int64) for part in old), minutes[name]]) for name in names}
    columns = {name: column[np.argsort(columns["minute"], kind="stable")] for name, column in columns.items()} if old else columns
    start = columns["minute"]
    if step > 1 and len(start):
        start = start - (start - OPEN_UTC) % step
    at = np.flatnonzero(np.diff(start, prepend=-1)) if len(start) else np.zeros(0, int)
    last = np.append(at[1:], len(start)) - 1
    if not len(at):
        return {"t": [], "o": [], "h": [], "l": [], "c": [], "v": [], "flags": [], "closed": 0}
    return {"t": (start[at] * 60).tolist(), "o": columns["open"][at].tolist(),
            "h": np.maximum.reduceat(columns["high"], at).tolist(), "l": np.minimum.reduceat(columns["low"], at).tolist(),
            "c": columns["close"][last].tolist(), "v": np.add.reduceat(columns["volume"], at).tolist(),
            "flags": np.bitwise_or.reduceat(columns["flags"], at).tolist(),
            "closed": int(((start[at] + step) * MINUTE <= now).sum())}


def marks(day: Day, inst: int) -> dict[str, Any]:
    """What is drawn on the candles of one instrument: its candidates, fills, and the levels of its position as they changed."""
    found = day.levels.get(inst, [])
    ends = [*(now for now, _ in found[1:]), None][:len(found)]
    return {
        "candidates": [candidate(day, name) for name, seen in day.candidates.items() if seen.last["inst"] == inst],
        "fills": [{"t_us": now // 1000, "side": int(f["side"]), "role": ROLES[f["role"]], "price": int(f["price"]),
                   "quantity": int(f["quantity"]), "candidate": int(f["candidate"]), "intent": int(f["intent"]),
                   "why": WHYS[day.orders[int(f["intent"])].last["why"]] if int(f["intent"]) in day.orders else ""}
                  for now, f in day.fills if f["inst"] == inst],
        "levels": [{"t_us": now // 1000, "until_us": None if end is None else end // 1000, "stop": int(p["stop"]),
                    "target": int(p["target"]), "average": int(p["average"]), "quantity": int(p["quantity"]),
                    "state": POSITION_STATES[p["state"]]} for (now, p), end in zip(found, ends, strict=True)]}


# ---- feed, gaps, latency, log ------------------------------------------------------------------------------------------
def gap_counts(day: Day) -> dict[str, Any]:
    return {"total": len(day.state.gaps), "by_kind": dict(Counter(GAPS[g["kind"]] for g in day.state.gaps))}


def gaps(day: Day, limit: int = 500) -> dict[str, Any]:
    """The newest rows of the gap ledger."""
    return gap_counts(day) | {"rows": [
        {"begin_us": int(g["begin"]) // 1000, "end_us": int(g["end"]) // 1000, "symbol": day.state.symbol(int(g["inst"])),
         "kind": GAPS[g["kind"]], "seconds": (int(g["end"]) - int(g["begin"])) / 1e9, "volume": int(g["volume"]),
         "measured": number(g["measured"]), "limit": number(g["limit"])} for g in reversed(day.state.gaps[-limit:])]}


def links(day: Day) -> list[dict[str, Any]]:
    return [{"t_us": now // 1000, "which": "feed" if row["which"] == STREAM_FEED else "orders", "up": bool(row["up"]),
             "code": int(row["code"])} for now, row in day.links[-200:]]


EDGES_NS = [int(edge) for edge in np.unique(np.round(np.geomspace(500, 2e9, 67)))]
"""Bounds of the latency histograms, ten to a decade; the last bin has all that took longer, too."""


def latency(day: Day) -> dict[str, Any]:
    """A histogram of each stage from a frame's receipt on (those with a candidate), and of requests to their answers; ns."""
    stages = {name: np.array([row[name] for row in day.timings], np.int64) for name in ("decoded", "scored", "decided", "done")}
    stages["order"] = np.array(day.answers, np.int64)
    out = {}
    for name, values in stages.items():
        values = values[values > 0]
        shares = np.percentile(values, (50, 99, 99.9)).tolist() if len(values) else [None] * 3
        counts = np.histogram(np.minimum(values, EDGES_NS[-1]), [0, *EDGES_NS])[0]
        out[name] = {"edges_ns": EDGES_NS, "counts": counts.tolist(), "n": len(values),
                     "p50": shares[0], "p99": shares[1], "p999": shares[2], "max": int(values.max()) if len(values) else None}
    return {"stages": out}


def log(day: Day, before: int = 0, limit: int = 300, kind: str = "", words: str = "") -> dict[str, Any]:
    """The newest lines of the log before sequence `before` (0: all) that are of `kind` and hold `words`, in any case."""
    out: list[dict[str, Any]] = []
    for seq, event in reversed(day.log):
        if (not before or seq < before) and (not kind or event.log == kind) and words.lower() in event.text.lower():
            out.append(line(seq, event))
            if len(out) == limit:
                break
    return {"rows": out}


def line(seq: int, event: Any) -> dict[str, Any]:
    return {"seq": seq, "t_us": event.now // 1000, "kind": event.log, "name": event.name, "text": " ".join(event.text.split())}


def equity(day: Day, points: Sequence[tuple[int, int, int, int]]) -> dict[str, list[int]]:
    """Columns of `points` (ns, realised, open, charges): net and what it lies below its best so far."""
    table = np.array(points, np.int64).reshape(-1, 4)
    net = table[:, 1] + table[:, 2] - table[:, 3]
    best = np.maximum.accumulate(np.maximum(net, 0)) if len(net) else net
    return {"t_us": (table[:, 0] // 1000).tolist(), "realised": table[:, 1].tolist(), "open": table[:, 2].tolist(),
            "charges": table[:, 3].tolist(), "net": net.tolist(), "drawdown": (best - net).tolist()}


def option_chain(day: Day, shown: np.ndarray, view: dict[str, Any], under: int) -> dict[str, Any]:
    """The options of one underlying by strike and expiry: quotes, open interest, volatility and Greeks; `view`: Chains.view."""
    table = day.instruments
    by_strike: dict[tuple[str, int], dict[str, Any]] = {}
    for inst, option in view["contracts"].items():
        row, quote, greeks = table[inst], shown[inst], option["greeks"]
        side = {"inst": int(inst), "symbol": text(row["symbol"]), "ltp": int(quote["ltp"]), "bid": int(quote["bid"]),
                "ask": int(quote["ask"]), "volume": int(quote["volume"]), "oi": number(option["open_interest"]),
                "iv": number(option["iv"]) if option["iv"] else None, "seen_us": option["seen"] // 1000 or None,
                **{name: number(greeks[name]) if option["seen"] else None for name in ("delta", "gamma", "theta", "vega", "rho")}}
        place = day_of(int(row["expiry"])).isoformat(), int(row["strike"])
        by_strike.setdefault(place, {"expiry": place[0], "strike": place[1], "call": None, "put": None})[
            "call" if option["right"] > 0 else "put"] = side
    rows = [by_strike[place] for place in sorted(by_strike)]
    return {"symbol": day.state.symbol(under), "spot": int(shown[under]["ltp"]),
            "atm_iv": number(view["iv"]) if view["iv"] else None, "pcr": None if view["pcr"] is None else number(view["pcr"]),
            "rows": rows,
            "expiries": sorted({row["expiry"] for row in rows})}
