"""Rows, bars, windows and rings of all instruments; `on_tick` digests one update.

Traded volume is the advance of the day's cumulative volume, bars belong to the minute of the trade time, a bar that
touches a silence is dirty and leaves no trace in the statistics (DESIGN 4; MARKET 0.6, 0.7, 2).
"""
from libc.math cimport fmax, fmin, log
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from _ext.core.types cimport HAS_FIRST, HAS_FULL, HAS_LTPC, SESSION_MINUTES, Instrument, Tick, WarmBar
from _ext.market.book cimport update_book
from _ext.market.rolling cimport begin_minute, push_bar
from _ext.market.state cimport (
    BAR_CLOSED, BAR_DIRTY, CLOSE_GRACE_MS, GAP_BUCKETS, GAP_MIN_MS, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_FIRST,
    TICK_LATE, TICK_NEW_BAR, TICK_OUTSIDE, TICK_REPEAT, TICK_STEP_BACK, TICK_TRADED, RingTick, Row, TickInfo, Window)

cdef enum:
    OPEN_MINUTE = 555         # 09:15 IST, minutes of the day
    IST_MS = 19800000
    DAY_MS = 86400000
    NO_LAG = 9223372036854775807
    AHEAD_MS = 60000          # a trade time further ahead of the clock than this is nonsense
    SWEEP = 64                # instruments a timer looks at
    FILL_MINUTES = 50         # quiet minutes of a thin name entered into its windows as zeros

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
        if self.rows == NULL or self.windows == NULL or self.ring == NULL:
            raise MemoryError(f"no memory for {capacity} instruments of {depth} ticks")
        self.min_lag_ms = NO_LAG
        for i in range(SESSION_MINUTES):
            self.a[i] = self.v[i] = 1.0

    def __dealloc__(self):
        free(self.rows)
        free(self.windows)
        free(self.ring)

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil:
        cdef Row* r = &self.rows[inst]
        memset(r, 0, sizeof(Row))
        memset(&self.windows[inst], 0, sizeof(Window))
        r.peak = -1
        r.tick = max(spec.tick, <int64_t>1)
        r.close_minute = spec.close_minute
        r.kind = spec.kind
        r.gap_limit_ms = r.trade_gap_limit_ms = GAP_MIN_MS
        r.inv_a = 1.0
        if inst >= self.size:
            self.size = inst + 1

    cdef void warm(self, const WarmBar* bar) noexcept nogil:
        """Enters one bar of history. The first bar of a day starts from its own open: levels never span a night."""
        cdef Row* r
        cdef int64_t session = (bar.minute + 330) % 1440 - OPEN_MINUTE
        cdef int64_t day = (bar.minute + 330) // 1440
        if bar.inst >= self.size or session < 0 or session >= SESSION_MINUTES or bar.open <= 0 or bar.close <= 0:
            return
        r = &self.rows[bar.inst]
        if day != r.day or r.last_close <= 0.0:
            r.last_close = <double>bar.open
            r.day = day
        r.minute = bar.minute
        r.high = max(bar.high, bar.close)
        r.low = min(bar.low, bar.close) if bar.low > 0 else bar.close
        r.close = bar.close
        r.volume = bar.volume
        r.bar_flags = bar.flags
        r.inv_a = 1.0 / self.a[session]
        self._close_bar(r, bar.inst)
        r.day = day

    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil:
        """Ends the forming minute: a clean bar enters the windows, a dirty one only moves the last close."""
        cdef Window* w = &self.windows[inst]
        cdef int64_t session = (r.minute + 330) % 1440 - OPEN_MINUTE
        cdef double raw, u, reach
        cdef int slot
        if r.minute == 0 or r.bar_flags & BAR_CLOSED:
            return
        if not r.bar_flags & BAR_DIRTY and r.last_close > 0.0:
            raw = log(<double>r.close / r.last_close)
            u = raw * r.inv_a
            reach = (fmax(<double>r.high, r.last_close) - fmin(<double>r.low, r.last_close)) / r.last_close
            r.path += u
            r.raw += raw
            push_bar(w, u, r.path, r.raw, <double>r.volume, self.v[session], reach * r.inv_a)
            r.closed = <int32_t>w.n
            slot = <int>(r.minute & 63)
            if self.moved_minute[slot] != r.minute:
                self.moved_minute[slot] = r.minute
                self.moved[slot] = 0.0
                self.movers[slot] = 0
            self.moved[slot] += raw
            self.movers[slot] += 1
        r.last_close = <double>r.close
        r.bar_flags |= BAR_CLOSED
        r.gap_limit_ms = gap_limit(r.gaps)
        r.trade_gap_limit_ms = gap_limit(r.trade_gaps)
        self.bars += 1

    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil:
        """Begins `minute` at `price`; minutes of the day without a trade since the last bar count as still ones."""
        cdef int64_t session = (minute + 330) % 1440 - OPEN_MINUTE
        cdef int64_t skipped, day = (minute + 330) // 1440
        cdef Window* w = &self.windows[inst]
        if day != r.day or r.last_close <= 0.0:
            r.last_close = <double>price
            r.minute5 = 0
        elif not r.bar_flags & BAR_DIRTY and r.minute != 0:
            for skipped in range(max(r.minute + 1, minute - FILL_MINUTES), minute):
                push_bar(w, 0.0, r.path, r.raw, 0.0, self.v[(skipped + 330) % 1440 - OPEN_MINUTE], 0.0)
            r.closed = <int32_t>w.n
        r.day = day
        r.minute = minute
        r.open = r.high = r.low = r.close = price
        r.volume = 0
        r.capped = 0.0
        r.bar_flags = 0
        r.updates = 0
        if minute // 5 != r.minute5:
            r.minute5 = minute // 5
            r.open5 = price
            r.iv5 = r.iv
        begin_minute(r, w, self.a[session], self.v[session])

    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session,
                     bint gap) noexcept nogil:
        """Volume, bar and minute of an update that carries a trade time."""
        cdef int64_t minute = t.ltt // 60000
        cdef int64_t day = (t.ltt + IST_MS) // DAY_MS
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
        cdef int64_t minute = now_ms // 60000
        cdef int i, slot = <int>(minute & 7)
        if self.min_lag_ms != NO_LAG and lag < self.min_lag_ms - 1000:
            self.doubts = self.doubts + 1 if self.doubts and lag < self.doubted_lag + 1000 else 1
            if self.doubts == 1 or (self.doubts < 3 and inst == self.doubted_inst):
                self.doubted_inst = inst
                self.doubted_lag = lag
                return
        self.doubts = 0
        if self.lag_minute[slot] != minute:
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
        cdef int64_t now_ms = now // 1000000
        cdef int64_t lag, silence, trade_silence, session
        cdef bint gap = False
        cdef RingTick* slot
        out.now = now
        out.volume = out.lag_ms = 0
        out.ltt = t.ltt
        out.ltp = t.ltp
        out.flags = update_book(r, t, now)
        out.minute = -1
        if r.seen != 0:
            silence = (now - r.seen) // 1000000
            gap = silence > r.gap_limit_ms
            if gap:
                self.gaps += 1
            else:
                count_gap(r.gaps, silence)
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
                if r.ltt != 0 and t.ltt > r.ltt:
                    trade_silence = t.ltt - r.ltt
                    if trade_silence > r.trade_gap_limit_ms:
                        gap = True
                    else:
                        count_gap(r.trade_gaps, trade_silence)
                session = ((t.ltt + IST_MS) % DAY_MS) // 60000 - OPEN_MINUTE
                if 0 <= session < r.close_minute:
                    out.minute = <int32_t>session
                if not (t.ltt == r.ltt and t.ltp == r.ltp and (t.vtt == r.peak or t.vtt == 0)) or gap:
                    self._trade(r, inst, t, out, out.minute >= 0, gap)
                elif not out.flags:
                    out.flags = TICK_REPEAT
                    self.repeats += 1
        r.seen = now
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

    cdef void on_timer(self, int64_t now) noexcept nogil:
        """Closes minutes that ended, 64 names a call; the others close at their next tick."""
        cdef int64_t exchange_ms
        cdef uint32_t _i
        cdef Row* r
        if self.size == 0 or self.min_lag_ms == NO_LAG:
            return
        exchange_ms = self.exchange_ms(now)
        for _i in range(min(<uint32_t>SWEEP, self.size)):
            r = &self.rows[self.sweep]
            if r.minute != 0 and not r.bar_flags & BAR_CLOSED and (r.minute + 1) * 60000 + CLOSE_GRACE_MS < exchange_ms:
                self._close_bar(r, self.sweep)
            self.sweep = self.sweep + 1 if self.sweep + 1 < self.size else 0

    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil:
        """The exchange's clock at receipt time `now`, as far as the smallest lag tells."""
        return now // 1000000 - (self.min_lag_ms if self.min_lag_ms != NO_LAG else 0)

    cdef double market_move(self, int64_t minute, int minutes) noexcept nogil:
        """Sum over the last closed minutes of the mean log return of all names that closed a clean bar in them."""
        cdef double total = 0.0
        cdef int64_t m
        for m in range(minute - minutes, minute):
            if self.moved_minute[m & 63] == m and self.movers[m & 63] > 0:
                total += self.moved[m & 63] / self.movers[m & 63]
        return total

    # ---- Python's door ------------------------------------------------------------------------------------------
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
