"""Records made of the broker's words, field by field; outcomes by status alone and by code alone."""
import numpy as np
import pytest

from _ext.core.records import (
    ADOPTED,
    BOOK,
    HOLDING,
    INTENT,
    INTENT_MODIFY,
    INTENT_PLACE,
    LINK,
    ORDER_UPDATE,
    OUTCOME_AMBIGUOUS,
    OUTCOME_DONE,
    OUTCOME_HALT,
    OUTCOME_REFUSED,
    OUTCOME_RETRY,
    QUOTE,
    REPLY,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_OPEN,
    STATUS_PENDING,
    STATUS_REJECTED,
    STREAM_ORDERS,
    TYPE_LIMIT,
)
from engine.broker.base import OrderRow
from engine.broker.upstox import protocol
from engine.trade import inputs
from engine.trade.tags import read_tag

NOBODY = 0xFFFFFFFF


def one(payload: bytes, dtype) -> np.void:
    (row,) = np.frombuffer(payload, dtype)
    return row


def replied(kind: int, status: int, body, latency_ns: int) -> bytes:
    return inputs.reply_record(5, kind, protocol.verdict_of(kind, status, body), status, latency_ns)


def updated(message, intent: int, began: int = 0) -> bytes:
    return inputs.update_record(protocol.order_of(message), intent, began)


def adopted(message, inst: int) -> bytes:
    order = protocol.order_of(message)
    return inputs.adopted_record(order, read_tag(order.tag, "spk").role, inst)


@pytest.mark.parametrize(("fields", "is_intraday"), [
    ({"product": "I"}, True), ({}, True), ({"product": "X"}, True),
    *(({"product": word}, False) for word in ("D", "CNC", "MTF", "CO"))])
def test_an_order_is_intraday_unless_it_is_said_to_be_of_another_product(fields, is_intraday):
    assert protocol.order_of({"order_id": "1", "status": "open"} | fields).is_intraday == is_intraday


@pytest.mark.parametrize(("status", "code", "outcome"), [
    (429, "", OUTCOME_RETRY), (400, "UDAPI10005", OUTCOME_RETRY), (423, "", OUTCOME_RETRY), (400, "UDAPI100074", OUTCOME_RETRY),
    (401, "", OUTCOME_HALT), (403, "", OUTCOME_HALT), (400, "UDAPI1154", OUTCOME_HALT), (400, "UDAPI100050", OUTCOME_HALT),
    (400, "", OUTCOME_REFUSED), (404, "", OUTCOME_REFUSED), (499, "", OUTCOME_REFUSED), (500, "", OUTCOME_AMBIGUOUS),
    (599, "", OUTCOME_AMBIGUOUS), (399, "", OUTCOME_AMBIGUOUS), (0, "", OUTCOME_AMBIGUOUS), (204, "", OUTCOME_AMBIGUOUS)])
def test_status_and_code_each_suffice(status, code, outcome):
    for spelling in ("errorCode", "error_code"):
        body = {"status": "error", "errors": [{spelling: code}]}
        got, order_id, told = protocol.verdict_of(INTENT_PLACE, status, body)
        assert (got, order_id) == (outcome, "") and told in (code, "UDAPI10005")


@pytest.mark.parametrize("status", [200, 201, 207])
def test_an_order_id_is_read_where_its_kind_has_it(status):
    place = {"status": "success", "data": {"order_ids": ["7", "8"], "order_id": "9"}}
    assert protocol.verdict_of(INTENT_PLACE, status, place) == (OUTCOME_DONE, "7", "")
    assert protocol.verdict_of(INTENT_MODIFY, status, place) == (OUTCOME_DONE, "9", "")
    for data in ({"order_ids": "7"}, {"order_ids": [7]}, {"order_ids": [""]}, {"order_ids": ["\u00e9"]}, {"order_id": "9"}):
        assert protocol.verdict_of(INTENT_PLACE, status, {"status": "success", "data": data})[0] == OUTCOME_AMBIGUOUS


def test_a_reply_keeps_what_it_answers():
    row = one(replied(INTENT_MODIFY, 400, {"errors": [{"errorCode": "UDAPI100041"}]}, 77), REPLY)
    assert (row["intent"], row["kind"], row["outcome"], row["code"], row["latency"], row["error"]) == (
        5, INTENT_MODIFY, OUTCOME_REFUSED, 400, 77, b"UDAPI100041")
    row = one(replied(INTENT_PLACE, 200, {"status": "success", "data": {"order_ids": ["A7"]}}, 1), REPLY)
    assert (row["outcome"], row["order_id"]) == (OUTCOME_DONE, b"A7")
    row = one(inputs.local_refusal(6, INTENT_PLACE, "NOT SENT"), REPLY)
    assert (row["intent"], row["kind"], row["outcome"], row["code"], row["error"]) == (6, INTENT_PLACE, OUTCOME_REFUSED, 0,
                                                                                         b"NOT SENT")


MESSAGE = {"status": "open", "filled_quantity": 3, "average_price": 100.05, "quantity": 10, "order_id": "X1", "order_type": "SL",
           "price": 99.5, "trigger_price": 99.95, "transaction_type": "SELL", "tag": "spk.n.4.x"}


def test_an_order_message_field_by_field():
    row = one(updated(MESSAGE, 4, 9), ORDER_UPDATE)
    assert (row["intent"], row["status"], row["is_look_up"], row["began"], row["filled"], row["value"], row["quantity"]) == (
        4, 2, 1, 9, 3, 30_015, 10)
    assert (row["order_id"], row["order_type"], row["price"], row["trigger"]) == (b"X1", 2, 9_950, 9_995)
    assert one(updated(MESSAGE, 4), ORDER_UPDATE)["is_look_up"] == 0
    for word, status in (("complete", 3), ("cancelled", 4), ("rejected", 5), ("trigger pending", 2), ("put order req received", 1),
                         ("what is this", 1)):
        assert one(updated(MESSAGE | {"status": word}, 4), ORDER_UPDATE)["status"] == status
    assert one(updated(MESSAGE | {"order_type": "LIMIT"}, 4), ORDER_UPDATE)["order_type"] == TYPE_LIMIT


def test_a_message_that_says_nothing_of_fills_has_none():
    row = one(updated({"status": "open", "order_id": "X"}, 4), ORDER_UPDATE)
    assert (row["filled"], row["value"], row["quantity"], row["status"]) == (0, 0, 0, 2)


def test_an_order_of_an_earlier_life_field_by_field():
    row = one(adopted(MESSAGE, 6), ADOPTED)
    assert (row["inst"], row["side"], row["role"], row["status"], row["order_type"]) == (6, -1, 2, 2, 2)
    assert (row["quantity"], row["filled"], row["value"]) == (10, 3, 30_015)
    assert (row["price"], row["trigger"], row["order_id"]) == (9_950, 9_995, b"X1")
    row = one(adopted(MESSAGE | {"transaction_type": "BUY", "tag": "spk.n.4.e", "order_type": "LIMIT"}, 6),
              ADOPTED)
    assert (row["side"], row["role"], row["order_type"]) == (1, 1, 1)


@pytest.mark.parametrize(("rupees", "paise"), [(None, 0), (0, 0), ("12.34", 1234), (0.29, 29), (1.005, 100), (1400.15, 140_015)])
def test_rupees_become_paise(rupees, paise):
    assert protocol.paise(rupees) == paise


def test_quotes_positions_books_and_links():
    quote = {"instrument_token": "K", "last_price": 100.05, "depth": {"buy": [{"price": 100.0, "quantity": 7}],
                                                                       "sell": [{"price": 100.1, "quantity": 9}]}}
    rows = np.frombuffer(inputs.quotes_record(map(protocol.quote_of, (quote, quote | {"instrument_token": "?"})), {"K": 3}), QUOTE)
    assert [tuple(int(row[n]) for n in ("inst", "ltp", "bid", "ask", "bid_q", "ask_q")) for row in rows] == [
        (3, 10_005, 10_000, 10_010, 7, 9)]
    assert inputs.quotes_record([], {}) == b""
    rows = np.frombuffer(inputs.holdings_record({2: -5, 4: 9}, 77), HOLDING)
    assert [(int(r["inst"]), int(r["quantity"]), int(r["began"])) for r in rows] == [(NOBODY, 0, 77), (2, -5, 77), (4, 9, 77)]
    data = inputs.book_record([9, 3], 77)
    head, ids = np.frombuffer(data[:BOOK.itemsize], BOOK)[0], np.frombuffer(data[BOOK.itemsize:], "<u8")
    assert (head["began"], head["count"], ids.tolist()) == (77, 2, [3, 9])
    row = one(inputs.link_record(STREAM_ORDERS, True, 1006), LINK)
    assert (row["which"], row["up"], row["code"]) == (1, 1, 1006)


@pytest.mark.parametrize(("filled", "quantity", "doubted"), [(49, 49, False), (48, 49, True), (50, 49, False), (49, None, False)])
def test_complete_with_less_than_its_quantity_is_doubted_with_more_it_is_told(filled, quantity, doubted):
    """An order that was made smaller while it filled ends with more than its last quantity."""
    assert protocol.filled_of({"status": "complete", "filled_quantity": filled, "quantity": quantity}) == (filled, doubted)


FINAL = {"complete": STATUS_COMPLETE, "cancelled": STATUS_CANCELLED, "cancelled after market order": STATUS_CANCELLED,
         "rejected": STATUS_REJECTED}
LIVING = ("open", "trigger pending", "modified", "not modified", "not cancelled")
ON_ITS_WAY = ("validation pending", "modify pending", "put order req received", "modify after market order req received",
              "modify validation pending", "after market order req received", "cancel pending", "open pending")


def test_each_of_the_seventeen_words_is_an_end_a_life_or_a_way():
    """docs/upstox.md 2: four are final; that a request failed says that the order lives."""
    said = FINAL | dict.fromkeys(LIVING, STATUS_OPEN) | dict.fromkeys(ON_ITS_WAY, STATUS_PENDING)
    assert len(said) == 17
    for word, status in said.items():
        assert protocol.order_of({"order_id": "1", "status": word}).status == status, word


def test_the_positions_record_tells_of_names_others_alone_have_traded():
    """Somebody bought seven and sold them before the read: the position shows nothing, the orders do."""
    rows = np.frombuffer(inputs.holdings_record({1: 5}, 9, others={3: -7}, unreadable=(4,)), HOLDING)
    assert [(int(r["inst"]), int(r["quantity"]), int(r["others"]), int(r["is_unreadable"])) for r in rows[1:]] == [
        (1, 5, 0, 0), (3, 0, -7, 0), (4, 0, 0, 1)]


def test_prices_leave_in_rupees_with_their_paise():
    intent = np.zeros(1, INTENT)
    intent["kind"], intent["order_type"], intent["quantity"] = INTENT_PLACE, 2, 49
    intent["price"], intent["trigger"], intent["side"] = 98_035, 98_115, -1
    body = protocol.request_of(intent[0], "NSE_EQ|A", "spk.n.1.x").body
    assert (body["price"], body["trigger_price"], body["transaction_type"], body["quantity"]) == (980.35, 981.15, "SELL", 49)


@pytest.mark.parametrize("kind", [INTENT_PLACE, INTENT_MODIFY])
def test_an_answer_that_calls_itself_an_error_is_no_order_whatever_else_it_says(kind):
    body = {"status": "error", "data": {"order_ids": ["7"], "order_id": "7"}}
    assert protocol.verdict_of(kind, 200, body).outcome == OUTCOME_AMBIGUOUS


@pytest.mark.parametrize(("quantity", "filled", "adopted"), [(49, 40, 49), (0, 40, 40), (49, 0, 49)])
def test_an_order_of_an_earlier_life_is_at_least_as_large_as_what_it_filled(quantity, filled, adopted):
    row = one(inputs.adopted_record(OrderRow(side=1, quantity=quantity, filled=filled), 1, 2), ADOPTED)
    assert (row["quantity"], row["filled"], row["inst"], row["role"], row["order_type"]) == (adopted, filled, 2, 1, TYPE_LIMIT)


@pytest.mark.parametrize(("average", "filled", "worth"), [
    (100.0049, 1000, 10_000_490), (100.0049, 1, 10_000), ("100.5", 3, 30_150), (0, 5, 0), ("", 5, 0), (-1, 5, 0)])
def test_what_was_paid_is_rounded_once_and_not_the_average(average, filled, worth):
    assert protocol.worth_of({"average_price": average}, filled) == worth
