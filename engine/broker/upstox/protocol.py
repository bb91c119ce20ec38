"""The broker's language (`engine.broker.base.Broker`): intents as its requests, its rows in the engine's terms. One translation
for live, paper and virtual runs.

Shapes from docs/upstox.md 3.2, 4.3; the broker's 17 status words from docs/upstox.md 2.
"""
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from _ext.core.records import (
    INTENT_CANCEL,
    INTENT_MODIFY,
    INTENT_PLACE,
    ORDER_TYPES,
    OUTCOME_AMBIGUOUS,
    OUTCOME_DONE,
    OUTCOME_HALT,
    OUTCOME_REFUSED,
    OUTCOME_RETRY,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_OPEN,
    STATUS_PENDING,
    STATUS_REJECTED,
    STATUS_UNREADABLE,
)
from engine.broker.base import OrderRow, PositionRow, QuoteRow, Request, Unreadable, Verdict
from engine.broker.upstox import answers

TYPES = {word: number for number, word in enumerate(ORDER_TYPES) if word}
STATUSES = {
    "complete": STATUS_COMPLETE, "cancelled": STATUS_CANCELLED, "cancelled after market order": STATUS_CANCELLED,
    "rejected": STATUS_REJECTED, "open": STATUS_OPEN, "trigger pending": STATUS_OPEN, "not modified": STATUS_OPEN,
    "not cancelled": STATUS_OPEN, "modified": STATUS_OPEN,
}
"""Status word -> OrderStatus; every word not listed is on its way (pending)."""
MOST_RUPEES, MOST_SHARES = 1e9, 2**31 - 1

HALTING = {"UDAPI100050", "UDAPI100016", "UDAPI100067", "UDAPI100073", "UDAPI1154", "UDAPI1156", "UDAPI1221",
           "UDAPI100049", "UDAPI1161", "UDAPI1186"}
"""Login or environment (docs/upstox.md 4.3): nothing more is sent until a person has looked."""
THROTTLED = {"UDAPI10005", "UDAPI100099"}
CLOSED_NOW = {"UDAPI100074", "UDAPI100072", "UDAPI100057", "UDAPI100039"}
"""Outside the broker's or the market's hours: not now, perhaps later."""
_ORDER_ID = re.compile(r"[!-~]{1,32}")
"""What fits the records; one cut short would name another order."""
OTHER_PRODUCTS = ("D", "CNC", "MTF", "CO", "OCO", "NRML")
READS = {"book": "/v2/order/retrieve-all", "positions": "/v2/portfolio/short-term-positions",
         "funds": "/v3/user/get-funds-and-margin", "quotes": "/v3/market-quote/quotes"}
KEYS_A_CALL = 500
"""Instruments of one quotes call."""
QUIET_MESSAGES = ("gtt_order", "position", "holding")
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What a row that makes no sense raises."""


def request_of(intent: np.void, key: str, tag: str) -> Request:
    """The HTTP request of one intent (records.INTENT); prices leave in rupees."""
    order_id = intent["order_id"].decode()
    if intent["kind"] == INTENT_CANCEL:
        return Request("DELETE", "/v3/order/cancel", params={"order_id": order_id})
    body: dict[str, Any] = {
        "quantity": int(intent["quantity"]), "validity": "DAY", "price": int(intent["price"]) / 100,
        "order_type": ORDER_TYPES[int(intent["order_type"])], "disclosed_quantity": 0,
        "trigger_price": int(intent["trigger"]) / 100,
    }
    if intent["kind"] == INTENT_MODIFY:
        return Request("PUT", "/v3/order/modify", body | {"order_id": order_id})
    return Request("POST", "/v3/order/place", body | {
        "product": "I", "tag": tag, "slice": False, "instrument_token": key, "is_amo": False,
        "transaction_type": "BUY" if intent["side"] > 0 else "SELL"})


def error_code(body: Any) -> str:
    """The first error's code of an answer in the broker's shape, either spelling; empty where there is none."""
    if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
        first = body["errors"][0]
        if isinstance(first, dict):
            return str(first.get("errorCode") or first.get("error_code") or "")
    return ""


def verdict_of(kind: int, status: int, body: Any) -> Verdict:
    """What an answer means. `status` 0 means none came: ambiguous for everything.

    A 2xx whose body cannot be understood is ambiguous too: the order may exist.
    """
    if status in (200, 201, 207):
        data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
        ids = data.get("order_ids" if kind == INTENT_PLACE else "order_id") if isinstance(data, dict) else None
        first = ids[0] if isinstance(ids, list) and ids else ids
        if isinstance(first, str) and _ORDER_ID.fullmatch(first) and (kind != INTENT_PLACE or isinstance(ids, list)):
            return Verdict(OUTCOME_DONE, first)
        return Verdict(OUTCOME_AMBIGUOUS)
    code = error_code(body)
    if status == 429 or code in THROTTLED:
        return Verdict(OUTCOME_RETRY, code=code or "UDAPI10005")
    if status == 423 or code in CLOSED_NOW:
        return Verdict(OUTCOME_RETRY, code=code)
    if status in (401, 403) or code in HALTING:
        return Verdict(OUTCOME_HALT, code=code)
    if 400 <= status < 500:
        return Verdict(OUTCOME_REFUSED, code=code)
    return Verdict(OUTCOME_AMBIGUOUS, code=code)


def paise(rupees: Any) -> int:
    """Rupees of the broker's JSON as paise; 0 where there is none. ValueError for what is no price, or none that can be."""
    return round((number_of(rupees, MOST_RUPEES) or 0.0) * 100)


def number_of(value: Any, most: float = answers.MOST) -> float | None:
    """A number of the broker's JSON, also one written as text, with commas or without; None where there is none. ValueError for
    anything else, and beyond `most` either way."""
    if isinstance(value, str):
        value = value.strip().replace(",", "")
    return None if value is None or value == "" else answers.number(value, "a number", -most, most)


def quantity_of(value: Any) -> int | None:
    """A whole number of shares; None where there is none, ValueError for anything else."""
    number = number_of(value, MOST_SHARES)
    if number is not None and number != int(number):
        raise ValueError(f"{number} where a quantity should be")
    return None if number is None else int(number)


def filled_of(message: Mapping[str, Any]) -> tuple[int, bool]:
    """(filled quantity, whether the message leaves that in doubt): what is filled may be missing, or contradict the status.
    ValueError where it cannot be read."""
    filled, pending, quantity = (quantity_of(message.get(name)) for name in ("filled_quantity", "pending_quantity", "quantity"))
    if filled is None and quantity and pending is not None and 0 <= pending <= quantity:
        filled = quantity - pending
    if (filled is not None and filled < 0) or (quantity is not None and quantity < 0):
        raise ValueError(f"{filled} of {quantity} filled")
    is_complete = message.get("status") == "complete"
    return filled or 0, filled is None or (is_complete and quantity is not None and filled < quantity)


def worth_of(message: Mapping[str, Any], filled: int) -> int:
    """Paise x quantity that `filled` cost; 0 where the message does not tell an average that can be."""
    try:
        average = number_of(message.get("average_price"), MOST_RUPEES) or 0.0
    except ValueError:
        return 0
    return round(average * 100 * filled) if average > 0 else 0


def id_of(value: Any) -> bytes:
    """The broker's id of an order; empty where it does not tell one. ValueError for one that cannot be."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text and not _ORDER_ID.fullmatch(text):
        raise ValueError("an order id that cannot be")
    return text.encode()


def status_of(word: Any) -> int:
    """OrderStatus of one of the broker's words; one not known is on its way. ValueError for what is no word."""
    if not isinstance(word, str) or not word:
        raise ValueError("no status")
    return int(STATUSES.get(word.strip().lower(), STATUS_PENDING))


def side_of(message: Mapping[str, Any]) -> int:
    """+1 bought, -1 sold. ValueError where it does not say."""
    side = {"BUY": 1, "SELL": -1}.get(str(message.get("transaction_type")).upper())
    if side is None:
        raise ValueError("neither bought nor sold")
    return side


def read_of(what: str, keys: Iterable[str] = ()) -> Request:
    """The call that reads book, positions, funds, or quotes of at most KEYS_A_CALL `keys`."""
    return Request("GET", READS[what], params={"instrument_key": ",".join(keys)} if what == "quotes" else None)


def exit_all() -> Request:
    """The call that closes every intraday position."""
    return Request("POST", "/v2/order/positions/exit")


def rows_of(what: str, body: Any) -> list[Any]:
    """The raw rows of an answer; quotes come as a map whose names nobody needs."""
    data = answers.data_of(body, what)
    return list(answers.record(data, what).values()) if what == "quotes" else answers.rows(data, what)


def funds_of(body: Any) -> int:
    """Paise available to trade, of the funds v3 answer."""
    try:
        return round(answers.number(answers.data_of(body, "funds")["available_to_trade"]["total"], "available to trade") * 100)
    except (LookupError, TypeError, Unreadable):
        raise Unreadable("the funds answer does not say what is available to trade") from None


def message_of(text: str | bytes) -> Any | None:
    """The order in a message of the portfolio stream; None where it is about something else."""
    body = answers.record(answers.parse(text, answers.SMALL), "an order message")
    if body.get("update_type") == "order":
        return body
    if body.get("update_type") not in QUIET_MESSAGES:
        raise Unreadable("the type of an order message is unknown")
    return None


def order_of(row: Any) -> OrderRow | None:
    """One row of the book or message of the stream; each field as far as it can be read."""
    if not isinstance(row, Mapping):
        return None
    problems: list[str] = []

    def read(take: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return take()
        except _UNREADABLE as error:
            problems.append(type(error).__name__)
            return otherwise

    filled, is_doubtful = read(lambda: filled_of(row), (0, True))
    fill_problem = problems[0] if problems else ""
    order_id, key = row.get("order_id"), row.get("instrument_token")
    return OrderRow(
        name=str(order_id or ""), order_id=read(lambda: id_of(order_id), b""), tag=str(row.get("tag") or ""),
        key=key if isinstance(key, str) else "", at=str(row.get("order_timestamp") or row.get("exchange_timestamp") or ""),
        status=read(lambda: status_of(row.get("status")), STATUS_UNREADABLE),
        side={"BUY": 1, "SELL": -1}.get(str(row.get("transaction_type")).upper(), 0),
        order_type=TYPES.get(str(row.get("order_type")), 0), quantity=read(lambda: quantity_of(row.get("quantity")) or 0, 0),
        filled=filled, is_doubtful=is_doubtful, value=worth_of(row, filled), price=read(lambda: paise(row.get("price")), -1),
        trigger=read(lambda: paise(row.get("trigger_price")), -1), is_intraday=row.get("product", "I") not in OTHER_PRODUCTS,
        problem=problems[0] if problems else "", fill_problem=fill_problem)


def position_of(row: Any) -> PositionRow:
    """One row of the positions; what is not said to be intraday or of another product cannot be read while anything is held."""
    if not isinstance(row, Mapping):
        return PositionRow()
    key, product = row.get("instrument_token"), row.get("product")
    try:
        quantity = quantity_of(row.get("quantity"))
    except _UNREADABLE:
        quantity, product = None, None
    is_other = isinstance(product, str) and product in OTHER_PRODUCTS
    if quantity and product != "I" and not is_other:
        quantity = None
    return PositionRow(key if isinstance(key, str) else "", quantity, not is_other)


def quote_of(row: Any) -> QuoteRow | None:
    """One quote; None for one that makes no sense. A band is one only whole."""
    try:
        key, depth = answers.text(row["instrument_token"], "the key of a quote", 64), row.get("depth") or {}
        (bid, bids), (ask, asks) = (_best(depth.get(side)) for side in ("buy", "sell"))
        return QuoteRow(key, paise(row.get("last_price")), bid, bids, ask, asks, _band(row))
    except _UNREADABLE:
        return None


def _best(levels: Any) -> tuple[int, int]:
    """(price in paise, quantity) of the best of some levels."""
    best = (levels or [{}])[0]
    return paise(best.get("price")), quantity_of(best.get("quantity")) or 0


def _band(row: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        lower, upper = paise(row.get("lower_circuit_limit")), paise(row.get("upper_circuit_limit"))
    except ValueError:
        return None
    return (lower, upper) if 0 < lower < upper else None
