# What is held: slots of positions and working entries, and the ledger of each instrument.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport GateDecision, Instrument
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.signals.strategies cimport StrategyHost
from _ext.trade.exits cimport Plan
from _ext.trade.guides cimport Guide
from _ext.trade.orders cimport Order, Orders
from _ext.trade.shares cimport SHARES, Share

cdef enum:
    MAX_SLOTS = 64            # positions and working entries

cdef struct Position:
    uint32_t inst
    int32_t state             # PositionState
    int32_t used
    int32_t side
    uint64_t entry            # order ids; 0: none
    uint64_t exit
    uint64_t rival            # a second exit order that should not be; it is being cancelled, or looked for
    int64_t bought            # entry fills
    int64_t cost              # their value
    int64_t left              # of it what is held now has cost
    int64_t sold              # exit fills
    int64_t net               # paise realised less charges
    int64_t best              # best price since entry, for the trailing stop
    double atr                # at entry, share of price
    Plan plan
    Guide guide
    int64_t triggered         # now the stop's price was first seen through; 0: not
    int64_t pause             # ns between attempts of an exit: 1 s, doubled at each refusal up to 30 s
    int32_t rejects           # refusals of the exit in a row
    int32_t reprices          # of the marketable exit
    uint32_t generation       # of the position: orders of an earlier one in this slot are not its own
    int32_t source            # of the candidate it was entered for

cdef struct Ledger:           # of one instrument
    int64_t realised          # paise, the day's
    int64_t charges
    int64_t net               # signed quantity our orders made, and what was presumed of them
    int64_t touched           # now of the last fill or request
    int64_t shown             # the broker's net quantity in the last read
    int64_t unseen            # what the last read younger than our own news showed beyond `net` and others', not told since
    int64_t unseen_since      # began of the read that first showed so much of it: an order sent later is not behind it
    int64_t differs           # began of the read that first showed another position; 0: it agrees
    int64_t presumed          # change of `net` taken from the broker's positions; an order may yet explain it
    int64_t presumed_foreign  # the same, put down to others
    int64_t presumed_at
    int64_t change            # the difference that read showed
    int64_t others            # signed fills of orders that are not ours, by the last read of the book
    int64_t others_known      # how much of them is in `foreign`, or was before the first read
    int32_t is_unreadable     # 1: a row of this name could not be read
    int32_t is_known          # 1: a read of the positions has told of this name

cdef class Holdings(Orders):
    cdef Market market
    cdef StrategyHost host               # hears of fills and ends; None: nobody does
    cdef Instrument* specs
    cdef Position slots[MAX_SLOTS]
    cdef uint32_t n_positions
    cdef readonly uint64_t second_exits  # exits sent while another could not be found
    cdef int top              # slots beyond this one were never used
    cdef bint is_blind        # no feed for too long
    cdef int64_t feed_lost    # now the feed was lost; 0: it is up; -1: a restart, not timed yet
    cdef int64_t denied       # now an exit was last refused by the broker's budgets
    cdef Ledger* ledger       # per instrument
    cdef int64_t holdings_began          # now the last read of the positions was asked for
    cdef bint is_auction      # the closing auction has set the contracts' ranges anew, see _before_auction

    cdef Share shares[SHARES]            # of each source

    cdef int take_shares(self, list sources) except -1
    cdef Reason _share(self, int source, double value, GateDecision* out) noexcept
    cdef int64_t minute_of(self, int64_t now) noexcept
    cdef Position* claim(self, uint32_t inst, int side) noexcept
    cdef Position* owner(self, Order* o) noexcept
    cdef int64_t _value(self, Position* s, int64_t price) noexcept
    cdef void revalue(self) noexcept
    cdef void _report(self, Position* s, int64_t now) noexcept
    cdef void _free(self, Position* s, int64_t now) noexcept
