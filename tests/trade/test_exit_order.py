"""The one exit of a position where there is trouble: a second one, one that finds no room to leave, one that would be refused."""
import orjson
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import GATE, OP_KILL, REC_GATE, REC_START, ROLE_EXIT
from engine import config
from tests.trade.conftest import SECOND
from tests.trade.test_orders import LIMIT, MODIFY, SL, lost_stop, opened
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


@pytest.mark.parametrize(("direction", "mid", "seconds", "told"), [
    (1, 99_010, 15.1, []), (1, 99_010, 14.9, []), (1, 99_000, 14.9, []), (1, 99_000, 15.1, ["a second exit was needed"]),
    (-1, 101_000, 15.1, []), (-1, 101_010, 15.1, ["a second exit was needed"]), (-1, 99_000, 15.1, [])])
def test_a_second_exit_while_the_first_is_looked_for_takes_fifteen_seconds_and_one_percent(desk, direction, mid, seconds, told):
    """Left at 99,990 when the stop was sent: one percent against it is 98,990.1; at 100,010 of a short one: 101,010.1."""
    lost_stop(desk, direction)
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


@pytest.mark.parametrize(("minute", "why"), [(354.9, [4]), (355.0, [])])
def test_two_minutes_after_the_square_off_an_exit_could_turn_the_brokers_own_round(make_desk, minute, why):
    """A name with a closing auction is squared off at 353; the broker's own comes later."""
    desk = make_desk(hold_s=0)
    began = desk.now
    opened(desk)
    asked = desk.tick(seconds=(began - desk.now) / SECOND + (minute - 30) * 60)
    assert [i["why"] for i in asked] == why


def test_an_exit_the_brokers_budget_does_not_allow_is_told_once_a_second(desk):
    """It is tried at every quote; the journal need not hold each of them."""
    opened(desk)
    settings = config.Config(models="").record()
    settings["limits"] |= {"requests_per_minute": 2}
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.operator(OP_KILL)
    for _ in range(12):
        assert desk.tick(seconds=0.25) == []
    denied = [row for row in desk.records(REC_GATE, GATE) if row["is_exit"] and REASONS[row["reason"]] == "broker budget"]
    assert len(denied) == 4


def test_the_exit_that_works_counts_while_the_earlier_one_is_not_found(desk):
    """The target is reached: the second stop becomes the limit, the first cannot be asked for anything."""
    lost_stop(desk)
    (again,) = desk.tick(mid=98_950, seconds=15.1)
    desk.reply(again)
    assert desk.update(again, 2) == []
    assert [(i["kind"], i["id"], i["order_type"]) for i in desk.tick(mid=104_100)] == [(MODIFY, again["id"], LIMIT)]


def test_an_exit_that_turns_up_when_its_successor_was_refused_is_the_one(desk):
    """Nothing is there twice: told once, when the successor was sent."""
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    desk.reply(again, outcome=2, code=400)
    assert desk.update(stop, 2) == []
    assert desk.alarms() == ["a second exit was needed"] and desk.core.counts()["second_exits"] == 1
    assert [(i["kind"], i["id"]) for i in desk.tick(mid=104_100)] == [(MODIFY, stop["id"])]


def test_an_exit_that_has_filled_in_part_is_changed_for_all_it_is_to_fill(desk):
    """20 of 49 are sold when the target is reached: the order of 49 stays one of 49."""
    _, stop = opened(desk)
    desk.update(stop, 2, 20, 98_000)
    (modify,) = desk.tick(mid=104_100)
    assert (modify["kind"], modify["quantity"]) == (MODIFY, 49)


@pytest.mark.parametrize(("seconds", "sent"), [(2.0, []), (2.1, [(1, 49)])])
def test_a_position_turned_round_is_ended_once_a_read_begun_two_seconds_later_shows_it(desk, seconds, sent):
    """A read that was under way may show the one sale and not the other."""
    _, stop = lost_stop(desk)
    (again,) = desk.tick(mid=98_950, seconds=15.1)
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    assert desk.update(stop, 3, 49, 98_000) == []
    desk.tick(seconds=seconds)
    desk.holdings({0: -49})
    asked = desk.tick()
    assert [(i["side"], i["quantity"]) for i in asked] == sent
    for back in asked:                         # sold twice at Rs 980 what had cost Rs 1,000, bought back once at Rs 970
        desk.reply(back)
        desk.update(back, 3, 49, 97_000)
        assert desk.core.money()["realised"] == 49 * (98_000 - 100_000) + 49 * (98_000 - 97_000)
