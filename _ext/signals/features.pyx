"""Features of a candidate, in the order of FEATURES, from the row, its windows and indicators and the last minute of its ring.

What a source cannot supply is NaN (a feed without a book has no spread). "Ahead" is the candidate's direction: a signed value is
positive where it agrees with the move. s1m is the sd of the last 20 one-minute moves at this time of day. The hash of the names
travels in the model.
"""
import hashlib

from libc.math cimport NAN, fabs, fmax, log, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from _ext.core.clock cimport MINUTE_MS, MINUTE_NS, SECOND_NS
from _ext.core.records cimport *
from _ext.market.indicators cimport Indicators
from _ext.market.market cimport Market
from _ext.market.state cimport LONG, TICK_AFTER_GAP, TICK_BOOK, TICK_REPEAT, TICK_TRADED, RingTick, Row, TickInfo, Window

# name, unit, range, what a source must have for it: price (trades and cumulative volume), ticks (each update as it came), book
# (the best quotes), depth (five of them), names (the other stocks), bars (closed minutes), volatility (an option's, or at the
# money)
DESCRIBED = (
    ("strength", "", "0..1", "price"),
    ("z20", "sd", "0..", "price"),                 # off the mean of the last 20 path values
    ("z50", "sd", "", "price"),                    # likewise, 50
    ("rz", "sd", "", "price"),                     # the minute's move in sd of the last 20 one-minute moves
    ("volume_ratio", "", "0..", "price"),          # forming volume / expected full bar
    ("roc20_bp", "bp", "", "bars"),                # move over 20 bars
    ("s1m_bp", "bp", "0..", "bars"),
    ("mid_move_s1m", "s1m", "-50..50", "book"),    # move of the mid over 60 s
    ("mid_over_ltp", "", "-2..2", "book"),         # mid's move / last price's move over 60 s
    ("largest_step", "", "0..2", "ticks"),         # largest single step / whole move of 60 s
    ("spread_ratio", "", "0..", "book"),           # spread / mean spread of the last minute
    ("outside_book_s1m", "s1m", "0..50", "book"),  # last price beyond the best quote
    ("held_updates", "", "0..", "ticks"),          # trade updates in the last 10 s at least half-way to the new level
    ("longest_gap_s", "s", "0..60", "ticks"),      # longest silence in the last 60 s
    ("last_volume", "", "0..", "ticks"),           # the last update's volume / expected full bar
    ("spread_bp", "bp", "0..", "book"),
    ("imbalance", "", "-1..1", "book"),            # (bid_q - ask_q) / (bid_q + ask_q)
    ("updates", "", "0..", "ticks"),               # in the last 60 s
    ("repeats", "", "0..1", "ticks"),              # share of them that changed nothing
    ("session", "", "0..1", "price"),              # minute of the session / 375
    ("market_5m_bp", "bp", "", "names"),           # mean move of all names, last 5 closed minutes
    ("firing", "", "0..", "names"),                # trade-level candidates of all names in the last 60 s
    ("lag_s", "s", "0..", "ticks"),                # delivery lag of the tick
    ("still_there", "", "-1..3", "price"),         # share of the move at the tick that is left (1 at the tick itself)
    ("roc5_bp", "bp", "", "bars"),                 # move over 5 bars
    ("minute_before", "sd", "", "bars"),           # move of the last closed minute
    ("rsi", "", "-1..1", "bars"),                  # (RSI - 50) / 50
    ("macd", "s1m", "-50..50", "bars"),            # MACD histogram
    ("ma_gap", "sd", "", "bars"),                  # mean of 20 path values above the mean of 50
    ("adx", "", "0..100", "bars"),
    ("trend", "", "-1..1", "bars"),                # (+DI - -DI) / 100
    ("band_width", "s1m", "0..", "bars"),          # of the Bollinger bands
    ("atr", "s1m", "0..", "bars"),
    ("realised", "s1m", "0..", "ticks"),           # root of the sum of squared steps of 60 s
    ("volume_before", "", "0..", "bars"),          # volume of the last closed minute / expected of it
    ("flow", "", "-1..1", "ticks"),                # volume of 60 s at or beyond the quote ahead less that behind, share
    ("largest_volume", "", "0..1", "ticks"),       # largest update's share of the volume of 60 s
    ("vwap", "s1m", "-50..50", "bars"),            # price beyond the day's VWAP
    ("to_level", "s1m", "-50..50", "bars"),        # to the extreme of 50 bars ahead; negative: beyond it
    ("from_level", "s1m", "-50..50", "bars"),      # from the extreme behind
    ("spread_ticks", "ticks", "1..", "book"),
    ("thin_touch", "", "0..", "book"),             # smaller best quantity / its mean of the last minute
    ("depth_imbalance", "", "-1..1", "depth"),     # over all levels shown
    ("imbalance_change", "", "-2..2", "book"),     # of the best quantities over 60 s
    ("book_age_s", "s", "0..60", "book"),          # since the best quotes last changed
    ("market_1m_bp", "bp", "", "names"),
    ("sector_5m_bp", "bp", "", "names"),           # mean move of the names of its sector
    ("regime", "", "0..5", "bars"),                # indicators.pxd::Regime
    ("quality", "bars", "0..50", "price"),         # bars since a minute was lost for good
    ("iv_change", "", "", "volatility"),           # of implied volatility since the five minutes began
    ("second", "s", "0..60", "price"),             # of the forming minute
    ("directness", "", "0..1", "ticks"),           # whole move of 60 s / sum of its steps
    ("waited", "", "0..", "price"),                # trade updates since the tick: 0 at the tick itself
    ("mid_since_tick", "s1m", "-50..50", "book"),  # move of the mid since the tick
    ("spread_s1m", "s1m", "0..50", "book"),
    ("spread_before", "", "0..", "book"),          # spread / mean spread of 30 to 60 s ago (of what there is, if that is later)
)
OUTSIDE_MOST_S1M = OUTSIDE_MOST
FEATURES = tuple(name for name, _, _, _ in DESCRIBED)


def hash_of(names) -> str:
    """What a model's metadata says of the features it was trained on: their names, in order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


FIRST_HASH = hash_of(FEATURES[:54])
"""What models say that were made when every model named all features there were."""
if len(FEATURES) != N_FEATURES:
    raise ImportError("FEATURES and the compiled N_FEATURES disagree: rebuild with `make`", name=__name__)


cdef inline double middle(const RingTick* s) noexcept nogil:
    return 0.5 * <double>(s.bid + s.ask) if s.bid > 0 and s.ask > 0 else NAN


cdef inline double clip(double x, double low, double high) noexcept nogil:
    return low if x < low else high if x > high else x


cdef inline double lean(double a, double b) noexcept nogil:
    """(a - b) / (a + b); NaN where there is nothing."""
    return (a - b) / (a + b) if a + b > 0.0 else NAN


cdef void fill_features(Market market, uint32_t inst, const TickInfo* t, double firing, int64_t fired_ms,
                        int64_t fired_price, Candidate* out) noexcept nogil:
    """Writes out.feature. `fired_price` is the price at the tick that made the candidate."""
    cdef const Row* r = &market.rows[inst]
    cdef const RingTick* ring = market.ring + <size_t>inst * market.depth
    cdef double sign = <double>out.move
    cdef double s1m = fmax(out.s1m, 1e-7)
    cdef double price = <double>t.ltp
    cdef double oldest_price = price, oldest_mid = NAN, mid = NAN, step, largest = 0.0, spread_sum = 0.0
    cdef double previous = 0.0, mid_move, ltp_move, half, shown, squares = 0.0, steps = 0.0
    cdef double flow = 0.0, volume = 0.0, largest_volume = 0.0, touch = 0.0, oldest_lean = NAN, before_sum = 0.0
    cdef int64_t longest = 0, later_now = t.now, book_age = MINUTE_NS
    cdef int updates = 0, repeats = 0, held = 0, spreads = 0, before = 0, k
    cdef uint64_t n = min(r.ring_at, <uint64_t>market.depth)
    cdef const RingTick* s
    cdef float* f = out.feature
    half = 0.5 * (<double>out.last_close + <double>fired_price)
    for k in range(<int>n):
        s = &ring[(r.ring_at - 1 - k) & (market.depth - 1)]
        if t.now - s.now > MINUTE_NS:
            break
        updates += 1
        repeats += (s.flags & TICK_REPEAT) != 0
        if s.flags & TICK_BOOK:
            book_age = min(book_age, t.now - s.now)
        longest = max(longest, later_now - s.now)
        later_now = s.now
        if k > 0 and previous > 0.0 and s.ltp > 0:
            step = fabs(log(previous / <double>s.ltp)) if previous != <double>s.ltp else 0.0      # most updates keep the price
            largest = fmax(largest, step)
            squares += step * step
            steps += step
        if s.ltp > 0:
            previous = <double>s.ltp
            oldest_price = previous
        if s.bid > 0 and s.ask > 0:
            oldest_mid = middle(s)
            if k == 0:
                mid = oldest_mid
            spread_sum += <double>(s.ask - s.bid)
            touch += <double>min(s.bid_q, s.ask_q)
            oldest_lean = lean(<double>s.bid_q, <double>s.ask_q)
            spreads += 1
            if t.now - s.now > MINUTE_NS // 2:
                before_sum += <double>(s.ask - s.bid)
                before += 1
        if s.volume > 0:
            volume += <double>s.volume
            largest_volume = fmax(largest_volume, <double>s.volume)
            if s.ask > 0 and s.ltp >= s.ask:
                flow += <double>s.volume
            elif s.bid > 0 and s.ltp <= s.bid:
                flow -= <double>s.volume
        if s.flags & TICK_TRADED and t.now - s.now <= 10 * SECOND_NS and sign * (<double>s.ltp - half) >= 0.0:
            held += 1
        if s.flags & TICK_AFTER_GAP:                  # nothing is computed across a gap
            break
    ltp_move = log(price / oldest_price)
    mid_move = log(mid / oldest_mid) if mid == mid and oldest_mid == oldest_mid else NAN
    f[F_STRENGTH] = <float>out.strength
    f[F_Z20] = <float>(sign * out.z20)
    f[F_Z50] = <float>(sign * out.z50)
    f[F_RZ] = <float>(sign * out.rz)
    f[F_VOLUME_RATIO] = <float>out.volume_ratio
    f[F_ROC20_BP] = <float>(sign * (r.raw + log(price / r.last_close) - r.raw20) * 1e4)
    f[F_S1M_BP] = <float>(s1m * 1e4)
    f[F_MID_MOVE_S1M] = <float>clip(sign * mid_move / s1m, -50.0, 50.0)
    f[F_MID_OVER_LTP] = <float>(clip(mid_move / ltp_move, -2.0, 2.0) if fabs(ltp_move) > 1e-9 else (
        0.0 if mid_move == mid_move else NAN))
    f[F_LARGEST_STEP] = <float>(clip(largest / fabs(ltp_move), 0.0, 2.0) if fabs(ltp_move) > 1e-9 else 2.0)
    f[F_SPREAD_RATIO] = <float>(<double>(r.ask - r.bid) * spreads / spread_sum
                                if r.bid > 0 and r.ask > 0 and spread_sum > 0.0 else NAN)
    shown = 0.0
    if r.ask > 0 and price > <double>r.ask:
        shown = price / <double>r.ask - 1.0
    elif r.bid > 0 and price < <double>r.bid:
        shown = 1.0 - price / <double>r.bid
    f[F_OUTSIDE_BOOK_S1M] = <float>(clip(shown / s1m, 0.0, 50.0) if r.bid > 0 or r.ask > 0 else NAN)
    f[F_HELD_UPDATES] = <float>held
    f[F_LONGEST_GAP_S] = <float>(<double>longest * 1e-9)
    f[F_LAST_VOLUME] = <float>(<double>t.volume / out.expected if out.expected > 0.0 else 0.0)
    f[F_SPREAD_BP] = <float>(<double>(r.ask - r.bid) / mid * 1e4 if r.bid > 0 and r.ask > 0 else NAN)
    f[F_IMBALANCE] = <float>(sign * lean(<double>r.bid_q, <double>r.ask_q))
    f[F_UPDATES] = <float>updates
    f[F_REPEATS] = <float>(<double>repeats / <double>max(updates, 1))
    f[F_SESSION] = <float>(<double>t.minute / 375.0)
    f[F_MARKET_5M_BP] = <float>(sign * market.market_move(r.minute, 5) * 1e4)
    f[F_FIRING] = <float>firing
    f[F_LAG_S] = <float>(<double>t.lag_ms * 1e-3)
    f[F_STILL_THERE] = <float>(clip((price - <double>out.last_close) / (<double>(fired_price - out.last_close)), -1.0, 3.0)
                               if fired_price != out.last_close else 1.0)
    f[F_REALISED] = <float>(sqrt(squares) / s1m)
    f[F_FLOW] = <float>(sign * flow / volume if volume > 0.0 and spreads > 0 else NAN)
    f[F_LARGEST_VOLUME] = <float>(largest_volume / volume if volume > 0.0 else NAN)
    f[F_SPREAD_TICKS] = <float>(<double>(r.ask - r.bid) / <double>r.tick if r.bid > 0 and r.ask > 0 else NAN)
    f[F_THIN_TOUCH] = <float>(<double>min(r.bid_q, r.ask_q) * spreads / touch if touch > 0.0 and r.bid > 0 and r.ask > 0 else NAN)
    f[F_DEPTH_IMBALANCE] = <float>(sign * lean(<double>r.bid_depth, <double>r.ask_depth))
    f[F_IMBALANCE_CHANGE] = <float>(sign * (lean(<double>r.bid_q, <double>r.ask_q) - oldest_lean))
    f[F_BOOK_AGE_S] = <float>(<double>book_age * 1e-9 if r.book_seen else NAN)
    f[F_MARKET_1M_BP] = <float>(sign * market.market_move(r.minute, 1) * 1e4)
    f[F_SECTOR_5M_BP] = <float>(sign * market.sector_move(r.sector, r.minute, 5) * 1e4)
    f[F_QUALITY] = <float>out.quality
    f[F_IV_CHANGE] = <float>(r.iv / r.iv5 - 1.0 if r.iv > 0.0 and r.iv5 > 0.0 else NAN)
    f[F_SECOND] = <float>(<double>(t.ltt % MINUTE_MS) * 1e-3)
    f[F_DIRECTNESS] = <float>(clip(fabs(ltp_move) / steps, 0.0, 1.0) if steps > 0.0 else 0.0)
    f[F_WAITED] = <float>out.updates
    f[F_MID_SINCE_TICK] = <float>(clip(sign * log(mid / (0.5 * <double>(out.bid + out.ask))) / s1m, -50.0, 50.0)
                                  if out.bid > 0 and out.ask > 0 and mid > 0.0 else NAN)
    f[F_SPREAD_S1M] = <float>(clip(<double>(r.ask - r.bid) / mid / s1m, 0.0, 50.0) if r.bid > 0 and r.ask > 0 else NAN)
    f[F_SPREAD_BEFORE] = <float>(<double>(r.ask - r.bid) * before / before_sum
                                 if before_sum > 0.0 and r.bid > 0 and r.ask > 0 else f[F_SPREAD_RATIO])
    fill_closed(market, inst, t, sign, s1m, f)


cdef void fill_closed(Market market, uint32_t inst, const TickInfo* t, double sign, double s1m, float* f) noexcept nogil:
    """Those that closed minutes tell: they change once a minute, but for the price they are measured from."""
    cdef const Row* r = &market.rows[inst]
    cdef const Window* w = &market.windows[inst]
    cdef const Indicators* x = &market.indicators[inst]
    cdef double price = <double>t.ltp, share
    cdef double moved = log(price / r.last_close)
    cdef uint64_t last = (w.n - 1) % LONG
    f[F_ROC5_BP] = <float>(sign * (r.raw + moved - w.raw[(w.n - 5) % LONG]) * 1e4 if w.n >= 5 else NAN)
    f[F_MINUTE_BEFORE] = <float>(sign * w.u[last] * r.inv_u if w.n else NAN)
    f[F_RSI] = <float>(sign * (x.rsi - 50.0) / 50.0)
    f[F_MACD] = <float>clip(sign * x.macd_histogram / price / s1m, -50.0, 50.0)
    f[F_MA_GAP] = <float>(sign * (r.mean20 - r.mean50) * r.inv50 if r.inv50 > 0.0 else NAN)
    f[F_ADX] = <float>x.adx
    f[F_TREND] = <float>(sign * (x.plus_di - x.minus_di) / 100.0)
    f[F_BAND_WIDTH] = <float>(x.width / s1m)
    f[F_ATR] = <float>(x.atr / price / s1m)
    share = market.v[t.minute] if t.minute >= 0 else 0.0
    f[F_VOLUME_BEFORE] = <float>(w.volume[last] / (w.share[last] * r.expected / share)
                                 if w.n and share > 0.0 and r.expected > 0.0 and w.share[last] > 0.0 else NAN)
    f[F_VWAP] = <float>(clip(sign * log(price / x.vwap) / s1m, -50.0, 50.0) if x.vwap > 0.0 else NAN)
    f[F_TO_LEVEL] = f[F_FROM_LEVEL] = NAN
    if x.support > 0.0 and x.resistance > 0.0:
        f[F_TO_LEVEL] = <float>clip((log(x.resistance / price) if sign > 0 else log(price / x.support)) / s1m, -50.0, 50.0)
        f[F_FROM_LEVEL] = <float>clip((log(price / x.support) if sign > 0 else log(x.resistance / price)) / s1m, -50.0, 50.0)
    f[F_REGIME] = <float>x.regime
