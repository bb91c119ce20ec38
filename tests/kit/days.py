"""Day files of generated markets."""
import datetime as dt
from pathlib import Path

import numpy as np

from engine.feed import TICK_DTYPE
from engine.feed.dayfile import BAR_DTYPE, Source, in_order, of_bars, of_ticks, write
from engine.market.instruments import Instrument, shipped
from engine.sim.contracts import with_contracts
from engine.sim.days import path_of
from engine.sim.market import SyntheticMarket

DAY = dt.date(2026, 9, 1)


def recorded_day(folder: Path, day: dt.date = DAY, names: int = 6, minutes: int = 90, seed: int = 5, mood: float = 4.0,
                 book: bool = True, options: int = 0) -> Path:
    """The first `minutes` of a generated day as a day file; without `book` nothing of the order book is in it; with `options` so
    many contracts of each stock, and its future."""
    stocks = list(shipped()[:names])
    market = SyntheticMarket(with_contracts(stocks, day, options) if options else stocks, day, seed, mood=mood)
    market.minutes = minutes
    parts = [(at, rows) for at, rows, _ in market.frames()]
    rows = np.concatenate([part.view(np.uint8) for _, part in parts]).view(TICK_DTYPE)
    received = np.repeat([at for at, _ in parts], [len(part) for _, part in parts])
    if not book:
        rows["levels"] = 0
        rows["n_levels"] = 0
        rows["has"] &= ~np.uint16(2)
    columns = of_ticks(rows, received, market.specs)
    order = in_order(columns["received"], columns["inst"])
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, day, "ticks")
    write(path, day, "ticks", market.specs, {name: values[order] for name, values in columns.items()}, [Source("generated", "")])
    return path


def bars_day(folder: Path, bars: list[tuple[int, int, int, int, int, int]], specs: list[Instrument], day: dt.date = DAY) -> Path:
    """A day file of one-minute bars: (session minute, open, high, low, close, volume) of the first of `specs`."""
    from engine.market.sessions import epoch_ms

    rows = np.zeros(len(bars), BAR_DTYPE)
    for row, (minute, *values) in zip(rows, bars, strict=True):
        row["ms"] = epoch_ms(day, minute)
        for name, value in zip(("open", "high", "low", "close", "volume"), values, strict=True):
            row[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, day, "bars")
    write(path, day, "bars", specs, of_bars(rows), [Source("generated", "")])
    return path
