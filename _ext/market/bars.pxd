# Closed minutes and the forming one.
from libc.stdint cimport int64_t, uint32_t
from _ext.core.clock cimport MINUTE_MS
from _ext.core.records cimport WarmBar
from _ext.market.board cimport Board
from _ext.market.state cimport BAR_CLOSED, CLOSE_GRACE_MS, Bar, Row, Saved

cdef inline bint is_over(const Row* r, int64_t clock) noexcept nogil:
    """Whether the forming minute has ended at `clock`, the exchange's in ms."""
    return r.minute != 0 and not r.bar_flags & BAR_CLOSED and (r.minute + 1) * MINUTE_MS + CLOSE_GRACE_MS < clock

cdef class Bars(Board):
    cdef void warm(self, const WarmBar* bar) noexcept nogil
    cdef void _enter(self, Row* r, uint32_t inst, const Bar* bar) noexcept nogil
    cdef Saved* _state_before(self, const Row* r, uint32_t inst, int64_t minute) noexcept nogil
    cdef int _reenter(self, Row* r, uint32_t inst, int more, int64_t drop_from) noexcept nogil
    cdef void backfill(self, const WarmBar* bars, int count, int64_t now) noexcept nogil
    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil
    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil
    cdef void _choose_strike(self, Row* r, uint32_t inst, int64_t price) noexcept nogil
