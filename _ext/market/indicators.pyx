# cython: cdivision=True
"""Indicators, incremental and exact: each closed bar enters once, nothing is approximated and nothing drifts but by rounding.

RSI, ATR and ADX as Wilder defined them (1978), seeded by plain means as TA-Lib does, so that both agree from the first value on;
MACD 12, 26, 9 with exponential means seeded alike; Bollinger bands of 20 closes at two population deviations; VWAP of the day's
typical prices; on-balance volume from the first bar on; support and resistance the extremes of 50 bars.

Missing minutes: a minute in which nothing traded is a bar at the last close without volume. A minute lost in a gap is none: it
enters when it was backfilled, and until then the series goes on without it and is marked (market.pyx).
"""
from libc.math cimport NAN, fabs, fmax, fmin, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memset

import numpy as np

REGIMES = ("unknown", "quiet", "ranging", "rising", "falling", "wild")


cdef inline double mean_of(const double* ring, int bars, int count) noexcept nogil:
    """Mean of the last `count` of `bars` ring values, oldest first."""
    cdef int k
    cdef double total = 0.0
    for k in range(bars - count, bars):
        total += ring[k % LEVELS]
    return total / count


cdef void clear(Indicators* s) noexcept nogil:
    memset(s, 0, sizeof(Indicators))
    s.rsi = s.macd = s.macd_signal = s.macd_histogram = s.middle = s.upper = s.lower = s.width = s.z = NAN
    s.atr = s.adx = s.plus_di = s.minus_di = s.vwap = s.roc = s.support = s.resistance = NAN


cdef void _bands(Indicators* s, double close) noexcept nogil:
    cdef int k
    cdef double squares = 0.0, sd, d
    s.middle = mean_of(s.close, s.bars, BAND)
    for k in range(s.bars - BAND, s.bars):
        d = s.close[k % LEVELS] - s.middle
        squares += d * d
    sd = sqrt(squares / BAND)
    s.upper = s.middle + 2.0 * sd
    s.lower = s.middle - 2.0 * sd
    s.width = 4.0 * sd / s.middle
    s.z = (close - s.middle) / sd if sd > 1e-12 * s.middle else 0.0


cdef void _momentum(Indicators* s, double change) noexcept nogil:
    """RSI: Wilder's means of gains and losses; 0 where nothing ever moved."""
    cdef double gain = fmax(change, 0.0), loss = fmax(-change, 0.0)
    if s.bars <= TREND + 1:
        s.gain += gain / TREND
        s.loss += loss / TREND
    else:
        s.gain = (s.gain * (TREND - 1) + gain) / TREND
        s.loss = (s.loss * (TREND - 1) + loss) / TREND
    if s.bars > TREND:
        s.rsi = 100.0 * s.gain / (s.gain + s.loss) if s.gain + s.loss > 0.0 else 0.0


cdef void _convergence(Indicators* s, double close) noexcept nogil:
    """MACD: both means are seeded at the 26th bar, the signal line at the ninth difference."""
    if s.bars < SLOW:
        return
    if s.bars == SLOW:
        s.fast = mean_of(s.close, s.bars, FAST)
        s.slow = mean_of(s.close, s.bars, SLOW)
    else:
        s.fast += (close - s.fast) * (2.0 / (FAST + 1))
        s.slow += (close - s.slow) * (2.0 / (SLOW + 1))
    s.macd = s.fast - s.slow
    if s.bars < SLOW + SIGNAL - 1:
        s.signal_seed += s.macd / SIGNAL
        return
    if s.bars == SLOW + SIGNAL - 1:
        s.macd_signal = s.signal_seed + s.macd / SIGNAL
    else:
        s.macd_signal += (s.macd - s.macd_signal) * (2.0 / (SIGNAL + 1))
    s.macd_histogram = s.macd - s.macd_signal


cdef void _direction(Indicators* s, double high, double low, double before_high, double before_low, double reach) noexcept nogil:
    """ATR and ADX. Wilder's sums run over 13 bars before they are smoothed, his means over 14: TA-Lib's reading of both."""
    cdef double up = high - before_high, down = before_low - low, dx
    cdef double plus = up if up > down and up > 0.0 else 0.0
    cdef double minus = down if down > up and down > 0.0 else 0.0
    if s.bars <= TREND:
        s.smooth_range += reach
        s.plus += plus
        s.minus += minus
        return
    s.smooth_range += reach - s.smooth_range / TREND
    s.plus += plus - s.plus / TREND
    s.minus += minus - s.minus / TREND
    if s.smooth_range > 0.0:
        s.plus_di = 100.0 * s.plus / s.smooth_range
        s.minus_di = 100.0 * s.minus / s.smooth_range
    if not s.plus_di + s.minus_di > 0.0:
        return
    dx = 100.0 * fabs(s.plus_di - s.minus_di) / (s.plus_di + s.minus_di)
    s.directions += 1
    if s.directions < TREND:
        s.dx_sum += dx
    elif s.directions == TREND:
        s.adx = (s.dx_sum + dx) / TREND
    else:
        s.adx = (s.adx * (TREND - 1) + dx) / TREND


cdef void _regime(Indicators* s) noexcept nogil:
    cdef double ratio
    if s.bars <= LEVELS or not s.adx == s.adx:
        return
    ratio = mean_of(s.true_range, s.bars, TREND) / fmax(mean_of(s.true_range, s.bars, LEVELS), 1e-300)
    if ratio > 1.5:
        s.regime = REGIME_WILD
    elif ratio < 2.0 / 3.0:
        s.regime = REGIME_QUIET
    elif s.adx > 25.0:
        s.regime = REGIME_RISING if s.plus_di > s.minus_di else REGIME_FALLING
    else:
        s.regime = REGIME_RANGING


cdef void enter_bar(Indicators* s, int64_t day, double high, double low, double close, double volume) noexcept nogil:
    """Takes one closed bar of `day` (any number that changes with the trading day)."""
    cdef int k, at = s.bars % LEVELS, before = (s.bars - 1) % LEVELS
    cdef double last = s.close[before] if s.bars else close, reach, top, bottom
    if s.bars == 0:
        clear(s)
    if day != s.day or s.bars == 0:
        s.day = day
        s.value = s.volume = 0.0
    reach = fmax(high, last) - fmin(low, last)
    s.obv += volume if s.bars == 0 or close > last else -volume if close < last else 0.0
    if s.bars >= BAND:
        s.roc = (close / s.close[(s.bars - BAND) % LEVELS] - 1.0) * 100.0
    s.bars += 1
    if s.bars > 1:
        _direction(s, high, low, s.high[before], s.low[before], reach)
        if s.bars == TREND + 1:
            s.atr = (s.range_sum + reach) / TREND
        elif s.bars > TREND + 1:
            s.atr = (s.atr * (TREND - 1) + reach) / TREND
        else:
            s.range_sum += reach
    s.close[at], s.high[at], s.low[at], s.true_range[at] = close, high, low, reach
    if s.bars > 1:
        _momentum(s, close - last)
    _convergence(s, close)
    if s.bars >= BAND:
        _bands(s, close)
    if s.bars >= LEVELS:
        top, bottom = s.high[0], s.low[0]
        for k in range(1, LEVELS):
            top = fmax(top, s.high[k])
            bottom = fmin(bottom, s.low[k])
        s.resistance, s.support = top, bottom
    s.value += (high + low + close) / 3.0 * volume
    s.volume += volume
    s.vwap = s.value / s.volume if s.volume > 0.0 else NAN
    _regime(s)


NAMES = ("rsi", "macd", "macd_signal", "macd_histogram", "middle", "upper", "lower", "width", "z", "atr", "adx", "plus_di",
         "minus_di", "vwap", "roc", "obv", "support", "resistance", "regime")


def indicators_of(bars, day) -> "np.ndarray":
    """All indicators after each of n bars: float64[n, 19] in the order of NAMES. `bars`: float64[n, 4] of high, low, close and
    volume; `day`: int64[n], a number that changes with the trading day. The same code the path runs."""
    cdef const double[:, ::1] rows = np.ascontiguousarray(bars, np.float64)
    cdef const int64_t[::1] days = np.ascontiguousarray(day, np.int64)
    cdef Indicators s
    cdef Py_ssize_t i
    cdef double[:, ::1] view
    if rows.shape[0] != days.shape[0] or rows.shape[1] != 4:
        raise ValueError(f"{rows.shape[0]} x {rows.shape[1]} bars and {days.shape[0]} days: n x 4 and n are needed")
    out = np.empty((rows.shape[0], len(NAMES)))
    view = out
    memset(&s, 0, sizeof(s))
    for i in range(rows.shape[0]):
        enter_bar(&s, days[i], rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3])
        view[i, 0], view[i, 1], view[i, 2], view[i, 3], view[i, 4] = s.rsi, s.macd, s.macd_signal, s.macd_histogram, s.middle
        view[i, 5], view[i, 6], view[i, 7], view[i, 8], view[i, 9] = s.upper, s.lower, s.width, s.z, s.atr
        view[i, 10], view[i, 11], view[i, 12], view[i, 13], view[i, 14] = s.adx, s.plus_di, s.minus_di, s.vwap, s.roc
        view[i, 15], view[i, 16], view[i, 17], view[i, 18] = s.obv, s.support, s.resistance, s.regime
    return out
