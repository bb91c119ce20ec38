# The board: state of all instruments, and the ledger's rows that nobody has taken yet.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from _ext.core.clock cimport SESSION_MINUTES
from _ext.core.records cimport Gap, Instrument
from _ext.market.chain cimport Chains
from _ext.market.indicators cimport Indicators
from _ext.market.state cimport Bar, Closing, RingTick, Row, Saved, Window

cdef enum:
    PENDING_MAX = 16384       # rows of the gap ledger between two drains
    SCRATCH = 640
    CLOSINGS = 32768          # minutes that close between two looks
    SECTORS = 32

cdef class Board:
    cdef readonly Chains chains          # of the options among them
    cdef Row* rows
    cdef Window* windows
    cdef Indicators* indicators          # of one-minute bars
    cdef Bar* bars                       # BARS_KEPT of each
    cdef Saved* saved                    # two of each
    cdef RingTick* ring
    cdef readonly uint32_t capacity      # instruments
    cdef readonly uint32_t size
    cdef readonly uint32_t depth         # ticks a ring holds, a power of two
    cdef double a[SESSION_MINUTES]       # time-of-day factor of |one-minute return|
    cdef double v[SESSION_MINUTES]       # volume profile
    cdef int64_t min_lag_ms              # smallest receipt - trade time of the last minutes: the clocks' difference
    cdef int64_t lag_of[8]               # smallest of each of the last eight minutes
    cdef int64_t lag_minute[8]
    cdef int64_t doubted_lag             # a sudden smaller one, until a second update says the same
    cdef uint32_t doubted_inst
    cdef int doubts
    cdef int64_t told_skew_ms
    cdef readonly int64_t last_update    # now of the last update of any name, ns
    cdef int64_t stall_ns                # no update of any name for so long is a stall
    cdef int64_t gap_floor_ms            # no silence below this is a gap
    cdef bint is_coarse                  # an update is a bar: all of its volume counts
    cdef int64_t stalled                 # now of the last update that ended a silence of all names
    cdef readonly int64_t down           # now since when there is no connection, 0: there is one
    cdef int64_t late_begin              # of the deliveries that are late now; 0: none
    cdef int64_t late_last
    cdef int64_t late_most_ms
    cdef bint is_snapshot                # the frame under way is an initial_feed
    cdef Gap pending[PENDING_MAX]
    cdef int n_pending
    cdef Bar scratch[SCRATCH]
    cdef bint keeps_closings             # for strategies: minutes that close are kept until somebody takes them
    cdef Closing* closings
    cdef int64_t n_closings
    cdef int32_t last_close              # minute of the session at which the last of the names stops trading
    cdef uint32_t sweep                  # next instrument the timer looks at
    cdef double moved[64]                # sum of closed u of all equities, by minute % 64
    cdef int32_t movers[64]
    cdef int64_t moved_minute[64]
    cdef double sector_moved[64][SECTORS]   # likewise, by sector
    cdef int32_t sector_movers[64][SECTORS]
    cdef readonly uint64_t late, step_back, bad_time, repeats, gaps, closed, doubted

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil
    cdef void keep_closing(self, uint32_t inst, const Bar* bar) noexcept nogil
    cdef void be_patient(self, int64_t silence_ms) noexcept nogil
    cdef void emit(self, int kind, uint32_t inst, int64_t begin, int64_t end, int64_t first, int64_t last, int64_t volume,
                   double measured, double limit) noexcept nogil
    cdef int64_t _minute_at(self, int64_t now) noexcept nogil
    cdef bint _in_session(self, int64_t now) noexcept nogil
    cdef int64_t _in_hours(self, int64_t begin) noexcept nogil
    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil
    cdef double market_move(self, int64_t minute, int minutes) noexcept nogil
    cdef double sector_move(self, int sector, int64_t minute, int minutes) noexcept nogil
