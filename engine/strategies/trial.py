"""A strategy called by hand, for its tests: bars in, what it asks for out."""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.strategies.base import Bars, Instrument, Position, Strategy


class Wish(NamedTuple):
    """What a strategy has asked for. `side` 0: the end of its position."""
    instrument: Instrument
    side: int
    asked: dict[str, Any]             # strength, move, limit, stop, target, hold, reason: what was given


class Trial:
    """Calls `strategy` without an engine. `held`: the position that it is told it has; it may be changed between calls."""

    def __init__(self, strategy: Strategy, held: Position | None = None):
        self.strategy, self.held = strategy, held
        self.wishes: list[Wish] = []
        self.shown: dict[tuple[Instrument, int], Bars] = {}
        vars(strategy).update(candidate=self._candidate, exit=self._exit, position=lambda instrument: self.held, bars=self._bars)
        strategy.on_start()

    def bar(self, instrument: Instrument, bars: Bars, minutes: int = 1) -> list[Wish]:
        """Tells of a closed bar, the last of `bars`; what the strategy asks for then. It may look at those told before."""
        self.shown[instrument, minutes] = bars
        return self._asked(lambda: self.strategy.on_bar(instrument, minutes, bars))

    def tell(self, method: str, argument: Any) -> list[Wish]:
        """Tells of something else: `on_candidate`, `on_fill` or `on_exit`."""
        return self._asked(lambda: getattr(self.strategy, method)(argument))

    def _asked(self, call: Any) -> list[Wish]:
        before = len(self.wishes)
        call()
        return self.wishes[before:]

    def _bars(self, instrument: Instrument, minutes: int = 1) -> Bars:
        return self.shown.get((instrument, minutes)) or bars([])

    def _candidate(self, instrument: Instrument, side: int, **asked: Any) -> None:
        self.wishes.append(Wish(instrument, side, asked))

    def _exit(self, instrument: Instrument, reason: str = "") -> None:
        self.wishes.append(Wish(instrument, 0, {"reason": reason}))


def stock(symbol: str = "SBIN", number: int = 0, tick: float = 0.05, lot: int = 1) -> Instrument:
    """A stock."""
    return Instrument(symbol, "equity", number, tick, lot)


def bars(closes: Sequence[float], reach: float = 0.0, volume: float = 1000.0, minutes: int = 1) -> Bars:
    """Bars that open and close at `closes`, `reach` rupees above and below."""
    rows = np.zeros((len(closes), 6))
    rows[:, 0] = 60 * minutes * np.arange(len(closes))
    rows[:, 1:5] = np.asarray(closes, float)[:, None]
    rows[:, 2] += reach
    rows[:, 3] -= reach
    rows[:, 5] = volume
    rows.flags.writeable = False
    return Bars(rows)
