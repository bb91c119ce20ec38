"""The broker's candles as WARM_BAR rows: prices in paise, minutes since 1970, oldest first."""
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from _ext.core.records import WARM_BAR
from engine.broker.base import Unreadable
from engine.broker.upstox import answers
from engine.market import history

PRICES = ("open", "high", "low", "close")
MOST_PRICE = 1e8
"""Rupees; the dearest share trades at some 150,000."""
MOST_ROWS = 20_000
"""Candles of one call: a month of minutes has 8,700."""


def of_rows(rows: Sequence[Any]) -> np.ndarray:
    """Candle arrays [time with offset, open, high, low, close, volume, oi], newest first, as the historical and intraday calls give
    them. Unreadable where one makes no sense; one without a price is left out, and of a minute that comes twice the newer row
    is taken: the one that stands before the other."""
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"more than {MOST_ROWS:,} candles in one answer")
    out = np.zeros(len(rows), WARM_BAR)
    for bar, row in zip(out, reversed(rows), strict=True):
        if not isinstance(row, list) or len(row) < 6:
            raise Unreadable("a candle is not a row of six values")
        bar["minute"] = _minute(row[0])
        _fill(bar, row[1:5], row[5])
    return history.once(out[(out["open"] > 0) & (out["low"] > 0)])


def of_quotes(quotes: Mapping[str, Mapping[str, Any]], minute: int) -> dict[str, np.ndarray]:
    """The last completed minute of several keys, {open, high, low, close, volume, ts}; one of another minute than `minute` is left
    out: the broker's candle was not there yet, or nothing traded. So is one that makes no sense."""
    out = {}
    for key, quote in quotes.items():
        bar = np.zeros(1, WARM_BAR)
        try:
            bar["minute"] = answers.whole(quote.get("ts"), "a candle's time", answers.FIRST_MS, answers.LAST_MS) // 60_000
            _fill(bar[0], [quote.get(name) for name in PRICES], quote.get("volume"))
        except Unreadable:
            continue
        if bar["minute"][0] == minute:
            out[key] = bar
    return out


def _minute(stamp: Any) -> int:
    """Minutes since 1970 of an ISO time with its offset; without one it would be this machine's time."""
    try:
        at = dt.datetime.fromisoformat(answers.text(stamp, "a candle's time", 40))
    except ValueError:
        raise Unreadable("a candle's time is none") from None
    if at.tzinfo is None or not answers.FIRST_MS <= at.timestamp() * 1000 <= answers.LAST_MS:
        raise Unreadable("a candle's time is none")
    return round(at.timestamp()) // 60


def _fill(bar: Any, prices: Sequence[Any], volume: Any) -> None:
    for name, value in zip(PRICES, prices, strict=True):
        bar[name] = round(answers.number(value, f"a candle's {name}", 0, MOST_PRICE) * 100)
    bar["volume"] = round(answers.number(volume, "a candle's volume", 0))
    if bar["low"] > bar["high"]:
        raise Unreadable("a candle's low is above its high")
