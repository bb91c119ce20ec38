"""The broker's candles as WARM_BAR rows: prices in paise, minutes since 1970, oldest first."""
import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from _ext.core.records import WARM_BAR


def of_rows(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """Candle arrays [time with offset, open, high, low, close, volume, oi], newest first, as the historical and intraday calls give
    them (UPSTOX 3.5). ValueError or TypeError where one makes no sense; one without a price is left out."""
    out = np.zeros(len(rows), WARM_BAR)
    for bar, row in zip(out, reversed(rows), strict=True):
        bar["minute"] = round(dt.datetime.fromisoformat(row[0]).timestamp()) // 60
        for name, value in zip(("open", "high", "low", "close"), row[1:5], strict=True):
            bar[name] = round(float(value) * 100)
        bar["volume"] = int(row[5])
    out = out[(out["open"] > 0) & (out["low"] > 0)]
    return out[np.argsort(out["minute"], kind="stable")]


def of_quotes(quotes: Mapping[str, Mapping[str, Any]], minute: int) -> dict[str, np.ndarray]:
    """The last completed minute of several keys, {open, high, low, close, volume, ts}; one of another minute than `minute` is left
    out: the broker's candle was not there yet, or nothing traded."""
    out = {}
    for key, quote in quotes.items():
        with contextlib.suppress(KeyError, TypeError, ValueError):         # one that makes no sense is as good as none
            if int(quote["ts"]) // 60_000 != minute:
                continue
            bar = np.zeros(1, WARM_BAR)
            bar["minute"], bar["volume"] = minute, int(quote["volume"])
            for name in ("open", "high", "low", "close"):
                bar[name] = round(float(quote[name]) * 100)
            out[key] = bar
    return out
