"""Ticks and bars read back from the store go through the path as they came."""
import datetime as dt

import numpy as np
import pytest

from _ext.signals.features import DESCRIBED, FEATURES
from engine.config import Config
from engine.errors import DataError
from engine.lab import dataset, series, stored
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.sim.recorded import from_run
from engine.store.client import client_of
from engine.store.process import main as store
from engine.trail.rundir import RunDir

DAY = dt.date(2026, 9, 1)
WARMED = 55
"""Minutes after which nothing is left of the bars a run was warmed with, which the store does not have."""
SLOW = ("rsi", "macd", "adx", "trend", "atr", "regime", "band_width")
"""Smoothed without an end: the bars before the day never leave them quite."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = RunDir(tmp_path_factory.mktemp("run"))
    market = SyntheticMarket(shipped()[:10], DAY, 6, spikes=3.0)
    market.minutes = 110
    run_virtual(Config(), market, "test", run, 6, None)
    store(Config(), run, once=True, drain_only=False, confined=False)
    with client_of(Config(), run) as client:
        yield run, client


def test_ticks_of_the_store_make_the_candidates_of_the_journal(run):
    folder, client = run
    ticks, journal = stored.ticks(client), from_run(folder.path / "journal")
    assert len(ticks.rows) == len(journal.rows) and ticks.day == DAY
    ours, theirs = dataset.of_ticks(ticks, "store"), dataset.of_ticks(journal, "live")
    mine, other = ours[ours.minute > WARMED], theirs[theirs.minute > WARMED]
    assert len(mine) == len(other) >= 15
    np.testing.assert_array_equal(mine.id, other.id)
    for i, (name, _, _, needs) in enumerate(DESCRIBED):
        if needs == "depth":
            assert np.isnan(mine.first[:, i]).all() and not np.isnan(other.first[:, i]).all()
        elif name not in SLOW:
            np.testing.assert_allclose(mine.first[:, i], other.first[:, i], rtol=1e-4, atol=1e-5, err_msg=name)


def test_bars_of_the_store_are_the_minutes_of_its_ticks(run):
    _, client = run
    specs, bars = stored.bars(client)
    assert [s.key for s in specs] == [s.key for s in shipped()[:10]] and bars["inst"].n_unique() == 10
    minutes = dataset.minutes_of(stored.ticks(client), specs)
    for inst in range(10):
        mine = bars.filter(bars["inst"] == inst)
        at = [(ms - 1_788_234_300_000) // 60_000 for ms in mine["ms"].to_list()]
        for name in ("high", "low"):
            np.testing.assert_allclose(np.log(mine[name].to_numpy()), getattr(minutes[inst, 20_697], name)[at], atol=1e-12)
    found = series.of_bars(specs, bars)
    assert len(found) >= 10 and np.isnan(found.first[:, FEATURES.index("spread_bp")]).all()


def test_the_day_before_warms_the_next(run):
    """The same bars a day earlier, under another run: they become what the windows begin with."""
    _, client = run

    class Two:
        """The store, telling of a day before the one it has."""
        def query(self, text, **_):
            if "argMax(run, seen)" in text:
                found = client.query(text)
                return type("Rows", (), {"result_rows": [*[(r, d - dt.timedelta(days=1)) for r, d in found.result_rows],
                                                         *found.result_rows]})
            return client.query(text)

        def raw_query(self, text, **options):
            return client.raw_query(text.replace(f"'{DAY - dt.timedelta(days=1)}'", f"'{DAY}'"), **options)

    bars = stored.ticks(Two()).history()
    assert len(bars) == 10 * stored.WARM and set(bars["inst"]) == set(range(10)) and len(stored.ticks(client).history()) == 0
    assert (bars["high"] >= bars["low"]).all() and (np.diff(bars["minute"][bars["inst"] == 0]) == 1).all()


def test_a_day_that_is_not_there_is_said(run):
    with pytest.raises(DataError, match="2026-09-02"):
        stored.ticks(run[1], dt.date(2026, 9, 2))
