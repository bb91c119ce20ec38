"""A short generated day that traded, for every test of what is shown of one."""
from pathlib import Path

import pytest

import engine
from engine.watch.follow import followed


@pytest.fixture(scope="session")
def day_run(tmp_path_factory) -> Path:
    """The folder of a run on virtual time: 16 names, 75 minutes, candidates refused and passed, trades won and lost."""
    path = tmp_path_factory.mktemp("day") / "run"
    engine.run(speed="max", names=16, minutes=75, seed=11, store=False, run_dir=path, mood="lively", unlisted=True)
    return path


@pytest.fixture(scope="session")
def followed_day(day_run):
    return followed(day_run)
