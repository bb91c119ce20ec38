# Closed minutes and the forming one.
from libc.stdint cimport int64_t, uint32_t
from _ext.core.records cimport WarmBar
from _ext.market.board cimport Board
from _ext.market.state cimport Bar, Row, Saved

cdef class Bars(Board):
    cdef void warm(self, const WarmBar* bar) noexcept nogil
    cdef void _enter(self, Row* r, uint32_t inst, const Bar* bar) noexcept nogil
    cdef Saved* _state_before(self, const Row* r, uint32_t inst, int64_t minute) noexcept nogil
    cdef int _reenter(self, Row* r, uint32_t inst, int more, int64_t drop_from) noexcept nogil
    cdef void backfill(self, const WarmBar* bars, int count, int64_t now) noexcept nogil
    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil
    cdef void _close_if_over(self, Row* r, uint32_t inst, int64_t now) noexcept nogil
    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil
    cdef void _choose_strike(self, Row* r, uint32_t inst, int64_t price) noexcept nogil
