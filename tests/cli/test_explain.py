"""`explain` on a journal written by hand: the chain of one candidate alone, by its own number or by that of its order."""
import numpy as np
import orjson
import pytest

from _ext.core.records import (
    CANDIDATE,
    GATE,
    INTENT,
    REC_CANDIDATE,
    REC_FRAME,
    REC_GATE,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_REPLY,
    REC_VERDICT,
    REPLY,
)
from _ext.trail.journal import Journal
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import table
from engine.trail.rundir import RunDir
from tests.trade.conftest import DAY, SPECS


def row_of(dtype, **fields) -> np.ndarray:
    row = np.zeros(1, dtype)
    for name, value in fields.items():
        row[name] = value
    return row


@pytest.fixture
def run(here):
    """Candidate 7 of the second name passed and was entered by order 3; candidate 8 and order 9 are others."""
    run = RunDir.new(here / "run")
    journal = Journal(run.journal, 1 << 18, 1 << 20)
    key = SPECS[1].key.encode()
    tick = row_of(TICK_DTYPE, key=key, key_len=len(key), mode=1, has=1, ltp=100_150, ltt=1_788_000_000_000)
    seen = {"inst": 1, "price": 100_150, "strength": 0.75, "move": 1, "level": 1, "score": 0.5, "score_next": np.nan}
    for kind, row in (
            (REC_INSTRUMENTS, table(SPECS, DAY)), (REC_FRAME, np.frombuffer(encode(tick, 1_788_000_000_000), np.uint8)),
            (REC_CANDIDATE, row_of(CANDIDATE, id=7, **seen)),
            (REC_VERDICT, row_of(CANDIDATE, id=7, measured=0.5, limit=0.25, **seen)),
            (REC_GATE, row_of(GATE, candidate=7, inst=1, quantity=49, price=100_250)),
            (REC_INTENT, row_of(INTENT, id=3, candidate=7, inst=1, kind=1, role=1, side=1, order_type=1, quantity=49,
                                  price=100_250)),
            (REC_REPLY, row_of(REPLY, intent=3, kind=1, outcome=1, latency=12_000_000, order_id=b"B3")),
            (REC_REPLY, row_of(REPLY, intent=9, kind=1, outcome=2, latency=5_000_000)),
            (REC_CANDIDATE, row_of(CANDIDATE, id=8, **seen))):
        assert journal.append(kind, 1_788_000_000_000_000_000, np.frombuffer(row.tobytes(), np.uint8))
    journal.close()
    return run


@pytest.mark.parametrize("arguments", [("7",), ("3", "--order")])
def test_the_chain_of_a_candidate_and_nobody_elses(said, run, arguments):
    assert said("explain", *arguments, "--run-dir", "run", "--json") == (0, "")
    document = orjson.loads(said.out)
    assert (document["candidate"], document["symbol"], document["verdict"]) == (7, SPECS[1].symbol, "pass")
    assert (document["measured"], document["limit"], document["problem"]) == (0.5, 0.25, None)
    assert document["tick"]["sequence"] == 2 and document["tick"]["ltp"] == 100_150
    gate, order, answer = (" ".join(line.split()) for line in document["chain"])
    assert "gate: pass, 49 at 1002.50" in gate and "place entry BUY 49 LIMIT 1002.50" in order
    assert answer.endswith("order 3: accepted in 12 ms, the broker's id B3")
    assert said("explain", *arguments, "--run-dir", "run") == (0, "")
    assert said.out.startswith(f"candidate 7: {SPECS[1].symbol} at ") and "verdict pass (0.5 against 0.25)" in said.out


@pytest.mark.parametrize(("arguments", "words"), [(("9",), "no candidate 9"), (("7", "--order"), "no order 7")])
def test_what_is_not_there_is_said(said, run, arguments, words):
    code, text = said("explain", *arguments, "--run-dir", "run")
    assert code == 1 and words in text
