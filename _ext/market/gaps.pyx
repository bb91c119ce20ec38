"""What is missing: silences measured by an instrument's own rate, late deliveries, cut links, the difference of the clocks, and
values out of all proportion (docs/market.md 2). Each becomes a row of the ledger."""
from libc.math cimport fmax
from libc.stdint cimport int64_t, uint32_t

import numpy as np

from _ext.core.clock cimport MINUTE_MS, MS_NS, day_of_minute, session_minute
from _ext.core.records cimport (
    GAP_DISORDER, GAP_DOUBT, GAP_JUMP, GAP_LATE, GAP_LINK, GAP_REBASED, GAP_SILENCE, GAP_SKEW, KIND_OPTION)
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, NO_INST, Tick
from _ext.market.bars cimport Bars
from _ext.market.state cimport Row

cdef enum:
    NO_LAG = 9223372036854775807
    LATE_MS = 5000            # a trade delivered later than this beyond the smallest lag is noted; 3 s make no candidate
    LATE_END_MS = 5000        # without one for so long the episode is over
    SKEW_STEP_MS = 500        # a change of the clocks' difference worth a row
    WILD_BARS = 60            # expected bars in one update that are doubted; the largest is 45 in one of 100 (docs/market.md 3.1)
    JUMP_BARS = 5             # and that are noted
    DISORDER_MINUTES = 10     # what is older is no late trade but a damaged time
    REBASE_TRADES = 5
    REBASE_MS = 3000
    DISORDER_MS = 500         # the recorded session's steps back are 40-310 ms (docs/market.md 3.1)


LIVES = ("unseen", "live", "quiet", "stale", "halted", "closed", "down")
"""Words of each Life, by number."""


cdef class Gaps(Bars):
    """Bars with their gaps."""

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
                self.emit(GAP_SKEW, NO_INST, now_ms * MS_NS, now_ms * MS_NS, 0, 0, 0, <double>self.min_lag_ms * 1e-3,
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
        self.emit(GAP_SILENCE, inst, since, now, first, last, volume, <double>(now - since) * 1e-9,
                  <double>r.gap_limit_ms * 1e-3)
        if r.entered >= first and r.bars_at:
            self._reenter(r, inst, 0, first)

    cdef bint _rebased(self, Row* r, uint32_t inst, const Tick* t, int64_t now) noexcept nogil:
        """Whether the day's cumulative volume goes on from a smaller number, as after a change of its source: so many newer trades
        in a row whose volume is below the peak and does not fall. One or two alone are steps back (docs/market.md 3.1)."""
        cdef int64_t first
        if r.lowers == 0 or t.vtt < r.lower_vtt:
            r.lowers = 0
            r.lower_since = t.ltt
        elif t.ltt <= r.lower_ltt:
            return False
        r.lowers += 1
        r.lower_vtt, r.lower_ltt = t.vtt, t.ltt
        if r.lowers < REBASE_TRADES or t.ltt - r.lower_since < REBASE_MS:
            return False
        first = r.lower_since // MINUTE_MS
        self.emit(GAP_REBASED, inst, now - (t.ltt - r.lower_since) * MS_NS, now, first, t.ltt // MINUTE_MS, r.peak - t.vtt,
                  r.lowers, REBASE_TRADES)
        if r.entered >= first and r.bars_at:
            self._reenter(r, inst, 0, first)
        r.lowers = 0
        return True

    cdef void _disorder(self, Row* r, uint32_t inst, int64_t minute, int64_t ms, int64_t now) noexcept nogil:
        """A trade of `minute` came too late for its bar: told once, what it and the minutes since were is to be looked up."""
        if r.disordered != minute and r.minute != 0 and not self.is_snapshot and minute > r.minute - DISORDER_MINUTES:
            r.disordered = minute
            self.emit(GAP_DISORDER, inst, now, now, minute, r.minute, 0, <double>ms * 1e-3, DISORDER_MS * 1e-3)

    cdef bint _is_wild(self, Row* r, const Tick* t, uint32_t inst, int64_t now, bint gap) noexcept nogil:
        """Whether to wait for a second update: a tenth away from the last price, or more volume in one update than an hour has.
        Nothing NSE sends looks so (docs/market.md 3.1), a damaged number does, and one believed would spoil the day's volume."""
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
                self.emit(GAP_JUMP, inst, r.seen, now, 0, 0, more, <double>more / r.expected, JUMP_BARS)
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
        self.emit(GAP_DOUBT, inst, now, now, 0, 0, more, <double>t.ltp, <double>r.ltp)
        return True

    cdef void _late(self, int64_t lag_ms, int64_t now) noexcept nogil:
        """Follows deliveries that are late; `lag_ms` 0: the episode is over."""
        if self.late_begin != 0 and now - self.late_last > LATE_END_MS * MS_NS:
            self.emit(GAP_LATE, NO_INST, self.late_begin, self.late_last, self._minute_at(self.late_begin),
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
            self.emit(GAP_LINK, NO_INST, self.down, now, first, last, 0, <double>(now - self.down) * 1e-9, code)
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
        if self.down != 0 or now - self.last_update > self.stall_ns:
            return LIFE_DOWN
        if r.seen == 0:
            return LIFE_UNSEEN
        if r.echoes >= 2 and (now - r.changed) // MS_NS > r.gap_limit_ms:
            return LIFE_HALTED
        if silence > r.gap_limit_ms:
            return LIFE_STALE
        return LIFE_QUIET if silence > r.gap_limit_ms // 3 else LIFE_LIVE

    def liveness(self, int64_t now):
        """How every name does at `now` (ns): int8 array by row, values index LIVES."""
        out = np.empty(self.size, np.int8)
        cdef signed char[::1] view = out
        cdef uint32_t i
        for i in range(self.size):
            view[i] = <signed char>self.life(i, now)
        return out
