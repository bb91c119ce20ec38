"""What a book gives and what it costs: levels walked by hand, each charge from its published rate.

The model is `_ext/trade/costs.pyx`, the sim's own statement of the rates `engine/sim/charges.py`.
"""
import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _ext.core.records import KINDS
from _ext.trade.costs import TABLE, charge_parts, charges_of
from _ext.trade.fills import LEVEL_DTYPE, match
from engine.sim import charges as broker

EQUITY, FUTURE, OPTION = 0, 1, 2
BUY, SELL = 1, -1


def ns(text: str) -> int:
    return round(dt.datetime.fromisoformat(text + "+05:30").timestamp() * 1e9)


NOW, BEFORE = ns("2026-11-20T10:30:00"), ns("2026-03-31T23:59:59")
FIRST_DEAR = ns("2026-04-01T00:00:00")


def book(*levels) -> np.ndarray:
    """(bid quantity, bid price, ask quantity, ask price) each."""
    return np.array(list(levels), LEVEL_DTYPE)


LEVELS = book((10, 995, 7, 1_000), (20, 990, 30, 1_005), (40, 985, 50, 1_010))


@pytest.mark.parametrize(("side", "limit", "quantity", "had"), [
    (BUY, 999, 5, (0, 0)), (BUY, 1_000, 5, (5, 5_000)), (BUY, 1_000, 7, (7, 7_000)), (BUY, 1_000, 8, (7, 7_000)),
    (BUY, 1_004, 9, (7, 7_000)), (BUY, 1_005, 9, (9, 7_000 + 2 * 1_005)), (BUY, 9_999, 37, (37, 7_000 + 30 * 1_005)),
    (BUY, 9_999, 38, (38, 7_000 + 30 * 1_005 + 1_010)), (BUY, 9_999, 999, (87, 7_000 + 30 * 1_005 + 50 * 1_010)),
    (SELL, 996, 5, (0, 0)), (SELL, 995, 5, (5, 4_975)), (SELL, 995, 11, (10, 9_950)), (SELL, 990, 11, (11, 9_950 + 990)),
    (SELL, 1, 999, (70, 9_950 + 20 * 990 + 40 * 985)), (BUY, 9_999, 0, (0, 0))])
def test_the_levels_are_walked_up_to_the_limit_and_never_more_than_is_shown(side, limit, quantity, had):
    assert match(LEVELS, side, limit, quantity) == had


def test_a_level_without_price_or_quantity_is_passed_over():
    holes = book((0, 995, 0, 1_000), (20, 0, 30, 0), (40, 985, 50, 1_010))
    assert match(holes, BUY, 9_999, 60) == (50, 50 * 1_010) and match(holes, SELL, 1, 60) == (40, 40 * 985)
    assert match(holes[:0], BUY, 9_999, 60) == (0, 0)


@pytest.mark.parametrize(("quantity", "lot", "had"), [
    (75, 25, (75, 50 * 1_000 + 25 * 1_010)), (60, 25, (50, 50 * 1_000)), (24, 25, (0, 0)),
    (1_000, 25, (75, 50 * 1_000 + 25 * 1_010))])
def test_a_contract_is_traded_in_whole_lots(quantity, lot, had):
    """60 are shown at the best price and 30 at the next: of lots of 25, two and one."""
    assert match(book((0, 0, 60, 1_000), (0, 0, 30, 1_010)), BUY, 9_999, quantity, lot) == had


def test_five_levels_count():
    deep = book(*((1, 100 - k, 1, 100 + k) for k in range(7)))
    assert match(deep, BUY, 9_999, 9) == (5, 510) and match(deep, SELL, 1, 9) == (5, 490)


def near(paise: float, unit: int = 1) -> int:
    """Whole units of so many paise, a half up."""
    return unit * int((Decimal(repr(paise)) / unit).quantize(Decimal(1), ROUND_HALF_UP))


PARTS = ("brokerage", "stt", "transaction", "stamp_duty", "sebi_turnover", "gst")


@pytest.mark.parametrize(("kind", "side", "rupees", "now", "want"), [
    # equity intraday: 0.1 % or Rs 20, STT 0.025 % on the sale, 0.00307 %, stamp 0.003 % on the purchase, Rs 10 a crore, GST 18 %
    (EQUITY, BUY, 50_000, NOW, (2_000, 0, 153.5, 150, 5, 0.18 * 2_158.5)),
    (EQUITY, SELL, 50_000, NOW, (2_000, 1_250, 153.5, 0, 5, 0.18 * 2_158.5)),
    (EQUITY, SELL, 10_000, NOW, (1_000, 250, 30.7, 0, 1, 0.18 * 1_031.7)),
    (EQUITY, SELL, 10_000, BEFORE, (1_000, 250, 30.7, 0, 1, 0.18 * 1_031.7)),
    (EQUITY, BUY, 20_000, NOW, (2_000, 0, 61.4, 60, 2, 0.18 * 2_063.4)),
    (EQUITY, BUY, 20_001, NOW, (2_000, 0, 61.40307, 60.003, 2.0001, 0.18 * 2_063.40317)),
    # futures: 0.05 % or Rs 20, STT 0.05 % (0.02 % before 1 April 2026), 0.00183 %, stamp 0.002 %
    (FUTURE, BUY, 600_000, NOW, (2_000, 0, 1_098, 1_200, 60, 0.18 * 3_158)),
    (FUTURE, SELL, 600_000, NOW, (2_000, 30_000, 1_098, 0, 60, 0.18 * 3_158)),
    (FUTURE, SELL, 600_000, FIRST_DEAR, (2_000, 30_000, 1_098, 0, 60, 0.18 * 3_158)),
    (FUTURE, SELL, 600_000, BEFORE, (2_000, 12_000, 1_098, 0, 60, 0.18 * 3_158)),
    (FUTURE, SELL, 30_000, NOW, (1_500, 1_500, 54.9, 0, 3, 0.18 * 1_557.9)),
    # options: Rs 20 flat, STT 0.15 % of the premium (0.1 % before), 0.03553 %, stamp 0.003 %
    (OPTION, BUY, 6_500, NOW, (2_000, 0, 230.945, 19.5, 0.65, 0.18 * 2_231.595)),
    (OPTION, SELL, 6_500, NOW, (2_000, 975, 230.945, 0, 0.65, 0.18 * 2_231.595)),
    (OPTION, SELL, 6_500, BEFORE, (2_000, 650, 230.945, 0, 0.65, 0.18 * 2_231.595))])
def test_each_charge_by_its_rate(kind, side, rupees, now, want):
    """In paise, each part to the nearest; STT in whole rupees."""
    parts = charge_parts(kind, side, 100, rupees * 100, now)
    rounded = tuple(near(x, 100 if name == "stt" else 1) for name, x in zip(PARTS, want, strict=True))
    assert tuple(parts[name] for name in PARTS) == rounded
    assert charges_of(kind, side, 100, rupees * 100, now) == sum(rounded)


# worked by hand, in rupees: brokerage, STT, transaction, stamp duty, SEBI, GST
HAND = [
    # case 06: 49 x 999.80 = 48,990.20 sold; STT of 0.025 % is 12.25, charged as 12
    (EQUITY, SELL, 49, 99_980, "2026-11-20", ("20", "12", "1.50", "0", "0.05", "3.88")),
    (EQUITY, SELL, 100, 100_040, "2026-11-20", ("20", "25", "3.07", "0", "0.10", "4.17")),
    (EQUITY, SELL, 13, 147_315, "2026-11-20", ("19.15", "5", "0.59", "0", "0.02", "3.56")),
    (EQUITY, BUY, 49, 99_980, "2026-11-20", ("20", "0", "1.50", "1.47", "0.05", "3.88")),
    # docs/upstox.md 8.1: a NIFTY option, 65 at Rs 100: 6,500 of premium; STT 9.75
    (OPTION, BUY, 65, 10_000, "2026-11-20", ("20", "0", "2.31", "0.20", "0.01", "4.02")),
    (OPTION, SELL, 65, 10_000, "2026-11-20", ("20", "10", "2.31", "0", "0.01", "4.02")),
    (OPTION, SELL, 65, 10_000, "2026-04-01", ("20", "10", "2.31", "0", "0.01", "4.02")),
    (OPTION, SELL, 65, 10_000, "2026-03-31", ("20", "7", "2.31", "0", "0.01", "4.02")),        # 0.1 %: 6.50, a half up
    (OPTION, SELL, 65, 10_000, "2024-10-01", ("20", "7", "2.31", "0", "0.01", "4.02")),
    (OPTION, SELL, 65, 10_000, "2024-09-30", ("20", "4", "3.22", "0", "0.01", "4.18")),        # 0.0625 %: 4.06; 0.0495 %
    (OPTION, SELL, 65, 10_000, "2023-03-31", ("20", "3", "3.45", "0", "0.01", "4.22")),        # 0.05 %: 3.25; 0.053 %
    # RELIANCE future, 500 at Rs 1,400: 7,00,000
    (FUTURE, SELL, 500, 140_000, "2026-04-01", ("20", "350", "12.81", "0", "0.70", "6.03")),
    (FUTURE, SELL, 500, 140_000, "2026-03-31", ("20", "140", "12.81", "0", "0.70", "6.03")),
    (FUTURE, SELL, 500, 140_000, "2024-10-01", ("20", "140", "12.81", "0", "0.70", "6.03")),
    (FUTURE, SELL, 500, 140_000, "2024-09-30", ("20", "88", "13.16", "0", "0.70", "6.09")),    # 87.50, a half up
    (FUTURE, SELL, 500, 140_000, "2024-03-31", ("20", "88", "13.30", "0", "0.70", "6.12")),
    (FUTURE, SELL, 500, 140_000, "2023-03-31", ("20", "70", "14", "0", "0.70", "6.25")),
    (FUTURE, BUY, 500, 140_000, "2021-06-01", ("20", "0", "14", "14", "0.70", "6.25")),
    (EQUITY, SELL, 400, 125_000, "2024-09-30", ("20", "125", "16.10", "0", "0.50", "6.59")),
    (EQUITY, SELL, 400, 125_000, "2024-10-01", ("20", "125", "15.35", "0", "0.50", "6.45")),
    (EQUITY, SELL, 400, 125_000, "2023-04-01", ("20", "125", "16.25", "0", "0.50", "6.62")),
    (EQUITY, SELL, 400, 125_000, "2021-05-11", ("20", "125", "17.25", "0", "0.50", "6.80"))]


@pytest.mark.parametrize(("kind", "side", "quantity", "price", "day", "want"), HAND)
def test_examples_worked_by_hand(kind, side, quantity, price, day, want):
    """By the engine's model and by the calculator of the sim's broker, which states the rates once more."""
    parts = charge_parts(kind, side, quantity, quantity * price, ns(day + "T10:00:00"))
    assert {name: Decimal(parts[name]) / 100 for name in PARTS} == {
        name: Decimal(text) for name, text in zip(PARTS, want, strict=True)}
    told = broker.charges(KINDS[kind], side == SELL, Decimal(quantity * price) / 100, dt.date.fromisoformat(day))
    assert {name: told[name] for name in PARTS} == {name: Decimal(text) for name, text in zip(PARTS, want, strict=True)}


def test_a_published_answer_of_the_broker():
    """A delivery of some Rs 174,866: STT 175.0 in whole rupees, transaction 5.68 and stamp duty 26.23 to the paisa. The rates of a
    delivery are others (0.1 %, 0.015 %) than those of a day's trade, the rounding is the same."""
    value = Decimal("174866.67")
    assert broker._share(value, "0.1").quantize(broker.RUPEE, ROUND_HALF_UP) == 175
    assert broker._share(value, "0.00325").quantize(broker.PAISA, ROUND_HALF_UP) == Decimal("5.68")
    assert broker._share(value, "0.015").quantize(broker.PAISA, ROUND_HALF_UP) == Decimal("26.23")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([EQUITY, FUTURE, OPTION]), st.sampled_from([BUY, SELL]), st.integers(0, 10**6), st.integers(1, 4_000_000),
       st.dates(dt.date(2020, 6, 1), dt.date(2027, 6, 1)))
def test_model_and_broker_agree_to_the_paisa(kind, side, quantity, price, day):
    parts = charge_parts(kind, side, quantity, quantity * price, ns(f"{day}T10:00:00"))
    told = broker.charges(KINDS[kind], side == SELL, Decimal(quantity * price) / 100, day)
    assert {name: int(100 * told[name]) for name in PARTS} == {name: parts[name] for name in PARTS}


def test_each_row_of_the_table_holds_from_its_day():
    for kind, since, _, _, stt, exchange, *_ in TABLE:
        day = dt.date.fromisoformat(since)
        parts = charge_parts(kind, SELL, 1, 10**9, ns(f"{day}T00:00:00"))
        assert (parts["stt"], parts["transaction"]) == (stt * 100, exchange * 100)
        before = charge_parts(kind, SELL, 1, 10**9, ns(f"{day - dt.timedelta(days=1)}T23:59:59"))
        assert (before == parts) == (since == min(row[1] for row in TABLE)) or kind == EQUITY


def test_nothing_filled_costs_nothing():
    for kind in (EQUITY, FUTURE, OPTION):
        assert charges_of(kind, BUY, 0, 0, NOW) == charges_of(kind, SELL, 0, 0, NOW) == 0
