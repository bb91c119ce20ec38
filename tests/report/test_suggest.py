"""A threshold is suggested where planted labels speak for one, and hardly ever where nothing was planted."""
import numpy as np
import pytest

from engine.report import suggest
from engine.report.seen import COLUMNS
from engine.report.suggest import HALF_HOUR_NS, stayed, suggestions
from tests.kit.counts import count

NOW = {"signals.strength": 0.6, "signals.volume": 1.5, "signals.spread_bp": 15.0, "filter": 0.3}


def rows(number: int, seed: int, odds=lambda row: np.full(len(row), 0.6), blocks: int = 65) -> np.ndarray:
    draw = np.random.default_rng(seed)
    out = np.zeros(number, COLUMNS)
    block = draw.integers(0, blocks, number)
    out["day"], out["time"] = block // 13, (block % 13) * HALF_HOUR_NS + draw.integers(0, HALF_HOUR_NS, number)
    out["strength"], out["volume"] = draw.uniform(0.5, 1, number), draw.uniform(1, 5, number)
    out["spread_bp"], out["score"] = draw.uniform(1, 20, number), draw.random(number)
    out["stayed"] = draw.random(number) < odds(out)
    return out


def row_of(found, setting):
    return next(row for row in found["rows"] if row["setting"] == setting)


def test_what_keeps_out_moves_that_do_not_stay_is_suggested():
    """Under a volume of three bars a move stays in 30 of 100 cases, above it in 80."""
    data = rows(4000, 1, lambda row: np.where(row["volume"] < 3, 0.3, 0.8))
    found = suggestions(data, NOW)
    row = row_of(found, "signals.volume")
    assert 1.5 < row["value"] < 3.3 and not row["lets_in"] and row["interval"][1] < 0
    mine = (data["strength"] >= 0.6) & (data["spread_bp"] <= 15)
    changed = mine & (data["volume"] >= 1.5) & (data["volume"] < row["value"])
    kept = mine & (data["volume"] >= row["value"])
    assert (row["changed"], row["kept"], row["cases"]) == (changed.sum(), kept.sum(), mine.sum())
    assert row["difference"] == pytest.approx(data["stayed"][changed].mean() - data["stayed"][kept].mean())
    assert row["interval"][0] < row["difference"] < row["interval"][1]
    assert row_of(found, "filter")["value"] is None and "excludes no change" in row_of(found, "filter")["why"]


def test_what_lets_in_moves_that_stay_more_is_suggested():
    data = rows(4000, 2, lambda row: np.where(row["spread_bp"] > 15, 0.9, 0.4))
    row = row_of(suggestions(data, NOW), "signals.spread_bp")
    assert row["lets_in"] and row["value"] > 15 and row["interval"][0] > 0


def test_the_interval_is_that_of_independent_half_hours():
    """Beside the textbook's normal interval of a difference of shares, at the width that the number of tried values asks for."""
    data = rows(6000, 3, lambda row: np.where(row["volume"] < 3, 0.4, 0.7))
    found = suggestions(data, NOW)
    row = row_of(found, "signals.volume")
    p, q, n, m = row["changed_stayed"], row["kept_stayed"], row["changed"], row["kept"]
    error = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    draw = np.random.default_rng(0).normal(size=2_000_000)
    edge = np.quantile(draw, 1 - 0.05 / found["tried"] / 2)
    assert row["interval"][1] - row["interval"][0] == pytest.approx(2 * edge * error, rel=0.25)


@pytest.mark.long
def test_nothing_is_suggested_where_nothing_was_planted():
    """Of so many weeks at most one in twenty has a suggestion, and a few by chance of this test."""
    weeks = count(20, 60, 300)
    wrong = sum(any(row["value"] is not None for row in suggestions(rows(1500, 100 + week), NOW)["rows"]) for week in range(weeks))
    assert wrong <= weeks * 0.05 + 3 * np.sqrt(weeks * 0.05 * 0.95)


def test_few_cases_say_nothing():
    few = suggestions(rows(150, 4, lambda row: row["volume"] > 3), NOW)
    assert all(row["value"] is None and "are the fewest" in row["why"] for row in few["rows"])
    one = suggestions(rows(4000, 5, lambda row: row["volume"] > 3, blocks=10), NOW)
    assert all("in 10 half hours" in row["why"] for row in one["rows"])
    unlabelled = rows(1000, 6)
    unlabelled["stayed"] = -1
    none = suggestions(unlabelled, NOW)
    assert none["labelled"] == 0 and none["stayed"] is None and none["tried"] == 0


def test_a_threshold_nobody_knows_is_left_out():
    found = suggestions(rows(1000, 7), NOW | {"filter": None})
    assert [row["setting"] for row in found["rows"]] == ["signals.strength", "signals.volume", "signals.spread_bp"]


def test_candidates_that_were_never_scored_do_not_count_against_the_filter():
    data = rows(3000, 8, lambda row: np.where(row["score"] < 0.6, 0.2, 0.9))
    data["score"][:1000] = np.nan
    row = row_of(suggestions(data, NOW), "filter")
    known = (data["strength"] >= 0.6) & (data["volume"] >= 1.5) & (data["spread_bp"] <= 15) & np.isfinite(data["score"])
    assert row["cases"] == known.sum() and 0.3 < row["value"] <= 0.65


def test_a_move_stays_where_a_quarter_of_it_is_left():
    assert [stayed(1, 100, 200, later) for later in (124, 125, 126)] == [0, 1, 1]
    assert [stayed(-1, 200, 100, later) for later in (176, 175, 100)] == [0, 1, 1]
    assert stayed(1, 0, 200, 150) == -1 and stayed(1, 100, 200, 0) == -1 and stayed(1, 200, 100, 150) == -1
    assert "activity and not profit" in suggest.LABEL
