"""Replay of a journal: identical or not, and in which record it differs; rows of the small tables by hand."""
import numpy as np
import orjson
import pytest

from _ext.core.records import CANDIDATE, ORDER_UPDATE
from _ext.trail.journal import segment_names
from engine.trail import replay as work
from engine.trail.store import Converter
from tests.trade.conftest import Desk


@pytest.fixture
def journal(tmp_path):
    """An entry, its stop and a quote's worth of frames."""
    desk = Desk(tmp_path / "j")
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 3, int(entry["quantity"]), 100_000)
    desk.tick()
    desk.journal.close()
    return tmp_path / "j"


def changed(folder, old: bytes, new: bytes) -> None:
    path = folder / segment_names(folder)[0]
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new))


def test_an_untouched_journal_is_identical(journal):
    done = work.replay(journal, journal)
    assert done["identical"] and done["mismatched"] == done["missing"] == done["corrupt"] == 0 and done["problem"] is None
    assert done["intents"] == 2 and done["matched"] >= 5 and done["first_mismatch"] is None and done["expected"] is None
    assert work.capacity_of(journal) == 5


def test_a_flipped_byte_is_not_identical(journal):
    changed(journal, b"NSE_EQ|RELIANCE", b"NSE_EQ|RELIANCF")
    done = work.replay(journal, journal)
    assert not done["identical"] and done["corrupt"] > 0 and "fails its checksum" in done["problem"]


def test_a_damaged_record_that_changed_nothing_is_damage_all_the_same(tmp_path):
    """The journal's last record is a timer; one bit of its time."""
    desk = Desk(tmp_path / "j")
    desk.tick()
    desk.timer()
    desk.journal.close()
    path = tmp_path / "j" / segment_names(tmp_path / "j")[0]
    data = bytearray(path.read_bytes())
    data[data.rindex(desk.now.to_bytes(8, "little"))] ^= 1
    path.write_bytes(data)
    done = work.replay(tmp_path / "j", tmp_path)
    assert done["corrupt"] == 1 and done["mismatched"] == done["missing"] == 0 and not done["identical"]


def test_what_is_no_journal_is_named(tmp_path):
    with pytest.raises(work.JournalError, match="no such run"):
        work.replay(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(work.JournalError, match="no journaled instruments"):
        work.replay(tmp_path / "empty", tmp_path)


def test_a_difference_is_described_by_its_fields():
    ours, theirs = np.zeros(1, CANDIDATE), np.zeros(1, CANDIDATE)
    ours["price"], theirs["price"] = 5, 7
    text = work.describe((12, 64, 64, 0, ours.tobytes(), theirs.tobytes()))
    assert text == "record 12: candidate: price 7 -> 5"
    assert work.describe((12, 64, 65, 0, b"", b"")) == "record 12: the journal has candidate, replay verdict"
    assert work.describe((12, 64, 64, 0, b"x", b"y")) == "record 12: candidate differs"
    assert work.describe(None) is None


@pytest.mark.parametrize(("level", "reason", "verdict"), [(0, 23, 0), (1, 23, 1), (1, 0, 2)])
def test_a_signals_verdict(level, reason, verdict):
    c = np.zeros(1, CANDIDATE)
    c["level"], c["reason"], c["strength"] = level, reason, 0.7
    converter = Converter()
    made = converter.rows(64, 1, 2, c.tobytes())
    assert len(made) == (level == 0)
    (table, row), = converter.rows(65, 1, 2, c.tobytes())
    assert table == "signals" and row[20] == verdict and row[21] == ("pass" if reason == 0 else "weak") and row[11] == 0.7


def test_an_order_update_has_the_mean_price():
    u = np.zeros(1, ORDER_UPDATE)
    u["intent"], u["filled"], u["value"], u["quantity"], u["status"], u["order_id"] = 7, 3, 1_000, 9, 2, b"X"
    (table, row), = Converter().rows(9, 1, 2, u.tobytes())
    assert table == "orders" and (row[3], row[7], row[12], row[13], row[15], row[17]) == (7, "update", 9, 333, b"X", 3)
    u["filled"], u["is_look_up"] = 0, 1
    (_, row), = Converter().rows(9, 1, 2, u.tobytes())
    assert (row[7], row[13]) == ("look-up", 0)


def test_events_are_rows_and_frames_are_none():
    converter = Converter()
    assert converter.rows(5, 1, 2, b"frame") == [] and converter.rows(6, 1, 2, b"") == []
    (table, row), = converter.rows(13, 4, 5, orjson.dumps({"nonce": "n"}))
    assert table == "events" and row[1:] == [4, 5, "boot", '{"nonce":"n"}']
