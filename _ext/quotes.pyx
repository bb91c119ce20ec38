"""A follower of a journal that keeps what a page shows of each instrument: the day's minutes, and packed frames of all of them.

A frame is a head and a row of twelve bytes for each instrument that has changed since the frame before; a keyframe has them all. A
row says what is, not what changed: a frame that is lost is mended by the next one of that name. One layout, from which the page's
reader is made (tools/generate.py).
"""
import numpy as np

from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from _ext.core.clock cimport MINUTE_NS, MS_NS, SESSION_MINUTES, session_minute
from _ext.market.state cimport Row
from _ext.minutes cimport Forming, MinuteFollower

FRAME_HEAD = [
    ("magic", "<u4"), ("kind", "u1"), ("pad", "u1"), ("rows", "<u2"), ("run", "<u4"), ("epoch", "<u4"),
    ("sequence", "<u4"), ("pad2", "<u4"), ("now", "<i8"), ("wall", "<i8"),
]
"""`kind`: 0 what changed, 1 a keyframe; `sequence` counts frames; `now` is the market's time and `wall` this machine's, us."""
FRAME_ROW = [
    ("inst", "<u2"), ("flags", "u1"), ("score", "u1"), ("price", "<i4"), ("move", "<i2"), ("volume", "<u2"),
]
"""`flags`: MARKS; `score` in 200ths, 255: none; `price` in paise; `move` since the day before's close in basis points; `volume`:
of this minute, in hundredths of what is expected of a full one."""
MARKS = ("position", "candidate", "passed", "stale", "order", "pending")
"""What each bit of a row's flags says, from the lowest on."""
MAGIC = 0x314B5053                       # SPK1

cdef enum:
    STALE_BIT = 8
    NO_SCORE = 255
    MAX_ROWS = 65535
cdef int64_t STALE_NS = 60000000000

cdef packed struct FrameHead:
    uint32_t magic
    uint8_t kind
    uint8_t pad
    uint16_t rows
    uint32_t run
    uint32_t epoch
    uint32_t sequence
    uint32_t pad2
    int64_t now
    int64_t wall

cdef packed struct FrameRow:
    uint16_t inst
    uint8_t flags
    uint8_t score
    int32_t price
    int16_t move
    uint16_t volume

cdef struct Candle:           # one minute of the session
    int64_t open              # 0: nothing traded in it
    int64_t high
    int64_t low
    int64_t close
    int64_t volume
    int64_t told              # now of the record that told it last, ns
    int64_t flags             # BarFlag

CANDLE = np.dtype([(name, "<i8") for name in ("minute", "open", "high", "low", "close", "volume", "told", "flags")])
"""A minute: its start (minutes since 1970), paise, units, when it was told (ns; 0: it is under way) and its flags."""
if np.dtype(FRAME_HEAD).itemsize != sizeof(FrameHead) or np.dtype(FRAME_ROW).itemsize != sizeof(FrameRow):
    raise ImportError("the packed frame's layout and its structs disagree: rebuild with `make install`")


cdef inline int64_t clamped(double value, int64_t low, int64_t high) noexcept nogil:
    return low if not isfinite(value) or value < <double>low else high if value > <double>high else <int64_t>(
        value + 0.5 if value >= 0 else value - 0.5)


cdef class QuoteFollower(MinuteFollower):
    """Follows records one step at a time. Rings are short: nothing is detected here."""
    cdef Candle* candles
    cdef FrameRow* sent
    cdef int64_t day_minute              # 09:15 of the day, minutes since 1970; 0: nothing traded yet
    cdef readonly uint32_t sequence      # of frames made
    cdef uint32_t room
    cdef int64_t at_minute

    def __init__(self, uint32_t capacity=8192, int ring_depth=4, int batch=8192):
        MinuteFollower.__init__(self, capacity, ring_depth, batch)
        free(self.candles)
        free(self.sent)
        self.room = capacity
        self.candles = <Candle*>calloc(<size_t>capacity * SESSION_MINUTES, sizeof(Candle))
        self.sent = <FrameRow*>calloc(capacity, sizeof(FrameRow))
        if self.candles == NULL or self.sent == NULL:
            raise MemoryError(f"no memory for the candles of {capacity} instruments")

    def __dealloc__(self):
        free(self.candles)
        free(self.sent)

    cdef bint is_full(self) noexcept:
        """A step ends with each minute, for whoever takes samples."""
        cdef int64_t minute = self.now // MINUTE_NS
        if minute == self.at_minute:
            return False
        self.at_minute = minute
        return True

    cdef int on_minute(self, uint32_t inst, const Forming* f, int flags) except -1:
        cdef int64_t at = session_minute(f.minute)
        cdef Candle* candle
        if not 0 <= at < SESSION_MINUTES:
            return 0
        self.day_minute = f.minute - at
        candle = &self.candles[<size_t>inst * SESSION_MINUTES + at]
        candle.open, candle.high, candle.low, candle.close = f.open, f.high, f.low, f.close
        candle.volume, candle.flags = <int64_t>f.volume, flags
        candle.told = candle.told or self.now          # told again it was known before
        return 0

    def minutes(self, uint32_t inst, int64_t until=9223372036854775807):
        """The day's minutes of one instrument in which something traded, oldest first: an array of CANDLE. The one under way is the
        last, where `until` (ns) leaves it; minutes told later are left out."""
        if inst >= self.market.size:
            raise IndexError(f"instrument {inst}: the table has {self.market.size}")
        cdef Candle* own = self.candles + <size_t>inst * SESSION_MINUTES
        cdef Forming* f = &self.forming[inst]
        cdef int64_t at
        rows = [(self.day_minute + at, own[at].open, own[at].high, own[at].low, own[at].close, own[at].volume, own[at].told,
                 own[at].flags) for at in range(SESSION_MINUTES) if own[at].open > 0 and own[at].told <= until]
        if f.minute != 0 and until >= self.now and not f.is_told and 0 <= session_minute(f.minute) < SESSION_MINUTES:
            while rows and rows[len(rows) - 1][0] >= f.minute:
                rows.pop()
            rows.append((f.minute, f.open, f.high, f.low, f.close, <int64_t>f.volume, 0, f.flags))
        return np.array(rows, CANDLE)

    def frame(self, const uint8_t[::1] marks not None, const uint8_t[::1] scores not None, const int64_t[::1] before not None,
              bint is_key, uint32_t run, uint32_t epoch, int64_t wall) -> bytes:
        """The next packed frame. `marks` (bits of MARKS) and `scores` (200ths) of each instrument, `before`: the day before's close
        (paise) where the feed has not said it; `wall`: ns. A keyframe counts as the frame before it: it repeats its number."""
        cdef uint32_t i, n = min(self.market.size, <uint32_t>MAX_ROWS)
        cdef uint32_t rows = 0
        cdef int64_t reference
        cdef bint is_stale
        cdef Row* r
        cdef FrameRow row
        cdef FrameHead head
        if marks.shape[0] < n or scores.shape[0] < n or before.shape[0] < n:
            raise ValueError(f"marks, scores and closes of {n} instruments are needed")
        out = bytearray(sizeof(FrameHead) + <size_t>n * sizeof(FrameRow))
        cdef uint8_t[::1] view = out
        cdef uint8_t* to = &view[0]
        for i in range(n):
            r = &self.market.rows[i]
            reference = r.closed_at or before[i]
            row.inst, row.score = <uint16_t>i, scores[i]
            is_stale = r.seen == 0 or self.now - r.seen > max(STALE_NS, r.gap_limit_ms * MS_NS)
            row.flags = marks[i] | (STALE_BIT if is_stale else 0)
            row.price = <int32_t>clamped(<double>r.ltp, 0, 2147483647)
            row.move = <int16_t>clamped(1e4 * (<double>r.ltp / <double>reference - 1.0) if reference > 0 and r.ltp > 0 else 0.0,
                                        -32767, 32767)
            row.volume = <uint16_t>clamped(100.0 * <double>r.volume / r.expected if r.expected > 0.0 else 0.0, 0, 65535)
            if not is_key and memcmp(&row, &self.sent[i], sizeof(FrameRow)) == 0:
                continue
            if not is_key:
                self.sent[i] = row
            memcpy(to + sizeof(FrameHead) + <size_t>rows * sizeof(FrameRow), &row, sizeof(FrameRow))
            rows += 1
        if not is_key:
            self.sequence += 1
        head.magic, head.kind, head.pad, head.pad2, head.rows = MAGIC, is_key, 0, 0, <uint16_t>rows
        head.run, head.epoch, head.sequence = run, epoch, self.sequence
        head.now, head.wall = self.now // 1000, wall // 1000
        memcpy(to, &head, sizeof(FrameHead))
        return bytes(view[:sizeof(FrameHead) + <size_t>rows * sizeof(FrameRow)])
