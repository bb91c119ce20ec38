"""A follower of a journal that keeps what the store wants of each update, as rows ready for ClickHouse."""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from _ext.core.clock cimport day_of
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, Tick
from _ext.follower cimport MarketFollower
from _ext.market.state cimport Row, TickInfo

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
if TICK_ROW.itemsize != sizeof(TickRow):
    raise ImportError("TICK_ROW and TickRow disagree: rebuild with `make install`")


cdef class TickRecorder(MarketFollower):
    """Follows records one step at a time; the rows of table ticks pile up until `take`."""
    cdef TickRow* pile
    cdef size_t room
    cdef readonly size_t count
    cdef public uint32_t run

    def __dealloc__(self):
        free(self.pile)

    cdef bint is_full(self) noexcept:
        return self.count >= 8192

    cdef int on_update(self, const Tick* t, const Row* r, const TickInfo* info, int64_t now) except -1:
        cdef TickRow* row
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
        row.exch_ts = t.ltt
        row.recv_ts = now // 1000
        row.seq = self.seq
        row.ltp = t.ltp
        row.ltq = <uint32_t>min(max(t.ltq, <int64_t>0), U32)
        row.vtt = <uint64_t>max(t.vtt, <int64_t>0)
        row.volume = <uint32_t>min(info.volume, U32)
        row.bid = r.bid
        row.ask = r.ask
        row.bid_qty = <uint32_t>min(r.bid_q, U32)
        row.ask_qty = <uint32_t>min(r.ask_q, U32)
        row.oi = <uint64_t>t.oi if t.oi > 0.0 and t.oi < 1e15 else 0
        row.iv = <float>t.iv if t.has & (HAS_FULL | HAS_FIRST) else 0.0
        row.flags = <uint16_t>info.flags
        return 0

    def take(self):
        """The rows piled up, as an array of TICK_ROW; the pile is empty afterwards."""
        out = np.empty(self.count, TICK_ROW)
        cdef uint8_t[::1] view
        if self.count:
            view = out.view(np.uint8)
            memcpy(&view[0], self.pile, self.count * sizeof(TickRow))
        self.count = 0
        return out
