"""Price bands: a stop is always one the exchange takes, an exit always one that trades, and both follow a band that moves."""
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _ext.core.records import INTENT_PLACE, REC_BANDS, REC_INSTRUMENTS
from engine.broker.upstox import protocol
from engine.market.instruments import Instrument, table
from engine.run.kill import limit_price
from engine.sim.exchange import Exchange
from engine.sim.rest import Rest
from engine.trade import inputs
from engine.trade.bands import BandWatch
from engine.watch.events import EventFormatter
from tests.trade.conftest import DAY, SECOND, SPECS, Desk
from tests.trade.test_orders import LIMIT, MODIFY, SL, opened


def banded(lower: int, upper: int, **fields) -> list[Instrument]:
    return [dataclasses.replace(SPECS[0], lower=lower, upper=upper, **fields), *SPECS[1:]]


def is_taken(order, lower: int, upper: int) -> bool:
    """By the exchange's own rules: trigger and limit inside, the limit on the far side of the trigger."""
    far = (order["price"] - order["trigger"]) * order["side"] > 0 or order["order_type"] == LIMIT
    return far and lower <= order["price"] <= upper and (order["order_type"] == LIMIT or lower <= order["trigger"] <= upper)


@given(tick=st.sampled_from((1, 5, 10, 50)), side=st.sampled_from((1, -1)), below=st.integers(2, 30_000),
       above=st.integers(2, 30_000))
def test_whatever_the_band_the_stop_is_one_the_exchange_takes(tmp_path_factory, tick, side, below, above):
    lower, upper = 100_000 - below, 100_000 + above
    desk = Desk(tmp_path_factory.mktemp("bands"), specs=banded(0, 0, tick=tick))
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    desk.bands(0, lower, upper)
    (order,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)[:1] or desk.timer(1.1)[:1] or [None]
    assert order is None or order["order_type"] == LIMIT or is_taken(order, lower, upper), (order, lower, upper)
    room = (100_000 - 10 - lower if side > 0 else upper - 100_000 - 10) // tick
    if room > 3:                                                        # inside the price there is somewhere to rest
        assert order is not None and order["order_type"] == SL


@pytest.mark.parametrize(("side", "lower", "upper"), [(1, 98_500, 120_000), (-1, 80_000, 101_500)])
def test_an_entry_whose_stop_cannot_rest_is_denied(make_desk, side, lower, upper):
    assert make_desk(specs=banded(lower, upper)).enter(0, side) == ("its stop would lie outside the price band", [])


@pytest.mark.parametrize(("side", "lower", "upper", "price"), [
    (1, 0, 100_049, 100_040), (1, 0, 100_050, 100_050), (1, 0, 100_110, 100_110), (1, 0, 100_200, 100_110),
    (-1, 99_951, 0, 99_960), (-1, 99_950, 0, 99_950), (-1, 99_890, 0, 99_890), (-1, 99_800, 0, 99_890)])
def test_an_entry_goes_as_far_as_the_last_step_inside_the_band(make_desk, side, lower, upper, price):
    """The edges need not lie on the grid, what is sent must."""
    _, (entry,) = make_desk(specs=banded(lower, upper)).enter(0, side)
    assert entry["price"] == price


@pytest.mark.parametrize(("side", "lower", "upper", "mids"), [
    (-1, 82_000, 102_500, (102_600, 103_500, 104_000, 104_000)), (1, 97_500, 118_000, (97_400, 96_500, 96_000, 96_000))])
def test_an_exit_is_never_cut_to_where_it_cannot_trade(make_desk, side, lower, upper, mids):
    """The band of the morning was flexed: a short must get out above the old edge, a long below it."""
    desk = make_desk(specs=banded(lower, upper))
    _, (entry,) = desk.enter(0, side)
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.reply(stop)
    desk.update(stop, 2)
    seen = []
    for mid in mids:
        for order in desk.tick(0, mid=mid, seconds=1.1):
            seen.append(side * (mid - side * 10 - order["price"]) >= 0)
            desk.reply(order)
            desk.update(order, 2)
    assert seen and all(seen)


def test_the_protection_of_an_exit_ends_at_the_band(make_desk):
    desk = make_desk(specs=banded(97_960, 120_000), target=0.5)
    opened(desk)
    assert desk.tick(mid=98_050) == []
    desk.operator(3)
    (out,) = desk.intents()
    assert (out["order_type"], out["price"]) == (LIMIT, 97_960)         # 0.1 % below 980.40 would be 979.40, outside


def test_a_stop_follows_a_band_that_narrows_and_goes_back_when_it_widens(desk):
    opened(desk)                                                        # 980.00, limit 975.10
    (narrower,) = desk.bands(0, 98_500, 110_000)
    assert (narrower["kind"], narrower["trigger"], narrower["price"]) == (MODIFY, 98_510, 98_500)
    desk.reply(narrower)
    assert desk.tick() == [] and desk.bands(0, 98_500, 110_000) == []   # nothing new
    (back,) = desk.bands(0, 90_000, 110_000)
    assert (back["trigger"], back["price"]) == (98_000, 97_510)
    desk.reply(back)
    (limit,) = desk.bands(0, 97_900, 110_000)                           # the trigger may stay, its limit may not
    assert (limit["trigger"], limit["price"]) == (98_000, 97_900)


def test_a_stop_the_exchange_cancelled_for_the_band_is_sent_again_as_soon_as_the_band_is_known(desk):
    entry, stop = opened(desk)
    assert desk.update(stop, 4) == []                                   # cancelled, not by us: a second's pause
    (again,) = desk.bands(0, 98_800, 108_000)
    assert again["kind"] == INTENT_PLACE and again["quantity"] == entry["quantity"] and is_taken(again, 98_800, 108_000)


def test_under_a_new_band_the_stop_is_tried_as_a_stop_again(desk):
    """Twice refused it would go out as a limit; the band may have been why."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.reply(stop, outcome=2, code=400)
    (stop,) = desk.tick(seconds=1.1)
    desk.reply(stop, outcome=2, code=400)
    (again,) = desk.bands(0, 97_000, 110_000)
    assert (again["order_type"], again["trigger"]) == (SL, 98_000)


def test_a_position_with_no_room_for_a_stop_is_closed(desk):
    opened(desk)
    asked = desk.bands(0, 99_990, 110_000) + desk.tick(seconds=1.1) + desk.tick(seconds=1.1)
    assert [i["order_type"] for i in asked] == [LIMIT] and asked[0]["price"] == 99_990


# ---- the closing auction ---------------------------------------------------------------------------------------------------
FUTURE = [Instrument("NSE_EQ|A", "A", tick=10), Instrument("NSE_FO|1", "A FUT", "future", tick=10, lot=5, underlying="NSE_EQ|A",
                                                           is_cas=False,
                                              expiry="2026-09-29"),
          Instrument("NSE_FO|2", "A 1000 CE", "option", tick=10, lot=5, underlying="NSE_EQ|A", is_cas=False, expiry="2026-09-29"),
          *SPECS[3:]]


def in_a_future(make_desk, minute: float):
    desk = make_desk(specs=FUTURE, minute=minute, stop=0.04, hold_s=0, target=0.5, expiry_days=0, notional=0.1,
                     symbol_exposure=0.2, sector_exposure=0.5)
    reason, (entry,) = desk.enter(1)
    assert reason == "pass"
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.reply(stop)
    desk.update(stop, 2)
    return desk, stop


def test_before_the_auction_a_futures_stop_is_brought_into_the_range_to_come(make_desk):
    desk, stop = in_a_future(make_desk, 330)
    assert stop["trigger"] == 96_000
    while desk.now < desk_minute(358.4):
        assert desk.tick(1, seconds=30) == [] and desk.timer(0.1) == []
    (moved,) = desk.timer(40)
    assert moved["kind"] == MODIFY and moved["trigger"] > 97_000 and moved["price"] >= 97_000      # 3 % about 1000.00
    desk.reply(moved)
    assert desk.tick(1, seconds=30) == [] and desk.timer(0.5) == []     # once
    assert [desk.core.instrument(i)["lower_band"] for i in (0, 2)] == [0, 0]      # of the stock and its option nothing is known


@pytest.mark.parametrize(("band", "left"), [((98_000, 104_000), (98_000, 102_750)), ((90_000, 102_000), (97_250, 102_000))])
def test_before_the_auction_a_band_is_never_made_wider(make_desk, band, left):
    """The range to come is 27.50 rupees about 1000.00; where the day's own band is narrower, that one stands."""
    desk = make_desk(specs=[FUTURE[0], dataclasses.replace(FUTURE[1], lower=band[0], upper=band[1]), *FUTURE[2:]], minute=358)
    desk.tick(1)
    desk.timer(59)
    assert (desk.core.instrument(1)["lower_band"], desk.core.instrument(1)["upper_band"]) == band
    desk.timer(2)
    assert (desk.core.instrument(1)["lower_band"], desk.core.instrument(1)["upper_band"]) == left
    desk.bands(1, 96_500, 102_500)             # what the exchange then sets, about a reference price of its own
    desk.tick(1, mid=101_000)
    desk.timer(2)
    assert (desk.core.instrument(1)["lower_band"], desk.core.instrument(1)["upper_band"]) == (96_500, 102_500)


@pytest.mark.parametrize(("is_cas", "band"), [(True, (97_250, 102_750)), (False, (0, 0))])
def test_the_range_to_come_is_that_of_futures_whose_stock_is_in_the_auction(make_desk, is_cas, band):
    desk = make_desk(specs=[dataclasses.replace(FUTURE[0], is_cas=is_cas), *FUTURE[1:]], minute=358)
    desk.tick(1)
    desk.timer(61)
    assert (desk.core.instrument(1)["lower_band"], desk.core.instrument(1)["upper_band"]) == band


def desk_minute(minute: float) -> int:
    from engine.market.sessions import epoch_ms
    return epoch_ms(DAY, minute) * 1_000_000


def test_the_sim_sets_the_ranges_anew_and_cancels_what_lies_outside(make_desk):
    exchange = Exchange(FUTURE, 10**9)
    desk = make_desk(specs=FUTURE)
    rows = desk_row(desk, FUTURE[1].key)
    exchange.on_rows(rows, desk_minute(300))
    exchange.on_time(desk_minute(300))
    _, body = exchange.place({"quantity": 5, "product": "I", "validity": "DAY", "price": 955.0, "instrument_token": FUTURE[1].key,
                              "order_type": "SL", "transaction_type": "SELL", "disclosed_quantity": 0, "trigger_price": 960.0,
                              "is_amo": False}, desk_minute(301))
    order = exchange.orders[body["data"]["order_ids"][0]]
    assert order.status == "trigger pending"
    exchange.on_time(desk_minute(359.9))
    assert order.status == "trigger pending"
    exchange.on_time(desk_minute(360))
    assert order.status == "cancelled" and exchange.bands(FUTURE[1].key) == (97_000, 103_000)
    assert exchange.bands(FUTURE[0].key) != (97_000, 103_000)           # the stock itself is in the auction


def desk_row(desk, key: str, price: int = 100_000):
    import numpy as np

    from engine.feed import TICK_DTYPE

    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["ltp"], row["cp"] = key.encode(), len(key), price, 100_000
    row["levels"]["bidP"][:, 0], row["levels"]["askP"][:, 0] = price - 10, price + 10
    row["levels"]["bidQ"][:, 0] = row["levels"]["askQ"][:, 0] = 1000
    return row


# ---- who reads them, when ---------------------------------------------------------------------------------------------------
def watch(desk):
    fed = []
    keys = {i: s.key for i, s in enumerate(desk.specs)}
    return BandWatch(protocol, desk.core, keys,
                     lambda kind, payload: (fed.append(payload), desk.core.feed(kind, desk.now, payload))), fed


def quote(key: str, lower, upper) -> dict:
    return {"instrument_token": key, "lower_circuit_limit": lower, "upper_circuit_limit": upper}


def test_bands_are_read_again_while_the_day_runs(desk):
    work, fed = watch(desk)
    assert work.due(desk.now) == [[s.key for s in SPECS]] and work.due(desk.now + 9 * SECOND) == []
    opened(desk)
    assert work.due(desk.now + 11 * SECOND) == [[SPECS[0].key]]         # what is held, every ten seconds
    work.soon(3)
    work.soon(77)
    assert work.due(desk.now + 12 * SECOND) == [[SPECS[3].key]]         # refused: at once
    work.soon(3)
    assert work.due(desk.now + 12 * SECOND) == [] and work.due(desk.now + 13 * SECOND) == [[SPECS[3].key]]
    assert work.due(desk.now + 14 * SECOND) == []                       # once a refusal
    assert [SPECS[1].key in part for part in work.due(desk.now + 125 * SECOND)] == [True]
    work.on_quotes([quote(SPECS[0].key, 980.5, 1100), quote(SPECS[1].key, "900", "1,100.0")])
    assert len(fed) == 1 and desk.core.instrument(0)["lower_band"] == 98_050
    assert (desk.core.instrument(1)["lower_band"], desk.core.instrument(1)["upper_band"]) == (90_000, 110_000)
    work.on_quotes([quote(SPECS[0].key, 980.5, 1100)])
    assert len(fed) == 1                                                # only what changed


@pytest.mark.parametrize("bad", [quote(SPECS[0].key, 0, 0), quote(SPECS[0].key, 1100, 900), quote(SPECS[0].key, None, 1100), None,
                                 [], quote(SPECS[0].key, "x", 1), quote(SPECS[0].key, 1, float("inf")), quote("NSE_EQ|OTHER", 1, 2),
                                 {}, quote(SPECS[0].key, -5, 10), quote(SPECS[0].key, True, 10)])
def test_a_band_that_makes_no_sense_changes_nothing(desk, bad):
    work, fed = watch(desk)
    work.on_quotes([bad, quote(SPECS[1].key, 900, 1100)])
    assert len(fed) == 1 and desk.core.instrument(0)["lower_band"] == 0 and desk.core.instrument(1)["lower_band"] == 90_000


def test_many_names_are_asked_for_in_calls_a_server_takes(make_desk):
    desk = make_desk(specs=[Instrument(f"NSE_EQ|INE{i:09d}", f"N{i}", tick=5) for i in range(450)], ready=False)
    work, _ = watch(desk)
    assert [len(part) for part in work.due(desk.now)] == [200, 200, 50]


def test_a_names_row_without_trading_is_not_asked_for(make_desk):
    desk = make_desk(specs=[dataclasses.replace(SPECS[0], tradable=False), *SPECS[1:]])
    work, _ = watch(desk)
    assert SPECS[0].key not in work.due(desk.now)[0]
    assert protocol.quote_of(quote("x", 1.005, 2)).band == (100, 200)


# ---- the sim's own -----------------------------------------------------------------------------------------------------------
def placed(exchange, price: float, trigger: float = 0.0, side: str = "BUY", key: str = SPECS[0].key):
    body = {"quantity": 10, "product": "I", "validity": "DAY", "price": price, "instrument_token": key, "trigger_price": trigger,
            "order_type": "SL" if trigger else "LIMIT", "transaction_type": side, "disclosed_quantity": 0, "is_amo": False}
    _, answer = exchange.place(body, desk_minute(30))
    return exchange.orders[answer["data"]["order_ids"][0]]


def test_the_sim_takes_orders_inside_its_bands_only_and_slides_them(make_desk):
    exchange = Exchange(SPECS, 10**9)
    desk = make_desk()
    key = SPECS[0].key
    exchange.on_rows(desk_row(desk, key), desk_minute(30))
    assert exchange.bands(key) == (90_000, 110_000)                     # a tenth about yesterday's close
    assert placed(exchange, 1100.1).status == "rejected" and placed(exchange, 899.9).status == "rejected"
    assert placed(exchange, 895.0, 900.0, "SELL").status == "rejected"  # a stop whose limit lies outside
    resting = placed(exchange, 905.0)
    assert resting.status == "open"
    exchange.modify({"order_id": resting.order_id, "price": 890.0, "order_type": "LIMIT"}, desk_minute(31))
    assert resting.price == 90_500 and "outside" in resting.message     # taken by the API, refused by the exchange
    exchange.on_rows(desk_row(desk, key, 109_000), desk_minute(32))
    exchange.on_time(desk_minute(32))
    assert exchange.bands(key) == (95_000, 115_000)                     # near the edge: both slide by 5 % of the close
    assert resting.status == "cancelled" and placed(exchange, 1149.0).status in ("open", "complete")
    quotes = Rest(exchange).call("GET", protocol.READS["quotes"], None, {"instrument_key": key}, desk_minute(33))[1]["data"]
    assert protocol.quote_of(next(iter(quotes.values()))).band == (95_000, 115_000)


def test_kill_gets_out_beyond_an_old_band():
    book = {"depth": {"buy": [{"price": 999.0}], "sell": [{"price": 1001.0}]}, "last_price": 1000}

    def limit(lower, upper, net: int) -> int:
        return limit_price(protocol.quote_of(book | quote("x", lower, upper)), net, 0.01, 10)

    assert limit(900, 1000.5, -10) == 101_110                           # the ask is above the edge: not cut
    assert limit(900, 1005.07, -10) == 100_500                          # inside: cut, on the grid
    assert limit(999.5, 1200, 10) == 98_900 and limit(995.01, 1200, 10) == 99_510 and limit("?", None, 10) == 98_900


def test_a_band_that_moves_is_one_line_and_those_of_the_morning_are_one_too(desk):
    narrator = EventFormatter()
    narrator.event(REC_INSTRUMENTS, 1, 0, table(SPECS, DAY).tobytes())
    one = narrator.event(REC_BANDS, 2, desk.now, inputs.bands_record({1: (90_000, 110_050)}))
    many = narrator.event(REC_BANDS, 3, desk.now, inputs.bands_record({i: (90_000, 110_000) for i in range(5)}))
    assert one.text.split() == ["TCS", "price", "band", "900.00", "to", "1100.50"] and many.text == "price bands of 5 names"
