# What is missing from the feed.
from libc.stdint cimport int64_t, uint32_t
from _ext.core.tick cimport Tick
from _ext.market.bars cimport Bars
from _ext.market.state cimport Row

cdef enum Life:               # of one name
    LIFE_UNSEEN = 0
    LIFE_LIVE = 1
    LIFE_QUIET = 2            # silent for a third of what its own rate allows
    LIFE_STALE = 3            # silent for longer than that while others are not
    LIFE_HALTED = 4           # answers when asked and has no news
    LIFE_CLOSED = 5           # outside its session
    LIFE_DOWN = 6             # the feed as a whole is

cdef class Gaps(Bars):
    cdef void _clock(self, int64_t now_ms, int64_t lag, uint32_t inst) noexcept nogil
    cdef void _lost(self, Row* r, uint32_t inst, const Tick* t, int64_t now) noexcept nogil
    cdef bint _rebased(self, Row* r, uint32_t inst, const Tick* t, int64_t now) noexcept nogil
    cdef void _disorder(self, Row* r, uint32_t inst, int64_t minute, int64_t ms, int64_t now) noexcept nogil
    cdef bint _is_wild(self, Row* r, const Tick* t, uint32_t inst, int64_t now, bint gap) noexcept nogil
    cdef void _late(self, int64_t lag_ms, int64_t now) noexcept nogil
    cdef void on_link(self, bint is_up, int code, int64_t now) noexcept nogil
    cdef int life(self, uint32_t inst, int64_t now) noexcept nogil
