"""The tables of a run, read through one client: one process serves them, whatever is asked."""
import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.store.client import client_of
from engine.store.process import main as store
from engine.trail.checked import survey
from engine.trail.rundir import RunDir

TABLES = ("instruments", "symbols", "ticks", "bars", "signals", "orders", "trades", "positions", "rate_limit_log",
          "events")
WITHOUT_RUN = {table: "* EXCEPT run" for table in TABLES if table != "symbols"}


def stored_run(folder: Path | str, names: int, minutes: int = 25) -> RunDir:
    """A run on virtual time of the first morning of September 2026, in a database of its own."""
    run = RunDir(Path(folder))
    market = SyntheticMarket(shipped()[:names], dt.date(2026, 9, 1), 3)
    market.minutes = minutes
    run_virtual(Config(), market, "test", run, 3, None)
    store(Config(), run, once=True, drain_only=False, confined=False)
    return run


@contextlib.contextmanager
def tables(run_dir: Path | str) -> Iterator[Any]:
    """A clickhouse-connect client of the run's database, whose journal must be sound, as for `query`."""
    run = RunDir.existing(Path(run_dir))
    with client_of(Config(), run) as client:
        yield client
    assert not survey(run.path)


def contents(run_dir: Path | str) -> dict[str, tuple[int, str]]:
    """Count and hash over every row of each table, but for the number of its run, which is another in each folder."""
    out = {}
    with tables(run_dir) as client:
        for table in TABLES:
            final = " FINAL" if table == "bars" else ""
            source = f"(SELECT {WITHOUT_RUN.get(table, '*')} FROM {table}{final})"
            ((count, digest),) = client.query(f"SELECT count() n, toString(groupBitXor(cityHash64(*))) h FROM {source}").result_rows
            out[table] = (count, digest)
    return out
