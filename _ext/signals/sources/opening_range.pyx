"""Opening-range breakout: the first trade beyond the high or low of the session's first minutes, with volume. It follows the break.

The range is that of trades seen since 09:15: a name whose range was not seen whole (a late start, a gap) makes no candidate that
day. Each direction breaks once a day.
"""
from libc.math cimport exp2
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from _ext.core.reasons cimport PASS, Reason
from _ext.core.records cimport Candidate
from _ext.market.state cimport TICK_AFTER_GAP, TICK_TRADED, Row, TickInfo
from _ext.signals.rules cimport Rules, in_session, quoted, unopposed
from _ext.signals.source cimport UNFIT, CandidateSource, Event, is_fit
from _ext.signals.source import Parameter

cdef struct Range:            # of one instrument
    int64_t day               # days since 1970 IST of its trades
    int64_t high              # paise; 0: no trade yet
    int64_t low
    int32_t is_whole          # seen since the first minute, without a gap
    int32_t broken[2]         # up, down: has made its candidate


cdef class Source(CandidateSource):
    """Statistics: the range's high and low (paise), its width (bp of its middle), minutes since it was complete."""
    parameters = {
        "minutes": Parameter(15, "minutes", "length of the opening range, from 09:15", 1, 120),
        "volume": Parameter(1.5, "expected bars", "forming volume / expected full bar at the break, at least", 0, 1e3),
        "until": Parameter(240, "minutes", "after 09:15: no break counts later", 1, 390),
        "max_lag_s": Parameter(3.0, "s", "a tick delivered later than this makes no candidate", 1e-3, 1e6),
    }
    statistics = (("range_high", "paise"), ("range_low", "paise"), ("range_bp", "bp"), ("minutes_after", "minutes"))

    cdef readonly int minutes, until
    cdef readonly double volume
    cdef readonly int64_t max_lag_ms
    cdef Range* ranges

    def __cinit__(self, uint32_t capacity, **_):
        self.ranges = <Range*>calloc(max(capacity, <uint32_t>1), sizeof(Range))
        if self.ranges == NULL:
            raise MemoryError(f"no memory for opening ranges of {capacity} instruments")

    def __dealloc__(self):
        free(self.ranges)

    def __init__(self, uint32_t capacity, *, int minutes=15, double volume=1.5, int until=240, double max_lag_s=3.0):
        CandidateSource.__init__(self, capacity)
        self.minutes, self.volume, self.until, self.max_lag_ms = minutes, volume, until, round(max_lag_s * 1000)

    cdef void _widen(self, Range* o, const Row* r, const TickInfo* t) noexcept nogil:
        """An update within the range."""
        if o.day != r.day:
            o.day, o.high, o.low = r.day, 0, 0
            o.is_whole = t.minute == 0
            o.broken[0] = o.broken[1] = 0
        if t.flags & TICK_AFTER_GAP:
            o.is_whole = 0
        if t.flags & TICK_TRADED and not t.flags & UNFIT:
            o.high = max(o.high, t.ltp)
            o.low = t.ltp if o.low == 0 else min(o.low, t.ltp)

    cdef bint on_tick(self, uint32_t inst, const Row* r, const TickInfo* t, Event* out) noexcept nogil:
        cdef Range* o = &self.ranges[inst]
        cdef double ratio
        cdef int side
        if 0 <= t.minute < self.minutes:
            self._widen(o, r, t)
            return False
        if o.day != r.day or not o.is_whole or o.high == 0 or o.low <= t.ltp <= o.high:
            return False
        side = 0 if t.ltp > o.high else 1
        if (o.broken[side] or not is_fit(r, t) or not self.minutes <= t.minute < self.until or t.lag_ms > self.max_lag_ms
                or r.inv20 == 0.0 or not r.expected > 0.0):
            return False
        ratio = r.capped / r.expected
        if not ratio >= self.volume:
            return False
        o.broken[side] = 1
        out.level = 1
        out.move = out.side = <int16_t>(1 if side == 0 else -1)
        out.strength = 1.0 - exp2(-ratio / self.volume) if self.volume > 0.0 else 1.0
        out.own[0], out.own[1] = <double>o.high, <double>o.low
        out.own[2] = 2e4 * <double>(o.high - o.low) / <double>(o.high + o.low)
        out.own[3] = t.minute - self.minutes
        return True

    cdef Reason judge(self, const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing,
                      Candidate* c) noexcept nogil:
        """Session, the other direction, the book; volume was asked for at the break, and no model was measured on it."""
        cdef Reason reason = in_session(rules, t, cas, c)
        if reason == PASS:
            reason = unopposed(rules, opposing, c)
        return quoted(rules, r, c) if reason == PASS else reason
