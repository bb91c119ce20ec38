"""The venue's side: its calls and answers over the sim's exchange, so that two brokers can be told the same day."""
from collections.abc import Mapping
from typing import Any

import orjson

from _ext.core.records import ORDER_TYPES
from engine.sim.exchange import Exchange
from engine.sim.rest import Rest

STATES = {"complete": "F", "cancelled": "X", "rejected": "R", "open": "L", "trigger pending": "L"}
KINDS = {word: number for number, word in enumerate(ORDER_TYPES) if word}


class Gateway:
    """Stands where `engine.sim.rest.Rest` stands."""

    def __init__(self, exchange: Exchange):
        self.exchange, self.rest = exchange, Rest(exchange)

    def call(self, method: str, path: str, body: Any, params: Mapping[str, str] | None, now: int) -> tuple[int, Any]:
        if method != "GET":
            return self._order(path, body["words"], now)
        if path == "book":
            return 200, ["yes", [self._told(order.row()) for order in self.exchange.orders.values()]]
        if path == "positions":
            return 200, ["yes", [[p["instrument_token"], p["quantity"], True] for p in self.exchange.positions()]]
        if path == "funds":
            return 200, ["yes", [self.exchange.available()]]
        names = {"instrument_key": params["names"].replace(" ", ",")}
        _, answer = self.rest.call("GET", "/v3/market-quote/quotes", None, names, now)
        return 200, ["yes", [self._quote(quote) for quote in answer["data"].values()]]

    def _order(self, verb: str, words: list[Any], now: int) -> tuple[int, Any]:
        key, mark, side, kind, quantity, limit, stop, order_id = words
        terms = {"quantity": quantity, "price": limit / 100, "trigger_price": stop / 100, "order_type": ORDER_TYPES[kind],
                 "validity": "DAY", "disclosed_quantity": 0}
        if verb == "new":
            status, answer = self.exchange.place(terms | {"product": "I", "tag": mark, "slice": False, "instrument_token": key,
                                                          "is_amo": False, "transaction_type": "BUY" if side > 0 else "SELL"}, now)
            return status, ["yes", answer["data"]["order_ids"][0]] if status == 200 else ["no", "why not"]
        if verb == "change":
            status, answer = self.exchange.modify(terms | {"order_id": order_id}, now)
        else:
            status, answer = self.exchange.cancel(order_id, now)
        return status, ["yes", answer["data"]["order_id"]] if status == 200 else ["no", "why not"]

    def pushed(self, message: Mapping[str, Any]) -> bytes:
        """A message of the order stream."""
        return orjson.dumps(["order", *self._told(message)])

    @staticmethod
    def _told(row: Mapping[str, Any]) -> list[Any]:
        filled = row["filled_quantity"]
        return [row["order_id"], row["tag"] or "", row["instrument_token"], STATES.get(row["status"], "N"),
                1 if row["transaction_type"] == "BUY" else -1, KINDS.get(row["order_type"], 0), row["quantity"], filled,
                round(row["average_price"] * 100 * filled), round(row["price"] * 100), round(row["trigger_price"] * 100), True]

    @staticmethod
    def _quote(quote: Mapping[str, Any]) -> list[Any]:
        best = [level for side in ("buy", "sell") for level in (quote["depth"][side] or [{"price": 0, "quantity": 0}])[:1]]
        return [quote["instrument_token"], round(quote["last_price"] * 100), round(best[0]["price"] * 100), best[0]["quantity"],
                round(best[1]["price"] * 100), best[1]["quantity"], round(quote["lower_circuit_limit"] * 100),
                round(quote["upper_circuit_limit"] * 100)]
