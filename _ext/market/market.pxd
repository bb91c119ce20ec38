# The market stage: one update in, TickInfo out; rows, windows and rings of all instruments.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from _ext.core.types cimport SESSION_MINUTES, Instrument, Tick, WarmBar
from _ext.market.state cimport RingTick, Row, TickInfo, Window

cdef class Market:
    cdef Row* rows
    cdef Window* windows
    cdef RingTick* ring
    cdef readonly uint32_t capacity      # instruments
    cdef readonly uint32_t size
    cdef readonly uint32_t depth         # ticks a ring holds, a power of two
    cdef double a[SESSION_MINUTES]       # time-of-day factor of |one-minute return|
    cdef double v[SESSION_MINUTES]       # volume profile
    cdef int64_t min_lag_ms              # smallest receipt - trade time of the last minutes: the clocks' difference
    cdef int64_t lag_of[8]               # smallest of each of the last eight minutes
    cdef int64_t lag_minute[8]
    cdef int64_t doubted_lag             # a sudden smaller one, until a second update says the same
    cdef uint32_t doubted_inst
    cdef int doubts
    cdef uint32_t sweep                  # next instrument the timer looks at
    cdef double moved[64]                # sum of closed u of all equities, by minute % 64
    cdef int32_t movers[64]
    cdef int64_t moved_minute[64]
    cdef readonly uint64_t late, step_back, bad_time, repeats, gaps, bars

    cdef void _clock(self, int64_t now_ms, int64_t lag, uint32_t inst) noexcept nogil
    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil
    cdef void warm(self, const WarmBar* bar) noexcept nogil
    cdef void on_tick(self, Row* r, uint32_t inst, const Tick* t, int64_t now, TickInfo* out) noexcept nogil
    cdef void on_timer(self, int64_t now) noexcept nogil
    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil
    cdef double market_move(self, int64_t minute, int minutes) noexcept nogil
    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil
    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil
    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session, bint gap) noexcept nogil
