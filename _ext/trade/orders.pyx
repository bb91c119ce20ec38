"""Order state table and position slots: entries, the one exit order of each position, fills.

Every request is an Intent journaled before it is handed out; an answer that is lost leaves the order UNKNOWN and its slot
held until a look-up by tag resolves it. A position has at most one live exit order: it is born as the stop and modified
from then on, so the live exit quantity never exceeds the position.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from _ext.core.types cimport (
    INTENT_CANCEL, INTENT_MODIFY, INTENT_PLACE, OP_KILL, OUTCOME_AMBIGUOUS, OUTCOME_DONE, OUTCOME_HALT,
    PASS, REC_FILL, REC_GATE, REC_INTENT, REC_POSITION, REC_STATE, ROLE_ENTRY, ROLE_EXIT,
    STATUS_CANCELLED, STATUS_COMPLETE, STATUS_OPEN, STATUS_REJECTED, TYPE_LIMIT, TYPE_SL, WHY_ENTRY, WHY_GROW, WHY_PROTECT,
    WHY_REPRICE, WHY_STALE_ENTRY, Candidate, Fill, GateDecision, Instrument, Intent, OrderUpdate, PositionChange, Reply,
    StateChange)
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.trade.exits cimport marketable, stop_limit, to_tick, why_exit
from _ext.trade.fills cimport charges
from _ext.trade.gate cimport REDUCING, Gate
from _ext.trail.journal cimport Trail

cdef int64_t SECOND = 1000000000
cdef int64_t RETRY = 1000000000        # ns between attempts of an exit that was refused


cdef inline bint is_live(const Order* o) noexcept nogil:
    return ORDER_SENT <= o.state <= ORDER_WORKING


cdef class Trader:
    """Orders of `capacity` instruments; `specs` is owned by the caller and outlives this."""

    def __cinit__(self, Gate gate not None, Market market not None, Trail trail not None):
        self.gate = gate
        self.market = market
        self.trail = trail
        self.orders = <Order*>calloc(MAX_ORDERS, sizeof(Order))
        self.day_realised = <int64_t*>calloc(max(market.capacity, <uint32_t>1), sizeof(int64_t))
        self.day_charges = <int64_t*>calloc(max(market.capacity, <uint32_t>1), sizeof(int64_t))
        if self.orders == NULL or self.day_realised == NULL or self.day_charges == NULL:
            raise MemoryError("no memory for the order table")
        memset(self.slots, 0, sizeof(self.slots))

    def __dealloc__(self):
        free(self.orders)
        free(self.day_realised)
        free(self.day_charges)

    cdef void set_state(self, int what, int state, int reason, int64_t now) noexcept:
        """Changes the trading state (what 0) or the operator state (1) and says so."""
        cdef StateChange change
        change.what = what
        change.was = self.gate.state if what == 0 else self.gate.operator
        change.now_is = state
        change.reason = reason
        if change.was == state:
            return
        if what == 0:
            self.gate.state = state
        else:
            self.gate.operator = state
        self.trail.put(REC_STATE, now, &change, sizeof(change))

    # ---- requests -----------------------------------------------------------------------------------------------
    cdef Order* _new(self, Slot* s, int role, int side, int64_t now) noexcept:
        cdef Order* o
        # half the table is for exits alone
        if self.n_orders >= (<uint64_t>MAX_ORDERS if role == ROLE_EXIT else <uint64_t>MAX_ORDERS // 2):
            self.set_state(0, REDUCING, 0, now)
            return NULL
        o = &self.orders[self.n_orders]
        self.n_orders += 1
        o.id = self.n_orders
        o.inst = s.inst
        o.role = <short>role
        o.side = <short>side
        o.slot = <int32_t>(s - &self.slots[0])
        o.generation = s.generation
        o.sent = now
        return o

    cdef Slot* _claim(self, uint32_t inst, int side) noexcept:
        """A free slot made ready for a position of `inst`; NULL when there is none."""
        cdef int i
        cdef Slot* s
        for i in range(MAX_SLOTS):
            s = &self.slots[i]
            if not s.used:
                memset(s, 0, sizeof(Slot))
                self.n_positions += 1
                self.top = max(self.top, i + 1)
                s.used = 1
                s.generation = self.n_positions
                s.inst = inst
                s.side = side
                s.pause = RETRY
                s.state = ENTERING
                return s
        return NULL

    cdef Slot* _owner(self, Order* o, int64_t now) noexcept:
        """The position an order's fill belongs to. A fill that comes after its position was given up gets one of its own,
        protected like any other, and the engine stops entering: something was not as we thought."""
        cdef Slot* s = &self.slots[o.slot]
        if s.used and s.generation == o.generation:
            return s
        self.set_state(0, REDUCING, 0, now)
        if o.role != ROLE_ENTRY:
            return NULL
        s = self._claim(o.inst, o.side)
        if s == NULL:
            return NULL
        o.slot = <int32_t>(s - &self.slots[0])
        o.generation = s.generation
        s.entry = o.id
        self.market.rows[o.inst].position = o.slot + 1
        self.gate.positions += 1
        return s

    cdef void _refused(self, Slot* s, Order* o, int64_t now) noexcept:
        """An exit did not come to be: it is tried again, each time later, since the budgets must last the day."""
        o.retry_at = now + s.pause
        s.pause = min(2 * s.pause, 30 * SECOND)
        s.rejects += 1
        s.state = UNPROTECTED

    cdef bint _emit(self, Order* o, int kind, int64_t now) noexcept:
        """Journals and queues one request about `o`; False, and nothing happened, when the journal or queue is full."""
        cdef Intent intent
        cdef bint is_place = kind == INTENT_PLACE
        if self.out_count == OUTBOX:
            return False
        memset(&intent, 0, sizeof(intent))
        intent.id = o.id
        intent.serial = self.n_serials + 1
        intent.candidate = o.candidate
        intent.inst = o.inst
        intent.kind = <short>kind
        intent.role = o.role
        intent.side = o.side
        intent.order_type = <short>(o.order_type if is_place else o.new_type)
        intent.why = o.why if is_place else o.new_why
        intent.quantity = o.quantity if is_place else o.new_quantity
        intent.price = o.price if is_place else o.new_price
        intent.trigger = o.trigger if is_place else o.new_trigger
        memcpy(intent.order_id, o.order_id, sizeof(o.order_id))
        if self.trail.put(REC_INTENT, now, &intent, sizeof(intent)) == 0:
            return False
        self.n_serials += 1
        self.gate.count_request(now)
        o.busy = kind
        o.changed = now
        self.outbox[self.out_count] = intent
        self.out_count += 1
        return True

    cdef void enter(self, const Candidate* c, Row* r, int64_t now, int64_t minute) noexcept:
        """Sizes an entry for a validated candidate, asks the gate and, where it passes, places it."""
        cdef const Instrument* spec = &self.specs[c.inst]
        cdef GateDecision decision
        cdef Slot* s
        cdef Order* o
        cdef int side = c.direction
        cdef int64_t price = marketable(r, spec, side, self.gate.limits.protection)
        cdef int64_t quantity
        self.revalue()
        quantity = self.gate.size(spec, r, side, price)
        memset(&decision, 0, sizeof(decision))
        decision.candidate = c.id
        decision.inst = c.inst
        self.gate.check(c.inst, spec, r, side, quantity, price, now, minute, &decision)
        self.trail.put(REC_GATE, now, &decision, sizeof(decision))
        if decision.reason != PASS:
            return
        s = self._claim(c.inst, side)
        if s == NULL:
            return
        o = self._new(s, ROLE_ENTRY, side, now)
        if o == NULL:
            s.used = 0
            return
        o.candidate = c.id
        o.order_type = TYPE_LIMIT
        o.why = WHY_ENTRY
        o.quantity = quantity
        o.price = price
        s.entry = o.id
        o.state = ORDER_SENT
        if not self._emit(o, INTENT_PLACE, now):
            o.state = ORDER_DEAD
            s.used = 0
            self.set_state(0, REDUCING, 0, now)
            return
        r.position = o.slot + 1
        self.gate.positions += 1
        self.gate.count_entry(c.inst, now)
        self._report(s, now)

    cdef void _exit(self, Slot* s, Row* r, int why, int64_t held, int64_t now) noexcept:
        """Makes the one exit order of the slot say `why`: places it, or modifies the one that lives."""
        cdef const Instrument* spec = &self.specs[s.inst]
        cdef Order* o = &self.orders[s.exit - 1] if s.exit else NULL
        cdef Order* entry = &self.orders[s.entry - 1]
        cdef GateDecision decision
        cdef bint fresh = o == NULL or not is_live(o)
        cdef int64_t price, trigger = 0
        cdef int order_type = TYPE_LIMIT
        if why == WHY_PROTECT or why == WHY_GROW:
            order_type = TYPE_SL
            trigger = s.stop
            price = stop_limit(r, spec, -s.side, trigger)
        else:
            price = marketable(r, spec, -s.side, self.gate.limits.protection)
        if price <= 0 or (o != NULL and now < o.retry_at):
            return
        if not fresh and (o.busy or o.state < ORDER_WORKING):
            return
        if not fresh and o.order_type == order_type and o.price == price and o.quantity - o.filled == held:
            return
        memset(&decision, 0, sizeof(decision))
        decision.candidate = entry.candidate
        decision.inst = s.inst
        decision.is_exit = 1
        decision.quantity = held
        decision.price = price
        self.gate._used(now, &decision)
        if not self.gate.may_exit(now):
            return
        self.trail.put(REC_GATE, now, &decision, sizeof(decision))
        if fresh:
            o = self._new(s, ROLE_EXIT, -s.side, now)
            if o == NULL:
                return
            s.exit = o.id
            o.candidate = entry.candidate
            o.order_type, o.why, o.quantity, o.price, o.trigger = order_type, why, held, price, trigger
            o.state = ORDER_SENT
            if not self._emit(o, INTENT_PLACE, now):
                o.state = ORDER_DEAD
                self._refused(s, o, now)
                self.set_state(0, REDUCING, 0, now)
                return
            s.state = PROTECTING if order_type == TYPE_SL else CLOSING
        else:
            o.new_type, o.new_why, o.new_quantity = order_type, why, o.filled + held
            o.new_price, o.new_trigger = price, trigger
            if self._emit(o, INTENT_MODIFY, now) and order_type == TYPE_LIMIT:
                s.state = UNPROTECTED if why == WHY_REPRICE else CLOSING
        self._report(s, now)

    cdef void _manage(self, Slot* s, int64_t now) noexcept:
        """Brings the slot's orders to where they should be; called after everything that concerns it."""
        cdef Row* r = &self.market.rows[s.inst]
        cdef const Instrument* spec = &self.specs[s.inst]
        cdef Order* entry = &self.orders[s.entry - 1]
        cdef Order* o = &self.orders[s.exit - 1] if s.exit else NULL
        cdef int64_t held = s.bought - s.sold
        cdef int64_t minute = ((self.market.exchange_ms(now) + 19800000) % 86400000) // 60000 - 555
        cdef bint killed = self.gate.operator == OP_KILL
        cdef int why
        cdef bint through
        if (entry.state == ORDER_WORKING and not entry.busy and now >= entry.retry_at and self.gate.may_exit(now)
                and (killed or now - entry.sent >= self.gate.limits.entry_life)):
            entry.new_type, entry.new_why, entry.new_quantity = entry.order_type, WHY_STALE_ENTRY, entry.quantity
            entry.new_price, entry.new_trigger = entry.price, entry.trigger
            self._emit(entry, INTENT_CANCEL, now)
        if held <= 0:
            if not is_live(entry) and (o == NULL or not is_live(o)):
                self._free(s, now)
            return
        if minute >= (self.gate.limits.flat_minute_cas if spec.cas else self.gate.limits.flat_minute) + 2:
            return                                        # the broker squares off now: an exit of ours could turn it round
        why = why_exit(r, &self.gate.limits, spec.cas, s.side, s.target, s.opened, now, minute, killed)
        if why != WHY_PROTECT:
            if o == NULL or o.order_type == TYPE_SL or now - o.changed >= SECOND or not is_live(o):
                self._exit(s, r, why, held, now)
            return
        through = (r.bid > 0 and r.bid <= s.stop) if s.side > 0 else (r.ask > 0 and r.ask >= s.stop)
        if o == NULL or not is_live(o):                   # a stop on the wrong side of the price would be rejected
            self._exit(s, r, WHY_REPRICE if through or s.rejects >= 2 else WHY_PROTECT, held, now)
            return
        if o.order_type != TYPE_SL:                       # already on its way out: keep it marketable
            if now - o.changed >= SECOND:
                self._exit(s, r, WHY_REPRICE, held, now)
            return
        if not through:
            s.triggered = 0
            if o.quantity - o.filled < held:
                self._exit(s, r, WHY_GROW, held, now)
        elif s.triggered == 0:
            s.triggered = now
        elif now - s.triggered >= SECOND:
            self._exit(s, r, WHY_REPRICE, held, now)

    # ---- what comes back ----------------------------------------------------------------------------------------
    cdef void on_boot(self, int64_t now) noexcept:
        """After a restart: answers to what was under way went to a process that is gone."""
        cdef uint64_t i
        cdef Order* o
        for i in range(self.n_orders):
            o = &self.orders[i]
            if is_live(o) and o.busy:
                self._unclear(o, now)

    cdef void _unclear(self, Order* o, int64_t now) noexcept:
        """The request under way may or may not have been carried out."""
        if o.busy == INTENT_PLACE:
            o.state = ORDER_UNKNOWN
            return
        if o.busy == INTENT_MODIFY and o.new_type == TYPE_LIMIT:
            o.order_type = TYPE_LIMIT              # it may be a limit by now: no price is believed, so it is sent again
            o.price = 0
        o.busy = 0
        o.retry_at = now + RETRY

    cdef void on_reply(self, const Reply* reply, int64_t now) noexcept:
        """An answer, or the loss of one, to the request under way on an order."""
        cdef Order* o
        cdef Slot* s
        cdef int kind
        if reply.intent == 0 or reply.intent > self.n_orders:
            return
        o = &self.orders[reply.intent - 1]
        s = &self.slots[o.slot]
        kind = o.busy
        if reply.kind != kind:                     # the order stream was faster: only the broker's id is news
            if reply.kind == INTENT_PLACE and reply.outcome == OUTCOME_DONE and o.order_id[0] == 0:
                memcpy(o.order_id, reply.order_id, sizeof(o.order_id))
            return
        if reply.outcome == OUTCOME_AMBIGUOUS:
            if kind:
                self._unclear(o, now)
            return
        o.busy = 0
        if reply.outcome == OUTCOME_DONE:
            if kind == INTENT_PLACE:
                memcpy(o.order_id, reply.order_id, sizeof(o.order_id))
                if o.state == ORDER_SENT or o.state == ORDER_UNKNOWN:
                    o.state = ORDER_ACCEPTED
            elif kind == INTENT_MODIFY:
                o.order_type, o.why, o.quantity = o.new_type, o.new_why, o.new_quantity
                o.price, o.trigger = o.new_price, o.new_trigger
            else:
                o.retry_at = now + RETRY           # the cancelled state follows by the order stream
        else:
            o.retry_at = now + RETRY
            if kind == INTENT_PLACE and o.state <= ORDER_UNKNOWN:
                o.lost = o.state == ORDER_UNKNOWN
                o.state = ORDER_DEAD
            if o.role == ROLE_EXIT and s.used and s.generation == o.generation:
                self._refused(s, o, now)
            if reply.outcome == OUTCOME_HALT:
                self.set_state(0, REDUCING, reply.code, now)
        if s.used and s.generation == o.generation:
            self._manage(s, now)

    cdef void on_update(self, const OrderUpdate* update, int64_t now) noexcept:
        """State of one of our orders as the broker tells it; repeated and late ones change nothing."""
        cdef Order* o
        cdef Slot* s
        if update.intent == 0 or update.intent > self.n_orders:
            return
        o = &self.orders[update.intent - 1]
        if o.order_id[0] == 0:
            memcpy(o.order_id, update.order_id, sizeof(o.order_id))
        if update.filled > max(o.quantity, o.new_quantity):
            self.set_state(0, REDUCING, 0, now)    # more than was ever asked for: not our order's
            return
        if update.filled > o.filled:
            self._fill(o, update.filled, update.value, now)
        s = &self.slots[o.slot]
        if o.lost and not is_live(o) and update.status <= STATUS_OPEN:
            o.state = ORDER_WORKING                # given up, and there after all: away with it
            o.lost = 0
            o.new_type, o.new_why, o.new_quantity = o.order_type, WHY_STALE_ENTRY, o.quantity
            o.new_price, o.new_trigger = o.price, o.trigger
            self._emit(o, INTENT_CANCEL, now)
            return
        if not is_live(o):
            if s.used and s.generation == o.generation:
                self._manage(s, now)
            return
        if o.state <= ORDER_UNKNOWN:
            o.busy = 0
            o.state = ORDER_ACCEPTED
        if update.status == STATUS_OPEN:
            o.state = ORDER_WORKING
            if s.used and s.exit == o.id and o.order_type == TYPE_SL and s.state != PROTECTED:
                s.state = PROTECTED
                s.pause = RETRY
                s.rejects = 0
                self._report(s, now)
        elif update.status == STATUS_COMPLETE:
            o.state = ORDER_FILLED
            o.busy = 0
        elif update.status == STATUS_CANCELLED or update.status == STATUS_REJECTED:
            o.state = ORDER_DEAD
            o.busy = 0
            if s.used and s.exit == o.id and s.generation == o.generation:
                self._refused(s, o, now)
        if s.used and s.generation == o.generation:
            self._manage(s, now)

    cdef void _fill(self, Order* o, int64_t filled, int64_t value, int64_t now) noexcept:
        cdef Slot* s = self._owner(o, now)
        cdef const Instrument* spec = &self.specs[o.inst]
        cdef int64_t quantity = filled - o.filled
        cdef int64_t worth = value - o.value
        cdef int64_t total = charges(spec.kind, o.side, filled, value)
        cdef double reference
        cdef Fill fill
        memset(&fill, 0, sizeof(fill))
        fill.intent = o.id
        fill.candidate = o.candidate
        fill.inst = o.inst
        fill.side = o.side
        fill.role = o.role
        fill.quantity = quantity
        fill.price = worth // quantity
        fill.charges = total - o.charged
        o.filled = filled
        o.value = value
        o.charged = total
        if s == NULL:                              # an exit of a position long gone: in the money, in no position
            fill.realised = 0
        elif o.role == ROLE_ENTRY:
            if s.bought == 0:
                s.opened = now
            s.bought += quantity
            s.cost += worth
            reference = <double>s.cost / <double>s.bought
            s.stop = to_tick(<int64_t>(reference * (1.0 - s.side * self.gate.limits.stop)), spec.tick, s.side)
            s.target = to_tick(<int64_t>(reference * (1.0 + s.side * self.gate.limits.target)), spec.tick, -s.side)
        else:
            s.sold += quantity
            fill.realised = s.side * (worth - s.cost * quantity // max(s.bought, <int64_t>1))
        self.gate.money.realised += fill.realised
        self.gate.money.charges += fill.charges
        self.day_realised[o.inst] += fill.realised
        self.day_charges[o.inst] += fill.charges
        self.trail.put(REC_FILL, now, &fill, sizeof(fill))
        if s != NULL:
            self._report(s, now)

    cdef void on_tick(self, Row* r, int64_t now) noexcept:
        """A new quote of an instrument with a position."""
        self._manage(&self.slots[r.position - 1], now)

    cdef void on_timer(self, int64_t now) noexcept:
        cdef int i
        cdef double loss
        if self.gate.positions == 0:
            return
        self.revalue()
        loss = -<double>(self.gate.money.realised + self.gate.money.open - self.gate.money.charges)
        if self.gate.state != REDUCING and self.gate.money.equity > 0 and loss >= (
                self.gate.limits.daily_loss * <double>self.gate.money.equity):
            self.set_state(0, REDUCING, 0, now)
        for i in range(self.top):
            if self.slots[i].used:
                self._manage(&self.slots[i], now)

    cdef void revalue(self) noexcept:
        """Open profit at the side one can leave on, and exposure with working entries at their limit."""
        cdef int i
        cdef Slot* s
        cdef Row* r
        cdef Order* entry
        cdef int64_t held, price
        self.gate.money.open = self.gate.money.exposure = 0
        for i in range(self.top):
            s = &self.slots[i]
            if not s.used:
                continue
            r = &self.market.rows[s.inst]
            entry = &self.orders[s.entry - 1]
            held = s.bought - s.sold
            price = r.bid if s.side > 0 else r.ask
            if price <= 0:
                price = r.ltp
            if held > 0:
                self.gate.money.open += s.side * (held * price - s.cost * held // s.bought)
            self.gate.money.exposure += held * price
            if is_live(entry):
                self.gate.money.exposure += (entry.quantity - entry.filled) * entry.price

    cdef void _report(self, Slot* s, int64_t now) noexcept:
        cdef PositionChange p
        cdef int64_t held = s.bought - s.sold
        memset(&p, 0, sizeof(p))
        p.inst = s.inst
        p.state = s.state
        p.quantity = s.side * held
        p.average = s.cost // s.bought if s.bought else 0
        p.realised = self.day_realised[s.inst]
        p.charges = self.day_charges[s.inst]
        p.stop = s.stop
        p.target = s.target
        self.trail.put(REC_POSITION, now, &p, sizeof(p))

    cdef void _free(self, Slot* s, int64_t now) noexcept:
        s.state = FLAT
        self._report(s, now)
        s.used = 0
        self.market.rows[s.inst].position = 0
        self.gate.positions -= 1
