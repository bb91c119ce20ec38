"""What an engine shows of itself: each trouble in its own words, and the block others read."""
from types import SimpleNamespace

import pytest

from _ext.core.sink import RecordSink
from _ext.entrance import Core
from _ext.trail.status import StatusBlock
from engine.run.vitals import ENDED, NO_FILTER, Vitals


@pytest.fixture
def process(tmp_path):
    """What the engine's process is made of, with an empty core."""
    return SimpleNamespace(
        journal=SimpleNamespace(full=False, problem="", epoch=3, seq=77), core=Core(RecordSink(), 4, 64),
        guards=SimpleNamespace(drain=""), models=SimpleNamespace(refusal=""), status=StatusBlock(tmp_path / "status", create=True),
        feed=SimpleNamespace(percentiles=lambda: (1, 2, 3, 4), connects=3), clock=SimpleNamespace(speed=10.0),
        shell=SimpleNamespace(stopped=[]))


@pytest.mark.parametrize(("part", "name", "value", "words"), [
    ("journal", "full", True, "the journal has no room (the store does not drain it): entries stop"),
    ("guards", "drain", "the store is behind", "the store is behind"),
    ("models", "refusal", "the model was changed", "the model was changed")])
def test_each_trouble_is_said(process, part, name, value, words):
    """An empty core has no model, so that the filter is off all the time."""
    vitals = Vitals(process)
    assert vitals.troubles() == [NO_FILTER]
    setattr(getattr(process, part), name, value)
    assert sorted(vitals.troubles()) == sorted([NO_FILTER, words])
    assert (words in vitals.troubles(is_last=True)) == (part != "guards"), "what is not drained at the end others say"


def test_a_stopped_strategy_is_said(process):
    process.shell.stopped.append("strategy mine is stopped: it raised ValueError")
    assert "strategy mine is stopped: it raised ValueError" in Vitals(process).troubles(is_last=True)


def test_why_the_journal_has_no_room_is_said_where_it_is_known(process):
    process.journal.full, process.journal.problem = True, "no room for 16 MiB"
    assert Vitals(process).no_room() == "the journal has no room (no room for 16 MiB): entries stop"


def test_what_others_read(process):
    vitals = Vitals(process)
    for latency in (5, 1, 9):
        vitals.order_took(latency)
    vitals.publish()
    row = process.status.read()
    assert (row["order_p50"], row["order_max"], row["reconnects"], row["epoch"], row["sequence"]) == (5, 9, 2, 3, 77)
    assert (row["p50"], row["p99"], row["p999"], row["max"], row["speed"], row["filter"]) == (1, 2, 3, 4, 10, 0)
    assert row["trouble"].decode() == NO_FILTER and row["first_update"] == 0 and row["ready"] == 1


def test_a_journal_that_is_closed_at_the_end_is_not_full(process):
    process.journal.full = True
    vitals = Vitals(process)
    vitals.publish()
    assert process.status.read()["journal_full"] == 1
    vitals.publish(ENDED)
    assert process.status.read()["journal_full"] == 0 and process.status.read()["ready"] == ENDED
