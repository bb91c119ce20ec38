"""The live feed over real sockets: a sim that cuts, refuses, stalls and goes deaf; every hole is found and filled."""
import signal
import subprocess
import sys
import time

import orjson
import pytest

from engine.trail.rundir import RunDir
from engine.watch.ledger import rows_of
from engine.watch.state import RunState
from tests.system.test_live import updates, wait_until

FAULTS = """
[[feed]]
kind = "drop"
at = "09:20:10"
value = 1000
[[feed]]
kind = "refuse"
at = "09:20:10"
seconds = 12
value = 403
[[feed]]
kind = "stall"
at = "09:22:20"
seconds = 20
[[feed]]
kind = "silence"
at = "09:23:05"
seconds = 60
keys = ["NSE_EQ|INE466L01038"]
[[feed]]
kind = "corrupt"
at = "09:24:10"
seconds = 15
"""


@pytest.fixture
def processes(tmp_path):
    running = []

    def start(*arguments):
        with (tmp_path / f"{arguments[0]}.out").open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "engine", *arguments], stdout=out, stderr=subprocess.STDOUT)
        running.append(process)
        return process

    yield start
    for process in reversed(running):
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_every_hole_is_found_and_filled(tmp_path, processes):
    faults, address, run = tmp_path / "faults.toml", tmp_path / "address", RunDir(tmp_path / "run")
    faults.write_text(FAULTS)
    processes("sim", "--names", "24", "--speed", "10", "--start", "09:19", "--faults", str(faults), "--address-file",
              str(address))
    wait_until(lambda: address.exists() and address.read_text().endswith("\n"), 30, "an address")
    engine = processes("engine", "--base", address.read_text().strip(), "--run-dir", str(run.path))
    wait_until(lambda: updates(run.path) > 100, 30, "updates")

    def kinds():
        return rows_of(RunState.after(run.reader()))[1]

    wait_until(lambda: kinds().get("corrupt", 0) > 0, 90, "the last fault")
    time.sleep(10)
    rows, counts = rows_of(RunState.after(run.reader()))
    assert engine.poll() is None
    assert counts["link"] == 1 and counts["stall"] >= 2 and counts["stale"] >= 1
    link = next(r for r in rows if r["kind"] == "link")
    assert 11 < link["seconds"] < 120 and "09:20:09" <= link["begin"] < "09:20:20"      # it may go with what came before it
    lost = {r["name"] for r in rows if r["kind"] == "silence"}
    assert len(lost) == 24 and {r["name"] for r in rows if r["kind"] == "filled"} == lost
    notes = [orjson.loads(line)["note"] for line in (tmp_path / "engine.out").read_text().splitlines() if line.startswith("{")]
    assert any("403" in note for note in notes)
