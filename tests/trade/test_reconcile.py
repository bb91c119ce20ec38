"""What is read when, what it makes of a second engine, and the regressions other engines had, each written out."""
import orjson
import pytest

from _ext.core.records import INTENT_PLACE, OUTCOME_AMBIGUOUS, REC_BOOT, ROLE_ENTRY, ROLE_EXIT, Stream
from engine.broker.base import Request
from engine.broker.upstox import protocol
from engine.sim.exchange import Exchange
from engine.sim.faults import Network, Rates, from_file
from engine.trade import inputs
from engine.trade.outgoing import ENTRY_LIFE, ROOM, Outgoing
from engine.trade.reconcile import Reconciler
from tests.trade.conftest import SECOND, SPECS
from tests.trade.test_orders import CANCEL, MODIFY, SL, held, live_exit_quantity, lost_stop, opened

KEYS = {spec.key: i for i, spec in enumerate(SPECS)}
ABSENT = 7


def reconciler(desk, **given) -> tuple[Reconciler, list[int], list[str]]:
    fed: list[int] = []
    seconds: list[str] = []

    def feed(kind, record):
        fed.append(kind)
        return desk.core.feed(kind, desk.now, record)

    return Reconciler(protocol, desk.core, "spk", ["n"], KEYS, feed, on_second_engine=seconds.append, **given), fed, seconds


def row(tag: str | None, status: str = "open", **fields) -> dict:
    return {"tag": tag, "status": status, "order_id": fields.pop("order_id", f"B{tag}"), "quantity": 49, "filled_quantity": 0,
            "average_price": 0, "price": 1001.1, "trigger_price": 0, "order_type": "LIMIT", "transaction_type": "BUY",
            "instrument_token": SPECS[0].key, "product": "I"} | fields


def test_the_book_comes_before_the_positions(desk):
    work, _, _ = reconciler(desk)
    assert work.due(desk.now) == ["book"] and work.due(desk.now) == []
    work.on_book([], desk.now)
    assert work.due(desk.now) == ["positions"] and not work.is_ready
    work.on_positions([], desk.now)
    assert work.is_ready


def test_reads_come_more_often_the_less_is_known(desk):
    work, _, _ = reconciler(desk)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)

    def pace(seconds: float) -> int:
        count = 0
        for _ in range(round(seconds * 10)):
            desk.now += SECOND // 10
            for what in work.due(desk.now):
                count += what == "book"
                (work.on_book if what == "book" else work.on_positions)([], desk.now)
        return count

    assert pace(60) <= 2
    desk.tick(0)
    _, (entry,) = desk.enter()
    assert 5 <= pace(30) <= 7                               # an order lives: every five seconds
    desk.reply(entry, outcome=4, code=0)
    assert 14 <= pace(30) <= 16                             # its answer was lost: every two
    for kind, limit in (("book", 900), ("positions", 720)):
        assert limit < 2000, kind                           # half an hour at the fastest, of the broker's 2,000


def test_what_was_looked_for_in_vain_is_looked_out_for_a_while(desk):
    """It may turn up, or have filled: for a minute and a half since its answer was lost both are read often."""
    work, _, _ = reconciler(desk)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    lost = desk.now

    def reads(until: float) -> list[int]:
        counts = {"book": 0, "positions": 0}
        while desk.now < lost + until * SECOND:
            desk.now += SECOND // 10
            for what in work.due(desk.now):
                counts[what] += 1
                (work.on_book if what == "book" else work.on_positions)([], desk.now)
        return list(counts.values())

    reads(40)
    assert desk.core.orders()[0]["state"] == ABSENT and (desk.core.unclear, desk.core.ghosts) == (0, 1)
    book, positions = reads(80)
    assert 7 <= book <= 9 and 15 <= positions <= 17         # every five seconds, and every two and a half
    reads(95)
    assert desk.core.ghosts == 0 and max(reads(155)) <= 2


def test_what_was_refused_is_not_looked_out_for(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=2, code=400)
    assert desk.core.orders()[0]["state"] == ABSENT and desk.core.ghosts == 0


def test_a_read_that_fails_is_asked_again(desk):
    work, _, _ = reconciler(desk)
    assert work.due(desk.now) == ["book"]
    work.failed("book", desk.now)
    assert work.due(desk.now) == [] and work.due(desk.now + 2 * SECOND) == ["book"]


def test_a_second_engine_is_known_by_its_mark(desk):
    work, _, seconds = reconciler(desk, is_fresh=False)
    work.on_book([row("spk.old.3.e", "complete")], desk.now)               # there before us: an earlier life
    assert seconds == []
    work.on_message(row("spk.old.3.e", "complete"))
    assert seconds == []
    work.on_message(row("spk.other.1.e"))
    work.on_message(row("spk.other.1.e", "complete"))
    assert seconds == ["spk.other.1.e"]                                    # told once
    work.on_book([row("spk.old.3.e", "complete"), row("spk.more.1.e")], desk.now)
    assert seconds[-1] == "spk.more.1.e"
    work.on_message(row(None)) or work.on_message(row("hand made"))
    assert len(seconds) == 2


def test_faults_are_read_from_a_file(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text("seed = 3\nlost_answer = 0.5\n")
    assert from_file(path) == (Rates(seed=3, lost_answer=0.5), [])
    line = Network(Exchange(SPECS, 1), from_file(path)[0])
    draws = [line.journey(Request("POST", "/v3/order/place")).back_ns is None for _ in range(400)]
    assert 150 < sum(draws) < 250


# ---- the queue to the wire --------------------------------------------------------------------------------------------------
def intents(desk, n: int):
    row = desk.enter()[1][0]
    out = []
    for kind, role in [(1, 1), (3, 1), (2, 2)] * n:
        copy = row.copy()
        copy["kind"], copy["role"] = kind, role
        out.append(copy)
    return out


def test_exits_go_before_cancels_before_entries(desk):
    queue = Outgoing()
    for intent in intents(desk, 2):
        queue.push(intent, 0)
    going, over = queue.take(0)
    assert [(int(i["kind"]), int(i["role"])) for i in going] == [(2, 2)] * 2 + [(3, 1)] * 2 + [(1, 1)] * 2 and over == []


def test_no_more_leaves_than_the_broker_takes(desk):
    queue, sent = Outgoing(), []
    for intent in intents(desk, 9):
        queue.push(intent, 0)
    for ms in range(0, 5000, 10):
        sent += [ms] * len(queue.take(ms * 1_000_000)[0])
    assert max(sum(t <= s < t + 1000 for s in sent) for t in sent) == 10
    assert len(sent) == 18 + sum(s < 1000 for s in sent) - 10              # entries that could not leave in a second are gone


def test_an_entry_that_could_not_leave_is_dropped_and_an_exit_never(desk):
    queue = Outgoing()
    entry, _, exit_ = intents(desk, 1)
    for _ in range(10):
        queue.push(exit_, 0)
    assert len(queue.take(0)[0]) == 10
    queue.push(entry, 0)
    queue.push(exit_, 0)
    going, over = queue.take(ENTRY_LIFE + 1)
    assert [int(i["role"]) for i in going] == [2] and [int(i["role"]) for i in over] == [1]


def test_a_full_queue_gives_way_to_exits(desk):
    queue = Outgoing()
    entry, _, exit_ = intents(desk, 1)
    for _ in range(ROOM):
        queue.push(entry, 0)
    queue.push(exit_, 0)
    going, over = queue.take(0)
    assert going[0]["role"] == ROLE_EXIT and len(over) == 1 and over[0]["role"] == ROLE_ENTRY and len(queue) <= ROOM


# ---- what went wrong elsewhere ------------------------------------------------------------------------------------
def test_a_restart_does_not_flatten_a_live_position(desk):
    """nautilus 4736: the position was there, the restarted engine did not know it and closed it."""
    entry, stop = opened(desk)
    desk.core.feed(REC_BOOT, desk.now, orjson.dumps({"nonce": "m"}))
    work, _, _ = reconciler(desk, is_fresh=False)
    quantity = int(entry["quantity"])
    work.on_book([row(f"spk.n.{entry['id']}.e", "complete", filled_quantity=quantity, average_price=1000.0),
                  row(f"spk.n.{stop['id']}.x", "trigger pending", order_type="SL", trigger_price=980.0, price=975.1,
                      transaction_type="SELL")], desk.now)
    work.on_positions([{"instrument_token": SPECS[0].key, "product": "I", "quantity": quantity}], desk.now)
    for which in Stream:
        desk.link(which, True)
    assert desk.tick() == [] and desk.timer(20) == []
    assert held(desk) == quantity == live_exit_quantity(desk) and desk.core.states()[0] == 1


def test_a_restart_does_not_drop_working_orders(desk):
    """nautilus 5000: orders that worked at the broker were gone from the restarted engine's table, and filled unseen."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.core.feed(REC_BOOT, desk.now, orjson.dumps({"nonce": "m"}))
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([row(f"spk.n.{entry['id']}.e", "open", order_id=f"B{entry['id']}")], desk.now)
    work.on_positions([], desk.now)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)       # it fills after the restart: protected
    assert stop["order_type"] == SL and stop["quantity"] == entry["quantity"]


def test_reconciliation_comes_to_an_end(desk):
    """nautilus 3622: the difference was found again and again and never settled."""
    _, stop = opened(desk)
    quiet = 0
    for _ in range(8):
        desk.tick(seconds=4)
        desk.book(stop)
        asked = desk.holdings({0: 20})
        quiet = 0 if asked or desk.core.differs else quiet + 1
        for intent in asked:
            desk.reply(intent)
    assert quiet >= 5 and held(desk) == 20 == live_exit_quantity(desk)


def test_a_stop_is_never_sent_as_an_order_that_trades_at_once(desk):
    """openalgo 1647: the translation dropped the trigger, and every stop was an immediate limit."""
    _, stop = opened(desk)
    body = protocol.request_of(stop, SPECS[0].key, "spk.n.2.x").body
    assert body["order_type"] == "SL" and 0 < body["price"] < body["trigger_price"] < 999.9
    exchange = Exchange(SPECS, 100_000_000)
    status, _ = exchange.place(body | {"trigger_price": 0}, desk.now)
    assert status == 400                                                   # and the sim, as the broker, does not take one without


def test_paper_does_not_fill_twice(desk):
    """A double fill in paper: the same message of the stream and of the book, partial and whole, late and repeated."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    for filled in (10, 10, 49, 10, 49):
        desk.update(entry, 3 if filled == 49 else 2, filled, 100_000)
    assert sum(int(f["quantity"]) for f in desk.fills()) == 49 and held(desk) == 49
    assert desk.core.held(0) == (49, 0)


def test_an_exit_that_grows_and_one_that_shrinks_stay_within_the_position(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 2, 20, 100_000)
    desk.reply(stop)
    desk.update(stop, 2)
    (grown,) = desk.update(entry, 3, 49, 100_000)
    assert (grown["kind"], grown["quantity"]) == (MODIFY, 49) and live_exit_quantity(desk) <= held(desk)
    desk.reply(grown)
    assert live_exit_quantity(desk) == held(desk) == 49
    desk.operator(1)
    assert desk.tick() == [] and CANCEL not in [i["kind"] for i in desk.timer()]


# ---- what a review of this code found ------------------------------------------------------------------------------------------
def test_looking_at_the_money_changes_nothing(desk):
    """The day's best was raised by whoever looked, outside any record: a restart then judged the drawdown otherwise."""
    opened(desk)
    desk.tick(mid=103_000)
    before = desk.core.money()["best"]
    for _ in range(3):
        desk.core.money()
        desk.core.ask_gate(1, 1, 49, 100_110)
    assert desk.core.money()["best"] == before
    desk.timer()
    assert desk.core.money()["best"] > before


def test_a_fill_right_after_an_outage_gets_its_stop(desk):
    desk.link(0, False)
    opened_before = desk.timer(61)
    desk.link(0, True)
    desk.tick()
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    assert opened_before == [] and stop["order_type"] == SL


def test_after_a_restart_nothing_is_sent_before_the_positions_are_read(desk):
    """The position may be gone: closed by hand, by kill or by the broker while the engine was down."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.reply(stop, outcome=2, code=400)
    desk.core.feed(REC_BOOT, desk.now, orjson.dumps({"nonce": "m"}))
    assert desk.timer(90) == [] and desk.tick(mid=90_000) == []
    desk.holdings({0: int(entry["quantity"])})
    assert [i["quantity"] for i in desk.timer()] == [entry["quantity"]]


def test_adoption_does_not_depend_on_the_order_of_rows(make_desk):
    entry = row("spk.old.1.e", "complete", order_id="A1", filled_quantity=40, quantity=40, average_price=1000.0,
                order_timestamp="2026-09-01 09:40:00")
    stop = row("spk.old.2.x", "trigger pending", order_id="A2", quantity=40, order_type="SL", trigger_price=980.0, price=975.0,
               transaction_type="SELL", order_timestamp="2026-09-01 09:40:00")
    bad = row("spk.old.3.e", "complete", order_id="A3", filled_quantity=5, quantity="ten", average_price=None,
              order_timestamp="2026-09-01 09:41:00")
    for rows in ([entry, stop], [stop, entry], [bad, stop, entry]):
        desk = make_desk(ready=False)
        work, _, seconds = reconciler(desk)
        for _ in range(2):                                                 # a row nobody understands hides no other, twice read
            work.on_book(rows, desk.now)
        work.on_positions([{"instrument_token": SPECS[0].key, "product": "I", "quantity": 40}], desk.now)
        desk.funds(100_000_000)
        for which in Stream:
            desk.link(which, True)
        desk.tick(0)
        assert desk.timer() == [] and held(desk) == live_exit_quantity(desk) == 40 and seconds == []


def test_of_two_orders_of_one_second_the_entry_is_adopted_first_whatever_the_broker_calls_them(make_desk):
    at = "2026-09-01 09:40:00"
    entry = row("spk.old.1.e", "complete", order_id="Z1", filled_quantity=40, quantity=40, average_price=1000.0, order_timestamp=at)
    stop = row("spk.old.2.x", "trigger pending", order_id="A2", quantity=40, order_type="SL", trigger_price=980.0, price=975.0,
               transaction_type="SELL", order_timestamp=at)
    desk = make_desk(ready=False)
    work, _, _ = reconciler(desk)
    work.on_book([stop, entry], desk.now)
    work.on_positions([{"instrument_token": SPECS[0].key, "product": "I", "quantity": 40}], desk.now)
    desk.funds(100_000_000)
    for which in Stream:
        desk.link(which, True)
    desk.tick(0)
    assert desk.timer() == [] and held(desk) == live_exit_quantity(desk) == 40      # the stop that rests is its exit: no second


def test_the_number_of_another_lifes_order_moves_none_of_ours(desk):
    """The machine lost its last second: a number was given twice, and the broker still shows the first order that had it."""
    desk.core.feed(REC_BOOT, desk.now, orjson.dumps({"nonce": "m"}))
    keys = {spec.key: i for i, spec in enumerate(SPECS)}
    work = Reconciler(protocol, desk.core, "spk", ["n", "m"], keys, lambda kind, record: desk.core.feed(kind, desk.now, record),
                      False)
    lost = row("spk.n.1.e", "complete", order_id="OLD", filled_quantity=40, quantity=40, average_price=1000.0)
    work.on_book([lost], desk.now)
    work.on_positions([{"instrument_token": SPECS[0].key, "product": "I", "quantity": 40}], desk.now)
    for which in Stream:
        desk.link(which, True)
    assert held(desk) == 40                                                # taken over from the book, and protected
    assert [i["order_type"] for i in desk.timer() + desk.intents()] == [SL]


def test_answers_that_make_no_sense_are_ambiguous_and_stop_nothing():
    for ids in ({"a": 1}, 7, [None], [7], [""], "text", ["\ud800"], []):
        body = {"status": "success", "data": {"order_ids": ids}}
        assert protocol.verdict_of(INTENT_PLACE, 200, body)[0] == OUTCOME_AMBIGUOUS, ids
        inputs.reply_record(1, INTENT_PLACE, protocol.verdict_of(INTENT_PLACE, 200, body), 200, 1)


@pytest.mark.parametrize("rows", [[("I", 49), (None, 0)], [("I", 30), ("I", 19)], [(None, 0), ("I", 49)]])
def test_rows_of_one_name_add_up(desk, rows):
    """Two rows of a name, one of them of no quantity: what is held is their sum."""
    opened(desk)
    desk.tick(seconds=4)
    work, _, _ = reconciler(desk)
    work.on_book([], desk.now)
    work.on_positions([{"instrument_token": SPECS[0].key, "product": product, "quantity": n} for product, n in rows], desk.now)
    assert held(desk) == 49 and desk.core.differs == 0


def test_the_made_up_broker_hides_an_order_from_its_book_and_its_messages_alike():
    """Until it shows neither tells of it; then the message comes late, and none that comes later anyway is moved."""
    line = Network(Exchange(SPECS, 1), Rates(seed=3, hidden=1.0))
    line.on_placed("7", 1000)
    shows, told = line.hidden["7"], {"order_id": "7", "instrument_token": SPECS[0].key}
    assert 1000 < shows <= 1000 + 30 * SECOND
    assert line.messages(2000, told) == [(shows, told)] and line.messages(shows + 5, told) == [(shows + 5, told)]
    other = told | {"order_id": "8"}
    assert line.messages(2000, other) == [(2000, other)]
    assert line.visible([told, other], shows - 1) == [other] and line.visible([told, other], shows) == [told, other]


def test_a_read_that_is_under_way_is_not_asked_for_again(desk):
    work, _, _ = reconciler(desk)
    assert work.due(desk.now) == ["book"]
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)                    # much is unclear, and the answer is slow
    assert [work.due(desk.now + k * SECOND) for k in range(1, 100)] == [[]] * 99
    work.on_book([], desk.now)
    assert work.due(desk.now + 100 * SECOND) == ["book", "positions"]


@pytest.mark.parametrize(("fields", "asked"), [
    ({}, ["book", "positions"]), ({"status": "open"}, []), ({"instrument_token": "NSE_EQ|ELSE"}, [])])
def test_a_trade_of_somebody_else_in_a_name_of_ours_is_looked_into_at_once(desk, fields, asked):
    work, _, _ = reconciler(desk)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    work.due(desk.now)
    for what in ("book", "positions"):
        (work.on_book if what == "book" else work.on_positions)([], desk.now)
    desk.now += SECOND
    assert work.due(desk.now) == []
    work.on_message(row("app", "complete", filled_quantity=49) | fields)
    assert work.due(desk.now) == asked


@pytest.mark.parametrize(("number", "orders"), [(1, 1), (2, 2)])
def test_the_last_number_the_journal_holds_is_ours_after_a_restart_and_the_next_is_not(desk, number, orders):
    """The journal holds one order: the row of number 1 is its own, number 2 went with the machine's last second and is adopted."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.core.feed(REC_BOOT, desk.now, orjson.dumps({"nonce": "m"}))
    work = Reconciler(protocol, desk.core, "spk", ["n", "m"], KEYS, lambda kind, record: desk.core.feed(kind, desk.now, record),
                      False)
    work.on_book([row(f"spk.n.{number}.e", "complete", order_id=f"B{number}", filled_quantity=49, average_price=1000.0)], desk.now)
    assert desk.core.counts()["orders"] == orders


@pytest.mark.parametrize(("side", "adopted"), [("BUY", 1), (None, 0)])
def test_an_order_of_an_earlier_life_that_was_neither_bought_nor_sold_is_not_adopted(make_desk, side, adopted):
    """Nobody knows which way it would move the position: it is told, and the positions decide."""
    desk = make_desk(ready=False)
    work, _, _ = reconciler(desk)
    work.on_book([row("spk.old.1.e", "complete", filled_quantity=49, average_price=1000.0, transaction_type=side)], desk.now)
    assert desk.core.counts()["orders"] == adopted
    assert ("unreadable answer of the broker" in desk.alarms()) == (not adopted)


@pytest.mark.parametrize(("fields", "unreadable", "others"), [
    ({}, 0, {0: 49}), ({"transaction_type": None}, 1, {}), ({"transaction_type": None, "product": "D"}, 0, {}),
    ({"transaction_type": None, "filled_quantity": 0}, 0, {})])
def test_an_order_of_others_that_was_neither_bought_nor_sold_explains_nothing_and_is_told(desk, fields, unreadable, others):
    """One of another product, or without a fill, moves nothing that is compared."""
    work, _, _ = reconciler(desk)
    work.on_book([row("by hand", "complete", filled_quantity=49, average_price=1000.0) | fields], desk.now)
    assert desk.core.counts()["unreadable"] == unreadable and work.others == others


def test_a_message_of_an_earlier_life_before_the_first_book_is_no_second_engine(desk):
    """Until the first book is read nobody knows which orders were there before: that book says so of them."""
    work, _, seconds = reconciler(desk, is_fresh=False)
    old = row("spk.old.3.e", "complete")
    work.on_message(old)
    work.on_book([old], desk.now)
    work.on_message(old)
    assert seconds == []
    work.on_message(row("spk.other.1.e"))
    assert seconds == ["spk.other.1.e"]


@pytest.mark.parametrize(("age", "may_be_ours"), [(14.9, True), (15.0, False)])
def test_a_row_that_is_none_stands_for_an_order_of_ours_for_fifteen_seconds(desk, age, may_be_ours):
    """What the order should protect cannot wait longer: from then on it is missing."""
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    _, (entry,) = desk.enter()
    sent = desk.now
    desk.reply(entry, outcome=4, code=0)
    desk.now = sent + round(age * SECOND)
    work.on_book([None], desk.now)
    (order,) = desk.core.orders()
    assert (order["doubted"] != 0, order["missed"]) == (may_be_ours, 0 if may_be_ours else 1)


def test_an_order_of_this_life_is_ours_by_its_tag_though_the_journal_did_not_hold_it_at_the_start(desk):
    """Its answer was lost: the tag alone says whose it is."""
    work, _, seconds = reconciler(desk)
    work.on_book([], desk.now)
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    work.on_book([row("spk.n.1.e", "complete", filled_quantity=49, average_price=1000.0)], desk.now)
    assert held(desk) == 49 and seconds == [] and work.others == {}


def test_of_two_orders_that_may_have_filled_unseen_it_is_the_younger(desk):
    """Two stops without an answer, and the positions are flat."""
    _, stop = lost_stop(desk)
    (again,) = desk.tick(mid=98_950, seconds=15.1)
    desk.reply(again, outcome=4, code=0)
    for _ in range(5):
        desk.tick(seconds=2.5)
        desk.book()
        desk.holdings({})
    assert {int(o["id"]): int(o["presumed"]) for o in desk.core.orders() if o["role"] == ROLE_EXIT} == {
        int(stop["id"]): 0, int(again["id"]): 49}


def test_what_others_orders_explain_is_not_presumed_of_ours(make_desk):
    """40 are there, others bought 20 of them: 20 are of the entry whose answer was lost."""
    desk = make_desk(entry_life_s=60)
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    for _ in range(6):
        desk.tick(seconds=2.5)
        desk.book()
        desk.holdings({0: 40}, others={0: 20})
    assert desk.core.orders()[0]["presumed"] == 20 and desk.core.held(0) == (20, 20)


def test_the_end_of_an_order_of_ours_that_nobody_asked_for_is_told_of_its_name(desk):
    """Refused or cancelled by the exchange: its band may have moved."""
    _, stop = opened(desk)
    for status, told in (("open", []), ("cancelled", [0]), ("rejected", [0])):
        ended = []
        work = Reconciler(protocol, desk.core, "spk", ["n"], KEYS, lambda kind, record: True, is_fresh=False,
                          on_unexpected_end=ended.append)
        work.on_message(row(f"spk.n.{stop['id']}.x", status, transaction_type="SELL"))
        assert ended == told
