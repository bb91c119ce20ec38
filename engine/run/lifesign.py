"""The launcher's sign of life to an outside address, second sender beside watch (engine/watch/alerts/heartbeat.py): a dead watch
does not silence it, an engine that is dead or hangs does.

It is sent by a short-lived process, for nothing in the launcher may wait for a name server. Off without an address.
"""
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.trail.signs import READY
from engine.watch.alerts.secrets import addresses

COMMAND = [sys.executable, "-m", "engine.watch.alerts.heartbeat"]
SILENT_S = 10.0
"""An engine that has not beaten for so long is not well."""
LATE_S = 20.0
"""A process that sends for so long is ended."""
KEPT = ("PATH", "HOME", "XDG_STATE_HOME", "LANG", "TZ", "VIRTUAL_ENV")
KEPT_PREFIXES = ("ENGINE_ALERTS_", "PYTHON", "SSL_CERT_")


class LifeSign:
    """`take` some times a second; it never waits. `folder`: of the run. `why` the last one was not taken, in words without the
    address."""

    def __init__(self, folder: Path, every_s: float = 60.0):
        self.out, self.every_s = folder / "heartbeat.out", every_s
        self.why, self._is_on = "", False
        try:
            self._is_on = bool(addresses().heartbeat)
        except UsageError as error:
            self.why = str(error)
        self._beat = (0, -SILENT_S)                        # the engine's last one, and when it was seen to come
        self._due = self._ends = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def take(self, status: Any, now: float | None = None) -> None:
        """Sends one where it is due and the engine is well by its own status record. `now` by a clock that only goes on, s."""
        if not self._is_on:
            return
        now = time.monotonic() if now is None else now
        self._look(now)
        if status is None or int(status["ready"]) != READY:
            return
        if int(status["heartbeat"]) != self._beat[0]:      # by the beat itself and our own clock: the wall's may jump
            is_first = self._beat[0] == 0                  # it may be left by an engine that is dead
            self._beat = int(status["heartbeat"]), -SILENT_S if is_first else now
        if now - self._beat[1] < SILENT_S and now >= self._due and self._process is None:
            self._due, self._ends = now + self.every_s, now + LATE_S
            self._send()

    def close(self) -> None:
        """Ends what is still under way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _look(self, now: float) -> None:
        if self._process is None:
            return
        code = self._process.poll()
        if code is None and now > self._ends:
            self.close()
            self.why = f"the sign of life was not taken within {LATE_S:.0f} s"
        elif code is not None:
            self._process, self.why = None, ""
            if code:
                with contextlib.suppress(OSError):
                    self.why = self.out.read_text(errors="replace").removeprefix("error: ").strip()[:200]
                self.why = self.why or f"the sign of life could not be sent ({code})"

    def _send(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
        try:
            with self.out.open("wb") as log:
                self._process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                                 start_new_session=True)
        except OSError as error:
            self.why = f"the sign of life could not be sent: {(error.strerror or 'no room').lower()}"
