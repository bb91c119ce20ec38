from _ext.signals.onnx cimport Session


cdef class Scorer:
    cdef readonly str sha256
    cdef readonly double threshold
    cdef readonly dict meta
    cdef Session session
    cdef int[::1] columns
    cdef readonly int count              # features it needs
    cdef float score(self, const float* features) except? -1
