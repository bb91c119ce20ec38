"""Positions nobody asked for, and entries that could not leave: what ends the day's entries, and what does not."""
import numpy as np
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import CANDIDATE, GATE, REC_ASK, REC_GATE, ROLE_EXIT, WHY_TIME
from engine.market.instruments import NO_INST, Instrument
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


def test_a_sale_in_part_beyond_the_position_turns_it_round_at_its_own_price(desk):
    """The exit that was not found sold too, when 20 of 49 were left: 29 short at Rs 980 each."""
    _, stop = lost_stop(desk)
    (again,) = desk.tick(mid=98_950, seconds=15.1)
    desk.reply(again)
    desk.update(again, 2, 29, 98_500)
    desk.update(stop, 3, 49, 98_000)
    row = desk.position()
    assert (row["quantity"], row["average"]) == (-29, 98_000) and desk.core.held(0) == (-29, 0)
    assert desk.core.money()["realised"] == 29 * (98_500 - 100_000) + 20 * (98_000 - 100_000)


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


def own(desk, direction, **fields):
    """Asks for an entry with wishes of its own; the request."""
    row = np.zeros(1, CANDIDATE)
    row["id"], row["inst"], row["side"], row["price"] = 1, 0, direction, 100_000
    for name, value in fields.items():
        row[name] = value
    desk.core.feed(REC_ASK, desk.now, row.tobytes())
    (entry,) = desk.intents()
    return entry


@pytest.mark.parametrize(("direction", "limit", "price"), [
    (1, 99_500, 99_500), (1, 101_000, 100_110), (-1, 100_500, 100_500), (-1, 99_000, 99_890), (1, 0, 100_110), (-1, 0, 99_890),
    (1, 99_505, 99_500), (-1, 100_495, 100_500)])
def test_no_more_is_paid_and_no_less_taken_than_a_candidate_s_own_limit(desk, direction, limit, price):
    assert own(desk, direction, own_limit=limit)["price"] == price


@pytest.mark.parametrize(("direction", "stop", "reason"), [
    (1, 100_000, "pass"), (1, 100_010, "its own stop is reached already"), (-1, 100_000, "pass"),
    (-1, 99_990, "its own stop is reached already")])
def test_its_own_stop_is_reached_where_the_touch_it_would_fill_at_is(desk, direction, stop, reason):
    """Bought at 1000.10, sold at 999.90."""
    row = np.zeros(1, CANDIDATE)
    row["id"], row["side"], row["price"], row["own_stop"] = 1, direction, 100_000, stop
    desk.core.feed(REC_ASK, desk.now, row.tobytes())
    assert REASONS[desk.records(REC_GATE, GATE)[-1]["reason"]] == reason


@pytest.mark.parametrize("account", [0, 3600])
@pytest.mark.parametrize(("seconds", "why"), [(59.8, []), (60.0, [WHY_TIME])])
def test_a_position_is_held_for_its_own_time(make_desk, account, seconds, why):
    """Whether the account ends positions by time or not."""
    desk = make_desk(hold_s=account)
    entry = own(desk, 1, own_hold=60 * SECOND)
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    opened_at = desk.now
    desk.reply(stop)
    desk.update(stop, 2)
    assert [i["why"] for i in desk.tick(seconds=(opened_at - desk.now) / SECOND + seconds)] == why


@pytest.mark.parametrize(("direction", "wish", "rests", "ends"), [
    (1, (99_000, 103_000), 99_000, 103_000), (-1, (101_000, 97_000), 101_000, 97_000),     # nearer than the account's
    (1, (97_000, 105_000), 98_000, 104_000), (-1, (103_000, 95_000), 102_000, 96_000),     # further: the account's hold
    (1, (99_005, 103_005), 99_010, 103_000), (-1, (100_995, 96_995), 100_990, 97_000)])    # off the grid: the step nearer
def test_a_candidate_s_own_stop_and_target_count_where_they_are_nearer_than_the_account_s(desk, direction, wish, rests, ends):
    entry = own(desk, direction, own_stop=wish[0], own_target=wish[1])
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    assert (stop["trigger"], desk.position()["stop"], desk.position()["target"]) == (rests, rests, ends)


def test_a_sale_sent_after_the_positions_had_shown_another_is_one_more(desk):
    """20 of 49 went by another hand; the stop of before is cancelled by the exchange, and its successor sells the other 29."""
    _, stop = opened(desk)
    for _ in range(5):
        desk.timer(2.5)
        desk.book(stop)
        asked = desk.holdings({0: 29})
        for intent in asked:
            desk.reply(intent)
    assert held(desk) == 29
    (rest,) = [i for i in desk.update(stop, 4) + desk.tick(seconds=2.5) if i["kind"] == 1]
    assert rest["quantity"] == 29
    desk.reply(rest)
    assert desk.update(rest, 3, 29, 98_000) == [] and desk.core.held(0) == (0, 0) and desk.core.positions() == []


def test_what_was_put_down_to_others_is_taken_back_when_our_order_tells_of_it(desk):
    """The entry's answer is lost, and the book has an order of others as large: 49 are theirs until the entry's own word comes."""
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    for _ in range(6):
        desk.timer(2.5)
        desk.book(entry)
        desk.holdings({0: 49}, others={0: 49})
    assert desk.core.held(0) == (0, 49)
    desk.update(entry, 3, 49, 100_000)
    assert desk.core.held(0) == (49, 0)


def test_a_row_that_names_nothing_hides_no_name_that_is_shown(desk):
    _, stop = opened(desk)
    for _ in range(5):
        desk.timer(2.5)
        desk.book(stop)
        desk.holdings({0: 29}, unreadable={NO_INST})
    assert held(desk) == 29


def test_without_a_bid_a_position_is_worth_its_last_price(desk):
    opened(desk)
    desk.tick(bid=0, ask=0)
    desk.timer()
    assert desk.core.money()["open"] == 0 and desk.turns() == []


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


@pytest.mark.parametrize(("late", "left"), [(20, 29), (49, 0)])
def test_a_late_sale_is_netted_against_what_is_held_of_the_name_now(desk, late, left):
    """The position it was meant for has ended and another began: the broker nets them, so the new one is so much smaller, and its
    stop with it."""
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    assert desk.core.positions() == []
    desk.tick(seconds=31)
    _, (entry,) = desk.enter(number=2)
    desk.reply(entry)
    (second,) = desk.update(entry, 3, 49, 100_000)
    desk.reply(second)
    desk.update(second, 2)
    sent = desk.update(stop, 3, late, 98_000)
    assert desk.turns() == [("REDUCING", "filled after it was given up")] and desk.core.held(0) == (left, 0)
    assert [(s["side"], s["bought"] - s["sold"]) for s in desk.core.positions()] == [(1, left)]
    assert [(o["id"], o["kind"], o["quantity"]) for o in sent] == [(second["id"], 2 if left else 3, left or 49)]


def test_a_late_sale_of_more_than_is_held_now_ends_it_at_its_own_price(desk):
    """20 of the new entry's 49 are there when the old stop turns out to have sold 49: 29 are short, nobody asked for them."""
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    desk.tick(seconds=31)
    _, (entry,) = desk.enter(number=2)
    desk.reply(entry)
    (second,) = desk.update(entry, 2, 20, 100_000)
    desk.reply(second)
    desk.update(second, 2)
    desk.update(stop, 3, 49, 98_500)
    assert desk.core.held(0) == (-29, 0) and (desk.position()["quantity"], desk.position()["average"]) == (-29, 98_500)
    assert desk.core.money()["realised"] == 49 * (98_000 - 100_000) + 20 * (98_500 - 100_000)


def test_what_was_filled_unseen_is_not_sold_again(desk):
    """The broker holds 21 of 49 and no message says why. The stop ends, 21 are sold; the other 28 are no position to sell, though
    the read is older than that sale."""
    _, stop = opened(desk)
    desk.timer(5)
    desk.holdings({0: 21})
    desk.update(stop, 4)
    (rest,) = [o for o in desk.timer(1) or desk.tick() if o["kind"] == 1]
    assert rest["quantity"] == 21
    desk.reply(rest)
    assert desk.update(rest, 3, 21, 98_000) == [] and held(desk) == 28
    assert [o for _ in range(20) for o in desk.tick(seconds=0.5)] == []
    desk.update(stop, 4, 28, 98_000)                       # and here it is
    assert desk.core.held(0) == (0, 0) and desk.core.positions() == [] and desk.turns() == []


def test_a_late_word_of_what_the_read_had_shown_is_not_taken_off_twice(desk):
    """The broker holds 21 of 49; then the stop's end tells of 28: 21 are held, and 21 get a new exit at once."""
    _, stop = opened(desk)
    desk.timer(5)
    desk.holdings({0: 21})
    sent = desk.update(stop, 4, 28, 98_000) + desk.tick(seconds=1.5)
    assert [(o["kind"], o["quantity"]) for o in sent] == [(1, 21)] and held(desk) == 21


def test_a_late_sale_beside_a_short_position_is_one_more_short(desk):
    _, stop = lost_stop(desk)
    (again,) = desk.missed(24)[:1]
    desk.reply(again)
    desk.update(again, 3, 49, 98_000)
    desk.tick(seconds=31)
    _, (entry,) = desk.enter(number=2, direction=-1)
    desk.reply(entry)
    desk.update(entry, 3, 49, 100_000)
    desk.update(stop, 3, 20, 98_000)
    assert desk.core.held(0) == (-69, 0) and desk.turns() == [("REDUCING", "position turned round")]
    assert sorted(s["bought"] - s["sold"] for s in desk.core.positions()) == [20, 49]


def vague_end(desk, shown: int | None, seconds: float = 2.5):
    """The stop of 49 is cancelled, and no word says how much of it had filled; a read of the positions `seconds` later. What was
    asked for until the next tick."""
    _, stop = opened(desk)
    desk.timer(5)
    desk.holdings({0: 49})
    asked = desk.update(stop, 4, is_doubtful=1)
    for _ in range(round(seconds * 4) - 1):
        asked += desk.tick(seconds=0.25)
    desk.now += SECOND // 4
    if shown is not None:
        desk.holdings({0: shown})
    return stop, asked + desk.tick(seconds=0.25)


@pytest.mark.parametrize(("shown", "sent"), [(49, [49]), (27, [27]), (0, [])])
def test_after_an_exit_whose_end_does_not_say_how_much_it_filled_the_positions_say_what_is_sold(desk, shown, sent):
    """Seeds 4231327 and 4275086: the next exit was for what had been held before."""
    _, asked = vague_end(desk, shown)
    assert [(o["kind"], o["quantity"]) for o in asked] == [(1, quantity) for quantity in sent]
    assert desk.alarms() == []


def test_a_read_that_may_be_older_than_such_an_end_says_nothing(desk):
    stop, asked = vague_end(desk, 49, seconds=2)
    assert asked == []
    desk.now += SECOND
    (rest,) = desk.update(stop, 4, 22, 98_000) + desk.tick(seconds=0.25)     # a word that knows need not be waited for
    assert (rest["kind"], rest["quantity"]) == (1, 27)


@pytest.mark.parametrize("unreadable", [set(), {0}])
def test_without_the_positions_such_an_end_is_waited_for_fifteen_seconds_and_told(desk, unreadable):
    """Nothing protects the position meanwhile: then a second exit is sent, and recorded as one."""
    _, asked = vague_end(desk, None)
    assert asked == []
    for _ in range(48):                                    # until 14.75 s after that end
        if unreadable:
            desk.holdings({}, unreadable=unreadable)
        assert desk.tick(seconds=0.25) == []
    assert desk.alarms() == []
    (again,) = desk.tick(seconds=0.25)
    assert again["quantity"] == 49 and desk.alarms() == ["a second exit was needed"] and desk.core.counts()["second_exits"] == 1


def test_an_exit_does_not_grow_beyond_what_the_broker_confirms(desk):
    """27 of 49 are held by the broker's word; the new exit of 27 rests, and is not raised to 49 by the next price."""
    _, (rest,) = vague_end(desk, 27)
    assert desk.reply(rest) == [] and desk.update(rest, 2) == []
    assert [o for _ in range(8) for o in desk.tick(seconds=0.25)] == []
    assert desk.core.live_orders()[-1]["quantity"] == 27


def test_an_order_sent_after_a_difference_was_shown_is_not_what_it_was(desk):
    """The new exit fills: that is not the sale which the read before it had shown, so nothing is held, and nothing more is sold."""
    _, (rest,) = vague_end(desk, 27)
    desk.reply(rest)
    desk.update(rest, 2)
    desk.timer(2)
    desk.holdings({0: 27})
    assert desk.update(rest, 3, 27, 98_000) == [] and held(desk) == 22
    assert [o for _ in range(8) for o in desk.tick(seconds=0.25)] == []


def test_what_was_shown_before_an_order_was_sent_is_presumed_of_an_older_one(desk):
    """Nobody can read what the new exit has filled either: the 22 of before are the first stop's, and the new one rests on."""
    stop, (rest,) = vague_end(desk, 27)
    desk.reply(rest)
    desk.update(rest, 2, is_doubtful=1)
    for _ in range(4):
        desk.timer(2.5)
        desk.book(stop, rest)
        desk.holdings({0: 27})
    orders = desk.core.orders()
    assert [int(o["filled"]) for o in orders] == [49, 22, 0] and held(desk) == 27


def test_a_fill_told_in_doubt_may_be_younger_than_the_read(desk):
    """The read shows 22 of the first stop and 20 of the second exit; the second's end says all of it was filled. How much of that
    the read had shown nobody knows, so nothing is sold until the next one."""
    _, (rest,) = vague_end(desk, 27)
    desk.reply(rest)
    desk.update(rest, 2, is_doubtful=1)
    desk.timer(3)
    desk.holdings({0: 7})
    assert desk.update(rest, 3, 27, 98_000, is_doubtful=1) == [] and held(desk) == 22
    assert [o for _ in range(8) for o in desk.tick(seconds=0.25)] == []
