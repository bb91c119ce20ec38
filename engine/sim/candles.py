"""The sim's candles: the minutes of its market as the engine's own market stage makes them of a feed without faults."""
import datetime as dt
from collections.abc import Sequence

import numpy as np
import orjson

from _ext.core.clock import MINUTE, MINUTES
from _ext.core.records import REC_FRAME, REC_INSTRUMENTS, REC_PROFILE, REC_START, REC_TIMER, WARM_BAR
from _ext.core.sink import RecordSink
from _ext.entrance import Core
from engine.config import Config
from engine.market import instruments, sessions
from engine.market.instruments import Instrument

GRACE_NS = 2_000_000_000
TURNS = 32
FIELDS = ("minute", "open", "high", "low", "close", "volume")


class Candles:
    """Closed minutes of `specs` on `day`, by key; told of every frame of the market."""

    def __init__(self, specs: Sequence[Instrument], day: dt.date):
        self.inst = {s.key: i for i, s in enumerate(specs)}
        self.core = Core(RecordSink(), max(len(specs), 1), 64)
        at = sessions.epoch_ms(day) * 1_000_000
        self.core.feed(REC_START, at, orjson.dumps(Config.model_construct().record()))
        self.core.feed(REC_INSTRUMENTS, at, instruments.table(specs, day).tobytes())
        self.core.feed(REC_PROFILE, at, sessions.profile(day).tobytes())
        self.due = 0
        self.first = at // MINUTE
        self.bars = np.zeros((max(len(specs), 1), MINUTES), WARM_BAR)      # by row and minute of the session

    def on_frame(self, now: int, frame: bytes) -> None:
        """`now` in ns."""
        if now >= self.due:
            self._collect(now)
            self.due = now // MINUTE * MINUTE + MINUTE + GRACE_NS
        self.core.feed(REC_FRAME, now, frame)

    def _collect(self, now: int) -> None:
        for _ in range(len(self.bars) // 64 + 1):
            self.core.feed(REC_TIMER, now)
        turn = now // MINUTE % TURNS          # the core keeps 64 minutes of each name: a part of the names a minute will do
        for inst in range(int(turn), len(self.inst), TURNS):
            self._take(inst)

    def _take(self, inst: int) -> None:
        """Keeps the closed minutes of one name that the core still has."""
        kept = self.core.market.kept_bars(inst)
        minutes = kept["minute"].astype(np.int64) - self.first
        good = (minutes >= 0) & (minutes < MINUTES)
        for name in FIELDS:
            self.bars[name][inst, minutes[good]] = kept[name][good]

    def of(self, key: str, now: int) -> np.ndarray:
        """WARM_BAR rows of one key, oldest first, of the minutes that are over at `now`."""
        self._take(self.inst[key])
        rows = self.bars[self.inst[key]].copy()
        rows["inst"] = self.inst[key]
        return np.asarray(rows[(rows["minute"] > 0) & ((rows["minute"] + 1) * MINUTE <= now)])

    def minute(self, key: str, minute: int) -> np.ndarray | None:
        """The one row of a minute, None where it is not there."""
        at = minute - self.first
        if not 0 <= at < MINUTES:
            return None
        if not self.bars[self.inst[key], at]["minute"]:
            self._take(self.inst[key])
        if not self.bars[self.inst[key], at]["minute"]:
            return None
        return self.bars[self.inst[key], at:at + 1].copy()
