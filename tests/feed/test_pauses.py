"""When the keeper tries a connection again, and what fits beside what: by hand, without a core."""
import pytest

from engine.feed.subscriptions import Limits, SubscriptionManager

SECOND = 1_000_000_000
KEYS = [f"K{i}" for i in range(3)]


def keeper(draw: float = 0.5, pace: float = 1.0, **given) -> SubscriptionManager:
    """`draw` 0.5 takes the jitter away."""
    notes: list[str] = []
    made = SubscriptionManager(None, KEYS, {k: i for i, k in enumerate(KEYS)}, draw=lambda: draw, pace=pace, note=notes.append,
                               **given)
    made.notes = notes
    return made


def waits(made: SubscriptionManager, statuses) -> list[float]:
    out = []
    for status in statuses:
        made.on_down(0, 0, status)
        out.append(made.connections[0].due / SECOND)
    return out


def test_the_pause_doubles_up_to_half_a_minute():
    assert waits(keeper(), [0] * 10) == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


@pytest.mark.parametrize("status", [403, 429])
def test_a_forbidden_connection_waits_five_seconds_at_least(status):
    made = keeper()
    assert waits(made, [status, status, status, 0]) == pytest.approx([5, 10, 20, 30])
    assert len(made.notes) == 3 and ("too many requests" in made.notes[0]) == (status == 429)


@pytest.mark.parametrize(("draw", "pace", "want"), [(0.0, 1, 0.16), (0.999999, 1, 0.24), (0.5, 10, 2.0), (0.5, 0.1, 0.2)])
def test_jitter_is_a_fifth_either_way_and_a_fast_market_waits_as_much_longer(draw, pace, want):
    assert waits(keeper(draw, pace), [0]) == pytest.approx([want], rel=1e-5)


@pytest.mark.parametrize(("seconds", "want"), [(10.0, 1.6), (10.001, 0.2)])
def test_a_connection_that_held_for_ten_seconds_begins_anew(seconds, want):
    made = keeper()
    waits(made, [0, 0, 0])
    made.on_up(0, 0)
    made.on_down(0, round(seconds * SECOND))
    assert made.connections[0].due / SECOND - seconds == pytest.approx(want)


def test_a_refused_token_is_told_once_and_another_begins_anew():
    made = keeper()
    waits(made, [401, 401])
    assert not made.token_ok and len(made.notes) == 1 and "login" in made.notes[0]
    made.on_token(7)
    assert made.token_ok and {(c.due, c.pause) for c in made.connections} == {(7, SECOND // 5)}


@pytest.mark.parametrize(("modes", "mode", "room"), [
    ({}, "full", 2000), ({"full": 1999}, "full", 1), ({"full": 2000}, "full", 0), ({"ltpc": 1}, "full", 1500),
    ({"ltpc": 0}, "full", 2000), ({"full": 1, "ltpc": 5}, "full", 1499), ({"full": 1}, "ltpc", 2000), ({}, "ltpc", 5000),
    ({}, "option_greeks", 3000), ({"full": 3}, "option_greeks", 2000), ({}, "full_d30", 50)])
def test_room_alone_and_beside_other_modes(modes, mode, room):
    assert Limits().room(modes, mode) == room
