"""Replay of a journal: identical or not, and in which record it differs; rows of the small tables by hand.

The path is `_ext/path.pyx`.
"""
import datetime as dt
from pathlib import Path

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    CANDIDATE,
    CLOSING,
    FIRST_DECISION,
    FIRST_TELEMETRY,
    ORDER_UPDATE,
    REC_BOOT,
    REC_CANDIDATE,
    REC_CLOSED,
    REC_FRAME,
    REC_ORDER_UPDATE,
    REC_START,
    REC_TIMER,
    REC_VERDICT,
)
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from _ext.trail.verifier import Verifier
from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.signals.models import load_models
from engine.sim.market import SyntheticMarket
from engine.store.rows import RowBuilder
from engine.trail import replay as work
from engine.trail.checked import JournalError, ring_depth_of
from engine.trail.rundir import RunDir
from tests.trade.conftest import SECOND, Desk


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


def test_telemetry_between_decisions_is_passed_over(journal, tmp_path):
    """One record of it after every other."""
    told = Journal(tmp_path / "told")
    for kind, _, now, payload in Reader(journal):
        told.append(kind, now, payload)
        told.append(FIRST_TELEMETRY, now, b"12345678")
    told.close()
    done, plain = work.replay(tmp_path / "told", journal), work.replay(journal, journal)
    assert done["identical"] and done["matched"] == plain["matched"] > 0


def test_a_flipped_byte_is_not_identical(journal):
    changed(journal, b"NSE_EQ|RELIANCE", b"NSE_EQ|RELIANCF")
    done = work.replay(journal, journal)
    assert not done["identical"] and done["corrupt"] > 0 and "fails its checksum" in done["problem"]


def copied(source, target, change) -> dict:
    """The replay of a whole copy in which `change(decisions so far, kind, now, payload)` altered or dropped (None) a record."""
    journal, decisions = Journal(target), 0
    for kind, _, now, payload in Reader(source):
        decisions += FIRST_DECISION <= kind < FIRST_TELEMETRY
        record = change(decisions if FIRST_DECISION <= kind < FIRST_TELEMETRY else 0, kind, now, payload)
        if record is not None:
            journal.append(*record)
    journal.close()
    return work.replay(target, target)


def test_a_decision_of_another_time_kind_or_content_is_a_mismatch(journal, tmp_path):
    assert copied(journal, tmp_path / "same", lambda nth, *record: record)["identical"]
    changes = {"time": lambda k, now, p: (k, now + 1, p), "kind": lambda k, now, p: (k + 1, now, p),
               "content": lambda k, now, p: (k, now, p[:-9] + bytes([p[-9] ^ 1]) + p[-8:])}
    for name, change in changes.items():
        done = copied(journal, tmp_path / name, lambda nth, *r, change=change: change(*r) if nth == 3 else r)
        assert not done["identical"] and done["mismatched"] >= 1 and done["corrupt"] == 0, name
        assert done["first_mismatch"].startswith("record "), name
    gone = copied(journal, tmp_path / "gone", lambda nth, *r: None if nth == 2 else r)
    assert not gone["identical"] and gone["mismatched"] >= 1


def test_decisions_the_journal_lost_at_its_end_are_missing(journal, tmp_path):
    """Everything after the first decision of the last input that made some is cut off."""
    records = list(Reader(journal))
    kinds = [r[0] for r in records]
    last = max(i for i in range(len(kinds) - 1) if kinds[i] < FIRST_DECISION <= kinds[i + 1])
    target = Journal(tmp_path / "cut")
    for kind, _, now, payload in records[:last + 2]:
        target.append(kind, now, payload)
    target.close()
    lost = 0
    for kind, *_ in records[last + 2:]:
        if kind < FIRST_DECISION:
            break
        lost += kind < FIRST_TELEMETRY
    done = work.replay(tmp_path / "cut", tmp_path)
    assert lost > 0 and done["missing"] == lost and done["mismatched"] == 0 and not done["identical"]


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


def closed(source, target, digest: int):
    """A copy of a journal that says it ended with this digest."""
    journal = Journal(target)
    for kind, _, now, payload in Reader(source):
        journal.append(kind, now, payload)
    row = np.zeros(1, CLOSING)
    row["digest"] = digest
    journal.append(REC_CLOSED, now, row.tobytes())
    journal.close()
    return work.replay(target, target)


def test_a_replay_arrives_at_the_digest_its_writer_noted(journal, tmp_path):
    """All decisions may be there, and the updates between them others: the digest knows."""
    digest = int(work.replay(journal, journal)["digest"], 16)
    good, bad = closed(journal, tmp_path / "good", digest), closed(journal, tmp_path / "bad", digest ^ 1)
    assert good["identical"] and good["expected"] == good["digest"] == f"{digest:016x}"
    assert not bad["identical"] and bad["mismatched"] == bad["missing"] == 0 and bad["expected"] == f"{digest ^ 1:016x}"


def test_a_journal_that_went_on_after_its_end_has_no_digest_to_arrive_at(journal, tmp_path):
    closed(journal, tmp_path / "a", 7)
    writer = Journal(tmp_path / "a", first_seq=len(list(Reader(tmp_path / "a"))))
    writer.append(REC_TIMER, 1 << 62, b"")
    writer.close()
    done = work.replay(tmp_path / "a", tmp_path)
    assert done["expected"] is None


def test_what_a_replay_finds_lost_is_not_fetched_once_more(tmp_path):
    desk = Desk(tmp_path)
    for _ in range(10):
        desk.tick(1, seconds=2)
    desk.tick(0)                                           # twenty seconds without a word of it
    assert desk.core.has_lost
    desk.journal.close()
    reader = Reader(tmp_path)
    verifier = Verifier(reader)
    core = Core(verifier, 5)
    assert core.replay(reader, verifier) > 10 and verifier.mismatched == 0
    assert not core.has_lost and len(core.take_lost()) == 0


def test_a_clock_that_is_set_back_does_not_turn_back_the_engines(tmp_path):
    desk = Desk(tmp_path)
    before = desk.core.now
    desk.now -= 5 * SECOND
    desk.tick(0, seconds=0)
    assert desk.core.now == before
    times = [now for kind, _, now, _ in Reader(desk.folder) if kind == REC_FRAME]
    assert times[-1] == before and times == sorted(times)


def test_what_is_no_journal_is_named(tmp_path):
    with pytest.raises(JournalError, match="no such run"):
        work.replay(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(JournalError, match="there is no journal"):
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
    converter = RowBuilder()
    made = converter.rows(REC_CANDIDATE, 1, 2, c.tobytes())
    assert len(made) == (level == 0)
    (table, row), = converter.rows(REC_VERDICT, 1, 2, c.tobytes())
    assert table == "signals" and row[20] == verdict and row[21] == ("pass" if reason == 0 else "weak") and row[11] == 0.7


def test_an_order_update_has_the_mean_price():
    u = np.zeros(1, ORDER_UPDATE)
    u["intent"], u["filled"], u["value"], u["quantity"], u["status"], u["order_id"] = 7, 3, 1_000, 9, 2, b"X"
    (table, row), = RowBuilder().rows(REC_ORDER_UPDATE, 1, 2, u.tobytes())
    assert table == "orders" and (row[3], row[7], row[12], row[13], row[15], row[17]) == (7, "update", 9, 333, b"X", 3)
    u["filled"], u["is_look_up"] = 0, 1
    (_, row), = RowBuilder().rows(REC_ORDER_UPDATE, 1, 2, u.tobytes())
    assert (row[7], row[13]) == ("look-up", 0)


def test_events_are_rows_and_frames_are_none():
    converter = RowBuilder()
    assert converter.rows(REC_FRAME, 1, 2, b"frame") == [] and converter.rows(REC_TIMER, 1, 2, b"") == []
    (table, row), = converter.rows(REC_BOOT, 4, 5, orjson.dumps({"nonce": "n"}))
    assert table == "events" and row[1:] == [4, 5, "boot", '{"nonce":"n"}']


def test_a_day_with_a_shallow_ring_is_replayed_with_it(tmp_path):
    """How many updates are kept of an instrument changes its features, so that the START record says it."""
    run = RunDir.new(tmp_path / "run")
    market = SyntheticMarket(shipped()[:30], dt.date(2026, 9, 1), 3)
    market.minutes = 40
    run_virtual(Config(ring_depth=64), market, "test", run, 3, None)
    assert ring_depth_of(run.reader()) == 64
    done = work.replay(run.path, Path(Config().models))
    assert done["identical"] and done["candidates"] > 20, done["first_mismatch"]
    reader = run.reader()
    verifier = Verifier(reader)
    deep = Core(verifier, 30, 256)
    deep.models.update(load_models(Path(Config().models)))
    deep.replay(reader, verifier)
    assert verifier.mismatched > 0, "with another one other decisions would have been made"


@pytest.mark.parametrize(("start", "depth"), [
    ({"ring_depth": 64}, 64), ({}, 256), ({"ring_depth": 0}, 256), ({"ring_depth": 10**9}, 256), ({"ring_depth": "deep"}, 256),
    ({"ring_depth": None}, 256), ([], 256)])
def test_a_start_record_without_a_depth_that_can_be_has_the_usual_one(tmp_path, start, depth):
    journal = Journal(tmp_path)
    journal.append(REC_START, 1, orjson.dumps(start))
    journal.close()
    assert ring_depth_of(Reader(tmp_path)) == depth and ring_depth_of(Reader(tmp_path / "none")) == 256
