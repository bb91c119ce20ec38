"""A run of the real command, watched as `watch` does: its engine stopped, killed, its store killed. `engine/watch/watching.py`"""
import os
import signal
import time

import pytest

from engine.config.alerts import Alerts
from engine.trail.note import read_note
from engine.trail.rundir import RunDir
from engine.trail.signs import vital_signs
from engine.watch.alerts.secrets import Addresses
from engine.watch.state import RunState
from engine.watch.watched import Watched
from engine.watch.watching import Watching
from tests.conftest import ROOT

SETTINGS = Alerts(trades=False, silent_s=4, losing_streak=1000)


class Eye:
    """Follows a run that is under way, and keeps what was told."""

    def __init__(self, run: RunDir):
        self.run, self.state, self.reader, self.now = run, RunState(has_ledger=False), run.reader(), 0
        self.watching = Watching(run, SETTINGS, ROOT / "models", Addresses())
        self.told: list[tuple[str, str]] = []

    def look(self) -> None:
        while (record := self.reader.read()) is not None:
            kind, _, self.now, payload = record
            self.state.take(kind, payload)
            self.watching.take(kind, self.now, payload)
        status, store = vital_signs(self.run)
        view = Watched(self.now, time.time_ns(), status=status, store=store, state=self.state, source="sim")
        for notice in self.watching.look(view):
            row = next(row for row in self.watching.book.rows if row.id == notice.alert)
            self.told.append((notice.kind, f"{row.name} {row.subject}".strip()))

    def until(self, is_so, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            if is_so():
                return True
            time.sleep(0.2)
        return False

    def pid(self, name: str) -> int:
        return int(read_note(self.run.children)[name][0])


@pytest.fixture
def live(cli, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(cli.base / "state"))
    process = cli.start("run", "--names", "12", "--start", "11:00", "--run-dir", str(cli.base / "run"))
    eye = Eye(RunDir(cli.base / "run"))
    try:
        assert eye.until(lambda: vital_signs(eye.run)[0] is not None and vital_signs(eye.run)[0]["ready"] == 1, 90)
        yield eye
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_an_engine_that_stands_still_and_processes_that_die_are_told_once(live):
    """Stopped for some seconds: silent, and over when it goes on. Killed: started again, and said so."""
    assert live.until(lambda: live.watching.tally.last_frame > 0, 30)
    assert not live.until(lambda: bool(live.told), 5), live.told
    engine = live.pid("engine")
    os.kill(engine, signal.SIGSTOP)
    try:
        assert live.until(lambda: ("alert", "engine_silent") in live.told, 20)
    finally:
        os.kill(engine, signal.SIGCONT)
    assert live.until(lambda: ("recovery", "engine_silent") in live.told, 20)

    os.kill(live.pid("store"), signal.SIGKILL)
    assert live.until(lambda: ("alert", "restarted store") in live.told, 20)
    os.kill(live.pid("engine"), signal.SIGKILL)
    assert live.until(lambda: ("alert", "restarted engine") in live.told, 20)
    live.until(lambda: False, 5)
    print(live.told)
    assert live.told == [("alert", "engine_silent"), ("recovery", "engine_silent"), ("alert", "restarted store"),
                         ("alert", "restarted engine")]
