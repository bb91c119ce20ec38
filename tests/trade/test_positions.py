"""Positions nobody asked for, and entries that could not leave: what ends the day's entries, and what does not."""
import pytest

from _ext.core.records import ROLE_EXIT
from engine.market.instruments import Instrument
from tests.trade.conftest import SECOND, SPECS
from tests.trade.test_orders import SL, held, lost_stop, opened

OUTBOX = 256
"""Requests that may wait to be taken."""


def given_up(desk):
    """An entry of 49 whose answer was lost and that no read of the book showed."""
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    assert desk.missed(40) == [] and desk.core.positions() == []
    return entry


def test_an_entry_that_filled_after_it_was_given_up_is_protected_and_the_last(desk):
    entry = given_up(desk)
    assert desk.turns() == []
    (stop,) = desk.update(entry, 3, 49, 100_000)
    assert desk.turns() == [("REDUCING", "filled after it was given up")]
    assert (stop["role"], stop["order_type"], stop["quantity"], stop["trigger"]) == (ROLE_EXIT, SL, 49, 98_000)
    assert desk.core.held(0) == (49, 0) and desk.core.ask_gate(1, 1, 49, 100_110)[0] == "not running"


def test_an_entry_that_turned_up_working_and_fills_then_is_one_like_any(make_desk):
    """Half a minute without an answer is no end: the entry was never given up."""
    desk = make_desk(entry_life_s=60)
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    assert desk.missed(30) == [] and desk.update(entry, 2) == []
    (stop,) = desk.update(entry, 3, 49, 100_000)
    assert stop["quantity"] == 49 and desk.turns() == []


def test_a_second_sale_beyond_the_position_turns_it_round(desk):
    """The exit that was not found sold too: 49 short, which nobody asked for."""
    _, stop = lost_stop(desk)
    (again,) = desk.tick(mid=98_950, seconds=15.1)
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    assert desk.turns() == [] and desk.core.held(0) == (0, 0)
    desk.update(stop, 3, 49, 98_000)
    assert desk.turns() == [("REDUCING", "position turned round")] and desk.alarms()[-1] == "position turned round"
    assert desk.core.held(0) == (-49, 0)


def test_a_sale_of_a_position_that_has_ended_turns_it_round(desk):
    """The stop was looked for in vain, its successor sold, and the position's slot is free; then the first one turns up, filled."""
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    assert desk.core.positions() == [] and desk.turns() == []
    desk.update(stop, 3, 20, 98_000)
    assert desk.turns() == [("REDUCING", "position turned round")] and desk.core.held(0) == (-20, 0)
    assert desk.position()["quantity"] == -20


def test_what_an_exit_leaves_over_is_not_turned_round(desk):
    _, stop = opened(desk)
    desk.update(stop, 2, 48, 98_000)
    assert desk.turns() == [] and held(desk) == 1
    desk.update(stop, 3, 49, 98_000)
    assert desk.turns() == [] and "position turned round" not in desk.alarms() and desk.core.held(0) == (0, 0)


def crowd(make_desk):
    """A desk where entries of thirty names may be asked for at once, as long as each of them is refused."""
    names = [Instrument(f"NSE_EQ|{i}", f"N{i}", tick=10) for i in range(30)]
    return make_desk(specs=[SPECS[0], *names], max_positions=64, orders_per_minute=500, orders_per_hour=2000, orders_per_day=2000,
                     symbol_gap_s=0, symbol_per_minute=16, symbol_per_hour=16, requests_per_second=10, exit_reserve=1, stale_s=3600,
                     entry_life_s=3600)


def untaken(desk, requests: int) -> None:
    """So many entries are asked for and refused; nobody takes the requests."""
    taken, desk.intents = desk.intents, list
    for k in range(requests):
        before = desk.core.counts()["requests"]
        desk.now += SECOND // 5
        assert desk.enter(1 + k % 30)[0] == "pass" and desk.core.counts()["requests"] == before + 1
        desk.reply({"id": desk.core.counts()["orders"], "kind": 1}, outcome=2, code=400)
    desk.intents = taken
    desk.now += SECOND


@pytest.mark.parametrize(("waiting", "turns"), [(OUTBOX - 1, []), (OUTBOX, [("REDUCING", "journal or outbox full")])])
def test_an_entry_that_finds_no_room_to_leave_is_none_and_the_last(make_desk, waiting, turns):
    desk = crowd(make_desk)
    untaken(desk, waiting)
    assert desk.turns() == []
    reason, asked = desk.enter(0)
    assert reason == "pass" and len(asked) == OUTBOX and desk.turns() == turns
    assert asked[-1]["inst"] == (16 if turns else 0)       # the 256th is of the 16th name: 255 is eight rounds of thirty and 15
    assert len(desk.core.positions()) == (0 if turns else 1)
