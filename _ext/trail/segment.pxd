# The system of record: append-only segments, each record complete once its length is stored.
#
#   segment  SegmentHead (64 bytes), records, zeros          file  EEEEEE-IIIIII.seg  (epoch, index), or .seg.zst
#   record   RecordHead (32 bytes), payload, padding to 8    `length` is release-stored last; 0: nothing here yet
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef struct SegmentHead:
    char magic[8]
    uint64_t epoch            # grows with every start: an old tail is never appended to
    uint64_t index            # within the epoch
    uint64_t capacity         # bytes, head included
    uint64_t first_seq        # 0: made ahead, not in use yet
    char layout[16]           # of the records (core/records.pyx::LAYOUT): a reader of another one must not guess
    uint64_t spare

cdef struct RecordHead:
    uint32_t length           # bytes, head and padding included
    uint16_t type             # RecordType
    uint16_t spare
    uint64_t seq
    int64_t now               # ns
    uint32_t size             # bytes of payload
    uint32_t check            # checksum of payload, seq, now and type
