"""The tables of a run, read through one client: one process serves them, whatever is asked."""
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.store.client import client_of
from engine.trail.checked import survey
from engine.trail.rundir import RunDir

TABLES = ("instruments", "symbols", "ticks", "bars", "signals", "orders", "trades", "positions", "rate_limit_log",
          "events")
WITHOUT_RUN = {table: "* EXCEPT run" for table in TABLES if table != "symbols"}


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
