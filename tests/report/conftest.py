"""Runs and a backtest that the tests of reports share; made once."""
import datetime as dt
from pathlib import Path

import pytest

from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.trail.rundir import RunDir
from tests.kit.days import recorded_day

DAYS = ("2026-09-01", "2026-09-02")


@pytest.fixture(scope="session")
def week(tmp_path_factory) -> list[tuple[str, RunDir]]:
    """Two simulated mornings with many spikes."""
    folder, out = tmp_path_factory.mktemp("runs"), []
    for number, day in enumerate(DAYS):
        market = SyntheticMarket(shipped()[:12], dt.date.fromisoformat(day), 4 + number, mood=3.0)
        market.minutes = 45
        run = RunDir(folder / f"run-{number}")
        run_virtual(Config(), market, "sim", run, 3, None)
        out.append((day, run))
    return out


@pytest.fixture(scope="session")
def played(tmp_path_factory) -> Path:
    """The folder of a backtest of three generated mornings, its day files beside it."""
    folder = tmp_path_factory.mktemp("played")
    for number in range(3):
        recorded_day(folder / "days", dt.date(2026, 9, 1 + number), names=6, minutes=90, seed=5 + number)
    backtest(BacktestOptions(data=folder / "days", run_dir=folder / "out"), Config())
    return folder / "out"
