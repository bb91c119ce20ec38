"""The thread that makes a run's journal safe: a slow disk delays neither queries nor inserts, and what cannot be copied stays in
memory and is tried for again."""
import contextlib
import errno
import threading
import time
from collections.abc import Callable

from engine.trail.drain import Drainer
from engine.trail.resources import ADVICE, in_words
from engine.trail.rundir import Lock, RunDir, RunError

SYNC_S, POLL_S, AGAIN_S = 1.0, 0.02, 1.0


class Draining:
    """Copies and syncs until `stopping`, then all there is. `say` is called when the disk begins to refuse, and, with an empty
    text, when it takes the journal again."""

    def __init__(self, run: RunDir, stopping: threading.Event, say: Callable[[str], None]):
        self.run, self.stopping, self.say = run, stopping, say
        self.trouble = self.why = ""
        self.thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def join(self) -> None:
        self.thread.join()

    def _work(self) -> None:
        drainer, synced = None, 0.0
        while True:
            is_last = self.stopping.is_set()
            sync = is_last or time.monotonic() - synced > SYNC_S
            copied = 0
            try:
                drainer = drainer or Drainer(self.run.memory, self.run.journal)
                if is_last:
                    self._to_the_end(drainer)
                else:
                    copied = drainer.step(sync)
                self._found("")
            except (OSError, MemoryError) as error:
                self._found(self._words(error))
                self.stopping.wait(AGAIN_S)
            if sync:
                synced = time.monotonic()
            if is_last:
                return
            if not copied:
                self.stopping.wait(POLL_S)

    def _to_the_end(self, drainer: Drainer) -> None:
        """All there is; where no writer lives, what a killed one has left in memory too."""
        lock = None
        with contextlib.suppress(RunError):
            lock = Lock(self.run.lock, "the journal")      # no engine begins while its segments are cleared away
        try:
            while drainer.step(True, is_over=lock is not None):
                pass
            self.run.leave_memory()
        finally:
            if lock is not None:
                lock.release()

    def _found(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.say(trouble)

    def _words(self, error: OSError | MemoryError) -> str:
        code = error.errno if isinstance(error, OSError) else errno.ENOMEM
        self.why = "no room is left on the disk" if code == errno.ENOSPC else ADVICE.get(code or 0, in_words(error))
        return (f"the journal cannot be written to {self.run.journal} ({self.why}): what is missing there lies in shared "
                f"memory alone, {self.run.memory}, and is lost when this machine stops; once that is mended it is written by "
                f"itself, or, after the run, by `python -m engine store --once --run-dir {self.run.path}`")
