"""The made-up mornings behind the goldens: everything that may happen in three quarters of an hour, and one quiet day.

`python -m tests.golden.make` runs them; the tests read what it stored and need none of this.
"""
import dataclasses
import datetime as dt
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import CANDIDATE, OPERATOR_CHANGE, REC_ASK, REC_LINK, REC_MODEL, REC_OPERATOR, STREAM_FEED
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.trail.journal import Journal
from engine import config
from engine.broker.base import Request
from engine.feed import HAS_I1, HAS_OHLC, encode
from engine.market.instruments import Instrument, shipped
from engine.market.sessions import epoch_ms
from engine.run import opening
from engine.run.virtual import NET, VirtualRun
from engine.run.virtual_feed import VirtualFeed
from engine.signals.models import model_record
from engine.sim.candles import Candles
from engine.sim.contracts import with_contracts
from engine.sim.exchange import Exchange
from engine.sim.faults import Delivery, Network, Rates
from engine.sim.feed import Feed, script_of
from engine.sim.market import SyntheticMarket
from engine.trade.inputs import link_record
from tests.golden.models import build

DAY = dt.date(2026, 9, 2)
MINUTES, SECOND, ENGINE = 45, 1_000_000_000, "spk"
CASH = 100_000_000
OPERATOR = ((14.0, 1), (16.0, 0), (33.0, 2), (34.0, 0), (43.7, 3))
"""Minute and state: pause, run, reduce, run, kill."""
CRASH, SWAP = 22.0, 18.0
ASKS = ((3.0, 12), (14.5, 12), (23.5, 12), (23.51, 13), (23.52, 14), (23.53, 14), (23.54, 15), (23.6, 12), (24.1, 16), (24.2, 17),
        (24.3, 13), (33.5, 12), (36.0, 1), (36.02, 18), (36.04, 19), (36.06, 0), (41.6, 13), (41.7, 15), (41.8, 18), (41.85, 17),
        (42.1, 12))
"""Minute and row of entries asked for by hand, past the signals: each limit of the gate has its turn."""
FAULTS = (
    {"kind": "corrupt", "at": "09:24:10", "seconds": 1}, {"kind": "stall", "at": "09:26:05", "seconds": 25},
    {"kind": "drop", "at": "09:31:20", "value": 1006}, {"kind": "wild", "at": "09:34:02", "seconds": 5, "value": 0.3, "names": 1},
    {"kind": "lag", "at": "09:41:00", "seconds": 12, "value": 7}, {"kind": "silence", "at": "09:43:30", "seconds": 70, "names": 2},
    {"kind": "step_back", "at": "09:46:00", "seconds": 20}, {"kind": "duplicate", "at": "09:48:00", "seconds": 10},
    {"kind": "backlog", "at": "09:52:00", "seconds": 15}, {"kind": "vtt_damage", "at": "09:55:10", "seconds": 5, "names": 1})


def specs() -> list[Instrument]:
    """Ten stocks, two of them with a future and four options; some that may not be traded as the others."""
    stocks = list(shipped()[:10])
    change = {3: {"tradable": False}, 5: {"upper": stocks[5].price * 1003 // 1000}, 6: {"freeze": 0}, 7: {"is_cas": False},
              9: {"price": 2_500_000, "tick": 50}}
    stocks = [dataclasses.replace(s, **change.get(k, {})) for k, s in enumerate(stocks)]
    return with_contracts(stocks[:2], DAY, 4) + stocks[2:]


def settings(models: Path | str) -> config.Config:
    return config.Config(
        models=str(models), source={"spike": {"emit": 0.45, "trade": 0.55, "cooldown_s": 60}},
        signals=config.Signals(strength=0.56, volume=0.8, spread_bp=6.0, noise=0.45, opposing_s=60),
        risk=config.Risk(stop=0.004, target=0.0045, trail=0.003, hold_s=120, entry_life_s=1.5, max_positions=3, symbol_gap_s=40,
                         symbol_per_hour=4, orders_per_minute=4, orders_per_hour=40, daily_loss=0.01, losing_streak=3,
                         streak_pause_s=120, protection=0.0005),
        session=config.Session(first_minute=5, last_minute=43, last_minute_cas=42, flat_minute=44, flat_minute_cas=43))


def thin(market: SyntheticMarket) -> Iterator[tuple[int, np.ndarray, bytes]]:
    """Frames without candles and with two levels of the book."""
    for at, rows, _ in market.frames(50):
        rows = rows.copy()
        rows["has"] &= 0xFFFF ^ (HAS_OHLC | HAS_I1)
        rows["n_levels"] = 2
        rows["levels"][:, 2:] = 0
        rows["day"] = rows["i1"] = 0
        yield at, rows, encode(rows, at)


class Morning:
    """45 minutes of 20 instruments: a feed and a broker that fail, an operator, a model swap and a crash. The journal lies in
    `folder`."""

    def __init__(self, folder: Path):
        self.folder, self.models = folder / "journal", folder / "models"
        self.models.mkdir(parents=True)
        self.specs, self.settings = specs(), settings(self.models)
        self.a, self.b = build("model a", self.models), build("model b", self.models)
        market = SyntheticMarket(self.specs, DAY, 11, spikes=0.0, artefacts=4.0, bursts=25.0, mood=1.5)
        market.minutes, market.gap = MINUTES, market.gap * 1.5
        chance = np.random.default_rng(3)
        for inst in (0, 1, *range(12, 20)):
            for begin in chance.uniform(120, 2_500, 7):
                market.plant(inst, float(begin), float(chance.choice([-9.0, 9.0])), 6.0, float(chance.uniform(2, 60)))
        self.market = market
        self.start = epoch_ms(DAY) * 1_000_000

    def journal(self, first: int) -> Journal:
        return Journal(self.folder, 8 << 20, 1 << 40, first_seq=first)

    def run(self) -> None:
        core = Core(self.journal(0), len(self.specs), 256)
        boot = opening.Boot("golden", 11, "g0", ENGINE)
        opening.begin(core, self.settings, self.specs, DAY, self.market.history(), self.start, boot, CASH)
        core.models.update({s.sha256: s for s in (self.a, self.b)})
        core.feed(REC_MODEL, self.start, model_record(self.a.sha256, 0.5))
        exchange = Exchange(self.specs, CASH)
        rates = Rates(seed=4, lost_request=.02, lost_answer=.06, error_after=.03, throttle=.02, refuse=.02, read_error=.03,
                      slow=.05, hidden=.05, reject_after=.03, partial=.15, drop_update=.05, repeat_update=.05, late_update=.08,
                      disconnect=.001, unpriced=.15)
        names = [self.specs[k].key for k in (13, 0, 15)]
        script = script_of([{k: v for k, v in f.items() if k != "names"} | ({"keys": names[:f["names"]]} if "names" in f else {})
                            for f in FAULTS], DAY, [s.key for s in self.specs])
        self.feed, self.candles = Feed(self.specs, script=script, seed=2), Candles(self.specs, DAY)
        self.virtual = VirtualRun(core, self._frames(), exchange, ENGINE, "g0", line=Network(exchange, rates), net=self._net(core))
        self.virtual.run()

    def _net(self, core: Core) -> VirtualFeed:
        for number in list(self.feed.links):
            self.feed.close(number)
        return VirtualFeed(core, self.feed, self.candles, [s.key for s in self.specs if s.tradable], 5)

    def _frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]:
        """The market, with what a person and fate do in between."""
        events = sorted([*((m, self._operate, s) for m, s in OPERATOR), *((m, self._ask, inst) for m, inst in ASKS),
                         (SWAP, self._swap, 0), (CRASH, self._crash, 0)], key=lambda e: e[0])
        for at, rows, frame in thin(self.market):
            while events and at * 1_000_000 >= self.start + events[0][0] * 60 * SECOND:
                _, do, argument = events.pop(0)
                do(at * 1_000_000, argument)
            yield at, rows, frame

    def _operate(self, now: int, state: int) -> None:
        row = np.zeros(1, OPERATOR_CHANGE)
        row["state"] = state
        self.virtual.core.feed(REC_OPERATOR, now, row.tobytes())
        self.virtual.act(now)

    def _ask(self, now: int, inst: int) -> None:
        row, last = np.zeros(1, CANDIDATE), self.virtual.core.market.row(inst)["ltp"]
        row["id"], row["inst"], row["side"], row["price"], row["last_close"] = 1_000_000 + inst, inst, 1, last, last
        self.virtual.core.feed(REC_ASK, now, row.tobytes())
        self.virtual.act(now)

    def _swap(self, now: int, _: int) -> None:
        self.virtual.core.feed(REC_MODEL, now, model_record(self.b.sha256, 0.5))

    def _crash(self, now: int, _: int) -> None:
        virtual = self.virtual
        core = opening.restore([self.folder], self.journal, len(self.specs), self.settings, "g1").core
        virtual.take_over(core, ["g0", "g1"], is_fresh=False)
        virtual.events = [e for e in virtual.events if e[1] != NET]
        heapq.heapify(virtual.events)
        virtual.net, virtual.now = self._net(core), now


class Recorded(Network):
    """A line without faults that keeps the text of every order request."""

    def __init__(self, exchange: Exchange):
        super().__init__(exchange)
        self.clock, self.lines = (lambda: 0), []

    def journey(self, request: Request) -> Delivery:
        if request.method != "GET":
            body: Any = request.body if request.body is not None else request.params
            moment = dt.datetime.fromtimestamp(self.clock() / 1e9, dt.timezone(dt.timedelta(hours=5.5)))
            self.lines.append(f"{moment:%H:%M:%S.%f}"[:12] + f" {request.method} {request.path} "
                              + orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode())
        return super().journey(request)


def requests_of_a_day(folder: Path) -> list[str]:
    """Order requests of one day of three names on a lively market with a broker that does what it is asked."""
    names = [dataclasses.replace(shipped()[k], is_cas=k != 2) for k in range(3)]
    market = SyntheticMarket(names, DAY, 2, spikes=0.0, artefacts=2.0, bursts=20.0, mood=2.0)
    market.gap = market.gap * 4
    for inst, begin in ((0, 1500), (1, 3000), (2, 4500), (0, 7000), (1, 9500), (2, 12_000), (1, 15_000), (0, 18_000), (2, 21_000)):
        market.plant(inst, begin, 10.0 if begin % 1000 else -10.0, 7.0, 30.0)
    folder.mkdir(parents=True)
    scorer = build("model a", folder)
    chosen = settings(folder).model_copy(update={"session": config.Session()})
    core = Core(KeepingSink(()), len(names), 256)
    start = epoch_ms(DAY) * 1_000_000
    opening.begin(core, chosen, names, DAY, market.history(), start, opening.Boot("golden", 2, "d0", ENGINE), CASH)
    core.models[scorer.sha256] = scorer
    core.feed(REC_MODEL, start, model_record(scorer.sha256, 0.5))
    core.feed(REC_LINK, start, link_record(STREAM_FEED, True))
    exchange = Exchange(names, CASH)
    line = Recorded(exchange)
    run = VirtualRun(core, thin(market), exchange, ENGINE, "d0", line=line)
    line.clock = lambda: run.now
    run.run()
    return line.lines
