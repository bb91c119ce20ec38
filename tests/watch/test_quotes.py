"""`_ext/quotes.pyx`: candles equal the store's bars, packed frames say what the market stage has, by a reader of numpy's own."""
import re

import numpy as np
import pytest

from _ext.core.records import REC_FRAME, REC_TIMER
from _ext.quotes import CANDLE, FRAME_HEAD, FRAME_ROW, MARKS, QuoteFollower
from _ext.recorder import TickRecorder
from engine.trail.checked import capacity_of, reader_of
from tests.conftest import ROOT


def told(run, kind):
    """A follower of that kind that has taken a whole journal."""
    follower, reader = kind(capacity_of(run)), reader_of(run)
    while follower.step(reader) is not None:
        pass
    return follower


def unpacked(frame: bytes) -> tuple[dict, np.ndarray]:
    head = np.frombuffer(frame, FRAME_HEAD, 1)[0]
    rows = np.frombuffer(frame, FRAME_ROW, offset=head.nbytes)
    assert frame[:4] == b"SPK1" and len(rows) == head["rows"] and len(frame) == 40 + 12 * len(rows)
    return {name: int(head[name]) for name in head.dtype.names}, rows


def framed(follower, key=False, marks=None, scores=None, before=None, wall=0):
    n = follower.market.size
    return unpacked(follower.frame(np.zeros(n, np.uint8) if marks is None else marks,
                                   np.full(n, 255, np.uint8) if scores is None else scores,
                                   np.zeros(n, np.int64) if before is None else before, key, 7, 3, wall))


def test_candles_are_the_stores_bars(day_run):
    quotes, recorder = told(day_run, QuoteFollower), told(day_run, TickRecorder)
    last = {(int(bar["inst"]), int(bar["ts"]) // 60): bar for bar in recorder.take_bars()}
    for inst in range(quotes.market.size):
        rows = quotes.minutes(inst)
        assert rows.dtype == CANDLE and (np.diff(rows["minute"]) > 0).all()
        assert {int(row["minute"]) for row in rows if row["told"]} == {minute for name, minute in last if name == inst}
        for row in rows[rows["told"] > 0]:
            bar = last[inst, int(row["minute"])]
            assert [int(row[n]) for n in ("open", "high", "low", "close", "volume", "flags")] == [
                int(bar[n]) for n in ("open", "high", "low", "close", "volume", "flags")]


def test_minutes_told_later_are_left_out(day_run):
    quotes = told(day_run, QuoteFollower)
    rows = quotes.minutes(3)
    until = int(rows["told"][10])
    cut = quotes.minutes(3, until)
    assert len(cut) == 11 and (cut == rows[:11]).all()
    assert len(quotes.minutes(3, until - 1)) == 10
    with pytest.raises(IndexError, match="instrument"):
        quotes.minutes(quotes.market.size)


def test_a_keyframe_has_every_name_as_the_market_stage_has_it(day_run):
    quotes = told(day_run, QuoteFollower)
    shown = quotes.market.shown()
    said = shown["before"]
    marks, scores = np.arange(len(shown), dtype=np.uint8) % 64, np.arange(len(shown), dtype=np.uint8) * 12
    head, rows = framed(quotes, True, marks, scores, wall=5_000_000)
    assert (head["kind"], head["run"], head["epoch"], head["wall"], head["now"]) == (1, 7, 3, 5000, quotes.now // 1000)
    assert rows["inst"].tolist() == list(range(len(shown))) and rows["price"].tolist() == shown["ltp"].tolist()
    assert (said > 0).all() and np.allclose(rows["move"], 1e4 * (shown["ltp"] / said - 1), atol=0.51)
    assert np.allclose(rows["volume"], 100 * shown["minute_volume"] / shown["expected"], atol=0.51)
    assert rows["score"].tolist() == scores.tolist() and ((rows["flags"] | 8) == (marks | 8)).all()
    assert len(MARKS) <= 8


def test_a_frame_has_what_changed_and_a_keyframe_does_not_count(day_run):
    follower, reader = QuoteFollower(capacity_of(day_run)), reader_of(day_run)
    kept = np.zeros(follower.market.capacity, FRAME_ROW)
    numbers, small = [], 0
    for step in range(4000):
        record = follower.step(reader)
        if record is None:
            break
        if follower.market.size == 0 or step % 5:
            continue
        head, rows = framed(follower)
        numbers.append(head["sequence"])
        small += len(rows) < follower.market.size
        kept[rows["inst"]] = rows
        key, whole = framed(follower, True)
        assert key["sequence"] == head["sequence"]
        assert (kept[:len(whole)] == whole).all()              # frames alone give what a keyframe says
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20 and small > 10
    assert framed(follower)[1].size == 0                       # nothing has changed since


def test_a_mark_that_changes_is_sent_by_itself(day_run):
    follower = told(day_run, QuoteFollower)
    framed(follower)
    marks = np.zeros(follower.market.size, np.uint8)
    marks[4] = 1
    assert framed(follower, marks=marks)[1]["inst"].tolist() == [4]
    assert framed(follower, marks=marks)[1].size == 0


def test_numbers_that_do_not_fit_are_clamped(day_run):
    follower = told(day_run, QuoteFollower)
    n = follower.market.size
    _, rows = framed(follower, True, before=np.ones(n, np.int64))
    assert (np.abs(rows["move"].astype(int)) <= 32_767).all()
    for wrong in (np.zeros(n - 1, np.uint8),):
        with pytest.raises(ValueError, match="are needed"):
            follower.frame(wrong, np.zeros(n, np.uint8), np.zeros(n, np.int64), True, 0, 0, 0)


def test_a_step_ends_with_each_minute(day_run):
    follower, reader = QuoteFollower(capacity_of(day_run)), reader_of(day_run)
    minutes = []
    while (record := follower.step(reader)) is not None:
        if record[0] in (REC_FRAME, REC_TIMER):
            minutes.append(record[2] // 60_000_000_000)
    assert set(np.diff(minutes)) <= {0, 1}


def test_the_pages_reader_is_made_of_the_layout():
    """What the browser reads at which place is what numpy has there."""
    text = (ROOT / "engine/watch/web/src/frame_layout.js").read_text()
    for name, dtype in (("HEADER", np.dtype(FRAME_HEAD)), ("ROW", np.dtype(FRAME_ROW))):
        part = text[text.index(f"export const {name}"):].partition("};")[0]
        fields = {field: (int(at), kind) for field, at, kind in re.findall(r"(\w+): \[(\d+), '(\w+)'\]", part)}
        assert int(re.search(r"size: (\d+)", part)[1]) == dtype.itemsize
        kinds = {"u": "Uint", "i": "Int"}
        assert fields == {field: (dtype.fields[field][1], ("Big" if dtype[field].itemsize == 8 else "") + kinds[dtype[field].kind]
                                  + str(8 * dtype[field].itemsize)) for field in dtype.names if not field.startswith("pad")}
    bits = re.findall(r"^  (\w+): (\d+),$", text[text.index("MARKS"):], re.M)
    assert bits == [(mark, str(1 << at)) for at, mark in enumerate(MARKS)]
