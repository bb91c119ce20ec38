"""The operator ring: taken once, in order, by who asked; and what a person asks is journaled before it acts."""
import threading

import numpy as np
import pytest

from _ext.core.records import (
    DO_ACKNOWLEDGE,
    DO_FLATTEN,
    DO_PAUSE,
    DO_RUN,
    OP_KILL,
    OP_PAUSE,
    OP_REDUCE,
    OP_RUN,
    OPERATION,
    REC_OPERATION,
)
from _ext.trail.status import StatusBlock
from engine.run.operations import Operations


@pytest.fixture
def block(tmp_path):
    return StatusBlock(tmp_path / "status", create=True)


def taken(block) -> list[tuple[int, int, str, str]]:
    rows = [np.frombuffer(entry, OPERATION)[0] for entry in block.take()]
    return [(int(r["number"]), int(r["kind"]), r["argument"].decode(), r["who"].decode()) for r in rows]


def test_what_is_asked_is_taken_once_and_in_order(block, tmp_path):
    other = StatusBlock(tmp_path / "status")
    assert other.ask(DO_PAUSE, b"", b"page: asha") == 1
    assert other.ask(DO_ACKNOWLEDGE, b"store lag", b"chat: asha") == 2
    assert block.taken == 0
    assert taken(block) == [(1, DO_PAUSE, "", "page: asha"), (2, DO_ACKNOWLEDGE, "store lag", "chat: asha")]
    assert taken(block) == [] and other.taken == 2
    for number in range(3, 60):                                # the ring goes round
        assert other.ask(DO_RUN, str(number).encode(), b"x") == number
        assert taken(block) == [(number, DO_RUN, str(number), "x")]


def test_a_ring_that_nobody_takes_from_is_full_at_sixteen(block):
    for number in range(1, 17):
        assert block.ask(DO_PAUSE, b"", b"") == number
    with pytest.raises(BlockingIOError, match="takes no operations"):
        block.ask(DO_PAUSE, b"", b"")
    assert [entry[0] for entry in taken(block)] == list(range(1, 17))


def test_another_engine_goes_on_where_the_one_before_ended(block, tmp_path):
    block.ask(DO_PAUSE, b"", b"a")
    taken(block)
    block.ask(DO_RUN, b"", b"b")
    again = StatusBlock(tmp_path / "status", create=True)
    assert taken(again) == [(2, DO_RUN, "", "b")]


def test_longer_words_are_cut_and_end(block):
    block.ask(DO_PAUSE, b"x" * 500, b"y" * 500)
    assert taken(block) == [(1, DO_PAUSE, "x" * 71, "y" * 23)]


def test_many_that_ask_at_once_lose_nothing(block, tmp_path):
    def ask(name: bytes) -> None:
        mine = StatusBlock(tmp_path / "status")
        for _ in range(20):
            while True:
                try:
                    mine.ask(DO_PAUSE, b"", name)
                    break
                except BlockingIOError:
                    pass

    threads = [threading.Thread(target=ask, args=(bytes([97 + k]),)) for k in range(4)]
    for thread in threads:
        thread.start()
    found = []
    while len(found) < 80:
        found += taken(block)
    for thread in threads:
        thread.join()
    assert [entry[0] for entry in found] == list(range(1, 81))
    assert {name: sum(entry[3] == name for entry in found) for name in "abcd"} == dict.fromkeys("abcd", 20)


def test_an_operation_is_journaled_with_who_before_it_acts(block):
    record: list[tuple[int, str, int]] = []
    notes: list[str] = []
    operations = Operations(block, lambda kind, payload: record.append(
        (kind, np.frombuffer(payload, OPERATION)[0]["who"].decode(), block.operator)), notes.append)
    for kind, state in ((DO_PAUSE, OP_PAUSE), (DO_FLATTEN, OP_KILL), (DO_RUN, OP_RUN)):
        before = block.operator
        block.ask(kind, b"", b"page: asha")
        operations.take()
        assert record[-1] == (REC_OPERATION, "page: asha", before) and block.operator == state
    block.ask(DO_ACKNOWLEDGE, b"feed", b"page: asha")
    operations.take()
    assert block.operator == OP_RUN and notes[-1] == "page: asha asks: acknowledge feed"


def test_what_is_no_operation_is_told_and_left_out(block):
    notes: list[str] = []
    operations = Operations(block, lambda *_: pytest.fail("journaled"), notes.append)
    for number in (2, 99, 1 << 20, 1 << 30):
        block.ask(number, b"", b"\x1b[31mwho")
        operations.take()
    assert len(notes) == 4 and all("which there is not" in note and "\x1b" not in note for note in notes)
    assert block.operator == OP_RUN


def test_only_resume_loosens(block):
    operations = Operations(block, lambda *_: None, lambda _: None)
    for state, asked, then in ((OP_KILL, DO_PAUSE, OP_KILL), (OP_REDUCE, DO_PAUSE, OP_REDUCE), (OP_PAUSE, DO_FLATTEN, OP_KILL),
                               (OP_KILL, DO_RUN, OP_RUN), (OP_RUN, DO_PAUSE, OP_PAUSE)):
        block.operator = state
        block.ask(asked, b"", b"x")
        operations.take()
        assert block.operator == then, (state, asked)


def test_what_was_asked_of_an_engine_before_is_done_only_where_it_tightens(block):
    """A hung engine did not take `resume`; the one after its kill must not."""
    record: list[int] = []
    notes: list[str] = []
    operations = Operations(block, lambda _, payload: record.append(int(np.frombuffer(payload, OPERATION)[0]["kind"])),
                            notes.append)
    block.operator = OP_KILL
    for kind in (DO_RUN, DO_PAUSE, DO_ACKNOWLEDGE):
        block.ask(kind, b"", b"x")
    operations.left_over()
    assert block.operator == OP_KILL and record == [] and len(notes) == 3
    block.operator = OP_RUN
    block.ask(DO_PAUSE, b"", b"x")
    operations.left_over()
    assert block.operator == OP_PAUSE and record == [DO_PAUSE]
    operations.take()
    assert record == [DO_PAUSE]


def test_what_is_taken_back_is_not_done(block):
    operations = Operations(block, lambda *_: pytest.fail("journaled"), lambda _: pytest.fail("told"))
    number = block.ask(DO_FLATTEN, b"", b"x")
    assert block.withdraw(number)
    operations.take()
    assert block.operator == OP_RUN and block.taken == number and not block.withdraw(number) and not block.withdraw(number + 5)
