"""A run as its engine knew it at a moment: its journal applied to a core up to then, with the `Day` of the same records.

Not what the journal says was decided but what the core decides again is what money and budgets come from; where the two
differ (another build, another kind of processor) the document says so.
"""
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from _ext.entrance import Core
from _ext.trail.verifier import Verifier
from engine.errors import UsageError
from engine.market.sessions import IST
from engine.signals.models import load_models
from engine.strategies import loading
from engine.trail.checked import capacity_of, reader_of, ring_depth_of, run_at, sources_of
from engine.trail.day_files import day_files_of
from engine.trail.rundir import is_held
from engine.watch.day import Day
from engine.watch.moment import figures_of_core, moment


class MomentError(UsageError, ValueError):
    """There is no such moment."""


class Then:
    """The run at `path`, from its first record on; `advance` brings it to a moment, never back. `models`: folder of the models.
    Raises JournalError where there is nothing to read."""

    def __init__(self, path: Path, models: Path):
        self.path, self.day = path, Day()
        self.reader = reader_of(path)
        self.reader.keeps = True
        self.verifier = Verifier(self.reader)
        self.core = Core(self.verifier, capacity_of(path), ring_depth_of(reader_of(path)))
        self.core.models.update(load_models(models))
        run = run_at(path)
        loading.recall(self.core, sources_of(reader_of(path)), run.path if run is not None else path.parent,
                       run is None or not is_held(run.lock))
        self.core.day_files.update(day_files_of(reader_of(path)))
        self.now = 0

    def advance(self, until: int) -> None:
        """Takes everything that is not later than `until` (ns)."""
        try:
            self.core.replay(self.reader, self.verifier, 0, until)
        except (LookupError, ValueError) as error:
            raise MomentError(f"{self.path} cannot be replayed here: {error}") from None
        self.day.take_all(self.reader.take_kept(until))
        self.now = max(self.now, until)

    def shown(self) -> np.ndarray:
        """board.SHOWN of each instrument."""
        shown: np.ndarray = self.core.market.shown()
        return shown

    def closes_before(self) -> np.ndarray:
        """Closes of the day before, paise."""
        return self.day.closes(self.shown())

    def option_chain(self, under: int) -> dict[str, Any]:
        return dict(self.core.market.chains.view(under))

    def document(self) -> dict[str, Any]:
        """The moment (moment.py), and whether every decision up to it was made again as the journal has it."""
        return moment(self.day, self.shown(), self.closes_before(), figures_of_core(self.core), self.now) | {
            "same": self.verifier.mismatched == 0}


def moment_of(text: str, path: Path) -> int:
    """ns of `HH:MM[:SS[.fraction]]` in India on the day of the run at `path`. MomentError for another form."""
    head = reader_of(path).read()
    if head is None:
        raise MomentError(f"{path}: nothing is journaled yet")
    day = dt.datetime.fromtimestamp(head[2] / 1e9, IST).date()
    whole, _, fraction = text.partition(".")
    try:
        time = dt.time.fromisoformat(whole)
        ns = int((fraction or "0").ljust(9, "0")[:9])
        if time.tzinfo is not None:
            raise ValueError
    except ValueError:
        raise MomentError(f"--until {text}: write a time of the day as 10:31 or 10:31:05.25") from None
    return int(dt.datetime.combine(day, time, IST).timestamp()) * 1_000_000_000 + ns
