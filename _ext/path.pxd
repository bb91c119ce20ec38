# What connects a core's parts: see path.pyx.
from libc.stdint cimport int64_t, uint64_t
from _ext.core.tick cimport Tick
from _ext.feed.rows cimport RowFeed
from _ext.market.state cimport TickInfo
from _ext.trade.venue cimport PaperVenue
from _ext.views cimport CoreViews

cdef class TickPath(CoreViews):
    cdef int busy                        # a record is under way
    cdef readonly RowFeed rows           # of the day file that a DATA record has named
    cdef public PaperVenue venue         # sees rows before the core does; None: nobody does
    cdef Tick row                        # the one under way
    cdef int _frame(self, bint good, size_t n, int64_t now) except -1
    cdef int _rows(self, int64_t now) except -1
    cdef int _strategies(self, int64_t now) except -1
    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1
    cdef int _enter(self, int64_t now, int64_t minute) except -1
    cdef int _ledger(self, int64_t now) except -1
    cdef int _stamp(self, uint64_t seq, int64_t now, int64_t received, int64_t decoded) except -1
