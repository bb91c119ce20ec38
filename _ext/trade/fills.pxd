from libc.stdint cimport int64_t
from _ext.core.tick cimport Level

cdef int64_t whole(int64_t quantity, int64_t lot) noexcept nogil
cdef int64_t walk(const Level* levels, int n, int side, int64_t limit, int64_t quantity, int64_t lot,
                  int64_t* value) noexcept nogil
