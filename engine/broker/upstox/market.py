"""What the broker says of the market, and the client that can ask for nothing else: that of a process that trades on paper."""
import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import aiohttp

from engine.broker.base import BrokerError
from engine.broker.upstox import answers
from engine.broker.upstox.client import API, RestClient

READS = re.compile(r"/v3/feed/market-data-feed/authorize|/v3/market-quote/(?:quotes|ohlc)|/v3/historical-candle/.*"
                   r"|/v2/market/(?:holidays|timings/.*|status/.*)|/sim/.*")
"""Paths a process that trades on paper may ask for: prices, candles, hours, and a sim's own."""


class Market(RestClient):
    """Prices, candles and hours. Money in rupees, as the broker has it."""

    async def _record(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return answers.record(await self.data(path, params), path)

    async def _by_key(self, path: str, params: dict[str, str], take: Callable[[Any], Any]) -> dict[str, Any]:
        """Instrument key -> row of an answer that is a map of rows; what `take` refuses is left out, and `on_note` is told."""
        values = list((await self._record(path, params)).values())
        rows, odd = answers.readable(values, take)
        if odd:
            self.on_note(f"{odd} of {len(values)} rows of {path} were not understood and are left out")
        return {row["instrument_token"]: row for row in rows}

    async def quotes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """At most 500 keys a call; instrument key -> quote."""
        wanted, out = list(keys), {}
        for part in range(0, len(wanted), 500):
            out.update(await self._by_key("/v3/market-quote/quotes", {"instrument_key": ",".join(wanted[part:part + 500])},
                                          answers.quote))
        return out

    async def last_minutes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The last completed minute of up to 500 keys: instrument key -> {open, high, low, close, volume, ts}."""
        found = await self._by_key("/v3/market-quote/ohlc", {"instrument_key": ",".join(keys), "interval": "I1"}, answers.minute)
        return {key: row["prev_ohlc"] for key, row in found.items() if row["prev_ohlc"]}

    async def _candles(self, path: str) -> list[list[Any]]:
        return answers.rows((await self._record(path)).get("candles"), "the candles")

    async def today(self, key: str) -> list[list[Any]]:
        """One-minute candles of today, newest first: [time, open, high, low, close, volume, oi]."""
        return await self._candles(f"/v3/historical-candle/intraday/{quote(key, safe='')}/minutes/1")

    async def candles(self, key: str, first: dt.date, last: dt.date) -> list[list[Any]]:
        """One-minute candles from `first` to `last`, both inclusive, at most a month, newest first; today is not among them."""
        return await self._candles(f"/v3/historical-candle/{quote(key, safe='')}/minutes/1/{last}/{first}")

    async def market_status(self, exchange: str = "NSE") -> str:
        return answers.text((await self._record(f"/v2/market/status/{quote(exchange)}")).get("status"), "the market's status", 64)

    async def holidays(self) -> list[dict[str, Any]]:
        return await self.rows("/v2/market/holidays")

    async def timings(self, day: dt.date) -> list[dict[str, Any]]:
        """Sessions of a day: {exchange, start_time, end_time} in ms; empty when all is closed."""
        return [answers.hours(row) for row in await self.rows(f"/v2/market/timings/{day.isoformat()}")]


class ReadOnly(Market):
    """Asks with GET for what READS has, and for nothing else: from a process whose only client this is no order can be sent, and
    nothing of the account be asked, whatever is called. The session itself refuses, below every method."""

    def __init__(self, token: str, base: str = API):
        super().__init__(token, base, base)
        self.guards = (_only_reads,)


async def _only_reads(_: Any, __: Any, what: aiohttp.TraceRequestStartParams) -> None:
    if what.method != "GET" or not READS.fullmatch(what.url.path):
        raise BrokerError(0, f"{what.method} {what.url.path} was not sent: a run on paper asks for prices, candles and hours alone")
