"""A follower of a journal that counts each update to its minute.

A minute's bar is what its unflagged updates say: those whose trade belongs to it (docs/queries.sql). It is told when the minute is
over, and once more where a trade came late or a candle filled it.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from _ext.core.clock cimport MINUTE_MS
from _ext.core.records cimport REC_BACKFILL, REC_CLOSED, REC_STOP, REC_TIMER, WarmBar
from _ext.core.tick cimport HAS_LTPC, Tick
from _ext.follower cimport MarketFollower
from _ext.market.state cimport (
    BAR_DIRTY, BAR_FILLED, BAR_PARTIAL, BARS_KEPT, CLOSE_GRACE_MS, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_CARRIED, TICK_DOUBTED,
    TICK_LATE, TICK_OUTSIDE, TICK_STEP_BACK, Bar, Row, TickInfo)

cdef enum:
    NO_BAR = TICK_STEP_BACK | TICK_LATE | TICK_OUTSIDE | TICK_BAD_TIME | TICK_DOUBTED | TICK_CARRIED
cdef int64_t U32 = 4294967295

FLAGGED = NO_BAR
"""Flags of ticks that belong to no bar."""


cdef class MinuteFollower(MarketFollower):
    """The market of a journal and its minutes, for `capacity` instruments. A subclass takes each bar in `on_minute` and each update
    in `on_flagged`."""

    def __init__(self, uint32_t capacity=8192, int ring_depth=256, int batch=8192):
        MarketFollower.__init__(self, capacity, ring_depth, batch)
        free(self.forming)
        self.forming = <Forming*>calloc(capacity, sizeof(Forming))
        if self.forming == NULL:
            raise MemoryError(f"no memory for the minutes of {capacity} instruments")

    def __dealloc__(self):
        free(self.forming)

    cdef int on_minute(self, uint32_t inst, const Forming* f, int flags) except -1:
        """A bar as it is known now; `flags`: BarFlag besides its own."""
        return 0

    cdef int on_flagged(self, const Tick* t, const Row* r, const TickInfo* info, int flags, bint is_trade, int64_t now) except -1:
        """One update, counted to its minute, with its flags; without a trade of its own it has the last one's."""
        return 0

    cdef int _take(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1:
        cdef int64_t over
        MarketFollower._take(self, type, now, payload, n)
        if type == REC_TIMER:
            over = (self.market.exchange_ms(now) - CLOSE_GRACE_MS) // MINUTE_MS
            if over > self.over:
                self.over = over
                self._tell_all(over, False)
        elif type == REC_BACKFILL:
            self._filled(<const WarmBar*>payload, n // sizeof(WarmBar))
        elif type == REC_STOP or type == REC_CLOSED:
            self._tell_all(self.market.exchange_ms(now) // MINUTE_MS, True)
        return 0

    cdef int _tell_all(self, int64_t minute, bint is_stop) except -1:
        """Tells the bars of minutes before `minute`; at a stop the others too, as parts."""
        cdef uint32_t inst
        cdef Forming* f
        for inst in range(self.market.size):
            f = &self.forming[inst]
            if not f.is_told and (is_stop or f.minute < minute):
                self._tell(inst, f, 0 if f.minute < minute else BAR_PARTIAL)
        return 0

    cdef int _filled(self, const WarmBar* bars, size_t n) except -1:
        """Minutes that the market stage has entered from candles."""
        cdef size_t i
        cdef int k
        cdef const Bar* bar
        cdef Forming filled
        cdef Forming* f
        for i in range(n):
            if bars[i].inst >= self.market.size:
                continue
            for k in range(BARS_KEPT):
                bar = &self.market.bars[<size_t>bars[i].inst * BARS_KEPT + k]
                if bar.minute == bars[i].minute and bar.flags & BAR_FILLED:
                    filled.minute, filled.open, filled.high, filled.low = bar.minute, bar.open, bar.high, bar.low
                    filled.close, filled.volume = bar.close, <uint64_t>bar.volume
                    filled.turnover = filled.volume * <uint64_t>bar.close
                    filled.updates, filled.flags = 0, BAR_FILLED
                    self._tell(bars[i].inst, &filled, 0)
                    f = &self.forming[bars[i].inst]
                    if f.minute == bar.minute:
                        f.flags, f.is_told = BAR_FILLED, True      # what was counted of it is not told any more
                    break
        return 0

    cdef int _tell(self, uint32_t inst, Forming* f, int flags) except -1:
        f.is_told = True
        return self.on_minute(inst, f, f.flags | flags) if f.minute != 0 else 0

    cdef int _count(self, uint32_t inst, const Tick* t, const TickInfo* info) except -1:
        """Adds an update to its minute."""
        cdef Forming* f = &self.forming[inst]
        cdef int64_t minute = t.ltt // MINUTE_MS
        if info.flags & TICK_AFTER_GAP and f.minute != 0 and not f.flags & BAR_FILLED:
            f.flags |= BAR_DIRTY               # what came after its last update is missing
            f.is_told = False
        if f.minute != minute:
            if not f.is_told:
                self._tell(inst, f, 0)
            f.minute, f.open, f.high, f.low, f.volume, f.turnover, f.updates = minute, t.ltp, t.ltp, t.ltp, 0, 0, 0
            f.flags = BAR_DIRTY if info.flags & TICK_AFTER_GAP else 0
        f.is_told = False
        f.close = t.ltp
        f.high = max(f.high, t.ltp)
        f.low = min(f.low, t.ltp)
        f.volume += <uint64_t>min(info.volume, U32)
        f.turnover += <uint64_t>min(info.volume, U32) * <uint64_t>t.ltp
        f.updates += 1
        return 0

    cdef int on_update(self, const Tick* t, const Row* r, const TickInfo* info, int64_t now) except -1:
        cdef int flags = info.flags
        cdef Forming* f = &self.forming[t.inst]
        cdef bint is_trade = t.has & HAS_LTPC and t.ltp > 0 and t.ltt > 0
        if not is_trade:
            flags |= TICK_CARRIED | f.carried
        elif not flags & (TICK_STEP_BACK | TICK_BAD_TIME | TICK_DOUBTED):
            if t.ltt == f.ltt and t.ltp == f.ltp:
                flags |= f.carried
            f.ltt, f.ltp, f.carried = t.ltt, t.ltp, flags & (TICK_LATE | TICK_OUTSIDE)
            if not f.carried:
                self._count(t.inst, t, info)
        return self.on_flagged(t, r, info, flags, is_trade, now)
