"""docs/queries.sql: every query runs as a reader on a stored run and says something."""
import datetime as dt

import pytest

from engine.config import Config
from engine.market.instruments import shipped
from engine.sim.contracts import with_contracts
from engine.sim.market import SyntheticMarket
from engine.trail.rundir import RunDir
from engine.trail.sidecar import client_of
from engine.trail.sidecar import main as store
from engine.wiring import run_virtual
from tests.conftest import ROOT

EMPTY_IS_FINE = {"what the noise filter refused, and how sure it was", "how long positions lasted and why they ended",
                 "what was missing from the feed, by kind", "what changed in the universe"}


def queries() -> dict[str, str]:
    parts = (ROOT / "docs" / "queries.sql").read_text().split("-- name: ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2].strip().rstrip(";") for part in parts}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    run = RunDir(tmp_path_factory.mktemp("run"))
    market = SyntheticMarket(with_contracts(shipped()[:40], dt.date(2026, 9, 1), 2), dt.date(2026, 9, 1), 3)
    market.minutes = 60
    run_virtual(Config(), market, "test", run, 3, None)
    store(Config(), run, once=True, drain_only=False)
    with client_of(Config(), run) as c:
        yield c


def test_there_is_a_dozen():
    assert len(queries()) >= 12


@pytest.mark.parametrize("name", queries())
def test_query(client, name):
    result = client.query(queries()[name])
    assert result.result_rows or name in EMPTY_IS_FINE       # chDB names no columns where there are no rows
