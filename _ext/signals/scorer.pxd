cdef class Scorer:
    cdef readonly str sha256
    cdef readonly double threshold
    cdef readonly dict meta
    cdef object session, binding, value, out_value
    cdef object input
    cdef int[::1] columns
    cdef readonly int count              # features it needs
    cdef float[:, ::1] buffer
    cdef float score(self, const float* features) except? -1
