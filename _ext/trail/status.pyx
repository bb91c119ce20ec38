"""Status block: the engine's vital signs in a mode-600 file, written under a sequence lock; readers never block it.

Layout: uint32 sequence (odd while being written), int32 operator word (written by any authorised process, read by the
engine), one STATUS record, then the operator ring: uint64 number of the last entry taken, and RING entries of records.OPERATION.
"""
import fcntl
import mmap
import os

import numpy as np

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _ext.core.records cimport Operation

cdef extern from *:
    """
    #define LOAD32(p) __atomic_load_n((const uint32_t *)(p), __ATOMIC_ACQUIRE)
    #define STORE32(p, v) __atomic_store_n((uint32_t *)(p), (uint32_t)(v), __ATOMIC_RELEASE)
    #define LOAD64(p) __atomic_load_n((const uint64_t *)(p), __ATOMIC_ACQUIRE)
    #define STORE64(p, v) __atomic_store_n((uint64_t *)(p), (uint64_t)(v), __ATOMIC_RELEASE)
    """
    uint32_t LOAD32(const void* p) noexcept nogil
    void STORE32(void* p, uint32_t v) noexcept nogil
    uint64_t LOAD64(const void* p) noexcept nogil
    void STORE64(void* p, uint64_t v) noexcept nogil

STATUS = np.dtype([
    ("pid", "<i8"), ("heartbeat", "<i8"), ("now", "<i8"), ("speed", "<f8"),
    ("trading", "<i8"), ("operator", "<i8"), ("feed_up", "<i8"), ("positions", "<i8"),
    ("updates", "<i8"), ("frames", "<i8"), ("rejected", "<i8"), ("unknown", "<i8"), ("candidates", "<i8"),
    ("signals", "<i8"), ("orders", "<i8"), ("requests", "<i8"), ("gaps", "<i8"), ("late", "<i8"), ("repeats", "<i8"),
    ("reconnects", "<i8"), ("instruments", "<i8"), ("records", "<i8"), ("digest", "<u8"), ("epoch", "<i8"),
    ("p50", "<i8"), ("p99", "<i8"), ("p999", "<i8"), ("max", "<i8"), ("order_p50", "<i8"), ("order_max", "<i8"),
    ("equity", "<i8"), ("available", "<i8"), ("realised", "<i8"), ("charges", "<i8"), ("open", "<i8"), ("exposure", "<i8"),
    ("first_update", "<i8"), ("started", "<i8"), ("journal_full", "<i8"), ("ready", "<i8"),
    ("sequence", "<i8"), ("filter", "<i8"), ("best", "<i8"), ("losses", "<i8"), ("used_second", "<i8"), ("used_minute", "<i8"),
    ("used_half_hour", "<i8"), ("used_hour", "<i8"), ("used_day", "<i8"), ("entries_minute", "<i8"), ("skew_ms", "<i8"),
    ("trouble", "S600")])
"""Times ns since 1970, money paise, latencies ns inside the frame callback (order_*: ms x 1e6 round trip). `sequence`: number of
the last record journaled; `filter`: whether a model trades; `best`: highest net result of the day; `losses` in a row; `used_*`: of
the broker's budgets and of entries an hour and a day; `trouble`: what is wrong, a line each, in words."""

cdef enum:
    HEAD = 8
    TRIES = 100
    RING = 16
    WITHDRAWN = -1
cdef size_t RING_AT = (HEAD + STATUS.itemsize + 7) & ~7
cdef size_t SIZE = RING_AT + 8 + RING * sizeof(Operation)


cdef class StatusBlock:
    """Opens the block at `path`; `create` makes it (the engine). Raises FileNotFoundError where there is none."""
    cdef object view, path
    cdef unsigned char* base
    cdef public object values       # the writer's STATUS record: set fields, then publish()

    def __init__(self, path, create=False):
        size = SIZE
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
        self.base, self.path = &data[0], path
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

    # ---- operator ring ----------------------------------------------------------------------------------------------------
    cdef Operation* _entry(self, uint64_t number) noexcept:
        return <Operation*>(self.base + RING_AT + 8) + number % RING

    @property
    def taken(self) -> int:
        """Number of the last entry the engine has taken."""
        return LOAD64(self.base + RING_AT)

    def ask(self, int kind, bytes argument not None, bytes who not None) -> int:
        """Writes an operation (records.OperationKind) for the engine to take; its number, by which `taken` answers. BlockingIOError
        where the engine takes none: the ring is full, or another process has written half of one for a second. Longer words are
        cut."""
        cdef uint64_t number, last
        cdef Operation entry
        cdef const char* text
        fd = os.open(self.path, os.O_RDWR)
        try:
            _locked(fd)
            last = LOAD64(self.base + RING_AT)
            number = last
            while number < last + RING and LOAD64(&self._entry(number + 1).number) == number + 1:
                number += 1
            if number == last + RING:
                raise BlockingIOError("the engine takes no operations: it hangs, or has ended")
            memset(&entry, 0, sizeof(Operation))
            entry.kind = kind
            text = argument
            memcpy(entry.argument, text, min(<size_t>len(argument), sizeof(entry.argument) - 1))
            text = who
            memcpy(entry.who, text, min(<size_t>len(who), sizeof(entry.who) - 1))
            memcpy(<char*>self._entry(number + 1) + 8, <char*>&entry + 8, sizeof(Operation) - 8)
            STORE64(&self._entry(number + 1).number, number + 1)
            return number + 1
        finally:
            os.close(fd)

    def withdraw(self, uint64_t number) -> bool:
        """Takes an entry back that the engine has not taken; False where it has."""
        fd = os.open(self.path, os.O_RDWR)
        try:
            _locked(fd)
            if LOAD64(self.base + RING_AT) >= number or LOAD64(&self._entry(number).number) != number:
                return False
            self._entry(number).kind = WITHDRAWN
            return LOAD64(self.base + RING_AT) < number
        finally:
            os.close(fd)

    def take(self) -> list:
        """Entries (records.OPERATION, as bytes) written since the last call or, at the first, since the engine before this one: the
        engine's."""
        cdef uint64_t last = LOAD64(self.base + RING_AT)
        cdef Operation entry
        found = []
        while LOAD64(&self._entry(last + 1).number) == last + 1:
            memcpy(&entry, self._entry(last + 1), sizeof(Operation))
            entry.pad = entry.argument[sizeof(entry.argument) - 1] = entry.who[sizeof(entry.who) - 1] = 0
            found.append((<char*>&entry)[:sizeof(Operation)])
            last += 1
            STORE64(self.base + RING_AT, last)
        return found


def _locked(fd):
    """The lock among those who ask; the kernel drops it with the descriptor."""
    import time

    for _ in range(100):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.01)
    raise BlockingIOError("another process is asking the engine for something and does not end: try again")
