"""The end of an engine from outside, where it cannot be had; tests/system/test_kill.py ends real ones."""
import subprocess
import sys
import time

import orjson
import pytest

from _ext.core.records import OP_KILL
from _ext.trail.status import StatusBlock
from engine.run import fence
from engine.run.fence import Report
from engine.trail.rundir import RunDir, RunError, account_lock


def test_an_account_that_stays_held_is_told_and_not_waited_for(tmp_path, monkeypatch):
    """By an engine of another run that is not ours to end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(fence, "LOCK_S", 0.2)
    code = ("import time; from engine.trail.rundir import account_lock\n"
            "held = account_lock('a@b'); print('held', flush=True); time.sleep(10)")
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        target, report = {"pid": 2**22 - 1, "started": 1, "account": "a", "base": "b"}, Report()
        with pytest.raises(RunError, match="account a@b"):
            fence.fence(RunDir(tmp_path / "run"), target, report)
        assert report.steps[-1][0] == "ended the engine" and other.poll() is None
    finally:
        other.kill()
        other.communicate()


def held_by_nobody(tmp_path, monkeypatch) -> tuple[RunDir, dict, Report]:
    """A run whose engine is gone and has left its status block."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    run = RunDir(tmp_path / "run")
    StatusBlock(run.status, create=True).publish()
    return run, {"pid": 2**22 - 1, "started": 1, "account": "a", "base": "b"}, Report()


def test_an_engine_that_is_gone_is_told_all_the_same_and_not_waited_for(tmp_path, monkeypatch):
    """Whoever goes on with its run finds the word there."""
    run, target, report = held_by_nobody(tmp_path, monkeypatch)
    monkeypatch.setattr(fence, "ACKNOWLEDGE_S", 12.0)
    began = time.monotonic()
    fence.fence(run, target, report).release()
    assert time.monotonic() - began < 10 and StatusBlock(run.status).operator == OP_KILL
    assert [name for name, _, _ in report.steps] == ["told the engine", "ended the engine", "locked the account"]
    assert orjson.loads((run.path / "killed.json").read_bytes()) == {"under_way": True}


def test_an_engine_that_came_with_the_number_of_the_one_that_was_told_is_ended_too(tmp_path, monkeypatch):
    """The system gives numbers anew: what counts is when it was started."""
    run, target, report = held_by_nobody(tmp_path, monkeypatch)
    run.engine.write_bytes(orjson.dumps(target | {"started": 2}))
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(fence, "end_process", lambda pid, started: ended.append((pid, started)) or True)
    monkeypatch.setattr(fence, "account_lock", lambda name: account_lock(name) if len(ended) > 1 else refuse())

    def refuse():
        raise RunError("held")

    fence.fence(run, target, report).release()
    assert ended == [(target["pid"], 1), (target["pid"], 2)]
