# The order table: every request journaled before it is handed out, every answer through the table of states.pyx.
# Ids are dense: order `id` lives in orders[id - 1].
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t
from _ext.core.records cimport BookRead, Intent, OrderUpdate, Reply
from _ext.trade.gate cimport Gate
from _ext.core.sink cimport RecordSink

cdef enum:
    MAX_ORDERS = 8192         # of a day
    OUTBOX = 256

cdef struct Order:
    uint64_t id
    uint64_t candidate
    uint32_t inst
    int16_t side
    int16_t role
    int32_t state             # OrderState
    int32_t slot
    uint32_t generation       # of the slot when the order was made
    int32_t order_type
    int32_t why
    int32_t busy              # IntentKind of the request under way, 0: none
    int32_t source            # of the candidate, 0 where there was none
    int64_t quantity
    int64_t price
    int64_t trigger
    int64_t filled
    int64_t value             # paise x quantity filled
    int64_t charged           # paise
    int64_t mark              # price one could leave at when it was sent
    int64_t sent              # now of the place
    int64_t changed           # now of the last request
    int64_t acknowledged      # now of the broker's first word of it; 0: none yet
    int64_t answered          # now of the last answer, or of its loss
    int64_t retry_at          # no request before this
    int64_t read_after        # no request until the book was read after this; 0: free
    int64_t first_missed      # began of the first full read that did not show it
    int64_t read              # began of the last full read that showed it without a doubt
    int64_t doubted           # now of the first word that nobody can read, or that contradicts itself; 0: none since a good one
    int64_t presumed          # quantity of `filled` taken from the broker's positions, without a word of the order
    int64_t presumed_at
    int32_t is_unpriced       # 1: part of `value` is a guess, until the broker tells the average
    int32_t is_final          # 1: its end was told, and how much of it was filled
    int32_t missed            # such reads in a row
    int32_t ending            # a cancel of ours is under way or done: its end is no refusal
    int64_t most              # the largest quantity ever asked for
    int64_t new_quantity      # what the modify under way asks for
    int64_t new_price
    int64_t new_trigger
    int32_t new_type
    int32_t new_why
    char order_id[32]

cdef class Orders:
    cdef Gate gate
    cdef RecordSink trail
    cdef Order* orders
    cdef Intent outbox[OUTBOX]
    cdef int32_t out_count
    cdef int32_t via                     # who takes orders: 0 the broker, 1 the engine's own matching
    cdef readonly uint64_t n_orders, n_serials
    cdef readonly uint64_t illegal       # steps the table forbids
    cdef readonly uint64_t unreadable    # rows and messages of the broker that nobody could read
    cdef int64_t book_began              # now the last full read of the book was asked for
    cdef void set_state(self, int what, int state, int reason, int64_t now) noexcept
    cdef void alarm(self, int reason, uint64_t what, int64_t now) noexcept
    cdef void on_boot(self, int64_t now) noexcept
    cdef void on_reply(self, const Reply* reply, int64_t now) noexcept
    cdef void on_update(self, const OrderUpdate* update, int64_t now) noexcept
    cdef void on_book(self, const BookRead* read, const uint64_t* ids, int64_t now) noexcept
    cdef Order* _new(self, uint32_t inst, int role, int side, int64_t now) noexcept
    cdef Order* _find(self, const OrderUpdate* update) noexcept
    cdef void _unreadable(self, Order* o, int64_t now) noexcept
    cdef int64_t _told_filled(self, const Order* o, const OrderUpdate* update) noexcept
    cdef void _fill_to(self, Order* o, int64_t filled, int64_t value, int64_t now) noexcept
    cdef bint _is_price(self, const Order* o, int64_t filled, int64_t value) noexcept
    cdef void _recall(self, Order* o, const OrderUpdate* update) noexcept
    cdef void presume(self, Order* o, int64_t quantity, int64_t now) noexcept
    cdef bint _emit(self, Order* o, int kind, int64_t now) noexcept
    cdef bint _cancel(self, Order* o, int why, int64_t now) noexcept
    cdef bint _ready(self, const Order* o, int64_t now) noexcept
    cdef void _advance(self, Order* o, int event, int64_t now) noexcept
    cdef void _unclear(self, Order* o, int64_t now) noexcept
    cdef void _learn(self, Order* o, const OrderUpdate* update) noexcept
    # what the positions make of it
    cdef int64_t _reference(self, const Order* o) noexcept
    cdef void _repriced(self, Order* o, int64_t change, int64_t now) noexcept
    cdef void _filled(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept
    cdef void _moved(self, Order* o, int was, int64_t now) noexcept
    cdef void _refused(self, Order* o, int kind, int64_t now) noexcept
    cdef void _settle(self, Order* o, int64_t now) noexcept
