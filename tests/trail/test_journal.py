"""Journal: what is appended is read back, whatever dies or breaks in between."""
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _ext.core.records import REC_FRAME, REC_TIMER, REC_TIMING
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from engine.trail.drain import Drainer


@settings(max_examples=40, deadline=None)
@given(payloads=st.lists(st.binary(max_size=300), max_size=80))
def test_reads_back_what_was_written_across_segments(tmp_path_factory, payloads):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, capacity=4096)
    for i, payload in enumerate(payloads):
        assert journal.append(REC_FRAME, i, payload) == i + 1
    assert [(r[1], r[2], r[3]) for r in Reader(folder)] == [(i + 1, i, p) for i, p in enumerate(payloads)]
    journal.close()
    assert len(list(Reader(folder))) == len(payloads)


def resident(folder) -> int:
    """KiB of the folder's segments that are in this process's memory."""
    total, at = 0, ""
    for row in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in row.split(" ")[0]:
            at = row
        elif row.startswith("Rss:") and str(folder) in at:
            total += int(row.split()[1])
    return total


def test_the_first_segment_is_touched_before_the_first_record_unless_nobody_waits(tmp_path):
    ready, later = Journal(tmp_path / "a", capacity=1 << 20), Journal(tmp_path / "b", capacity=1 << 20, touched=False)
    assert resident(tmp_path / "a") == 1024 and resident(tmp_path / "b") < 256
    for journal in (ready, later):
        for i in range(3000):
            journal.append(REC_FRAME, i, bytes(100))
    assert list(Reader(tmp_path / "a")) == list(Reader(tmp_path / "b"))


def test_a_reader_follows_a_live_journal_without_loss(tmp_path):
    journal, reader, seen = Journal(tmp_path, capacity=4096), Reader(tmp_path), []
    for i in range(500):
        journal.append(REC_FRAME, i, b"x" * (i % 90))
        if i % 7 == 0:
            journal.prepare()          # a segment made ahead must not draw the reader away
        if i % 3 == 0:
            seen += [r[1] for r in reader]
    seen += [r[1] for r in reader]
    assert seen == list(range(1, 501))


def closed_journal(folder):
    """A closed journal of five records of 40 bytes: its only segment and what it holds."""
    journal = Journal(folder, capacity=4096)
    for i in range(5):
        journal.append(REC_FRAME, i, bytes(range(40)))
    journal.close()
    path = folder / segment_names(folder)[0]
    return path, path.read_bytes()


def test_a_closed_segment_has_room_for_the_length_a_reader_looks_for(tmp_path):
    journal = Journal(tmp_path, 1 << 16)
    journal.append(REC_FRAME, 1, b"\xff" * 24)
    journal.close()
    (segment,) = tmp_path.iterdir()
    assert segment.read_bytes()[-16:] == b"\xff" * 8 + bytes(8)


def test_each_flipped_byte_is_found(tmp_path):
    path, good = closed_journal(tmp_path)
    for at in range(64, len(good) - 8):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        reader = Reader(tmp_path)
        records = list(reader)
        spare = (at - 64) % 72 in (6, 7)
        assert spare or reader.corrupt == 1 or len(records) < 5, at
        assert all(r[3] == bytes(range(40)) for r in records)


def test_truncated_at_every_byte_gives_a_clean_prefix(tmp_path):
    path, good = closed_journal(tmp_path)
    for n in range(len(good)):
        path.write_bytes(good[:n])
        assert len(list(Reader(tmp_path))) == min(max(0, (n - 64) // 72), 5)


def test_no_room_is_reported_not_fatal(tmp_path):
    journal = Journal(tmp_path, capacity=4096, memory_cap=8192)
    written = sum(journal.append(REC_FRAME, i, b"y" * 100) > 0 for i in range(200))
    assert journal.full and 0 < written < 200
    assert len(list(Reader(tmp_path))) == written


def test_a_journal_with_room_again_is_full_no_more(tmp_path):
    journal, kept = Journal(tmp_path, capacity=4096, memory_cap=8192), 0
    while journal.append(REC_FRAME, 0, b"y" * 100):
        kept += 1
    (tmp_path / segment_names(tmp_path)[0]).unlink()           # as a drainer does
    assert journal.full and journal.append(REC_FRAME, 0, b"y" * 100) == kept + 1 and not journal.full


@pytest.mark.parametrize("lost", [(0,), (2,), (1, 2), (0, 1, 3)])
def test_what_lost_segments_held_is_counted_to_the_record(tmp_path, lost):
    journal = Journal(tmp_path, capacity=4096)
    for i in range(250):
        journal.append(REC_FRAME, i, b"y" * (i % 80))
    journal.close()
    names = segment_names(tmp_path)
    whole = [record[1] for record in Reader(tmp_path)]
    assert whole == list(range(1, 251)) and len(names) > 4
    for k in lost:
        (tmp_path / names[k]).unlink()
    reader = Reader(tmp_path)
    left = [record[1] for record in reader]
    gone = sorted(set(whole) - set(left))
    assert reader.missing == len(gone) > 0 and reader.corrupt == 0
    first = next(n for n in gone if n + 1 not in gone)
    assert reader.problem.startswith(f"records {gone[0]:,} to {first:,} are missing before")


def test_a_full_disk_is_reported_when_the_segment_is_made(tmp_path):
    with pytest.raises(OSError, match="no room"):
        Journal(tmp_path, capacity=1 << 50)


def test_killed_while_writing_loses_nothing_written(tmp_path):
    code = ("import sys; from _ext.core.records import REC_FRAME; from _ext.trail.journal import Journal\n"
            "j = Journal(sys.argv[1], capacity=1 << 16)\n"
            "i = 0\nwhile True:\n i += 1; j.append(REC_FRAME, i, b'z' * (i % 200)); print(i, flush=True)")
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if int(line) == 3000:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    records = list(Reader(tmp_path))
    assert len(records) >= 3000 and all(r[3] == b"z" * (r[1] % 200) for r in records)
    again = Journal(tmp_path, first_seq=records[-1][1])
    assert again.epoch == 2
    again.append(REC_FRAME, 1, b"after")
    assert [r[1] for r in Reader(tmp_path)] == list(range(1, len(records) + 2))


def test_a_second_run_repeats_the_first_and_goes_on(tmp_path):
    first = Journal(tmp_path, capacity=4096)
    for i in range(50):
        first.append(REC_FRAME, i, b"a" * i)
    second = Journal(tmp_path, capacity=4096, prefix=Reader(tmp_path))
    for i in range(80):
        second.append(REC_FRAME, i, b"a" * i)
    assert not second.diverged
    assert [(r[1], r[3]) for r in Reader(tmp_path)] == [(i + 1, b"a" * i) for i in range(80)]
    third = Journal(tmp_path, capacity=4096, prefix=Reader(tmp_path))
    third.append(REC_FRAME, 0, b"other")
    assert third.diverged


@pytest.mark.parametrize(("kind", "now", "payload", "is_same"), [
    (REC_FRAME, 7, b"abc", True), (REC_FRAME, 8, b"abc", False), (REC_TIMER, 7, b"abc", False), (REC_FRAME, 7, b"abd", False),
    (REC_FRAME, 7, b"abcd", False), (REC_FRAME, 7, b"", False)])
def test_a_second_run_repeats_kind_time_and_content_or_has_diverged(tmp_path, kind, now, payload, is_same):
    first = Journal(tmp_path, capacity=4096)
    first.append(REC_FRAME, 7, b"abc")
    second = Journal(tmp_path, capacity=4096, prefix=Reader(tmp_path))
    second.append(kind, now, payload)
    assert second.diverged != is_same


def test_a_segment_that_is_being_made_is_nobodys_business(tmp_path):
    """A drainer that met a file before its head stood took it for finished and removed it under its writer."""
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    drainer = Drainer(memory, disk)
    half = memory / "000001-000000.seg"
    for content in (b"", b"SPIKEJ", bytes(64), bytes(1 << 16)):
        half.write_bytes(content)
        assert drainer.step(True) == 0 and half.read_bytes() == content and not list(disk.iterdir())
    half.unlink()
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            drainer.step(False)

    follower = threading.Thread(target=drain)
    follower.start()
    try:
        for _ in range(30):                                # segments of 1 MiB, made and left while the drainer looks on
            journal = Journal(memory, 1 << 20, 1 << 30, folders=(disk,))     # as the engine opens it: no name twice
            for n in range(40):
                assert journal.append(REC_TIMER, n, bytes(60_000))
                journal.prepare()
            journal.close()
    finally:
        stop.set()
        follower.join()
    while drainer.step(True):
        pass
    drainer.step(True)
    assert sum(1 for _ in Reader(memory, disk)) == 30 * 40


def test_what_is_written_while_a_reader_looks_for_the_next_segment_is_read_first(tmp_path):
    """It has read the last record, sees that the next segment is in use, and in between the old one was written to its end."""
    journal = Journal(tmp_path, capacity=4096)
    count = 0

    class Overtaken(Reader):
        def _find(self, name):
            nonlocal count
            while self.current is not None and count < 30:
                count += 1
                journal.append(REC_FRAME, count, b"x" * 100)
            return super()._find(name)

    for _ in range(16):
        count += 1
        journal.append(REC_FRAME, count, b"x" * 100)
    journal.prepare()
    reader = Overtaken(tmp_path)
    assert [record[1] for record in reader] == list(range(1, 31))
    assert len(segment_names(tmp_path)) == 2 and (reader.missing, reader.corrupt) == (0, 0)


@pytest.mark.parametrize(("before", "after"), [([b"one"], []), ([], [b"another"]), ([b"one"], [b"another", b"third"])])
def test_what_telemetry_says_is_not_repeated_nor_compared(tmp_path, before, after):
    """Times differ from run to run: those of the first stand, also at its end, and the second's count from where it goes on. No
    number is given twice."""
    first = Journal(tmp_path, capacity=4096)
    for kind, payload in [(REC_FRAME, b"a"), *((REC_TIMING, said) for said in before), (REC_FRAME, b"b"), (REC_TIMING, b"end")]:
        first.append(kind, 7, payload)
    second = Journal(tmp_path, capacity=4096, prefix=Reader(tmp_path))
    for kind, payload in [(REC_FRAME, b"a"), *((REC_TIMING, said) for said in after), (REC_FRAME, b"b")]:
        assert second.append(kind, 7, payload)
    assert second.append(REC_FRAME, 8, b"c") == len(before) + 4 and second.append(REC_TIMING, 8, b"new")
    assert not second.diverged
    reader = Reader(tmp_path)
    assert [r[3] for r in reader if r[0] == REC_TIMING] == [*before, b"end", b"new"] and (reader.missing, reader.corrupt) == (0, 0)


def test_what_was_handed_out_stays_until_the_segment_after_the_next(tmp_path):
    """The core reads an input's record while its decisions, compared with the journal's, lie in the segment after it. A segment
    without a record is none."""
    for _ in range(2):
        journal = Journal(tmp_path, capacity=4096)
        for _ in range(40):
            journal.append(REC_FRAME, 7, bytes(60))
        journal.close()
        Journal(tmp_path, capacity=4096).close()           # a life that wrote nothing

    class Bytes(bytearray):
        """A segment's contents whose end can be seen."""

    held: list[weakref.ref] = []

    class Watching(Reader):
        def _find(self, name):
            found = super()._find(name)
            if found is None:
                return None
            view = Bytes(found[0])
            held.append(weakref.ref(view))
            return view, len(view)

    reader, segments = Watching(tmp_path), []
    for _ in iter(reader.read, None):
        if reader.current not in segments:
            segments.append(reader.current)
            there = [view() for view in held if view() is not None and len(view()) > 100]
            assert len(there) == min(len(segments), 2), segments
            del there
    assert len(segments) == 4 and len(held) == 6


def test_after_a_record_that_cannot_be_the_next_segment_is_read(tmp_path):
    """A length that is none: where the next record of the segment begins nobody knows."""
    journal = Journal(tmp_path, capacity=4096)
    for i in range(100):
        journal.append(REC_FRAME, i, bytes(60))
    journal.close()
    first = segment_names(tmp_path)[0]
    whole = Reader(tmp_path)
    names = [whole.current for _ in iter(whole.read, None)]
    data = bytearray((tmp_path / first).read_bytes())
    data[64 + 3 * 96:64 + 3 * 96 + 4] = (20).to_bytes(4, "little")
    (tmp_path / first).write_bytes(data)
    reader = Reader(tmp_path)
    left = [record[1] for record in reader]
    of_first = names.count(first)
    assert 4 < of_first < 90 and left == [1, 2, 3, *range(of_first + 1, 101)]
    assert (reader.corrupt, reader.missing) == (1, of_first - 3)
    assert reader.problem == f"{first} at byte {64 + 3 * 96}: a record of 20 bytes cannot be"
