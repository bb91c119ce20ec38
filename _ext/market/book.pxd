from libc.stdint cimport int64_t
from _ext.core.tick cimport Tick
from _ext.market.state cimport Row

cdef int update_book(Row* r, const Tick* t, int64_t now) noexcept nogil
