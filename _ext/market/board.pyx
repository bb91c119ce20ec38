"""The board: rows, windows, rings and indicators of all instruments, the ledger of what is missing, and what Python may look at."""
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from _ext.core.clock cimport MINUTE_MS, MS_NS, SESSION_MINUTES, session_minute
from _ext.core.records cimport Gap, Instrument
from _ext.market.chain cimport Chains
from _ext.market.indicators cimport Indicators
from _ext.market.indicators import NAMES as INDICATORS
from _ext.market.state cimport LONG, BAR_FILLED, BARS_KEPT, GAP_MIN_MS, NONE_LOST, Bar, Closing, RingTick, Row, Saved, Window

cdef enum:
    NO_LAG = 9223372036854775807
cdef int64_t STALL_NS = 3000000000

BAR_DTYPE = np.dtype([(name, "<i8") for name in ("minute", "open", "high", "low", "close", "volume", "base", "flags")])
"""numpy's view of state.pxd::Bar."""
RING_DTYPE = np.dtype([("now", "<i8"), ("ltt", "<i8"), ("ltp", "<i8"), ("volume", "<i8"), ("bid", "<i8"), ("ask", "<i8"),
                       ("bid_q", "<i4"), ("ask_q", "<i4"), ("flags", "<i4"), ("pad", "<i4")])
"""numpy's view of state.pxd::RingTick."""
SHOWN = np.dtype([(name, "<i8") for name in (
    "ltp", "bid", "ask", "bid_q", "ask_q", "volume", "minute_volume", "minute", "open", "high", "low", "close", "seen", "traded",
    "before")] + [("expected", "<f8"), ("iv", "<f8")])
"""What is shown of an instrument: prices in paise, `volume` of the day, the minute under way with its volume and that expected of
a full one, when an update and a trade were last seen (ns), the close of the day before as the feed says it (0: it has not)."""


cdef class Board:
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
        self.closings = <Closing*>calloc(CLOSINGS, sizeof(Closing))
        if self.closings == NULL:
            raise MemoryError("no memory for the minutes that close")
        self.chains = Chains(capacity)
        self.stall_ns, self.gap_floor_ms = STALL_NS, GAP_MIN_MS
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
        free(self.closings)

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil:
        cdef Row* r = &self.rows[inst]
        memset(r, 0, sizeof(Row))
        memset(&self.windows[inst], 0, sizeof(Window))
        memset(&self.indicators[inst], 0, sizeof(Indicators))
        memset(&self.saved[2 * <size_t>inst], 0, 2 * sizeof(Saved))      # the first: before any bar
        self.saved[2 * <size_t>inst + 1].minute = -1
        r.gap_bars = self.saved[2 * <size_t>inst].gap_bars = NONE_LOST
        r.peak = -1
        r.tick = max(spec.tick, <int64_t>1)
        r.close_minute = spec.close_minute
        self.last_close = max(self.last_close, spec.close_minute)
        r.kind = spec.kind
        r.sector = spec.sector if 0 <= spec.sector < SECTORS else 0
        r.gap_limit_ms = r.trade_gap_limit_ms = self.gap_floor_ms
        r.inv_a = 1.0
        self.chains.add(inst, spec)
        if inst >= self.size:
            self.size = inst + 1

    cdef void keep_closing(self, uint32_t inst, const Bar* bar) noexcept nogil:
        """A minute has closed; NULL: minutes of before were filled in."""
        cdef Closing* closing
        if not self.keeps_closings or self.n_closings == CLOSINGS:
            return
        closing = &self.closings[self.n_closings]
        self.n_closings += 1
        closing.inst = inst
        if bar != NULL:
            closing.bar = bar[0]
        else:
            closing.bar.minute = -1

    cdef void be_patient(self, int64_t silence_ms) noexcept nogil:
        """The rows are candles, not ticks: no silence shorter than this is a stall or a gap, and an update has a bar's volume."""
        cdef uint32_t inst
        self.stall_ns, self.gap_floor_ms, self.is_coarse = silence_ms * MS_NS, silence_ms, True
        for inst in range(self.size):
            self.rows[inst].gap_limit_ms = self.rows[inst].trade_gap_limit_ms = silence_ms

    cdef void emit(self, int kind, uint32_t inst, int64_t begin, int64_t end, int64_t first, int64_t last, int64_t volume,
                   double measured, double limit) noexcept nogil:
        """A row for the ledger; the core takes it to the journal before the record under way ends."""
        cdef Gap* gap
        if self.n_pending == PENDING_MAX:
            return
        gap = &self.pending[self.n_pending]
        self.n_pending += 1
        gap.inst, gap.kind, gap.begin, gap.end, gap.first_minute, gap.last_minute = inst, kind, begin, end, first, last
        gap.volume, gap.measured, gap.limit = volume, measured, limit

    cdef int64_t _minute_at(self, int64_t now) noexcept nogil:
        """The exchange's minute at receipt time `now`."""
        return self.exchange_ms(now) // MINUTE_MS

    cdef bint _in_session(self, int64_t now) noexcept nogil:
        return 0 <= session_minute(self._minute_at(now)) < self.last_close

    cdef int64_t _in_hours(self, int64_t begin) noexcept nogil:
        """`begin`, or the receipt time of its day's open where that is later: what was before it is no loss."""
        cdef int64_t early = -session_minute(self._minute_at(begin))
        return begin + (MINUTE_MS * early - self.exchange_ms(begin) % MINUTE_MS) * MS_NS if early > 0 else begin

    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil:
        """The exchange's clock at receipt time `now`, as far as the smallest lag tells."""
        return now // MS_NS - (self.min_lag_ms if self.min_lag_ms != NO_LAG else 0)

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

    # ---- Python's door --------------------------------------------------------------------------------------------------
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
        cdef const char* own = <const char*>(self.bars + <size_t>inst * BARS_KEPT)
        count = int(self.rows[inst].bars_at)
        ring = np.frombuffer(own[:BARS_KEPT * sizeof(Bar)], BAR_DTYPE)
        rows = np.roll(ring, -(count % BARS_KEPT))[max(BARS_KEPT - count, 0):]
        newer = np.flatnonzero(np.diff(rows["minute"]) <= 0)         # minutes that were undone lie where the oldest were
        return rows[int(newer.max()) + 1 if len(newer) else 0:].copy()

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

    def shown(self):
        """The last of each instrument, by its number: an array of SHOWN."""
        out = np.zeros(self.size, SHOWN)
        cdef int64_t[:, ::1] whole
        cdef double[:, ::1] real
        cdef int64_t* to
        cdef double* other
        cdef uint32_t i
        cdef Row* r
        if self.size:
            whole, real = out.view("<i8").reshape(self.size, -1), out.view("<f8").reshape(self.size, -1)
        for i in range(self.size):
            r, to, other = &self.rows[i], &whole[i, 0], &real[i, 0]
            to[0], to[1], to[2], to[3], to[4] = r.ltp, r.bid, r.ask, r.bid_q, r.ask_q
            to[5], to[6], to[7] = max(r.peak, <int64_t>0), r.volume, r.minute
            to[8], to[9], to[10], to[11] = r.open, r.high, r.low, r.close
            to[12], to[13], to[14] = r.seen, r.ltt * MS_NS, r.closed_at
            other[15], other[16] = r.expected, r.iv
        return out

    def row(self, uint32_t inst) -> dict:
        """Everything kept of one instrument, by name (state.pxd::Row)."""
        if inst >= self.size:
            raise IndexError(f"instrument {inst}: the table has {self.size}")
        return self.rows[inst]

    def clock_skew_ms(self):
        """Receipt minus trade time at its smallest, or None before the first trade: the clocks' difference."""
        return None if self.min_lag_ms == NO_LAG else self.min_lag_ms
