"""One database for the runs of a home: who keeps it, who waits, whose rows are whose, and what a run of its own folder has.

`engine/store/process.py` `engine/store/keeper.py` `engine/store/filling.py` `engine/store/client.py` `engine/store/earlier.py`
"""
import asyncio
import contextlib
import datetime as dt
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.config import Config
from engine.errors import DataError
from engine.lab import stored
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.store import confinement
from engine.store.client import EVERY_RUN, client_of, market_of, number_of
from engine.store.filling import Ended, Filling, identity_of
from engine.store.home import Home
from engine.store.keeper import Keeper
from engine.trail.note import Note, read_note
from engine.trail.rundir import DATABASE_FOLDER, Lock, RunDir, RunError, is_held, new_run
from tests.conftest import ROOT

DAY = dt.date(2026, 9, 1)


@pytest.fixture
def base(tmp_path) -> Path:
    """A data home without a run."""
    (tmp_path / "runs" / DATABASE_FOLDER).mkdir(parents=True, mode=0o700)
    return tmp_path / "runs"


def a_run(folder: Path, seed: int = 3, minutes: int = 20) -> tuple[RunDir, int]:
    """A run on virtual time of five names, and its updates."""
    run = RunDir.new(folder)
    market = SyntheticMarket(shipped()[:5], DAY, seed)
    market.minutes = minutes
    return run, run_virtual(Config(), market, "test", run, seed, None)["updates"]


def store(run: RunDir, *options: str) -> subprocess.Popen:
    return subprocess.Popen(confinement.command("--run-dir", str(run.path), *options), cwd=ROOT, text=True,
                            env=confinement.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def end(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def until(condition, what: str, seconds: float = 90.0):
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, what
        time.sleep(0.05)
    return found


def asked(run: RunDir, sql: str) -> list:
    with client_of(Config(), run) as client:
        return client.query(sql).result_rows


def test_the_home_of_a_run_is_the_folder_it_lies_in_where_that_has_a_database(base, tmp_path):
    inside, alone = RunDir(base / "a"), RunDir(tmp_path / "alone")
    assert inside.home == base and inside.database == base / DATABASE_FOLDER and alone.home == alone.path
    assert inside.memory.parent == RunDir(base / "b").memory.parent != alone.memory.parent
    (inside.path / DATABASE_FOLDER / "data").mkdir(parents=True)
    assert inside.home == inside.path                       # a database of its own, from before there were homes
    assert RunDir(new_run(tmp_path / "others")).home == tmp_path / "others"


def test_two_runs_that_began_alike_are_two_in_one_database(base):
    """Same day, seed and configuration: the rows of each stand under a number of its own, its name beside it."""
    (first, updates), (second, _) = a_run(base / "first"), a_run(base / "second")
    for run in (first, second):
        end(store(run, "--once"))
    assert asked(first, "SELECT name, day, source FROM runs FINAL ORDER BY name") == [
        ("first", DAY, "test"), ("second", DAY, "test")]
    counts = asked(second, "SELECT run, count() FROM ticks GROUP BY run")
    assert sorted(counts) == sorted([(number_of(first), updates), (number_of(second), updates)])
    end(store(first, "--once"))                             # once more changes nothing
    assert sorted(asked(first, "SELECT run, count() FROM ticks GROUP BY run")) == sorted(counts)
    assert not (first.path / DATABASE_FOLDER).exists() and list((base / DATABASE_FOLDER / "wanted").iterdir()) == []


def test_one_process_fills_the_rows_of_every_run_and_another_takes_its_place(base):
    """Two stores at once: the one that came first keeps the database and fills both; it is killed, and the other goes on."""
    (first, updates), (second, _) = a_run(base / "first"), a_run(base / "second", seed=4)
    writers = [Lock(run.lock, "the engine") for run in (first, second)]
    keeper = store(first)
    until(lambda: Home(first.home).port(), "the database of the home")
    waiting = store(second)
    until(lambda: read_note(second.store).get("stored"), "the rows of the second run")
    until(lambda: read_note(first.store).get("stored") == updates, "all rows of the first run")
    assert read_note(second.store)["url"] == read_note(first.store)["url"]
    assert int(Home(first.home).lock.read_text()) == keeper.pid
    keeper.send_signal(signal.SIGKILL)
    keeper.communicate()
    until(lambda: Home(first.home).lock.read_text().strip() == str(waiting.pid), "the one that waited keeps it")
    assert asked(first, "SELECT uniqExact(run) FROM ticks") == [(2,)]
    waiting.send_signal(signal.SIGTERM)
    end(waiting)
    for writer in writers:
        writer.release()
    assert not is_held(Home(first.home).lock) and Home(first.home).port() is None and Home(first.home).wanting() == {}


def test_a_process_that_serves_a_reader_fills_a_run_that_begins_meanwhile(base):
    (first, _), (second, updates) = a_run(base / "first"), a_run(base / "second", seed=4)
    end(store(first, "--once"))
    with client_of(Config(), first) as client:
        pid = int(Home(first.home).lock.read_text())
        end(store(second, "--once"))
        assert client.query(f"SELECT count() FROM ticks WHERE run = {number_of(second)}").result_rows == [(updates,)]
        assert int(Home(first.home).lock.read_text()) == pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_run_without_rows_is_said(base):
    run, _ = a_run(base / "a")
    with pytest.raises(RunError, match="has no database"):
        asked(run, "SELECT 1")
    with pytest.raises(RunError, match=r"no row of .*a is in a database: .*store --once"):
        number_of(run)


def test_a_run_is_forgotten_with_its_store_process(base):
    run, home = RunDir(base / "a"), Home(base)
    home.want(run)
    assert home.wanting() == {}                             # nobody waits for it
    lock = Lock(run.store_lock, "its store")
    assert [found.path for found in home.wanting().values()] == [run.path]
    home.no_longer(run)
    assert home.wanting() == {}
    lock.release()


def test_a_journal_that_cannot_be_read_is_said_by_its_own_process(base):
    run = RunDir.new(base / "a")
    (run.path / "journal").mkdir()
    process = store(run, "--once")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and "there is no journal" in said


def test_a_clickhouse_that_is_not_there_is_said_after_a_while(base, monkeypatch):
    from engine.store import process as sidecar

    run, _ = a_run(base / "a")
    monkeypatch.setattr(sidecar, "PATIENCE_S", 0.5)
    config = Config()
    config.store.url = "http://default@127.0.0.1:9/spike"
    with pytest.raises(RunError, match="Nothing is lost"), contextlib.suppress(asyncio.CancelledError):
        sidecar.main(config, run, once=True, drain_only=False, confined=False)
    assert not is_held(run.store_lock) and os.path.exists(run.filled)


def test_a_runs_own_database_is_moved_into_its_home_once(base, tmp_path):
    """Rows under a number of their own, bars among them; the old database goes, and what was stored is not stored again."""
    run, updates = a_run(tmp_path / "old")
    end(store(run, "--once"))
    bars = asked(run, "SELECT count(), sum(volume) FROM bars_1m")
    inside = RunDir(run.path.rename(base / "old"))
    assert inside.home == inside.path                       # still the database of its own
    assert "rows are in the database of" in end(store(inside, "--move")) and inside.home == base
    assert asked(inside, "SELECT count(), uniqExact(seq, inst), any(run) FROM ticks") == [(updates, updates, number_of(inside))]
    assert asked(inside, "SELECT count(), sum(volume) FROM bars_1m") == bars and not (inside.path / DATABASE_FOLDER).exists()
    end(store(inside, "--once"))
    assert asked(inside, "SELECT count() FROM ticks") == [(updates,)]
    process = store(inside, "--move")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "no database of its own to move" in said


def test_the_lab_takes_the_run_that_is_named_and_else_what_its_market_has(base):
    """Of two runs of one day: the one that is named, else the one that saw more; a run of another market is neither."""
    (first, fewer), (second, more) = a_run(base / "first", minutes=8), a_run(base / "second", seed=4)
    for run in (first, second):
        end(store(run, "--once"))
    with client_of(Config(), first) as client:
        assert len(stored.ticks(client, None, market_of(first), number_of(first)).rows) == fewer
        assert len(stored.ticks(client, None, market_of(first)).rows) == more > fewer
        with pytest.raises(DataError, match="no ticks"):
            stored.ticks(client, None, market_of(first).replace(f"run = {number_of(first)}", "run = 0"))
    assert market_of(RunDir(base.parent / "alone")) == EVERY_RUN


# ---- one run's rows, on their way --------------------------------------------------------------------------------------------
class Ending:
    """An order to end that remembers how long it was waited for, and comes after so many waits."""

    def __init__(self, waits: int):
        self.left, self.waits = waits, []

    def is_set(self) -> bool:
        return len(self.waits) >= self.left

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def idle(run: RunDir, waits: int) -> Filling:
    """A filling whose thread does not run."""
    filling = Filling.__new__(Filling)
    filling.run_dir, filling.ending, filling.state, filling.saying = run, Ending(waits), {}, threading.Lock()
    filling.note = Note(run.filled)
    return filling


def test_a_database_that_cannot_be_had_is_tried_ever_less_often(base, monkeypatch):
    """After one second, then each time twice as long, at most thirty; and after one again once it was there."""
    filling, tries = idle(RunDir.new(base / "a"), 8), []

    def open_once() -> None:
        tries.append(1)
        if len(tries) != 7:
            raise OSError("refused")
        return SimpleNamespace(close=lambda: None, settle=lambda: None)

    monkeypatch.setattr(filling, "_open", open_once)
    monkeypatch.setattr(filling, "_go_on", lambda store: monkeypatch.setattr(filling, "_go_on", refuse))

    def refuse(_) -> None:
        raise OSError("gone")

    filling._work()
    assert filling.ending.waits == [1, 2, 4, 8, 16, 30, 1, 2]
    assert read_note(filling.run_dir.filled)["trouble"] == "OSError: refused"


@pytest.mark.parametrize("waits", [0, 1])
def test_a_batch_that_is_refused_is_given_up_only_when_told_to_end(base, waits):
    filling = idle(RunDir.new(base / "a"), waits)
    if waits:
        filling._refused("Code: 252. Too many parts")
    else:
        with pytest.raises(Ended, match="Too many parts"):
            filling._refused("Code: 252. Too many parts")
    assert read_note(filling.run_dir.filled)["trouble"] == "Code: 252. Too many parts"


def test_a_run_keeps_the_identity_its_rows_were_stored_under(base):
    """One that was stored before there were any has none: with another its rows would be stored once more."""
    new, old = RunDir.new(base / "new"), RunDir.new(base / "old")
    old.cursor.write_bytes(b"[]")
    first = identity_of(new)
    assert len(first) == 16 and identity_of(new) == first and identity_of(old) == identity_of(old) == b""


@pytest.mark.parametrize("fails", [False, True])
def test_who_kept_the_database_gives_up_its_lock_and_says_that_nobody_answers(base, monkeypatch, fails):
    """Also where the database did not start: the process may live on, and another may have more luck."""
    class Fake:
        writer = ""

        def __init__(self, *_):
            if fails:
                raise OSError("no room")

        async def start(self, _) -> int:
            return 8123

        async def stop(self) -> None:
            assert home.port() is None

    monkeypatch.setattr("engine.store.keeper.Embedded", Fake)
    home, ports = Home(base), []

    async def life() -> None:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        await Keeper(home, home.keep(), Config(), False, None).keep(done, ports.append)

    with pytest.raises(OSError, match="no room") if fails else contextlib.nullcontext():
        asyncio.run(life())
    assert ports == [8123] * (not fails) and home.port() is None and not is_held(home.lock)


def test_a_run_is_filled_by_one_thread_as_long_as_it_wants_its_rows(base, monkeypatch):
    made: list[tuple[str, str]] = []

    class Fake:
        def __init__(self, run, *_):
            self.name, self.ending = run.path.name, threading.Event()
            made.append(("began", self.name))

        def end(self) -> None:
            assert self.ending.is_set()
            made.append(("ended", self.name))

    class Results(Fake):
        """Of a backtest's folder, which has no journal."""

    monkeypatch.setattr("engine.store.keeper.Filling", Fake)
    monkeypatch.setattr("engine.store.keeper.Storing", Results)
    runs = {name: RunDir(base / name) for name in ("a", "b")}
    (base / "b" / "backtest.json").touch()
    wanting: dict[str, RunDir] = {}
    keeper = Keeper(SimpleNamespace(wanting=lambda: dict(wanting)), None, Config(), False, None)

    async def life() -> None:
        for names in (["a"], ["a", "b"], ["a", "b"], ["b"]):
            wanting.clear()
            wanting.update((name, runs[name]) for name in names)
            await keeper._look({})

    asyncio.run(life())
    assert made == [("began", "a"), ("began", "b"), ("ended", "a")] and list(keeper.fillings) == ["b"]
    assert isinstance(keeper.fillings["b"], Results)
