# What a candidate must satisfy before anything is asked of the gate. A source takes the seed's rules whole, or those it wants.
from libc.stdint cimport int64_t, uint32_t
from _ext.core.reasons cimport (
    AGAINST_TREND, LOW_VOLUME, NOISE, NOT_ALIGNED, NO_QUOTE, NO_SCORE, OPPOSING_SIGNAL, OUTSIDE_SESSION, PASS, UNMEASURED, WEAK,
    WIDE_SPREAD, Reason)
from _ext.core.records cimport Candidate
from _ext.market.state cimport Row, TickInfo

cdef struct Rules:
    double strength           # more than this
    double volume             # more than this ratio
    double spread_bp          # at most this
    double min_score          # at least this
    int64_t opposing_ms       # no trade-level candidate the other way within this
    int first_minute          # first minute of the session with orders
    int last_minute           # and the one with no more, other names
    int last_minute_cas       # likewise, closing-auction names
    uint32_t kinds            # a bit for each InstrumentKind the filter is trusted with

cdef Reason validate(const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing, Candidate* c) noexcept nogil

cdef inline Reason no(Candidate* c, Reason reason, double measured, double limit) noexcept nogil:
    c.measured = measured
    c.limit = limit
    return reason

# Each rule says PASS or why not. Comparisons are written so that NaN fails.
cdef inline Reason in_session(const Rules* rules, const TickInfo* t, bint cas, Candidate* c) noexcept nogil:
    cdef int last = rules.last_minute_cas if cas else rules.last_minute
    if t.minute < rules.first_minute:
        return no(c, OUTSIDE_SESSION, t.minute, rules.first_minute)
    if t.minute >= last:
        return no(c, OUTSIDE_SESSION, t.minute, last)
    return PASS

cdef inline Reason with_volume(const Rules* rules, Candidate* c) noexcept nogil:
    return PASS if c.volume_ratio > rules.volume else no(c, LOW_VOLUME, c.volume_ratio, rules.volume)

cdef inline Reason along_trend(const Row* r, const TickInfo* t, Candidate* c) noexcept nogil:
    """The trend, the candidate's minute and its five minutes go its way: a thin name is asked in a later one."""
    cdef double sign = <double>c.move, trend = sign * (c.z50 if r.inv50 > 0.0 else c.z20)
    cdef double minute_move = sign * <double>(t.ltp - c.last_close), five_move = sign * <double>(t.ltp - c.open5)
    if not trend > 0.0:
        return no(c, AGAINST_TREND, trend, 0.0)
    if not minute_move > 0.0:
        return no(c, NOT_ALIGNED, minute_move, 0.0)
    return PASS if five_move > 0.0 else no(c, NOT_ALIGNED, five_move, 0.0)

cdef inline Reason unopposed(const Rules* rules, int64_t opposing, Candidate* c) noexcept nogil:
    if 0 <= opposing < rules.opposing_ms:
        return no(c, OPPOSING_SIGNAL, opposing * 1e-3, rules.opposing_ms * 1e-3)
    return PASS

cdef inline Reason quoted(const Rules* rules, const Row* r, Candidate* c) noexcept nogil:
    """There is a book, and it is not wide."""
    cdef double spread
    if r.bid <= 0 or r.ask <= 0 or r.ask <= r.bid:
        return no(c, NO_QUOTE, <double>(r.ask - r.bid), 1.0)
    spread = 2e4 * <double>(r.ask - r.bid) / <double>(r.ask + r.bid)
    return PASS if spread <= rules.spread_bp else no(c, WIDE_SPREAD, spread, rules.spread_bp)

cdef inline Reason measured(const Rules* rules, const Row* r, Candidate* c) noexcept nogil:
    """The filter was measured on instruments of this kind."""
    return PASS if rules.kinds >> r.kind & 1 else no(c, UNMEASURED, r.kind, rules.kinds)

cdef inline Reason likely(const Rules* rules, Candidate* c) noexcept nogil:
    """The model thinks it real: asked last, the next trade update's score before the tick's."""
    cdef double score = c.score_next if c.score_next == c.score_next else c.score
    if not score == score:
        return no(c, NO_SCORE, score, rules.min_score)
    if not score >= rules.min_score:
        return no(c, NOISE, score, rules.min_score)
    return no(c, PASS, score, rules.min_score)
