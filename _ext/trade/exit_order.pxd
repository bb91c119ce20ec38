# The one exit order of each position.
from libc.stdint cimport int64_t, uint32_t
from _ext.core.records cimport Candidate
from _ext.market.state cimport Row
from _ext.trade.guides cimport Guide
from _ext.trade.holdings cimport Holdings, Position
from _ext.trade.orders cimport Order

cdef class ExitOrders(Holdings):
    cdef void guide(self, Guide* guide, const Candidate* c, uint32_t inst) noexcept
    cdef double _delta(self, uint32_t inst, int64_t now) noexcept
    cdef int64_t guided_stop(self, Guide* guide, uint32_t inst, int side, double price, int64_t now) noexcept
    cdef void planned(self, Position* s, double average, int64_t now) noexcept
    cdef void _back_off(self, Position* s, Order* o, int64_t now) noexcept
    cdef bint _may_exit(self, Position* s, int64_t held, int64_t price, int64_t now) noexcept
    cdef void _place_exit(self, Position* s, int order_type, int why, int64_t held, int64_t price, int64_t trigger,
                          int64_t now) noexcept
    cdef void _exit(self, Position* s, Row* r, int why, int64_t held, int64_t now) noexcept
    cdef bint _is_vague(self, const Order* o) noexcept
    cdef int64_t _sure(self, const Position* s, int64_t held) noexcept
    cdef bint _second(self, Position* s, Row* r, const Order* o, int64_t now) noexcept
    cdef Order* _one_exit(self, Position* s, int64_t now) noexcept
    cdef void manage(self, Position* s, int64_t now) noexcept
    cdef void _protect(self, Position* s, Row* r, Order* o, int64_t held, int64_t now) noexcept
