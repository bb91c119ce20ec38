"""Sinks of records: see sink.pxd."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.records cimport FIRST_TELEMETRY, REC_FRAME, REC_TIMER


cdef class RecordSink:
    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        """Takes one record; returns its sequence, 0 when it could not be taken. The base takes and forgets."""
        self.seq += 1
        self.check = record_check(type, self.seq, now, payload, n)
        return self.seq


cdef class KeepingSink(RecordSink):
    """Keeps (type, now, payload) of the record types `wanted` in a list, for soaks and backtests, which look at decisions and not
    at sixty million frames. All records go on to `inner`; without one the rest is forgotten."""
    cdef bint[256] is_wanted
    cdef RecordSink inner
    cdef readonly list kept

    def __cinit__(self, wanted, RecordSink inner=None):
        self.kept, self.inner = [], inner
        for number in wanted:
            self.is_wanted[<unsigned char>number] = 1

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        if self.is_wanted[type & 255]:
            self.kept.append((type, now, (<const char*>payload)[:n]))
        if self.inner is None:
            return RecordSink.put(self, type, now, payload, n)
        self.inner.put(type, now, payload, n)
        self.seq, self.check = self.inner.seq, self.inner.check
        return self.seq


cdef class ReferringSink(RecordSink):
    """Sends all records to `inner` but frames and timers: those stand in the journal of another run, which this one refers to."""
    cdef RecordSink inner

    def __cinit__(self, RecordSink inner not None):
        self.inner = inner
        self.seq = inner.seq

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef uint64_t seq
        if type == REC_FRAME or type == REC_TIMER:
            self.check = record_check(type, 0, now, payload, n)
            return self.seq
        seq = self.inner.put(type, now, payload, n)
        self.seq, self.check = self.inner.seq, self.inner.check
        return seq


cdef class DigestSink(RecordSink):
    """Counts every record on its way to `inner` and puts it into the digest."""

    def __cinit__(self, RecordSink inner not None):
        self.inner = inner

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef uint64_t seq = self.inner.put(type, now, payload, n)
        self.seq = self.inner.seq
        self.check = self.inner.check
        if seq != 0 and type < FIRST_TELEMETRY:
            self.count(type, self.check)
        return seq

    cdef void count(self, int type, uint32_t check) noexcept:
        """Takes note of a record that stands in the journal already."""
        self.digest = mix(self.digest, (<uint64_t>type << 32) | check)
        self.records += 1

    def attach(self, RecordSink inner not None):
        """Goes on with another sink: after a restart's replay, from its Verifier to the new Journal."""
        self.inner = inner
        self.seq = inner.seq


cdef class FrameSink:
    """What takes frames. The base takes and forgets."""

    cdef int on_frame(self, const uint8_t* frame, size_t n, int64_t now) except -1:
        return 0
