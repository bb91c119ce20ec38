"""A follower of a journal that keeps what the store wants of each update and each minute, as rows ready for ClickHouse.

A bar is a row when it is told, and once more, with a later version, where it is told anew.
"""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from _ext.core.clock cimport day_of, day_of_minute
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, Tick
from _ext.market.state cimport Row, TickInfo
from _ext.minutes cimport Forming, MinuteFollower

cdef int64_t U32 = 4294967295

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

cdef object array_of(const void* rows, size_t count, dtype):
    """A copy of `count` rows."""
    out = np.empty(count, dtype)
    cdef uint8_t[::1] view
    if count:
        view = out.view(np.uint8)
        memcpy(&view[0], rows, view.shape[0])
    return out


cdef class TickRecorder(MinuteFollower):
    """Follows records one step at a time; the rows of tables ticks and bars pile up until `take` and `take_bars`."""
    cdef TickRow* pile
    cdef BarRow* bars
    cdef size_t room, bars_room
    cdef readonly size_t count, bars_count
    cdef readonly uint64_t unsaid        # updates of names that had never traded: no row says anything of them
    cdef public uint32_t run

    def __dealloc__(self):
        free(self.pile)
        free(self.bars)

    cdef bint is_full(self) noexcept:
        return self.count >= 8192

    cdef int on_minute(self, uint32_t inst, const Forming* f, int flags) except -1:
        cdef BarRow* row
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
        row.flags = <uint16_t>flags
        row.version, row.closed = self.seq, self.now // 1000
        return 0

    cdef int on_flagged(self, const Tick* t, const Row* r, const TickInfo* info, int flags, bint is_trade, int64_t now) except -1:
        cdef TickRow* row
        if not is_trade and r.ltp <= 0:
            self.unsaid += 1
            return 0                       # of a name that has never traded nothing can be said
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
