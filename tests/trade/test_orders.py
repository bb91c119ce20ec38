"""Orders and their one exit: what is sent, what a lost or late answer does, what never happens."""
import orjson

MODIFY, CANCEL = 2, 3
SL, LIMIT = 2, 1


def opened(desk, inst=0):
    """A filled entry with its stop resting: (entry, stop)."""
    _, (entry,) = desk.enter(inst)
    assert desk.reply(entry) == []
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    assert desk.reply(stop) == [] and desk.update(stop, 2) == []
    return entry, stop


def live_exit_quantity(desk) -> int:
    return sum(o["quantity"] - o["filled"] for o in desk.core.live_orders() if o["role"] == 2)


def held(desk) -> int:
    return sum(s["bought"] - s["sold"] for s in desk.core.positions())


def test_a_fill_is_protected_by_a_resting_stop(desk):
    entry, stop = opened(desk)
    assert (stop["role"], stop["side"], stop["order_type"], stop["quantity"]) == (2, -1, SL, entry["quantity"])
    assert stop["trigger"] == 98_000 and stop["price"] == 98_000 - 490            # 2 %; limit max(0.5 %, 3 spreads, 5 ticks) on
    assert desk.position()["state"] == 3 and live_exit_quantity(desk) == held(desk) == entry["quantity"]


def test_partial_fills_raise_the_same_stop(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 2, 10, 100_000)
    assert stop["quantity"] == 10
    desk.reply(stop)
    assert desk.update(stop, 2) == []
    (grown,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    assert (grown["kind"], grown["id"], grown["quantity"]) == (MODIFY, stop["id"], entry["quantity"])
    assert live_exit_quantity(desk) <= held(desk)


def test_the_target_turns_the_stop_into_a_limit(desk):
    entry, stop = opened(desk)
    (modify,) = desk.tick(mid=104_100)
    assert (modify["kind"], modify["id"], modify["order_type"], modify["why"]) == (MODIFY, stop["id"], LIMIT, 2)
    desk.reply(modify)
    assert desk.update(modify, 3, int(entry["quantity"]), 104_000) == []
    assert desk.core.positions() == [] and desk.fills()[-1]["realised"] == int(entry["quantity"]) * 4_000


def test_holding_time_and_square_off_close(make_desk):
    for seconds, why in ((1801, 3), (353 * 60 - 30 * 60, 4)):
        desk = make_desk(hold_s=1800 if why == 3 else 0)
        opened(desk)
        intents = desk.tick(seconds=seconds)
        assert [(i["kind"], i["order_type"], i["why"]) for i in intents] == [(MODIFY, LIMIT, why)]


def test_after_our_square_off_nothing_is_sent(desk):
    _, stop = opened(desk)
    assert desk.tick(seconds=(356 - 30) * 60) == []
    assert desk.update(stop, 4) == [] and desk.timer(5) == []       # the broker cancelled it to square off: no second exit


def test_a_stop_through_and_unfilled_is_repriced_after_a_second(desk):
    _, stop = opened(desk)
    assert desk.tick(mid=97_800) == []
    (modify,) = desk.tick(mid=97_800, seconds=1.1)
    assert (modify["order_type"], modify["why"], modify["id"]) == (LIMIT, 6, stop["id"])
    assert desk.position()["state"] == 5


def test_kill_cancels_entries_and_closes_positions(desk):
    opened(desk, 0)
    _, (entry,) = desk.enter(1)
    desk.reply(entry)
    desk.update(entry, 2)
    desk.operator(3)
    assert sorted((i["kind"], i["why"]) for i in desk.intents()) == [(MODIFY, 5), (CANCEL, 7)]


def test_an_unfilled_entry_is_cancelled_once(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2)
    (cancel,) = desk.timer(6)
    assert cancel["kind"] == CANCEL
    assert desk.reply(cancel) == [] and desk.timer(0.1) == []
    assert desk.update(entry, 4) == [] and desk.core.positions() == []


def test_a_lost_answer_holds_the_slot_and_is_never_sent_again(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    for _ in range(20):
        assert desk.tick(seconds=1) == []
    assert len(desk.core.positions()) == 1 and len(desk.all_intents()) == 1
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)      # found by its tag: filled after all
    assert stop["order_type"] == SL


def test_given_up_and_there_after_all_is_cancelled_or_protected(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    assert desk.missed(34) == [] and len(desk.core.positions()) == 1
    assert desk.missed(6) == [] and desk.core.positions() == []
    (cancel,) = desk.update(entry, 2)
    assert cancel["kind"] == CANCEL
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)      # it filled before the cancel: it has a stop
    assert stop["order_type"] == SL and desk.core.states()[0] == 2


def test_a_late_answer_is_not_one_to_the_request_under_way(desk):
    _, (entry,) = desk.enter()
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)      # the stream is faster than the answer
    desk.update(stop, 2)
    (modify,) = desk.tick(mid=104_100)
    assert desk.reply(modify, kind=1) == []                               # the late answer to the place
    assert desk.tick(mid=104_100, seconds=2) == []                        # the modify is still under way: nothing doubled
    desk.reply(modify)
    assert live_exit_quantity(desk) == held(desk)


def test_a_refused_stop_is_tried_again_ever_later_then_as_a_limit(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    sent = []
    for _ in range(40):
        if stop is not None:
            sent.append((desk.now, int(stop["order_type"])))
            assert desk.reply(stop, outcome=2, code=400) == []
        stop = next(iter(desk.tick(seconds=1)), None)
    assert [kind for _, kind in sent[:3]] == [SL, SL, LIMIT] and len(sent) < 10


def test_restart_frees_what_was_under_way(desk):
    _, stop = opened(desk)
    assert len(desk.tick(mid=104_100)) == 1
    desk.core.feed(13, desk.now, orjson.dumps({"nonce": "m"}))            # the process died before the answer
    desk.update(stop, 2)
    assert desk.tick(mid=104_100, seconds=2) == []                        # the book has the word first
    assert [i["kind"] for i in desk.book(stop)] == [MODIFY]


def test_more_filled_than_asked_for_is_not_ours(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    assert desk.update(entry, 3, 10 * int(entry["quantity"])) == []
    assert desk.core.states()[0] == 2 and desk.fills() == []


def test_repeated_and_late_updates_change_nothing(desk):
    entry, _ = opened(desk)
    before = len(desk.fills())
    for status, filled in ((2, 10), (1, 0), (3, int(entry["quantity"])), (2, 0)):
        assert desk.update(entry, status, filled, 100_000) == []
    assert len(desk.fills()) == before and live_exit_quantity(desk) == held(desk)
