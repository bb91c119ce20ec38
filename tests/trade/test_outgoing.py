"""A full queue: who gives way is gone, once, and everybody else leaves in order."""
import numpy as np

from _ext.core.records import INTENT
from engine.trade.outgoing import ROOM, Outgoing

SECOND = 1_000_000_000
ENTRY, EXIT, CANCEL = (1, 1), (1, 2), (3, 2)


def intent(number: int, what: tuple[int, int]) -> np.void:
    row = np.zeros(1, INTENT)
    row["id"], row["kind"], row["role"] = number, *what
    return row[0]


def leaving(queue: Outgoing, begin: int = 0, seconds: int = 60) -> tuple[list[int], list[int]]:
    """(ids that leave, ids that never will) in the seconds that follow."""
    going, over = [], []
    for k in range(seconds):
        some, never = queue.take(begin + k * SECOND)
        going += [int(i["id"]) for i in some]
        over += [int(i["id"]) for i in never]
    return going, over


def test_the_youngest_entry_gives_way_to_an_exit():
    queue = Outgoing()
    for number in range(ROOM):
        queue.push(intent(number, ENTRY if number in (5, 9) else EXIT), 0)
    queue.push(intent(1000, EXIT), 0)
    assert len(queue) == ROOM
    going, over = leaving(queue)
    assert 9 in over and over.count(9) == 1 and 9 not in going and 1000 in going
    assert sorted(going) == sorted({*range(ROOM), 1000} - {5, 9}) and 5 in over          # too old by then
    assert going == sorted(going)


def test_without_one_to_give_way_the_new_one_is_dropped():
    queue = Outgoing()
    for number in range(ROOM):
        queue.push(intent(number, EXIT), 0)
    for number, what in ((1000, EXIT), (1001, CANCEL), (1002, ENTRY)):
        queue.push(intent(number, what), 0)
    going, over = leaving(queue)
    assert over == [1000, 1001, 1002] and going == list(range(ROOM))


def test_exits_go_before_cancels_before_entries_and_two_places_are_kept_for_exits():
    queue = Outgoing()
    for number, what in enumerate((ENTRY, CANCEL, EXIT) * 4):
        queue.push(intent(number, what), 0)
    going, _ = queue.take(0)
    assert [int(i["id"]) % 3 for i in going] == [2] * 4 + [1] * 4                        # eight of ten: entries wait
    going, _ = queue.take(SECOND)
    assert [int(i["id"]) for i in going] == [0, 3, 6, 9]


def test_an_entry_older_than_a_second_is_for_another_market():
    for after, left in ((SECOND, True), (SECOND + 1, False)):
        queue = Outgoing()
        queue.push(intent(1, ENTRY), 0)
        going, over = queue.take(after)
        assert (len(going), len(over)) == (left, not left)


def test_whoever_gives_way_leaves_the_others_in_their_order():
    """Entries, cancels and exits by turns, then sixty exits: all 42 entries give way, and 18 cancels, the youngest first."""
    queue = Outgoing()
    for number in range(ROOM):
        queue.push(intent(number, (EXIT, CANCEL, ENTRY)[number % 3]), 0)
    for number in range(1000, 1060):
        queue.push(intent(number, EXIT), 0)
    going, over = leaving(queue)
    exits = [*range(0, ROOM, 3), *range(1000, 1060)]
    assert going == exits + list(range(1, ROOM, 3))[:ROOM - len(exits)] and len(over) == 60
