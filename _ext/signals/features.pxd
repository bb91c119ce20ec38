from _ext.core.records cimport Candidate
from _ext.market.market cimport Market
from _ext.market.state cimport TickInfo
from libc.stdint cimport int64_t, uint32_t

cdef void fill_features(Market market, uint32_t inst, const TickInfo* t, double firing, int64_t fired_ms,
                        int64_t fired_price, Candidate* out) noexcept nogil
