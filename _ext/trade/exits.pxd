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

cdef inline int64_t to_tick(int64_t price, int64_t tick, int up) noexcept nogil:
    """`price` on the grid, towards the higher (`up` > 0) or the lower step; at least one step."""
    cdef int64_t rest
    if tick <= 0:
        return price
    rest = price % tick
    if rest:
        price += (tick - rest) if up > 0 else -rest
    return max(price, tick)

cdef inline bint in_band(const Instrument* spec, int64_t price) noexcept nogil:
    """Whether the exchange takes orders at `price`; an edge that is not known forbids nothing."""
    return price >= spec.lower_band and (spec.upper_band <= 0 or price <= spec.upper_band)

cdef inline int64_t lowest(const Instrument* spec) noexcept nogil:
    return to_tick(spec.lower_band, spec.tick, 1) if spec.lower_band > 0 else max(spec.tick, <int64_t>1)

cdef inline int64_t highest(const Instrument* spec) noexcept nogil:
    return to_tick(spec.upper_band, spec.tick, -1) if spec.upper_band > 0 else <int64_t>1 << 60

cdef inline bint stop_trigger(const Instrument* spec, int side, int64_t* trigger) noexcept nogil:
    """Moves a `trigger` where no stop can rest to the nearest where one can: inside the band, with room for its limit at least one
    step on the far side. False where the band has no room for one."""
    cdef int64_t step = max(spec.tick, <int64_t>1)
    cdef int64_t lower, upper
    if max(spec.lower_band, <int64_t>0) + 2 * step <= trigger[0] and (
            spec.upper_band <= 0 or trigger[0] <= spec.upper_band - 2 * step):
        return True                                   # two steps from either edge: wherever the grid lies in the band
    lower, upper = lowest(spec), highest(spec)
    if side < 0:
        trigger[0] = min(max(trigger[0], lower + step), upper)
    else:
        trigger[0] = max(min(trigger[0], upper - step), lower)
    return upper - lower >= step

cdef inline int64_t stop_of(const Limits* limits, int side, double average, int64_t tick) noexcept nogil:
    """Trigger of the stop of a position of `side` entered at `average`."""
    return to_tick(<int64_t>(average * (1.0 - side * limits.stop)), tick, side)

cdef int64_t marketable(const Row* r, const Instrument* spec, int side, double protection) noexcept nogil
cdef bint stop_order(const Row* r, const Instrument* spec, int side, int64_t* trigger, int64_t* limit) noexcept nogil
cdef double target_share(const Limits* limits, double atr) noexcept nogil
cdef void plan_exits(Plan* plan, const Limits* limits, int64_t tick, double average, double atr) noexcept nogil
cdef int64_t trailed(const Plan* plan, const Limits* limits, int64_t best, int64_t tick) noexcept nogil
cdef Why why_exit(const Row* r, const Limits* limits, const Plan* plan, int64_t now, int64_t minute, bint killed,
                  bint is_blind) noexcept nogil
