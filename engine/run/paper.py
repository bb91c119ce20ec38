"""The engine's own matching behind the shell: what is decided goes to the venue, what the venue says comes back, when it is due.

All of it is a function of the records that came in and their times: nothing here looks at a clock. So a paper day on the live feed,
a backtest, and a day made again from its journal have the same orders, and a day that was cut off is taken up where it stood.
"""
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from _ext.core.records import INTENT_CANCEL, INTENT_PLACE, REC_FRAME, REC_STOP
from _ext.entrance import Core
from _ext.trade.venue import PaperVenue
from engine.broker.base import Broker, OrderRow, PositionRow
from engine.broker.paper import protocol
from engine.broker.paper.protocol import Reply
from engine.run.opening import ENGINE_ID
from engine.run.shell import Send, Shell

MESSAGE_NS = 8_000_000             # from the exchange to the order stream
TIMER_NS = RETRY_NS = 250_000_000  # of virtual time; until the budget of a second is tried again
NEVER = (1 << 63) - 1
ARRIVE, ANSWER, MESSAGE, RETRY = range(4)
"""What happens first of what happens at the same time."""


class Paper:
    """Core, shell and venue. `nonces` of the engine's lives so far, the last of them this one.

    Whoever drives the core calls `act` after each input but a timer, `on_timer` after each timer, and, where it can, feeds a timer
    when `due` is reached. `broker` reads quotes in the language of the one whose feed it is.
    """

    def __init__(self, core: Core, venue: PaperVenue, nonces: Sequence[str], note: Callable[[str], Any] = lambda text: None,
                 folder: Path | None = None, broker: Broker = protocol):
        self.core, self.venue, self.note, self.folder, self.broker = core, venue, note, folder, broker
        core.venue = venue
        self.at = 0                                            # of what happens between two records, ns
        self.events: list[tuple[int, int, int, Any]] = []      # due ns, kind, sequence, what
        self.sequence = 0
        self.attempts: Counter[tuple[int, int]] = Counter()
        self.tags: dict[int, str] = {}
        self.begin_life(nonces)

    def begin_life(self, nonces: Sequence[str]) -> None:
        """A process begins, or goes on after one that was cut off: what had left has arrived, answers under way are lost, and the
        venue's orders and positions are read."""
        under_way, self.events = sorted(self.events), []
        for _, kind, _, what in under_way:
            if kind == ARRIVE:
                self._arrive(what[0])
        self.venue.take_updates()
        self.shell = Shell(self.broker, self.core, ENGINE_ID, nonces, self.clock, is_fresh=len(nonces) == 1, note=self.note,
                           reads=False, folder=self.folder, shown=(self.book(), self.positions()))

    def clock(self) -> int:
        """Time of what is fed, ns: that of the last record, or later where a driver says so."""
        return int(max(self.at, self.core.now))

    @property
    def due(self) -> int:
        """When something happens next, ns; NEVER: nothing is under way."""
        return self.events[0][0] if self.events else NEVER

    # ---- what drives it ------------------------------------------------------------------------------------------------
    def act(self) -> None:
        """Hands over what the last record decided."""
        if self.core.has_intents:
            self.send()

    def on_timer(self) -> None:
        """After a timer that stands in the journal: all that is due by now happens, at the time of the timer."""
        if self.core.has_intents or self.venue.n_updates:
            self.send()
        while self.events and self.events[0][0] <= self.core.now:
            self.event()

    def event(self) -> None:
        """The next of what is under way happens, and what follows from it leaves."""
        due, kind, _, what = heapq.heappop(self.events)
        if kind == ARRIVE:
            send, sent, back = what
            reply = self._arrive(send)
            self._push(max(due, self.core.now) + back, ANSWER, (send, reply, sent))
        elif kind == ANSWER:
            send, reply, sent = what
            self.shell.on_reply(send, 200, reply, self.clock() - sent)
        elif kind == MESSAGE:
            self.shell.on_message(what)
        self.send()

    def send(self) -> None:
        """Hands requests to the venue, and what the venue says to the shell, each when it arrives."""
        for send in self.shell.take():
            number, kind = int(send.intent["id"]), int(send.intent["kind"])
            out, back = self.venue.latency(number, kind, self.attempts[number, kind])
            self.attempts[number, kind] += 1
            self._push(self.core.now + out, ARRIVE, (send, self.core.now, back))
        if self.shell.outgoing and not any(kind == RETRY for _, kind, _, _ in self.events):
            self._push(self.core.now + RETRY_NS, RETRY, None)
        if self.venue.n_updates:
            for now, order_id, order in self.venue.take_updates():
                self._push(now + MESSAGE_NS, MESSAGE, self._row(order_id, order))

    def _push(self, due: int, kind: int, what: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (due, kind, self.sequence, what))

    # ---- the venue -----------------------------------------------------------------------------------------------------
    def _arrive(self, send: Send) -> Reply:
        """A request reaches the venue."""
        intent, venue = send.intent, self.venue
        number, kind, order_id = int(intent["id"]), int(intent["kind"]), bytes(intent["order_id"])
        terms = int(intent["order_type"]), int(intent["quantity"]), int(intent["price"]), int(intent["trigger"])
        if kind == INTENT_PLACE:
            assert isinstance(send.request.body, dict)
            self.tags[number] = send.request.body["tag"]
            refused = venue.place(number, int(intent["inst"]), int(intent["side"]), *terms, self.clock())
        elif kind == INTENT_CANCEL:
            refused = venue.cancel(order_id, self.clock())
        else:
            refused = venue.modify(order_id, *terms, self.clock())
        return Reply(venue.order_id_of(number), refused)

    def _row(self, order_id: str, order: dict[str, Any]) -> OrderRow:
        return OrderRow(
            name=order_id, order_id=order_id.encode(), tag=self.tags[order["id"]], key=self._key(order["inst"]),
            status=order["status"], side=order["side"], order_type=order["order_type"], quantity=order["quantity"],
            filled=order["filled"], value=order["value"], price=order["price"], trigger=order["trigger"])

    def _key(self, inst: int) -> str:
        return str(self.core.instrument(inst)["key"].rstrip(b"\0").decode())

    def book(self) -> list[OrderRow]:
        """Every order of the day as it stands."""
        return [self._row(order_id, order) for order_id, order in self.venue.orders_now()]

    def positions(self) -> list[PositionRow]:
        """What the orders have made, by instrument."""
        held: Counter[int] = Counter()
        for _, order in self.venue.orders_now():
            held[order["inst"]] += order["side"] * order["filled"]
        return [PositionRow(self._key(inst), quantity) for inst, quantity in sorted(held.items())]


def drive(paper: Paper, frames: Iterable[tuple[int, Any, bytes]], each: Callable[[int], bool]) -> None:
    """A day on virtual time: `frames` are (receipt ms, rows, frame) in order, timers come each quarter of a second. `each(now)` is
    called about every market second; where it answers False the day ends. The last record is REC_STOP."""
    core, timer, ticks = paper.core, 0, 0
    for at_ms, _, frame in frames:
        now = at_ms * 1_000_000
        timer = timer or now + TIMER_NS
        while timer <= now:
            if paper.shell.on_timer(timer):
                paper.on_timer()
            timer += TIMER_NS
            ticks += 1
            if ticks % 4 == 0 and not each(timer):
                core.feed(REC_STOP, core.now)
                return
        if core.feed(REC_FRAME, now, frame) == 0:
            return
        paper.act()
    core.feed(REC_STOP, core.now)
