"""The evening's account from the journal, and what it finds against the broker's trades and charges; to the paisa."""
import asyncio
from typing import Any

import numpy as np
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import (
    INTENT_MODIFY,
    ORDER_UPDATE,
    REC_ORDER_UPDATE,
    REC_STATE,
    REDUCING,
    RUNNING,
    STATE,
    STATE_TRADING,
    TYPE_LIMIT,
    TYPE_SL,
)
from _ext.trade.costs import charges_of
from _ext.trail.reader import Reader
from engine.watch.day_report import compare, summary
from engine.watch.state import RunState
from tests.trade.conftest import SPECS
from tests.trade.test_orders import opened


class Broker:
    """Tells the trades it is given, and charges as it is told to."""

    def __init__(self, trades: list[tuple[str, int, float]], charges: int):
        self.told, self.charged, self.asked = trades, charges, []

    async def trades(self) -> list[dict[str, Any]]:
        return [{"order_id": order, "quantity": quantity, "average_price": price} for order, quantity, price in self.told]

    async def brokerage(self, key: str, quantity: int, side: str, price: float) -> dict[str, Any]:
        self.asked.append((key, quantity, side, price))
        return {"charges": {"total": self.charged / 100}}


def day_of(desk) -> RunState:
    return RunState.after(Reader(desk.folder))


@pytest.fixture
def bought(desk):
    """49 bought at 1000.00, and the stop that rests."""
    entry, stop = opened(desk)
    return desk, entry, stop


def differences(day: RunState, trades, charges: int | None = None) -> list[tuple[str, float, float]]:
    order = day.orders[1]
    broker = Broker(trades, order.charges if charges is None else charges)
    found = [(row["what"], row["ours"], row["broker"]) for row in asyncio.run(compare(day, broker))]
    assert broker.asked == [(SPECS[0].key, 49, "BUY", 1000.0)]
    return found


def test_what_agrees_is_no_difference(bought):
    desk, entry, _ = bought
    day = day_of(desk)
    order = day.orders[int(entry["id"])]
    assert (order.filled, order.value, order.order_id, order.side) == (49, 4_900_000, f"B{entry['id']}", 1)
    assert order.charges == charges_of(0, 1, 49, 4_900_000, desk.now)
    assert differences(day, [("B1", 20, 1000.0), ("B1", 29, 1000.0), ("others", 7, 3.0)]) == []


@pytest.mark.parametrize(("order_type", "why"), [(TYPE_SL, "protect"), (TYPE_LIMIT, "target"), (0, "target")])
def test_an_exit_counts_for_what_filled_it_not_for_what_was_under_way(bought, order_type, why):
    """The stop is to become the target's limit; where the broker says that it was filled as a stop, the stop ended the position."""
    desk, _, stop = bought
    (asked,) = desk.tick(mid=104_100, seconds=2)
    assert (asked["kind"], asked["order_type"]) == (INTENT_MODIFY, TYPE_LIMIT)
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["status"], row["filled"], row["value"], row["quantity"] = stop["id"], 3, 49, 49 * 98_000, 49
    row["order_id"], row["order_type"] = f"B{stop['id']}".encode(), order_type
    desk.core.feed(REC_ORDER_UPDATE, desk.now + 1, row.tobytes())
    assert summary(day_of(desk))["exits"] == {why: 1}


def test_an_older_word_that_comes_late_makes_no_difference(bought):
    desk, entry, _ = bought
    desk.update(entry, 2, 10, 100_000)                      # of when ten of the 49 were filled
    assert differences(day_of(desk), [("B1", 49, 1000.0)]) == []


@pytest.mark.parametrize("quantity", [48, 50])
def test_another_quantity_is_told(bought, quantity):
    assert ("quantity", 49, quantity) in differences(day_of(bought[0]), [("B1", quantity, 1000.0)])


def test_an_order_the_broker_has_no_trade_of_is_told(bought):
    assert differences(day_of(bought[0]), []) == [("quantity", 49, 0), ("value", 49_000.0, 0.0)]


@pytest.mark.parametrize(("paise", "is_told"), [(0, False), (24, False), (-24, False), (25, True), (-25, True), (-4_900, True)])
def test_a_value_that_rounding_does_not_explain_is_told_either_way(bought, paise, is_told):
    """Of 49 shares at an average of two decimals half a paisa each is nothing."""
    trades = [("B1", 48, 1000.0), ("B1", 1, 1000.0 + paise / 100)]
    assert differences(day_of(bought[0]), trades) == ([("value", 49_000.0, (4_900_000 + paise) / 100)] if is_told else [])


@pytest.mark.parametrize("more", [-1, 1])
def test_a_paisa_of_charges_is_told(bought, more):
    day = day_of(bought[0])
    ours = day.orders[1].charges
    assert differences(day, [("B1", 49, 1000.0)], ours + more) == [("charges", ours / 100, (ours + more) / 100)]


def test_the_day_in_figures(bought):
    desk, _, stop = bought
    desk.update(stop, 3, 49, 97_900)
    found = summary(day_of(desk))
    charges = charges_of(0, 1, 49, 4_900_000, desk.now) + charges_of(0, -1, 49, 49 * 97_900, desk.now)
    assert found == {"entries": 1, "exits": {"protect": 1}, "realised": -49 * 21.0, "charges": charges / 100,
                     "net": (-49 * 2100 - charges) / 100, "broker_fills": 0, "alarms": {}, "reducing": []}


def test_what_the_broker_did_and_what_went_wrong_stands_in_the_figures(bought):
    desk, entry, stop = bought
    for _ in range(3):
        desk.tick(seconds=3)
        desk.book(entry, stop)
        desk.holdings({0: 20})                              # somebody sold 29 of it, at the last price
    found = summary(day_of(desk))
    assert found["broker_fills"] == 1 and found["reducing"] == ["not reconciled"]
    assert found["alarms"] == {"not reconciled": 1} and found["realised"] == 0.0
    assert found["exits"] == {} and found["entries"] == 1   # the stop rests: an exit is one that filled


def test_an_entry_that_was_never_filled_is_none_of_the_day(desk):
    """It lived, was cancelled, and nothing is asked of its charges."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2)
    desk.update(entry, 4)
    found = summary(day_of(desk))
    assert (found["entries"], found["exits"], found["net"]) == (0, {}, 0.0)
    broker = Broker([], 0)
    assert asyncio.run(compare(day_of(desk), broker)) == [] and broker.asked == []


def test_an_exit_counts_under_the_last_reason_it_was_given(bought):
    """It rested as a stop and became a limit at the target: that is why it filled."""
    desk, _, _ = bought
    (target,) = desk.tick(mid=104_100)
    desk.reply(target)
    desk.update(target, 3, 49, 104_000)
    assert summary(day_of(desk))["exits"] == {"target": 1}


def test_entries_that_go_on_are_no_reason_why_they_ended():
    """The trading state is told each time it changes; only a change to REDUCING has a reason to show."""
    row = np.zeros(1, STATE)
    state = RunState()
    for now_is in (RUNNING, REDUCING, RUNNING):
        row["what"], row["now_is"], row["reason"] = STATE_TRADING, now_is, REASONS.index("not reconciled")
        state.take(REC_STATE, row.tobytes())
    assert state.reducing == ["not reconciled"]


def test_a_message_without_an_id_takes_none_away(bought):
    desk, entry, _ = bought
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["status"], row["filled"], row["value"] = entry["id"], 3, 49, 4_900_000
    desk.core.feed(REC_ORDER_UPDATE, desk.now, row.tobytes())
    assert differences(day_of(desk), [("B1", 49, 1000.0)]) == []
