# The risk gate: starts closed, says PASS or the first reason against. Numbers it cannot know deny.
from libc.stdint cimport int32_t, int64_t, uint32_t
from _ext.core.types cimport GateDecision, Instrument, OperatorState, Reason
from _ext.market.state cimport Row

cdef enum TradingState:
    CLOSED = 0                # before the start is complete
    RUNNING = 1
    REDUCING = 2              # exits only

cdef struct Limits:
    double notional           # share of equity one position may take
    double leverage           # of all positions together
    double daily_loss         # share of equity; realised, open and charges together
    int32_t max_positions
    int32_t per_minute        # entry orders
    int32_t per_hour
    int32_t per_day
    int32_t broker_second     # requests, the reserve for exits included
    int32_t broker_minute
    int32_t broker_half_hour
    int32_t exit_reserve      # of each broker budget, for exits only
    int64_t symbol_gap        # ns between entries of a name
    int64_t stale             # ns: an older quote denies
    int32_t last_minute       # of the session with entries
    int32_t last_minute_cas
    double protection         # an entry's limit beyond the other side, share of price
    double stop               # share of entry price
    double target
    int64_t hold              # ns a position may last; 0: until square-off
    int64_t entry_life        # ns an entry may wait for its fill
    int32_t flat_minute       # of the session: everything is flat by then
    int32_t flat_minute_cas
    int32_t pad

cdef struct Money:            # paise
    int64_t equity            # at the day's start
    int64_t available
    int64_t realised          # today, before charges
    int64_t charges
    int64_t open              # open profit
    int64_t exposure          # sum of |position| at price, working entries included

cdef enum:
    REQUESTS_KEPT = 2048      # of the last half hour; more than the broker allows

cdef class Gate:
    cdef Limits limits
    cdef Money money
    cdef int32_t operator     # OperatorState
    cdef int32_t state        # TradingState
    cdef int32_t feed_up
    cdef int32_t orders_up    # the order stream is connected and the book was read since
    cdef int32_t positions    # open or being entered
    cdef int64_t requests[REQUESTS_KEPT]
    cdef int64_t n_requests
    cdef int64_t entries[REQUESTS_KEPT]
    cdef int64_t n_entries
    cdef int64_t* last_entry  # per instrument, ns
    cdef uint32_t capacity

    cdef Reason check(self, uint32_t inst, const Instrument* spec, const Row* r, int side, int64_t quantity,
                      int64_t price, int64_t now, int64_t minute, GateDecision* out) noexcept nogil
    cdef bint may_exit(self, int64_t now) noexcept nogil
    cdef void count_request(self, int64_t now) noexcept nogil
    cdef void count_entry(self, uint32_t inst, int64_t now) noexcept nogil
    cdef int64_t size(self, const Instrument* spec, const Row* r, int side, int64_t price) noexcept nogil
    cdef int32_t _recent(self, const int64_t* ring, int64_t n, int64_t since) noexcept nogil
    cdef void _used(self, int64_t now, GateDecision* out) noexcept nogil
