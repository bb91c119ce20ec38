"""The broker's calls by name (docs/upstox.md 3): reads give their data or raise BrokerError, orders give a typed Answer."""
import datetime as dt
from typing import Any

from engine.broker.base import Answer, BrokerError, Request, Unreadable
from engine.broker.upstox import answers
from engine.broker.upstox.market import Market

PAGE, PAGES = 100, 1000


class Api(Market):
    """Every endpoint the engine and its tools use: what the market says, and the account with its orders. Money in rupees, as the
    broker has it."""

    async def _post(self, path: str, body: Any, params: dict[str, str] | None = None) -> Any:
        answer = await self.call(Request("POST", path, body, params))
        if answer.status not in (200, 207):
            raise BrokerError(answer.status, f"{path} answered {answer.status}: {answers.said(answer.body)}")
        return answers.data_of(answer.body, path)

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
