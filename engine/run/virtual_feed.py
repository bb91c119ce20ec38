"""The engine's feed over the sim's, on virtual time: the keeper and the backfill that live runs use, without sockets between."""
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from _ext.core.records import REC_FRAME, REC_LINK, STREAM_FEED
from _ext.entrance import Core
from engine.feed.backfill import Backfill, Fetch
from engine.feed.subscriptions import SubscriptionManager
from engine.sim.candles import Candles
from engine.sim.feed import Feed
from engine.trade.inputs import link_record

MILLI = 1_000_000
HANDSHAKE, REQUEST, CANDLES = 180 * MILLI, 25 * MILLI, 60 * MILLI
"""To authorize and connect; for a message to take effect; for a candle call."""
UP, DOWN, FRAME, ASKED, BARS = range(5)


class VirtualFeed:
    """Between `feed` and `core`: `on_rows` and `on_timer` give what is due when, `arrive` takes it. `important`: keys whose older
    minutes are fetched, most important first. `note` takes what a person would read."""

    def __init__(self, core: Core, feed: Feed, candles: Candles, important: Sequence[str] = (), seed: int = 0, note: Any = None):
        self.core, self.feed, self.candles = core, feed, candles
        self.now = 0
        self.notes: list[tuple[int, str]] = []
        draw = random.Random(seed)
        insts = {core.instrument(i)["key"].rstrip(b"\0").decode(): i for i in range(core.keys.size)}
        keys = [key for key in important if key in insts]
        keys += [key for key in insts if key not in set(keys)]
        self.keeper = SubscriptionManager(core, keys, insts, record=self._record, draw=draw.random,
                             note=note or (lambda text: self.notes.append((self.now, text))))
        self.backfill = Backfill(core, {i: key for key, i in insts.items()}, [insts[k] for k in important], self._record)
        self.is_up = False
        self.lives = [0] * len(self.keeper.connections)    # of each connection: what was under way when it went is lost

    def _record(self, kind: int, payload: bytes) -> None:
        self.core.feed(kind, self.now, payload)

    def on_rows(self, now: int, rows: np.ndarray, frame: bytes) -> list[tuple[int, int, Any]]:
        """(due ns, kind, what) of an update of the market."""
        self.candles.on_frame(now, frame)
        return [(due, FRAME, (number, self.lives[number], data)) for due, number, data in self.feed.on_rows(now, rows, frame)]

    def on_timer(self, now: int) -> list[tuple[int, int, Any]]:
        """What the keeper and the backfill want done now, as events."""
        self.now = now
        out: list[tuple[int, int, Any]] = []
        if not self.keeper.token_ok and self.feed.authorize(now) != 401:      # somebody has logged in
            self.keeper.on_token(now)
        for number, code in self.feed.take_closed(now):
            self._down(number, code)
        held = [self.backfill.keys[int(slot["inst"])] for slot in self.core.positions()]
        for action in self.keeper.due(now, held):
            if action.what == "connect":
                out.append((now + HANDSHAKE, UP, action.number))
            elif action.what == "send":
                out.append((now + REQUEST, ASKED, (action.number, self.lives[action.number], action.message)))
            else:
                self.feed.close(action.number)
                self._down(action.number, 0)
        return out + [(now + CANDLES, BARS, fetch) for fetch in self.backfill.due(now)]

    def arrive(self, now: int, kind: int, what: Any) -> list[tuple[int, int, Any]]:
        """Takes an event that is due; what follows from it."""
        self.now = now
        if kind == FRAME:
            number, life, data = what
            if life == self.lives[number] and number in self.feed.links:
                self.core.feed(REC_FRAME, now, data)
        elif kind == UP:
            status = self.feed.authorize(now)
            status, frames = self.feed.open(what, now) if status == 200 else (status, [])
            if status != 101:
                self.keeper.on_down(what, now, status)
                return []
            self.lives[what] += 1
            self.keeper.on_up(what, now)
            self._link()
            for data in frames:
                self.core.feed(REC_FRAME, now, data)
        elif kind == ASKED:
            number, life, message = what
            if life == self.lives[number]:
                frames, _ = self.feed.request(number, message, now)
                return [(now + REQUEST, FRAME, (number, life, data)) for data in frames]
        elif kind == BARS:
            self._bars(what)
        return []

    def _down(self, number: int, code: int) -> None:
        self.lives[number] += 1
        self.keeper.on_down(number, self.now, 0)
        self._link(code)

    def _link(self, code: int = 0) -> None:
        if self.keeper.is_up != self.is_up:
            self.is_up = self.keeper.is_up
            self._record(REC_LINK, link_record(STREAM_FEED, self.is_up, code))

    def _bars(self, fetch: Fetch) -> None:
        if not self.feed.has_candles(self.now):
            self.backfill.failed(fetch, self.now)
        elif fetch.what != "day":
            found = {key: row for key in fetch.keys if (row := self.candles.minute(key, fetch.minute)) is not None}
            self.backfill.on_bars(fetch, found, self.now)
        else:
            self.backfill.on_bars(fetch, {key: self.candles.of(key, self.now) for key in fetch.keys}, self.now)
