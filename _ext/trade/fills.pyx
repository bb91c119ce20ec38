"""Matching against a shown book, and what a fill costs. The one model of the sim and the backtest.

The feed is a conflated snapshot: what is shown is what can be had, once. A marketable order walks the levels up to its
limit and leaves the rest resting; a resting order fills when the other side reaches its price; a stop becomes its limit
order when the last price reaches the trigger.
"""
from libc.math cimport ceil, fmin
from libc.stdint cimport int64_t
from _ext.core.clock cimport day_of
from _ext.core.records cimport KIND_FUTURE, KIND_OPTION
from _ext.core.tick cimport DEPTH, Level

import numpy as np


cdef int64_t walk(const Level* levels, int n, int side, int64_t limit, int64_t quantity, int64_t* value) noexcept nogil:
    """Quantity had within `limit` (paise), and its value (paise x quantity) in `value`; never more than shown."""
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
        take = min(shown, quantity - had)
        had += take
        value[0] += take * price
    return had


cdef int64_t STT_RAISED = 20544       # 2026-04-01: futures 0.02 -> 0.05 %, options 0.10 -> 0.15 % of the premium


cdef struct Parts:            # paise
    int64_t brokerage
    int64_t stt
    int64_t transaction
    int64_t stamp
    int64_t sebi
    int64_t gst


cdef Parts parts_of(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil:
    """Charges of one order's fills of `value` (paise x quantity) on `day` (days since 1970 IST), each part rounded up.

    Brokerage, STT, exchange, SEBI, stamp duty and GST of 18 % on brokerage, exchange and SEBI; rates and the day from which
    contracts pay more STT from docs/upstox.md 8.1.
    """
    cdef double v = <double>value
    cdef double brokerage, stt, exchange, stamp
    cdef double sebi = v * 1e-6
    cdef bint is_dear = day >= STT_RAISED
    cdef Parts out
    if kind == KIND_FUTURE:
        brokerage, stt, exchange, stamp = fmin(2000.0, v * 5e-4), v * (5e-4 if is_dear else 2e-4), v * 1.83e-5, v * 2e-5
    elif kind == KIND_OPTION:
        brokerage, stt, exchange, stamp = 2000.0 if quantity > 0 else 0.0, v * (1.5e-3 if is_dear else 1e-3), v * 3.553e-4, v * 3e-5
    else:
        brokerage, stt, exchange, stamp = fmin(2000.0, v * 1e-3), v * 2.5e-4, v * 3.07e-5, v * 3e-5
    out.brokerage = <int64_t>ceil(brokerage)
    out.stt = <int64_t>ceil(stt) if side < 0 else 0
    out.transaction = <int64_t>ceil(exchange)
    out.stamp = <int64_t>ceil(stamp) if side > 0 else 0
    out.sebi = <int64_t>ceil(sebi)
    out.gst = <int64_t>ceil(0.18 * (brokerage + exchange + sebi))
    return out


cdef int64_t charges(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil:
    """Paise charged on one order's fills, all parts together."""
    cdef Parts p = parts_of(kind, side, quantity, value, day)
    return p.brokerage + p.stt + p.transaction + p.stamp + p.sebi + p.gst


LEVEL_DTYPE = np.dtype([("bidQ", "<i8"), ("bidP", "<i8"), ("askQ", "<i8"), ("askP", "<i8")])


def match(levels, int side, int64_t limit, int64_t quantity):
    """(quantity, value in paise x quantity) had from `levels` (array of LEVEL_DTYPE, best first) within `limit` paise."""
    cdef const int64_t[::1] view = np.ascontiguousarray(levels, LEVEL_DTYPE).view(np.int64)
    cdef int64_t value = 0
    if view.shape[0] == 0:
        return 0, 0
    return walk(<const Level*>&view[0], min(<int>(view.shape[0] // 4), <int>DEPTH), side, limit, quantity, &value), value


def charges_of(int kind, int side, int64_t quantity, int64_t value, int64_t now) -> int:
    """Paise charged on an order of `quantity` worth `value` (paise x quantity) at `now` (ns); kind as InstrumentKind."""
    return charges(kind, side, quantity, value, day_of(now))


def charge_parts(int kind, int side, int64_t quantity, int64_t value, int64_t now) -> dict:
    """The same in parts, by the names of the broker's charges API."""
    cdef Parts p = parts_of(kind, side, quantity, value, day_of(now))
    return {"brokerage": p.brokerage, "stt": p.stt, "transaction": p.transaction, "stamp_duty": p.stamp,
            "sebi_turnover": p.sebi, "gst": p.gst}
