"""Journal records as one-line events for people: the terminal view, the plain lines and the log files use the same."""
import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    GAPS,
    OPERATIONS,
    OPERATOR_STATES,
    ORDER_STATES,
    ORDER_TYPES,
    OUTCOME_DONE,
    OUTCOMES,
    PAYLOADS,
    REC_BANDS,
    REC_CANDIDATE,
    REC_FEED_NOTE,
    REC_FILL,
    REC_GAP,
    REC_GATE,
    REC_INTENT,
    REC_LINK,
    REC_OPERATION,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_STATE,
    REC_STRATEGY_OFF,
    REC_VERDICT,
    REQUESTS,
    ROLE_BROKER,
    ROLE_ENTRY,
    ROLES,
    STATE_ALARM,
    STATE_TRADING,
    STREAM_FEED,
    TRADING_STATES,
    WHYS,
)
from engine.market.sessions import IST
from engine.watch.state import RunState


@dataclass(frozen=True, slots=True)
class Event:
    """`log` names the file it belongs to: trading, signals, feed or errors."""
    log: str
    now: int
    name: str
    text: str
    fields: dict[str, Any]


class EventFormatter:
    """Turns records into events; `state` is the run's after each of them: its own, or one that is given."""

    def __init__(self, state: RunState | None = None) -> None:
        self.state = state or RunState(has_ledger=False)
        self.symbol = self.state.symbol

    def event(self, kind: int, seq: int, now: int, payload: bytes) -> Event | None:
        """The event of one record, or None where there is nothing to say (frames, timers)."""
        self.state.take(kind, payload)
        return self.words(kind, seq, now, payload)

    def words(self, kind: int, seq: int, now: int, payload: bytes) -> Event | None:
        """Likewise, of a record that was taken before."""
        if kind == REC_STRATEGY_OFF:
            told = orjson.loads(payload)
            return Event("errors", now, "strategy", f"STRATEGY OFF: {told['name']} at its call {told['call']:,}: {told['reason']}",
                         told | {"seq": seq})
        method = {REC_CANDIDATE: self._candidate, REC_VERDICT: self._candidate, REC_GATE: self._gate, REC_INTENT: self._intent,
                  REC_FILL: self._fill, REC_POSITION: self._position, REC_STATE: self._state, REC_FEED_NOTE: self._gap,
                  REC_GAP: self._gap, REC_REPLY: self._reply, REC_LINK: self._link, REC_BANDS: self._band,
                  REC_OPERATION: self._operation}.get(kind)
        if method is None:
            return None
        rows = np.frombuffer(payload, PAYLOADS[kind])
        if kind == REC_BANDS and len(rows) > 1:                      # of all names after the open, not a line each
            return Event("trading", now, "bands", f"price bands of {len(rows)} names", {"seq": seq})
        row = rows[0]
        return method(kind, now, row, plain(row) | {"seq": seq})

    def _candidate(self, kind: int, now: int, c: np.void, fields: dict[str, Any]) -> Event | None:
        if kind == REC_CANDIDATE and c["level"] == 1:
            return None                                   # its verdict follows
        arrow = "up" if c["move"] > 0 else "down"
        reason = REASONS[c["reason"]]
        word = "watched" if c["level"] == 0 else "PASSED" if c["reason"] == PASS else "refused"
        score = c["score_next"] if c["score_next"] == c["score_next"] else c["score"]
        text = (f"{self.symbol(c['inst']):<12} {arrow:<4} {c['price'] / 100:>10.2f}  strength {c['strength']:.2f}  "
                f"volume x{c['volume_ratio']:.1f}  move {c['rz']:+.1f} sd  score {score:.2f}  {word}"
                + (f": {reason} ({c['measured']:.3g} against {c['limit']:.3g})" if c["reason"] and c["level"] else "")
                + (f"  [{self.state.source(int(c['source']))}]" if len(self.state.sources) > 1 else ""))
        return Event("signals", now, "candidate", text, fields | {"symbol": self.symbol(c["inst"]), "reason": reason})

    def _gate(self, kind: int, now: int, g: np.void, fields: dict[str, Any]) -> Event | None:
        if g["is_exit"]:
            return None
        reason = REASONS[g["reason"]]
        text = f"{self.symbol(g['inst']):<12} gate: {reason}" + (
            f" ({g['measured']:.4g} against {g['limit']:.4g})" if g["reason"] else f", {g['quantity']} at {g['price'] / 100:.2f}")
        return Event("trading", now, "gate", text, fields | {"symbol": self.symbol(g["inst"]), "reason": reason})

    def _intent(self, kind: int, now: int, i: np.void, fields: dict[str, Any]) -> Event:
        what = REQUESTS[i["kind"]]
        text = (f"{self.symbol(i['inst']):<12} {what} {ROLES[i['role']]} "
                f"{'BUY' if i['side'] > 0 else 'SELL'} {i['quantity']} {ORDER_TYPES[i['order_type']]} "
                f"{i['price'] / 100:.2f}" + (f" trigger {i['trigger'] / 100:.2f}" if i["trigger"] else "")
                + f" ({WHYS[i['why']]})")
        return Event("trading", now, "intent", text, fields | {"symbol": self.symbol(i["inst"])})

    def _fill(self, kind: int, now: int, f: np.void, fields: dict[str, Any]) -> Event:
        did = f"FILL {'bought' if f['side'] > 0 else 'sold'} {f['quantity']} at"
        what = did if f["quantity"] else "the price told late: order at"
        text = (f"{self.symbol(f['inst']):<12} {what} {f['price'] / 100:.2f}, charges {f['charges'] / 100:.2f}"
                + (f", realised {f['realised'] / 100:+.2f}" if f["role"] != ROLE_ENTRY else "")
                + (" (not by an order of ours)" if f["role"] == ROLE_BROKER else ""))
        return Event("trading", now, "fill", text, fields | {"symbol": self.symbol(f["inst"])})

    def _band(self, kind: int, now: int, b: np.void, fields: dict[str, Any]) -> Event:
        text = f"{self.symbol(b['inst']):<12} price band {b['lower'] / 100:.2f} to {b['upper'] / 100:.2f}"
        return Event("trading", now, "band", text, fields | {"symbol": self.symbol(b["inst"])})

    def _position(self, kind: int, now: int, p: np.void, fields: dict[str, Any]) -> Event | None:
        return None if p["state"] else Event(
            "trading", now, "position", f"{self.symbol(p['inst']):<12} no position, day {p['realised'] / 100:+.2f}", fields)

    def _state(self, kind: int, now: int, s: np.void, fields: dict[str, Any]) -> Event:
        reason = REASONS[s["reason"]]
        if s["what"] == STATE_ALARM:
            return Event("errors", now, "alarm", f"ALARM: {reason} ({s['now_is']})", fields | {"reason": reason})
        if s["what"] == STATE_TRADING:
            text = f"trading state: {TRADING_STATES[s['was']]} -> {TRADING_STATES[s['now_is']]}: {reason}"
            return Event("errors", now, "state", text, fields | {"reason": reason})
        return Event("trading", now, "state", f"operator: {OPERATOR_STATES[s['was']]} -> {OPERATOR_STATES[s['now_is']]}", fields)

    def _operation(self, kind: int, now: int, o: np.void, fields: dict[str, Any]) -> Event:
        argument = o["argument"].decode(errors="replace")
        return Event("trading", now, "operation", f"{o['who'].decode(errors='replace')} asks: {OPERATIONS[o['kind']]}"
                     + (f" {argument}" if argument else ""), fields)

    def _reply(self, kind: int, now: int, r: np.void, fields: dict[str, Any]) -> Event | None:
        if r["outcome"] == OUTCOME_DONE:
            return None
        text = f"order {r['intent']}: {OUTCOMES[r['outcome']]} ({r['code']} {r['error'].decode()})"
        return Event("errors", now, "reply", text, fields)

    def _gap(self, kind: int, now: int, g: np.void, fields: dict[str, Any]) -> Event | None:
        word = GAPS[g["kind"]]
        if word in ("silence", "filled", "jump", "pause"):          # many at once: they stand in the table gaps
            return None
        name = self.symbol(g["inst"])
        lasted = f", {(g['end'] - g['begin']) / 1e9:.1f} s from {clock(int(g['begin']))}" if g["end"] > g["begin"] else ""
        return Event("feed", now, "gap", f"{name:<12} {word} ({g['measured']:.4g}{lasted})", fields | {"kind": word})

    def _link(self, kind: int, now: int, link: np.void, fields: dict[str, Any]) -> Event:
        which = "feed" if link["which"] == STREAM_FEED else "order stream"
        return Event("feed", now, "link", f"{which} {'up' if link['up'] else 'down'}", fields)


def answered(kind: int, row: np.void) -> str:
    """What the broker said of an order, in a reply or an update."""
    number, order_id = int(row["intent"]), row["order_id"].decode(errors="replace")
    if kind == REC_ORDER_UPDATE:
        price = int(row["value"]) / int(row["filled"]) / 100 if row["filled"] else 0.0
        return f"order {number}: {ORDER_STATES[row['status']]}" + (f", {row['filled']} filled at {price:.2f}" if price else "")
    return (f"order {number}: {OUTCOMES[row['outcome']]} in {row['latency'] / 1e6:.0f} ms"
            + (f", the broker's id {order_id}" if order_id else "")
            + (f", {row['error'].decode(errors='replace')}" if row["error"] else ""))


def plain(row: np.void) -> dict[str, Any]:
    """A record's fields as JSON types."""
    out: dict[str, Any] = {}
    for name in row.dtype.names or ():
        value = row[name]
        out[name] = (value.decode(errors="replace") if isinstance(value, bytes)
                     else value.tolist() if isinstance(value, np.ndarray) else value.item())
    return out


def clock(ns: int) -> str:
    """Time of day in India."""
    return dt.datetime.fromtimestamp(ns / 1e9, IST).strftime("%H:%M:%S") if ns else "--:--:--"
