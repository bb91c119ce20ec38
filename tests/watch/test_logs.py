"""The log files of a run: each line in its own file, once, also where the renderer is started again."""
import logging
import signal

import numpy as np
import orjson
import pytest

from _ext.core.records import INTENT, REC_INSTRUMENTS, REC_INTENT, REC_STATE, REC_TIMER, STATE
from _ext.trail.journal import Journal
from engine.market.instruments import table
from engine.trail.rundir import RunDir
from engine.watch import logs
from tests.trade.conftest import DAY, SPECS


class Over:
    """The attendance of an engine that has ended."""

    def __init__(self, run: RunDir):
        pass

    def end_the_hung(self) -> bool:
        return False

    def is_over(self) -> bool:
        return True


def rendered(run: RunDir) -> None:
    """One life of the renderer; with its process its files are closed."""
    logs.main(run)
    for name in logs.FILES:
        for handler in logging.getLogger(f"spike.{name}").handlers:
            handler.close()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose engine has ended: the renderer ends once it has read all."""
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path / "shm"))
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(logs, "Attendance", Over)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield RunDir.new(tmp_path / "run")
    for number, handler in handlers:
        signal.signal(number, handler)


def written(journal: Journal, record: int, dtype, **fields) -> None:
    row = np.zeros(1, dtype)
    for name, value in fields.items():
        row[name] = value
    assert journal.append(record, 1_000_000_000, np.frombuffer(row.tobytes(), np.uint8))


def lines(run: RunDir, name: str) -> list[dict]:
    return [orjson.loads(line) for line in (run.logs / f"{name}.jsonl").read_text().splitlines()]


def test_each_line_is_in_its_own_file_once(run):
    journal = Journal(run.journal, 1 << 16, 1 << 20)
    journal.append(REC_INSTRUMENTS, 0, np.frombuffer(table(SPECS, DAY).tobytes(), np.uint8))
    written(journal, REC_INTENT, INTENT, inst=1, kind=1, role=1, side=1, order_type=1, quantity=49, price=100_110)
    journal.append(REC_TIMER, 2, np.zeros(0, np.uint8))
    written(journal, REC_STATE, STATE, what=0, was=1, now_is=2)
    rendered(run)
    (order,), (state,) = lines(run, "trading"), lines(run, "errors")
    assert order["text"].split()[0] == SPECS[1].symbol and order["ns"] == 1_000_000_000 and order["quantity"] == 49
    assert state["text"].startswith("trading state: RUNNING -> REDUCING")
    assert lines(run, "signals") == lines(run, "feed") == []
    written(journal, REC_STATE, STATE, what=2, now_is=5)
    journal.close()
    rendered(run)                                         # once more: it goes on where it ended
    assert len(lines(run, "trading")) == 1
    assert [row["text"].split(":")[0] for row in lines(run, "errors")] == ["trading state", "ALARM"]


def test_a_mark_that_is_damaged_begins_anew(run):
    journal = Journal(run.journal, 1 << 16, 1 << 20)
    written(journal, REC_STATE, STATE, what=2, now_is=5)
    journal.close()
    rendered(run)
    (run.logs / "position").write_text("half")
    rendered(run)
    assert len(lines(run, "errors")) == 2


def test_a_renderer_that_is_started_again_knows_what_was_said_before(run):
    """It writes nothing twice, and what it read before it says by name all the same."""
    journal = Journal(run.journal, 1 << 16, 1 << 20)
    journal.append(REC_INSTRUMENTS, 0, np.frombuffer(table(SPECS, DAY).tobytes(), np.uint8))
    rendered(run)
    written(journal, REC_INTENT, INTENT, inst=1, kind=1, role=1, side=1, order_type=1, quantity=49, price=100_110)
    journal.close()
    rendered(run)
    (order,) = lines(run, "trading")
    assert order["text"].split()[0] == SPECS[1].symbol
