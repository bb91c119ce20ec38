"""Spikes: strength of the forming minute against closed bars (docs/market.md 1.3).

strength = 0.25 c(z20/sigma) + 0.10 c(z50/sigma) + 0.35 c(ratio/volume) + 0.30 c(rz/jump),  c(x) = 1 - 2^-x, with the statistics of
`signals/statistics.pxd`. It follows the move.
"""
cimport cython
from libc.math cimport exp2, fabs
from libc.stdint cimport int16_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from _ext.core.records cimport KIND_OPTION
from _ext.market.state cimport Row, TickInfo
from _ext.signals.source cimport CandidateSource, Event, is_fit
from _ext.signals.source import Parameter
from _ext.signals.statistics cimport Statistics, measure

cdef struct Quiet:            # of one instrument: ms of exchange time until which level, direction (0 up, 1 down) is quiet
    int64_t until[2][2]


ctypedef double (*Share)(double x) noexcept nogil


cdef inline double c(double x) noexcept nogil:
    return 1.0 - exp2(-x) if x > 0.0 else 0.0


cdef inline double at_most(double x) noexcept nogil:
    """No less than c(x), which is below x ln 2 and below 1, for a fifth of its time."""
    return 1.0 if 0.7 * x > 1.0 else 0.7 * x if x > 0.0 else 0.0


cdef class Source(CandidateSource):
    """The seed's four spikes in one strength: price, volume, momentum and implied volatility."""
    parameters = {
        "sigma": Parameter(2.0, "sd", "price: sd of the last 20 path values that count 1", 1e-6, 1e6),
        "volume": Parameter(2.5, "expected bars", "volume: multiple of the expected bar that counts 1", 1e-6, 1e6),
        "jump": Parameter(3.0, "sd", "momentum: the minute's move in one-minute sd that counts 1", 1e-6, 1e6),
        "roc": Parameter(0.02, "share of price", "momentum flag: move over 20 bars", 1e-6, 10),
        "iv": Parameter(0.20, "share", "implied volatility: relative change in five minutes that counts 1", 1e-6, 1e6),
        "emit": Parameter(0.5, "strength", "strength at which a candidate is journaled", 1e-12, 1),
        "trade": Parameter(0.6, "strength", "strength at which it may be traded, not below emit", 1e-12, 1),
        "cooldown_s": Parameter(300.0, "s", "quiet time of a name and direction after a candidate", 0, 1e6),
        "max_lag_s": Parameter(3.0, "s", "a tick delivered later than this makes no candidate", 1e-3, 1e6),
    }

    cdef readonly double sigma, volume, jump, roc, iv, emit, trade
    cdef readonly int64_t cooldown_ms, max_lag_ms
    cdef Quiet* quiet

    def __cinit__(self, uint32_t capacity, **_):
        self.quiet = <Quiet*>calloc(max(capacity, <uint32_t>1), sizeof(Quiet))
        if self.quiet == NULL:
            raise MemoryError(f"no memory for a spike source of {capacity} instruments")

    def __dealloc__(self):
        free(self.quiet)

    def __init__(self, uint32_t capacity, *, double sigma=2.0, double volume=2.5, double jump=3.0, double roc=0.02, double iv=0.20,
                 double emit=0.5, double trade=0.6, double cooldown_s=300.0, double max_lag_s=3.0):
        CandidateSource.__init__(self, capacity)
        if not 0 < emit <= trade <= 1:
            raise ValueError(f"0 < emit <= trade <= 1 is needed, not emit {emit}, trade {trade}")
        self.is_scored = True
        self.sigma, self.volume, self.jump, self.roc, self.iv = sigma, volume, jump, roc, iv
        self.emit, self.trade = emit, trade
        self.cooldown_ms, self.max_lag_ms = round(cooldown_s * 1000), round(max_lag_s * 1000)

    @cython.cdivision(True)         # of doubles, and what counts 1 is at least 1e-6
    cdef inline double _strength(self, const Row* r, const Statistics* s, double sign, Share c) noexcept nogil:
        """A component against z20's sign is 0."""
        cdef double momentum = c(sign * s.rz / self.jump), strength
        # a rare flag that may raise the momentum component; options move 2 % hundreds of times a day (docs/market.md 1.2, 0.4)
        if sign * s.roc >= self.roc and r.kind != KIND_OPTION and c(sign * s.roc / self.roc) > momentum:
            momentum = c(sign * s.roc / self.roc)
        strength = (0.25 * c(fabs(s.z20) / self.sigma) + 0.10 * c(sign * s.z50 / self.sigma)
                    + 0.35 * c(s.volume_ratio / self.volume) + 0.30 * momentum)
        if r.iv > 0.0 and r.iv5 > 0.0:
            strength = 0.85 * strength + 0.15 * c(fabs(r.iv / r.iv5 - 1.0) / self.iv)
        return strength

    cdef bint on_tick(self, uint32_t inst, const Row* r, const TickInfo* t, Event* out) noexcept nogil:
        """Whether this update is the first of its direction and level to reach the threshold (5 minutes' cooldown)."""
        cdef Statistics s
        cdef double strength, sign
        cdef int level, side
        cdef Quiet* quiet
        if not is_fit(r, t) or r.inv20 == 0.0 or t.minute < 1 or t.lag_ms > self.max_lag_ms:
            return False
        measure(r, <double>t.ltp, &s)
        sign = 1.0 if s.z20 >= 0.0 else -1.0
        if self._strength(r, &s, sign, at_most) < self.emit:       # nearly every update
            return False
        strength = self._strength(r, &s, sign, c)
        if strength < self.emit:
            return False
        level = 1 if strength >= self.trade else 0
        side = 0 if sign > 0 else 1
        quiet = &self.quiet[inst]
        if t.ltt < quiet.until[level][side]:
            return False
        quiet.until[0][side] = t.ltt + self.cooldown_ms
        if level == 1:
            quiet.until[1][side] = t.ltt + self.cooldown_ms
        out.level = <int16_t>level
        out.move = out.side = <int16_t>sign
        out.strength = strength
        return True
