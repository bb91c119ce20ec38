"""docs/queries.sql: every query runs as a reader on a stored run and says something."""
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.signals import models
from engine.sim.contracts import with_contracts
from engine.sim.market import SyntheticMarket
from engine.store.client import client_of, number_of
from engine.store.process import main as store
from engine.trail.rundir import RunDir
from engine.watch import drift
from engine.watch.explain import against_training, explain
from tests.backtest.test_session import LOOSE
from tests.conftest import ROOT

EMPTY_IS_FINE = {"what the noise filter refused, and how sure it was", "how long positions lasted and why they ended",
                 "what was missing from the feed, by kind", "what changed in the universe",
                 "where a shadow would have decided otherwise", "groups of trades that earned or lost beyond doubt"}


def queries() -> dict[str, str]:
    parts = (ROOT / "docs" / "queries.sql").read_text().split("-- name: ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2].strip().rstrip(";") for part in parts}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """(run, client of its store)."""
    run = RunDir(tmp_path_factory.mktemp("run"))
    market = SyntheticMarket(with_contracts(shipped()[:20], dt.date(2026, 9, 1), 2), dt.date(2026, 9, 1), 3)
    market.minutes = 60
    run_virtual(Config(), market, "test", run, 3, None)
    store(Config(), run, once=True, drain_only=False, confined=False)
    with client_of(Config(), run) as c, pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.path)
        for latency in (0, 9000):                          # the process that serves the client takes their results too
            done = backtest(BacktestOptions(data=run.path, run_dir=run.path / f"b{latency}", journal=False, store=True,
                                            latency_ms=latency), Config(**LOOSE))
            assert done["stored"], done["not_stored"]
        yield run, c


@pytest.fixture(scope="module")
def client(stored):
    return stored[1]


def test_there_is_a_dozen():
    assert len(queries()) >= 12


@pytest.mark.parametrize("name", queries())
def test_query(stored, client, name):
    result = client.query(queries()[name], parameters={"run": number_of(stored[0])})
    assert result.result_rows or name in EMPTY_IS_FINE       # chDB names no columns where there are no rows


def test_why_a_position_ended_is_told_once_and_its_money_too(stored, client):
    """Each candidate a row; what it realised is the sum of its trades, however many orders it took."""
    result = client.query(queries()["how long positions lasted and why they ended"], parameters={"run": number_of(stored[0])})
    plain = dict(client.query("SELECT candidate, sum(realised) / 100 FROM trades GROUP BY candidate "
                              "HAVING countIf(role = 'exit') > 0").result_rows)
    assert {row[0]: row[4] for row in result.result_rows} == plain and len(result.result_rows) == len(plain)
    assert {row[3] for row in result.result_rows} <= {"stop", "target", "time", "square-off", "soft stop", "fade", "feed lost",
                                                      "operator", "unwanted", "late", "second exit"}


def test_drift_is_measured_in_the_store(client):
    """PSI of every feature and what the score means, against numpy over the same rows."""
    folder = Path(Config().models)
    found = drift.measure(client, folder)
    scorer = models.find(folder, found["model"])
    names, reference = json.loads(scorer.meta["features"]), json.loads(scorer.meta["population"])
    assert set(found["psi"]) == set(names) and found["candidates"] >= 50
    for name in ("rz", "spread_ratio"):
        values = client.query(f"SELECT f_{name} FROM signals WHERE model = '{found['model']}' AND f_waited = 0").result_rows
        part = reference[names.index(name)]
        at = np.searchsorted(part["edges"], np.array(values, float)[:, 0], side="left")
        counts = np.bincount(at, minlength=len(part["shares"]))
        assert found["psi"][name] == pytest.approx(drift.psi(counts, np.array(part["shares"])), abs=0.02)
    assert sum(row["candidates"] for row in found["score"]) >= 30 and all(0 <= row["stayed"] <= 1 for row in found["score"])
    whole = client.query(f"SELECT count() FROM {drift.later('NOT isNaN(score)')}").result_rows[0][0]
    assert sum(row["candidates"] + row["before"] for row in found["score"]) == whole
    assert any("PSI" in line for line in drift.lines(found))


def test_a_candidate_is_explained_against_what_training_had(stored, tmp_path):
    """The features its model decided by, as the store has them; those outside the range of genuine ones come first."""
    run, client = stored
    folder = Path(Config().models)
    meta = models.active(folder).meta
    names, ranges = json.loads(meta["features"]), json.loads(meta["ranges"])
    ids = client.query("SELECT id FROM signals WHERE isNaN(score_next) AND NOT isNaN(score) ORDER BY score LIMIT 5").result_rows
    assert ids
    for (number,) in ids:
        document = explain(run.path, int(number))
        rows = against_training(document, folder)
        assert {row["feature"] for row in rows} == set(names)
        kept = client.query(f"SELECT {', '.join('f_' + n for n in names)} FROM signals WHERE id = {number}").result_rows[0]
        for row in rows:
            low, middle, high = ranges[names.index(row["feature"])]
            assert row["value"] == pytest.approx(kept[names.index(row["feature"])], rel=1e-6)
            assert (row["low"], row["middle"], row["high"]) == (low, middle, high)
            assert row["is_outside"] == (not low <= row["value"] <= high)
        outside = [row["is_outside"] for row in rows]
        assert outside == sorted(outside, reverse=True)
        assert against_training(document, tmp_path) == []                   # the model's file is gone


def test_two_models_are_compared_on_what_the_store_has(client):
    folder, sha = Path(Config().models), models.roles(Path(Config().models))["sha256"]
    same = drift.compare(client, folder, sha[:16], sha[:16])
    assert same["only the first passes"]["candidates"] == same["only the second passes"]["candidates"] == 0
    assert same["both pass"]["candidates"] + same["both refuse"]["candidates"] == same["candidates"] >= 30
    assert any("both pass" in line for line in drift.compared(same))
