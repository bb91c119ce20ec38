"""Moving-average cross: buys where the fast mean of closes crosses the slow one upwards, sells short where it crosses downwards,
and leaves at the next cross."""
from pydantic import Field

from engine.strategies import base
from engine.strategies.base import Bars, Instrument, Strategy


class MovingAverageCross(Strategy):
    timeframes = (5,)

    class Parameters(base.Parameters):
        fast: int = Field(9, ge=1, le=100, description="bars of the fast mean")
        slow: int = Field(21, ge=2, le=190, description="bars of the slow mean")
        stop: float = Field(0.01, gt=0, lt=0.5, description="share of price at which the position ends")

    def on_bar(self, instrument: Instrument, minutes: int, bars: Bars) -> None:
        fast, slow = self.parameters.fast, self.parameters.slow
        close = bars.close
        if len(close) <= slow:
            return
        now = close[-fast:].mean() - close[-slow:].mean()
        before = close[-fast - 1:-1].mean() - close[-slow - 1:-1].mean()
        if now * before >= 0:
            return
        side = 1 if now > 0 else -1
        held = self.position(instrument)
        if held is not None:
            self.exit(instrument, "crossed back")
        else:
            self.candidate(instrument, side, stop=close[-1] * (1 - side * self.parameters.stop), reason="means crossed")
