from libc.stdint cimport int64_t, uint8_t, uint64_t
from _ext.trail.segment cimport RecordHead

cdef class Reader:
    cdef readonly list folders
    cdef readonly object current        # name of the segment being read
    cdef readonly int64_t corrupt       # records or tails that fail their checksum
    cdef readonly uint64_t missing      # records whose numbers were passed over
    cdef readonly uint64_t last         # number of the last record read
    cdef readonly str problem           # the first that is corrupt or missing, in words
    cdef public bint keeps              # what is no frame and no timer is kept for `take_kept`
    cdef list kept
    cdef uint64_t rested                # where reading goes on in a segment that was let go of; 0: none was
    cdef object ahead                   # unpacks compressed segments
    cdef uint64_t kinds[4]              # bit of each record type that has been read
    cdef object view, before            # mappings: of the segment being read and of the one before it
    cdef const uint8_t* base
    cdef uint64_t size
    cdef uint64_t used
    cdef RecordHead* peeked
    cdef bint _open(self) except *
    cdef RecordHead* _step(self) except? NULL
    cdef RecordHead* peek(self) except? NULL
    cdef RecordHead* next(self) except? NULL
