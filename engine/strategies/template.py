"""What `strategy new NAME` writes: a strategy that works, and its test."""

STRATEGY = '''"""{title}: buys where the last close is above all closes before, with a stop and a target. A place to begin."""
import engine
from pydantic import Field


class {kind}(engine.Strategy):
    timeframes = (5,)                       # minutes of the bars it wants

    class Parameters(engine.Parameters):
        bars: int = Field(12, ge=2, le=190, description="bars before the last whose closes it must exceed")
        stop: float = Field(0.005, gt=0, lt=0.1, description="share of price")

    def on_bar(self, instrument, minutes, bars):
        count, stop = self.parameters.bars, self.parameters.stop
        if len(bars) <= count or self.position(instrument):
            return
        last = bars.close[-1]
        if last > bars.close[-count - 1:-1].max():
            self.candidate(instrument, 1, strength=0.8, stop=last * (1 - stop), target=last * (1 + 2 * stop), hold=1800,
                           reason="above all before")
'''

TEST = '''"""`python -m pytest {folder}` runs it. `python -m engine strategy check {folder}/{name}.py` looks for what would make
its backtest lie."""
from engine.strategies.trial import Trial, bars, stock
from {name} import {kind}


def trial():
    return Trial({kind}("{name}", {kind}.Parameters(bars=3)))


def test_it_buys_above_all_closes_before():
    (wish,) = trial().bar(stock(), bars([100, 101, 99, 102]), minutes=5)
    assert wish.side == 1 and wish.asked["stop"] < 102 < wish.asked["target"]


def test_it_waits_otherwise():
    assert trial().bar(stock(), bars([100, 102, 99, 102]), minutes=5) == []
    assert trial().bar(stock(), bars([100, 101, 102]), minutes=5) == []
'''
