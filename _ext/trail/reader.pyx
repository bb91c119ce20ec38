"""Reads a journal, plain or compressed, also while it grows. Format in segment.pxd."""
import mmap
import os
from pathlib import Path

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.records cimport REC_FRAME, REC_TIMER
from _ext.core.sink cimport record_check
from _ext.trail.segment cimport RecordHead, SegmentHead
from _ext.trail.segment import COMPRESSED, foreign, segment_names
from _ext.trail.unpack import Ahead

cdef extern from *:
    """
    #define LOAD_LENGTH(p) __atomic_load_n((const uint32_t *)(p), __ATOMIC_ACQUIRE)
    """
    uint32_t LOAD_LENGTH(const void* p) noexcept nogil


cdef class Reader:
    """Reads the records of a journal in order; `folders` are searched for each segment in turn (memory, then disk).

    A record that fails its checksum is counted in `corrupt` and left out, one whose number is passed over in `missing`;
    `problem` names the first. At the end of what is written `next` gives NULL, and may give more later: a live journal can be
    followed.
    """

    def __init__(self, *folders):
        self.folders = [Path(folder) for folder in folders]
        self.ahead = Ahead()
        self.kept = []

    def _find(self, name):
        """(contents, size) of a segment that is in use, or None: not there, still being made, or not one of ours."""
        view = self._contents(name)
        if view is None or <size_t>len(view) < sizeof(SegmentHead):
            return None
        problem = foreign(view[:sizeof(SegmentHead)], name)
        if problem:
            self._note(problem)
            return None
        return (view, len(view)) if view[32:40] != bytes(8) else None

    def _contents(self, name):
        """The plain segment mapped, or the compressed one unpacked; None where neither is there."""
        for folder in self.folders:
            try:
                with (folder / name).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if size == 0:
                        return None
                    return mmap.mmap(file.fileno(), size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
            except FileNotFoundError:
                pass
            if (folder / (name + COMPRESSED)).exists():
                try:
                    return self.ahead.take(folder / (name + COMPRESSED), self._after(folder, name))
                except (OSError, ValueError) as error:
                    self._note(f"{name}{COMPRESSED} cannot be unpacked: {error}")
                    return None
        return None

    def _after(self, folder, name):
        """The compressed segment that will be read next, or None."""
        later = [n for n in segment_names(*self.folders) if n > name]
        return folder / (later[0] + COMPRESSED) if later and (folder / (later[0] + COMPRESSED)).exists() else None

    cdef bint _open(self) except *:
        """Goes on to the next segment in use, if there is one; one made ahead and never used is passed over."""
        cdef const uint8_t[::1] data
        if self.rested:
            found = self._find(self.current)
            if found is None:
                return False
            self.view, self.size = found
            data = self.view
            self.base = &data[0]
            self.used, self.rested = self.rested, 0
            return True
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
            self.kinds[(head.type >> 6) & 3] |= <uint64_t>1 << (head.type & 63)
            if self.keeps and head.type != REC_FRAME and head.type != REC_TIMER:
                self.kept.append((head.type, head.seq, head.now, (<char*>head + sizeof(RecordHead))[:head.size]))
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

    def next_time(self):
        """ns of the next record, which stays to be read; None at the end of what is written."""
        cdef RecordHead* head = self.peek()
        return None if head == NULL else head.now

    def rest(self):
        """Lets go of the segment that is being read; it is opened again where reading goes on. Records that were borrowed end."""
        cdef RecordHead* head = self.peeked
        if self.base == NULL:
            return
        if head != NULL:                     # it will be read once more
            self.used -= head.length
            self.peeked = NULL
            if self.kept and self.kept[len(self.kept) - 1][1] == head.seq:
                self.kept.pop()
        self.rested = self.used
        self.base, self.view, self.before = NULL, None, None

    def be_alone(self):
        """No thread unpacks ahead from here on."""
        self.ahead = Ahead(is_alone=True)

    def take_kept(self, int64_t until) -> list:
        """With `keeps`: (type, sequence, now ns, payload) of each record that is no frame and no timer, read since the last call
        and not later than `until` (ns)."""
        found = [record for record in self.kept if record[2] <= until]
        self.kept = self.kept[len(found):]
        return found

    def has_read(self, int type) -> bool:
        """Whether a record of this type has been read."""
        return (self.kinds[(type >> 6) & 3] >> (type & 63)) & 1

    def skim(self):
        """Reads on to the end of what is written, for `corrupt`, `missing` and `last` alone."""
        while self.next() != NULL:
            pass

    def pick(self, wanted) -> list:
        """(type, now ns, payload) of the records of the types `wanted` up to the end of what is written."""
        cdef RecordHead* head
        cdef uint64_t kinds[4]
        kinds[:] = [sum(1 << (t & 63) for t in set(wanted) if t >> 6 == part) for part in range(4)]
        found = []
        while True:
            head = self.next()
            if head == NULL:
                return found
            if (kinds[(head.type >> 6) & 3] >> (head.type & 63)) & 1:
                found.append((head.type, head.now, (<char*>head + sizeof(RecordHead))[:head.size]))

    def quiet(self, int64_t limit, int64_t since=0, int type=-1) -> list:
        """(ns, ns) of two records that follow each other and lie further apart than `limit`, of those of `type` (-1: all) not
        before `since`: when nobody wrote. The first and the last record's times lead and end it, each twice."""
        cdef RecordHead* head
        cdef int64_t last = 0
        found = []
        while True:
            head = self.next()
            if head == NULL:
                return [*found, (last, last)] if last else []
            if head.now < since or (type >= 0 and head.type != type):
                continue
            if last == 0:
                found.append((head.now, head.now))
            elif head.now - last > limit:
                found.append((last, head.now))
            last = head.now

    @property
    def position(self):
        """(segment name, byte) of the cursor."""
        return self.current, self.used
