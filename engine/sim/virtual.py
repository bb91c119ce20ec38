"""A run on virtual time: market, exchange and core in one process, events ordered by time, kind and sequence.

The same seed and data give the same day, record for record. `--speed max` runs this way; so do backtests, training and the
soak of the order path. Orders, reads and messages travel over a `Line`, which may lose them.
"""
import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from _ext.core.records import REC_FRAME, REC_LINK, REC_REPLY, REC_STOP, REC_TIMER, STREAM_ORDERS
from _ext.wiring import Core
from engine.broker.upstox import protocol
from engine.sim.exchange import Exchange
from engine.sim.faults import Line
from engine.sim.rest import Rest
from engine.sim.virtual_feed import VirtualFeed
from engine.trade import bands
from engine.trade.outgoing import Outgoing
from engine.trade.reconcile import READS, Reconciler

ARRIVE, ANSWER, MESSAGE, READ, SHOWN, NET, BANDS, QUOTED = 0, 1, 2, 3, 4, 5, 6, 7
TIMER_NS = 250_000_000
TIMEOUT_NS = 5_000_000_000         # of the HTTP client: an answer later than this is none


class VirtualRun:
    """Drives `core` over `frames` ((receipt ms, rows, frame) in order) with orders going to `exchange` over `line`.

    `engine` and `nonce` make the order tags. `each` is called about every market second with the time in ns; returning
    False ends the run. `watch` is called after every event that may have changed an order. `net`: what lies between the market and
    the core; without it every frame arrives as it is sent.
    """

    def __init__(self, core: Core, frames: Iterable[tuple[int, np.ndarray, bytes]], exchange: Exchange, engine: str,
                 nonce: str, each: Callable[[int], bool] | None = None, line: Line | None = None,
                 watch: Callable[[int], None] | None = None, net: VirtualFeed | None = None):
        self.exchange, self.rest, self.engine = exchange, Rest(exchange), engine
        self.line = line or Line(exchange)
        self.frames: Iterator[tuple[int, np.ndarray, bytes]] = iter(frames)
        self.each, self.watch, self.net = each, watch, net
        self.events: list[tuple[int, int, int, Any]] = []      # due ns, kind, sequence, what
        self.sequence = self.life = 0
        self.keys: dict[int, str] = {}
        self.stream_back = 0
        self.take_over(core, nonce, [nonce])

    def take_over(self, core: Core, nonce: str, nonces: list[str], is_fresh: bool = True) -> None:
        """Another core goes on, as after a crash: what was queued and the answers under way are lost, what had left is not."""
        self.core, self.nonce = core, nonce
        self.life += 1
        self.outgoing = Outgoing()
        self.now = 0
        inst_of = {core.instrument(i)["key"].rstrip(b"\0").decode(): i for i in range(core.keys.size)}
        self.keys = {i: key for key, i in inst_of.items()}
        self.bands = bands.BandWatch(core, self.keys, lambda kind, payload: core.feed(kind, self.now, payload))
        self.reconciler = Reconciler(core, self.engine, nonces, inst_of, lambda kind, payload: core.feed(kind, self.now, payload),
                                     is_fresh, on_unexpected_end=self.bands.soon)
        self.has_stream = True

    def run(self) -> None:
        """Until the frames end, `each` says stop or the journal is full; the last record is REC_STOP."""
        next_timer, ticks = None, 0
        for at_ms, rows, frame in self.frames:
            now = at_ms * 1_000_000
            next_timer = now + TIMER_NS if next_timer is None else next_timer
            while next_timer <= now or (self.events and self.events[0][0] <= now):
                if self.events and self.events[0][0] <= next_timer:
                    self._event(*heapq.heappop(self.events))
                else:
                    self._timer(next_timer, ticks % 4 == 0)
                    next_timer += TIMER_NS
                    ticks += 1
                    if ticks % 4 == 0 and self.each is not None and not self.each(next_timer):
                        self.core.feed(REC_STOP, now)
                        return
            self.exchange.on_rows(rows, now)
            self._later(now)
            if self.net is not None:
                for due, what, detail in self.net.on_rows(now, rows, frame):
                    if due > now:
                        self._push(due, NET, (what, detail))
                    else:
                        self._net(now, what, detail)
            elif self.core.feed(REC_FRAME, now, frame) == 0:
                return
            if self.core.has_intents:
                self._drain(now)
            if self.watch is not None:
                self.watch(now)
        self.core.feed(REC_STOP, self.core.now)

    def _timer(self, now: int, is_second: bool) -> None:
        self.now = now
        self.exchange.on_time(now)
        self._later(now)
        if is_second and self.line.drops():
            self.has_stream, self.stream_back = False, now + 2_000_000_000
            self.core.feed(REC_LINK, now, protocol.link_record(STREAM_ORDERS, False))
        if not self.has_stream and now >= self.stream_back:      # connected again: what was missed stands in the book
            self.stream_back = now + 1_000_000_000
            self.reconciler.soon("book")
        self.core.feed(REC_TIMER, now)
        if self.net is not None:
            for due, kind, detail in self.net.on_timer(now):
                self._push(due, NET, (kind, detail))
        for what in self.reconciler.due(now):
            self._push(now + self.line.latency(), READ, (self.life, what, now))
        for keys in self.bands.due(now):
            self._push(now + self.line.latency(), BANDS, (self.life, keys))
        self._drain(now)

    def _net(self, now: int, kind: int, what: Any) -> None:
        """Something of the feed arrives."""
        assert self.net is not None
        for due, after, detail in self.net.arrive(now, kind, what):
            self._push(due, NET, (after, detail))

    def _push(self, due: int, kind: int, what: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (due, kind, self.sequence, what))

    def _later(self, now: int) -> None:
        """Queues what the exchange has to say."""
        if self.exchange._updates:
            for due, message in self.exchange.take_updates():
                for at, text in self.line.messages(max(due, now), message):
                    self._push(at, MESSAGE, text)

    def _drain(self, now: int) -> None:
        """Hands the core's requests to the line, exits first."""
        if not self.core.has_intents and not self.outgoing:
            return
        for intent in self.core.take_intents():
            self.outgoing.push(intent, now)
        going, over = self.outgoing.take(now)
        for intent in over:
            record = protocol.local_refusal(int(intent["id"]), int(intent["kind"]), "NOT SENT")
            self._push(now, ANSWER, (self.life, record))
        for intent in going:
            request = protocol.request_of(intent, self.keys[int(intent["inst"])], protocol.tag_of(
                self.engine, self.nonce, int(intent["id"]), int(intent["role"])))
            journey = self.line.journey(request)
            if journey.out_ns is None:
                self._answer(now, now + TIMEOUT_NS, intent, 0, None)
            else:
                self._push(now + journey.out_ns, ARRIVE, (self.life, intent, request, journey, now))

    def _answer(self, sent: int, due: int, intent: np.void, status: int, body: Any) -> None:
        if due - sent >= TIMEOUT_NS:
            status, body, due = 0, None, sent + TIMEOUT_NS
        record = protocol.reply_record(int(intent["id"]), int(intent["kind"]), status, body, due - sent)
        self._push(due, ANSWER, (self.life, record))

    def _event(self, due: int, kind: int, _: int, what: Any) -> None:
        self.now = due
        if kind == ARRIVE:
            self._arrive(due, *what)
        elif kind == READ:
            self._read(due, *what)
        elif kind == NET:
            self._net(due, *what)
        elif kind == SHOWN and what[0] == self.life:
            self._shown(due, *what[1:])
        elif kind == BANDS:
            self._read_bands(due, *what)
        elif kind == QUOTED and what[0] == self.life:
            self.bands.on_quotes(what[1])
        elif kind == ANSWER and what[0] == self.life:
            self.core.feed(REC_REPLY, due, what[1])
        elif kind == MESSAGE and self.has_stream:
            self.reconciler.on_message(what)
        self._drain(due)
        if self.watch is not None:
            self.watch(due)

    def _arrive(self, due: int, life: int, intent: np.void, request: protocol.Request, journey: Any, sent: int) -> None:
        """A request reaches the broker; its answer, if one comes, goes back."""
        status, body = journey.error or (0, None), None
        if journey.is_done:
            code, body = self.rest.call(request.method, request.path, request.body, request.params, due)
            if code == 200 and request.path.endswith("place"):
                self.line.on_placed(body["data"]["order_ids"][0], due)
            self._later(due)
            if journey.error is None:
                status = (code, "")
        if journey.error is not None:
            body = {"status": "error", "errors": [{"errorCode": journey.error[1]}]}
        if life == self.life:
            self._answer(sent, due + journey.back_ns if journey.back_ns is not None else sent + TIMEOUT_NS, intent, status[0], body)

    def _read(self, due: int, life: int, what: str, began: int) -> None:
        """A read reaches the broker; what it shows goes back."""
        if life != self.life:
            return
        journey = self.line.journey(protocol.Request("GET", READS[what]))
        status, body = self.rest.call("GET", READS[what], None, None, due)
        good = journey.error is None and status == 200
        rows = None
        if good:
            rows = (self.line.shown(self.line.visible(body["data"], due), due) if what == "book"
                    else self.line.positions(body["data"], due))
        self._push(due + (journey.back_ns or 0), SHOWN, (life, what, began, rows))

    def _read_bands(self, due: int, life: int, keys: list[str]) -> None:
        """Quotes of some names, for their bands."""
        if life == self.life and self.line.journey(protocol.Request("GET", bands.PATH)).error is None:
            _, body = self.rest.call("GET", bands.PATH, None, {"instrument_key": ",".join(keys)}, due)
            self._push(due + self.line.latency(), QUOTED, (life, body["data"]))

    def _shown(self, due: int, what: str, began: int, rows: list[dict[str, Any]] | None) -> None:
        if rows is None:
            self.reconciler.failed(what, due)
        elif what == "book":
            self.reconciler.on_book(rows, began)
            if not self.has_stream and began >= self.stream_back - 1_000_000_000:
                self.has_stream = True
                self.core.feed(REC_LINK, due, protocol.link_record(STREAM_ORDERS, True))
        else:
            self.reconciler.on_positions(rows, began)
