"""A fill is a fill: a price, a quantity, a tag or a time that is missing, late, in another form or absurd loses nothing, doubles
nothing, and leaves nothing unprotected for long."""
import numpy as np
import pytest

from _ext.core.records import ORDER_UPDATE, REC_ORDER_UPDATE, STATUS_COMPLETE
from engine.broker.upstox import protocol
from engine.trade import inputs
from tests.trade.conftest import SECOND, SPECS
from tests.trade.test_orders import CANCEL, LIMIT, MODIFY, SL, held, live_exit_quantity, opened
from tests.trade.test_reconcile import ABSENT, reconciler, row

KEY = SPECS[0].key


def entered(desk):
    """An accepted entry of 49 at 1001.10, and the reconciler that hears of it."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now - 3 * SECOND)
    return entry, work


def without_an_answer(desk):
    """A filled entry of 49, its stop whose answer was lost, and the reconciler that hears of both."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    desk.reply(stop, outcome=4, code=0)
    work, _, _ = reconciler(desk, is_fresh=False)
    return entry, stop, work


def told(entry, **fields) -> dict:
    return row(f"spk.n.{entry['id']}.e", "complete", order_id=f"B{entry['id']}", filled_quantity=49, pending_quantity=0,
               average_price=1000.0) | fields


def dropped(message: dict, *names: str) -> dict:
    return {name: value for name, value in message.items() if name not in names}


@pytest.mark.parametrize("average", [0, None, "", "n/a", [], {}, True, -1.0, float("nan"), float("inf"), 1e308, 0.01, 100_000.0])
@pytest.mark.parametrize("by", ["book", "stream"])
def test_a_fill_without_a_price_is_protected_at_once_and_priced_by_its_limit(desk, by, average):
    entry, work = entered(desk)
    message = told(entry, average_price=average)
    work.on_book([message], desk.now) if by == "book" else work.on_message(message)
    (stop,) = desk.intents()
    assert (stop["role"], stop["order_type"], stop["quantity"]) == (2, SL, 49) and held(desk) == 49
    assert desk.fills()[-1]["price"] == entry["price"] and desk.alarms() == ["filled, price not told"]
    assert stop["trigger"] == 98_110                                    # 2 % below the limit of 1001.10, rounded up
    desk.reply(stop)
    desk.update(stop, 2)
    work.on_book([told(entry)], desk.now)                               # the average comes: cost and stop are set right
    (moved,) = desk.tick()
    assert (moved["kind"], moved["trigger"]) == (MODIFY, 98_000)
    assert [(int(f["quantity"]), int(f["price"])) for f in desk.fills()] == [(49, entry["price"]), (0, 100_000)]
    (position,) = desk.core.positions()
    assert position["cost"] == 49 * 100_000 and desk.alarms() == ["filled, price not told"]
    work.on_book([told(entry)], desk.now)
    assert desk.fills()[-1] == desk.fills()[1]                          # told once more: nothing new


def test_a_fill_without_an_average_key(desk):
    entry, work = entered(desk)
    work.on_message(dropped(told(entry), "average_price"))
    assert held(desk) == 49 and desk.intents()[0]["order_type"] == SL


@pytest.mark.parametrize("average", ["1000.05", "1,000.05", " 1000.05 "])
def test_a_price_in_another_form_is_read(desk, average):
    entry, work = entered(desk)
    work.on_message(told(entry, average_price=average))
    assert desk.fills()[-1]["price"] == 100_005 and desk.alarms() == []


def test_an_average_that_never_comes_is_asked_for_every_five_seconds(desk):
    entry, work = entered(desk)
    work.on_message(told(entry, average_price=0))
    (stop,) = desk.intents()
    desk.reply(stop)
    desk.update(stop, 3, 49, 98_500)
    assert desk.core.positions() == []
    reads = 0
    for _ in range(300):
        desk.now += SECOND // 10
        for what in work.due(desk.now):
            reads += what == "book"
            (work.on_book if what == "book" else work.on_positions)([], desk.now)
    assert 5 <= reads <= 7


def test_the_price_of_an_exit_told_after_the_position_ended_sets_the_result_right(desk):
    _, stop = opened(desk)
    desk.update(stop, 3, 49, 1)                                         # one paisa each: no price that can be
    assert desk.core.positions() == []
    assert desk.core.money()["realised"] == 49 * (int(stop["price"]) - 100_000)
    desk.update(stop, 3, 49, 97_900)
    assert desk.core.money()["realised"] == 49 * (97_900 - 100_000)
    last = desk.fills()[-1]
    assert (last["quantity"], last["price"], last["realised"]) == (0, 97_900, 49 * (97_900 - int(stop["price"])))
    assert desk.core.money()["charges"] == sum(int(f["charges"]) for f in desk.fills())


def test_the_price_of_an_entry_told_after_half_was_sold(desk):
    entry, work = entered(desk)
    work.on_message(told(entry, average_price=0))
    (stop,) = desk.intents()
    desk.reply(stop)
    desk.update(stop, 2, 20, 98_500)
    work.on_message(told(entry, average_price=1000.0))
    desk.update(stop, 3, 49, 98_500)
    assert desk.core.positions() == [] and desk.core.money()["realised"] == 49 * (98_500 - 100_000)


def test_parts_with_and_without_a_price(desk):
    entry, work = entered(desk)
    work.on_message(told(entry, status="open", filled_quantity=20, pending_quantity=29, average_price=0))
    work.on_message(told(entry, average_price=1000.5))                  # of all of it
    (position,) = desk.core.positions()
    assert (position["bought"], position["cost"]) == (49, 49 * 100_050)
    assert sum(int(f["quantity"]) for f in desk.fills()) == 49


@pytest.mark.parametrize("fields", [
    {"filled_quantity": 0, "pending_quantity": None}, {"filled_quantity": None},
    {"filled_quantity": None, "pending_quantity": None}, {"filled_quantity": "49"},
    {"filled_quantity": 49.0}, {"filled_quantity": "49.0"}, {"status": "Complete"}])
def test_what_is_complete_was_filled_however_that_is_told(desk, fields):
    entry, work = entered(desk)
    work.on_message(told(entry, **fields))
    assert held(desk) == 49 and desk.intents()[0]["quantity"] == 49


def test_a_part_told_by_what_is_pending(desk):
    entry, work = entered(desk)
    work.on_message(dropped(told(entry, status="open", pending_quantity=30), "filled_quantity"))
    assert held(desk) == 19


def test_an_order_without_a_tag_is_known_by_its_id(desk):
    entry, work = entered(desk)
    work.on_book([told(entry, tag=None)], desk.now)
    assert held(desk) == 49 and work.others == {}


@pytest.mark.parametrize("tag", ["", "spk.n.1", "SPK.N.1.E", 7, ["spk.n.1.e"]])
def test_a_damaged_tag_is_one_that_is_missing(desk, tag):
    entry, work = entered(desk)
    work.on_message(told(entry, tag=tag))
    assert held(desk) == 49


def test_an_order_without_tag_whose_answer_was_lost_is_the_one_like_it(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([told(entry, tag=None, price=999.0)], desk.now)        # another's: not at our price
    assert held(desk) == 0 and work.others == {0: 49}
    work.on_book([told(entry, tag=None)], desk.now)
    assert held(desk) == 49 and work.others == {}


@pytest.mark.parametrize(("tag", "is_ours"), [
    ("spk.n.1", True), ("spk.", True), ("SPK.N.1.E", True), (["spk.n.1.e"], True), (None, True), ("mybot", False), ("7", False)])
def test_a_damaged_tag_of_ours_whose_answer_was_lost_is_the_one_order_like_it(desk, tag, is_ours):
    """Seed 1033884 of the episodes: the row stood for an order of others for good, and what it had bought had no stop. A tag of
    somebody else's makes it another's, however like ours it is."""
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([told(entry, tag=tag, order_id="Z9", price=entry["price"] / 100)], desk.now)
    assert held(desk) == (49 if is_ours else 0) and work.others == ({} if is_ours else {0: 49})


def test_of_two_orders_alike_none_is_the_one_behind_a_row_without_tag(make_desk):
    """The first was looked for in vain, the second's answer is lost as well."""
    desk = make_desk(settle_entry_s=15)
    for number in (1, 2):
        desk.tick(seconds=31)
        _, (entry,) = desk.enter()
        desk.reply(entry, outcome=4, code=0)
        alike = (0, 1, int(entry["quantity"]), int(entry["price"]))
        assert desk.core.nameless(*alike, set()) == (1 if number == 1 else 0)
        for other in ((1, *alike[1:]), (0, -1, *alike[2:]), (*alike[:2], 48, alike[3]), (*alike[:3], alike[3] + 10)):
            assert desk.core.nameless(*other, set()) == 0
        desk.missed(20)
        assert desk.core.orders()[-1]["state"] == ABSENT
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([told(entry, tag=None, order_id="Z9", price=entry["price"] / 100)], desk.now)
    assert held(desk) == 0 and work.others == {0: 49}


def test_of_two_orders_alike_the_one_that_shows_its_tag_is_not_the_one_without(make_desk):
    """The first shows its tag in the same read, though the row is nonsense else: the row without a tag is the second's."""
    desk = make_desk(settle_entry_s=15)
    entries = []
    for _ in range(2):
        desk.tick(seconds=31)
        _, (entry,) = desk.enter()
        desk.reply(entry, outcome=4, code=0)
        desk.missed(20)
        entries.append(entry)
    work, _, _ = reconciler(desk, is_fresh=False)
    first, second = entries
    work.on_book([told(first, quantity={}, filled_quantity={}), told(second, tag=None, order_id="Z9", price=second["price"] / 100,
                                                                     average_price=999.0)], desk.now)
    assert [int(order["filled"]) for order in desk.core.orders()[:2]] == [0, 49] and work.others == {}
    assert desk.fills()[-1]["price"] == 99_900


def test_what_the_positions_showed_of_an_order_is_priced_by_its_row_without_a_tag(desk):
    """The stop's answer was lost, the positions show nothing held any more: the row that is like it is its own, not another's."""
    entry, stop, work = without_an_answer(desk)
    wait(desk, work, [told(entry)], 0, 15)
    assert desk.core.positions() == [] and "filled by the broker's positions" in desk.alarms()
    mine = row("", "complete", order_id="Z9", order_type="SL", transaction_type="SELL", price=stop["price"] / 100,
               trigger_price=stop["trigger"] / 100, filled_quantity=49, average_price=979.0)
    work.on_book([told(entry), mine], desk.now)
    sold = desk.core.orders()[1]
    assert (sold["filled"], sold["value"], sold["presumed"]) == (49, 49 * 97_900, 0) and work.others == {}
    assert desk.core.money()["realised"] == 49 * (97_900 - 100_000)


def test_an_order_without_its_id_is_known_by_its_tag(desk):
    entry, work = entered(desk)
    work.on_book([dropped(told(entry), "order_id")], desk.now)
    assert held(desk) == 49


# ---- what nobody can read: the positions decide ------------------------------------------------------------------------------
def positions(work, desk, quantity: int, **fields):
    work.on_positions([{"instrument_token": KEY, "product": "I", "quantity": quantity} | fields], desk.now)


def wait(desk, work, rows, quantity: int, seconds: float, also: str = KEY) -> tuple[float, list]:
    """Reads of book and positions every 2.5 s, the broker refusing every cancel: (when the first exit was
    asked for, all requests)."""
    began, first, out = desk.now, 0.0, []
    while desk.now - began < seconds * SECOND:
        asked = desk.tick(seconds=2.5)
        work.on_book(rows, desk.now)
        work.on_positions([{"instrument_token": also, "product": "I", "quantity": quantity}], desk.now)
        for intent in asked + desk.intents():
            out.append(intent)
            if intent["kind"] == CANCEL:
                desk.reply(intent, outcome=2, code=400)
            else:
                first = first or (desk.now - began) / SECOND
                desk.reply(intent)
                desk.update(intent, 2)
    return first, out


@pytest.mark.parametrize("fields", [
    {"filled_quantity": "many"}, {"filled_quantity": -5}, {"filled_quantity": 4.5}, {"filled_quantity": True},
    {"filled_quantity": 1e30}, {"quantity": "ten"}, {"status": None}, {"status": 7}, {"order_id": "x" * 40}, {"order_id": "\ud800"},
    {"price": "cheap"}, {"filled_quantity": 4900, "quantity": 4900, "pending_quantity": 0}, {"filled_quantity": float("nan")}])
def test_a_fill_that_nobody_can_read_is_taken_from_the_positions(desk, fields):
    entry, work = entered(desk)
    positions(work, desk, 0)
    first, asked = wait(desk, work, [told(entry, **fields)], 49, 40)
    assert 0 < first <= 12.5
    exits = [i for i in asked if i["kind"] != CANCEL]
    assert [(i["order_type"], i["quantity"]) for i in exits] == [(SL, 49)] and held(desk) == 49 == live_exit_quantity(desk)
    assert "filled by the broker's positions" in desk.alarms() and desk.core.states()[0] == 2
    assert len(desk.alarms()) <= 6                                      # told, not shouted
    work.on_book([told(entry)], desk.now)                               # and when it can be read after all: the same fill, priced
    assert desk.core.held(0) == (49, 0) and desk.core.positions()[0]["cost"] == 49 * 100_000


def test_an_unreadable_exit_that_filled_is_no_second_sale(desk):
    entry, stop = opened(desk)
    work, _, _ = reconciler(desk, is_fresh=False)
    bad = row(f"spk.n.{stop['id']}.x", "complete", order_id=f"B{stop['id']}", filled_quantity="all", transaction_type="SELL")
    wait(desk, work, [bad, told(entry)], 0, 7)
    assert held(desk) == 49                                             # in doubt a difference must last
    first, _ = wait(desk, work, [bad, told(entry)], 0, 13)
    assert first == 0 and desk.core.positions() == [] and desk.core.held(0) == (0, 0)
    work.on_book([bad | {"filled_quantity": 49, "average_price": 980.0}, told(entry)], desk.now)
    assert desk.core.held(0) == (0, 0) and desk.core.positions() == []
    assert desk.core.money()["realised"] == 49 * (98_000 - 100_000)


def test_presumed_of_the_wrong_order_is_taken_back(desk):
    """The broker closed the position while the stop's answer was lost: the stop lives, and must not stay."""
    entry, stop, work = without_an_answer(desk)
    wait(desk, work, [told(entry)], 0, 15)
    assert desk.core.positions() == []
    live = row(f"spk.n.{stop['id']}.x", "trigger pending", order_id="S1", order_type="SL", trigger_price=980.0, price=975.1,
               transaction_type="SELL")
    desk.tick(seconds=1)
    work.on_book([told(entry), live], desk.now)
    (cancel,) = desk.intents()
    assert (cancel["kind"], cancel["id"]) == (CANCEL, stop["id"])


def presumed(make_desk):
    """An entry of which twenty were told and twenty-nine are presumed, on the word of the positions."""
    desk = make_desk(entry_life_s=120)
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 2, 20)
    desk.reply(stop)
    desk.update(stop, 2)
    work, _, _ = reconciler(desk, is_fresh=False)
    wait(desk, work, [], 49, 12.5)
    return desk, entry, work


def test_a_presumption_is_taken_back_once_and_what_was_told_stays(make_desk):
    """Twenty were told, twenty-nine presumed; reads of an older book say ten, twice."""
    desk, entry, work = presumed(make_desk)
    assert desk.core.orders()[0]["filled"] == 49 and desk.core.held(0) == (49, 0)
    for _ in range(2):
        desk.tick(seconds=2.5)
        work.on_book([told(entry, status="open", filled_quantity=10, pending_quantity=39)], desk.now)
        order = desk.core.orders()[0]
        assert (order["filled"], order["value"]) == (20, 20 * entry["price"])
    assert desk.core.held(0) == (49, 0)                                 # what is held stays held


@pytest.mark.parametrize(("later", "filled"), [(-1, 49), (0, 49), (1, 20)])
def test_a_read_begun_before_the_presumption_takes_nothing_back(make_desk, later, filled):
    """It shows the twenty of then; one begun a nanosecond later shows that there are no more."""
    desk, entry, work = presumed(make_desk)
    began = int(desk.core.orders()[0]["presumed_at"]) + later
    desk.tick(seconds=2.5)
    work.on_book([told(entry, status="open", filled_quantity=20, pending_quantity=29)], began)
    assert desk.core.orders()[0]["filled"] == filled


def test_a_presumption_is_taken_back_as_far_as_the_book_says_and_no_further(make_desk):
    """Twenty were told, twenty-nine presumed; the book says thirty: ten of what was presumed were this order's, nothing is new."""
    desk, entry, work = presumed(make_desk)
    fills = len(desk.fills())
    desk.tick(seconds=2.5)
    work.on_book([told(entry, status="open", filled_quantity=30, pending_quantity=19)], desk.now)
    order = desk.core.orders()[0]
    assert (order["filled"], order["presumed"]) == (30, 10)
    assert desk.core.held(0) == (49, 0) and sum(int(f["quantity"]) for f in desk.fills()[fills:]) == 0


def test_what_is_presumed_of_a_cancelled_order_is_no_step_it_may_not_take(desk):
    """It was cancelled, and the word does not say how much of it had filled; the positions show all of it."""
    entry, work = entered(desk)
    work.on_positions([], desk.now)
    gone = told(entry, status="cancelled", filled_quantity=None, pending_quantity=None)
    wait(desk, work, [gone], 49, 15)
    assert held(desk) == 49 and desk.core.orders()[0]["state"] == 6 and desk.core.counts()["illegal"] == 0


@pytest.mark.parametrize("inst", [0, 3])
def test_a_position_nobody_can_explain_is_ended(desk, inst):
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    first, asked = wait(desk, work, [], -30, 20, SPECS[inst].key)
    assert 7 < first <= 12.5 and desk.core.states()[0] == 2             # it must last: two reads in a row may be one mistake
    back = asked[0]
    assert (back["inst"], back["side"], back["quantity"], back["order_type"]) == (inst, 1, 30, LIMIT)
    assert "a position nobody can explain was taken over" in desk.alarms()
    desk.update(back, 3, 30, 100_000)
    assert desk.core.positions() == [] and desk.core.held(inst) == (0, 0)


@pytest.mark.parametrize("side", [1, -1])
def test_what_others_orders_in_the_book_explain_is_left_alone(desk, side):
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    theirs = row("by hand", "complete", order_id="M1", filled_quantity=30, quantity=30, average_price=1000.0,
                 transaction_type="BUY" if side > 0 else "SELL")
    first, _ = wait(desk, work, [theirs], side * 30, 20)
    assert first == 0 and desk.core.held(0) == (0, side * 30) and desk.core.positions() == []


def by_hand(number: int, side: str, quantity: int) -> dict:
    return row("by hand", "complete", order_id=f"M{number}", filled_quantity=quantity, quantity=quantity, average_price=1000.0,
               transaction_type=side)


def test_an_order_that_was_heard_of_before_fills_for_itself(make_desk):
    """Only the first word of an order may be about what the positions had shown before: what was put down to others is theirs."""
    desk = make_desk(entry_life_s=120)
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2)
    work, _, _ = reconciler(desk, is_fresh=False)
    mine = told(entry, status="open", filled_quantity=0, pending_quantity=49)
    work.on_book([mine], desk.now)
    work.on_positions([], desk.now)
    wait(desk, work, [mine, by_hand(1, "BUY", 30)], 30, 20)
    assert desk.core.held(0) == (0, 30)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    assert stop["quantity"] == 49 and desk.core.held(0) == (49, 30)


def test_what_others_closed_of_theirs_explains_no_sale_of_ours(desk):
    """They held 30 and sold them; in the same reads our stop of 49 had filled, in words nobody could read."""
    entry, stop = opened(desk)
    work, _, _ = reconciler(desk, is_fresh=False)
    resting = row(f"spk.n.{stop['id']}.x", "trigger pending", order_id=f"B{stop['id']}", order_type="SL", trigger_price=980.0,
                  price=975.1, transaction_type="SELL")
    wait(desk, work, [told(entry), resting, by_hand(1, "BUY", 30)], 79, 20)
    assert desk.core.held(0) == (49, 30)
    both = [by_hand(1, "BUY", 30), by_hand(2, "SELL", 30)]
    wait(desk, work, [told(entry), resting | {"status": "complete", "filled_quantity": "all"}, *both], 0, 20)
    assert desk.core.held(0) == (0, 0) and desk.core.positions() == []
    filled = resting | {"status": "complete", "filled_quantity": 49, "average_price": 980.0}
    work.on_book([told(entry), filled, *both], desk.now)                # and when it can be read: the same sale
    assert desk.core.held(0) == (0, 0) and desk.core.positions() == []
    assert desk.core.money()["realised"] == 49 * (98_000 - 100_000)


@pytest.mark.parametrize(("shown", "sent"), [(79, [49]), (50, [20]), (31, [1]), (30, []), (0, [])])
def test_a_new_exit_is_cut_to_what_the_broker_shows_beyond_what_others_hold(desk, shown, sent):
    """They hold 30; the answer to our second stop was lost, and it may have filled."""
    _, stop = opened(desk)
    for _ in range(2):
        desk.tick(seconds=3)
        desk.book()
        desk.holdings({0: 79}, others={0: 30})
    assert desk.core.held(0) == (49, 30)
    desk.update(stop, 4)                                                # cancelled, and not by us
    (second,) = desk.tick(seconds=1.1)
    desk.reply(second, outcome=4, code=0)
    desk.tick(seconds=3)
    desk.holdings({0: shown}, others={0: 30})
    assert [(i["side"], i["quantity"]) for i in desk.missed(18)] == [(-1, quantity) for quantity in sent]


def test_what_others_did_before_the_start_explains_nothing_later(make_desk):
    desk = make_desk(ready=False)
    desk.funds(100_000_000)
    for which in (0, 1):
        desk.link(which, True)
    desk.tick(0)
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([by_hand(1, "BUY", 30)], desk.now)
    positions(work, desk, 30)
    assert desk.core.held(0) == (0, 30) and desk.core.states()[0] == 1
    first, asked = wait(desk, work, [by_hand(1, "BUY", 30)], 60, 20)    # thirty more, by no order in the book
    assert 7 < first <= 12.5 and [(i["side"], i["quantity"]) for i in asked[:1]] == [(-1, 30)]
    assert desk.core.held(0) == (30, 30)


def test_the_position_of_a_second_engine_is_its_own(desk):
    """Its orders have our mark and nobody here sent them: entries stop, and what it holds is not ended behind its back."""
    work, _, seconds = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    theirs = row("spk.other.1.e", "complete", order_id="Z1", filled_quantity=30, quantity=30, average_price=1000.0)
    first, _ = wait(desk, work, [theirs], 30, 20)
    assert first == 0 and desk.core.held(0) == (0, 30) and seconds == ["spk.other.1.e"]


@pytest.mark.parametrize("bad", [{"instrument_token": SPECS[2].key, "product": "I", "quantity": "x"}, None])
def test_what_was_there_at_the_start_is_left_alone_also_where_its_row_could_not_be_read_at_first(make_desk, bad):
    desk = make_desk(ready=False)
    work, _, _ = reconciler(desk)
    work.on_book([], desk.now)
    work.on_positions([bad], desk.now)
    assert desk.core.differs
    first, _ = wait(desk, work, [], 40, 20, SPECS[2].key)
    assert first == 0 and desk.core.held(2) == (0, 40) and desk.core.positions() == []


@pytest.mark.parametrize("bad", [
    None, [], 7, {"product": "I", "quantity": 5}, {"instrument_token": 7, "product": "I", "quantity": 5},
    {"instrument_token": KEY, "product": "I", "quantity": "x"}, {"instrument_token": KEY, "product": "I"},
    {"instrument_token": KEY, "product": "Intraday", "quantity": 5}, {"instrument_token": KEY, "quantity": 5},
    {"instrument_token": KEY, "product": "I", "quantity": float("inf")}])
def test_a_row_of_the_positions_nobody_can_read_stops_entries_and_no_exit(desk, bad):
    entry, _ = opened(desk)
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([told(entry)], desk.now)
    good = {"instrument_token": SPECS[1].key, "product": "I", "quantity": 0}
    for _ in range(4):
        desk.tick(seconds=2.5)
        desk.tick(1)
        work.on_book([told(entry)], desk.now)
        work.on_positions([good, bad], desk.now)
        assert desk.core.ask_gate(1, 1, 49, 100_110)[0] == "not reconciled"
        assert held(desk) == 49 == live_exit_quantity(desk)             # neither believed flat nor doubled
    positions(work, desk, 49)
    assert desk.core.ask_gate(1, 1, 49, 100_110)[0] == "pass"


def test_positions_of_another_product_are_not_ours(desk):
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    positions(work, desk, 70, product="D")
    assert desk.core.held(0) == (0, 0) and desk.core.ask_gate(0, 1, 49, 100_110)[0] == "pass"


def test_a_book_of_nonsense_does_not_fill_the_journal(desk):
    work, fed, _ = reconciler(desk, is_fresh=False)
    for _ in range(100):
        work.on_book([None, 7, [], "x", {"tag": {}}, {}], desk.now)
    assert fed.count(REC_ORDER_UPDATE) == 64 and desk.core.counts()["unreadable"] == 64 and work.strange == 100


@pytest.mark.parametrize(("none", "is_shown", "may_be_ours"), [
    (0, True, False), (1, False, False), (1, True, True), (2, False, True)])
def test_a_row_that_is_none_stands_first_for_an_order_known_to_be_there(desk, none, is_shown, may_be_ours):
    """Only what is left over may be an order of ours whose answer was lost, which then is not missing."""
    work, _, _ = reconciler(desk, is_fresh=False)
    another = row(None, "complete", order_id="Z1", instrument_token="NSE_EQ|OTHER")
    work.on_book([another], desk.now)
    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    desk.now += SECOND
    work.on_book([None] * none + [another] * is_shown, desk.now)
    (order,) = desk.core.orders()
    assert (order["doubted"] != 0, order["missed"]) == (may_be_ours, 0 if may_be_ours else 1)


@pytest.mark.parametrize("message", [None, 7, [], "text", {"status": []}])
def test_a_message_that_is_none_makes_the_book_be_read(desk, message):
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    work.due(desk.now)
    work.on_book([], desk.now)
    work.on_positions([], desk.now)
    assert work.due(desk.now) == []
    work.on_message(message)
    if not isinstance(message, dict):
        assert work.due(desk.now) == ["book", "positions"] and "unreadable answer of the broker" in desk.alarms()


def test_numbers_of_the_broker():
    assert [protocol.number_of(x) for x in (None, "", 0, "12.5", "1,234.5", -3)] == [None, None, 0, 12.5, 1234.5, -3]
    for bad in (True, [], {}, "x", float("nan"), "inf", "9" * 40, b"1"):
        with pytest.raises(ValueError):
            protocol.number_of(bad)
    for bad in (4.5, 2**31, -(2**31), "1e12"):
        with pytest.raises(ValueError):
            protocol.quantity_of(bad)
    assert protocol.quantity_of("49.0") == 49 and protocol.quantity_of(None) is None


def test_what_others_bought_explains_nothing_of_what_we_may_have_sold(desk):
    """The stop's answer is lost, the positions are twenty smaller, somebody else's order of the day bought ten: all twenty are the
    stop's."""
    entry, _, work = without_an_answer(desk)
    theirs = row("", "complete", order_id="Q1", filled_quantity=10, quantity=10, price=777.0, average_price=1000.0)
    wait(desk, work, [told(entry), theirs], 29, 15)
    assert desk.core.orders()[1]["presumed"] == 20 and desk.core.held(0) == (29, 0)


@pytest.mark.parametrize(("direction", "limit", "sold"), [(1, 100_110, 98_500), (-1, 99_890, 101_500)])
def test_a_price_told_late_sets_cost_result_and_stop_right_at_once(desk, direction, limit, sold):
    """49 were booked at the limit and 20 of them have left; the average was 1000.00: of these 20 the result changes, of all the
    cost."""
    _, (entry,) = desk.enter(direction=direction)
    assert entry["price"] == limit
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 1)                              # one paisa each: no price that can be
    desk.reply(stop)
    desk.update(stop, 2, 20, sold)
    assert desk.core.money()["realised"] == direction * 20 * (sold - limit)
    desk.update(entry, 3, 49, 100_000)
    assert desk.core.money()["realised"] == direction * 20 * (sold - 100_000) == -30_000
    last = desk.fills()[-1]
    assert (last["intent"], last["quantity"], last["price"], last["realised"]) == (
        entry["id"], 0, 100_000, 20 * 110)                              # 1.10 a share better than the limit, either way
    (position,) = desk.core.positions()
    assert position["cost"] == 49 * 100_000
    assert position["plan"]["stop"] == 100_000 - direction * 2_000       # 2 % from the average, not from the limit
    desk.update(stop, 3, 49, sold)
    assert desk.core.positions() == [] and desk.core.money()["realised"] == -49 * 1_500
    assert desk.core.money()["charges"] == sum(int(f["charges"]) for f in desk.fills())


@pytest.mark.parametrize(("told", "booked"), [(100_000, 100_000), (1, 100_110)])
def test_an_average_that_is_told_anew_is_the_one_that_counts(desk, told, booked):
    """Of all that is filled, without a new share; of a part that has its price by then it says nothing."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2, 20, told)
    desk.update(entry, 2, 20, 100_050)
    (position,) = desk.core.positions()
    assert position["cost"] == 20 * 100_050
    desk.update(entry, 3, 49, 100_100)                                  # 29 more at what is left of the sum
    (position,) = desk.core.positions()
    assert position["cost"] == 49 * 100_100
    assert [(int(f["quantity"]), int(f["price"])) for f in desk.fills()] == [
        (20, booked), (0, 100_050), (29, 100_134)]


def test_parts_whose_sums_contradict_each_other_are_worth_the_average_of_all(desk):
    """40 at 1000.00 and then all 49 at 600.00 on average: the nine would have cost less than nothing."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2, 40, 100_000)
    desk.update(entry, 3, 49, 60_000)
    assert [(int(f["quantity"]), int(f["price"])) for f in desk.fills()] == [(40, 100_000), (9, 60_000)]
    assert desk.core.positions()[0]["cost"] == 40 * 100_000 + 9 * 60_000


@pytest.mark.parametrize(("quantity", "bought"), [(30, 30), (0, 49), (49, 49), (50, 49)])
def test_what_is_complete_without_a_count_was_filled_as_far_as_the_broker_has_it(desk, quantity, bought):
    """Its own quantity, where that can be: no more was ever asked for than 49."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    update = np.zeros(1, ORDER_UPDATE)
    update["intent"], update["status"], update["quantity"], update["order_id"] = entry["id"], STATUS_COMPLETE, quantity, b"B1"
    desk.core.feed(REC_ORDER_UPDATE, desk.now, update.tobytes())
    assert held(desk) == bought


def test_a_word_that_can_be_read_ends_the_doubt_and_the_next_that_cannot_is_told_again(desk):
    _, (entry,) = desk.enter()
    desk.reply(entry)
    for count in (1, 1, 2, 2):
        desk.core.feed(REC_ORDER_UPDATE, desk.now, inputs.unreadable_record(1))
        assert desk.alarms() == ["unreadable answer of the broker"] * count
        if count == 1 and desk.core.counts()["unreadable"] == 2:
            desk.update(entry, 2)


def test_an_end_that_leaves_in_doubt_what_was_filled_is_not_the_last_word(desk):
    """Cancelled, and the first read does not say how much of it had filled; the second does."""
    entry, work = entered(desk)
    gone = told(entry, status="cancelled", filled_quantity=None, pending_quantity=None)
    work.on_book([gone], desk.now)
    assert held(desk) == 0 and work.over == set()
    work.on_book([gone | {"filled_quantity": 20}], desk.now)
    assert held(desk) == 20 and work.over == {f"B{entry['id']}"}


def test_a_refusal_tells_no_id_of_an_order_that_a_message_without_one_showed(desk):
    """The message says that the order is there; what stands beside a refusal of it is no order."""
    _, (entry,) = desk.enter()
    work, _, _ = reconciler(desk, is_fresh=False)
    work.on_message(dropped(told(entry, status="open", filled_quantity=0, pending_quantity=49), "order_id"))
    for outcome, known in ((2, b""), (1, b"B1")):
        desk.reply(entry, outcome=outcome, code=200 if outcome == 1 else 400)
        assert desk.core.orders()[0]["order_id"].rstrip(b"\0") == known
