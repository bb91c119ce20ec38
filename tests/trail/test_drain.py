"""The drainer: whole records alone reach the disk, in order, once; what an earlier one copied is kept."""
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
