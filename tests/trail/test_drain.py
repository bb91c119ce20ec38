"""The drainer: whole records alone reach the disk, in order, once; what an earlier one copied is kept."""
import os
import struct

import pytest

from _ext.core.records import REC_FRAME, REC_INTENT
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from engine.trail import drain
from engine.trail.drain import Drainer, whole_records


@pytest.fixture
def folders(tmp_path):
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    return memory, disk


def contents(folder):
    return [(r[0], r[1], r[3]) for r in Reader(folder)]


def test_what_is_written_arrives_once_and_finished_segments_leave_the_memory(folders):
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    want = []
    for i in range(300):
        payload = bytes([i % 256]) * (i % 90)
        journal.append(5 if i % 10 else REC_INTENT, i, payload)
        want.append((5 if i % 10 else REC_INTENT, i + 1, payload))
        if i % 17 == 0:
            drainer.step(False)
            assert contents(disk) == want
    drainer.step(False)
    assert contents(disk) == want
    while drainer.step(False):
        pass
    assert len(segment_names(memory)) == 1 and len(segment_names(disk)) > 4
    journal.close()
    for _ in range(3):
        drainer.step(False)
    assert segment_names(memory) == [] and contents(disk) == want


def test_another_drainer_goes_on_where_the_disk_ends(folders):
    memory, disk = folders
    journal = Journal(memory, capacity=8192)
    for i in range(20):
        journal.append(REC_FRAME, i, bytes(50))
    Drainer(memory, disk).step(True)
    path = disk / segment_names(disk)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])                          # the earlier one died in the middle of a record
    for i in range(20, 30):
        journal.append(REC_FRAME, i, bytes(50))
    Drainer(memory, disk).step(True)
    assert [r[1] for r in contents(disk)] == list(range(1, 31))
    assert path.read_bytes()[:len(whole) - 30] == whole[:-30]


def test_what_is_no_record_at_the_end_of_the_disk_is_cut_off(folders):
    memory, disk = folders
    journal = Journal(memory, capacity=8192)
    for i in range(3):
        journal.append(REC_FRAME, i, bytes(50))
    Drainer(memory, disk).step(True)
    path = disk / segment_names(disk)[0]
    path.write_bytes(path.read_bytes() + b"\xff" * 400)
    Drainer(memory, disk).step(True)
    reader = Reader(disk)
    assert [r[1] for r in reader] == [1, 2, 3] and reader.corrupt == 0


def test_a_segment_stays_in_memory_until_all_of_it_is_copied(folders, monkeypatch):
    """Its writer has left it; a step takes 256 bytes."""
    monkeypatch.setattr(drain, "BLOCK", 256)
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for i in range(80):
        journal.append(REC_FRAME, i, bytes(50))
    first = segment_names(memory)[0]
    drainer.step(True)
    assert segment_names(memory)[0] == first and len(segment_names(memory)) > 1
    for _ in range(60):
        drainer.step(False)
    assert first not in segment_names(memory) and [r[1] for r in Reader(disk)] == list(range(1, 81))


@pytest.mark.parametrize(("block", "want"), [
    (b"", (0, False)), (bytes(64), (0, False)), (struct.pack("<I", 32) + bytes(27), (0, False)),
    (struct.pack("<IH", 32, 5) + bytes(26), (32, False)), (struct.pack("<IH", 32, REC_INTENT) + bytes(26), (32, True)),
    (struct.pack("<IH", 32, REC_INTENT) + bytes(26) + struct.pack("<IH", 32, 5) + bytes(26), (64, True)),
    (struct.pack("<IH", 40, 5) + bytes(33), (0, False)), (struct.pack("<IH", 40, 5) + bytes(34), (40, False)),
    (2 * (struct.pack("<IH", 32, 5) + bytes(26)) + bytes(32), (64, False)),
    (struct.pack("<IH", 32, 5) + bytes(26) + struct.pack("<IH", 64, REC_INTENT) + bytes(26), (32, False)),
    (struct.pack("<IH", 24, 5) + bytes(60), (0, False))])
def test_whole_records_by_their_lengths(block, want):
    assert whole_records(block) == want


def test_an_input_leaves_room_for_what_it_may_cause(tmp_path):
    """A quarter of a small segment is kept for decisions: an input goes to the next one before, a decision still fits."""
    journal = Journal(tmp_path, capacity=4096, memory_cap=4096)
    while journal.append(REC_FRAME, 1, bytes(100)):
        pass
    written = len(list(Reader(tmp_path)))
    assert journal.full and written == (4096 - 64 - 1024) // 136
    assert journal.append(REC_INTENT, 2, bytes(100)) == written + 1
    assert journal.append(REC_FRAME, 3, bytes(10)) == 0
    assert [r[0] for r in Reader(tmp_path)][-1] == REC_INTENT


def synced_by(monkeypatch, drainer) -> list[str]:
    """Names of the segments one step without `sync` has made safe."""
    names: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(drain.os, "fdatasync", lambda fd: names.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
        drainer.step(False)
    return names


@pytest.mark.parametrize(("kinds", "is_synced"), [
    ((REC_INTENT,), True), ((REC_INTENT, REC_FRAME), True), ((REC_FRAME, REC_INTENT, REC_FRAME), True), ((REC_FRAME,), False)])
def test_an_order_is_safe_with_the_step_that_copies_it_whatever_follows_it(folders, monkeypatch, kinds, is_synced):
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for kind in kinds:
        journal.append(kind, 1, bytes(10))
    assert bool(synced_by(monkeypatch, drainer)) == is_synced
    assert synced_by(monkeypatch, drainer) == []            # nothing new


def test_an_order_at_the_end_of_a_segment_is_safe_though_frames_fill_the_next(folders, monkeypatch):
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for kind in (*[REC_FRAME] * 22, REC_INTENT, REC_FRAME, REC_FRAME):      # the intent takes room that is kept from frames
        journal.append(kind, 1, bytes(100))
    first, _ = segment_names(memory)
    assert first in synced_by(monkeypatch, drainer)


def test_a_segment_made_ahead_does_not_end_the_one_that_is_written(folders):
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for i in range(20):
        journal.append(REC_FRAME, i, bytes(100))
    journal.prepare()
    names = segment_names(memory)
    assert len(names) == 2
    for _ in range(3):
        drainer.step(True)
    assert segment_names(memory) == names
    for i in range(20, 40):
        journal.append(REC_FRAME, i, bytes(100))
        drainer.step(False)
    assert [r[1] for r in Reader(disk)] == list(range(1, 41))


def test_what_is_written_behind_the_drainers_back_is_copied_before_its_segment_goes(folders):
    """The writer ends one segment and begins the next between the last copy of the first and the look whether it may go."""
    memory, disk = folders
    journal = Journal(memory, capacity=4096)
    count = 0

    class Overtaken(Drainer):
        def _copy(self, name):
            nonlocal count
            copied, has_intent, is_drained = super()._copy(name)
            while is_drained and name == segment_names(memory)[0] and count < 40:
                count += 1
                journal.append(REC_FRAME, count, bytes(100))
            return copied, has_intent, is_drained

    for _ in range(16):
        count += 1
        journal.append(REC_FRAME, count, bytes(100))
    journal.prepare()
    drainer = Overtaken(memory, disk)
    for _ in range(6):
        drainer.step(False)
    assert count == 40 and [r[1] for r in Reader(disk)] == list(range(1, 41))


def test_a_segment_is_safe_on_the_disk_before_it_leaves_the_memory(folders, monkeypatch):
    """Also with steps that sync nothing else: the machine may stop right after."""
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for i in range(40):
        journal.append(REC_FRAME, i, bytes(100))
    first = segment_names(memory)[0]
    synced = []

    def fdatasync(fd: int) -> None:
        assert (memory / first).exists()
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

    monkeypatch.setattr(drain.os, "fdatasync", fdatasync)
    for _ in range(3):
        drainer.step(False)
    assert not (memory / first).exists() and synced == [first]


def test_a_disk_that_takes_a_part_of_each_write_gets_all_of_it(folders, monkeypatch):
    write = os.pwrite
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for i in range(10):
        journal.append(REC_FRAME, i, bytes([i]) * 100)
    monkeypatch.setattr(drain.os, "pwrite", lambda fd, block, at: write(fd, block[:70], at))
    drainer.step(False)
    assert [r[3] for r in Reader(disk)] == [bytes([i]) * 100 for i in range(10)]


def test_a_record_larger_than_one_copy_is_copied_whole(folders, monkeypatch):
    monkeypatch.setattr(drain, "BLOCK", 256)
    memory, disk = folders
    journal, drainer = Journal(memory, capacity=4096), Drainer(memory, disk)
    for size in (10, 1000, 10):
        journal.append(REC_FRAME, size, bytes(size))
    for _ in range(4):
        drainer.step(False)
    assert [r[2] for r in Reader(disk)] == [10, 1000, 10]
