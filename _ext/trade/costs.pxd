from libc.stdint cimport int64_t

cdef int64_t charges(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil
