"""The watch process: `python -m engine watch`."""
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import EngineError
from engine.market.instruments import sector_names
from engine.paths import state_folder
from engine.trail.rundir import Attendance, Lock, RunDir
from engine.watch.server.guard import Guard, csrf_of, kept_token


class CannotGoOn(EngineError):
    """What follows the run has failed."""


NICE = 5
"""The page waits where the engine wants the processor."""


class CannotListen(EngineError):
    """No address to listen on."""


def bound(host: str, port: int) -> socket.socket:
    """A socket at `host`, at `port` or, where that is taken, any that is free. CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in dict.fromkeys((port, 0)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
            listener.listen(128)                           # who has read the address waits, and is not refused
            return listener
        except OSError as error:
            listener.close()
            why = error.strerror
    raise CannotListen(f"watch cannot listen at {host}: {why}; name another in watch.host of engine.toml")


def main(run: RunDir, config: Config, attends: bool) -> None:
    """Serves the page of `run` until SIGTERM, or `attends`: until its launcher is gone."""
    import uvicorn

    from engine.watch.server.app import make_app
    from engine.watch.server.serving import Serving

    os.nice(NICE)
    lock = Lock(run.path / "watch.lock", f"the page of {run.path}")
    token = kept_token(state_folder())
    listener = bound(config.watch.host, config.watch.port)
    host, port = listener.getsockname()[:2]
    named = f"[{host}]" if ":" in host else host
    serving = Serving(run, config, csrf_of(token), sector_names(), attends and config.alerts.chats)
    guard = Guard(make_app(serving), token, [config.watch.host, *config.watch.hosts])
    address = run.address
    _leave(address, f"http://{named}:{port}/?token={token}\n")
    server = uvicorn.Server(uvicorn.Config(guard, log_level="warning", access_log=False, lifespan="on", ws="websockets-sansio",
                                           timeout_graceful_shutdown=2, server_header=False, ws_max_size=64 << 10))
    failed = False

    def fail() -> None:
        nonlocal failed
        failed = server.should_exit = True

    serving.on_failure = fail
    attendance = Attendance(run) if attends else None

    def look(*_: Any) -> None:
        if attendance is not None and attendance.is_over():
            server.should_exit = True

    if attendance is not None:
        signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, 1, 1)
    print(f"the page is at {address}", file=sys.stderr, flush=True)
    try:
        server.run(sockets=[listener])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(OSError):
            address.unlink()
        lock.release()
    if failed:
        raise CannotGoOn("watch could not go on: watch.out of the run's folder says why")


def _leave(path: Path, text: str) -> None:
    """Writes the address for its owner alone."""
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    temporary.replace(path)
