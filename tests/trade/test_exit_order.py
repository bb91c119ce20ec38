"""The one exit of a position where there is trouble: a second one, one that finds no room to leave, one that would be refused."""
import pytest

from _ext.core.records import ROLE_EXIT
from tests.trade.test_orders import LIMIT, SL, lost_stop
from tests.trade.test_positions import OUTBOX, crowd, untaken


def test_an_exit_that_turns_up_beside_its_successor_is_told_once_more(desk):
    """Once when the successor is sent, once when both are there."""
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    assert desk.alarms() == ["a second exit was needed"] and desk.core.counts()["second_exits"] == 1
    desk.reply(again)
    desk.update(again, 2)
    desk.update(stop, 2)
    assert desk.alarms() == ["a second exit was needed"] * 2 and desk.core.counts()["second_exits"] == 2
    assert desk.turns() == []


@pytest.mark.parametrize(("mid", "seconds", "told"), [
    (99_010, 15.1, []), (99_010, 14.9, []), (99_000, 14.9, []), (99_000, 15.1, ["a second exit was needed"])])
def test_a_second_exit_while_the_first_is_looked_for_takes_fifteen_seconds_and_one_percent(desk, mid, seconds, told):
    """Left at 99,990 when the stop was sent: one percent against it is 98,990.1."""
    lost_stop(desk)
    assert len(desk.tick(mid=mid, seconds=seconds)) == len(told) and desk.alarms() == told


@pytest.mark.parametrize(("waiting", "turns"), [(OUTBOX - 1, []), (OUTBOX, [("REDUCING", "journal or outbox full")])])
def test_a_stop_that_finds_no_room_to_leave_is_sent_a_second_later(make_desk, waiting, turns):
    desk = crowd(make_desk)
    _, (entry,) = desk.enter(0)
    desk.reply(entry)
    untaken(desk, waiting)
    asked = desk.update(entry, 3, 49, 100_000)
    assert [int(i["id"]) for i in asked if i["role"] == ROLE_EXIT] == ([] if turns else [waiting + 2]) and desk.turns() == turns
    if turns:
        assert desk.tick(0, seconds=0.9) == []
        (stop,) = desk.tick(0, seconds=0.2)
        assert (stop["role"], stop["order_type"], stop["quantity"], stop["trigger"]) == (ROLE_EXIT, SL, 49, 98_000)


def test_a_stop_through_the_price_leaves_as_a_limit(desk):
    """An entry that filled while the price fell by 3 %: a stop at 2 % would be refused, so the exit is sold at the market."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.tick(mid=97_000)
    (out,) = desk.update(entry, 3, 49, 100_000)
    assert (out["role"], out["order_type"], out["price"]) == (ROLE_EXIT, LIMIT, 96_890)
