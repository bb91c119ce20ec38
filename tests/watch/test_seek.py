"""The time machine: its copies give what a replay from the beginning gives, at any moment and in any order.

`engine/watch/seek.py`, `engine/watch/then.py`, `engine/watch/moment.py`.
"""
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

import engine
from _ext.core.clock import MINUTE
from _ext.trail.unpack import unpacked
from engine.config import Config
from engine.watch.follow import followed
from engine.watch.seek import environment
from engine.watch.then import MomentError, Then, moment_of

LENGTH = struct.Struct("<Q")


class Machine:
    """A seek process, asked over its pipes."""

    def __init__(self, run: Path):
        self.process = subprocess.Popen([sys.executable, "-m", "engine.watch.seek", str(run), json.dumps(Config().models)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())

    def ask(self, at: int, panel: str = "moment", **arguments):
        body = orjson.dumps({"at": at, "panel": panel, "arguments": arguments})
        self.process.stdin.write(LENGTH.pack(len(body)) + body)
        self.process.stdin.flush()
        size = LENGTH.unpack(self.process.stdout.read(LENGTH.size))[0]
        return orjson.loads(self.process.stdout.read(size))


@pytest.fixture
def machine(day_run):
    machine = Machine(day_run)
    yield machine
    machine.process.stdin.close()
    assert machine.process.wait(10) == 0
    machine.process.stdout.close()


def moments(follow, count: int, seed: int) -> list[int]:
    first, last = follow.day.began, follow.now()
    draw = random.Random(seed)
    return [draw.randint(first + MINUTE, last) for _ in range(count)]


def straight(run: Path, at: int) -> dict:
    then = Then(run, Path(Config().models))
    then.advance(at)
    return orjson.loads(orjson.dumps(then.document(), option=orjson.OPT_SERIALIZE_NUMPY))


def test_moments_in_any_order_are_those_of_a_replay_from_the_beginning(machine, day_run, followed_day):
    seen = []
    for at in moments(followed_day, 6, 5):
        found = machine.ask(at)
        assert found == straight(day_run, at)
        assert found["same"]
        seen.append(found)
    assert len({found["counts"]["updates"] for found in seen}) == 6
    assert any(found["positions"] for found in seen) and any(found["candidates"]["passed"] for found in seen)


def test_the_command_says_the_same(machine, day_run, followed_day):
    at = moments(followed_day, 1, 8)[0] // 1_000_000 * 1_000_000
    text = time.strftime("%H:%M:%S", time.gmtime(at / 1e9 + 19_800)) + f".{at % 1_000_000_000:09d}"
    said = subprocess.run([sys.executable, "-m", "engine", "replay", str(day_run), "--until", text, "--json"], capture_output=True,
                          text=True, check=True, timeout=120)
    assert moment_of(text, day_run) == at
    assert orjson.loads(said.stdout) == machine.ask(at)


def test_panels_of_a_moment_know_nothing_of_later(machine, followed_day):
    at = moments(followed_day, 1, 3)[0]
    for panel, name in (("candidates", "t_us"), ("orders", "t_us"), ("log", "t_us")):
        rows = machine.ask(at, panel, limit=10_000)["rows"]
        later = [row for row in rows if row[name] > at // 1000]
        assert rows and not later, panel
    made = sum(seen.now <= at for seen in followed_day.day.candidates.values())
    assert machine.ask(at, "candidates", limit=1)["total"] == made
    assert "no candidate" in machine.ask(at, "candidate", id=len(followed_day.day.candidates))["error"]


def test_a_step_onwards_is_answered_by_the_copy_that_stands_there(machine, followed_day):
    """Play: each second is brought on from the one before, and is the same."""
    at = followed_day.day.began + 30 * MINUTE
    found = [machine.ask(at + second * 1_000_000_000)["counts"]["records"] for second in range(5)]
    assert found == sorted(found) and found[0] < found[-1]
    assert machine.ask(at)["counts"]["records"] == found[0]


def test_before_the_first_record_there_is_nothing(machine, followed_day):
    assert "had not begun" in machine.ask(followed_day.day.began - MINUTE)["error"]


def test_copies_end_with_the_process_they_were_copied_from(day_run, followed_day):
    machine = Machine(day_run)
    machine.ask(followed_day.now())
    machine.process.kill()
    machine.process.wait()
    end = time.monotonic() + 5
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and is_of(int(pid), str(day_run))]:
        assert time.monotonic() < end, left
        time.sleep(0.05)
    machine.process.stdin.close()
    machine.process.stdout.close()


def is_of(pid: int, run: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return "engine.watch.seek" in words and run in words


def test_no_copy_holds_a_segment(tmp_path):
    """A segment in shared memory that is drained and unlinked still takes its room while anybody maps it: entries would stop."""
    run = tmp_path / "run"
    engine.run(speed="max", names=4, minutes=45, seed=2, store=False, run_dir=run, unlisted=True)
    for path in (run / "journal").glob("*.zst"):
        (run / "journal" / path.stem).write_bytes(unpacked(path))
        path.unlink()
    machine = Machine(run)
    follow = followed(run)
    for at in moments(follow, 4, 1):
        assert "error" not in machine.ask(at)
    time.sleep(0.5)
    held = [line for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_of(pid, str(run))
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if ".seg" in line]
    assert held == []
    machine.process.stdin.close()
    assert machine.process.wait(10) == 0
    machine.process.stdout.close()


def test_no_copy_has_a_thread_but_its_own(machine, followed_day):
    """The first process may have one of ONNX Runtime's, which is copied to nobody."""
    machine.ask(followed_day.now())
    tasks = {pid: len(os.listdir(f"/proc/{pid}/task")) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
             if is_of(pid, str(followed_day.run.path))}
    assert tasks.pop(machine.process.pid) <= 2
    assert len(tasks) > 2 and set(tasks.values()) == {1}


@pytest.mark.parametrize("text", ["", "25:00", "10:31+05:30", "now", "10:31:05.x"])
def test_another_form_of_a_time_is_refused(day_run, text):
    with pytest.raises(MomentError, match=r"10:31:05\.25"):
        moment_of(text, day_run)
