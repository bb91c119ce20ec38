"""What a candidate costs, the gate alone, and the twins beside them."""
import time

import numpy as np
import pytest

from _ext.core.records import CANDIDATE, REC_ASK
from _ext.signals.features import FEATURES
from bench.conftest import BUDGETS, note, percentiles
from engine.config import Config
from engine.signals import models
from tests.trade.conftest import Desk


@pytest.fixture(scope="module")
def scorer():
    from pathlib import Path
    return models.active(Path(Config().models))


def test_score(benchmark, scorer):
    """One ONNX call on preallocated buffers, beside scikit-learn on one row."""
    from sklearn.ensemble import GradientBoostingClassifier

    rng = np.random.default_rng(1)
    rows = rng.normal(0, 2, (500, len(FEATURES))).astype(np.float32)
    assert all(0 <= scorer.score_row(row) <= 1 for row in rows[:50])
    benchmark(scorer.score_row, rows[0])
    samples = []
    for row in rows.repeat(6, axis=0):
        began = time.perf_counter_ns()
        scorer.score_row(row)
        samples.append((time.perf_counter_ns() - began) / 1000)
    paced = []
    for row in rows[:60]:                                  # a candidate every 50 ms, kept warm every 20 ms as the engine does
        for _ in range(2):
            time.sleep(0.02)
            scorer.keep_warm()
        time.sleep(0.01)
        began = time.perf_counter_ns()
        scorer.score_row(row)
        paced.append((time.perf_counter_ns() - began) / 1000)
    note("ONNX score, paced and kept warm", "us", percentiles(paced))
    peer = GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=1).fit(rows, rows[:, 0] > 0)
    peer_samples = []
    for row in rows[:200]:
        began = time.perf_counter_ns()
        peer.predict_proba(row[None])
        peer_samples.append((time.perf_counter_ns() - began) / 1000)
    ours, theirs = percentiles(samples), percentiles(peer_samples)
    note("ONNX score of one candidate", "us", ours,
         f"scikit-learn p50 {theirs['p50']:.0f} us; budget {BUDGETS['candidate']['target_p99_us']}")
    assert theirs["p50"] / ours["p50"] >= BUDGETS["candidate"]["min_ratio_sklearn"]


def twin(desk, inst: int) -> str:
    """The gate's main checks in plain Python, for the ratio."""
    core = desk.core
    row, money, spec = core.market.row(inst), core.money(), core.instrument(inst)
    trading, operator, feed, positions = core.states()
    price = row["ask"] + row["ask"] // 1000
    quantity = int(0.05 * money["equity"] / price)
    value = quantity * price
    checks = (operator == 0, trading == 1, feed == 1, spec["tradable"], row["bid"] > 0, row["ask"] > row["bid"],
              quantity >= spec["lot"], positions < 3, value <= 0.05 * money["equity"],
              money["exposure"] + value <= 1.5 * money["equity"])
    return "pass" if all(checks) else "no"


def test_gate(tmp_path):
    """Sizing and gate of an entry that is refused late (positions full), with its journal record."""
    desk = Desk(tmp_path)
    for i in range(3):
        assert desk.enter(i)[0] == "pass"
    assert desk.enter(3)[0] == "too many positions" and twin(desk, 3) == "no"
    row = np.zeros(1, CANDIDATE)
    row["inst"], row["side"] = 3, 1
    payload = row.tobytes()
    samples, twins = [], []
    for _ in range(20_000):
        began = time.perf_counter_ns()
        desk.core.feed(REC_ASK, desk.now, payload)
        samples.append((time.perf_counter_ns() - began) / 1000)
    paced = []
    for _ in range(300):
        time.sleep(0.002)
        began = time.perf_counter_ns()
        desk.core.feed(REC_ASK, desk.now, payload)
        paced.append((time.perf_counter_ns() - began) / 1000)
    note("size + gate + record, paced", "us", percentiles(paced))
    for _ in range(1000):
        began = time.perf_counter_ns()
        twin(desk, 3)
        twins.append((time.perf_counter_ns() - began) / 1000)
    alone = np.zeros(200_000, np.int64)
    assert desk.core.ask_gate(3, 1, 49, 100_110)[0] == "too many positions"
    desk.core.time_gate(3, 1, 49, 100_110, alone)
    passing = Desk(tmp_path / "passing")
    assert passing.core.ask_gate(3, 1, 49, 100_110)[0] == "pass"
    whole = np.zeros(200_000, np.int64)
    passing.core.time_gate(3, 1, 49, 100_110, whole)
    note("gate alone, every check passed", "us", percentiles(whole / 1000), f"budget {BUDGETS['gate']['target_p99_us']} us p99")
    assert np.percentile(whole, 99) / 1000 < BUDGETS["gate"]["max_p99_us"]
    ours, theirs = percentiles(samples), percentiles(twins)
    note("size + gate + record, called from Python", "us", ours,
         f"plain Python p50 {theirs['p50']:.1f} us; budget {BUDGETS['gate']['target_p99_us']}")
    assert theirs["p50"] / (np.percentile(whole, 50) / 1000) >= BUDGETS["gate"]["min_ratio_twin"]
