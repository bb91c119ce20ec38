"""Candles of the broker: what is one, and what makes no sense."""
import pytest

from engine.broker.base import Unreadable
from engine.broker.upstox import candles

GOOD = ["2026-09-01T09:15:00+05:30", 100.0, 101.5, 99.5, 101.25, 5000, 0]
MINUTE = 29_803_905
QUOTE = {"open": 100.0, "high": 101.5, "low": 99.5, "close": 101.25, "volume": 5000, "ts": MINUTE * 60_000}


def test_rows_become_bars_oldest_first():
    later = ["2026-09-01T09:16:00+05:30", "100.5", 101, 100, 100.5, "70", 0]
    bars = candles.of_rows([later, GOOD])
    assert bars["minute"].tolist() == [MINUTE, MINUTE + 1]
    assert [int(bars[name][0]) for name in ("open", "high", "low", "close", "volume")] == [10_000, 10_150, 9_950, 10_125, 5000]
    assert bars["open"].tolist() == [10_000, 10_050] and bars["volume"].tolist() == [5000, 70]
    assert len(candles.of_rows([[GOOD[0], 0, 0, 0, 0, 0, 0]])) == 0       # no price: nothing traded
    assert len(candles.of_rows([])) == 0


@pytest.mark.parametrize("row", [
    None, 7, "x" * 7, {}, [], GOOD[:5], [7, *GOOD[1:]], ["x", *GOOD[1:]], ["2026-09-01T09:15:00", *GOOD[1:]],
    ["0001-01-01T00:00:00+05:30", *GOOD[1:]], ["9999-12-31T23:59:59-05:30", *GOOD[1:]], [GOOD[0] * 9, *GOOD[1:]],
    *([*GOOD[:at], value, *GOOD[at + 1:]] for at in (1, 2, 3, 4, 5)
      for value in (None, True, -1, 2**62, 1e300, float("nan"), float("inf"), "x", [], {})),
    [GOOD[0], 100.0, 99.0, 99.5, 101.25, 5000, 0]])
def test_a_candle_that_makes_no_sense_is_refused(row):
    with pytest.raises(Unreadable):
        candles.of_rows([GOOD, row])


@pytest.mark.parametrize("twice", [(0,), (0, 1), (1,), (0, 0)])
def test_a_minute_that_comes_twice_counts_once_and_the_newer_row_stands(twice):
    """Newest first, as the broker gives them: the row that stands before another of its minute is the newer one."""
    rows = [["2026-09-01T09:16:00+05:30", 100.5, 101, 100, 100.5, 70, 0], GOOD]
    doubled = list(rows)
    for at in twice:
        doubled.insert(doubled.index(rows[at]) + 1, [rows[at][0], 90.0, 91.0, 89.0, 90.5, 1, 0])
    assert (candles.of_rows(doubled) == candles.of_rows(rows)).all() and len(candles.of_rows(doubled)) == 2


def test_a_row_without_a_price_does_not_stand_for_its_minute():
    assert candles.of_rows([[GOOD[0], 0, 0, 0, 0, 0, 0], GOOD])["open"].tolist() == [10_000]


def test_more_candles_than_a_month_has_are_refused():
    with pytest.raises(Unreadable, match="candles in one answer"):
        candles.of_rows([GOOD] * (candles.MOST_ROWS + 1))


@pytest.mark.parametrize("field", [{"ts": None}, {"ts": "x"}, {"ts": 1e300}, {"ts": -5}, {"ts": True}, {"open": None},
                                   {"high": 99.0},
                                   {"low": -1}, {"close": [1]}, {"volume": -1}, {"volume": 2**70}, {"volume": None}])
def test_a_minute_that_makes_no_sense_is_left_out(field):
    found = candles.of_quotes({"good": QUOTE, "bad": QUOTE | field, "late": QUOTE | {"ts": QUOTE["ts"] - 60_000}}, MINUTE)
    assert list(found) == ["good"] and found["good"]["close"].tolist() == [10_125]


def test_as_many_candles_as_one_call_may_have_are_taken():
    assert len(candles.of_rows([GOOD] * candles.MOST_ROWS)) == 1


@pytest.mark.parametrize("at", [1, 3])
def test_a_candle_without_its_open_or_its_low_is_left_out(at):
    """A price of nought in either is one that nobody told."""
    row = [*GOOD[:at], 0, *GOOD[at + 1:]]
    assert len(candles.of_rows([row])) == 0


@pytest.mark.parametrize("stamp", ["2026-09-01T09:15:00+05:30", "2026-09-01T09:15:59+05:30", "2026-09-01T03:45:59.4+00:00"])
def test_a_candle_is_of_the_minute_its_time_lies_in(stamp):
    assert candles.of_rows([[stamp, *GOOD[1:]]])["minute"].tolist() == [MINUTE]
