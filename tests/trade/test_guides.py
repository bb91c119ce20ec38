"""A position in a contract that its underlying guides: where the stop lies, when it is moved, what ends the position, and what is
refused.

`_ext/trade/guides.pyx`. The stock stands at Rs 1,000, the call at Rs 40 with a delta of 0.5, unless a test says else.
"""
import numpy as np
import pytest

from _ext.core.reasons import REASONS, Reason
from _ext.core.records import CANDIDATE, GATE, INTENT_MODIFY, INTENT_PLACE, REC_ASK, REC_GATE, TYPE_LIMIT, TYPE_SL, Why
from engine.market.instruments import Instrument

STOCK = Instrument("NSE_EQ|RELIANCE", "RELIANCE", tick=10)
CONTRACT = {"underlying": STOCK.key, "expiry": "2026-09-29", "lot": 25, "freeze": 1000, "tick": 5, "banned": 0}
SPECS = [STOCK, Instrument("NSE_FO|1", "RELIANCE 1000 CE", "option", strike=100_000, right="CE", **CONTRACT),
         Instrument("NSE_FO|2", "RELIANCE 1000 PE", "option", strike=100_000, right="PE", **CONTRACT),
         Instrument("NSE_FO|3", "RELIANCE FUT", "future", **CONTRACT), Instrument("NSE_EQ|TCS", "TCS", tick=10)]
CALL, PUT, FUTURE, OTHER = 1, 2, 3, 4


@pytest.fixture
def market(make_desk):
    """A desk on which the contracts have prices, and their deltas are told."""
    desk = make_desk(specs=SPECS)
    desk.tick(CALL, mid=4000, delta=0.5)
    desk.tick(PUT, mid=4000, delta=-0.5)
    desk.tick(FUTURE, mid=100_000)
    desk.tick(0, mid=100_000)
    return desk


def ask(desk, inst, side=1, guide=1, stop=0, target=0):
    """Asks for an entry with a guide (row + 1); (reason, the entry)."""
    row = np.zeros(1, CANDIDATE)
    row["id"], row["inst"], row["side"], row["price"], row["guide"] = 1, inst, side, desk.mid[inst], guide
    row["own_stop"], row["own_target"] = stop, target
    desk.core.feed(REC_ASK, desk.now, row.tobytes())
    return REASONS[desk.records(REC_GATE, GATE)[-1]["reason"]], desk.intents()


def held(desk, inst, price=4010, **given):
    """A position of one entry filled whole at `price`; its stop, working."""
    reason, (entry,) = ask(desk, inst, **given)
    assert reason == "pass"
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, filled=int(entry["quantity"]), price=price)
    desk.reply(stop)
    desk.update(stop, 2)
    return stop


def moved(intents):
    """(trigger) of the one stop that is moved; None where nothing is asked for."""
    if not intents:
        return None
    (intent,) = intents
    assert (intent["kind"], intent["order_type"]) == (INTENT_MODIFY, TYPE_SL)
    return int(intent["trigger"])


@pytest.mark.parametrize(("inst", "stop", "trigger"), [
    # the account's 2 % of the stock are Rs 20, half of it on the option: 40.10 - 10
    (CALL, 0, 3010), (PUT, 0, 3010),
    # its own stop 1 % away: 40.10 - 5; on the other side of the stock for a put
    (CALL, 99_000, 3510), (PUT, 101_000, 3510),
    # wider than the account's: the account's holds
    (CALL, 90_000, 3010)])
def test_the_stop_lies_where_the_delta_has_the_contract_at_the_guides_stop(market, inst, stop, trigger):
    order = held(market, inst, stop=stop)
    assert (order["kind"], order["order_type"], order["side"], order["inst"]) == (INTENT_PLACE, TYPE_SL, -1, inst)
    assert order["trigger"] == trigger and order["price"] < trigger


def test_a_future_moves_as_its_stock_does(make_desk):
    desk = make_desk(specs=SPECS)
    desk.tick(FUTURE, mid=100_500)
    desk.tick(0, mid=100_000)
    reason, intents = ask(desk, FUTURE, side=-1, stop=101_000)
    assert (reason, len(intents)) == ("pass", 1)
    (entry,) = intents
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, filled=int(entry["quantity"]), price=100_500)
    assert stop["trigger"] == 101_500, "Rs 10 above, as the stock's own stop"


def test_a_contract_without_a_quote_has_its_stop_left_alone(make_desk):
    """A future sold short, and nobody offers: there is no price to map the stop from."""
    desk = make_desk(specs=SPECS)
    desk.tick(FUTURE, mid=100_500)
    desk.tick(0, mid=100_000)
    stop = held(desk, FUTURE, price=100_500, side=-1, stop=101_000)
    assert stop["trigger"] == 101_500
    desk.tick(0, mid=99_000, seconds=31)
    assert desk.tick(FUTURE, bid=99_500, ask=0) == []


@pytest.mark.parametrize("delta", [0.0, 1.5, -0.5, float("nan")])
def test_without_a_fresh_delta_the_contracts_own_rule_holds(make_desk, delta):
    """None that makes sense; 2 % below 40.10, on the grid."""
    desk = make_desk(specs=SPECS)
    desk.tick(CALL, mid=4000, delta=delta)
    desk.tick(0, mid=100_000)
    assert held(desk, CALL)["trigger"] == 3930


@pytest.mark.parametrize(("age", "trigger"), [(59, 3010), (62, 3930)])
def test_a_delta_is_believed_for_a_minute(market, age, trigger):
    for _ in range(int(age)):
        market.tick(CALL, seconds=1, is_trade=False)
    market.tick(0, seconds=0)
    assert held(market, CALL)["trigger"] == trigger


def test_the_stop_follows_every_half_minute_and_by_two_steps_at_least(market):
    """The stock stays: the option gains 30 paise by its volatility, and its price at the guide's stop with it."""
    stop = held(market, CALL)
    assert stop["trigger"] == 3010
    assert moved(market.tick(CALL, mid=4030, delta=0.5, seconds=29)) is None, "29 s after it was mapped"
    assert moved(market.tick(CALL, mid=4025, delta=0.5, seconds=2)) is None, "3015, one step"
    assert moved(market.tick(CALL, mid=4030, delta=0.5, seconds=0.2)) == 3020
    (last,) = [i for i in market.all_intents() if i["kind"] == INTENT_MODIFY]
    market.reply(last)
    market.update(last, 2)
    assert moved(market.tick(CALL, mid=4100, delta=0.5, seconds=29)) is None
    assert moved(market.tick(CALL, mid=4100, delta=0.5, seconds=2)) == 3090


@pytest.mark.parametrize(("stock", "trigger"), [(98_020, 3985), (98_010, None)])
def test_a_stop_is_moved_up_to_the_price_and_not_onto_it(make_desk, stock, trigger):
    """The stock is two steps or one above its stop, of which the option has 6 or 3 paise below its 39.90, on steps of 5."""
    desk = make_desk(specs=SPECS)
    desk.tick(CALL, mid=4000, delta=0.3)
    desk.tick(0, mid=100_000)
    assert held(desk, CALL)["trigger"] == 3410
    desk.tick(0, mid=stock)
    assert moved(desk.tick(CALL, mid=4000, delta=0.3, seconds=31)) == trigger
    assert desk.tick(CALL, mid=4000, delta=0.3, seconds=1.2) == []      # a stop at the price would leave by now


@pytest.mark.parametrize(("inst", "stock", "why"), [
    (CALL, 99_700, Why.WHY_SOFT_STOP), (CALL, 99_710, None), (PUT, 100_290, Why.WHY_SOFT_STOP), (PUT, 100_280, None)])
def test_the_policy_s_own_stop_is_a_price_of_the_guide(make_desk, inst, stock, why):
    """A stock that hardly moves has it at the smallest distance, 0.3 %, on the step nearer to the price; at the exchange the
    account's 2 % rest."""
    desk = make_desk(specs=SPECS, policy="atr", minute=8, cost_share=1)
    for second in range(0, 23 * 60, 5):
        desk.tick(0, mid=100_000 + 20 * (second % 3), seconds=2.5)
        desk.tick(inst, mid=4000 + 5 * (second % 3), seconds=2.5, delta=0.5 if inst == CALL else -0.5)
    desk.tick(inst, mid=4000, delta=0.5 if inst == CALL else -0.5)
    desk.tick(0, mid=100_000)
    assert held(desk, inst)["trigger"] == 3010
    desk.tick(0, mid=stock)
    found = desk.tick(inst, mid=4000, delta=0.5 if inst == CALL else -0.5)
    assert [int(i["why"]) for i in found] == ([] if why is None else [int(why)])


def test_the_stop_is_never_loosened(market):
    held(market, CALL)
    assert moved(market.tick(CALL, mid=3900, delta=0.5, seconds=31)) is None
    assert moved(market.tick(CALL, mid=4000, delta=0.9, seconds=31)) is None, "a larger delta would have it lower"


def test_an_old_delta_moves_nothing(market):
    held(market, CALL)
    for _ in range(3):
        market.tick(CALL, seconds=25, is_trade=False)
    assert moved(market.tick(CALL, bid=4200, ask=4220, seconds=1, is_trade=False)) is None
    assert moved(market.tick(CALL, mid=4210, bid=4200, ask=4220, delta=0.5)) == 3200


@pytest.mark.parametrize(("inst", "stock", "why"), [
    (CALL, 98_000, Why.WHY_SOFT_STOP), (CALL, 98_010, None), (CALL, 104_000, Why.WHY_TARGET), (CALL, 103_990, None),
    (PUT, 102_000, Why.WHY_SOFT_STOP), (PUT, 101_990, None), (PUT, 96_000, Why.WHY_TARGET), (PUT, 96_010, None)])
def test_the_position_ends_where_the_guide_says(market, inst, stock, why):
    """The account's 2 % and 4 % of the stock; the contract's own price has not moved."""
    held(market, inst)
    market.tick(0, mid=stock)
    found = market.tick(inst, mid=4000, delta=0.5 if inst == CALL else -0.5)
    assert [(int(i["why"]), int(i["order_type"])) for i in found] == ([(int(why), TYPE_LIMIT)] if why is not None else [])


def test_its_own_target_is_a_price_of_the_guide(market):
    held(market, CALL, target=101_000)
    market.tick(CALL, mid=9000, delta=0.5)
    assert market.tick(CALL, mid=9000, delta=0.5) == [], "the option has doubled, and the stock stands"
    market.tick(0, mid=101_000)
    (out,) = market.tick(CALL, mid=9000, delta=0.5)
    assert out["why"] == Why.WHY_TARGET


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize(("stock", "option"), [(104_000, 6500), (97_000, 1300)])
def test_a_fill_before_the_answer_counts_at_its_price(market, stock, option, is_lost):
    """The option is worth more than twice its stop's limit, or less than half: so far a stock's exit never is from its stop."""
    stop = held(market, CALL)
    market.tick(0, mid=stock)
    (out,) = market.tick(CALL, mid=option, delta=0.5)
    assert (out["kind"], out["order_type"], out["id"]) == (INTENT_MODIFY, TYPE_LIMIT, stop["id"])
    if is_lost:
        market.reply(out, outcome=4, code=0)
    market.update(out, 3, filled=int(out["quantity"]), price=option - 10)
    assert market.fills()[-1]["price"] == option - 10 and market.alarms() == []
    assert market.core.money()["realised"] == int(out["quantity"]) * (option - 10 - 4010)
    market.reply(out)
    assert market.core.positions() == []


@pytest.mark.parametrize(("inst", "delta", "stock", "trigger"), [
    (CALL, 0.5, 102_000, 4480),                # the stock's stop is 1 % below 1,020 now: 1,009.80; half of the 10.20 below 49.90
    (PUT, -0.5, 98_000, 4500)])                # 1 % above 980: 989.80; half of the 9.80 below 49.90
def test_the_guides_stop_trails(make_desk, inst, delta, stock, trigger):
    desk = make_desk(specs=SPECS, trail=0.01)
    desk.tick(inst, mid=4000, delta=delta)
    desk.tick(0, mid=100_000)
    assert held(desk, inst)["trigger"] == 3010
    desk.tick(0, mid=stock, seconds=1)
    assert moved(desk.tick(inst, mid=5000, delta=delta, seconds=31)) == trigger


@pytest.mark.parametrize(("given", "reason"), [
    ({"inst": CALL, "guide": OTHER + 1}, Reason.NOT_TRADABLE), ({"inst": CALL, "guide": 99}, Reason.NOT_TRADABLE),
    ({"inst": OTHER, "guide": 1}, Reason.NOT_TRADABLE), ({"inst": CALL, "side": -1}, Reason.SHORT_OPTION),
    ({"inst": PUT, "side": -1, "guide": 0}, Reason.SHORT_OPTION),
    ({"inst": CALL, "stop": 100_000}, Reason.OWN_STOP), ({"inst": PUT, "stop": 100_000}, Reason.OWN_STOP)])
def test_what_makes_no_sense_is_refused(market, given, reason):
    assert ask(market, **given) == (REASONS[reason], [])


def test_a_stop_that_cannot_rest_inside_the_contracts_band_denies_the_entry(market):
    market.bands(CALL, 3015, 9000)
    assert ask(market, CALL) == (REASONS[Reason.STOP_OUTSIDE_BAND], [])
    market.bands(CALL, 3000, 9000)
    assert ask(market, CALL)[0] == "pass"


def test_a_stock_that_has_no_price_guides_nothing(make_desk):
    desk = make_desk(specs=SPECS, ready=False)
    desk.funds(100_000_000)
    desk.holdings({})
    desk.link(0, True)
    desk.link(1, True)
    for _ in range(2):
        desk.tick(CALL, mid=4000, delta=0.5)
    order = held(desk, CALL)
    assert order["trigger"] == 3930
    assert desk.tick(CALL, mid=4010, delta=0.5) == []


def test_the_guides_price_is_that_of_the_first_fill(market):
    """The stock falls between two fills of the entry: the stop stays where the first had it."""
    reason, (entry,) = ask(market, CALL)
    market.reply(entry)
    (stop,) = market.update(entry, 2, filled=25, price=4010)
    assert (reason, stop["trigger"], stop["quantity"]) == ("pass", 3010, 25)
    market.reply(stop)
    market.update(stop, 2)
    market.tick(0, mid=99_000)
    (grown,) = market.update(entry, 2, filled=50, price=4010)
    assert (grown["quantity"], grown["trigger"]) == (50, 3010)
    market.reply(grown)
    market.update(grown, 2)
    market.tick(0, mid=98_000)
    (out,) = market.tick(CALL, mid=4000, delta=0.5)
    assert out["why"] == Why.WHY_SOFT_STOP, "2 % below the stock's price at the first fill"
