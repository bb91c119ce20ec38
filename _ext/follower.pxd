# The market stage alone over a journal: no sources, models, gate or orders. Decisions come from the journal's own records.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from _ext.core.keys cimport KeyTable
from _ext.core.tick cimport Tick
from _ext.feed.wire cimport Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport Row, TickInfo
from _ext.trail.reader cimport Reader

cdef class MarketFollower:
    cdef readonly KeyTable keys
    cdef readonly Decoder decoder
    cdef readonly Market market
    cdef readonly int64_t now
    cdef readonly int64_t last_frame     # now of the last frame
    cdef readonly uint64_t updates
    cdef readonly uint64_t seq           # of the record under way
    cdef int on_update(self, const Tick* t, const Row* r, const TickInfo* info, int64_t now) except -1
    cdef bint is_full(self) noexcept
    cdef int _take(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1
