"""Exits of a position in a contract by the price of its underlying, the guide.

Two per cent of an option's price are noise, two per cent of its stock's are not. So stop and target lie in the guide's prices, by
the account's rules. The stop that rests at the exchange lies on the contract: at the price which the contract's delta gives for the
guide's stop. It is mapped when the position is entered and then at most every 30 s, by two steps or more, and only ever closer.
Without a fresh delta nothing is mapped: the contract's own 2 % stop rests, or what was mapped before.
"""
from libc.math cimport fabs
from libc.stdint cimport int64_t

from _ext.core.clock cimport SECOND_NS
from _ext.core.records cimport KIND_OPTION, WHY_PROTECT, WHY_SOFT_STOP, WHY_TARGET, Instrument, Why
from _ext.market.chain cimport Option
from _ext.market.state cimport Row
from _ext.trade.exits cimport Plan, plan_exits, to_tick, trailed
from _ext.trade.limits cimport Limits

cdef int64_t FRESH = 60 * SECOND_NS          # the oldest delta that is believed
cdef int64_t AGAIN = 30 * SECOND_NS          # between two moves of the contract's stop: each is a request of the broker's budget
cdef int64_t LEAST_TICKS = 2                 # of a move


cdef double delta_of(const Instrument* spec, const Option* option, int64_t now) noexcept nogil:
    """How much the contract moves for 1 of its underlying: signed, 1 for a future; 0 where no fresh one is known."""
    cdef double delta = option.greeks.delta
    if spec.kind != KIND_OPTION:
        return 1.0
    if option.seen == 0 or now - option.seen > FRESH or not 0.0 < fabs(delta) <= 1.0 or delta * spec.right < 0.0:
        return 0.0
    return delta


cdef int64_t mapped_stop(const Instrument* spec, int side, double delta, int64_t price, int64_t guide, int64_t stop) noexcept nogil:
    """Where the contract, now at `price`, is expected to be when its guide, now at `guide`, reaches `stop`: the first order of the
    price change alone, which for a bought option errs on the far side; at least one step."""
    cdef double move = delta * <double>(stop - guide)
    return to_tick(price + <int64_t>move, spec.tick, side)


cdef void plan_guide(Guide* guide, const Limits* limits, int64_t tick, const Row* row, int64_t now) noexcept nogil:
    """Stop and target in the guide's prices, from its last price at the first fill."""
    guide.plan.opened = now
    plan_exits(&guide.plan, limits, tick, <double>row.ltp, row.atr)


cdef bint remap(Guide* guide, const Limits* limits, const Instrument* spec, int64_t tick, int side, double delta, const Row* r,
                const Row* row, int64_t now, int64_t* stop) noexcept nogil:
    """Lets the guide's stop trail, and moves the contract's `stop` after it; whether it moved. `r`: contract, `row`: guide."""
    cdef int64_t price = r.bid if side > 0 else r.ask
    cdef int64_t wanted
    if row.ltp > 0 and (guide.best == 0 or guide.plan.side * (row.ltp - guide.best) > 0):
        guide.best = row.ltp
    guide.plan.stop = trailed(&guide.plan, limits, guide.best, tick)
    if delta == 0.0 or row.ltp <= 0 or price <= 0 or now - guide.mapped < AGAIN:
        return False
    wanted = mapped_stop(spec, side, delta, price, row.ltp, guide.plan.stop)
    if side * (wanted - stop[0]) < LEAST_TICKS * spec.tick or side * (price - wanted) <= 0:
        return False
    stop[0], guide.mapped = wanted, now
    return True


cdef Why why_guided(const Guide* guide, const Row* row) noexcept nogil:
    """Why the position should end now by its guide's price; WHY_PROTECT: it should not."""
    cdef const Plan* plan = &guide.plan
    if row.ltp <= 0 or plan.entry <= 0:
        return WHY_PROTECT
    if plan.leave:                                # its own stop was reached before the entry was filled
        return WHY_SOFT_STOP
    if plan.target > 0 and plan.side * (row.ltp - plan.target) >= 0:
        return WHY_TARGET
    if plan.side * (row.ltp - plan.stop) <= 0 or (plan.soft > 0 and plan.side * (row.ltp - plan.soft) <= 0):
        return WHY_SOFT_STOP
    return WHY_PROTECT
