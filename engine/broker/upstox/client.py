"""The broker's REST API over warm aiohttp connections; one client for the sim and for Upstox.

The token goes to *.upstox.com over TLS, or as `demo` to a loopback sim, and nowhere else; no redirect is followed.
"""
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from engine.broker.base import Answer, BrokerError, Request, Unreadable
from engine.broker.upstox import answers
from engine.broker.upstox.answers import clean
from engine.broker.upstox.protocol import error_code

API, ORDERS = "https://api.upstox.com", "https://api-hft.upstox.com"
ORDER_PATHS = ("/order/place", "/order/modify", "/order/cancel")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
USER_AGENT = "spike-engine/0.1"
RAW = 64 << 20
"""Bytes of the sim's own routes."""


Guard = Callable[[Any, Any, aiohttp.TraceRequestStartParams], Awaitable[None]]
"""Sees every request of a session before it is sent, and may raise."""


def session(timeout: aiohttp.ClientTimeout = TIMEOUT, connector: aiohttp.BaseConnector | None = None,
            guards: Sequence[Guard] = ()) -> aiohttp.ClientSession:
    """A client session whose answers go through `answers`: it keeps no cookies, follows no redirect and
    unpacks nothing by itself."""
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_stay)
    trace.on_request_start.extend(guards)
    return aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers, auto_decompress=False,
                                 cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace])


async def _stay(*_: Any) -> None:
    """A handshake follows redirects, which nobody has checked, and cannot be told not to."""
    raise aiohttp.ClientConnectionError("a redirect is not followed")


class RestClient:
    """Speaks to `base` (orders to `orders`) with `token`. Raises ValueError for a host the token may not go to."""

    guards: tuple[Guard, ...] = ()

    def __init__(self, token: str, base: str = API, orders: str = ORDERS):
        for url in (base, orders):
            parts = urlsplit(url)
            host = parts.hostname or ""
            is_broker = parts.scheme == "https" and (host == "upstox.com" or host.endswith(".upstox.com"))
            if not is_broker and not (host in LOOPBACK and token == "demo"):
                raise ValueError(f"a token may go to *.upstox.com over TLS, and only the token `demo` to a loopback sim; "
                                 f"not to {url}")
        self.base, self.orders = base.rstrip("/"), orders.rstrip("/")
        self.is_sim = urlsplit(self.base).hostname in LOOPBACK
        self.on_note: Callable[[str], Any] = lambda text: None
        """Is told what was left out of an answer."""
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"RestClient({self.base})"

    async def open(self) -> None:
        self._session = session(connector=aiohttp.TCPConnector(keepalive_timeout=75, limit=32), guards=self.guards)

    def renew(self, token: str) -> None:
        """Goes on with another token: the last one died at 03:30."""
        self._headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def check_socket_url(self, url: Any) -> str:
        """The redirect URI, if it stays with the broker (or the sim); BrokerError otherwise."""
        said = url if isinstance(url, str) and len(url) <= 4096 and url.isascii() and url.isprintable() else ""
        try:
            parts = urlsplit(said)
            host, is_good = parts.hostname or "", parts.username is None and parts.port != 0
            is_good &= parts.hostname in LOOPBACK if self.is_sim else parts.scheme == "wss" and host.endswith(".upstox.com")
        except ValueError:
            host, is_good = "", False
        if not is_good:
            raise BrokerError(0, f"the redirect to {clean(host) or 'nowhere'} was refused: it is not the broker's")
        return said

    async def socket_url(self, path: str, params: dict[str, str] | None = None) -> str:
        """Asks for a socket's address: it works once."""
        data = answers.record(await self.data(path, params), path)
        return self.check_socket_url(data.get("authorized_redirect_uri") or data.get("authorizedRedirectUri"))

    @asynccontextmanager
    async def order_stream(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """The portfolio stream's socket: messages about orders, as text."""
        url = await self.socket_url("/v2/feed/portfolio-stream-feed/authorize", {"update_types": "order"})
        assert self._session is not None
        async with self._session.ws_connect(url, heartbeat=10, max_msg_size=answers.SMALL) as socket:
            yield socket

    async def call(self, request: Request) -> Answer:
        """One request; never raises for what the network or the other side does: status 0 means no answer came, body None one that
        nobody can read."""
        if self._session is None:
            await self.open()
        assert self._session is not None
        host = self.orders if any(path in request.path for path in ORDER_PATHS) else self.base
        began = time.perf_counter_ns()
        try:
            async with self._session.request(request.method, host + request.path, json=request.body, params=request.params,
                                             headers=self._headers, allow_redirects=False) as response:
                sim_time = answers.clock_of(response.headers.get("X-Sim-Time")) if self.is_sim else 0
                limit = answers.limit_of(request.path, response.status)
                try:
                    body = answers.parse(await answers.body_of(response, limit), limit)
                except Unreadable:
                    body = None
                return Answer(response.status, body, time.perf_counter_ns() - began, sim_time,
                              answers.date_of(response.headers.get("Date")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, {"error": type(error).__name__}, time.perf_counter_ns() - began, 0)

    async def get(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """A read; raises BrokerError with what to do when it fails."""
        answer = await self.call(Request("GET", path, params=params))
        if answer.status == 200:
            if not isinstance(answer.body, dict):
                raise Unreadable(f"{path}: the answer was not understood")
            return answer.body
        if answer.status == 401:
            raise BrokerError(401, "the token was refused: it expired at 03:30 or belongs elsewhere; log in again")
        if answer.status == 0:
            raise BrokerError(0, f"no answer from {self.base}: is the network up and the host right?")
        raise BrokerError(answer.status, f"{path} answered {answer.status}: {answers.said(answer.body)}", error_code(answer.body))

    async def data(self, path: str, params: dict[str, str] | None = None) -> Any:
        """The data of a read; Unreadable where there is none."""
        return answers.data_of(await self.get(path, params), path)

    async def rows(self, path: str, params: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """The rows of a read: all or none, since one left out would be an order or a position that is not there."""
        return [answers.record(row, f"a row of {path}") for row in answers.rows(await self.data(path, params), path)]

    async def raw(self, path: str) -> bytes:
        """A read of bytes (the sim's own routes)."""
        if self._session is None:
            await self.open()
        assert self._session is not None
        try:
            async with self._session.get(self.base + path, headers=self._headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise BrokerError(response.status, f"{path} answered {response.status}")
                return await answers.body_of(response, RAW)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise BrokerError(0, f"no answer from {self.base}: is the network up and the host right?") from None
