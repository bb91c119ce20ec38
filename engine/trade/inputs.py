"""What a broker said, as the core's input records: the one place that fills their fields, whoever the broker is."""
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from _ext.core.records import (
    ADOPTED,
    BAND,
    BOOK,
    FUNDS,
    HOLDING,
    LINK,
    ORDER_UPDATE,
    OUTCOME_REFUSED,
    QUOTE,
    REPLY,
    STATUS_UNREADABLE,
    TYPE_LIMIT,
)
from engine.broker.base import OrderRow, QuoteRow, Verdict
from engine.market.instruments import NO_INST


def reply_record(intent: int, kind: int, verdict: Verdict, status: int, latency_ns: int) -> bytes:
    """The REPLY record of an answer with the HTTP `status`."""
    row = np.zeros(1, REPLY)
    row["intent"], row["kind"], row["outcome"], row["code"], row["latency"] = intent, kind, verdict.outcome, status, latency_ns
    row["order_id"], row["error"] = verdict.order_id.encode()[:32], verdict.code.encode()[:16]
    return row.tobytes()


def local_refusal(intent: int, kind: int, why: str) -> bytes:
    """The REPLY record of a request that never left: `why` in at most 16 characters."""
    return reply_record(intent, kind, Verdict(OUTCOME_REFUSED, code=why), 0, 0)


def update_record(order: OrderRow, intent: int, began: int = 0) -> bytes:
    """The ORDER_UPDATE record of an order of ours as portfolio stream or book tell it.

    `began` is when a read of the book was asked for, 0 for the stream. `intent` 0: an order of an earlier life, known by the
    broker's id. A fill whose price is missing or absurd is a fill: its value is 0.
    """
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["is_look_up"], row["began"], row["status"] = intent, began > 0, began, order.status
    row["filled"], row["quantity"] = order.filled, order.quantity
    row["value"], row["is_doubtful"] = order.value, order.is_doubtful
    row["order_id"], row["order_type"] = order.order_id, order.order_type
    row["price"], row["trigger"] = order.price, order.trigger
    return row.tobytes()


def unreadable_record(intent: int, began: int = 0) -> bytes:
    """The ORDER_UPDATE record of a row or message that nobody can read; `intent` 0: of an order unknown."""
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["is_look_up"], row["began"], row["status"] = intent, began > 0, began, STATUS_UNREADABLE
    return row.tobytes()


def adopted_record(order: OrderRow, role: int, inst: int) -> bytes:
    """The ADOPTED record of a book row with our tag from an earlier life; `inst` is its row of the instrument table."""
    row = np.zeros(1, ADOPTED)
    row["inst"], row["role"], row["side"], row["status"] = inst, role, order.side, order.status
    row["order_type"] = order.order_type or TYPE_LIMIT
    row["quantity"], row["filled"], row["value"] = order.quantity or order.filled, order.filled, order.value
    row["price"], row["trigger"], row["order_id"] = order.price, order.trigger, order.order_id
    return row.tobytes()


def link_record(which: int, is_up: bool, code: int = 0) -> bytes:
    """The LINK record of a Stream."""
    row = np.zeros(1, LINK)
    row["which"], row["up"], row["code"] = which, is_up, code
    return row.tobytes()


def funds_record(available: int, at_day_start: int) -> bytes:
    """The FUNDS record, paise."""
    row = np.zeros(1, FUNDS)
    row["available"], row["at_day_start"] = available, at_day_start
    return row.tobytes()


def quotes_record(quotes: Iterable[QuoteRow], insts: Mapping[str, int]) -> bytes:
    """The QUOTES record of some quotes; names not among `insts` (key -> row) are left out."""
    known = [quote for quote in quotes if quote.key in insts]
    rows = np.zeros(len(known), QUOTE)
    for row, quote in zip(rows, known, strict=True):
        row["inst"], row["ltp"] = insts[quote.key], quote.price
        row["bid"], row["bid_q"], row["ask"], row["ask_q"] = quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity
    return rows.tobytes()


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
