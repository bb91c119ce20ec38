"""The broker's calls by name (UPSTOX 3): reads give their data or raise BrokerError, orders give a typed Answer."""
import datetime as dt
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from engine.trade.broker import Answer, BrokerError, RestClient, clean
from engine.trade.protocol import Request


class Api(RestClient):
    """RestClient with every endpoint the engine and its tools use. Money in rupees, as the broker has it."""

    async def _data(self, path: str, params: dict[str, str] | None = None) -> Any:
        return (await self.get(path, params)).get("data")

    async def _post(self, path: str, body: Any, params: dict[str, str] | None = None) -> Any:
        answer = await self.call(Request("POST", path, body, params))
        if answer.status not in (200, 207) or not isinstance(answer.body, dict):
            raise BrokerError(answer.status, f"{path} answered {answer.status}: {clean(answer.body)}")
        return answer.body.get("data")

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
        return await self._data("/v2/order/retrieve-all") or []

    async def details(self, order_id: str) -> dict[str, Any]:
        return await self._data("/v2/order/details", {"order_id": order_id})

    async def history(self, tag: str) -> list[dict[str, Any]]:
        """Every state of the orders with a tag; empty where there is none."""
        try:
            return await self._data("/v2/order/history", {"tag": tag}) or []
        except BrokerError as error:
            if error.code == "UDAPI100010":
                return []
            raise

    async def trades(self) -> list[dict[str, Any]]:
        return await self._data("/v2/order/trades/get-trades-for-day") or []

    async def historical_trades(self, first: dt.date, last: dt.date, segment: str = "EQ") -> list[dict[str, Any]]:
        """All pages."""
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            part = await self._data("/v2/charges/historical-trades", {
                "segment": segment, "start_date": first.isoformat(), "end_date": last.isoformat(), "page_number": str(page),
                "page_size": "100"}) or []
            rows += part
            if len(part) < 100:
                return rows
            page += 1

    # account
    async def positions(self) -> list[dict[str, Any]]:
        return await self._data("/v2/portfolio/short-term-positions") or []

    async def funds(self) -> dict[str, Any]:
        return await self.get("/v3/user/get-funds-and-margin")

    async def margin(self, instruments: list[dict[str, Any]]) -> dict[str, Any]:
        return await self._post("/v2/charges/margin", {"instruments": instruments})

    async def brokerage(self, key: str, quantity: int, side: str, price: float, product: str = "I") -> dict[str, Any]:
        """Charges of one order in rupees: {"charges": {total, brokerage, taxes, other_taxes}}."""
        return await self._data("/v2/charges/brokerage", {
            "instrument_token": key, "quantity": str(quantity), "product": product, "transaction_type": side, "price": str(price)})

    async def profile(self) -> dict[str, Any]:
        return await self._data("/v2/user/profile")

    async def static_ip(self) -> dict[str, Any]:
        """The registered addresses (not the one this request came from)."""
        return await self._data("/v2/user/ip")

    async def kill_switch(self) -> list[dict[str, Any]]:
        return await self._data("/v2/user/kill-switch") or []

    async def set_kill_switch(self, segment: str, action: str = "DISABLE") -> Any:
        return await self._post("/v2/user/kill-switch", [{"segment": segment, "action": action}])

    # market
    async def quotes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """At most 500 keys a call; instrument key -> quote."""
        wanted, out = list(keys), {}
        for part in range(0, len(wanted), 500):
            data = await self._data("/v3/market-quote/quotes", {"instrument_key": ",".join(wanted[part:part + 500])}) or {}
            out.update({str(row.get("instrument_token")): row for row in data.values()})
        return out

    async def last_minutes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The last completed minute of up to 500 keys: instrument key -> {open, high, low, close, volume, ts}."""
        data = await self._data("/v3/market-quote/ohlc", {"instrument_key": ",".join(keys), "interval": "I1"}) or {}
        return {str(row.get("instrument_token")): row["prev_ohlc"] for row in data.values() if row.get("prev_ohlc")}

    async def today(self, key: str) -> list[list[Any]]:
        """One-minute candles of today, newest first: [time, open, high, low, close, volume, oi]."""
        data = await self._data(f"/v3/historical-candle/intraday/{quote(key, safe='')}/minutes/1") or {}
        return data.get("candles") or []

    async def candles(self, key: str, first: dt.date, last: dt.date) -> list[list[Any]]:
        """One-minute candles from `first` to `last`, both inclusive, at most a month, newest first; today is not among them."""
        data = await self._data(f"/v3/historical-candle/{quote(key, safe='')}/minutes/1/{last}/{first}") or {}
        return data.get("candles") or []

    async def market_status(self, exchange: str = "NSE") -> str:
        return str((await self._data(f"/v2/market/status/{quote(exchange)}") or {}).get("status", ""))

    async def holidays(self) -> list[dict[str, Any]]:
        return await self._data("/v2/market/holidays") or []

    async def timings(self, day: dt.date) -> list[dict[str, Any]]:
        """Sessions of a day: {exchange, start_time, end_time} in ms; empty when all is closed."""
        return await self._data(f"/v2/market/timings/{day.isoformat()}") or []
