"""Episodes: a few minutes of a made-up market with a broker that fails in every way, an engine that may crash, and the promises
checked after every event. Everything follows from the seed: `python -m tests.trade.episodes --seed N` repeats one. Every fourth
seed plays a second episode, whose contracts have a guide (`guided.py`); `--guided` plays that of each seed, and no other.

Promises (docs/architecture.md): one order per intent; live exit quantity within the position; no position without a resting stop
for longer than its settling time; the broker's limits kept; both sides agree at the end.
"""
import argparse
import gc
import os
import random
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import CANDIDATE, FUNDS, REC_ASK, REC_FUNDS, REC_INSTRUMENTS, REC_LINK, REC_START, STREAM_FEED
from _ext.entrance import Core
from _ext.trail.journal import Journal
from engine import config
from engine.broker.base import Request
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import epoch_ms
from engine.run.opening import restore
from engine.run.virtual import ANSWER, ARRIVE, MESSAGE, VirtualRun
from engine.sim.exchange import Exchange
from engine.sim.faults import BAD_PRICES, Delivery, Network, Rates
from engine.sim.order import Order
from engine.trade.inputs import link_record
from tests.trade.conftest import DAY

SECOND = 1_000_000_000
PRICES = (140_000, 310_000, 80_000)
NAMES = [Instrument(f"NSE_EQ|{letter}", symbol, tick=tick, price=price) for letter, symbol, tick, price in zip(
    "ABC", ("RELIANCE", "TCS", "SBIN"), (10, 5, 5), PRICES, strict=True)]
ACTIVE_S, SETTLE_S = 100, 75
PROTECT_NS = 3 * SECOND             # from a fill to a resting stop when nothing fails
AFTER_FAULT_NS = 45 * SECOND        # and after the last thing that failed in the name: time-out, settling, back-off of 30 s
CASH = 100_000_000


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Report:
    seed: int
    entries: int = 0
    exits: int = 0
    faults: int = 0
    crashes: int = 0
    second_exits: int = 0
    longest_unprotected: float = 0.0     # seconds, without a fault in the name
    guided: int = 0                      # positions in a contract that its underlying guided
    mapped: int = 0                      # moves of their stops
    ended: int = 0                       # of them by the guide's price
    problem: str = ""


class WatchedLine(Network):
    """A line that remembers when something last failed, for the name it concerned."""

    def __init__(self, exchange: Exchange, rates: Rates):
        super().__init__(exchange, rates)
        self.last: dict[str, int] = {}
        self.count = 0
        self.now = 0

    def note(self, key: str) -> None:
        self.last[key] = self.now
        self.count += 1

    def journey(self, request: Request) -> Delivery:
        journey = super().journey(request)
        if request.method != "GET" and (
                journey.out_ns is None or journey.back_ns is None or journey.error or journey.back_ns > SECOND):
            about = (request.body or {}) | (request.params or {})
            order = self.exchange.orders.get(about.get("order_id", ""))
            self.note(order.key if order is not None else about["instrument_token"])
        return journey

    def messages(self, due: int, message: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        out = super().messages(due, message)
        if not out or out[0][0] > due:
            self.note(message["instrument_token"])
            self.last[message["instrument_token"]] = max(self.last[message["instrument_token"]], out[0][0] if out else 0)
        return out

    def told(self, row: dict[str, Any], now: int) -> Any:
        """A missing price is no excuse: what is filled must be protected as if it were there."""
        out = super().told(row, now)
        if out is not row and self.bad[row["order_id"]][0] not in BAD_PRICES:
            self.note(row["instrument_token"])
        return out

    def positions(self, rows: list[dict[str, Any]], now: int) -> list[Any]:
        out = super().positions(rows, now)
        if out is not rows:
            for row in rows:
                self.note(row["instrument_token"])
        return out

    def drops(self) -> bool:
        gone = super().drops()
        if gone:
            for key in self.exchange.specs:
                self.note(key)
        return gone

    def _veto(self, order: Order) -> str:
        reason = super()._veto(order)
        if reason:
            self.note(order.key)
        return reason

    def _share(self, order: Order, quantity: int) -> int:
        part = super()._share(order, quantity)
        if part < quantity:
            self.note(order.key)
        return part


@dataclass
class Checker:
    """The promises, seen from the broker's side."""
    exchange: Exchange
    line: WatchedLine
    report: Report
    bare_since: dict[str, int] = field(default_factory=dict)
    double_since: dict[str, int] = field(default_factory=dict)
    requests: deque[int] = field(default_factory=lambda: deque(maxlen=2000))

    def __call__(self, run: VirtualRun, now: int) -> None:
        self.line.now = now
        for key in self.exchange.position:
            self._name(run, key, now)

    def _name(self, run: VirtualRun, key: str, now: int) -> None:
        net = self.exchange.net(key)
        live = [o for o in self.exchange.working.get(key, ()) if o.tag and o.tag.endswith("x")]
        closing = sum(o.quantity - o.filled for o in live if o.side * net < 0)
        if closing > abs(net) or any(o.side * net >= 0 for o in live):
            self._double(run, key, live, now)
        else:
            self.double_since.pop(key, None)
        resting = sum(o.quantity - o.filled for o in live if o.order_type == "SL" and o.status == "trigger pending")
        if net == 0 or resting >= abs(net):
            self.bare_since.pop(key, None)
            return
        since = self.bare_since.setdefault(key, now)
        last_fault = self.line.last.get(key, -AFTER_FAULT_NS)
        allowed = PROTECT_NS if last_fault < since - AFTER_FAULT_NS else AFTER_FAULT_NS
        bare = now - max(since, last_fault if allowed == AFTER_FAULT_NS else since)
        if allowed == PROTECT_NS:
            self.report.longest_unprotected = max(self.report.longest_unprotected, bare / SECOND)
        if bare > allowed:
            raise Violation(f"{key}: {net} held without a resting stop for {bare / SECOND:.1f} s; live exits "
                            f"{[(o.tag, o.order_type, o.status, o.quantity - o.filled) for o in live]}")

    def _double(self, run: VirtualRun, key: str, live: list[Order], now: int) -> None:
        """More to sell than is held is permitted once: a stop that could not be found turned up beside its successor."""
        since = self.double_since.setdefault(key, now)
        if run.core.counts()["second_exits"] == 0:
            raise Violation(f"{key}: {self.exchange.net(key)} held, no second exit on record, and live are "
                            f"{[(o.tag, o.side, o.quantity - o.filled, o.status) for o in live]}")
        hidden = max((self.line.hidden.get(o.order_id, 0) for o in live), default=0)
        if now - max(since, hidden, self.line.last.get(key, 0)) > AFTER_FAULT_NS:
            raise Violation(f"{key}: two exits for {(now - since) / SECOND:.0f} s")

    def end(self, run: VirtualRun, now: int) -> None:
        """What must hold once nothing fails any more."""
        tags: dict[str, int] = {}
        for order in self.exchange.orders.values():
            if order.tag:
                tags[order.tag] = tags.get(order.tag, 0) + 1
        twice = [tag for tag, count in tags.items() if count > 1]
        if twice:
            raise Violation(f"sent more than once: {twice}")
        for i, spec in enumerate(self.exchange.specs.values()):
            ours, foreign = run.core.held(i)
            net = self.exchange.net(spec.key)
            if ours + foreign != net:
                raise Violation(f"{spec.key}: the engine holds {ours} and knows {foreign} of others, the broker shows {net}")
            slots = sum(s["side"] * (s["bought"] - s["sold"]) for s in run.core.positions() if s["inst"] == i)
            if slots != ours:
                raise Violation(f"{spec.key}: positions of {slots}, orders made {ours}")
            live = [o for o in self.exchange.working.get(spec.key, ()) if o.tag]
            self._values(run, spec.key)
            if net == 0 and live:
                raise Violation(f"{spec.key}: nothing is held and {[(o.tag, o.status) for o in live]} live")
            if net and sum(o.quantity - o.filled for o in live if o.side * net < 0) != abs(net):
                raise Violation(f"{spec.key}: {net} held against {[(o.tag, o.status, o.quantity - o.filled) for o in live]}")


    def _values(self, run: VirtualRun, key: str) -> None:
        """Every order's fills are booked at what they were worth, once the broker has told it."""
        known = {o["order_id"].rstrip(b"\0").decode(): o for o in run.core.orders()}
        for order in self.exchange.orders.values():
            ours = known.get(order.order_id)
            if order.key == key and order.tag and (ours is None or ours["filled"] != order.filled
                                                   or abs(ours["value"] - order.value) > order.filled):
                raise Violation(f"{key}: of {order.tag} the broker filled {order.filled} for {order.value}, the engine knows "
                                f"{ours and (ours['filled'], ours['value'])}")


class Episode:
    """One seed: draws the market, the faults, the limits, the moments of entry and of the crashes."""
    names, prices = NAMES, PRICES

    def __init__(self, seed: int, folder: Path, rates: Rates | None = None):
        self.draw = random.Random(seed)
        draw = self.draw
        self.report = Report(seed)
        self.folder = folder
        scale = draw.choice((0.0, 0.3, 1.0, 1.0, 2.5))
        self.rates = rates or Rates(
            seed=seed, lost_request=.03 * scale, lost_answer=.05 * scale, error_before=.02 * scale, error_after=.03 * scale,
            throttle=.02 * scale, refuse=.02 * scale, read_error=.05 * scale, slow=.05 * scale, hidden=.08 * scale,
            reject_after=.03 * scale, partial=.1 * scale, drop_update=.05 * scale, repeat_update=.05 * scale,
            late_update=.08 * scale, disconnect=.005 * scale, unpriced=.1 * scale, garbled=.06 * scale,
            garbled_position=.03 * scale)
        self.band_moves = 0.004 * scale
        self.settings = config.Config(
            models="", risk=config.Risk(
                stop=draw.choice((0.004, 0.01, 0.02)), target=draw.choice((0.005, 0.02)), hold_s=draw.choice((20, 60, 600)),
                trail=draw.choice((0.0, 0.0, 0.004)), exit_by=draw.choice(("modify", "modify", "cancel")), symbol_gap_s=5,
                entry_life_s=draw.choice((2, 5)), symbol_per_minute=10, orders_per_minute=20, daily_loss=0.5, drawdown=0.5,
                losing_streak=0, symbol_exposure=0.2, sector_exposure=0.5))
        self.crash_at = sorted(draw.uniform(5, ACTIVE_S) for _ in range(draw.choice((0, 0, 1, 2))))
        self.wild = draw.choice((0.0005, 0.002))
        self.lives = 0
        self.candidates = 0

    def journal(self, first_seq: int) -> Journal:
        return Journal(self.folder, 1 << 18, 1 << 40, first_seq=first_seq)

    def begin(self) -> Core:
        self.now = (epoch_ms(DAY, 30)) * 1_000_000
        core = Core(self.journal(0), len(self.names), 64, 64)
        core.feed(REC_START, self.now, orjson.dumps(self.settings.record() | {"nonce": "n0", "engine": "spk"}))
        core.feed(REC_INSTRUMENTS, self.now, table(self.names, DAY).tobytes())
        row = np.zeros(1, FUNDS)
        row["available"] = row["at_day_start"] = CASH
        core.feed(REC_FUNDS, self.now, row.tobytes())
        core.feed(REC_LINK, self.now, link_record(STREAM_FEED, True))
        return core

    def run(self) -> Report:
        """Raises Violation."""
        core = self.begin()
        exchange = self.exchange_of()
        line = self.line_for(exchange)
        self.checker = Checker(exchange, line, self.report)
        self.line = line
        self.virtual = self.driven(core, exchange)
        self.virtual.run()
        self.checker.end(self.virtual, self.now)
        self.report.entries = sum(o.tag is not None and o.tag.endswith("e") for o in exchange.orders.values())
        self.report.exits = sum(o.tag is not None and o.tag.endswith("x") for o in exchange.orders.values())
        self.report.faults, self.report.second_exits = line.count, self.virtual.core.counts()["second_exits"]
        return self.report

    def exchange_of(self) -> Exchange:
        return Exchange(self.names, CASH)

    def line_for(self, exchange: Exchange) -> WatchedLine:
        return WatchedLine(exchange, self.rates)

    def driven(self, core: Core, exchange: Exchange) -> VirtualRun:
        return VirtualRun(core, self.frames(), exchange, "spk", "n0", line=self.line, watch=self.watch)

    def watch(self, now: int) -> None:
        self.checker(self.virtual, now)

    def frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]:
        draw, prices, vtt, n = self.draw, list(self.prices), [1000] * len(self.names), len(self.names)
        at = self.now / 1e9
        begin, crashes = at, list(self.crash_at)
        for step in range(10_000):
            at += draw.uniform(0.1, 0.6)
            i = draw.randrange(n) if step >= n else step
            if at - begin > ACTIVE_S:
                self.line.quiet()
            if at - begin > ACTIVE_S + SETTLE_S and (self.is_quiet() or at - begin > ACTIVE_S + SETTLE_S + 20):
                return
            if crashes and at - begin > crashes[0]:
                crashes.pop(0)
                self.crash(round(at * 1e9))
            prices[i] = self.next_price(i, prices, round(at * 1e9))
            vtt[i] += 10
            is_outside = not self.is_inside(i, prices[i])
            if at - begin < ACTIVE_S and (draw.random() < self.band_moves or is_outside):
                self.slide(i, prices[i], round(at * 1e9))
            elif at - begin > ACTIVE_S and self.virtual.exchange.moved:
                self.virtual.exchange.moved.clear()
            if 3 < at - begin < ACTIVE_S and draw.random() < 0.08:
                self.enter(draw.randrange(n), draw.choice((-1, 1)), round(at * 1e9))
            self.now = round(at * 1000) * 1_000_000
            rows = self.row(i, prices[i], vtt[i])
            yield self.now // 1_000_000, rows, encode(rows, self.now // 1_000_000)

    def next_price(self, i: int, prices: list[int], now: int) -> int:
        """What the name trades at next."""
        draw, tick = self.draw, self.names[i].tick
        move = draw.gauss(0, self.wild) if draw.random() > 0.01 else draw.choice((-1, 1)) * draw.uniform(0.003, 0.03)
        return max(tick * 100, round(prices[i] * (1 + move) / tick) * tick)

    def is_inside(self, i: int, price: int) -> bool:
        """Whether a trade at `price` can be: where it is not, the exchange has moved the band of the name, as it does of a stock
        with derivatives."""
        lower, upper = self.virtual.exchange.moved.get(self.names[i].key, (price, price))
        return lower <= price <= upper

    def slide(self, i: int, price: int, now: int) -> None:
        """The exchange sets the name's band anew: two to ten per cent to either side of the price."""
        lower, upper = (round(price * (1 + side * self.draw.uniform(0.02, 0.1)) / 10) * 10 for side in (-1, 1))
        self.virtual.exchange.slide(self.names[i].key, lower, upper, now)
        self.line.note(self.names[i].key)

    def is_quiet(self) -> bool:
        """Whether no request or answer is under way: the moment to compare both sides."""
        return not self.virtual.core.unclear and not any(kind in (ARRIVE, ANSWER, MESSAGE) for _, kind, _, _ in self.virtual.events)

    def row(self, i: int, price: int, vtt: int) -> np.ndarray:
        row = np.zeros(1, TICK_DTYPE)
        key, tick = self.names[i].key.encode(), self.names[i].tick
        row["key"], row["key_len"], row["mode"], row["has"], row["n_levels"] = key, len(key), 1, 1 | 2 | 64, 2
        row["ltp"], row["ltt"], row["vtt"] = price, self.now // 1_000_000, vtt
        for level in range(2):
            row["levels"]["bidP"][:, level] = price - (level + 1) * tick
            row["levels"]["askP"][:, level] = price + (level + 1) * tick
            row["levels"]["bidQ"][:, level] = row["levels"]["askQ"][:, level] = 500
        return row

    def enter(self, inst: int, side: int, now: int, is_sure: bool = False) -> None:
        self.candidates += 1
        row = np.zeros(1, CANDIDATE)
        row["id"], row["inst"], row["side"] = self.candidates, inst, side
        self.virtual.core.feed(REC_ASK, now, row.tobytes())
        if is_sure or self.draw.random() < 0.97:          # else a crash right now would find it journaled and never sent
            self.virtual.act(now)

    def crash(self, now: int) -> None:
        """The process dies where it stands; another takes over from the journal."""
        self.report.crashes += 1
        self.lives += 1
        nonces = [f"n{k}" for k in range(self.lives + 1)]
        core = restore([self.folder], self.journal, len(self.names), self.settings, nonces[-1]).core
        for spec in self.names:
            self.line.last[spec.key] = now
        self.virtual.take_over(core, nonces, is_fresh=False)
        self.virtual.now = now
        core.feed(REC_LINK, now, link_record(STREAM_FEED, True))


def play(seed: int, is_guided: bool = False) -> Report:
    """One episode; what broke is in `problem`."""
    from tests.trade.guided import GuidedEpisode  # whose class is made from one here

    folder = Path(tempfile.mkdtemp(prefix="episode-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    episode = (GuidedEpisode if is_guided else Episode)(seed, folder)
    try:
        return episode.run()
    except Violation as violation:
        at = (episode.now - epoch_ms(DAY, 30) * 1_000_000) / 1e9
        episode.report.problem = f"seed {seed}{', guided' if is_guided else ''}, {at:.1f} s: {violation}"
        return episode.report
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if seed % 16 == 0:                                 # cores and journals hold each other, and much memory
            gc.collect()


def play_all(first: int, count: int, workers: int, is_guided: bool = False) -> tuple[list[Report], list[str]]:
    """The episodes of `count` seeds; those with guides of every fourth, or of each and no other."""
    seeds = range(first, first + count)
    wanted = [(seed, True) for seed in seeds if is_guided or seed % 4 == 0] + [(seed, False) for seed in seeds if not is_guided]
    with ProcessPoolExecutor(workers) as pool:
        reports = list(pool.map(play, *zip(*wanted, strict=True), chunksize=50))
    return reports, [r.problem for r in reports if r.problem]


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs seeded episodes of the order path and checks its promises.")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--guided", action="store_true", help="contracts with a guide alone")
    options = parser.parse_args()
    began = time.perf_counter()
    reports, problems = play_all(options.seed, options.count, options.workers, options.guided)
    took = time.perf_counter() - began
    for problem in problems[:20]:
        print(problem)
    print(f"{len(reports):,} episodes from seed {options.seed} in {took:.0f} s: {sum(r.entries for r in reports):,} entries, "
          f"{sum(r.exits for r in reports):,} exits, {sum(r.faults for r in reports):,} faults, "
          f"{sum(r.crashes for r in reports):,} crashes, {sum(r.second_exits for r in reports):,} stops sent a second time, "
          f"{sum(r.guided for r in reports):,} positions with a guide, their stops moved {sum(r.mapped for r in reports):,} times, "
          f"{sum(r.ended for r in reports):,} ended by it, "
          f"unprotected without a fault at most {max(r.longest_unprotected for r in reports):.2f} s; "
          f"{len(problems)} broken promises")
    return 1 if problems else 0


if __name__ == "__main__":
    from tests.trade.episodes import main as run  # of the module that `guided` knows

    sys.exit(run())
