"""The detector's statistics and its strength, by hand; and which updates may make a candidate at all.

Strength = 0.25 c(z20/2) + 0.10 c(z50/2) + 0.35 c(volume/2.5) + 0.30 c(rz/3), c(x) = 1 - 2^-x for x > 0, else 0.
"""
import math
from statistics import fmean, pstdev

import numpy as np
import pytest

from _ext.core.records import REC_BARS, WARM_BAR
from engine import config
from engine.market.sessions import epoch_ms
from tests.signals.quiet import BASE, DAY, SWING, VOLUME, Quiet, swings

ALL = {"emit": 0.001, "trade": 0.001, "cooldown_s": 0}
"""Every trade update is a candidate."""
SURE = pytest.approx


def c(x: float) -> float:
    return 1 - 2 ** -x if x > 0 else 0.0


def last(desk: Quiet):
    return desk.candidates[-1]


def test_strength_by_hand_to_the_last_digits():
    """L = ln 1.001; the path ends at 0 with mean and sd L/2; u = ln 1.004; the volume is 2.5 expected bars."""
    desk = Quiet(detector=ALL)
    desk.tick(BASE)
    for more in (1000, 1000, 500):
        desk.tick(100_400, more)
    row = last(desk)
    assert row["move"] == 1
    assert row["u"] == SURE(0.003992021269537453, rel=1e-12)
    assert (row["z20"], row["z50"]) == (SURE(6.988033895340023, rel=1e-11), SURE(6.988033895340023, rel=1e-11))
    assert row["rz"] == SURE(3.994016947670012, rel=1e-11)
    assert row["volume_ratio"] == SURE(2.5, rel=1e-12)
    # 0.25 x 0.91124433 + 0.10 x 0.91124433 + 0.35 x 0.5 + 0.30 x 0.60260076
    assert row["strength"] == SURE(0.6747157445547787, rel=1e-12)


@pytest.mark.parametrize("price", [100_200, 100_450, 100_900, 99_800, 99_400])
@pytest.mark.parametrize("volumes", [[1], [400], [1000, 250], [1000] * 7])
def test_each_weight_and_scale(price, volumes):
    """The long window saw wider swings than the short one, so z20, z50 and rz differ."""
    closes = swings(30, 99_000, 100_000) + swings(20)
    desk = Quiet(closes, detector=ALL)
    desk.tick(BASE)
    for more in volumes:
        desk.tick(price, more)
    path = [math.log(p / BASE) for p in closes]
    u = [b - a for a, b in zip([0.0, *path], path, strict=False)]
    now = math.log(price / BASE)
    z20 = (now - fmean(path[-20:])) / pstdev(path[-20:])
    z50 = (now - fmean(path)) / pstdev(path)
    rz = now / pstdev(u[-20:])
    ratio = sum(volumes) / VOLUME
    row = last(desk)
    sign = 1 if price > BASE + 50 else -1
    assert row["move"] == sign
    assert (row["z20"], row["z50"], row["rz"], row["volume_ratio"]) == (SURE(z20), SURE(z50), SURE(rz), SURE(ratio))
    assert row["strength"] == SURE(0.25 * c(sign * z20 / 2) + 0.10 * c(sign * z50 / 2) + 0.35 * c(ratio / 2.5)
                                   + 0.30 * c(sign * rz / 3), rel=1e-9)


def test_a_part_against_the_sign_of_z20_counts_nothing():
    """Far above the last twenty minutes, still below the fifty: the long window says nothing for the move."""
    closes = swings(30, 103_000, 103_100) + swings(20)
    desk = Quiet(closes, detector=ALL)
    desk.tick(BASE)
    desk.tick(100_900, 500)
    row = last(desk)
    assert row["z20"] > 0 > row["z50"]
    assert row["strength"] == SURE(0.25 * c(row["z20"] / 2) + 0.35 * c(0.2) + 0.30 * c(row["rz"] / 3), rel=1e-9)
    desk = Quiet(swings(51), detector=ALL)                 # a minute up that stays below the mean of the path
    desk.tick(BASE)
    desk.tick(BASE + 20, 500)
    row = last(desk)
    assert row["z20"] < 0 < row["rz"] and row["move"] == -1
    assert row["strength"] == SURE(0.25 * c(-row["z20"] / 2) + 0.10 * c(-row["z50"] / 2) + 0.35 * c(0.2), rel=1e-9)


def test_scales_come_from_the_configuration():
    desk = Quiet(detector=ALL | {"sigma": 1.0, "volume": 5.0, "jump": 6.0})
    desk.tick(BASE)
    desk.tick(100_400, 500)
    row = last(desk)
    assert row["strength"] == SURE(0.35 * c(6.988033895340023) + 0.35 * c(0.1) + 0.30 * c(3.994016947670012 / 6), rel=1e-9)


def test_time_of_day_factors_divide_the_move_and_multiply_the_expected_volume():
    desk = Quiet(factors={60: (2.0, 4.0)}, detector=ALL)
    desk.tick(BASE)
    desk.tick(100_400, 3000)
    row = last(desk)
    assert row["expected"] == SURE(4000) and row["volume_ratio"] == SURE(0.75)
    assert row["u"] == SURE(0.003992021269537453 / 2) and row["rz"] == SURE(3.994016947670012 / 2)
    assert row["s1m"] == SURE(2 * math.log(1.001), rel=1e-6)
    desk = Quiet(factors={50: (2.0, 1.0), 51: (1.0, 11.0)}, detector=ALL)    # of closed minutes: their move and their share count
    desk.tick(BASE)
    desk.tick(100_400, 100)
    assert last(desk)["expected"] == SURE(20_000 / 30)
    assert desk.core.market.window(0)["u"][-10] == SURE(math.log(1.001) / 2)


def test_one_update_adds_at_most_one_expected_bar():
    desk = Quiet(detector=ALL)
    desk.tick(BASE)
    for more, ratio in ((1000, 1.0), (1001, 2.0), (9_000, 3.0), (999, 3.999)):
        desk.tick(100_400, more)
        assert last(desk)["volume_ratio"] == SURE(ratio), more


@pytest.mark.parametrize(("price", "kind", "flag"), [
    (102_100, "equity", c(math.log(1.021) / 0.02)), (102_010, "equity", None), (102_100, "option", None)])
def test_two_percent_in_twenty_minutes_may_lift_the_momentum(price, kind, flag):
    """Swings of 1 %: the minute's own move is small beside them, and twenty minutes ago the price was at its lower end."""
    closes = [*swings(50, 100_000, 101_000), 101_000]
    desk = Quiet(closes, detector=ALL, kind=kind)
    desk.tick(101_000)
    desk.tick(price, 300)
    row = last(desk)
    momentum = c(row["rz"] / 3)
    assert momentum < 0.3
    if flag is not None:
        assert flag > momentum
    assert row["strength"] == SURE(0.25 * c(row["z20"] / 2) + 0.10 * c(row["z50"] / 2) + 0.35 * c(0.12)
                                   + 0.30 * (flag or momentum), rel=1e-9)


def test_the_flag_never_lowers_the_momentum():
    desk = Quiet(detector=ALL | {"roc": 0.02})
    desk.tick(BASE)
    desk.tick(104_000, 300)
    row = last(desk)
    assert row["strength"] == SURE(0.25 * c(row["z20"] / 2) + 0.10 * c(row["z50"] / 2) + 0.35 * c(0.12) + 0.30 * c(row["rz"] / 3),
                                   rel=1e-9)


@pytest.mark.parametrize(("was", "now", "part"), [
    (0.30, 0.36, c(1.0)), (0.30, 0.24, c(1.0)), (0.30, 0.33, c(0.5)), (0.30, 0.30, 0.0)])
def test_implied_volatility_takes_fifteen_hundredths(was, now, part):
    desk = Quiet(detector=ALL)
    desk.tick(BASE, iv=was)
    desk.tick(100_400, 500, iv=now)
    plain = 0.35 * c(6.988033895340023 / 2) + 0.35 * c(0.2) + 0.30 * c(3.994016947670012 / 3)
    assert last(desk)["strength"] == SURE(0.85 * plain + 0.15 * part, rel=1e-8)


def test_no_spread_is_less_than_a_price_step():
    """Twenty minutes that never moved: every deviation is one tick of the price."""
    desk = Quiet([BASE] * 50, tick=50, detector=ALL)
    desk.tick(BASE)
    desk.tick(100_100, 500)
    row = last(desk)
    step = 50 / 100_000
    for name in ("z20", "z50", "rz"):
        assert row[name] == SURE(math.log(1.001) / step), name


def test_fewer_than_fifty_minutes_have_no_long_window_and_fewer_than_twenty_no_candidate():
    desk = Quiet(swings(49), detector=ALL)
    desk.tick(BASE)
    desk.tick(100_400, 500)
    assert last(desk)["z50"] == 0.0 and last(desk)["z20"] > 6
    for count, made in ((20, 1), (19, 0)):
        desk = Quiet(swings(count), detector=ALL)
        desk.tick(BASE)
        desk.tick(100_400, 500)
        assert len(desk.candidates) == made, count


# ---- which updates count -------------------------------------------------------------------------------------------------
def rising(**given) -> Quiet:
    """The day's first update was seen; the next one up with volume is a candidate."""
    desk = Quiet(detector=ALL | given.pop("detector", {}), **given)
    desk.tick(BASE)
    return desk


def test_the_first_update_and_one_without_volume_make_none():
    desk = rising()
    assert not desk.candidates
    desk.tick(100_400, 0)
    assert not desk.candidates
    desk.tick(100_400, 1)
    assert len(desk.candidates) == 1


@pytest.mark.parametrize(("lag", "made"), [(2.999, 1), (3.0, 1), (3.001, 0)])
def test_a_late_tick_makes_none(lag, made):
    desk = rising()
    desk.tick(100_400, 500, after=5, lag=lag)
    assert len(desk.candidates) == made


def test_the_first_minute_makes_none():
    for minute, made in ((0, 0), (1, 1)):
        desk = warmed_overnight(minute)
        desk.tick(BASE, after=30)
        desk.tick(100_400, 500)
        assert len(desk.candidates) == made, minute


def warmed_overnight(minute: int) -> Quiet:
    """Its bars are yesterday's: the engine starts before the open."""
    desk = Quiet([], minute=minute, detector=ALL)
    bars = np.zeros(50, WARM_BAR)
    bars["minute"] = epoch_ms(DAY, -1440) // 60_000 + 200 + np.arange(50)
    bars["close"], bars["volume"] = swings(50), VOLUME
    bars["open"] = [BASE, *swings(50)[:-1]]
    bars["high"], bars["low"] = SWING, BASE
    desk.core.feed(REC_BARS, (desk.start - 50_000) * 1_000_000, bars.tobytes())
    return desk


def test_after_a_silence_none_until_a_clean_minute():
    desk = rising()
    desk.tick(100_400, 500, after=8.1)                     # nine seconds: a gap, and its minute is not whole
    desk.tick(100_500, 500)
    assert not desk.candidates
    for _ in range(9):
        desk.tick(100_500, 10, after=5)
    assert not desk.candidates
    desk.tick(100_900, 500, after=5)
    assert len(desk.candidates) == 1                       # of the next minute


def test_a_step_back_in_time_makes_none_and_moves_no_price():
    desk = rising()
    desk.tick(100_010, 10)
    made = len(desk.candidates)
    desk.tick(100_400, 500, lag=1.5)                       # its trade is older than one known
    assert len(desk.candidates) == made and desk.core.market.row(0)["ltp"] == 100_010


def test_a_price_out_of_all_proportion_makes_none():
    desk = rising()
    desk.tick(112_000, 500)
    assert not desk.candidates


# ---- how often -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("after", "made"), [(6.999, 1), (7.0, 2)])
def test_a_direction_is_quiet_for_its_cooldown(after, made):
    desk = rising(detector={"emit": 0.5, "trade": 0.6, "cooldown_s": 7})
    desk.tick(100_800, 2000)
    assert len(desk.candidates) == 1
    desk.tick(100_800, 100, after=3)
    desk.tick(100_900, 100, after=after - 3)
    assert len(desk.candidates) == made


def test_the_other_direction_is_not_quiet_and_a_stronger_level_neither():
    desk = Quiet(detector={"emit": 0.3, "trade": 0.6, "cooldown_s": 300})
    desk.tick(BASE)
    desk.tick(100_400, 10)
    assert [int(r["level"]) for r in desk.candidates] == [0]
    desk.tick(100_800, 1000)
    desk.tick(100_800, 1000)
    desk.tick(100_800, 1000)
    assert [int(r["level"]) for r in desk.candidates] == [0, 1]
    desk.tick(99_200, 1000)
    desk.tick(99_200, 1000)
    assert [(int(r["level"]), int(r["move"])) for r in desk.candidates] == [(0, 1), (1, 1), (1, -1)]


def test_a_level_is_reached_at_its_very_strength():
    """`emit` and `trade` set to the strength itself, and to the next number above it."""
    strength = 0.6747157445547787
    probe = rising()
    for more in (1000, 1000, 500):
        probe.tick(100_400, more)
    exact = float(last(probe)["strength"])
    assert exact == SURE(strength, rel=1e-9)
    above = math.nextafter(exact, 1)
    for emit, trade, levels in ((exact, exact, [1]), (exact, above, [0]), (above, above, [])):
        desk = Quiet(detector={"emit": emit, "trade": trade})
        desk.tick(BASE)
        for more in (1000, 1000, 500):
            desk.tick(100_400, more)
        assert [int(r["level"]) for r in desk.candidates] == levels


@pytest.mark.parametrize("price", [100_051, 100_060, 100_080, 100_120, 100_300])
@pytest.mark.parametrize("volume", [1, 100, 600])
def test_the_bound_loses_no_strength_however_weak(price, volume):
    """`emit` set to the strength itself: what is estimated before it is never less."""
    probe = Quiet(detector=ALL)
    probe.tick(BASE)
    probe.tick(price, volume)
    exact = float(last(probe)["strength"])
    desk = Quiet(detector={"emit": exact, "trade": exact})
    desk.tick(BASE)
    desk.tick(price, volume)
    assert [float(row["strength"]) for row in desk.candidates if row["move"] == 1] == [exact]


def test_a_candidate_carries_what_it_was_made_of():
    desk = rising()
    desk.tick(100_400, 500, lag=0.25, bid=100_380, ask=100_430)
    row = last(desk)
    assert (row["price"], row["last_close"], row["bid"], row["ask"]) == (100_400, BASE, 100_380, 100_430)
    assert row["ltt"] == desk.start + 1750 and row["now"] == (desk.start + 2000) * 1_000_000
    assert row["expected"] == SURE(1000) and row["s1m"] == SURE(math.log(1.001), rel=1e-6)
    assert (row["id"], row["inst"], row["updates"], row["decided"]) == (1, 0, 0, 0)


def test_thresholds_are_the_published_ones():
    (spike,) = config.Config(models="").record()["sources"]
    assert spike["name"] == "spike"
    assert spike["parameters"] == {"sigma": 2.0, "volume": 2.5, "jump": 3.0, "roc": 0.02, "iv": 0.2, "emit": 0.5, "trade": 0.6,
                                   "cooldown_s": 300.0, "max_lag_s": 3.0}


def test_the_average_range_is_a_share_of_the_price_at_this_time_of_day():
    """Ten minutes up by 100 from 100,000 and ten down by 100 from 100,100; this minute moves twice as much as those."""
    for a in (1.0, 2.0):
        desk = Quiet(factors={60: (a, 1.0)}, detector=ALL)
        desk.tick(BASE)
        assert desk.core.market.row(0)["atr"] == SURE(a * 0.5 * (100 / 100_000 + 100 / 100_100), rel=1e-12)
