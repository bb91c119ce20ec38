"""One day of a backtest: rows of a day file through the core, its orders to the engine's own matching, on virtual time.

The core runs its compiled loop over the rows; this module is called where requests leave, where an answer is due, and once a market
minute. Between core and venue stands the shell that trades live (`engine/run/shell.py`).
"""
import heapq
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _ext.core.clock import SECOND
from _ext.core.records import INTENT_CANCEL, INTENT_PLACE, REC_STOP
from _ext.entrance import ROWS_ATTENTION, ROWS_FULL, ROWS_OVER, Core
from _ext.trade.venue import PaperVenue
from engine.broker.base import OrderRow
from engine.broker.paper import protocol
from engine.broker.paper.protocol import Reply
from engine.run.opening import ENGINE_ID
from engine.run.shell import Send, Shell

TIMER_NS = SECOND // 4
MESSAGE_NS = 8_000_000             # from the exchange to the order stream
MILLI = 1_000_000
LOOK_NS = 60 * SECOND
ARRIVE, ANSWER, MESSAGE, RETRY = range(4)
"""What happens first of what happens at the same time."""


class DayRun:
    """Drives `core`, whose day file is open, to the end of its rows; orders go to `venue`. `each(now)` is called once a market
    minute, and ends the day where it answers False. `folder` of the run, where it has one."""

    def __init__(self, core: Core, venue: PaperVenue, nonce: str, each: Callable[[int], bool] = lambda now: True,
                 folder: Path | None = None):
        self.core, self.venue, self.each = core, venue, each
        core.venue = venue
        self.now = core.now
        self.shell = Shell(protocol, core, ENGINE_ID, [nonce], lambda: self.now, reads=False, folder=folder)
        self.events: list[tuple[int, int, int, Any]] = []      # due ns, kind, sequence, what
        self.sequence = 0
        self.attempts: Counter[tuple[int, int]] = Counter()
        self.tags: dict[int, str] = {}

    def run(self) -> bool:
        """Whether the day was run to its end. The last record is REC_STOP."""
        look = self.now
        while True:
            due = self.events[0][0] if self.events else look
            why = self.core.run_rows(min(due, look), TIMER_NS)
            self.now = self.core.now
            if why == ROWS_FULL:
                return False
            if why == ROWS_ATTENTION:
                self.now += 1                  # what is fed now follows the prices of this time, in a replay too
                self._send()
            elif why == ROWS_OVER:
                while self.events:
                    self._event(*heapq.heappop(self.events))
                self.core.feed(REC_STOP, self.core.now + MILLI)
                return True
            elif self.events and due <= look:
                self._event(*heapq.heappop(self.events))
            else:
                if not self.each(look):
                    self.core.feed(REC_STOP, look)
                    return False
                look += LOOK_NS

    def _push(self, due: int, kind: int, what: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (due, kind, self.sequence, what))

    def _send(self) -> None:
        """Hands requests to the venue, and what the venue says to the shell, each when it arrives."""
        for send in self.shell.take():
            number, kind = int(send.intent["id"]), int(send.intent["kind"])
            out, back = self.venue.latency(number, kind, self.attempts[number, kind])
            self.attempts[number, kind] += 1
            self._push(self.core.now + out, ARRIVE, (send, self.core.now, back))
        if self.shell.outgoing:                # the broker's budget of a second is spent
            self._push(self.core.now + TIMER_NS, RETRY, None)
        if self.venue.n_updates:
            for now, order_id, order in self.venue.take_updates():
                self._push(now + MESSAGE_NS, MESSAGE, self._row(order_id, order))

    def _event(self, due: int, kind: int, _: int, what: Any) -> None:
        self.now = due
        if kind == ARRIVE:
            send, sent, back = what
            self._push(due + back, ANSWER, (send, self._arrive(send), due + back - sent))
        elif kind == ANSWER:
            send, reply, latency = what
            self.shell.on_reply(send, 200, reply, latency)
        elif kind == MESSAGE:
            self.shell.on_message(what)
        self._send()

    def _arrive(self, send: Send) -> Reply:
        """A request reaches the venue."""
        intent, venue = send.intent, self.venue
        number, kind, order_id = int(intent["id"]), int(intent["kind"]), bytes(intent["order_id"])
        terms = int(intent["order_type"]), int(intent["quantity"]), int(intent["price"]), int(intent["trigger"])
        if kind == INTENT_PLACE:
            assert isinstance(send.request.body, dict)
            self.tags[number] = send.request.body["tag"]
            refused = venue.place(number, int(intent["inst"]), int(intent["side"]), *terms, self.now)
        elif kind == INTENT_CANCEL:
            refused = venue.cancel(order_id, self.now)
        else:
            refused = venue.modify(order_id, *terms, self.now)
        return Reply(venue.order_id_of(number), refused)

    def _row(self, order_id: str, order: dict[str, Any]) -> OrderRow:
        return OrderRow(
            name=order_id, order_id=order_id.encode(), tag=self.tags[order["id"]], key=self.shell.keys[order["inst"]],
            status=order["status"], side=order["side"], order_type=order["order_type"], quantity=order["quantity"],
            filled=order["filled"], value=order["value"], price=order["price"], trigger=order["trigger"])
