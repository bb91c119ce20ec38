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


cdef bint suspect = False     # a bad price was read in this update (perhaps overwritten since); one decoder runs at a time


cdef inline int64_t paise(double rupees) noexcept nogil:
    """Rupees to paise, half to even; BAD_PRICE for NaN, infinities and |rupees| > 1e13."""
    global suspect
    if fabs(rupees) <= PRICE_MAX:
        return llrint(rupees * 100.0)
    suspect = True
    return BAD_PRICE


cdef inline int read_price(Cursor* c, int64_t* out) noexcept nogil:
    cdef double value
    if read_double(c, &value) != 0:
        return -1
    out[0] = paise(value)
    return 0


cdef inline int read_int(Cursor* c, int64_t* out) noexcept nogil:
    return read_varint(c, <uint64_t*>out)


cdef int skip_field(Cursor* c, uint32_t tag, int depth) noexcept nogil:
    """Skips an unknown field; a group up to its own end tag."""
    cdef uint32_t inner
    if tag & 7 != 3:
        return skip_scalar(c, tag & 7)
    if depth == GROUP_DEPTH:
        return -1
    while True:
        if read_any_tag(c, &inner) != 0:
            return -1
        if inner & 7 == 4:
            return 0 if inner >> 3 == tag >> 3 else -1
        if skip_field(c, inner, depth + 1) != 0:
            return -1


cdef int decode_wrapper(Cursor c, int64_t* out) noexcept nogil:
    """google.protobuf.DoubleValue: an absent value leaves what was merged before."""
    cdef uint32_t tag
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x09:
            if read_price(&c, out) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline int decode_ltpc(Cursor c, Tick* t) noexcept nogil:
    cdef uint32_t tag
    cdef Cursor inner
    cdef double ltp, cp
    t.has |= HAS_LTPC
    # what every update of a traded name says, in the order it says it; the loop takes the rest, in any order
    if next_double(&c, 0x09, &ltp):
        t.ltp = paise(ltp)
        if next_int(&c, 0x10, &t.ltt) and next_int(&c, 0x18, &t.ltq) and next_double(&c, 0x21, &cp):
            t.cp = paise(cp)
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x09:
            if read_price(&c, &t.ltp) != 0:
                return -1
        elif tag == 0x10:
            if read_int(&c, &t.ltt) != 0:
                return -1
        elif tag == 0x18:
            if read_int(&c, &t.ltq) != 0:
                return -1
        elif tag == 0x21:
            if read_price(&c, &t.cp) != 0:
                return -1
        elif tag == 0x2A:
            t.has |= HAS_IEP
            if read_block(&c, &inner) != 0 or decode_wrapper(inner, &t.iep) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline bint quick_quote(bytes_t p, bytes_t end, Level* level) noexcept nogil:
    """The layout every two-sided level has (bidQ bidP askQ askP, all there); anything else is left to the general way.

    The four fields take 22 bytes at least, so each 8-byte load below stays inside the block.
    """
    cdef int n
    cdef uint64_t bid_q, ask_q
    cdef double bid, ask
    if end - p < 22 or p[0] != 0x08:
        return False
    n = varint_in_word(p + 1, &bid_q)
    p += 1 + n
    if n == 0 or end - p < 20 or p[0] != 0x11 or p[9] != 0x18:
        return False
    memcpy(&bid, p + 1, 8)
    n = varint_in_word(p + 10, &ask_q)
    p += 10 + n
    if n == 0 or end - p != 9 or p[0] != 0x21:
        return False
    memcpy(&ask, p + 1, 8)
    level.bid_q = <int64_t>bid_q
    level.bid_p = paise(bid)
    level.ask_q = <int64_t>ask_q
    level.ask_p = paise(ask)
    return True


cdef inline int decode_quote(Cursor c, Level* level) noexcept nogil:
    cdef uint32_t tag
    if quick_quote(c.p, c.end, level):
        return 0
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x08:
            if read_int(&c, &level.bid_q) != 0:
                return -1
        elif tag == 0x11:
            if read_price(&c, &level.bid_p) != 0:
                return -1
        elif tag == 0x18:
            if read_int(&c, &level.ask_q) != 0:
                return -1
        elif tag == 0x21:
            if read_price(&c, &level.ask_p) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline int decode_levels(Cursor c, Tick* t) noexcept nogil:
    """MarketLevel. A row `{}` is a level of zeros: it counts, price 0 means there is none."""
    cdef uint32_t tag
    cdef Cursor inner
    cdef Level deeper
    t.has |= HAS_DEPTH
    while (c.end - c.p >= 24 and c.p[0] == 0x0A and c.p[1] < 0x80 and c.p[1] <= c.end - c.p - 2 and t.n_levels < DEPTH
            and quick_quote(c.p + 2, c.p + 2 + c.p[1], &t.level[t.n_levels])):
        c.p += 2 + c.p[1]
        t.n_levels += 1
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0:
                return -1
            if decode_quote(inner, &t.level[t.n_levels] if t.n_levels < DEPTH else &deeper) != 0:
                return -1
            if t.n_levels < LEVELS_SEEN_MAX:
                t.n_levels += 1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline int decode_greeks(Cursor c, Tick* t) noexcept nogil:
    cdef uint32_t tag
    t.has |= HAS_GREEKS
    if (next_double(&c, 0x09, &t.delta) and next_double(&c, 0x11, &t.theta) and next_double(&c, 0x19, &t.gamma)
            and next_double(&c, 0x21, &t.vega) and next_double(&c, 0x29, &t.rho) and c.p == c.end):
        return 0
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x09:
            if read_double(&c, &t.delta) != 0:
                return -1
        elif tag == 0x11:
            if read_double(&c, &t.theta) != 0:
                return -1
        elif tag == 0x19:
            if read_double(&c, &t.gamma) != 0:
                return -1
        elif tag == 0x21:
            if read_double(&c, &t.vega) != 0:
                return -1
        elif tag == 0x29:
            if read_double(&c, &t.rho) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline bint quick_candle(bytes_t p, bytes_t end, Tick* t) noexcept nogil:
    """The layout every candle that traded has (interval open high low close vol ts, all there, two-letter interval);
    anything else is left to the general way. Its 49 bytes at least keep each 8-byte load inside the block.
    """
    cdef double o, h, l, close
    cdef uint64_t vol, ts
    cdef int n
    cdef Ohlc* out
    cdef bint is_minute = p[2] == c'I' and p[3] == c'1'
    if (p[0] != 0x0A or p[1] != 2 or p[4] != 0x11 or p[13] != 0x19 or p[22] != 0x21 or p[31] != 0x29
            or p[40] != 0x30 or not (is_minute or (p[2] == c'1' and p[3] == c'd'))):
        return False
    n = varint_in_word(p + 41, &vol)
    if n == 0 or p[41 + n] != 0x38:
        return False
    memcpy(&o, p + 5, 8)
    memcpy(&h, p + 14, 8)
    memcpy(&l, p + 23, 8)
    memcpy(&close, p + 32, 8)
    p += 42 + n
    if not varint_at_end(p, end, &ts):
        return False
    out = &t.i1 if is_minute else &t.day
    out.open = paise(o)
    out.high = paise(h)
    out.low = paise(l)
    out.close = paise(close)
    out.vol = <int64_t>vol
    out.ts = <int64_t>ts
    t.has |= HAS_I1 if is_minute else HAS_OHLC
    return True


cdef inline int decode_candle(Cursor c, Tick* t) noexcept nogil:
    """OHLC: kept where its interval is `1d` or `I1`, the last of each; anything else is validated and forgotten."""
    cdef uint32_t tag
    cdef Cursor interval
    cdef Ohlc candle
    if c.end - c.p >= 49 and quick_candle(c.p, c.end, t):
        return 0
    memset(&candle, 0, sizeof(Ohlc))
    interval.p = interval.end = c.p
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &interval) != 0 or not is_utf8(interval.p, interval.end):
                return -1
        elif tag == 0x11:
            if read_price(&c, &candle.open) != 0:
                return -1
        elif tag == 0x19:
            if read_price(&c, &candle.high) != 0:
                return -1
        elif tag == 0x21:
            if read_price(&c, &candle.low) != 0:
                return -1
        elif tag == 0x29:
            if read_price(&c, &candle.close) != 0:
                return -1
        elif tag == 0x30:
            if read_int(&c, &candle.vol) != 0:
                return -1
        elif tag == 0x38:
            if read_int(&c, &candle.ts) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    if interval.end - interval.p == 2:
        if interval.p[0] == c'I' and interval.p[1] == c'1':
            t.i1 = candle
            t.has |= HAS_I1
        elif interval.p[0] == c'1' and interval.p[1] == c'd':
            t.day = candle
            t.has |= HAS_OHLC
    return 0


cdef inline int decode_candles(Cursor c, Tick* t) noexcept nogil:
    cdef uint32_t tag
    cdef Cursor inner
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0 or decode_candle(inner, t) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline int decode_market(Cursor c, Tick* t) noexcept nogil:
    """MarketFullFeed."""
    cdef uint32_t tag
    cdef uint64_t flag
    cdef Cursor inner
    cdef double atp
    t.has |= HAS_FULL
    # the order every writer of this schema uses; the loop takes the rest, in any order
    if c.p < c.end and c.p[0] == 0x0A:
        c.p += 1
        if read_block(&c, &inner) != 0 or decode_ltpc(inner, t) != 0:
            return -1
    if c.p < c.end and c.p[0] == 0x12:
        c.p += 1
        if read_block(&c, &inner) != 0 or decode_levels(inner, t) != 0:
            return -1
    if c.p < c.end and c.p[0] == 0x1A:
        c.p += 1
        if read_block(&c, &inner) != 0 or decode_greeks(inner, t) != 0:
            return -1
    if c.p < c.end and c.p[0] == 0x22:
        c.p += 1
        if read_block(&c, &inner) != 0 or decode_candles(inner, t) != 0:
            return -1
    if next_double(&c, 0x29, &atp):
        t.atp = paise(atp)
    if next_int(&c, 0x30, &t.vtt):
        next_double(&c, 0x39, &t.oi)
        next_double(&c, 0x41, &t.iv)
        next_double(&c, 0x49, &t.tbq)
        next_double(&c, 0x51, &t.tsq)
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0 or decode_ltpc(inner, t) != 0:
                return -1
        elif tag == 0x12:
            if read_block(&c, &inner) != 0 or decode_levels(inner, t) != 0:
                return -1
        elif tag == 0x1A:
            if read_block(&c, &inner) != 0 or decode_greeks(inner, t) != 0:
                return -1
        elif tag == 0x22:
            if read_block(&c, &inner) != 0 or decode_candles(inner, t) != 0:
                return -1
        elif tag == 0x29:
            if read_price(&c, &t.atp) != 0:
                return -1
        elif tag == 0x30:
            if read_int(&c, &t.vtt) != 0:
                return -1
        elif tag == 0x39:
            if read_double(&c, &t.oi) != 0:
                return -1
        elif tag == 0x41:
            if read_double(&c, &t.iv) != 0:
                return -1
        elif tag == 0x49:
            if read_double(&c, &t.tbq) != 0:
                return -1
        elif tag == 0x51:
            if read_double(&c, &t.tsq) != 0:
                return -1
        elif tag == 0x59:
            if read_price(&c, &t.auction_iep) != 0:
                return -1
        elif tag == 0x61:
            if read_price(&c, &t.rp) != 0:
                return -1
        elif tag == 0x68:
            if read_int(&c, &t.ieq) != 0:
                return -1
        elif tag == 0x70:
            if read_int(&c, &t.iiq_total) != 0:
                return -1
        elif tag == 0x78:
            if read_int(&c, &t.iiq_m) != 0:
                return -1
        elif tag == 0x80:
            if read_varint(&c, &flag) != 0:
                return -1
            t.cas_eligible = flag != 0
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef int decode_index(Cursor c, Tick* t) noexcept nogil:
    """IndexFullFeed: no volume, no depth."""
    cdef uint32_t tag
    cdef Cursor inner
    t.has |= HAS_INDEX
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0 or decode_ltpc(inner, t) != 0:
                return -1
        elif tag == 0x12:
            if read_block(&c, &inner) != 0 or decode_candles(inner, t) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef int decode_first_level(Cursor c, Tick* t) noexcept nogil:
    """FirstLevelWithGreeks: one level of depth; the message merges, so a second firstDepth writes into the same level."""
    cdef uint32_t tag
    cdef Cursor inner
    t.has |= HAS_FIRST
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0 or decode_ltpc(inner, t) != 0:
                return -1
        elif tag == 0x12:
            t.has |= HAS_DEPTH
            t.n_levels = 1
            if read_block(&c, &inner) != 0 or decode_quote(inner, &t.level[0]) != 0:
                return -1
        elif tag == 0x1A:
            if read_block(&c, &inner) != 0 or decode_greeks(inner, t) != 0:
                return -1
        elif tag == 0x20:
            if read_int(&c, &t.vtt) != 0:
                return -1
        elif tag == 0x29:
            if read_double(&c, &t.oi) != 0:
                return -1
        elif tag == 0x31:
            if read_double(&c, &t.iv) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline void clear(Tick* t) noexcept nogil:
    """Forgets what the update said; the key stays."""
    t.has = 0
    memset(&t.n_levels, 0, sizeof(Tick) - 56)


cdef inline void keep_member(Tick* t, uint32_t member) noexcept nogil:
    """A oneof keeps its last member: another one than before starts empty. The mode is no member and stays."""
    cdef int32_t mode = t.mode
    if t.has != 0 and t.has & (HAS_FULL | HAS_FIRST | HAS_INDEX) != member:
        clear(t)
        t.mode = mode


cdef inline int decode_full(Cursor c, Tick* t) noexcept nogil:
    cdef uint32_t tag
    cdef Cursor inner
    if t.has != 0 and t.has & (HAS_FULL | HAS_INDEX) == 0:
        keep_member(t, HAS_FULL)          # fullFeed replaces ltpc or firstLevelWithGreeks, even when it is empty
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            keep_member(t, HAS_FULL)
            if read_block(&c, &inner) != 0 or decode_market(inner, t) != 0:
                return -1
        elif tag == 0x12:
            keep_member(t, HAS_INDEX)
            if read_block(&c, &inner) != 0 or decode_index(inner, t) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef inline int decode_feed(Cursor c, Tick* t) noexcept nogil:
    cdef uint32_t tag
    cdef uint64_t mode
    cdef Cursor inner
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x12:
            if read_block(&c, &inner) != 0 or decode_full(inner, t) != 0:
                return -1
        elif tag == 0x20:
            if read_varint(&c, &mode) != 0:
                return -1
            t.mode = <int32_t>mode
        elif tag == 0x0A:
            keep_member(t, 0)
            if read_block(&c, &inner) != 0 or decode_ltpc(inner, t) != 0:
                return -1
        elif tag == 0x1A:
            keep_member(t, HAS_FIRST)
            if read_block(&c, &inner) != 0 or decode_first_level(inner, t) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef bint has_bad_price(const Tick* t) noexcept nogil:
    cdef int i
    for i in range(DEPTH):
        if t.level[i].bid_p == BAD_PRICE or t.level[i].ask_p == BAD_PRICE:
            return True
    return (t.ltp == BAD_PRICE or t.cp == BAD_PRICE or t.iep == BAD_PRICE or t.atp == BAD_PRICE
            or t.auction_iep == BAD_PRICE or t.rp == BAD_PRICE
            or t.day.open == BAD_PRICE or t.day.high == BAD_PRICE or t.day.low == BAD_PRICE
            or t.day.close == BAD_PRICE or t.i1.open == BAD_PRICE or t.i1.high == BAD_PRICE
            or t.i1.low == BAD_PRICE or t.i1.close == BAD_PRICE)


cdef int decode_status_info(Cursor c, StatusEntry* entry) noexcept nogil:
    cdef uint32_t tag
    cdef Cursor text
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &text) != 0 or not is_utf8(text.p, text.end):
                return -1
            entry.text_len = <int32_t>min(text.end - text.p, <ptrdiff_t>sizeof(entry.text))
            memcpy(entry.text, text.p, entry.text_len)
        elif tag == 0x10:
            if read_int(&c, &entry.updated) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
    return 0


cdef int decode_status_entry(Cursor c, StatusEntry* entry) noexcept nogil:
    """One map entry of MarketInfo; `entry.kind` names the map. 1 kept, 0 strange (as in `_entry`), -1 malformed."""
    cdef int kept = 1
    cdef uint32_t tag
    cdef uint64_t value
    cdef Cursor inner
    while c.p < c.end:
        if read_tag(&c, &tag) != 0:
            return -1
        if tag == 0x0A:
            if read_block(&c, &inner) != 0 or not is_utf8(inner.p, inner.end):
                return -1
            entry.name_len = <int32_t>min(inner.end - inner.p, <ptrdiff_t>sizeof(entry.name))
            memcpy(entry.name, inner.p, entry.name_len)
        elif tag == 0x10 and entry.kind == 0:
            if read_varint(&c, &value) != 0:
                return -1
            entry.status = <int32_t>value
        elif tag == 0x12 and entry.kind != 0:
            if read_block(&c, &inner) != 0 or decode_status_info(inner, entry) != 0:
                return -1
        elif skip_field(&c, tag, 0) != 0:
            return -1
        else:
            kept = 0
    return kept


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
