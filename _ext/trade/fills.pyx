"""Matching against a shown book. The one model of the sim and the backtest.

The feed is a conflated snapshot: what is shown is what can be had, once. A marketable order walks the levels up to its
limit and leaves the rest resting; a resting order fills when the other side reaches its price; a stop becomes its limit
order when the last price reaches the trigger.
"""
from libc.stdint cimport int64_t
from _ext.core.tick cimport DEPTH, Level

import numpy as np


cdef int64_t whole(int64_t quantity, int64_t lot) noexcept nogil:
    """What of a quantity are whole lots: the exchange trades no part of one."""
    return quantity - quantity % lot if lot > 1 and quantity > 0 else max(quantity, <int64_t>0)


cdef int64_t walk(const Level* levels, int n, int side, int64_t limit, int64_t quantity, int64_t lot,
                  int64_t* value) noexcept nogil:
    """Quantity had within `limit` (paise), in whole lots of each level, and its value (paise x quantity) in `value`; never more
    than shown."""
    cdef int64_t had = 0, price, shown, take
    cdef int i
    value[0] = 0
    for i in range(n):
        price = levels[i].ask_p if side > 0 else levels[i].bid_p
        shown = levels[i].ask_q if side > 0 else levels[i].bid_q
        if price <= 0 or shown <= 0:
            continue
        if (side > 0 and price > limit) or (side < 0 and price < limit) or had == quantity:
            break
        take = whole(min(shown, quantity - had), lot)
        had += take
        value[0] += take * price
    return had


LEVEL_DTYPE = np.dtype([("bidQ", "<i8"), ("bidP", "<i8"), ("askQ", "<i8"), ("askP", "<i8")])


def match(levels, int side, int64_t limit, int64_t quantity, int64_t lot=1):
    """(quantity, value in paise x quantity) had from `levels` (array of LEVEL_DTYPE, best first) within `limit` paise, in whole
    lots."""
    cdef const int64_t[::1] view = np.ascontiguousarray(levels, LEVEL_DTYPE).view(np.int64)
    cdef int64_t value = 0
    if view.shape[0] == 0:
        return 0, 0
    return walk(<const Level*>&view[0], min(<int>(view.shape[0] // 4), <int>DEPTH), side, limit, quantity,
                lot, &value), value
