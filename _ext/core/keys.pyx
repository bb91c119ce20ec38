"""Instrument key -> row number, the same for the life of a day."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from _ext.core.tick cimport KEY_MAX, NO_INST


cdef class KeyTable:
    """Hash table of instrument keys.

    `capacity` is the largest number of keys it will take; at most half the buckets are ever used.
    """

    def __cinit__(self, uint32_t capacity):
        cdef uint64_t n = 16, i
        while n < 2 * <uint64_t>capacity:
            n *= 2
        self.slots = <KeySlot*>calloc(n, sizeof(KeySlot))
        if self.slots == NULL:
            raise MemoryError(f"no memory for a key table of {capacity} instruments")
        for i in range(n):
            self.slots[i].inst = NO_INST
        self.mask = n - 1
        self.capacity = capacity

    def __dealloc__(self):
        free(self.slots)

    def add(self, bytes key) -> int:
        """Row of `key`, new or known. Raises ValueError for a key over 48 bytes or a full table."""
        cdef const char* p = key
        cdef size_t n = len(key)
        cdef uint32_t known
        cdef uint64_t i
        if n == 0 or n > KEY_MAX:
            raise ValueError(f"instrument key {key!r}: 1 to {KEY_MAX} bytes are allowed")
        known = self.find(p, n)
        if known != NO_INST:
            return known
        if self.size == self.capacity:
            raise ValueError(f"the instrument table holds {self.capacity} names; raise `instruments` in the configuration")
        i = hash_key(p, n) & self.mask
        while self.slots[i].inst != NO_INST:
            i = (i + 1) & self.mask
        memcpy(self.slots[i].key, p, n)
        self.slots[i].length = <uint8_t>n
        self.slots[i].inst = self.size
        self.size += 1
        return self.size - 1

    def get(self, bytes key):
        """Row of `key`, or None."""
        cdef uint32_t row = self.find(key, len(key))
        return None if row == NO_INST else row
