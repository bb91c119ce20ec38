"""How often an exit is tried and re-priced: the broker's budgets must last the half hour."""
import pytest

from tests.trade.conftest import SECOND

MODIFY = 2


def filled(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    return entry, desk.update(entry, 3, int(entry["quantity"]), 100_000)


def test_a_refused_exit_is_tried_after_one_two_four_up_to_thirty_seconds(make_desk):
    desk = make_desk(hold_s=0)
    _, (order,) = filled(desk)
    waits, refused = [], None
    for _ in range(1200):
        if order is not None:
            if refused is not None:
                waits.append((desk.now - refused) / SECOND)
            desk.reply(order, outcome=2, code=400)
            refused = desk.now
        order = next(iter(desk.tick(seconds=0.1)), None)
        if len(waits) == 7:
            break
    assert waits == [pytest.approx(want, abs=0.15) for want in (1, 2, 4, 8, 16, 30, 30)]


def test_once_a_stop_rests_the_next_failure_is_waited_for_a_second_again(make_desk):
    """One was refused, the next rested; then the exchange cancels it."""
    for seconds, sent in ((0.9, False), (1.0, True)):
        desk = make_desk()
        _, (stop,) = filled(desk)
        desk.reply(stop, outcome=2, code=400)
        (stop,) = desk.tick(seconds=1.1)
        desk.reply(stop)
        desk.update(stop, 2)
        assert desk.update(stop, 4) == []
        assert bool(desk.tick(seconds=seconds)) == sent


def test_an_exit_that_does_not_fill_is_repriced_ever_less_often(make_desk):
    """Every second ten times, every five seconds thirty times, then every half minute; each time the price went on."""
    desk = make_desk(hold_s=0, daily_loss=0.9, drawdown=0.9)
    _, (stop,) = filled(desk)
    desk.reply(stop)
    desk.update(stop, 2)
    mid, gaps, last = 97_500, [], None
    for _ in range(4000):
        mid -= 10
        asked = desk.tick(mid=mid, seconds=0.1)
        for order in asked:
            if last is not None:
                gaps.append((desk.now - last) / SECOND)
            last = desk.now
            assert order["kind"] == MODIFY and order["order_type"] == 1
            desk.reply(order)
            desk.now -= 30_000_000
        if len(gaps) >= 43:
            break
    assert [round(g) for g in gaps[:9]] == [1] * 9
    assert [round(g) for g in gaps[10:39]] == [5] * 29
    assert round(gaps[41]) == 30


def test_a_modify_without_an_answer_waits_for_a_read_of_the_book_or_ten_seconds(make_desk):
    for seconds, tried in ((9.9, False), (10.1, True)):
        desk = make_desk(hold_s=0)
        _, (stop,) = filled(desk)
        desk.reply(stop)
        desk.update(stop, 2)
        (modify,) = desk.tick(mid=104_100)
        desk.reply(modify, outcome=4, code=0)
        assert desk.tick(mid=104_100, seconds=5) == []
        assert bool(desk.tick(mid=104_100, seconds=seconds - 5)) == tried


def test_an_entry_is_cancelled_at_the_end_of_its_life(make_desk):
    for seconds, cancelled in ((4.9, False), (5.0, True)):
        desk = make_desk()
        sent = desk.now
        _, (entry,) = desk.enter()
        desk.reply(entry)
        desk.update(entry, 2)
        asked = desk.timer((sent - desk.now) / SECOND + seconds)
        assert [int(i["kind"]) for i in asked] == [3] * cancelled


def test_an_accepted_order_that_no_book_shows_is_waited_for_a_minute(make_desk):
    """One without an answer is given up after 35 s; this one the broker has said yes to."""
    desk = make_desk()
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.missed(58)                                        # its cancel was asked for after five seconds
    assert len(desk.core.positions()) == 1
    desk.missed(10)
    assert desk.core.positions() == []
