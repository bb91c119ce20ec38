# Life of an order: its states, what can be heard of it, and which state follows which.

cdef enum OrderState:
    ORDER_NONE = 0
    ORDER_SENT = 1            # journaled and handed over; no answer yet
    ORDER_UNKNOWN = 2         # the answer was lost: it may exist, its slot stays held
    ORDER_ACCEPTED = 3        # the API took it, the exchange has not spoken
    ORDER_WORKING = 4         # open, or a stop waiting for its trigger
    ORDER_FILLED = 5
    ORDER_DEAD = 6            # cancelled or rejected, in the broker's own words
    ORDER_ABSENT = 7          # refused, or looked for in vain; should it appear after all, it is dealt with
    ORDER_STATES = 8

cdef enum OrderEvent:
    ANSWERED_DONE = 0            # answer to the place: accepted by the API
    ANSWERED_REFUSED = 1         # answer to the place: definitely not
    ANSWERED_NOTHING = 2         # the answer was lost, or the process that waited for it
    NOT_FOUND = 3             # full reads of the book over its settling time did not show it
    SAID_PENDING = 4          # the broker's word, from stream or book
    SAID_OPEN = 5
    SAID_COMPLETE = 6
    SAID_OVER = 7             # cancelled or rejected
    ORDER_EVENTS = 8

cdef enum:
    STAY = -1                 # known already, or late: changes nothing
    ILLEGAL = -2              # cannot be: changes nothing, and an alarm says so

cdef int after(int state, int event) noexcept nogil
cdef inline bint is_live(int state) noexcept nogil:
    return ORDER_SENT <= state <= ORDER_WORKING
