# The risk gate: starts closed, says PASS or the first reason against. Numbers it cannot know deny.
from libc.stdint cimport int32_t, int64_t, uint32_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport GateDecision, Instrument
from _ext.market.state cimport Row

cdef enum Policy:
    POLICY_SEED = 0           # 2 % and 4 %
    POLICY_ATR = 1            # multiples of the average range, the 2 % stop still resting at the exchange

cdef struct Limits:
    double notional           # share of equity one position may take
    double leverage           # of all positions together
    double symbol_exposure    # share of equity in one name, contracts included
    double sector_exposure    # share of equity in one sector; an unknown sector has `notional`
    double daily_loss         # share of equity; realised, open and charges together
    double drawdown           # share of equity below the day's best
    double protection         # an entry's limit beyond the other side, share of price
    double lpp                # execution range of contracts around the last price, share
    double stop               # share of entry price
    double target
    double trail              # the stop follows the best price at this share of it; 0: it stays
    double atr_stop           # policy atr: multiples of the average one-minute range, for stop and target
    double atr_floor          # and the smallest distance, share of price
    double cost_share         # policy atr: largest share of the target the costs may take
    double resend_move        # move against a position whose stop is unknown that sends a second one, share
    int64_t order_value       # paise; largest single entry
    int64_t symbol_gap        # ns between entries of a name
    int64_t stale             # ns: an older quote denies
    int64_t skew              # ms: a larger difference of the clocks denies
    int64_t streak_pause      # ns without entries after a losing streak
    int64_t hold              # ns a position may last; 0: until square-off
    int64_t fade              # ns within which losing half of the spike ends a position (policy atr)
    int64_t entry_life        # ns an entry may wait for its fill
    int64_t feed_dead         # ns without feed after which positions are closed on quotes by REST
    int64_t settle_entry      # ns of looking before an entry that is not found counts as absent
    int64_t settle_exit       # ns before an exit that is not found does, or may be sent a second time
    int32_t losing_streak     # losing trades in a row; 0: no such limit
    int32_t max_positions
    int32_t per_minute        # entry orders
    int32_t per_hour
    int32_t per_day
    int32_t symbol_per_minute
    int32_t symbol_per_hour
    int32_t broker_second     # requests, the reserve for exits included
    int32_t broker_minute
    int32_t broker_half_hour
    int32_t exit_reserve      # of each broker budget, for exits only
    int32_t first_minute      # of the session with entries
    int32_t last_minute
    int32_t last_minute_cas
    int32_t flat_minute       # of the session: everything is flat by then
    int32_t flat_minute_cas
    int32_t expiry_days       # a contract is not entered so many days before its last one
    int32_t policy            # Policy
    int32_t replace           # 1: an exit is cancelled and sent anew where modify is refused to turn a stop into a limit
    int32_t futures           # 1: entries are made in the name's future

cdef struct Money:            # paise
    int64_t equity            # at the day's start
    int64_t available
    int64_t realised          # today, before charges
    int64_t charges
    int64_t open              # open profit
    int64_t exposure          # sum of |position| at price, working entries included
    int64_t best              # highest net result of the day

cdef enum:
    REQUESTS_KEPT = 2048      # of the last half hour; more than the broker allows
    SYMBOL_KEPT = 16          # entry times of one name
    MAX_SECTORS = 64

cdef struct Symbol:           # what the gate remembers of one name
    int64_t entries[SYMBOL_KEPT]
    int64_t n_entries
    int64_t exposure          # paise: positions, working entries and what is not ours
    int64_t foreign           # net quantity the broker shows and no order of ours explains

cdef class Gate:
    cdef Limits limits
    cdef Money money
    cdef int32_t operator     # OperatorState
    cdef int32_t state        # TradingState
    cdef int32_t feed_up
    cdef int32_t orders_up    # the order stream is connected and the book was read since
    cdef int32_t reconciled   # the broker's positions were read since the start
    cdef int32_t unreconciled  # names whose position differs from the broker's
    cdef int32_t positions    # open or being entered
    cdef int32_t losses       # losing trades in a row
    cdef int64_t lost_at      # now of the last of them
    cdef int64_t skew         # ms, receipt minus trade time at its smallest; 2^63-1: unknown
    cdef int64_t requests[REQUESTS_KEPT]
    cdef int64_t n_requests
    cdef int64_t entries[REQUESTS_KEPT]
    cdef int64_t n_entries
    cdef Symbol* symbols      # per instrument
    cdef int64_t sectors[MAX_SECTORS]     # paise
    cdef uint32_t capacity

    cdef Reason check(self, uint32_t inst, const Instrument* spec, const Row* r, int side, int64_t quantity,
                      int64_t price, int64_t now, int64_t minute, GateDecision* out) noexcept nogil
    cdef Reason _account(self, uint32_t inst, const Instrument* spec, double value, GateDecision* out,
                         int64_t now) noexcept nogil
    cdef Reason _stop(self, const Instrument* spec, const Row* r, int side, GateDecision* out) noexcept nogil
    cdef Reason _costs(self, const Instrument* spec, const Row* r, int side, int64_t quantity, int64_t price,
                       GateDecision* out, int64_t now) noexcept nogil
    cdef Reason _budgets(self, uint32_t inst, int64_t now, GateDecision* out) noexcept nogil
    cdef bint may_exit(self, int64_t now) noexcept nogil
    cdef void count_request(self, int64_t now) noexcept nogil
    cdef void count_entry(self, uint32_t inst, int64_t now) noexcept nogil
    cdef void count_result(self, int64_t net, int64_t now) noexcept nogil
    cdef int64_t result(self) noexcept nogil
    cdef int64_t size(self, const Instrument* spec, const Row* r, int side, int64_t price) noexcept nogil
    cdef int32_t _recent(self, const int64_t* ring, int64_t n, int64_t since) noexcept nogil
    cdef void _used(self, int64_t now, GateDecision* out) noexcept nogil
