"""Best bid and ask of an instrument. Price 0 is no level; an absent book is no news (docs/upstox.md 1.5.8, 1.5.9)."""
from libc.stdint cimport int64_t
from _ext.core.tick cimport DEPTH, HAS_DEPTH, Level, Tick
from _ext.market.state cimport TICK_BOOK, Row


cdef int update_book(Row* r, const Tick* t, int64_t now) noexcept nogil:
    """Takes the best level; TICK_BOOK where price or size of either side changed, else 0."""
    cdef const Level* best = &t.level[0]
    cdef int64_t bid, ask, bid_q, ask_q
    cdef int i
    if not t.has & HAS_DEPTH:
        return 0
    bid = best.bid_p if best.bid_p > 0 and best.bid_q > 0 else 0
    ask = best.ask_p if best.ask_p > 0 and best.ask_q > 0 else 0
    bid_q = best.bid_q if bid else 0
    ask_q = best.ask_q if ask else 0
    r.book_seen = now
    r.bid_depth = r.ask_depth = 0
    for i in range(min(t.n_levels, <int>DEPTH)):
        r.bid_depth += t.level[i].bid_q if t.level[i].bid_p > 0 else 0
        r.ask_depth += t.level[i].ask_q if t.level[i].ask_p > 0 else 0
    if bid == r.bid and ask == r.ask and bid_q == r.bid_q and ask_q == r.ask_q:
        return 0
    r.bid = bid
    r.ask = ask
    r.bid_q = bid_q
    r.ask_q = ask_q
    return TICK_BOOK
