"""The read model of a run: what its journal has come to, folded record by record. View, logs, report, explain and the gap ledger
show what stands here; none of them folds on its own.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from _ext.core.reasons import REASONS
from _ext.core.records import (
    FILL,
    GAP,
    INSTRUMENT,
    INTENT,
    INTENT_CANCEL,
    ORDER_UPDATE,
    POSITION,
    REC_FEED_NOTE,
    REC_FILL,
    REC_GAP,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_START,
    REC_STATE,
    REC_STRATEGY_OFF,
    REDUCING,
    REPLY,
    ROLE_BROKER,
    ROLE_ENTRY,
    ROLE_EXIT,
    STATE,
    STATE_ALARM,
    STATE_TRADING,
    TYPE_SL,
    WHYS,
)
from _ext.signals.source import names, statistics_of
from engine.market.instruments import NO_INST

Record = tuple[int, int, int, bytes]


@dataclass
class Order:
    """One of our orders as the journal has it; money in paise."""
    candidate: int
    inst: int
    side: int
    role: int
    order_id: str = ""
    filled: int = 0
    value: int = 0
    charges: int = 0
    why: str = ""
    rested: str = ""                  # why it was a stop, or a stop where it is
    is_stop: bool = False             # when it was last filled


@dataclass
class RunState:
    """`take` each record in turn; orders by their number, positions by the instrument's, money in paise. Who follows a run all day
    keeps no gap ledger: thousands of rows that nobody there looks at.
    """
    keys: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=lambda: ["spike"])
    statistics: list[Sequence[tuple[str, str]]] = field(default_factory=list)      # of its own, of each source
    stopped: dict[str, str] = field(default_factory=dict)      # strategy -> why it is not called any more
    orders: dict[int, Order] = field(default_factory=dict)
    positions: dict[int, np.void] = field(default_factory=dict)
    gaps: list[np.void] = field(default_factory=list)
    realised: int = 0
    broker_fills: int = 0
    alarms: dict[str, int] = field(default_factory=dict)
    reducing: list[str] = field(default_factory=list)
    has_ledger: bool = True

    def __post_init__(self) -> None:
        self._of = {REC_START: self._start, REC_INSTRUMENTS: self._instruments, REC_INTENT: self._intent, REC_REPLY: self._reply,
                    REC_ORDER_UPDATE: self._update, REC_FILL: self._fill, REC_POSITION: self._position, REC_STATE: self._state,
                    REC_GAP: self._gap, REC_FEED_NOTE: self._gap, REC_STRATEGY_OFF: self._strategy_off}

    @classmethod
    def after(cls, records: Iterable[Record]) -> "RunState":
        """The state after all of them."""
        state = cls()
        for kind, _, _, payload in records:
            state.take(kind, payload)
        return state

    def take(self, kind: int, payload: bytes) -> None:
        method = self._of.get(kind)
        if method is not None:                             # frames and timers say nothing here
            method(payload)

    # ---- names ---------------------------------------------------------------------------------------------------------
    def symbol(self, inst: int) -> str:
        """`feed` for the feed as a whole; by number where the instruments' record is missing from a damaged journal."""
        if inst == NO_INST:
            return "feed"
        return self.symbols[inst] if inst < len(self.symbols) else str(inst)

    def key(self, inst: int) -> str:
        """Empty where the instruments' record is missing."""
        return self.keys[inst] if inst < len(self.keys) else ""

    def source(self, number: int) -> str:
        """Name of the candidate source at this place of the configuration."""
        return self.sources[number] if number < len(self.sources) else str(number)

    def own(self, c: np.void) -> dict[str, float]:
        """The statistics a candidate's source added, by name and unit."""
        number = int(c["source"])
        described = self.statistics[number] if number < len(self.statistics) else ()
        return {f"{what} ({unit})": float(value) for (what, unit), value in zip(described, c["own"], strict=False)}

    # ---- sums ----------------------------------------------------------------------------------------------------------
    @property
    def charges(self) -> int:
        return sum(order.charges for order in self.orders.values())

    @property
    def entries(self) -> int:
        """Entry orders that were filled, at least in part."""
        return sum(order.role == ROLE_ENTRY and order.filled > 0 for order in self.orders.values())

    @property
    def exits(self) -> dict[str, int]:
        """Reason -> filled exit orders: why each was what it was when it filled, not what was still under way."""
        out: dict[str, int] = {}
        for order in self.orders.values():
            if order.role == ROLE_EXIT and order.filled:
                why = order.rested if order.is_stop and order.rested else order.why
                out[why] = out.get(why, 0) + 1
        return out

    # ---- records -------------------------------------------------------------------------------------------------------
    def _start(self, payload: bytes) -> None:
        entries = orjson.loads(payload).get("sources", ())
        self.sources = [entry["name"] for entry in entries]
        self.statistics = [statistics_of(entry) if "sha256" in entry or entry["name"] in names() else () for entry in entries]

    def _strategy_off(self, payload: bytes) -> None:
        told = orjson.loads(payload)
        self.stopped[told["name"]] = told["reason"]

    def _instruments(self, payload: bytes) -> None:
        rows = np.frombuffer(payload, INSTRUMENT)
        self.keys += [r["key"].decode() for r in rows]
        self.symbols += [r["symbol"].decode() for r in rows]

    def _intent(self, payload: bytes) -> None:
        i = _row(payload, INTENT)
        order = self.orders.setdefault(int(i["id"]), Order(int(i["candidate"]), int(i["inst"]), int(i["side"]), int(i["role"])))
        if i["kind"] != INTENT_CANCEL:
            order.why = WHYS[i["why"]]
            order.rested = order.why if i["order_type"] == TYPE_SL else order.rested

    def _reply(self, payload: bytes) -> None:
        r = _row(payload, REPLY)
        order = self.orders.get(int(r["intent"]))
        if order is not None and r["order_id"]:
            order.order_id = r["order_id"].decode()

    def _update(self, payload: bytes) -> None:
        u = _row(payload, ORDER_UPDATE)
        order = self.orders.get(int(u["intent"]))
        if order is not None:
            order.order_id = u["order_id"].decode() or order.order_id
            order.value = max(order.value, int(u["value"]))
            order.is_stop = u["order_type"] == TYPE_SL if u["filled"] else order.is_stop

    def _fill(self, payload: bytes) -> None:
        f = _row(payload, FILL)
        self.realised += int(f["realised"])
        self.broker_fills += f["role"] == ROLE_BROKER
        order = self.orders.get(int(f["intent"]))
        if order is not None:
            order.filled += int(f["quantity"])
            order.charges += int(f["charges"])

    def _position(self, payload: bytes) -> None:
        row = _row(payload, POSITION)
        self.positions[int(row["inst"])] = row

    def _state(self, payload: bytes) -> None:
        s = _row(payload, STATE)
        reason = REASONS[s["reason"]]
        if s["what"] == STATE_ALARM:
            self.alarms[reason] = self.alarms.get(reason, 0) + 1
        elif s["what"] == STATE_TRADING and s["now_is"] == REDUCING:
            self.reducing.append(reason)

    def _gap(self, payload: bytes) -> None:
        if self.has_ledger:
            self.gaps.append(_row(payload, GAP))


def _row(payload: bytes, dtype: np.dtype[Any]) -> Any:
    return np.frombuffer(payload, dtype)[0]
