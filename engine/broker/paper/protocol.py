"""The venue's language: a call is the intent itself, an answer a Reply, a message of the order stream an OrderRow.

It is an `engine.broker.base.Broker`. Its answers cannot be lost or be unreadable, so nothing need be read back.
"""
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from _ext.core.records import OUTCOME_DONE, OUTCOME_REFUSED, REQUESTS
from engine.broker.base import Broker, OrderRow, PositionRow, QuoteRow, Request, Verdict


class Reply(NamedTuple):
    """The answer to an order request: the order's id, or why it was refused."""
    order_id: str = ""
    refused: str = ""


def request_of(intent: np.void, key: str, tag: str) -> Request:
    """The call that asks for an intent; its body is the intent with its tag and key."""
    return Request("PAPER", REQUESTS[intent["kind"]], {"intent": intent, "key": key, "tag": tag})


def verdict_of(kind: int, status: int, body: Any) -> Verdict:
    """What a Reply means."""
    return Verdict(OUTCOME_REFUSED, code=body.refused) if body.refused else Verdict(OUTCOME_DONE, body.order_id)


def read_of(what: str, keys: Iterable[str] = ()) -> Request:
    """Reads are answered out of the venue's own table."""
    return Request("PAPER", what)


def rows_of(what: str, body: Any) -> list[Any]:
    return list(body)


def order_of(row: Any) -> OrderRow | None:
    return row if isinstance(row, OrderRow) else None


def position_of(row: Any) -> PositionRow:
    return row if isinstance(row, PositionRow) else PositionRow()


def quote_of(row: Any) -> QuoteRow | None:
    return row if isinstance(row, QuoteRow) else None


def funds_of(body: Any) -> int:
    """Paise."""
    return int(body)


def exit_all() -> Request:
    return Request("PAPER", "exit all")


def message_of(text: Any) -> Any | None:
    return text


class Beside:
    """The venue's language with the quotes of another broker, whose feed is what is traded on."""

    def __init__(self, market: Broker):
        self.market = market
        self.quote_of = market.quote_of

    request_of, verdict_of = staticmethod(request_of), staticmethod(verdict_of)
    order_of, position_of, message_of = staticmethod(order_of), staticmethod(position_of), staticmethod(message_of)
    funds_of, exit_all = staticmethod(funds_of), staticmethod(exit_all)

    def read_of(self, what: str, keys: Iterable[str] = ()) -> Request:
        """Quotes are asked of the market's broker, all else of the venue."""
        return self.market.read_of(what, keys) if what == "quotes" else read_of(what, keys)

    def rows_of(self, what: str, body: Any) -> list[Any]:
        return self.market.rows_of(what, body) if what == "quotes" else rows_of(what, body)
