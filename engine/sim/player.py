"""Plays a market: its frames are made ahead in a thread, and sent to the feed's sockets when the pace says that they are due."""
import asyncio
import contextlib
import heapq
import itertools
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable

import numpy as np
from aiohttp import web

from engine.sim.candles import Candles
from engine.sim.exchange import Exchange
from engine.sim.feed import Feed
from engine.sim.pace import Pace

Frame = tuple[int, np.ndarray, bytes]
AHEAD_MS, AHEAD_MOST = 65_000, 100_000
"""Market time and frames that are made ahead: the making of the next minute shall begin while there is a minute to send."""
BATCH = 256                          # frames sent before anybody else has a turn
TURN_S = 0.001                       # between two batches: uvloop's timers know no less
WAIT_S = 0.1
SEND_BUFFER, UNSENT = 1 << 17, 1 << 16
"""Bytes in the kernel and before it: what waits there is sent by the sim's clock and not seen by its client."""
PATIENCE_S = 3.0
"""A client that takes nothing for so long is cut off; the market waits for it until then."""


class Ahead:
    """`frames` of a market, made in a thread: a minute of 208 names takes 70 ms, in which nothing else would be sent."""

    def __init__(self, frames: Iterable[Frame]):
        self.made: deque[Frame] = deque()
        self.is_whole = self.is_stopped = False
        self.failure: BaseException | None = None
        threading.Thread(target=self._make, args=(frames,), daemon=True, name="market").start()

    def _make(self, frames: Iterable[Frame]) -> None:
        try:
            for frame in frames:
                self.made.append(frame)
                while self._has_plenty(frame[0]) and not self.is_stopped:
                    time.sleep(0.01)
                if self.is_stopped:
                    return
        except Exception as error:
            self.failure = error
        finally:
            self.is_whole = True

    def _has_plenty(self, at_ms: int) -> bool:
        with contextlib.suppress(IndexError):    # the last one was taken this moment
            return len(self.made) >= AHEAD_MOST or at_ms - self.made[0][0] >= AHEAD_MS
        return False

    def due(self, now: int) -> list[Frame]:
        """Takes what is due at `now` (ns), at most a batch."""
        out: list[Frame] = []
        while self.made and self.made[0][0] * 1_000_000 <= now and len(out) < BATCH:
            out.append(self.made.popleft())
        return out


class FeedSocket:
    """A client's connection to the market data feed. Frames of a batch leave in one write."""

    def __init__(self, response: web.WebSocketResponse, transport: asyncio.Transport):
        self.response, self.transport = response, transport
        if (plain := transport.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def write(self, frames: Iterable[bytes]) -> None:
        if not self.response.closed and not self.transport.is_closing():
            self.transport.write(b"".join(itertools.chain.from_iterable((head_of(len(data)), data) for data in frames)))

    async def drained(self) -> None:
        """Waits until the client has taken what was sent, and cuts it off where it takes nothing."""
        end, left = time.monotonic() + PATIENCE_S, self.transport.get_write_buffer_size()
        while left > UNSENT and not self.transport.is_closing():
            await asyncio.sleep(TURN_S)
            now_left = self.transport.get_write_buffer_size()
            if now_left < left:
                end = time.monotonic() + PATIENCE_S
            elif time.monotonic() > end:
                print(f"a client of the feed took nothing for {PATIENCE_S:g} s and was cut off", file=sys.stderr, flush=True)
                self.transport.abort()
            left = now_left

    async def close(self, code: int) -> None:
        await self.response.close(code=code)


def head_of(size: int) -> bytes:
    """Head of an unmasked binary WebSocket frame (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((0x82, size))
    return b"\x82\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x82\x7f" + size.to_bytes(8, "big")


class Player:
    """Plays frames to `exchange`, `candles` and the `sockets` of `feed` (number -> socket) at `pace`."""

    def __init__(self, pace: Pace, exchange: Exchange, candles: Candles, feed: Feed, sockets: dict[int, FeedSocket]):
        self.pace, self.exchange, self.candles, self.feed, self.sockets = pace, exchange, candles, feed, sockets
        self.late: list[tuple[int, int, int, bytes]] = []       # held up by a fault: due, order, connection, frame
        self.order = 0
        self.closing: set[asyncio.Task[None]] = set()

    async def play(self, frames: Iterable[Frame]) -> None:
        """To the end of `frames`; raises what their making raised."""
        ahead = Ahead(frames)
        try:
            while not ahead.made and not ahead.is_whole:
                await asyncio.sleep(TURN_S)
            self.pace.start()
            while ahead.made or self.late or not ahead.is_whole:
                if (until := self._next(ahead)) is None:         # the maker is behind: the clock waits
                    await asyncio.sleep(TURN_S)
                    continue
                self.pace.allow(until)
                left = (until - self.pace.due()) / 1e9 / self.pace.speed
                if left <= 0:
                    await self._send(ahead.due(self.pace.due()), until)
                await asyncio.sleep(min(max(left, TURN_S), WAIT_S) if left > -TURN_S else 0)
        finally:
            ahead.is_stopped = True
        if ahead.failure is not None:
            raise ahead.failure
        self.pace.allow(None)

    def _next(self, ahead: Ahead) -> int | None:
        """When the next thing is to be sent, ns."""
        held = self.late[0][0] if self.late else None
        made = ahead.made[0][0] * 1_000_000 if ahead.made else None
        if made is None:
            return held if ahead.is_whole else None
        return made if held is None else min(held, made)

    async def _send(self, batch: list[Frame], until: int) -> None:
        out: dict[int, list[bytes]] = {}
        now, sent = until, 0
        for at_ms, rows, frame in batch:
            now = at_ms * 1_000_000
            self._release(out, now)
            self.exchange.on_rows(rows, now)
            self.candles.on_frame(now, frame)
            if self.feed.script:
                self._close(now)
            for due, number, data in self.feed.on_rows(now, rows, frame):
                if due > now:
                    self.order += 1
                    heapq.heappush(self.late, (due, self.order, number, data))
                else:
                    out.setdefault(number, []).append(data)
        self._release(out, now)
        for number, parts in out.items():
            if (client := self.sockets.get(number)) is not None:
                sent += len(parts)
                client.write(parts)
        for client in [c for n in out if (c := self.sockets.get(n)) is not None]:
            await client.drained()
        self.pace.sent(until, sent)

    def _release(self, out: dict[int, list[bytes]], now: int) -> None:
        """What a fault has held up until now."""
        while self.late and self.late[0][0] <= now:
            _, _, number, data = heapq.heappop(self.late)
            out.setdefault(number, []).append(data)

    def _close(self, now: int) -> None:
        """Connections the script of faults ends."""
        for number, code in self.feed.take_closed(now):
            if (client := self.sockets.get(number)) is not None:
                task = asyncio.ensure_future(client.close(code))
                self.closing.add(task)
                task.add_done_callback(self.closing.discard)
