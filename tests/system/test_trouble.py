"""What goes wrong around a run is seen: each trouble made in a real run, and what the user is told (docs/faults.md has the table).

The runs are independent of each other: a few go on at a time, and each test waits for its own. `engine/store/draining.py`
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from _ext.trail.segment import segment_names
from _ext.trail.status import StatusBlock
from engine.__main__ import main
from engine.trail.note import read_note
from engine.trail.rundir import RunDir, start_time
from engine.trail.signs import troubles, vital_signs
from tests.system.conftest import SHORT, Cli

AT_ONCE = 4
SMALL = ("--names", "5", "--start", "10:00", "--speed", "5")
DEFAULT_HANGUP = ("env", "--default-signal=HUP")          # a test under nohup would hand on that it is ignored


class Run:
    """One `run` of the command line, with a home of its own."""

    def __init__(self, base: Path, name: str):
        (base / name).mkdir()
        self.cli, self.dir = Cli(base / name), base / name / "run"
        self.mounts: list[Path] = []

    def start(self, *arguments: str, prefix: tuple[str, ...] = (), folder: Path | None = None, **env: str) -> None:
        self.dir = folder or self.dir
        self.out, self.err = self.cli.base / "out", self.cli.base / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "engine", "run", "--run-dir", str(self.dir), *arguments], cwd=self.cli.base,
                env=self.cli.env | env, stdout=out, stderr=err, stdin=subprocess.DEVNULL)

    def wait(self, seconds: float = 60) -> SimpleNamespace:
        """Its end: exit code, what it said, what was wrong, and whether anything runs on."""
        code = self.process.wait(seconds)
        out, err = self.out.read_text(), self.err.read_text()
        with contextlib.suppress(ValueError):
            return SimpleNamespace(code=code, document=orjson.loads(out), out=out, err=err)
        return SimpleNamespace(code=code, document={}, out=out, err=err)

    def status(self) -> Any:
        try:
            return StatusBlock(self.dir / "status").read()
        except (OSError, ValueError):
            return None

    def troubles(self) -> list[str]:
        run = RunDir.existing(self.dir)
        return troubles(run, *vital_signs(run))

    def children(self) -> dict[str, int]:
        return {name: pid for name, (pid, started) in read_note(self.dir / "children.json").items() if start_time(pid) == started}

    def until(self, condition, what: str, seconds: float = 100) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {what}; {self.troubles()}; {self.err.read_text()[-500:]}"
            time.sleep(0.05)

    def until_updates(self) -> None:
        self.until(lambda: (status := self.status()) is not None and status["updates"] > 20, "updates")

    def mount(self, path: Path, size: str) -> Path:
        path.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=False,
                          capture_output=True).returncode:
            pytest.skip("mounting a small tmpfs needs root")
        self.mounts.append(path)
        return path

    def clear(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pid in self.children().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(RunDir(self.dir).memory, ignore_errors=True)      # what a damaged run has left there
        for path in self.mounts:
            subprocess.run(["umount", "-l", str(path)], check=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """name -> what was found out; the runs of all scenarios go on meanwhile."""
    base = tmp_path_factory.mktemp("trouble")
    runs = {name: Run(base, name) for name in SCENARIOS}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[str, Future[Any]] = {name: pool.submit(_play, work, runs[name]) for name, work in SCENARIOS.items()}
        yield lambda name: futures[name].result(400)
        for future in futures.values():
            future.cancel()


def _play(work: Any, run: Run) -> Any:
    try:
        return work(run)
    finally:
        run.clear()


# ---- scenarios ---------------------------------------------------------------------------------------------------------
def disk(run: Run) -> SimpleNamespace:
    """The disk fills up while the run goes on, has room again, fills up for good; after the run room is made."""
    small = run.mount(run.cli.base / "small", "20m")
    run.start("--names", "12", "--speed", "10", "--start", "10:00", "--no-store", folder=small / "run")
    run.until_updates()
    children = run.children()
    fill(small / "filler")
    run.until(run.troubles, "a word that the disk is full")
    run.until(lambda: run.status()["operator"] == 2, "entries stopped", 5)
    (small / "filler").unlink()
    run.until(lambda: not run.troubles() and run.status()["operator"] == 0, "entries again", 10)
    fill(small / "filler")
    run.until(lambda: run.troubles() and run.status()["operator"] == 2, "entries stopped again")
    are_alive = run.children() == children
    at, said = run.status(), run.cli.run("status", "--run-dir", str(run.dir), "--json", code=1)
    document = orjson.loads(said.partition("error:")[0])
    run.process.send_signal(signal.SIGINT)
    end = run.wait()
    rest = RunDir(run.dir).undrained()
    after = run.cli.run("status", "--run-dir", str(run.dir), code=1)
    (small / "filler").unlink()
    run.cli.run("store", "--once", "--drain-only", "--run-dir", str(run.dir))
    replayed = run.cli.json("replay", str(run.dir))
    return SimpleNamespace(are_alive=are_alive, during=document, at=at, end=end, rest=rest, after=after, replayed=replayed,
                           status=run.cli.json("status", "--run-dir", str(run.dir)), memory=RunDir(run.dir).memory)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def shared_memory(run: Run) -> SimpleNamespace:
    run.start(*SMALL, "--no-store", "--json", ENGINE_SHM=str(run.mount(run.cli.base / "shm", "8m")))
    return run.wait()


def memory(run: Run) -> SimpleNamespace:
    """A limit under which the engine lives and ClickHouse does not."""
    run.start(*SMALL, "--json", prefix=("prlimit", f"--data={256 << 20}"))
    run.until_updates()
    run.until(lambda: any("too little memory" in text for text in run.troubles()), "the store's want of memory")
    words = run.troubles()
    run.process.send_signal(signal.SIGTERM)
    return SimpleNamespace(during=words, end=run.wait(), rest=RunDir(run.dir).undrained())


def hung_strategy(run: Run) -> SimpleNamespace:
    """Its fortieth call goes into C and does not come back: no signal reaches it there."""
    (run.cli.base / "mine.py").write_text(HANGS)
    (run.cli.base / "engine.toml").write_text('[strategies.mine]\nfile = "mine.py"\n')
    run.start(*SMALL[:-1], "20", "--no-store", "--json")
    run.until_updates()
    run.until(lambda: any("is off since its call 40" in text for text in run.troubles()), "the end of the strategy")
    at = run.status()["updates"]
    run.until(lambda: run.status()["updates"] > at + 100, "updates after it")
    run.process.send_signal(signal.SIGTERM)
    end = run.wait()
    return SimpleNamespace(end=end, said=(run.dir / "engine.out").read_text(), calls=(run.cli.base / "calls").read_text().split(),
                           replayed=run.cli.json("replay", str(run.dir)))


HANGS = """
import itertools
import engine

class Hangs(engine.Strategy):
    calls = 0
    def on_bar(self, instrument, minutes, bars):
        self.calls += 1
        with open("calls", "a") as file:
            file.write(f"{self.calls}\\n")
        if self.calls == 40:
            sum(itertools.repeat(0))
"""


def descriptors(run: Run) -> SimpleNamespace:
    run.start(*SMALL, "--json", "--for", "3s", prefix=("prlimit", "--nofile=64"))
    return run.wait()


def _ended_by(number: int):
    def work(run: Run) -> SimpleNamespace:
        run.start(*SMALL, "--no-store", "--json", prefix=DEFAULT_HANGUP)
        run.until_updates()
        before = run.children()
        run.process.send_signal(number)
        began = time.monotonic()
        end = run.wait()
        run.until(lambda: not run.children(), "the end of every process", 25)
        return SimpleNamespace(end=end, before=before, took=time.monotonic() - began, rest=RunDir(run.dir).undrained(),
                               replayed=run.cli.json("replay", str(run.dir)))
    return work


def damaged_under_way(run: Run) -> SimpleNamespace:
    """The engine dies and its journal is damaged while positions are open: it cannot come back."""
    run.start("--names", "12", "--start", "10:00", "--speed", "1", "--no-store", "--json", ENGINE_DEBUG="1")
    run.until_updates()
    pid = run.children()["engine"]
    asked = [0.0]

    def holds() -> bool:
        if time.monotonic() - asked[0] > 1:
            asked[0] = time.monotonic()
            os.kill(pid, signal.SIGUSR1)
        return run.status()["positions"] >= 2 and run.status()["exposure"] > 0

    run.until(holds, "positions")
    os.kill(pid, signal.SIGKILL)
    folder = RunDir(run.dir)
    for place in (folder.memory, folder.journal):
        for name in segment_names(place):
            flip(place / name, 5000)
    return SimpleNamespace(end=run.wait(90), status=run.cli.run("status", "--run-dir", str(run.dir), code=1))


def without_a_model(run: Run) -> SimpleNamespace:
    (run.cli.base / "models").mkdir()
    run.start(*SMALL, "--no-store", "--for", "1s", ENGINE_MODELS=str(run.cli.base / "models"))
    return SimpleNamespace(end=run.wait(), status=run.cli.run("status", "--run-dir", str(run.dir), "--json", code=1))


def wrong_answers(run: Run) -> SimpleNamespace:
    """A market that answers, and not what was asked: the engine alone, as `run` starts it."""
    server = subprocess.Popen([sys.executable, "-c", ANSWERS], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        said = run.cli.run("engine", "--base", f"http://127.0.0.1:{port}", "--run-dir", str(run.dir), code=1, timeout=60)
    finally:
        server.kill()
        server.communicate()
    run.process = server
    return SimpleNamespace(said=said)


ANSWERS = """
import http.server
class Odd(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'["not", "it"]')
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Odd)
print(server.server_port, flush=True)
server.serve_forever()
"""


def finished(run: Run) -> SimpleNamespace:
    """A day on virtual time whose journal is damaged afterwards."""
    run.start(*SHORT, "--json")
    end = run.wait(90)
    folder = RunDir(run.dir)
    flip(folder.journal / segment_names(folder.journal)[-1], 300_000)
    return SimpleNamespace(end=end, dir=str(run.dir), cli=run.cli)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 255]))


SCENARIOS = {
    "finished": finished, "damaged under way": damaged_under_way, "disk": disk, "memory": memory,
    "killed": _ended_by(signal.SIGKILL), "hung up": _ended_by(signal.SIGHUP), "terminated": _ended_by(signal.SIGTERM),
    "descriptors": descriptors, "shared memory": shared_memory, "hung strategy": hung_strategy,
    "without a model": without_a_model, "wrong answers": wrong_answers}


# ---- what is told ------------------------------------------------------------------------------------------------------
@pytest.mark.machine
def test_a_full_disk_stops_entries_and_says_where_the_rest_lies(told):
    found = told("disk")
    assert "no room is left on the disk" in found.during["problem"] and found.during["operator"] == "REDUCE"
    assert found.are_alive, "a full disk ends no process, and the sim's goes on at its pace"
    assert b"no room is left on the disk" in found.at["trouble"], "the status block says it too"
    assert found.end.code == 1 and "TROUBLE: the journal cannot be written" in found.end.out
    assert found.rest > 0
    for text in (found.end.err, found.after):
        assert str(found.memory) in text and "python -m engine store --once --run-dir" in text
    assert found.replayed["identical"] and found.replayed["expected"] == found.replayed["digest"], "saved whole"
    assert found.status["problem"] is None and not found.memory.exists()


@pytest.mark.machine
def test_shared_memory_that_is_full_is_the_cause_that_is_named(told):
    end = told("shared memory")
    assert end.code == 1 and "no room for 16 MiB" in end.err and "set ENGINE_SHM" in end.err
    assert "connector" not in end.err and end.document["problem"] in end.err


def test_a_store_that_dies_again_and_again_is_counted(told):
    found = told("memory")
    assert any("256 MB" in text or "the journal cannot be written" in text for text in found.during), found.during
    assert found.end.code == 1 and "too little memory" in found.end.document["problem"]
    assert found.end.document["updates"] > 0 and found.rest == 0, "the journal is safe all the same"
    assert "store --once" in found.end.document["problem"]


def test_a_strategy_that_hangs_in_c_is_ended_and_not_called_again(told):
    found = told("hung strategy")
    assert found.end.code == 1 and "strategy mine is off since its call 40" in found.end.document["problem"]
    assert re.search(r'mine.py", line \d+ in on_bar', found.said), "whoever looks for the line finds it"
    assert found.end.document["epoch"] == 2 and found.replayed["identical"]
    assert found.calls.count("40") == 1 and found.calls.count("39") == 2, "the restart makes all calls but that one"


def test_too_few_descriptors_are_said(told):
    end = told("descriptors")
    assert end.code == 1 and "too few file descriptors" in end.document["problem"] and "ulimit -n" in end.err


@pytest.mark.parametrize(("name", "code", "within"), [("hung up", 0, 20), ("terminated", 0, 20), ("killed", -signal.SIGKILL, 30)])
def test_nothing_runs_on_after_its_launcher(told, name, code, within):
    found = told(name)
    assert set(found.before) == {"sim", "engine", "store", "logs"}
    assert found.end.code == code and found.took < within
    assert found.rest == 0 and found.replayed["identical"]
    assert found.replayed["expected"] == found.replayed["digest"], "the engine ended its journal"
    if code == 0:
        assert found.end.document["problem"] is None and found.end.document["told_to_stop"]


def test_an_engine_that_cannot_come_back_ends_the_run_flat(told):
    found = told("damaged under way")
    assert found.end.code == 1
    assert "cannot be gone on with" in found.end.document["problem"] and "closed by `kill`" in found.end.document["problem"]
    assert found.end.document["positions"] == 0
    assert "cannot be gone on with" in found.status


def test_a_damaged_journal_fails_every_command_that_reads_it(told, monkeypatch, capsys):
    found = told("finished")
    assert found.end.code == 0 and found.end.document["stored"] > 0
    said = {}
    for command in (("report",), ("gaps",), ("explain", "1"), ("status",), ("replay", found.dir)):
        monkeypatch.setattr("sys.argv", ["engine", *command, *(() if command[0] == "replay" else ("--run-dir", found.dir))])
        with pytest.raises(SystemExit, match="1"):
            main()
        said[command[0]] = capsys.readouterr().err
    for command in (("query", "SELECT count() FROM ticks"), ("store", "--once")):       # ClickHouse in processes of their own
        said[command[0]] = found.cli.run(*command, "--run-dir", found.dir, code=1)
    for command, text in said.items():
        assert "is damaged" in text and ("checksum" in text or "cannot be" in text), f"{command}: {text[-500:]}"


def test_a_filter_that_is_off_is_said_on_every_screen(told):
    found = told("without a model")
    assert found.end.code == 1 and "TROUBLE: the filter is off" in found.end.out and "filter was OFF" in found.end.out
    assert '"filter": "OFF"' in found.status and "model promote" in found.end.err


def test_answers_nobody_understands_are_named_at_the_start(told):
    said = told("wrong answers").said
    assert "not as this engine's sim" in said and "python -m engine sim" in said
    assert "connector" not in said and "Traceback" not in said


def test_nothing_is_left(told, tmp_path_factory):
    for name in SCENARIOS:
        with contextlib.suppress(BaseException):
            told(name)
    mine = str(tmp_path_factory.getbasetemp() / "trouble")
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and mine in _command(pid)]


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""
