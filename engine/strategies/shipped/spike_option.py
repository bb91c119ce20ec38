"""Spike breakout with options: buys the call at the money of a stock that spikes up, the put of one that spikes down. The stock
guides the position: stop and target are prices of the stock, and the option's own stop follows by its delta.

Needs `option_orders = true` and options that are watched (`options`, four of each stock by default).
"""
from pydantic import Field

from engine.strategies import base
from engine.strategies.base import Signal, Strategy


class SpikeOption(Strategy):
    kinds = ()

    class Parameters(base.Parameters):
        strength: float = Field(0.6, gt=0, le=1, description="of the spike, at least")
        score: float = Field(0.3, ge=0, le=1, description="of the filter at the tick, at least; 0: not asked")
        stop: float = Field(0.01, gt=0, lt=0.5, description="share of the stock's price at which the position ends")
        target: float = Field(0.02, gt=0, lt=1, description="share of the stock's price")
        spread: float = Field(0.02, gt=0, le=1, description="of the option, share of its price, at most")

    def on_candidate(self, signal: Signal) -> None:
        p = self.parameters
        if signal.source != "spike" or signal.strength < p.strength or (p.score > 0 and not signal.score >= p.score):
            return
        option = self.at_the_money(signal.instrument, signal.move, signal.price)
        if option is None or self.position(option) is not None:
            return
        book = self.book(option)
        if 0 < book.bid < book.ask and book.ask - book.bid <= p.spread * book.bid:
            self.candidate(option, 1, move=signal.move, guide=signal.instrument, strength=signal.strength,
                           stop=signal.price * (1 - signal.move * p.stop), target=signal.price * (1 + signal.move * p.target),
                           reason="option of a spike")
