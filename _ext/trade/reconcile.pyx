"""Reconciliation: the broker wins on positions, working orders are never dropped, doubt stops entries.

What the broker shows of a name is what our orders made of it, plus what others did there (`Symbol.foreign`). The first read of a
day takes the difference as theirs. A later difference stops entries at once; the broker's number stands when a second read shows
it, nothing of ours was unsettled in the name meanwhile, and the book was read in between: it explains what messages did not.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _ext.core.types cimport (
    NO_INST, REC_FILL, ROLE_BROKER, ROLE_ENTRY, STATUS_CANCELLED, STATUS_COMPLETE, STATUS_OPEN, STATUS_REJECTED, UNRECONCILED,
    Adopted, Fill, Holding, Quote)
from _ext.market.state cimport Row
from _ext.trade.gate cimport REDUCING
from _ext.trade.orders cimport Order
from _ext.trade.positions cimport Ledger, Slot, Trader
from _ext.trade.states cimport ORDER_ACCEPTED, ORDER_DEAD, ORDER_FILLED, ORDER_SENT, ORDER_WORKING, is_live

cdef enum:
    SECOND = 1000000000
cdef int64_t QUIET = 2 * <int64_t>SECOND  # nothing of ours moved in a name for so long before a read of it counts


cdef bint is_moving(Trader t, uint32_t inst, int64_t began) noexcept:
    """Whether something of ours is under way in a name, so that a read of it says nothing."""
    cdef int i
    cdef Slot* s
    if t.ledger[inst].touched > began - QUIET:
        return True
    for i in range(t.top):
        s = &t.slots[i]
        if s.used and s.inst == inst and (unsure(t, s.entry) or unsure(t, s.exit) or unsure(t, s.rival)):
            return True
    return False


cdef bint unsure(Trader t, uint64_t order) noexcept:
    """Whether an order may have filled without our hearing of it: no answer, or accepted and silent since."""
    return order != 0 and ORDER_SENT <= t.orders[order - 1].state <= ORDER_ACCEPTED


cdef void compare_holdings(Trader t, const Holding* rows, int64_t n, int64_t now) noexcept:
    """A full read of the broker's positions; the first row carries the time it was asked for."""
    cdef int64_t k, began
    cdef uint32_t inst
    cdef int64_t expected, shown
    cdef Ledger* ledger
    cdef bint is_first = not t.gate.reconciled and t.n_positions == 0
    if n < 1 or rows[0].inst != NO_INST:
        return
    began = rows[0].began
    t.gate.unreconciled = 0
    t.holdings_began = began
    for inst in range(t.market.size):
        t.ledger[inst].shown = 0
    for k in range(1, n):
        if rows[k].inst < t.market.size:
            t.ledger[rows[k].inst].shown += rows[k].quantity
    for inst in range(t.market.size):
        ledger = &t.ledger[inst]
        expected = ledger.net + t.gate.symbols[inst].foreign
        shown = ledger.shown
        if shown == expected:
            ledger.differs = 0
            continue
        t.gate.unreconciled += not is_first
        if is_first:
            t.gate.symbols[inst].foreign = shown - ledger.net
            t.alarm(UNRECONCILED, inst, now)
            continue
        if is_moving(t, inst, began):
            ledger.differs = 0
        elif ledger.differs == 0:
            ledger.differs = began
        elif t.book_began > ledger.differs + QUIET:
            ledger.differs = 0
            believe(t, inst, shown - expected, now)
    t.gate.reconciled = 1


cdef void believe(Trader t, uint32_t inst, int64_t change, int64_t now) noexcept:
    """The broker's position of a name is `change` more than ours: taken from our position first, the rest is not ours."""
    cdef Row* r = &t.market.rows[inst]
    cdef Ledger* ledger = &t.ledger[inst]
    cdef Slot* s
    cdef Fill fill
    cdef int64_t part, foreign = t.gate.symbols[inst].foreign
    cdef int i
    t.alarm(UNRECONCILED, inst, now)
    ledger.touched = ledger.presumed_at = now
    if t.minute_of(now) < (t.gate.limits.flat_minute_cas if t.specs[inst].cas else t.gate.limits.flat_minute):
        t.set_state(0, REDUCING, UNRECONCILED, now)   # after that time it is the broker's own square-off
    if foreign * change < 0:                          # theirs first
        part = min(foreign, -change) if foreign > 0 else max(foreign, -change)
        t.gate.symbols[inst].foreign -= part
        change += part
    for i in range(t.top):
        s = &t.slots[i]
        if not s.used or s.inst != inst or s.side * change >= 0 or s.bought <= s.sold:
            continue
        part = min(-s.side * change, s.bought - s.sold)
        memset(&fill, 0, sizeof(fill))
        fill.candidate = t.orders[s.entry - 1].candidate if s.entry else 0
        fill.inst = inst
        fill.side = <short>(-s.side)
        fill.role = ROLE_BROKER
        fill.quantity = part
        fill.price = r.ltp                            # what it was done at is not told here
        fill.realised = s.side * (part * r.ltp - s.cost * part // s.bought)
        s.sold += part
        s.net += fill.realised
        ledger.net -= s.side * part
        ledger.presumed -= s.side * part
        ledger.realised += fill.realised
        t.gate.money.realised += fill.realised
        t.trail.put(REC_FILL, now, &fill, sizeof(fill))
        change += s.side * part
        t._report(s, now)
        t.manage(s, now)
    t.gate.symbols[inst].foreign += change
    ledger.presumed_foreign += change


cdef void adopt(Trader t, const Adopted* found, int64_t now) noexcept:
    """An order of an earlier life of this engine, from the broker's book, in the order it was placed: the book alone rebuilds
    positions, their exits and the day's fills when the journal is gone."""
    cdef Row* r
    cdef Slot* s
    cdef Order* o
    if found.inst >= t.market.size or found.quantity <= 0:
        return
    o = t._new(found.inst, found.role, found.side, now)
    if o == NULL:
        return
    r = &t.market.rows[found.inst]
    o.order_type, o.quantity, o.price, o.trigger = found.order_type, found.quantity, found.price, found.trigger
    memcpy(o.order_id, found.order_id, sizeof(o.order_id))
    o.state = ORDER_ACCEPTED
    if found.status == STATUS_OPEN:
        o.state = ORDER_WORKING
    elif found.status == STATUS_COMPLETE:
        o.state = ORDER_FILLED
    elif found.status == STATUS_CANCELLED or found.status == STATUS_REJECTED:
        o.state = ORDER_DEAD
    o.ending = 1
    s = &t.slots[r.position - 1] if r.position else NULL
    if s != NULL and s.bought > 0 and s.sold == s.bought and not is_live(t.orders[s.exit - 1].state if s.exit else <int>ORDER_DEAD):
        t._free(s, now)                               # an earlier round trip of the day
        s = NULL
    if s == NULL and (found.role == ROLE_ENTRY) and (found.filled > 0 or is_live(o.state)):
        s = t.claim(found.inst, found.side)
    if s != NULL:
        o.slot, o.generation = <int32_t>(s - &t.slots[0]), s.generation
        if found.role == ROLE_ENTRY:
            s.entry = o.id
        elif is_live(o.state) or s.exit == 0:
            s.exit = o.id
    else:
        o.generation = 0                              # of no position of ours
    if found.role == ROLE_ENTRY:
        t.gate.count_entry(found.inst, now)
    if found.filled > 0:
        o.filled, o.value = found.filled, found.value
        t._filled(o, found.filled, found.value, now)


cdef void take_quotes(Trader t, const Quote* rows, int64_t n, int64_t now) noexcept:
    """Quotes by REST while the feed is down: enough to leave positions by, never to enter (the feed is down)."""
    cdef int64_t k
    cdef Row* r
    for k in range(n):
        if rows[k].inst >= t.market.size:
            continue
        r = &t.market.rows[rows[k].inst]
        r.bid, r.ask, r.bid_q, r.ask_q = rows[k].bid, rows[k].ask, rows[k].bid_q, rows[k].ask_q
        if rows[k].ltp > 0:
            r.ltp = rows[k].ltp
        r.book_seen = now
        if r.position:
            t.on_tick(r, now)
