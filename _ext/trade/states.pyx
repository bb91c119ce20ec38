"""The transition table of an order. Messages come late, twice and out of order (docs/upstox.md 7.13): a terminal word of the
broker is final, a state never goes back, and what was thought absent may still appear."""

cdef signed char[8][8] NEXT = [
    # DONE             REFUSED        NOTHING         NOT_FOUND      PENDING          OPEN            COMPLETE       OVER
    [ILLEGAL,          ILLEGAL,       ILLEGAL,        ILLEGAL,       ILLEGAL,         ILLEGAL,        ILLEGAL,       ILLEGAL],
    [ORDER_ACCEPTED,   ORDER_ABSENT,  ORDER_UNKNOWN,  STAY,          ORDER_ACCEPTED,  ORDER_WORKING,  ORDER_FILLED,  ORDER_DEAD],
    [ORDER_ACCEPTED,   ORDER_ABSENT,  STAY,           ORDER_ABSENT,  ORDER_ACCEPTED,  ORDER_WORKING,  ORDER_FILLED,  ORDER_DEAD],
    [STAY,             ILLEGAL,       STAY,           ORDER_ABSENT,  STAY,            ORDER_WORKING,  ORDER_FILLED,  ORDER_DEAD],
    [STAY,             ILLEGAL,       STAY,           STAY,          STAY,            STAY,           ORDER_FILLED,  ORDER_DEAD],
    [STAY,             STAY,          STAY,           STAY,          STAY,            STAY,           STAY,          ILLEGAL],
    [STAY,             STAY,          STAY,           STAY,          STAY,            STAY,           ILLEGAL,       STAY],
    [ORDER_ACCEPTED,   STAY,          STAY,           STAY,          ORDER_ACCEPTED,  ORDER_WORKING,  ORDER_FILLED,  ORDER_DEAD],
]


cdef int after(int state, int event) noexcept nogil:
    """The state that follows, STAY or ILLEGAL."""
    if not (0 <= state < ORDER_STATES and 0 <= event < ORDER_EVENTS):
        return ILLEGAL
    return NEXT[state][event]


STATES = ("none", "sent", "unknown", "accepted", "working", "filled", "dead", "absent")
EVENTS = ("done", "refused", "nothing", "not found", "pending", "open", "complete", "over")


def follows(str state, str event):
    """The state after `event` by name; None where nothing changes; ValueError where it cannot be."""
    cdef int out = after(STATES.index(state), EVENTS.index(event))
    if out == ILLEGAL:
        raise ValueError(f"an order that is {state} cannot take {event!r}")
    return None if out == STAY else STATES[out]
