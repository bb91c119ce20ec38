"""What the launcher does when a process dies for good, when its terminal closes, and when real money is at stake at the end."""
import os
import signal
import subprocess
import sys
import time

import pytest

from _ext.core.records import OP_KILL, OP_REDUCE, OP_RUN
from _ext.trail.status import StatusBlock
from engine.run import launcher as module
from engine.run.child import Child
from engine.run.launcher import Launcher
from engine.run.supervisor import AGAIN_S, CRASHES
from engine.trail.note import Note, read_note
from engine.trail.rundir import RunDir
from engine.trail.signs import ENDED, READY, rest_words, summary, troubles, vital_signs


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "shm").mkdir()
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path / "shm"))
    return RunDir(tmp_path / "run")


def ended(code: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    process.wait()
    return process


def lived(run, positions: int, trouble: bytes = b"") -> StatusBlock:
    """The status block of an engine that was ready and is no more."""
    block = StatusBlock(run.status, create=True)
    for name, value in {"positions": positions, "ready": READY, "started": time.time_ns() + 10**9, "filter": 1,
                        "heartbeat": time.time_ns(), "trouble": trouble}.items():
        block.values[name] = value
    block.publish()
    return block


def launched(run, monkeypatch, started: list[str], **options) -> tuple[Launcher, Child]:
    """A launcher whose processes are only noted down, and its engine."""
    launcher = Launcher(run, "", quiet=True, **options)
    monkeypatch.setattr(launcher, "_start", lambda child: started.append(child.name))
    engine = Child("engine", ["x"])
    launcher.children = [engine]
    return launcher, engine


def dies(launcher: Launcher, child: Child, words: str, code: int = 1) -> None:
    child.process = ended(code)
    child.last_words = lambda: words                        # type: ignore[method-assign]
    launcher.supervise()


@pytest.mark.parametrize("positions", [0, 2])
def test_an_engine_that_refuses_three_times_is_dead_for_good(run, monkeypatch, positions):
    """What it holds is closed at once: nothing that could do so will come back. Then the run ends."""
    started: list[str] = []
    launcher, engine = launched(run, monkeypatch, started)
    lived(run, positions)
    for n in range(CRASHES):
        assert not engine.is_given_up and not launcher.stopping, n
        dies(launcher, engine, "the journal cannot be gone on with")
    assert engine.is_given_up and launcher.failure == "engine: the journal cannot be gone on with"
    assert launcher.stopping == (positions == 0)
    launcher.supervise()
    assert started == (["kill"] if positions else [])
    if positions:
        launcher.killer.process = ended(1)                  # the broker does not answer: once more, a little later
        launcher.supervise()
        launcher.killer_at -= AGAIN_S + 1
        launcher.supervise()
        assert started == ["kill", "kill"] and not launcher.stopping
        launcher.killer.process = ended(0)
        launcher.supervise()
        assert launcher.stopping and launcher.failure.endswith("what it held was closed by `kill`")


def test_one_that_dies_of_different_things_or_by_signals_is_started_again(run, monkeypatch):
    launcher, engine = launched(run, monkeypatch, [])
    lived(run, 0)
    for n in range(5):
        dies(launcher, engine, f"reason {n}")
    assert not engine.is_given_up
    launcher, engine = launched(run, monkeypatch, [])
    for _ in range(5):
        dies(launcher, engine, "ended by SIGSEGV", code=3)
    assert not engine.is_given_up


@pytest.mark.parametrize(("ready", "stops"), [(READY, False), (ENDED, True)])
def test_of_an_engine_another_launcher_started_its_own_word_tells_whether_it_ended(run, monkeypatch, ready, stops):
    """Nobody knows the exit code of a process that is no child: one that was killed is started again."""
    launcher, engine = launched(run, monkeypatch, [])
    block = lived(run, 0)
    block.values["ready"] = ready
    block.publish()
    dies(launcher, engine, "ended by SIGKILL", code=0)
    assert launcher.stopping == stops and (engine.process is None) == (not stops)


def test_a_store_that_dies_again_and_again_drains_and_does_no_more(run, monkeypatch):
    launcher, _ = launched(run, monkeypatch, [])
    store = Child("store", ["store"])
    launcher.children = [store]
    for _ in range(CRASHES):
        assert "--drain-only" not in store.command
        dies(launcher, store, "too little memory")
    assert store.command == ["store", "--drain-only"]
    assert read_note(run.launcher)["deaths"] == {"store": [CRASHES, "too little memory"]}
    assert f"the store process has died {CRASHES} times, last: too little memory" in troubles(run, *vital_signs(run))


@pytest.mark.parametrize(("is_live", "number", "ends"), [
    (False, signal.SIGHUP, True), (False, signal.SIGTERM, True), (False, signal.SIGINT, True),
    (True, signal.SIGHUP, False), (True, signal.SIGTERM, True), (True, signal.SIGINT, True)])
def test_a_closed_terminal_ends_only_a_run_without_real_money(run, monkeypatch, is_live, number, ends):
    monkeypatch.setattr("engine.run.launcher.os.isatty", lambda _: False)       # the one the tests are run at stays
    launcher = Launcher(run, "", is_live=is_live)
    before = [signal.getsignal(n) for n in module.SIGNALS]
    for n in module.SIGNALS:                               # the tests themselves may run under nohup, or behind an &
        signal.signal(n, signal.default_int_handler)
    with launcher.watching_signals():
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert launcher.is_ending == ends
        assert launcher.quiet == (number == signal.SIGHUP), "nothing more is drawn on a terminal that is gone"
    assert {signal.getsignal(n) for n in module.SIGNALS} == {signal.default_int_handler}
    for n, handler in zip(module.SIGNALS, before, strict=True):
        signal.signal(n, handler)


def test_under_nohup_a_hangup_is_nobodys_business(run):
    was = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    launcher = Launcher(run, "", quiet=True)
    with launcher.watching_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not launcher.is_ending
    signal.signal(signal.SIGHUP, was)


@pytest.mark.parametrize(("is_live", "positions", "ending", "may_end", "word"), [
    (False, 2, "", True, ""), (True, 0, "", True, ""), (True, 2, "leave-stops", True, ""),
    (True, 2, "", False, "positions are open: the run goes on")])
def test_a_live_run_with_positions_ends_only_by_a_word(run, capsys, monkeypatch, is_live, positions, ending, may_end, word):
    monkeypatch.setattr("sys.stdin", open(os.devnull))
    launcher = Launcher(run, "", quiet=True, is_live=is_live, ending=ending)
    lived(run, positions)
    launcher.is_ending = True
    assert launcher._may_end() == may_end
    assert launcher.is_ending == may_end and word in capsys.readouterr().out
    sys.stdin.close()


@pytest.mark.parametrize(("answer", "may_end"), [("l", True), ("", False), ("yes", False)])
def test_a_person_at_the_terminal_is_asked(run, monkeypatch, answer, may_end):
    launcher = Launcher(run, "", quiet=True, is_live=True)
    launcher.screen = module.Screen(module.View(run, ""), True)
    lived(run, 2)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert launcher._may_end() == may_end


@pytest.mark.parametrize("is_closed", [True, False])
def test_flatten_has_the_engine_close_and_waits_for_it(run, monkeypatch, capsys, is_closed):
    launcher, _ = launched(run, monkeypatch, [], is_live=True, ending="flatten")
    block = lived(run, 2)
    monkeypatch.setattr(module, "FLATTEN_S", 0.3)

    def supervise() -> None:
        if is_closed and block.operator == OP_KILL:
            block.values["positions"] = 0
            block.publish()

    monkeypatch.setattr(launcher, "supervise", supervise)
    launcher.is_ending = True
    launcher.read()
    assert launcher._may_end() == is_closed and block.operator == OP_KILL
    assert ("still open" in capsys.readouterr().out) != is_closed


def test_the_worst_comes_first_and_nothing_twice(run):
    lived(run, 0, b"the journal has no room\nthe filter is off")
    found = troubles(run, *vital_signs(run), {"failure": "engine: dead", "damage": "the filter is off"})
    assert found[:3] == ["engine: dead", "the journal has no room", "the filter is off"]
    assert len(found) == len(set(found)) and "has died without an end of its journal" in found[-1]
    assert summary(run, *vital_signs(run), found)["problem"] == "engine: dead"


def test_what_lies_in_memory_alone_is_told_once_nobody_drains_it(run):
    from _ext.trail.journal import Journal

    Journal(run.memory, 1 << 20, 1 << 22).close()
    store = Note(run.store)
    store.write({"drain": "no room is left on the disk"})
    (words,) = troubles(run, *vital_signs(run))
    assert words == rest_words(run, run.undrained()) and str(run.memory) in words
    for name in os.listdir(run.memory):
        (run.memory / name).unlink()
    assert troubles(run, *vital_signs(run)) == []           # by now somebody has drained it
    store.close()


def test_positions_after_a_kill_are_the_brokers(run):
    import orjson

    block = lived(run, 3)
    status = block.read()
    assert summary(run, status, {}, [])["positions"] == 3
    for left in ({}, {"NSE_EQ|A": 5}):
        (run.path / "killed.json").write_bytes(orjson.dumps({"left": left}))
        os.utime(run.path / "killed.json", (time.time() + 5,) * 2)
        assert summary(run, status, {}, [])["positions"] == len(left)
        assert [text for text in troubles(run, status, {}) if "could not close" in text] == (
            ["`kill` could not close NSE_EQ|A: run it again, or close them in the broker's app"] if left else [])
    (run.path / "killed.json").write_bytes(b"")             # a full disk
    assert summary(run, status, {}, [])["positions"] == 3


def test_a_process_that_cannot_be_started_has_died_of_that(run, monkeypatch):
    def refuse(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("engine.run.child.subprocess.Popen", refuse)
    launcher = Launcher(run, "", quiet=True)
    with pytest.raises(module.RunError, match="logs did not start: too few file descriptors"):
        launcher.add("logs")


@pytest.mark.parametrize(("count", "told"), [(1, []), (2, ["the store process has died 2 times, last: why"])])
def test_a_second_death_is_told_and_one_may_be_chance(run, count, told):
    assert troubles(run, None, {}, {"deaths": {"store": [count, "why"]}}) == told


@pytest.mark.parametrize(("count", "told"), [(1, []), (2, ["the engine process has died 2 times, last: reason 1"])])
def test_the_launcher_tells_of_the_second_death_before_the_third(run, monkeypatch, count, told):
    launcher, engine = launched(run, monkeypatch, [])
    lived(run, 0)
    for n in range(count):
        dies(launcher, engine, f"reason {n}")
    assert [text for text in launcher.troubles() if "has died" in text and "times" in text] == told


# ---- an engine without a sign of life --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("positions", "ready", "seconds", "given", "closes"), [
    (2, READY, 61, {}, True), (2, READY, 59, {}, False), (0, READY, 61, {}, False), (2, ENDED, 61, {}, False),
    (2, READY, 61, {"is_observing": True}, False)])
def test_an_engine_that_holds_positions_and_is_silent_for_a_minute_is_killed(run, monkeypatch, positions, ready, seconds, given,
                                                                            closes):
    started: list[str] = []
    launcher, engine = launched(run, monkeypatch, started, is_live=True)
    engine.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    block = lived(run, positions)
    block.values["ready"] = ready
    block.publish()
    for name, value in given.items():
        setattr(launcher, name, value)
    launcher.supervise()
    assert started == []                                    # its last beat may be old: it counts from when it was seen
    launcher.last_beat = (launcher.last_beat[0], time.monotonic() - seconds)
    launcher.supervise()
    assert started == ["kill"] * closes
    engine.process.kill()
    engine.process.communicate()


def test_an_engine_that_beats_is_not_killed_however_long_it_was_silent(run, monkeypatch):
    started: list[str] = []
    launcher, engine = launched(run, monkeypatch, started, is_live=True)
    engine.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    block = lived(run, 2)
    launcher.supervise()
    launcher.last_beat = (launcher.last_beat[0], time.monotonic() - 100)
    block.values["heartbeat"] = time.time_ns() + 1
    block.publish()
    launcher.supervise()
    assert started == []
    engine.process.kill()
    engine.process.communicate()


@pytest.mark.parametrize(("silent", "writes", "dies"), [(31, False, True), (29, False, False), (31, True, False)])
def test_a_store_that_stands_still_is_ended_and_started_again(run, monkeypatch, silent, writes, dies):
    """A thread that cannot begin for want of memory is waited for without end: the process lives and does nothing."""
    launcher, _ = launched(run, monkeypatch, [])
    store = Child("store", [sys.executable, "-c", "print('MemoryError: ', flush=True); input()"], out=run.path / "store.out")
    launcher.children = [store]
    with store.out.open("wb") as out:
        store.process = subprocess.Popen(store.command, stdin=subprocess.PIPE, stdout=out)
    while b"Memory" not in store.out.read_bytes():
        time.sleep(0.01)
    note = Note(run.store)
    note.write({"pid": store.process.pid, "at": 1000.0})
    launcher.supervise()
    store.beat_at -= silent
    if writes:
        note.write({"pid": store.process.pid, "at": 1001.0})
    launcher.supervise()
    assert bool(store.ended_for) == dies
    process = store.process
    if dies:
        process.wait()
        launcher.supervise()
        assert store.died == 1 and store.process is None and "it stood still for 30 s, and was ended" in store.words
        assert "too little memory" in store.words
    process.kill()
    process.communicate()


def test_a_store_that_never_says_anything_stands_still_too(run, monkeypatch):
    """The note of the process before it is no sign of life."""
    launcher, _ = launched(run, monkeypatch, [])
    store = Child("store", [sys.executable, "-c", "input()"], out=run.path / "store.out")
    launcher.children = [store]
    store.start()
    Note(run.store).write({"pid": os.getpid(), "at": 1000.0})
    launcher.supervise()
    store.beat_at -= 31
    Note(run.store).write({"pid": os.getpid(), "at": 1001.0})
    launcher.supervise()
    assert store.ended_for == "it stood still for 30 s"
    store.process.kill()
    store.process.wait()


def test_an_engine_that_was_killed_is_not_started_again(run, monkeypatch):
    started: list[str] = []
    launcher, engine = launched(run, monkeypatch, started)
    lived(run, 0)
    (run.path / "killed.json").write_bytes(b"{}")
    os.utime(run.path / "killed.json", (time.time() + 5,) * 2)
    for _ in range(2):
        dies(launcher, engine, "ended by SIGKILL", code=3)
    assert engine.process is None and engine.died == 0 and started == []


def test_an_engine_that_dies_again_and_again_loosens_no_stop(run, monkeypatch):
    for operator, after in ((OP_RUN, OP_REDUCE), (OP_KILL, OP_KILL)):
        launcher, engine = launched(run, monkeypatch, [])
        block = lived(run, 1)
        block.operator = operator
        launcher.read()
        for n in range(CRASHES):
            assert block.operator == operator
            dies(launcher, engine, f"reason {n}")
        assert block.operator == after


@pytest.mark.parametrize(("is_live", "ends"), [(False, True), (True, False)])
def test_the_day_of_an_engine_with_real_money_does_not_end_by_itself(run, monkeypatch, is_live, ends):
    launcher, engine = launched(run, monkeypatch, [], is_live=is_live)
    block = lived(run, 0)
    block.values["ready"] = ENDED
    block.publish()
    dies(launcher, engine, "it said nothing", code=0)
    assert launcher.stopping == ends and engine.died == (not ends)


@pytest.mark.parametrize(("code", "was_ready", "is_over"), [(2, True, True), (1, False, True), (1, True, False), (3, False, False)])
def test_an_engine_that_refuses_to_start_stays_dead(run, monkeypatch, code, was_ready, is_over):
    """Bad usage is the same each time; what an engine says before it was ever ready too."""
    launcher, engine = launched(run, monkeypatch, [])
    if was_ready:
        lived(run, 0)
    dies(launcher, engine, "no", code)
    assert engine.is_given_up == is_over and launcher.stopping == is_over


def test_what_died_is_started_again_when_it_is_due_and_not_before(run, monkeypatch):
    started: list[str] = []
    launcher, engine = launched(run, monkeypatch, started)
    lived(run, 0)
    dies(launcher, engine, "x", 3)
    launcher.supervise()
    assert started == []
    engine.due = time.monotonic()
    launcher.supervise()
    assert started == ["engine"]


# ---- the end ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("code", "rest", "tries"), [(1, True, 1), (None, True, 1), (1, False, 0), (0, True, 0)])
def test_what_a_store_left_in_memory_is_drained_once_more_at_the_end(run, monkeypatch, code, rest, tries):
    """Where it died, or is not there; nothing is packed while something is left in memory."""
    from _ext.trail.journal import Journal

    started: list[str] = []
    packed: list = []
    launcher, _ = launched(run, monkeypatch, started)
    monkeypatch.setattr(module, "compress", packed.append)
    store = Child("store", ["store"], out=run.path / "store.out")
    store.process = None if code is None else ended(code)
    launcher.children = [store]
    lived(run, 0)
    if rest:
        Journal(run.memory, 1 << 14, 1 << 20).close()
    launcher._look_back()
    launcher.pack()
    assert started == ["store"] * tries and packed == [run.journal] * (not rest)


def test_deaths_of_long_ago_are_history(run):
    child = Child("engine", ["x"])
    for now in (0.0, 100.0, 650.0, 1300.0):
        child.has_died(now, 600)
    assert child.deaths == [1300.0] and child.died == 4


def test_an_engine_that_died_before_it_was_ready_and_then_refuses_has_not_refused_from_the_start(run, monkeypatch):
    """What it refuses may be what the dead one left, as a lock: like any other it is given up when it has said so three times."""
    launcher, engine = launched(run, monkeypatch, [])
    dies(launcher, engine, "ended by SIGKILL", 3)
    for n in range(CRASHES):
        assert not engine.is_given_up and not launcher.stopping, n
        dies(launcher, engine, "the run is held by another engine")
    assert engine.is_given_up and launcher.stopping


@pytest.mark.parametrize(("is_live", "rounds"), [(False, 1), (True, 3)])
def test_a_launcher_that_stood_still_ends_a_run_without_real_money_alone(run, monkeypatch, is_live, rounds):
    """The others have ended by themselves then; an engine with real money has stayed, and what it holds needs its launcher."""
    monkeypatch.setattr(module.Attendance, "LOST_S", 0.5)
    launcher, _ = launched(run, monkeypatch, [], is_live=is_live)
    lived(run, 0)
    seen: list[float] = []

    def supervise() -> None:
        seen.append(time.monotonic())
        time.sleep(0.6 if len(seen) == 1 else 0)
        launcher.stopping = len(seen) == 3

    monkeypatch.setattr(launcher, "supervise", supervise)
    launcher.loop(None)
    assert len(seen) == rounds
    assert launcher.failure is None if is_live else launcher.failure.startswith("the launcher stood still for")
