"""What a request must be before the sim looks at what it asks for: bodies, parameters and who sent it. Foreign input ends here.

A refusal is the broker's: an HTTP status of 4xx, its error shape, one line.
"""
import datetime as dt
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from engine.sim.order import error

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEYS_MOST = 500
"""Instruments of one call for quotes."""
SUBSCRIBED_MOST = 5000
BILLION = 10 ** 9
Check = Callable[[Any], bool]


class Refused(Exception):
    """A request that is turned down: `status` and `body` are the answer."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.body = error(status, code, message)


def malformed(message: str) -> Refused:
    return Refused(400, "UDAPI100036", message)


# ---- who sent it -------------------------------------------------------------------------------------------------------------
def host_of(header: str) -> str:
    """The host a request was meant for, without its port; empty where the header is none."""
    try:
        parts = urlsplit(f"//{header}")
        return (parts.hostname or "") if parts.netloc == header and "@" not in header else ""
    except ValueError:
        return ""


def is_local(hosts: Sequence[str], origin: str | None, allowed: Collection[str]) -> bool:
    """Whether a request with these Host headers and this Origin means us: one host, which is `allowed`, and no page of another's
    behind it. websocket-client, the SDK's library, names the server itself as its origin; a page on another host cannot."""
    if len(hosts) != 1 or host_of(hosts[0]) not in allowed:
        return False
    try:
        return origin is None or urlsplit(origin).netloc.lower() == hosts[0].lower()
    except ValueError:
        return False


# ---- forms -------------------------------------------------------------------------------------------------------------------
def text(longest: int = 64, among: tuple[str, ...] = ()) -> Check:
    return lambda v: isinstance(v, str) and len(v) <= longest and v.isprintable() and (not among or v in among)


def number(low: float, high: float) -> Check:
    """A JSON number: neither true nor a number in quotes."""
    return lambda v: type(v) in (int, float) and math.isfinite(v) and low <= v <= high


def whole(low: int, high: int) -> Check:
    return lambda v: type(v) is int and low <= v <= high


def flag(v: Any) -> bool:
    return isinstance(v, bool)


def digits(low: int, high: int) -> Check:
    """A whole number as a parameter has it."""
    return lambda v: isinstance(v, str) and v.isascii() and v.isdigit() and len(v) <= 12 and low <= int(v) <= high


def decimal(low: float, high: float) -> Check:
    def check(v: Any) -> bool:
        try:
            return isinstance(v, str) and v.isascii() and len(v) <= 24 and low <= float(v) <= high
        except ValueError:
            return False
    return check


def date(v: Any) -> bool:
    try:
        return isinstance(v, str) and len(v) == 10 and 2000 <= dt.date.fromisoformat(v).year <= 2100
    except ValueError:
        return False


def keys(v: Any) -> bool:
    return isinstance(v, str) and 0 < len(v) <= 64 * KEYS_MOST


@dataclass(frozen=True)
class Form:
    """Fields by name and their checks; `needed` are the first so many of them."""
    needed: int
    fields: Mapping[str, Check]

    def look(self, values: Any, where: str = "the body") -> None:
        """Raises Refused where `values` is not of this form. Fields it does not know are left alone, as the broker leaves them."""
        if not isinstance(values, Mapping):
            raise malformed(f"{where} must be an object")
        for place, (name, check) in enumerate(self.fields.items()):
            value = values.get(name)
            if value is None:
                if place < self.needed:
                    raise malformed(f"{name} is required")
            elif not check(value):
                raise malformed(f"{name} is not valid")


SIDE, PRODUCT, VALIDITY = text(4, ("BUY", "SELL")), text(3, ("I", "D", "MTF")), text(3, ("DAY", "IOC"))
ORDER_TYPE = text(6, ("MARKET", "LIMIT", "SL", "SL-M"))
PRICE, QUANTITY = number(0, BILLION), whole(0, BILLION)
PLACE = Form(10, {
    "quantity": QUANTITY, "product": PRODUCT, "validity": VALIDITY, "price": PRICE, "instrument_token": text(),
    "order_type": ORDER_TYPE, "transaction_type": SIDE, "disclosed_quantity": QUANTITY, "trigger_price": PRICE, "is_amo": flag,
    "tag": text(4096), "slice": flag, "market_protection": number(-1, 100)})
MODIFY = Form(3, {
    "order_id": text(), "price": PRICE, "order_type": ORDER_TYPE, "quantity": QUANTITY, "trigger_price": PRICE,
    "validity": VALIDITY, "disclosed_quantity": QUANTITY, "market_protection": number(-1, 100)})
SWITCH = Form(2, {"segment": text(), "action": text(8, ("ENABLE", "DISABLE"))})
MARGIN = Form(2, {"instrument_key": text(), "quantity": whole(1, BILLION), "transaction_type": SIDE, "product": PRODUCT,
                  "price": PRICE})
QUOTES = Form(1, {"instrument_key": keys})
ORDERS = Form(0, {"order_id": text(), "tag": text(), "segment": text()})
BODIES: dict[tuple[str, str], tuple[Form, str, int]] = {
    ("POST", "/v3/order/place"): (PLACE, "", 1), ("PUT", "/v3/order/modify"): (MODIFY, "", 1),
    ("POST", "/v2/charges/margin"): (MARGIN, "instruments", 20), ("POST", "/v2/user/kill-switch"): (SWITCH, "[]", 20)}
"""Of each call: the form, the name of the list that holds such (`[]`: the body is one), how many at most."""
PARAMETERS: dict[tuple[str, str], Form] = {
    ("DELETE", "/v3/order/cancel"): ORDERS,
    ("DELETE", "/v2/order/multi/cancel"): ORDERS, ("POST", "/v2/order/positions/exit"): ORDERS,
    ("GET", "/v2/order/details"): ORDERS, ("GET", "/v2/order/history"): ORDERS, ("GET", "/v2/order/trades"): ORDERS,
    ("GET", "/v2/charges/historical-trades"): Form(0, {
        "page_number": digits(1, 10 ** 6), "page_size": digits(1, 5000), "start_date": date, "end_date": date, "segment": text()}),
    ("GET", "/v2/charges/brokerage"): Form(4, {
        "instrument_token": text(), "quantity": digits(1, 10 ** 6), "price": decimal(0, 10 ** 6), "transaction_type": SIDE,
        "product": PRODUCT}),
    **{("GET", f"/{v}/market-quote/{what}"): QUOTES for v in ("v2", "v3") for what in ("quotes", "ltp", "ohlc")},
}
CANDLES = Form(2, {"unit": text(8, ("minutes",)), "interval": text(1, ("1",)), "to": date, "from": date})
"""The sim has candles of one minute."""


def body_of(data: bytes) -> Any:
    """The JSON of a body, None for an empty one; Refused for what is none, holds no text or is nested too deep."""
    try:
        return orjson.loads(data) if data.strip() else None
    except ValueError:
        raise malformed("the body is not JSON") from None


def look(method: str, path: str, body: Any, params: Mapping[str, str]) -> None:
    """Raises Refused for a body or parameters that the call has no use for."""
    if (form := PARAMETERS.get((method, path))) is not None:
        form.look(params, "the query")
        if len(params.get("instrument_key", "").split(",")) > KEYS_MOST:
            raise Refused(400, "UDAPI100042", f"At most {KEYS_MOST} instruments")
    if (method, path) not in BODIES:
        return
    form, name, most = BODIES[method, path]
    if not name:
        form.look(body)
        return
    lines = body if name == "[]" else body.get(name) if isinstance(body, dict) else None
    if not isinstance(lines, list) or not 0 < len(lines) <= most:
        raise malformed(f"the body must hold 1 to {most} {'entries' if name == '[]' else name}")
    for line in lines:
        form.look(line, "each of them")


def day_of(word: str) -> dt.date:
    """A date in a path."""
    if not date(word):
        raise malformed("a date is YYYY-MM-DD")
    return dt.date.fromisoformat(word)


def subscription(data: bytes) -> tuple[str, list[str], str]:
    """(method, keys, mode) of a message to the feed; Refused for one that is none."""
    request = body_of(data)
    wanted = request.get("data") if isinstance(request, dict) else None
    named = wanted.get("instrumentKeys") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or not isinstance(named, list) or len(named) > SUBSCRIBED_MOST:
        raise malformed("malformed request")
    method, mode = request.get("method"), wanted.get("mode", "ltpc")
    if not isinstance(method, str) or not isinstance(mode, str) or not all(isinstance(key, str) for key in named):
        raise malformed("malformed request")
    return method, named, mode
