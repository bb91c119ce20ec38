from libc.stdint cimport int64_t
from _ext.core.tick cimport Level

cdef int64_t walk(const Level* levels, int n, int side, int64_t limit, int64_t quantity, int64_t* value) noexcept nogil
cdef int64_t charges(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil
cdef inline int64_t day_of(int64_t now) noexcept nogil:
    """Days since 1970 in India."""
    return (now + <int64_t>19800000000000) // <int64_t>86400000000000
