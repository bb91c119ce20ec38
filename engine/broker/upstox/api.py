"""The broker's calls by name (docs/upstox.md 3): reads give their data or raise BrokerError, orders give a typed Answer."""
import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from engine.broker.base import Answer, BrokerError, Request, Unreadable
from engine.broker.upstox import answers
from engine.broker.upstox.client import RestClient

PAGE, PAGES = 100, 1000


class Api(RestClient):
    """RestClient with every endpoint the engine and its tools use. Money in rupees, as the broker has it."""

    async def _post(self, path: str, body: Any, params: dict[str, str] | None = None) -> Any:
        answer = await self.call(Request("POST", path, body, params))
        if answer.status not in (200, 207):
            raise BrokerError(answer.status, f"{path} answered {answer.status}: {answers.said(answer.body)}")
        return answers.data_of(answer.body, path)

    async def _record(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return answers.record(await self.data(path, params), path)

    # orders: an Answer, since what a lost one means is protocol.outcome_of's to say
    async def place(self, body: dict[str, Any]) -> Answer:
        return await self.call(Request("POST", "/v3/order/place", body))

    async def modify(self, body: dict[str, Any]) -> Answer:
        return await self.call(Request("PUT", "/v3/order/modify", body))

    async def cancel(self, order_id: str) -> Answer:
        return await self.call(Request("DELETE", "/v3/order/cancel", params={"order_id": order_id}))

    async def cancel_all(self, tag: str | None = None, segment: str | None = None) -> Answer:
        """Open orders of a tag or segment, or all; at most ten a call."""
        params = {name: value for name, value in (("tag", tag), ("segment", segment)) if value}
        return await self.call(Request("DELETE", "/v2/order/multi/cancel", params=params))

    async def exit_all(self, segment: str | None = None) -> Answer:
        """Every intraday position, with protected market orders; at most ten a call."""
        return await self.call(Request("POST", "/v2/order/positions/exit", params={"segment": segment} if segment else None))

    async def book(self) -> list[dict[str, Any]]:
        return await self.rows("/v2/order/retrieve-all")

    async def details(self, order_id: str) -> dict[str, Any]:
        return await self._record("/v2/order/details", {"order_id": order_id})

    async def history(self, tag: str) -> list[dict[str, Any]]:
        """Every state of the orders with a tag; empty where there is none."""
        try:
            return await self.rows("/v2/order/history", {"tag": tag})
        except BrokerError as error:
            if error.code == "UDAPI100010":
                return []
            raise

    async def trades(self) -> list[dict[str, Any]]:
        return [answers.trade(row) for row in await self.rows("/v2/order/trades/get-trades-for-day")]

    async def historical_trades(self, first: dt.date, last: dt.date, segment: str = "EQ") -> list[dict[str, Any]]:
        """All pages; Unreadable where they never end."""
        rows: list[dict[str, Any]] = []
        for page in range(1, PAGES + 1):
            part = await self.rows("/v2/charges/historical-trades", {
                "segment": segment, "start_date": first.isoformat(), "end_date": last.isoformat(), "page_number": str(page),
                "page_size": str(PAGE)})
            rows += part
            if len(part) < PAGE:
                return rows
        raise Unreadable(f"the broker's trades do not end after {PAGES} pages: ask for fewer days")

    # account
    async def positions(self) -> list[dict[str, Any]]:
        return await self.rows("/v2/portfolio/short-term-positions")

    async def funds(self) -> dict[str, Any]:
        return await self.get("/v3/user/get-funds-and-margin")

    async def margin(self, instruments: list[dict[str, Any]]) -> dict[str, Any]:
        return answers.record(await self._post("/v2/charges/margin", {"instruments": instruments}), "the margin")

    async def brokerage(self, key: str, quantity: int, side: str, price: float, product: str = "I") -> dict[str, Any]:
        """Charges of one order in rupees: {"charges": {total, brokerage, taxes, other_taxes}}."""
        data = await self._record("/v2/charges/brokerage", {
            "instrument_token": key, "quantity": str(quantity), "product": product, "transaction_type": side, "price": str(price)})
        charges = answers.record(data.get("charges"), "the charges")
        return data | {"charges": charges | {"total": answers.number(charges.get("total"), "the sum of the charges", 0)}}

    async def profile(self) -> dict[str, Any]:
        """The user: `user_id`, and `is_active` as true or false."""
        data = await self._record("/v2/user/profile")
        return data | {"user_id": answers.text(data.get("user_id"), "the user of the profile", 64),
                       "is_active": answers.truth(data.get("is_active", False), "is_active of the profile")}

    async def static_ip(self) -> dict[str, Any]:
        """The registered addresses (not the one this request came from)."""
        data = await self._record("/v2/user/ip")
        return {name: answers.text(data[name], name, 64) if data.get(name) is not None else None
                for name in ("primary_ip", "secondary_ip")}

    async def kill_switch(self) -> list[dict[str, Any]]:
        return [answers.switch(row) for row in await self.rows("/v2/user/kill-switch")]

    async def switch_segment(self, segment: str, action: str = "DISABLE") -> Answer:
        return await self.call(Request("POST", "/v2/user/kill-switch", [{"segment": segment, "action": action}]))

    # market
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
