# The system of record: append-only segments, each record complete once its length is stored.
#
#   segment  SegmentHead (64 bytes), records, zeros          file  EEEEEE-IIIIII.seg  (epoch, index)
#   record   RecordHead (32 bytes), payload, padding to 8    `length` is release-stored last; 0: nothing here yet
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef struct SegmentHead:
    char magic[8]
    uint64_t epoch            # grows with every start: an old tail is never appended to
    uint64_t index            # within the epoch
    uint64_t capacity         # bytes, head included
    uint64_t first_seq        # 0: made ahead, not in use yet
    uint64_t spare[3]

cdef struct RecordHead:
    uint32_t length           # bytes, head and padding included
    uint16_t type             # RecordType
    uint16_t spare
    uint64_t seq
    int64_t now               # ns
    uint32_t size             # bytes of payload
    uint32_t check            # checksum of payload, seq, now and type

cdef class Trail:             # where the core puts what it decides
    cdef readonly uint64_t seq          # of the last record
    cdef uint32_t check                 # of the last record
    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept

cdef class Journal(Trail):
    cdef readonly object folder
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

cdef class Reader:
    cdef readonly list folders
    cdef readonly object current        # name of the segment being read
    cdef readonly int64_t corrupt       # records or tails that fail their checksum
    cdef readonly uint64_t missing      # records whose numbers were passed over
    cdef readonly uint64_t last         # number of the last record read
    cdef readonly str problem           # the first that is corrupt or missing, in words
    cdef object view, before            # mappings: of the segment being read and of the one before it
    cdef const uint8_t* base
    cdef uint64_t size
    cdef uint64_t used
    cdef RecordHead* peeked
    cdef bint _open(self) except *
    cdef RecordHead* _step(self) except? NULL
    cdef RecordHead* peek(self) except? NULL
    cdef RecordHead* next(self) except? NULL

cdef class Verifier(Trail):
    cdef Reader source
    cdef readonly uint64_t matched
    cdef readonly uint64_t mismatched
    cdef readonly list missing          # decisions recomputed at the end of the journal that it does not hold
    cdef readonly object first_mismatch

cdef uint32_t record_check(int type, uint64_t seq, int64_t now, const void* payload, size_t n) noexcept nogil
