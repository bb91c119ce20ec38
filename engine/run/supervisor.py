"""The processes of a run: each is started, looked after, started again when it died, or given up."""
import contextlib
import os
import signal
import sys
import time
from typing import Any

from _ext.core.records import OP_REDUCE
from _ext.trail.status import StatusBlock
from engine.run.child import Adopted, Child
from engine.run.lifesign import LifeSign
from engine.store import confinement
from engine.strategies import stops
from engine.trail.note import Note, read_note
from engine.trail.resources import in_words
from engine.trail.rundir import RunDir, RunError, start_time
from engine.trail.signs import ENDED, READY, troubles, vital_signs

CRASHES, CRASH_WINDOW_S = 3, 600
DEAD_MAN_S = 60
"""An engine with positions that has shown no heartbeat for so long is ended, and what it holds is closed."""
STILL_S = 30.0
"""A store that has not written its note for so long stands still, as one whose thread could not begin for want of memory: it is
ended and started again."""
HUNG_S = 10.0
"""An engine whose strategy has not come back from a call for so long is ended: a call into C cannot be ended from within."""
AGAIN_S = 10.0
"""Between two attempts of a `kill` that fails, of an engine that is dead for good."""


class Supervisor:
    """Children are started with this interpreter; their output goes to files in the run folder. `is_live`: real money is at stake.

    `failure` is why the run ends, once `stopping` says that it must. `core`: the engine runs there alone, everybody else elsewhere.
    """

    def __init__(self, run: RunDir, is_live: bool = False, core: int | None = None):
        self.run_dir, self.is_live, self.core = run, is_live, core
        if core is not None:
            os.sched_setaffinity(0, os.sched_getaffinity(0) - {core})      # children inherit it
        self.children: list[Child] = []
        self.stopping = self.is_done = self.is_observing = False
        self.status: StatusBlock | None = None
        self.failure: str | None = None
        self.damage: str | None = None                     # of the journal
        self.rows: str | None = None                       # why ClickHouse has not all of them
        self.born = time.time_ns()
        self.killer: Child | None = None
        self.killer_at = 0.0
        self.last_beat = (0, time.monotonic())
        self.call: tuple[stops.Call | None, float] = (None, 0.0)       # of a strategy that is under way, and since when
        self.sign = LifeSign(run.path)
        self.note: Note | None = None
        self.known: Note | None = None

    def add(self, name: str, *arguments: str) -> Child:
        child = store_child(*arguments[1:]) if name == "store" else Child(name, [sys.executable, "-m", "engine", *arguments])
        if name == "engine":                               # a strategy's sets have one order, in every life and in the replay
            child.core, child.environment = self.core, dict(os.environ) | {"PYTHONHASHSEED": "0"}
        self.children.append(child)
        if self.lives(name):
            child.process, child.out = Adopted(*self._left_behind()[name]), self.run_dir.path / f"{name}.out"
        else:
            self._start(child)
            if child.process is None:
                raise RunError(f"{name} did not start: {child.words}")
        return child

    def lives(self, name: str) -> bool:
        """Whether a process of this run that another launcher started still lives."""
        known = self._left_behind().get(name)
        return known is not None and start_time(known[0]) == known[1]

    def _left_behind(self) -> dict[str, list[int]]:
        """Processes of this run as its last launcher noted them: name -> [pid, start time]."""
        return read_note(self.run_dir.children)

    def _start(self, child: Child) -> None:
        """Starts a process and notes it down; one that cannot be started has died."""
        child.out = self.run_dir.path / f"{child.name}.out"
        try:
            child.start()
        except OSError as error:
            child.has_died(time.monotonic(), CRASH_WINDOW_S)
            child.words = in_words(error)
            return
        assert child.process is not None
        note = self._left_behind() | {child.name: [child.process.pid, start_time(child.process.pid)]}
        with contextlib.suppress(OSError):
            self.known = self.known or Note(self.run_dir.children)
            self.known.write(note)

    def dead_man(self) -> None:
        """Runs `kill` on an engine that holds positions and shows no sign of life, until it has succeeded."""
        code = self.killer.process.poll() if self.killer is not None and self.killer.process is not None else None
        if code == 0:
            return
        if code is not None:
            self.killer = None                             # it failed, as when the broker does not answer: once more
        status = self.read()[0] if self.killer is None and not self.is_observing else None
        if status is None:
            return
        if int(status["heartbeat"]) != self.last_beat[0]:  # by the beat itself and our own clock: the wall's may jump
            self.last_beat = int(status["heartbeat"]), time.monotonic()
        patience = AGAIN_S if self._engine().is_given_up else DEAD_MAN_S
        silent = time.monotonic() - (self.killer_at if self._engine().is_given_up else self.last_beat[1])
        if status["positions"] > 0 and status["ready"] == READY and silent > patience:
            self.last_beat = self.last_beat[0], time.monotonic()
            self.killer_at = time.monotonic()
            self.killer = Child("kill", [sys.executable, "-m", "engine", "kill", "--run-dir", str(self.run_dir.path), "--yes"])
            self._start(self.killer)

    def _engine(self) -> Child:
        return next((child for child in self.children if child.name == "engine"), Child("engine", []))

    def supervise(self) -> None:
        """Starts again what died, each time later; an engine that died three times in ten minutes starts reducing, one that was
        killed or refuses to start stays dead."""
        self.dead_man()
        self.sign.take(self.read()[0])
        for child in self.children:
            if child.name == "engine" and (self.killer is not None or self._was_killed()):
                child.process = None if child.process is None or child.process.poll() is not None else child.process
            elif child.is_given_up:
                continue
            elif child.process is None:
                if time.monotonic() >= child.due:
                    self._start(child)
            elif (code := child.process.poll()) is not None:
                if child.name == "engine" and code == 0 and not self.is_live and self._has_ended():
                    self.stopping = True                   # in order, and its day with it
                    return
                self._has_died(child, code)
            else:
                child.bound()
                if child.name == "engine":
                    self._end_if_hung(child)
                if child.name == "store" and child.is_still(read_note(self.run_dir.store), time.monotonic(), STILL_S):
                    child.ended_for = f"it stood still for {STILL_S:.0f} s"
                    child.process.kill()                   # its death is seen at the next look
        self._end_what_is_dead()
        self._publish()

    def _end_if_hung(self, engine: Child) -> None:
        """An engine whose strategy does not come back is ended, and says where it was; the restart does not make that call."""
        call = stops.under_way(self.run_dir.path) if self._is_ready() else None
        if call is None or call != self.call[0]:
            self.call = call, time.monotonic()
        elif time.monotonic() - self.call[1] > HUNG_S and engine.process is not None:
            self.call = None, 0.0
            engine.ended_for = f"a strategy did not come back from a call for {HUNG_S:.0f} s"
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine.process.pid, signal.SIGABRT)

    def _has_died(self, child: Child, code: int) -> None:
        child.has_died(time.monotonic(), CRASH_WINDOW_S)
        is_hopeless = code == 2 or (code == 1 and len(child.deaths) == 1 and not self._was_ready()) or (
            child.name == "engine" and code == 1 and child.repeats >= CRASHES)
        if is_hopeless and child.name in ("engine", "sim"):
            child.is_given_up = True
            self.failure = f"{child.name}: {child.words}"
        elif child.name == "engine" and len(child.deaths) >= CRASHES and self.status is not None:
            self.status.operator = max(self.status.operator, OP_REDUCE)      # never looser than it was
        elif child.name == "store" and len(child.deaths) >= CRASHES and "--drain-only" not in child.command:
            child.command.append("--drain-only")           # rows can be stored later; the journal must be safe now
            child.is_crippled = True

    def _end_what_is_dead(self) -> None:
        """A run whose engine or market is dead for good ends, once what it held is closed."""
        given_up = [child.name for child in self.children if child.is_given_up]
        if self.killer is not None and self.killer.process is not None and self.killer.process.poll() == 0:
            why = self.failure or f"engine: no sign of life for {DEAD_MAN_S} s"
            self.failure = why if "closed by `kill`" in why else f"{why}; what it held was closed by `kill`"
            self.stopping = True
        elif "sim" in given_up or ("engine" in given_up and self.killer is None and not self._holds()):
            self.stopping = True

    def _holds(self) -> bool:
        """Whether an engine holds positions that are this launcher's business."""
        status = self.read()[0]
        return status is not None and status["positions"] > 0 and status["ready"] == READY and not self.is_observing

    def _was_killed(self) -> bool:
        """Whether `kill` has ended this run's engine while this launcher watched."""
        with contextlib.suppress(OSError):
            return (self.run_dir.path / "killed.json").stat().st_mtime_ns > self.born
        return False

    def _is_ready(self) -> bool:
        status = self.read()[0]
        return status is not None and status["ready"] == READY

    def _has_ended(self) -> bool:
        """Whether the engine says so itself: of one that another launcher started nobody knows the exit code."""
        status = self.read()[0]
        return status is not None and status["ready"] == ENDED

    def _was_ready(self) -> bool:
        """Whether an engine of this launcher's life has ever been ready."""
        status = self.read()[0]
        return status is not None and int(status["started"]) > self.born and bool(status["ready"])
    # ---- what there is to say ------------------------------------------------------------------------------------------
    def read(self) -> tuple[Any, dict[str, Any]]:
        """(status record or None, the store's state)."""
        if self.status is None:
            with contextlib.suppress(OSError, ValueError):
                self.status = StatusBlock(self.run_dir.status)
        return vital_signs(self.run_dir, self.status)

    def market(self) -> dict[str, Any]:
        """What the sim says of itself: the speed asked and reached, whether its day has ended; empty without one."""
        return read_note(self.run_dir.market)

    def said(self) -> dict[str, Any]:
        """What this launcher has to say of the processes."""
        return {"pid": os.getpid(), "at": time.time(), "failure": self.failure, "damage": self.damage, "rows": self.rows,
                "died": {child.name: child.died for child in self.children}, "sign": "" if self.is_done else self.sign.why,
                "deaths": {child.name: [child.died, child.words] for child in self.children if child.is_ill(self.is_done)}}

    def _publish(self) -> None:
        with contextlib.suppress(OSError):
            self.note = self.note or Note(self.run_dir.launcher)
            self.note.write(self.said())

    def troubles(self) -> list[str]:
        return troubles(self.run_dir, *self.read(), self.said())


def store_child(*arguments: str) -> Child:
    """The store's process: at once what its command becomes, confined, and without a secret in its environment."""
    return Child("store", confinement.command(*arguments), environment=confinement.environment())
