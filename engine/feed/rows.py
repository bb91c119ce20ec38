"""A day file's rows for the core: its columns as a RowFeed, and the DATA record that stands for them."""
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson

from _ext.feed.rows import RowFeed
from engine.feed import HAS_DEPTH, TICK_DTYPE
from engine.feed.dayfile import DayFile

LEVEL_BYTES = 32
BARS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Book:
    """The book that is taken for one where none was recorded (docs/backtest.md)."""
    spread_bp: float = 3.0            # of price
    spread_ticks: int = 3             # price steps, where they are more
    level_value: int = 15_000_000     # paise on each of five levels


def has_book(day: DayFile) -> bool:
    """Whether the rows of the day show books."""
    return "levels.bidP" in day.columns and bool((np.asarray(day.columns["has"]) & HAS_DEPTH).any())


def _offset(dtype: np.dtype[Any], name: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[name][1])


def row_feed(day: DayFile) -> RowFeed:
    """The rows of a day file, mapped."""
    inst, keys = day.columns["inst"], [s.key.encode() for s in day.specs]
    if day.kind == "bars":
        zeros = np.zeros(day.rows, np.int64)
        return RowFeed(day.content, day.columns["ms"], inst, keys, [day.columns.get(name, zeros) for name in BARS], is_bars=True)
    columns = []
    for name, values in day.columns.items():
        field, _, part = name.partition(".")
        if name in ("inst", "received"):
            continue
        offset = _offset(TICK_DTYPE, field)
        if part:
            columns.append((values, offset + _offset(TICK_DTYPE[field].base, part), LEVEL_BYTES))
        else:
            columns.append((values, offset, 0))
    return RowFeed(day.content, day.columns["received"], inst, keys, columns)


def data_record(day: DayFile, book: Book | None = None, is_favourable: bool = False) -> bytes:
    """The DATA record of a day file: from it on its rows are taken, those of a time before any record of that time."""
    return orjson.dumps({"sha256": day.content, "rows": day.rows, "kind": day.kind, "name": str(day.path),
                         "book": asdict(book) if book is not None else None, "favourable": is_favourable})
