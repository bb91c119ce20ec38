"""Spike reversal: where a spike gives back a share of its move within a few minutes, it trades against the spike, with a stop
beyond the spike's extreme."""
from typing import NamedTuple

from pydantic import Field

from engine.strategies import base
from engine.strategies.base import Bars, Instrument, Signal, Strategy


class Spike(NamedTuple):
    """A spike that is watched."""
    move: int
    base: float                       # close before its minute
    bars: int                         # minutes seen since


class SpikeReversal(Strategy):
    class Parameters(base.Parameters):
        back: float = Field(0.5, gt=0, le=1, description="share of the move that must be lost")
        minutes: int = Field(5, ge=1, le=60, description="in which it must be lost")
        strength: float = Field(0.6, gt=0, le=1, description="of the spike, at least")

    def on_start(self) -> None:
        self.spikes: dict[Instrument, Spike] = {}
        self.extremes: dict[Instrument, float] = {}

    def on_candidate(self, signal: Signal) -> None:
        if signal.source == "spike" and signal.strength >= self.parameters.strength:
            self.spikes[signal.instrument] = Spike(signal.move, signal.last_close, 0)
            self.extremes[signal.instrument] = signal.price

    def on_bar(self, instrument: Instrument, minutes: int, bars: Bars) -> None:
        spike = self.spikes.get(instrument)
        if spike is None:
            return
        edge = max if spike.move > 0 else min
        extreme = edge(self.extremes[instrument], (bars.high if spike.move > 0 else bars.low)[-1])
        self.extremes[instrument] = extreme
        size = abs(extreme - spike.base)
        if size > 0 and spike.move * (extreme - bars.close[-1]) >= self.parameters.back * size:
            del self.spikes[instrument]
            self.candidate(instrument, -spike.move, move=spike.move, stop=extreme, reason="spike reversed")
        elif spike.bars + 1 >= self.parameters.minutes:
            del self.spikes[instrument]
        else:
            self.spikes[instrument] = spike._replace(bars=spike.bars + 1)
