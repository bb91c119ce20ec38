# How long an instrument is usually silent: a histogram of its gaps, and the limit beyond which a silence lost something.
from libc.stdint cimport int32_t, int64_t, uint16_t
from _ext.market.state cimport GAP_BUCKETS, GAP_MIN_MS

cdef inline int bucket_of(int64_t ms) noexcept nogil:
    """Half-octave bucket from 125 ms: 0 is anything up to it."""
    cdef int bucket = 0
    cdef int64_t edge = 125
    while ms > edge and bucket < GAP_BUCKETS - 1:
        bucket += 1
        edge = 125 << (bucket >> 1)
        if bucket & 1:
            edge += edge >> 1
    return bucket

cdef inline void count_gap(uint16_t* histogram, int64_t ms) noexcept nogil:
    cdef int i, bucket = bucket_of(ms)
    histogram[bucket] += 1
    if histogram[bucket] == 65535:
        for i in range(GAP_BUCKETS):
            histogram[i] >>= 1

cdef inline int32_t gap_limit(const uint16_t* histogram) noexcept nogil:
    """max(8 s, 3 x the 99th percentile of gaps), the percentile taken as its bucket's upper edge."""
    cdef int64_t total = 0, below = 0, edge = 125
    cdef int i
    for i in range(GAP_BUCKETS):
        total += histogram[i]
    if total < 100:
        return GAP_MIN_MS
    for i in range(GAP_BUCKETS):
        below += histogram[i]
        edge = 125 << (i >> 1)
        if i & 1:
            edge += edge >> 1
        if below * 100 >= total * 99:
            break
    return <int32_t>max(<int64_t>GAP_MIN_MS, 3 * edge)
