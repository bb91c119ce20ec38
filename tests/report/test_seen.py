"""Where a candidate's way ended and how near it was, of records written by hand."""
import numpy as np
import pytest

from _ext.core.reasons import Reason
from _ext.core.records import (
    CANDIDATE,
    FILL,
    GATE,
    REC_CANDIDATE,
    REC_FILL,
    REC_GATE,
    REC_VERDICT,
    ROLE_ENTRY,
    ROLE_EXIT,
)
from engine.report import seen
from engine.report.seen import Seen, candidates_of, miss_of, of_counts, summary


def candidate(number: int, **fields) -> np.ndarray:
    row = np.zeros(1, CANDIDATE)
    row["id"], row["move"], row["side"], row["level"], row["score"], row["score_next"] = number, 1, 1, 1, np.nan, np.nan
    row["bid"], row["ask"], row["reason"] = 9_990, 10_010, Reason.PENDING
    for name, value in fields.items():
        row[name] = value
    return row


def gate(number: int, reason: int, measured: float = 0.0, limit: float = 0.0, is_exit: int = 0) -> bytes:
    row = np.zeros(1, GATE)
    row["candidate"], row["reason"], row["measured"], row["limit"], row["is_exit"] = number, reason, measured, limit, is_exit
    return row.tobytes()


def fill(number: int, role: int) -> bytes:
    row = np.zeros(1, FILL)
    row["candidate"], row["role"], row["quantity"] = number, role, 1
    return row.tobytes()


def kept(*parts):
    return [(kind, at, payload if isinstance(payload, bytes) else payload.tobytes()) for at, (kind, payload) in enumerate(parts)]


STORY = kept(
    (REC_CANDIDATE, candidate(1, level=0, reason=Reason.WEAK)), (REC_CANDIDATE, candidate(2)), (REC_CANDIDATE, candidate(3)),
    (REC_CANDIDATE, candidate(4)), (REC_CANDIDATE, candidate(5)), (REC_CANDIDATE, candidate(6)), (REC_CANDIDATE, candidate(7)),
    (REC_VERDICT, candidate(2, reason=Reason.LOW_VOLUME, measured=1.4, limit=1.5)),
    (REC_VERDICT, candidate(3, reason=0, score=0.4, score_next=0.8)), (REC_GATE, gate(3, Reason.MAX_POSITIONS, 3, 3)),
    (REC_VERDICT, candidate(4, reason=0, score=0.7)), (REC_GATE, gate(4, 0)), (REC_GATE, gate(4, 0, is_exit=1)),
    (REC_FILL, fill(4, ROLE_ENTRY)), (REC_FILL, fill(4, ROLE_EXIT)),
    (REC_VERDICT, candidate(5, reason=0)), (REC_GATE, gate(5, 0)), (REC_FILL, fill(99, ROLE_ENTRY)),
    (REC_VERDICT, candidate(7, reason=Reason.LOW_VOLUME, measured=0.3, limit=1.5)))


def test_each_way_ends_where_the_records_say():
    rows = candidates_of(STORY, 3)
    assert rows["id"].tolist() == [1, 2, 3, 4, 5, 6, 7] and set(rows["day"].tolist()) == {3}
    assert rows["stage"].tolist() == [seen.WATCHED, seen.RULE, seen.GATE, seen.ENTERED, seen.UNFILLED, seen.UNDECIDED, seen.RULE]
    assert rows["score"][2] == pytest.approx(0.8) and rows["score"][3] == pytest.approx(0.7) and np.isnan(rows["score"][0])
    assert rows["spread_bp"][0] == pytest.approx(20.0) and rows["quote"][0] == 10_010
    assert (rows["reason"][2], rows["measured"][2], rows["limit"][2]) == (Reason.MAX_POSITIONS, 3, 3)
    assert set(rows["stayed"].tolist()) == {-1}


def test_a_sale_looks_at_the_bid_and_a_book_of_one_side_has_no_spread():
    rows = candidates_of(kept((REC_CANDIDATE, candidate(1, side=-1)), (REC_CANDIDATE, candidate(2, bid=0))), 0)
    assert rows["quote"].tolist() == [9_990, 10_010] and np.isnan(rows["spread_bp"][1])


def test_how_near_a_refusal_was():
    out = Seen()
    out.add(candidates_of(STORY, 0), ["A"], ["spike"])
    said = summary(out)
    assert said["candidates"] == 7 and said["refused"] == 3 and said["taken"] == 1
    assert sum(said["stages"].values()) == 7 and said["stages"]["watched"] == 1
    volume, positions = said["reasons"]
    assert (volume["by"], volume["reason"], volume["count"], volume["near"]) == ("rule", "low volume", 2, 1)
    assert volume["least_miss"] == pytest.approx(0.1 / 1.5) and volume["median_miss"] == pytest.approx((0.1 / 1.5 + 0.8) / 2)
    assert (positions["by"], positions["count"], positions["near"], positions["least_miss"]) == ("gate", 1, 1, 0.0)


def test_a_reason_without_numbers_says_so():
    rows = candidates_of(kept((REC_CANDIDATE, candidate(1)), (REC_VERDICT, candidate(1, reason=Reason.AGAINST_TREND))), 0)
    assert np.isnan(miss_of(rows)[0])
    out = Seen()
    out.add(rows, [], [])
    assert summary(out)["reasons"][0]["near"] is None and out.symbols == ["0"]     # a damaged journal has no symbols


def test_a_day_without_candidates_is_one():
    assert len(candidates_of([], 0)) == 0 and summary(Seen())["candidates"] == 0
    assert len(candidates_of(kept((REC_GATE, gate(1, 0))), 0)) == 0


def test_counts_alone_are_no_more_than_counts():
    said = of_counts({"candidates": 9, "rules": {"noise": 3, "pass": 4}, "gate": {"too many positions": 5}})
    assert [(row["reason"], row["count"]) for row in said["reasons"]] == [("too many positions", 5), ("noise", 3)]
    assert said["stages"] is None and said["refused"] == 8
