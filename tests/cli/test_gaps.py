"""`gaps` on a journal written by hand: rows of the feed, of names where they are asked for, and counts of all.

The rows are those of `engine/watch/ledger.py`.
"""
import numpy as np
import orjson
import pytest

from _ext.core.records import GAP, GAPS, REC_FEED_NOTE, REC_GAP, REC_INSTRUMENTS
from _ext.trail.journal import Journal
from engine.market.instruments import NO_INST, table
from engine.trail.rundir import RunDir
from tests.trade.conftest import DAY, SPECS


@pytest.fixture
def written(here):
    """Writes gaps of (inst, kind, seconds) into the run's journal."""

    def write(*gaps: tuple[int, str, int]) -> None:
        journal = Journal(RunDir.new(here / "run").journal, 1 << 18, 1 << 20)
        journal.append(REC_INSTRUMENTS, 0, np.frombuffer(table(SPECS, DAY).tobytes(), np.uint8))
        for k, (inst, kind, seconds) in enumerate(gaps):
            row = np.zeros(1, GAP)
            row["inst"], row["kind"], row["begin"], row["end"] = inst, GAPS.index(kind), 10**9, (1 + seconds) * 10**9
            journal.append(REC_GAP if k % 2 else REC_FEED_NOTE, 1, np.frombuffer(row.tobytes(), np.uint8))
        journal.close()

    return write


def test_the_feeds_rows_alone_and_the_names_where_they_are_asked_for(said, written):
    written((NO_INST, "stall", 4), (1, "silence", 90), (1, "silence", 30), (77, "halted", 1))
    assert said("gaps", "--run-dir", "run", "--json") == (0, "")
    document = orjson.loads(said.out)
    assert document["counts"] == {"stall": 1, "silence": 2, "halted": 1} and document["problem"] is None
    assert [(row["name"], row["seconds"]) for row in document["rows"]] == [("feed", 4.0)]
    assert said("gaps", "--run-dir", "run", "--names", "--json") == (0, "")
    assert [(row["name"], row["kind"], row["seconds"]) for row in orjson.loads(said.out)["rows"]] == [
        ("feed", "stall", 4.0), (SPECS[1].symbol, "silence", 90.0), (SPECS[1].symbol, "silence", 30.0), ("77", "halted", 1.0)]
    assert said("gaps", "--run-dir", "run") == (0, "")
    assert said.out.splitlines()[-1] == "1 halted, 2 silence, 1 stall"


def test_a_day_without_gaps_says_so(said, written):
    written()
    assert said("gaps", "--run-dir", "run") == (0, "") and said.out == "nothing was missing from the feed\n"
