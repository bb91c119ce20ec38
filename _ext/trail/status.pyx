"""Status block: the engine's vital signs in a mode-600 file, written under a sequence lock; readers never block it.

Layout: uint32 sequence (odd while being written), int32 operator word (written by any authorised process, read by the
engine), then one STATUS record.
"""
import mmap
import os

import numpy as np

from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define LOAD32(p) __atomic_load_n((const uint32_t *)(p), __ATOMIC_ACQUIRE)
    #define STORE32(p, v) __atomic_store_n((uint32_t *)(p), (uint32_t)(v), __ATOMIC_RELEASE)
    """
    uint32_t LOAD32(const void* p) noexcept nogil
    void STORE32(void* p, uint32_t v) noexcept nogil

STATUS = np.dtype([
    ("pid", "<i8"), ("heartbeat", "<i8"), ("now", "<i8"), ("speed", "<f8"),
    ("trading", "<i8"), ("operator", "<i8"), ("feed_up", "<i8"), ("positions", "<i8"),
    ("updates", "<i8"), ("frames", "<i8"), ("rejected", "<i8"), ("unknown", "<i8"), ("candidates", "<i8"),
    ("signals", "<i8"), ("orders", "<i8"), ("requests", "<i8"), ("gaps", "<i8"), ("late", "<i8"), ("repeats", "<i8"),
    ("reconnects", "<i8"), ("instruments", "<i8"), ("records", "<i8"), ("digest", "<u8"), ("epoch", "<i8"),
    ("p50", "<i8"), ("p99", "<i8"), ("p999", "<i8"), ("max", "<i8"), ("order_p50", "<i8"), ("order_max", "<i8"),
    ("equity", "<i8"), ("available", "<i8"), ("realised", "<i8"), ("charges", "<i8"), ("open", "<i8"), ("exposure", "<i8"),
    ("first_update", "<i8"), ("started", "<i8"), ("journal_full", "<i8"), ("ready", "<i8"),
    ("sequence", "<i8"), ("filter", "<i8"), ("trouble", "S600")])
"""Times ns since 1970, money paise, latencies ns inside the frame callback (order_*: ms x 1e6 round trip). `sequence`: number of
the last record journaled; `filter`: whether a model trades; `trouble`: what is wrong, a line each, in words."""

cdef enum:
    HEAD = 8
    TRIES = 100


cdef class StatusBlock:
    """Opens the block at `path`; `create` makes it (the engine). Raises FileNotFoundError where there is none."""
    cdef object file, view
    cdef unsigned char* base
    cdef public object values       # the writer's STATUS record: set fields, then publish()

    def __init__(self, path, create=False):
        size = HEAD + STATUS.itemsize
        fd = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
        try:
            if create and os.fstat(fd).st_size < size:
                os.posix_fallocate(fd, 0, size)
            if os.fstat(fd).st_size < size:
                raise ValueError(f"{path} is not a status block of this version")
            self.view = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        cdef unsigned char[::1] data = self.view
        self.base = &data[0]
        self.values = np.zeros(1, STATUS)

    def publish(self):
        """Writes `values`."""
        cdef const unsigned char[::1] data = self.values.view(np.uint8)
        cdef uint32_t sequence = LOAD32(self.base) | 1
        STORE32(self.base, sequence)
        memcpy(self.base + HEAD, &data[0], data.shape[0])
        STORE32(self.base, sequence + 1)

    def read(self):
        """The STATUS record, or None when the writer kept writing (or died writing) for 100 tries."""
        cdef uint32_t before
        out = np.zeros(1, STATUS)
        cdef unsigned char[::1] data = out.view(np.uint8)
        for _ in range(TRIES):
            before = LOAD32(self.base)
            if before & 1:
                continue
            memcpy(&data[0], self.base + HEAD, data.shape[0])
            if LOAD32(self.base) == before:
                return out[0]
        return None

    @property
    def operator(self):
        return <int32_t>LOAD32(self.base + 4)

    @operator.setter
    def operator(self, int32_t state):
        STORE32(self.base + 4, <uint32_t>state)
