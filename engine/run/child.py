"""One process of a run: its command, what it wrote, its last words, and when it may be started again."""
import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from engine.trail.resources import ADVICE, ROOM, SHARED, advice_for, in_words, is_full, memory_limit
from engine.trail.rundir import start_time

BACK_OFF = (0.5, 10.0)
OUT_MAX, TAIL = 4 << 20, 64 << 10
WORDS_MAX = 400
STORE_BYTES = 1 << 30
ILL_S = 60.0
NOISE = re.compile(r"\s|Unclosed |client_session:|connector:|connections:|Traceback|During handling|The above exception|"
                   r".*Warning: |Exception ignored|\d+\. |Stack trace|"
                   r"Current thread|Thread 0x|Extension modules|Fatal Python error: Aborted")
"""Lines that follow or surround a cause and are none: indented ones, what asyncio says of a session that was not closed, traces."""
FRAME = re.compile(r'^  File "([^"]+)", line (\d+)', re.MULTILINE)
OURS = ("/site-packages/", "/lib/python", str(Path(__file__).parents[1]))
STACK = re.compile(r",? ?(e\.what\(\)|Stack trace)")


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
    """One process of a launcher. `out` is the file its output goes to."""
    name: str
    command: list[str]
    process: "subprocess.Popen[bytes] | Adopted | None" = None
    out: Path | None = None
    pause: float = BACK_OFF[0]
    due: float = 0.0
    deaths: list[float] = field(default_factory=list)     # times of death within the window that counts
    died: int = 0                                         # deaths in all
    words: str = ""                                       # of the last death
    repeats: int = 0                                      # deaths in a row with those words
    is_given_up: bool = False
    is_crippled: bool = False                             # runs again, but does only part of its work
    environment: dict[str, str] | None = None             # None: ours
    begun: int = 0                                        # where in `out` this life's words begin
    core: int | None = None                               # the one core it may use; None: those its parent has
    beat: float = 0.0                                     # the last sign of life it gave
    beat_at: float = 0.0                                  # when that was seen, or the process begun
    ended_for: str = ""                                   # why its launcher ended it

    def start(self) -> None:
        """Raises OSError where the machine gives no further process."""
        assert self.out is not None
        self.bound()
        with self.out.open("ab") as log:
            self.begun = log.tell()
            # a session of its own: Ctrl-C reaches the launcher alone, which ends the others in order
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                            cwd=os.getcwd(), env=self.environment)
        self.beat_at, self.ended_for = time.monotonic(), ""
        if self.core is not None:
            os.sched_setaffinity(self.process.pid, {self.core})

    def is_still(self, note: dict[str, Any], now: float, patience_s: float) -> bool:
        """Whether this process has shown no life for so long, by the time (`at`) in the note it keeps writing."""
        assert self.process is not None
        beat = float(note.get("at", 0.0)) if note.get("pid") == self.process.pid else self.beat
        if beat != self.beat or not self.beat_at:          # by the beat itself and our own clock: the wall's may jump
            self.beat, self.beat_at = beat, now
        return now - self.beat_at > patience_s

    def bound(self) -> None:
        """Keeps the output file short, also while it is written to: what it had moves to one file beside it."""
        with contextlib.suppress(OSError):
            if self.out is not None and self.out.stat().st_size > OUT_MAX:
                shutil.copyfile(self.out, self.out.with_suffix(".out.1"))
                os.truncate(self.out, 0)                   # its writer appends
                self.begun = 0

    def last_words(self) -> str:
        """What it died of, as far as it said so."""
        code = self.process.poll() if self.process is not None else None
        by = f"ended by {signal.Signals(-code).name}" if code is not None and code < 0 else ""
        if self.out is None:
            return by or "it said nothing"
        try:
            with self.out.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self.begun, size - TAIL))
                text = file.read().decode(errors="replace")
                said = cause_in(text)
        except OSError as error:
            text, said = "", in_words(error)
        if self.ended_for:
            by = f"{self.ended_for}{line_in(text)}, and was ended"
        if not said and is_full(self.out.parent):
            said = f"it could say nothing: no room is left on the disk of {self.out.parent}"
        if self.name == "store" and (limit := memory_limit() or STORE_BYTES) < STORE_BYTES:
            advice = ADVICE[errno.ENOMEM]
            why = f"{advice}; the limit is {limit >> 20:,} MB, ClickHouse takes some {STORE_BYTES >> 20:,}"
            said = said.replace(advice, why) if advice in said else f"{why} ({said})" if said else why
        return f"{said} ({by})" if said and by and "SIGTERM" not in by else said or by or "it said nothing"

    def is_ill(self, is_done: bool) -> bool:
        """Whether its deaths are more than history: it is dead, has died within the minute, or is not what it was. Once all is done
        only what never got well counts."""
        if not self.died or self.process is None or self.is_given_up or self.is_crippled:
            return self.died > 0
        return not is_done and time.monotonic() - self.deaths[-1] < ILL_S

    def has_died(self, now: float, window_s: float) -> None:
        """Notes a death, and when it may be started again: each time later."""
        words = self.last_words()
        self.repeats = self.repeats + 1 if words == self.words else 1
        self.words, self.process = words, None
        self.died += 1
        self.deaths = [t for t in self.deaths if now - t < window_s] + [now]
        self.due = now + self.pause
        self.pause = min(self.pause * 2, BACK_OFF[1])


def cause_in(text: str) -> str:
    """The line of a dead process's output that says why: its own `error:`, else the last that means something."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith("error: "):
            return _with_advice(line[7:])
    for line in reversed(lines):
        if NOISE.match(line):
            continue
        with contextlib.suppress(ValueError):
            note = orjson.loads(line)
            if isinstance(note, dict):
                line = str(note.get("note") or note.get("store") or line)
        return _with_advice(line.strip())
    return ""


def _with_advice(line: str) -> str:
    """Without a library's stack trace, and with what to do where something ran out."""
    said, advice = STACK.split(line, maxsplit=1)[0].rstrip(" ,.:")[:WORDS_MAX], advice_for(line)
    is_said = any(text in said for text in (*ADVICE.values(), ROOM, SHARED))
    return said if not advice or is_said else f"{advice} ({said})"


def line_in(text: str) -> str:
    """Where a process that was aborted was, as its interpreter told: the last line of a file that is neither ours nor a library's;
    empty where none is told."""
    frames = [(path, line) for path, line in FRAME.findall(text.rpartition("(most recent call first)")[2])
              if not any(part in path for part in OURS) and not path.startswith("<")]
    return f" ({Path(frames[0][0]).name}, line {frames[0][1]})" if frames else ""
