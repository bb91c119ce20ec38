# Strategies in Python: called when a bar has closed or something has happened to them, never within a tick.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from _ext.market.market cimport Market
from _ext.market.state cimport Bar
from _ext.signals.source cimport CandidateSource

cdef enum:
    COLUMNS = 6               # of a bar: time (s since 1970), open, high, low, close (rupees), volume
    CALLS_A_RECORD = 64       # a count, never a time: a replay must call at the same records
    MAX_CALLS = 65536
    MAX_FRAMES = 8

cdef struct Forming:          # of one instrument: a bar of several minutes
    int64_t bucket
    int64_t day
    int32_t n                 # minutes in it
    double value[6]

cdef struct BarCall:          # on_bar that is due
    int32_t source
    int32_t frame
    uint32_t inst
    int32_t is_history        # 1: on_history_changed
    int64_t count             # bars of the timeframe there were

cdef class Timeframe:
    cdef readonly int minutes
    cdef readonly int depth
    cdef uint32_t capacity
    cdef double* values       # [instrument][2 * depth][COLUMNS]
    cdef int64_t* count       # bars closed so far, of each instrument
    cdef int64_t* end         # where its next bar lies
    cdef Forming* forming
    cdef int take(self, uint32_t inst, const Bar* bar) noexcept nogil
    cdef void _push(self, uint32_t inst, const double* value) noexcept nogil
    cdef void forget(self, uint32_t inst) noexcept nogil

cdef class StrategySource(CandidateSource):
    cdef readonly object strategy
    cdef readonly str name
    cdef readonly uint64_t calls         # so far
    cdef public uint64_t last_call       # of a replay: the call at which it was stopped; 0: none known
    cdef readonly bint is_off
    cdef readonly bint hears_candidates, hears_fills, is_strict

cdef class StrategyHost:
    cdef Market market
    cdef readonly list sources           # StrategySource, or None where a compiled source is
    cdef list frames
    cdef dict frame_of                   # minutes -> place in `frames`
    cdef unsigned char* is_begun         # of each instrument: its bars of before were taken
    cdef BarCall* calls
    cdef int64_t first_call, n_calls     # waiting: calls[first_call % MAX_CALLS] ..
    cdef list events                     # (source, method, argument) of fills, exits, candidates
    cdef readonly list wishes            # of the call that was made last: what it asked for
    cdef readonly list ended             # (source, call, reason) nobody has journaled yet
    cdef public object calling           # StrategySource under way; None: no call is
    cdef object thread                   # of that call
    cdef int64_t[::1] mark               # (place from 1 on, number) of the call under way; outlives the process
    cdef readonly int64_t now
    cdef readonly uint64_t lost          # calls there was no room for
    cdef bint is_waiting(self) noexcept
    cdef bint has_ended(self) noexcept
    cdef int intake(self) except -1
    cpdef bint call(self, int64_t now) except -1
    cdef int _begin(self, uint32_t inst, int64_t before) except -1
    cdef int _note(self, int place, uint32_t inst, bint is_history, int64_t count) except -1
    cdef int _make(self, int place, StrategySource source, str method, argument) except -1
