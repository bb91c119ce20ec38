"""Orders of an earlier life, messages that are not ours or cannot be, and the broker's longer windows."""
import numpy as np
import orjson
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import GATE, ORDER_UPDATE, REC_GATE, REC_ORDER_UPDATE, REC_START, Stream
from engine import config
from engine.market.instruments import Instrument
from tests.trade.conftest import SECOND
from tests.trade.test_orders import CANCEL, MODIFY, opened

EQUITY = 100_000_000
KILL = 3


def started(make_desk, *orders, shown=None, **risk):
    """A desk that adopted `orders` before its positions were read."""
    desk = make_desk(ready=False, **risk)
    for number, fields in enumerate(orders):
        desk.adopt(0, order_id=f"A{number}", **fields)
    desk.funds(EQUITY)
    desk.holdings(shown or {})
    for which in Stream:
        desk.link(which, True)
    for inst in range(2):
        desk.tick(inst)
    return desk


ENTRY = {"role": 1, "side": 1, "status": 3, "quantity": 40, "filled": 40, "price": 100_000}
STOP = {"role": 2, "side": -1, "status": 2, "quantity": 40, "filled": 0, "price": 97_500, "trigger": 98_000}


def test_a_filled_entry_is_a_position_and_nothing_late(make_desk):
    desk = started(make_desk, ENTRY, STOP, shown={0: 40})
    assert desk.core.states()[0] == 1 and desk.core.held(0) == (40, 0) and desk.core.states()[3] == 1
    assert desk.core.ask_gate(1, 1, 49, 100_110)[0] == "pass"
    assert desk.core.counts()["second_exits"] == 0
    (slot,) = desk.core.positions()
    assert (slot["bought"], slot["sold"], slot["cost"]) == (40, 0, 4_000_000)
    assert slot["plan"]["stop"] == 98_000 and slot["plan"]["target"] == 104_000


@pytest.mark.parametrize(("side", "stop", "target"), [(1, 98_000, 104_000), (-1, 102_000, 96_000)])
def test_where_nobody_knows_the_range_of_a_name_the_outer_limits_stand(make_desk, side, stop, target):
    """Policy atr enters nothing then, but a position of an earlier life is there."""
    desk = started(make_desk, ENTRY | {"side": side}, shown={0: 40 * side}, policy="atr")
    (slot,) = desk.core.positions()
    assert slot["atr"] == 0 and {n: slot["plan"][n] for n in ("stop", "target", "soft")} == {
        "stop": stop, "target": target, "soft": 0}


def test_an_adopted_entry_may_fill_as_far_as_it_was_asked_for(make_desk):
    desk = started(make_desk, ENTRY | {"status": 2, "filled": 0}, entry_life_s=60)
    row = np.zeros(1, ORDER_UPDATE)
    row["status"], row["filled"], row["value"], row["quantity"], row["order_id"] = 2, 10, 10 * 100_000, 40, b"A0"
    desk.core.feed(REC_ORDER_UPDATE, desk.now, row.tobytes())
    assert desk.turns() == [] and desk.core.held(0) == (10, 0)


def test_a_round_trip_before_the_position_is_over(make_desk):
    done = STOP | {"status": 3, "filled": 40, "trigger": 0}
    desk = started(make_desk, ENTRY, done, ENTRY | {"quantity": 30, "filled": 30}, STOP | {"quantity": 30}, shown={0: 30})
    (slot,) = desk.core.positions()
    assert (slot["bought"], slot["sold"]) == (30, 0) and desk.core.held(0) == (30, 0)
    assert desk.core.money()["realised"] == 40 * (97_500 - 100_000)
    assert desk.core.states()[0] == 1 and desk.timer() == []


def test_adopted_entries_count_against_the_budgets(make_desk):
    desk = started(make_desk, ENTRY, STOP | {"status": 3, "filled": 40, "trigger": 0})
    assert desk.core.positions() == [] or desk.timer() == []
    desk.timer()
    assert desk.core.ask_gate(0, 1, 49, 100_110)[0] == "too soon in this name"
    desk.tick(0, seconds=31)
    assert desk.core.ask_gate(0, 1, 49, 100_110)[0] == "pass"


@pytest.mark.parametrize("status", [4, 5])
def test_an_exit_that_ended_unfilled_is_not_taken_for_the_stop_that_rests(make_desk, status):
    """The book shows it last: a second one was tried beside the stop, and refused or cancelled."""
    desk = started(make_desk, ENTRY, STOP, STOP | {"status": status}, shown={0: 40})
    assert desk.timer() == [] and [int(o["id"]) for o in desk.core.live_orders()] == [2]
    (modify,) = desk.tick(mid=104_100)
    assert (modify["kind"], modify["id"], modify["quantity"]) == (MODIFY, 2, 40)


@pytest.mark.parametrize("status", [4, 5])
def test_a_dead_entry_makes_no_position(make_desk, status):
    desk = started(make_desk, ENTRY | {"status": status, "filled": 0})
    assert desk.core.positions() == [] and desk.core.held(0) == (0, 0) and desk.core.live_orders() == []


def test_an_exit_without_its_entry_is_of_no_position(make_desk):
    desk = started(make_desk, STOP)
    assert desk.core.positions() == []
    assert [int(i["kind"]) for i in desk.update({"id": 1, "price": 0, "quantity": 40}, 2)] in ([], [3])


def test_nonsense_is_not_adopted(make_desk):
    desk = started(make_desk, ENTRY | {"quantity": 0})
    assert desk.core.counts()["orders"] == 0


def test_an_impossible_message_is_counted_and_told(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 4)
    assert desk.core.counts()["illegal"] == 0
    desk.update(entry, 3, int(entry["quantity"]), 100_000)     # complete after it was cancelled
    assert desk.core.counts()["illegal"] == 1


def test_a_number_nobody_gave_is_not_ours_whatever_its_id(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    row = np.zeros(1, ORDER_UPDATE)
    row["intent"], row["status"], row["filled"], row["value"], row["order_id"] = 77, 3, 49, 49 * 100_000, f"B{entry['id']}".encode()
    desk.core.feed(REC_ORDER_UPDATE, desk.now, row.tobytes())
    assert desk.fills() == [] and desk.core.held(0) == (0, 0)
    row["intent"] = 0                                       # by the broker's id alone it is
    desk.core.feed(REC_ORDER_UPDATE, desk.now, row.tobytes())
    assert desk.core.held(0) == (49, 0)


@pytest.mark.parametrize(("name", "limit", "reason"), [
    ("requests_per_minute", 41, "broker budget"), ("requests_per_minute", 42, "pass"), ("requests_per_half_hour", 401,
                                                                                        "broker budget"),
    ("requests_per_half_hour", 402, "pass"), ("requests_per_second", 5, "broker budget"), ("requests_per_second", 6, "pass")])
def test_the_reserve_for_exits_in_each_window(make_desk, name, limit, reason):
    """Four a second, forty a minute, four hundred in half an hour; one request was made."""
    desk = make_desk(symbol_gap_s=0)
    settings = config.Config(models="", risk=config.Risk(symbol_gap_s=0)).record()
    settings["limits"] |= {name: limit}
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    assert desk.enter(0)[0] == "pass"
    desk.now += 500_000_000
    assert desk.core.ask_gate(1, 1, 49, 100_110)[0] == reason
    if name == "requests_per_minute" and reason != "pass":
        desk.tick(1, seconds=59.6)
        assert desk.core.ask_gate(1, 1, 49, 100_110)[0] == "pass"


@pytest.mark.parametrize(("name", "window"), [("requests_per_second", 1), ("requests_per_minute", 60), ("requests_per_half_hour",
                                                                                                        1800)])
def test_exits_may_use_the_whole_of_each_window_and_no_more(make_desk, name, window):
    """Two requests were made; what the third waits for is that the first of them is over."""
    for limit, may in ((3, True), (2, False)):
        desk = make_desk()
        began = desk.now
        opened(desk)
        settings = config.Config(models="").record()
        settings["limits"] |= {name: limit, "hold": 0}
        desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
        desk.operator(KILL)
        assert [i["kind"] for i in desk.intents()] == [MODIFY] * may
        if not may:
            assert desk.tick(seconds=(began - desk.now) / SECOND + window - 0.05) == []
            assert [i["kind"] for i in desk.tick(seconds=0.05)] == [MODIFY]
        said = [REASONS[g["reason"]] for g in desk.records(REC_GATE, GATE) if g["is_exit"]]
        assert said[-1] == "pass" and ("broker budget" in said) != may


def test_a_cancel_waits_for_the_brokers_budget_like_any_request(desk):
    began = desk.now
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2)
    settings = config.Config(models="").record()
    settings["limits"] |= {"requests_per_minute": 1}
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    assert desk.timer(6) == []
    assert desk.timer((began - desk.now) / SECOND + 59.9) == []
    assert [i["kind"] for i in desk.timer(0.1)] == [CANCEL]


def test_a_lost_stop_that_turns_up_after_its_successor_was_rejected_is_the_exit(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.reply(stop, outcome=4, code=0)
    (again,) = desk.missed(24)[:1]
    desk.reply(again)
    assert desk.update(again, 5) == []
    assert desk.update(stop, 2) == []
    (modify,) = desk.tick(mid=104_100)
    assert (modify["kind"], modify["id"], modify["order_type"]) == (2, stop["id"], 1)


def test_a_position_there_is_no_room_for_is_never_believed_to_be_managed(make_desk):
    """Of sixty-four nobody asked for one more: it stays a difference, and stops entries as long as it is there."""
    desk = make_desk(specs=[Instrument(f"NSE_EQ|{i}", f"N{i}", tick=10) for i in range(65)], ready=False, hold_s=0)
    for inst in range(64):
        desk.adopt(inst, order_id=f"A{inst}", **ENTRY)
    desk.funds(EQUITY)
    shown = dict.fromkeys(range(64), 40)
    desk.holdings(shown)
    for which in (0, 1):
        desk.link(which, True)
    for _ in range(8):
        desk.timer(2.5)
        desk.book()
        desk.holdings(shown | {64: 30})
    assert desk.core.held(64) == (0, 0) and desk.core.states()[3] == 64 and desk.core.differs > 0
    assert "a position nobody can explain was taken over" in desk.alarms()
