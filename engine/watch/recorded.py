"""Minutes of one instrument from the day file that a backtest's journal stands on: its rows are in no journal."""
from pathlib import Path

import numpy as np
import orjson

from _ext.core.records import REC_DATA
from _ext.quotes import CANDLE
from _ext.trail.reader import Reader
from engine.errors import DataError
from engine.feed.dayfile import DayFile


def data_of(reader: Reader) -> str:
    """Path of the day file that a journal names; empty where it names none."""
    found = reader.pick((REC_DATA,))
    return str(orjson.loads(found[0][2])["name"]) if found else ""


def minutes(path: Path, symbol: str) -> np.ndarray:
    """quotes.CANDLE of each minute of `symbol` in which something traded, told at its end. DataError where the file is gone."""
    day = DayFile(path)
    numbers = [number for number, spec in enumerate(day.specs) if spec.symbol == symbol]
    rows = np.flatnonzero(np.asarray(day.columns["inst"]) == numbers[0]) if numbers else np.zeros(0, np.int64)
    if day.kind == "bars":
        minute = np.asarray(day.columns["ms"])[rows] // 60_000
        prices = {name: np.asarray(day.columns[name])[rows] for name in ("open", "high", "low", "close")}
        volume = np.asarray(day.columns["volume"])[rows] if "volume" in day.columns else np.zeros(len(rows), np.int64)
        return _table(minute, prices, volume)
    if "ltp" not in day.columns or "ltt" not in day.columns:
        raise DataError(f"{path.name} has no trades to draw")
    ltp, ltt = np.asarray(day.columns["ltp"])[rows], np.asarray(day.columns["ltt"])[rows]
    traded = (ltp > 0) & (ltt > 0)
    ltp, minute = ltp[traded], ltt[traded] // 60_000
    total = np.asarray(day.columns["vtt"])[rows][traded] if "vtt" in day.columns else np.zeros(len(ltp), np.int64)
    order = np.argsort(minute, kind="stable")
    ltp, minute, total = ltp[order], minute[order], np.maximum.accumulate(total[order]) if len(order) else total
    at = np.flatnonzero(np.diff(minute, prepend=-1)) if len(minute) else np.zeros(0, np.int64)
    if not len(at):
        return np.zeros(0, CANDLE)
    last = np.append(at[1:], len(minute)) - 1
    volume = np.diff(total[last], prepend=total[0])
    return _table(minute[at], {"open": ltp[at], "high": np.maximum.reduceat(ltp, at), "low": np.minimum.reduceat(ltp, at),
                               "close": ltp[last]}, volume)


def _table(minute: np.ndarray, prices: dict[str, np.ndarray], volume: np.ndarray) -> np.ndarray:
    out = np.zeros(len(minute), CANDLE)
    out["minute"], out["volume"], out["told"] = minute, volume, (minute + 1) * 60_000_000_000
    for name, column in prices.items():
        out[name] = column
    return out
