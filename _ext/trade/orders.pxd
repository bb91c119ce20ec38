# Orders, positions and their one exit order each. Ids are dense: order `id` lives in orders[id - 1].
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t
from _ext.core.types cimport Candidate, GateDecision, Instrument, Intent, OrderUpdate, Reply
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.trade.gate cimport Gate
from _ext.trail.journal cimport Trail

cdef enum:
    MAX_ORDERS = 8192         # of a day
    MAX_SLOTS = 64            # positions and working entries
    OUTBOX = 256

cdef enum OrderState:
    ORDER_NONE = 0
    ORDER_SENT = 1            # journaled and handed over; no answer yet
    ORDER_UNKNOWN = 2         # the answer was lost: it may exist, its slot stays held
    ORDER_ACCEPTED = 3        # the API took it, the exchange has not spoken
    ORDER_WORKING = 4         # open, or a stop waiting for its trigger
    ORDER_FILLED = 5
    ORDER_DEAD = 6            # cancelled, rejected, refused or never there

cdef enum ExitState:
    FLAT = 0
    ENTERING = 1
    PROTECTING = 2            # the stop is on its way
    PROTECTED = 3             # the stop rests at the exchange
    CLOSING = 4               # the stop was turned into a marketable limit
    UNPROTECTED = 5           # triggered and unfilled, or refused: being re-priced

cdef struct Order:
    uint64_t id
    uint64_t candidate
    uint32_t inst
    int16_t side
    int16_t role
    int32_t state             # OrderState
    int32_t slot
    uint32_t generation       # of the slot when the order was made
    int32_t lost              # looked up in vain and given up; should it appear, it is cancelled
    int32_t order_type
    int32_t why
    int32_t busy              # IntentKind of the request under way, 0: none
    int64_t quantity
    int64_t price
    int64_t trigger
    int64_t filled
    int64_t value             # paise x quantity filled
    int64_t charged           # paise
    int64_t sent              # now of the place
    int64_t changed           # now of the last request
    int64_t retry_at          # no request before this
    int64_t new_quantity      # what the modify under way asks for
    int64_t new_price
    int64_t new_trigger
    int32_t new_type
    int32_t new_why
    char order_id[32]

cdef struct Slot:
    uint32_t inst
    int32_t state             # ExitState
    int32_t used
    int32_t side
    uint64_t entry            # order ids; 0: none
    uint64_t exit
    int64_t bought            # entry fills
    int64_t cost              # their value
    int64_t sold              # exit fills
    int64_t stop
    int64_t target
    int64_t opened            # now of the first fill
    int64_t triggered         # now the stop's price was first seen through; 0: not
    int64_t pause             # ns between attempts of an exit: 1 s, doubled at each refusal up to 30 s
    int32_t rejects           # refusals of the stop in a row
    uint32_t generation       # of the position: orders of an earlier one in this slot are not its own

cdef class Trader:
    cdef Gate gate
    cdef Market market
    cdef Instrument* specs
    cdef Trail trail
    cdef Order* orders
    cdef Slot slots[MAX_SLOTS]
    cdef Intent outbox[OUTBOX]
    cdef int32_t out_count
    cdef readonly uint64_t n_orders, n_serials
    cdef uint32_t n_positions
    cdef int top              # slots beyond this one were never used
    cdef int64_t* day_realised           # per instrument, paise
    cdef int64_t* day_charges
    cdef void enter(self, const Candidate* c, Row* r, int64_t now, int64_t minute) noexcept
    cdef void on_boot(self, int64_t now) noexcept
    cdef void on_reply(self, const Reply* reply, int64_t now) noexcept
    cdef void on_update(self, const OrderUpdate* update, int64_t now) noexcept
    cdef void on_tick(self, Row* r, int64_t now) noexcept
    cdef void on_timer(self, int64_t now) noexcept
    cdef void revalue(self) noexcept
    cdef void set_state(self, int what, int state, int reason, int64_t now) noexcept
    cdef bint _emit(self, Order* o, int kind, int64_t now) noexcept
    cdef Slot* _claim(self, uint32_t inst, int side) noexcept
    cdef Slot* _owner(self, Order* o, int64_t now) noexcept
    cdef void _unclear(self, Order* o, int64_t now) noexcept
    cdef void _refused(self, Slot* s, Order* o, int64_t now) noexcept
    cdef Order* _new(self, Slot* s, int role, int side, int64_t now) noexcept
    cdef void _manage(self, Slot* s, int64_t now) noexcept
    cdef void _exit(self, Slot* s, Row* r, int why, int64_t held, int64_t now) noexcept
    cdef void _fill(self, Order* o, int64_t filled, int64_t value, int64_t now) noexcept
    cdef void _report(self, Slot* s, int64_t now) noexcept
    cdef void _free(self, Slot* s, int64_t now) noexcept
