"""The filter as it is learned: the file answers as scikit-learn does, the same command gives the same file, nothing looks ahead."""
import hashlib

import numpy as np
import pytest

from _ext.signals.features import FEATURES, hash_of
from _ext.signals.scorer import Scorer
from engine.lab import dataset as work
from engine.lab import evaluate, graph, members, outcomes, report, series, train
from engine.lab.dataset import generated, generated_day, of_ticks
from engine.lab.inject import ARTEFACTS, HELD_OUT
from tests.kit.counts import count

PLANTED = ("bad_print", "sweep", "wide", "spike", "fast")


@pytest.fixture(scope="module")
def data():
    return generated(11, 4, 6, PLANTED, minutes=110, every_s=240.0, spikes=2.0)


@pytest.fixture(scope="module")
def done(data):
    return train.train(data, 3, {"source": "test"})


def scored(tmp_path, hybrid, columns, rows):
    data = graph.build(hybrid, list(columns).index("waited"), len(columns), {
        "features": list(columns), "features_hash": hash_of(columns), "threshold": "0.3"})
    path = tmp_path / f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
    path.write_bytes(data)
    scorer = Scorer(path)
    full = np.full((len(rows.x), len(FEATURES)), np.nan, np.float32)
    full[:, [FEATURES.index(n) for n in columns]] = rows.x
    return np.array([scorer.score_row(row) for row in full])


@pytest.mark.parametrize("weights", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0.4, 0.2, 0.2, 0.2)])
def test_the_file_answers_as_scikit_learn_does_on_every_row(tmp_path, data, done, weights):
    columns = done.card["features"]
    rows = train.rows_of(data, [FEATURES.index(n) for n in columns])
    lines = np.array([members.platt(m, rows.y, rows.weight) for m in done.hybrid.members.margins(rows.x).T])
    hybrid = members.Hybrid(done.hybrid.members, np.array(weights, float), lines, 1.3, np.array([-0.4, 0.6]))
    want = hybrid.probability(rows.x, rows.waited)
    assert np.abs(scored(tmp_path, hybrid, columns, rows) - want).max() < 1e-5
    assert want.min() < 0.4 < want.max()


def test_a_forest_is_one_node_and_members_without_a_vote_are_left_out(done):
    import onnx

    columns = done.card["features"]
    # one node more: the shift of the phase
    for weights, forests, sorted_ in (((1.0, 0, 0, 0), 1, 0), ((0.5, 0.5, 0, 0), 2, 0), ((0.25,) * 4, 2, 1)):
        hybrid = members.Hybrid(done.hybrid.members, np.array(weights), done.hybrid.platt)
        model = onnx.load_from_string(graph.build(hybrid, columns.index("waited"), len(columns), {}))
        kinds = [node.op_type for node in model.graph.node]
        assert kinds.count("TreeEnsembleRegressor") == forests + 1 and kinds.count("TopK") == sorted_ and len(kinds) < 40


def test_the_same_rows_give_the_same_file(done):
    again = generated(11, 4, 6, PLANTED, minutes=110, every_s=240.0, spikes=2.0)
    made = train.train(again, 3, {"source": "test"})
    assert made.card["sha256"] == done.card["sha256"] and made.file == done.file


def test_folds_leave_a_day_out_on_either_side():
    day = np.repeat(np.arange(100, 112), 5)
    folds = train.folds_of(day)
    assert len(folds) == train.FOLDS
    assert sorted(np.concatenate([day[test] for _, test in folds]).tolist()) == day.tolist()
    for learn, test in folds:
        gap = np.abs(day[learn][:, None] - day[test][None, :]).min()
        assert gap > train.EMBARGO and not (learn & test).any()


def test_features_know_nothing_of_the_future():
    """The day is played with all that comes after a moment shuffled and moved: candidates before it are the same to the bit."""
    day, _ = generated_day(5, 1, 4, spikes=3.0, minutes=80)
    cut = int(day.received[0]) + 50 * 60_000
    rows, late = day.rows.copy(), day.received >= cut
    rng = np.random.default_rng(1)
    for field in ("ltp", "ltq"):
        rows[field][late] = rng.permutation(rows[field][late])
    rows["levels"]["bidQ"][late] = rows["levels"]["bidQ"][late] * 7
    other = type(day)(rows, day.received, day.specs, day.bars)
    ours, theirs = (of_ticks(d, "generator") for d in (day, other))
    before = [d.id < cut - 60_000 for d in (ours, theirs)]
    assert before[0].sum() >= 5
    np.testing.assert_array_equal(ours.first[before[0]], theirs.first[before[1]])
    np.testing.assert_array_equal(ours.second[before[0]], theirs.second[before[1]])


def test_a_candidate_that_is_there_anyhow_is_no_artefact(data):
    """A message doubled, late or lost makes no candidate: what falls together with one is natural."""
    harmless = generated(11, 1, 6, ("duplicate", "step_back", "outage", "backlog"), minutes=110, every_s=120.0, spikes=2.0)
    assert len(harmless) >= 8 and not np.isin(harmless.kind, ARTEFACTS).sum() > 1
    assert np.isin(data.kind, ("bad_print", "sweep", "wide")).sum() >= 10


def test_guards_rules_and_filter_are_counted_apart(data):
    everything = evaluate.artefacts(data, lambda rows: np.ones(len(rows)), 0.5)
    nothing = evaluate.artefacts(data, lambda rows: np.zeros(len(rows)), 0.5)
    assert nothing["at_tick_filter"]["removed_all"] == 1.0 and nothing["at_tick_filter"]["kept_all"] == 0.0
    assert everything["at_tick_filter"]["kept_all"] > 0.9 and everything["at_tick_filter"]["removed_all"] < 0.3
    assert 0.3 < everything["at_tick_rules"]["removed_all"] <= 1.0
    low, high = everything["at_tick_rules"]["removed_interval"]
    assert low <= everything["at_tick_rules"]["removed_all"] <= high


def test_kinds_of_the_test_are_never_learned():
    assert not set(train.PLANTED) & set(HELD_OUT) and set(HELD_OUT) <= set(evaluate.KINDS)


@pytest.mark.long
def test_the_spikes_the_detector_owes_are_found():
    day, _ = generated_day(21, 2, count(12, 36), spikes=0.0)
    table = evaluate.recall(day, "generator", 4, sizes=(10.0,))
    found = sum(row["found_at_0.5"] for row in table)
    planted = sum(row["planted"] for row in table)
    assert planted >= count(50, 150) and found / planted >= 0.95


def test_outcomes_by_hand():
    a = np.ones(60)
    flat = work.Minutes(np.full(60, 0.001), np.full(60, -0.001), np.zeros(60))
    assert work.outcome(flat, 30, 1, 0.0, a)[0] == 0.0 and np.isnan(work.outcome(flat, 30, 1, 0.0, a)[1])
    high = flat.high.copy()
    high[33:36] = 0.02
    up = work.Minutes(high, flat.low, flat.close)
    assert work.outcome(up, 30, 1, 0.0, a)[:2] == (1.0, 1.0) and work.outcome(up, 30, -1, 0.0, a)[1] == 0.0
    both = work.Minutes(high, np.where(high > 0.01, -0.02, flat.low), flat.close)
    assert work.outcome(both, 30, 1, 0.0, a)[1] == 0.0            # target and stop in one bar: the stop


def test_a_dataset_comes_back_as_it_was_written(tmp_path, data):
    work.write(data, tmp_path / "d.parquet")
    back = work.read(tmp_path / "d.parquet")
    np.testing.assert_array_equal(back.first, data.first)
    assert back.kind.tolist() == data.kind.tolist() and (back.id == data.id).all()


def test_the_study_finds_what_is_there_and_nothing_that_is_not():
    """Activity that hangs on one feature is found, a direction that hangs on nothing is not; half of the days are never learned."""
    rng, n = np.random.default_rng(1), 3000
    first = rng.normal(0, 1, (n, len(FEATURES))).astype(np.float32)
    zeros = np.zeros(n, int)
    data = work.Dataset(first, first, np.zeros((n, work.BEFORE, 2)), np.full(n, "natural"), zeros, np.full(n, "A"), np.full(n, ""),
                        np.sort(rng.integers(100, 120, n)), zeros, np.zeros(n),
                        (first[:, 4] + rng.normal(0, 1, n) > 0).astype(float),
                        rng.integers(0, 2, n).astype(float), rng.normal(0, 20, n), first[:, 0].astype(float), zeros + 1, zeros)
    found = outcomes.study(data, "bars")
    assert found["activity"]["filter"]["auc"] > 0.7 and abs(found["activity"]["strength"]["auc"] - 0.5) < 0.06
    low, high = found["direction: target or stop first"]["filter"]["auc_interval"]
    assert low < 0.5 < high and found["money"]["kept"]["interval"][0] < -outcomes.COST_BP + 3
    assert "| activity |" in "\n".join(outcomes.lines(found))


def test_bars_become_candidates_of_their_close(tmp_path):
    import datetime as dt

    import polars as pl

    ist = dt.timezone(dt.timedelta(hours=5.5))
    rng = np.random.default_rng(2)
    times = [dt.datetime(2026, 7, 1, 9, 15, tzinfo=ist) + dt.timedelta(minutes=m) for m in range(200)]
    for name in ("AAA", "BBB"):
        close = 500 * np.exp(np.cumsum(rng.normal(0, 6e-4, 200)))
        volume = rng.integers(900, 1100, 200)
        if name == "AAA":
            close[120:] *= 1.01
            volume[120] = 9000
        opened = np.r_[500.0, close[:-1]]
        pl.DataFrame({"ts": times, "open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close),
                      "close": close, "volume": volume}).write_parquet(tmp_path / f"{name}.parquet")
    found = series.of_bars(*series.bars_of_folder(tmp_path))
    hit = (found.name == "AAA") & (found.minute == 120)
    assert hit.sum() == 1 and found.direction[hit][0] == 1 and not np.isnan(found.active[hit][0])
    assert np.isnan(found.first[:, FEATURES.index("spread_bp")]).all()


def test_the_report_is_drawn(tmp_path, data, done):
    day, _ = generated_day(31, 3, 4, spikes=2.0, minutes=100)
    scores = evaluate.of_scorer(Scorer(train.write(tmp_path, done.file, done.card)))
    examples = of_ticks(day, "generator", 1, PLANTED, 240.0, 0.5)
    card = done.card | {"unseen": evaluate.judged(data, scores, 0.3), "recall": [
        {"size": 10.0, "volume": 6.0, "ramp_s": ramp, "planted": 12, "found_at_0.5": 11, "found_at_0.6": 9}
        for ramp in (2.0, 15.0)]}
    html = report.page(card, done.rows, done.scores, data, scores, day, examples)
    for title in ("ROC", "What its score means", "Confusion", "Clusters", "Candidates to look at", "spread_ratio"):
        assert title in html
    report.write(tmp_path, card, html)
    text = (tmp_path / "card.md").read_text()
    assert "does not predict direction" in text and card["sha256"][:16] in text
    assert "| 10 s1m x6 | 11 of 12 · 11 of 12 (.99 · 1.00" in text


def test_learning_from_a_file_says_so(tmp_path, data):
    """What `train dataset` wrote is learned from as it is; the card does not call it generated."""
    from engine.cli.train import _train

    work.write(data, tmp_path / "own.parquet")
    card = _train(tmp_path, 3, 2, 4, 60, tmp_path / "own.parquet", None, False, True)
    assert card["about"]["source"] == "own.parquet" and sum(card["rows"].values()) == len(train.rows_of(data, [
        FEATURES.index(n) for n in card["features"]]).y)
    text = (tmp_path / "card.md").read_text()
    assert "--learn-from own.parquet" in text and "None of its rows" not in text


def test_the_path_before_ends_with_the_minute_before():
    """Moves and ranges in units of their mean range, by hand; a minute without a trade says nothing."""
    close = np.log(np.array([100.0, 101.0, 100.0, 102.0, 103.0]))
    bars = work.Minutes(close + 0.001, close - 0.001, close)
    path = work.path_before(bars, 4, np.ones(5))
    ranges = np.abs(np.diff(close))[:3] + 0.001
    np.testing.assert_allclose(path[-3:, 1], ranges / ranges.mean(), rtol=1e-6)
    np.testing.assert_allclose(path[-3:, 0], np.diff(close)[:3] / ranges.mean(), rtol=1e-6)
    assert path.shape == (work.BEFORE, 2) and not path[:-3].any() and not work.path_before(bars, 0, np.ones(5)).any()
    bars.close[2] = np.nan
    assert not work.path_before(bars, 4, np.ones(5))[-2:].any()


# ---- sorts of instruments ------------------------------------------------------------------------------------------------------
def ticks(per_minute: float, delta: float = 0.0):
    """Ten minutes of a name that trades so often."""
    rows = np.zeros(601, evaluate.recorded.TICK_DTYPE)
    rows["ltt"] = 1_000 * np.arange(601)
    rows["vtt"] = np.floor(np.arange(601) * per_minute / 60).astype(int)
    rows["delta"] = delta
    return rows


@pytest.mark.parametrize(("kind", "rows", "want"), [
    ("equity", ticks(30.0), "liquid stock"), ("equity", ticks(29.0), "thin stock"), ("equity", ticks(1.0)[:0], "thin stock"),
    ("future", ticks(1.0), "future"), ("option", ticks(40.0, -0.3), "option near"), ("option", ticks(40.0, 0.29), "option far"),
    ("option", ticks(40.0), "option far"), ("index", ticks(0.0), "")])
def test_a_sort_is_known_by_the_ticks(kind, rows, want):
    assert work.sort_of(work.Instrument("NSE_EQ|A", "A", kind), rows) == want


def judged(genuine: int, kept: int, artefacts: int, removed: int, names: int = 3, sort: str = "thin stock"):
    """`by_sort` of so many planted spikes and bad prints of which so many pass and are removed, `names` instruments in turn."""
    n = genuine + artefacts
    x, zeros = np.zeros((n, len(FEATURES)), np.float32), np.zeros(n, int)
    name = np.array([f"N{k % names}" for k in range(n)])
    data = work.Dataset(x, x, zeros, np.array(["spike"] * genuine + ["bad_print"] * artefacts), zeros, name, np.full(n, sort),
                        np.arange(n) % 5, zeros, *(zeros for _ in range(7)))
    passed = np.r_[np.arange(genuine) < kept, np.arange(artefacts) >= removed].astype(bool)
    return evaluate.by_sort(data, passed)


@pytest.mark.parametrize(("case", "is_measured", "holds"), [
    ((200, 190, 200, 186), True, True), ((200, 189, 200, 186), True, False), ((200, 190, 200, 185), True, False),
    ((199, 199, 200, 200), False, False), ((200, 200, 199, 199), False, False), ((200, 200, 200, 200, 2), False, False)])
def test_a_sort_is_measured_from_two_hundred_of_each_and_three_instruments(case, is_measured, holds):
    found = judged(*case)
    assert set(found) == {"stock", "thin stock"}
    for row in found.values():
        assert (row["is_measured"], row["holds"]) == (is_measured, holds)
        assert row["kept"] == case[1] / case[0] and row["kept_interval"][0] <= row["kept"] <= row["kept_interval"][1]


def test_natural_candidates_and_other_sorts_are_not_counted():
    assert judged(200, 200, 0, 0)["stock"]["removed"] is None and set(judged(3, 3, 3, 3, sort="future")) == {"future"}


def test_what_trades_by_default_is_what_the_shipped_card_has_measured():
    """Both sorts of stock hold somewhere, and nowhere that they are measured do they not; nothing else is traded."""
    import json
    from pathlib import Path

    from engine.config import Config, Signals

    folder = Path(Config().models)
    card = json.loads((folder / json.loads((folder / "active.json").read_text())["file"]).with_suffix(".json").read_text())
    parts = [card["in_turn"], card["unseen"]["sorts"], card["contracts"], card["recorded"]["sorts"]]
    assert Signals().kinds == ["equity"]
    for sort in ("liquid stock", "thin stock"):
        rows = [part[sort] for part in parts if sort in part and part[sort]["is_measured"]]
        assert rows and all(row["holds"] and row["kept"] >= 0.95 and row["removed"] >= 0.93 for row in rows)


def test_decided_at_once_is_what_the_pipeline_decides_at_once():
    rows = np.zeros((5, len(FEATURES)), np.float32)
    for name, values in (("mid_over_ltp", (0.25, 0.24, 0.5, 0.5, np.nan)), ("mid_move_s1m", (1, 1, -1, 1, 1)),
                         ("outside_book_s1m", (1.0, 0.0, 0.0, 1.01, 0.0))):
        rows[:, FEATURES.index(name)] = values
    assert evaluate.at_once(rows).tolist() == [True, False, False, False, False]


def test_instruments_are_left_out_in_turn(data, done, monkeypatch):
    """Whoever is asked about an instrument has learned nothing of it."""
    seen = []

    class Watched(members.Members):
        @classmethod
        def fit(cls, x, y, weight, seed):
            seen.append(len(y))
            return done.hybrid.members

    monkeypatch.setattr(train, "Members", Watched)
    columns = [FEATURES.index(n) for n in done.card["features"]]
    rows = train.rows_of(data, columns)
    found = train.in_turn(data, done, 3)
    assert len(seen) == min(train.FOLDS, len(set(data.name))) and sum(len(rows.y) - n for n in seen) == len(rows.y)
    asked = rows.of[rows.waited == 1]
    np.testing.assert_allclose(found[asked], done.hybrid.probability(rows.x[rows.waited == 1], rows.waited[rows.waited == 1]))
    assert np.isnan(np.delete(found, asked)).all()


@pytest.mark.parametrize(("seeds", "words"), [(1, "10 of each are the least"), (0, "no candidate in any of the 0 days")])
def test_what_cannot_be_judged_is_refused(monkeypatch, seeds, words):
    from pathlib import Path

    day, _ = generated_day(31, 3, 2, minutes=60)
    monkeypatch.setattr(evaluate.recorded, "load", lambda folder: day)
    with pytest.raises(evaluate.DataError, match=words):
        evaluate.on_recording(Path("short"), lambda rows: np.ones(len(rows)), 0.3, seeds=seeds)
