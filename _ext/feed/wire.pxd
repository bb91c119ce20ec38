# Protobuf bytes of one frame -> a preallocated batch of Ticks. Validated whole: a malformed frame leaves no update.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.cursor cimport Cursor, bytes_t
from _ext.core.keys cimport KeyTable
from _ext.core.tick cimport FrameHead, StatusEntry, Tick

cdef enum WireResult:
    WIRE_OK = 0
    WIRE_MALFORMED = -1       # not a FeedResponse: truncated, bad varint, bad UTF-8, stray end group
    WIRE_TOO_LARGE = -2       # more updates than the batch holds

cdef class Decoder:
    cdef KeyTable keys
    cdef Tick* ticks          # owned; valid until the next decode
    cdef StatusEntry* status  # owned; likewise
    cdef readonly int32_t capacity
    cdef public bint keep_keys  # copy the key of instruments the table knows, too; the core needs only their row
    cdef FrameHead head
    cdef uint64_t serial      # frames decoded; the generation of `seen`
    cdef uint64_t* seen       # per instrument: serial << 32 | index of its last update in this frame
    cdef char* rows           # per-instrument state to prefetch while the update is decoded, or NULL
    cdef size_t row_stride

    cdef void prefetch_rows(self, char* rows, size_t stride) noexcept
    cdef WireResult decode(self, bytes_t data, size_t n) noexcept nogil
    cdef int _entry(self, Cursor c) noexcept nogil
    cdef int _info(self, Cursor c) noexcept nogil
    cdef void _supersede(self) noexcept nogil
    cdef int32_t _decode_checked(self, const uint8_t[::1] frame) except -1
