"""Paper trading over sockets: processes end it, cut it and kill it (`engine/run/unwind.py`), and the day is the same made again."""
import contextlib
import os
import signal
import time

import pytest

from _ext.core.records import FIRST_TELEMETRY, REC_BOOT, REC_FILL, REC_LINK, REC_OPERATOR
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.status import StatusBlock
from engine.config import Config
from engine.run.again import Again, venue_of_start
from engine.run.opening import recalled
from engine.trail.checked import capacity_of, ring_depth_of
from engine.trail.rundir import RunDir
from tests.system.test_live import children, updates, wait_until

RUN = ("--paper", "--names", "40", "--speed", "50", "--start", "09:30", "--no-store")
FAULTS = "\n".join(f"""[[feed]]
kind = "{kind}"
at = "{at}"
seconds = {seconds}
value = {value}
""" for kind, at, seconds, value in (
    ("drop", "09:31:10", 1, 1006), ("corrupt", "09:32:00", 3, 0), ("reorder", "09:33:00", 5, 0), ("stall", "09:34:00", 6, 0),
    ("duplicate", "09:35:00", 10, 2), ("step_back", "09:36:00", 5, 0), ("drop", "09:38:00", 20, 1001), ("lag", "09:40:00", 30, 2),
    ("backlog", "09:42:00", 8, 0), ("drop", "09:44:00", 1, 1006)))


@contextlib.contextmanager
def running(cli, *arguments):
    """A run as a process; it is ended with the block."""
    process = cli.start(*arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def is_the_same_again(path, tmp_path) -> list[int]:
    """The types of a run's records, once a day made again from its inputs has given every one of them."""
    run = RunDir(path)
    folders = [run.memory, run.journal]
    journal = Journal(tmp_path / "again", prefix=Reader(*folders))
    core = Core(journal, capacity_of(path), ring_depth_of(Reader(*folders)))
    recalled(core, folders, Config(), path)
    Again(core, Reader(*folders), venue_of_start).run()
    assert not journal.diverged, journal.problem
    return [record[0] for record in run.reader() if record[0] < FIRST_TELEMETRY]


def positions(path) -> int:
    status = StatusBlock(path / "status").read()
    return 0 if status is None else int(status["positions"])


def engine_of(path) -> int:
    return children(path)["engine"]


def test_a_paper_run_cut_twice_is_one_day(cli, tmp_path):
    """SIGKILL with positions open: the launcher starts the engine again, which takes its book up; no broker is named anywhere."""
    path = tmp_path / "run"
    with running(cli, "run", *RUN, "--for", "40s", "--run-dir", str(path)) as process:
        wait_until(lambda: updates(path) > 0 and positions(path) > 0, 60, "a position")
        for _ in range(2):
            pid = engine_of(path)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: children(path).get("engine", pid) != pid and updates(path) > 0, 30, "another engine")
            time.sleep(2)
        assert process.wait(90) == 0
    kinds = is_the_same_again(path, tmp_path)
    assert kinds.count(REC_BOOT) == 2 and REC_FILL in kinds


def test_feed_faults_change_nothing_of_that(cli, tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text(FAULTS)
    path = tmp_path / "run"
    done = cli.json("run", *RUN, "--for", "25s", "--faults", str(faults), "--run-dir", str(path))
    assert done["reconnects"] > 0
    kinds = is_the_same_again(path, tmp_path)
    assert kinds.count(REC_LINK) > 3 and REC_FILL in kinds


@pytest.mark.parametrize("is_hung", [False, True])
def test_kill_acts_on_the_paper_book_and_asks_nobody(cli, tmp_path, is_hung):
    """One that hangs is ended, and its book closed from the journal at the prices last shown."""
    path = tmp_path / "run"
    with running(cli, "run", *RUN, "--for", "90s", "--run-dir", str(path)):
        wait_until(lambda: updates(path) > 0 and positions(path) > 0, 60, "a position")
        if is_hung:
            os.kill(engine_of(path), signal.SIGSTOP)
        document = cli.json("kill", "--run-dir", str(path), "--yes")
    assert document["flat"] and document["left"] == {}
    steps = {step["step"]: step["outcome"] for step in document["steps"]}
    assert steps["told the engine"] == ("no answer" if is_hung else "acknowledged") and "took up its book" in steps
    assert not is_hung or not steps["took up its book"].startswith("0")
    kinds = is_the_same_again(path, tmp_path)
    assert kinds.count(REC_OPERATOR) >= 1 and kinds.count(REC_BOOT) == 1
    assert cli.json("replay", str(path))["identical"]


def test_flatten_closes_the_paper_book_and_the_run_goes_on(cli, tmp_path):
    path = tmp_path / "run"
    with running(cli, "run", *RUN, "--for", "90s", "--run-dir", str(path)):
        wait_until(lambda: updates(path) > 0 and positions(path) > 0, 60, "a position")
        cli.run("flatten", "--run-dir", str(path))
        wait_until(lambda: positions(path) == 0, 10, "flat")
        seen = updates(path)
        wait_until(lambda: updates(path) > seen, 10, "the run goes on")
    is_the_same_again(path, tmp_path)
