"""Launcher: starts sim, engine, store and logs as processes, keeps them alive, shows the run, ends it cleanly."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _ext.core.records import OP_KILL, OP_REDUCE
from _ext.trail.status import StatusBlock
from engine.child import Adopted, Child
from engine.store import confinement
from engine.trail.checked import damage_words
from engine.trail.note import Note, read_note
from engine.trail.resources import in_words
from engine.trail.rundir import Attendance, Lock, RunDir, RunError, start_time
from engine.watch.signs import ENDED, READY, summary, troubles, vital_signs
from engine.watch.view import Screen, View

START_S, READY_S = 60.0, 60.0
"""How long a process may take to start (a synthetic day that is joined late is made up to there first), and an engine to be
ready."""
CRASHES, CRASH_WINDOW_S = 3, 600
DEAD_MAN_S = 60
"""An engine with positions that has shown no heartbeat for so long is ended, and what it holds is closed."""
AGAIN_S = 10.0
"""Between two attempts of a `kill` that fails, of an engine that is dead for good."""
FLATTEN_S, END_S, STORE_S, ASK_S = 60.0, 10.0, 60.0, 60.0
"""How long an engine may take to close what it holds, a process to end, the store to take what is left; and how long a run whose
time is up goes on before it asks again what becomes of its positions."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launcher:
    """Runs the processes of `run`. Children are started with this interpreter; their output goes to files in the run folder.

    `is_live`: real money is at stake. Then a closed terminal does not end the run, and one with positions ends only by `ending`:
    `flatten`, `leave-stops`, or what a person at the terminal answers.
    """

    def __init__(self, run: RunDir, title: str, quiet: bool = False, is_live: bool = False, ending: str = ""):
        self.run_dir, self.title, self.quiet, self.is_live, self.ending = run, title, quiet, is_live, ending
        self.children: list[Child] = []
        self.stopping = self.is_ending = self.is_told = self.is_done = False
        self.status: StatusBlock | None = None
        self.failure: str | None = None
        self.damage: str | None = None
        self.rows: str | None = None                       # why ClickHouse has not all of them
        self.born = time.time_ns()
        self.killer: Child | None = None
        self.killer_at = self.asked = 0.0
        self.is_observing = False
        self.last_beat = (0, time.monotonic())
        self.screen: Screen | None = None
        self.note: Note | None = None
        self.known: Note | None = None

    # ---- processes -----------------------------------------------------------------------------------------------------
    def add(self, name: str, *arguments: str) -> Child:
        child = store_child(*arguments[1:]) if name == "store" else Child(name, [sys.executable, "-m", "engine", *arguments])
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
        self._end_what_is_dead()
        self._tell()

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
                "deaths": {child.name: [child.died, child.words] for child in self.children if child.is_ill(self.is_done)}}

    def _tell(self) -> None:
        with contextlib.suppress(OSError):
            self.note = self.note or Note(self.run_dir.launcher)
            self.note.write(self.said())

    def troubles(self) -> list[str]:
        return troubles(self.run_dir, *self.read(), self.said())

    # ---- life ----------------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def heeding(self) -> Iterator[None]:
        """From the first process to the last: a signal ends the run in order, and a second one does not end that."""
        were = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            if were[number] is not signal.SIG_IGN:         # under nohup a closed terminal is nobody's business
                signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in were.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _: Any) -> None:
        if number == signal.SIGHUP:
            self._drop_terminal()
            self.is_ending |= not self.is_live             # a live run goes on: what it holds needs a dead man
        else:
            self.is_ending = True

    def _drop_terminal(self) -> None:
        """The terminal is gone: what would have been shown there goes to a file."""
        self.quiet = True
        if self.screen is not None:
            self.screen.drop()
        fd = os.open(self.run_dir.path / "launcher.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            if os.isatty(stream):
                os.dup2(fd, stream)
        os.close(fd)

    def beat(self) -> None:
        """The sign of life the others watch for."""
        try:
            self.run_dir.beat.touch()
        except OSError as error:
            raise RunError(in_words(error) if self.run_dir.path.exists() else f"{self.run_dir.path} is gone") from None

    def loop(self, seconds: float | None) -> None:
        """Until a signal, a failure, the end of a simulated day, or `seconds` of wall time after the engine is ready."""
        view = View(self.run_dir, self.title)
        self.screen = Screen(view, self.quiet)
        at = begun = time.monotonic()
        waited = seconds is not None
        try:
            while not self.stopping:
                if waited and (self._is_ready() or time.monotonic() - begun > READY_S):
                    begun, waited = time.monotonic(), False
                is_due = seconds is not None and not waited and time.monotonic() >= max(begun + seconds, self.asked + ASK_S)
                if self.is_ending or is_due:
                    self.stopping = self._may_end()
                    self.is_told = self.is_ending
                self.supervise()
                self.beat()
                if not self.is_live and time.monotonic() - at > Attendance.LOST_S:
                    self.failure = self.failure or (f"the launcher stood still for {time.monotonic() - at:.0f} s: the others have "
                                                    "ended without it")
                    self.stopping = True
                at = time.monotonic()
                market = self.market()
                view.update(*self.read(), self.troubles(), market)
                self.damage = damage_words(view.reader) if view.reader.problem else None
                self.screen.draw()
                if market.get("has_ended"):
                    break
                time.sleep(0.25)
        finally:
            self.screen.close()

    def _may_end(self) -> bool:
        """Whether the run may end now. A live one with positions needs a word on what becomes of them."""
        if not self.is_live or not self._holds() or self.stopping:
            return True
        ending, self.asked = self.ending or self._asked(), time.monotonic()
        if ending == "flatten":
            return self._flatten()
        if not ending:
            self.is_ending = False
            print("positions are open: the run goes on. `python -m engine flatten` closes them; started with --flatten or "
                  "--leave-stops it ends at a signal", flush=True)
        return ending == "leave-stops"

    def _asked(self) -> str:
        """What a person at the terminal wants; empty without one, or where the run shall go on."""
        if not sys.stdin.isatty() or self.screen is None:
            return ""
        self.screen.close()
        with contextlib.suppress(OSError, EOFError):
            said = input("positions are open. f: close them and end; l: leave them with their stops and end; else: go on > ")
            return {"f": "flatten", "l": "leave-stops"}.get(said.strip().lower()[:1], "")
        return ""

    def _flatten(self) -> bool:
        """Has the engine close what it holds; False where it has not within a minute."""
        end = time.monotonic() + FLATTEN_S
        while self._holds() and time.monotonic() < end:
            if self.status is not None:
                self.status.operator = OP_KILL
            self.supervise()
            self.beat()
            time.sleep(0.1)
        if self._holds():
            self.is_ending = False
            print("positions are still open: the run goes on. `python -m engine kill` ends the engine and closes them", flush=True)
        return not self._holds()

    def stop(self) -> None:
        """Ends engine, then sim and logs, then the store once it has everything."""
        for names in (("engine",), ("sim", "logs"), ("store",)):
            ending = [c for c in self.children if c.name in names and c.process is not None]
            for child in ending:
                self._terminate(child)
            for child in ending:
                is_filling = child.name == "store" and "finished" in read_note(self.run_dir.store)
                self._wait(child, STORE_S if is_filling else END_S)
        self.is_done = True
        self.run_dir.clear_after_removal()
        self._look_back()
        self._tell()

    def _terminate(self, child: Child) -> None:
        """SIGTERM; to a store only when it listens, for what it has not drained would stay in memory."""
        assert child.process is not None
        end = time.monotonic() + END_S
        while (child.name == "store" and child.process.poll() is None and time.monotonic() < end
               and read_note(self.run_dir.store).get("pid") != child.process.pid):
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            child.process.terminate()

    def _wait(self, child: Child, seconds: float) -> None:
        """For the end of a process, beating meanwhile: what is left shall not take us for dead."""
        assert child.process is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                child.process.wait(0.5)
                return
            except subprocess.TimeoutExpired:
                with contextlib.suppress(RunError):
                    self.beat()
        child.process.kill()
        child.process.wait()

    def _look_back(self) -> None:
        """What must be said at the end: the store did not end well, the journal is not whole on the disk."""
        store = next((c for c in self.children if c.name == "store"), None)
        if store is not None and (store.process is None or store.process.returncode):
            if store.process is not None:
                store.has_died(time.monotonic(), CRASH_WINDOW_S)
            if self.run_dir.undrained():                   # it could not drain, or was not there to: once more, and only that
                last = store_child("--run-dir", str(self.run_dir.path), "--once", "--drain-only")
                self._start(last)
                if last.process is not None:
                    self._wait(last, STORE_S)
        status = self.read()[0]
        if (status is None or not status["ready"]) and not self.is_told:
            words = self._engine().words or "it was still starting"
            self.failure = self.failure or f"the engine was not ready before the run ended: {words}"
        if store is not None and (store.is_crippled or (
                store.process is None and store.died and "--drain-only" not in store.command)):
            self.rows = (f"store: {store.words}; not all rows are in ClickHouse: `python -m engine store --once --run-dir "
                         f"{self.run_dir.path}` stores them from the journal")

    def summary(self) -> dict[str, Any]:
        """What the run did, from the last status and the store, and what is wrong with it."""
        return summary(self.run_dir, *self.read(), self.troubles()) | {"told_to_stop": self.is_told, "market": self.market() or
        None}


def store_child(*arguments: str) -> Child:
    """The store's process: at once what its command becomes, confined, and without a secret in its environment."""
    return Child("store", confinement.command(*arguments), environment=confinement.environment())


def wait_for(path: Path, launcher: Launcher, child: Child) -> str:
    """The line a starting child writes to `path`; RunError with what it said when it dies or takes too long."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and not launcher.is_ending:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        if child.process is not None and child.process.poll() is not None:
            raise RunError(f"{child.name} did not start: {child.last_words()}")
        launcher.beat()
        time.sleep(0.02)
    if launcher.is_ending:
        raise RunError("told to stop before it had begun")
    raise RunError(f"{child.name} did not start within {START_S:.0f} s: {child.last_words()}")


def launcher_lock(run: RunDir) -> Lock:
    return Lock(run.path / "launcher.lock", f"the launcher of {run.path}")
