"""Encoder of the Upstox V3 feed: TICK_DTYPE rows -> the bytes the broker would send. The sim's side of `wire`."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from _ext.core.tick cimport (
    DEPTH, HAS_DEPTH, HAS_FIRST, HAS_FULL, HAS_GREEKS, HAS_I1, HAS_IEP, HAS_INDEX, HAS_LTPC, HAS_OHLC, KEY_MAX, Level, Ohlc,
    Tick)
from _ext.feed.wire import TICK_DTYPE

import numpy as np

cdef enum:
    UPDATE_MAX = 1600         # bytes: the longest update (five levels, two candles, all fields at their longest) is 1.1 KB


cdef inline uint8_t* put_varint(uint8_t* p, uint64_t value) noexcept nogil:
    while value >= 0x80:
        p[0] = <uint8_t>(value | 0x80)
        value >>= 7
        p += 1
    p[0] = <uint8_t>value
    return p + 1


cdef inline uint8_t* put_int(uint8_t* p, uint8_t tag, int64_t value) noexcept nogil:
    if value == 0:
        return p
    p[0] = tag
    return put_varint(p + 1, <uint64_t>value)


cdef inline uint8_t* put_double(uint8_t* p, uint8_t tag, double value) noexcept nogil:
    if value == 0.0:
        return p
    p[0] = tag
    memcpy(p + 1, &value, 8)
    return p + 9


cdef inline uint8_t* put_price(uint8_t* p, uint8_t tag, int64_t paise) noexcept nogil:
    return put_double(p, tag, <double>paise / 100.0)


cdef inline uint8_t* close_block(uint8_t* start, uint8_t* end) noexcept nogil:
    """Puts the length in front of [start, end): one byte was left for it, a second is made where it is needed."""
    cdef size_t n = end - start
    if n < 0x80:
        (start - 1)[0] = <uint8_t>n
        return end
    memmove(start + 1, start, n)
    (start - 1)[0] = <uint8_t>(n | 0x80)
    start[0] = <uint8_t>(n >> 7)
    return end + 1


cdef uint8_t* put_ltpc(uint8_t* p, uint8_t tag, const Tick* t) noexcept nogil:
    cdef uint8_t* start
    cdef uint8_t* inner
    p[0] = tag
    start = p + 2
    p = put_price(start, 0x09, t.ltp)
    p = put_int(p, 0x10, t.ltt)
    p = put_int(p, 0x18, t.ltq)
    p = put_price(p, 0x21, t.cp)
    if t.has & HAS_IEP:
        p[0] = 0x2A
        inner = p + 2
        p = close_block(inner, put_price(inner, 0x09, t.iep))
    return close_block(start, p)


cdef uint8_t* put_quote(uint8_t* p, uint8_t tag, const Level* level) noexcept nogil:
    cdef uint8_t* start = p + 2
    p[0] = tag
    p = put_int(start, 0x08, level.bid_q)
    p = put_price(p, 0x11, level.bid_p)
    p = put_int(p, 0x18, level.ask_q)
    p = put_price(p, 0x21, level.ask_p)
    return close_block(start, p)


cdef uint8_t* put_greeks(uint8_t* p, const Tick* t) noexcept nogil:
    cdef uint8_t* start = p + 2
    p[0] = 0x1A
    p = put_double(start, 0x09, t.delta)
    p = put_double(p, 0x11, t.theta)
    p = put_double(p, 0x19, t.gamma)
    p = put_double(p, 0x21, t.vega)
    p = put_double(p, 0x29, t.rho)
    return close_block(start, p)


cdef uint8_t* put_candle(uint8_t* p, const Ohlc* candle, const char* interval) noexcept nogil:
    cdef uint8_t* start = p + 2
    p[0] = 0x0A
    start[0] = 0x0A
    start[1] = 2
    memcpy(start + 2, interval, 2)
    p = put_price(start + 4, 0x11, candle.open)
    p = put_price(p, 0x19, candle.high)
    p = put_price(p, 0x21, candle.low)
    p = put_price(p, 0x29, candle.close)
    p = put_int(p, 0x30, candle.vol)
    p = put_int(p, 0x38, candle.ts)
    return close_block(start, p)


cdef uint8_t* put_candles(uint8_t* p, uint8_t tag, const Tick* t) noexcept nogil:
    cdef uint8_t* start = p + 2
    if not t.has & (HAS_OHLC | HAS_I1):
        return p
    p[0] = tag
    p = start
    if t.has & HAS_OHLC:
        p = put_candle(p, &t.day, "1d")
    if t.has & HAS_I1:
        p = put_candle(p, &t.i1, "I1")
    return close_block(start, p)


cdef uint8_t* put_market(uint8_t* p, const Tick* t) noexcept nogil:
    cdef uint8_t* start = p + 2
    cdef uint8_t* inner
    cdef int i
    p[0] = 0x0A
    p = start
    if t.has & HAS_LTPC:
        p = put_ltpc(p, 0x0A, t)
    if t.has & HAS_DEPTH:
        p[0] = 0x12
        inner = p + 2
        p = inner
        for i in range(min(t.n_levels, DEPTH)):
            p = put_quote(p, 0x0A, &t.level[i])
        p = close_block(inner, p)
    if t.has & HAS_GREEKS:
        p = put_greeks(p, t)
    p = put_candles(p, 0x22, t)
    p = put_price(p, 0x29, t.atp)
    p = put_int(p, 0x30, t.vtt)
    p = put_double(p, 0x39, t.oi)
    p = put_double(p, 0x41, t.iv)
    p = put_double(p, 0x49, t.tbq)
    p = put_double(p, 0x51, t.tsq)
    p = put_price(p, 0x59, t.auction_iep)
    p = put_price(p, 0x61, t.rp)
    p = put_int(p, 0x68, t.ieq)
    p = put_int(p, 0x70, t.iiq_total)
    p = put_int(p, 0x78, t.iiq_m)
    if t.cas_eligible:
        p[0] = 0x80
        p[1] = 0x01
        p[2] = 1
        p += 3
    return close_block(start, p)


cdef uint8_t* put_index(uint8_t* p, const Tick* t) noexcept nogil:
    cdef uint8_t* start = p + 2
    p[0] = 0x12
    p = start
    if t.has & HAS_LTPC:
        p = put_ltpc(p, 0x0A, t)
    return close_block(start, put_candles(p, 0x12, t))


cdef uint8_t* put_first_level(uint8_t* p, const Tick* t) noexcept nogil:
    cdef uint8_t* start = p + 2
    p[0] = 0x1A
    p = start
    if t.has & HAS_LTPC:
        p = put_ltpc(p, 0x0A, t)
    if t.has & HAS_DEPTH:
        p = put_quote(p, 0x12, &t.level[0])
    if t.has & HAS_GREEKS:
        p = put_greeks(p, t)
    p = put_int(p, 0x20, t.vtt)
    p = put_double(p, 0x29, t.oi)
    p = put_double(p, 0x31, t.iv)
    return close_block(start, p)


cdef uint8_t* put_entry(uint8_t* p, const Tick* t) noexcept nogil:
    """One entry of `feeds`. Which member of the oneof, the `has` bits say."""
    cdef uint8_t* entry = p + 2
    cdef uint8_t* feed
    cdef uint8_t* full
    cdef uint16_t key_len = min(t.key_len, KEY_MAX)
    p[0] = 0x12
    entry[0] = 0x0A
    entry[1] = <uint8_t>key_len
    memcpy(entry + 2, t.key, key_len)
    p = entry + 2 + key_len
    p[0] = 0x12
    feed = p + 2
    p = feed
    if t.has & (HAS_FULL | HAS_INDEX):
        p[0] = 0x12
        full = p + 2
        p = close_block(full, put_market(full, t) if t.has & HAS_FULL else put_index(full, t))
    elif t.has & HAS_FIRST:
        p = put_first_level(p, t)
    elif t.has & HAS_LTPC:
        p = put_ltpc(p, 0x0A, t)
    p = put_int(p, 0x20, t.mode)
    return close_block(entry, close_block(feed, p))


def encode(rows not None, int64_t current_ts, int type=1) -> bytes:
    """The frame that carries `rows` (TICK_DTYPE) at `current_ts` ms. `type` 0 initial_feed, 1 live_feed.

    `has` decides which messages are written; zero scalars are omitted, as the broker does. Raises ValueError when
    `rows` has another dtype.
    """
    if rows.dtype != TICK_DTYPE:
        raise ValueError("rows must have _ext.feed.wire.TICK_DTYPE")
    cdef const uint8_t[::1] view = np.ascontiguousarray(rows).view(np.uint8)
    cdef int64_t i, n = rows.shape[0]
    cdef uint8_t* buffer = <uint8_t*>malloc(32 + n * UPDATE_MAX)
    cdef uint8_t* p = buffer
    if buffer == NULL:
        raise MemoryError(f"no memory for a frame of {n} updates")
    try:
        p = put_int(p, 0x08, type)
        for i in range(n):
            p = put_entry(p, <const Tick*>&view[i * sizeof(Tick)])
        p = put_int(p, 0x18, current_ts)
        return (<char*>buffer)[:p - buffer]
    finally:
        free(buffer)


def encode_market_info(dict segments, int64_t current_ts) -> bytes:
    """A market_info frame of `segmentStatus` (name -> MarketStatus number)."""
    body = bytearray()
    for name, status in segments.items():
        key = name.encode()
        entry = bytes([0x0A, len(key)]) + key + (bytes([0x10, status]) if status else b"")
        body += bytes([0x0A, len(entry)]) + entry
    cdef uint8_t head[32]
    cdef uint8_t* p = put_int(head, 0x08, 2)
    p = put_int(p, 0x18, current_ts)
    p[0] = 0x22
    p = put_varint(p + 1, len(body))
    return (<char*>head)[:p - head] + bytes(body)
