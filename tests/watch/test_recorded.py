"""Minutes from day files: of ticks and of bars, against sums made here."""
import numpy as np
import pytest

from _ext.trail.reader import Reader
from engine.errors import DataError
from engine.feed.dayfile import DayFile
from engine.market.instruments import shipped
from engine.market.sessions import epoch_ms
from engine.watch.recorded import data_of, minutes
from tests.kit.days import DAY, bars_day, recorded_day


def test_minutes_of_ticks_are_what_their_trades_say(tmp_path):
    path = recorded_day(tmp_path, names=3, minutes=20)
    day = DayFile(path)
    for number, spec in enumerate(day.specs):
        mine = [(int(ltt) // 60_000, int(ltp), int(vtt)) for inst, ltt, ltp, vtt in zip(
            day.columns["inst"], day.columns["ltt"], day.columns["ltp"], day.columns["vtt"], strict=True)
            if inst == number and ltp > 0 and ltt > 0]
        found = minutes(path, spec.symbol)
        assert found["minute"].tolist() == sorted({minute for minute, _, _ in mine})
        for row in found:
            prices = [price for minute, price, _ in mine if minute == row["minute"]]
            assert (row["high"], row["low"]) == (max(prices), min(prices)) and row["told"] == (row["minute"] + 1) * 60_000_000_000
        assert found["volume"].sum() == max(v for _, _, v in mine) - mine[0][2]
    assert len(minutes(path, "NOBODY")) == 0


def test_minutes_of_bars_are_the_bars(tmp_path):
    path = bars_day(tmp_path, [(0, 100, 120, 90, 110, 5), (1, 110, 111, 109, 110, 7)], list(shipped()[:1]))
    found = minutes(path, shipped()[0].symbol)
    assert found[["open", "high", "low", "close", "volume"]].tolist() == [(100, 120, 90, 110, 5), (110, 111, 109, 110, 7)]
    assert found["minute"].tolist() == [epoch_ms(DAY) // 60_000, epoch_ms(DAY) // 60_000 + 1]


def test_a_day_file_that_is_gone_is_told(tmp_path, day_run):
    with pytest.raises(DataError):
        minutes(tmp_path / "gone.day", "X")
    assert data_of(Reader(day_run / "journal")) == ""
    assert isinstance(minutes(recorded_day(tmp_path, names=1, minutes=2), shipped()[0].symbol), np.ndarray)
