"""What is missing from a journal is found, whatever way it went missing, and said by every command that reads one."""
import numpy as np
import pytest

from _ext.core.records import REC_STATE
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from _ext.trail.status import StatusBlock
from engine.trail.checked import JournalError, capacity_of, damage_of, reader_of, run_at, survey
from engine.trail.rundir import Lock, RunDir

RECORDS, SEGMENT, PAYLOAD = 800, 1 << 14, np.arange(64, dtype=np.uint8)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder whose journal has several segments."""
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    folder = RunDir(tmp_path / "run")
    journal = Journal(folder.journal, SEGMENT, 1 << 40)
    for k in range(RECORDS):
        journal.append(REC_STATE, k, PAYLOAD)
    journal.close()
    assert len(segment_names(folder.journal)) >= 4
    return folder


def names(run):
    return [run.journal / name for name in segment_names(run.journal)]


def flip(path, at=2000):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_whole_journal_has_no_damage(run):
    reader = reader_of(run.path)
    assert sum(1 for _ in reader) == RECORDS == reader.last
    assert damage_of(run.path, reader) is None and survey(run.path) is None and survey(run.journal) is None


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda run: flip(names(run)[1]), "checksum"),
    (lambda run: names(run)[1].unlink(), "are missing before"),
    (lambda run: names(run)[0].unlink(), "records 1 to"),
    (lambda run: names(run)[1].write_bytes(b""), "are missing before"),
    (lambda run: names(run)[1].write_bytes(names(run)[1].read_bytes()[:3000]), ""),
    (lambda run: names(run)[1].write_bytes(names(run)[1].read_bytes()[:2000] + bytes(SEGMENT - 2000)), ""),
    (lambda run: names(run)[1].write_bytes(b"garbage!" * 500), "not a journal segment"),
    (lambda run: names(run)[-1].write_bytes(names(run)[-1].read_bytes()[:300]), "cannot be"),
], ids=["a flipped bit", "a segment gone", "the first gone", "an empty one", "one cut", "one zeroed", "garbage", "the last cut"])
def test_damage_is_said_with_what_is_missing(run, spoil, words):
    spoil(run)
    said = survey(run.path)
    assert said is not None and "is damaged" in said and words in said
    assert survey(run.journal) is not None, "also by the folder of segments alone"


def test_an_end_that_was_lost_shows_by_the_engines_last_sign_of_life(run):
    """As when shared memory went with the machine: what is left is whole, and ends too early."""
    block = StatusBlock(run.status, create=True)
    block.values["sequence"] = RECORDS
    block.publish()
    assert survey(run.path) is None
    for lost in (1, 25):
        block.values["sequence"] = RECORDS + lost
        block.publish()
        assert f"the last {lost} are missing" in survey(run.path)
    lock = Lock(run.lock, "the journal")                    # while it is written, its end is nobody's to judge
    assert survey(run.path) is None
    lock.release()


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(JournalError, match="no such run"):
        reader_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(JournalError, match="there is no journal in"):
        reader_of(tmp_path / "empty")
    assert run_at(tmp_path / "empty") is None and not any((tmp_path / "empty").iterdir())


def test_a_journal_without_instruments_has_no_capacity(run):
    with pytest.raises(JournalError, match="no journaled instruments"):
        capacity_of(run.path)


def test_a_reader_that_skims_counts_as_one_that_reads(run):
    flip(names(run)[1])
    names(run)[2].unlink()
    read, skimmed = Reader(run.journal), Reader(run.journal)
    for _ in read:
        pass
    skimmed.skim()
    assert (read.corrupt, read.missing, read.last, read.problem) == (
        skimmed.corrupt, skimmed.missing, skimmed.last, skimmed.problem)
    assert read.corrupt == 1 and read.missing > 1
