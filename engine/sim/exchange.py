"""The sim's broker and exchange as one pure core on virtual time: no clock, no sockets, no randomness of its own.

Every call takes `now` (ns). Answers are (HTTP status, body) with the broker's shapes; what happens to an order later is
in `take_updates`: (due ns, order message). Matching is `_ext/trade/fills`, the model the backtest uses. The routes of the
REST API over it are `engine/sim/rest.py`; what can go wrong between is `engine/sim/faults.py`.
"""
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from _ext.core.clock import MINUTE, day_of_minutes
from _ext.trade.fills import match
from engine.market.instruments import Instrument
from engine.market.sessions import CLOSING_AUCTION_FROM, IST, epoch_ms
from engine.sim.charges import day_at, paise_of
from engine.sim.order import Order, accepted, error

EXCHANGE_NS = 8_000_000            # API to exchange and back to the portfolio stream
SQUARE_OFF = {True: dt.time(15, 10), False: dt.time(15, 25)}
"""The broker's own end of intraday positions: closing-auction stocks, others (docs/upstox.md 8.5)."""
NO_BAND = (0, 10**15)              # paise; of a name whose close nobody knows
AUCTION_MINUTE = 360               # 15:15: what trades in continuous sessions until then
SQUARE_OFF_FEE = 5900              # paise an order: Rs 50 and GST (docs/upstox.md 8.1)


class Exchange:
    """Orders, fills, positions and funds of one account over the instruments `specs`; `cash` in paise."""

    def __init__(self, specs: Iterable[Instrument], cash: int):
        self.specs: dict[str, Instrument] = {s.key: s for s in specs}
        self.cash = cash
        self.orders: dict[str, Order] = {}
        self.working: dict[str, list[Order]] = {}
        self.book: dict[str, np.void] = {}
        self.trades: list[dict[str, Any]] = []
        self.position: dict[str, list[int]] = {}     # key -> bought, bought value, sold, sold value
        self.fees = 0                                # paise of the broker's own square-off orders
        self.veto: Callable[[Order], str] = lambda order: ""
        self.share: Callable[[Order, int], int] = lambda order, quantity: quantity
        self._updates: list[tuple[int, dict[str, Any]]] = []
        self._next = 0
        self.moved: dict[str, tuple[int, int]] = {}    # bands set anew since the morning
        self.slid: dict[str, int] = {}                 # paise the others have slid by
        self._square_off_at: dict[bool, int] = {}
        self._auction_at = 0
        self._days: int = -1

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
        lot = max(self.specs[order.key].lot, 1)
        had, value = match(row["levels"], order.side, order.price, self.share(order, order.quantity - order.filled), lot)
        if had:
            self.book[order.key] = row = row.copy()
            at, shown = ("askP", "askQ") if order.side > 0 else ("bidP", "bidQ")
            left = had
            for level in row["levels"]:
                if level[at] > 0:
                    take = min(left, int(level[shown]) // lot * lot)
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
        order.changed = now
        self.trades.append(order.row() | {
            "quantity": quantity, "average_price": value / quantity / 100, "trade_id": str(len(self.trades) + 1)})
        self._say(order, now)

    def _say(self, order: Order, now: int) -> None:
        if order.is_done and order in self.working.get(order.key, ()):
            self.working[order.key].remove(order)
            if not self.working[order.key]:
                del self.working[order.key]
        order.changed = now
        order.log.append(order.row())
        self._updates.append((now + EXCHANGE_NS, {"update_type": "order", "user_id": "SIM001", "userId": "SIM001",
                                                  **order.log[-1]}))

    def take_updates(self) -> list[tuple[int, dict[str, Any]]]:
        """Order messages since the last call: (due ns, message of the portfolio stream)."""
        out, self._updates = self._updates, []
        return out

    def on_time(self, now: int) -> None:
        """The broker's own square-off: what is still open of an intraday position ends, at a fee an order."""
        day = day_of_minutes(now // MINUTE)
        if day != self._days:
            date = day_at(now)
            self._days = day
            self._square_off_at = {is_cas: round(dt.datetime.combine(date, at, IST).timestamp() * 1e9)
                                   for is_cas, at in SQUARE_OFF.items()}
            self._has_auction = date >= CLOSING_AUCTION_FROM
            self._auction_at = epoch_ms(date, AUCTION_MINUTE) * 1_000_000 if self._has_auction else 0
        for key in list(self.working):
            self._outside(key, now)
        if 0 < self._auction_at <= now:
            self._auction_at = 0
            self._new_ranges(now)
        for is_cas, at in list(self._square_off_at.items()):
            if now >= at:
                del self._square_off_at[is_cas]
                for key, spec in self.specs.items():
                    if (spec.is_cas and spec.kind == "equity" and self._has_auction) == is_cas:
                        self._square_off(key, now)

    def slide(self, key: str, lower: int, upper: int, now: int) -> None:
        """The exchange sets a band anew (paise), and cancels what rests outside."""
        self.moved[key] = (lower, upper)
        self._outside(key, now)

    def _outside(self, key: str, now: int) -> None:
        lower, upper = self.bands(key)
        for order in list(self.working.get(key, ())):
            if not lower <= order.price <= upper or (order.trigger and not lower <= order.trigger <= upper):
                order.status, order.message = "cancelled", "cancelled by the exchange: outside the price band"
                self._say(order, now)

    def _new_ranges(self, now: int) -> None:
        """The closing auction begins: futures of its stocks trade within 3 % of the reference from now on."""
        for key, spec in self.specs.items():
            stock = self.specs.get(spec.underlying)
            if spec.kind == "future" and stock is not None and stock.is_cas and key in self.book:
                last = self.last(key)
                self.slide(key, -(-last * 97 // 100 // spec.tick) * spec.tick, last * 103 // 100 // spec.tick * spec.tick, now)

    def _square_off(self, key: str, now: int) -> None:
        for order in list(self.working.get(key, ())):
            order.status, order.message = "cancelled", "cancelled for the intraday square-off"
            self._say(order, now)
        net = self.net(key)
        if net:
            spec = self.specs[key]
            side = -1 if net > 0 else 1
            self._next += 1
            order = Order(f"{now // 1_000_000_000 % 10**9:09d}{self._next:06d}", key, side, abs(net), "LIMIT",
                          self._protected(key, side, 0, 3), 0, None, placed=now, placed_by="RMS",
                          body={"symbol": spec.symbol, "product": "I"})
            self.orders[order.order_id] = order
            self.fees += SQUARE_OFF_FEE
            order.status = "open"
            self.working.setdefault(key, []).append(order)
            self._match(order, now)

    def net(self, key: str) -> int:
        """Signed quantity held of one name."""
        bought, _, sold, _ = self.position.get(key, (0, 0, 0, 0))
        return bought - sold

    # ---- orders ------------------------------------------------------------------------------------------------------
    def place(self, body: Mapping[str, Any], now: int) -> tuple[int, dict[str, Any]]:
        """A body of the form that requests.PLACE is."""
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
        if order_type == "SL" and (trigger - price) * side > 0:
            return error(400, "UDAPI1037" if side > 0 else "UDAPI1038", "The trigger lies on the wrong side of the price")
        self._next += 1
        order = Order(f"{now // 1_000_000_000 % 10**9:09d}{self._next:06d}", body["instrument_token"], side, quantity,
                      order_type, price, trigger, body.get("tag"), placed=now,
                      body={"symbol": spec.symbol, "product": body["product"],
                            "exchange": "NSE" if spec.kind == "equity" else "NFO"})
        self.orders[order.order_id] = order
        self._accept(order, spec, now)
        return accepted({"order_ids": [order.order_id]})

    def _protected(self, key: str, side: int, trigger: int, percent: float) -> int:
        """A market order's limit: last price or trigger plus the protection, on the grid."""
        base = trigger or int(self.book[key]["ltp"]) if key in self.book else trigger
        tick = self.specs[key].tick
        return round(base * (1 + side * (percent if percent > 0 else 1) / 100)) // tick * tick

    def _accept(self, order: Order, spec: Instrument, now: int) -> None:
        reason = self.veto(order)
        if reason:
            pass
        elif order.quantity % spec.lot:
            reason = f"Quantity is not a multiple of lot size {spec.lot}"
        elif order.quantity > spec.freeze:
            reason = f"Quantity exceeds freeze quantity {spec.freeze}"
        elif order.price <= 0 or order.price % spec.tick or order.trigger % spec.tick:
            reason = "Price is not a multiple of the tick size"
        elif not self._is_inside(order.key, order.price, order.trigger):
            reason = "The price is outside the circuit limits"
        elif order.quantity * order.price > 5 * self.available() and not self._reduces(order):
            reason = "Insufficient funds"
        if reason:
            self._say(order, now)                     # first received, then turned down: HTTP success was no promise
            order.status, order.message = "rejected", reason
            self._say(order, now + 20_000_000)
            return
        order.status = "trigger pending" if order.order_type == "SL" else "open"
        self.working.setdefault(order.key, []).append(order)
        before = order.filled
        self._match(order, now)
        if order.filled == before:
            self._say(order, now)

    def _is_inside(self, key: str, price: int, trigger: int) -> bool:
        lower, upper = self.bands(key)
        return lower <= price <= upper and (not trigger or lower <= trigger <= upper)

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
        if not self._is_inside(order.key, _paise(body["price"]), _paise(body.get("trigger_price") or 0)):
            order.message = "not modified: the price is outside the circuit limits"      # by the exchange, after the API took it
            self._say(order, now)
            return accepted({"order_id": order.order_id})
        order.quantity, order.price = quantity, _paise(body["price"])
        order.trigger, order.order_type = _paise(body.get("trigger_price") or 0), body["order_type"]
        order.status = "trigger pending" if order.order_type == "SL" else "open"
        before = order.filled
        self._match(order, now)
        if order.filled == before:
            self._say(order, now)
        return accepted({"order_id": order.order_id})

    def cancel(self, order_id: str, now: int) -> tuple[int, dict[str, Any]]:
        order = self.orders.get(order_id)
        if order is None:
            return error(400, "UDAPI100010", "Order not found")
        if order.is_done:
            return error(400, "UDAPI100040", "Order cannot be cancelled as it is already completed or cancelled")
        order.status = "cancelled"
        self._say(order, now)
        return accepted({"order_id": order_id})

    # ---- the account -------------------------------------------------------------------------------------------------
    def last(self, key: str) -> int:
        """Last price in paise; before the first trade yesterday's close."""
        return int(self.book[key]["ltp"]) if key in self.book else self.specs[key].price

    def bands(self, key: str) -> tuple[int, int]:
        """Circuit limits by now: as they were last set, else those of the specification, else 10 % about yesterday's close, for an
        option (whose range goes by its delta) what 10 % of its strike would make of it at most; on the grid; both edges slide by
        5 % where the price comes within 1 % of one."""
        if key in self.moved:
            return self.moved[key]
        spec = self.specs[key]
        close = int(self.book[key]["cp"]) if key in self.book and self.book[key]["cp"] > 0 else spec.price
        lower, upper = spec.lower, spec.upper
        if not lower and not upper:
            if close <= 0:
                return NO_BAND
            room = (spec.strike if spec.kind == "option" else close) // 10
            lower, upper = -(-max(close - room, 1) // spec.tick) * spec.tick, (close + room) // spec.tick * spec.tick
        step, last = max(close // 20 // spec.tick * spec.tick, spec.tick), self.last(key)
        slid = self.slid.get(key, 0)
        while last * 100 > (upper + slid) * 99:
            slid += step
        while last * 100 < (lower + slid) * 101 and lower + slid > step:
            slid -= step
        self.slid[key] = slid
        return lower + slid, upper + slid

    def profit(self) -> tuple[int, int]:
        """(realised, unrealised) of the day in paise, before charges."""
        realised = unrealised = 0
        for key, (bought, bought_value, sold, sold_value) in self.position.items():
            both = min(bought, sold)
            closed = (sold_value * both // sold if sold else 0) - (bought_value * both // bought if bought else 0)
            realised += closed
            unrealised += sold_value - bought_value + (bought - sold) * self.last(key) - closed
        return realised, unrealised

    def positions(self) -> list[dict[str, Any]]:
        """Rows of the short-term positions (docs/upstox.md 3.4); prices in rupees."""
        out = []
        for key, (bought, bought_value, sold, sold_value) in self.position.items():
            net, last, spec = bought - sold, self.last(key), self.specs[key]
            buy_price = bought_value / bought / 100 if bought else 0.0
            sell_price = sold_value / sold / 100 if sold else 0.0
            pnl = (sold_value - bought_value + net * last) / 100
            out.append({
                "exchange": "NSE" if spec.kind == "equity" else "NFO", "multiplier": 1.0, "value": net * last / 100, "pnl": pnl,
                "product": "I", "instrument_token": key, "average_price": buy_price if net >= 0 else sell_price,
                "buy_value": bought_value / 100, "overnight_quantity": 0, "day_buy_value": bought_value / 100,
                "day_buy_price": buy_price, "overnight_buy_amount": 0.0, "overnight_buy_quantity": 0, "day_buy_quantity": bought,
                "day_sell_value": sold_value / 100, "day_sell_price": sell_price, "overnight_sell_amount": 0.0,
                "overnight_sell_quantity": 0, "day_sell_quantity": sold, "quantity": net, "last_price": last / 100,
                "unrealised": pnl if net else 0.0, "realised": 0.0 if net else pnl, "sell_value": sold_value / 100,
                "tradingsymbol": spec.symbol, "trading_symbol": spec.symbol, "close_price": spec.price / 100,
                "buy_price": buy_price, "sell_price": sell_price})
        return out

    def used(self) -> int:
        """Margin: a fifth of what is held."""
        return sum(abs(self.net(key)) * self.last(key) // 5 for key in self.position)

    def available(self) -> int:
        return self.cash - self.used()

    def charges(self) -> int:
        """Paise charged on all orders of the day, the square-off's fees included."""
        return self.fees + sum(paise_of(self.specs[o.key].kind, o.side < 0, o.value, day_at(o.changed))
                               for o in self.orders.values() if o.filled)


def _paise(rupees: Any) -> int:
    return round(float(rupees) * 100)
