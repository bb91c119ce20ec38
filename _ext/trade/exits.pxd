# When a position must end and at what price.
from libc.stdint cimport int32_t, int64_t
from _ext.core.records cimport Instrument, Why
from _ext.market.state cimport Row
from _ext.trade.limits cimport Limits

cdef enum Policy:
    POLICY_SEED = 0           # 2 % and 4 %
    POLICY_ATR = 1            # multiples of the average range, the 2 % stop still resting at the exchange

cdef struct Plan:             # of one position; prices in paise, 0: none
    int32_t side
    int32_t cas
    int32_t unwanted          # a position nobody asked for: it ends now
    int32_t leave             # its strategy asked for its end
    int64_t opened            # now of the first fill
    int64_t entry             # average price paid
    int64_t stop              # trigger of the stop that rests at the exchange
    int64_t target
    int64_t soft              # the policy's own stop, inside the resting one
    int64_t fade              # half of the spike is lost here
    int64_t own_stop          # of its strategy, closer than the account's; 0: none
    int64_t own_target
    int64_t own_hold          # ns

cdef int64_t to_tick(int64_t price, int64_t tick, int up) noexcept nogil
cdef int64_t marketable(const Row* r, const Instrument* spec, int side, double protection) noexcept nogil
cdef bint in_band(const Instrument* spec, int64_t price) noexcept nogil
cdef bint stop_order(const Row* r, const Instrument* spec, int side, int64_t* trigger, int64_t* limit) noexcept nogil
cdef int64_t stop_of(const Limits* limits, int side, double average, int64_t tick) noexcept nogil
cdef double target_share(const Limits* limits, double atr) noexcept nogil
cdef void plan_exits(Plan* plan, const Limits* limits, int64_t tick, double average, double atr) noexcept nogil
cdef int64_t trailed(const Plan* plan, const Limits* limits, int64_t best, int64_t tick) noexcept nogil
cdef Why why_exit(const Row* r, const Limits* limits, const Plan* plan, int64_t now, int64_t minute, bint killed,
                  bint is_blind) noexcept nogil
