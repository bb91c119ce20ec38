# The life of a candidate: proposed by a source, scored, confirmed by the next trade, judged by the source's rules.
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from _ext.core.records cimport Candidate, Instrument, ModelChange
from _ext.core.sink cimport RecordSink
from _ext.market.market cimport Market
from _ext.market.state cimport Row, TickInfo
from _ext.signals.rules cimport Rules
from _ext.signals.scorer cimport Scorer
from _ext.signals.strategies cimport StrategyHost
from _ext.signals.source cimport CandidateSource, Event, Wish

cdef enum:
    MAX_SOURCES = 8
    MAX_PENDING = 256         # candidates waiting for their next trade update
    FIRING_KEPT = 1024

cdef struct Pending:
    int32_t used
    int32_t next              # 1 + slot of another that waits in the same instrument; 0: none
    Candidate candidate

cdef struct Firing:           # times of the last candidates worth trading, of one source
    int64_t at[FIRING_KEPT]
    uint64_t n

cdef struct Signalled:        # ms of the last candidate worth trading of one instrument and source, up and down; 0: none
    int64_t at[2]


@cython.final
cdef class Pipeline:
    cdef Market market
    cdef RecordSink sink
    cdef const Instrument* specs
    cdef readonly tuple sources          # in the order of the configuration
    cdef readonly tuple names
    cdef readonly dict strategies        # name -> what a START record may name besides compiled sources
    cdef readonly dict stopped           # name -> call at which a run had stopped it; a replay stops there
    cdef readonly StrategyHost host      # calls them; None: there are none
    cdef void* source[MAX_SOURCES]       # borrowed from `sources`
    cdef int asked[MAX_SOURCES]          # those of them that are asked at each update
    cdef int n_asked
    cdef int n_own[MAX_SOURCES]          # statistics of its own each has
    cdef int n_sources
    cdef Rules rules[2]                  # of arm A and B
    cdef double confirm_share
    cdef int64_t confirm_ns
    cdef Pending pending[MAX_PENDING]
    cdef int n_pending
    cdef Firing firing[MAX_SOURCES]
    cdef Signalled* signalled            # [instrument][MAX_SOURCES]
    cdef uint8_t* arm                    # of each instrument: 1 is B
    cdef double share_b                  # of the names
    cdef readonly Scorer scorer
    cdef readonly Scorer scorer_b        # of the names in arm B; None: the active one
    cdef readonly list shadows           # (head of the sha256, Scorer): what decides nothing
    cdef readonly dict models            # sha256 -> Scorer
    cdef bytes _head
    cdef bytes _head_b
    cdef uint64_t frame_seq              # journal sequence of the frame under way
    cdef readonly uint64_t candidates, signals
    cdef Candidate passed[MAX_SOURCES]   # since the last look: what the gate is to be asked about
    cdef int n_passed
    cdef bint stamped                    # whether this process measures stages
    cdef int64_t scored, decided         # monotonic ns of the last candidate; telemetry, never read by a decision
    cdef uint64_t stamped_id             # which candidate that was; 0: none since `frame_seq`

    cdef int configure(self, dict config) except -1
    cdef int add(self, uint32_t inst, bytes key) except -1
    cdef int switch(self, const ModelChange* change) except -1
    cdef int confirm(self, Row* r, const TickInfo* t) except -1
    cdef int expire(self, int64_t now, bint all) except -1
    cdef double recent(self, int source, int64_t now) noexcept nogil
    cdef int propose(self, uint32_t inst, int source, const Wish* wish, int64_t now) except -1
    cdef int _propose(self, Row* r, uint32_t inst, int source, const Event* event, const TickInfo* t, const Wish* wish) except -1
    cdef int _wait(self, Row* r, const TickInfo* t, Candidate* c) except -1
    cdef int _decide(self, Row* r, const TickInfo* t, Candidate* c) except -1
    cdef int _shadow(self, const Candidate* c, int64_t now) except -1
    cdef float _score(self, Candidate* c) except? -1
    cdef void _unlink(self, Row* r, int slot) noexcept
    cdef void _close(self, Candidate* c, int64_t now) noexcept

    cdef inline int on_tick(self, Row* r, uint32_t inst, const TickInfo* t) except -1:
        """Asks every source; what passed at once waits in `passed`."""
        cdef Event event
        cdef int i
        for i in range(self.n_asked):
            if (<CandidateSource>self.source[self.asked[i]]).on_tick(inst, r, t, &event):
                self._propose(r, inst, self.asked[i], &event, t, NULL)
        return 0
