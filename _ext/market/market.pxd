# The market stage: one update in, TickInfo out.
cimport cython
from libc.stdint cimport int64_t, uint32_t
from _ext.core.tick cimport Tick
from _ext.market.gaps cimport Gaps
from _ext.market.state cimport Row, TickInfo


@cython.final
cdef class Market(Gaps):
    cdef int64_t _volume(self, Row* r, uint32_t inst, const Tick* t, int64_t day, TickInfo* out, bint* gap) noexcept nogil
    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session, bint gap) noexcept nogil
    cdef void on_tick(self, Row* r, uint32_t inst, const Tick* t, int64_t now, TickInfo* out) noexcept nogil
    cdef void _volatility(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out) noexcept nogil
    cdef void on_timer(self, int64_t now) noexcept nogil
