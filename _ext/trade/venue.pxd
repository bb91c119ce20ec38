# The engine's own matching: what takes orders in a backtest and on paper. It sees each update before the core does; what it answers
# enters the core as records.
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t
from _ext.core.records cimport Instrument
from _ext.core.tick cimport Level, Tick
from _ext.trade.positions cimport PositionManager

cdef enum:
    VENUE_ORDERS = 8192       # of a day, as the core's table
    VENUE_UPDATES = 4096      # between two looks
    QUANTILES = 101           # of measured latencies: 0, 1, ... 100 per cent

cdef struct VenueOrder:
    uint64_t id               # the core's
    uint32_t inst
    int16_t side              # +1 buy, -1 sell
    int16_t order_type        # OrderType
    int32_t status            # OrderStatus
    int32_t is_waiting        # a stop whose trigger was not reached
    int64_t quantity
    int64_t price             # paise
    int64_t trigger
    int64_t filled
    int64_t value             # paise x quantity

cdef struct VenueUpdate:      # an order as it was
    int64_t now               # ns
    VenueOrder order

cdef struct Remaining:        # of what was last shown of a name: what orders have not taken yet
    int64_t now               # of that update, ns; 0: nothing was shown
    int64_t last              # price, paise
    int32_t n_levels
    int32_t works             # orders that work in the name
    Level level[5]

cdef class PaperVenue:
    cdef PositionManager trader          # its instruments and their market
    cdef VenueOrder* orders
    cdef readonly uint64_t n_orders
    cdef int64_t* working                # places of the orders that work, the older first
    cdef readonly int64_t n_working
    cdef Remaining* names                # by instrument
    cdef VenueUpdate* updates
    cdef readonly int64_t n_updates
    cdef readonly int64_t n_fills        # of the day
    cdef readonly uint64_t seed
    cdef readonly int64_t one_way
    cdef int64_t quantiles[QUANTILES]    # of a request there and back, ns, measured; the last is 0: none were
    cdef void on_row(self, uint32_t inst, const Tick* t, int64_t now) noexcept nogil
    cdef void _match(self, VenueOrder* o, int64_t now) noexcept nogil
    cdef void _tell(self, const VenueOrder* o, int64_t now) noexcept nogil
    cdef void _drop(self, const VenueOrder* o) noexcept nogil
    cdef void _work(self, VenueOrder* o) noexcept nogil
    cdef void _tell_match(self, VenueOrder* o, int64_t now) noexcept
    cdef bint _is_fit(self, const Instrument* spec, const VenueOrder* o) noexcept
    cdef VenueOrder* _order(self, bytes order_id) except? NULL
    cdef int64_t _draw(self, uint64_t order, uint64_t h)
    cdef double _quantile(self, double share) noexcept nogil
