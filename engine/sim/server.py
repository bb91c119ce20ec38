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
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import WSMsgType, web

from engine.market.sessions import IST
from engine.sim.candles import MINUTE_NS, Candles
from engine.sim.exchange import Exchange, error, success
from engine.sim.faults import Line
from engine.sim.feed import Feed
from engine.sim.rest import Rest
from engine.trade.protocol import Request

CLOCK_HEADER = "X-Sim-Time"
HALF_AN_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"status":"succ'


class SimServer:
    """Serves `market` (specs, day, frames, history) and `exchange` at `host`:`port`, `speed` market seconds a second."""

    def __init__(self, market: Any, exchange: Exchange, speed: float = 1.0, token: str = "demo", start_ms: int | None = None,
                 plus: bool = False, line: Line | None = None, feed: Feed | None = None):
        self.rest, self.line = Rest(exchange), line or Line(exchange)
        self.market, self.exchange, self.speed, self.token = market, exchange, speed, token
        self.feed = feed or Feed(market.specs, plus)
        self.candles = Candles(market.specs, market.day)
        self.codes: set[str] = set()
        self.sockets: dict[int, web.WebSocketResponse] = {}
        self.portfolios: list[web.WebSocketResponse] = []
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
            ("GET", "/v3/market-quote/ohlc", self._minutes),
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
                answer = answer | {"data": self.line.shown(self.line.visible(answer["data"], self.now()), self.now())}
            if status == 200 and answer is not None and request.path == "/v2/portfolio/short-term-positions":
                answer = answer | {"data": self.line.positions(answer["data"], self.now())}
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
        """One-minute candles of one key, newest first: of today, or of the days before."""
        key = unquote(request.match_info["key"])
        if key not in self.candles.inst:
            return web.json_response(error(400, "UDAPI100011", "Invalid Instrument key")[1], status=400)
        if not self.feed.has_candles(self.now()):
            return web.json_response(error(503, "UDAPI100500", "a fault of the sim")[1], status=503)
        if "/intraday/" in request.path:
            rows = self.candles.of(key, self.now())
        else:
            bars = self.market.history()
            rows = bars[bars["inst"] == self.candles.inst[key]]
        return web.json_response(success({"candles": [
            [dt.datetime.fromtimestamp(int(r["minute"]) * 60, IST).isoformat(), *(int(r[n]) / 100 for n in (
                "open", "high", "low", "close")), int(r["volume"]), 0] for r in rows[::-1]]})[1])

    async def _minutes(self, request: web.Request) -> web.Response:
        """The last completed minute of up to 500 keys (interval I1)."""
        keys = request.query.get("instrument_key", "").split(",")
        if len(keys) > 500:
            return web.json_response(error(400, "UDAPI100042", "At most 500 instruments")[1], status=400)
        if not self.feed.has_candles(self.now()):
            return web.json_response(error(503, "UDAPI100500", "a fault of the sim")[1], status=503)
        last, out = self.now() // MINUTE_NS - 1, {}
        for key in keys:
            row = self.candles.minute(key, last) if key in self.candles.inst else None
            if row is not None:
                (r,) = row
                out[key.replace("|", ":")] = {"instrument_token": key, "last_price": int(r["close"]) / 100, "live_ohlc": None,
                                              "prev_ohlc": {n: int(r[n]) / 100 for n in ("open", "high", "low", "close")} | {
                                                  "volume": int(r["volume"]), "ts": last * 60_000}}
        return web.json_response(success(out)[1])

    # ---- authorize -----------------------------------------------------------------------------------------------------
    def _url(self, request: web.Request, path: str) -> str:
        code = secrets.token_urlsafe(12)
        self.codes.add(code)
        scheme = "wss" if request.secure else "ws"
        return f"{scheme}://{request.host}{path}?requestId={secrets.token_hex(8)}&code={code}"

    async def _authorize_feed(self, request: web.Request) -> web.Response:
        if (status := self.feed.authorize(self.now())) != 200:
            return web.json_response(error(status, "UDAPI100050" if status == 401 else "", "a fault of the sim")[1], status=status)
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
        self.number += 1
        number = self.number
        status, frames = self.feed.open(number, self.now())
        if status != 101:
            raise web.HTTPForbidden(text="too many connections")
        socket = web.WebSocketResponse(heartbeat=10, compress=False)
        await socket.prepare(request)
        self.sockets[number] = socket
        try:
            for frame in frames:
                await socket.send_bytes(frame)
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    frames, text = self.feed.request(number, message.data, self.now())
                    for frame in frames:
                        await socket.send_bytes(frame)
                    if text:
                        await socket.send_str(text)
                    elif not self.anchor[1]:
                        self.anchor = (time.monotonic(), self._first() * 1_000_000)
                        self.tasks.append(asyncio.create_task(self._play()))
        finally:
            self.feed.close(number)
            self.sockets.pop(number, None)
        return socket

    async def _play(self) -> None:
        """Sends the market as time goes by. A process that was held up drops nothing: it sends late."""
        late: list[tuple[int, int, int, bytes]] = []
        for sent, (at_ms, rows, frame) in enumerate(self.market.frames()):
            behind = at_ms * 1_000_000 - self.now()
            if behind > 2_000_000 * self.speed:
                await asyncio.sleep(behind / 1e9 / self.speed)
            elif sent % 64 == 0:
                await asyncio.sleep(0)
            now = self.now()
            self.exchange.on_rows(rows, now)
            self.candles.on_frame(now, frame)
            for number, code in self.feed.take_closed(now):
                if (socket := self.sockets.get(number)) is not None:
                    asyncio.ensure_future(socket.close(code=code)).add_done_callback(lambda _: None)
            for due, number, data in self.feed.on_rows(now, rows, frame):
                heapq.heappush(late, (due, sent, number, data))
            while late and late[0][0] <= now:
                _, _, number, data = heapq.heappop(late)
                if (socket := self.sockets.get(number)) is not None and not socket.closed:
                    with contextlib.suppress(ConnectionError):
                        await socket.send_bytes(data)
        self.finished.set()

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
