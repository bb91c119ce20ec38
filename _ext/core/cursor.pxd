# The one bounds-checked reader of wire bytes: no decoder indexes a raw pointer itself.
# A function returns 0, or -1 when the bytes are malformed; the cursor is then of no further use.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

ctypedef const uint8_t* bytes_t

cdef struct Cursor:
    bytes_t p
    bytes_t end


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __BMI2__
    #include <immintrin.h>
    #define SQUEEZE7(w) _pext_u64((w), 0x7f7f7f7f7f7f7f7fULL)
    #else
    static inline uint64_t SQUEEZE7(uint64_t x) {
        x = (x & 0x007f007f007f007fULL) | ((x & 0x7f007f007f007f00ULL) >> 1);
        x = (x & 0x00003fff00003fffULL) | ((x & 0x3fff00003fff0000ULL) >> 2);
        return (x & 0x000000000fffffffULL) | ((x & 0x0fffffff00000000ULL) >> 4);
    }
    #endif
    /* A varint of at most 8 bytes inside the 8 bytes at p, without a branch on its length: its length, or 0. */
    static inline int varint_in_word(const uint8_t *p, uint64_t *out) {
        uint64_t w, stop;
        memcpy(&w, p, 8);
        stop = ~w & 0x8080808080808080ULL;
        if (__builtin_expect(stop == 0, 0)) return 0;
        *out = SQUEEZE7(w & (stop ^ (stop - 1)));
        return (__builtin_ctzll(stop) >> 3) + 1;
    }
    /* Whether [p, end) is one varint of at most 8 bytes; at least 8 bytes before `end` must be readable. */
    static inline int varint_at_end(const uint8_t *p, const uint8_t *end, uint64_t *out) {
        uint64_t w;
        long n = end - p;
        if (n < 1 || n > 8) return 0;
        memcpy(&w, end - 8, 8);
        w >>= 8 * (8 - n);
        if ((~w & 0x8080808080808080ULL & (~0ULL >> (64 - 8 * n))) != 0x80ULL << (8 * (n - 1))) return 0;
        *out = SQUEEZE7(w);
        return 1;
    }
    """
    int varint_in_word(bytes_t p, uint64_t* out) noexcept nogil
    bint varint_at_end(bytes_t p, bytes_t end, uint64_t* out) noexcept nogil


cdef inline int read_long_varint(Cursor* c, uint64_t* out) noexcept nogil:
    """The byte-wise way: near the end of the buffer, and for varints of nine or ten bytes."""
    cdef uint64_t b, value = 0
    cdef int shift = 0
    while c.p < c.end:
        b = c.p[0]
        c.p += 1
        value |= (b & 0x7F) << shift
        if b < 0x80:
            out[0] = value
            return 0
        shift += 7
        if shift > 63:
            return -1
    return -1


cdef inline int read_varint(Cursor* c, uint64_t* out) noexcept nogil:
    """64-bit varint of at most ten bytes; bits beyond the 64th are dropped, as upb does."""
    cdef int n
    if c.end - c.p >= 8:
        n = varint_in_word(c.p, out)
        if n != 0:
            c.p += n
            return 0
    return read_long_varint(c, out)


cdef inline int read_any_tag(Cursor* c, uint32_t* out) noexcept nogil:
    """Field number and wire type: a 32-bit varint of at most five bytes."""
    cdef uint64_t value
    cdef bytes_t start = c.p
    if c.p < c.end and c.p[0] < 0x80:
        out[0] = c.p[0]
        c.p += 1
        return 0
    if read_varint(c, &value) != 0 or c.p - start > 5 or value >> 32 != 0:
        return -1
    out[0] = <uint32_t>value
    return 0


cdef inline int read_tag(Cursor* c, uint32_t* out) noexcept nogil:
    """A tag of a message: field number 0 is malformed (upb lets it pass only inside a skipped group)."""
    return -1 if read_any_tag(c, out) != 0 or out[0] < 8 else 0


cdef inline bint next_int(Cursor* c, uint8_t tag, int64_t* out) noexcept nogil:
    """Whether the next field is the varint `tag`, short and not near the end; then it is read."""
    cdef int n
    if c.end - c.p < 9 or c.p[0] != tag:
        return False
    n = varint_in_word(c.p + 1, <uint64_t*>out)
    if n == 0:
        return False
    c.p += 1 + n
    return True


cdef inline bint next_double(Cursor* c, uint8_t tag, double* out) noexcept nogil:
    """Whether the next field is the double `tag`; then it is read."""
    if c.end - c.p < 9 or c.p[0] != tag:
        return False
    memcpy(out, c.p + 1, 8)
    c.p += 9
    return True


cdef inline int read_double(Cursor* c, double* out) noexcept nogil:
    if c.end - c.p < 8:
        return -1
    memcpy(out, c.p, 8)
    c.p += 8
    return 0


cdef inline int read_block(Cursor* c, Cursor* inner) noexcept nogil:
    """A length-delimited field: `inner` spans it, `c` stands behind it. A length of over five bytes is malformed (upb)."""
    cdef uint64_t n
    cdef bytes_t start = c.p
    if read_varint(c, &n) != 0 or c.p - start > 5 or n > <uint64_t>(c.end - c.p):
        return -1
    inner.p = c.p
    inner.end = c.p + n
    c.p = inner.end
    return 0


cdef inline int skip_scalar(Cursor* c, uint32_t wire_type) noexcept nogil:
    """Skips a field of wire type 0, 1, 2 or 5; groups (3, 4) are the caller's."""
    cdef uint64_t ignored
    cdef Cursor inner
    if wire_type == 0:
        return read_varint(c, &ignored)
    if wire_type == 1:
        if c.end - c.p < 8:
            return -1
        c.p += 8
        return 0
    if wire_type == 2:
        return read_block(c, &inner)
    if wire_type == 5:
        if c.end - c.p < 4:
            return -1
        c.p += 4
        return 0
    return -1


cdef inline bint is_utf8(bytes_t p, bytes_t end) noexcept nogil:
    """Whether [p, end) is well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates."""
    cdef uint64_t word
    while end - p >= 8:                    # every key and interval of the broker is ASCII
        memcpy(&word, p, 8)
        if word & <uint64_t>0x8080808080808080:
            break
        p += 8
    cdef uint8_t b
    cdef uint32_t code
    cdef int more, i
    while p < end:
        b = p[0]
        p += 1
        if b < 0x80:
            continue
        if 0xC2 <= b <= 0xDF:
            more = 1
            code = b & 0x1F
        elif 0xE0 <= b <= 0xEF:
            more = 2
            code = b & 0x0F
        elif 0xF0 <= b <= 0xF4:
            more = 3
            code = b & 0x07
        else:
            return False
        if end - p < more:
            return False
        for i in range(more):
            if (p[i] & 0xC0) != 0x80:
                return False
            code = (code << 6) | (p[i] & 0x3F)
        p += more
        if more == 2 and (code < 0x800 or 0xD800 <= code <= 0xDFFF):
            return False
        if more == 3 and (code < 0x10000 or code > 0x10FFFF):
            return False
    return True
