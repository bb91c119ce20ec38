"""The order's transition table, whole: what every state makes of everything that can be heard."""
import itertools

import pytest

from _ext.trade.states import EVENTS, STATES, follows

NOTHING, NEVER = None, "never"
LIVE = ("sent", "unknown", "accepted", "working")
WANTED = {
    # done        refused     nothing     not found   pending     open        complete   over
    "none": (NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER),
    "sent": ("accepted", "absent", "unknown", NOTHING, "accepted", "working", "filled", "dead"),
    "unknown": ("accepted", "absent", NOTHING, "absent", "accepted", "working", "filled", "dead"),
    "accepted": (NOTHING, NEVER, NOTHING, "absent", NOTHING, "working", "filled", "dead"),
    "working": (NOTHING, NEVER, NOTHING, NOTHING, NOTHING, NOTHING, "filled", "dead"),
    "filled": (NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NEVER),
    "dead": (NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NEVER, NOTHING),
    "absent": ("accepted", NOTHING, NOTHING, NOTHING, "accepted", "working", "filled", "dead"),
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_every_step(state, event):
    wanted = WANTED[state][EVENTS.index(event)]
    if wanted == NEVER:
        with pytest.raises(ValueError, match="cannot take"):
            follows(state, event)
    else:
        assert follows(state, event) == wanted


def test_a_terminal_word_of_the_broker_is_final():
    for state in ("filled", "dead"):
        for event in EVENTS:
            if WANTED[state][EVENTS.index(event)] != NEVER:
                assert follows(state, event) is None


def test_any_order_of_messages_ends_the_same():
    """Pending, open and one terminal word, repeated and in any order, end in that word's state."""
    for terminal, end in (("complete", "filled"), ("over", "dead")):
        for order in itertools.permutations(["pending", "open", "open", terminal]):
            state = "sent"
            for event in order:
                state = follows(state, event) or state
            assert state == end, order
