from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.records cimport Instrument
from _ext.core.tick cimport Tick
from _ext.market.state cimport TickInfo
from _ext.views cimport CoreViews

cdef class Core(CoreViews):
    cdef int busy
    cdef readonly bytes closed_with      # payload of the CLOSED record a replay ended with; None: the journal was cut off
    cdef public bint feed_time           # now is the frame's currentTs (source sim), not the wall clock
    cdef uint64_t take(self, int type, int64_t now, const void* payload, size_t n) except? 0
    cdef int dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1
    cdef int _dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1
    cdef int _frame(self, bint good, size_t n, int64_t now) except -1
    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1
    cdef int _enter(self, int64_t now, int64_t minute) except -1
    cdef int _ledger(self, int64_t now) except -1
    cdef int _add(self, const Instrument* spec) except -1
    cdef int _configure(self, dict config) except -1
    cdef int _stamp(self, uint64_t seq, int64_t now, int64_t received, int64_t decoded) except -1
