"""One day of a backtest: rows of a day file through the core, its orders to the engine's own matching, on virtual time.

The core runs its compiled loop over the rows; this module is called where requests leave, where an answer is due, and once a market
minute. Between core and venue stands the shell that trades live (`engine/run/shell.py`).
"""
from collections.abc import Callable
from pathlib import Path

from _ext.core.clock import SECOND
from _ext.core.records import REC_STOP
from _ext.entrance import ROWS_ATTENTION, ROWS_FULL, ROWS_OVER, Core
from _ext.trade.venue import PaperVenue
from engine.run.paper import TIMER_NS, Paper

MILLI = 1_000_000
LOOK_NS = 60 * SECOND


class DayRun:
    """Drives `core`, whose day file is open, to the end of its rows; orders go to `venue`. `each(now)` is called once a market
    minute, and ends the day where it answers False. `folder` of the run, where it has one."""

    def __init__(self, core: Core, venue: PaperVenue, nonce: str, each: Callable[[int], bool] = lambda now: True,
                 folder: Path | None = None):
        self.core, self.each = core, each
        self.paper = Paper(core, venue, [nonce], folder=folder)
        self.shell = self.paper.shell

    def run(self) -> bool:
        """Whether the day was run to its end. The last record is REC_STOP."""
        look, paper = self.core.now, self.paper
        while True:
            due = min(paper.due, look)
            why = self.core.run_rows(due, TIMER_NS)
            if why == ROWS_FULL:
                return False
            if why == ROWS_ATTENTION:
                paper.at = self.core.now + 1   # what is fed now follows the prices of this time, in a replay too
                paper.send()
            elif why == ROWS_OVER:
                while paper.events:
                    self._event()
                self.core.feed(REC_STOP, self.core.now + MILLI)
                return True
            elif paper.due <= look:
                self._event()
            else:
                if not self.each(look):
                    self.core.feed(REC_STOP, look)
                    return False
                look += LOOK_NS

    def _event(self) -> None:
        """What is due next happens at its own time."""
        self.paper.at = self.paper.due
        self.paper.event()
