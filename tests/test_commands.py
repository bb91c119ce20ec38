"""Commands that look at a run: none makes a folder, a wrong one is named, and what is wrong with a run is their exit code too.

What cannot be done is said as `engine/errors.py` has it: in one line, with exit code 1 or 2. The operator's words go by
`engine/cli/operator.py`, `store` becomes `engine/store/__main__.py`, and the last words are `engine/cli/closing.py`.
"""
import getpass
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from _ext.core.records import REC_STATE
from _ext.trail.journal import Journal
from _ext.trail.status import StatusBlock
from engine.__main__ import main
from engine.run.operations import Operations
from engine.run.options import RunOptions
from engine.run.session import Folder, NotReady
from engine.run.session import run as begin
from engine.trail.rundir import FolderError, RunDir, mark_latest, start_time
from engine.trail.signs import READY
from engine.watch.view import Screen, View

ROOT = Path(__file__).parents[1]
LOOKING = (("report",), ("gaps",), ("explain", "1"), ("query", "SELECT 1"), ("status",), ("store", "--once"), ("logs",),
           ("pause",), ("resume",), ("flatten",), ("kill", "--yes"), ("model", "drift"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "shm").mkdir()
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path / "shm"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(monkeypatch, capsys):
    """What a command writes to standard error, and its exit code."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["engine", *arguments])
        try:
            main()
            code = 0
        except SystemExit as leave:
            code = leave.code
        streams = capsys.readouterr()
        run.out = streams.out
        return code, streams.err
    return run


@pytest.mark.parametrize("command", LOOKING, ids=[" ".join(c[:2]) for c in LOOKING])
def test_a_mistyped_folder_is_named_and_not_made(said, here, command):
    (here / "letters").mkdir()
    for name, words in (("typo", "typo: no such run folder"), ("letters", "letters is not the folder of a run"), ("", "empty")):
        code, text = said(*command, "--run-dir", name)
        assert code == 2 and words in text, (name, text)
    assert not (here / "typo").exists() and not any((here / "letters").iterdir())


def test_without_any_run_one_is_asked_for(said, here):
    code, text = said("status")
    assert code == 2 and "start one with `python -m engine`" in text
    mark_latest(here / "gone")
    code, text = said("gaps")
    assert code == 2 and "which is gone" in text


def test_a_run_without_a_journal_has_no_gaps_to_tell_of(said, here):
    (here / "run" / "journal").mkdir(parents=True)
    for command in ("gaps", "report", "evening"):
        code, text = said(command, "--run-dir", "run")
        assert code == 2 and "there is no journal in" in text


def test_store_once_does_not_wait_for_a_journal_that_nobody_writes(here):
    (here / "run" / "journal").mkdir(parents=True)
    (here / "engine.toml").write_text('[store]\nurl = "http://127.0.0.1:9/spike"\n')
    work = subprocess.run([sys.executable, "-m", "engine", "store", "--once", "--run-dir", "run"], capture_output=True, text=True,
                          timeout=60, check=False,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})       # the command becomes another program
    assert work.returncode == 2 and "there is no journal in" in work.stderr


@pytest.mark.parametrize("arguments", [("--source", "upstox"), ("--data", "nowhere", "--speed", "max"), ("--live",), (
    "--speed", "70"), ("--run-dir", ""), ("--flatten", "--leave-stops"), ("--speed", "max", "--mood", "sad")])
def test_a_run_that_is_refused_leaves_no_folder(said, here, arguments):
    code, _ = said("run", *arguments)
    assert code == 2 and not (here / "runs").exists()


def test_a_run_takes_no_folder_with_other_things(said, here):
    (here / "letters").mkdir()
    (here / "letters" / "a").touch()
    code, text = said("run", "--run-dir", "letters", "--speed", "max")
    assert code == 2 and "holds other files" in text and not (here / "runs").exists()
    with pytest.raises(FolderError):
        Folder(here / "letters").make()


def test_a_status_with_trouble_is_a_failed_check(said, here):
    run = RunDir.new(here / "run")
    Journal(run.journal, 1 << 16, 1 << 20).close()
    block = StatusBlock(run.status, create=True)
    block.values["ready"], block.values["filter"], block.values["heartbeat"] = 2, 1, 10**18
    block.publish()
    assert said("status", "--run-dir", "run") == (0, "")
    block.values["trouble"] = b"the filter is off"
    block.publish()
    code, text = said("status", "--run-dir", "run", "--json")
    document = orjson.loads(said.out)
    assert code == 1 and document["problem"] == "the filter is off" and document["troubles"] == ["the filter is off"]
    assert "the filter is off" in text and document["running"] is False


def test_a_living_engine_of_the_broker_is_gone_on_with(here, monkeypatch, capsys):
    """A launcher that was killed leaves it; the next run names it, and takes no other kind of run for it."""
    assert Folder(None).living() is None
    run = RunDir.new(here / "runs" / "one")
    mark_latest(run.path)
    note = {"pid": os.getpid(), "started": start_time(os.getpid()), "source": "upstox", "live": True}
    run.engine.write_bytes(orjson.dumps(note))
    assert Folder(None).living().path == run.path and Folder(Path("another")).living() is None
    monkeypatch.setattr("engine.run.session.stored_token", lambda: "t")
    from engine import config
    with pytest.raises(NotReady, match=f"process {os.getpid()}.* still runs, and is another kind of run"):
        begin(RunOptions(source="upstox"), config.load())
    run.engine.write_bytes(orjson.dumps(note | {"source": "sim"}))
    assert Folder(None).living() is None
    run.engine.write_bytes(orjson.dumps(note | {"started": note["started"] - 1}))
    assert Folder(None).living() is None


def test_the_view_shows_what_is_wrong_where_nobody_can_miss_it(here, capsys):
    run = RunDir.new(here / "run")
    block = StatusBlock(run.status, create=True)
    block.values["ready"], block.values["speed"] = READY, 1
    block.publish()
    view = View(run, "title")
    view.update(block.read(), {}, ["no room is left", "the engine is dead"], {})
    screen = Screen(view)
    screen.console.width = 200
    screen.console.print(view.render())
    screen.draw()
    screen.draw()
    out = capsys.readouterr().out
    assert "TROUBLE" in out and "filter OFF" in out
    assert out.count("TROUBLE: no room is left") == 1 and out.count("TROUBLE: the engine is dead") == 1
    view.update(None, {}, ["sim: dead"])
    screen.console.print(view.render())
    assert "sim: dead" in capsys.readouterr().out, "also while it starts"


def test_half_a_market_does_not_pass_for_one(said, here):
    run = RunDir.new(here / "earlier")
    journal = Journal(run.journal, 1 << 14, 1 << 30)
    for k in range(600):
        journal.append(REC_STATE, k, bytes(64))
    journal.close()
    sorted(run.journal.iterdir())[1].unlink()
    for command in (("run", "--speed", "max", "--data", "earlier"),
                    ("train", "dataset", "--source", "ticks", "--data", "earlier", "x.parquet")):
        code, text = said(*command)
        assert code == 1 and "are missing before" in text
    assert not (here / "runs").exists() and not (here / "x.parquet").exists()


def test_a_compiled_part_that_is_missing_is_told_with_what_brings_it():
    code = ("import sys\nsys.modules['_ext.trail.status'] = None\nfrom engine.__main__ import main\n"
            "sys.argv = ['engine', 'status']\nmain()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1 and "missing or stale" in done.stderr and done.stderr.rstrip().endswith("run `make install`")


@pytest.mark.parametrize(("word", "state"), [("pause", 1), ("resume", 0), ("flatten", 3)])
def test_each_word_of_the_operator_reaches_a_living_engine(here, said, word, state):
    """By the numbers of the status file: run 0, pause 1, flatten 3; the engine here takes what is asked and notes who asked."""
    run = RunDir.new(here / "run")
    block = StatusBlock(run.status, create=True)
    block.values["ready"], block.values["pid"] = READY, os.getpid()
    block.values["heartbeat"] = time.time_ns() + 60 * 10**9
    block.publish()
    block.operator = 2 if word == "resume" else 0
    notes: list[str] = []
    engine, ended = Operations(block, lambda *_: None, notes.append), threading.Event()

    def life() -> None:
        while not ended.wait(0.01):
            engine.take()

    thread = threading.Thread(target=life)
    thread.start()
    try:
        assert said(word, "--run-dir", "run") == (0, "") and f"{word}: the engine has seen it" in said.out
    finally:
        ended.set()
        thread.join()
    assert block.operator == state and notes == [f"command: {getpass.getuser()} asks: {word}"]


def test_an_engine_that_takes_nothing_is_told(here, said, monkeypatch):
    run = RunDir.new(here / "run")
    block = StatusBlock(run.status, create=True)
    block.values["ready"], block.values["pid"], block.values["heartbeat"] = READY, os.getpid(), time.time_ns() + 60 * 10**9
    block.publish()
    code, text = said("pause", "--run-dir", "run")
    assert code == 1 and "has not answered within 2 s" in text and block.operator == 0
    for _ in range(15):
        block.ask(1, b"", b"")
    code, text = said("pause", "--run-dir", "run")
    assert code == 1 and "`python -m engine kill` ends it" in text


def test_without_a_command_a_run_with_every_default_begins(said, monkeypatch):
    """What `make run` does."""
    asked = []
    monkeypatch.setattr("engine.run.session.run", lambda *given: asked.append(given) or {"problem": None})
    assert said() == (0, "")
    ((options, _, quiet, _, confirm),) = asked
    assert options == RunOptions() and quiet is False and callable(confirm)


def test_a_command_that_is_interrupted_has_not_succeeded(monkeypatch):
    """Ctrl-C before a run has begun: the exit code says so."""
    from engine import __main__ as entrance

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.cli.status.run_of", interrupted)
    monkeypatch.setattr(sys, "argv", ["spike", "status"])
    with pytest.raises(SystemExit) as left:
        entrance.main()
    assert left.value.code == 130
