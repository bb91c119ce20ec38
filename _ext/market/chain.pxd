# What the options of an underlying say together (chain.pyx).
from libc.stdint cimport int32_t, int64_t, uint32_t
from _ext.core.records cimport Instrument
from _ext.core.tick cimport Tick
from _ext.market.greeks cimport Greeks

ctypedef struct Option:       # one contract
    uint32_t under            # row of its underlying; NO_INST: none, or no option
    uint32_t next             # the underlying's next one, NO_INST: the last
    int32_t right             # 1 call, -1 put
    int32_t computed          # its volatility is ours, not the feed's
    int64_t strike            # paise
    int64_t expires           # ns, half past three of its last day
    double open_interest
    double volume
    double iv                 # fraction; 0: unknown
    Greeks greeks
    int64_t seen              # now of the Greeks; 0: none yet

ctypedef struct Chain:        # of one underlying
    uint32_t first            # contract; NO_INST: it has none
    uint32_t call             # at the money, of the nearest expiry; NO_INST: none
    uint32_t put
    int32_t pad
    int64_t strike
    double iv                 # mean of the two; 0: unknown
    double call_interest
    double put_interest
    double call_volume
    double put_volume

cdef class Chains:
    cdef Option* options
    cdef Chain* chains
    cdef readonly uint32_t capacity

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil
    cdef double at_the_money(self, const Chain* c) noexcept nogil
    cdef void choose(self, uint32_t under, int64_t price, int64_t now) noexcept nogil
    cdef double on_tick(self, uint32_t inst, const Tick* t, int64_t price, int64_t now, bint traded) noexcept nogil
