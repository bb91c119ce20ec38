"""Rows of a day file as updates: the same decisions as by frames, a modelled book of the size it says, bars as four points.

`_ext/feed/rows.pyx`, `engine/feed/rows.py`, and the core's loop over rows (`_ext/entrance.pyx`).
"""
import numpy as np
import orjson
import pytest

from _ext.core.records import (
    GAP,
    GAP_SILENCE,
    GAP_SKEW,
    PAYLOADS,
    REC_CANDIDATE,
    REC_DATA,
    REC_FRAME,
    REC_GAP,
    REC_GATE,
    REC_INTENT,
    REC_LINK,
    REC_TIMER,
    REC_VERDICT,
    STREAM_FEED,
    TYPE_LIMIT,
    WARM_BAR,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import ROWS_ATTENTION, ROWS_DUE, ROWS_OVER, Core
from _ext.feed.rows import RowFeed
from _ext.trade.venue import PaperVenue
from engine.broker.upstox import protocol
from engine.config import Config
from engine.feed.dayfile import DayFile, in_order
from engine.feed.rows import Book, data_record, has_book, row_feed
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.run.opening import Boot, begin
from engine.run.shell import Shell
from engine.sim.days import bring_in
from engine.sim.recorded import frames_of, from_day
from engine.trade.inputs import link_record
from tests.conftest import recording
from tests.kit.days import bars_day, recorded_day

QUARTER = 250_000_000
MINUTE = 60_000_000_000
WANTED = (REC_CANDIDATE, REC_VERDICT, REC_GATE, REC_INTENT, REC_GAP)
FAR = 1 << 62


def opened(day: DayFile) -> tuple[Core, KeepingSink, Shell]:
    """A core that decides and sends nothing."""
    sink = KeepingSink(WANTED)
    core = Core(sink, len(day.specs), 256)
    first = sessions.epoch_ms(day.day) * 1_000_000
    begin(core, Config(), day.specs, day.day, np.zeros(0, WARM_BAR), first, Boot("test", 1, "1"), 10**8)
    core.feed(REC_LINK, first, link_record(STREAM_FEED, True))
    return core, sink, Shell(protocol, core, "spk", ["1"], lambda: core.now, observe=True)


def by_rows(day: DayFile, book: Book | None = None) -> tuple[Core, KeepingSink]:
    core, sink, shell = opened(day)
    rows = row_feed(day)
    core.day_files[rows.sha256] = rows
    core.feed(REC_DATA, core.now, data_record(day, book))
    while core.run_rows(FAR, QUARTER) == ROWS_ATTENTION:
        shell.take()
    return core, sink


def by_frames(day: DayFile) -> tuple[Core, KeepingSink]:
    core, sink, shell = opened(day)
    recorded = from_day(day.path)
    timer = int(recorded.received[0]) * 1_000_000 // QUARTER * QUARTER + QUARTER
    for at, _, frame in frames_of(recorded.rows, recorded.received):
        while timer <= at * 1_000_000:
            core.feed(REC_TIMER, timer)
            timer += QUARTER
        core.feed(REC_FRAME, at * 1_000_000, frame)
        shell.take()
    return core, sink


def decisions(sink: KeepingSink) -> list[tuple[int, int, bytes]]:
    """What was decided and when, without the journal's numbers of the ticks."""
    out = []
    for kind, now, payload in sink.kept:
        row = np.frombuffer(payload, PAYLOADS[kind]).copy()
        if kind in (REC_CANDIDATE, REC_VERDICT):
            row["tick_seq"] = 0
        out.append((now, kind, row.tobytes()))
    return sorted(out)


def test_rows_and_frames_make_the_same_decisions(tmp_path):
    day = DayFile(recorded_day(tmp_path))
    (rows, ours), (frames, theirs) = by_rows(day), by_frames(day)
    assert rows.counts()["updates"] == frames.counts()["updates"] == day.rows
    assert rows.counts()["signals"] > 3 and decisions(ours) == decisions(theirs)
    assert rows.digest != 0 and rows.counts()["bars"] == frames.counts()["bars"]


@pytest.mark.recording(twin="tests/feed/test_rows.py::test_rows_and_frames_make_the_same_decisions")
@pytest.mark.parametrize("name", ["upstox_v3_2025-12-15", "ticks_2021/SBIN.parquet"])
def test_they_do_on_every_recording(tmp_path, name):
    bring_in([recording(name)], tmp_path, _plain())
    for path in sorted(tmp_path.glob("*.day"))[:2]:
        day = DayFile(path)
        (rows, ours), (frames, theirs) = by_rows(day), by_frames(day)
        assert rows.counts()["updates"] == frames.counts()["updates"] == day.rows and decisions(ours) == decisions(theirs)


def _plain():
    from engine.market.layouts import Asked

    return Asked()


def test_an_instrument_that_comes_twice_in_a_millisecond_comes_again_after_all_others():
    received, inst = np.array([5, 5, 5, 4, 5, 5]), np.array([0, 0, 1, 0, 1, 0])
    assert in_order(received, inst).tolist() == [3, 0, 2, 1, 4, 5]
    assert in_order(np.array([3, 1, 2]), np.array([0, 0, 0])).tolist() == [1, 2, 0]


# ---- time -------------------------------------------------------------------------------------------------------------------
def test_the_loop_ends_before_what_is_due_and_timers_lie_on_a_grid(tmp_path):
    day = DayFile(recorded_day(tmp_path, minutes=3))
    core, _, _ = opened(day)
    rows = row_feed(day)
    core.day_files[rows.sha256] = rows
    core.feed(REC_DATA, core.now, data_record(day))
    first = int(day.columns["received"][0]) * 1_000_000
    assert core.run_rows(first, QUARTER) == ROWS_DUE and rows.taken == 0             # what is due comes before a price of that time
    assert core.run_rows(first + 1, QUARTER) == ROWS_DUE and rows.taken == int((day.columns["received"] * 1_000_000 <= first).sum())
    due = (first // QUARTER + 3) * QUARTER
    assert core.run_rows(due, QUARTER) == ROWS_DUE and core.now < due
    assert core.run_rows(due + 1, QUARTER) == ROWS_DUE and core.now == due           # and before a timer of it, not after
    assert core.run_rows(FAR, QUARTER) == ROWS_OVER and rows.taken == day.rows


def test_a_core_takes_no_day_file_it_was_not_given(tmp_path):
    day = DayFile(recorded_day(tmp_path, minutes=1))
    core, _, _ = opened(day)
    with pytest.raises(ValueError, match="no day file"):
        core.run_rows(FAR, QUARTER)
    with pytest.raises(ValueError, match="is not there"):
        core.feed(REC_DATA, core.now, data_record(day))
    rows = row_feed(day)
    core.day_files[rows.sha256] = rows
    told = orjson.loads(data_record(day))
    for change in ({"rows": 1}, {"kind": "bars"}):
        with pytest.raises(ValueError, match="not the one"):
            core.feed(REC_DATA, core.now, orjson.dumps(told | change))


@pytest.mark.parametrize("change", [
    lambda time, inst: (time, inst[:-1]), lambda time, inst: (time, inst + np.uint32(9))])
def test_rows_that_do_not_agree_are_refused(change):
    time, inst = np.arange(5, dtype=np.int64), np.zeros(5, np.uint32)
    with pytest.raises(ValueError, match=r"lengths|does not have"):
        RowFeed("x", *change(time, inst), [b"A"], [])
    with pytest.raises(ValueError, match="fit"):
        RowFeed("x", time, inst, [b"A"], [(np.zeros(5, np.int64), 10_000, 0)])
    with pytest.raises(ValueError, match="another length"):
        RowFeed("x", time, inst, [b"A"], [(np.zeros(4, np.int64), 64, 0)])
    with pytest.raises(ValueError, match="open, high"):
        RowFeed("x", time, inst, [b"A"], [np.zeros(5, np.int64)], is_bars=True)


# ---- the modelled book ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("price", "tick", "bid", "ask"), [
    (20_000, 5, 19_990, 20_005),          # three steps of 5 are more than 3 bp (6)
    (500_000, 10, 499_920, 500_070),      # 3 bp are 150
    (100_000, 5, 99_985, 100_015)])
def test_the_modelled_book_is_as_wide_as_it_says(tmp_path, price, tick, bid, ask):
    spec = Instrument("NSE_EQ|A", "A", tick=tick)
    day = DayFile(bars_day(tmp_path, [(0, price, price, price, price, 100)], [spec]))
    core, _ = by_rows(day, Book())
    row = core.market.row(0)
    assert (row["bid"], row["ask"]) == (bid, ask)
    assert row["bid_q"] == 15_000_000 // bid and row["bid_depth"] == 5 * row["bid_q"]


def test_its_levels_are_a_step_apart(tmp_path):
    day = DayFile(bars_day(tmp_path, [(0, 500_000, 500_000, 500_000, 500_000, 100)], [Instrument("NSE_EQ|A", "A", tick=10)]))
    core, _, _ = opened(day)
    rows = row_feed(day)
    core.day_files[rows.sha256] = rows
    core.feed(REC_DATA, core.now, data_record(day, Book()))
    core.venue = venue = PaperVenue(core.trader)
    while core.run_rows(FAR, QUARTER) == ROWS_ATTENTION:
        pass
    shown = 15_000_000 // 499_920                            # at each level
    assert venue.place(1, 0, 1, TYPE_LIMIT, 2 * shown + 1, 600_000, 0, core.now) == ""
    ((_, order),) = venue.orders_now()
    assert order["value"] == shown * 500_070 + shown * 500_080 + 500_090
    assert venue.place(2, 0, -1, TYPE_LIMIT, 2 * shown + 1, 400_000, 0, core.now) == ""
    assert dict(venue.orders_now())["P2"]["value"] == shown * 499_920 + shown * 499_910 + 499_900


def test_an_index_and_a_recorded_book_are_not_modelled(tmp_path):
    day = DayFile(bars_day(tmp_path, [(0, 100, 100, 100, 100, 0)], [Instrument("NSE_INDEX|N", "N", "index")]))
    core, _ = by_rows(day, Book())
    assert core.market.row(0)["ask"] == 0
    assert not has_book(day) and has_book(DayFile(recorded_day(tmp_path, minutes=1)))
    assert not has_book(DayFile(recorded_day(tmp_path / "bare", minutes=1, book=False)))


# ---- bars -------------------------------------------------------------------------------------------------------------------
def points(core: Core, n: int) -> list[tuple[int, int, int]]:
    """(second of its minute, price, volume) of the last `n` updates."""
    ring = core.market.ticks(0)
    at = core.market.row(0)["ring_at"]
    last = (ring[(at - n + k) % 256] for k in range(n))
    return [(int(r["now"]) % MINUTE // 10**9, int(r["ltp"]), int(r["volume"])) for r in last]


def test_a_bar_is_four_points_with_its_volume_at_the_close(tmp_path):
    bars = [(0, 1_000, 1_050, 990, 1_040, 500), (1, 1_040, 1_045, 980, 1_000, 300)]
    core, _ = by_rows(DayFile(bars_day(tmp_path, bars, [Instrument("NSE_EQ|A", "A")])))
    assert points(core, 8) == [(1, 1_000, 0), (20, 990, 0), (40, 1_050, 0), (59, 1_040, 500),       # it rose: the low first
                               (1, 1_040, 0), (20, 1_045, 0), (40, 980, 0), (59, 1_000, 300)]
    kept = core.market.kept_bars(0)
    assert [tuple(map(int, (b["open"], b["high"], b["low"], b["close"], b["volume"]))) for b in kept] == [
        (1_000, 1_050, 990, 1_040, 500)]
    assert core.market.row(0)["high"] == 1_045 and core.market.row(0)["last_close"] == 1_040.0


def test_rows_that_are_taken_again_begin_with_no_volume(tmp_path):
    day = DayFile(bars_day(tmp_path, [(0, 1_000, 1_050, 990, 1_040, 500)], [Instrument("NSE_EQ|A", "A")]))
    rows = row_feed(day)
    for _ in range(2):
        core, _, _ = opened(day)
        core.day_files[rows.sha256] = rows
        core.feed(REC_DATA, core.now, data_record(day))
        while core.run_rows(FAR, QUARTER) == ROWS_ATTENTION:
            pass
        assert core.market.row(0)["peak"] == 500


def test_bars_are_no_stall_and_a_missing_one_is_no_gap(tmp_path):
    bars = [(k, 1_000, 1_000 + k % 3, 999, 1_000, 100) for k in range(40) if k not in (20, 21)]
    core, sink = by_rows(DayFile(bars_day(tmp_path, bars, [Instrument("NSE_EQ|A", "A")])))
    assert _gaps(sink) == {GAP_SKEW} and core.counts()["gaps"] == 0
    lost, sink = by_rows(DayFile(bars_day(tmp_path / "b", [b for b in bars if not 20 <= b[0] < 35], [Instrument("NSE_EQ|A", "A")])))
    assert GAP_SILENCE in _gaps(sink) and lost.counts()["gaps"] == 1


def _gaps(sink: KeepingSink) -> set[int]:
    return {int(np.frombuffer(payload, GAP)[0]["kind"]) for kind, _, payload in sink.kept if kind == REC_GAP}
