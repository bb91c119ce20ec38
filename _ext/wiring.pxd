from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport Candidate, Gap, Instrument, ModelChange
from _ext.core.tick cimport Tick
from _ext.feed.frame cimport FrameSink
from _ext.feed.wire cimport Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport Row, TickInfo
from _ext.signals.detector cimport CandidateSource
from _ext.signals.scorer cimport Scorer
from _ext.signals.validator cimport Rules
from _ext.trade.gate cimport Gate
from _ext.trade.positions cimport Trader
from _ext.trail.journal cimport Reader, Trail

cdef enum:
    MAX_PENDING = 256         # candidates waiting for their next trade update
    MAX_SOURCES = 4
    FIRING_KEPT = 1024
    LOST_KEPT = 16384         # silences waiting to be fetched

cdef struct Pending:
    int32_t used
    uint32_t inst
    Candidate candidate

cdef struct Stamps:           # telemetry of the last frame with a candidate; never read by a decision
    int64_t received
    int64_t decoded
    int64_t scored
    int64_t decided
    uint64_t candidate

cdef class Core(FrameSink):
    cdef readonly KeyTable keys
    cdef readonly Decoder decoder
    cdef readonly Market market
    cdef readonly Gate gate
    cdef readonly Trader trader
    cdef readonly dict config
    cdef readonly Scorer scorer
    cdef readonly Scorer scorer_b        # of the names in arm B; None: the active one
    cdef readonly list shadows           # (head of the sha256, Scorer): what decides nothing
    cdef readonly dict models            # sha256 -> Scorer
    cdef readonly Trail trail
    cdef Instrument* specs
    cdef bytes _model_head
    cdef bytes _model_head_b
    cdef uint8_t* arm                    # of each instrument: 1 is B
    cdef double share_b                  # of the names
    cdef object sources
    cdef void* source[MAX_SOURCES]       # borrowed from `sources`
    cdef int n_sources
    cdef Rules rules[2]                  # of arm A and B
    cdef double confirm_share
    cdef int64_t confirm_ns
    cdef Pending pending[MAX_PENDING]
    cdef int n_pending
    cdef int64_t fired[FIRING_KEPT]
    cdef uint64_t n_fired
    cdef Gap lost[LOST_KEPT]
    cdef uint64_t n_lost
    cdef uint64_t taken_lost
    cdef readonly int64_t now
    cdef uint64_t frame_seq              # journal sequence of the frame under way
    cdef readonly uint64_t digest
    cdef readonly uint64_t records, frames, updates, rejected, dropped, unknown, candidates, signals
    cdef int busy
    cdef Stamps stamps
    cdef public bint feed_time           # now is the frame's currentTs (source sim), not the wall clock
    cdef public bint stamped                    # whether this process measures stages

    cdef uint64_t input(self, int type, int64_t now, const void* payload, size_t n) except? 0
    cdef int apply(self, int type, int64_t now, const uint8_t* payload, size_t n, uint32_t check) except -1
    cdef int apply_ticks(self, int64_t now) except -1
    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1
    cdef int _candidate(self, Row* r, const TickInfo* t, Candidate* c) except -1
    cdef int _confirm(self, Row* r, const TickInfo* t) except -1
    cdef int _decide(self, Row* r, const TickInfo* t, Candidate* c) except -1
    cdef int _shadow(self, const Candidate* c, int64_t now) except -1
    cdef float _score(self, Candidate* c) except? -1
    cdef int _imagine(self, uint32_t inst, int direction, Candidate* c) except -1
    cdef int _refuse(self, size_t n, int64_t now) except -1
    cdef int _tell(self, int64_t now) except -1
    cdef int _expire(self, int64_t now, bint all) except -1
    cdef void _close(self, Pending* p, int64_t now) noexcept
    cdef int _add(self, const Instrument* spec) except -1
    cdef int _switch(self, const ModelChange* change) except -1
    cdef int _configure(self, dict config) except -1
    cdef double _firing(self, int64_t now) noexcept nogil
