"""Log files rendered from the journal by a process of their own: trading, signals, feed and errors, JSON lines, rotated."""
import contextlib
import logging
import logging.handlers
import os
import signal
import threading
from pathlib import Path
from typing import Any

import orjson
import structlog

from engine.trail.rundir import Attendance, Lock, RunDir
from engine.watch.events import EventFormatter, clock

FILES = ("trading", "signals", "feed", "errors")
ROTATE_BYTES, KEPT = 20 << 20, 5


def loggers(folder: Path) -> dict[str, Any]:
    """One structlog logger a file, written as JSON lines by orjson."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = {}
    for name in FILES:
        handler = logging.handlers.RotatingFileHandler(folder / f"{name}.jsonl", maxBytes=ROTATE_BYTES, backupCount=KEPT)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger(f"spike.{name}")
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
        out[name] = structlog.wrap_logger(logger, processors=[
            structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(
                value, option=orjson.OPT_SERIALIZE_NUMPY).decode())], wrapper_class=structlog.BoundLogger)
    return out


def main(run: RunDir) -> None:
    """Follows the journal until SIGTERM and what is written then. Rewrites nothing: it starts where the last one ended."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    lock = Lock(run.path / "logs.lock", f"the logs of {run.path}")
    out, formatter, reader = loggers(run.logs), EventFormatter(), run.reader()
    mark = run.logs / "position"
    text = mark.read_text() if mark.exists() else ""
    done = int(text) if text.isdigit() else 0
    attendance = Attendance(run)
    while True:
        if attendance.end_the_hung():                      # the store could not: it is confined
            print("the engine hung and its launcher is gone: ended", flush=True)
        moved, is_last = False, stopping.is_set() or attendance.is_over()
        while (record := reader.read()) is not None:
            event = formatter.event(*record)
            if record[1] <= done:
                continue
            done, moved = record[1], True
            if event is not None:
                fields = {k: v for k, v in event.fields.items() if k != "event"}
                out[event.log].info(event.name, time=clock(event.now), text=event.text.strip(), ns=event.now, **fields)
        if moved:
            with contextlib.suppress(OSError):
                temporary = mark.with_suffix(".new")
                temporary.write_text(str(done))
                os.replace(temporary, mark)
        if is_last:
            lock.release()
            return
        stopping.wait(0.2)
