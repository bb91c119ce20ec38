"""The broker's REST API over warm aiohttp connections; one client for the sim and for Upstox.

The token goes to *.upstox.com over TLS, or as `demo` to a loopback sim, and nowhere else; no redirect is followed.
"""
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from engine.trade.protocol import Request, error_code

API, ORDERS = "https://api.upstox.com", "https://api-hft.upstox.com"
ORDER_PATHS = ("/order/place", "/order/modify", "/order/cancel")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
USER_AGENT = "spike-engine/0.1"
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class BrokerError(RuntimeError):
    """A read that failed for good. `status` is the HTTP status, 0 for no answer; `code` the broker's, if it said one."""

    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Answer:
    status: int                       # 0: none came
    body: Any
    latency_ns: int
    sim_time: int                     # ns, the sim's clock; 0 from the broker
    headers: dict[str, str] = field(default_factory=dict)


def clean(text: Any) -> str:
    """Broker text made safe for a terminal and a page."""
    return _NOT_PRINTABLE.sub("?", str(text))[:300].replace("<", "(").replace(">", ")")


def funds_of(answer: dict[str, Any]) -> int:
    """Paise available to trade, of the funds v3 answer; BrokerError where it does not say."""
    try:
        return round(float(answer["data"]["available_to_trade"]["total"]) * 100)
    except (KeyError, TypeError, ValueError):
        raise BrokerError(0, "the funds answer does not say what is available to trade") from None


class RestClient:
    """Speaks to `base` (orders to `orders`) with `token`. Raises ValueError for a host the token may not go to."""

    def __init__(self, token: str, base: str = API, orders: str = ORDERS):
        for url in (base, orders):
            parts = urlsplit(url)
            host = parts.hostname or ""
            is_broker = parts.scheme == "https" and (host == "upstox.com" or host.endswith(".upstox.com"))
            if not is_broker and not (host in LOOPBACK and token == "demo"):
                raise ValueError(f"a token may go to *.upstox.com over TLS, and only the token `demo` to a loopback sim; "
                                 f"not to {url}")
        self.base, self.orders = base.rstrip("/"), orders.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": USER_AGENT}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"RestClient({self.base})"

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(keepalive_timeout=75, limit=32)
        self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)

    def renew(self, token: str) -> None:
        """Goes on with another token: the last one died at 03:30."""
        self._headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def check_socket_url(self, url: Any) -> str:
        """The redirect URI, if it stays with the broker (or the sim); BrokerError otherwise."""
        parts, base = urlsplit(str(url or "")), urlsplit(self.base)
        host = parts.hostname or ""
        if base.hostname in LOOPBACK:
            good = host in LOOPBACK
        else:
            good = parts.scheme == "wss" and host.endswith(".upstox.com")
        if not good:
            raise BrokerError(0, f"the redirect to {clean(host)} was refused: it is not the broker's")
        return str(url)

    async def call(self, request: Request) -> Answer:
        """One request; never raises for what the network does: status 0 means no answer came."""
        if self._session is None:
            await self.open()
        assert self._session is not None
        host = self.orders if any(path in request.path for path in ORDER_PATHS) else self.base
        began = time.perf_counter_ns()
        try:
            async with self._session.request(request.method, host + request.path, json=request.body, params=request.params,
                                             headers=self._headers, allow_redirects=False) as response:
                sim_time = int(response.headers.get("X-Sim-Time", "0"))
                try:
                    body = await response.json(content_type=None)
                except ValueError:
                    body = None
                return Answer(response.status, body, time.perf_counter_ns() - began, sim_time, dict(response.headers))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, {"error": type(error).__name__}, time.perf_counter_ns() - began, 0)

    async def get(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """A read; raises BrokerError with what to do when it fails."""
        answer = await self.call(Request("GET", path, params=params))
        if answer.status == 200 and isinstance(answer.body, dict):
            return answer.body
        if answer.status == 401:
            raise BrokerError(401, "the token was refused: it expired at 03:30 or belongs elsewhere; log in again")
        if answer.status == 0:
            raise BrokerError(0, f"no answer from {self.base}: is the network up and the host right?")
        raise BrokerError(answer.status, f"{path} answered {answer.status}: {clean(answer.body)}", error_code(answer.body))

    async def raw(self, path: str) -> bytes:
        """A read of bytes (the sim's own routes)."""
        if self._session is None:
            await self.open()
        assert self._session is not None
        async with self._session.get(self.base + path, headers=self._headers, allow_redirects=False) as response:
            if response.status != 200:
                raise BrokerError(response.status, f"{path} answered {response.status}")
            return await response.read()
