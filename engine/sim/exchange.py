"""The sim's broker and exchange as one pure core on virtual time: no clock, no sockets, no randomness of its own.

Every call takes `now` (ns). Answers are (HTTP status, body) with the broker's shapes; what happens to an order later is
in `take_updates`: (due ns, order message). Matching is `_ext/trade/fills`, the model the backtest uses.
"""
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _ext.trade.fills import charges_of, match
from engine.market.instruments import Spec
from engine.market.sessions import IST

EXCHANGE_NS = 8_000_000            # API to exchange and back to the portfolio stream


@dataclass
class Order:
    order_id: str
    key: str
    side: int
    quantity: int
    order_type: str
    price: int                     # paise
    trigger: int
    tag: str | None
    status: str = "put order req received"
    filled: int = 0
    value: int = 0                 # paise x quantity
    message: str = ""
    placed: int = 0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.status in ("complete", "rejected", "cancelled")

    def row(self, now: int) -> dict[str, Any]:
        """The order as book, history and portfolio stream show it (UPSTOX 2, 3.2)."""
        stamp = dt.datetime.fromtimestamp(now / 1e9, IST).strftime("%Y-%m-%d %H:%M:%S")
        average = self.value / self.filled / 100 if self.filled else 0.0
        return {
            "exchange": "NSE", "product": "I", "price": self.price / 100, "quantity": self.quantity,
            "status": self.status, "guid": None, "tag": self.tag, "instrument_token": self.key,
            "instrument_key": self.key, "placed_by": "SIM001", "trading_symbol": self.body.get("symbol", ""),
            "tradingsymbol": self.body.get("symbol", ""), "order_type": self.order_type, "validity": "DAY",
            "trigger_price": self.trigger / 100, "disclosed_quantity": 0,
            "transaction_type": "BUY" if self.side > 0 else "SELL", "average_price": average,
            "filled_quantity": self.filled, "pending_quantity": self.quantity - self.filled,
            "status_message": self.message, "status_message_raw": None, "exchange_order_id": "1" + self.order_id,
            "parent_order_id": None, "order_id": self.order_id, "variety": "SIMPLE", "order_timestamp": stamp,
            "exchange_timestamp": stamp, "is_amo": False, "order_request_id": "1", "order_ref_id": self.order_id}


def error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error in the broker's shape, both spellings (UPSTOX 4.3)."""
    return status, {"status": "error", "errors": [{
        "errorCode": code, "message": message, "propertyPath": None, "invalidValue": None, "error_code": code,
        "property_path": None, "invalid_value": None}]}


def success(data: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"status": "success", "data": data, "metadata": {"latency": 30}}


class Exchange:
    """Orders, fills, positions and funds of one account over the instruments `specs`; `cash` in paise."""

    def __init__(self, specs: Iterable[Spec], cash: int):
        self.specs: dict[str, Spec] = {s.key: s for s in specs}
        self.cash = cash
        self.orders: dict[str, Order] = {}
        self.working: dict[str, list[Order]] = {}
        self.book: dict[str, np.void] = {}
        self.trades: list[dict[str, Any]] = []
        self.position: dict[str, list[int]] = {}     # key -> bought, bought value, sold, sold value
        self._updates: list[tuple[int, dict[str, Any]]] = []
        self._next = 0

    # ---- the market ------------------------------------------------------------------------------------------------
    def on_rows(self, rows: np.ndarray, now: int) -> None:
        """A market update: what is shown of each key, and what that fills."""
        for row in rows:
            key = row["key"].decode()
            if key in self.working:            # what an order takes is gone until the next update shows more
                row = row.copy()
            self.book[key] = row
            if key in self.working:
                for order in list(self.working[key]):
                    self._match(order, now)

    def _match(self, order: Order, now: int) -> None:
        row = self.book.get(order.key)
        if row is None or order.is_done:
            return
        if order.order_type == "SL" and order.status == "trigger pending":
            price = int(row["ltp"])
            if price <= 0 or (price - order.trigger) * order.side < 0:
                return
            order.status = "open"
        had, value = match(row["levels"], order.side, order.price, order.quantity - order.filled)
        if had:
            self.book[order.key] = row = row.copy()
            at, shown = ("askP", "askQ") if order.side > 0 else ("bidP", "bidQ")
            left = had
            for level in row["levels"]:
                if level[at] > 0:
                    take = min(left, int(level[shown]))
                    level[shown] -= take
                    left -= take
            self._fill(order, had, value, now)

    def _fill(self, order: Order, quantity: int, value: int, now: int) -> None:
        order.filled += quantity
        order.value += value
        order.status = "complete" if order.filled == order.quantity else "open"
        held = self.position.setdefault(order.key, [0, 0, 0, 0])
        held[0 if order.side > 0 else 2] += quantity
        held[1 if order.side > 0 else 3] += value
        row = order.row(now)
        self.trades.append({name: row[name] for name in (
            "exchange", "product", "trading_symbol", "instrument_token", "order_type", "transaction_type",
            "exchange_order_id", "order_id", "exchange_timestamp", "order_ref_id", "order_timestamp")} | {
            "quantity": quantity, "average_price": value / quantity / 100, "trade_id": str(len(self.trades) + 1)})
        self._say(order, now)

    def _say(self, order: Order, now: int) -> None:
        if order.is_done and order in self.working.get(order.key, ()):
            self.working[order.key].remove(order)
            if not self.working[order.key]:
                del self.working[order.key]
        self._updates.append((now + EXCHANGE_NS, {"update_type": "order", "user_id": "SIM001", "userId": "SIM001",
                                                  **order.row(now)}))

    def take_updates(self) -> list[tuple[int, dict[str, Any]]]:
        """Order messages since the last call: (due ns, message of the portfolio stream)."""
        out, self._updates = self._updates, []
        return out

    # ---- orders ------------------------------------------------------------------------------------------------------
    def place(self, body: Mapping[str, Any], now: int) -> tuple[int, dict[str, Any]]:
        for name in ("quantity", "product", "validity", "price", "instrument_token", "order_type", "transaction_type",
                     "disclosed_quantity", "trigger_price", "is_amo"):
            if body.get(name) is None:
                return error(400, "UDAPI100036", f"{name} is required")
        spec = self.specs.get(body["instrument_token"])
        if spec is None:
            return error(400, "UDAPI100011", "Invalid instrument key")
        if len(body.get("tag") or "") > 40:
            return error(400, "UDAPI1119", "The tag is longer than 40 characters")
        if body["order_type"] in ("MARKET", "SL-M") and not body.get("market_protection", -1):
            return error(400, "UDAPI1158", "Market orders need market protection")
        quantity, price, trigger = int(body["quantity"]), _paise(body["price"]), _paise(body["trigger_price"])
        if quantity <= 0:
            return error(400, "UDAPI1052", "Quantity cannot be zero")
        side = 1 if body["transaction_type"] == "BUY" else -1
        order_type = body["order_type"]
        if order_type in ("MARKET", "SL-M"):
            price = self._protected(body["instrument_token"], side, trigger, float(body.get("market_protection", -1)))
            order_type = "LIMIT" if order_type == "MARKET" else "SL"
        if order_type == "SL" and trigger <= 0:
            return error(400, "UDAPI1031", "Trigger price is required")
        self._next += 1
        order = Order(f"{now // 1_000_000_000 % 10**9:09d}{self._next:06d}", body["instrument_token"], side, quantity,
                      order_type, price, trigger, body.get("tag"), placed=now, body={"symbol": spec.symbol})
        self.orders[order.order_id] = order
        self._accept(order, spec, now)
        return success({"order_ids": [order.order_id]})

    def _protected(self, key: str, side: int, trigger: int, percent: float) -> int:
        """A market order's limit: last price or trigger plus the protection, on the grid."""
        base = trigger or int(self.book[key]["ltp"]) if key in self.book else trigger
        tick = self.specs[key].tick
        return round(base * (1 + side * (percent if percent > 0 else 1) / 100)) // tick * tick

    def _accept(self, order: Order, spec: Spec, now: int) -> None:
        reason = ""
        if order.quantity % spec.lot:
            reason = f"Quantity is not a multiple of lot size {spec.lot}"
        elif order.quantity > spec.freeze:
            reason = f"Quantity exceeds freeze quantity {spec.freeze}"
        elif order.price <= 0 or order.price % spec.tick or order.trigger % spec.tick:
            reason = "Price is not a multiple of the tick size"
        elif order.quantity * order.price > 5 * self._available() and not self._reduces(order):
            reason = "Insufficient funds"
        if reason:
            order.status, order.message = "rejected", reason
            self._say(order, now)
            return
        order.status = "trigger pending" if order.order_type == "SL" else "open"
        self.working.setdefault(order.key, []).append(order)
        before = order.filled
        self._match(order, now)
        if order.filled == before:
            self._say(order, now)

    def _reduces(self, order: Order) -> bool:
        held = self.position.get(order.key, [0, 0, 0, 0])
        return (held[0] - held[2]) * order.side < 0

    def modify(self, body: Mapping[str, Any], now: int) -> tuple[int, dict[str, Any]]:
        order = self.orders.get(str(body.get("order_id")))
        if order is None:
            return error(400, "UDAPI100010", "Order not found")
        if order.is_done:
            return error(400, "UDAPI100041", "Order cannot be modified as it is already completed or cancelled")
        quantity = int(body.get("quantity") or order.quantity)
        if quantity <= order.filled:
            return error(400, "UDAPI1052", "Quantity must be more than what is filled")
        order.quantity, order.price = quantity, _paise(body["price"])
        order.trigger, order.order_type = _paise(body.get("trigger_price") or 0), body["order_type"]
        order.status = "trigger pending" if order.order_type == "SL" else "open"
        before = order.filled
        self._match(order, now)
        if order.filled == before:
            self._say(order, now)
        return success({"order_id": order.order_id})

    def cancel(self, order_id: str, now: int) -> tuple[int, dict[str, Any]]:
        order = self.orders.get(order_id)
        if order is None:
            return error(400, "UDAPI100010", "Order not found")
        if order.is_done:
            return error(400, "UDAPI100040", "Order cannot be cancelled as it is already completed or cancelled")
        order.status = "cancelled"
        self._say(order, now)
        return success({"order_id": order_id})

    def call(self, method: str, path: str, body: Mapping[str, Any] | None, params: Mapping[str, str] | None,
             now: int) -> tuple[int, dict[str, Any]]:
        """One REST call of the account, by method and path."""
        params = params or {}
        match (method, path):
            case ("POST", "/v3/order/place"):
                return self.place(body or {}, now)
            case ("PUT", "/v3/order/modify"):
                return self.modify(body or {}, now)
            case ("DELETE", "/v3/order/cancel"):
                return self.cancel(params.get("order_id", ""), now)
            case ("GET", "/v2/order/retrieve-all"):
                return success([order.row(now) for order in self.orders.values()])
            case ("GET", "/v2/order/details" | "/v2/order/history"):
                found = [o.row(now) for o in self.orders.values()
                         if params.get("order_id", o.order_id) == o.order_id and params.get("tag", o.tag) == o.tag]
                if not found:
                    return error(404, "UDAPI100010", "Order not found")
                return success(found[-1] if path.endswith("details") else found)
            case ("GET", "/v2/order/trades/get-trades-for-day"):
                return success(self.trades)
            case ("GET", "/v2/portfolio/short-term-positions"):
                return success(self.positions())
            case ("GET", "/v2/user/get-funds-and-margin"):
                return success({"equity": {"used_margin": self._used() / 100, "payin_amount": 0, "span_margin": 0,
                                           "adhoc_margin": 0, "notional_cash": 0, "exposure_margin": 0,
                                           "available_margin": self._available() / 100}})
            case ("GET", "/v3/user/get-funds-and-margin"):
                return success({"available_to_trade": {
                    "total": self._available() / 100,
                    "cash_available_to_trade": {"total": self._available() / 100,
                                                "cash": {"opening_balance": self.cash / 100, "added_today": 0},
                                                "margin_used": {"total": self._used() / 100}}}})
        return error(404, "UDAPI100060", "Resource not Found")

    # ---- the account -------------------------------------------------------------------------------------------------
    def positions(self) -> list[dict[str, Any]]:
        out = []
        for key, (bought, bought_value, sold, sold_value) in self.position.items():
            net, last = bought - sold, int(self.book[key]["ltp"]) if key in self.book else 0
            out.append({
                "exchange": "NSE", "multiplier": 1.0, "product": "I", "instrument_token": key, "quantity": net,
                "trading_symbol": self.specs[key].symbol, "day_buy_quantity": bought, "day_sell_quantity": sold,
                "buy_value": bought_value / 100, "sell_value": sold_value / 100,
                "buy_price": bought_value / bought / 100 if bought else 0.0,
                "sell_price": sold_value / sold / 100 if sold else 0.0, "last_price": last / 100,
                "average_price": 0.0, "overnight_quantity": 0,
                "pnl": (sold_value - bought_value + net * last) / 100})
        return out

    def _used(self) -> int:
        """Margin: a fifth of what is held."""
        return sum(abs(b - s) * int(self.book[key]["ltp"]) // 5 if key in self.book else 0
                   for key, (b, _, s, _) in self.position.items())

    def _available(self) -> int:
        return self.cash - self._used()

    def charges(self) -> int:
        """Paise charged on all orders of the day."""
        return sum(charges_of(0, o.side, o.filled, o.value) for o in self.orders.values() if o.filled)


def _paise(rupees: Any) -> int:
    return round(float(rupees) * 100)
