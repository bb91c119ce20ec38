"""The engine's own matching: see venue.pxd. The model is that of `fills`: what is shown can be had, once, until the next update.

The way to the venue and back takes a time drawn for each request from a hash of (seed, order, kind, attempt), not from a sequence,
so that two runs which differ in one order agree in all others; it grows with the movement of the minute under way.
"""
from libc.math cimport cos, exp, fmin, log, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from _ext.core.clock cimport MS_NS
from _ext.core.records cimport (
    STATUS_CANCELLED, STATUS_COMPLETE, STATUS_OPEN, STATUS_REJECTED, TYPE_SL, Instrument)
from _ext.core.sink cimport mix
from _ext.core.tick cimport DEPTH
from _ext.market.state cimport Row
from _ext.trade.exits cimport in_band
from _ext.trade.fills cimport walk, whole

cdef double MEDIAN_NS = 17500000.0     # of one way: the broker's round trip is 30 to 45 ms (docs/upstox.md 7.14)
cdef double SPREAD = 0.45              # sd of its logarithm
cdef double PER_SIGMA = 0.25           # of it more for each one-minute sd that the minute has moved
cdef double MOST_SIGMA = 12.0
cdef int64_t MOST_NS = 60000000000     # a request that takes longer has none


cdef inline double uniform(uint64_t h) noexcept nogil:
    """(0, 1) of the upper 53 bits."""
    return (<double>(h >> 11) + 0.5) * (1.0 / 9007199254740992.0)


cdef class PaperVenue:
    """Takes orders of `trader`. `one_way`: ns that every way takes, 0: it is drawn; from `latencies` (101 quantiles of requests
    there and back, ns) where they were measured. ValueError for latencies that are none."""

    def __cinit__(self, PositionManager trader not None, uint64_t seed=0, int64_t one_way=0, latencies=()):
        cdef size_t n = max(trader.market.capacity, <uint32_t>1)
        cdef int64_t before = 1
        self.trader, self.seed, self.one_way = trader, seed, one_way
        if len(latencies) not in (0, QUANTILES):
            raise ValueError(f"{len(latencies)} quantiles of latencies, {QUANTILES} are wanted")
        for k, quantile in enumerate(latencies):
            if not before <= quantile <= MOST_NS:
                raise ValueError(f"quantile {k} of the latencies is {quantile} ns")
            self.quantiles[k] = before = quantile
        self.orders = <VenueOrder*>calloc(VENUE_ORDERS, sizeof(VenueOrder))
        self.working = <int64_t*>calloc(VENUE_ORDERS, sizeof(int64_t))
        self.names = <Remaining*>calloc(n, sizeof(Remaining))
        self.updates = <VenueUpdate*>calloc(VENUE_UPDATES, sizeof(VenueUpdate))
        if self.orders == NULL or self.working == NULL or self.names == NULL or self.updates == NULL:
            raise MemoryError(f"no memory for the orders of {n} instruments")

    def __dealloc__(self):
        free(self.orders)
        free(self.working)
        free(self.names)
        free(self.updates)

    # ---- the market -----------------------------------------------------------------------------------------------------
    cdef void on_row(self, uint32_t inst, const Tick* t, int64_t now) noexcept nogil:
        """An update, before the core sees it."""
        cdef int64_t k = 0, place
        cdef Remaining* left = &self.names[inst]
        left.now = max(now, <int64_t>1)
        if t.ltp > 0:
            left.last = t.ltp
        if t.n_levels > 0:                                 # an update without a book is no news of it
            left.n_levels = min(t.n_levels, <int>DEPTH)
            memcpy(left.level, t.level, sizeof(left.level))
        if left.works == 0:
            return
        while k < self.n_working:                          # the older first; one that ends makes room for the next
            place = self.working[k]
            if self.orders[place].inst == inst:
                self._match(&self.orders[place], now)
            if k < self.n_working and self.working[k] == place:
                k += 1

    cdef void _match(self, VenueOrder* o, int64_t now) noexcept nogil:
        """What the order gets of the book as it is."""
        cdef Remaining* left = &self.names[o.inst]
        cdef int64_t had, part, take, value = 0, shown, lot = self.trader.specs[o.inst].lot
        cdef int k
        if left.now == 0:
            return
        if o.is_waiting:
            if left.last <= 0 or (left.last - o.trigger) * o.side < 0:
                return
            o.is_waiting = 0
        had = walk(left.level, left.n_levels, o.side, o.price, o.quantity - o.filled, lot, &value)
        if had <= 0:
            return
        part = had
        for k in range(left.n_levels):
            shown = left.level[k].ask_q if o.side > 0 else left.level[k].bid_q
            if (left.level[k].ask_p if o.side > 0 else left.level[k].bid_p) <= 0:
                continue
            take = whole(min(part, shown), lot)
            if o.side > 0:
                left.level[k].ask_q -= take
            else:
                left.level[k].bid_q -= take
            part -= take
        o.filled += had
        o.value += value
        self.n_fills += 1
        if o.filled == o.quantity:
            o.status = STATUS_COMPLETE
            self._drop(o)
        self._tell(o, now)

    cdef void _tell(self, const VenueOrder* o, int64_t now) noexcept nogil:
        cdef VenueUpdate* update
        if self.n_updates < VENUE_UPDATES:                 # it is emptied after every record: more cannot come of one
            update = &self.updates[self.n_updates]
            update.now, update.order = now, o[0]
            self.n_updates += 1

    cdef void _drop(self, const VenueOrder* o) noexcept nogil:
        """The order works no more."""
        cdef int64_t k
        cdef int64_t place = o - self.orders
        for k in range(self.n_working):
            if self.working[k] == place:
                self.n_working -= 1
                memmove(&self.working[k], &self.working[k + 1], (self.n_working - k) * sizeof(int64_t))
                self.names[o.inst].works -= 1
                return

    cdef void _work(self, VenueOrder* o) noexcept nogil:
        """The order works from now on."""
        self.working[self.n_working] = o - self.orders
        self.n_working += 1
        self.names[o.inst].works += 1

    # ---- requests -------------------------------------------------------------------------------------------------------
    def place(self, uint64_t order, uint32_t inst, int side, int order_type, int64_t quantity, int64_t price, int64_t trigger,
              int64_t now) -> str:
        """An order of the core's number `order` arrives. Empty, or why it is refused at once; one that the exchange turns down is
        rejected by an update."""
        cdef VenueOrder* o
        cdef const Instrument* spec
        cdef uint64_t k
        if self.n_orders == VENUE_ORDERS:
            return "TOO MANY"
        for k in range(self.n_orders):
            if self.orders[k].id == order:
                return "TWICE"
        if inst >= self.trader.market.size or quantity <= 0 or side == 0:
            return "NO ORDER"
        o = &self.orders[self.n_orders]
        self.n_orders += 1
        spec = &self.trader.specs[inst]
        o.id, o.inst, o.side, o.order_type = order, inst, <short>side, <short>order_type
        o.quantity, o.price, o.trigger = quantity, price, trigger
        if not self._is_fit(spec, o):
            o.status = STATUS_REJECTED
            self._tell(o, now)
            return ""
        o.status = STATUS_OPEN
        o.is_waiting = order_type == TYPE_SL
        self._work(o)
        self._tell_match(o, now)
        return ""

    cdef bint _is_fit(self, const Instrument* spec, const VenueOrder* o) noexcept:
        """What the exchange asks of an order: whole lots within the freeze quantity, prices on the grid and inside the band, a
        stop's limit not before its trigger."""
        cdef int64_t tick = max(spec.tick, <int64_t>1)
        if spec.lot <= 0 or o.quantity % spec.lot or (spec.freeze > 0 and o.quantity > spec.freeze):
            return False
        if o.price <= 0 or o.price % tick or o.trigger % tick or not in_band(spec, o.price):
            return False
        if o.order_type == TYPE_SL:
            return o.trigger > 0 and (o.trigger - o.price) * o.side <= 0 and in_band(spec, o.trigger)
        return True

    cdef void _tell_match(self, VenueOrder* o, int64_t now) noexcept:
        """Matches an order that has just come or changed; says how it stands."""
        cdef int64_t before = o.filled
        self._match(o, now)
        if o.filled == before:
            self._tell(o, now)

    cdef VenueOrder* _order(self, bytes order_id) except? NULL:
        """The order of an id that `order_id_of` gave; NULL where there is none."""
        cdef uint64_t place
        if not order_id.startswith(b"P") or not order_id[1:].isdigit():
            return NULL
        number = int(order_id[1:])
        if not 0 < number <= self.n_orders:
            return NULL
        place = number - 1
        return &self.orders[place]

    def modify(self, bytes order_id not None, int order_type, int64_t quantity, int64_t price, int64_t trigger, int64_t now) -> str:
        """Changes a working order; empty, or why not. One that does not fit the exchange stays as it was."""
        cdef VenueOrder* o = self._order(order_id)
        cdef VenueOrder changed
        if o == NULL:
            return "NOT FOUND"
        if o.status != STATUS_OPEN:
            return "OVER"
        if quantity <= o.filled:
            return "QUANTITY"
        changed = o[0]
        changed.order_type, changed.quantity, changed.price, changed.trigger = <short>order_type, quantity, price, trigger
        if not self._is_fit(&self.trader.specs[o.inst], &changed):
            self._tell(o, now)
            return ""
        o.order_type, o.quantity, o.price, o.trigger = changed.order_type, quantity, price, trigger
        o.is_waiting = order_type == TYPE_SL
        self._tell_match(o, now)
        return ""

    def cancel(self, bytes order_id not None, int64_t now) -> str:
        """Ends a working order; empty, or why not."""
        cdef VenueOrder* o = self._order(order_id)
        if o == NULL:
            return "NOT FOUND"
        if o.status != STATUS_OPEN:
            return "OVER"
        o.status = STATUS_CANCELLED
        self._drop(o)
        self._tell(o, now)
        return ""

    def order_id_of(self, uint64_t order) -> str:
        """The venue's id of the core's order; empty where it has none."""
        cdef uint64_t k
        for k in range(self.n_orders):
            if self.orders[k].id == order:
                return f"P{k + 1}"
        return ""

    def take_updates(self) -> list:
        """(now, order id, dict of VenueOrder) of what happened since the last call, in order."""
        cdef int64_t k, n = self.n_updates
        self.n_updates = 0
        return [(self.updates[k].now, self.order_id_of(self.updates[k].order.id), self.updates[k].order) for k in range(n)]

    def shown(self, uint32_t inst) -> tuple:
        """(last price, best bid, its quantity, best ask, its quantity) of a name as it was last shown, paise; zeros where nothing
        was."""
        cdef Remaining* left = &self.names[inst]
        cdef Level* best = &left.level[0]
        if inst >= self.trader.market.size or left.now == 0 or left.n_levels == 0:
            return (left.last if left.now else 0), 0, 0, 0, 0
        return left.last, best.bid_p, best.bid_q, best.ask_p, best.ask_q

    def orders_now(self) -> list:
        """(order id, dict of VenueOrder) of every order of the day."""
        cdef uint64_t k
        return [(f"P{k + 1}", self.orders[k]) for k in range(self.n_orders)]

    # ---- the way there and back -----------------------------------------------------------------------------------------
    def latency(self, uint64_t order, int kind, int attempt) -> tuple:
        """(ns to the venue, ns back) of the `attempt`-th request of `kind` about an order."""
        cdef uint64_t h = mix(mix(mix(mix(0, self.seed + 1), order), <uint64_t>kind), <uint64_t>attempt)
        return self._draw(order, mix(h, 1)), self._draw(order, mix(h, 2))

    cdef int64_t _draw(self, uint64_t order, uint64_t h):
        """Measured or log-normal, in whole ms: the feed's own grain."""
        cdef double drawn
        cdef double normal = sqrt(-2.0 * log(uniform(mix(h, 3)))) * cos(6.283185307179586 * uniform(mix(h, 4)))
        cdef double stretch = 1.0
        cdef Row* r
        if self.one_way > 0:
            return self.one_way
        if 0 < order <= self.trader.n_orders:
            r = &self.trader.market.rows[self.trader.orders[order - 1].inst]
            if r.s1m > 0.0 and r.low > 0:
                stretch += PER_SIGMA * fmin(log(<double>r.high / <double>r.low) / r.s1m, MOST_SIGMA)
        if self.quantiles[QUANTILES - 1] > 0:
            drawn = stretch * self._quantile(uniform(mix(h, 3)))
        else:
            drawn = MEDIAN_NS * stretch * exp(SPREAD * normal)
        return max(<int64_t>drawn // MS_NS, <int64_t>1) * MS_NS

    cdef double _quantile(self, double share) noexcept nogil:
        """Half of a measured request: one way, ns."""
        cdef double at = share * (QUANTILES - 1)
        cdef int k = min(<int>at, QUANTILES - 2)
        return 0.5 * (self.quantiles[k] + (at - k) * (self.quantiles[k + 1] - self.quantiles[k]))
