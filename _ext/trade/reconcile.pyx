"""Reconciliation: the broker wins on positions, working orders are never dropped, doubt stops entries.

What the broker shows of a name is what our orders made of it, plus what others did there (`Symbol.foreign`). The first read of a
day takes the difference as theirs. A later difference stops entries at once; the broker's number stands when a second read shows
the same, the book was read in between (it explains what messages did not), and nothing of ours moved in the name meanwhile.

Where an order of ours is without an answer, or its rows cannot be read, the difference must last: then it is presumed to be that
order's fill. What neither an order of ours nor one of others in the book explains is taken over and ended.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from _ext.core.clock cimport SECOND_NS
from _ext.core.reasons cimport TAKEN_OVER, UNRECONCILED
from _ext.core.records cimport (
    REC_FILL, REDUCING, ROLE_BROKER, ROLE_ENTRY, STATE_TRADING, STATUS_CANCELLED, STATUS_COMPLETE, STATUS_OPEN, STATUS_REJECTED,
    Adopted, Fill, Holding, Quote)
from _ext.core.tick cimport NO_INST
from _ext.market.state cimport Row
from _ext.trade.orders cimport Order
from _ext.trade.holdings cimport Ledger, Position
from _ext.trade.positions cimport PositionManager
from _ext.trade.states cimport ORDER_ACCEPTED, ORDER_DEAD, ORDER_FILLED, ORDER_SENT, ORDER_WORKING, is_live

cdef int64_t QUIET = 2 * SECOND_NS  # nothing of ours moved in a name for so long before a read of it counts
cdef int64_t LASTING = 7 * SECOND_NS   # at a read every 2.5 s: a position nobody can explain for ten seconds is taken over
cdef int64_t GHOST = 300 * SECOND_NS   # an order not found may have filled so long after it was sent


cdef bint unsure(PositionManager t, uint64_t order) noexcept:
    """Whether an order may have filled without our hearing of it: no answer, accepted and silent since, or told in words nobody can
    read."""
    return order != 0 and (ORDER_SENT <= t.orders[order - 1].state <= ORDER_ACCEPTED or t.orders[order - 1].doubted != 0)


cdef bint is_unsure(PositionManager t, uint32_t inst) noexcept:
    """Whether an order of a position in the name is."""
    cdef int i
    cdef Position* s
    for i in range(t.top):
        s = &t.slots[i]
        if s.used and s.inst == inst and (unsure(t, s.entry) or unsure(t, s.exit) or unsure(t, s.rival)):
            return True
    return False


cdef void compare_holdings(PositionManager t, const Holding* rows, int64_t n, int64_t now) noexcept:
    """A full read of the broker's positions; the first row carries the time it was asked for."""
    cdef int64_t k, began
    cdef uint32_t inst
    cdef Ledger* ledger
    cdef bint is_start = not t.gate.reconciled and t.n_positions == 0
    if n < 1 or rows[0].inst != NO_INST:
        return
    began = rows[0].began
    t.gate.unreconciled = rows[0].is_unreadable
    t.holdings_began = began
    for inst in range(t.market.size):
        ledger = &t.ledger[inst]
        ledger.shown = ledger.others = ledger.is_unreadable = 0
    for k in range(1, n):
        if rows[k].inst < t.market.size:
            ledger = &t.ledger[rows[k].inst]
            ledger.shown += rows[k].quantity
            ledger.others += rows[k].others
            ledger.is_unreadable |= rows[k].is_unreadable
    for inst in range(t.market.size):
        ledger = &t.ledger[inst]
        if rows[0].is_unreadable and ledger.shown == 0:
            ledger.is_unreadable = 1                  # the row that names nothing may be of this name
        compare(t, inst, began, is_start, now)
    t.gate.reconciled = 1


cdef void compare(PositionManager t, uint32_t inst, int64_t began, bint is_start, int64_t now) noexcept:
    """One name of a read asked for at `began`. What its first read shows beyond our orders was there before us."""
    cdef Ledger* ledger = &t.ledger[inst]
    cdef int64_t expected = ledger.net + t.gate.symbols[inst].foreign
    cdef int64_t change = ledger.shown - expected
    cdef bint is_first = is_start or (not ledger.is_known and change * ledger.net >= 0)
    if ledger.is_unreadable:
        t.gate.unreconciled += 1
        return
    ledger.is_known = 1
    if ledger.touched <= began - QUIET or change == 0:
        if ledger.unseen != change:
            ledger.unseen_since = began
        ledger.unseen = 0 if is_first else change
    if change == 0 or is_first:
        ledger.differs = 0
        ledger.others_known = ledger.others
        if change != 0:
            t.gate.unreconciled += not is_start
            t.gate.symbols[inst].foreign = ledger.shown - ledger.net
            t.alarm(UNRECONCILED, inst, now)
        return
    t.gate.unreconciled += 1
    if ledger.touched > began - QUIET:                # our own news is younger than this read
        ledger.differs = 0
    elif ledger.differs == 0 or ledger.change != change:
        ledger.differs = began
        ledger.change = change
    elif t.book_began > ledger.differs + QUIET and began - ledger.differs >= patience(t, inst, expected, change):
        ledger.unseen = 0                             # it is in the books from here on
        believe(t, inst, change, now)
        ledger.differs = 0


cdef int64_t patience(PositionManager t, uint32_t inst, int64_t expected, int64_t change) noexcept:
    """How long a difference must last. What only makes a position smaller, or what others' orders in the book explain, is
    believed at the second read, unless an order of ours may be behind it."""
    cdef const Ledger* ledger = &t.ledger[inst]
    cdef bint is_smaller = change * expected < 0 and abs(change) <= abs(expected)
    if not is_unsure(t, inst) and (is_smaller or ledger.others - ledger.others_known == change):
        return 0
    return LASTING


cdef Order* suspect(PositionManager t, uint32_t inst, int side, int64_t since, int64_t now) noexcept:
    """The youngest order of ours that may have filled unseen: not shown by a read of the book after `since`, its end not told. One
    sent after that read was asked for is the last to be suspected."""
    cdef uint64_t i
    cdef Order* o
    cdef Order* later = NULL
    for i in range(t.n_orders, 0, -1):
        o = &t.orders[i - 1]
        if (o.inst == inst and o.side == side and o.most > o.filled and not o.is_final and o.read <= since
                and (is_live(o.state) or o.doubted or now - o.sent < GHOST)):
            if o.sent < since:
                return o
            if later == NULL:
                later = o
    return later


cdef void believe(PositionManager t, uint32_t inst, int64_t change, int64_t now) noexcept:
    """The broker's position of a name is `change` more than ours: taken from what others hold there, then from our position, then
    presumed of an order, then put down to others' orders in the book; what is left nobody explains."""
    cdef Ledger* ledger = &t.ledger[inst]
    cdef Order* o
    cdef int side = 1 if change > 0 else -1
    cdef int64_t part, foreign = t.gate.symbols[inst].foreign, theirs = ledger.others - ledger.others_known
    cdef int i
    t.alarm(UNRECONCILED, inst, now)
    if t.minute_of(now) < (t.gate.limits.flat_minute_cas if t.specs[inst].cas else t.gate.limits.flat_minute):
        t.set_state(STATE_TRADING, REDUCING, UNRECONCILED, now)   # after that time it is the broker's own square-off
    ledger.others_known = ledger.others
    if foreign * change < 0:                          # theirs first
        part = side * min(abs(foreign), abs(change))
        t.gate.symbols[inst].foreign += part
        change -= part
        theirs -= part
    theirs = side * max(side * theirs, <int64_t>0)    # of the same sign as the change: more than that explains nothing
    while change != 0 and abs(change) > abs(theirs):
        o = suspect(t, inst, side, ledger.differs, now)
        if o == NULL:
            break
        part = side * min(abs(change) - abs(theirs), o.most - o.filled)
        change -= part
        t.presume(o, abs(part), now)
    for i in range(t.top):
        change -= broker_fill(t, &t.slots[i], inst, change, now)
    for i in range(t.top):                            # once all of it is known, not before
        if t.slots[i].used and t.slots[i].inst == inst:
            t.manage(&t.slots[i], now)
    if side * change <= 0:
        return
    part = side * min(abs(theirs), abs(change))
    t.gate.symbols[inst].foreign += part
    ledger.presumed_foreign += part
    if part != 0:
        ledger.presumed_at = now
        ledger.touched = now
    if change != part:
        take_over(t, inst, change - part, now)


cdef int64_t broker_fill(PositionManager t, Position* s, uint32_t inst, int64_t change, int64_t now) noexcept:
    """Takes what of `change` makes the position smaller from it, at the last price: what it was done at is not told here. Returns
    that much."""
    cdef Row* r = &t.market.rows[inst]
    cdef Ledger* ledger = &t.ledger[inst]
    cdef Fill fill
    cdef int64_t part, paid
    if not s.used or s.inst != inst or s.side * change >= 0 or s.bought <= s.sold:
        return 0
    part = min(abs(change), s.bought - s.sold)
    memset(&fill, 0, sizeof(fill))
    fill.candidate = t.orders[s.entry - 1].candidate if s.entry else 0
    fill.inst = inst
    fill.side = <short>(-s.side)
    fill.role = ROLE_BROKER
    fill.quantity = part
    fill.price = r.ltp
    paid = s.left * part // (s.bought - s.sold)
    fill.realised = s.side * (part * r.ltp - paid)
    s.left -= paid
    s.sold += part
    s.net += fill.realised
    t.shares[s.source].result += fill.realised
    ledger.touched = ledger.presumed_at = now
    ledger.net -= s.side * part
    ledger.presumed -= s.side * part
    ledger.realised += fill.realised
    t.gate.money.realised += fill.realised
    t.trail.put(REC_FILL, now, &fill, sizeof(fill))
    t._report(s, now)
    return -s.side * part


cdef void take_over(PositionManager t, uint32_t inst, int64_t quantity, int64_t now) noexcept:
    """A position that nobody can explain: ours from now on, and ended. Without room for it the difference stays, and stops
    entries."""
    cdef int64_t price = t.market.rows[inst].ltp
    t.ledger[inst].net += quantity
    if t.unwanted(inst, 1 if quantity > 0 else -1, abs(quantity), abs(quantity) * price, 0, TAKEN_OVER, now) == NULL:
        t.ledger[inst].net -= quantity
        t.gate.unreconciled += 1


cdef void adopt(PositionManager t, const Adopted* found, int64_t now) noexcept:
    """An order of an earlier life of this engine, from the broker's book, in the order it was placed: the book alone rebuilds
    positions, their exits and the day's fills when the journal is gone."""
    cdef Row* r
    cdef Position* s
    cdef Order* o
    cdef int64_t filled = found.filled
    if found.inst >= t.market.size or found.quantity <= 0:
        return
    if found.status == STATUS_COMPLETE and filled == 0:
        filled = found.quantity                       # complete, whether or not the row says how much of it
    o = t._new(found.inst, found.role, found.side, now)
    if o == NULL:
        return
    r = &t.market.rows[found.inst]
    o.order_type, o.quantity, o.price, o.trigger = found.order_type, found.quantity, found.price, found.trigger
    o.most = found.quantity
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
    if s == NULL and (found.role == ROLE_ENTRY) and (filled > 0 or is_live(o.state)):
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
    if filled > 0:
        t._fill_to(o, filled, found.value, now)
    o.is_final = not is_live(o.state)


cdef void take_quotes(PositionManager t, const Quote* rows, int64_t n, int64_t now) noexcept:
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
