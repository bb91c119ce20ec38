"""Decoder of the Upstox V3 feed (proto/MarketDataFeed.proto), with protobuf's own semantics.

Unknown fields are skipped, a repeated singular message merges, a repeated scalar takes its last value, a oneof keeps
its last member, a repeated map key replaces the whole entry, bad UTF-8 in a string rejects the frame.
The oracle is upb: tests/feed/test_wire.py.
"""
from libc.math cimport fabs, llrint
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from _ext.core.cursor cimport (
    Cursor, bytes_t, is_utf8, next_double, next_int, read_any_tag, read_block, read_double, read_tag, read_varint,
    skip_scalar, varint_at_end, varint_in_word)
from _ext.core.keys cimport KeyTable
from _ext.core.tick cimport (
    DEPTH, HAS_DEPTH, HAS_FIRST, HAS_FULL, HAS_GREEKS, HAS_I1, HAS_IEP, HAS_INDEX, HAS_LTPC, HAS_OHLC, KEY_MAX, NO_INST,
    TICK_DROPPED, TICK_SUPERSEDED, TICK_UNKNOWN_KEY, FrameHead, Level, Ohlc, StatusEntry, Tick)

cdef extern from *:
    """
    #define PREFETCH_LINES(p, n) do { const char *_p = (const char *)(p); \
        for (size_t _i = 0; _i < (n); _i += 64) __builtin_prefetch(_p + _i, 1, 3); } while (0)
    """
    void PREFETCH_LINES(const void* p, size_t n) noexcept nogil

cdef extern from "<stdint.h>":
    const int64_t BAD_PRICE "INT64_MIN"   # marks a price not finite or beyond 1e13 until the update is closed

cdef enum:
    GROUP_DEPTH = 90          # nested groups followed when skipping unknown fields (upb stops at 100 messages)
    STATUS_MAX = 128          # market_info entries kept
    LEVELS_SEEN_MAX = 1000000

cdef double PRICE_MAX = 1e13

TICK_DTYPE = np.dtype({
    "names": ["inst", "has", "key_len", "key", "n_levels", "mode", "ltp", "ltt", "ltq", "cp", "iep", "vtt", "atp",
              "oi", "iv", "tbq", "tsq", "delta", "theta", "gamma", "vega", "rho",
              "auction_iep", "rp", "ieq", "iiqTotal", "iiqM", "casEligible",
              "bidQ", "bidP", "askQ", "askP", "levels", "day", "i1"],
    "formats": ["<u4", "<u2", "<u2", "S48", "<i4", "<i4"] + ["<i8"] * 7 + ["<f8"] * 9 + ["<i8"] * 10 + [
        ([("bidQ", "<i8"), ("bidP", "<i8"), ("askQ", "<i8"), ("askP", "<i8")], (DEPTH,)),
        [(n, "<i8") for n in ("open", "high", "low", "close", "vol", "ts")],
        [(n, "<i8") for n in ("open", "high", "low", "close", "vol", "ts")]],
    "offsets": [0, 4, 6, 8, 56, 60] + [64 + 8 * i for i in range(26)] + [240, 240 + 32 * DEPTH, 288 + 32 * DEPTH],
    "itemsize": 336 + 32 * DEPTH,
})
"""numpy's view of `core/tick.pxd::Tick`. Prices paise, `ltt` and candle `ts` wire milliseconds, `iv` a fraction.
`bidQ bidP askQ askP` are the best level, `levels` all five."""

if TICK_DTYPE.itemsize != sizeof(Tick):
    raise ImportError("TICK_DTYPE and core/tick.pxd::Tick disagree: rebuild with `make install`")

include "fields.pxi"
include "messages.pxi"


cdef class Decoder:
    """Decodes frames into one preallocated batch, reused for ever.

    `keys` resolves instrument keys to rows; `capacity` is the largest number of updates a frame may carry
    (2,000 were seen in one; 5,000 are possible in ltpc mode).
    """

    def __cinit__(self, KeyTable keys, int32_t capacity=8192):
        self.keys = keys
        self.keep_keys = True
        self.capacity = capacity
        self.ticks = <Tick*>calloc(capacity, sizeof(Tick))
        self.status = <StatusEntry*>calloc(STATUS_MAX, sizeof(StatusEntry))
        self.seen = <uint64_t*>calloc(max(keys.capacity, 1), sizeof(uint64_t))
        if self.ticks == NULL or self.status == NULL or self.seen == NULL:
            raise MemoryError(f"no memory for a batch of {capacity} updates")

    def __dealloc__(self):
        free(self.ticks)
        free(self.status)
        free(self.seen)

    cdef void prefetch_rows(self, char* rows, size_t stride) noexcept:
        self.rows = rows
        self.row_stride = stride

    cdef int _entry(self, Cursor c) noexcept nogil:
        """One entry of `feeds`: key and update. The key comes first, so its row is fetched while the rest decodes."""
        cdef uint32_t tag
        cdef Cursor inner
        cdef bint strange = False          # upb keeps an entry with an unknown field of its own out of the map
        cdef Tick* t = &self.ticks[self.head.n_ticks]
        global suspect
        suspect = False
        memset(t, 0, sizeof(Tick))
        t.inst = NO_INST
        while c.p < c.end:
            if read_tag(&c, &tag) != 0:
                return WIRE_MALFORMED
            if tag == 0x0A:
                if read_block(&c, &inner) != 0 or not is_utf8(inner.p, inner.end):
                    return WIRE_MALFORMED
                t.key_len = <unsigned short>min(inner.end - inner.p, KEY_MAX + 1)
                t.inst = self.keys.find(<const char*>inner.p, inner.end - inner.p)
                if self.keep_keys or t.inst == NO_INST:
                    memset(t.key, 0, KEY_MAX)
                    memcpy(t.key, inner.p, min(t.key_len, KEY_MAX))
                if self.rows != NULL and t.inst != NO_INST:
                    PREFETCH_LINES(self.rows + t.inst * self.row_stride, self.row_stride)
            elif tag == 0x12:
                if read_block(&c, &inner) != 0 or decode_feed(inner, t) != 0:
                    return WIRE_MALFORMED
            elif skip_field(&c, tag, 0) != 0:
                return WIRE_MALFORMED
            else:
                strange = True
        if strange:
            return WIRE_OK
        if t.key_len > KEY_MAX or (suspect and has_bad_price(t)):
            t.has |= TICK_DROPPED
        elif t.inst == NO_INST:
            t.has |= TICK_UNKNOWN_KEY
        self.head.n_ticks += 1
        return WIRE_OK

    cdef int _info(self, Cursor c) noexcept nogil:
        cdef uint32_t tag
        cdef Cursor inner
        cdef StatusEntry extra
        cdef StatusEntry* entry
        cdef int kept
        while c.p < c.end:
            if read_tag(&c, &tag) != 0:
                return WIRE_MALFORMED
            if tag == 0x0A or tag == 0x12 or tag == 0x1A:
                entry = &self.status[self.head.n_status] if self.head.n_status < STATUS_MAX else &extra
                memset(entry, 0, sizeof(StatusEntry))
                entry.kind = <int32_t>(tag >> 3) - 1
                if read_block(&c, &inner) != 0:
                    return WIRE_MALFORMED
                kept = decode_status_entry(inner, entry)
                if kept < 0:
                    return WIRE_MALFORMED
                if kept and self.head.n_status < STATUS_MAX:
                    self.head.n_status += 1
            elif skip_field(&c, tag, 0) != 0:
                return WIRE_MALFORMED
        return WIRE_OK

    cdef void _supersede(self) noexcept nogil:
        """Marks every update whose key comes again later in the frame."""
        cdef int32_t i
        cdef uint64_t last
        cdef uint32_t inst
        for i in range(self.head.n_ticks):
            inst = self.ticks[i].inst
            if inst == NO_INST:
                continue
            last = self.seen[inst]
            if <uint32_t>(last >> 32) == <uint32_t>self.serial:
                self.ticks[<uint32_t>last].has |= TICK_SUPERSEDED
            self.seen[inst] = self.serial << 32 | <uint64_t>i

    cdef WireResult decode(self, bytes_t data, size_t n) noexcept nogil:
        """Decodes one frame; on anything but WIRE_OK the batch is empty."""
        cdef Cursor c, inner
        cdef uint32_t tag
        cdef uint64_t value = 0
        cdef int result = WIRE_OK
        memset(&self.head, 0, sizeof(FrameHead))
        self.serial += 1
        c.p = data
        c.end = data + n
        while c.p < c.end and result == WIRE_OK:
            if read_tag(&c, &tag) != 0:
                result = WIRE_MALFORMED
            elif tag == 0x12:
                if read_block(&c, &inner) != 0:
                    result = WIRE_MALFORMED
                elif self.head.n_ticks == self.capacity:
                    result = WIRE_TOO_LARGE
                else:
                    result = self._entry(inner)
            elif tag == 0x08:
                result = read_varint(&c, &value)
                self.head.type = <int32_t>value
            elif tag == 0x18:
                if n >= 16 and varint_at_end(c.p, c.end, <uint64_t*>&self.head.current_ts):
                    c.p = c.end
                else:
                    result = read_int(&c, &self.head.current_ts)
            elif tag == 0x22:
                result = WIRE_MALFORMED if read_block(&c, &inner) != 0 else self._info(inner)
            else:
                result = skip_field(&c, tag, 0)
        if result != WIRE_OK:
            self.head.n_ticks = self.head.n_status = 0
        elif self.head.n_ticks > 1:
            self._supersede()
        return <WireResult>result

    # ---- Python's door ------------------------------------------------------------------------------------------
    def decode_frame(self, const uint8_t[::1] frame not None):
        """Decodes one frame and returns its updates as a new array of TICK_DTYPE, in wire order.

        Of a key that comes twice only the last update is returned. Raises ValueError on a malformed frame.
        """
        cdef int32_t i
        rows = np.empty(max(self._decode_checked(frame), 1), TICK_DTYPE)
        cdef uint8_t[::1] view = rows.view(np.uint8)
        memcpy(&view[0], self.ticks, self.head.n_ticks * sizeof(Tick))
        last = {}
        for i in range(self.head.n_ticks):
            self.ticks[i].has &= ~(TICK_SUPERSEDED)
            last[self.ticks[i].key[:min(self.ticks[i].key_len, KEY_MAX)]] = i
        return rows[sorted(last.values())] if len(last) < self.head.n_ticks else rows[:self.head.n_ticks]

    cdef int32_t _decode_checked(self, const uint8_t[::1] frame) except -1:
        cdef WireResult result = self.decode(&frame[0] if frame.shape[0] else NULL, frame.shape[0])
        if result == WIRE_TOO_LARGE:
            raise ValueError(f"frame carries more than {self.capacity} updates")
        if result != WIRE_OK:
            raise ValueError(f"malformed frame of {frame.shape[0]} bytes: not a FeedResponse")
        return self.head.n_ticks

    def decode_into(self, frames, out not None):
        """Decodes a list of frames one after the other into `out` (TICK_DTYPE); returns the number of rows written.

        Raises ValueError on the first malformed frame, or when `out` is too short; rows before it stay written.
        """
        cdef uint8_t[::1] view = out.view(np.uint8)
        cdef int64_t used = 0, room = out.shape[0]
        cdef const uint8_t[::1] frame
        for frame in frames:
            self._decode_checked(frame)
            if used + self.head.n_ticks > room:
                raise ValueError(f"`out` has {room} rows, more are needed")
            memcpy(&view[used * sizeof(Tick)], self.ticks, self.head.n_ticks * sizeof(Tick))
            used += self.head.n_ticks
        return used

    def decode_packed(self, const uint8_t[::1] data not None, const int64_t[::1] offsets not None):
        """Decodes frames `data[offsets[i]:offsets[i + 1]]` in one compiled loop; the benchmark's door.

        Returns (frames, updates, sum of ltp, sum of best bids): enough to check the answer against another decoder.
        """
        cdef int64_t i = 0, updates = 0, ltps = 0, bids = 0
        cdef int32_t k
        with nogil:
            for i in range(offsets.shape[0] - 1):
                if self.decode(&data[offsets[i]], offsets[i + 1] - offsets[i]) != WIRE_OK:
                    break
                for k in range(self.head.n_ticks):
                    ltps += self.ticks[k].ltp
                    bids += self.ticks[k].level[0].bid_p
                updates += self.head.n_ticks
        if i < offsets.shape[0] - 2:
            raise ValueError(f"frame {i} is malformed")
        return offsets.shape[0] - 1, updates, ltps, bids

    def frame_head(self):
        """(type, currentTs ms, market_info) of the last frame; market_info is a dict of the three maps, or None."""
        info = None
        if self.head.n_status:
            info = {"segmentStatus": {}, "casMarketStatus": {}, "preOpenSessionStatus": {}}
            for i in range(self.head.n_status):
                entry = self.status[i]
                name = entry.name[:entry.name_len].decode(errors="replace")
                if entry.kind == 0:
                    info["segmentStatus"][name] = entry.status
                else:
                    kind = "casMarketStatus" if entry.kind == 1 else "preOpenSessionStatus"
                    info[kind][name] = (entry.text[:entry.text_len].decode(errors="replace"), entry.updated)
        return self.head.type, self.head.current_ts, info
