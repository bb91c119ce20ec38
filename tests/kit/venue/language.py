"""The venue's language. A call is a verb and a list; an answer is `["yes", ...]` or `["no", code]`."""
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from _ext.core.records import (
    INTENT_CANCEL,
    INTENT_MODIFY,
    INTENT_PLACE,
    OUTCOME_AMBIGUOUS,
    OUTCOME_DONE,
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

VERBS = {INTENT_PLACE: "new", INTENT_MODIFY: "change", INTENT_CANCEL: "drop"}
STATES = {"L": STATUS_OPEN, "F": STATUS_COMPLETE, "X": STATUS_CANCELLED, "R": STATUS_REJECTED, "N": STATUS_PENDING}
ORDER = ("id", "mark", "name", "state", "side", "kind", "asked", "done", "worth", "limit", "stop", "day")


def request_of(intent: np.void, key: str, tag: str) -> Request:
    words = [key, tag, int(intent["side"]), int(intent["order_type"]), int(intent["quantity"]), int(intent["price"]),
             int(intent["trigger"]), intent["order_id"].decode()]
    return Request("POST" if intent["kind"] == INTENT_PLACE else "PUT", VERBS[int(intent["kind"])], {"words": words})


def verdict_of(kind: int, status: int, body: Any) -> Verdict:
    if not isinstance(body, list) or not body or body[0] not in ("yes", "no"):
        return Verdict(OUTCOME_AMBIGUOUS)
    if body[0] == "yes":
        return Verdict(OUTCOME_DONE, str(body[1]))
    return Verdict(OUTCOME_RETRY if body[1] == "busy" else OUTCOME_REFUSED, code=str(body[1]))


def read_of(what: str, keys: Iterable[str] = ()) -> Request:
    return Request("GET", what, params={"names": " ".join(keys)} if what == "quotes" else None)


def exit_all() -> Request:
    return Request("POST", "flat")


def rows_of(what: str, body: Any) -> list[Any]:
    if not isinstance(body, list) or body[:1] != ["yes"] or len(body) != 2 or not isinstance(body[1], list):
        raise Unreadable(f"the venue's {what} are none")
    return body[1]


def funds_of(body: Any) -> int:
    return int(rows_of("funds", body)[0])


def message_of(text: str | bytes) -> Any | None:
    try:
        word, *rest = orjson.loads(text)
    except ValueError:
        raise Unreadable("the venue said nothing that makes sense") from None
    return rest if word == "order" else None


def order_of(row: Any) -> OrderRow | None:
    if not isinstance(row, list) or len(row) != len(ORDER):
        return None
    o = dict(zip(ORDER, row, strict=True))
    status = STATES.get(o["state"], STATUS_UNREADABLE)
    return OrderRow(name=o["id"], order_id=o["id"].encode(), tag=o["mark"], key=o["name"], status=status, side=o["side"],
                    order_type=o["kind"], quantity=o["asked"], filled=o["done"], value=o["worth"], price=o["limit"],
                    trigger=o["stop"], is_intraday=o["day"], problem="" if status != STATUS_UNREADABLE else "a state nobody knows")


def position_of(row: Any) -> PositionRow:
    return PositionRow(*row) if isinstance(row, list) and len(row) == 3 else PositionRow()


def quote_of(row: Any) -> QuoteRow | None:
    if not isinstance(row, list) or len(row) != 8:
        return None
    key, *numbers = row
    lower, upper = numbers[5:]
    return QuoteRow(key, *numbers[:5], (lower, upper) if 0 < lower < upper else None)
