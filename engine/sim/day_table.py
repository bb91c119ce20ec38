"""A day file as a table for other tools: times with India's zone, prices in rupees beside paise, whole symbols."""
from pathlib import Path

import numpy as np
import polars as pl

from engine.errors import DataError
from engine.feed.dayfile import DayFile

PRICES = frozenset({"ltp", "cp", "atp", "open", "high", "low", "close", "bidP", "askP"})
"""Columns in paise, by the last part of their name."""
TIMES = frozenset({"received", "ltt", "ms", "ts"})


def table_of(path: Path, what: str, symbol: str = "") -> pl.DataFrame:
    """Ticks or bars of a day file, of one symbol where it is named. DataError where it holds something else, or not the symbol."""
    day = DayFile(path)
    if day.kind != what:
        raise DataError(f"{path.name}: it holds {day.kind}, not {what}")
    symbols = np.array([s.symbol for s in day.specs])
    inst = np.asarray(day.columns["inst"])
    rows = np.arange(day.rows)
    if symbol:
        if symbol.upper() not in symbols.tolist():
            raise DataError(f"{path.name}: there is no {symbol}; there are {', '.join(symbols.tolist()[:12])}")
        rows = np.flatnonzero(symbols[inst] == symbol.upper())
    out = {"symbol": symbols[inst[rows]]} if len(symbols) else {"symbol": np.zeros(0, "U1")}
    for name, values in day.columns.items():
        if name != "inst":
            parts = values[rows]
            out |= {f"{name}{k + 1}": parts[:, k] for k in range(parts.shape[1])} if parts.ndim > 1 else {name: parts}
    frame = pl.DataFrame({name.replace(".", "_"): values for name, values in out.items()})
    last = {name: name.rpartition("_")[2].rstrip("0123456789") for name in frame.columns}
    return frame.with_columns(
        *(pl.from_epoch(name, "ms").dt.cast_time_unit("ms").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Kolkata")
          for name, part in last.items() if part in TIMES),
        *((pl.col(name) / 100).alias(f"{name}_rs") for name, part in last.items() if part in PRICES))
