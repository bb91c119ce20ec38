"""Features of a candidate, in the order of FEATURES, from the row and the last minute of the instrument's ring.

What a source cannot supply is NaN (a feed without a book has no spread). The name list's hash travels in the model.
"""
import hashlib

from libc.math cimport NAN, fabs, fmax, log
from libc.stdint cimport int64_t, uint32_t, uint64_t
from _ext.core.types cimport N_FEATURES, Candidate
from _ext.market.market cimport Market
from _ext.market.state cimport TICK_AFTER_GAP, TICK_REPEAT, TICK_TRADED, RingTick, Row, TickInfo

FEATURES = (
    "strength",            # 0..1
    "z20",                 # sd of the last 20 path values, in the candidate's direction
    "z50",                 # likewise, 50
    "rz",                  # the minute's move in sd of the last 20 one-minute moves, in the candidate's direction
    "volume_ratio",        # forming volume / expected full bar
    "roc20_bp",            # move over 20 bars in the candidate's direction, bp
    "s1m_bp",              # one-minute sd, bp
    "mid_move_s1m",        # move of the mid over 60 s in s1m, in the candidate's direction
    "mid_over_ltp",        # mid's move / last price's move over 60 s, -2..2
    "largest_step",        # largest single step / whole move of 60 s, 0..2
    "spread_ratio",        # spread / mean spread of the last minute
    "outside_book_s1m",    # last price beyond the best quote, in s1m
    "held_updates",        # trade updates in the last 10 s at least half-way to the new level
    "longest_gap_s",       # longest silence in the last 60 s
    "last_volume",         # the last update's volume / expected full bar
    "spread_bp",           # spread / mid
    "imbalance",           # (bid_q - ask_q) / (bid_q + ask_q) in the candidate's direction
    "updates",             # updates in the last 60 s
    "repeats",             # share of them that changed nothing
    "session",             # minute of the session / 375
    "market_5m_bp",        # mean move of all names, last 5 closed minutes, in the candidate's direction
    "firing",              # trade-level candidates of all names in the last 60 s
    "lag_s",               # delivery lag of the tick
    "still_there",         # share of the move at the tick that is left (1 at the tick itself)
)
FEATURES_HASH = hashlib.sha256("\n".join(FEATURES).encode()).hexdigest()[:16]
if len(FEATURES) != N_FEATURES:
    raise ImportError("FEATURES and core/types.pxd::N_FEATURES disagree: rebuild with `make install`")

cdef int64_t MINUTE_BACK = 60000000000
cdef int64_t TEN_SECONDS = 10000000000


cdef inline double middle(const RingTick* s) noexcept nogil:
    return 0.5 * <double>(s.bid + s.ask) if s.bid > 0 and s.ask > 0 else NAN


cdef inline double clip(double x, double low, double high) noexcept nogil:
    return low if x < low else high if x > high else x


cdef void fill_features(Market market, uint32_t inst, const TickInfo* t, double firing, int64_t fired_ms,
                        int64_t fired_price, Candidate* out) noexcept nogil:
    """Writes out.feature. `fired_price` is the price at the tick that made the candidate."""
    cdef const Row* r = &market.rows[inst]
    cdef const RingTick* ring = market.ring + <size_t>inst * market.depth
    cdef double sign = <double>out.direction
    cdef double s1m = fmax(out.s1m, 1e-7)
    cdef double price = <double>t.ltp
    cdef double oldest_price = price, oldest_mid = NAN, mid = NAN, step, largest = 0.0, spread_sum = 0.0
    cdef double previous = 0.0, mid_move, ltp_move, half, shown
    cdef int64_t longest = 0, later_now = t.now
    cdef int updates = 0, repeats = 0, held = 0, spreads = 0, k
    cdef uint64_t n = min(r.ring_at, <uint64_t>market.depth)
    cdef const RingTick* s
    cdef float* f = out.feature
    half = 0.5 * (<double>out.last_close + <double>fired_price)
    for k in range(<int>n):
        s = &ring[(r.ring_at - 1 - k) & (market.depth - 1)]
        if t.now - s.now > MINUTE_BACK:
            break
        updates += 1
        repeats += (s.flags & TICK_REPEAT) != 0
        longest = max(longest, later_now - s.now)
        later_now = s.now
        if k > 0 and previous > 0.0 and s.ltp > 0:
            step = fabs(log(previous / <double>s.ltp))
            largest = fmax(largest, step)
        if s.ltp > 0:
            previous = <double>s.ltp
            oldest_price = previous
        if s.bid > 0 and s.ask > 0:
            oldest_mid = middle(s)
            if k == 0:
                mid = oldest_mid
            spread_sum += <double>(s.ask - s.bid)
            spreads += 1
        if s.flags & TICK_TRADED and t.now - s.now <= TEN_SECONDS and sign * (<double>s.ltp - half) >= 0.0:
            held += 1
        if s.flags & TICK_AFTER_GAP:                  # nothing is computed across a gap
            break
    ltp_move = log(price / oldest_price)
    mid_move = log(mid / oldest_mid) if mid == mid and oldest_mid == oldest_mid else NAN
    f[0] = <float>out.strength
    f[1] = <float>(sign * out.z20)
    f[2] = <float>(sign * out.z50)
    f[3] = <float>(sign * out.rz)
    f[4] = <float>out.volume_ratio
    f[5] = <float>(sign * (r.raw + log(price / r.last_close) - r.raw20) * 1e4)
    f[6] = <float>(s1m * 1e4)
    f[7] = <float>clip(sign * mid_move / s1m, -50.0, 50.0)
    f[8] = <float>(clip(mid_move / ltp_move, -2.0, 2.0) if fabs(ltp_move) > 1e-9 else (0.0 if mid_move == mid_move else NAN))
    f[9] = <float>(clip(largest / fabs(ltp_move), 0.0, 2.0) if fabs(ltp_move) > 1e-9 else 2.0)
    f[10] = <float>(<double>(r.ask - r.bid) * spreads / spread_sum
                    if r.bid > 0 and r.ask > 0 and spread_sum > 0.0 else NAN)
    shown = 0.0
    if r.ask > 0 and price > <double>r.ask:
        shown = price / <double>r.ask - 1.0
    elif r.bid > 0 and price < <double>r.bid:
        shown = 1.0 - price / <double>r.bid
    f[11] = <float>(clip(shown / s1m, 0.0, 50.0) if r.bid > 0 or r.ask > 0 else NAN)
    f[12] = <float>held
    f[13] = <float>(<double>longest * 1e-9)
    f[14] = <float>(<double>t.volume / out.expected if out.expected > 0.0 else 0.0)
    f[15] = <float>(<double>(r.ask - r.bid) / mid * 1e4 if r.bid > 0 and r.ask > 0 else NAN)
    f[16] = <float>(sign * <double>(r.bid_q - r.ask_q) / <double>(r.bid_q + r.ask_q)
                    if r.bid_q + r.ask_q > 0 else NAN)
    f[17] = <float>updates
    f[18] = <float>(<double>repeats / <double>max(updates, 1))
    f[19] = <float>(<double>t.minute / 375.0)
    f[20] = <float>(sign * market.market_move(r.minute, 5) * 1e4)
    f[21] = <float>firing
    f[22] = <float>(<double>t.lag_ms * 1e-3)
    f[23] = <float>(clip((price - <double>out.last_close) / (<double>(fired_price - out.last_close)), -1.0, 3.0)
                    if fired_price != out.last_close else 1.0)
