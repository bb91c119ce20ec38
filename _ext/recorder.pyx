"""A follower of a journal that keeps what the store wants of each update and each minute, as rows ready for ClickHouse.

A minute's bar is what its unflagged updates say: those whose trade belongs to it (docs/queries.sql). It is a row when the minute is
over, and once more, with a later version, where a trade came late or a candle filled it.
"""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from _ext.core.clock cimport MINUTE_MS, day_of, day_of_minute
from _ext.core.records cimport REC_BACKFILL, REC_CLOSED, REC_STOP, REC_TIMER, WarmBar
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, HAS_LTPC, Tick
from _ext.follower cimport MarketFollower
from _ext.market.state cimport (
    BAR_DIRTY, BAR_FILLED, BAR_PARTIAL, BARS_KEPT, CLOSE_GRACE_MS, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_CARRIED, TICK_DOUBTED,
    TICK_LATE, TICK_OUTSIDE, TICK_STEP_BACK, Bar, Row, TickInfo)

cdef enum:
    NO_BAR = TICK_STEP_BACK | TICK_LATE | TICK_OUTSIDE | TICK_BAD_TIME | TICK_DOUBTED | TICK_CARRIED
cdef int64_t U32 = 4294967295

FLAGGED = NO_BAR
"""Flags of ticks that belong to no bar."""

cdef packed struct TickRow:   # RowBinary of table ticks, column for column
    uint32_t run              # of all rows of one run the same
    uint16_t trade_date       # days since 1970, IST
    uint32_t inst
    int64_t exch_ts           # ms
    int64_t recv_ts           # us
    uint64_t seq              # journal sequence of its frame; a key comes once in each
    int64_t ltp
    uint32_t ltq
    uint64_t vtt
    uint32_t volume
    int64_t bid
    int64_t ask
    uint32_t bid_qty
    uint32_t ask_qty
    uint64_t oi
    float iv
    uint16_t flags

TICK_ROW = np.dtype([
    ("run", "<u4"), ("trade_date", "<u2"), ("inst", "<u4"), ("exch_ts", "<i8"), ("recv_ts", "<i8"), ("seq", "<u8"), ("ltp", "<i8"),
    ("ltq", "<u4"), ("vtt", "<u8"), ("volume", "<u4"), ("bid", "<i8"), ("ask", "<i8"), ("bid_qty", "<u4"),
    ("ask_qty", "<u4"), ("oi", "<u8"), ("iv", "<f4"), ("flags", "<u2")])

cdef packed struct BarRow:    # likewise, of table bars
    uint32_t run
    uint16_t trade_date
    uint32_t inst
    uint16_t tf               # minutes
    int64_t ts                # start, s
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    uint64_t volume
    uint64_t turnover         # paise x quantity
    uint32_t updates
    uint16_t flags            # BarFlag
    uint64_t version          # journal sequence of the record that closed it or entered it anew
    int64_t closed            # receipt of that record, us

BAR_ROW = np.dtype([
    ("run", "<u4"), ("trade_date", "<u2"), ("inst", "<u4"), ("tf", "<u2"), ("ts", "<i8"), ("open", "<i8"), ("high", "<i8"),
    ("low", "<i8"), ("close", "<i8"), ("volume", "<u8"), ("turnover", "<u8"), ("updates", "<u4"), ("flags", "<u2"),
    ("version", "<u8"), ("closed", "<i8")])
if TICK_ROW.itemsize != sizeof(TickRow) or BAR_ROW.itemsize != sizeof(BarRow):
    raise ImportError("rows of the store and their structs disagree: rebuild with `make install`")

cdef struct Forming:          # a name's minute under way, or the last one
    int64_t minute            # start, minutes since 1970; 0: none
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    uint64_t volume
    uint64_t turnover
    uint32_t updates
    int flags
    bint is_told              # as it stands here
    int64_t ltt               # the last trade, and whether it was late or outside the session: told again it still is
    int64_t ltp
    int carried


cdef object array_of(const void* rows, size_t count, dtype):
    """A copy of `count` rows."""
    out = np.empty(count, dtype)
    cdef uint8_t[::1] view
    if count:
        view = out.view(np.uint8)
        memcpy(&view[0], rows, view.shape[0])
    return out


cdef class TickRecorder(MarketFollower):
    """Follows records one step at a time; the rows of tables ticks and bars pile up until `take` and `take_bars`."""
    cdef TickRow* pile
    cdef BarRow* bars
    cdef Forming* forming
    cdef size_t room, bars_room
    cdef int64_t over                    # minutes before this one were told
    cdef readonly size_t count, bars_count
    cdef readonly uint64_t unsaid        # updates of names that had never traded: no row says anything of them
    cdef public uint32_t run

    def __init__(self, uint32_t capacity=8192, int ring_depth=256, int batch=8192):
        MarketFollower.__init__(self, capacity, ring_depth, batch)
        free(self.forming)
        self.forming = <Forming*>calloc(capacity, sizeof(Forming))
        if self.forming == NULL:
            raise MemoryError(f"no memory for the minutes of {capacity} instruments")

    def __dealloc__(self):
        free(self.pile)
        free(self.bars)
        free(self.forming)

    cdef bint is_full(self) noexcept:
        return self.count >= 8192

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
        cdef BarRow* row
        f.is_told = True
        if f.minute == 0:
            return 0
        if self.bars_count == self.bars_room:
            self.bars_room = max(<size_t>1024, 2 * self.bars_room)
            self.bars = <BarRow*>realloc(self.bars, self.bars_room * sizeof(BarRow))
            if self.bars == NULL:
                raise MemoryError("no memory for the store's bars")
        row = &self.bars[self.bars_count]
        self.bars_count += 1
        row.run, row.inst, row.tf = self.run, inst, 1
        row.trade_date = <uint16_t>day_of_minute(f.minute)
        row.ts = 60 * f.minute
        row.open, row.high, row.low, row.close = f.open, f.high, f.low, f.close
        row.volume, row.turnover, row.updates = f.volume, f.turnover, f.updates
        row.flags = <uint16_t>(f.flags | flags)
        row.version, row.closed = self.seq, self.now // 1000
        return 0

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
        cdef TickRow* row
        cdef int flags = info.flags
        cdef Forming* f = &self.forming[t.inst]
        cdef bint is_trade = t.has & HAS_LTPC and t.ltp > 0 and t.ltt > 0
        if not is_trade:
            if r.ltp <= 0:
                self.unsaid += 1
                return 0                       # of a name that has never traded nothing can be said
            flags |= TICK_CARRIED | f.carried
        elif not flags & (TICK_STEP_BACK | TICK_BAD_TIME | TICK_DOUBTED):
            if t.ltt == f.ltt and t.ltp == f.ltp:
                flags |= f.carried
            f.ltt, f.ltp, f.carried = t.ltt, t.ltp, flags & (TICK_LATE | TICK_OUTSIDE)
            if not f.carried:
                self._count(t.inst, t, info)
        if self.count == self.room:
            self.room = max(<size_t>4096, 2 * self.room)
            self.pile = <TickRow*>realloc(self.pile, self.room * sizeof(TickRow))
            if self.pile == NULL:
                raise MemoryError("no memory for the store's rows")
        row = &self.pile[self.count]
        self.count += 1
        row.run = self.run
        row.trade_date = <uint16_t>day_of(now)
        row.inst = t.inst
        row.exch_ts = t.ltt if is_trade else r.ltt
        row.recv_ts = now // 1000
        row.seq = self.seq
        row.ltp = t.ltp if is_trade else r.ltp
        row.ltq = <uint32_t>min(max(t.ltq, <int64_t>0), U32)
        row.vtt = <uint64_t>max(t.vtt, <int64_t>0)
        row.volume = <uint32_t>min(info.volume, U32)
        row.bid = r.bid
        row.ask = r.ask
        row.bid_qty = <uint32_t>min(r.bid_q, U32)
        row.ask_qty = <uint32_t>min(r.ask_q, U32)
        row.oi = <uint64_t>t.oi if t.oi > 0.0 and t.oi < 1e15 else 0
        row.iv = <float>t.iv if t.has & (HAS_FULL | HAS_FIRST) else 0.0
        row.flags = <uint16_t>flags
        return 0

    def take(self):
        """The rows piled up, as an array of TICK_ROW; the pile is empty afterwards."""
        out = array_of(self.pile, self.count, TICK_ROW)
        self.count = 0
        return out

    def take_bars(self):
        """Likewise the bars, an array of BAR_ROW."""
        out = array_of(self.bars, self.bars_count, BAR_ROW)
        self.bars_count = 0
        return out
