"""A day on paper, and the same day at the simulated exchange."""
import pytest

from engine.config import Config
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.trail.rundir import RunDir


def day_of(folder, is_paper: bool, config: Config | None = None) -> RunDir:
    """A lively hour and a half of forty names."""
    run = RunDir.new(folder / "run")
    run_virtual(config or Config(), market_of(None, 3, None, 40, 90, "lively", -1), "synthetic", run, 3, None, is_paper=is_paper)
    return run


@pytest.fixture(scope="session")
def paper_day(tmp_path_factory) -> RunDir:
    return day_of(tmp_path_factory.mktemp("paper"), True)


@pytest.fixture(scope="session")
def exchange_day(tmp_path_factory) -> RunDir:
    return day_of(tmp_path_factory.mktemp("exchange"), False)
