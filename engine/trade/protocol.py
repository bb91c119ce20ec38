"""Intents to requests and answers to records: the one translation for live, paper, virtual runs and the tests.

Shapes from UPSTOX 3.2, 4.3; the broker's 17 status words from UPSTOX 2.
"""
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from _ext.core.records import ORDER_UPDATE, REPLY

PLACE, MODIFY, CANCEL = 1, 2, 3
DONE, REFUSED, RETRY, AMBIGUOUS, HALT, NOT_FOUND = 1, 2, 3, 4, 5, 6
ORDER_TYPES = {1: "LIMIT", 2: "SL"}
STATUSES = {
    "complete": 3, "cancelled": 4, "cancelled after market order": 4, "rejected": 5,
    "open": 2, "trigger pending": 2, "not modified": 2, "not cancelled": 2, "modified": 2,
}
"""Status word -> OrderStatus; every word not listed is on its way (pending)."""
PENDING = 1

HALTING = {"UDAPI100050", "UDAPI100016", "UDAPI100067", "UDAPI100073", "UDAPI1154", "UDAPI1156", "UDAPI1221",
           "UDAPI100049", "UDAPI1161"}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: dict[str, Any] | None = None
    params: dict[str, str] | None = None


def tag_of(engine: str, nonce: str, intent: int, role: int) -> str:
    """The order tag `engine.nonce.intent.leg`: at most 40 characters, unique per intent and boot."""
    tag = f"{engine}.{nonce}.{intent}.{'e' if role == 1 else 'x'}"
    if len(tag) > 40:
        raise ValueError(f"order tag {tag} has {len(tag)} characters, the broker takes 40: shorten the engine's id")
    return tag


def intent_of(tag: str | None, engine: str, nonces: Collection[str]) -> int:
    """The intent a tag of ours names; 0 when the order is not of this run: numbers start again in every run, so the
    nonce must be one this run has used."""
    parts = (tag or "").split(".")
    return int(parts[2]) if len(parts) == 4 and parts[0] == engine and parts[1] in nonces and parts[2].isdigit() else 0


def request_of(intent: np.void, key: str, tag: str) -> Request:
    """The HTTP request of one intent (records.INTENT); prices leave in rupees."""
    order_id = intent["order_id"].decode()
    if intent["kind"] == CANCEL:
        return Request("DELETE", "/v3/order/cancel", params={"order_id": order_id})
    body: dict[str, Any] = {
        "quantity": int(intent["quantity"]), "validity": "DAY", "price": int(intent["price"]) / 100,
        "order_type": ORDER_TYPES[int(intent["order_type"])], "disclosed_quantity": 0,
        "trigger_price": int(intent["trigger"]) / 100,
    }
    if intent["kind"] == MODIFY:
        return Request("PUT", "/v3/order/modify", body | {"order_id": order_id})
    return Request("POST", "/v3/order/place", body | {
        "product": "I", "tag": tag, "slice": False, "instrument_token": key, "is_amo": False,
        "transaction_type": "BUY" if intent["side"] > 0 else "SELL"})


def outcome_of(kind: int, status: int, body: Any) -> tuple[int, str, str]:
    """(outcome, order id, error code) of an answer. `status` 0 means none came: ambiguous for everything.

    A 2xx whose body cannot be understood is ambiguous too: the order may exist.
    """
    if status in (200, 201, 207):
        data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
        if kind == PLACE and isinstance(data, dict) and data.get("order_ids"):
            return DONE, str(data["order_ids"][0]), ""
        if kind != PLACE and isinstance(data, dict) and data.get("order_id"):
            return DONE, str(data["order_id"]), ""
        return AMBIGUOUS, "", ""
    code = ""
    if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
        first = body["errors"][0]
        code = str(first.get("errorCode") or first.get("error_code") or "") if isinstance(first, dict) else ""
    if status == 429:
        return RETRY, "", code or "UDAPI10005"
    if status in (401, 403) or code in HALTING:
        return HALT, "", code
    if 400 <= status < 500:
        return REFUSED, "", code
    return AMBIGUOUS, "", code


def reply_record(intent: int, kind: int, status: int, body: Any, latency_ns: int) -> bytes:
    """The REPLY record of an answer."""
    row = np.zeros(1, REPLY)
    outcome, order_id, code = outcome_of(kind, status, body)
    row["intent"], row["kind"], row["outcome"], row["code"], row["latency"] = intent, kind, outcome, status, latency_ns
    row["order_id"], row["error"] = order_id.encode()[:32], code.encode()[:16]
    return row.tobytes()


def update_record(message: dict[str, Any], engine: str, nonces: Collection[str], looked_up: bool = False) -> bytes | None:
    """The ORDER_UPDATE record of an order as portfolio stream, book or history tell it; None when it is not ours."""
    intent = intent_of(message.get("tag"), engine, nonces)
    if intent == 0:
        return None
    row = np.zeros(1, ORDER_UPDATE)
    filled = int(message.get("filled_quantity") or 0)
    row["intent"], row["is_look_up"] = intent, looked_up
    row["status"] = STATUSES.get(str(message.get("status", "")), PENDING)
    row["filled"], row["quantity"] = filled, int(message.get("quantity") or 0)
    row["value"] = round(float(message.get("average_price") or 0) * 100 * filled)
    row["order_id"] = str(message.get("order_id", "")).encode()[:32]
    return row.tobytes()
