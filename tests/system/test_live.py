"""A run of several processes in (accelerated) real time: killed here and there, it goes on, loses nothing and doubles nothing.

The engine is `engine/run/live.py`, begun by `engine/cli/engine.py`; its orders go by `engine/run/order_line.py`, its lines come by
`engine/cli/logs.py`.
"""
import asyncio
import os
import random
import signal
import subprocess
import threading
import time

import numpy as np
import orjson
import pytest

from _ext.core.records import INSTRUMENT, POSITION, REC_INSTRUMENTS, REC_POSITION
from _ext.trail.status import StatusBlock
from engine.broker.upstox.api import Api
from engine.trail.rundir import RunDir, is_held, start_time
from tests.kit.counts import count
from tests.kit.store import contents

RUN = ("--names", "24", "--speed", "25", "--start", "09:19")


def children(run_dir) -> dict[str, int]:
    """Living processes of a run: name -> pid."""
    try:
        noted = orjson.loads((run_dir / "children.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: pid for name, (pid, started) in noted.items() if start_time(pid) == started}


def wait_until(condition, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def updates(run_dir) -> int:
    try:
        status = StatusBlock(run_dir / "status").read()
    except (OSError, ValueError):
        return 0
    return 0 if status is None else int(status["updates"])


def both_sides_agree(run_dir) -> None:
    """After restarts: no order was sent twice, exits stay within what is held, every position has one, and the engine's
    positions are the broker's, once nothing is under way."""
    base = orjson.loads((run_dir / "engine.json").read_bytes())["base"]

    async def look() -> str:
        api = Api("demo", base, base)
        try:
            before = positions_of(run_dir)
            book, shown = await api.book(), {r["instrument_token"]: r["quantity"] for r in await api.positions() if r["quantity"]}
            tags = [r["tag"] for r in book if r["tag"]]
            assert len(tags) == len(set(tags)), "an order was sent twice"
            for key, net in shown.items():
                live = [r for r in book if r["instrument_token"] == key and r["status"] in ("open", "trigger pending")
                        and r["tag"].endswith("x")]
                left = sum(r["quantity"] - r["filled_quantity"] for r in live)
                if left != abs(net):
                    return f"{key}: {net} held, exits for {left}"
            return "" if before == shown == positions_of(run_dir) else f"engine {before}, broker {shown}"
        finally:
            await api.close()

    for _ in range(60):
        problem = asyncio.run(look())
        if not problem:
            return
        time.sleep(0.5)
    raise AssertionError(problem)


def positions_of(run_dir) -> dict[str, int]:
    """key -> net quantity as the engine's journal has it."""
    held, keys = {}, []
    for kind, _, _, payload in RunDir(run_dir).reader():
        if kind == REC_INSTRUMENTS:
            keys = [bytes(r["key"]).rstrip(b"\0").decode() for r in np.frombuffer(payload, INSTRUMENT)]
        elif kind == REC_POSITION:
            row = np.frombuffer(payload, POSITION)[0]
            held[keys[int(row["inst"])]] = int(row["quantity"])
    return {key: quantity for key, quantity in held.items() if quantity}


def stop(process) -> dict:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err.decode()[-1500:]
    return orjson.loads(out)


@pytest.fixture
def run_dir(cli):
    path = cli.base / "live"
    yield path
    for pid in children(path).values():                    # whatever a failed test has left
        os.kill(pid, signal.SIGKILL)


def test_first_update_within_ten_seconds_and_a_clean_end(cli, run_dir):
    process = cli.start("run", *RUN, "--run-dir", str(run_dir), "--json")
    wait_until(lambda: updates(run_dir) > 3000, 60, "3,000 updates")
    assert cli.json("query", "SELECT count() n FROM ticks", "--run-dir", str(run_dir))[0]["n"] >= 0     # while it runs
    with pytest.raises(AssertionError, match="in use by process"):
        cli.run("run", *RUN, "--run-dir", str(run_dir), timeout=60)
    cli.run("pause", "--run-dir", str(run_dir))
    cli.run("resume", "--run-dir", str(run_dir))
    document = stop(process)
    assert document["first_update_s"] < 10 and document["stored"] == document["updates"] > 3000
    replayed = cli.json("replay", str(run_dir))
    assert replayed["identical"] and replayed["expected"] == document["digest"]
    assert children(run_dir) == {} and not RunDir(run_dir).memory.exists()
    for name in ("trading", "signals", "feed", "errors"):
        assert (run_dir / "logs" / f"{name}.jsonl").exists()


@pytest.fixture
def attended(run_dir):
    """A beat from outside: on a busy machine the next launcher may take longer to come than the others wait for it."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(1):
            if (run_dir / "launcher.beat").exists():
                (run_dir / "launcher.beat").touch()

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    is_over.set()
    thread.join()


@pytest.mark.long
def test_killed_again_and_again_it_goes_on(cli, run_dir, attended):
    """SIGKILL of engine, store or launcher in turn at random moments: nothing journaled is lost, the account stays locked to one
    engine, ClickHouse equals one filled from the journal alone."""
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    process = cli.start("run", *RUN, "--run-dir", str(run_dir), "--json")
    wait_until(lambda: updates(run_dir) > 1000, 60, "the first updates")
    last_seq = 0
    for n in range(count(3, 5, 12)):
        time.sleep(chance.uniform(0.2, 1.5))
        victim = ("engine", "store", "launcher")[n % 3]
        if victim == "launcher":
            process.kill()
            process.communicate()
            process = cli.start("run", *RUN, "--run-dir", str(run_dir), "--json")
            continue
        pid = children(run_dir).get(victim)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        if victim == "engine":
            sequences = [r[1] for r in RunDir(run_dir).reader()]
            assert sequences == list(range(1, len(sequences) + 1)) and len(sequences) >= last_seq
            last_seq = len(sequences)
            StatusBlock(run_dir / "status").operator = 0    # three crashes in ten minutes make it reduce; here it shall go on
    before = updates(run_dir)
    wait_until(lambda: updates(run_dir) > before + 2000, 90, "updates after the last kill")
    wait_until(lambda: is_held(run_dir / "launcher.lock"), 30, "a launcher")
    both_sides_agree(run_dir)
    document = stop(process)
    assert document["epoch"] >= 2 and document["problem"] is None
    replayed = cli.json("replay", str(run_dir))
    assert replayed["identical"], replayed
    sequences = [r[1] for r in RunDir(run_dir).reader()]
    assert sequences == list(range(1, len(sequences) + 1))
    copy = cli.base / "copy"
    copy.mkdir()
    subprocess.run(["cp", "-r", str(run_dir / "journal"), str(copy / "journal")], check=True)
    cli.run("store", "--run-dir", str(copy), "--once")
    assert contents(run_dir) == contents(copy)


def test_unreachable_sim_and_taken_port(cli):
    text = cli.run("engine", "--base", "http://127.0.0.1:9", "--run-dir", str(cli.base / "x"), code=1, timeout=60)
    assert "error:" in text and "127.0.0.1" in text
    first = cli.start("sim", "--names", "2", "--port", "18999")
    try:
        time.sleep(4)
        assert "choose another with --port" in cli.run("sim", "--names", "2", "--port", "18999", code=1, timeout=60)
    finally:
        first.terminate()
        first.communicate()
