"""The seed's rules, in order; the rules themselves are in rules.pxd.

The first rule that says no is the reason; what it saw and what it allows stay in the candidate.
"""
from libc.stdint cimport int64_t
from _ext.core.reasons cimport PASS, WEAK, Reason
from _ext.core.records cimport Candidate
from _ext.market.state cimport Row, TickInfo


cdef Reason validate(const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing, Candidate* c) noexcept nogil:
    """PASS or the first rule that fails. `opposing`: ms since the last candidate worth trading the other way; -1: none."""
    cdef Reason reason
    if not c.strength > rules.strength:
        return no(c, WEAK, c.strength, rules.strength)
    reason = with_volume(rules, c)
    if reason == PASS:
        reason = in_session(rules, t, cas, c)
    if reason == PASS:
        reason = along_trend(r, t, c)
    if reason == PASS:
        reason = unopposed(rules, opposing, c)
    if reason == PASS:
        reason = quoted(rules, r, c)
    if reason == PASS:
        reason = measured(rules, r, c)
    return likely(rules, c) if reason == PASS else reason
