"""A run on virtual time: market, exchange and core in one process, events ordered by time, kind and sequence.

The same seed and data give the same day, record for record. `--speed max` runs this way; so do backtests and training.
"""
import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from _ext.wiring import Core
from engine.sim.exchange import Exchange
from engine.trade import protocol

FRAME, TIMER, FUNDS, REPLY, ORDER_UPDATE, STOP = 5, 6, 10, 8, 9, 14
API_NS = 17_500_000                # one way between engine and broker: 35 ms there and back
TIMER_NS = 250_000_000


class VirtualRun:
    """Drives `core` over `frames` ((receipt ms, rows, frame) in order) with orders going to `exchange`.

    `engine` and `nonce` make the order tags. `each` is called about every market second with the time in ns; returning
    False ends the run.
    """

    def __init__(self, core: Core, frames: Iterable[tuple[int, np.ndarray, bytes]], exchange: Exchange, engine: str,
                 nonce: str, each: Callable[[int], bool] | None = None):
        self.core, self.exchange, self.engine, self.nonce = core, exchange, engine, nonce
        self.frames: Iterator[tuple[int, np.ndarray, bytes]] = iter(frames)
        self.each = each
        self.events: list[tuple[int, int, int, Any]] = []      # due ns, kind, sequence, what
        self.sequence = 0
        self.keys: dict[int, str] = {}

    def run(self) -> None:
        """Until the frames end, `each` says stop or the journal is full; the last record is STOP."""
        core, now, next_timer, ticks = self.core, 0, None, 0
        for at_ms, rows, frame in self.frames:
            now = at_ms * 1_000_000
            next_timer = now + TIMER_NS if next_timer is None else next_timer
            while next_timer <= now or (self.events and self.events[0][0] <= now):
                if self.events and self.events[0][0] <= next_timer:
                    self._event(*heapq.heappop(self.events))
                else:
                    core.feed(TIMER, next_timer)
                    self._drain(next_timer)
                    next_timer += TIMER_NS
                    ticks += 1
                    if ticks % 4 == 0 and self.each is not None and not self.each(next_timer):
                        core.feed(STOP, now)
                        return
            self.exchange.on_rows(rows, now)
            self._later(now)
            if core.feed(FRAME, now, frame) == 0:
                return
            if core.has_intents:
                self._drain(now)
        core.feed(STOP, now)

    def _push(self, due: int, kind: int, what: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (due, kind, self.sequence, what))

    def _later(self, now: int) -> None:
        """Queues what the exchange has to say."""
        if self.exchange._updates:
            for due, message in self.exchange.take_updates():
                self._push(max(due, now), ORDER_UPDATE, message)

    def _drain(self, now: int) -> None:
        """Hands the core's requests to the exchange, half a round trip away."""
        for intent in self.core.take_intents():
            self._push(now + API_NS, 0, intent)

    def _event(self, due: int, kind: int, _: int, what: Any) -> None:
        if kind == 0:
            key = self.core.instrument(int(what["inst"]))["key"].rstrip(b"\0").decode()
            request = protocol.request_of(what, key, protocol.tag_of(
                self.engine, self.nonce, int(what["id"]), int(what["role"])))
            status, body = self.exchange.call(request.method, request.path, request.body, request.params, due)
            record = protocol.reply_record(int(what["id"]), int(what["kind"]), status, body, 2 * API_NS)
            self._push(due + API_NS, REPLY, record)
            self._later(due)
        elif kind == REPLY:
            self.core.feed(REPLY, due, what)
            self._drain(due)
        else:
            update = protocol.update_record(what, self.engine, (self.nonce,))
            if update is not None:
                self.core.feed(ORDER_UPDATE, due, update)
                self._drain(due)
