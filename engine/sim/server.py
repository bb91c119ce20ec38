"""The sim's sockets: REST, market data feed V3 and portfolio stream over the pure cores, on a clock of its own.

The protocol is the broker's (docs/upstox.md 1, 2, 3): authorize with a one-time code or a 302, binary JSON requests, market_info
then initial_feed then live_feed, silent caps, order messages as text. Every reply and frame carries the sim's time, which
begins with the first subscription, order or look at prices, runs at `speed` and never beyond the market that has been sent.
"""
import asyncio
import contextlib
import datetime as dt
import gc
import heapq
import json
import logging
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from _ext.core.clock import MINUTE
from engine.broker.base import Request
from engine.market.sessions import IST, epoch_ms
from engine.sim.candles import Candles
from engine.sim.exchange import Exchange
from engine.sim.faults import Network
from engine.sim.feed import Feed
from engine.sim.order import error, success
from engine.sim.pace import Pace, words
from engine.sim.player import PATIENCE_S, FeedSocket, Player
from engine.sim.requests import CANDLES, LOOPBACK, Refused, body_of, is_local, look, malformed
from engine.sim.rest import Rest
from engine.trail.note import Note

CLOCK_HEADER = "X-Sim-Time"
FEED = "/market-data-feeder/v3/upstox-developer-api/feeds"
PORTFOLIO = "/portfolio-stream-feeder/v2/upstox-developer-api/feeds"
LOOKS = ("/market-quote/", "/historical-candle/intraday/", "/market/status/")
"""Requests that begin the market's day, as orders and subscriptions do; reads of the account, which a client makes to get
ready, do not."""
SILENT = logging.getLogger("engine.sim.http")
SILENT.setLevel(logging.CRITICAL + 1)
"""The library's: it writes a traceback for every request that is not HTTP, which it answers with a 400."""
STATE_S, SWITCH_S = 0.5, 0.0005
"""Between two writings of the state; for how long the thread that makes the market may hold the interpreter."""
SETTLE_S, SETTLE_MARKET_S = 1.0, 5.0
"""After the last frame: what is still under way arrives."""
HALF_AN_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"status":"succ'


class SimServer:
    """Serves `market` (specs, day, frames, history) and `exchange` at `host`:`port`, `speed` market seconds a second. `hosts`: the
    names it may be called by besides those of this machine."""

    def __init__(self, market: Any, exchange: Exchange, speed: float = 1.0, token: str = "demo", start_ms: int | None = None,
                 plus: bool = False, line: Network | None = None, feed: Feed | None = None, hosts: Iterable[str] = ()):
        self.rest, self.line = Rest(exchange), line or Network(exchange)
        self.hosts = {*LOOPBACK, *(host.lower() for host in hosts)}
        self.market, self.exchange, self.speed, self.token = market, exchange, speed, token
        self.feed = feed or Feed(market.specs, plus)
        self.candles = Candles(market.specs, market.day)
        self.codes: set[str] = set()
        self.sockets: dict[int, FeedSocket] = {}
        self.portfolios: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self.pace = Pace(speed, (start_ms if start_ms is not None else epoch_ms(market.day)) * 1_000_000)
        self.player = Player(self.pace, exchange, self.candles, self.feed, self.sockets)
        self.has_begun = False
        self.finished = asyncio.Event()                 # the market has ended, or failed
        self.failure: BaseException | None = None
        self.told: list[tuple[int, int, str]] = []      # order messages on their way: due, number, text
        self.number = 0
        self.runner: web.AppRunner | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0

    # ---- life ----------------------------------------------------------------------------------------------------------
    async def start(self, host: str = "127.0.0.1", port: int = 0, ssl: Any = None) -> int:
        """Listens; the port. The market waits for somebody to look. OSError when the port is taken."""
        app = web.Application(middlewares=[self._guard])
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("GET", "/v3/feed/market-data-feed/authorize", self._authorize_feed),
            ("GET", "/v2/feed/portfolio-stream-feed/authorize", self._authorize_portfolio),
            ("GET", "/v3/feed/market-data-feed", self._redirect_feed),
            ("GET", "/v2/feed/portfolio-stream-feed", self._redirect_portfolio),
            ("GET", FEED, self._feed),
            ("GET", PORTFOLIO, self._portfolio),
            ("GET", "/v3/historical-candle/intraday/{key}/{unit}/{interval}", self._candles),
            ("GET", "/v3/historical-candle/{key}/{unit}/{interval}/{to}", self._candles),
            ("GET", "/v3/historical-candle/{key}/{unit}/{interval}/{to}/{from}", self._candles),
            ("GET", "/v3/market-quote/ohlc", self._minutes),
            ("GET", "/sim/instruments", self._instruments),
            ("GET", "/sim/history", self._history),
            ("GET", "/sim/clock", self._clock),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self.runner = web.AppRunner(app, access_log=None, logger=SILENT, shutdown_timeout=1)
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
        return self.pace.now()

    def begin(self) -> None:
        """The market's day begins; once."""
        if not self.has_begun:
            self.has_begun = True
            self.tasks.append(asyncio.create_task(self._play()))

    async def _play(self) -> None:
        try:
            await self.player.play(self.market.frames())
            self.pace.look()
            await asyncio.sleep(max(SETTLE_S, SETTLE_MARKET_S / self.speed))
        except Exception as error:
            self.failure = error
        finally:
            self.finished.set()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Host, origin and token; and whatever goes wrong is said in the broker's words."""
        response: web.StreamResponse
        try:
            self._admit(request)
            response = await handler(request)
        except Refused as refusal:
            response = web.json_response(refusal.body, status=refusal.status)
        except web.HTTPException as exception:
            if exception.status < 400:
                raise
            response = web.json_response(error(exception.status, "UDAPI100036", exception.text or exception.reason)[1],
                                         status=exception.status)
        except ConnectionError:                     # gone while it was asking
            raise
        except Exception as exception:             # the last resort: a request the sim has no answer to is a fault of the sim
            said = " ".join(f"{request.method} {request.path!r}: {type(exception).__name__}: {exception}".split())
            print(said[:300], file=sys.stderr, flush=True)
            response = web.json_response(error(500, "UDAPI100500", "Something went wrong")[1], status=500)
            if request.path in (FEED, PORTFOLIO) and request.transport is not None:
                request.transport.abort()          # HTTP cannot be spoken there any more
        if not isinstance(response, web.WebSocketResponse):
            response.headers[CLOCK_HEADER] = str(self.now())
        return response

    def _admit(self, request: web.Request) -> None:
        """Refuses what a web page could have sent: a loopback server is no protection against pages, nor against a name that
        somebody else's DNS points here (rebinding). And whoever has no token."""
        if not request.raw_path.startswith("/"):    # a whole address, as a proxy is sent: it may name another host than Host does
            raise malformed("a path is needed")
        if not is_local(request.headers.getall("Host", []), request.headers.get("Origin"), self.hosts):
            raise Refused(403, "UDAPI100060", "from a web page, or to a name that is not this sim's (--allow-host adds one)")
        if request.path not in (FEED, PORTFOLIO) and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "UDAPI100050", "Invalid token used to access API")
        if any(look in request.path for look in LOOKS) or ("/order/" in request.path and request.method != "GET"):
            self.begin()

    # ---- REST ----------------------------------------------------------------------------------------------------------
    async def _rest(self, request: web.Request) -> web.Response:
        try:
            body = body_of(await request.read())
        except web.RequestPayloadError:             # compressed, and not as it says
            raise malformed("the body cannot be read") from None
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

    async def _clock(self, request: web.Request) -> web.Response:
        """The time alone, for a client whose feed says nothing: it stands in the reply's header."""
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        """All warm-up bars at once (WARM_BAR bytes): 208 candle requests would take the rate budget of a morning."""
        return web.Response(body=self.market.history().tobytes(), content_type="application/octet-stream")

    async def _candles(self, request: web.Request) -> web.Response:
        """One-minute candles of one key, newest first: of today, or of the days before."""
        CANDLES.look(request.match_info, "the path")
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
        look(request.method, request.path, None, request.query)
        keys = request.query["instrument_key"].split(",")
        if not self.feed.has_candles(self.now()):
            return web.json_response(error(503, "UDAPI100500", "a fault of the sim")[1], status=503)
        last, out = self.now() // MINUTE - 1, {}
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
        url = self._url(request, FEED)
        return web.json_response(success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})[1])

    async def _authorize_portfolio(self, request: web.Request) -> web.Response:
        url = self._url(request, PORTFOLIO)
        return web.json_response(success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})[1])

    async def _redirect_feed(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(self._url(request, FEED))

    async def _redirect_portfolio(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(self._url(request, PORTFOLIO))

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
        assert request.transport is not None
        self.sockets[number] = FeedSocket(socket, request.transport)
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
                    else:
                        self.begin()
        except ConnectionError:
            pass                                        # gone while it was answered
        finally:
            self.feed.close(number)
            self.sockets.pop(number, None)
        return socket

    # ---- portfolio stream ------------------------------------------------------------------------------------------------
    async def _portfolio(self, request: web.Request) -> web.StreamResponse:
        self._spend(request)
        socket = web.WebSocketResponse(heartbeat=10, compress=False)
        await socket.prepare(request)
        self.portfolios[socket] = request.transport
        try:
            async for _ in socket:
                pass
        finally:
            self.portfolios.pop(socket, None)
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
        for socket, transport in list(self.portfolios.items()):
            try:
                await asyncio.wait_for(socket.send_str(text), PATIENCE_S)
            except ConnectionError:
                pass
            except TimeoutError:                           # it reads nothing: the others shall not wait for it for ever
                self.portfolios.pop(socket, None)
                if transport is not None:
                    transport.abort()


async def serve_until(server: SimServer, state: Path | None, is_over: Callable[[], bool] = lambda: False) -> None:
    """Until a signal, a failure of the market or `is_over`: `state`, a file, is kept up to date with what speed is reached; that
    and how late frames were is printed when the market ends, at the latest at the end."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    was_told, note = False, None if state is None else Note(state)
    while not stop.is_set() and server.failure is None and not is_over():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), STATE_S)
        if not server.finished.is_set():
            server.pace.look()
        document = server.pace.document() | {"has_ended": server.finished.is_set()}
        if note is not None:
            note.write(document)
        if not was_told and (server.finished.is_set() or stop.is_set()):
            was_told = True
            print(words(document), flush=True)
    await server.stop()
