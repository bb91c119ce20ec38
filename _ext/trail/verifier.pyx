"""Compares decisions made again with those of a journal."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp
from _ext.core.records cimport FIRST_DECISION, FIRST_TELEMETRY
from _ext.core.sink cimport RecordSink, record_check
from _ext.trail.reader cimport Reader
from _ext.trail.segment cimport RecordHead


cdef class Verifier(RecordSink):
    """Compares what the core decides with what `source` says was decided; `replay` and restart use it.

    The caller takes inputs from `source` and applies them; decisions are taken from it here. A decision that the
    journal's end does not hold any more is kept in `missing`, and one of a type that is `wanted` in `kept`.
    """

    def __init__(self, Reader source not None, wanted=()):
        self.source = source
        self.wanted = frozenset(wanted)
        self.kept, self.missing = [], []

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef RecordHead* known = NULL
        if type >= FIRST_TELEMETRY:
            return self.seq
        if self.wanted and type in self.wanted:
            self.kept.append((type, now, (<const char*>payload)[:n]))
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
