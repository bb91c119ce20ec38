"""The sim's sockets: REST, market data feed V3 and portfolio stream over the pure cores, on a clock of its own.

The protocol is the broker's (UPSTOX 1, 2, 3): authorize with a one-time code or a 302, binary JSON requests, market_info
then initial_feed then live_feed, silent caps, order messages as text. Time runs at `speed`; every reply and frame carries it.
"""
import asyncio
import contextlib
import datetime as dt
import heapq
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from aiohttp import WSMsgType, web

from engine.feed import TICK_DTYPE, encode, encode_market_info
from engine.market.sessions import IST
from engine.sim.exchange import Exchange, error, success
from engine.sim.faults import Line
from engine.sim.recorded import HAS_DEPTH, HAS_FULL, HAS_GREEKS, HAS_LTPC
from engine.sim.rest import Rest
from engine.trade.protocol import Request

HAS_FIRST = 128
MODES = {"ltpc": 0, "full": 1, "option_greeks": 2, "full_d30": 3}
CAPS = {"ltpc": 5000, "full": 2000, "option_greeks": 3000, "full_d30": 0}
"""Keys a connection may have in each mode; what is over is ignored without a word, full_d30 without Plus wholly."""
CONNECTIONS = 2
CLOCK_HEADER = "X-Sim-Time"
HALF_AN_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"status":"succ'


@dataclass
class FeedConnection:
    socket: web.WebSocketResponse
    modes: dict[str, str] = field(default_factory=dict)
    plain: bool = False               # everything the market sends, in mode full: frames can be passed on as they are


class SimServer:
    """Serves `market` (specs, day, frames, history) and `exchange` at `host`:`port`, `speed` market seconds a second."""

    def __init__(self, market: Any, exchange: Exchange, speed: float = 1.0, token: str = "demo", start_ms: int | None = None,
                 plus: bool = False, line: Line | None = None):
        self.rest, self.line = Rest(exchange), line or Line(exchange)
        self.market, self.exchange, self.speed, self.token = market, exchange, speed, token
        self.caps = CAPS | ({"full_d30": 50} if plus else {})
        self.codes: set[str] = set()
        self.feeds: list[FeedConnection] = []
        self.portfolios: list[web.WebSocketResponse] = []
        self.latest: dict[str, np.ndarray] = {}
        self.anchor = (time.monotonic(), 0)
        self.start_ms = start_ms
        self.finished = asyncio.Event()
        self.told: list[tuple[int, int, str]] = []      # order messages on their way: due, number, text
        self.number = 0
        self.runner: web.AppRunner | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0

    # ---- life ----------------------------------------------------------------------------------------------------------
    async def start(self, host: str = "127.0.0.1", port: int = 0, ssl: Any = None) -> int:
        """Listens; the port. The market waits for the first subscription. OSError when the port is taken."""
        app = web.Application(middlewares=[self._guard])
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("GET", "/v3/feed/market-data-feed/authorize", self._authorize_feed),
            ("GET", "/v2/feed/portfolio-stream-feed/authorize", self._authorize_portfolio),
            ("GET", "/v3/feed/market-data-feed", self._redirect_feed),
            ("GET", "/v2/feed/portfolio-stream-feed", self._redirect_portfolio),
            ("GET", "/market-data-feeder/v3/upstox-developer-api/feeds", self._feed),
            ("GET", "/portfolio-stream-feeder/v2/upstox-developer-api/feeds", self._portfolio),
            ("GET", "/v3/historical-candle/intraday/{key}/{unit}/{interval}", self._candles),
            ("GET", "/v3/historical-candle/{key}/{unit}/{interval}/{to}", self._candles),
            ("GET", "/v3/historical-candle/{key}/{unit}/{interval}/{to}/{from}", self._candles),
            ("GET", "/sim/instruments", self._instruments),
            ("GET", "/sim/history", self._history),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self.runner.setup()
        await web.TCPSite(self.runner, host, port, ssl_context=ssl).start()
        self.port = self.runner.addresses[0][1]
        self.tasks.append(asyncio.create_task(self._tell_orders()))
        return self.port

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.runner is not None:
            await self.runner.cleanup()

    def now(self) -> int:
        """The sim's clock, ns since 1970."""
        at, sim = self.anchor
        return sim + round((time.monotonic() - at) * self.speed * 1e9) if sim else self._first() * 1_000_000

    def _first(self) -> int:
        from engine.market.sessions import epoch_ms
        return self.start_ms if self.start_ms is not None else epoch_ms(self.market.day)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """The token, and no web pages: a loopback server is no protection against them.

        websocket-client, the SDK's library, names the server itself as its origin; a page on another host cannot.
        """
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return web.json_response(error(403, "UDAPI100060", "requests from web pages are refused")[1], status=403)
        if not request.path.endswith("/feeds") and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response(error(401, "UDAPI100050", "Invalid token used to access API")[1], status=401)
        response = await handler(request)
        if not isinstance(response, web.WebSocketResponse):
            response.headers[CLOCK_HEADER] = str(self.now())
        return response

    # ---- REST ----------------------------------------------------------------------------------------------------------
    async def _rest(self, request: web.Request) -> web.Response:
        body = None
        if request.can_read_body:
            try:
                body = await request.json()
            except ValueError:
                return web.json_response(error(400, "UDAPI100036", "the body is not JSON")[1], status=400)
        journey = self.line.journey(Request(request.method, request.path, body, dict(request.query)))
        if journey.out_ns is None:
            return await self._cut(request)
        await self._wait(journey.out_ns)
        status, answer = 0, None
        if journey.is_done:
            status, answer = self.rest.call(request.method, request.path, body, dict(request.query), self.now(),
                                            round(time.monotonic() * self.speed * 1e9))
            if status == 200 and answer is not None and request.path == "/v3/order/place":
                self.line.on_placed(answer["data"]["order_ids"][0], self.now())
            if status == 200 and answer is not None and request.path == "/v2/order/retrieve-all":
                answer = answer | {"data": self.line.visible(answer["data"], self.now())}
        if journey.back_ns is None:
            return await self._cut(request)
        if journey.error is not None:
            status, answer = error(journey.error[0], journey.error[1], "a fault of the sim")
        await self._wait(journey.back_ns)
        return web.json_response(answer, status=status)

    async def _wait(self, market_ns: int) -> None:
        await asyncio.sleep(market_ns / 1e9 / self.speed)

    async def _cut(self, request: web.Request) -> web.Response:
        """The line breaks: the connection ends in the middle of an answer, or before its first byte."""
        if request.transport is not None:
            if self.line.draw.random() < 0.5:
                request.transport.write(HALF_AN_ANSWER)
            request.transport.close()
        return web.Response()

    async def _instruments(self, request: web.Request) -> web.Response:
        """What the broker's instrument file would say of the sim's names, and its trading day."""
        from dataclasses import asdict
        return web.json_response({"day": self.market.day.isoformat(), "speed": self.speed,
                                  "specs": [asdict(spec) for spec in self.market.specs]})

    async def _history(self, request: web.Request) -> web.Response:
        """All warm-up bars at once (WARM_BAR bytes): 208 candle requests would take the rate budget of a morning."""
        return web.Response(body=self.market.history().tobytes(), content_type="application/octet-stream")

    async def _candles(self, request: web.Request) -> web.Response:
        """Historical candles of one key, newest first, from the sim's history."""
        key = unquote(request.match_info["key"])
        index = next((i for i, s in enumerate(self.market.specs) if s.key == key), None)
        if index is None:
            return web.json_response(error(400, "UDAPI100011", "Invalid Instrument key")[1], status=400)
        bars = self.market.history()
        rows = bars[bars["inst"] == index][::-1]
        return web.json_response(success({"candles": [
            [dt.datetime.fromtimestamp(int(r["minute"]) * 60, IST).isoformat(), *(int(r[n]) / 100 for n in (
                "open", "high", "low", "close")), int(r["volume"]), 0] for r in rows]})[1])

    # ---- authorize -----------------------------------------------------------------------------------------------------
    def _url(self, request: web.Request, path: str) -> str:
        code = secrets.token_urlsafe(12)
        self.codes.add(code)
        scheme = "wss" if request.secure else "ws"
        return f"{scheme}://{request.host}{path}?requestId={secrets.token_hex(8)}&code={code}"

    async def _authorize_feed(self, request: web.Request) -> web.Response:
        url = self._url(request, "/market-data-feeder/v3/upstox-developer-api/feeds")
        return web.json_response(success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})[1])

    async def _authorize_portfolio(self, request: web.Request) -> web.Response:
        url = self._url(request, "/portfolio-stream-feeder/v2/upstox-developer-api/feeds")
        return web.json_response(success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})[1])

    async def _redirect_feed(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(self._url(request, "/market-data-feeder/v3/upstox-developer-api/feeds"))

    async def _redirect_portfolio(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(self._url(request, "/portfolio-stream-feeder/v2/upstox-developer-api/feeds"))

    def _spend(self, request: web.Request) -> None:
        """A code works once."""
        code = request.query.get("code", "")
        if code not in self.codes:
            raise web.HTTPForbidden(text="the code was used or never given: authorize again")
        self.codes.remove(code)

    # ---- market data feed ----------------------------------------------------------------------------------------------
    async def _feed(self, request: web.Request) -> web.StreamResponse:
        self._spend(request)
        if len(self.feeds) >= CONNECTIONS:
            raise web.HTTPForbidden(text="too many connections")
        socket = web.WebSocketResponse(heartbeat=10, compress=False)
        await socket.prepare(request)
        connection = FeedConnection(socket)
        self.feeds.append(connection)
        try:
            await socket.send_bytes(encode_market_info(
                {"NSE_EQ": 2, "NSE_FO": 2, "NSE_INDEX": 2, "BSE_EQ": 2, "BSE_FO": 2, "BSE_INDEX": 2, "NCD_FO": 2,
                 "BCD_FO": 2, "MCX_FO": 2, "MCX_INDEX": 2, "NSE_COM": 2}, self.now() // 1_000_000))
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    await self._request(connection, message.data)
        finally:
            self.feeds.remove(connection)
        return socket

    async def _request(self, connection: FeedConnection, data: bytes) -> None:
        """sub, unsub, change_mode; what is over a cap or unknown is ignored, as the broker ignores it."""
        try:
            request = json.loads(data)
            method, keys = request["method"], list(request["data"]["instrumentKeys"])
        except (ValueError, KeyError, TypeError):
            await connection.socket.send_str(json.dumps({"status": "failed", "method": None, "error": "malformed request"}))
            return
        if method == "unsub":
            for key in keys:
                connection.modes.pop(key, None)
        elif method in ("sub", "change_mode"):
            mode = request["data"].get("mode", "ltpc")
            known = self.exchange.specs
            used = sum(m == mode for m in connection.modes.values())
            fresh = []
            for key in keys:
                if mode in MODES and key in known and (connection.modes.get(key) == mode or used < self.caps[mode]):
                    used += connection.modes.get(key) != mode
                    connection.modes[key] = mode
                    fresh.append(key)
            rows = [self._in_mode(self._snapshot(key), mode) for key in fresh]
            for part in range(0, len(rows), 500):
                block = np.concatenate([r.view(np.uint8) for r in rows[part:part + 500]]).view(TICK_DTYPE)
                await connection.socket.send_bytes(encode(block, self.now() // 1_000_000, 0))
        connection.plain = (len(connection.modes) == len(self.exchange.specs)
                            and all(m == "full" for m in connection.modes.values()))
        if not self.anchor[1]:
            self.anchor = (time.monotonic(), self._first() * 1_000_000)
            self.tasks.append(asyncio.create_task(self._play()))

    def _snapshot(self, key: str) -> np.ndarray:
        """The last known update of a key; before its first, one with yesterday's close alone."""
        if key in self.latest:
            return self.latest[key]
        row = np.zeros(1, TICK_DTYPE)
        row["key"], row["key_len"], row["mode"] = key.encode(), len(key), 1
        row["has"], row["cp"] = HAS_LTPC | HAS_FULL, self.exchange.specs[key].price
        return row

    def _in_mode(self, rows: np.ndarray, mode: str) -> np.ndarray:
        """Rows of mode full as another mode shows them."""
        rows = rows.copy()
        rows["mode"] = MODES[mode]
        if mode == "ltpc":
            rows["has"] &= HAS_LTPC
        elif mode == "option_greeks":
            rows["has"] = (rows["has"] & (HAS_LTPC | HAS_DEPTH | HAS_GREEKS)) | HAS_FIRST
        return rows

    async def _play(self) -> None:
        """Sends the market as time goes by. A process that was held up drops nothing: it sends late."""
        for sent, (at_ms, rows, frame) in enumerate(self.market.frames()):
            behind = at_ms * 1_000_000 - self.now()
            if behind > 2_000_000 * self.speed:
                await asyncio.sleep(behind / 1e9 / self.speed)
            elif sent % 64 == 0:
                await asyncio.sleep(0)
            self.exchange.on_rows(rows, self.now())
            for i in range(len(rows)):
                self.latest[rows["key"][i].decode()] = rows[i:i + 1]
            for connection in list(self.feeds):
                await self._send(connection, at_ms, rows, frame)
        self.finished.set()

    async def _send(self, connection: FeedConnection, at_ms: int, rows: np.ndarray, frame: bytes) -> None:
        if connection.socket.closed:
            return
        with contextlib.suppress(ConnectionError):
            if connection.plain:
                await connection.socket.send_bytes(frame)
                return
            for mode in set(connection.modes.values()):
                mine = [i for i in range(len(rows)) if connection.modes.get(rows["key"][i].decode()) == mode]
                if mine:
                    await connection.socket.send_bytes(encode(self._in_mode(rows[mine], mode), at_ms))

    # ---- portfolio stream ------------------------------------------------------------------------------------------------
    async def _portfolio(self, request: web.Request) -> web.StreamResponse:
        self._spend(request)
        socket = web.WebSocketResponse(heartbeat=10, compress=False)
        await socket.prepare(request)
        self.portfolios.append(socket)
        try:
            async for _ in socket:
                pass
        finally:
            self.portfolios.remove(socket)
        return socket

    async def _tell_orders(self) -> None:
        while True:
            self.exchange.on_time(self.now())
            for due, message in self.exchange.take_updates():
                for at, text in self.line.messages(due, message):
                    self.number += 1
                    heapq.heappush(self.told, (at, self.number, json.dumps(text)))
            while self.told and self.told[0][0] <= self.now():
                await self._broadcast(heapq.heappop(self.told)[2])
            await asyncio.sleep(0.002)

    async def _broadcast(self, text: str) -> None:
        for socket in list(self.portfolios):
            with contextlib.suppress(ConnectionError):
                await socket.send_str(text)
