# Candidate sources: the strategy seam. A source sees each clean trade update and may propose a candidate.
from libc.stdint cimport int64_t
from _ext.core.records cimport Candidate
from _ext.market.state cimport Row, TickInfo, Window

cdef class CandidateSource:
    cdef bint on_tick(self, Row* r, const TickInfo* t, Candidate* out) noexcept nogil

cdef class SpikeDetector(CandidateSource):
    cdef readonly double sigma, volume, jump, roc, iv, emit, trade
    cdef readonly int64_t cooldown_ms, max_lag_ms
    cdef readonly int first_minute

cdef double strength_of(SpikeDetector d, const Row* r, double price, Candidate* out) noexcept nogil
