"""One core fed with single updates, to look at what the market stage keeps of them."""
import datetime as dt

import numpy as np
import orjson
import pytest

from _ext.core.records import REC_FRAME, REC_INSTRUMENTS, REC_PROFILE, REC_START, REC_TIMER
from _ext.core.sink import RecordSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import epoch_ms, profile

DAY = dt.date(2026, 9, 1)
OPEN_MS = epoch_ms(DAY)
LTPC, DEPTH, FULL = 1, 2, 64


class OneName:
    """Updates of instrument 0 (tick 5 paise) into a core; times are ms after 09:15, prices paise. No timers of its own."""

    def __init__(self, **spec):
        self.specs = [Instrument("NSE_EQ|AAA", "AAA", **{"tick": 5, **spec})]
        self.core = Core(RecordSink(), 1, 64)
        now = OPEN_MS * 1_000_000
        self.core.feed(REC_START, now, orjson.dumps(config.Config().record()))
        self.core.feed(REC_INSTRUMENTS, now, table(self.specs, DAY).tobytes())
        self.core.feed(REC_PROFILE, now, profile(DAY).tobytes())

    def tick(self, at: float, ltp: int, vtt: int, received: float | None = None, book=None, has: int = LTPC | FULL):
        """`book` is up to five (bid price, quantity, ask price, quantity); the row afterwards."""
        row = np.zeros(1, TICK_DTYPE)
        key = self.specs[0].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"] = key, len(key), 1, has | (DEPTH if book is not None else 0)
        row["ltp"], row["ltt"], row["vtt"] = ltp, OPEN_MS + round(at), vtt
        if book is not None:
            row["n_levels"] = len(book)
            for i, level in enumerate(book):
                row["levels"][0, i] = (level[1], level[0], level[3], level[2])
        ms = OPEN_MS + round(at if received is None else received)
        self.core.feed(REC_FRAME, ms * 1_000_000, encode(row, ms))
        return self.core.market.row(0)

    def timer(self, at: float):
        self.core.feed(REC_TIMER, (OPEN_MS + round(at)) * 1_000_000)
        return self.core.market.row(0)


@pytest.fixture
def tape():
    return OneName()


@pytest.fixture
def make_tape():
    return OneName
