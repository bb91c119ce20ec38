"""The market stage: `on_tick` digests one update, `on_timer` what time alone does.

Traded volume is the advance of the day's cumulative volume (docs/upstox.md 1.5). Minutes are in `bars`, what is missing in
`gaps`, the memory in `board`.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t

from _ext.core.clock cimport MINUTE_MS, MS_NS, day_of, day_of_minute, session_minute
from _ext.core.records cimport GAP_PAUSE, GAP_STALL, KIND_OPTION
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, HAS_LTPC, NO_INST, Tick
from _ext.market.bars cimport is_over
from _ext.market.book cimport update_book
from _ext.market.chain cimport Chain
from _ext.market.gaps cimport Gaps
from _ext.market.silence cimport count_gap
from _ext.market.state cimport (
    BAR_CLOSED, BAR_DIRTY, CLOSE_GRACE_MS, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_BOOK, TICK_DOUBTED, TICK_FIRST, TICK_LATE,
    TICK_NEW_BAR, TICK_OUTSIDE, TICK_REPEAT, TICK_SNAPSHOT, TICK_STEP_BACK, TICK_TRADED, RingTick, Row, TickInfo)

cdef enum:
    NO_LAG = 9223372036854775807
    AHEAD_MS = 60000          # a trade time further ahead of the clock than this is nonsense
    SWEEP = 64                # instruments a timer looks at
    LATE_MS = 5000            # a trade delivered later than this beyond the smallest lag is noted; 3 s make no candidate
    LATE_END_MS = 5000        # without one for so long the episode is over
    DISORDER_MS = 500         # the recorded session's steps back are 40-310 ms (docs/market.md 3.1)


@cython.final
cdef class Market(Gaps):
    """All instruments of one core."""

    cdef int64_t _volume(self, Row* r, uint32_t inst, const Tick* t, int64_t day, TickInfo* out, bint* gap) noexcept nogil:
        """What an update adds to the day's volume; sets `gap` where the cumulative volume begins anew from a smaller number."""
        cdef int64_t volume = 0
        cdef bint steps_back = t.ltt < r.ltt
        if day != r.day and not steps_back:
            r.peak = -1                                # a new trade date counts from its own first update
            r.lowers = 0
        if t.has & (HAS_FULL | HAS_FIRST) and not (steps_back and day < r.day):
            if 0 < t.vtt < r.peak and not steps_back and self._rebased(r, inst, t, out.now):
                gap[0] = True
                r.peak = t.vtt
            if r.peak < 0:
                out.flags |= TICK_FIRST
                r.peak = t.vtt
            elif t.vtt > r.peak:                       # 0 after more is absent, less is a step back
                volume = t.vtt - r.peak
                r.peak = t.vtt
                r.lowers = 0
                out.flags |= TICK_TRADED
            elif t.vtt == r.peak:
                r.lowers = 0
        elif not steps_back and (t.ltt > r.ltt or t.ltp != r.ltp):
            out.flags |= TICK_TRADED                   # ltpc mode and indices: no volume, the trade time tells
        return volume

    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session,
                     bint gap) noexcept nogil:
        """Volume, bar and minute of an update that carries a trade time."""
        cdef int64_t minute = t.ltt // MINUTE_MS
        cdef int64_t volume = self._volume(r, inst, t, day_of_minute(minute), out, &gap)
        if gap:
            volume = 0
            out.flags |= TICK_AFTER_GAP
        out.volume = volume
        if t.ltt < r.ltt:
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
        r.capped += <double>volume if <double>volume < r.expected or r.expected <= 0.0 or self.is_coarse else r.expected
        r.updates += 1

    cdef void on_tick(self, Row* r, uint32_t inst, const Tick* t, int64_t now, TickInfo* out) noexcept nogil:
        """Digests one update of `inst` received at `now`."""
        cdef int64_t now_ms = now // MS_NS
        cdef int64_t lag, silence, trade_silence, session
        cdef bint is_pause, gap = False
        cdef RingTick* slot
        if now - self.last_update > self.stall_ns and self.last_update != 0:
            self.stalled = now
            silence = self._in_hours(self.last_update)
            if self._in_session(now) and now - silence > self.stall_ns:
                self.emit(GAP_STALL, NO_INST, silence, now, self._minute_at(silence), self._minute_at(now), 0,
                          <double>(now - silence) * 1e-9, self.stall_ns * 1e-9)
        self.last_update = now
        out.now = now
        out.volume = out.lag_ms = 0
        out.ltt = t.ltt
        out.ltp = t.ltp
        out.flags = update_book(r, t, now)
        out.minute = -1
        if (r.flowing == 0 and r.entered_day == day_of(now) and self._in_session(now)
                and (not self.is_snapshot or t.ltt // MINUTE_MS > r.entered)):
            # history of today was entered: what traded between its last minute and now was missed; how late updates come is not
            # known yet
            r.flowing = min(now, now - (self.exchange_ms(now) - (r.entered + 1) * MINUTE_MS - CLOSE_GRACE_MS) * MS_NS)
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
        if t.has & HAS_LTPC and t.cp > 0:
            r.closed_at = t.cp
        if t.has & HAS_LTPC and t.ltp > 0 and t.ltt > 0:
            lag = now_ms - t.ltt
            if lag < -AHEAD_MS:
                out.flags |= TICK_BAD_TIME
                self.bad_time += 1
            else:
                if t.ltt > r.ltt:          # of a trade told once more the lag is its age: after the close it grows by the clock
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
                            self.emit(GAP_PAUSE, inst, now - trade_silence * MS_NS, now, r.ltt // MINUTE_MS, t.ltt // MINUTE_MS, 0,
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
                        if out.flags & TICK_TRADED and out.lag_ms > LATE_MS and self._in_session(now):
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
        cdef int64_t clock = self.exchange_ms(now)
        if self.late_begin != 0 and now - self.late_last > LATE_END_MS * MS_NS:
            self._late(0, now)
        if self.size == 0 or self.min_lag_ms == NO_LAG:
            return
        for _i in range(min(<uint32_t>SWEEP, self.size)):
            if is_over(&self.rows[self.sweep], clock):
                self._close_bar(&self.rows[self.sweep], self.sweep)
            self.sweep = self.sweep + 1 if self.sweep + 1 < self.size else 0
