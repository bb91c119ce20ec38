"""Rows, bars, windows and rings of all instruments; `on_tick` digests one update.

Traded volume is the advance of the day's cumulative volume, bars belong to the minute of the trade time, a bar that
touches a silence is dirty and leaves no trace in the statistics (DESIGN 4; MARKET 0.6, 0.7, 2). What was lost is told to the
ledger; minutes that come back from candles are entered where they belong, by the code that entered all others.
"""
from libc.math cimport NAN, fmax, fmin, log
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from _ext.core.clock cimport MINUTE_MS, MS_NS, SESSION_MINUTES, day_of, day_of_minute, session_minute
from _ext.core.records cimport (
    GAP_DISORDER, GAP_DOUBT, GAP_FILLED, GAP_JUMP, GAP_LATE, GAP_LINK, GAP_PAUSE, GAP_SILENCE, GAP_SKEW, GAP_STALL, KIND_OPTION,
    Gap, Instrument, WarmBar)
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, HAS_LTPC, NO_INST, Tick
from _ext.market.book cimport update_book
from _ext.market.chain cimport Chain, Chains
from _ext.market.indicators cimport Indicators, enter_bar
from _ext.market.indicators import NAMES as INDICATORS
from _ext.market.rolling cimport begin_minute, push_bar
from _ext.market.state cimport (
    LONG, BAR_CLOSED, BAR_DIRTY, BAR_FILLED, BAR_HISTORY, BAR_STILL, BARS_KEPT, CLOSE_GRACE_MS, GAP_BUCKETS, GAP_MIN_MS, SAVE_EVERY,
    TICK_AFTER_GAP, TICK_BAD_TIME, TICK_BOOK, TICK_DOUBTED, TICK_FIRST, TICK_LATE, TICK_NEW_BAR, TICK_OUTSIDE, TICK_REPEAT,
    TICK_SNAPSHOT, TICK_STEP_BACK, TICK_TRADED, Bar, RingTick, Row, Saved, TickInfo, Window)

cdef enum:
    NO_LAG = 9223372036854775807
    AHEAD_MS = 60000          # a trade time further ahead of the clock than this is nonsense
    SWEEP = 64                # instruments a timer looks at
    FILL_MINUTES = 50         # quiet minutes of a thin name entered into its windows as zeros
    LATE_MS = 5000            # a trade delivered later than this beyond the smallest lag is noted; 3 s make no candidate
    LATE_END_MS = 5000        # without one for so long the episode is over
    SKEW_STEP_MS = 500        # a change of the clocks' difference worth a row
    WILD_BARS = 60            # expected bars in one update that are doubted; the day's largest is 45 in one of 100 (MARKET 3.1)
    JUMP_BARS = 5             # and that are noted
    DISORDER_MINUTES = 10     # what is older is no late trade but a damaged time
    DISORDER_MS = 500         # the recorded session's steps back are 40-310 ms (MARKET 3.1)
    NONE_LOST = 1073741824
cdef int64_t STALL_NS = 3000000000

BAR_DTYPE = np.dtype([(name, "<i8") for name in ("minute", "open", "high", "low", "close", "volume", "base", "flags")])
"""numpy's view of state.pxd::Bar."""
LIVES = ("unseen", "live", "quiet", "stale", "halted", "closed", "down")
RING_DTYPE = np.dtype([("now", "<i8"), ("ltt", "<i8"), ("ltp", "<i8"), ("volume", "<i8"), ("bid", "<i8"), ("ask", "<i8"),
                       ("bid_q", "<i4"), ("ask_q", "<i4"), ("flags", "<i4"), ("pad", "<i4")])
"""numpy's view of state.pxd::RingTick."""


cdef inline int bucket_of(int64_t ms) noexcept nogil:
    """Half-octave bucket from 125 ms: 0 is anything up to it."""
    cdef int bucket = 0
    cdef int64_t edge = 125
    while ms > edge and bucket < GAP_BUCKETS - 1:
        bucket += 1
        edge = 125 << (bucket >> 1)
        if bucket & 1:
            edge += edge >> 1
    return bucket


cdef inline void count_gap(uint16_t* histogram, int64_t ms) noexcept nogil:
    cdef int i, bucket = bucket_of(ms)
    histogram[bucket] += 1
    if histogram[bucket] == 65535:
        for i in range(GAP_BUCKETS):
            histogram[i] >>= 1


cdef int32_t gap_limit(const uint16_t* histogram) noexcept nogil:
    """max(8 s, 3 x the 99th percentile of gaps), the percentile taken as its bucket's upper edge."""
    cdef int64_t total = 0, below = 0, edge = 125
    cdef int i
    for i in range(GAP_BUCKETS):
        total += histogram[i]
    if total < 100:
        return GAP_MIN_MS
    for i in range(GAP_BUCKETS):
        below += histogram[i]
        edge = 125 << (i >> 1)
        if i & 1:
            edge += edge >> 1
        if below * 100 >= total * 99:
            break
    return <int32_t>max(<int64_t>GAP_MIN_MS, 3 * edge)


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


cdef class Market:
    """State of `capacity` instruments with rings of `depth` ticks (a power of two).

    Raises ValueError for a depth that is no power of two, MemoryError when the arrays cannot be had.
    """

    def __cinit__(self, uint32_t capacity, uint32_t depth=256):
        cdef int i
        if depth & (depth - 1) or depth == 0:
            raise ValueError(f"ring depth {depth}: a power of two is needed")
        self.capacity = capacity
        self.depth = depth
        self.rows = <Row*>calloc(capacity, sizeof(Row))
        self.windows = <Window*>calloc(capacity, sizeof(Window))
        self.ring = <RingTick*>calloc(<size_t>capacity * depth, sizeof(RingTick))
        self.indicators = <Indicators*>calloc(capacity, sizeof(Indicators))
        self.bars = <Bar*>calloc(<size_t>capacity * BARS_KEPT, sizeof(Bar))
        self.saved = <Saved*>calloc(<size_t>capacity * 2, sizeof(Saved))
        if (self.rows == NULL or self.windows == NULL or self.ring == NULL or self.indicators == NULL or self.bars == NULL
                or self.saved == NULL):
            raise MemoryError(f"no memory for {capacity} instruments of {depth} ticks")
        self.chains = Chains(capacity)
        self.min_lag_ms = self.told_skew_ms = NO_LAG
        for i in range(SESSION_MINUTES):
            self.a[i] = self.v[i] = 1.0

    def __dealloc__(self):
        free(self.rows)
        free(self.windows)
        free(self.ring)
        free(self.indicators)
        free(self.bars)
        free(self.saved)

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil:
        cdef Row* r = &self.rows[inst]
        memset(r, 0, sizeof(Row))
        memset(&self.windows[inst], 0, sizeof(Window))
        memset(&self.indicators[inst], 0, sizeof(Indicators))
        self.saved[2 * <size_t>inst].minute = self.saved[2 * <size_t>inst + 1].minute = -1
        r.gap_bars = NONE_LOST
        r.peak = -1
        r.tick = max(spec.tick, <int64_t>1)
        r.close_minute = spec.close_minute
        r.kind = spec.kind
        r.sector = spec.sector if 0 <= spec.sector < SECTORS else 0
        r.gap_limit_ms = r.trade_gap_limit_ms = GAP_MIN_MS
        r.inv_a = 1.0
        self.chains.add(inst, spec)
        if inst >= self.size:
            self.size = inst + 1

    cdef void warm(self, const WarmBar* bar) noexcept nogil:
        """Enters one bar of history. The first bar of a day starts from its own open: levels never span a night."""
        cdef Row* r
        cdef Bar entry
        cdef int64_t session = session_minute(bar.minute)
        cdef int64_t day = day_of_minute(bar.minute)
        if bar.inst >= self.size or session < 0 or session >= SESSION_MINUTES or not bar_of(bar, &entry):
            return
        r = &self.rows[bar.inst]
        entry.base = bar.open if day != r.day or r.last_close <= 0.0 else <int64_t>r.last_close
        entry.flags = BAR_HISTORY
        self._enter(r, bar.inst, &entry)
        self.closed += 1
        r.minute = bar.minute
        r.close = bar.close
        r.bar_flags = BAR_CLOSED
        r.day = day

    # ---- closed minutes ------------------------------------------------------------------------------------------------
    cdef void _enter(self, Row* r, uint32_t inst, const Bar* bar) noexcept nogil:
        """The one way into windows and indicators. Every 32 bars the state before is kept, to begin again from."""
        cdef Window* w = &self.windows[inst]
        cdef Saved* keep
        cdef int64_t session = session_minute(bar.minute)
        cdef double base = <double>bar.base, inv_a = 1.0 / self.a[session], raw, u, reach
        if r.bars_at % SAVE_EVERY == 0:
            keep = &self.saved[2 * <size_t>inst + (r.bars_at // SAVE_EVERY & 1)]
            memcpy(&keep.window, w, sizeof(Window))
            memcpy(&keep.indicators, &self.indicators[inst], sizeof(Indicators))
            keep.path, keep.raw, keep.last_close = r.path, r.raw, r.last_close
            keep.count, keep.minute, keep.day, keep.gap_bars = r.bars_at, r.entered, r.entered_day, r.gap_bars
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
        self._close_if_over(r, inst, now)
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
        self.tell(GAP_FILLED, inst, now, now, self.scratch[taken - entered].minute, self.scratch[taken - 1].minute, 0, entered,
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
        r.gap_limit_ms = gap_limit(r.gaps)
        r.trade_gap_limit_ms = gap_limit(r.trade_gaps)
        self.closed += 1

    cdef void _close_if_over(self, Row* r, uint32_t inst, int64_t now) noexcept nogil:
        if r.minute != 0 and not r.bar_flags & BAR_CLOSED and (r.minute + 1) * MINUTE_MS + CLOSE_GRACE_MS < self.exchange_ms(now):
            self._close_bar(r, inst)

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
            for skipped in range(max(r.minute + 1, minute - FILL_MINUTES), minute):
                still.minute, still.volume, still.flags = skipped, 0, BAR_STILL | BAR_CLOSED
                still.open = still.high = still.low = still.close = still.base = <int64_t>r.last_close
                self._enter(r, inst, &still)
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
        self.chains.choose(inst, price, self.heard)
        chain.iv = self.chains.at_the_money(chain)
        if chain.iv > 0.0:
            if was > 0.0:
                r.iv5 *= chain.iv / was
            r.iv = chain.iv

    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session,
                     bint gap) noexcept nogil:
        """Volume, bar and minute of an update that carries a trade time."""
        cdef int64_t minute = t.ltt // MINUTE_MS
        cdef int64_t day = day_of_minute(minute)
        cdef int64_t volume = 0
        cdef bint steps_back = t.ltt < r.ltt
        if day != r.day and not steps_back:
            r.peak = -1                                # a new trade date counts from its own first update
        if t.has & (HAS_FULL | HAS_FIRST) and not (steps_back and day < r.day):
            if r.peak < 0:
                out.flags |= TICK_FIRST
                r.peak = t.vtt
            elif t.vtt > r.peak:                       # 0 after more is absent, less is a step back
                volume = t.vtt - r.peak
                r.peak = t.vtt
                out.flags |= TICK_TRADED
        elif not steps_back and (t.ltt > r.ltt or t.ltp != r.ltp):
            out.flags |= TICK_TRADED                   # ltpc mode and indices: no volume, the trade time tells
        if gap:
            volume = 0
            out.flags |= TICK_AFTER_GAP
        out.volume = volume
        if steps_back:
            out.flags |= TICK_STEP_BACK
            self.step_back += 1
            if t.ltt < r.ltt - DISORDER_MS and in_session:
                self._disorder(r, inst, minute, r.ltt - t.ltt, out.now)
            if minute == r.minute and not r.bar_flags & BAR_CLOSED:
                r.volume += volume
            return
        r.ltt = t.ltt
        r.ltp = t.ltp
        if not in_session:
            out.flags |= TICK_OUTSIDE
            return
        if minute < r.minute or (minute == r.minute and r.bar_flags & BAR_CLOSED):
            out.flags |= TICK_LATE
            self.late += 1
            self._disorder(r, inst, minute, 0, out.now)
            return
        if gap:
            r.bar_flags |= BAR_DIRTY
        if minute > r.minute:
            self._close_bar(r, inst)
            self._open_bar(r, inst, minute, t.ltp)
            out.flags |= TICK_NEW_BAR
            if gap:
                r.bar_flags |= BAR_DIRTY
        r.close = t.ltp
        if t.ltp > r.high:
            r.high = t.ltp
        if t.ltp < r.low:
            r.low = t.ltp
        r.volume += volume
        r.capped += <double>volume if <double>volume < r.expected or r.expected <= 0.0 else r.expected
        r.updates += 1

    cdef void _clock(self, int64_t now_ms, int64_t lag, uint32_t inst) noexcept nogil:
        """Follows the clocks' difference: the smallest lag of eight minutes. One update whose lag is a second smaller than
        any known is doubted until another name, or the same one twice more, says so: one wild trade time must not make
        every later update look late."""
        cdef int64_t minute = now_ms // MINUTE_MS
        cdef int i, slot = <int>(minute & 7)
        if self.min_lag_ms != NO_LAG and lag < self.min_lag_ms - 1000:
            self.doubts = self.doubts + 1 if self.doubts and lag < self.doubted_lag + 1000 else 1
            if self.doubts == 1 or (self.doubts < 3 and inst == self.doubted_inst):
                self.doubted_inst = inst
                self.doubted_lag = lag
                return
        self.doubts = 0
        if self.lag_minute[slot] != minute:
            if self.min_lag_ms != NO_LAG and (self.told_skew_ms == NO_LAG
                                              or not -SKEW_STEP_MS <= self.min_lag_ms - self.told_skew_ms <= SKEW_STEP_MS):
                self.tell(GAP_SKEW, NO_INST, now_ms * MS_NS, now_ms * MS_NS, 0, 0, 0, <double>self.min_lag_ms * 1e-3,
                          <double>self.told_skew_ms * 1e-3 if self.told_skew_ms != NO_LAG else 0.0)
                self.told_skew_ms = self.min_lag_ms
            self.lag_minute[slot] = minute
            self.lag_of[slot] = lag
            self.min_lag_ms = lag
            for i in range(8):
                if minute - 8 < self.lag_minute[i] <= minute and self.lag_of[i] < self.min_lag_ms:
                    self.min_lag_ms = self.lag_of[i]
        elif lag < self.lag_of[slot]:
            self.lag_of[slot] = lag
            if lag < self.min_lag_ms:
                self.min_lag_ms = lag

    cdef void on_tick(self, Row* r, uint32_t inst, const Tick* t, int64_t now, TickInfo* out) noexcept nogil:
        """Digests one update of `inst` received at `now`."""
        cdef int64_t now_ms = now // MS_NS
        cdef int64_t lag, silence, trade_silence, session
        cdef bint is_pause, gap = False
        cdef RingTick* slot
        if now - self.heard > STALL_NS and self.heard != 0:
            self.stalled = now
            silence = self._in_hours(self.heard)
            if self._in_session(now) and now - silence > STALL_NS:
                self.tell(GAP_STALL, NO_INST, silence, now, self._minute_at(silence), self._minute_at(now), 0,
                          <double>(now - silence) * 1e-9, STALL_NS * 1e-9)
        self.heard = now
        out.now = now
        out.volume = out.lag_ms = 0
        out.ltt = t.ltt
        out.ltp = t.ltp
        out.flags = update_book(r, t, now)
        out.minute = -1
        if r.flowing == 0 and not self.is_snapshot and r.entered_day == day_of(now) and self._in_session(now):
            # history of today was entered: what traded between its last minute and now was missed
            r.flowing = min(now, now - (self.exchange_ms(now) - (r.entered + 1) * MINUTE_MS) * MS_NS)
        if r.flowing != 0:
            silence = (now - r.flowing) // MS_NS
            gap = silence > r.gap_limit_ms
            if gap and not self.is_snapshot:
                self.gaps += 1
                self._lost(r, inst, t, now)
            if not gap or (r.flowing >= self.stalled and not self.is_snapshot):
                count_gap(r.gaps, silence)       # its own rate; a silence of all names says nothing of it
        if not self.is_snapshot or r.flowing == 0:
            r.flowing = now
        if t.has & (HAS_FULL | HAS_FIRST) and t.iv > 0.0:
            r.iv = t.iv
        if t.has & HAS_LTPC and t.ltp > 0 and t.ltt > 0:
            lag = now_ms - t.ltt
            if lag < -AHEAD_MS:
                out.flags |= TICK_BAD_TIME
                self.bad_time += 1
            else:
                self._clock(now_ms, lag, inst)
                out.lag_ms = max(lag - self.min_lag_ms, <int64_t>0)
                session = session_minute(t.ltt // MINUTE_MS)
                if 0 <= session < r.close_minute:
                    out.minute = <int32_t>session
                if r.ltt != 0 and t.ltt > r.ltt:
                    trade_silence = t.ltt - r.ltt
                    is_pause = trade_silence > r.trade_gap_limit_ms
                    if not is_pause:
                        count_gap(r.trade_gaps, trade_silence)
                    elif (not gap and not self.is_snapshot
                          and day_of_minute(t.ltt // MINUTE_MS) == day_of_minute(r.ltt // MINUTE_MS)):
                        count_gap(r.trade_gaps, trade_silence)
                        if out.minute >= 0:      # nobody traded while updates came: nothing is lost, and nothing counts across it
                            self.tell(GAP_PAUSE, inst, now - trade_silence * MS_NS, now, r.ltt // MINUTE_MS, t.ltt // MINUTE_MS, 0,
                                      <double>trade_silence * 1e-3, <double>r.trade_gap_limit_ms * 1e-3)
                    gap = gap or is_pause
                if r.doubted_gap:
                    gap = True
                if not (t.ltt == r.ltt and t.ltp == r.ltp and (t.vtt == r.peak or t.vtt == 0)) or gap:
                    if self._is_wild(r, t, inst, now, gap):
                        out.flags |= TICK_DOUBTED
                    else:
                        r.doubted_gap = 0
                        self._trade(r, inst, t, out, out.minute >= 0, gap)
                        if out.flags & TICK_TRADED and out.lag_ms > LATE_MS:
                            self._late(out.lag_ms, now)
                elif not out.flags:
                    out.flags = TICK_REPEAT
                    self.repeats += 1
        if r.kind == KIND_OPTION:
            self._volatility(r, inst, t, out)
        r.seen = now
        if self.is_snapshot:
            out.flags |= TICK_SNAPSHOT
        if out.flags & (TICK_TRADED | TICK_BOOK) or r.changed == 0:
            r.changed = now
            r.echoes = 0
        elif self.is_snapshot:
            r.echoes += 1
        slot = &self.ring[<size_t>inst * self.depth + (r.ring_at & (self.depth - 1))]
        r.ring_at += 1
        slot.now = now
        slot.ltt = t.ltt
        slot.ltp = t.ltp
        slot.volume = out.volume
        slot.bid = r.bid
        slot.ask = r.ask
        slot.bid_q = <int32_t>min(r.bid_q, <int64_t>2147483647)
        slot.ask_q = <int32_t>min(r.ask_q, <int64_t>2147483647)
        slot.flags = out.flags

    cdef void _volatility(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out) noexcept nogil:
        """An option's update, for itself and for the volatility at the money of its underlying."""
        cdef uint32_t under = self.chains.options[inst].under
        cdef Chain* chain
        cdef double iv
        if under >= self.size:
            return
        iv = self.chains.on_tick(inst, t, self.rows[under].ltp, out.now, out.flags & (TICK_TRADED | TICK_FIRST) != 0)
        if iv > 0.0:
            r.iv = iv
        chain = &self.chains.chains[under]
        if (inst == chain.call or inst == chain.put) and chain.iv > 0.0:
            self.rows[under].iv = chain.iv
            if self.rows[under].iv5 == 0.0:
                self.rows[under].iv5 = chain.iv

    cdef void on_timer(self, int64_t now) noexcept nogil:
        """Closes minutes that ended, 64 names a call; the others close at their next tick."""
        cdef uint32_t _i
        cdef Row* r
        if self.late_begin != 0 and now - self.late_last > LATE_END_MS * MS_NS:
            self._late(0, now)
        if self.size == 0 or self.min_lag_ms == NO_LAG:
            return
        for _i in range(min(<uint32_t>SWEEP, self.size)):
            r = &self.rows[self.sweep]
            self._close_if_over(r, self.sweep, now)
            self.sweep = self.sweep + 1 if self.sweep + 1 < self.size else 0

    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil:
        """The exchange's clock at receipt time `now`, as far as the smallest lag tells."""
        return now // MS_NS - (self.min_lag_ms if self.min_lag_ms != NO_LAG else 0)

    # ---- what is missing -----------------------------------------------------------------------------------------------
    cdef void tell(self, int kind, uint32_t inst, int64_t begin, int64_t end, int64_t first, int64_t last, int64_t volume,
                   double measured, double limit) noexcept nogil:
        """A row for the ledger; the core takes it to the journal before the record under way ends."""
        cdef Gap* gap
        if self.n_told == TOLD:
            return
        gap = &self.told[self.n_told]
        self.n_told += 1
        gap.inst, gap.kind, gap.begin, gap.end, gap.first_minute, gap.last_minute = inst, kind, begin, end, first, last
        gap.volume, gap.measured, gap.limit = volume, measured, limit

    cdef int64_t _minute_at(self, int64_t now) noexcept nogil:
        """The exchange's minute at receipt time `now`."""
        return self.exchange_ms(now) // MINUTE_MS

    cdef bint _in_session(self, int64_t now) noexcept nogil:
        return 0 <= session_minute(self._minute_at(now)) < SESSION_MINUTES - 5

    cdef int64_t _in_hours(self, int64_t begin) noexcept nogil:
        """`begin`, or the receipt time of its day's open where that is later: what was before it is no loss."""
        cdef int64_t early = -session_minute(self._minute_at(begin))
        return begin + (MINUTE_MS * early - self.exchange_ms(begin) % MINUTE_MS) * MS_NS if early > 0 else begin

    cdef void _lost(self, Row* r, uint32_t inst, const Tick* t, int64_t now) noexcept nogil:
        """A name is back after a silence its own rate does not explain: its minutes since then are not whole, also those the timer
        has closed in the meantime."""
        cdef int64_t since = self._in_hours(r.flowing)
        cdef int64_t first = self._minute_at(since), last = self._minute_at(now), volume = 0
        if now - since <= <int64_t>r.gap_limit_ms * MS_NS:
            return
        if session_minute(first) >= r.close_minute or day_of_minute(last) != day_of_minute(first):
            return                          # closed in between: nothing was to be had
        if session_minute(last) < 0:
            return
        if t.has & (HAS_FULL | HAS_FIRST) and r.peak >= 0 and t.vtt > r.peak:
            volume = t.vtt - r.peak
        self.tell(GAP_SILENCE, inst, since, now, first, last, volume, <double>(now - since) * 1e-9,
                  <double>r.gap_limit_ms * 1e-3)
        if r.entered >= first and r.bars_at:
            self._reenter(r, inst, 0, first)

    cdef void _disorder(self, Row* r, uint32_t inst, int64_t minute, int64_t ms, int64_t now) noexcept nogil:
        """A trade of `minute` came too late for its bar: told once, what it and the minutes since were is to be looked up."""
        if r.disordered != minute and r.minute != 0 and not self.is_snapshot and minute > r.minute - DISORDER_MINUTES:
            r.disordered = minute
            self.tell(GAP_DISORDER, inst, now, now, minute, r.minute, 0, <double>ms * 1e-3, DISORDER_MS * 1e-3)

    cdef bint _is_wild(self, Row* r, const Tick* t, uint32_t inst, int64_t now, bint gap) noexcept nogil:
        """Whether to wait for a second update: a tenth away from the last price, or more volume in one update than an hour has.
        Nothing NSE sends looks so (MARKET 3.1), a damaged number does, and one believed would spoil the day's volume."""
        cdef int64_t more = t.vtt - r.peak if t.has & (HAS_FULL | HAS_FIRST) and r.peak >= 0 else 0
        cdef bint wild = False
        cdef double most = WILD_BARS * r.expected * (1.0 + <double>max(t.ltt - r.ltt, <int64_t>0) / 60000.0)
        if r.ltp <= 0 or r.kind == KIND_OPTION:
            r.doubted_ltp = 0
            return False
        if t.ltt < r.ltt:                   # an older trade: its price counts for nothing, its volume must not spoil the day's
            return r.expected > 0.0 and <double>more > most
        wild = t.ltp * 10 > r.ltp * 11 or t.ltp * 10 < r.ltp * 9
        if r.expected > 0.0:
            if <double>more > most:
                wild = True
            elif <double>more > JUMP_BARS * r.expected and not gap:
                self.tell(GAP_JUMP, inst, r.seen, now, 0, 0, more, <double>more / r.expected, JUMP_BARS)
        if not wild:
            r.doubted_ltp = 0
            return False
        if (r.doubted_ltp > 0 and t.ltp * 50 < r.doubted_ltp * 51 and t.ltp * 50 > r.doubted_ltp * 49
                and t.vtt >= r.doubted_vtt and <double>(t.vtt - r.doubted_vtt) <= WILD_BARS * fmax(r.expected, 1.0)):
            r.doubted_ltp = 0
            return False
        r.doubted_ltp, r.doubted_vtt = t.ltp, t.vtt
        r.doubted_gap = gap
        self.doubted += 1
        self.tell(GAP_DOUBT, inst, now, now, 0, 0, more, <double>t.ltp, <double>r.ltp)
        return True

    cdef void _late(self, int64_t lag_ms, int64_t now) noexcept nogil:
        """Follows deliveries that are late; `lag_ms` 0: the episode is over."""
        if self.late_begin != 0 and now - self.late_last > LATE_END_MS * MS_NS:
            self.tell(GAP_LATE, NO_INST, self.late_begin, self.late_last, self._minute_at(self.late_begin),
                      self._minute_at(self.late_last), 0, <double>self.late_most_ms * 1e-3, LATE_MS * 1e-3)
            self.late_begin = 0
        if lag_ms > 0:
            if self.late_begin == 0:
                self.late_begin = now
                self.late_most_ms = 0
            self.late_last = now
            self.late_most_ms = max(self.late_most_ms, lag_ms)

    cdef void on_link(self, bint is_up, int code, int64_t now) noexcept nogil:
        """The last connection went, or the first came back."""
        cdef int64_t first, last
        if is_up and self.down != 0:
            first, last = self._minute_at(self._in_hours(self.down)), self._minute_at(now)
            if last < first or self.min_lag_ms == NO_LAG:     # before the open, or before anything was heard
                first = last = 0
            self.tell(GAP_LINK, NO_INST, self.down, now, first, last, 0, <double>(now - self.down) * 1e-9, code)
            self.down = 0
        elif not is_up and self.down == 0:
            self.down = now

    cdef int life(self, uint32_t inst, int64_t now) noexcept nogil:
        """How a name does at `now` (Life), by its own rate and its own session."""
        cdef const Row* r = &self.rows[inst]
        cdef int64_t session = session_minute(self._minute_at(now))
        cdef int64_t silence = (now - r.seen) // MS_NS
        if not 0 <= session < r.close_minute:
            return LIFE_CLOSED
        if self.down != 0 or now - self.heard > STALL_NS:
            return LIFE_DOWN
        if r.seen == 0:
            return LIFE_UNSEEN
        if r.echoes >= 2 and (now - r.changed) // MS_NS > r.gap_limit_ms:
            return LIFE_HALTED
        if silence > r.gap_limit_ms:
            return LIFE_STALE
        return LIFE_QUIET if silence > r.gap_limit_ms // 3 else LIFE_LIVE

    cdef double market_move(self, int64_t minute, int minutes) noexcept nogil:
        """Sum over the last closed minutes of the mean log return of all names that closed a clean bar in them."""
        cdef double total = 0.0
        cdef int64_t m
        for m in range(minute - minutes, minute):
            if self.moved_minute[m & 63] == m and self.movers[m & 63] > 0:
                total += self.moved[m & 63] / self.movers[m & 63]
        return total

    cdef double sector_move(self, int sector, int64_t minute, int minutes) noexcept nogil:
        """Likewise, of the names of one sector; NaN where the sector is not known or nobody of it closed a bar."""
        cdef double total = 0.0
        cdef int count = 0
        cdef int64_t m
        for m in range(minute - minutes, minute):
            if self.moved_minute[m & 63] == m and self.sector_movers[m & 63][sector] > 0:
                total += self.sector_moved[m & 63][sector] / self.sector_movers[m & 63][sector]
                count += 1
        return total if sector > 0 and count > 0 else NAN

    # ---- Python's door ------------------------------------------------------------------------------------------
    def liveness(self, int64_t now):
        """How every name does at `now` (ns): int8 array by row, values index LIVES."""
        out = np.empty(self.size, np.int8)
        cdef signed char[::1] view = out
        cdef uint32_t i
        for i in range(self.size):
            view[i] = <signed char>self.life(i, now)
        return out

    def exchange_now(self, int64_t now):
        """The exchange's clock at receipt time `now`, ns, as far as the smallest lag tells."""
        return self.exchange_ms(now) * MS_NS

    def unseen(self, const uint32_t[::1] insts not None, int64_t since):
        """Which of `insts` no update has come for since `since` (ns)."""
        cdef Py_ssize_t i
        return [insts[i] for i in range(insts.shape[0]) if insts[i] < self.size and self.rows[insts[i]].seen < since]

    def has_filled(self, uint32_t inst, int64_t minute):
        """Whether a minute of a name was entered from its candle: it is whole, whatever else is missed of it."""
        cdef const Bar* bar
        cdef int i
        if inst < self.size:
            for i in range(BARS_KEPT):
                bar = &self.bars[<size_t>inst * BARS_KEPT + i]
                if bar.minute == minute and bar.flags & BAR_FILLED:
                    return True
        return False

    def kept_bars(self, uint32_t inst):
        """The last closed minutes of one name that entered its windows, oldest first: a copy, BAR_DTYPE, at most 64."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        cdef Bar[::1] view = <Bar[:BARS_KEPT]>(self.bars + <size_t>inst * BARS_KEPT)
        count = int(self.rows[inst].bars_at)
        ring = np.asarray(view).view(BAR_DTYPE)
        return np.roll(ring, -(count % BARS_KEPT))[max(BARS_KEPT - count, 0):].copy()

    def indicators_at(self, uint32_t inst) -> dict:
        """Indicators of one name after its last closed minute; `gap_bars` tells how many bars ago a minute was lost for good."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        cdef dict values = self.indicators[inst]
        return {name: values[name] for name in INDICATORS} | {"gap_bars": self.rows[inst].gap_bars}

    def window(self, uint32_t inst) -> dict:
        """The rolling windows of one name, oldest bar first."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        cdef Window* w = &self.windows[inst]
        kept = min(int(w.n), LONG)
        order = [(int(w.n) - kept + k) % LONG for k in range(kept)]
        return {"u": [w.u[k] for k in order], "volume": [w.volume[k] for k in order], "range": [w.range[k] for k in order],
                "share": [w.share[k] for k in order]}

    def ticks(self, uint32_t inst):
        """The ring of one instrument: a zero-copy array of RING_DTYPE, slot `written % depth` is the oldest."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        cdef RingTick[::1] view = <RingTick[:self.depth]>&self.ring[<size_t>inst * self.depth]
        array = np.asarray(view).view(RING_DTYPE)
        array.flags.writeable = False
        return array

    def row(self, uint32_t inst) -> dict:
        """Everything kept of one instrument, by name (state.pxd::Row)."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        return self.rows[inst]

    def clock_skew_ms(self):
        """Receipt minus trade time at its smallest, or None before the first trade: the clocks' difference."""
        return None if self.min_lag_ms == NO_LAG else self.min_lag_ms
