"""Launcher: shows the run of its processes, heeds signals and whoever sits at the terminal, and ends the run cleanly."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _ext.core.records import OP_KILL
from _ext.trail.segment import segment_names
from engine.run.child import Child
from engine.run.supervisor import CRASH_WINDOW_S, Supervisor, store_child
from engine.trail.checked import damage_words
from engine.trail.compress import compress
from engine.trail.note import read_note
from engine.trail.resources import in_words
from engine.trail.rundir import Attendance, Lock, RunDir, RunError
from engine.trail.signs import summary
from engine.watch.view import Screen, View

START_S, READY_S = 60.0, 60.0
"""How long a process may take to start (a synthetic day that is joined late is made up to there first), and an engine to be
ready."""
FLATTEN_S, END_S, STORE_S, ASK_S = 60.0, 10.0, 60.0, 60.0
"""How long an engine may take to close what it holds, a process to end, the store to take what is left; and how long a run whose
time is up goes on before it asks again what becomes of its positions."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launcher(Supervisor):
    """The life of `run`, from the first process to the last.

    With real money a closed terminal does not end the run, and one with positions ends only by `ending`: `flatten`,
    `leave-stops`, or what a person at the terminal answers.
    """

    def __init__(self, run: RunDir, title: str, quiet: bool = False, is_live: bool = False, ending: str = "",
                 core: int | None = None):
        super().__init__(run, is_live, core)
        self.title, self.quiet, self.ending = title, quiet, ending
        self.is_ending = self.is_told = False
        self.asked = 0.0
        self.screen: Screen | None = None

    # ---- life ----------------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def watching_signals(self) -> Iterator[None]:
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
        """Ends engine, then sim, logs and page, then the store once it has everything."""
        for names in (("engine",), ("sim", "logs", "watch"), ("store",)):
            ending = [c for c in self.children if c.name in names and c.process is not None]
            for child in ending:
                self._terminate(child)
            for child in ending:
                is_filling = child.name == "store" and "finished" in read_note(self.run_dir.store)
                self._wait(child, STORE_S if is_filling else END_S)
        with contextlib.suppress(OSError):
            self.run_dir.address.unlink(missing_ok=True)   # a page that was killed has left it
        self.is_done = True
        self.sign.close()
        self.run_dir.clear_after_removal()
        self._look_back()
        self.pack()
        self._publish()

    def pack(self) -> None:
        """Compresses the journal of a run that has ended; a disk without room keeps it as it is."""
        with contextlib.suppress(OSError):
            if not segment_names(self.run_dir.memory):
                compress(self.run_dir.journal)

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
