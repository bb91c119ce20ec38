# The market stage: one update in, TickInfo out; rows, windows and rings of all instruments.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from _ext.core.clock cimport SESSION_MINUTES
from _ext.core.records cimport Gap, Instrument, WarmBar
from _ext.core.tick cimport Tick
from _ext.market.chain cimport Chains
from _ext.market.indicators cimport Indicators
from _ext.market.state cimport Bar, RingTick, Row, Saved, TickInfo, Window

cdef enum:
    TOLD = 16384              # rows of the gap ledger between two drains
    SCRATCH = 640
    SECTORS = 32

cdef enum Life:               # of one name
    LIFE_UNSEEN = 0
    LIFE_LIVE = 1
    LIFE_QUIET = 2            # silent for a third of what its own rate allows
    LIFE_STALE = 3            # silent for longer than that while others are not
    LIFE_HALTED = 4           # answers when asked and has no news
    LIFE_CLOSED = 5           # outside its session
    LIFE_DOWN = 6             # the feed as a whole is

cdef class Market:
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
    cdef readonly int64_t heard          # now of the last update of any name, ns
    cdef int64_t stalled                 # now of the last update that ended a silence of all names
    cdef readonly int64_t down           # now since when there is no connection, 0: there is one
    cdef int64_t late_begin              # of the deliveries that are late now; 0: none
    cdef int64_t late_last
    cdef int64_t late_most_ms
    cdef bint is_snapshot                # the frame under way is an initial_feed
    cdef Gap told[TOLD]
    cdef int n_told
    cdef Bar scratch[SCRATCH]
    cdef uint32_t sweep                  # next instrument the timer looks at
    cdef double moved[64]                # sum of closed u of all equities, by minute % 64
    cdef int32_t movers[64]
    cdef int64_t moved_minute[64]
    cdef double sector_moved[64][SECTORS]   # likewise, by sector
    cdef int32_t sector_movers[64][SECTORS]
    cdef readonly uint64_t late, step_back, bad_time, repeats, gaps, closed, doubted

    cdef void _clock(self, int64_t now_ms, int64_t lag, uint32_t inst) noexcept nogil
    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil
    cdef void warm(self, const WarmBar* bar) noexcept nogil
    cdef void on_tick(self, Row* r, uint32_t inst, const Tick* t, int64_t now, TickInfo* out) noexcept nogil
    cdef void on_timer(self, int64_t now) noexcept nogil
    cdef int64_t exchange_ms(self, int64_t now) noexcept nogil
    cdef double market_move(self, int64_t minute, int minutes) noexcept nogil
    cdef double sector_move(self, int sector, int64_t minute, int minutes) noexcept nogil
    cdef void _close_bar(self, Row* r, uint32_t inst) noexcept nogil
    cdef void _close_if_over(self, Row* r, uint32_t inst, int64_t now) noexcept nogil
    cdef void _open_bar(self, Row* r, uint32_t inst, int64_t minute, int64_t price) noexcept nogil
    cdef void _trade(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out, bint in_session, bint gap) noexcept nogil
    cdef void _enter(self, Row* r, uint32_t inst, const Bar* bar) noexcept nogil
    cdef Saved* _state_before(self, const Row* r, uint32_t inst, int64_t minute) noexcept nogil
    cdef int _reenter(self, Row* r, uint32_t inst, int more, int64_t drop_from) noexcept nogil
    cdef int64_t _in_hours(self, int64_t begin) noexcept nogil
    cdef void _lost(self, Row* r, uint32_t inst, const Tick* t, int64_t now) noexcept nogil
    cdef void _choose_strike(self, Row* r, uint32_t inst, int64_t price) noexcept nogil
    cdef void _volatility(self, Row* r, uint32_t inst, const Tick* t, TickInfo* out) noexcept nogil
    cdef void _disorder(self, Row* r, uint32_t inst, int64_t minute, int64_t ms, int64_t now) noexcept nogil
    cdef bint _is_wild(self, Row* r, const Tick* t, uint32_t inst, int64_t now, bint gap) noexcept nogil
    cdef int64_t _minute_at(self, int64_t now) noexcept nogil
    cdef bint _in_session(self, int64_t now) noexcept nogil
    cdef void backfill(self, const WarmBar* bars, int count, int64_t now) noexcept nogil
    cdef void on_link(self, bint is_up, int code, int64_t now) noexcept nogil
    cdef void _late(self, int64_t lag_ms, int64_t now) noexcept nogil
    cdef int life(self, uint32_t inst, int64_t now) noexcept nogil
    cdef void tell(self, int kind, uint32_t inst, int64_t begin, int64_t end, int64_t first, int64_t last, int64_t volume,
                   double measured, double limit) noexcept nogil
