"""What a candidate must satisfy before anything is asked of the gate: the seed's rules, in order.

The first rule that says no is the reason; what it saw and what it allows stay in the candidate.
"""
from libc.stdint cimport int64_t
from _ext.core.reasons cimport (
    AGAINST_TREND, LOW_VOLUME, NOISE, NOT_ALIGNED, NO_QUOTE, NO_SCORE, OPPOSING_SIGNAL, OUTSIDE_SESSION, PASS, WEAK,
    WIDE_SPREAD, Reason)
from _ext.core.records cimport Candidate
from _ext.market.state cimport Row, TickInfo


cdef inline Reason no(Candidate* c, Reason reason, double measured, double limit) noexcept nogil:
    c.measured = measured
    c.limit = limit
    return reason


cdef Reason validate(const Rules* rules, const Row* r, const TickInfo* t, bint cas, Candidate* c) noexcept nogil:
    """PASS or the first rule that fails. Comparisons are written so that NaN fails."""
    cdef double sign = <double>c.direction
    cdef double minute_move, five_move, trend, spread
    cdef double score = c.score_next if c.score_next == c.score_next else c.score
    cdef int last = rules.last_minute_cas if cas else rules.last_minute
    cdef int64_t other = r.last_signal_ms[1 if c.direction > 0 else 0]
    if not c.strength > rules.strength:
        return no(c, WEAK, c.strength, rules.strength)
    if not c.volume_ratio > rules.volume:
        return no(c, LOW_VOLUME, c.volume_ratio, rules.volume)
    if t.minute < rules.first_minute:
        return no(c, OUTSIDE_SESSION, t.minute, rules.first_minute)
    if t.minute >= last:
        return no(c, OUTSIDE_SESSION, t.minute, last)
    trend = sign * (c.z50 if r.inv50 > 0.0 else c.z20)
    if not trend > 0.0:
        return no(c, AGAINST_TREND, trend, 0.0)
    minute_move = sign * <double>(t.ltp - <int64_t>r.last_close)
    five_move = sign * <double>(t.ltp - r.open5)
    if not minute_move > 0.0:
        return no(c, NOT_ALIGNED, minute_move, 0.0)
    if not five_move > 0.0:
        return no(c, NOT_ALIGNED, five_move, 0.0)
    if other != 0 and t.ltt - other < rules.opposing_ms:
        return no(c, OPPOSING_SIGNAL, (t.ltt - other) * 1e-3, rules.opposing_ms * 1e-3)
    if r.bid <= 0 or r.ask <= 0 or r.ask <= r.bid:
        return no(c, NO_QUOTE, <double>(r.ask - r.bid), 1.0)
    spread = 2e4 * <double>(r.ask - r.bid) / <double>(r.ask + r.bid)
    if not spread <= rules.spread_bp:
        return no(c, WIDE_SPREAD, spread, rules.spread_bp)
    if not score == score:
        return no(c, NO_SCORE, score, rules.min_score)
    if not score >= rules.min_score:
        return no(c, NOISE, score, rules.min_score)
    c.measured = score
    c.limit = rules.min_score
    return PASS
