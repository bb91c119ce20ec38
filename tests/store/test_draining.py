"""The thread that makes the journal safe: what a living writer still writes stays in memory, and a disk that refuses is told of."""
import errno
import threading
import time

import pytest

from _ext.core.records import REC_FRAME
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from engine.store import draining
from engine.store.draining import Draining
from engine.trail.rundir import Lock, RunDir


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path / "shm"))
    monkeypatch.setattr(draining, "AGAIN_S", 0.01)
    (tmp_path / "shm").mkdir()
    return RunDir.new(tmp_path / "run")


def drained_to_the_end(run: RunDir) -> list[str]:
    """One drainer that is told to stop at once; what it said."""
    said: list[str] = []
    stopping = threading.Event()
    stopping.set()
    drain = Draining(run, stopping, said.append)
    drain.start()
    drain.join()
    return said


def test_the_end_of_a_drainer_is_not_that_of_a_writer_that_lives(run):
    """A store that is stopped copies all there is; what the engine writes afterwards must find its segment."""
    engine = Lock(run.lock, "the run")
    journal = Journal(run.memory, 1 << 14, 1 << 20)
    for k in range(20):
        journal.append(REC_FRAME, k, bytes(50))
    journal.prepare()
    assert drained_to_the_end(run) == []
    assert [r[1] for r in Reader(run.journal)] == list(range(1, 21)) and len(segment_names(run.memory)) == 1
    for k in range(20, 30):
        journal.append(REC_FRAME, k, bytes(50))
    engine.release()                                       # it was killed: nobody cut its segment
    assert drained_to_the_end(run) == []
    assert [r[1] for r in Reader(run.journal)] == list(range(1, 31))
    assert not run.memory.exists()
    Lock(run.lock, "the run").release()                    # the next engine may begin


def test_a_disk_that_refuses_is_told_of_once_and_once_more_when_it_takes_the_journal_again(run, monkeypatch):
    said: list[str] = []
    tries = []
    stopping = threading.Event()

    class Disk:
        def __init__(self, memory, disk):
            assert (memory, disk) == (run.memory, run.journal)

        def step(self, sync, is_over=False):
            tries.append(sync)
            if len(tries) <= 3:
                raise OSError(errno.ENOSPC, "x") if len(tries) < 3 else MemoryError()
            stopping.set()
            return 0

    monkeypatch.setattr(draining, "Drainer", Disk)
    drain = Draining(run, stopping, said.append)
    drain.start()
    drain.join()
    assert len(tries) == 5 and len(said) == 3 and said[2] == ""
    assert "(no room is left on the disk)" in said[0] and str(run.memory) in said[0] and "too little memory" in said[1]


def test_the_journal_is_synced_at_once_then_every_second_and_at_the_end(run, monkeypatch):
    monkeypatch.setattr(draining, "SYNC_S", 0.2)
    monkeypatch.setattr(draining, "POLL_S", 0.01)
    steps = []
    stopping = threading.Event()

    class Disk:
        def __init__(self, memory, disk):
            pass

        def step(self, sync, is_over=False):
            steps.append((time.monotonic(), sync))
            return 0

    monkeypatch.setattr(draining, "Drainer", Disk)
    drain = Draining(run, stopping, lambda text: None)
    drain.start()
    time.sleep(0.5)
    stopping.set()
    drain.join()
    synced = [at for at, sync in steps if sync]
    assert synced[0] == steps[0][0] and synced[-1] == steps[-1][0] and 3 <= len(synced) <= 4
    assert synced[1] - synced[0] > 0.2 and len(steps) > 2 * len(synced)
