"""Closed minutes: entered into the windows and indicators, entered once more where a gap was filled, and the forming one.

Bars belong to the minute of the trade time; one that touches a silence is dirty and leaves no trace in the statistics
(docs/market.md 0.6). Minutes that come back from candles are entered where they belong, by the code that entered all others.
"""
from libc.math cimport fmax, fmin, log
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _ext.core.clock cimport SESSION_MINUTES, day_of_minute, session_minute
from _ext.core.records cimport GAP_FILLED, WarmBar
from _ext.core.tick cimport NO_INST
from _ext.market.board cimport SCRATCH, Board
from _ext.market.chain cimport Chain
from _ext.market.indicators cimport Indicators, enter_bar
from _ext.market.rolling cimport begin_minute, push_bar
from _ext.market.silence cimport gap_limit
from _ext.market.state cimport (
    BAR_CLOSED, BAR_DIRTY, BAR_FILLED, BAR_HISTORY, BAR_STILL, BARS_KEPT, NONE_LOST, SAVE_EVERY, Bar, Row, Saved, Window)

cdef bint bar_of(const WarmBar* bar, Bar* out) noexcept nogil:
    """A candle as a bar whose high and low hold its open and close; False when its prices are none. Base and flags are the
    caller's."""
    if bar.open <= 0 or bar.close <= 0:
        return False
    out.minute, out.open, out.close = bar.minute, bar.open, bar.close
    out.high = max(bar.high, max(bar.open, bar.close))
    out.low = min(bar.low if bar.low > 0 else bar.open, min(bar.open, bar.close))
    out.volume = max(bar.volume, <int64_t>0)
    return True


cdef class Bars(Board):
    """A board with its minutes."""

    cdef void warm(self, const WarmBar* bar) noexcept nogil:
        """Enters one bar of history. The first bar of a day starts from its own open: levels never span a night."""
        cdef Row* r
        cdef Bar entry
        cdef int64_t session = session_minute(bar.minute)
        cdef int64_t day = day_of_minute(bar.minute)
        if bar.inst >= self.size or session < 0 or session >= SESSION_MINUTES or not bar_of(bar, &entry):
            return
        r = &self.rows[bar.inst]
        if r.bars_at and bar.minute <= r.entered:          # a minute counts once
            return
        entry.base = bar.open if day != r.day or r.last_close <= 0.0 else <int64_t>r.last_close
        entry.flags = BAR_HISTORY
        self._enter(r, bar.inst, &entry)
        self.closed += 1
        r.minute = bar.minute
        r.close = bar.close
        r.bar_flags = BAR_CLOSED
        r.day = day

    cdef void _enter(self, Row* r, uint32_t inst, const Bar* bar) noexcept nogil:
        """The one way into windows and indicators. After every 32 bars the state is kept, to begin again from: at once, for a
        lost minute that follows has another close and says that bars were lost."""
        cdef Window* w = &self.windows[inst]
        cdef Saved* keep
        cdef int64_t session = session_minute(bar.minute)
        cdef double base = <double>bar.base, inv_a = 1.0 / self.a[session], raw, u, reach
        raw = log(<double>bar.close / base)
        u = raw * inv_a
        reach = (fmax(<double>bar.high, base) - fmin(<double>bar.low, base)) / base
        r.path += u
        r.raw += raw
        push_bar(w, u, r.path, r.raw, <double>bar.volume, self.v[session], reach * inv_a)
        r.closed = <int32_t>w.n
        r.entered_day = day_of_minute(bar.minute)
        enter_bar(&self.indicators[inst], r.entered_day, <double>bar.high, <double>bar.low, <double>bar.close, <double>bar.volume)
        memcpy(&self.bars[<size_t>inst * BARS_KEPT + r.bars_at % BARS_KEPT], bar, sizeof(Bar))
        r.bars_at += 1
        r.entered = bar.minute
        r.last_close = <double>bar.close
        if r.gap_bars < NONE_LOST:
            r.gap_bars += 1
        if r.bars_at % SAVE_EVERY == 0:
            keep = &self.saved[2 * <size_t>inst + (r.bars_at // SAVE_EVERY & 1)]
            memcpy(&keep.window, w, sizeof(Window))
            memcpy(&keep.indicators, &self.indicators[inst], sizeof(Indicators))
            keep.path, keep.raw, keep.last_close = r.path, r.raw, r.last_close
            keep.count, keep.minute, keep.day, keep.gap_bars = r.bars_at, r.entered, r.entered_day, r.gap_bars

    cdef Saved* _state_before(self, const Row* r, uint32_t inst, int64_t minute) noexcept nogil:
        """The newer of the kept states that ends before `minute` and whose later bars are all still there; NULL: none."""
        cdef Saved* best = NULL
        cdef Saved* slot
        cdef uint64_t oldest = r.bars_at - min(r.bars_at, <uint64_t>BARS_KEPT)
        cdef int i
        for i in range(2):
            slot = &self.saved[2 * <size_t>inst + i]
            if 0 <= slot.minute < minute and oldest <= slot.count <= r.bars_at and (best == NULL or slot.count > best.count):
                best = slot
        return best

    cdef int _reenter(self, Row* r, uint32_t inst, int more, int64_t drop_from) noexcept nogil:
        """Enters the kept bars once more from a state before the first change: with the `more` bars of `scratch`, oldest first, in
        place of their own minutes, and without the others from `drop_from` on that did not come from candles. How many of the
        `more` were entered: the last of them, where the first are older than anything that can be undone."""
        cdef Bar own[BARS_KEPT]
        cdef Saved* from_
        cdef Saved* slot
        cdef Bar* ring = self.bars + <size_t>inst * BARS_KEPT
        cdef int64_t first = self.scratch[0].minute if more else drop_from
        cdef int64_t last_minute
        cdef double last_close = r.last_close
        cdef int i, k = 0, count = 0, skipped
        cdef uint64_t n
        cdef Bar bar
        from_ = self._state_before(r, inst, first)
        while from_ == NULL and k + 1 < more:      # what is too old to be put right stays lost
            k += 1
            from_ = self._state_before(r, inst, self.scratch[k].minute)
        if from_ == NULL:
            return 0
        skipped = k
        for i in range(2):                  # states of what is about to be undone are none any more
            slot = &self.saved[2 * <size_t>inst + i]
            if slot.count > from_.count:
                slot.minute = -1
        for n in range(from_.count, r.bars_at):
            own[count] = ring[n % BARS_KEPT]
            count += 1
        memcpy(&self.windows[inst], &from_.window, sizeof(Window))
        memcpy(&self.indicators[inst], &from_.indicators, sizeof(Indicators))
        r.path, r.raw, r.last_close = from_.path, from_.raw, from_.last_close
        r.bars_at, r.entered, r.entered_day, r.gap_bars = from_.count, from_.minute, from_.day, <int32_t>from_.gap_bars
        last_minute = from_.minute
        i = 0
        while i < count or k < more:
            if k < more and (i >= count or self.scratch[k].minute <= own[i].minute):
                if i < count and own[i].minute == self.scratch[k].minute:
                    i += 1
                bar = self.scratch[k]
                k += 1
            else:
                bar = own[i]
                i += 1
                if bar.minute >= drop_from and not bar.flags & BAR_FILLED:
                    r.gap_bars = 0
                    continue
            if bar.minute == last_minute + 1:
                bar.base = <int64_t>r.last_close
            elif bar.minute > last_minute + 1 and day_of_minute(bar.minute) == day_of_minute(last_minute):
                r.gap_bars = 0              # minutes between are still missing
            self._enter(r, inst, &bar)
            last_minute = bar.minute
        if r.entered < (r.minute if r.bar_flags & BAR_CLOSED else r.minute - 1):
            r.last_close = last_close       # of a lost minute that came later
        if r.minute != 0 and not r.bar_flags & BAR_CLOSED:
            i = <int>session_minute(r.minute)
            begin_minute(r, &self.windows[inst], self.a[i], self.v[i])
        return more - skipped

    cdef void backfill(self, const WarmBar* bars, int count, int64_t now) noexcept nogil:
        """Minutes of one name that were lost, from candles, oldest first; the forming minute and later ones are not taken."""
        cdef Row* r
        cdef uint32_t inst
        cdef int i, taken = 0, entered
        cdef int64_t session, before = -1
        cdef Bar* bar
        if count <= 0 or bars[0].inst >= self.size:
            return
        inst = bars[0].inst
        r = &self.rows[inst]
        if is_over(r, self.exchange_ms(now)):
            self._close_bar(r, inst)
        for i in range(count):
            session = session_minute(bars[i].minute)
            if (bars[i].inst != inst or taken == SCRATCH or session < 0 or session >= r.close_minute or bars[i].minute <= before
                    or bars[i].low <= 0 or bars[i].minute > r.minute
                    or (bars[i].minute == r.minute and not r.bar_flags & BAR_CLOSED)):
                continue
            bar = &self.scratch[taken]
            if bar_of(&bars[i], bar):
                taken += 1
                before = bar.minute
                bar.base = bar.open
                bar.flags = BAR_FILLED | BAR_CLOSED
        if taken == 0:
            return
        entered = self._reenter(r, inst, taken, <int64_t>1 << 62)
        if entered == 0:
            return
        for i in range(taken):              # the forming five minutes began in the gap
            if self.scratch[i].minute == r.minute5 * 5 < r.minute:
                r.open5 = self.scratch[i].open
        self.keep_closing(inst, NULL)
        self.emit(GAP_FILLED, inst, now, now, self.scratch[taken - entered].minute, self.scratch[taken - 1].minute, 0, entered,
                  count)

    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil:
        """Ends the forming minute: a clean bar enters the windows, a dirty one only moves the last close."""
        cdef Bar bar
        cdef double raw
        cdef int slot
        if r.minute == 0 or r.bar_flags & BAR_CLOSED:
            return
        if not r.bar_flags & BAR_DIRTY and r.last_close > 0.0:
            raw = log(<double>r.close / r.last_close)
            bar.minute, bar.open, bar.high, bar.low, bar.close = r.minute, r.open, r.high, r.low, r.close
            bar.volume, bar.base, bar.flags = r.volume, <int64_t>r.last_close, BAR_CLOSED
            self._enter(r, inst, &bar)
            self.keep_closing(inst, &bar)
            slot = <int>(r.minute & 63)
            if self.moved_minute[slot] != r.minute:
                self.moved_minute[slot] = r.minute
                self.moved[slot] = 0.0
                self.movers[slot] = 0
                memset(self.sector_moved[slot], 0, sizeof(self.sector_moved[slot]))
                memset(self.sector_movers[slot], 0, sizeof(self.sector_movers[slot]))
            self.moved[slot] += raw
            self.movers[slot] += 1
            self.sector_moved[slot][r.sector] += raw
            self.sector_movers[slot][r.sector] += 1
        else:
            r.gap_bars = 0
        r.last_close = <double>r.close
        r.bar_flags |= BAR_CLOSED
        r.gap_limit_ms = max(gap_limit(r.gaps), self.gap_floor_ms)
        r.trade_gap_limit_ms = max(gap_limit(r.trade_gaps), self.gap_floor_ms)
        self.closed += 1

    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil:
        """Begins `minute` at `price`; minutes of the day without a trade since the last bar count as still ones."""
        cdef int64_t session = session_minute(minute)
        cdef int64_t skipped, day = day_of_minute(minute)
        cdef Window* w = &self.windows[inst]
        cdef Bar still
        if day != r.day or r.last_close <= 0.0:
            r.last_close = <double>price
            r.minute5 = 0
        elif not r.bar_flags & BAR_DIRTY and r.minute != 0:
            for skipped in range(r.minute + 1, minute):
                still.minute, still.volume, still.flags = skipped, 0, BAR_STILL | BAR_CLOSED
                still.open = still.high = still.low = still.close = still.base = <int64_t>r.last_close
                self._enter(r, inst, &still)
                self.keep_closing(inst, &still)
        r.day = day
        r.minute = minute
        r.open = r.high = r.low = r.close = price
        r.volume = 0
        r.capped = 0.0
        r.bar_flags = 0
        r.updates = 0
        if self.chains.chains[inst].first != NO_INST:
            self._choose_strike(r, inst, price)
        if minute // 5 != r.minute5:
            r.minute5 = minute // 5
            r.open5 = price
            r.iv5 = r.iv
        begin_minute(r, w, self.a[session], self.v[session])

    cdef void _choose_strike(self, Row* r, uint32_t inst, int64_t price) noexcept nogil:
        """The money moved to another strike: its volatility begins where the old one's was, a smile is no spike."""
        cdef Chain* chain = &self.chains.chains[inst]
        cdef double was = chain.iv
        self.chains.choose(inst, price, self.last_update)
        chain.iv = self.chains.at_the_money(chain)
        if chain.iv > 0.0:
            if was > 0.0:
                r.iv5 *= chain.iv / was
            r.iv = chain.iv
