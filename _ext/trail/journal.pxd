from libc.stdint cimport int64_t, uint8_t, uint64_t
from _ext.core.sink cimport RecordSink
from _ext.trail.reader cimport Reader

cdef class Journal(RecordSink):
    cdef readonly object folder
    cdef bytes magic, layout            # what its segments' heads say
    cdef readonly uint64_t epoch
    cdef readonly uint64_t index
    cdef readonly uint64_t capacity
    cdef readonly uint64_t memory_cap   # bytes the writer may hold undrained
    cdef readonly bint full             # nothing can be written: the core must reduce
    cdef readonly str problem
    cdef uint8_t* base
    cdef uint64_t used
    cdef uint8_t* next_base             # the segment after this one, mapped and touched ahead of need
    cdef uint64_t next_ready
    cdef Reader prefix                  # what an earlier, killed run wrote and this one must repeat; or None
    cdef readonly bint diverged
    cdef void _begin(self) noexcept
    cdef int _map(self, uint64_t index, uint8_t** out, int flags) noexcept
    cdef bint _rotate(self) noexcept
    cdef bint _repeats(self, int type, int64_t now, const void* payload, size_t n) noexcept
