"""Journal writer, reader and verifier. Format in journal.pxd."""
import mmap
import os
from pathlib import Path

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, strerror
from _ext.core.records cimport FIRST_DECISION, FIRST_TELEMETRY

cdef extern from "checksum.h" nogil:
    uint32_t checksum(const void* data, size_t n, uint64_t seed)

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
    #define LOAD_LENGTH(p) __atomic_load_n((const uint32_t *)(p), __ATOMIC_ACQUIRE)
    """
    void STORE_LENGTH(void* p, uint64_t n) noexcept nogil
    void STORE_FIRST(void* p, uint64_t n) noexcept nogil
    uint32_t LOAD_LENGTH(const void* p) noexcept nogil

cdef enum:
    PAGE = 4096
    RESERVE = 4 << 20         # bytes of decisions one input may cause: 16,384 rows of the gap ledger are 1.6 MB

MAGIC = b"SPIKEJ\x00\x01"


cdef uint32_t record_check(int type, uint64_t seq, int64_t now, const void* payload, size_t n) noexcept nogil:
    return checksum(payload, n, (seq * <uint64_t>0x9E3779B97F4A7C15) ^ <uint64_t>now ^ (<uint64_t>type << 48))


def segment_name(uint64_t epoch, uint64_t index) -> str:
    return f"{epoch:06d}-{index:06d}.seg"


def segment_names(*folders) -> list:
    """Names of all segments of a journal in reading order; a name in several folders counts once."""
    names = set()
    for folder in folders:
        if os.path.isdir(folder):
            names.update(name for name in os.listdir(folder) if name.endswith(".seg"))
    return sorted(names)


cdef class Trail:
    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        """Takes one record; returns its sequence, 0 when it could not be taken. The base takes and forgets."""
        self.seq += 1
        self.check = record_check(type, self.seq, now, payload, n)
        return self.seq


cdef class Keeping(Trail):
    """Keeps (type, now, payload) of the record types `wanted` in a list and forgets the rest: for soaks, which look at decisions
    and not at sixty million frames."""
    cdef frozenset wanted
    cdef readonly list kept

    def __cinit__(self, wanted):
        self.wanted, self.kept = frozenset(wanted), []

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        if type in self.wanted:
            self.kept.append((type, now, (<const char*>payload)[:n]))
        return Trail.put(self, type, now, payload, n)


cdef class Journal(Trail):
    """Appends records to segments of `capacity` bytes in `folder`, a new epoch each time it is opened.

    Blocks are reserved when a segment is made, so a full disk or memory shows as `full` and never as SIGBUS. `prefix`
    makes the journal repeat what an earlier, killed run of the same inputs wrote: each record is compared instead of
    written until the earlier ones are used up. `folders` are where else segments of this journal lie: an epoch is never used
    twice. Raises OSError when the first segment cannot be made.
    """

    def __cinit__(self, folder, uint64_t capacity=16 << 20, uint64_t memory_cap=512 << 20, Reader prefix=None,
                  uint64_t first_seq=0, folders=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = segment_names(folder, *folders, *(prefix.folders if prefix is not None else ()))
        self.epoch = int(names[len(names) - 1].split("-")[0]) + 1 if names else 1
        self.capacity = capacity
        self.memory_cap = memory_cap
        self.prefix = prefix
        self.seq = first_seq
        if self._map(0, &self.base, MAP_POPULATE) != 0:        # the first segment's pages are touched before the first tick
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
        memcpy(head.magic, b"SPIKEJ\x00\x01", 8)
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
            self.prefix = None
            return False
        if (known.type != type or known.now != now or known.size != n
                or (n and memcmp(<const char*>known + sizeof(RecordHead), payload, n) != 0)):
            self.diverged = True
        self.seq = known.seq
        self.check = known.check
        return True

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef RecordHead* head
        cdef size_t length = (sizeof(RecordHead) + n + 7) & ~<size_t>7
        if self.base == NULL:              # closed: what comes now is nobody's
            return 0
        if self.prefix is not None and type < FIRST_TELEMETRY and self._repeats(type, now, payload, n):
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


cdef class Reader:
    """Reads the records of a journal in order; `folders` are searched for each segment in turn (memory, then disk).

    A record that fails its checksum is counted in `corrupt` and left out, one whose number is passed over in `missing`;
    `problem` names the first. At the end of what is written `next` gives NULL, and may give more later: a live journal can be
    followed.
    """

    def __init__(self, *folders):
        self.folders = [Path(folder) for folder in folders]

    def _find(self, name):
        """(mapping, size) of a segment that is in use, or None: not there, still being made, or not a segment."""
        for folder in self.folders:
            try:
                with (folder / name).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if size < sizeof(SegmentHead):
                        return None
                    view = mmap.mmap(file.fileno(), size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
            except FileNotFoundError:
                continue
            if view[:8] != MAGIC:
                self._note(f"{name} is not a journal segment")
                return None
            return (view, size) if view[32:40] != bytes(8) else None
        return None

    cdef bint _open(self) except *:
        """Goes on to the next segment in use, if there is one; one made ahead and never used is passed over."""
        cdef const uint8_t[::1] data
        names = segment_names(*self.folders)
        for name in names:
            if self.current is not None and name <= self.current:
                continue
            found = self._find(name)
            if found is None:
                continue
            if self.base != NULL and self.used + sizeof(RecordHead) <= self.size and LOAD_LENGTH(
                    self.base + self.used) != 0:
                return True          # written between the look at the old segment and the start of the new one
            if self.used > sizeof(SegmentHead):
                self.before = self.view      # records handed out from the old segment stay valid until the one after this
            self.view, self.size = found
            data = self.view
            self.base = &data[0]
            self.used = sizeof(SegmentHead)
            self.current = name
            return True
        return False

    def _note(self, text):
        self.corrupt += 1
        if self.problem is None:
            self.problem = text

    cdef RecordHead* _step(self) except? NULL:
        """The record at the cursor, which moves on; NULL at the end of what is written."""
        cdef RecordHead* head
        cdef uint32_t length
        while True:
            if self.base == NULL or self.used + sizeof(RecordHead) > self.size:
                if not self._open():
                    return NULL
                continue
            head = <RecordHead*>(self.base + self.used)
            length = LOAD_LENGTH(&head.length)
            if length == 0:
                if not self._open():
                    return NULL
                continue
            if (length < sizeof(RecordHead) or length & 7 or self.used + length > self.size
                    or head.size > length - sizeof(RecordHead)):
                self._note(f"{self.current} at byte {self.used}: a record of {length} bytes cannot be")
                self.used = self.size
                continue
            self.used += length
            if head.check != record_check(head.type, head.seq, head.now, <uint8_t*>head + sizeof(RecordHead), head.size):
                self._note(f"{self.current} at byte {self.used - length}: record {head.seq} fails its checksum")
                continue
            if head.seq > self.last + 1:
                self.missing += head.seq - self.last - 1
                self.problem = self.problem or f"records {self.last + 1:,} to {head.seq - 1:,} are missing before {self.current}"
            self.last = head.seq
            return head

    cdef RecordHead* peek(self) except? NULL:
        if self.peeked == NULL:
            self.peeked = self._step()
        return self.peeked

    cdef RecordHead* next(self) except? NULL:
        """Borrowed: valid until the reader moves to another segment."""
        cdef RecordHead* head = self.peeked
        if head != NULL:
            self.peeked = NULL
            return head
        return self._step()

    def read(self):
        """The next record as (type, sequence, now ns, payload bytes), or None at the end of what is written."""
        cdef RecordHead* head = self.next()
        if head == NULL:
            return None
        return head.type, head.seq, head.now, (<char*>head + sizeof(RecordHead))[:head.size]

    def __iter__(self):
        while (record := self.read()) is not None:
            yield record

    def skim(self):
        """Reads on to the end of what is written, for `corrupt`, `missing` and `last` alone."""
        while self.next() != NULL:
            pass

    @property
    def position(self):
        """(segment name, byte) of the cursor."""
        return self.current, self.used


cdef class Verifier(Trail):
    """Compares what the core decides with what `source` says was decided; `replay` and restart use it.

    The caller takes inputs from `source` and applies them; decisions are taken from it here. A decision that the
    journal's end does not hold any more is kept in `missing`.
    """

    def __init__(self, Reader source not None):
        self.source = source
        self.missing = []

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef RecordHead* known = NULL
        if type >= FIRST_TELEMETRY:
            return self.seq
        try:
            known = self.source.peek()
            while known != NULL and known.type >= FIRST_TELEMETRY:
                self.source.next()
                known = self.source.peek()
            if known == NULL:
                self.seq += 1
                self.check = record_check(type, self.seq, now, payload, n)
                self.missing.append((type, now, (<const char*>payload)[:n]))
                return self.seq
            if (known.type == type and known.now == now and known.size == n
                    and memcmp(<char*>known + sizeof(RecordHead), payload, n) == 0):
                self.matched += 1
            else:
                self.mismatched += 1
                if self.first_mismatch is None:
                    self.first_mismatch = (known.seq, known.type, type, now, (<const char*>payload)[:n],
                                           (<char*>known + sizeof(RecordHead))[:known.size])
            if known.type >= FIRST_DECISION:
                self.source.next()
                self.seq = known.seq
                self.check = known.check
        except Exception as error:
            self.mismatched += 1
            self.first_mismatch = self.first_mismatch or str(error)
        return self.seq
