# The risk gate: starts closed, says PASS or the first reason against. Numbers it cannot know deny.
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport GateDecision, Instrument
from _ext.market.state cimport Row
from _ext.trade.limits cimport Limits

cdef struct Money:            # paise
    int64_t equity            # at the day's start
    int64_t available
    int64_t realised          # today, before charges
    int64_t charges
    int64_t open              # open profit
    int64_t exposure          # sum of |position| at price, working entries included
    int64_t best              # highest net result of the day

cdef enum:
    REQUESTS_KEPT = 2048      # of the last half hour; more than the broker allows
    SYMBOL_KEPT = 16          # entry times of one name
    MAX_SECTORS = 64

cdef struct Symbol:           # what the gate remembers of one name
    int64_t entries[SYMBOL_KEPT]
    int64_t n_entries
    int64_t exposure          # paise: positions, working entries and what is not ours
    int64_t foreign           # net quantity the broker shows and no order of ours explains


@cython.final
cdef class Gate:
    cdef Limits limits            # engine/config/limits.py describes each
    cdef Money money
    cdef int32_t operator     # OperatorState
    cdef int32_t state        # TradingState
    cdef int32_t feed_up
    cdef int32_t orders_up    # the order stream is connected and the book was read since
    cdef int32_t reconciled   # the broker's positions were read since the start
    cdef int32_t unreconciled  # names whose position differs from the broker's
    cdef int32_t positions    # open or being entered
    cdef int32_t losses       # losing trades in a row
    cdef int64_t lost_at      # now of the last of them
    cdef int64_t skew         # ms, receipt minus trade time at its smallest; 2^63-1: unknown
    cdef int64_t requests[REQUESTS_KEPT]
    cdef int64_t n_requests
    cdef int64_t entries[REQUESTS_KEPT]
    cdef int64_t n_entries
    cdef Symbol* symbols      # per instrument
    cdef int64_t sectors[MAX_SECTORS]     # paise
    cdef uint32_t capacity

    cdef int configure(self, dict limits) except -1
    cdef Reason check(self, uint32_t inst, const Instrument* spec, const Row* r, int side, int64_t quantity, int64_t price,
                      int64_t stop, int64_t now, int64_t minute, GateDecision* out) noexcept nogil
    cdef Reason _account(self, uint32_t inst, const Instrument* spec, double value, GateDecision* out,
                         int64_t now) noexcept nogil
    cdef Reason _stop(self, const Instrument* spec, const Row* r, int side, int64_t stop, GateDecision* out) noexcept nogil
    cdef Reason _costs(self, const Instrument* spec, const Row* r, int side, int64_t quantity, int64_t price,
                       GateDecision* out, int64_t now) noexcept nogil
    cdef Reason _budgets(self, uint32_t inst, int64_t now, GateDecision* out) noexcept nogil
    cdef bint may_exit(self, int64_t now, GateDecision* out) noexcept nogil
    cdef void count_request(self, int64_t now) noexcept nogil
    cdef void count_entry(self, uint32_t inst, int64_t now) noexcept nogil
    cdef void count_result(self, int64_t net, int64_t now) noexcept nogil
    cdef int32_t entries_since(self, int64_t since) noexcept nogil
    cdef int64_t result(self) noexcept nogil
    cdef int64_t size(self, const Instrument* spec, const Row* r, int side, int64_t price) noexcept nogil
    cdef void _used(self, int64_t now, GateDecision* out) noexcept nogil
