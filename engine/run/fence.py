"""The end of an engine from outside: it is told, ended and proven gone. Nothing here waits for a library of the network, so that an
engine that hangs is ended first."""
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from _ext.core.records import OP_KILL
from _ext.trail.status import StatusBlock
from engine.trail.rundir import Lock, RunDir, RunError, account_lock, end_process, start_time

ACKNOWLEDGE_S, LOCK_S = 0.5, 2.0


@dataclass
class Report:
    """What was done, in order: (step, ms since the beginning, what came of it)."""
    steps: list[tuple[str, float, str]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)       # key -> quantity still held
    began: float = field(default_factory=time.monotonic)

    def step(self, name: str, outcome: str = "") -> None:
        self.steps.append((name, round((time.monotonic() - self.began) * 1000, 1), outcome))

    def document(self) -> dict[str, Any]:
        return {"flat": not self.left, "left": self.left, "ms": self.steps[-1][1] if self.steps else 0.0,
                "steps": [{"step": name, "ms": ms, "outcome": outcome} for name, ms, outcome in self.steps]}


def target_of(run: RunDir) -> dict[str, Any]:
    """What the engine of a run wrote about itself: pid, its start, broker, account. RunError where there never was one."""
    try:
        return dict(orjson.loads(run.engine.read_bytes()))
    except (OSError, ValueError):
        raise RunError(f"{run.path} has had no engine: name the run with --run-dir") from None


def fence(run: RunDir, target: dict[str, Any], report: Report) -> Lock:
    """Tells the engine, waits half a second, then ends it whatever it does; the account's lock proves that it is gone. One that
    was started meanwhile is ended too."""
    note(run, {"under_way": True})                        # the launcher starts no engine from here on
    pid, started = int(target["pid"]), int(target["started"])
    with contextlib.suppress(OSError, ValueError):
        status = StatusBlock(run.status)
        status.operator = OP_KILL
        end = time.monotonic() + ACKNOWLEDGE_S
        while time.monotonic() < end and start_time(pid) == started:
            row = status.read()
            if row is not None and row["operator"] == OP_KILL:
                break
            time.sleep(0.01)
        row = status.read()
        report.step("told the engine", "acknowledged" if row is not None and row["operator"] == OP_KILL else "no answer")
    if end_process(pid, started):
        report.step("ended the engine", f"process {pid}")
    else:
        report.step("ended the engine", "there was none")
    end = time.monotonic() + LOCK_S
    while True:
        try:
            lock = account_lock(target.get("lock") or f"{target['account']}@{target['base']}")
            report.step("locked the account")
            return lock
        except RunError:
            if time.monotonic() > end:
                raise
            later = target_of(run) if run.engine.exists() else target
            if (later["pid"], later["started"]) != (pid, started):
                pid, started = int(later["pid"]), int(later["started"])
                if end_process(pid, started):
                    report.step("ended the engine", f"process {pid}")
            time.sleep(0.02)


def note(run: RunDir, document: dict[str, Any]) -> None:
    """Leaves in the run what was done. A disk that is full must not keep anybody from closing positions: the file's time alone
    says enough."""
    with contextlib.suppress(OSError):
        (run.path / "killed.json").write_bytes(orjson.dumps(document))
