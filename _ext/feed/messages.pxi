# Reads the large messages of the feed: market, index, one instrument, the market's status. Part of wire.pyx.
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
