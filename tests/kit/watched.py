"""A day on virtual time, and what watch sees of it at each market second."""
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.clock import SECOND
from _ext.core.records import REC_CLOSED, REC_FILL, REC_LINK, STREAM_FEED
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.status import STATUS
from engine.config import Config
from engine.market.instruments import shipped
from engine.market.sessions import epoch_ms
from engine.run.opening import ENGINE_ID, Boot, begin, closing
from engine.run.virtual import SEGMENT, VirtualRun
from engine.sim.exchange import Exchange
from engine.sim.faults import Network, Rates
from engine.sim.market import SyntheticMarket
from engine.trade.inputs import link_record
from engine.trail.rundir import RunDir
from engine.trail.signs import READY
from engine.watch.state import RunState
from engine.watch.tally import Tally
from engine.watch.trades import KEPT, trades_of
from engine.watch.watched import Watched

DAY = dt.date(2026, 9, 1)
MONEY = ("equity", "available", "realised", "charges", "open", "exposure")
COUNTS = ("updates", "frames", "rejected", "unknown", "candidates", "signals", "orders", "requests", "gaps", "late", "repeats",
          "records")


def status_of(core: Any, now: int) -> np.void:
    """What the engine's status block would say (engine/run/vitals.py), its heart beating by market time."""
    row = np.zeros(1, STATUS)[0]
    trading, operator, feed_up, positions = core.states()
    for name, value in {"pid": 1, "heartbeat": now, "now": now, "speed": 1.0, "trading": trading, "operator": operator,
                        "feed_up": feed_up, "positions": positions, "started": now, "ready": READY,
                        "filter": core.scorer is not None, "instruments": core.keys.size}.items():
        row[name] = value
    counts, money = core.counts(), core.money()
    for name in COUNTS:
        row[name] = counts[name]
    for name in MONEY:
        row[name] = money[name]
    return row


@dataclass
class WatchedDay:
    """One that has been; `statuses` by market second."""
    run: RunDir
    statuses: list[np.void] = field(default_factory=list)

    def moments(self) -> Iterator[Watched]:
        """What watch saw at each of those seconds, after every record up to it. One object: it changes as the day goes on."""
        state, tally = RunState(has_ledger=False), Tally()
        kept: list[tuple[int, int, bytes]] = []
        view = Watched(0, 0, state=state, tally=tally)
        seconds = iter(self.statuses)
        at = next(seconds)
        for kind, _, now, payload in self.run.reader():
            while now > int(at["now"]):
                yield self._at(view, at)
                if (at := next(seconds, None)) is None:
                    return
            state.take(kind, payload)
            tally.take(kind, now, payload)
            if kind in KEPT:
                kept.append((kind, now, payload))
            if kind == REC_FILL:
                view.trades = trades_of(kept, DAY.isoformat(), state.symbols, state.sources)
        yield self._at(view, at)

    def end(self) -> Watched:
        """The last of them."""
        for view in self.moments():
            last = view
        return last

    @staticmethod
    def _at(view: Watched, status: np.void) -> Watched:
        view.status, view.now_ns, view.wall_ns = status, int(status["now"]), int(status["now"])
        return view


def watched_day(folder: Path, names: int = 12, minutes: int = 45, seed: int = 3, mood: float = 1.0, rates: Rates | None = None,
                config: Config | None = None, each: Callable[[VirtualRun, int], None] | None = None,
                silence: tuple[float, float] = (0, 0)) -> WatchedDay:
    """A generated day at the simulated exchange, its broker as bad as `rates` says; `each` is called every market second, and may
    do what it likes to core, exchange and line. No frame arrives between the minutes of `silence`."""
    config = config or Config()
    market = SyntheticMarket(list(shipped()[:names]), DAY, seed, mood=mood)
    market.minutes = minutes
    day = WatchedDay(RunDir(folder))
    journal = Journal(day.run.journal, SEGMENT, 1 << 50)
    core = Core(journal, len(market.specs), config.ring_depth)
    begin(core, config, market.specs, DAY, market.history(), epoch_ms(DAY) * 1_000_000,
          Boot("test", seed, f"{seed:x}", store_seconds=120.0, folder=day.run.path), round(config.risk.account_size * 100))
    core.feed(REC_LINK, core.now, link_record(STREAM_FEED, True))
    exchange = Exchange(market.specs, core.money()["available"])

    def second(now: int) -> bool:
        if each is not None:
            each(virtual, now)
        day.statuses.append(status_of(core, now // SECOND * SECOND))
        return True

    begin_ms, end_ms = (epoch_ms(DAY, minute) for minute in silence)
    frames = (frame for frame in market.frames() if not begin_ms <= frame[0] < end_ms)
    virtual = VirtualRun(core, frames, exchange, ENGINE_ID, f"{seed:x}", second, line=Network(exchange, rates),
                         folder=day.run.path)
    virtual.run()
    day.statuses.append(status_of(core, core.now))
    journal.append(REC_CLOSED, core.now, closing(core))
    journal.close()
    return day
