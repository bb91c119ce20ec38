"""The sim's exchange order by order (`engine/sim/order.py`): what is accepted, when it fills, what it costs; by hand."""
import datetime as dt

import numpy as np
import pytest

from engine.feed import TICK_DTYPE
from engine.market.instruments import Instrument
from engine.market.sessions import IST
from engine.sim.exchange import EXCHANGE_NS, Exchange

KEY = "NSE_EQ|A"
NOW = round(dt.datetime(2026, 9, 2, 10, 0, tzinfo=IST).timestamp() * 1e9)
CASH = 10_000_000


def exchange(**spec) -> Exchange:
    return Exchange([Instrument(KEY, "AAA", **{"tick": 10, "lot": 1, "freeze": 1000, "price": 100_000, **spec})], CASH)


def show(venue: Exchange, bid: int, ask: int, ltp: int | None = None, quantity: int = 100, now: int = NOW) -> None:
    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["ltp"], row["n_levels"] = KEY.encode(), len(KEY), ltp or (bid + ask) // 2, 1
    row["levels"]["bidP"][:, 0], row["levels"]["askP"][:, 0] = bid, ask
    row["levels"]["bidQ"][:, 0] = row["levels"]["askQ"][:, 0] = quantity
    venue.on_rows(row, now)


def place(venue: Exchange, side: str, price: float, quantity: int = 10, kind: str = "LIMIT", trigger: float = 0.0, **changes):
    body = {"quantity": quantity, "product": "I", "validity": "DAY", "price": price, "tag": "t", "instrument_token": KEY,
            "order_type": kind, "transaction_type": side, "disclosed_quantity": 0, "trigger_price": trigger, "is_amo": False}
    status, answer = venue.place(body | changes, NOW)
    if status != 200:
        return answer["errors"][0]["errorCode"]
    return venue.orders[answer["data"]["order_ids"][0]]


def test_a_limit_fills_at_what_is_shown_and_no_worse():
    venue = exchange()
    show(venue, 99_990, 100_010)
    order = place(venue, "BUY", 1000.0)
    assert (order.status, order.filled) == ("open", 0)
    show(venue, 99_980, 100_000)
    assert (order.status, order.filled, order.value) == ("complete", 10, 1_000_000)
    order = place(venue, "SELL", 999.0)
    assert (order.status, order.value) == ("complete", 10 * 99_980)
    assert venue.net(KEY) == 0 and venue.profit() == (-200, 0)


def test_what_one_order_takes_is_gone_for_the_next():
    venue = exchange()
    show(venue, 99_990, 100_010, quantity=15)
    first, second = place(venue, "BUY", 1001.0), place(venue, "BUY", 1001.0)
    assert (first.filled, second.filled, second.status) == (10, 5, "open")
    show(venue, 99_990, 100_010, quantity=15)
    assert second.filled == 10 and venue.net(KEY) == 20


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_an_order_takes_level_by_level_and_no_share_twice(side):
    venue = exchange()
    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["ltp"], row["n_levels"] = KEY.encode(), len(KEY), 100_000, 3
    for level in range(3):
        row["levels"][0, level] = (4, 99_990 - 10 * level, 4, 100_010 + 10 * level)
    venue.on_rows(row, NOW)
    first, second = (place(venue, side, 1001.0 if side == "BUY" else 999.0, quantity) for quantity in (6, 10))
    away = 1 if side == "BUY" else -1
    assert (first.filled, first.value) == (6, 6 * 100_000 + away * (4 * 10 + 2 * 20))
    assert (second.filled, second.value) == (6, 6 * 100_000 + away * (2 * 20 + 4 * 30))


@pytest.mark.parametrize(("side", "trigger", "price", "untouched", "touched"), [
    ("SELL", 995.0, 990.0, 99_510, 99_500), ("BUY", 1005.0, 1010.0, 100_490, 100_500)])
def test_a_stop_waits_for_the_last_price_to_reach_its_trigger(side, trigger, price, untouched, touched):
    venue = exchange()
    show(venue, 99_990, 100_010)
    order = place(venue, side, price, kind="SL", trigger=trigger)
    assert order.status == "trigger pending"
    show(venue, untouched - 10, untouched + 10, untouched)
    assert order.status == "trigger pending" and not order.filled
    show(venue, touched - 10, touched + 10, touched)
    assert order.status == "complete"
    assert order.value == 10 * (touched - 10 if side == "SELL" else touched + 10)


@pytest.mark.parametrize(("changes", "code"), [
    ({"instrument_token": "NSE_EQ|B"}, "UDAPI100011"), ({"tag": "x" * 41}, "UDAPI1119"),
    ({"quantity": 0}, "UDAPI1052"), ({"order_type": "SL", "trigger_price": 0.0}, "UDAPI1031"),
    ({"order_type": "SL", "trigger_price": 1001.0}, "UDAPI1037"),
    ({"order_type": "SL", "trigger_price": 999.0, "transaction_type": "SELL"}, "UDAPI1038"),
    ({"order_type": "MARKET", "market_protection": 0}, "UDAPI1158")])
def test_what_the_api_turns_away(changes, code):
    venue = exchange()
    show(venue, 99_990, 100_010)
    assert place(venue, "BUY", 1000.0, **changes) == code and not venue.orders


@pytest.mark.parametrize(("spec", "changes", "words"), [
    ({"lot": 4}, {}, "lot size"), ({}, {"quantity": 1001}, "freeze"), ({}, {"price": 1000.05}, "tick size"),
    ({}, {"price": 0.0}, "tick"),
    ({}, {"quantity": 501, "price": 1000.0}, "funds"),
    ({}, {"order_type": "SL", "price": 1001.0, "trigger_price": 1000.05}, "tick")])
def test_what_the_exchange_rejects_after_the_api_took_it(spec, changes, words):
    venue = exchange(**spec)
    show(venue, 99_990, 100_010)
    order = place(venue, "BUY", **({"price": 1000.0} | {k: v for k, v in changes.items() if k == "price"}),
                  **{k: v for k, v in changes.items() if k != "price"})
    assert order.status == "rejected" and words in order.message
    told = venue.take_updates()
    assert [m["status"] for _, m in told] == ["put order req received", "rejected"]
    assert told[0][0] == NOW + EXCHANGE_NS


@pytest.mark.parametrize("quantity", [1, 2])
def test_one_share_is_an_order(quantity):
    venue = exchange()
    show(venue, 99_990, 100_010)
    order = place(venue, "BUY", 1001.0, quantity)
    assert (order.status, order.filled, order.value) == ("complete", quantity, quantity * 100_010)


def test_five_times_the_cash_may_be_bought():
    venue = exchange()
    show(venue, 99_990, 100_010)
    assert place(venue, "BUY", 1000.0, 500).status == "open"
    assert venue.available() == CASH


def test_margin_is_a_fifth_of_what_is_held():
    venue = exchange()
    show(venue, 99_990, 100_010, 100_000)
    place(venue, "BUY", 1001.0, 50)
    assert venue.used() == 50 * 100_000 // 5 and venue.available() == CASH - venue.used()
    show(venue, 100_990, 101_010, 101_000)
    assert venue.profit() == (0, 50 * (101_000 - 100_010))


def test_modify_and_cancel():
    venue = exchange()
    show(venue, 99_990, 100_010)
    order = place(venue, "BUY", 995.0)
    assert venue.modify({"order_id": order.order_id, "price": 1001.0, "order_type": "LIMIT"}, NOW)[0] == 200
    assert (order.status, order.filled) == ("complete", 10)
    for call in (lambda: venue.modify({"order_id": order.order_id, "price": 1.0, "order_type": "LIMIT"}, NOW),
                 lambda: venue.cancel(order.order_id, NOW)):
        assert call()[0] == 400
    order = place(venue, "BUY", 995.0)
    assert venue.cancel(order.order_id, NOW)[0] == 200 and order.status == "cancelled"
    show(venue, 99_390, 99_410)
    assert order.filled == 0 and venue.cancel("none", NOW)[0] == 400


@pytest.mark.parametrize(("quantity", "status"), [(3, 400), (4, 400), (5, 200), (10, 200)])
def test_an_order_cannot_be_made_smaller_than_what_it_filled(quantity, status):
    venue = exchange()
    show(venue, 99_990, 100_010, quantity=4)
    order = place(venue, "BUY", 1001.0)
    assert (order.filled, order.status) == (4, "open")
    change = {"order_id": order.order_id, "quantity": quantity, "price": 995.0, "order_type": "LIMIT"}
    assert venue.modify(change, NOW)[0] == status
    assert (order.quantity, order.price) == ((quantity, 99_500) if status == 200 else (10, 100_100))


@pytest.mark.parametrize(("first", "then", "sign"), [("BUY", "SELL", 1), ("SELL", "BUY", -1)])
def test_the_result_of_a_position_closed_in_part(first, then, sign):
    """Ten at about 1,000, four of them closed ten rupees higher, the last price twenty higher."""
    venue = exchange()
    show(venue, 99_990, 100_010)
    opening = place(venue, first, 1001.0 if sign > 0 else 999.0)
    show(venue, 100_990, 101_010)
    closing = place(venue, then, 1009.0 if sign > 0 else 1011.0, 4)
    show(venue, 101_990, 102_010, 102_000)
    entry, out = opening.value // 10, closing.value // 4
    assert (entry, out) == (100_000 + 10 * sign, 101_000 - 10 * sign)
    assert venue.profit() == (4 * sign * (out - entry), 6 * sign * (102_000 - entry))
    (row,) = venue.positions()
    assert row["quantity"] == 6 * sign and row["pnl"] == pytest.approx(sum(venue.profit()) / 100)


@pytest.mark.parametrize(("is_cas", "at"), [(True, dt.time(15, 10)), (False, dt.time(15, 25))])
def test_the_brokers_square_off(is_cas, at):
    venue = exchange(is_cas=is_cas)
    show(venue, 99_990, 100_010)
    place(venue, "BUY", 1001.0)
    resting = place(venue, "SELL", 1100.0)
    moment = round(dt.datetime.combine(dt.date(2026, 9, 2), at, IST).timestamp() * 1e9)
    venue.on_time(moment - 1)
    assert venue.net(KEY) == 10 and resting.status == "open"
    venue.on_time(moment)
    assert venue.net(KEY) == 0 and resting.status == "cancelled" and venue.fees == 5900
    assert venue.trades[-1]["placed_by"] == "RMS"


def test_an_order_that_makes_a_position_smaller_needs_no_funds():
    """All funds are margin of what is held: it can be sold, and not one share more can be bought."""
    venue = exchange()
    show(venue, 99_990, 100_000, quantity=1000)
    assert place(venue, "BUY", 1000.0, 500).status == "complete" and venue.available() < 1000 * 100
    refused = place(venue, "BUY", 1000.0, 10)
    assert (refused.status, refused.message) == ("rejected", "Insufficient funds")
    assert place(venue, "SELL", 999.0, 500).status == "complete" and venue.net(KEY) == 0
