"""What is held: the slots of positions and working entries, and what they are worth."""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from _ext.core.clock cimport MINUTE_MS, SECOND_NS, session_minute
from _ext.core.reasons cimport Reason
from _ext.core.records cimport POS_ENTERING, POS_FLAT, REC_POSITION, ROLE_ENTRY, GateDecision, PositionChange
from _ext.core.sink cimport RecordSink
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.trade.gate cimport MAX_SECTORS, Gate
from _ext.trade.orders cimport Order
from _ext.trade.shares cimport check_share
from _ext.trade.states cimport is_live

cdef int64_t RETRY = SECOND_NS               # between attempts of an exit that was refused, doubled each time

WHOLE = {"positions": 64, "exposure": 5.0, "daily_loss": 1.0, "is_on": True}
"""Of the account, for a source of which a START record says nothing."""


cdef class Holdings(Orders):
    """Positions of `capacity` instruments; `specs` is owned by the caller and outlives this."""

    def __cinit__(self, Gate gate not None, Market market not None, RecordSink trail not None):
        cdef size_t capacity = max(market.capacity, <uint32_t>1)
        self.market = market
        self.trail = trail
        self.ledger = <Ledger*>calloc(capacity, sizeof(Ledger))
        if self.ledger == NULL:
            raise MemoryError("no memory for the positions")
        memset(self.slots, 0, sizeof(self.slots))

    def __dealloc__(self):
        free(self.ledger)

    cdef int64_t minute_of(self, int64_t now) noexcept:
        """Minutes after 09:15 by the exchange's clock."""
        return session_minute(self.market.exchange_ms(now) // MINUTE_MS)

    cdef Position* claim(self, uint32_t inst, int side) noexcept:
        """A free slot made ready for a position of `inst`; NULL when there is none."""
        cdef int i
        cdef Position* s
        for i in range(MAX_SLOTS):
            s = &self.slots[i]
            if not s.used:
                memset(s, 0, sizeof(Position))
                self.n_positions += 1
                self.top = max(self.top, i + 1)
                s.used = 1
                s.generation = self.n_positions
                s.inst = inst
                s.side = s.plan.side = side
                s.plan.cas = self.specs[inst].cas
                s.pause = RETRY
                s.state = POS_ENTERING
                s.atr = self.market.rows[inst].atr
                self.gate.positions += 1
                self.market.rows[inst].position = i + 1
                return s
        return NULL

    cdef Position* owner(self, Order* o) noexcept:
        """The position an order belongs to, NULL when that has ended."""
        cdef Position* s = &self.slots[o.slot]
        return s if s.used and s.generation == o.generation else NULL

    cdef int64_t _value(self, Position* s, int64_t price) noexcept:
        """What is held at `price`, with what its working entry may add at its limit."""
        cdef Order* entry = &self.orders[s.entry - 1] if s.entry else NULL
        cdef int64_t value = max(s.bought - s.sold, <int64_t>0) * price
        if entry != NULL and entry.role == ROLE_ENTRY and is_live(entry.state):
            value += (entry.quantity - entry.filled) * entry.price
        return value

    cdef void revalue(self) noexcept:
        """Open profit at the side one can leave on, and exposure with working entries at their limit."""
        cdef int i
        cdef uint32_t inst
        cdef Position* s
        cdef Row* r
        cdef Gate gate = self.gate
        cdef int64_t held, price, value
        gate.money.open = gate.money.exposure = 0
        memset(gate.sectors, 0, sizeof(gate.sectors))
        for i in range(self.top):
            gate.symbols[self.slots[i].inst].exposure = 0
        for i in range(self.top):
            s = &self.slots[i]
            if not s.used:
                continue
            inst = s.inst
            r = &self.market.rows[inst]
            held = s.bought - s.sold
            price = r.bid if s.side > 0 else r.ask
            if price <= 0:
                price = r.ltp
            if held > 0:
                gate.money.open += s.side * (held * price - s.left)
            value = self._value(s, price)
            gate.money.exposure += value
            gate.symbols[inst].exposure += value
            if 0 <= self.specs[inst].sector < MAX_SECTORS:
                gate.sectors[self.specs[inst].sector] += value

    cdef int take_shares(self, list sources) except -1:
        """Takes what the START record says each source may take of the account."""
        cdef int k
        for k, entry in enumerate(sources):
            limits = entry.get("limits", WHOLE)
            self.shares[k].positions, self.shares[k].exposure = limits["positions"], limits["exposure"]
            self.shares[k].daily_loss, self.shares[k].is_on = limits["daily_loss"], limits["is_on"]
        return 0

    cdef Reason _share(self, int source, double value, GateDecision* out) noexcept:
        """What the source has of the account now, against what it may take."""
        cdef int64_t positions = 0, exposure = 0, result = 0, price, held
        cdef Position* s
        cdef Row* r
        cdef int i
        for i in range(self.top):
            s = &self.slots[i]
            if not s.used or s.source != source:
                continue
            positions += 1
            r = &self.market.rows[s.inst]
            price = (r.bid if s.side > 0 else r.ask) or r.ltp
            held = s.bought - s.sold
            exposure += self._value(s, price)
            if held > 0:
                result += s.side * (held * price - s.left)
        return check_share(&self.shares[source], positions, exposure, result, value, <double>self.gate.money.equity, out)

    cdef void _report(self, Position* s, int64_t now) noexcept:
        cdef PositionChange p
        memset(&p, 0, sizeof(p))
        p.inst = s.inst
        p.state = s.state
        p.quantity = s.side * (s.bought - s.sold)
        p.average = s.cost // s.bought if s.bought else 0
        p.realised = self.ledger[s.inst].realised
        p.charges = self.ledger[s.inst].charges
        p.stop = s.plan.stop
        p.target = s.plan.target
        self.trail.put(REC_POSITION, now, &p, sizeof(p))

    cdef void _free(self, Position* s, int64_t now) noexcept:
        """The position has ended; another one of the same name keeps its place in the row."""
        cdef int i
        s.state = POS_FLAT
        self._report(s, now)
        if s.bought > 0:
            self.gate.count_result(s.net, now)
            if self.host is not None:
                self.host.tell(s.source, "exit", s[0])
        s.used = 0
        self.gate.positions -= 1
        self.market.rows[s.inst].position = 0
        for i in range(self.top):
            if self.slots[i].used and self.slots[i].inst == s.inst:
                self.market.rows[s.inst].position = i + 1
        self.revalue()
