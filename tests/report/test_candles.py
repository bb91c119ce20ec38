"""Candles of trades: exact where the days are few, within half a step of what was traded where they are many."""
import datetime as dt

import numpy as np

from engine.feed.dayfile import DayFile
from engine.market.instruments import shipped
from engine.report import candles
from engine.report.candles import BAR, blocks_of, grouped, of_day_file, of_prices
from engine.report.payload import unpacked
from tests.kit.days import bars_day, recorded_day
from tests.kit.reports import bars, minutes, sessions, trades_of_year


def drawn(blocks, window: int) -> list[tuple[int, int, int, int, int]]:
    """The candles of a window, worked out again as the page does it: (s, open, high, low, close)."""
    heads, rows = (unpacked(block.head, block.packed()) for block in blocks)
    begin, count = int(heads["rows_of"][:window].sum()), int(heads["rows_of"][window])
    base, step, size = int(heads["base"][window]), int(heads["step"][window]), 60 * int(heads["minutes"][window])
    out, close, at = [], 0, int(heads["begin"][window]) - size
    for k in range(begin, begin + count):
        first = close + int(rows["gap"][k])
        close = first + int(rows["body"][k])
        at += size * (1 + int(rows["skip"][k]))
        high, low = max(first, close) + int(rows["up"][k]), min(first, close) - int(rows["down"][k])
        out.append((at, *(base + step * value for value in (first, high, low, close))))
    return out


def test_few_days_are_given_whole_and_to_the_paisa():
    days = sessions(3)
    trades = trades_of_year(days, 12, 4)
    blocks, windows = blocks_of(trades, bars)
    for trade, window in zip(trades, windows, strict=True):
        assert drawn(blocks, window) == [tuple(row.tolist()) for row in minutes(trade.day, trade.symbol)]
    pairs = {(trade.day, trade.symbol): window for trade, window in zip(trades, windows, strict=True)}
    assert len(set(windows)) == len(pairs) and all(pairs[t.day, t.symbol] == w for t, w in zip(trades, windows, strict=True))


def test_many_days_have_a_window_about_each_trade(monkeypatch):
    monkeypatch.setattr(candles, "WHOLE_DAYS", 3)
    days = sessions(30)
    trades = trades_of_year(days, 60, 20)
    blocks, windows = blocks_of(trades, bars)
    assert windows == list(range(60))
    sizes = unpacked(blocks[0].head, blocks[0].packed())
    for trade, window in zip(trades, windows, strict=True):
        rows = drawn(blocks, window)
        size, step = 60 * int(sizes["minutes"][window]), int(sizes["step"][window])
        enter, leave = trade.entry_time / 1e9, trade.exit_time / 1e9
        assert len(rows) <= candles.MOST and rows[0][0] <= enter and rows[-1][0] + size > leave
        real = {}
        for row in minutes(trade.day, trade.symbol):
            real.setdefault(int(row["s"]) // size * size, []).append(row)
        for at, first, high, low, close in rows:
            part = [row for row in real[at] if rows[0][0] <= row["s"] < rows[-1][0] + size]
            wanted = part[0]["open"], max(row["high"] for row in part), min(row["low"] for row in part), part[-1]["close"]
            assert all(abs(a - b) * 2 <= step for a, b in zip((first, high, low, close), wanted, strict=True))
            assert low <= min(first, close) and high >= max(first, close)
        span = max(row[2] for row in rows) - min(row[3] for row in rows)
        assert step <= max(1, -(-(span + 2 * step) // candles.STEPS))


def test_a_trade_whose_prices_are_gone_has_no_window():
    trades = trades_of_year(sessions(2), 4, 2)
    blocks, windows = blocks_of(trades, lambda day, names: {})
    assert windows == [-1] * 4 and blocks[0].rows == blocks[1].rows == 0


def test_a_minute_without_a_trade_leaves_a_hole():
    rows = np.array([(600, 10, 12, 9, 11), (660, 11, 11, 11, 11), (900, 20, 25, 20, 24)], BAR)
    trades = trades_of_year(sessions(1), 1, 1)
    blocks, _ = blocks_of(trades, lambda day, names: dict.fromkeys(names, rows))
    assert drawn(blocks, 0) == [tuple(row.tolist()) for row in rows]


def test_minutes_are_put_together_by_the_clock():
    rows = np.array([(60 * k, k, k + 5, k - 5, k + 1) for k in (3, 4, 5, 6, 9, 10)], BAR)
    assert grouped(rows, 5).tolist() == [(0, 3, 9, -2, 5), (300, 5, 14, 0, 10), (600, 10, 15, 5, 11)]


def test_prices_become_minutes_by_their_own_time():
    minute = np.array([60, 60, 120, 60, 120])
    assert of_prices(minute, np.array([10, 12, 0, 8, 9])).tolist() == [(60, 10, 12, 8, 8), (120, 9, 9, 9, 9)]
    assert len(of_prices(np.zeros(0, int), np.zeros(0, int))) == 0


def test_a_day_file_gives_the_minutes_it_has(tmp_path):
    path = bars_day(tmp_path / "bars", [(0, 100, 110, 90, 105, 10), (2, 105, 106, 104, 104, 5)], list(shipped()[:2]))
    name = shipped()[0].symbol
    found = of_day_file(DayFile(path), [name, "NOBODY"])
    begin = int(dt.datetime(2026, 9, 1, 3, 45, tzinfo=dt.UTC).timestamp())
    assert {symbol: rows.tolist() for symbol, rows in found.items()} == {name: [(begin, 100, 110, 90, 105),
                                                                                (begin + 120, 105, 106, 104, 104)]}
    day = DayFile(recorded_day(tmp_path / "ticks", names=3, minutes=10))
    symbol = day.specs[1].symbol
    (rows,) = of_day_file(day, [symbol]).values()
    mine = np.asarray(day.columns["inst"]) == 1
    at, price = np.asarray(day.columns["ltt"])[mine] // 60_000 * 60, np.asarray(day.columns["ltp"])[mine]
    for row in rows:
        part = price[(at == row["s"]) & (price > 0)]
        assert (part[0], part.max(), part.min(), part[-1]) == (row["open"], row["high"], row["low"], row["close"])
    assert set(rows["s"].tolist()) == set(at[price > 0].tolist())
