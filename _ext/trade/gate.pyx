"""Risk gate and sizing (DESIGN 4): every entry passes here, in the order of the checks below."""
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from _ext.core.types cimport (
    ALREADY_IN, BROKER_BUDGET, DAILY_LOSS, DAY_BUDGET, FEED_DOWN, HOUR_BUDGET, MAX_POSITIONS, MINUTE_BUDGET, NO_QUOTE,
    NOT_RUNNING, NOT_TRADABLE, OFF_LOT, OFF_TICK, OP_RUN, OPERATOR, OUTSIDE_BAND, OUTSIDE_SESSION, OVER_FREEZE,
    OVER_LEVERAGE, OVER_NOTIONAL, PASS, SIZE_BELOW_LOT, STALE_QUOTE, SYMBOL_GAP, UNKNOWN_NUMBER, GateDecision, Instrument,
    Reason)
from _ext.market.state cimport Row

cdef enum:
    SECOND = 1000000000

cdef inline Reason no(GateDecision* out, Reason reason, double measured, double limit) noexcept nogil:
    out.reason = reason
    out.measured = measured
    out.limit = limit
    return reason


cdef class Gate:
    """Starts CLOSED with limits of zero: nothing passes before it is configured and opened."""

    def __cinit__(self, uint32_t capacity):
        self.capacity = capacity
        self.last_entry = <int64_t*>calloc(max(capacity, <uint32_t>1), sizeof(int64_t))
        if self.last_entry == NULL:
            raise MemoryError(f"no memory for a gate of {capacity} instruments")
        memset(&self.limits, 0, sizeof(self.limits))
        memset(&self.money, 0, sizeof(self.money))

    def __dealloc__(self):
        free(self.last_entry)

    cdef int32_t _recent(self, const int64_t* ring, int64_t n, int64_t since) noexcept nogil:
        """How many of the last times in `ring` are later than `since`."""
        cdef int64_t k
        cdef int32_t count = 0
        for k in range(n - 1, max(n - REQUESTS_KEPT, <int64_t>0) - 1, -1):
            if ring[k % REQUESTS_KEPT] <= since:
                break
            count += 1
        return count

    cdef void _used(self, int64_t now, GateDecision* out) noexcept nogil:
        out.used_second = self._recent(self.requests, self.n_requests, now - SECOND)
        out.used_minute = self._recent(self.requests, self.n_requests, now - 60 * <int64_t>SECOND)
        out.used_half_hour = self._recent(self.requests, self.n_requests, now - 1800 * <int64_t>SECOND)
        out.used_hour = self._recent(self.entries, self.n_entries, now - 3600 * <int64_t>SECOND)
        out.used_day = <int32_t>self.n_entries

    cdef Reason check(self, uint32_t inst, const Instrument* spec, const Row* r, int side, int64_t quantity,
                      int64_t price, int64_t now, int64_t minute, GateDecision* out) noexcept nogil:
        """PASS, or the first reason against an entry of `quantity` at the limit `price` (paise)."""
        cdef const Limits* limits = &self.limits
        cdef const Money* money = &self.money
        cdef int64_t last = limits.last_minute_cas if spec.cas else limits.last_minute
        cdef double value = <double>quantity * <double>price
        cdef double equity = <double>money.equity
        cdef double loss
        cdef int32_t reserve = limits.exit_reserve
        cdef int64_t since
        out.quantity = quantity
        out.price = price
        out.is_exit = 0
        self._used(now, out)
        if self.operator != OP_RUN:
            return no(out, OPERATOR, self.operator, <int>OP_RUN)
        if self.state != RUNNING:
            return no(out, NOT_RUNNING, self.state, <int>RUNNING)
        if not self.feed_up or not self.orders_up:
            return no(out, FEED_DOWN, self.feed_up + self.orders_up, 2)
        if minute < 0 or minute >= last:
            return no(out, OUTSIDE_SESSION, minute, last)
        if not spec.tradable or spec.tick <= 0 or spec.lot <= 0:
            return no(out, NOT_TRADABLE, spec.tradable, 1)
        if r.book_seen == 0 or not now - r.book_seen <= limits.stale:
            return no(out, STALE_QUOTE, (now - r.book_seen) * 1e-9, limits.stale * 1e-9)
        if r.bid <= 0 or r.ask <= 0 or r.ask <= r.bid:
            return no(out, NO_QUOTE, <double>r.bid, <double>r.ask)
        if price <= 0 or price % spec.tick != 0:
            return no(out, OFF_TICK, <double>price, <double>spec.tick)
        if quantity < spec.lot:
            return no(out, SIZE_BELOW_LOT, <double>quantity, <double>spec.lot)
        if quantity % spec.lot != 0:
            return no(out, OFF_LOT, <double>quantity, <double>spec.lot)
        if spec.freeze <= 0 or quantity > spec.freeze:
            return no(out, OVER_FREEZE, <double>quantity, <double>spec.freeze)
        if (spec.lower_band > 0 and price < spec.lower_band) or (spec.upper_band > 0 and price > spec.upper_band):
            return no(out, OUTSIDE_BAND, <double>price,
                      <double>(spec.lower_band if price < spec.lower_band else spec.upper_band))
        if r.position != 0:
            return no(out, ALREADY_IN, 1, 0)
        if self.positions >= limits.max_positions:
            return no(out, MAX_POSITIONS, self.positions, limits.max_positions)
        if not equity > 0.0 or not value > 0.0:
            return no(out, UNKNOWN_NUMBER, equity, 0)
        if not value <= limits.notional * equity:
            return no(out, OVER_NOTIONAL, value / equity, limits.notional)
        if not <double>money.exposure + value <= limits.leverage * equity:
            return no(out, OVER_LEVERAGE, (<double>money.exposure + value) / equity, limits.leverage)
        loss = -<double>(money.realised + money.open - money.charges)
        if not loss < limits.daily_loss * equity:
            return no(out, DAILY_LOSS, loss / equity, limits.daily_loss)
        since = now - self.last_entry[inst]
        if self.last_entry[inst] != 0 and since < limits.symbol_gap:
            return no(out, SYMBOL_GAP, since * 1e-9, limits.symbol_gap * 1e-9)
        if self._recent(self.entries, self.n_entries, now - 60 * <int64_t>SECOND) >= limits.per_minute:
            return no(out, MINUTE_BUDGET, self._recent(self.entries, self.n_entries, now - 60 * <int64_t>SECOND),
                      limits.per_minute)
        if out.used_hour >= limits.per_hour:
            return no(out, HOUR_BUDGET, out.used_hour, limits.per_hour)
        if out.used_day >= limits.per_day:
            return no(out, DAY_BUDGET, out.used_day, limits.per_day)
        if out.used_second >= limits.broker_second - reserve:
            return no(out, BROKER_BUDGET, out.used_second, limits.broker_second - reserve)
        if out.used_minute >= limits.broker_minute - 10 * reserve:
            return no(out, BROKER_BUDGET, out.used_minute, limits.broker_minute - 10 * reserve)
        if out.used_half_hour >= limits.broker_half_hour - 100 * reserve:
            return no(out, BROKER_BUDGET, out.used_half_hour, limits.broker_half_hour - 100 * reserve)
        return no(out, PASS, value / equity, limits.notional)

    cdef bint may_exit(self, int64_t now) noexcept nogil:
        """Exits know the broker's own limits only."""
        return (self._recent(self.requests, self.n_requests, now - SECOND) < self.limits.broker_second
                and self._recent(self.requests, self.n_requests, now - 60 * <int64_t>SECOND) < self.limits.broker_minute
                and self._recent(self.requests, self.n_requests, now - 1800 * <int64_t>SECOND)
                < self.limits.broker_half_hour)

    cdef void count_request(self, int64_t now) noexcept nogil:
        self.requests[self.n_requests % REQUESTS_KEPT] = now
        self.n_requests += 1

    cdef void count_entry(self, uint32_t inst, int64_t now) noexcept nogil:
        self.entries[self.n_entries % REQUESTS_KEPT] = now
        self.n_entries += 1
        self.last_entry[inst] = now

    cdef int64_t size(self, const Instrument* spec, const Row* r, int side, int64_t price) noexcept nogil:
        """Whole lots: min(5 % of equity, funds, room under the leverage) / price, the depth shown, the freeze quantity."""
        cdef int64_t shown = r.ask_depth if side > 0 else r.bid_depth
        cdef double value = self.limits.notional * <double>self.money.equity
        cdef double room = self.limits.leverage * <double>self.money.equity - <double>self.money.exposure
        cdef int64_t quantity
        if price <= 0 or spec.lot <= 0:
            return 0
        value = min(value, room, <double>self.money.available)
        if not value > 0.0:
            return 0
        quantity = <int64_t>(value / <double>price)
        quantity = min(quantity, shown, spec.freeze)
        return quantity - quantity % spec.lot if quantity > 0 else 0
