from libc.stdint cimport int64_t
from _ext.core.types cimport Instrument, Why
from _ext.market.state cimport Row
from _ext.trade.gate cimport Limits

cdef int64_t to_tick(int64_t price, int64_t tick, int up) noexcept nogil
cdef int64_t marketable(const Row* r, const Instrument* spec, int side, double protection) noexcept nogil
cdef int64_t stop_limit(const Row* r, const Instrument* spec, int side, int64_t trigger) noexcept nogil
cdef Why why_exit(const Row* r, const Limits* limits, bint cas, int side, int64_t target, int64_t opened, int64_t now,
                  int64_t minute, bint killed) noexcept nogil
