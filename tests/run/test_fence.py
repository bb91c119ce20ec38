"""The end of an engine from outside, where it cannot be had; tests/system/test_kill.py ends real ones."""
import subprocess
import sys

import pytest

from engine.run import fence
from engine.run.fence import Report
from engine.trail.rundir import RunDir, RunError


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
