from libc.stdint cimport int64_t, uint8_t, uint64_t
from _ext.core.records cimport Instrument
from _ext.path cimport TickPath
from _ext.trail.segment cimport RecordHead

cdef class Core(TickPath):
    cdef readonly bytes closed_with      # payload of the CLOSED record a replay ended with; None: the journal was cut off
    cdef public bint feed_time           # now is the frame's currentTs (source sim), not the wall clock
    cdef readonly list strategies_off    # STRATEGY_OFF records so far, as documents
    cdef readonly dict day_files         # sha256 -> RowFeed: what a DATA record may name
    cdef int64_t next_timer              # while rows are taken, ns
    cdef uint64_t source_seq             # of a frame read from another run's journal, in that journal; 0: it is this run's
    cdef uint64_t take(self, int type, int64_t now, const void* payload, size_t n) except? 0
    cdef int dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1
    cdef int _dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1
    cdef bint _has_rows_before(self, const RecordHead* head) noexcept
    cdef int _open(self, dict told) except -1
    cdef int _add(self, const Instrument* spec) except -1
    cdef int _configure(self, dict config) except -1
