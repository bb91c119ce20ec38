"""An order of the sim's exchange as the broker shows it, and the broker's answers: (HTTP status, body)."""
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from engine.market.sessions import IST

DONE = ("complete", "rejected", "cancelled")


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
    changed: int = 0
    placed_by: str = "SIM001"
    body: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return self.status in DONE

    def row(self) -> dict[str, Any]:
        """The order as book, history and portfolio stream show it (docs/upstox.md 2, 3.2)."""
        stamp = dt.datetime.fromtimestamp(self.changed / 1e9, IST).strftime("%Y-%m-%d %H:%M:%S")
        average = self.value / self.filled / 100 if self.filled else 0.0
        return {
            "exchange": self.body.get("exchange", "NSE"), "product": self.body.get("product", "I"),
            "price": self.price / 100, "quantity": self.quantity,
            "status": self.status, "guid": None, "tag": self.tag, "instrument_token": self.key,
            "instrument_key": self.key, "placed_by": self.placed_by, "trading_symbol": self.body.get("symbol", ""),
            "tradingsymbol": self.body.get("symbol", ""), "order_type": self.order_type, "validity": "DAY",
            "trigger_price": self.trigger / 100, "disclosed_quantity": 0,
            "transaction_type": "BUY" if self.side > 0 else "SELL", "average_price": average,
            "filled_quantity": self.filled, "pending_quantity": self.quantity - self.filled,
            "status_message": self.message, "status_message_raw": None, "exchange_order_id": "1" + self.order_id,
            "parent_order_id": None, "order_id": self.order_id, "variety": "SIMPLE", "order_timestamp": stamp,
            "exchange_timestamp": stamp, "is_amo": False, "order_request_id": "1", "order_ref_id": self.order_id}


def error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error in the broker's shape, both spellings (docs/upstox.md 4.3)."""
    return status, {"status": "error", "errors": [{
        "errorCode": code, "message": message, "propertyPath": None, "invalidValue": None, "error_code": code,
        "property_path": None, "invalid_value": None}]}


def success(data: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"status": "success", "data": data}


def accepted(data: Any) -> tuple[int, dict[str, Any]]:
    """Success of a v3 order call, which tells its own latency in ms."""
    return 200, {"status": "success", "data": data, "metadata": {"latency": 30}}
