"""What a book gives and what it costs: levels walked by hand, each charge from its published rate."""
import datetime as dt
import math

import numpy as np
import pytest

from _ext.trade.fills import LEVEL_DTYPE, charge_parts, charges_of, match

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


def test_five_levels_count():
    deep = book(*((1, 100 - k, 1, 100 + k) for k in range(7)))
    assert match(deep, BUY, 9_999, 9) == (5, 510) and match(deep, SELL, 1, 9) == (5, 490)


def up(x: float) -> int:
    return math.ceil(x - 1e-9)


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
    """In paise, each part rounded up."""
    parts = charge_parts(kind, side, 100, rupees * 100, now)
    assert tuple(parts[name] for name in PARTS) == tuple(up(x) for x in want)
    assert charges_of(kind, side, 100, rupees * 100, now) == sum(up(x) for x in want)


def test_nothing_filled_costs_nothing():
    for kind in (EQUITY, FUTURE, OPTION):
        assert charges_of(kind, BUY, 0, 0, NOW) == charges_of(kind, SELL, 0, 0, NOW) == 0
