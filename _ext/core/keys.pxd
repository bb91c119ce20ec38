# Instrument key bytes -> row of the instrument table: open addressing, power-of-two buckets, filled at start.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memcmp
from _ext.core.tick cimport KEY_MAX, NO_INST

cdef struct KeySlot:          # one cache line a slot: the compare needs no second miss
    uint32_t inst             # NO_INST: empty
    uint8_t length
    char key[KEY_MAX]
    char pad[11]


cdef inline uint64_t hash_key(const char* p, size_t n) noexcept nogil:
    """Multiplicative hash over 8-byte words; the tail word overlaps, so no byte is left out for n >= 8."""
    cdef uint64_t h = n * <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t w = 0
    cdef size_t i = 0
    while i + 8 <= n:
        memcpy(&w, p + i, 8)
        h = (h ^ w) * <uint64_t>0xD6E8FEB86659FD93
        h ^= h >> 32
        i += 8
    if i < n:
        w = 0
        if n >= 8:
            memcpy(&w, p + n - 8, 8)
        else:
            memcpy(&w, p, n)
        h = (h ^ w) * <uint64_t>0xD6E8FEB86659FD93
        h ^= h >> 32
    return h


cdef class KeyTable:
    cdef KeySlot* slots
    cdef uint64_t mask
    cdef readonly uint32_t size
    cdef readonly uint32_t capacity

    cdef inline uint32_t find(self, const char* p, size_t n) noexcept nogil:
        """Row of the key, or NO_INST."""
        cdef uint64_t i
        cdef KeySlot* slot
        if n > KEY_MAX:
            return NO_INST
        i = hash_key(p, n) & self.mask
        while True:
            slot = &self.slots[i]
            if slot.inst == NO_INST:
                return NO_INST
            if slot.length == n and memcmp(slot.key, p, n) == 0:
                return slot.inst
            i = (i + 1) & self.mask
