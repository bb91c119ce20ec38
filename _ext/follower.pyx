"""Follows a journal with the market stage alone: what store, watch and bars need of it. See follower.pxd."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from _ext.core.clock cimport SESSION_MINUTES
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport (
    REC_BACKFILL, REC_BARS, REC_FRAME, REC_INSTRUMENTS, REC_LINK, REC_PROFILE, REC_TIMER, STREAM_FEED, Instrument, Link, WarmBar)
from _ext.core.tick cimport INITIAL_FEED, TICK_DROPPED, TICK_SUPERSEDED, TICK_UNKNOWN_KEY, Tick
from _ext.feed.wire cimport WIRE_OK, Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport Row, TickInfo
from _ext.trail.reader cimport Reader
from _ext.trail.segment cimport RecordHead

cdef enum:
    STEP = 8192               # records looked at in one step


cdef class MarketFollower:
    """The market of a journal's records, for `capacity` instruments. A subclass takes each update in `on_update`."""

    def __init__(self, uint32_t capacity=8192, int ring_depth=256, int batch=8192):
        self.keys = KeyTable(capacity)
        self.decoder = Decoder(self.keys, batch)
        self.decoder.keep_keys = False
        self.market = Market(capacity, ring_depth)
        self.decoder.prefetch_rows(<char*>self.market.rows, sizeof(Row))

    cdef int on_update(self, const Tick* t, const Row* r, const TickInfo* info, int64_t now) except -1:
        """One clean update and what the market stage made of it."""
        return 0

    cdef bint is_full(self) noexcept:
        """Whether a step is to end, for want of room or patience."""
        return False

    cdef int _take(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1:
        """What an input does to the market; all others, and decisions, leave it alone."""
        cdef const Tick* t
        cdef TickInfo info
        cdef Row* r
        cdef size_t i
        cdef uint32_t inst
        self.now = now
        if type == REC_FRAME:
            self.last_frame = now
            if self.decoder.decode(payload, n) == WIRE_OK:
                self.market.is_snapshot = self.decoder.head.type == INITIAL_FEED
                for i in range(<size_t>self.decoder.head.n_ticks):
                    t = &self.decoder.ticks[i]
                    if t.has & (TICK_DROPPED | TICK_UNKNOWN_KEY | TICK_SUPERSEDED):
                        continue
                    self.updates += 1
                    r = &self.market.rows[t.inst]
                    self.market.on_tick(r, t.inst, t, now, &info)
                    self.on_update(t, r, &info, now)
        elif type == REC_TIMER:
            self.market.on_timer(now)
        elif type == REC_LINK:
            if (<const Link*>payload).which == STREAM_FEED:
                self.market.on_link((<const Link*>payload).up, (<const Link*>payload).code, now)
        elif type == REC_BARS:
            for i in range(n // sizeof(WarmBar)):
                self.market.warm(&(<const WarmBar*>payload)[i])
        elif type == REC_BACKFILL:
            self.market.backfill(<const WarmBar*>payload, <int>(n // sizeof(WarmBar)), now)
        elif type == REC_INSTRUMENTS:
            for i in range(n // sizeof(Instrument)):
                inst = self.keys.add((<const Instrument*>payload)[i].key)
                self.market.add(inst, &(<const Instrument*>payload)[i])
        elif type == REC_PROFILE:
            memcpy(self.market.a, payload, SESSION_MINUTES * sizeof(double))
            memcpy(self.market.v, payload + SESSION_MINUTES * sizeof(double), SESSION_MINUTES * sizeof(double))
        self.market.n_pending = 0          # the ledger's rows stand in the journal
        return 0

    def step(self, Reader reader not None):
        """Follows records up to the next one that is no frame and no timer, or until a step is full.

        Returns (type, sequence, now, payload) of the last record taken, payload empty for frames and timers; None where
        nothing more is written.
        """
        cdef RecordHead* head
        cdef RecordHead last
        cdef int taken = 0
        while taken < STEP:
            head = reader.next()
            if head == NULL:
                break
            taken += 1
            last = head[0]
            self.seq = head.seq
            self._take(head.type, head.now, <const uint8_t*>head + sizeof(RecordHead), head.size)
            if last.type != REC_FRAME and last.type != REC_TIMER:
                return last.type, last.seq, last.now, (<char*>head + sizeof(RecordHead))[:last.size]
            if self.is_full():
                break
        if taken == 0:
            return None
        return last.type, last.seq, last.now, b""
