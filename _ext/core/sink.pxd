# Where the core puts what it takes in and decides. The base takes and forgets; a journal, a verifier or a list stand behind it.
# And where a socket puts its frames: the core.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef inline uint64_t mix(uint64_t h, uint64_t x) noexcept nogil:
    """One step of a digest."""
    h = (h ^ x) * <uint64_t>0x9E3779B97F4A7C15
    return h ^ (h >> 29)

cdef class RecordSink:
    cdef readonly uint64_t seq          # of the last record
    cdef uint32_t check                 # of the last record
    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept

cdef class DigestSink(RecordSink):
    cdef RecordSink inner
    cdef readonly uint64_t digest       # of every record but telemetry, in order
    cdef readonly uint64_t records      # likewise
    cdef void count(self, int type, uint32_t check) noexcept

cdef class FrameSink:
    cdef public bint attention          # something waits for Python: requests to send
    cdef int on_frame(self, const uint8_t* frame, size_t n, int64_t now) except -1

cdef extern from "checksum.h" nogil:
    uint32_t checksum(const void* data, size_t n, uint64_t seed)

cdef inline uint32_t record_check(int type, uint64_t seq, int64_t now, const void* payload, size_t n) noexcept nogil:
    """Checksum of a record: of its payload, number, time and type."""
    return checksum(payload, n, (seq * <uint64_t>0x9E3779B97F4A7C15) ^ <uint64_t>now ^ (<uint64_t>type << 48))
