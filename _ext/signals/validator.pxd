from libc.stdint cimport int64_t
from _ext.core.reasons cimport Reason
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

cdef Reason validate(const Rules* rules, const Row* r, const TickInfo* t, bint cas, Candidate* c) noexcept nogil
