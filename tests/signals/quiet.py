"""One name on a market so quiet that every number of the detector can be computed by hand: fifty closed minutes between two prices,
a thousand shares each, time-of-day factors of one. Prices in paise, seconds within the minute it begins at."""
import datetime as dt
from pathlib import Path

import numpy as np
import orjson

from _ext.core.reasons import REASONS
from _ext.core.records import (
    CANDIDATE,
    REC_BARS,
    REC_CANDIDATE,
    REC_FRAME,
    REC_GAP,
    REC_INSTRUMENTS,
    REC_MODEL,
    REC_PROFILE,
    REC_START,
    REC_TIMER,
    REC_VERDICT,
    WARM_BAR,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import epoch_ms
from engine.signals import models

DAY = dt.date(2026, 9, 1)
BASE, SWING, VOLUME = 100_000, 100_100, 1_000
MINUTE = 60
"""Of the session; it begins five minutes too."""
SCORER = models.active(Path(config.Config().models))


def swings(count: int = 50, low: int = BASE, high: int = SWING) -> list[int]:
    """Closes that go up and down, the last one down."""
    return [high if (count - k) % 2 == 0 else low for k in range(count)]


class Quiet:
    """`closes`: of the minutes before `minute`; the sections of the configuration as dicts. A score needs `threshold`."""

    def __init__(self, closes=None, minute: int = MINUTE, threshold: float | None = None, is_cas: bool = False,
                 kind: str = "equity", factors: dict[int, tuple[float, float]] | None = None, tick: int = 1, volume: int = VOLUME,
                 base: int = BASE, detector: dict[str, float] | None = None, **sections):
        closes = swings() if closes is None else closes
        specs = [Instrument("NSE_EQ|A", "RELIANCE", kind, tick, is_cas=is_cas, underlying="x" if kind == "option" else "")]
        settings = config.Config(models="", **({"source": {"spike": detector or {}}} | sections))
        self.trail = KeepingSink((REC_CANDIDATE, REC_VERDICT, REC_GAP))
        self.core = Core(self.trail, 1, 64)
        self.start = epoch_ms(DAY, minute)
        self.vtt, self.price, self.at = 1_000_000, base, 0.0
        begin = (self.start - 60_000) * 1_000_000
        self.core.feed(REC_START, begin, orjson.dumps(settings.record()))
        self.core.feed(REC_INSTRUMENTS, begin, table(specs, DAY).tobytes())
        profile = np.ones((2, 390))
        for m, values in (factors or {}).items():
            profile[:, m] = values
        self.core.feed(REC_PROFILE, begin, profile.tobytes())
        bars = np.zeros(len(closes), WARM_BAR)
        bars["minute"] = self.start // 60_000 - len(closes) + np.arange(len(closes)) - (0 if minute else 1440 - 375)  # yesterday's
        bars["close"], bars["volume"] = closes, volume
        bars["open"] = [base, *closes[:-1]] if len(closes) else []
        bars["high"], bars["low"] = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
        self.core.feed(REC_BARS, begin, bars.tobytes())
        if threshold is not None:
            self.core.models[SCORER.sha256] = SCORER
            self.core.feed(REC_MODEL, begin, models.model_record(SCORER.sha256, threshold))

    def tick(self, price: int, more: int = 0, after: float = 1.0, bid: int | None = None, ask: int | None = None,
             lag: float = 0.0, iv: float = 0.0, has: int = 1 | 2 | 64) -> None:
        """An update `after` seconds later with `more` volume; the book 10 around the price, 500 a side, three levels."""
        self.at += after
        self.price, self.vtt = price, self.vtt + more
        row = np.zeros(1, TICK_DTYPE)
        row["key"], row["key_len"], row["mode"], row["has"], row["n_levels"] = b"NSE_EQ|A", 8, 1, has, 3
        now = self.start + round(1000 * self.at)
        row["ltp"], row["ltt"], row["vtt"], row["iv"] = price, now - round(1000 * lag), self.vtt, iv
        bid, ask = price - 10 if bid is None else bid, price + 10 if ask is None else ask
        for level in range(3):
            row["levels"]["bidP"][:, level], row["levels"]["askP"][:, level] = max(bid - level, 0), ask + level if ask else 0
        row["levels"]["bidQ"] = row["levels"]["askQ"] = 500
        self.core.feed(REC_FRAME, now * 1_000_000, encode(row, now))

    def timer(self, after: float) -> None:
        self.at += after
        self.core.feed(REC_TIMER, (self.start + round(1000 * self.at)) * 1_000_000)

    def _rows(self, kind: int) -> list:
        return [np.frombuffer(payload, CANDIDATE)[0] for k, _, payload in self.trail.kept if k == kind]

    @property
    def candidates(self) -> list:
        return self._rows(REC_CANDIDATE)

    @property
    def verdicts(self) -> list:
        return self._rows(REC_VERDICT)


def reason(row) -> str:
    return REASONS[row["reason"]]
