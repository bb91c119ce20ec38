"""Spike detector: strength of the forming minute against closed bars (MARKET.md 1.3).

u = ln(price / last close) / a[m];  z20, z50 = (path + u - mean) / sd of the last 20, 50 path values;  rz = u / sd of the
last 20 u;  volume ratio = forming volume (one update adds at most one expected bar) / expected full bar;
strength = 0.25 c(z20/sigma) + 0.10 c(z50/sigma) + 0.35 c(volume/2.5) + 0.30 c(rz/3),  c(x) = 1 - 2^-x.
"""
from libc.math cimport exp2, fabs, log
from libc.stdint cimport int64_t
from _ext.core.records cimport KIND_OPTION, Candidate
from _ext.market.state cimport (
    BAR_CLOSED, BAR_DIRTY, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_DOUBTED, TICK_FIRST, TICK_LATE, TICK_OUTSIDE, TICK_STEP_BACK,
    TICK_TRADED, Row, TickInfo)

cdef enum:
    UNFIT = TICK_AFTER_GAP | TICK_BAD_TIME | TICK_DOUBTED | TICK_FIRST | TICK_LATE | TICK_OUTSIDE | TICK_STEP_BACK


cdef inline double c(double x) noexcept nogil:
    return 1.0 - exp2(-x) if x > 0.0 else 0.0


cdef double strength_of(SpikeDetector d, const Row* r, double price, Candidate* out) noexcept nogil:
    """Strength of the forming minute at `price`; fills the statistics of `out`. A component against z20's sign is 0."""
    cdef double raw = log(price / r.last_close)
    cdef double u = raw * r.inv_a
    cdef double z20 = (r.path + u - r.mean20) * r.inv20
    cdef double sign = 1.0 if z20 >= 0.0 else -1.0
    cdef double z50 = (r.path + u - r.mean50) * r.inv50
    cdef double rz = u * r.inv_u
    cdef double roc = (r.raw + raw - r.raw20) * sign
    cdef double momentum = c(sign * rz / d.jump)
    cdef double strength
    # a rare flag that may raise the momentum component; options move 2 % hundreds of times a day (MARKET 1.2, 0.4)
    if roc >= d.roc and r.kind != KIND_OPTION and c(roc / d.roc) > momentum:
        momentum = c(roc / d.roc)
    out.u = u
    out.z20 = z20
    out.z50 = z50
    out.rz = rz
    out.volume_ratio = r.capped / r.expected if r.expected > 0.0 else 0.0
    out.direction = <short>sign
    strength = (0.25 * c(fabs(z20) / d.sigma) + 0.10 * c(sign * z50 / d.sigma)
                + 0.35 * c(out.volume_ratio / d.volume) + 0.30 * momentum)
    if r.iv > 0.0 and r.iv5 > 0.0:
        strength = 0.85 * strength + 0.15 * c(fabs(r.iv / r.iv5 - 1.0) / d.iv)
    return strength


cdef class CandidateSource:
    """What proposes candidates. A source keeps no clock and allocates nothing; it may keep its state in the row."""

    cdef bint on_tick(self, Row* r, const TickInfo* t, Candidate* out) noexcept nogil:
        return False


cdef class SpikeDetector(CandidateSource):
    """The seed's four spikes in one strength. Thresholds: `sigma` of price, `volume` ratio, `jump` in one-minute sd,
    `roc` over 20 bars and `iv` change as fractions; `emit` and `trade` are strengths; times in ms.
    """

    def __init__(self, *, double sigma=2.0, double volume=2.5, double jump=3.0, double roc=0.02, double iv=0.20,
                 double emit=0.5, double trade=0.6, int64_t cooldown_ms=300000, int64_t max_lag_ms=3000,
                 int first_minute=1):
        if not (0 < emit <= trade <= 1):
            raise ValueError(f"0 < emit <= trade <= 1 is needed, not emit {emit}, trade {trade}")
        self.sigma, self.volume, self.jump, self.roc, self.iv = sigma, volume, jump, roc, iv
        self.emit, self.trade = emit, trade
        self.cooldown_ms, self.max_lag_ms, self.first_minute = cooldown_ms, max_lag_ms, first_minute

    cdef bint on_tick(self, Row* r, const TickInfo* t, Candidate* out) noexcept nogil:
        """Whether this update is the first of its direction and level to reach the threshold (5 minutes' cooldown)."""
        cdef double strength
        cdef int level, side
        if (t.flags & UNFIT or not t.flags & TICK_TRADED or r.bar_flags & (BAR_DIRTY | BAR_CLOSED)
                or r.inv20 == 0.0 or t.minute < self.first_minute or t.lag_ms > self.max_lag_ms):
            return False
        strength = strength_of(self, r, <double>t.ltp, out)
        if strength < self.emit:
            return False
        level = 1 if strength >= self.trade else 0
        side = 0 if out.direction > 0 else 1
        if t.ltt < r.cool[level][side]:
            return False
        r.cool[0][side] = t.ltt + self.cooldown_ms
        if level == 1:
            r.cool[1][side] = t.ltt + self.cooldown_ms
            r.last_signal_ms[side] = t.ltt
        out.strength = strength
        out.level = <short>level
        out.ltt = t.ltt
        out.now = t.now
        out.price = t.ltp
        out.last_close = <int64_t>r.last_close
        out.bid = r.bid
        out.ask = r.ask
        out.s1m = r.s1m
        out.expected = r.expected
        return True
