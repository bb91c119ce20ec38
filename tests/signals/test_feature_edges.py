"""Features by hand on the quiet name: what belongs to the candidate, what a missing quote leaves unknown, where values are cut."""
import math

import pytest

from _ext.signals.features import FEATURES
from tests.signals.quiet import BASE, VOLUME, Quiet, swings

ALL = {"emit": 0.001, "trade": 0.001, "cooldown_s": 0}
L, U = math.log(1.001), math.log(1.004)
BOTH = pytest.mark.parametrize("sign", [1, -1])


def of(row) -> dict[str, float]:
    return dict(zip(FEATURES, row["feature"].tolist(), strict=True))


def jumped(sign: int = 1, closes=None, book=None, lag: float = 0.0, **given) -> Quiet:
    """Two quiet updates at 100,000, then one 400 paise ahead at 4 s; the book as told, else ten to either side."""
    desk = Quiet(closes, detector=ALL, **given)
    desk.tick(BASE)
    desk.tick(BASE, 100)
    bid, ask = book or (None, None)
    desk.tick(BASE + sign * 400, 500, after=2.0, bid=bid, ask=ask, lag=lag)
    return desk


@BOTH
def test_what_belongs_to_the_candidate(sign):
    desk = jumped(sign, lag=0.5)
    row = desk.candidates[-1]
    f = of(row)
    u = math.log(1 + sign * 0.004)
    z = (u - L / 2) / (L / 2)
    want = {"strength": float(row["strength"]), "z20": sign * z, "z50": sign * z, "rz": sign * u / L, "volume_ratio": 0.6,
            "roc20_bp": sign * (u - L) * 1e4, "s1m_bp": L * 1e4, "last_volume": 500 / VOLUME, "lag_s": 0.5, "still_there": 1.0,
            "session": 60 / 375, "second": 3.5, "waited": 0, "firing": 1, "quality": 50, "updates": 3,
            "longest_gap_s": 2.0, "roc5_bp": sign * (u - 0.0) * 1e4, "minute_before": -sign * 1.0, "ma_gap": 0.0, "repeats": 0.0,
            "volume_before": 1.0, "mid_move_s1m": sign * u / L, "mid_over_ltp": 1.0, "largest_step": 1.0, "directness": 1.0,
            "realised": abs(u) / L, "largest_volume": 500 / 600, "mid_since_tick": 0.0, "spread_ticks": 20, "held_updates": 1,
            "spread_ratio": 1.0, "imbalance": 0.0, "outside_book_s1m": 0.0, "book_age_s": 0.0, "thin_touch": 1.0,
            "spread_bp": 20 / (BASE + sign * 400) * 1e4, "depth_imbalance": 0.0, "imbalance_change": 0.0, "flow": 0.0}
    for name, value in want.items():
        assert f[name] == pytest.approx(value, rel=2e-5, abs=2e-5), name
    assert math.isnan(f["iv_change"]) and math.isnan(f["sector_5m_bp"])


def test_the_volume_of_the_minute_before_is_measured_by_that_minute_s_own_share_of_the_day():
    """A thousand shares were usual then; this minute usually has twice as many."""
    assert of(jumped(factors={60: (1.0, 2.0)}).candidates[-1])["volume_before"] == pytest.approx(1.0)


@BOTH
def test_at_the_next_update_part_of_the_move_is_left(sign):
    desk = jumped(sign, signals={"confirm_share": 9.0})
    desk.tick(BASE + sign * 100, 10)
    f = of(desk.verdicts[-1])
    assert f["still_there"] == pytest.approx(0.25) and f["waited"] == 1
    moved = math.log((BASE + sign * 100) / (BASE + sign * 400)) / L * sign
    assert f["mid_since_tick"] == pytest.approx(moved, rel=1e-4)
    for price, left in ((BASE - sign * 800, -1.0), (BASE + sign * 1600, 3.0)):      # cut at -1 and 3
        desk = jumped(sign, signals={"confirm_share": 9.0})
        desk.tick(price, 10)
        assert of(desk.verdicts[-1])["still_there"] == left


@pytest.mark.parametrize("book", [(0, 100_410), (100_390, 0), (0, 0)])
def test_a_side_that_is_missing_leaves_its_features_unknown(book):
    f = of(jumped(book=book).candidates[-1])
    for name in ("spread_ratio", "spread_bp", "spread_ticks", "thin_touch", "mid_since_tick", "mid_move_s1m", "mid_over_ltp"):
        assert math.isnan(f[name]), name
    lean = {(0, 100_410): -1, (100_390, 0): 1}.get(book)
    for name in ("imbalance", "depth_imbalance"):
        assert math.isnan(f[name]) if lean is None else f[name] == lean, name
    assert math.isnan(f["outside_book_s1m"]) == (book == (0, 0))


@pytest.mark.parametrize(("book", "beyond"), [
    ((100_380, 100_390), 100_400 / 100_390 - 1), ((100_410, 100_420), 1 - 100_400 / 100_410),
    ((0, 100_390), 100_400 / 100_390 - 1), ((100_410, 0), 1 - 100_400 / 100_410), ((100_400, 100_410), 0), ((100_390, 100_400), 0)])
def test_a_price_beyond_the_book(book, beyond):
    f = of(jumped(book=book).candidates[-1])
    assert f["outside_book_s1m"] == pytest.approx(beyond / L, rel=1e-4)


@BOTH
def test_what_is_measured_in_s1m_is_cut_at_fifty(sign):
    """Minutes that never moved: s1m is one step of the price, a hundred thousandth."""
    f = of(jumped(sign, [BASE] * 50).candidates[-1])
    assert f["mid_move_s1m"] == f["vwap"] == f["from_level"] == 50.0 and f["to_level"] == -50.0
    back = jumped(sign, [BASE] * 50, signals={"confirm_share": 9.0})
    back.tick(BASE - sign * 400, 10)
    g = of(back.verdicts[-1])
    assert g["vwap"] == g["from_level"] == g["mid_since_tick"] == -50.0 and g["to_level"] == 50.0
    far = of(jumped(sign, [BASE] * 50, book=(BASE + 390 * sign - 5000, BASE + 390 * sign - 4000) if sign > 0 else
                    (BASE + 390 * sign + 4000, BASE + 390 * sign + 5000)).candidates[-1])
    assert far["outside_book_s1m"] == 50.0 and far["mid_over_ltp"] == -2.0 and far["mid_move_s1m"] == -50.0


@BOTH
def test_levels_ahead_and_behind(sign):
    """Support 100,000 and resistance 100,100 of fifty minutes; the price between them."""
    desk = Quiet(detector=ALL)
    desk.tick(BASE)
    price = 100_075 if sign > 0 else 100_020
    desk.tick(price, 500)
    row = desk.candidates[-1]
    assert row["move"] == sign
    f = of(row)
    up, down = math.log(100_100 / price) / L, math.log(price / 100_000) / L
    ahead, behind = (up, down) if sign > 0 else (down, up)
    assert f["to_level"] == pytest.approx(ahead, rel=1e-4) and f["from_level"] == pytest.approx(behind, rel=1e-4)


def test_with_few_minutes_what_needs_more_is_unknown():
    f = of(jumped(closes=swings(20)).candidates[-1])
    for name in ("ma_gap", "to_level", "from_level"):
        assert math.isnan(f[name]), name
    assert f["quality"] == 50 and f["z50"] == 0


@pytest.mark.parametrize(("volumes", "flow"), [
    ([(100_010, 60), (99_990, 30)], 0.3), ([(100_010, 90), (99_990, 0)], 0.9), ([(99_990, 90), (100_010, 0)], -0.9),
    ([(100_000, 90), (100_001, 0)], 0.0)])
def test_flow_is_what_traded_at_the_quotes(volumes, flow):
    """The book stays at 99,990 to 100,010; ten more trade between the quotes, a hundred in all."""
    for sign in (1, -1):
        desk = Quiet(detector=ALL)
        book = {"bid": 99_990, "ask": 100_010}
        desk.tick(BASE, **book)
        for price, more in volumes:
            desk.tick(price, more, **book)
        desk.tick(100_000 + sign * 5, 100 - sum(m for _, m in volumes), **book)
        f = dict(zip(FEATURES, desk.core.features_at(0, sign).tolist(), strict=True))
        assert f["flow"] == pytest.approx(sign * flow, abs=1e-6), sign


def test_implied_volatility_since_the_five_minutes_began():
    desk = Quiet(detector=ALL)
    desk.tick(BASE, iv=0.30)
    desk.tick(100_400, 500, iv=0.33)
    assert of(desk.candidates[-1])["iv_change"] == pytest.approx(0.1)


@pytest.mark.parametrize(("second", "counts"), [(59.999, True), (60.0, True), (60.001, False)])
def test_the_last_minute_of_updates(second, counts):
    """One at 1 s, the last `second` later, and one each seven seconds between."""
    desk = Quiet(detector=ALL)
    desk.tick(BASE - 100)
    left, passed = second, 0.0
    while left > 7:
        desk.tick(BASE, 1, after=7)
        left, passed = left - 7, passed + 7
    desk.tick(BASE, 1, after=second - passed)
    f = dict(zip(FEATURES, desk.core.features_at(0, 1).tolist(), strict=True))
    assert f["updates"] == math.ceil(second / 7) + counts
    assert (f["largest_step"] == pytest.approx(1.0)) == counts


@pytest.mark.parametrize(("after", "held"), [(10.0, 2), (10.001, 1)])
def test_updates_of_ten_seconds_that_hold_half_the_move(after, held):
    """Half-way between 100,000 and 100,400 is 100,200."""
    desk = Quiet(detector={"emit": 0.5, "trade": 0.5, "cooldown_s": 300}, signals={"confirm_share": 9.0})
    desk.tick(BASE)
    desk.tick(100_400, 1000)
    desk.tick(100_400, 0, after=5)
    desk.tick(100_200, 10, after=after - 5)
    assert of(desk.verdicts[-1])["held_updates"] == held
    desk = Quiet(detector={"emit": 0.5, "trade": 0.5, "cooldown_s": 300}, signals={"confirm_share": 9.0})
    desk.tick(BASE)
    desk.tick(100_400, 1000)
    desk.tick(100_199, 10)
    assert of(desk.verdicts[-1])["held_updates"] == 1


@pytest.mark.parametrize(("trade", "after", "count"), [(0.2, 59.999, 1), (0.2, 60.0, 1), (0.2, 60.001, 0), (0.99, 1.0, 0)])
def test_what_fires_is_of_the_last_minute_and_strong_enough_to_trade(trade, after, count):
    desk = Quiet(detector={"emit": 0.2, "trade": trade, "cooldown_s": 300})
    desk.tick(BASE)
    desk.tick(BASE + 400, 1000)
    assert len(desk.candidates) == 1
    desk.tick(BASE + 400, after=after)
    assert desk.core.features_at(0, 1)[FEATURES.index("firing")] == count


@pytest.mark.parametrize(("age", "is_before"), [(31.0, True), (30.001, True), (30.0, False)])
def test_a_spread_against_that_of_half_a_minute_before(age, is_before):
    """A book 20 wide, then of 200: ten times what it was. Where nothing is older than 30 s, against the mean of what there is."""
    desk = Quiet(detector=ALL)
    desk.tick(BASE, 100, bid=BASE - 10, ask=BASE + 10)
    for _ in range(6):
        desk.tick(BASE, 0, 4.0, bid=BASE - 100, ask=BASE + 100)
    desk.tick(BASE + 400, 500, age - 24.0, bid=BASE + 300, ask=BASE + 500)
    row = desk.candidates[-1]
    f = of(row)
    assert f["spread_before"] == pytest.approx(10.0 if is_before else 200 * 8 / (20 + 7 * 200), rel=1e-4)
    assert f["spread_s1m"] == pytest.approx(200 / (BASE + 400) / float(row["s1m"]), rel=1e-4)
