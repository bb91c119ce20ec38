"""A segment says what its records look like; a closed journal is kept compressed and reads the same."""
import os
import shutil

import pytest

from _ext.core.records import LAYOUT, REC_FRAME, REC_STATE
from _ext.trail import reader as reader_module
from _ext.trail import unpack
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import FORMAT, foreign, segment_names
from engine.trail import compress


def written(folder, count: int = 500, size: int = 100) -> list:
    journal = Journal(folder, capacity=8192)
    for i in range(count):
        journal.append(REC_FRAME, i, bytes([i % 251]) * (i % size))
    journal.close()
    return [tuple(record) for record in Reader(folder)]


@pytest.mark.parametrize(("at", "change", "words"), [
    (7, bytes([FORMAT - 1]), f"journal format {FORMAT - 1}, this engine reads {FORMAT}"),
    (7, bytes([FORMAT + 1]), f"journal format {FORMAT + 1}"), (0, b"PARQUET", "is not a journal segment"),
    (40, b"0123456789abcdef", f"another layout (0123456789abcdef, this engine's is {LAYOUT})"), (40, bytes(16), "another layout")])
def test_a_segment_of_another_kind_is_refused_in_words_that_say_what_to_do(tmp_path, at, change, words):
    written(tmp_path)
    (name, *_) = segment_names(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[at:at + len(change)] = change
    (tmp_path / name).write_bytes(data)
    reader = Reader(tmp_path)
    records = list(reader)
    assert words in reader.problem and name in reader.problem and reader.corrupt
    assert 1 not in [record[1] for record in records]                  # nothing of it is guessed
    if "is not" not in words:
        assert "the version of the engine that wrote it" in reader.problem


def test_every_segment_carries_format_and_layout(tmp_path):
    written(tmp_path)
    for name in segment_names(tmp_path):
        head = (tmp_path / name).read_bytes()[:64]
        assert head[:8] == b"SPIKEJ\0" + bytes([FORMAT]) and head[40:56] == LAYOUT.encode() and foreign(head, name) == ""


def test_a_compressed_journal_reads_the_same_and_is_smaller(tmp_path):
    records = written(tmp_path)
    before, after = compress.compress(tmp_path, worth=0)
    assert not list(tmp_path.glob("*.seg")) and before > 4 * after > 0
    assert after == sum(path.stat().st_size for path in tmp_path.glob("*.seg.zst"))
    assert [tuple(record) for record in Reader(tmp_path)] == records
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    assert compress.compress(tmp_path, worth=0) == (0, 0)


def test_a_small_journal_stays_as_it_is(tmp_path):
    written(tmp_path)
    assert compress.compress(tmp_path) == (0, 0) and len(list(tmp_path.glob("*.seg"))) > 3


@pytest.mark.parametrize("step", ["fsync", "rename", "unlink"])
def test_killed_at_any_step_the_journal_reads_whole(tmp_path, monkeypatch, step):
    """Each call that changes the disk fails in turn: before the plain segment goes the compressed one is whole."""
    records = written(tmp_path / "whole")
    for nth in range(12):
        folder = tmp_path / f"{step}{nth}"
        shutil.copytree(tmp_path / "whole", folder)
        calls = [0]

        def fails(*given, real, calls=calls, nth=nth, **words):
            calls[0] += 1
            if calls[0] == nth + 1:
                raise OSError(28, "No space left on device")
            return real(*given, **words)

        with monkeypatch.context() as patched:
            if step == "fsync":
                real = os.fsync
                patched.setattr(compress.os, "fsync", lambda *g, real=real: fails(*g, real=real))
            else:
                real = getattr(compress.Path, step)
                patched.setattr(compress.Path, step, lambda *g, real=real, **w: fails(*g, real=real, **w))
            try:
                compress.compress(folder, worth=0)
            except OSError:
                pass
        reader = Reader(folder)
        assert [tuple(record) for record in reader] == records, (step, nth)
        assert reader.problem is None
        compress.compress(folder, worth=0)
        assert [tuple(record) for record in Reader(folder)] == records and not list(folder.glob("*.seg"))


def test_a_damaged_compressed_segment_is_said(tmp_path):
    written(tmp_path)
    compress.compress(tmp_path, worth=0)
    path = sorted(tmp_path.glob("*.zst"))[1]
    data = bytearray(path.read_bytes())
    for at in range(20, min(len(data), 60)):
        data[at] ^= 0xFF
    path.write_bytes(data)
    reader = Reader(tmp_path)
    list(reader)
    assert "cannot be unpacked: it is damaged" in reader.problem and path.name in reader.problem


def test_a_segment_that_unpacks_to_more_than_one_can_have_is_refused(tmp_path, monkeypatch):
    written(tmp_path)
    compress.compress(tmp_path, worth=0)
    monkeypatch.setattr(unpack, "MOST", 100)
    reader = Reader(tmp_path)
    assert list(reader) == [] and "unpacks to more than" in reader.problem


def test_a_reader_knows_which_types_it_has_read(tmp_path):
    written(tmp_path, 3)
    reader = Reader(tmp_path)
    assert not reader.has_read(REC_FRAME)
    reader.skim()
    assert reader.has_read(REC_FRAME) and not any(reader.has_read(kind) for kind in range(256) if kind != REC_FRAME)


@pytest.mark.parametrize("plain", [None, 2])
def test_the_compressed_segment_after_the_one_asked_for_is_unpacked_meanwhile(tmp_path, monkeypatch, plain):
    """Not one that lies there plain, and none after the last."""
    written(tmp_path, 400)
    whole = {name: (tmp_path / name).read_bytes() for name in segment_names(tmp_path)}
    compress.compress(tmp_path, worth=0)
    names = segment_names(tmp_path)
    if plain is not None:
        (tmp_path / names[plain]).write_bytes(whole[names[plain]])
        (tmp_path / (names[plain] + ".zst")).unlink()
    asked: list[tuple] = []

    class Ahead(unpack.Ahead):
        def take(self, path, after):
            asked.append((path.name, after.name if after else None))
            return super().take(path, after)

    monkeypatch.setattr(reader_module, "Ahead", Ahead)
    assert len(list(Reader(tmp_path))) == 400
    packed = [f"{name}.zst" if k != plain else None for k, name in enumerate(names)]
    assert len(names) > 3
    assert asked == [(name, after) for name, after in zip(packed, [*packed[1:], None], strict=True) if name]


def test_a_reader_that_rests_goes_on_where_it_was(tmp_path):
    """Also from a record that was looked at and not read, at the end of a segment, and after it was compressed."""
    journal = Journal(tmp_path, 1 << 14, 1 << 30)
    for k in range(600):
        journal.append(REC_STATE, k, bytes(64))
    journal.close()
    whole = list(Reader(tmp_path))
    for is_packed in (False, True):
        reader, found = Reader(tmp_path), []
        reader.keeps = True
        while True:
            if len(found) % 7 == 0:
                reader.next_time()                             # looked at
            reader.rest()
            record = reader.read()
            if record is None:
                break
            found.append(record)
        assert found == whole and not reader.corrupt and not reader.missing
        assert reader.take_kept(1 << 62) == whole
        if not is_packed:
            compress.compress(tmp_path, worth=0)
