"""Intents to requests and answers to records: the one translation for live, paper, virtual runs and the tests.

Shapes from UPSTOX 3.2, 4.3; the broker's 17 status words from UPSTOX 2.
"""
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from _ext.core.records import (
    ADOPTED,
    BAND,
    BOOK,
    HOLDING,
    INTENT_CANCEL,
    INTENT_MODIFY,
    INTENT_PLACE,
    LINK,
    ORDER_TYPES,
    ORDER_UPDATE,
    OUTCOME_AMBIGUOUS,
    OUTCOME_DONE,
    OUTCOME_HALT,
    OUTCOME_REFUSED,
    OUTCOME_RETRY,
    QUOTE,
    REPLY,
    ROLE_ENTRY,
    ROLE_EXIT,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_OPEN,
    STATUS_PENDING,
    STATUS_REJECTED,
    STATUS_UNREADABLE,
    TYPE_LIMIT,
)
from engine.broker.upstox import answers
from engine.market.instruments import NO_INST

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
"""Login or environment (UPSTOX 4.3): nothing more is sent until a person has looked."""
THROTTLED = {"UDAPI10005", "UDAPI100099"}
CLOSED_NOW = {"UDAPI100074", "UDAPI100072", "UDAPI100057", "UDAPI100039"}
"""Outside the broker's or the market's hours: not now, perhaps later."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: dict[str, Any] | list[dict[str, Any]] | None = None
    params: dict[str, str] | None = None


TAG_LENGTH = 40                     # the broker takes no more
_ORDER_ID = re.compile(r"[!-~]{1,32}")
"""What fits the records; one cut short would name another order."""
LEGS = {ROLE_ENTRY: "e", ROLE_EXIT: "x"}
"""Role -> leg of the tag: entry, exit. The kill process writes k."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What an order tag of ours says; `role` 2 for the kill process too."""
    engine: str
    nonce: str
    intent: int
    role: int


def tag_of(engine: str, nonce: str, intent: int, role: int) -> str:
    """The order tag `engine.nonce.intent.leg`: at most 40 characters, unique per intent and boot."""
    tag = f"{engine}.{nonce}.{intent}.{LEGS.get(role, 'k')}"
    if len(tag) > TAG_LENGTH:
        raise ValueError(f"order tag {tag} has {len(tag)} characters, the broker takes {TAG_LENGTH}: shorten the engine's id")
    return tag


def read_tag(tag: Any, engine: str) -> Tag | None:
    """The tag's parts; None where the order is not of this engine: also where the tag is longer than any of ours can be."""
    parts = tag.split(".") if isinstance(tag, str) and len(tag) <= TAG_LENGTH else []
    if len(parts) != 4 or parts[0] != engine or not parts[2].isascii() or not parts[2].isdigit():
        return None
    return Tag(engine, parts[1], int(parts[2]), 1 if parts[3] == "e" else 2)


def intent_of(tag: Any, engine: str, nonces: Collection[str]) -> int:
    """The intent a tag of ours names; 0 when the order is not of this run: numbers start again in every run, so the
    nonce must be one this run has used."""
    parts = read_tag(tag, engine)
    return parts.intent if parts is not None and parts.nonce in nonces and 0 < parts.intent < 2**63 else 0


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


def outcome_of(kind: int, status: int, body: Any) -> tuple[int, str, str]:
    """(outcome, order id, error code) of an answer. `status` 0 means none came: ambiguous for everything.

    A 2xx whose body cannot be understood is ambiguous too: the order may exist.
    """
    if status in (200, 201, 207):
        data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
        ids = data.get("order_ids" if kind == INTENT_PLACE else "order_id") if isinstance(data, dict) else None
        first = ids[0] if isinstance(ids, list) and ids else ids
        if isinstance(first, str) and _ORDER_ID.fullmatch(first) and (kind != INTENT_PLACE or isinstance(ids, list)):
            return OUTCOME_DONE, first, ""
        return OUTCOME_AMBIGUOUS, "", ""
    code = error_code(body)
    if status == 429 or code in THROTTLED:
        return OUTCOME_RETRY, "", code or "UDAPI10005"
    if status == 423 or code in CLOSED_NOW:
        return OUTCOME_RETRY, "", code
    if status in (401, 403) or code in HALTING:
        return OUTCOME_HALT, "", code
    if 400 <= status < 500:
        return OUTCOME_REFUSED, "", code
    return OUTCOME_AMBIGUOUS, "", code


def reply_record(intent: int, kind: int, status: int, body: Any, latency_ns: int) -> bytes:
    """The REPLY record of an answer."""
    row = np.zeros(1, REPLY)
    outcome, order_id, code = outcome_of(kind, status, body)
    row["intent"], row["kind"], row["outcome"], row["code"], row["latency"] = intent, kind, outcome, status, latency_ns
    row["order_id"], row["error"] = order_id.encode()[:32], code.encode()[:16]
    return row.tobytes()


def local_refusal(intent: int, kind: int, why: str) -> bytes:
    """The REPLY record of a request that never left: `why` in at most 16 characters."""
    row = np.zeros(1, REPLY)
    row["intent"], row["kind"], row["outcome"], row["error"] = intent, kind, OUTCOME_REFUSED, why.encode()[:16]
    return row.tobytes()


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


def update_record(message: Mapping[str, Any], intent: int, began: int = 0) -> bytes:
    """The ORDER_UPDATE record of an order of ours as portfolio stream or book tell it.

    `began` is when a read of the book was asked for, 0 for the stream. `intent` 0: an order of an earlier life, known by the
    broker's id. A fill whose price is missing or absurd is a fill: its value is 0. ValueError where status or quantities make no
    sense. """
    row = np.zeros(1, ORDER_UPDATE)
    filled, is_doubtful = filled_of(message)
    row["intent"], row["is_look_up"], row["began"] = intent, began > 0, began
    row["status"] = status_of(message.get("status"))
    row["filled"], row["quantity"] = filled, quantity_of(message.get("quantity")) or 0
    row["value"], row["is_doubtful"] = worth_of(message, filled), is_doubtful
    row["order_id"] = id_of(message.get("order_id"))
    row["order_type"] = TYPES.get(str(message.get("order_type")), 0)
    row["price"], row["trigger"] = paise(message.get("price")), paise(message.get("trigger_price"))
    return row.tobytes()


def status_of(word: Any) -> int:
    """OrderStatus of one of the broker's words; one not known is on its way. ValueError for what is no word."""
    if not isinstance(word, str) or not word:
        raise ValueError("no status")
    return STATUSES.get(word.strip().lower(), STATUS_PENDING)


def unreadable_record(intent: int, began: int = 0) -> bytes:
    """The ORDER_UPDATE record of a row or message that nobody can read; `intent` 0: of an order unknown."""
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["is_look_up"], row["began"], row["status"] = intent, began > 0, began, STATUS_UNREADABLE
    return row.tobytes()


def adopted_record(message: Mapping[str, Any], engine: str, inst: int) -> bytes:
    """The ADOPTED record of a book row with our tag from an earlier life; `inst` is its row of the instrument table."""
    tag = read_tag(message.get("tag"), engine)
    assert tag is not None
    row = np.zeros(1, ADOPTED)
    filled, _ = filled_of(message)
    row["inst"], row["role"], row["side"] = inst, tag.role, side_of(message)
    row["status"] = status_of(message.get("status"))
    row["order_type"] = TYPES.get(str(message.get("order_type")), TYPE_LIMIT)
    row["quantity"], row["filled"] = quantity_of(message.get("quantity")) or filled, filled
    row["value"] = worth_of(message, filled)
    row["price"], row["trigger"] = paise(message.get("price")), paise(message.get("trigger_price"))
    row["order_id"] = id_of(message.get("order_id"))
    return row.tobytes()


def side_of(message: Mapping[str, Any]) -> int:
    """+1 bought, -1 sold. ValueError where it does not say."""
    side = {"BUY": 1, "SELL": -1}.get(str(message.get("transaction_type")).upper())
    if side is None:
        raise ValueError("neither bought nor sold")
    return side


def link_record(which: int, is_up: bool, code: int = 0) -> bytes:
    """The LINK record of a Stream."""
    row = np.zeros(1, LINK)
    row["which"], row["up"], row["code"] = which, is_up, code
    return row.tobytes()


def quotes_record(quotes: dict[str, dict[str, Any]], keys: dict[str, int]) -> bytes:
    """The QUOTES record of a quotes answer's data; names not among `keys` are left out."""
    rows = []
    for quote in quotes.values():
        inst = keys.get(str(quote.get("instrument_token")))
        if inst is None:
            continue
        row = np.zeros(1, QUOTE)
        depth = quote.get("depth") or {}
        row["inst"], row["ltp"] = inst, paise(quote.get("last_price"))
        for side, price, quantity in (("buy", "bid", "bid_q"), ("sell", "ask", "ask_q")):
            best = (depth.get(side) or [{}])[0]
            row[price], row[quantity] = paise(best.get("price")), int(best.get("quantity") or 0)
        rows.append(row)
    return np.concatenate(rows).tobytes() if rows else b""


def book_record(ids: Collection[int], began: int) -> bytes:
    """The BOOK record: a full read asked for at `began` has ended, and showed these of our orders."""
    head = np.zeros(1, BOOK)
    head["began"], head["count"] = began, len(ids)
    return head.tobytes() + np.array(sorted(ids), np.uint64).tobytes()


def holdings_record(quantities: Mapping[int, int], began: int, others: Mapping[int, int] = MappingProxyType({}),
                    unreadable: Collection[int] = ()) -> bytes:
    """The HOLDINGS record of a read of the positions asked for at `began`: instrument row -> net quantity.

    `others`: what orders that are not ours filled there, by the last full read of the book. `unreadable`: names with a row that
    nobody can read; NO_INST among them for one whose name is not known either.
    """
    names = sorted({*quantities, *others, *unreadable} - {NO_INST})
    rows = np.zeros(1 + len(names), HOLDING)
    rows["began"] = began
    rows["inst"][0], rows["is_unreadable"][0] = NO_INST, NO_INST in unreadable
    rows["inst"][1:] = names
    rows["quantity"][1:] = [quantities.get(inst, 0) for inst in names]
    rows["others"][1:] = [others.get(inst, 0) for inst in names]
    rows["is_unreadable"][1:] = [inst in unreadable for inst in names]
    return rows.tobytes()


def bands_record(bands: Mapping[int, tuple[int, int]]) -> bytes:
    """The BANDS record: instrument row -> (lower, upper) in paise."""
    rows = np.zeros(len(bands), BAND)
    rows["inst"] = list(bands)
    rows["lower"], rows["upper"] = [low for low, _ in bands.values()], [high for _, high in bands.values()]
    return rows.tobytes()
