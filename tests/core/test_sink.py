"""Sinks: what is kept, what counts in the digest, and that another sink goes on where the first one was left."""
import orjson

from _ext.core.records import REC_LINK, REC_START, REC_TIMER
from _ext.core.sink import DigestSink, KeepingSink, RecordSink
from _ext.entrance import Core
from _ext.trail.journal import Journal
from engine import config

START = orjson.dumps(config.Config(models="").record())


def fed(sink, *inputs) -> Core:
    core = Core(sink, 1, 64)
    for kind, now, payload in inputs:
        core.feed(kind, now, payload)
    return core


def test_only_the_types_wanted_are_kept_and_all_are_numbered():
    sink = KeepingSink((REC_TIMER,))
    fed(sink, (REC_START, 1, START), (REC_TIMER, 2, b""), (REC_LINK, 3, bytes(16)), (REC_TIMER, 4, b""))
    assert sink.kept == [(REC_TIMER, 2, b""), (REC_TIMER, 4, b"")] and sink.seq == 4
    assert KeepingSink(()).kept == []


def test_the_digest_is_of_the_records_in_their_order():
    ticks = (REC_TIMER, 2, b""), (REC_TIMER, 3, b"")
    one, same = (fed(RecordSink(), (REC_START, 1, START), *ticks) for _ in range(2))
    assert one.digest == same.digest and one.counts()["records"] == 3
    for other in (ticks[::-1], ticks[:1], ((REC_TIMER, 2, b""), (REC_TIMER, 4, b""))):
        assert fed(RecordSink(), (REC_START, 1, START), *other).digest != one.digest


def test_a_sink_that_takes_nothing_leaves_the_digest_alone(tmp_path):
    journal = Journal(tmp_path, 1 << 16, 1 << 20)
    core = fed(journal, (REC_START, 1, START))
    before, count = core.digest, core.counts()["records"]
    journal.close()
    assert core.feed(REC_TIMER, 2) == 0
    assert (core.digest, core.counts()["records"]) == (before, count)


def test_another_sink_goes_on_with_its_own_number(tmp_path):
    """After a restart's replay: the journal's next record has the number after its last."""
    core = fed(RecordSink(), (REC_START, 1, START), (REC_TIMER, 2, b""))
    journal = Journal(tmp_path, 1 << 16, 1 << 20, first_seq=7)
    core.attach(journal)
    assert core.feed(REC_TIMER, 3) == 8 and journal.seq == 8 and core.counts()["records"] == 3


def test_a_digest_begins_with_nothing():
    sink = DigestSink(RecordSink())
    assert (sink.digest, sink.records, sink.seq) == (0, 0, 0)
