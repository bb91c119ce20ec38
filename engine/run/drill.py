"""A rehearsal of the kill on a sim of its own: positions are opened, the engine is made to hang, and `kill` must flatten them."""
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from _ext.core.records import CANDIDATE, REC_ASK
from _ext.trail.status import StatusBlock
from engine.run.fence import target_of
from engine.trail.rundir import RunDir, RunError

if TYPE_CHECKING:
    from engine.run.live import EngineProcess

START_S, OPEN_S = 40.0, 20.0


def run() -> dict[str, Any]:
    """The kill's report, with what the sim shows afterwards. RunError where the rehearsal itself did not get so far."""
    with tempfile.TemporaryDirectory(prefix="spike-drill-") as folder:
        return _rehearse(RunDir(Path(folder) / "run"))


def _rehearse(run_dir: RunDir) -> dict[str, Any]:
    command = [sys.executable, "-m", "engine"]
    environment = os.environ | {"ENGINE_DEBUG": "1", "XDG_STATE_HOME": str(run_dir.path.parent / "state")}
    engine = subprocess.Popen([*command, "run", "--run-dir", str(run_dir.path), "--speed", "1", "--start", "10:00", "--names", "12",
                               "--no-store", "--json", "--unlisted"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=environment)
    try:
        _wait(START_S, "the engine to be ready", lambda: _status(run_dir)["updates"] > 50)
        pid = int(target_of(run_dir)["pid"])
        _wait(OPEN_S, "positions to be open", lambda: _ask(run_dir, pid))
        os.kill(pid, signal.SIGUSR2)
        _wait(OPEN_S, "the engine to hang", lambda: time.time_ns() - int(_status(run_dir)["heartbeat"]) > 1_000_000_000)
        done = subprocess.run([*command, "kill", "--run-dir", str(run_dir.path), "--yes", "--json"], capture_output=True, text=True,
                              check=False, env=environment)
        return orjson.loads(done.stdout) if done.stdout else {"flat": False, "left": {}, "steps": [], "problem": done.stderr[-400:]}
    finally:
        engine.send_signal(signal.SIGINT)
        try:
            engine.wait(30)
        except subprocess.TimeoutExpired:
            engine.kill()


def _ask(run_dir: RunDir, pid: int) -> bool:
    status = _status(run_dir)
    if status["exposure"] > 0 and status["positions"] >= 2 and status["open"] != 0:
        return True
    os.kill(pid, signal.SIGUSR1)
    time.sleep(0.5)
    return False


def _status(run_dir: RunDir) -> Any:
    row = StatusBlock(run_dir.status).read()
    if row is None:
        raise ValueError("being written")
    return row


def _wait(seconds: float, what: str, is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_so():
                return
        except (OSError, ValueError, RunError):
            pass
        time.sleep(0.05)
    raise RunError(f"the drill waited {seconds:.0f} s in vain for {what}")


# ---- in the engine under test ------------------------------------------------------------------------------------------------
def install(loop: asyncio.AbstractEventLoop, process: "EngineProcess") -> None:
    """Lets a rehearsal make an engine enter (SIGUSR1) and hang (SIGUSR2); only where ENGINE_DEBUG says so."""
    if os.environ.get("ENGINE_DEBUG"):
        loop.add_signal_handler(signal.SIGUSR1, _enter, process)
        loop.add_signal_handler(signal.SIGUSR2, _hang)


def _enter(process: "EngineProcess") -> None:
    """Asks for an entry in every name with a fresh quote until the gate has enough."""
    row = np.zeros(1, CANDIDATE)
    row["side"] = 1
    for inst in process.shell.keys:
        row["inst"] = inst
        process.input(REC_ASK, row.tobytes())
        if process.core.states()[3] >= process.config.risk.max_positions:
            break


def _hang() -> None:
    """Never comes back."""
    while True:
        pass
