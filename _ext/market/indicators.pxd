# Indicators of one instrument on one timeframe, a closed bar at a time (indicators.pyx).
from libc.stdint cimport int32_t, int64_t

cdef enum:
    TREND = 14                # Wilder's period: RSI, ATR, ADX
    BAND = 20                 # Bollinger bands, rate of change
    LEVELS = 50               # bars whose extremes are support and resistance
    FAST = 12
    SLOW = 26
    SIGNAL = 9

cdef enum Regime:
    REGIME_UNKNOWN = 0
    REGIME_QUIET = 1          # range of the last 14 bars under two thirds of the last 50's
    REGIME_RANGING = 2
    REGIME_RISING = 3         # ADX over 25, +DI above -DI
    REGIME_FALLING = 4
    REGIME_WILD = 5           # range of the last 14 bars over one and a half times the last 50's

ctypedef struct Indicators:   # NaN until enough bars are there
    double rsi                # 0..100
    double macd
    double macd_signal
    double macd_histogram
    double middle             # Bollinger: mean of 20 closes
    double upper
    double lower
    double width              # (upper - lower) / middle
    double z                  # (close - middle) / sd: the price on a scale that is the same for all names
    double atr
    double adx
    double plus_di
    double minus_di
    double vwap               # of the day's bars, typical price
    double roc                # per cent over 20 bars
    double obv
    double support            # lowest low, highest high of 50 bars
    double resistance
    int32_t regime            # Regime
    int32_t bars              # entered
    # what the next bar needs
    double close[LEVELS]      # rings by bar number % LEVELS
    double high[LEVELS]
    double low[LEVELS]
    double true_range[LEVELS]
    double gain
    double loss
    double fast
    double slow
    double signal_seed
    double range_sum
    double smooth_range
    double plus
    double minus
    double dx_sum
    double value              # of the day: typical price x volume
    double volume
    int64_t day
    int32_t directions        # DX values averaged so far
    int32_t pad

cdef void enter_bar(Indicators* s, int64_t day, double high, double low, double close, double volume) noexcept nogil
