"""Positions: entries sized and gated, what the order table tells of them, time and money. Their exits are in exit_order.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from _ext.core.clock cimport SECOND_NS, day_of
from _ext.core.reasons cimport (
    ALREADY_IN, DAILY_LOSS, DRAWDOWN, JOURNAL_FULL, LATE_FILL, NO_FUTURE, NOT_TRADABLE, OTHER_STRATEGY, OWN_STOP, PASS,
    REVERSED, SECOND_EXIT)
from _ext.core.records cimport (
    INTENT_PLACE, KIND_EQUITY, KIND_FUTURE, POS_PROTECTED, REC_FILL, REC_GATE, REDUCING, ROLE_ENTRY, ROLE_EXIT, STATE_TRADING,
    TYPE_LIMIT, TYPE_SL, WHY_ENTRY, WHY_LATE, WHY_STRATEGY, Band, Candidate, Fill, GateDecision, Instrument)
from _ext.market.state cimport Row
from _ext.trade.costs cimport charges
from _ext.trade.exit_order cimport ExitOrders
from _ext.trade.exits cimport POLICY_ATR, marketable, to_tick
from _ext.trade.guides cimport Guide
from _ext.trade.holdings cimport Ledger, Position
from _ext.trade.orders cimport Order
from _ext.trade.states cimport ORDER_ABSENT, ORDER_ACCEPTED, ORDER_DEAD, ORDER_WORKING, is_live

cdef int64_t RETRY = SECOND_NS               # between attempts of an exit that was refused, doubled each time
cdef double AUCTION_RANGE = 0.03 - 0.0025
cdef int64_t AUCTION_MINUTE = 360         # 15:15


cdef class PositionManager(ExitOrders):
    """Positions of one core."""

    # ---- entries --------------------------------------------------------------------------------------------------
    cdef bint _gate_entry(self, const Candidate* c, uint32_t inst, int64_t now, int64_t minute, GateDecision* out) noexcept:
        """Sizes the entry and asks the gate; what it said is recorded."""
        cdef const Instrument* spec = &self.specs[inst]
        cdef Row* r = &self.market.rows[inst]
        cdef int64_t price = marketable(r, spec, c.side, self.gate.limits.protection)
        cdef int64_t stop = 0
        cdef Guide guide
        memset(&guide, 0, sizeof(guide))
        self.guide(&guide, c, inst)
        if guide.inst:
            stop = self.guided_stop(&guide, inst, c.side, <double>(r.ask if c.side > 0 else r.bid), now)
        if c.own_limit > 0 and price > 0 and inst == c.inst and c.side * (c.own_limit - price) < 0:
            price = to_tick(c.own_limit, spec.tick, -c.side)
        self.revalue()
        self.gate.money.best = max(self.gate.money.best, self.gate.result())
        self.gate.skew = self.market.min_lag_ms
        self.gate.check(inst, spec, r, c.side, self.gate.size(spec, r, c.side, price), price, stop, now, minute, out)
        price = r.ask if c.side > 0 else r.bid
        if guide.inst:
            price = self.market.rows[guide.inst - 1].ltp
        elif out.reason == PASS and c.guide:
            out.reason, out.measured, out.limit = NOT_TRADABLE, <double>c.guide, <double>self.specs[inst].under + 1
        if out.reason == PASS and c.own_stop > 0 and inst == c.inst and (
                guide.plan.side or c.side) * (price - c.own_stop) <= 0:
            out.reason, out.measured, out.limit = OWN_STOP, <double>price, <double>c.own_stop
        if out.reason == PASS:
            self._share(c.source, <double>(out.quantity * out.price), out)
        if out.reason == ALREADY_IN and self.slots[r.position - 1].source != c.source:
            out.reason = OTHER_STRATEGY        # nets in one account are not invented: one position of an instrument, of one source
        self.trail.put(REC_GATE, now, out, sizeof(GateDecision))
        return out.reason == PASS

    cdef void enter(self, const Candidate* c, int64_t now, int64_t minute) noexcept:
        """Places an entry for a validated candidate, in its name or in the name's future, if the gate lets it pass."""
        cdef uint32_t inst = c.inst
        cdef GateDecision decision
        cdef Position* s
        cdef Order* o
        cdef Row* r
        memset(&decision, 0, sizeof(decision))
        decision.candidate = c.id
        decision.inst = inst
        if self.gate.limits.vehicle and self.specs[inst].kind == KIND_EQUITY:
            inst = self.specs[inst].future
            if inst >= self.market.size:
                decision.reason = NO_FUTURE
                self.trail.put(REC_GATE, now, &decision, sizeof(decision))
                return
            decision.inst = inst
        if not self._gate_entry(c, inst, now, minute, &decision):
            return
        s = self.claim(inst, c.side)
        if s == NULL:
            return
        o = self._new(inst, ROLE_ENTRY, c.side, now)
        if o == NULL:
            self._free(s, now)
            return
        r = &self.market.rows[inst]
        o.slot, o.generation = <int32_t>(s - &self.slots[0]), s.generation
        o.candidate = c.id
        o.source = s.source = c.source
        o.order_type = TYPE_LIMIT
        o.why = WHY_ENTRY
        o.quantity = decision.quantity
        o.price = decision.price
        s.entry = o.id
        self.guide(&s.guide, c, inst)
        if inst == c.inst and c.guide == 0:            # prices of the stock say nothing of its contracts
            s.plan.own_stop, s.plan.own_target = c.own_stop, c.own_target
        s.plan.own_hold = c.own_hold
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

    # ---- what the order table tells -----------------------------------------------------------------------------------
    cdef void _settle(self, Order* o, int64_t now) noexcept:
        cdef Position* s = self.owner(o)
        if s != NULL:
            self.manage(s, now)
        elif is_live(o.state) and o.state >= ORDER_ACCEPTED:
            self._cancel(o, WHY_LATE, now)            # its position has ended: away with it

    cdef void _refused(self, Order* o, int kind, int64_t now) noexcept:
        cdef Position* s = self.owner(o)
        if s != NULL and s.exit == o.id and kind == INTENT_PLACE:      # a modify waits for the book, and for patience()
            self._back_off(s, o, now)

    cdef void _moved(self, Order* o, int was, int64_t now) noexcept:
        cdef Position* s = self.owner(o)
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
            if o.doubted:                             # how much of it filled is not told: only a read from here on shows all of it
                self.ledger[o.inst].touched = now
            if o.ending:                              # cancelled by us, to be sent anew as something else
                o.retry_at = now
            else:
                self._back_off(s, o, now)

    cdef void _filled(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        cdef Position* s = self.owner(o)
        cdef double average
        cdef int64_t known = self.explained(o, quantity)
        cdef int64_t* unseen
        self.ledger[o.inst].touched = now
        if known > 0:                                 # in the position already, on the broker's word
            self._book_fill(o, s, known, worth * known // quantity, 0, now)
            worth -= worth * known // quantity
            quantity -= known
        if quantity == 0:
            return
        self.ledger[o.inst].net += o.side * quantity
        unseen = &self.ledger[o.inst].unseen
        if o.doubted == 0 and o.sent < self.ledger[o.inst].unseen_since and o.side * unseen[0] > 0:
            unseen[0] -= o.side * min(quantity, abs(unseen[0]))     # that read may have shown it; in doubt, less is sold
        if o.role == ROLE_EXIT:
            if s != NULL:
                self.exit_fill(s, o, quantity, worth, now)
                return
            known = self._offset(o, quantity, worth, now)
            worth -= worth * known // quantity
            quantity -= known
            if quantity > 0:
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
        s.left += worth
        average = <double>s.cost / <double>s.bought
        self.planned(s, average, now)
        self._book_fill(o, s, quantity, worth, 0, now)

    cdef int64_t explained(self, Order* o, int64_t quantity) noexcept:
        """How much of a fill the broker's positions had shown before any word of the order: that much is in `net` already.
        What was put down to others is taken back from them."""
        cdef Ledger* ledger = &self.ledger[o.inst]
        cdef int64_t known
        if ledger.presumed_at == 0 or o.sent > ledger.presumed_at or o.acknowledged < ledger.presumed_at:
            return 0
        known = min(quantity, max(o.side * ledger.presumed_foreign, <int64_t>0))
        ledger.presumed_foreign -= o.side * known
        self.gate.symbols[o.inst].foreign -= o.side * known
        known = min(quantity - known, max(o.side * ledger.presumed, <int64_t>0))
        ledger.presumed -= o.side * known
        return known

    cdef int64_t _offset(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        """A fill of an exit whose own position has ended, against what is held of the name now: the broker nets them. How much."""
        cdef int64_t left = quantity, part
        cdef Position* s
        cdef int i
        for i in range(self.top):
            s = &self.slots[i]
            part = min(left, s.bought - s.sold)
            if not s.used or s.inst != o.inst or s.side == o.side or part <= 0:
                continue
            self.set_state(STATE_TRADING, REDUCING, LATE_FILL, now)
            left -= part
            self.exit_fill(s, o, part, worth * part // quantity, now)
            self.manage(s, now)
        return quantity - left

    cdef void exit_fill(self, Position* s, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        """A fill of an exit; what goes beyond the position is one of the other side that nobody asked for."""
        cdef int64_t held = s.bought - s.sold
        cdef int64_t part = min(quantity, held)
        cdef int64_t part_worth = worth * part // quantity
        cdef int64_t realised = 0, paid
        if part > 0:
            s.sold += part
            paid = s.left * part // held                   # of what is held: later purchases change nothing of earlier sales
            s.left -= paid
            realised = s.side * (part_worth - paid)
        self._book_fill(o, s, quantity, worth, realised, now)
        if quantity > part:
            self.unwanted(o.inst, o.side, quantity - part, worth - part_worth, o.id, REVERSED, now)

    cdef Position* unwanted(self, uint32_t inst, int side, int64_t quantity, int64_t worth, uint64_t order, int reason,
                            int64_t now) noexcept:
        """A position nobody asked for: it is taken over, and ends at once. NULL: there is no room for it."""
        cdef Position* s
        self.set_state(STATE_TRADING, REDUCING, reason, now)
        self.alarm(reason, inst, now)
        s = self.claim(inst, side)
        if s == NULL:
            return NULL
        s.entry = order
        s.bought = quantity
        s.cost = s.left = worth
        s.plan.opened = now
        s.plan.unwanted = 1
        self.planned(s, <double>worth / <double>max(quantity, <int64_t>1), now)
        self._report(s, now)
        self.manage(s, now)
        return s

    cdef int64_t _reference(self, const Order* o) noexcept:
        """What a fill counts for until its price is told: the limit, for an order without one the trigger or the last price."""
        return o.price or o.trigger or self.market.rows[o.inst].ltp

    cdef void _repriced(self, Order* o, int64_t change, int64_t now) noexcept:
        """The broker told the average of what had been booked at the limit: cost, result and stop are set right, by a fill of 0."""
        cdef Position* s = self.owner(o)
        cdef bint is_open = s != NULL and s.entry == o.id and s.bought > 0
        o.value += change
        if is_open:
            s.cost += change
            self.planned(s, <double>s.cost / <double>s.bought, now)
            s.left += change - change * s.sold // s.bought
            change = change * s.sold // s.bought
        self._book_fill(o, s, 0, 0, -o.side * change, now)

    cdef void _book_fill(self, Order* o, Position* s, int64_t quantity, int64_t worth, int64_t realised, int64_t now) noexcept:
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
            self.shares[s.source].result += fill.realised - fill.charges
            self._report(s, now)
            if self.host is not None:
                self.host.tell(s.source, "fill", fill)

    cdef bint leave(self, uint32_t inst, int source, int64_t now) noexcept:
        """Ends the position that a source has in an instrument, or takes its entry back; False where it has none."""
        cdef Position* s
        cdef Order* entry
        if self.market.rows[inst].position == 0:
            return False
        s = &self.slots[self.market.rows[inst].position - 1]
        if not s.used or s.source != source:
            return False
        s.plan.leave = 1
        entry = &self.orders[s.entry - 1] if s.entry else NULL
        if entry != NULL and is_live(entry.state):
            self._cancel(entry, WHY_STRATEGY, now)
        self.manage(s, now)
        return True

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
        cdef Position* s
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
