# A position whose guide, the underlying of its contract, says when it ends.
from libc.stdint cimport int32_t, int64_t, uint32_t
from _ext.core.records cimport Instrument, Why
from _ext.market.chain cimport Option
from _ext.market.state cimport Row
from _ext.trade.exits cimport Plan
from _ext.trade.limits cimport Limits

cdef struct Guide:
    uint32_t inst             # the guide's row + 1; 0: the position has none
    int32_t pad
    Plan plan                 # in the guide's prices; `side` is that of the guide's move which earns
    int64_t best              # the guide's best price since entry, for the trailing stop
    int64_t mapped            # now when the contract's stop was last mapped; 0: never

cdef double delta_of(const Instrument* spec, const Option* option, int64_t now) noexcept nogil
cdef int64_t mapped_stop(const Instrument* spec, int side, double delta, int64_t price, int64_t guide, int64_t stop) noexcept nogil
cdef void plan_guide(Guide* guide, const Limits* limits, int64_t tick, const Row* row, int64_t now) noexcept nogil
cdef bint remap(Guide* guide, const Limits* limits, const Instrument* spec, int64_t tick, int side, double delta, const Row* r,
                const Row* row, int64_t now, int64_t* stop) noexcept nogil
cdef Why why_guided(const Guide* guide, const Row* row) noexcept nogil
