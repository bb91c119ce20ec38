"""Which folder is a run's: commands that look make none, a run takes none with other things in it, a removed one leaves nothing."""
import os
import subprocess
import sys
import time

import orjson
import pytest

from _ext.core.records import REC_STATE
from _ext.trail.journal import Journal
from _ext.trail.segment import segment_names
from engine.trail.drain import Drainer
from engine.trail.rundir import FENCE_S, Attendance, FolderError, Lock, RunDir, end_process, mark_latest, start_time


@pytest.fixture(autouse=True)
def shared(tmp_path, monkeypatch):
    (tmp_path / "shm").mkdir()
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path / "shm"))


def test_looking_makes_no_folder(tmp_path):
    with pytest.raises(FolderError, match="typo: no such run folder"):
        RunDir.existing(tmp_path / "typo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").touch()
    with pytest.raises(FolderError, match="is not the folder of a run"):
        RunDir.existing(tmp_path / "other")
    with pytest.raises(FolderError, match="no such run folder"):
        RunDir.existing(tmp_path / "other" / "letter")
    assert not (tmp_path / "typo").exists() and len(list((tmp_path / "other").iterdir())) == 1


def test_a_run_takes_no_folder_with_other_things(tmp_path):
    (tmp_path / "letter").touch()
    with pytest.raises(FolderError, match="holds other files"):
        RunDir.new(tmp_path)
    run = RunDir.new(tmp_path / "fresh")
    Lock(run.lock, "x").release()
    (run.path / "letter").touch()
    assert RunDir.new(run.path).path == run.path            # gone on with


def test_the_memory_of_a_removed_folder_is_not_a_new_runs(tmp_path):
    old = RunDir.new(tmp_path / "run")
    Journal(old.memory, 1 << 14, 1 << 20).close()
    assert old.undrained() > 0
    old.path.rmdir()
    new = RunDir.new(tmp_path / "run")
    assert new.memory == old.memory and new.reader().read() is None and new.undrained() == 0


def test_latest_says_when_its_run_is_gone(tmp_path):
    with pytest.raises(FolderError, match="there is no run yet"):
        RunDir.latest(tmp_path)
    mark_latest(tmp_path / "gone", tmp_path)
    with pytest.raises(FolderError, match=r"points to .*gone, which is gone"):
        RunDir.latest(tmp_path)


def test_a_killed_writers_segments_are_cleared_away_once_they_are_on_disk(tmp_path):
    """Its last segment was never cut and one was made ahead: neither may stay in memory for ever, nor be lost."""
    run = RunDir.new(tmp_path / "run")
    journal = Journal(run.memory, 1 << 14, 1 << 20)
    for k in range(150):
        journal.append(REC_STATE, k, memoryview(bytes(64)))
    journal.prepare()
    (run.memory / "000001-000009.seg.new").touch()
    count = sum(1 for _ in run.reader())
    drainer = Drainer(run.memory, run.journal)
    while drainer.step(True):
        pass
    assert segment_names(run.memory), "while a writer may live, its segment stays"
    while drainer.step(True, is_over=True):
        pass
    run.leave_memory()
    assert not run.memory.parent.exists() and sum(1 for _ in run.reader()) == count == 150


def test_silence_is_counted_by_the_beats_and_not_by_the_wall(tmp_path, monkeypatch):
    run = RunDir.new(tmp_path / "run")
    clock = [100.0]
    monkeypatch.setattr("engine.trail.rundir.time.monotonic", lambda: clock[0])
    watch = Attendance(run)
    clock[0] += 1000
    assert watch.silence() == 0 and not watch.is_over()     # nobody has ever attended
    run.beat.touch()
    os.utime(run.beat, (time.time() - 86_400,) * 2)         # a wall clock that jumped
    assert watch.silence() == 0
    clock[0] += 9
    assert watch.silence() == 9 and not watch.is_over()
    run.beat.touch()
    assert watch.silence() == 0
    clock[0] += 11
    lock = Lock(run.lock, "the engine")
    assert watch.silence() == 11 and not watch.is_over()    # the engine still runs
    lock.release()
    assert watch.is_over()


def test_a_removed_folder_is_no_longer_attended(tmp_path, monkeypatch):
    run = RunDir.new(tmp_path / "run")
    clock = [100.0]
    monkeypatch.setattr("engine.trail.rundir.time.monotonic", lambda: clock[0])
    run.beat.touch()
    watch = Attendance(run)
    assert watch.silence() == 0
    run.beat.unlink()
    run.path.rmdir()
    watch.silence()
    clock[0] += 11
    assert watch.is_over()


@pytest.mark.parametrize(("live", "ended"), [(False, True), (True, False), (None, False)])
def test_a_hung_engine_is_ended_only_where_no_real_money_is_in_it(tmp_path, monkeypatch, live, ended):
    run = RunDir.new(tmp_path / "run")
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        run.beat.touch()
        note = {"pid": engine.pid, "started": start_time(engine.pid)} | ({} if live is None else {"live": live})
        run.engine.write_bytes(orjson.dumps(note))
        watch = Attendance(run)
        watch.silence()
        assert not watch.end_the_hung()
        watch.at -= Attendance.HUNG_S + 1
        assert watch.end_the_hung() == ended
        assert (engine.poll() is not None) == ended
    finally:
        engine.kill()
        engine.wait()


def test_a_process_that_died_and_was_not_waited_for_is_none(tmp_path):
    """Its number and its start are still there; whoever asks whether it lives must not wait for its parent."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = start_time(child.pid)
    assert began > 0
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert os.path.exists(f"/proc/{child.pid}/stat") and start_time(child.pid) == 0
    child.communicate()
    assert start_time(child.pid) == 0


@pytest.mark.parametrize(("later", "ends"), [(0, True), (1, False)])
def test_a_process_is_ended_by_its_number_and_its_start(later, ends):
    """A number that came to mean another process since ends nobody; one that was ended counts as gone though nobody waited."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = time.monotonic()
    assert end_process(child.pid, start_time(child.pid) + later) == ends
    assert (start_time(child.pid) == 0) == ends and time.monotonic() - began < FENCE_S
    child.kill()
    child.communicate()
    assert not end_process(child.pid, 0)
