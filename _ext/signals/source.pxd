# The strategy seam: a source looks at each update of an instrument and may propose a candidate. Its state is in its own arrays.
from libc.stdint cimport int16_t, int64_t, uint32_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport N_OWN, Candidate
from _ext.market.state cimport (
    BAR_CLOSED, BAR_DIRTY, TICK_AFTER_GAP, TICK_BAD_TIME, TICK_DOUBTED, TICK_FIRST, TICK_LATE, TICK_OUTSIDE, TICK_STEP_BACK,
    TICK_TRADED, Row, TickInfo)
from _ext.signals.rules cimport Rules

cdef enum:
    UNFIT = TICK_AFTER_GAP | TICK_BAD_TIME | TICK_DOUBTED | TICK_FIRST | TICK_LATE | TICK_OUTSIDE | TICK_STEP_BACK

cdef struct Event:            # what a source proposes
    int16_t level             # 0 worth keeping, 1 worth trading
    int16_t move              # of the price: +1 up, -1 down
    int16_t side              # of the trade: +1 buy, -1 sell
    double strength           # 0..1, by the source's own measure
    double own[N_OWN]         # its own statistics

cdef struct Wish:             # a candidate that a strategy asks for between updates
    Event event
    int64_t limit             # paise; 0: none
    int64_t stop
    int64_t target
    int64_t hold              # ns; 0: none
    uint32_t guide            # row + 1 of the underlying whose prices stop and target are; 0: they are its own
    char note[32]

cdef class CandidateSource:
    cdef readonly uint32_t capacity      # instruments
    cdef readonly bint is_scored         # whether the noise filter judges its candidates
    cdef bint on_tick(self, uint32_t inst, const Row* r, const TickInfo* t, Event* out) noexcept nogil
    cdef Reason judge(self, const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing,
                      Candidate* c) noexcept nogil

cdef inline bint is_fit(const Row* r, const TickInfo* t) noexcept nogil:
    """Whether an update is a trade of a clean minute: what a source may decide on."""
    return not t.flags & UNFIT and t.flags & TICK_TRADED and not r.bar_flags & (BAR_DIRTY | BAR_CLOSED)
