"""A run as `watch` follows it: its journal's tail, folded into a `Day` and a market, with the status block beside it.

Also a run that is over, or one whose engine is dead: what there is of it is shown.
"""
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.clock import MINUTE
from _ext.core.records import REC_FRAME, REC_TIMER
from _ext.market.board import SHOWN
from _ext.quotes import QuoteFollower
from engine.trail.checked import JournalError, capacity_of
from engine.trail.rundir import RunDir
from engine.trail.signs import is_running, troubles, vital_signs
from engine.watch.day import Day
from engine.watch.moment import Figures, figures_of_status, leaving
from engine.watch.notes import Notes

Point = tuple[int, int, int, int]
"""ns, realised, open profit and charges of the day so far, paise."""


class Follow:
    """Follows `run`; `advance` reads what is new. `market` and `day` are empty until its instruments stand in the journal."""

    def __init__(self, run: RunDir):
        self.run, self.day, self.notes = run, Day(), Notes(run.path)
        self.reader = run.reader()
        self.market: QuoteFollower | None = None
        self.points: list[Point] = []
        self.status: Any = None
        self.store: dict[str, Any] = {}
        self.troubles: list[str] = []
        self.realised = self.charges = 0
        self.rate = 0.0
        self.listeners: list[Callable[[int, int, bytes], Any]] = []      # of (type, ns, payload); of frames the last of a step
        self._seen = (time.monotonic(), 0)
        self._minute = self._fills = self._frame = 0

    @property
    def name(self) -> str:
        return self.run.path.name

    @property
    def is_live(self) -> bool:
        return is_running(self.run)

    # ---- the journal ---------------------------------------------------------------------------------------------------
    def advance(self, seconds: float = 0.02) -> bool:
        """Reads on for at most so long; whether there may be more at once."""
        end = time.monotonic() + seconds
        if self.market is None and not self._open():
            return False
        assert self.market is not None
        while time.monotonic() < end:
            record = self.market.step(self.reader)
            if record is None:
                return False
            if record[0] not in (REC_FRAME, REC_TIMER):
                self.day.take(*record)
            for listener in self.listeners:
                if self.market.last_frame != self._frame:
                    listener(REC_FRAME, self.market.last_frame, b"")
                if record[0] != REC_FRAME:
                    listener(record[0], record[2], record[3])
            self._frame = self.market.last_frame
            self._sample(int(record[2]))
        return True

    def _open(self) -> bool:
        """Makes the market once the journal says how large it is."""
        try:
            self.market = QuoteFollower(max(capacity_of(self.run.path), 1))
        except JournalError:
            return False
        return True

    def _sample(self, now: int) -> None:
        """A point of the equity curve each minute, and at each fill."""
        minute, fills = now // MINUTE, len(self.day.fills)
        if (minute == self._minute and fills == self._fills) or not self.day.funds:
            return
        for _, fill in self.day.fills[self._fills:]:
            self.realised += int(fill["realised"])
            self.charges += int(fill["charges"])
        self._minute, self._fills = minute, fills
        self.points.append((now, self.realised, self.open_profit(), self.charges))

    def open_profit(self) -> int:
        """Of what is held, at the side one can leave on; paise."""
        held = [(inst, int(p["quantity"]), int(p["average"])) for inst, p in self.day.state.positions.items() if p["quantity"]]
        if not held or self.market is None:
            return 0
        shown = self.market.market.shown()
        return sum(quantity * (leaving(shown, inst, quantity) - average) for inst, quantity, average in held
                   if leaving(shown, inst, quantity))

    # ---- what the engine says of itself --------------------------------------------------------------------------------
    def look(self) -> None:
        """Reads the status block and what is wrong."""
        self.status, self.store = vital_signs(self.run)
        self.troubles = troubles(self.run, self.status, self.store)
        if self.status is not None:
            at, seen = self._seen
            passed, updates = time.monotonic() - at, int(self.status["updates"])
            if passed >= 1:
                self.rate, self._seen = max(updates - seen, 0) / passed, (time.monotonic(), updates)

    # ---- what panels ask -----------------------------------------------------------------------------------------------
    def shown(self) -> np.ndarray:
        """board.SHOWN of each instrument."""
        if self.market is None:
            return np.zeros(0, SHOWN)
        shown: np.ndarray = self.market.market.shown()
        return shown

    def closes_before(self) -> np.ndarray:
        """Closes of the day before, paise."""
        return self.day.closes(self.shown())

    def figures(self) -> Figures:
        if self.status is None and self.market is not None:          # a run on virtual time has no status block
            return figures_of_status(None) | {"money": self._money(), "counts": self._counts(),
                                              "state": {"trading": self.day.trading, "operator": self.day.operator}}
        return figures_of_status(self.status)

    def _money(self) -> dict[str, int]:
        best = max((p[1] + p[2] - p[3] for p in self.points), default=0)
        held = [(inst, int(p["quantity"])) for inst, p in self.day.state.positions.items() if p["quantity"]]
        shown = self.shown()
        return {"equity": self.day.funds, "available": 0, "realised": self.realised, "charges": self.charges,
                "open": self.open_profit(),
                "exposure": sum(abs(q) * leaving(shown, inst, q) for inst, q in held),
                "best": max(best, 0)}

    def _counts(self) -> dict[str, int]:
        assert self.market is not None
        market = self.market.market
        return {"updates": self.market.updates, "frames": 0, "rejected": 0, "unknown": 0, "candidates": len(self.day.candidates),
                "signals": sum(bool(s.last["level"]) for s in self.day.candidates.values()), "orders": len(self.day.orders),
                "requests": sum(len(o.chain) for o in self.day.orders.values()), "gaps": market.gaps, "late": market.late,
                "repeats": market.repeats, "records": self.day.sequence}

    def minutes(self, inst: int, until: int | None = None) -> np.ndarray:
        """quotes.CANDLE of one instrument; those told by `until` (ns) alone."""
        assert self.market is not None
        minutes: np.ndarray = self.market.minutes(inst) if until is None else self.market.minutes(inst, until)
        return minutes

    def option_chain(self, under: int) -> dict[str, Any]:
        assert self.market is not None
        return dict(self.market.market.chains.view(under))

    def now(self) -> int:
        """The market's time, ns."""
        return int(self.market.now) if self.market is not None else self.day.latest


def followed(path: Path) -> Follow:
    """A run that is read to what is written now. Raises JournalError where there is nothing to read."""
    follow = Follow(RunDir.existing(path))
    while follow.advance(1.0):
        pass
    if follow.market is None:
        capacity_of(path)                                  # says why there is nothing
    follow.look()
    return follow
