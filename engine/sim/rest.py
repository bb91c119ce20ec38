"""The broker's REST API over one exchange: routes, shapes, codes and rate limits (docs/upstox.md 3, 4). Pure, like the exchange."""
import datetime as dt
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from _ext.core.clock import OPEN_OF_DAY, SECOND
from engine.market.sessions import IST, close_minute, epoch_ms
from engine.sim import requests
from engine.sim.charges import charges, day_at
from engine.sim.exchange import Exchange
from engine.sim.order import Order, error, success

WINDOWS = {True: ((SECOND, 10), (60 * SECOND, 500), (1800 * SECOND, 2000)),
           False: ((SECOND, 50), (60 * SECOND, 500), (1800 * SECOND, 2000))}
"""Order calls; standard calls, each API for itself (docs/upstox.md 4.1)."""
BATCH = 10                         # orders of one cancel-all or exit-all
Answer = tuple[int, dict[str, Any]]
TRADE_FIELDS = ("exchange", "product", "trading_symbol", "tradingsymbol", "instrument_token", "order_type", "transaction_type",
                "quantity", "exchange_order_id", "order_id", "exchange_timestamp", "average_price", "trade_id", "order_ref_id",
                "order_timestamp")


class Rest:
    """`call` is one request. `registered_ip` is what the broker believes of us, `our_ip` where requests come from."""

    def __init__(self, exchange: Exchange):
        self.exchange = exchange
        self.used: dict[str, deque[int]] = {}
        self.registered_ip = self.our_ip = "203.0.113.7"
        self.disabled: set[str] = set()

    def call(self, method: str, path: str, body: Any, params: Mapping[str, str] | None, now: int, at: int | None = None) -> Answer:
        """(status, body) of one REST call. The broker's limits are counted by `at` (ns), where the market's clock may stand."""
        params = params or {}
        is_order = "/order/" in path and method != "GET"
        if not self._allow("orders" if is_order else path, is_order, now if at is None else at):
            return error(429, "UDAPI10005", "Too Many Request Sent")
        if is_order and self.our_ip != self.registered_ip:
            return error(403, "UDAPI1154", "Access to this API has been blocked due to static IP restrictions")
        try:
            requests.look(method, path, body, params)
            route = self.ROUTES.get((method, path))
            if route is not None:
                return route(self, body, params, now)
            for (verb, prefix), handler in self.PREFIXES.items():
                if verb == method and path.startswith(prefix):
                    return handler(self, path[len(prefix):], params, now)
        except requests.Refused as refusal:
            return refusal.status, refusal.body
        return error(404, "UDAPI100060", "Resource not Found")

    def pushed(self, message: Any) -> bytes:
        """A message of the portfolio stream as it is sent."""
        return orjson.dumps(message)

    def _allow(self, name: str, is_order: bool, now: int) -> bool:
        times = self.used.setdefault(name, deque(maxlen=2000))
        for length, limit in WINDOWS[is_order]:
            if len(times) >= limit and times[-limit] > now - length:
                return False
        times.append(now)
        return True

    # ---- orders --------------------------------------------------------------------------------------------------------
    def _place(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        if self._segment(body["instrument_token"]) in self.disabled:
            return error(400, "UDAPI1186", "The segment is switched off")
        return self.exchange.place(body, now)

    def _modify(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return self.exchange.modify(body, now)

    def _cancel(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return self.exchange.cancel(params.get("order_id", ""), now)

    def _cancel_all(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        """Open orders, of one tag or segment where asked for; at most ten a call."""
        mine = [o for o in self.exchange.orders.values() if not o.is_done and params.get("tag", o.tag) == o.tag
                and params.get("segment", self._segment(o.key)) == self._segment(o.key)][:BATCH]
        for order in mine:
            self.exchange.cancel(order.order_id, now)
        return self._batch([o.order_id for o in mine])

    def _exit_all(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        """Ends positions with protected market orders, long ones first; at most ten a call."""
        exchange = self.exchange
        mine = [key for key in exchange.position if exchange.net(key)
                and params.get("segment", self._segment(key)) == self._segment(key)]
        mine.sort(key=lambda key: -exchange.net(key))
        ids = []
        for key in mine[:BATCH]:
            net = exchange.net(key)
            status, answer = exchange.place({
                "quantity": abs(net), "product": "I", "validity": "DAY", "price": 0, "tag": params.get("tag"), "slice": True,
                "instrument_token": key, "order_type": "MARKET", "transaction_type": "SELL" if net > 0 else "BUY",
                "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False, "market_protection": -1}, now)
            if status == 200:
                ids += answer["data"]["order_ids"]
        return self._batch(ids)

    def _batch(self, ids: list[str]) -> Answer:
        return 200, {"status": "success", "data": {"order_ids": ids}, "errors": None,
                     "summary": {"total": len(ids), "success": len(ids), "error": 0}}

    def _book(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success([order.row() for order in self.exchange.orders.values()])

    def _find(self, params: Mapping[str, str]) -> list[Order]:
        return [o for o in self.exchange.orders.values()
                if params.get("order_id", o.order_id) == o.order_id and params.get("tag", o.tag) == o.tag]

    def _details(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        found = self._find(params) if params.get("order_id") else []
        return success(found[-1].row()) if found else error(404, "UDAPI100010", "Order not found")

    def _history(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        if not params.get("order_id") and not params.get("tag"):
            return error(400, "UDAPI100059", "Order id or tag is required")
        found = [row for order in self._find(params) for row in order.log]
        return success(found) if found else error(404, "UDAPI100010", "Order not found")

    def _trades(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success([{name: t.get(name) for name in TRADE_FIELDS} for t in self.exchange.trades
                        if params.get("order_id", t["order_id"]) == t["order_id"]])

    def _historical_trades(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        page, size = int(params.get("page_number", 1)), int(params.get("page_size", 100))
        rows = [{
            "exchange": t["exchange"], "segment": "EQ" if t["exchange"] == "NSE" else "FO", "option_type": "",
            "quantity": t["quantity"], "amount": round(t["quantity"] * t["average_price"], 2), "trade_id": t["trade_id"],
            "trade_date": t["exchange_timestamp"][:10], "transaction_type": t["transaction_type"],
            "scrip_name": t["trading_symbol"], "strike_price": "0.0", "expiry": "", "price": t["average_price"],
            "isin": t["instrument_token"].partition("|")[2], "symbol": t["trading_symbol"],
            "instrument_token": t["instrument_token"]} for t in self.exchange.trades]
        part = rows[(page - 1) * size:page * size]
        status, answer = success(part)
        return status, answer | {"metaData": {"page": {
            "page_number": page, "page_size": size, "total_records": len(rows), "total_pages": -(-len(rows) // size)}}}

    # ---- account -------------------------------------------------------------------------------------------------------
    def _positions(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success(self.exchange.positions())

    def _funds(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        x = self.exchange
        part = {"used_margin": x.used() / 100, "payin_amount": 0.0, "span_margin": 0.0, "adhoc_margin": 0.0, "notional_cash": 0.0,
                "available_margin": x.available() / 100, "exposure_margin": 0.0}
        return success({"equity": part, "commodity": {name: 0.0 for name in part}})

    def _funds_v3(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        x = self.exchange
        realised, unrealised = x.profit()
        return success({
            "available_to_trade": {
                "total": x.available() / 100,
                "cash_available_to_trade": {
                    "total": x.available() / 100,
                    "cash": {"opening_balance": x.cash / 100, "added_today": 0.0, "withdrawn_today": 0.0,
                             "amount_from_stock_sale": 0.0, "unpaid_charges": x.charges() / 100},
                    "margin_used": {"total": x.used() / 100, "mtf": 0.0,
                                    "loss": {"total": min(realised + unrealised, 0) / 100, "realised": min(realised, 0) / 100,
                                             "unrealised": min(unrealised, 0) / 100},
                                    "span_exposure": 0.0, "cash_margin_var_elm": x.used() / 100, "premium_present": 0.0,
                                    "delivery_margin": {"total": 0.0, "equity": 0.0, "fo_settlement": 0.0}}},
                "pledge_available_to_trade": {
                    "margin_from_pledge": {"total": 0.0, "equity": 0.0, "mutual_funds": 0.0},
                    "margin_used": {"total": 0.0}}},
            "unavailable_to_trade": {}})

    def _margin(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        margins = []
        for line in body["instruments"]:
            spec = self.exchange.specs.get(line["instrument_key"])
            if spec is None:
                return error(400, "UDAPI100011", "Invalid instrument key")
            price = line.get("price") or self.exchange.last(spec.key) / 100
            total = round(price * line["quantity"] / 5, 2)
            margins.append({"span_margin": 0.0, "exposure_margin": 0.0, "equity_margin": total, "net_buy_premium": 0.0,
                            "additional_margin": 0.0, "total_margin": total, "tender_margin": 0.0})
        whole = sum(m["total_margin"] for m in margins)
        return success({"margins": margins, "required_margin": whole, "final_margin": whole})

    def _brokerage(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        spec = self.exchange.specs.get(params["instrument_token"])
        if spec is None:
            return error(400, "UDAPI100011", "Invalid instrument key")
        quantity = int(params["quantity"])
        value = Decimal(round(float(params["price"]) * 100) * quantity) / 100
        parts = charges(spec.kind, params["transaction_type"] == "SELL", value, day_at(now))
        rupees = {name: float(part) for name, part in parts.items()}
        return success({"charges": {
            "total": round(sum(rupees.values()), 2), "brokerage": rupees["brokerage"],
            "taxes": {"gst": rupees["gst"], "stt": rupees["stt"], "stamp_duty": rupees["stamp_duty"]},
            "otherTaxes": {"transaction": rupees["transaction"], "clearing": 0.0, "sebi_turnover": rupees["sebi_turnover"]},
            "dpPlan": {"name": "", "min_expense": 0.0}}})

    def _profile(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success({"email": "sim@example.invalid", "exchanges": ["NSE", "NFO"], "products": ["I", "D"], "broker": "UPSTOX",
                        "user_id": "SIM001", "user_name": "SIMULATED USER", "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
                        "user_type": "individual", "poa": False, "is_active": True})

    def _ip(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success({"primary_ip": self.registered_ip, "secondary_ip": None})

    def _kill_switch(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        return success([{"segment": s, "segment_status": "INACTIVE" if s in self.disabled else "ACTIVE",
                         "kill_switch_enabled": s in self.disabled} for s in ("NSE_EQ", "NSE_FO")])

    def _set_kill_switch(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        for line in body:
            segment = line["segment"]
            if any(self._segment(key) == segment and self.exchange.net(key) for key in self.exchange.position):
                return error(400, "UDAPI1184", "Positions are open in the segment")
            if line["action"] == "DISABLE":
                self.disabled.add(segment)
                for order in list(self.exchange.orders.values()):
                    if not order.is_done and self._segment(order.key) == segment:
                        self.exchange.cancel(order.order_id, now)
            elif segment in self.disabled:
                return error(400, "UDAPI1185", "The segment can be switched on again after 12 hours")
        return self._kill_switch(None, params, now)

    @staticmethod
    def _segment(key: str) -> str:
        return key.partition("|")[0]

    # ---- market --------------------------------------------------------------------------------------------------------
    def _keys(self, params: Mapping[str, str]) -> list[str]:
        return [k for k in params["instrument_key"].split(",") if k in self.exchange.specs]

    def _quotes(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        x, out = self.exchange, {}
        stamp = dt.datetime.fromtimestamp(now / 1e9, IST).isoformat()
        for key in self._keys(params):
            spec, row = x.specs[key], x.book.get(key)
            close = int(row["cp"]) if row is not None else spec.price
            levels: dict[str, list[dict[str, Any]]] = {"buy": [], "sell": []}
            if row is not None:
                for level in row["levels"]:
                    levels["buy"].append({"quantity": int(level["bidQ"]), "price": int(level["bidP"]) / 100, "orders": 1})
                    levels["sell"].append({"quantity": int(level["askQ"]), "price": int(level["askP"]) / 100, "orders": 1})
            lower, upper = x.bands(key)
            out[f"{self._segment(key)}:{spec.symbol}"] = {
                "instrument_token": key, "symbol": spec.symbol, "last_price": x.last(key) / 100, "prev_close_price": close / 100,
                "volume": int(row["vtt"]) if row is not None else 0, "average_price": 0.0, "oi": 0.0, "depth": levels,
                "timestamp": stamp, "lower_circuit_limit": lower / 100, "upper_circuit_limit": upper / 100,
                "last_trade_time": str(int(row["ltt"])) if row is not None else "0"}
        return success(out)

    def _ltp(self, body: Any, params: Mapping[str, str], now: int) -> Answer:
        x = self.exchange
        return success({f"{self._segment(key)}:{x.specs[key].symbol}": {
            "last_price": x.last(key) / 100, "instrument_token": key, "ltq": 0, "volume": 0, "cp": x.specs[key].price / 100}
            for key in self._keys(params)})

    def _status(self, rest: str, params: Mapping[str, str], now: int) -> Answer:
        if rest not in ("NSE", "NFO", "BSE", "BFO", "MCX", "CDS", "BCD", "NSCOM"):
            return error(400, "UDAPI1089", "Invalid exchange")
        at = dt.datetime.fromtimestamp(now / 1e9, IST)
        minute = at.hour * 60 + at.minute - OPEN_OF_DAY
        last = close_minute("future" if rest == "NFO" else "equity", False, at.date())
        word = "NORMAL_OPEN" if 0 <= minute < last and at.weekday() < 5 else "NORMAL_CLOSE"
        return success({"exchange": rest, "status": word, "last_updated": now // 1_000_000})

    def _timings(self, rest: str, params: Mapping[str, str], now: int) -> Answer:
        date = requests.day_of(rest)
        if date.weekday() >= 5:
            return success([])
        return success([{"exchange": name, "start_time": epoch_ms(date),
                         "end_time": epoch_ms(date, close_minute(kind, False, date))}
                        for name, kind in (("NSE", "equity"), ("NFO", "future"))])

    def _holidays(self, rest: str, params: Mapping[str, str], now: int) -> Answer:
        if rest:
            requests.day_of(rest.removeprefix("/"))
        return success([])

    ROUTES = {
        ("POST", "/v3/order/place"): _place, ("PUT", "/v3/order/modify"): _modify, ("DELETE", "/v3/order/cancel"): _cancel,
        ("DELETE", "/v2/order/multi/cancel"): _cancel_all, ("POST", "/v2/order/positions/exit"): _exit_all,
        ("GET", "/v2/order/retrieve-all"): _book, ("GET", "/v2/order/details"): _details, ("GET", "/v2/order/history"): _history,
        ("GET", "/v2/order/trades/get-trades-for-day"): _trades, ("GET", "/v2/order/trades"): _trades,
        ("GET", "/v2/charges/historical-trades"): _historical_trades,
        ("GET", "/v2/portfolio/short-term-positions"): _positions,
        ("GET", "/v2/user/get-funds-and-margin"): _funds, ("GET", "/v3/user/get-funds-and-margin"): _funds_v3,
        ("POST", "/v2/charges/margin"): _margin, ("GET", "/v2/charges/brokerage"): _brokerage,
        ("GET", "/v2/user/profile"): _profile, ("GET", "/v2/user/ip"): _ip,
        ("GET", "/v2/user/kill-switch"): _kill_switch, ("POST", "/v2/user/kill-switch"): _set_kill_switch,
        ("GET", "/v3/market-quote/quotes"): _quotes, ("GET", "/v2/market-quote/quotes"): _quotes,
        ("GET", "/v3/market-quote/ltp"): _ltp,
    }
    PREFIXES = {("GET", "/v2/market/status/"): _status, ("GET", "/v2/market/timings/"): _timings,
                ("GET", "/v2/market/holidays"): _holidays}
