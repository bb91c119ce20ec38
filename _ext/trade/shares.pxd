# What each source may take of the account, and what it has taken.
from libc.stdint cimport int64_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport GateDecision

cdef enum:
    SHARES = 8                # sources

cdef struct Share:
    int64_t positions         # at once, at most
    double exposure           # share of equity of all its positions together
    double daily_loss         # share of equity at which its entries end
    int64_t is_on             # 0: its candidates are judged and never traded
    int64_t result            # paise of the day: realised less charges

cdef Reason check_share(const Share* share, int64_t positions, int64_t exposure, int64_t open_result, double value, double equity,
                        GateDecision* out) noexcept nogil
