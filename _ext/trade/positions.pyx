"""Positions: entries sized and gated, fills, and the one exit order of each position.

A position has at most one live exit order: it is born as the stop and modified from then on, so the live exit quantity never
exceeds the position. The one exception is a stop nobody can find while the price runs away: a second is sent, and should
both turn up the later one is cancelled at once (recorded as SECOND_EXIT).
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from _ext.core.clock cimport MINUTE_MS, SECOND_NS, day_of, session_minute
from _ext.core.reasons cimport BROKER_BUDGET, DAILY_LOSS, DRAWDOWN, JOURNAL_FULL, LATE_FILL, NO_FUTURE, PASS, REVERSED, SECOND_EXIT
from _ext.core.records cimport (
    INTENT_MODIFY, INTENT_PLACE, KIND_FUTURE, OP_KILL, POS_CLOSING, POS_ENTERING, POS_FLAT, POS_PROTECTED, POS_PROTECTING,
    POS_UNPROTECTED, REC_FILL, REC_GATE, REC_POSITION, REDUCING, ROLE_ENTRY, ROLE_EXIT, STATE_TRADING, TYPE_LIMIT, TYPE_SL,
    WHY_ENTRY, WHY_GROW, WHY_LATE, WHY_PROTECT, WHY_REPRICE, WHY_SHRINK, WHY_STALE_ENTRY, WHY_TRAIL, WHY_TWICE, Band, Candidate,
    Fill, GateDecision, Instrument, PositionChange)
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.trade.exits cimport in_band, marketable, plan_exits, stop_order, trailed, why_exit
from _ext.trade.fills cimport charges
from _ext.trade.gate cimport MAX_SECTORS, POLICY_ATR, Gate
from _ext.trade.orders cimport Order, Orders
from _ext.trade.states cimport ORDER_ABSENT, ORDER_ACCEPTED, ORDER_DEAD, ORDER_UNKNOWN, ORDER_WORKING, is_live
from _ext.trail.journal cimport Trail

cdef int64_t RETRY = SECOND_NS               # between attempts of an exit that was refused, doubled each time
cdef int64_t LONGEST = 30 * SECOND_NS
cdef int64_t QUIET = 2 * SECOND_NS  # a read of the positions knows what happened so long before it
cdef int64_t AUCTION_MINUTE = 360         # 15:15
cdef double AUCTION_RANGE = 0.03 - 0.0025
cdef int64_t AFTER_SQUARE_OFF = 2         # minutes: from then on an exit of ours could turn the broker's own round


cdef inline int64_t patience(const Slot* s) noexcept nogil:
    """Between re-pricings of an exit that does not fill: the broker's budgets must last the half hour."""
    return SECOND_NS if s.reprices < 10 else 5 * SECOND_NS if s.reprices < 40 else LONGEST


cdef class Trader(Orders):
    """Positions of `capacity` instruments; `specs` is owned by the caller and outlives this."""

    def __cinit__(self, Gate gate not None, Market market not None, Trail trail not None):
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

    # ---- entries --------------------------------------------------------------------------------------------------
    cdef Slot* claim(self, uint32_t inst, int side) noexcept:
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
                s.side = s.plan.side = side
                s.plan.cas = self.specs[inst].cas
                s.pause = RETRY
                s.state = POS_ENTERING
                s.atr = self.market.rows[inst].atr
                self.gate.positions += 1
                self.market.rows[inst].position = i + 1
                return s
        return NULL

    cdef Slot* owner(self, Order* o) noexcept:
        """The position an order belongs to, NULL when that has ended."""
        cdef Slot* s = &self.slots[o.slot]
        return s if s.used and s.generation == o.generation else NULL

    cdef bint _gate_entry(self, const Candidate* c, uint32_t inst, int64_t now, int64_t minute, GateDecision* out) noexcept:
        """Sizes the entry and asks the gate; what it said is recorded."""
        cdef const Instrument* spec = &self.specs[inst]
        cdef Row* r = &self.market.rows[inst]
        cdef int64_t price = marketable(r, spec, c.direction, self.gate.limits.protection)
        self.revalue()
        self.gate.money.best = max(self.gate.money.best, self.gate.result())
        self.gate.skew = self.market.min_lag_ms
        self.gate.check(inst, spec, r, c.direction, self.gate.size(spec, r, c.direction, price), price, now, minute, out)
        self.trail.put(REC_GATE, now, out, sizeof(GateDecision))
        return out.reason == PASS

    cdef void enter(self, const Candidate* c, int64_t now, int64_t minute) noexcept:
        """Places an entry for a validated candidate, in its name or in the name's future, if the gate lets it pass."""
        cdef uint32_t inst = c.inst
        cdef GateDecision decision
        cdef Slot* s
        cdef Order* o
        cdef Row* r
        memset(&decision, 0, sizeof(decision))
        decision.candidate = c.id
        decision.inst = inst
        if self.gate.limits.futures:
            inst = self.specs[inst].future
            if inst >= self.market.size:
                decision.reason = NO_FUTURE
                self.trail.put(REC_GATE, now, &decision, sizeof(decision))
                return
            decision.inst = inst
        if not self._gate_entry(c, inst, now, minute, &decision):
            return
        s = self.claim(inst, c.direction)
        if s == NULL:
            return
        o = self._new(inst, ROLE_ENTRY, c.direction, now)
        if o == NULL:
            self._free(s, now)
            return
        r = &self.market.rows[inst]
        o.slot, o.generation = <int32_t>(s - &self.slots[0]), s.generation
        o.candidate = c.id
        o.order_type = TYPE_LIMIT
        o.why = WHY_ENTRY
        o.quantity = decision.quantity
        o.price = decision.price
        s.entry = o.id
        if self.gate.limits.policy == POLICY_ATR and c.price > 0:      # the level of half the spike, in this contract's prices
            s.plan.fade = <int64_t>(0.5 * <double>(r.bid + r.ask) * (1.0 - 0.5 * (1.0 - <double>c.last_close / <double>c.price)))
        if not self._emit(o, INTENT_PLACE, now):
            o.state = ORDER_DEAD
            self._free(s, now)
            self.set_state(STATE_TRADING, REDUCING, JOURNAL_FULL, now)
            return
        self.gate.count_entry(inst, now)
        self.ledger[inst].touched = now
        self._report(s, now)

    # ---- the one exit order -----------------------------------------------------------------------------------------
    cdef void _back_off(self, Slot* s, Order* o, int64_t now) noexcept:
        """An exit did not come to be: it is tried again, each time later, since the budgets must last the day."""
        o.retry_at = now + s.pause
        s.pause = min(2 * s.pause, LONGEST)
        s.rejects += 1
        if not is_live(o.state):
            s.state = POS_UNPROTECTED

    cdef bint _may_exit(self, Slot* s, int64_t held, int64_t price, int64_t now) noexcept:
        """Whether the broker's budgets allow an exit now; recorded either way it goes out."""
        cdef GateDecision decision
        cdef bint may = self.gate.may_exit(now)
        if not may and now - self.denied < SECOND_NS:
            return False
        memset(&decision, 0, sizeof(decision))
        if not may:                                   # told once a second, tried at every chance
            self.denied = now
            decision.reason = BROKER_BUDGET
        decision.candidate = self.orders[s.entry - 1].candidate if s.entry else 0
        decision.inst = s.inst
        decision.is_exit = 1
        decision.quantity = held
        decision.price = price
        self.gate._used(now, &decision)
        self.trail.put(REC_GATE, now, &decision, sizeof(decision))
        return may

    cdef void _place_exit(self, Slot* s, int order_type, int why, int64_t held, int64_t price, int64_t trigger,
                          int64_t now) noexcept:
        cdef Row* r = &self.market.rows[s.inst]
        cdef Order* before = &self.orders[s.exit - 1] if s.exit else NULL
        cdef Order* o
        if before != NULL and before.state == ORDER_ABSENT and before.missed > 0:
            self.alarm(SECOND_EXIT, before.id, now)   # it was looked for in vain: should it turn up, there are two
            self.second_exits += 1
        o = self._new(s.inst, ROLE_EXIT, -s.side, now)
        if o == NULL:
            return
        o.slot, o.generation = <int32_t>(s - &self.slots[0]), s.generation
        s.exit = o.id
        o.candidate = self.orders[s.entry - 1].candidate if s.entry else 0
        o.order_type, o.why, o.quantity, o.price, o.trigger = order_type, why, held, price, trigger
        o.mark = r.bid if s.side > 0 else r.ask
        if not self._emit(o, INTENT_PLACE, now):
            o.state = ORDER_DEAD
            self._back_off(s, o, now)
            self.set_state(STATE_TRADING, REDUCING, JOURNAL_FULL, now)
            return
        s.state = POS_PROTECTING if order_type == TYPE_SL else POS_CLOSING

    cdef void _exit(self, Slot* s, Row* r, int why, int64_t held, int64_t now) noexcept:
        """Makes the one exit order of the slot say `why` for `held`: places it, or modifies the one that lives."""
        cdef const Instrument* spec = &self.specs[s.inst]
        cdef Order* o = &self.orders[s.exit - 1] if s.exit else NULL
        cdef bint is_stop = why == WHY_PROTECT or why == WHY_GROW or why == WHY_TRAIL
        cdef int64_t price = 0, trigger = 0
        cdef int order_type = TYPE_SL if is_stop else TYPE_LIMIT
        if why == WHY_SHRINK and o != NULL:           # what it is, for less
            order_type, price, trigger = o.order_type, o.price, o.trigger
        elif is_stop:
            trigger = s.plan.stop
            stop_order(r, spec, -s.side, &trigger, &price)
        else:
            price = marketable(r, spec, -s.side, self.gate.limits.protection)
        if price <= 0 or (o != NULL and now < o.retry_at):
            return
        if o == NULL or not is_live(o.state):
            held = self._sure(s, held)
            if held > 0 and self._may_exit(s, held, price, now):
                self._place_exit(s, order_type, why, held, price, trigger, now)
                self._report(s, now)
            return
        if not self._ready(o, now) or (o.order_type == order_type and o.quantity - o.filled == held
                                       and (o.trigger == trigger and in_band(spec, o.price) if is_stop else o.price == price)):
            return
        if not self._may_exit(s, held, price, now):
            return
        if self.gate.limits.replace and order_type != o.order_type:
            self._cancel(o, why, now)                 # its end brings a new one, see _moved
            return
        o.new_type, o.new_why, o.new_quantity = order_type, why, o.filled + held
        o.new_price, o.new_trigger = price, trigger
        if self._emit(o, INTENT_MODIFY, now) and order_type == TYPE_LIMIT:
            s.state = POS_UNPROTECTED if why == WHY_REPRICE else POS_CLOSING
            s.reprices += 1
        self._report(s, now)

    cdef int64_t _sure(self, const Slot* s, int64_t held) noexcept:
        """What of a position the broker confirms: an exit we never heard of may have filled. Only a new order is cut to it."""
        cdef const Ledger* ledger = &self.ledger[s.inst]
        if self.holdings_began <= ledger.touched + QUIET or self.market.rows[s.inst].position != 1 + (s - &self.slots[0]):
            return held
        return min(held, max(s.side * (ledger.shown - self.gate.symbols[s.inst].foreign), <int64_t>0))

    cdef bint _second(self, Slot* s, Row* r, const Order* o, int64_t now) noexcept:
        """Whether the exit that cannot be found must not be waited for: 15 s without a trace and 1 % against us."""
        cdef int64_t price = r.bid if s.side > 0 else r.ask
        return (s.rival == 0 and (o.state == ORDER_UNKNOWN or o.state == ORDER_ACCEPTED)
                and now - o.sent >= self.gate.limits.settle_exit and price > 0 and o.mark > 0
                and <double>(s.side * (o.mark - price)) >= self.gate.limits.resend_move * <double>o.mark)

    cdef Order* _one_exit(self, Slot* s, int64_t now) noexcept:
        """The exit order that counts. Where two are there, it is the earlier one, and the later is cancelled at once."""
        cdef Order* o = &self.orders[s.exit - 1] if s.exit else NULL
        cdef Order* rival = &self.orders[s.rival - 1] if s.rival else NULL
        if rival == NULL:
            return o
        if not is_live(rival.state):
            s.rival = 0
            return o
        if o == NULL or not is_live(o.state) or (s.exit > s.rival and rival.state == ORDER_WORKING):
            s.exit, s.rival = s.rival, s.exit
            o, rival = rival, o
            if rival == NULL or not is_live(rival.state):
                s.rival = 0
                return o
        if o.state == ORDER_WORKING:
            self._cancel(rival, WHY_TWICE, now)
        return o

    cdef void manage(self, Slot* s, int64_t now) noexcept:
        """Brings the slot's orders to where they should be; called after everything that concerns it."""
        cdef Row* r = &self.market.rows[s.inst]
        cdef Order* entry = &self.orders[s.entry - 1] if s.entry else NULL
        cdef Order* o = self._one_exit(s, now)
        cdef int64_t held = s.bought - s.sold
        cdef int64_t minute
        cdef bint killed = self.gate.operator == OP_KILL
        cdef int why
        if entry != NULL and is_live(entry.state) and (killed or held < 0 or now - entry.sent >= self.gate.limits.entry_life):
            self._cancel(entry, WHY_STALE_ENTRY, now)
        if held <= 0:
            if o != NULL and is_live(o.state):
                self._cancel(o, WHY_SHRINK, now)      # sold by another hand: this order would turn the position round
            elif s.rival == 0 and (entry == NULL or not is_live(entry.state)):
                self._free(s, now)
            return
        if not self.gate.reconciled:
            return                                    # after a restart: what rests stays, until the positions were read
        if s.plan.unwanted and self.holdings_began <= self.ledger[s.inst].touched + QUIET:
            return                                    # the broker's positions must confirm it: two messages may tell of one thing
        if o != NULL and is_live(o.state) and o.quantity - o.filled > held:
            self._exit(s, r, WHY_SHRINK, held, now)
            return
        minute = self.minute_of(now)
        if minute >= (self.gate.limits.flat_minute_cas if s.plan.cas else self.gate.limits.flat_minute) + AFTER_SQUARE_OFF:
            return
        if o != NULL and is_live(o.state) and self._second(s, r, o, now):
            self.alarm(SECOND_EXIT, o.id, now)
            self.second_exits += 1
            s.rival = s.exit
            s.exit = 0
            o = NULL
        why = why_exit(r, &self.gate.limits, &s.plan, now, minute, killed, self.is_blind)
        if why == WHY_PROTECT:
            self._protect(s, r, o, held, now)
        elif o == NULL or not is_live(o.state) or o.order_type == TYPE_SL:
            self._exit(s, r, why, held, now)
        elif now - o.changed >= patience(s):          # on its way out: kept marketable
            self._exit(s, r, WHY_REPRICE, held, now)

    cdef void _protect(self, Slot* s, Row* r, Order* o, int64_t held, int64_t now) noexcept:
        """Nothing says the position should end: its stop rests for all of it, and what was triggered gets filled."""
        cdef const Instrument* spec = &self.specs[s.inst]
        cdef int64_t price = r.bid if s.side > 0 else r.ask
        cdef int64_t trigger, limit
        cdef bint through
        if price > 0 and (s.best == 0 or s.side * (price - s.best) > 0):
            s.best = price
        s.plan.stop = trailed(&s.plan, &self.gate.limits, s.best, spec.tick)
        trigger = s.plan.stop                         # where the band lets it rest; one that cannot rest anywhere is through
        through = not stop_order(r, spec, -s.side, &trigger, &limit) or (price > 0 and s.side * (price - trigger) <= 0)
        if o == NULL or not is_live(o.state):         # a stop on the wrong side of the price would be rejected
            self._exit(s, r, WHY_REPRICE if through or s.rejects >= 2 else WHY_PROTECT, held, now)
            return
        if o.order_type != TYPE_SL:                   # already on its way out: kept marketable
            if now - o.changed >= patience(s):
                self._exit(s, r, WHY_REPRICE, held, now)
            return
        if through:
            if s.triggered == 0:
                s.triggered = now
            elif now - s.triggered >= SECOND_NS:
                self._exit(s, r, WHY_REPRICE, held, now)
            return
        s.triggered = 0
        if o.quantity - o.filled < held:
            self._exit(s, r, WHY_GROW, held, now)
        elif o.trigger != trigger or not in_band(spec, o.price):
            self._exit(s, r, WHY_TRAIL, held, now)

    # ---- what the order table tells -----------------------------------------------------------------------------------
    cdef void _settle(self, Order* o, int64_t now) noexcept:
        cdef Slot* s = self.owner(o)
        if s != NULL:
            self.manage(s, now)
        elif is_live(o.state) and o.state >= ORDER_ACCEPTED:
            self._cancel(o, WHY_LATE, now)            # its position has ended: away with it

    cdef void _refused(self, Order* o, int kind, int64_t now) noexcept:
        cdef Slot* s = self.owner(o)
        if s != NULL and s.exit == o.id and kind == INTENT_PLACE:      # a modify waits for the book, and for patience()
            self._back_off(s, o, now)

    cdef void _moved(self, Order* o, int was, int64_t now) noexcept:
        cdef Slot* s = self.owner(o)
        if s == NULL:
            return
        if was == ORDER_ABSENT and is_live(o.state):
            if o.role == ROLE_ENTRY:
                o.ending = 0                          # refused or given up, and there after all: manage() cancels it
                self._cancel(o, WHY_LATE, now)
            elif s.exit == 0 or s.exit == o.id or not is_live(self.orders[s.exit - 1].state):
                s.exit = o.id
            else:
                s.rival = o.id
                self.second_exits += 1
                self.alarm(SECOND_EXIT, o.id, now)
        if o.id != s.exit:
            return
        if o.state == ORDER_WORKING and o.order_type == TYPE_SL and s.state != POS_PROTECTED:
            s.state = POS_PROTECTED
            s.pause = RETRY
            s.rejects = 0
            self._report(s, now)
        elif o.state == ORDER_DEAD:
            if o.ending:                              # cancelled by us, to be sent anew as something else
                o.retry_at = now
            else:
                self._back_off(s, o, now)

    cdef void _filled(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        cdef Slot* s = self.owner(o)
        cdef double average
        cdef int64_t known = self.explained(o, quantity)
        self.ledger[o.inst].touched = now
        if known > 0:                                 # in the position already, on the broker's word
            self._book_fill(o, s, known, worth * known // quantity, 0, now)
            worth -= worth * known // quantity
            quantity -= known
        if quantity == 0:
            return
        self.ledger[o.inst].net += o.side * quantity
        if o.role == ROLE_EXIT:
            if s != NULL:
                self.exit_fill(s, o, quantity, worth, now)
            else:
                self._book_fill(o, NULL, quantity, worth, 0, now)
                self.unwanted(o.inst, o.side, quantity, worth, o.id, REVERSED, now)
            return
        if s == NULL:                                 # given up, and filled after all: protected like any other
            self.set_state(STATE_TRADING, REDUCING, LATE_FILL, now)
            s = self.claim(o.inst, o.side)
            if s == NULL:
                self._book_fill(o, NULL, quantity, worth, 0, now)
                return
            o.slot, o.generation = <int32_t>(s - &self.slots[0]), s.generation
            s.entry = o.id
        if s.bought == 0:
            s.plan.opened = now
        s.bought += quantity
        s.cost += worth
        average = <double>s.cost / <double>s.bought
        plan_exits(&s.plan, &self.gate.limits, self.specs[o.inst].tick, average, s.atr)
        self._book_fill(o, s, quantity, worth, 0, now)

    cdef int64_t explained(self, Order* o, int64_t quantity) noexcept:
        """How much of a fill the broker's positions had shown before any word of the order: that much is in `net` already.
        What was put down to others is taken back from them."""
        cdef Ledger* ledger = &self.ledger[o.inst]
        cdef int64_t known
        if ledger.presumed_at == 0 or o.sent > ledger.presumed_at or o.heard < ledger.presumed_at:
            return 0
        known = min(quantity, max(o.side * ledger.presumed_foreign, <int64_t>0))
        ledger.presumed_foreign -= o.side * known
        self.gate.symbols[o.inst].foreign -= o.side * known
        known = min(quantity - known, max(o.side * ledger.presumed, <int64_t>0))
        ledger.presumed -= o.side * known
        return known

    cdef void exit_fill(self, Slot* s, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        """A fill of an exit; what goes beyond the position is one of the other side that nobody asked for."""
        cdef int64_t held = s.bought - s.sold
        cdef int64_t part = min(quantity, held)
        cdef int64_t part_worth = worth * part // quantity
        cdef int64_t realised = 0
        if part > 0:
            s.sold += part
            realised = s.side * (part_worth - s.cost * part // s.bought)
        self._book_fill(o, s, quantity, worth, realised, now)
        if quantity > part:
            self.unwanted(o.inst, o.side, quantity - part, worth - part_worth, o.id, REVERSED, now)

    cdef Slot* unwanted(self, uint32_t inst, int side, int64_t quantity, int64_t worth, uint64_t order, int reason,
                        int64_t now) noexcept:
        """A position nobody asked for: it is taken over, and ends at once. NULL: there is no room for it."""
        cdef Slot* s
        self.set_state(STATE_TRADING, REDUCING, reason, now)
        self.alarm(reason, inst, now)
        s = self.claim(inst, side)
        if s == NULL:
            return NULL
        s.entry = order
        s.bought = quantity
        s.cost = worth
        s.plan.opened = now
        s.plan.unwanted = 1
        plan_exits(&s.plan, &self.gate.limits, self.specs[inst].tick, <double>worth / <double>max(quantity, <int64_t>1), s.atr)
        self._report(s, now)
        self.manage(s, now)
        return s

    cdef int64_t _reference(self, const Order* o) noexcept:
        """What a fill counts for until its price is told: the limit, for an order without one the trigger or the last price."""
        return o.price or o.trigger or self.market.rows[o.inst].ltp

    cdef void _repriced(self, Order* o, int64_t change, int64_t now) noexcept:
        """The broker told the average of what had been booked at the limit: cost, result and stop are set right, by a fill of 0."""
        cdef Slot* s = self.owner(o)
        cdef bint is_open = s != NULL and s.entry == o.id and s.bought > 0
        o.value += change
        if is_open:
            s.cost += change
            plan_exits(&s.plan, &self.gate.limits, self.specs[o.inst].tick, <double>s.cost / <double>s.bought, s.atr)
            change = change * s.sold // s.bought
        self._book_fill(o, s, 0, 0, -o.side * change, now)

    cdef void _book_fill(self, Order* o, Slot* s, int64_t quantity, int64_t worth, int64_t realised, int64_t now) noexcept:
        """Money and the record of one fill."""
        cdef int64_t total = charges(self.specs[o.inst].kind, o.side, o.filled, o.value, day_of(now))
        cdef Fill fill
        memset(&fill, 0, sizeof(fill))
        fill.intent = o.id
        fill.candidate = o.candidate
        fill.inst = o.inst
        fill.side = o.side
        fill.role = o.role
        fill.quantity = quantity
        fill.price = worth // quantity if quantity else o.value // o.filled
        fill.charges = total - o.charged
        fill.realised = realised
        o.charged = total
        self.gate.money.realised += fill.realised
        self.gate.money.charges += fill.charges
        self.ledger[o.inst].realised += fill.realised
        self.ledger[o.inst].charges += fill.charges
        self.trail.put(REC_FILL, now, &fill, sizeof(fill))
        if s != NULL:
            s.net += fill.realised - fill.charges
            self._report(s, now)

    # ---- time and money -----------------------------------------------------------------------------------------------
    cdef void on_tick(self, Row* r, int64_t now) noexcept:
        """A new quote of an instrument with a position."""
        self.manage(&self.slots[r.position - 1], now)

    cdef void on_bands(self, const Band* rows, int64_t n, int64_t now) noexcept:
        """The exchange takes orders at other prices from now on."""
        cdef int64_t k
        for k in range(n):
            if rows[k].inst < self.market.size:
                self._new_band(rows[k].inst, rows[k].lower, rows[k].upper, now)

    cdef void _new_band(self, uint32_t inst, int64_t lower, int64_t upper, int64_t now) noexcept:
        """What rests outside is moved inside; an exit that was refused, perhaps for the old band, is tried at once."""
        cdef Instrument* spec = &self.specs[inst]
        cdef Slot* s
        cdef int i
        if spec.lower_band == lower and spec.upper_band == upper:
            return
        spec.lower_band, spec.upper_band = lower, upper
        for i in range(self.top):
            s = &self.slots[i]
            if not s.used or s.inst != inst:
                continue
            s.pause = RETRY
            s.rejects = 0
            if s.exit and not is_live(self.orders[s.exit - 1].state):
                self.orders[s.exit - 1].retry_at = now
            self.manage(s, now)

    cdef void _before_auction(self, int64_t now) noexcept:
        """At the start of the closing auction the exchange sets the range of a stock's future anew, 3 % about the reference
        price, and cancels what lies outside. A minute before, the range that is to come is taken for the band, a quarter of a
        percent narrower since the reference is not known yet: what would be cancelled is replaced in time."""
        cdef uint32_t inst
        cdef const Instrument* spec
        cdef int64_t last, lower, upper
        self.is_auction = True
        for inst in range(self.market.size):
            spec = &self.specs[inst]
            last = self.market.rows[inst].ltp
            if spec.kind != KIND_FUTURE or last <= 0 or spec.under >= self.market.size or not self.specs[spec.under].cas:
                continue
            lower = <int64_t>(<double>last * (1.0 - AUCTION_RANGE))
            upper = <int64_t>(<double>last * (1.0 + AUCTION_RANGE))
            self._new_band(inst, max(spec.lower_band, lower), min(spec.upper_band, upper) if spec.upper_band > 0 else upper, now)

    cdef void on_feed(self, bint is_up, int64_t now) noexcept:
        """The feed came or went. Without it for too long positions are closed: nothing would tell when to."""
        self.gate.feed_up = is_up
        self.feed_lost = 0 if is_up else now if self.feed_lost == 0 else self.feed_lost
        if is_up:
            self.is_blind = False

    cdef void on_timer(self, int64_t now) noexcept:
        cdef int i
        cdef double equity = <double>self.gate.money.equity
        if self.feed_lost < 0:                        # a restart: the silence is counted from here, not from the crash
            self.feed_lost = now
        self.is_blind = self.feed_lost > 0 and now - self.feed_lost >= self.gate.limits.feed_dead
        if not self.is_auction and self.minute_of(now) >= AUCTION_MINUTE - 1:
            self._before_auction(now)
        if self.gate.positions == 0:
            return
        self.revalue()
        self.gate.money.best = max(self.gate.money.best, self.gate.result())
        if self.gate.state != REDUCING and equity > 0:
            if -<double>self.gate.result() >= self.gate.limits.daily_loss * equity:
                self.set_state(STATE_TRADING, REDUCING, DAILY_LOSS, now)
            elif <double>(self.gate.money.best - self.gate.result()) >= self.gate.limits.drawdown * equity:
                self.set_state(STATE_TRADING, REDUCING, DRAWDOWN, now)
        for i in range(self.top):
            if self.slots[i].used:
                self.manage(&self.slots[i], now)

    cdef void revalue(self) noexcept:
        """Open profit at the side one can leave on, and exposure with working entries at their limit."""
        cdef int i
        cdef uint32_t inst
        cdef Slot* s
        cdef Row* r
        cdef Order* entry
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
            entry = &self.orders[s.entry - 1] if s.entry else NULL
            held = s.bought - s.sold
            price = r.bid if s.side > 0 else r.ask
            if price <= 0:
                price = r.ltp
            if held > 0:
                gate.money.open += s.side * (held * price - s.cost * held // s.bought)
            value = max(held, <int64_t>0) * price
            if entry != NULL and entry.role == ROLE_ENTRY and is_live(entry.state):
                value += (entry.quantity - entry.filled) * entry.price
            gate.money.exposure += value
            gate.symbols[inst].exposure += value
            if 0 <= self.specs[inst].sector < MAX_SECTORS:
                gate.sectors[self.specs[inst].sector] += value

    cdef void _report(self, Slot* s, int64_t now) noexcept:
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

    cdef void _free(self, Slot* s, int64_t now) noexcept:
        """The position has ended; another one of the same name keeps its place in the row."""
        cdef int i
        s.state = POS_FLAT
        self._report(s, now)
        if s.bought > 0:
            self.gate.count_result(s.net, now)
        s.used = 0
        self.gate.positions -= 1
        self.market.rows[s.inst].position = 0
        for i in range(self.top):
            if self.slots[i].used and self.slots[i].inst == s.inst:
                self.market.rows[s.inst].position = i + 1
        self.revalue()
