"""When a position must end and at what price; pure functions of what is known now."""
from libc.stdint cimport int64_t
from _ext.core.records cimport (
    WHY_FADE, WHY_FEED, WHY_OPERATOR, WHY_PROTECT, WHY_SOFT_STOP, WHY_SQUARE_OFF, WHY_STRATEGY, WHY_TARGET, WHY_TIME, WHY_UNWANTED,
    Instrument, Why)
from _ext.market.state cimport Row
from _ext.trade.limits cimport Limits


cdef int64_t marketable(const Row* r, const Instrument* spec, int side, double protection) noexcept nogil:
    """Limit that trades now: the other side's best, `protection` beyond it, on the grid; 0 unknown. The band cuts the protection,
    never the trade: where the market is beyond an edge, the edge is an old one."""
    cdef int64_t best = r.ask if side > 0 else r.bid
    cdef int64_t price
    if best <= 0:
        best = r.ltp
    if best <= 0:
        return 0
    price = to_tick(best + <int64_t>(side * protection * <double>best), spec.tick, side)
    if side > 0 and spec.upper_band >= best:
        return min(price, to_tick(spec.upper_band, spec.tick, -1))
    if side < 0 and 0 < spec.lower_band <= best:
        return max(price, to_tick(spec.lower_band, spec.tick, 1))
    return price


cdef bint stop_order(const Row* r, const Instrument* spec, int side, int64_t* trigger, int64_t* limit) noexcept nogil:
    """Prices of a stop that the exchange takes: its limit max(0.5 %, 3 spreads, 5 ticks) beyond the trigger, both inside the band.
    False where the band has no room for one."""
    cdef bint fits = stop_trigger(spec, side, trigger)
    cdef int64_t offset = max(<int64_t>(0.005 * <double>trigger[0]), 5 * spec.tick)
    if r.bid > 0 and r.ask > r.bid:
        offset = max(offset, 3 * (r.ask - r.bid))
    limit[0] = min(max(to_tick(trigger[0] + side * offset, spec.tick, side), lowest(spec)), highest(spec))
    return fits


cdef double target_share(const Limits* limits, double atr) noexcept nogil:
    """Distance of the target as a share of price; 0 where the policy cannot know it."""
    if limits.policy == POLICY_SEED:
        return limits.target
    if not atr > 0.0:
        return 0.0
    return min(max(limits.atr_stop * atr, limits.atr_floor), limits.target)


cdef void plan_exits(Plan* plan, const Limits* limits, int64_t tick, double average, double atr) noexcept nogil:
    """Stop, target and the policy's own stop from the average price of entry. The 2 % stop rests in every policy; with `atr`
    the barriers lie at 4 average ranges, not below 30 bp, with 2 % and 4 % as outer limits (docs/market.md 4)."""
    cdef double share = target_share(limits, atr)
    if not share > 0.0:
        share = limits.target
    plan.entry = <int64_t>average
    plan.stop = stop_of(limits, plan.side, average, tick)
    plan.target = to_tick(<int64_t>(average * (1.0 + plan.side * share)), tick, -plan.side)
    if plan.own_stop > 0:
        if plan.side * (<int64_t>average - plan.own_stop) <= 0:    # bought beyond it: it was reached before the entry was filled
            plan.leave = 1
        elif plan.side * (plan.own_stop - plan.stop) > 0:
            plan.stop = to_tick(plan.own_stop, tick, plan.side)
    if plan.own_target > 0 and plan.side * (plan.own_target - plan.target) < 0:
        plan.target = to_tick(plan.own_target, tick, -plan.side)
    plan.soft = 0
    if limits.policy == POLICY_ATR and share < limits.stop:
        plan.soft = to_tick(<int64_t>(average * (1.0 - plan.side * share)), tick, plan.side)


cdef int64_t trailed(const Plan* plan, const Limits* limits, int64_t best, int64_t tick) noexcept nogil:
    """Where the stop should rest after the price was at `best`: it follows once the distance is earned, never turns back, and is
    moved by a quarter of the distance at least, since each move is a request of the broker's budget."""
    cdef int64_t stop
    if not limits.trail > 0.0 or best <= 0 or plan.entry <= 0:
        return plan.stop
    if <double>(plan.side * (best - plan.entry)) < limits.trail * <double>plan.entry:
        return plan.stop
    stop = to_tick(<int64_t>(<double>best * (1.0 - plan.side * limits.trail)), tick, plan.side)
    if plan.side * (stop - plan.stop) < max(<int64_t>(0.25 * limits.trail * <double>best), tick):
        return plan.stop
    return stop


cdef Why why_exit(const Row* r, const Limits* limits, const Plan* plan, int64_t now, int64_t minute, bint killed,
                  bint is_blind) noexcept nogil:
    """Why the position should end now; WHY_PROTECT: it should not, its stop rests. `is_blind`: no feed for too long."""
    cdef int64_t price = r.bid if plan.side > 0 else r.ask
    cdef int64_t hold = limits.hold
    if plan.own_hold > 0 and (hold == 0 or plan.own_hold < hold):
        hold = plan.own_hold
    if killed:
        return WHY_OPERATOR
    if plan.unwanted:
        return WHY_UNWANTED
    if plan.leave:
        return WHY_STRATEGY
    if minute >= (limits.flat_minute_cas if plan.cas else limits.flat_minute):
        return WHY_SQUARE_OFF
    if is_blind:
        return WHY_FEED
    if hold > 0 and now - plan.opened >= hold:
        return WHY_TIME
    if price <= 0:
        return WHY_PROTECT
    if plan.target > 0 and plan.side * (price - plan.target) >= 0:
        return WHY_TARGET
    if plan.soft > 0 and plan.side * (price - plan.soft) <= 0:
        return WHY_SOFT_STOP
    if plan.fade > 0 and now - plan.opened <= limits.fade and plan.side * (price - plan.fade) <= 0:
        return WHY_FADE
    return WHY_PROTECT
