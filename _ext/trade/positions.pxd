# Positions: entries, fills, time and money.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from _ext.core.records cimport Band, Candidate, GateDecision
from _ext.market.state cimport Row
from _ext.trade.exit_order cimport ExitOrders
from _ext.trade.holdings cimport Position
from _ext.trade.orders cimport Order

cdef class PositionManager(ExitOrders):
    cdef void enter(self, const Candidate* c, int64_t now, int64_t minute) noexcept
    cdef void on_bands(self, const Band* rows, int64_t n, int64_t now) noexcept
    cdef void _new_band(self, uint32_t inst, int64_t lower, int64_t upper, int64_t now) noexcept
    cdef void _before_auction(self, int64_t now) noexcept
    cdef void on_tick(self, Row* r, int64_t now) noexcept
    cdef void on_timer(self, int64_t now) noexcept
    cdef void on_feed(self, bint is_up, int64_t now) noexcept
    cdef int64_t _offset(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept
    cdef void exit_fill(self, Position* s, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept
    cdef Position* unwanted(self, uint32_t inst, int side, int64_t quantity, int64_t worth, uint64_t order, int reason,
                            int64_t now) noexcept
    cdef int64_t explained(self, Order* o, int64_t quantity) noexcept
    cdef bint leave(self, uint32_t inst, int source, int64_t now) noexcept
    cdef bint _gate_entry(self, const Candidate* c, uint32_t inst, int64_t now, int64_t minute, GateDecision* out) noexcept
    cdef void _book_fill(self, Order* o, Position* s, int64_t quantity, int64_t worth, int64_t realised, int64_t now) noexcept
