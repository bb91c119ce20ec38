"""Launcher: starts sim, engine, store and logs as processes, keeps them alive, shows the run, ends it cleanly."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from _ext.trail.status import StatusBlock
from engine.trail import confinement
from engine.trail.rundir import Lock, RunDir, RunError, start_time
from engine.watch.view import Screen, View

BACK_OFF = (0.5, 10.0)
START_S = 60.0
"""A synthetic day that is joined late is made up to there first."""
CRASHES, CRASH_WINDOW_S = 3, 600
REDUCE = 2
DEAD_MAN_S = 60
"""An engine with positions that has shown no heartbeat for so long is ended, and what it holds is closed."""


class Adopted:
    """A process another launcher started and left behind, by pid and start time: as much of Popen as is needed."""

    returncode = 0

    def __init__(self, pid: int, started: int):
        self.pid, self.started = pid, started

    def poll(self) -> int | None:
        return None if start_time(self.pid) == self.started else 0

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout if timeout is not None else 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.02)
        return 0


@dataclass
class Child:
    """One process: its command, and when it may be started again."""
    name: str
    command: list[str]
    process: "subprocess.Popen[bytes] | Adopted | None" = None
    pause: float = BACK_OFF[0]
    due: float = 0.0
    deaths: list[float] = field(default_factory=list)


class Launcher:
    """Runs the processes of `run`. Children are started with this interpreter; their output goes to files in the run folder."""

    def __init__(self, run: RunDir, title: str, quiet: bool = False):
        self.run_dir, self.title, self.quiet = run, title, quiet
        self.children: list[Child] = []
        self.stopping = False
        self.status: StatusBlock | None = None
        self.failure: str | None = None
        self.born = time.time_ns()
        self.killer: Child | None = None
        self.is_observing = False
        self.last_beat = (0, time.monotonic())

    def add(self, name: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", "engine", *arguments]
        if name == "store":                                # at once what its command becomes, confined
            command = confinement.command(*arguments[1:])
        child = Child(name, command)
        self.children.append(child)
        if self.lives(name):
            child.process = Adopted(*self._left_behind()[name])
        else:
            self._start(child)
        return child

    def lives(self, name: str) -> bool:
        """Whether a process of this run that another launcher started still lives."""
        known = self._left_behind().get(name)
        return known is not None and start_time(known[0]) == known[1]

    def _left_behind(self) -> dict[str, list[int]]:
        """Processes of this run as its last launcher noted them: name -> [pid, start time]."""
        try:
            return orjson.loads((self.run_dir.path / "children.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def _start(self, child: Child) -> None:
        log = (self.run_dir.path / f"{child.name}.out").open("ab")
        with log:
            # a session of its own: Ctrl-C reaches the launcher alone, which ends the others in order
            child.process = subprocess.Popen(child.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                             start_new_session=True, cwd=os.getcwd(),
                                             env=confinement.environment() if child.name == "store" else None)
        note = self._left_behind() | {child.name: [child.process.pid, start_time(child.process.pid)]}
        with contextlib.suppress(OSError):
            (self.run_dir.path / "children.json").write_bytes(orjson.dumps(note))

    def tail(self, child: Child) -> str:
        """The last thing a child said."""
        lines = (self.run_dir.path / f"{child.name}.out").read_text(errors="replace").strip().splitlines()
        return lines[-1][:400] if lines else "it said nothing"

    def dead_man(self) -> None:
        """Runs `kill` on an engine that holds positions and shows no sign of life, until it has succeeded."""
        if self.killer is not None and self.killer.process is not None and self.killer.process.poll() not in (None, 0):
            self.killer = None                             # it failed, as when the broker does not answer: once more
        status = self.read()[0] if self.killer is None and not self.is_observing else None
        if status is None:
            return
        if int(status["heartbeat"]) != self.last_beat[0]:  # by the beat itself and our own clock: the wall's may jump
            self.last_beat = int(status["heartbeat"]), time.monotonic()
        if status["positions"] > 0 and status["ready"] == 1 and time.monotonic() - self.last_beat[1] > DEAD_MAN_S:
            self.last_beat = self.last_beat[0], time.monotonic()
            self.killer = Child("kill", [sys.executable, "-m", "engine", "kill", "--run-dir", str(self.run_dir.path), "--yes"])
            self._start(self.killer)

    def supervise(self) -> None:
        """Starts again what died, each time later; an engine that died three times in ten minutes starts reducing, one that was
        killed stays dead."""
        self.dead_man()
        for child in self.children:
            if child.name == "engine" and (self.killer is not None or self._was_killed()):
                child.process = None if child.process is None or child.process.poll() is not None else child.process
                continue
            if child.process is None:
                if time.monotonic() >= child.due:
                    self._start(child)
                continue
            code = child.process.poll()
            if code is None:
                continue
            child.process = None
            now = time.monotonic()
            child.deaths = [t for t in child.deaths if now - t < CRASH_WINDOW_S] + [now]
            is_hopeless = code == 2 or (code == 1 and len(child.deaths) == 1 and not self._was_ready())
            if is_hopeless and child.name in ("engine", "sim"):
                self.failure = f"{child.name}: {self.tail(child)}"
                self.stopping = True
                return
            if child.name == "engine" and len(child.deaths) >= CRASHES and self.status is not None:
                self.status.operator = max(self.status.operator, REDUCE)      # never looser than it was
            child.due = now + child.pause
            child.pause = min(child.pause * 2, BACK_OFF[1])

    def _was_killed(self) -> bool:
        """Whether `kill` has ended this run's engine while this launcher watched."""
        with contextlib.suppress(OSError):
            return (self.run_dir.path / "killed.json").stat().st_mtime_ns > self.born
        return False

    def _was_ready(self) -> bool:
        """Whether an engine of this launcher's life has ever been ready."""
        status = self.read()[0]
        return status is not None and int(status["started"]) > self.born and bool(status["ready"])

    def read(self) -> tuple[Any, dict[str, Any]]:
        """(status record or None, the store's state)."""
        if self.status is None:
            with contextlib.suppress(OSError, ValueError):
                self.status = StatusBlock(self.run_dir.status)
        store: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            store = orjson.loads((self.run_dir.path / "store.json").read_bytes())
        return (self.status.read() if self.status is not None else None), store

    def market(self) -> dict[str, Any]:
        """What the sim says of itself: the speed asked and reached, whether its day has ended; empty without one."""
        with contextlib.suppress(OSError, ValueError):
            return orjson.loads((self.run_dir.path / "sim.json").read_bytes())
        return {}

    def loop(self, seconds: float | None) -> None:
        """Until a signal, a failure, `seconds` of wall time or the end of a simulated day."""
        view = View(self.run_dir, self.title)
        screen = Screen(view, self.quiet)
        were = {number: signal.signal(number, lambda *_: setattr(self, "stopping", True))
                for number in (signal.SIGINT, signal.SIGTERM)}
        end = time.monotonic() + seconds if seconds is not None else None
        try:
            while not self.stopping and (end is None or time.monotonic() < end):
                self.supervise()
                self.run_dir.beat.touch()
                market = self.market()
                view.update(*self.read(), market)
                screen.draw()
                if market.get("has_ended"):
                    break
                time.sleep(0.25)
        finally:
            screen.close()
            for number, handler in were.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Ends engine, then sim and logs, then the store once it has everything."""
        for names in (("engine",), ("sim", "logs"), ("store",)):
            ending = [c.process for c in self.children if c.name in names and c.process is not None]
            for process in ending:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            for process in ending:
                try:
                    process.wait(60 if "store" in names else 10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def summary(self) -> dict[str, Any]:
        """What the run did, from the last status and the store."""
        status, store = self.read()
        if status is None:
            return {"run_dir": str(self.run_dir.path), "problem": self.failure}
        names = ("updates", "frames", "candidates", "signals", "orders", "requests", "gaps", "late", "repeats", "rejected",
                 "reconnects", "instruments", "positions", "epoch")
        out: dict[str, Any] = {name: int(status[name]) for name in names}
        money = {name: int(status[name]) / 100 for name in ("realised", "charges", "open")}
        first = (int(status["first_update"]) - int(status["started"])) / 1e9 if status["first_update"] else None
        return out | money | {
            "net": round(money["realised"] + money["open"] - money["charges"], 2), "digest": f"{int(status['digest']):016x}",
            "tick_path_us": {n: int(status[n]) / 1000 for n in ("p50", "p99", "p999", "max")},
            "first_update_s": None if first is None else round(first, 2), "stored": store.get("stored", 0),
            "store_trouble": store.get("trouble") or None, "run_dir": str(self.run_dir.path), "problem": self.failure,
            "told_to_stop": self.stopping, "market": self.market() or None}


def wait_for(path: Path, launcher: Launcher, child: Child) -> str:
    """The line a starting child writes to `path`; RunError with what it said when it dies or takes too long."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        if child.process is not None and child.process.poll() is not None:
            raise RunError(f"{child.name} did not start: {launcher.tail(child)}")
        time.sleep(0.02)
    raise RunError(f"{child.name} did not start within {START_S:.0f} s: {launcher.tail(child)}")


def is_running(run: RunDir) -> bool:
    """Whether an engine of this run lives: its heartbeat is fresh."""
    try:
        status = StatusBlock(run.status).read()
    except (OSError, ValueError):
        return False
    if status is None or not status["ready"] or status["ready"] == 2:
        return False
    return (time.time_ns() - int(status["heartbeat"]) < 3_000_000_000
            and Path(f"/proc/{int(status['pid'])}").exists())


def launcher_lock(run: RunDir) -> Lock:
    return Lock(run.path / "launcher.lock", f"the launcher of {run.path}")
