"""The sim's candles: every minute of every name, asked for at once or hours later."""
import datetime as dt

import numpy as np

from engine.feed import HAS_FULL, HAS_LTPC, TICK_DTYPE, encode
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms
from engine.sim.candles import Candles

DAY, MINUTES, NAMES = dt.date(2026, 9, 1), 110, 37
KEYS = [f"NSE_EQ|{i:03d}" for i in range(NAMES)]


def price_of(name: int, minute: int, part: int) -> int:
    return 100_000 + 1000 * name + 10 * (minute % 7) + (0, 30, -20, 10)[min(part, 3)]


def test_no_minute_of_any_name_is_lost():
    candles = Candles([Instrument(key, f"S{i}", tick=10, price=100_000) for i, key in enumerate(KEYS)], DAY)
    rows = np.zeros(NAMES, TICK_DTYPE)
    rows["key"], rows["key_len"], rows["mode"], rows["has"] = [k.encode() for k in KEYS], len(KEYS[0]), 1, HAS_LTPC | HAS_FULL
    for minute in range(MINUTES):
        for part in range(12):
            at = epoch_ms(DAY, minute) + 2000 + 5000 * part
            rows["ltp"] = [price_of(name, minute, part) for name in range(NAMES)]
            rows["ltt"], rows["vtt"] = at - 100, 100 * (12 * minute + part + 1)
            candles.on_frame(at * 1_000_000, encode(rows, at))
    now = epoch_ms(DAY, MINUTES - 1) * 1_000_000
    first = epoch_ms(DAY) // 60_000
    for name in (0, 5, 31, 32, 36):
        got = candles.of(KEYS[name], now)
        assert got["minute"].tolist() == list(range(first, first + MINUTES - 1))
        for minute in (0, 1, 40, 63, 64, 100, MINUTES - 2):
            (bar,) = candles.minute(KEYS[name], first + minute)
            shown = [int(bar[n]) for n in ("open", "high", "low", "close")]
            assert shown == [price_of(name, minute, part) for part in (0, 1, 2, 3)] and (minute == 0 or bar["volume"] == 1200)
    assert candles.minute(KEYS[0], first + MINUTES + 5) is None and candles.minute(KEYS[0], first - 1) is None
