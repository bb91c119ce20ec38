"""Bars of the store: plain rows that say of each minute what its unflagged ticks say, whatever happened meanwhile.

The rows come from `_ext/recorder.pyx`; the views over them stand in `engine/store/schema.sql`.
"""
import datetime as dt
from itertools import pairwise

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    REC_BACKFILL,
    REC_BARS,
    REC_BOOT,
    REC_FRAME,
    REC_INSTRUMENTS,
    REC_START,
    REC_STOP,
    REC_TIMER,
    WARM_BAR,
)
from _ext.minutes import FLAGGED
from _ext.recorder import BAR_ROW, TICK_ROW, TickRecorder
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine.config import Config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from tests.market.conftest import DAY, OPEN_MS

DIRTY, FILLED, PARTIAL = 1, 8, 32
NAMES = [Instrument("NSE_EQ|A", "A"), Instrument("NSE_EQ|B", "B")]
MINUTE_0 = OPEN_MS // 60_000


class Tape:
    """A journal written record by record, and the rows a recorder makes of it. Times are ms after 09:15."""

    def __init__(self, folder):
        self.folder, self.journal = folder, Journal(folder, 1 << 22)
        begin = -60_000
        self.put(REC_START, begin, orjson.dumps(Config(models="").record()))
        self.put(REC_INSTRUMENTS, begin, table(NAMES, DAY).tobytes())

    def put(self, kind, at, payload=b""):
        self.journal.append(kind, (OPEN_MS + round(at)) * 1_000_000, payload)

    def tick(self, at, ltp, vtt, name=0, received=None, has=1 | 64, levels=()):
        row = np.zeros(1, TICK_DTYPE)
        key = NAMES[name].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"] = key, len(key), 1, has | (2 if levels else 0)
        row["ltp"], row["ltt"], row["vtt"] = ltp, OPEN_MS + round(at) if ltp else 0, vtt
        row["n_levels"] = len(levels)
        for k, level in enumerate(levels):
            row["levels"][0, k] = level
        now = at + 200 if received is None else received
        self.put(REC_FRAME, now, encode(row, OPEN_MS + round(now)))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(ticks, bars), the bars as ClickHouse shows them with FINAL."""
        tape, reader = TickRecorder(2), Reader(self.folder)
        ticks, bars = [], []
        while tape.step(reader) is not None:
            ticks.append(tape.take())
            bars.append(tape.take_bars())
        self.told = np.concatenate(bars) if bars else np.zeros(0, BAR_ROW)
        last = {(int(b["inst"]), int(b["ts"])): b for b in sorted(self.told, key=lambda b: b["version"])}
        return np.concatenate(ticks) if ticks else np.zeros(0, TICK_ROW), np.array([last[k] for k in sorted(last)], BAR_ROW)


def aggregated(ticks: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """(inst, minute) -> open, high, low, close, volume, turnover, updates of the unflagged ticks, in plain Python."""
    out: dict[tuple[int, int], list[int]] = {}
    for t in ticks[ticks["flags"] & FLAGGED == 0]:
        price, volume = int(t["ltp"]), int(t["volume"])
        bar = out.setdefault((int(t["inst"]), int(t["exch_ts"]) // 60_000), [price, price, price, price, 0, 0, 0])
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4], bar[5], bar[6] = bar[4] + volume, bar[5] + volume * price, bar[6] + 1
    return out


def values(bars: np.ndarray) -> dict[tuple[int, int], list[int]]:
    return {(int(b["inst"]), int(b["ts"]) // 60): [int(b[name]) for name in ("open", "high", "low", "close", "volume", "turnover",
                                                                           "updates")] for b in bars}


def played(tape: Tape, seed: int, seconds: int = 900) -> None:
    """A quarter of an hour with silences, trades that come late and out of order, doubted numbers, repeats and books alone."""
    rng = np.random.default_rng(seed)
    at, vtt, prices = 0.0, [1000, 5000], [100_000, 50_000]
    while at < seconds * 1000:
        name = int(rng.random() < 0.3)
        at += float(rng.exponential(900)) if rng.random() > 0.01 else float(rng.uniform(9_000, 130_000))
        prices[name] += 5 * int(rng.integers(-3, 4))
        vtt[name] += int(rng.integers(0, 400))
        kind = rng.random()
        if kind < 0.05:
            tape.tick(at - rng.uniform(0, 90_000), prices[name], vtt[name], name, received=at + 300)
        elif kind < 0.06:
            tape.tick(at, prices[name] * 10, vtt[name], name)
        elif kind < 0.1:
            tape.tick(0, 0, 0, name, received=at, has=64, levels=((5, prices[name] - 5, 6, prices[name] + 5),))
        else:
            tape.tick(at, prices[name], vtt[name], name, received=at + rng.exponential(300))
        if rng.random() < 0.3:
            tape.put(REC_TIMER, at + 400)


@pytest.mark.parametrize("seed", range(12))
def test_bars_are_what_the_unflagged_ticks_say(tmp_path, seed):
    tape = Tape(tmp_path)
    played(tape, seed)
    tape.put(REC_STOP, 1_200_000)
    ticks, bars = tape.rows()
    assert values(bars) == aggregated(ticks) and len(bars) > 12
    assert not ticks["ltp"].min() == 0 and ticks["exch_ts"].min() >= OPEN_MS - 120_000, "no price of 0 and no year 1970"
    assert (np.diff(tape.told["version"].astype(np.int64)) >= 0).all()
    assert not (bars["flags"] & PARTIAL).any(), "all minutes were over"


def test_a_bar_is_told_when_its_minute_is_over_and_again_where_a_trade_comes_late(tmp_path):
    tape = Tape(tmp_path)
    tape.tick(46_000, 100_000, 10)
    tape.tick(50_000, 100_100, 30)
    tape.put(REC_TIMER, 61_000)
    tape.put(REC_TIMER, 63_000)
    tape.put(REC_TIMER, 64_000)
    tape.tick(59_000, 100_200, 45, name=1, received=64_500)          # its first, of a minute that is over for the other
    tape.put(REC_TIMER, 125_000)
    _, bars = tape.rows()
    assert [(int(b["inst"]), int(b["ts"]) // 60 - MINUTE_0, int(b["close"]), int(b["volume"])) for b in bars] == [
        (0, 0, 100_100, 20), (1, 0, 100_200, 0)]
    assert len(tape.told) == 2 and tape.told["closed"].tolist()[0] == (OPEN_MS + 63_000) * 1000


def test_a_day_gone_on_with_after_a_stop_has_its_minute_whole(tmp_path):
    tape = Tape(tmp_path)
    tape.tick(45_000, 100_000, 10)
    tape.tick(50_000, 100_100, 30)
    tape.put(REC_STOP, 51_000)
    half = tape.rows()[1]
    assert [(int(b["close"]), int(b["volume"]), int(b["flags"])) for b in half] == [(100_100, 20, PARTIAL)]
    tape.put(REC_BOOT, 52_000, b'{"nonce":"x"}')
    tape.tick(55_000, 100_300, 70)
    tape.tick(61_000, 100_200, 80)
    ticks, bars = tape.rows()
    tape.put(REC_STOP, 70_000)
    assert [(int(b["close"]), int(b["volume"]), int(b["flags"])) for b in bars] == [(100_300, 60, 0)]
    assert values(tape.rows()[1]) == aggregated(ticks)


def test_a_minute_that_touches_a_silence_says_so_and_a_candle_fills_it(tmp_path):
    tape = Tape(tmp_path)
    warm = np.zeros(30, WARM_BAR)
    warm["minute"], warm["open"], warm["high"], warm["low"], warm["close"], warm["volume"] = (
        MINUTE_0 - 1440 + 300 + np.arange(30), 100_000, 100_000, 100_000, 100_000, 500)
    tape.put(REC_BARS, -50_000, warm.tobytes())
    for second in range(0, 360, 2):
        if not 70 <= second < 150:
            tape.tick(second * 1000, 100_000 + second, 1000 + 10 * second)
    _, bars = tape.rows()
    flags = {int(b["ts"]) // 60 - MINUTE_0: int(b["flags"]) for b in bars}
    assert flags == {0: 0, 1: DIRTY, 2: DIRTY, 3: 0, 4: 0}
    candle = np.zeros(2, WARM_BAR)
    candle["minute"], candle["volume"] = [MINUTE_0 + 1, MINUTE_0 + 2], [7_000, 8_000]
    candle["open"], candle["high"], candle["low"], candle["close"] = 100_060, 100_200, 100_050, 100_150
    tape.put(REC_BACKFILL, 361_000, candle.tobytes())
    tape.put(REC_STOP, 362_000)
    ticks, bars = tape.rows()
    filled = {minute: row for (_, minute), row in values(bars).items() if minute - MINUTE_0 in (1, 2)}
    assert [row[:5] for row in filled.values()] == [[100_060, 100_200, 100_050, 100_150, n] for n in (7_000, 8_000)]
    others = {key: row for key, row in values(bars).items() if key[1] - MINUTE_0 not in (1, 2)}
    assert others == {key: row for key, row in aggregated(ticks).items() if key[1] - MINUTE_0 not in (1, 2)}
    assert [int(b["flags"]) for b in bars] == [0, FILLED, FILLED, 0, 0, 0]


def test_an_update_without_a_trade_carries_the_last_one_and_belongs_to_no_bar(tmp_path):
    tape = Tape(tmp_path)
    book = ((5, 99_990, 6, 100_010),)
    tape.tick(0, 0, 0, received=500, has=64, levels=book)               # never traded: nothing can be said
    tape.tick(1_000, 100_000, 10, levels=book)
    tape.tick(0, 0, 0, received=2_000, has=64, levels=((7, 99_995, 8, 100_005),))
    ticks, _ = tape.rows()
    assert [(int(t["ltp"]), int(t["exch_ts"]) - OPEN_MS, int(t["bid_qty"])) for t in ticks] == [
        (100_000, 1_000, 5), (100_000, 1_000, 7)]
    assert [bool(t["flags"] & 4096) for t in ticks] == [False, True]


LATE, OUTSIDE = 16, 128


def test_a_trade_told_again_is_as_late_or_outside_as_it_was(tmp_path):
    """Echoes of a trade before the open, and of one whose minute was closed: with another book, or the same."""
    tape = Tape(tmp_path)
    book = ((5, 99_990, 6, 100_010),)
    tape.tick(-30_000, 99_000, 10, levels=book)
    tape.tick(-30_000, 99_000, 10, received=1_000, levels=((9, 99_990, 6, 100_010),))
    for at in range(2_000, 58_000, 4_000):
        tape.tick(at, 100_000, 10 + at)
    tape.put(REC_TIMER, 64_000)
    tape.tick(59_900, 101_000, 70_000, received=64_500)                 # its minute is closed
    tape.tick(59_900, 101_000, 70_000, received=64_800, levels=((7, 99_990, 6, 100_010),))
    tape.tick(65_000, 100_500, 71_000)
    ticks, bars = tape.rows()
    assert [int(f) & (LATE | OUTSIDE) for f in ticks["flags"]] == [OUTSIDE, OUTSIDE, *[0] * 14, LATE, LATE, 0]
    assert [(int(b["high"]), int(b["updates"])) for b in bars] == [(100_000, 14)]
    assert values(bars).items() <= aggregated(ticks).items()


def test_a_candle_of_the_minute_last_counted_stands_whatever_is_told_later(tmp_path):
    tape = Tape(tmp_path)
    warm = np.zeros(30, WARM_BAR)
    warm["minute"] = MINUTE_0 - 1440 + 300 + np.arange(30)
    for name in ("open", "high", "low", "close", "volume"):
        warm[name] = 100_000
    tape.put(REC_BARS, -50_000, warm.tobytes())
    for second in (*range(0, 70, 2), *range(90, 118, 2)):
        tape.tick(second * 1000, 100_000 + second, 1000 + 10 * second)
    candle = np.zeros(1, WARM_BAR)
    candle["minute"], candle["volume"] = MINUTE_0 + 1, 7_000
    candle["open"], candle["high"], candle["low"], candle["close"] = 100_060, 100_200, 100_050, 100_150
    tape.put(REC_BACKFILL, 124_000, candle.tobytes())          # before any timer has told the minute
    tape.tick(125_000, 100_100, 4_000)
    tape.put(REC_TIMER, 190_000)
    tape.put(REC_STOP, 200_000)
    _, bars = tape.rows()
    of_minute = [b for b in bars if b["ts"] // 60 == MINUTE_0 + 1]
    assert [(int(b["close"]), int(b["volume"]), int(b["flags"])) for b in of_minute] == [(100_150, 7_000, FILLED)]


def test_days_are_told_apart_by_the_minute(tmp_path):
    tape = Tape(tmp_path)
    tape.tick(350 * 60_000, 100_000, 10)
    tape.tick(1440 * 60_000 + 1_000, 101_000, 5)
    tape.put(REC_STOP, 1441 * 60_000)
    _, bars = tape.rows()
    assert [int(day) for day in bars["trade_date"]] == [(DAY - dt.date(1970, 1, 1)).days + k for k in range(2)]
    assert all(a < b for a, b in pairwise(bars["ts"].tolist()))
