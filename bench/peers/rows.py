"""The common input: the same rows as a day file for this engine and as arrays for the others."""
from pathlib import Path

import numpy as np

from engine.feed import dayfile
from engine.feed.dayfile import DayFile, Head
from engine.feed.rows import Book

BOOK = Book()
"""What is modelled where none was recorded (docs/backtest.md)."""


def day_of(folder: Path, count: int) -> DayFile:
    """The first day of ticks with `count` rows; the one with most where none has so many."""
    heads = [head for head in map(Head, sorted(folder.glob("*.ticks.day"))) if head.rows]
    if not heads:
        raise SystemExit(f"{folder}: no day files of ticks; make them with `python -m engine data import FILES --out {folder}`")
    enough = [head for head in heads if head.rows >= count]
    return DayFile((enough or [max(heads, key=lambda head: head.rows)])[0].path)


def cut(day: DayFile, count: int, folder: Path) -> Path:
    """The first `count` rows of a day, in a folder of their own: a day file, and `rows.npz` for the others."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day.day}.ticks.day"
    columns = {name: np.asarray(values[:count]) for name, values in day.columns.items()}
    dayfile.write(path, day.day, "ticks", day.specs, columns, [])
    np.savez(folder / "rows.npz", **arrays_of(DayFile(path)))
    return folder


def arrays_of(day: DayFile) -> dict[str, np.ndarray]:
    """Row by row: whose, ns since 1970, last price, volume since the row before, best quotes. Rupees. Names and price steps of the
    instruments beside. The quotes are those this engine models for stocks, to the paisa (`RowFeed._model`); for an index it has
    none."""
    inst, last = np.asarray(day.columns["inst"]), np.asarray(day.columns["ltp"]).astype(np.int64)
    steps = np.array([spec.tick for spec in day.specs], np.int64)
    step = np.maximum(steps[inst], 1)
    spread = np.maximum((BOOK.spread_bp * 1e-4 * last).astype(np.int64) // step * step, BOOK.spread_ticks * step)
    bid = np.maximum((last - spread // 2) // step * step, step)
    volume = np.zeros(day.rows, np.int64)
    for number in range(len(day.specs)):
        rows = np.flatnonzero(inst == number)
        volume[rows[1:]] = np.maximum(np.diff(np.asarray(day.columns["vtt"])[rows].astype(np.int64)), 0)
    return {"inst": inst, "ns": np.asarray(day.columns["received"]) * 1_000_000, "last": last / 100, "volume": volume.astype(float),
            "bid": bid / 100, "ask": (bid + spread) / 100, "size": (BOOK.level_value // np.maximum(bid, 1)).astype(float),
            "symbols": np.array([spec.symbol for spec in day.specs]), "steps": steps / 100,
            "is_index": np.array([spec.kind == "index" for spec in day.specs])}
