"""A day as the page shows it: the read model of its run, and every candidate with its chain, order, fill, gap and figure beside it.

`take` each record in turn, frames and timers left out. Nothing here needs ClickHouse. Money in paise, times in ns.
"""
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import MINUTE, day_of_minutes
from _ext.core.records import (
    INSTRUMENT,
    INTENT_PLACE,
    ORDER_STATES,
    OUTCOME_REFUSED,
    PAYLOADS,
    REC_BARS,
    REC_BOOT,
    REC_CANDIDATE,
    REC_DATA,
    REC_FILL,
    REC_FUNDS,
    REC_GATE,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_LINK,
    REC_MODEL,
    REC_OPERATOR,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_SHADOW,
    REC_START,
    REC_STATE,
    REC_TIMING,
    REC_VERDICT,
    STATE_TRADING,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_REJECTED,
    STREAM_FEED,
    WARM_BAR,
)
from engine.watch.events import Event, EventFormatter
from engine.watch.state import Record, RunState
from engine.watch.trades import KEPT, Trade, trades_of

OVER = (STATUS_COMPLETE, STATUS_CANCELLED, STATUS_REJECTED)
TRADED = frozenset(KEPT) - {REC_CANDIDATE, REC_VERDICT, REC_GATE}
"""Records that trades are made of; of candidates only those are looked at that something was bought for."""
LOG_KEPT = 20_000
"""Lines of the log that are kept; the files have all."""
Chained = tuple[int, int, int, bytes]
"""Type, sequence, now and payload of a record that belongs to a candidate."""


@dataclass(slots=True)
class Seen:
    """One candidate: as it was at its tick, as it was decided (the same until then), and what followed."""
    first: np.void
    last: np.void
    now: int
    chain: list[Chained] = field(default_factory=list)
    gate: np.void | None = None        # what the gate said of an entry


@dataclass(slots=True)
class Asked:
    """One of our orders, as it was asked for last and what the broker said of it."""
    placed: np.void
    last: np.void
    now: int
    status: str = ""
    order_id: str = ""
    filled: int = 0
    value: int = 0                     # paise x quantity
    latency: int = 0                   # ns, of the first answer
    is_over: bool = False              # the broker has said how it ended
    chain: list[Chained] = field(default_factory=list)


class Day:
    """Folds a run's records. `latest` is the time of the last one."""

    def __init__(self) -> None:
        self.state = RunState()
        self.formatter = EventFormatter(self.state)
        self.start: dict[str, Any] = {}
        self.began = self.latest = self.sequence = 0
        self.instruments = np.zeros(0, INSTRUMENT)
        self.history: list[np.ndarray] = []            # WARM_BAR
        self.candidates: dict[int, Seen] = {}
        self.orders: dict[int, Asked] = {}
        self.fills: list[tuple[int, np.void]] = []
        self.levels: dict[int, list[tuple[int, np.void]]] = {}       # of a name's position, as they changed
        self.log: deque[tuple[int, Event]] = deque(maxlen=LOG_KEPT)
        self.timings: list[np.void] = []
        self.answers: list[int] = []                   # ns from a request to its answer
        self.links: list[tuple[int, np.void]] = []
        self.models: list[tuple[int, np.void]] = []
        self.is_whatif = False                         # its frames stand in the run it was made from
        self.is_of_rows = False                        # a day file stands for its frames
        self.lives: list[int] = []                     # now of each restart
        self.funds = 0                                 # paise, at the day's start
        self.operator = self.trading = 0
        self.is_up = [False, False]                    # feed, order stream
        self.kept: list[tuple[int, int, bytes]] = []
        self.changed: set[int] = set()                 # candidates, and orders, since somebody looked last
        self.changed_orders: set[int] = set()
        self._before = np.zeros(0, np.int64)
        self._trades: tuple[int, list[Trade]] = (-1, [])
        self._of = {REC_START: self._start, REC_INSTRUMENTS: self._instruments, REC_BARS: self._bars, REC_BOOT: self._boot,
                    REC_DATA: self._data, REC_FUNDS: self._funds, REC_CANDIDATE: self._candidate, REC_VERDICT: self._verdict,
                    REC_GATE: self._chained, REC_INTENT: self._intent, REC_REPLY: self._reply, REC_ORDER_UPDATE: self._update,
                    REC_FILL: self._fill, REC_POSITION: self._position, REC_TIMING: self._timing, REC_SHADOW: self._chained,
                    REC_LINK: self._link, REC_MODEL: self._model, REC_OPERATOR: self._operator, REC_STATE: self._state}

    def take(self, kind: int, seq: int, now: int, payload: bytes) -> Event | None:
        """One record; the line of the log it makes."""
        self.latest, self.sequence = now, seq
        event = self.formatter.event(kind, seq, now, payload)
        if event is not None:
            self.log.append((seq, event))
        if kind in TRADED:
            self.kept.append((kind, now, payload))
        method = self._of.get(kind)
        if method is not None:
            method((kind, seq, now, payload))
        return event

    def take_all(self, records: Sequence[Record]) -> None:
        for record in records:
            self.take(*record)

    # ---- figures -------------------------------------------------------------------------------------------------------
    @property
    def trades(self) -> list[Trade]:
        """Positions of the day in order of entry, those still held among them."""
        if self._trades[0] != len(self.fills):
            day = str(self.start.get("day", ""))
            wanted = {int(fill["candidate"]) for _, fill in self.fills} & self.candidates.keys()
            facts = [(kind, at, payload) for number in wanted for kind, _, at, payload in self.candidates[number].chain
                     if kind in (REC_CANDIDATE, REC_VERDICT)]
            self._trades = len(self.fills), trades_of([*facts, *self.kept], day, self.state.symbols, self.state.sources)
        return self._trades[1]

    def source_of(self, candidate: int) -> str:
        """Name of the source of a candidate; empty where it is not known."""
        seen = self.candidates.get(candidate)
        return self.state.source(int(seen.last["source"])) if seen is not None else ""

    def closes(self, shown: np.ndarray) -> np.ndarray:
        """Close of each instrument before the day, paise: as the feed says it (in `shown`, board.SHOWN), else the history; 0: not
        known."""
        said = shown["before"]
        return np.where(said > 0, said, self.closes_of_history()[:len(said)])

    def closes_of_history(self) -> np.ndarray:
        """The same by the history alone."""
        if len(self._before) != len(self.instruments):
            self._before = self._last_closes()
        return self._before

    def _last_closes(self) -> np.ndarray:
        out = np.zeros(len(self.instruments), np.int64)
        for bars in self.history:
            old = bars[day_of_minutes(bars["minute"]) < day_of_minutes(self.began // MINUTE)]
            out[old["inst"]] = old["close"]
        return out

    # ---- records -------------------------------------------------------------------------------------------------------
    def _start(self, record: Chained) -> None:
        self.start, self.began = orjson.loads(record[3]), record[2]
        self.is_whatif = "inputs" in self.start

    def _instruments(self, record: Chained) -> None:
        self.instruments = np.concatenate([self.instruments, np.frombuffer(record[3], INSTRUMENT)])

    def _bars(self, record: Chained) -> None:
        self.history.append(np.frombuffer(record[3], WARM_BAR))

    def _boot(self, record: Chained) -> None:
        self.lives.append(record[2])

    def _data(self, record: Chained) -> None:
        self.is_of_rows = True

    def _funds(self, record: Chained) -> None:
        self.funds = int(_row(record)["at_day_start"])

    def _candidate(self, record: Chained) -> None:
        row = _row(record)
        self.candidates[int(row["id"])] = Seen(row, row, record[2], [record])
        self.changed.add(int(row["id"]))

    def _verdict(self, record: Chained) -> None:
        row = _row(record)
        seen = self.candidates.setdefault(int(row["id"]), Seen(row, row, record[2]))
        seen.last = row
        self.changed.add(int(row["id"]))
        seen.chain.append(record)

    def _chained(self, record: Chained) -> None:
        """What belongs to a candidate and to no order yet."""
        row = _row(record)
        seen = self.candidates.get(int(row["candidate"]))
        if seen is not None:
            seen.chain.append(record)
            if record[0] == REC_GATE and not row["is_exit"]:
                seen.gate = row
                self.changed.add(int(row["candidate"]))

    def _intent(self, record: Chained) -> None:
        row = _row(record)
        asked = self.orders.setdefault(int(row["id"]), Asked(row, row, record[2], "sent"))
        asked.last = row
        self._follow(asked, record)

    def _reply(self, record: Chained) -> None:
        row = _row(record)
        self.answers.append(int(row["latency"]))
        asked = self.orders.get(int(row["intent"]))
        if asked is not None:
            asked.order_id = row["order_id"].decode(errors="replace") or asked.order_id
            asked.latency = asked.latency or int(row["latency"])
            if row["outcome"] == OUTCOME_REFUSED and row["kind"] == INTENT_PLACE:
                asked.status, asked.is_over = "refused", True
            self._follow(asked, record)

    def _update(self, record: Chained) -> None:
        row = _row(record)
        asked = self.orders.get(int(row["intent"]))
        if asked is not None:
            asked.status = ORDER_STATES[int(row["status"])]
            asked.is_over = int(row["status"]) in OVER
            asked.order_id = row["order_id"].decode(errors="replace") or asked.order_id
            if asked.chain[-1][3] != record[3]:                      # the book repeats what the stream said
                self._follow(asked, record)

    def _fill(self, record: Chained) -> None:
        row = _row(record)
        self.fills.append((record[2], row))
        asked = self.orders.get(int(row["intent"]))
        if asked is not None:
            asked.filled += int(row["quantity"])
            asked.value += int(row["quantity"]) * int(row["price"])
            self._follow(asked, record)
        else:
            self._chained(record)

    def _follow(self, asked: Asked, record: Chained) -> None:
        """A record of an order, and so of its candidate."""
        self.changed_orders.add(int(asked.placed["id"]))
        asked.chain.append(record)
        seen = self.candidates.get(int(asked.placed["candidate"]))
        if seen is not None:
            seen.chain.append(record)

    def _position(self, record: Chained) -> None:
        row = _row(record)
        self.levels.setdefault(int(row["inst"]), []).append((record[2], row))

    def _timing(self, record: Chained) -> None:
        self.timings.append(_row(record))
        self._chained(record)

    def _link(self, record: Chained) -> None:
        row = _row(record)
        self.links.append((record[2], row))
        self.is_up[0 if row["which"] == STREAM_FEED else 1] = bool(row["up"])

    def _model(self, record: Chained) -> None:
        self.models.append((record[2], _row(record)))

    def _operator(self, record: Chained) -> None:
        self.operator = int(_row(record)["state"])

    def _state(self, record: Chained) -> None:
        row = _row(record)
        if row["what"] == STATE_TRADING:
            self.trading = int(row["now_is"])


def _row(record: Chained) -> Any:
    return np.frombuffer(record[3], PAYLOADS[record[0]])[0]
