"""When a position must end and at what price; pure functions of what is known now."""
from libc.stdint cimport int64_t
from _ext.core.types cimport (
    WHY_OPERATOR, WHY_PROTECT, WHY_SQUARE_OFF, WHY_TARGET, WHY_TIME, Instrument, Why)
from _ext.market.state cimport Row
from _ext.trade.gate cimport Limits


cdef int64_t to_tick(int64_t price, int64_t tick, int up) noexcept nogil:
    """`price` on the grid, towards the higher (`up` > 0) or the lower step; at least one step."""
    cdef int64_t rest
    if tick <= 0:
        return price
    rest = price % tick
    if rest:
        price += (tick - rest) if up > 0 else -rest
    return max(price, tick)


cdef int64_t marketable(const Row* r, const Instrument* spec, int side, double protection) noexcept nogil:
    """Limit that trades now: the other side's best, `protection` beyond it, on the grid and inside the band; 0 unknown."""
    cdef int64_t best = r.ask if side > 0 else r.bid
    cdef int64_t price
    if best <= 0:
        best = r.ltp
    if best <= 0:
        return 0
    price = to_tick(best + <int64_t>(side * protection * <double>best), spec.tick, side)
    if spec.upper_band > 0:
        price = min(price, spec.upper_band)
    return max(price, spec.lower_band)


cdef int64_t stop_limit(const Row* r, const Instrument* spec, int side, int64_t trigger) noexcept nogil:
    """Limit of a stop order: max(0.5 %, 3 spreads, 5 ticks) beyond its trigger."""
    cdef int64_t offset = max(<int64_t>(0.005 * <double>trigger), 5 * spec.tick)
    if r.bid > 0 and r.ask > r.bid:
        offset = max(offset, 3 * (r.ask - r.bid))
    offset = to_tick(trigger + side * offset, spec.tick, side)
    if spec.upper_band > 0:
        offset = min(offset, spec.upper_band)
    return max(offset, spec.lower_band)


cdef Why why_exit(const Row* r, const Limits* limits, bint cas, int side, int64_t target, int64_t opened, int64_t now,
                  int64_t minute, bint killed) noexcept nogil:
    """Why the position of direction `side` should end now; WHY_PROTECT: it should not, its stop rests."""
    cdef int64_t price = r.bid if side > 0 else r.ask
    if killed:
        return WHY_OPERATOR
    if minute >= (limits.flat_minute_cas if cas else limits.flat_minute):
        return WHY_SQUARE_OFF
    if limits.hold > 0 and now - opened >= limits.hold:
        return WHY_TIME
    if price > 0 and target > 0 and side * (price - target) >= 0:
        return WHY_TARGET
    return WHY_PROTECT
