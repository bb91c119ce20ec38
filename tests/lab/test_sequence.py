"""The net over the minutes before learns what only they tell, judged on days it has not seen. Needs the extra `sequence`."""
import numpy as np
import pytest

from engine.lab.dataset import BEFORE, NATURAL
from engine.lab.train import Rows

torch = pytest.importorskip("torch", reason="pip install 'spike-engine[sequence]'")


def test_the_net_learns_what_only_the_minutes_tell():
    from engine.lab import sequence

    rng, n = np.random.default_rng(4), 1200
    y = rng.random(n) < 0.5
    path = rng.normal(0, 1, (n, BEFORE, 2)).astype(np.float32)
    path[y, -12:, 1] += 1.5                                            # genuine ones: wide minutes just before
    x = rng.normal(0, 1, (n, 3)).astype(np.float32)
    data = type("Data", (), {"path": path})
    rows = Rows(x, y, np.tile([0, 1], n // 2), np.where(y, NATURAL, "bad_print"), np.arange(n) // 60, np.arange(n))
    found = sequence.compare(data, rows, rng.normal(0, 1, n), 1)
    assert found["minutes alone"]["auc"] > 0.9 < found["minutes and features"]["auc"]
    assert 0.4 < found["the vote"]["auc"] < 0.6 and found["minutes alone"]["removed"] > found["the vote"]["removed"]
    assert sequence.compare(data, rows, np.zeros(n), 1)["minutes alone"] == found["minutes alone"]
