# Reads the small messages of the feed: prices, quotes, levels, Greeks, candles. Part of wire.pyx, whose imports hold here.
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
