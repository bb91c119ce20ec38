"""Candles of the trades: whole days where they are few, else a window about each trade, drawn to a small part of its range."""
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from _ext.recorder import BAR_ROW
from engine.feed.dayfile import DayFile
from engine.report.payload import Block
from engine.watch.trades import Trade

BAR = np.dtype([("s", "i8"), ("open", "i8"), ("high", "i8"), ("low", "i8"), ("close", "i8")])
"""One minute: seconds since 1970 of its start, prices in paise."""
WHOLE_DAYS = 400
"""Days of instruments that are given whole, minute by minute to the paisa; with more, windows."""
BEFORE, AFTER = 20, 10
"""Candles before a trade's entry and after its exit."""
MOST, STEPS = 48, 200
"""Candles of a window at most, and parts of its range that a price is rounded to."""
FRAMES = (1, 2, 3, 5, 10, 15, 30)
"""Minutes a candle of a window may have: the fewest with which the trade fits."""

Bars = Callable[[str, Sequence[str]], Mapping[str, np.ndarray]]
"""(day, symbols) -> BAR rows of each."""


def blocks_of(trades: Sequence[Trade], bars: Bars) -> tuple[list[Block], list[int]]:
    """The blocks `windows` and `candles`, and of each trade the number of its window, -1 where its prices are not known."""
    wanted: dict[str, list[str]] = {}
    for trade in trades:
        names = wanted.setdefault(trade.day, [])
        if trade.symbol not in names:
            names.append(trade.symbol)
    is_whole = sum(map(len, wanted.values())) <= WHOLE_DAYS
    found = _Windows()
    place = [-1] * len(trades)
    for day, names in wanted.items():
        known = bars(day, names)
        mine = [k for k, trade in enumerate(trades) if trade.day == day]
        if is_whole:
            numbers = {name: found.add(name, known[name], 1, 0) for name in names if len(known.get(name, ()))}
            for k in mine:
                place[k] = numbers.get(trades[k].symbol, -1)
            continue
        for k in mine:
            if len(rows := known.get(trades[k].symbol, np.zeros(0, BAR))):
                place[k] = found.about(trades[k], rows)
    return found.blocks(), place


class _Windows:
    """Windows as they are found, then as columns."""

    def __init__(self) -> None:
        self.heads: list[tuple[str, int, int, int, int, int]] = []     # symbol, rows, begin, minutes, base, step
        self.parts: list[np.ndarray] = []

    def add(self, symbol: str, rows: np.ndarray, minutes: int, steps: int) -> int:
        """A window of all `rows`, prices rounded to a part of the range in `steps` parts; 0: to the paisa. Its number."""
        prices = np.stack([rows[name] for name in ("open", "high", "low", "close")], 1)
        base = int(prices[0, 0])
        span = int(prices.max() - prices.min())
        step = max(1, -(-span // steps)) if steps else int(np.gcd.reduce(prices.ravel() - base)) or 1
        near = np.floor_divide(2 * (prices - base) + step, 2 * step)
        body = np.sort(near[:, [0, 3]], 1)
        before = np.concatenate([[0], near[:-1, 3]])
        skip = np.diff(rows["s"] // (60 * minutes), prepend=rows["s"][0] // (60 * minutes) - 1) - 1
        self.parts.append(np.stack([near[:, 0] - before, near[:, 3] - near[:, 0], near[:, 1] - body[:, 1], body[:, 0] - near[:, 2],
                                    skip], 1))
        self.heads.append((symbol, len(rows), int(rows["s"][0]), minutes, base, step))
        return len(self.heads) - 1

    def about(self, trade: Trade, rows: np.ndarray) -> int:
        """A window about one trade; -1 where nothing was traded then."""
        begin = trade.entry_time // 1_000_000_000
        end = max(trade.exit_time // 1_000_000_000, begin)
        minutes = next((m for m in FRAMES if (end - begin) / 60 / m + 2 + BEFORE // 2 + AFTER // 2 <= MOST), FRAMES[-1])
        room = MOST - int((end - begin) / 60 / minutes) - 2
        before = min(BEFORE, max(BEFORE // 2, room - AFTER))
        first = (begin // (60 * minutes) - before) * 60 * minutes
        last = (end // (60 * minutes) + min(AFTER, max(AFTER // 2, room - before))) * 60 * minutes
        chosen = rows[(rows["s"] >= first) & (rows["s"] < last + 60 * minutes)]
        return self.add(trade.symbol, grouped(chosen, minutes), minutes, STEPS) if len(chosen) else -1

    def blocks(self) -> list[Block]:
        heads = Block("windows", len(self.heads))
        symbols, counts, begins, minutes, bases, steps = ([head[k] for head in self.heads] for k in range(6))
        heads.words("symbol", [str(symbol) for symbol in symbols])
        heads.whole("rows_of", counts, "candles", differ=False)
        heads.whole("begin", begins, "s since 1970")
        heads.whole("minutes", minutes, "minutes a candle", differ=False)
        heads.whole("base", bases, "paise", differ=False)
        heads.whole("step", steps, "paise a unit of the candles' prices", differ=False)
        rows = np.concatenate(self.parts) if self.parts else np.zeros((0, 5), np.int64)
        candles = Block("candles", len(rows))
        for k, (name, unit) in enumerate((("gap", "steps from the close before, of the first from base, to the open"),
                                          ("body", "steps from open to close"), ("up", "steps of the upper shadow"),
                                          ("down", "steps of the lower shadow"), ("skip", "candles missing before this one"))):
            candles.whole(name, rows[:, k], unit, differ=False)
        return [heads, candles]


def grouped(rows: np.ndarray, minutes: int) -> np.ndarray:
    """Minutes as candles of so many."""
    if minutes == 1 or not len(rows):
        return rows
    group = rows["s"] // (60 * minutes)
    first = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    last = np.append(first[1:], len(rows)) - 1
    out = np.zeros(len(first), BAR)
    out["s"], out["open"], out["close"] = group[first] * 60 * minutes, rows["open"][first], rows["close"][last]
    out["high"], out["low"] = np.maximum.reduceat(rows["high"], first), np.minimum.reduceat(rows["low"], first)
    return out


def of_day_file(day: DayFile, symbols: Sequence[str]) -> dict[str, np.ndarray]:
    """Minutes of `symbols`, of bars as they stand, of ticks by the exchange's time of each trade."""
    numbers = {spec.symbol: inst for inst, spec in enumerate(day.specs) if spec.symbol in set(symbols)}
    inst = np.asarray(day.columns["inst"])
    mine = np.flatnonzero(np.isin(inst, list(numbers.values())))
    mine = mine[np.argsort(inst[mine], kind="stable")]
    edges = {name: np.searchsorted(inst[mine], (number, number + 1)) for name, number in numbers.items()}
    if day.kind == "bars":
        rows = np.zeros(len(mine), BAR)
        rows["s"] = np.asarray(day.columns["ms"])[mine] // 1000
        for name in ("open", "high", "low", "close"):
            rows[name] = np.asarray(day.columns[name])[mine]
        return {name: rows[a:b] for name, (a, b) in edges.items()}
    at = np.asarray(day.columns["ltt"] if "ltt" in day.columns else day.columns["received"])[mine] // 60_000 * 60
    price = np.asarray(day.columns["ltp"])[mine]
    return {name: of_prices(at[a:b], price[a:b]) for name, (a, b) in edges.items()}


def of_prices(minute: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Minutes of prices in order of receipt; `minute` in s of each price's. Prices of 0 say nothing."""
    known = price > 0
    order = np.argsort(minute[known], kind="stable")
    minute, price = minute[known][order], price[known][order]
    if not len(minute):
        return np.zeros(0, BAR)
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    out = np.zeros(len(first), BAR)
    out["s"], out["open"], out["close"] = minute[first], price[first], price[last]
    out["high"], out["low"] = np.maximum.reduceat(price, first), np.minimum.reduceat(price, first)
    return out


def of_recorded(bars: np.ndarray, symbols: Sequence[str]) -> dict[str, np.ndarray]:
    """Minutes by symbol from the rows of a journal's bars (BAR_ROW), of which the last told of a minute holds."""
    assert bars.dtype == BAR_ROW
    bars = bars[np.lexsort((bars["version"], bars["ts"], bars["inst"]))]
    is_last = np.ones(len(bars), bool)
    is_last[:-1] = (bars["inst"][1:] != bars["inst"][:-1]) | (bars["ts"][1:] != bars["ts"][:-1])
    bars = bars[is_last]
    out = {}
    for inst in np.unique(bars["inst"]).tolist():
        mine = bars[bars["inst"] == inst]
        rows = np.zeros(len(mine), BAR)
        rows["s"] = mine["ts"]
        for name in ("open", "high", "low", "close"):
            rows[name] = mine[name]
        if inst < len(symbols):
            out[symbols[inst]] = rows
    return out
