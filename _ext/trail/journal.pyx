"""Writes the journal. Format in segment.pxd."""
import os
from pathlib import Path

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, strerror
from _ext.core.records cimport FIRST_DECISION, FIRST_TELEMETRY
from _ext.core.sink cimport RecordSink, record_check
from _ext.trail.reader cimport Reader
from _ext.trail.segment cimport RecordHead, SegmentHead
from _ext.trail.segment import LAYOUT_BYTES, MAGIC, segment_name, segment_names

cdef extern from "<fcntl.h>" nogil:
    int open(const char*, int, int)
    int posix_fallocate(int fd, int64_t offset, int64_t n)
    int O_RDWR, O_CREAT, O_EXCL

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int ftruncate(int fd, int64_t n)
    int unlink(const char*)

cdef extern from "<stdio.h>" nogil:
    int rename(const char*, const char*)

cdef extern from "<sys/mman.h>" nogil:
    void* mmap_ "mmap"(void*, size_t, int, int, int, int64_t)
    int munmap(void*, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_POPULATE
    void* MAP_FAILED

cdef extern from *:
    """
    #define STORE_LENGTH(p, n) __atomic_store_n((uint32_t *)(p), (uint32_t)(n), __ATOMIC_RELEASE)
    #define STORE_FIRST(p, n) __atomic_store_n((uint64_t *)(p), (uint64_t)(n), __ATOMIC_RELEASE)
    """
    void STORE_LENGTH(void* p, uint64_t n) noexcept nogil
    void STORE_FIRST(void* p, uint64_t n) noexcept nogil

cdef enum:
    PAGE = 4096
    RESERVE = 4 << 20         # bytes of decisions one input may cause: 16,384 rows of the gap ledger are 1.6 MB


cdef class Journal(RecordSink):
    """Appends records to segments of `capacity` bytes in `folder`, a new epoch each time it is opened.

    Blocks are reserved when a segment is made, so a full disk or memory shows as `full` and never as SIGBUS. `prefix`
    makes the journal repeat what an earlier, killed run of the same inputs wrote: each record is compared instead of
    written until the earlier ones are used up; from the first that differs on nothing is taken. `folders` are where else
    segments of this journal lie: an epoch is never used twice. `touched`: the first segment's pages are touched before the first
    record. Raises OSError when the first segment cannot be made.
    """

    def __cinit__(self, folder, uint64_t capacity=16 << 20, uint64_t memory_cap=512 << 20, Reader prefix=None,
                  uint64_t first_seq=0, folders=(), bint touched=True):
        self.folder = Path(folder)
        self.magic, self.layout = MAGIC, LAYOUT_BYTES
        for made in (self.folder.parent, self.folder):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = segment_names(folder, *folders, *(prefix.folders if prefix is not None else ()))
        self.epoch = int(names[len(names) - 1].split("-")[0]) + 1 if names else 1
        self.capacity = capacity
        self.memory_cap = memory_cap
        self.prefix = prefix
        self.seq = first_seq
        if self._map(0, &self.base, MAP_POPULATE if touched else 0) != 0:
            raise OSError(self.problem)
        self._begin()
        self.used = sizeof(SegmentHead)

    cdef void _begin(self) noexcept:
        """The segment is in use from here on: readers may leave the one before it."""
        cdef SegmentHead* head = <SegmentHead*>self.base
        STORE_FIRST(&head.first_seq, self.seq + 1)

    cdef int _map(self, uint64_t index, uint8_t** out, int flags) noexcept:
        """Makes segment `index` of this epoch with all its blocks; 0, or -1 with `problem` set. It gets its name when its head
        stands: a drainer must never meet half a segment."""
        cdef int fd, code
        cdef SegmentHead* head
        path = os.fsencode(self.folder / segment_name(self.epoch, index))
        raw = path + b".new"
        cdef const char* name = raw
        cdef const char* final = path
        out[0] = NULL
        unlink(name)                           # of a writer that died while it made this one
        fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        if fd < 0:
            self.problem = f"cannot make {path.decode()}: {strerror(errno).decode()}"
            return -1
        code = posix_fallocate(fd, 0, self.capacity)
        if code != 0:
            self.problem = f"no room for {self.capacity >> 20} MiB in {self.folder}: {strerror(code).decode()}"
            close(fd)
            unlink(name)
            return -1
        out[0] = <uint8_t*>mmap_(NULL, self.capacity, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0)
        close(fd)
        if out[0] == <uint8_t*>MAP_FAILED:
            out[0] = NULL
            self.problem = f"cannot map {path.decode()}: {strerror(errno).decode()}"
            unlink(name)
            return -1
        head = <SegmentHead*>out[0]
        head.epoch = self.epoch
        head.index = index
        head.capacity = self.capacity
        memcpy(head.magic, <const char*>self.magic, 8)
        memcpy(head.layout, <const char*>self.layout, 16)
        if rename(name, final) != 0:
            self.problem = f"cannot name {path.decode()}: {strerror(errno).decode()}"
            munmap(out[0], self.capacity)
            out[0] = NULL
            unlink(name)
            return -1
        return 0

    cdef bint _rotate(self) noexcept:
        """Goes on in the next segment; False when there is none to be had."""
        if self.next_base == NULL and (self._undrained() + self.capacity > self.memory_cap
                                       or self._map(self.index + 1, &self.next_base, 0) != 0):
            self.full = True
            return False
        munmap(self.base, self.capacity)
        self.base = self.next_base
        self._begin()
        self.next_base = NULL
        self.next_ready = 0
        self.index += 1
        self.used = sizeof(SegmentHead)
        self.full = False
        return True

    def _undrained(self) -> int:
        return sum(1 for name in segment_names(self.folder) if name.startswith(f"{self.epoch:06d}")) * self.capacity

    cdef bint _repeats(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        """Whether the record is one the earlier run wrote; sets `diverged` when the earlier run wrote another."""
        cdef RecordHead* known = NULL
        try:
            known = self.prefix.next()
            while known != NULL and known.type >= FIRST_TELEMETRY:
                known = self.prefix.next()
        except Exception as error:
            self.problem = str(error)
            self.diverged = True
        if known == NULL:
            self.seq = self.prefix.last        # telemetry at its end is not repeated, and keeps its numbers
            self.prefix = None
            return False
        if (known.type != type or known.now != now or known.size != n
                or (n and memcmp(<const char*>known + sizeof(RecordHead), payload, n) != 0)):
            if not self.diverged:
                self.problem = f"record {known.seq:,} of type {known.type} at {known.now}: made again is type {type} at {now}"
            self.diverged = True
        self.seq = known.seq
        self.check = known.check
        return True

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef RecordHead* head
        cdef size_t length = (sizeof(RecordHead) + n + 7) & ~<size_t>7
        if self.base == NULL or self.diverged:     # closed: what comes now is nobody's; or of another run than this folder's
            return 0
        if self.prefix is not None and (type >= FIRST_TELEMETRY or self._repeats(type, now, payload, n)):
            return self.seq
        # an input is taken only where there is room for all it may cause, so that no decision is ever without its record
        if self.used + length + (min(<uint64_t>RESERVE, self.capacity // 4) if type < FIRST_DECISION else 0) > self.capacity:
            if length > self.capacity - sizeof(SegmentHead) or not self._rotate():
                self.full = True
                return 0
        head = <RecordHead*>(self.base + self.used)
        self.seq += 1
        head.type = <unsigned short>type
        head.seq = self.seq
        head.now = now
        head.size = <uint32_t>n
        if n:                              # a timer has no payload, and memcpy takes no NULL
            memcpy(<uint8_t*>head + sizeof(RecordHead), payload, n)
        self.check = record_check(type, self.seq, now, payload, n)
        head.check = self.check
        STORE_LENGTH(&head.length, length)
        self.used += length
        return self.seq

    def append(self, int type, int64_t now, const uint8_t[::1] payload not None) -> int:
        """Appends one record from Python (telemetry, tests); returns its sequence, 0 when the journal is full."""
        return self.put(type, now, &payload[0] if payload.shape[0] else NULL, payload.shape[0])

    def prepare(self, uint64_t step=4 << 20):
        """Called from a timer: makes the next segment and touches its pages, `step` bytes a call, ahead of need."""
        cdef uint64_t end
        cdef volatile uint8_t* page
        if self.next_base == NULL:
            if self.used * 2 > self.capacity and self._undrained() + self.capacity <= self.memory_cap:
                self._map(self.index + 1, &self.next_base, 0)
                self.next_ready = PAGE
            return
        end = min(self.next_ready + step, self.capacity)
        while self.next_ready < end:
            page = self.next_base + self.next_ready
            page[0] = 0
            self.next_ready += PAGE

    def close(self):
        """Ends the epoch: the last segment is cut to what was written."""
        if self.base != NULL:
            munmap(self.base, self.capacity)
            self.base = NULL
            # eight bytes more than was written: a reader that has mapped the segment looks at the next length
            os.truncate(self.folder / segment_name(self.epoch, self.index), min(self.used + 8, self.capacity))
            if self.next_base != NULL:
                munmap(self.next_base, self.capacity)
                self.next_base = NULL
                os.unlink(self.folder / segment_name(self.epoch, self.index + 1))
        self.full = True
        self.used = self.capacity

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.capacity)
        if self.next_base != NULL:
            munmap(self.next_base, self.capacity)
