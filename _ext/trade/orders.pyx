"""The order table: requests out, answers in.

A request is an Intent journaled before it is handed out. An answer that is lost leaves a place UNKNOWN until the book tells,
and a modify or cancel waiting for a fresh read of the book; nothing is sent a second time blindly. What an order means
for a position is `positions.PositionManager`'s, which fills in the six methods at the end.

A fill is a fill: its quantity counts when it is told, priced by the order's limit until the broker tells the average. Of a word
that nobody can read, the doubt counts, and the broker's positions decide (`reconcile`).
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from _ext.core.clock cimport SECOND_NS
from _ext.core.reasons cimport BROKER_HALT, FILL_PRESUMED, FILL_UNPRICED, ILLEGAL_STEP, STRANGE_FILL, TABLE_FULL, UNREADABLE_ANSWER
from _ext.core.records cimport (
    INTENT_CANCEL, INTENT_MODIFY, INTENT_PLACE, OUTCOME_AMBIGUOUS, OUTCOME_DONE, OUTCOME_HALT, OUTCOME_RETRY, REC_INTENT,
    REC_STATE, REDUCING, ROLE_ENTRY, ROLE_EXIT, STATE_ALARM, STATE_TRADING, STATUS_CANCELLED, STATUS_COMPLETE, STATUS_OPEN,
    STATUS_REJECTED, STATUS_UNREADABLE, BookRead, GateDecision, Intent, OrderUpdate, Reply, StateChange)
from _ext.trade.gate cimport Gate
from _ext.trade.states cimport (
    ANSWERED_DONE, ANSWERED_NOTHING, ANSWERED_REFUSED, ILLEGAL, NOT_FOUND, ORDER_ACCEPTED, ORDER_DEAD, ORDER_FILLED, ORDER_SENT,
    ORDER_UNKNOWN, SAID_COMPLETE, SAID_OPEN, SAID_OVER, SAID_PENDING, STAY, after, is_live)

cdef enum:
    READS = 3                             # full reads of the book before an order counts as absent
cdef int64_t RETRY = SECOND_NS               # between a definite no and the next try of the same request
cdef int64_t BLIND = 10 * SECOND_NS  # without a read of the book, a modify is tried again after this: it is the same order
cdef int64_t NEVER_SHOWN = 60 * SECOND_NS  # accepted by the API, in no read of the book


cdef class Orders:
    """Orders of the day; `gate` counts the requests and takes the trading state, `trail` the records."""

    def __cinit__(self, Gate gate not None, *args):
        self.gate = gate
        self.orders = <Order*>calloc(MAX_ORDERS, sizeof(Order))
        if self.orders == NULL:
            raise MemoryError("no memory for the order table")

    def __dealloc__(self):
        free(self.orders)

    cdef void set_state(self, int what, int state, int reason, int64_t now) noexcept:
        """Changes the trading state (what 0) or the operator state (1) and says so."""
        cdef StateChange change
        change.what = what
        change.was = self.gate.state if what == 0 else self.gate.operator
        change.now_is = state
        change.reason = reason
        if change.was == state:
            return
        if what == 0:
            self.gate.state = state
        else:
            self.gate.operator = state
        self.trail.put(REC_STATE, now, &change, sizeof(change))

    cdef void alarm(self, int reason, uint64_t what, int64_t now) noexcept:
        """Something a person should know; `what` is the order or name it is about."""
        cdef StateChange change
        change.what = STATE_ALARM
        change.was = 0
        change.now_is = <int32_t>what
        change.reason = reason
        self.trail.put(REC_STATE, now, &change, sizeof(change))

    # ---- requests -----------------------------------------------------------------------------------------------
    cdef Order* _new(self, uint32_t inst, int role, int side, int64_t now) noexcept:
        cdef Order* o
        # half the table is for exits alone
        if self.n_orders >= (<uint64_t>MAX_ORDERS if role == ROLE_EXIT else <uint64_t>MAX_ORDERS // 2):
            self.set_state(STATE_TRADING, REDUCING, TABLE_FULL, now)
            return NULL
        o = &self.orders[self.n_orders]
        self.n_orders += 1
        o.id = self.n_orders
        o.inst = inst
        o.role = <short>role
        o.side = <short>side
        o.sent = now
        return o

    cdef bint _ready(self, const Order* o, int64_t now) noexcept:
        """Whether a modify or cancel of a live order may be asked for now."""
        return (not o.busy and o.state >= ORDER_ACCEPTED and is_live(o.state) and o.order_id[0] != 0 and now >= o.retry_at
                and (o.read_after == 0 or now - o.read_after >= BLIND))

    cdef bint _emit(self, Order* o, int kind, int64_t now) noexcept:
        """Journals and queues one request about `o`; False, and nothing happened, when the journal or queue is full."""
        cdef Intent intent
        cdef bint is_place = kind == INTENT_PLACE
        if self.out_count == OUTBOX:
            return False
        memset(&intent, 0, sizeof(intent))
        intent.id = o.id
        intent.serial = self.n_serials + 1
        intent.candidate = o.candidate
        intent.inst = o.inst
        intent.kind = <short>kind
        intent.role = o.role
        intent.side = o.side
        intent.source, intent.via = <short>o.source, <short>self.via
        intent.order_type = <short>(o.order_type if is_place else o.new_type)
        intent.why = o.why if is_place else o.new_why
        intent.quantity = o.quantity if is_place else o.new_quantity
        intent.price = o.price if is_place else o.new_price
        intent.trigger = o.trigger if is_place else o.new_trigger
        memcpy(intent.order_id, o.order_id, sizeof(o.order_id))
        if self.trail.put(REC_INTENT, now, &intent, sizeof(intent)) == 0:
            return False
        self.n_serials += 1
        o.most = max(o.most, intent.quantity)
        self.gate.count_request(now)
        o.busy = kind
        o.changed = now
        o.read_after = 0
        if is_place:
            o.state = ORDER_SENT
        self.outbox[self.out_count] = intent
        self.out_count += 1
        return True

    cdef bint _cancel(self, Order* o, int why, int64_t now) noexcept:
        """Asks for the end of a live order, if that may be asked for now."""
        cdef GateDecision used
        if not self._ready(o, now) or not self.gate.may_exit(now, &used):
            return False
        o.new_type, o.new_why, o.new_quantity, o.new_price, o.new_trigger = o.order_type, why, o.quantity, o.price, o.trigger
        if not self._emit(o, INTENT_CANCEL, now):
            return False
        o.ending = 1
        return True

    # ---- what comes back ----------------------------------------------------------------------------------------
    cdef void _advance(self, Order* o, int event, int64_t now) noexcept:
        """Takes the step of the table; a forbidden one is counted and told."""
        cdef int was = o.state
        cdef int to = after(was, event)
        if to == ILLEGAL:
            self.illegal += 1
            self.alarm(ILLEGAL_STEP, o.id, now)
            return
        if to == STAY:
            return
        o.state = to
        if not is_live(to):
            o.busy = 0
        self._moved(o, was, now)

    cdef void on_boot(self, int64_t now) noexcept:
        """After a restart: answers to what was under way went to a process that is gone."""
        cdef uint64_t i
        cdef Order* o
        for i in range(self.n_orders):
            o = &self.orders[i]
            if is_live(o.state) and o.busy:
                self._unclear(o, now)

    cdef void _unclear(self, Order* o, int64_t now) noexcept:
        """The request under way may or may not have been carried out."""
        o.answered = now
        if o.busy == INTENT_PLACE:
            o.missed = 0
            self._advance(o, ANSWERED_NOTHING, now)
            return
        o.busy = 0
        o.read_after = now
        o.retry_at = now + RETRY

    cdef void on_reply(self, const Reply* reply, int64_t now) noexcept:
        """An answer, or the loss of one, to the request under way on an order."""
        cdef Order* o
        cdef int kind
        if reply.intent == 0 or reply.intent > self.n_orders:
            return
        o = &self.orders[reply.intent - 1]
        kind = o.busy
        if reply.kind != kind:                     # the order stream was faster: only the broker's id is news
            if reply.kind == INTENT_PLACE and reply.outcome == OUTCOME_DONE and o.order_id[0] == 0:
                memcpy(o.order_id, reply.order_id, sizeof(o.order_id))
            return
        if reply.outcome == OUTCOME_AMBIGUOUS:
            if kind:
                self._unclear(o, now)
                self._settle(o, now)
            return
        o.busy = 0
        o.answered = now
        if reply.outcome == OUTCOME_DONE:
            if kind == INTENT_PLACE:
                memcpy(o.order_id, reply.order_id, sizeof(o.order_id))
                self._advance(o, ANSWERED_DONE, now)
            elif kind == INTENT_MODIFY:
                o.order_type, o.why, o.quantity = o.new_type, o.new_why, o.new_quantity
                o.price, o.trigger = o.new_price, o.new_trigger
            else:                                  # the cancelled state follows by the order stream, or by the book
                o.retry_at = now + RETRY
                o.read_after = now
        else:
            o.retry_at = now + RETRY
            if reply.outcome == OUTCOME_HALT:
                self.set_state(STATE_TRADING, REDUCING, BROKER_HALT, now)
            if kind == INTENT_PLACE:
                self._advance(o, ANSWERED_REFUSED, now)
            elif reply.outcome != OUTCOME_RETRY:   # finished already, or unknown there: the book tells
                o.read_after = now
            self._refused(o, kind, now)
        self._settle(o, now)

    cdef Order* _find(self, const OrderUpdate* update) noexcept:
        """The order a message is about: by our tag's number, or by the broker's id for one of an earlier life."""
        cdef uint64_t i
        if 0 < update.intent <= self.n_orders:
            i = update.intent - 1
            if (self.orders[i].order_id[0] and update.order_id[0]
                    and memcmp(self.orders[i].order_id, update.order_id, sizeof(update.order_id)) != 0):
                return NULL                        # the number is ours, the order is not: another life had it
            return &self.orders[i]
        if update.intent == 0 and update.order_id[0] != 0:
            for i in range(self.n_orders):
                if memcmp(self.orders[i].order_id, update.order_id, sizeof(update.order_id)) == 0:
                    return &self.orders[i]
        return NULL

    cdef void on_update(self, const OrderUpdate* update, int64_t now) noexcept:
        """State of one of our orders as the broker tells it; repeated and late ones change nothing."""
        cdef Order* o = self._find(update)
        cdef int64_t filled
        cdef bint is_over = update.status in (STATUS_COMPLETE, STATUS_CANCELLED, STATUS_REJECTED)
        if update.status == STATUS_UNREADABLE:
            self._unreadable(o, now)
            return
        if o == NULL:
            return
        if o.order_id[0] == 0:
            memcpy(o.order_id, update.order_id, sizeof(o.order_id))
        if o.acknowledged == 0:
            o.acknowledged = now
        filled = self._told_filled(o, update)
        if filled > o.most:
            self.set_state(STATE_TRADING, REDUCING, STRANGE_FILL, now)     # more than was ever asked for: the positions will tell
            o.doubted = o.doubted or now
            return
        if update.is_doubtful:
            o.doubted = o.doubted or now
        else:
            o.doubted = 0
            self._recall(o, update)
        self._fill_to(o, filled, update.value, now)
        if o.busy == INTENT_PLACE:                 # the stream was faster than the answer, or the answer was lost
            o.busy = 0
        self._learn(o, update)
        o.is_final = is_over and not update.is_doubtful
        if update.status == STATUS_COMPLETE:
            self._advance(o, SAID_COMPLETE, now)
        elif is_over:
            self._advance(o, SAID_OVER, now)
        else:
            self._advance(o, SAID_OPEN if update.status == STATUS_OPEN else SAID_PENDING, now)
        self._settle(o, now)

    cdef void _unreadable(self, Order* o, int64_t now) noexcept:
        """A word of the broker that nobody can read, of `o` or of no order known: counted, and told once an order."""
        self.unreadable += 1
        if o == NULL or o.doubted == 0:
            self.alarm(UNREADABLE_ANSWER, o.id if o != NULL else 0, now)
        if o != NULL:
            o.doubted = o.doubted or now

    cdef int64_t _told_filled(self, const Order* o, const OrderUpdate* update) noexcept:
        """Quantity filled so far. An order that is complete was filled, whether or not the message says how much."""
        if update.status != STATUS_COMPLETE or update.filled > 0:
            return update.filled
        return update.quantity if 0 < update.quantity <= o.most else o.quantity

    cdef bint _is_price(self, const Order* o, int64_t filled, int64_t value) noexcept:
        """Whether `value` can be what `filled` of the order cost: within a factor of two of what the order says, or of what it was
        last asked to say, since a fill is told sooner than the answer."""
        cdef double lowest = <double>self._reference(o)
        cdef double highest = max(lowest, <double>o.new_price)
        if o.new_price > 0:
            lowest = min(lowest, <double>o.new_price)
        return value > 0 and (lowest <= 0.0 or 0.5 * lowest * filled <= value <= 2.0 * highest * filled)

    cdef void _fill_to(self, Order* o, int64_t filled, int64_t value, int64_t now) noexcept:
        """`filled` of the order is filled by now, for `value` paise in all; without a price that can be, by what the order says."""
        cdef int64_t quantity = filled - o.filled, worth
        cdef bint is_told = self._is_price(o, filled, value)
        if is_told and o.filled > 0 and quantity >= 0 and (o.is_unpriced or quantity == 0):
            worth = value // filled * o.filled + value % filled * o.filled // filled   # the average is that of the first part too
            if worth != o.value:
                self._repriced(o, worth - o.value, now)
            o.is_unpriced = 0
        if quantity <= 0:
            return
        worth = value - o.value if is_told else quantity * self._reference(o)
        if is_told and worth <= 0:                 # the parts contradict each other: the average of all is what is told
            worth = value // filled * quantity
        elif not is_told:
            if not o.is_unpriced:
                self.alarm(FILL_UNPRICED, o.id, now)
            o.is_unpriced = 1
        o.filled = filled
        o.value += worth
        self._filled(o, quantity, worth, now)

    cdef void presume(self, Order* o, int64_t quantity, int64_t now) noexcept:
        """The broker's positions show `quantity` more of the order filled than any word of it did. The caller settles."""
        cdef int64_t worth = quantity * self._reference(o)
        self.alarm(FILL_PRESUMED, o.id, now)
        o.filled += quantity
        o.value += worth
        o.presumed += quantity
        o.presumed_at = now
        o.is_unpriced = 1
        self._filled(o, quantity, worth, now)
        if o.filled >= o.quantity and o.state != ORDER_DEAD:
            self._advance(o, SAID_COMPLETE, now)

    cdef void _recall(self, Order* o, const OrderUpdate* update) noexcept:
        """A word that knows better than a presumption: what the positions showed was not this order's. What is held stays held."""
        cdef int64_t part
        if update.filled >= o.filled:
            o.presumed = 0
        if o.presumed == 0 or (update.began <= o.presumed_at and update.is_look_up):
            return
        if not update.is_look_up and update.status not in (STATUS_CANCELLED, STATUS_REJECTED):
            return                                 # a late message of before
        part = min(o.presumed, o.filled - update.filled)
        o.value -= o.value // o.filled * part
        o.filled -= part
        o.presumed -= part
        if o.state == ORDER_FILLED:
            o.state = ORDER_ACCEPTED

    cdef void _learn(self, Order* o, const OrderUpdate* update) noexcept:
        """What kind of order it is by now: a read of the book asked for after our last answer knows best."""
        if (not update.is_look_up or update.order_type == 0 or update.price <= 0 or o.busy or update.began <= o.answered
                or update.began <= o.changed):
            return
        o.order_type, o.price, o.trigger = update.order_type, update.price, update.trigger
        if 0 < update.quantity <= o.most:
            o.quantity = update.quantity

    cdef void on_book(self, const BookRead* read, const uint64_t* ids, int64_t now) noexcept:
        """A full read of the book has ended; `ids` are our orders it showed, their states came before as updates."""
        cdef int64_t k, settle
        cdef uint64_t i
        cdef Order* o
        self.book_began = max(self.book_began, read.began)
        for k in range(read.count):
            if 0 < ids[k] <= self.n_orders:
                o = &self.orders[ids[k] - 1]
                o.missed = -1                      # seen in this read
        for i in range(self.n_orders):
            o = &self.orders[i]
            if o.missed < 0:
                o.missed = 0
                if o.doubted == 0:
                    o.read = read.began
                if o.read_after and read.began > o.read_after:
                    o.read_after = 0
                    self._settle(o, now)
                continue
            if (o.state != ORDER_UNKNOWN and o.state != ORDER_ACCEPTED) or read.began < o.answered:
                continue
            if o.missed == 0:
                o.first_missed = read.began
            o.missed += 1
            settle = self.gate.limits.settle_entry if o.role == ROLE_ENTRY else self.gate.limits.settle_exit
            if o.state == ORDER_ACCEPTED:
                settle = max(settle, NEVER_SHOWN)
            if o.missed >= READS and read.began - o.first_missed >= settle:
                o.retry_at = now                   # the search was the wait
                self._advance(o, NOT_FOUND, now)
                self._settle(o, now)

    # ---- what the positions make of it ----------------------------------------------------------------------------
    cdef int64_t _reference(self, const Order* o) noexcept:
        """Paise that a fill of `o` counts for until its price is told."""
        return o.price

    cdef void _repriced(self, Order* o, int64_t change, int64_t now) noexcept:
        """What was filled of `o` is worth `change` more than it was booked at."""
        o.value += change

    cdef void _filled(self, Order* o, int64_t quantity, int64_t worth, int64_t now) noexcept:
        """`quantity` more of `o` was filled, worth `worth` paise."""

    cdef void _moved(self, Order* o, int was, int64_t now) noexcept:
        """`o` left the state `was`."""

    cdef void _refused(self, Order* o, int kind, int64_t now) noexcept:
        """A request of `kind` about `o` was refused, or the order never came to be."""

    cdef void _settle(self, Order* o, int64_t now) noexcept:
        """Something was learned of `o`: its position is brought to where it should be."""
