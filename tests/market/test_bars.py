"""Bars, volume and the rolling statistics: against plain Python over generated trades, and rule by rule.

The statistics are those of `_ext/market/rolling.pyx`.
"""
import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.sessions import profile
from tests.market.conftest import DAY, OneName

DIRTY, CLOSED = 1, 2
FIRST, AFTER_GAP, STEP_BACK, LATE, REPEAT = 2, 4, 8, 16, 32

trades = st.lists(st.tuples(st.integers(1, 7_900), st.integers(-40, 40), st.integers(0, 5_000)), min_size=120, max_size=400)


def play(tape: OneName, moves) -> list[tuple[int, int, int]]:
    """Feeds the moves (ms since the last, ticks of price, volume) and returns (minute, price, volume) of each."""
    at, price, vtt, told = 0, 100_000, 1_000, []
    for gap, steps, volume in moves:
        at += gap
        price = max(1_000, price + 5 * steps)
        vtt += volume
        told.append((at // 60_000, price, volume if told else 0))     # the day's first update is the baseline
        tape.tick(at, price, vtt)
    return told


def bars_of(told) -> dict[int, list[int]]:
    """minute -> open, high, low, close, volume."""
    bars: dict[int, list[int]] = {}
    for minute, price, volume in told:
        bar = bars.setdefault(minute, [price, price, price, price, 0])
        bar[1], bar[2], bar[3], bar[4] = max(bar[1], price), min(bar[2], price), price, bar[4] + volume
    return bars


@settings(max_examples=40, deadline=None)
@given(trades)
def test_bars_equal_plain_python_over_any_trades(moves):
    """No silence of eight seconds: nothing is dirty, the forming bar and the running sums equal the definition."""
    tape = OneName()
    told = play(tape, moves)
    bars = bars_of(told)
    row = tape.core.market.row(0)
    last = max(bars)
    assert [row[name] for name in ("open", "high", "low", "close", "volume")] == bars[last]
    assert row["minute"] * 60_000 % 60_000 == 0 and not row["bar_flags"] & DIRTY
    a = profile(DAY)[0]
    closed = [bars[m] for m in sorted(bars)[:-1]]
    raw = [math.log(close / before) for before, close in pairwise([bars[min(bars)][0], *(bar[3] for bar in closed)])]
    assert math.isclose(row["path"], sum(x / a[m] for x, m in zip(raw, sorted(bars), strict=False)), rel_tol=1e-9, abs_tol=1e-12)
    assert row["closed"] == len(closed)
    assert row["last_close"] == (closed[-1][3] if closed else bars[last][0])


def test_rolling_statistics_equal_numpy(tape):
    """Means, deviations and expected volume of the last 20 and 50 closed bars, the forming one excluded."""
    rng = np.random.default_rng(5)
    a, v = profile(DAY)
    price, vtt, closes, volumes = 100_000, 1_000, [], []
    first = price
    for minute in range(70):
        volume = 0
        for second in range(0, 60, 5):
            price += 5 * int(rng.integers(-30, 31))
            step = int(rng.integers(1, 900)) if minute or second else 0
            vtt, volume = vtt + step, volume + step
            row = tape.tick(minute * 60_000 + second * 1_000, price, vtt)
            first = price if not (minute or second) else first
        closes.append(price)
        volumes.append(volume)
    closes, volumes = closes[:-1], volumes[:-1]
    u = np.diff(np.log([first, *closes])) / a[:69]
    path = np.cumsum(u)
    step = 5 / closes[-1] / a[69]
    assert math.isclose(row["mean20"], path[-20:].mean(), rel_tol=1e-9)
    assert math.isclose(row["inv20"], 1 / max(path[-20:].std(), step), rel_tol=1e-9)
    assert math.isclose(row["mean50"], path[-50:].mean(), rel_tol=1e-9)
    assert math.isclose(row["inv50"], 1 / max(path[-50:].std(), step), rel_tol=1e-9)
    assert math.isclose(row["inv_u"], 1 / max(u[-20:].std(), step), rel_tol=1e-9)
    assert math.isclose(row["s1m"], u[-20:].std() * a[69], rel_tol=1e-9)
    assert math.isclose(row["expected"], v[69] * sum(volumes[-20:]) / v[49:69].sum(), rel_tol=1e-9)


def test_volume_is_the_advance_of_the_days_peak(tape):
    tape.tick(0, 1_000, 500)
    assert tape.tick(1_000, 1_000, 520)["volume"] == 20
    assert tape.tick(2_000, 1_005, 0)["volume"] == 20           # 0 after more is absent
    assert tape.tick(3_000, 1_005, 510)["volume"] == 20         # a step back adds nothing
    assert tape.tick(4_000, 1_005, 525)["volume"] == 25         # and what was counted is not counted again


def test_a_silence_makes_its_bars_dirty_and_leaves_no_trace(tape):
    for second in range(0, 125):
        tape.tick(second * 1_000, 1_000 + 5 * (second % 3), 1_000 + 10 * second)
    before = tape.core.market.row(0)
    row = tape.tick(165_000, 1_100, 90_000)                     # forty seconds without a word
    assert row["bar_flags"] & DIRTY and row["volume"] == before["volume"], "the volume of a gap belongs to no minute"
    after = tape.tick(181_000, 1_100, 90_010)                   # the next minute: the dirty one is in no window
    assert after["closed"] == before["closed"] and after["path"] == before["path"] and after["last_close"] == 1_100


def test_late_trades_and_repeats_change_nothing(tape):
    tape.tick(0, 1_000, 100)
    tape.tick(1_000, 1_005, 110)
    row = tape.tick(1_000, 1_005, 110, received=1_500)
    assert tape.core.market.repeats == 1 and row["volume"] == 10
    tape.tick(61_000 - 1_500, 1_010, 120)
    row = tape.tick(500, 2_000, 125, received=61_000)           # older than the newest trade: no price of it counts
    assert tape.core.market.step_back == 1 and row["high"] == 1_010 and row["ltp"] == 1_010


def test_a_timer_closes_the_bar_and_later_trades_of_it_are_late(tape):
    for second in range(0, 60, 5):
        tape.tick(second * 1_000, 1_000, 100 + second)
    assert not tape.timer(61_400)["bar_flags"] & CLOSED         # 1.5 s of grace
    assert tape.timer(61_600)["bar_flags"] & CLOSED
    row = tape.tick(58_000, 1_050, 400, received=61_700)
    assert row["high"] == 1_000 and tape.core.market.late == 1


def test_the_price_step_is_the_smallest_deviation(make_tape):
    """A stock that moves within one step has a deviation of zero: the step stands for it (docs/market.md 1.1)."""
    tape = make_tape(tick=100)
    for minute in range(23):
        for second in range(0, 60, 6):
            row = tape.tick(minute * 60_000 + second * 1_000, 10_000, 1_000 + 60 * minute + second)
    a = profile(DAY)[0][22]
    assert row["inv20"] == 1 / (100 / 10_000 / a)


def test_days_are_never_mixed(tape):
    for minute in range(25):
        for second in range(0, 60, 6):
            tape.tick(minute * 60_000 + second * 1_000, 10_000, 1_000 + 60 * minute + second)
    night = 86_400_000
    row = tape.tick(night, 11_000, 50)                          # ten per cent higher, volume starts again
    assert row["last_close"] == 11_000 and row["peak"] == 50 and row["open"] == 11_000


def test_the_ring_is_a_view_of_the_last_updates(tape):
    for second in range(100):
        tape.tick(second * 500, 1_000 + 5 * second, 100 + second, book=[(1_000, 5, 1_010, 7)])
    ring = tape.core.market.ticks(0)
    assert len(ring) == 64 and not ring.flags.writeable
    newest = ring[(tape.core.market.row(0)["ring_at"] - 1) % 64]
    assert newest["ltp"] == 1_000 + 5 * 99 and newest["bid"] == 1_000 and newest["ask_q"] == 7
    tape.tick(60_000, 9_995, 300)
    assert ring[(tape.core.market.row(0)["ring_at"] - 1) % 64]["ltp"] == 9_995, "the array is the ring itself"
