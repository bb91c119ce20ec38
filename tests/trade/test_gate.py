"""The gate: every limit below, at and above its edge, and with its input missing, which denies."""
import dataclasses

import pydantic
import pytest

from _ext.core.records import GATE, REC_GATE, REC_ORDER_UPDATE, Stream
from _ext.trade.costs import charges_of
from engine import config
from engine.broker.upstox import protocol
from engine.market.instruments import Instrument
from engine.trade.inputs import update_record
from tests.trade.conftest import SECOND, SPECS, Desk

MID, PRICE = 100_000, 100_110          # the desk's middle, and a marketable buy: best ask 100,010 and 0.1 % on the grid
EQUITY = 100_000_000                   # paise


def spec(**changes) -> list[Instrument]:
    return [dataclasses.replace(SPECS[0], **changes), *SPECS[1:]]


def verdict(desk: Desk, quantity: int = 49, price: int = PRICE, inst: int = 0, side: int = 1) -> str:
    return desk.core.ask_gate(inst, side, quantity, price)[0]


def open_position(desk: Desk, inst: int, price: int = MID, side: int = 1):
    """A filled entry with its stop resting."""
    reason, (entry,) = desk.enter(inst, side)
    assert reason == "pass"
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), price)
    desk.reply(stop)
    desk.update(stop, 2)
    return entry, stop


def close_position(desk: Desk, stop, price: int):
    desk.update(stop, 3, int(stop["quantity"]), price)


def test_a_sane_entry_passes(desk):
    reason, intents = desk.enter()
    assert reason == "pass" and len(intents) == 1
    placed = intents[0]
    assert (placed["kind"], placed["role"], placed["side"], placed["order_type"]) == (1, 1, 1, 1)
    assert placed["price"] == PRICE
    assert placed["quantity"] == 5_000_000 // PRICE         # 5 % of Rs 10 lakh at the limit price


@pytest.mark.parametrize(("state", "reason"), [(0, "pass"), (1, "operator"), (2, "operator"), (3, "operator")])
def test_operator(desk, state, reason):
    desk.operator(state)
    assert verdict(desk) == reason


def test_nothing_passes_before_the_broker_was_read(make_desk):
    desk = make_desk(ready=False)
    assert verdict(desk) == "feed down"
    desk.funds(EQUITY)
    desk.link(0, True)
    assert verdict(desk) == "feed down"                     # the order stream
    desk.link(1, True)
    assert verdict(desk) == "not reconciled"
    desk.holdings({})
    assert verdict(desk) == "clock skew"                    # no trade time seen yet: unknown
    desk.tick()
    assert verdict(desk) == "pass"
    desk.link(1, False)
    assert verdict(desk) == "feed down"
    desk.link(1, True)
    desk.link(0, False)
    assert verdict(desk) == "feed down"


def test_a_position_that_differs_stops_entries_and_one_of_others_its_name(make_desk):
    desk = make_desk()
    desk.holdings({1: 30})
    assert verdict(desk) == "not reconciled" and desk.core.states()[0] == 1
    desk = make_desk(ready=False)
    desk.funds(EQUITY)
    desk.holdings({1: 30})                                  # there before us: not ours, and that name is left alone
    for which in Stream:
        desk.link(which, True)
    desk.tick(0)
    desk.tick(1)
    assert verdict(desk, inst=1) == "a position not ours" and verdict(desk) == "pass"


@pytest.mark.parametrize(("minute", "cas", "reason"), [
    (4.99, True, "outside session"), (5.01, True, "pass"), (344.98, True, "pass"), (345.01, True, "outside session"),
    (359.98, False, "pass"), (360.01, False, "outside session"), (-3, True, "outside session"),
])
def test_session_hours(make_desk, minute, cas, reason):
    assert verdict(make_desk(specs=spec(is_cas=cas), minute=minute)) == reason


@pytest.mark.parametrize("changes", [{"tradable": False}, {"tick": 0}, {"lot": 0}])
def test_what_is_not_known_to_be_tradable_is_not(make_desk, changes):
    assert verdict(make_desk(specs=spec(**changes))) == "not tradable"


def test_stale_quote(desk):
    desk.now += 5 * SECOND
    desk.timer(0)
    assert verdict(desk) == "pass"
    desk.timer(1e-9)
    assert verdict(desk) == "stale quote"


@pytest.mark.parametrize(("bid", "ask", "reason"), [
    (99_990, 100_010, "pass"), (0, 100_010, "no quote"), (99_990, 0, "no quote"), (100_010, 100_010, "no quote"),
    (100_020, 100_010, "no quote")])
def test_quotes(desk, bid, ask, reason):
    desk.tick(bid=bid, ask=ask)
    assert verdict(desk) == reason


@pytest.mark.parametrize(("seconds", "reason"), [(-30, "pass"), (-30.001, "clock skew"), (30, "pass"), (30.001, "clock skew")])
def test_clock_skew(make_desk, seconds, reason):
    """Receipt minus trade time at its smallest: our clock against the exchange's, thirty seconds either way."""
    desk = make_desk(ready=False)
    desk.funds(EQUITY)
    desk.holdings({})
    for which in Stream:
        desk.link(which, True)
    desk.tick(trade_ago=seconds)
    got, measured, limit = desk.core.ask_gate(0, 1, 49, PRICE)
    assert got == reason
    if reason != "pass":
        assert (measured, limit) == (pytest.approx(seconds), 30)


@pytest.mark.parametrize(("price", "reason"), [(PRICE, "pass"), (PRICE + 1, "off tick"), (PRICE + 9, "off tick"), (0, "off tick")])
def test_tick(desk, price, reason):
    assert verdict(desk, price=price) == reason


@pytest.mark.parametrize(("quantity", "reason"), [
    (0, "size below one lot"), (9, "size below one lot"), (10, "pass"), (11, "off lot"), (20, "pass"), (-10, "size below one lot")])
def test_lot(make_desk, quantity, reason):
    assert verdict(make_desk(specs=spec(lot=10)), quantity) == reason


@pytest.mark.parametrize(("freeze", "reason"), [(50, "pass"), (49, "pass"), (48, "over freeze quantity"),
                                                (0, "over freeze quantity")])
def test_freeze_quantity(make_desk, freeze, reason):
    assert verdict(make_desk(specs=spec(freeze=freeze))) == reason


@pytest.mark.parametrize(("lower", "upper", "reason"), [
    (98_000, PRICE, "pass"), (PRICE + 10, 0, "outside price band"), (0, PRICE - 10, "outside price band"), (0, 0, "pass")])
def test_circuit_band(make_desk, lower, upper, reason):
    assert verdict(make_desk(specs=spec(lower=lower, upper=upper))) == reason


@pytest.mark.parametrize(("side", "lower", "upper", "reason"), [
    (1, 98_000, 0, "pass"),             # bought at 1000.10 at the best, its stop is 980.10: one step of room for the stop's limit
    (1, 98_010, 0, "its stop would lie outside the price band"),
    (1, 98_001, 0, "its stop would lie outside the price band"),       # an edge off the grid counts from the step inside
    (-1, 0, 101_990, "pass"),           # sold at 999.90 at the best, its stop is 1019.80
    (-1, 0, 101_980, "its stop would lie outside the price band"),
    (-1, 0, 101_989, "its stop would lie outside the price band")])
def test_the_stop_must_fit_into_the_band(make_desk, side, lower, upper, reason):
    desk = make_desk(specs=spec(lower=lower, upper=upper))
    said, intents = desk.enter(0, side)
    assert said == reason and len(intents) == (reason == "pass")


def contract(**changes) -> list[Instrument]:
    """A stock and its future, one lot of which is within the size limits."""
    future = {"key": "NSE_FO|1", "symbol": "RELIANCE FUT", "kind": "future", "tick": 10, "lot": 40, "freeze": 4000,
              "underlying": SPECS[0].key, "expiry": "2026-09-29"} | changes
    return [SPECS[0], Instrument(**future)]


@pytest.mark.parametrize(("expiry", "reason"), [
    ("2026-09-29", "pass"), ("2026-09-05", "pass"), ("2026-09-04", "expiry week"), ("2026-09-01", "expiry week"),
    ("", "expiry week")])
def test_contracts_near_their_expiry(make_desk, expiry, reason):
    assert verdict(make_desk(specs=contract(expiry=expiry)), 40, inst=1) == reason


@pytest.mark.parametrize(("banned", "reason"), [(0, "pass"), (1, "in the F&O ban"), (-1, "in the F&O ban")])
def test_ban_list_and_a_missing_one(make_desk, banned, reason):
    assert verdict(make_desk(specs=contract(banned=banned)), 40, inst=1) == reason


@pytest.mark.parametrize(("price", "reason"), [
    (103_000, "pass"), (103_010, "outside the execution range"), (97_000, "pass"), (96_990, "outside the execution range")])
def test_execution_range_of_contracts(make_desk, price, reason):
    assert verdict(make_desk(specs=contract()), 40, price, inst=1, side=1 if price > MID else -1) == reason


def test_signals_are_traded_in_the_future_where_that_is_wanted(make_desk):
    desk = make_desk(specs=contract(), vehicle="future")
    reason, (entry,) = desk.enter(0)
    assert reason == "pass" and entry["inst"] == 1 and entry["quantity"] == 40
    desk = make_desk(specs=contract(lot=100), vehicle="future")
    assert desk.enter(0) == ("size below one lot", [])      # the account does not allow one lot
    assert make_desk(vehicle="future").enter(0) == ("no contract", [])


def test_one_position_a_name(desk):
    assert desk.enter(0)[0] == "pass"
    assert desk.enter(0)[0] == "already in this name"


@pytest.mark.parametrize("limit", [1, 3])
def test_concurrent_positions(make_desk, limit):
    desk = make_desk(max_positions=limit)
    for i in range(limit):
        assert desk.enter(i)[0] == "pass"
    assert desk.enter(limit)[0] == "too many positions"


@pytest.mark.parametrize(("paise", "reason"), [(EQUITY, "pass"), (0, "unknown number"), (-1, "unknown number")])
def test_equity_must_be_known(desk, paise, reason):
    desk.funds(paise)
    assert verdict(desk) == reason


@pytest.mark.parametrize(("rupees", "reason"), [(49 * PRICE / 100, "pass"), (49 * PRICE / 100 - 0.01, "order value"),
                                                (49 * PRICE / 100 + 0.01, "pass")])
def test_order_value(make_desk, rupees, reason):
    assert verdict(make_desk(order_value=rupees)) == reason


@pytest.mark.parametrize(("quantity", "reason"), [(49, "pass"), (50, "over 5 % notional")])
def test_notional(desk, quantity, reason):
    assert verdict(desk, quantity) == reason


def test_notional_at_its_edge(make_desk):
    desk = make_desk()
    desk.funds(20 * 50 * PRICE)                             # 5 % of it is 50 shares to the paisa
    assert verdict(desk, 50) == "pass" and verdict(desk, 51) == "over 5 % notional"


@pytest.mark.parametrize(("extra", "reason"), [(0, "pass"), (1, "pass"), (-1, "over leverage")])
def test_leverage_bounds_all_positions_together(make_desk, extra, reason):
    """One working entry of 49 at its limit price is exposure already; `extra` in paise of room."""
    desk = make_desk(leverage=(2 * 49 * PRICE + extra) / EQUITY, max_positions=10)
    assert desk.enter(0)[0] == "pass"
    assert verdict(desk, inst=1) == reason


def test_an_entry_is_made_as_large_as_the_leverage_leaves_room(make_desk):
    """Six percent of the account in all: after 49 at 1001.10 there is room for ten more, not for the usual 49."""
    desk = make_desk(leverage=0.06)
    assert desk.enter(0)[0] == "pass"
    reason, (second,) = desk.enter(1)
    assert reason == "pass" and second["quantity"] == 10


@pytest.mark.parametrize("side", [1, -1])
def test_what_is_held_counts_at_the_price_one_leaves_at_and_the_rest_at_its_limit(make_desk, side):
    desk = make_desk(entry_life_s=60)
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    price, quantity = int(entry["price"]), int(entry["quantity"])
    assert desk.core.money()["exposure"] == quantity * price
    (stop,) = desk.update(entry, 2, 20, MID)
    desk.reply(stop)
    assert desk.core.money()["exposure"] == 20 * (MID - 10 * side) + (quantity - 20) * price
    desk.update(entry, 4, 20, MID)                          # the rest was cancelled
    assert desk.core.money()["exposure"] == 20 * (MID - 10 * side)


@pytest.mark.parametrize(("limit", "reason"), [(49 * PRICE, "pass"), (49 * PRICE + 1, "pass"),
                                               (49 * PRICE - 1, "exposure in this name")])
def test_exposure_of_a_name(make_desk, limit, reason):
    assert verdict(make_desk(symbol_exposure=limit / EQUITY)) == reason


def test_exposure_of_a_sector(make_desk):
    same = [Instrument("NSE_EQ|1", "SBIN", tick=10), Instrument("NSE_EQ|2", "HDFCBANK", tick=10), Instrument("NSE_EQ|3",
                                                                                                             "ICICIBANK", tick=10)]
    for limit, reason in ((2 * 49 * PRICE, "pass"), (2 * 49 * PRICE + 1, "pass"), (2 * 49 * PRICE - 1, "exposure in this sector")):
        desk = make_desk(specs=same, sector_exposure=limit / EQUITY)
        assert desk.enter(0)[0] == "pass"
        assert verdict(desk, inst=1) == reason
    unknown = [Instrument("NSE_EQ|1", "AAA", tick=10), Instrument("NSE_EQ|2", "BBB", tick=10)]
    desk = make_desk(specs=unknown)                         # no sector is known: they share the smallest bucket
    assert desk.enter(0)[0] == "pass" and verdict(desk, inst=1) == "exposure in this sector"
    for limit, reason in ((49 * PRICE, "pass"), (49 * PRICE - 1, "exposure in this sector")):       # no larger than a known one
        assert verdict(make_desk(specs=unknown, sector_exposure=limit / EQUITY)) == reason


@pytest.mark.parametrize(("share", "reason"), [(0.999, "pass"), (1.001, "not running")])
def test_daily_loss(make_desk, share, reason):
    """Realised, open and charges together; at the limit the engine goes to REDUCING by itself."""
    desk = make_desk(daily_loss=0.001, drawdown=0.5)
    entry, _ = open_position(desk, 0)
    quantity = int(entry["quantity"])
    charges = desk.core.money()["charges"]
    bid = (quantity * MID - (100_000 * share - charges)) / quantity
    desk.tick(0, mid=MID, bid=int(bid), ask=int(bid) + 20)
    desk.timer()
    assert verdict(desk, inst=1) == reason


def test_at_the_daily_loss_the_gate_denies_before_any_timer(make_desk):
    desk = make_desk(daily_loss=0.001)
    open_position(desk, 0)
    desk.tick(0, mid=97_500)
    assert verdict(desk, inst=1) == "daily loss"


@pytest.mark.parametrize(("fall", "reason"), [(0.0019, "pass"), (0.0021, "not running")])
def test_drawdown_from_the_days_best(make_desk, fall, reason):
    desk = make_desk(drawdown=0.002, daily_loss=0.5)
    entry, _ = open_position(desk, 0)
    desk.tick(0, mid=103_000)
    desk.timer()
    gone = fall * EQUITY / int(entry["quantity"])
    desk.tick(0, mid=MID, bid=102_990 - int(gone), ask=103_010 - int(gone))
    desk.timer()
    assert verdict(desk, inst=1) == reason


def test_losing_streak(make_desk):
    desk = make_desk(losing_streak=2, streak_pause_s=60, symbol_gap_s=0)
    for number in range(2):
        assert verdict(desk, inst=3) == "pass", number
        _, stop = open_position(desk, number)
        close_position(desk, stop, 99_000)
    assert verdict(desk, inst=3) == "losing streak"
    desk.tick(3, seconds=60.1)
    assert verdict(desk, inst=3) == "pass"
    _, stop = open_position(desk, 3)                        # and one that wins ends it
    close_position(desk, stop, 101_000)
    desk.tick(4)
    assert verdict(desk, inst=4) == "pass"


def test_an_entry_that_nobody_filled_ends_no_streak(make_desk):
    desk = make_desk(losing_streak=2, symbol_gap_s=0)
    for number in range(2):
        _, stop = open_position(desk, number)
        close_position(desk, stop, 99_000)
        if number == 0:
            desk.tick(4)
            finish(desk, desk.enter(4)[1])
    assert verdict(desk, inst=3) == "losing streak"


@pytest.mark.parametrize(("more", "reason"), [(-1, "losing streak"), (0, "pass"), (1, "pass")])
def test_a_trade_that_comes_out_even_is_no_loss(make_desk, more, reason):
    """To the paisa, after charges: what the exit must bring is found by trying."""
    desk = make_desk(losing_streak=1, symbol_gap_s=0)
    entry, stop = open_position(desk, 0)
    quantity, cost = int(entry["quantity"]), int(entry["quantity"]) * MID
    paid = cost + charges_of(0, 1, quantity, cost, desk.now)
    (even,) = [v for v in range(cost, cost + 100_000) if v - charges_of(0, -1, quantity, v, desk.now) == paid][:1]
    row = {"order_id": f"B{stop['id']}", "status": "complete", "quantity": quantity, "filled_quantity": quantity,
           "average_price": (even + more) / 100 / quantity}
    desk.core.feed(REC_ORDER_UPDATE, desk.now, update_record(protocol.order_of(row), int(stop["id"])))
    assert desk.core.positions() == [] and desk.core.money()["realised"] - desk.core.money()["charges"] == more
    assert verdict(desk, inst=3) == reason


def finish(desk, intents):
    """The entry is refused: its slot is free again, its order counted."""
    desk.reply(intents[0], outcome=2, code=400)


@pytest.mark.parametrize(("seconds", "reason"), [(29.9, "too soon in this name"), (30, "pass"), (30.1, "pass")])
def test_gap_between_orders_of_a_name(desk, seconds, reason):
    sent = desk.now
    finish(desk, desk.enter(0)[1])
    desk.tick(0, seconds=(sent - desk.now) / SECOND + seconds)
    assert verdict(desk) == reason


@pytest.mark.parametrize(("limits", "window", "reason"), [
    ({"symbol_per_minute": 2}, 60, "orders a minute in this name"), ({"symbol_per_hour": 2}, 3600, "orders a minute in this name"),
    ({"orders_per_minute": 2}, 60, "orders a minute"), ({"orders_per_hour": 2}, 3600, "orders an hour"),
    ({"orders_per_day": 2}, 0, "orders a day")])
def test_entry_budgets(make_desk, limits, window, reason):
    desk = make_desk(**({"symbol_gap_s": 0, "symbol_per_minute": 9, "symbol_per_hour": 9} | limits))
    first = desk.now
    finish(desk, desk.enter(0)[1])
    assert verdict(desk) == "pass"
    finish(desk, desk.enter(0)[1])
    assert verdict(desk) == reason
    if window:
        desk.tick(0, seconds=(first - desk.now) / SECOND + window - 0.1)
        assert verdict(desk) == reason
        desk.tick(0, seconds=0.1)
        assert verdict(desk) == "pass"
    else:
        desk.tick(0, seconds=3 * 3600)
        assert verdict(desk) == reason


def test_the_brokers_budget_keeps_a_reserve_for_exits(make_desk):
    """Of 8 requests a second 4 are for exits alone; entries stop at the fourth request, exits at the eighth."""
    desk = make_desk(symbol_gap_s=0, symbol_per_minute=16, symbol_per_hour=16, orders_per_minute=50)
    for i in range(4):
        assert verdict(desk) == "pass", i
        row = desk.enter(0)[1]
        finish(desk, row)
        desk.now -= 30_000_000
    assert verdict(desk) == "broker budget"
    desk.tick(0, seconds=1.1)
    assert verdict(desk) == "pass"


def test_a_limit_that_is_no_number_is_refused():
    for name in ("notional", "daily_loss", "leverage", "stop", "sector_exposure", "drawdown", "order_value", "stale_s"):
        for value in (float("nan"), -1, 0, "much"):
            with pytest.raises(pydantic.ValidationError):
                config.Risk(**{name: value})


@pytest.mark.parametrize(("funds", "reason"), [(90_000, "size below one lot"), (EQUITY, "pass")])
def test_funds_bound_the_size(desk, funds, reason):
    desk.funds(funds)
    assert desk.enter()[0] == reason


def test_costs_against_the_target(make_desk):
    """Policy atr: an entry whose charges and spread exceed a third of the target is refused; without a range it is unknown."""
    desk = make_desk(policy="atr")
    assert verdict(desk) == "unknown number"
    desk = make_desk(policy="atr", minute=8)
    for second in range(0, 23 * 60, 5):
        desk.tick(0, mid=MID + 20 * (second % 3), seconds=5)
    atr = desk.core.market.row(0)["atr"]
    assert 0 < atr < 0.00075                                # four of it are less than 30 bp: the floor holds
    charges = 2 * 2000 * 1.18 + 49 * PRICE * (3e-5 + 2 * 1.18 * (3.07e-5 + 1e-6)) + 100 * round(49 * PRICE * 2.5e-4 / 100)
    share = (charges + 49 * 20) / (0.003 * 49 * PRICE)
    reason, measured, limit = desk.core.ask_gate(0, 1, 49, PRICE)
    assert reason == "costs too much of the target" and limit == pytest.approx(1 / 3)
    assert measured == pytest.approx(share, rel=2e-3)
    for limit, reason in ((share * 1.01, "pass"), (share * 0.99, "costs too much of the target")):
        desk = make_desk(policy="atr", minute=8, cost_share=limit)
        for second in range(0, 23 * 60, 5):
            desk.tick(0, mid=MID + 20 * (second % 3), seconds=5)
        assert verdict(desk) == reason


@pytest.mark.parametrize(("seconds", "used"), [
    (0.999, (1, 1, 1, 1)), (1, (0, 1, 1, 1)), (59.999, (0, 1, 1, 1)), (60, (0, 0, 1, 1)), (1799.999, (0, 0, 1, 1)),
    (1800, (0, 0, 0, 1)), (3599.999, (0, 0, 0, 1)), (3600, (0, 0, 0, 0))])
def test_each_window_of_requests_ends_to_the_millisecond(desk, seconds, used):
    """Requests of a second, a minute and half an hour, entries of an hour; the one entry is of the day in all of them."""
    sent = desk.now
    finish(desk, desk.enter(0)[1])
    desk.now = sent + round(seconds * SECOND)
    desk.ask(1)
    row = desk.records(REC_GATE, GATE)[-1]
    assert tuple(row[f"used_{window}"] for window in ("second", "minute", "half_hour", "hour")) == used and row["used_day"] == 1
