# The market of a journal with the one-minute bars of each instrument, as the store has them and the page draws them.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from _ext.core.records cimport WarmBar
from _ext.core.tick cimport Tick
from _ext.follower cimport MarketFollower
from _ext.market.state cimport Row, TickInfo

cdef struct Forming:          # a name's minute under way, or the last one
    int64_t minute            # start, minutes since 1970; 0: none
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    uint64_t volume
    uint64_t turnover         # paise x quantity
    uint32_t updates
    int flags                 # BarFlag
    bint is_told              # as it stands here
    int64_t ltt               # the last trade, and whether it was late or outside the session: told again it still is
    int64_t ltp
    int carried

cdef class MinuteFollower(MarketFollower):
    cdef Forming* forming                # of each instrument
    cdef int64_t over                    # minutes before this one were told

    cdef int on_minute(self, uint32_t inst, const Forming* f, int flags) except -1
    cdef int on_flagged(self, const Tick* t, const Row* r, const TickInfo* info, int flags, bint is_trade, int64_t now) except -1
    cdef int _tell_all(self, int64_t minute, bint is_stop) except -1
    cdef int _filled(self, const WarmBar* bars, size_t n) except -1
    cdef int _tell(self, uint32_t inst, Forming* f, int flags) except -1
    cdef int _count(self, uint32_t inst, const Tick* t, const TickInfo* info) except -1
