"""Long and short alike: stops, targets, trailing, money. Every number by hand, at 1,000 rupees with steps of ten paise.

Prices are those of `_ext/trade/exits.pyx`, money and exposure those of `_ext/trade/holdings.pyx`.
"""
import math
from dataclasses import replace

import pytest

from _ext.core.records import GATE, REC_GATE, WHYS
from engine.market.sessions import epoch_ms
from tests.trade.conftest import DAY, SECOND, SPECS

MID = 100_000
PLACE, MODIFY, CANCEL, LIMIT, SL = 1, 2, 3, 1, 2
BOTH = pytest.mark.parametrize("side", [1, -1])


def opened(desk, side, price=MID, inst=0):
    """A filled entry with its stop resting."""
    _, (entry,) = desk.enter(inst, side)
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), price)
    desk.reply(stop)
    assert desk.update(stop, 2) == []
    return entry, stop


def off(desk, side, distance):
    """The middle at which one leaves `distance` ahead of 100,000: the best price of the side one leaves on is ten behind."""
    return desk.tick(mid=MID + side * (distance + 10))


@BOTH
def test_an_entry_is_marketable_by_a_tenth_of_a_percent(make_desk, side):
    desk = make_desk()
    _, (entry,) = desk.enter(0, side)
    assert (entry["side"], entry["order_type"], entry["price"]) == (side, LIMIT, 100_110 if side > 0 else 99_890)
    assert entry["quantity"] == 5_000_000 // int(entry["price"])
    assert desk.core.money()["exposure"] == entry["quantity"] * entry["price"]


@BOTH
def test_the_price_goes_to_the_step_beyond(make_desk, side):
    """0.1 % beyond a best of 100,030 or 99,970, whole paise: 100,130 is a step, 99,871 is not."""
    desk = make_desk()
    desk.tick(bid=99_970, ask=100_030)
    _, (entry,) = desk.enter(0, side)
    assert entry["price"] == (100_130 if side > 0 else 99_870)


@BOTH
@pytest.mark.parametrize(("price", "stop", "target"), [
    (MID, (98_000, 102_000), (104_000, 96_000)), (100_030, (98_030, 102_030), (104_030, 96_030)),
    (99_990, (97_990, 101_980), (103_980, 95_990))])
def test_stop_and_target_lie_at_two_and_four_percent_on_the_grid(make_desk, side, price, stop, target):
    """Whole paise, then the step nearer to the price: 99,990 x 1.04 = 103,989.6 gives 103,980, x 1.02 = 101,989.8 gives 101,980."""
    desk = make_desk()
    opened(desk, side, price)
    row = desk.position()
    which = 0 if side > 0 else 1
    assert (row["stop"], row["target"]) == (stop[which], target[which])
    assert row["quantity"] * side > 0 and row["average"] == price


@BOTH
@pytest.mark.parametrize(("short_of", "ends"), [(1, False), (0, True)])
def test_the_target_is_reached_on_the_side_one_leaves_on(make_desk, side, short_of, ends):
    desk = make_desk()
    _, stop = opened(desk, side)
    asked = off(desk, side, 4_000 - 10 * short_of)
    assert len(asked) == ends
    if ends:
        (modify,) = asked
        leave = MID + side * 4_000
        want = leave - side * 104 if side > 0 else leave + 96
        assert (modify["kind"], modify["id"], modify["order_type"], modify["why"], modify["side"]) == (
            MODIFY, stop["id"], LIMIT, 2, -side)
        assert modify["price"] == (want // 10 * 10 if side > 0 else -(-want // 10) * 10)
        assert modify["trigger"] == 0 and modify["quantity"] == stop["quantity"]


@BOTH
@pytest.mark.parametrize(("behind", "through"), [(1_990, False), (2_000, True)])
def test_a_stop_is_through_when_the_price_is_at_it(make_desk, side, behind, through):
    desk = make_desk()
    opened(desk, side)
    assert off(desk, side, -behind) == []
    assert desk.tick(seconds=0.9) == []
    assert len(desk.tick(seconds=0.2)) == through


@BOTH
def test_a_stop_that_was_only_touched_rests_on(make_desk, side):
    desk = make_desk()
    opened(desk, side)
    off(desk, side, -2_000)
    off(desk, side, -1_900)
    assert desk.tick(seconds=2) == [] and off(desk, side, -2_000) == []      # its second begins anew
    assert desk.tick(seconds=0.9) == []


@BOTH
@pytest.mark.parametrize(("spread", "offset"), [(20, 490), (160, 490), (180, 540), (400, 1_200)])
def test_the_limit_of_a_stop_is_half_a_percent_or_three_spreads_beyond(make_desk, side, spread, offset):
    desk = make_desk()
    desk.tick(bid=MID - spread // 2, ask=MID + spread // 2)
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), MID)
    trigger = MID - side * 2_000
    if offset == 490:
        offset = -(-trigger * 5 // 1000 // 10) * 10 if side < 0 else trigger * 5 // 1000 // 10 * 10
    assert (stop["trigger"], stop["side"], stop["order_type"]) == (trigger, -side, SL)
    assert stop["price"] == trigger - side * offset


@BOTH
def test_money_of_a_round_trip_by_hand(make_desk, side):
    desk = make_desk()
    entry, stop = opened(desk, side)
    n = int(entry["quantity"])
    opening = desk.fills()[-1]
    assert (opening["side"], opening["role"], opening["quantity"], opening["price"], opening["realised"]) == (side, 1, n, MID, 0)
    desk.tick(mid=MID + side * 310)
    money = desk.core.money()
    assert money["open"] == n * 300 and money["realised"] == 0
    assert money["exposure"] == n * (MID + side * 300)
    leave = MID + side * 250
    desk.update(stop, 3, n, leave)
    money = desk.core.money()
    assert (money["realised"], money["open"], money["exposure"]) == (n * 250, 0, 0)
    closing = desk.fills()[-1]
    assert (closing["side"], closing["role"], closing["realised"]) == (-side, 2, n * 250)

    def charges(value, sells):
        parts = [min(2_000, value * 1e-3), value * 2.5e-4 * sells, value * 3.07e-5, value * 3e-5 * (not sells), value * 1e-6]
        parts[1] = 100 * math.floor(parts[1] / 100 + 0.5)          # STT in whole rupees
        return sum(math.floor(x + 0.5) for x in parts) + math.floor(0.18 * (parts[0] + parts[2] + parts[4]) + 0.5)

    assert opening["charges"] == charges(n * MID, side < 0) and closing["charges"] == charges(n * leave, side > 0)
    assert money["charges"] == opening["charges"] + closing["charges"]


@BOTH
def test_a_fill_in_parts_has_the_mean_price_and_each_part_its_share_of_the_result(make_desk, side):
    desk = make_desk()
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    n = int(entry["quantity"])
    (stop,) = desk.update(entry, 2, 10, MID)
    desk.reply(stop)
    desk.update(stop, 2)
    desk.update(entry, 3, n, MID + 30)                     # the value is of all fills: the rest was dearer
    value = n * (MID + 30)
    assert desk.position()["average"] == value // n
    (grown,) = [i for i in desk.all_intents() if i["kind"] == MODIFY]
    desk.reply(grown)
    desk.update(stop, 2, 4, MID + side * 100)
    assert desk.position()["quantity"] == side * (n - 4)
    assert desk.fills()[-1]["realised"] == side * (4 * (MID + side * 100) - value * 4 // n)


@BOTH
def test_a_trailing_stop_is_earned_first_and_moves_by_a_quarter_of_its_distance(make_desk, side):
    desk = make_desk(trail=0.01, target=0.5)
    opened(desk, side)
    assert off(desk, side, 990) == []                      # 1 % is not earned
    (modify,) = off(desk, side, 1_000)
    first = math.ceil((MID + 1_000) * 0.99 / 10) * 10 if side > 0 else math.floor((MID - 1_000) * 1.01 / 10) * 10
    assert (modify["kind"], modify["why"], modify["trigger"], modify["order_type"]) == (MODIFY, 10, first, SL)
    desk.reply(modify)
    desk.update(modify, 2)
    quarter = 0.25 * 0.01 * (MID + side * 1_000)
    for ahead in range(1_010, 1_600, 10):
        best = MID + side * ahead
        want = math.ceil(best * 0.99 / 10 - 1e-9) * 10 if side > 0 else math.floor(best * 1.01 / 10 + 1e-9) * 10
        asked = off(desk, side, ahead)
        if abs(want - first) >= 0.25 * 0.01 * best - 1:
            assert [int(i["trigger"]) for i in asked] == [want] and abs(want - first) >= quarter - 2
            break
        assert asked == []
    else:
        raise AssertionError("it never moved")
    desk.reply(asked[0])
    desk.update(asked[0], 2)
    assert off(desk, side, 1_100) == [] and desk.position()["stop"] == want


@BOTH
@pytest.mark.parametrize(("seconds", "ends"), [(99.9, False), (100.0, True)])
def test_the_holding_time_counts_from_the_first_fill(make_desk, side, seconds, ends):
    desk = make_desk(hold_s=100)
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    desk.now += 2 * SECOND
    began = desk.now + 10_000_000
    (stop,) = desk.update(entry, 2, 20, MID)
    desk.reply(stop)
    desk.update(stop, 2)
    desk.now += 2 * SECOND
    (grown,) = desk.update(entry, 3, int(entry["quantity"]), MID)         # the rest comes later
    desk.reply(grown)
    asked = desk.tick(seconds=(began - desk.now) / SECOND + seconds)
    assert [int(i["why"]) for i in asked] == [3] * ends


@BOTH
@pytest.mark.parametrize(("is_cas", "minute"), [(True, 353), (False, 368)])
def test_square_off_by_the_kind_of_name(make_desk, side, is_cas, minute):
    for at, ends in ((minute - 0.01, False), (minute, True)):
        desk = make_desk(specs=[replace(SPECS[0], is_cas=is_cas), *SPECS[1:]], hold_s=0, minute=330)
        opened(desk, side)
        now = desk.now
        asked = desk.tick(seconds=at * 60 - 330 * 60 - (now - epoch_ms(DAY, 330) * 1_000_000) / SECOND)
        assert [int(i["why"]) for i in asked] == [4] * ends, at


@BOTH
def test_the_size_is_five_percent_of_the_funds(make_desk, side):
    desk = make_desk()
    row = desk.core.market.row(0)
    assert row["bid_depth"] == row["ask_depth"] == 1000
    for paise in (3_000_000, 50_000_000):
        desk.funds(paise)
        reason, intents = desk.enter(0, side, number=7)
        want = int(0.05 * paise / (100_110 if side > 0 else 99_890))
        assert reason == "pass" and int(intents[0]["quantity"]) == want
        desk.reply(intents[0], outcome=2, code=400)
        desk.tick(seconds=61)


@BOTH
def test_no_more_is_asked_for_than_is_shown_on_the_side_it_is_taken_from(make_desk, side):
    desk = make_desk()
    desk.tick(bid_q=30, ask_q=20)
    _, (entry,) = desk.enter(0, side)
    assert entry["quantity"] == (20 if side > 0 else 30)


def test_the_gates_record_says_what_was_asked_and_used(make_desk):
    desk = make_desk(symbol_gap_s=0)
    desk.enter(0)
    row = desk.records(REC_GATE, GATE)[-1]
    assert (row["candidate"], row["inst"], row["is_exit"], row["quantity"], row["price"]) == (1, 0, 0, 49, 100_110)
    assert (row["used_second"], row["used_minute"], row["used_half_hour"], row["used_hour"], row["used_day"]) == (0, 0, 0, 0, 0)
    assert row["measured"] == pytest.approx(49 * 100_110 / 100_000_000) and row["limit"] == 0.05
    entry = desk.all_intents()[-1]
    desk.reply(entry)
    desk.update(entry, 3, 49, MID)
    row = desk.records(REC_GATE, GATE)[-1]
    assert (row["is_exit"], row["reason"], row["candidate"], row["quantity"]) == (1, 0, 1, 49)
    assert (row["used_second"], row["used_minute"], row["used_half_hour"]) == (1, 1, 1)
    assert (row["used_hour"], row["used_day"]) == (1, 1)
    desk.tick(1, seconds=61)
    desk.enter(1, number=2)
    row = desk.records(REC_GATE, GATE)[-1]
    assert (row["used_second"], row["used_minute"], row["used_half_hour"], row["used_hour"], row["used_day"]) == (0, 0, 2, 1, 1)


def test_a_second_word_that_the_feed_is_gone_does_not_begin_the_wait_anew(desk):
    """Sixty seconds without a feed close what is held: from the first word on."""
    opened(desk, 1)
    desk.link(0, False)
    desk.timer(40)
    desk.link(0, False)
    desk.quotes(0, 99_500)
    assert [WHYS[i["why"]] for i in desk.timer(20.1)] == ["feed lost"]


@pytest.mark.parametrize(("side", "tick", "limit"), [
    (1, 100, 97_500), (1, 200, 97_000), (-1, 100, 102_600), (-1, 200, 103_000)])
def test_the_limit_of_a_stop_is_five_ticks_beyond_where_ticks_are_wide(make_desk, side, tick, limit):
    """Half a percent of 980.00 is 4.90, of 1020.00 it is 5.10, on the next step away; five ticks of two rupees are more."""
    desk = make_desk(specs=[replace(SPECS[0], tick=tick), *SPECS[1:]])
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), MID)
    assert (stop["trigger"], stop["price"]) == (MID - side * 2_000, limit)
