"""What an order's fills cost: one table of rates, each with the day it holds from and where it is from.

Paise and whole numbers throughout, so that a result is the same to the paisa wherever it is computed. STT is charged in whole
rupees, the other parts in paise, each to the nearest, a half up: the broker's own answer has STT 175.0 and transaction 5.68 of a
value between Rs 174,833 and 174,900 (docs/upstox.md 8.1).
"""
from libc.stdint cimport int64_t
from _ext.core.clock cimport day_of
from _ext.core.records cimport KIND_EQUITY, KIND_FUTURE, KIND_OPTION

import datetime as dt

cdef enum:
    UNIT = 10000000           # rates are in so many parts of the value: 0.00307 % is 307
    GST_PERCENT = 18
    RATES_MAX = 32

cdef struct Rate:
    int kind
    int64_t since             # days since 1970
    int64_t flat              # brokerage: paise an order, at most
    int64_t share             # and this share of the value; 0: flat
    int64_t stt               # of what is sold
    int64_t exchange          # of both sides, the investor protection fund included
    int64_t stamp             # of what is bought
    int64_t sebi

cdef Rate RATES[RATES_MAX]
cdef int n_rates = 0

EQUITY, FUTURE, OPTION = KIND_EQUITY, KIND_FUTURE, KIND_OPTION
START, CUT, LESS, FLAT, DEAR = "2021-01-01", "2023-04-01", "2024-04-01", "2024-10-01", "2026-04-01"
TABLE = (
    # kind, since, brokerage (paise, share), STT, exchange, stamp duty, SEBI
    (EQUITY, START, 2000, 10_000, 2_500, 345, 300, 10),
    (EQUITY, CUT, 2000, 10_000, 2_500, 325, 300, 10),
    (EQUITY, LESS, 2000, 10_000, 2_500, 322, 300, 10),
    (EQUITY, FLAT, 2000, 10_000, 2_500, 307, 300, 10),
    (FUTURE, START, 2000, 5_000, 1_000, 200, 200, 10),
    (FUTURE, CUT, 2000, 5_000, 1_250, 190, 200, 10),
    (FUTURE, LESS, 2000, 5_000, 1_250, 188, 200, 10),
    (FUTURE, FLAT, 2000, 5_000, 2_000, 183, 200, 10),
    (FUTURE, DEAR, 2000, 5_000, 5_000, 183, 200, 10),
    (OPTION, START, 2000, 0, 5_000, 5_300, 300, 10),
    (OPTION, CUT, 2000, 0, 6_250, 5_000, 300, 10),
    (OPTION, LESS, 2000, 0, 6_250, 4_950, 300, 10),
    (OPTION, FLAT, 2000, 0, 10_000, 3_553, 300, 10),
    (OPTION, DEAR, 2000, 0, 15_000, 3_553, 300, 10),
)
"""Rates in parts of ten million of the value; an option's value is its premium. A day before the first is charged by it.

Sources. STT: Finance Acts of 2023 (from 1 April 2023), 2024 (No. 2, from 1 October 2024) and 2026 (from 1 April 2026). Exchange:
NSE's charges raised by 6 % from January 2021, that rise taken back from 1 April 2023, 1 % less from 1 April 2024, one rate for all
members from 1 October 2024 (2.97, 1.73 and 35.03 a lakh, and 0.1, 0.1 and 0.5 for the investor protection fund, quoted as one
number since 1 March 2026). Until then members paid by slabs; the highest, which brokers charged, stands here. Stamp duty: one
rate for the country since July 2020. SEBI: Rs 10 a crore. Brokerage is the broker's of November 2026 for every day; its offer of
Rs 10 an order through the interface ended in September 2026 (docs/upstox.md 8.1).
"""


def _fill():
    global n_rates
    cdef Rate* rate
    epoch = dt.date(1970, 1, 1)
    for row in TABLE:
        rate = &RATES[n_rates]
        rate.kind, rate.since = row[0], (dt.date.fromisoformat(row[1]) - epoch).days
        rate.flat, rate.share, rate.stt, rate.exchange, rate.stamp, rate.sebi = row[2:]
        n_rates += 1


_fill()


cdef struct Parts:            # paise
    int64_t brokerage
    int64_t stt
    int64_t transaction
    int64_t stamp
    int64_t sebi
    int64_t gst


cdef const Rate* rate_of(int kind, int64_t day) noexcept nogil:
    """The rates in force for a kind on a day. An index is charged as a share; it is never traded."""
    cdef const Rate* found = NULL
    cdef int i
    for i in range(n_rates):
        if RATES[i].kind == kind and (found == NULL or RATES[i].since <= day):
            found = &RATES[i]
    return found if found != NULL else rate_of(KIND_EQUITY, day)


cdef int64_t nearest(int64_t parts, int64_t unit) noexcept nogil:
    """A number of `unit`s to the nearest, a half up."""
    return (parts + unit // 2) // unit


cdef Parts parts_of(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil:
    """Charges of one order's fills of `value` (paise x quantity) on `day` (days since 1970 IST)."""
    cdef const Rate* rate = rate_of(kind, day)
    cdef int64_t exchange = value * rate.exchange, sebi = value * rate.sebi
    cdef int64_t brokerage = rate.flat * UNIT if quantity > 0 else 0
    cdef Parts out
    if rate.share:
        brokerage = min(brokerage, value * rate.share)
    out.brokerage = nearest(brokerage, UNIT)
    out.stt = 100 * nearest(value * rate.stt, 100 * <int64_t>UNIT) if side < 0 else 0
    out.transaction = nearest(exchange, UNIT)
    out.stamp = nearest(value * rate.stamp, UNIT) if side > 0 else 0
    out.sebi = nearest(sebi, UNIT)
    out.gst = nearest(GST_PERCENT * (brokerage + exchange + sebi), 100 * <int64_t>UNIT)
    return out


cdef int64_t charges(int kind, int side, int64_t quantity, int64_t value, int64_t day) noexcept nogil:
    """Paise charged on one order's fills, all parts together."""
    cdef Parts p = parts_of(kind, side, quantity, value, day)
    return p.brokerage + p.stt + p.transaction + p.stamp + p.sebi + p.gst


def charges_of(int kind, int side, int64_t quantity, int64_t value, int64_t now) -> int:
    """Paise charged on an order of `quantity` worth `value` (paise x quantity) at `now` (ns); kind as InstrumentKind."""
    return charges(kind, side, quantity, value, day_of(now))


def charge_parts(int kind, int side, int64_t quantity, int64_t value, int64_t now) -> dict:
    """The same in parts, by the names of the broker's charges API."""
    cdef Parts p = parts_of(kind, side, quantity, value, day_of(now))
    return {"brokerage": p.brokerage, "stt": p.stt, "transaction": p.transaction, "stamp_duty": p.stamp,
            "sebi_turnover": p.sebi, "gst": p.gst}
