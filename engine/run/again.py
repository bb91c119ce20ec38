"""A day made again from its journal: the inputs from outside as they came in, what the venue said left out and made anew.

Of a paper run that gives the same day, record for record; so it is how a paper run is taken up after its process was killed, how it
is backtested, and what a changed day is held against.
"""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import (
    GAP,
    LINK,
    OP_RUN,
    OPERATOR_CHANGE,
    REC_ADOPTED,
    REC_BOOK,
    REC_BOOT,
    REC_DATA,
    REC_FUNDS,
    REC_GAP,
    REC_HOLDINGS,
    REC_LINK,
    REC_MODEL,
    REC_OPERATION,
    REC_OPERATOR,
    REC_ORDER_UPDATE,
    REC_REPLY,
    REC_STOP,
    REC_STRATEGY_OFF,
    STREAM_ORDERS,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import ROWS_DUE, ROWS_FULL, ROWS_OVER, ROWS_TIMER, Core
from _ext.trade.venue import PaperVenue
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine.broker.base import Broker
from engine.broker.paper import protocol
from engine.config import Config
from engine.errors import DataError
from engine.run.opening import cut_short, recalled
from engine.run.paper import Paper
from engine.trail.checked import ring_depth_of
from engine.trail.rundir import RunError

MADE = frozenset((REC_REPLY, REC_ORDER_UPDATE, REC_BOOK, REC_HOLDINGS, REC_ADOPTED))
"""What a broker or the venue said of orders."""
Told = Sequence[tuple[int, bytes]]
"""Records that a core is told: type and payload."""
LOOK = 4096
"""Attentions between two calls of `each`."""


class Again:
    """Feeds `core` with the inputs that `reader` has. `replaced(kind, payload)` gives the records that stand for one before the
    first tick, for a change of models or for a strategy's end; `venue_of` makes the venue once the core knows the day.
    `is_referred`: frames stay in the journal that is read, and candidates name them by their numbers there. `broker` reads quotes
    from then on; `begun` is called once the core knows all that comes before the first tick."""

    def __init__(self, core: Core, reader: Reader, venue_of: Callable[[Core], PaperVenue],
                 replaced: Callable[[int, bytes], Told] = lambda kind, payload: ((kind, payload),), is_referred: bool = False,
                 note: Callable[[str], Any] = lambda text: None, folder: Path | None = None,
                 each: Callable[[int], bool] = lambda now: True, broker: Broker = protocol,
                 begun: Callable[[Core], Any] = lambda core: None):
        self.begun = begun
        self.core, self.reader, self.venue_of, self.replaced = core, reader, venue_of, replaced
        self.is_referred, self.note, self.folder, self.each, self.broker = is_referred, note, folder, each, broker
        self.paper: Paper | None = None

    def run(self) -> Paper | None:
        """To the end of what is written; the paper of the day, None where the day had not begun. Stops early where `each` answers
        False or the core's journal is full."""
        looks = 0
        while True:
            due = self.paper.due if self.paper is not None else 1 << 62
            why = self.core.again(self.reader, due, self.is_referred)
            if why in (ROWS_OVER, ROWS_FULL):
                return self.paper
            if why == ROWS_DUE:
                kind, _, now, payload = self.reader.read() or (0, 0, 0, b"")
                self._input(kind, now, payload)
            elif self.paper is not None:
                if why == ROWS_TIMER:
                    self.paper.shell.after_timer()
                    self.paper.on_timer()
                else:
                    self.paper.act()
            looks += 1
            if looks % LOOK == 0 and not self.each(self.core.now):
                return self.paper

    def _input(self, kind: int, now: int, payload: bytes) -> None:
        """An input that is neither frame nor timer."""
        if kind == REC_DATA:
            raise DataError("this journal is of a backtest, whose inputs are day files: run `python -m engine backtest` again")
        if self.paper is None:
            self._beginning(kind, now, payload)
            return
        if kind in MADE or kind == REC_FUNDS or (kind == REC_LINK and np.frombuffer(payload, LINK)[0]["which"] == STREAM_ORDERS):
            return
        if kind == REC_STRATEGY_OFF and self._is_off(payload):
            return
        for one in self.replaced(kind, payload) if kind in (REC_MODEL, REC_STRATEGY_OFF) else ((kind, payload),):
            self.core.feed(one[0], now, one[1])
        if kind == REC_BOOT:
            self.paper.begin_life(self.core.config["nonces"])
        elif kind == REC_OPERATOR:
            self.paper.shell.is_barred = int(np.frombuffer(payload, OPERATOR_CHANGE)[0]["state"]) != OP_RUN
        if kind not in (REC_STOP, REC_MODEL, REC_OPERATION):
            self.paper.act()

    def _beginning(self, kind: int, now: int, payload: bytes) -> None:
        """What a core is told before its first tick; the funds are the last of it."""
        for told, other in self.replaced(kind, payload):
            self.core.feed(told, now, other)
        if kind == REC_FUNDS:
            self.begun(self.core)
            self.paper = Paper(self.core, self.venue_of(self.core), self.core.config["nonces"], self.note, self.folder, self.broker)

    def _is_off(self, payload: bytes) -> bool:
        """Whether a strategy that was stopped then has been stopped here already, or is another here."""
        told = orjson.loads(payload)
        return any(off["source"] == told["source"] for off in self.core.strategies_off) or (
            told["source"] >= len(self.core.pipeline.names) or self.core.pipeline.names[told["source"]] != told["name"])


def taken_up(folders: Sequence[Path], journal_of: Callable[[Reader], Journal], capacity: int, config: Config, nonce: str, run: Path,
             note: Callable[[str], Any] = lambda text: None, broker: Broker = protocol) -> tuple[Paper, list[np.void]]:
    """A day on paper that was cut off: made again up to where its journal ends, then gone on with in a new life; its paper, and the
    rows of the gap ledger so far (records.GAP).

    `journal_of` opens the new journal, which repeats what a reader has before it writes. Raises RunError for a journal that another
    build or configuration wrote, or that has a gap.
    """
    reader = Reader(*folders)
    journal = journal_of(Reader(*folders))
    sink = KeepingSink((REC_GAP,), journal)
    core = Core(sink, capacity, ring_depth_of(Reader(*folders)))
    recalled(core, folders, config, run)
    try:
        paper = Again(core, reader, venue_of_start, note=note, folder=run, broker=broker).run()
    except (ValueError, LookupError) as error:
        raise RunError(f"the journal in {folders[0]} cannot be gone on with ({error})") from None
    if reader.corrupt or reader.missing or paper is None:
        raise cut_short(reader)
    if journal.diverged:
        raise RunError(f"the journal in {folders[0]} was written by another build or configuration: start a new run folder "
                       f"({journal.problem})")
    gaps = [np.frombuffer(payload, GAP)[0] for _, _, payload in sink.kept]
    core.attach(journal)
    core.feed(REC_BOOT, core.now, orjson.dumps({"nonce": nonce}))
    paper.begin_life(core.config["nonces"])
    return paper, gaps


def venue_of_start(core: Core, one_way: int = 0) -> PaperVenue:
    """The venue a day begins with, by its START record; `one_way`: ns that every way takes, 0: drawn."""
    return PaperVenue(core.trader, core.config["seed"], one_way, core.config.get("latencies", ()))
