from libc.stdint cimport uint64_t
from _ext.core.sink cimport RecordSink
from _ext.trail.reader cimport Reader

cdef class Verifier(RecordSink):
    cdef Reader source
    cdef readonly uint64_t matched
    cdef readonly uint64_t mismatched
    cdef frozenset wanted               # decisions whose payloads are kept as they are made again
    cdef readonly list kept             # (type, now, payload)
    cdef readonly list missing          # decisions recomputed at the end of the journal that it does not hold
    cdef readonly object first_mismatch
