"""Risk gate and sizing: every entry passes here, in the order of the checks below."""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from _ext.core.clock cimport MS_NS, SECOND_NS, day_of
from _ext.core.reasons cimport (
    ALREADY_IN, BANNED, BROKER_BUDGET, CLOCK_SKEW, COST_SHARE, DAILY_LOSS, DAY_BUDGET, DRAWDOWN, EXPIRY_WEEK, FEED_DOWN,
    FOREIGN_POSITION, HOUR_BUDGET, LOSING_STREAK, MAX_POSITIONS, MINUTE_BUDGET, NOT_RUNNING, NOT_TRADABLE, NO_QUOTE, OFF_LOT,
    OFF_TICK, OPERATOR, ORDER_VALUE, OUTSIDE_BAND, OUTSIDE_LPP, OUTSIDE_SESSION, OVER_FREEZE, OVER_LEVERAGE, OVER_NOTIONAL,
    PASS, SECTOR_EXPOSURE, SHORT_OPTION, SIZE_BELOW_LOT, STALE_QUOTE, STOP_OUTSIDE_BAND, SYMBOL_BUDGET, SYMBOL_EXPOSURE, SYMBOL_GAP,
    UNKNOWN_NUMBER, UNRECONCILED, Reason)
from _ext.core.records cimport KIND_EQUITY, KIND_FUTURE, KIND_OPTION, OP_RUN, RUNNING, GateDecision, Instrument
from _ext.market.state cimport Row
from _ext.trade.costs cimport charges
from _ext.trade.exits cimport POLICY_ATR, in_band, stop_of, stop_trigger, target_share

cdef enum:
    UNKNOWN_SKEW = 9223372036854775807

cdef inline Reason no(GateDecision* out, Reason reason, double measured, double limit) noexcept nogil:
    out.reason = reason
    out.measured = measured
    out.limit = limit
    return reason


cdef inline int32_t recent(const int64_t* ring, uint64_t kept, int64_t n, int64_t since, int32_t known=0) noexcept nogil:
    """How many of the last `n` times, of which `ring` has the last `kept`, are later than `since`; the last `known` are."""
    cdef int32_t count = known
    while count < n and <uint64_t>count < kept and ring[<uint64_t>(n - 1 - count) % kept] > since:
        count += 1
    return count


@cython.final
cdef class Gate:
    """Starts CLOSED with limits of zero: nothing passes before it is configured and opened."""

    def __cinit__(self, uint32_t capacity):
        self.capacity = capacity
        self.symbols = <Symbol*>calloc(max(capacity, <uint32_t>1), sizeof(Symbol))
        if self.symbols == NULL:
            raise MemoryError(f"no memory for a gate of {capacity} instruments")
        memset(&self.limits, 0, sizeof(self.limits))
        memset(&self.money, 0, sizeof(self.money))
        self.skew = UNKNOWN_SKEW

    def __dealloc__(self):
        free(self.symbols)

    cdef int configure(self, dict limits) except -1:
        """Takes the limits of a START record: every one this build knows, and no other. ValueError says which."""
        cdef Limits none
        memset(&none, 0, sizeof(none))
        known, given = set(none), set(limits)
        if known != given:
            raise ValueError(f"the limits are not those of this build: {', '.join(sorted(known ^ given))} "
                             f"{'missing' if known - given else 'unknown'}; begin a new run folder")
        self.limits = limits
        return 0

    cdef void _used(self, int64_t now, GateDecision* out) noexcept nogil:
        out.used_second = recent(self.requests, REQUESTS_KEPT, self.n_requests, now - SECOND_NS)
        out.used_minute = recent(self.requests, REQUESTS_KEPT, self.n_requests, now - 60 * SECOND_NS, out.used_second)
        out.used_half_hour = recent(self.requests, REQUESTS_KEPT, self.n_requests, now - 1800 * SECOND_NS, out.used_minute)
        out.used_hour = recent(self.entries, REQUESTS_KEPT, self.n_entries, now - 3600 * SECOND_NS)
        out.used_day = <int32_t>self.n_entries

    cdef int32_t entries_since(self, int64_t since) noexcept nogil:
        """Entry orders later than that."""
        return recent(self.entries, REQUESTS_KEPT, self.n_entries, since)

    cdef int64_t result(self) noexcept nogil:
        """Net result of the day in paise: realised and open, after charges."""
        return self.money.realised + self.money.open - self.money.charges

    cdef Reason check(self, uint32_t inst, const Instrument* spec, const Row* r, int side, int64_t quantity, int64_t price,
                      int64_t stop, int64_t now, int64_t minute, GateDecision* out) noexcept nogil:
        """PASS, or the first reason against an entry of `quantity` at the limit `price` (paise). `stop`: where its stop will rest;
        0: where the account's rule has it."""
        cdef const Limits* limits = &self.limits
        cdef int64_t last = limits.last_minute_cas if spec.cas else limits.last_minute
        cdef int64_t days, away
        cdef Reason reason
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
        if not self.reconciled or self.unreconciled:
            return no(out, UNRECONCILED, self.unreconciled, 0)
        if minute < limits.first_minute or minute >= last:
            return no(out, OUTSIDE_SESSION, minute, limits.first_minute if minute < limits.first_minute else last)
        if not spec.tradable or spec.tick <= 0 or spec.lot <= 0:
            return no(out, NOT_TRADABLE, spec.tradable, 1)
        if spec.kind != KIND_EQUITY:
            days = spec.expiry - day_of(now)
            if spec.expiry <= 0 or days < limits.expiry_days:      # physical settlement; an unknown expiry is too near
                return no(out, EXPIRY_WEEK, <double>days if spec.expiry > 0 else 0.0, limits.expiry_days)
            if spec.banned != 0:
                return no(out, BANNED, spec.banned, 0)
            if spec.kind == KIND_OPTION and side < 0:              # its loss has no bound, and its margin is not known here
                return no(out, SHORT_OPTION, side, 1)
        if self.symbols[inst].foreign != 0:
            return no(out, FOREIGN_POSITION, <double>self.symbols[inst].foreign, 0)
        if self.skew == UNKNOWN_SKEW or not -limits.skew <= self.skew * MS_NS <= limits.skew:
            return no(out, CLOCK_SKEW, <double>self.skew * 1e-3, <double>limits.skew / 1e9)
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
        if not in_band(spec, price):
            return no(out, OUTSIDE_BAND, <double>price,
                      <double>(spec.lower_band if price < spec.lower_band else spec.upper_band))
        reason = self._stop(spec, r, side, stop, out)
        if reason != PASS:
            return reason
        if spec.kind == KIND_FUTURE:
            away = price - r.ltp if price > r.ltp else r.ltp - price
            if r.ltp <= 0 or not <double>away <= limits.lpp * <double>r.ltp:
                return no(out, OUTSIDE_LPP, <double>away / <double>r.ltp if r.ltp > 0 else 1.0, limits.lpp)
        if r.position != 0:
            return no(out, ALREADY_IN, 1, 0)
        if self.positions >= limits.max_positions:
            return no(out, MAX_POSITIONS, self.positions, limits.max_positions)
        reason = self._account(inst, spec, <double>quantity * <double>price, out, now)
        if reason != PASS:
            return reason
        if limits.policy == POLICY_ATR:
            reason = self._costs(spec, r, side, quantity, price, out, now)
            if reason != PASS:
                return reason
        reason = self._budgets(inst, now, out)
        if reason != PASS:
            return reason
        return no(out, PASS, <double>quantity * <double>price / <double>self.money.equity, limits.notional)

    cdef Reason _account(self, uint32_t inst, const Instrument* spec, double value, GateDecision* out,
                         int64_t now) noexcept nogil:
        """Size, exposure and loss limits of the account."""
        cdef const Limits* limits = &self.limits
        cdef double equity = <double>self.money.equity
        cdef double share, limit
        cdef int sector = spec.sector if 0 <= spec.sector < MAX_SECTORS else 0
        if not equity > 0.0 or not value > 0.0:
            return no(out, UNKNOWN_NUMBER, equity, 0)
        if not value <= <double>limits.order_value:
            return no(out, ORDER_VALUE, value * 0.01, <double>limits.order_value * 0.01)
        if not value <= limits.notional * equity:
            return no(out, OVER_NOTIONAL, value / equity, limits.notional)
        if not <double>self.money.exposure + value <= limits.leverage * equity:
            return no(out, OVER_LEVERAGE, (<double>self.money.exposure + value) / equity, limits.leverage)
        share = (<double>self.symbols[inst].exposure + value) / equity
        if not share <= limits.symbol_exposure:
            return no(out, SYMBOL_EXPOSURE, share, limits.symbol_exposure)
        share = (<double>self.sectors[sector] + value) / equity
        limit = limits.sector_exposure if sector else min(limits.notional, limits.sector_exposure)
        if not share <= limit:
            return no(out, SECTOR_EXPOSURE, share, limit)
        share = -<double>self.result() / equity
        if not share < limits.daily_loss:
            return no(out, DAILY_LOSS, share, limits.daily_loss)
        share = <double>(self.money.best - self.result()) / equity
        if not share < limits.drawdown:
            return no(out, DRAWDOWN, share, limits.drawdown)
        if limits.losing_streak > 0 and self.losses >= limits.losing_streak and now - self.lost_at < limits.streak_pause:
            return no(out, LOSING_STREAK, self.losses, limits.losing_streak)
        return PASS

    cdef Reason _stop(self, const Instrument* spec, const Row* r, int side, int64_t stop, GateDecision* out) noexcept nogil:
        """Whether the stop of the best fill that may come, at the touch, can rest where it should."""
        cdef int64_t wanted = stop or stop_of(&self.limits, side, <double>(r.ask if side > 0 else r.bid), spec.tick)
        cdef int64_t trigger = wanted
        if stop_trigger(spec, -side, &trigger) and trigger == wanted:
            return PASS
        return no(out, STOP_OUTSIDE_BAND, <double>wanted, <double>(spec.lower_band if side > 0 else spec.upper_band))

    cdef Reason _costs(self, const Instrument* spec, const Row* r, int side, int64_t quantity, int64_t price,
                       GateDecision* out, int64_t now) noexcept nogil:
        """Charges of both legs and one spread against the target's profit (docs/market.md 4)."""
        cdef int64_t value = quantity * price
        cdef double cost = <double>(charges(spec.kind, 1, quantity, value, day_of(now))
                                    + charges(spec.kind, -1, quantity, value, day_of(now)) + quantity * (r.ask - r.bid))
        cdef double share = target_share(&self.limits, r.atr)
        if not share > 0.0:
            return no(out, UNKNOWN_NUMBER, r.atr, 0)
        share = cost / (share * <double>value)
        if not share <= self.limits.cost_share:
            return no(out, COST_SHARE, share, self.limits.cost_share)
        return PASS

    cdef Reason _budgets(self, uint32_t inst, int64_t now, GateDecision* out) noexcept nogil:
        """Entries of the name and in all, then the broker's own limits less the reserve for exits."""
        cdef const Limits* limits = &self.limits
        cdef const Symbol* symbol = &self.symbols[inst]
        cdef int32_t reserve = limits.exit_reserve
        cdef int32_t used = recent(symbol.entries, SYMBOL_KEPT, symbol.n_entries, now - 60 * SECOND_NS)
        cdef int32_t hour = recent(symbol.entries, SYMBOL_KEPT, symbol.n_entries, now - 3600 * SECOND_NS, used)
        cdef int64_t at
        if symbol.n_entries > 0:
            at = now - symbol.entries[(symbol.n_entries - 1) % SYMBOL_KEPT]
            if at < limits.symbol_gap:
                return no(out, SYMBOL_GAP, at * 1e-9, limits.symbol_gap * 1e-9)
        if used >= limits.symbol_per_minute:
            return no(out, SYMBOL_BUDGET, used, limits.symbol_per_minute)
        if hour >= limits.symbol_per_hour:
            return no(out, SYMBOL_BUDGET, hour, limits.symbol_per_hour)
        used = recent(self.entries, REQUESTS_KEPT, self.n_entries, now - 60 * SECOND_NS)
        if used >= limits.orders_per_minute:
            return no(out, MINUTE_BUDGET, used, limits.orders_per_minute)
        if out.used_hour >= limits.orders_per_hour:
            return no(out, HOUR_BUDGET, out.used_hour, limits.orders_per_hour)
        if out.used_day >= limits.orders_per_day:
            return no(out, DAY_BUDGET, out.used_day, limits.orders_per_day)
        if out.used_second >= limits.requests_per_second - reserve:
            return no(out, BROKER_BUDGET, out.used_second, limits.requests_per_second - reserve)
        if out.used_minute >= limits.requests_per_minute - 10 * reserve:
            return no(out, BROKER_BUDGET, out.used_minute, limits.requests_per_minute - 10 * reserve)
        if out.used_half_hour >= limits.requests_per_half_hour - 100 * reserve:
            return no(out, BROKER_BUDGET, out.used_half_hour, limits.requests_per_half_hour - 100 * reserve)
        return PASS

    cdef bint may_exit(self, int64_t now, GateDecision* out) noexcept nogil:
        """Exits know the broker's own limits only; `out` takes what is used of them."""
        self._used(now, out)
        return (out.used_second < self.limits.requests_per_second
                and out.used_minute < self.limits.requests_per_minute
                and out.used_half_hour < self.limits.requests_per_half_hour)

    cdef void count_request(self, int64_t now) noexcept nogil:
        self.requests[self.n_requests % REQUESTS_KEPT] = now
        self.n_requests += 1

    cdef void count_entry(self, uint32_t inst, int64_t now) noexcept nogil:
        cdef Symbol* symbol = &self.symbols[inst]
        self.entries[self.n_entries % REQUESTS_KEPT] = now
        self.n_entries += 1
        symbol.entries[symbol.n_entries % SYMBOL_KEPT] = now
        symbol.n_entries += 1

    cdef void count_result(self, int64_t net, int64_t now) noexcept nogil:
        """A position ended with `net` paise after charges."""
        if net < 0:
            self.losses += 1
            self.lost_at = now
        else:
            self.losses = 0

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
