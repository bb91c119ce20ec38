"""Moving-average cross: buys where the fast mean of closes crosses the slow one upwards, sells short where it crosses downwards,
and leaves at the next cross. Of several timeframes the first is crossed, and the means of all others must lie the same way."""
from typing import Self

from pydantic import Field, model_validator

from engine.strategies import base
from engine.strategies.base import Bars, Instrument, Strategy


class MovingAverageCross(Strategy):
    class Parameters(base.Parameters):
        timeframes: tuple[int, ...] = Field((5,), description="minutes of the bars; the first is traded, the others confirm")
        fast: int = Field(9, ge=1, le=100, description="bars of the fast mean")
        slow: int = Field(21, ge=2, le=190, description="bars of the slow mean")
        stop: float = Field(0.01, gt=0, lt=0.5, description="share of price at which the position ends")

        @model_validator(mode="after")
        def _fast_is_faster(self) -> Self:
            if self.fast >= self.slow:
                raise ValueError("fast has as many bars as slow: give it fewer")
            return self

    def on_bar(self, instrument: Instrument, minutes: int, bars: Bars) -> None:
        if minutes != self.timeframes[0] or len(bars) <= self.parameters.slow:
            return
        now, before = self.apart(bars), self.apart(bars, 1)
        if now * before >= 0:
            return
        side = 1 if now > 0 else -1
        if self.position(instrument) is not None:
            self.exit(instrument, "crossed back")
        elif self.confirmed(instrument, side, self.apart):
            self.candidate(instrument, side, stop=bars.close[-1] * (1 - side * self.parameters.stop), reason="means crossed")

    def apart(self, bars: Bars, ago: int = 0) -> float:
        """Fast mean less slow mean, so many bars ago."""
        fast, slow = self.parameters.fast, self.parameters.slow
        close = bars.close[len(bars) - slow - ago:len(bars) - ago].tolist()        # so few are summed sooner than by numpy
        return sum(close[-fast:]) / fast - sum(close) / slow if len(close) == slow >= fast else 0.0
