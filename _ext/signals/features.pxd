from _ext.core.records cimport Candidate
from _ext.market.market cimport Market
from _ext.market.state cimport TickInfo
from libc.stdint cimport int64_t, uint32_t

from _ext.core.records cimport F_MID_MOVE_S1M, F_MID_OVER_LTP, F_OUTSIDE_BOOK_S1M

cdef enum:                    # what decides at once: the mid moved, as far as the last price says, which the book holds
    MID_MOVE = F_MID_MOVE_S1M
    BOOK_MOVED_ALONG = F_MID_OVER_LTP
    OUTSIDE_BOOK = F_OUTSIDE_BOOK_S1M
    OUTSIDE_MOST = 1          # s1m: a price farther beyond the best quote may flicker while the market moves

cdef void fill_features(Market market, uint32_t inst, const TickInfo* t, double firing, int64_t fired_ms,
                        int64_t fired_price, Candidate* out) noexcept nogil
