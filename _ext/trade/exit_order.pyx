"""The one exit order of each position.

It is born as the stop and modified from then on, so the live exit quantity never exceeds the position. The one exception is a stop
nobody can find while the price runs away: a second is sent, and should both turn up the later one is cancelled at once (recorded as
SECOND_EXIT).
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from _ext.core.clock cimport SECOND_NS
from _ext.core.reasons cimport BROKER_BUDGET, JOURNAL_FULL, SECOND_EXIT
from _ext.core.records cimport (
    INTENT_MODIFY, INTENT_PLACE, OP_KILL, POS_CLOSING, POS_PROTECTING, POS_UNPROTECTED, REC_GATE, REDUCING, ROLE_EXIT,
    STATE_TRADING, TYPE_LIMIT, TYPE_SL, WHY_GROW, WHY_PROTECT, WHY_REPRICE, WHY_SHRINK, WHY_STALE_ENTRY, WHY_TRAIL, WHY_TWICE,
    Candidate, GateDecision, Instrument)
from _ext.market.state cimport Row
from _ext.trade.exits cimport in_band, marketable, plan_exits, stop_order, stop_trigger, trailed, why_exit
from _ext.trade.guides cimport Guide, delta_of, mapped_stop, plan_guide, remap, why_guided
from _ext.trade.holdings cimport Holdings, Ledger, Position
from _ext.trade.orders cimport Order
from _ext.trade.states cimport ORDER_ABSENT, ORDER_ACCEPTED, ORDER_DEAD, ORDER_UNKNOWN, ORDER_WORKING, is_live

cdef int64_t LONGEST = 30 * SECOND_NS
cdef int64_t QUIET = 2 * SECOND_NS  # a read of the positions knows what happened so long before it
cdef int64_t AFTER_SQUARE_OFF = 2         # minutes: from then on an exit of ours could turn the broker's own round


cdef inline int64_t patience(const Position* s) noexcept nogil:
    """Between re-pricings of an exit that does not fill: the broker's budgets must last the half hour."""
    return SECOND_NS if s.reprices < 10 else 5 * SECOND_NS if s.reprices < 40 else LONGEST


cdef class ExitOrders(Holdings):
    """Holdings with their exits. A final method is called by this class alone, and direct."""

    cdef void guide(self, Guide* guide, const Candidate* c, uint32_t inst) noexcept:
        """What a candidate says of its guide: nothing where that is not the contract's underlying."""
        cdef const Instrument* spec = &self.specs[inst]
        if c.guide == 0 or c.guide > self.market.size or spec.under != c.guide - 1:
            return
        guide.inst = c.guide
        guide.plan.side = c.side * (spec.right or 1)
        guide.plan.own_stop, guide.plan.own_target = c.own_stop, c.own_target

    cdef double _delta(self, uint32_t inst, int64_t now) noexcept:
        return delta_of(&self.specs[inst], &self.market.chains.options[inst], now)

    cdef int64_t guided_stop(self, Guide* guide, uint32_t inst, int side, double price, int64_t now) noexcept:
        """Plans the guide's exits from its last price, and gives the stop of a contract entered at `price`; 0 where the contract's
        own rule holds, for want of a fresh delta or of the guide's price."""
        cdef Row* row = &self.market.rows[guide.inst - 1]
        cdef double delta = self._delta(inst, now)
        if row.ltp <= 0:
            return 0
        plan_guide(guide, &self.gate.limits, self.specs[guide.inst - 1].tick, row, now)
        if delta == 0.0:
            return 0
        return mapped_stop(&self.specs[inst], side, delta, <int64_t>price, row.ltp, guide.plan.stop)

    cdef void planned(self, Position* s, double average, int64_t now) noexcept:
        """Stop and target from the average price of entry. With a guide they are the guide's, from its price at the first fill."""
        cdef int64_t stop = s.plan.stop
        plan_exits(&s.plan, &self.gate.limits, self.specs[s.inst].tick, average, s.atr)
        if s.guide.inst == 0:
            return
        s.plan.target = s.plan.soft = s.plan.fade = 0
        if s.guide.plan.entry == 0:
            stop = self.guided_stop(&s.guide, s.inst, s.side, average, now)
            s.guide.mapped = now if stop else 0
        if stop:
            s.plan.stop = stop

    cdef void _back_off(self, Position* s, Order* o, int64_t now) noexcept:
        """An exit did not come to be: it is tried again, each time later, since the budgets must last the day."""
        o.retry_at = now + s.pause
        s.pause = min(2 * s.pause, LONGEST)
        s.rejects += 1
        if not is_live(o.state):
            s.state = POS_UNPROTECTED

    cdef bint _may_exit(self, Position* s, int64_t held, int64_t price, int64_t now) noexcept:
        """Whether the broker's budgets allow an exit now; recorded either way it goes out."""
        cdef GateDecision decision
        cdef bint may
        memset(&decision, 0, sizeof(decision))
        may = self.gate.may_exit(now, &decision)
        if not may and now - self.denied < SECOND_NS:
            return False
        if not may:                                   # told once a second, tried at every chance
            self.denied = now
            decision.reason = BROKER_BUDGET
        decision.candidate = self.orders[s.entry - 1].candidate if s.entry else 0
        decision.inst = s.inst
        decision.is_exit = 1
        decision.quantity = held
        decision.price = price
        self.trail.put(REC_GATE, now, &decision, sizeof(decision))
        return may

    cdef void _place_exit(self, Position* s, int order_type, int why, int64_t held, int64_t price, int64_t trigger,
                          int64_t now) noexcept:
        cdef Row* r = &self.market.rows[s.inst]
        cdef Order* before = &self.orders[s.exit - 1] if s.exit else NULL
        cdef Order* o
        o = self._new(s.inst, ROLE_EXIT, -s.side, now)
        if o == NULL:
            if before != NULL:
                self._back_off(s, before, now)
            return
        if before != NULL and ((before.state == ORDER_ABSENT and before.missed > 0) or self._is_vague(before)):
            self.alarm(SECOND_EXIT, before.id, now)   # looked for in vain: should it turn up, or have filled, there are two
            self.second_exits += 1
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

    cdef void _exit(self, Position* s, Row* r, int why, int64_t held, int64_t now) noexcept:
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
            if o != NULL and self._is_vague(o) and now - self.ledger[s.inst].touched < self.gate.limits.settle_exit:
                return                                # the positions tell, at reads every 2.5 s
            held = self._sure(s, held)
            if held > 0 and self._may_exit(s, held, price, now):
                self._place_exit(s, order_type, why, held, price, trigger, now)
                self._report(s, now)
            return
        held = max(min(held, o.quantity - o.filled), self._sure(s, held))
        if not self._ready(o, now) or (o.order_type == order_type and o.quantity - o.filled == held
                                       and (o.trigger == trigger and in_band(spec, o.price) if is_stop else o.price == price)):
            return
        if not self._may_exit(s, held, price, now):
            return
        if self.gate.limits.exit_by and order_type != o.order_type:
            self._cancel(o, why, now)                 # its end brings a new one, see _moved
            return
        o.new_type, o.new_why, o.new_quantity = order_type, why, o.filled + held
        o.new_price, o.new_trigger = price, trigger
        if self._emit(o, INTENT_MODIFY, now) and order_type == TYPE_LIMIT:
            s.state = POS_UNPROTECTED if why == WHY_REPRICE else POS_CLOSING
            s.reprices += 1
        self._report(s, now)

    cdef bint _is_vague(self, const Order* o) noexcept:
        """Whether an exit has ended, and neither its last word nor a younger read of the positions tells how much it filled."""
        cdef const Ledger* ledger = &self.ledger[o.inst]
        return (o.state == ORDER_DEAD and o.doubted != 0
                and (ledger.is_unreadable or self.holdings_began <= ledger.touched + QUIET))

    cdef int64_t _sure(self, const Position* s, int64_t held) noexcept:
        """What of a position the broker confirms: an exit we never heard of may have filled. A new order is cut to it, and none
        grows beyond it. What was filled since that read, and sent after it, makes less of what it confirmed."""
        cdef const Ledger* ledger = &self.ledger[s.inst]
        if ((ledger.unseen == 0 and self.holdings_began <= ledger.touched + QUIET)
                or self.market.rows[s.inst].position != 1 + (s - &self.slots[0])):
            return held
        return min(held, max(s.side * (ledger.net + ledger.unseen), <int64_t>0))

    @cython.final
    cdef bint _second(self, Position* s, Row* r, const Order* o, int64_t now) noexcept:
        """Whether the exit that cannot be found must not be waited for: 15 s without a trace and 1 % against us."""
        cdef int64_t price = r.bid if s.side > 0 else r.ask
        return (s.rival == 0 and (o.state == ORDER_UNKNOWN or o.state == ORDER_ACCEPTED)
                and now - o.sent >= self.gate.limits.settle_exit and price > 0 and o.mark > 0
                and <double>(s.side * (o.mark - price)) >= self.gate.limits.resend_move * <double>o.mark)

    @cython.final
    cdef Order* _one_exit(self, Position* s, int64_t now) noexcept:
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

    cdef void manage(self, Position* s, int64_t now) noexcept:
        """Brings the slot's orders to where they should be; called after everything that concerns it."""
        cdef Row* r = &self.market.rows[s.inst]
        cdef Order* entry = &self.orders[s.entry - 1] if s.entry else NULL
        cdef Order* o = self._one_exit(s, now)
        cdef int64_t held = s.bought - s.sold
        cdef int64_t minute
        cdef bint killed = self.gate.operator == OP_KILL
        cdef int why
        if entry != NULL and is_live(entry.state) and (
                killed or held < 0 or s.sold > 0 or now - entry.sent >= self.gate.limits.entry_life):
            self._cancel(entry, WHY_STALE_ENTRY, now)     # an exit has filled: its rest would buy what is being left
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
        if why == WHY_PROTECT and s.guide.inst:
            why = why_guided(&s.guide, &self.market.rows[s.guide.inst - 1])
        if why == WHY_PROTECT:
            self._protect(s, r, o, held, now)
        elif o == NULL or not is_live(o.state) or o.order_type == TYPE_SL:
            self._exit(s, r, why, held, now)
        elif now - o.changed >= patience(s):          # on its way out: kept marketable
            self._exit(s, r, WHY_REPRICE, held, now)

    @cython.final
    cdef void _protect(self, Position* s, Row* r, Order* o, int64_t held, int64_t now) noexcept:
        """Nothing says the position should end: its stop rests for all of it, and what was triggered gets filled."""
        cdef const Instrument* spec = &self.specs[s.inst]
        cdef int64_t price = r.bid if s.side > 0 else r.ask
        cdef int64_t trigger
        cdef bint through
        if price > 0 and (s.best == 0 or s.side * (price - s.best) > 0):
            s.best = price
        if s.guide.inst:
            remap(&s.guide, &self.gate.limits, spec, self.specs[s.guide.inst - 1].tick, s.side, self._delta(s.inst, now), r,
                  &self.market.rows[s.guide.inst - 1], now, &s.plan.stop)
        else:
            s.plan.stop = trailed(&s.plan, &self.gate.limits, s.best, spec.tick)
        trigger = s.plan.stop                         # where the band lets it rest; one that cannot rest anywhere is through
        through = not stop_trigger(spec, -s.side, &trigger) or (price > 0 and s.side * (price - trigger) <= 0)
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
