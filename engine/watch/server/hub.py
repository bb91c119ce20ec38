"""What all pages are sent: a packed frame each 100 ms and a pulse each 500, each built once, the same bytes to every page.

A page that reads too slowly is not waited for and nothing is queued for it: it gets a keyframe when it reads again.
"""
import asyncio
import contextlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from _ext.quotes import FRAME_HEAD, FRAME_ROW, MARKS
from engine.watch import rows
from engine.watch.follow import Follow
from engine.watch.moment import budgets, by_source, limits, positions, states
from engine.watch.packed import Marks

FRAME_S, PULSE_S, KEY_S = 0.1, 0.5, 10.0
MOST_PAGES = 64
NEW_ROWS = 200
"""Of a kind in one pulse; a page that must have all asks for them."""
CANDLES = 2


class Page:
    """One page's socket: what it looks at, and whether it has read what it was sent."""

    def __init__(self, socket: WebSocket):
        self.socket = socket
        self.inst, self.step = -1, 1
        self.needs_key = True
        self.frame: bytes | None = None
        self.texts: list[bytes] = []
        self.ready = asyncio.Event()

    def offer(self, frame: bytes | None, text: bytes | None) -> None:
        """What there is to send; frames that were not sent yet are passed over."""
        if frame is not None:
            self.needs_key = self.needs_key or self.frame is not None
            self.frame = frame
        if text is not None:
            self.texts = [*self.texts[-3:], text]
        self.ready.set()

    async def pump(self) -> None:
        while True:
            await self.ready.wait()
            self.ready.clear()
            frame, self.frame, texts, self.texts = self.frame, None, self.texts, []
            if frame is not None:
                await self.socket.send_bytes(frame)
            for text in texts:
                await self.socket.send_text(text.decode())


class Hub:
    """Builds frames and pulses of `follow` and sends them to all pages. `alerts` gives how many wait to be seen; `look` is called
    at each pulse."""

    def __init__(self, follow: Follow, alerts: Callable[[], int], look: Callable[[], None], run_hash: int):
        self.follow, self.alerts, self.look, self.run_hash = follow, alerts, look, run_hash
        self.pages: set[Page] = set()
        self.marks = Marks(0)
        self.key_at = 0.0
        self.said = 0                      # sequence of the last line of the log that was sent

    # ---- pages ---------------------------------------------------------------------------------------------------------
    async def serve(self, socket: WebSocket) -> None:
        """One page until it goes."""
        await socket.accept()
        if len(self.pages) >= MOST_PAGES:
            await socket.close(1013, f"{MOST_PAGES} pages are open: close one")
            return
        page = Page(socket)
        self.pages.add(page)
        pump = asyncio.create_task(page.pump())
        try:
            while True:
                self._heard(page, await socket.receive_text())
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass
        finally:
            self.pages.discard(page)
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await pump

    def _heard(self, page: Page, text: str) -> None:
        """{"watch": {inst, tf}}: the candle to be sent; anything else is left alone."""
        try:
            wanted = orjson.loads(text[:4096])["watch"]
            inst, step = int(wanted["inst"]), int(wanted["tf"])
        except (ValueError, KeyError, TypeError):
            return
        if step in rows.TIMEFRAMES and 0 <= inst < len(self.follow.day.instruments):
            page.inst, page.step = inst, step

    # ---- frames --------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Reads the journal and sends, until cancelled."""
        frame_at = pulse_at = 0.0
        has_caught_up = False
        while True:
            more = self.follow.advance(0.03)
            has_caught_up = has_caught_up or (not more and self.follow.market is not None)
            now = time.monotonic()
            if now - frame_at >= FRAME_S:
                frame_at = now
                self.send_frames(now)
            if now - pulse_at >= PULSE_S:
                pulse_at = now
                self.follow.look()
                if has_caught_up:                          # what stood in the journal before is no news
                    self.look()
                self.send_pulse()
            await asyncio.sleep(0 if more else max(0.01, min(FRAME_S - (time.monotonic() - frame_at), 0.05)))

    def send_frames(self, now: float) -> None:
        follow, market = self.follow, self.follow.market
        if not self.pages or market is None or not len(follow.day.instruments):
            return
        if len(self.marks.marks) != len(follow.day.instruments):
            self.marks = Marks(len(follow.day.instruments))
        self.marks.update(follow.day, int(market.now))
        before, epoch, wall = follow.day.closes_of_history(), len(follow.day.lives), time.time_ns()
        is_due = now - self.key_at >= KEY_S
        if is_due:
            self.key_at = now
        arguments = (self.marks.marks, self.marks.scores, before)
        frame = market.frame(*arguments, False, self.run_hash, epoch, wall)
        key: bytes | None = None
        for page in self.pages:
            if page.needs_key or is_due:
                key = key or market.frame(*arguments, True, self.run_hash, epoch, wall)
                page.needs_key = False
                page.frame = None
                page.offer(key, None)
            else:
                page.offer(frame, None)

    # ---- pulses --------------------------------------------------------------------------------------------------------
    def pulse(self) -> dict[str, Any]:
        """The figures of the strip at the top and what is new since the last one."""
        follow, day, status = self.follow, self.follow.day, self.follow.status
        figures, shown = follow.figures(), follow.shown()
        held = positions(day, shown) if len(shown) else []
        new_lines: list[dict[str, Any]] = []
        for seq, event in reversed(day.log):
            if seq <= self.said or len(new_lines) == NEW_ROWS:
                break
            new_lines.append(rows.line(seq, event))
        if day.log:
            self.said = day.log[-1][0]
        return {
            "pulse": {
                "now_us": follow.now() // 1000, "wall_us": time.time_ns() // 1000, "is_live": follow.is_live,
                "state": states(day, figures), "counts": figures["counts"], "money": figures["money"],
                "limits": limits(day, figures, held), "budgets": budgets(day, figures["used"]), "positions": held,
                "by_source": by_source(day, held), "alerts": self.alerts(), "updates_per_s": round(follow.rate),
                "tick_us": None if status is None else {n: int(status[n]) / 1000 for n in ("p50", "p99", "p999", "max")},
                "order_ms": None if status is None else {n: int(status[f"order_{n}"]) / 1e6 for n in ("p50", "max")},
                "heartbeat_us": 0 if status is None else int(status["heartbeat"]) // 1000, "troubles": follow.troubles,
                "speed": 0.0 if status is None else float(status["speed"]), "stored": int(follow.store.get("stored") or 0)},
            "events": new_lines[::-1], "candidates": self._new_candidates(), "orders": self._new_orders()}

    def _new_candidates(self) -> list[dict[str, Any]]:
        """Those that were made or decided since the last pulse, oldest first."""
        day = self.follow.day
        wanted, day.changed = sorted(day.changed)[-NEW_ROWS:], set()
        return [rows.candidate(day, number) for number in wanted]

    def _new_orders(self) -> list[dict[str, Any]]:
        day = self.follow.day
        wanted, day.changed_orders = sorted(day.changed_orders)[-NEW_ROWS:], set()
        return [rows.order(day, number) for number in wanted]

    def send_pulse(self) -> None:
        day = self.follow.day
        if not self.pages:
            self.said = day.log[-1][0] if day.log else 0
            day.changed, day.changed_orders = set(), set()
            return
        document = self.pulse()
        text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        made: dict[tuple[int, int], bytes] = {}
        for page in self.pages:
            page.offer(None, text)
            if page.inst >= 0:
                looks_at = page.inst, page.step
                if looks_at not in made:
                    made[looks_at] = self.candle(*looks_at)
                page.offer(None, made[looks_at])

    def candle(self, inst: int, step: int) -> bytes:
        """The last candles of an instrument, of which one is under way."""
        minutes = self.follow.minutes(inst)[-2 * step - 2:]
        made = rows.candles(self.follow.day, inst, minutes, step, self.follow.now(), with_history=False)
        cut = max(len(made["t"]) - CANDLES, 0)
        return orjson.dumps({"candle": {"inst": inst, "tf": step} | {
            name: values[cut:] if isinstance(values, list) else max(values - cut, 0) for name, values in made.items()}})


def hash_of(name: str) -> int:
    """A run's name in 32 bits, as frames carry it."""
    return zlib.crc32(name.encode())


def packed_layout() -> dict[str, Any]:
    """The layout of frames, for /api/session."""
    return {"head": np.dtype(FRAME_HEAD).itemsize, "row": np.dtype(FRAME_ROW).itemsize, "marks": list(MARKS)}
