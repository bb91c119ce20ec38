"""A run on virtual time: market, exchange and core in one process, events ordered by time, kind and sequence.

The same seed and data give the same day, record for record. `--speed max` runs this way; so do backtests, training and the
soak of the order path. What lies between core and broker is the shell that trades live (`shell.py`); orders, reads and messages
travel over a `Network`, which may lose them.
"""
import datetime as dt
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from _ext.core.clock import SECOND
from _ext.core.records import REC_CLOSED, REC_FRAME, REC_LINK, REC_STOP, STREAM_FEED
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.segment import segment_names
from engine.broker.base import Broker
from engine.broker.paper.latency import kept_latencies
from engine.broker.upstox import protocol
from engine.config import Config
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.run.again import venue_of_start
from engine.run.opening import ENGINE_ID, Boot, begin, closing
from engine.run.paper import Paper, drive
from engine.run.shell import Read, Send, Shell
from engine.run.virtual_feed import VirtualFeed
from engine.sim.exchange import Exchange
from engine.sim.faults import Delivery, Network
from engine.sim.rest import Rest
from engine.strategies.watchdog import ended_if_hung, watched
from engine.trade.inputs import link_record
from engine.trail.resources import ROOM, advice_for
from engine.trail.rundir import RunDir, RunError

ARRIVE, ANSWER, MESSAGE, READ, SHOWN, NET = range(6)
"""What happens first of what happens at the same time."""
TIMER_NS = 250_000_000
TIMEOUT_NS = 5 * SECOND            # of the HTTP client: an answer later than this is none
STREAM_BACK_NS = 2 * SECOND        # from a cut of the order stream to its return
SEGMENT = 16 << 20
BATCH_S = 120.0
"""Of the store, in journal time."""


class VirtualRun:
    """Drives `core` over `frames` ((receipt ms, rows, frame) in order) with orders going to `exchange` over `line`.

    `engine` and `nonce` make the order tags. `each` is called about every market second with the time in ns; returning
    False ends the run. `watch` is called after every event that may have changed an order. `net`: what lies between the market and
    the core; without it every frame arrives as it is sent. `broker` and `rest`: the language the exchange speaks, Upstox's by
    default. `folder` of the run, where it has one.
    """

    def __init__(self, core: Core, frames: Iterable[tuple[int, np.ndarray, bytes]], exchange: Exchange, engine: str,
                 nonce: str, each: Callable[[int], bool] | None = None, line: Network | None = None,
                 watch: Callable[[int], None] | None = None, net: VirtualFeed | None = None, broker: Broker = protocol,
                 rest: Any = None, folder: Path | None = None):
        self.exchange, self.engine, self.broker = exchange, engine, broker
        self.rest, self.folder = rest or Rest(exchange), folder
        self.line = line or Network(exchange)
        self.frames: Iterator[tuple[int, np.ndarray, bytes]] = iter(frames)
        self.each, self.watch, self.net = each, watch, net
        self.events: list[tuple[int, int, int, Any]] = []      # due ns, kind, sequence, what
        self.sequence = self.life = self.now = self.stream_back = 0
        self.take_over(core, [nonce])

    def take_over(self, core: Core, nonces: Sequence[str], is_fresh: bool = True) -> None:
        """Another core goes on, as after a crash: what was queued and the answers under way are lost, what had left is not."""
        self.core = core
        self.life += 1
        self.now = core.now
        self.shell = Shell(self.broker, core, self.engine, nonces, lambda: self.now, is_fresh=is_fresh, folder=self.folder)
        self.shell.on_stream(True)

    def run(self) -> None:
        """Until the frames end, `each` says stop or the journal is full; the last record is REC_STOP."""
        next_timer, ticks = None, 0
        for at_ms, rows, frame in self.frames:
            now = at_ms * 1_000_000
            next_timer = now + TIMER_NS if next_timer is None else next_timer
            while next_timer <= now or (self.events and self.events[0][0] <= now):
                if self.events and self.events[0][0] <= next_timer:
                    self._event(*heapq.heappop(self.events))
                else:
                    self._timer(next_timer, ticks % 4 == 0)
                    next_timer += TIMER_NS
                    ticks += 1
                    if ticks % 4 == 0 and self.each is not None and not self.each(next_timer):
                        self.core.feed(REC_STOP, now)
                        return
            self.now = now
            self.exchange.on_rows(rows, now)
            self._later(now)
            if self.net is not None:
                for due, what, detail in self.net.on_rows(now, rows, frame):
                    if due > now:
                        self._push(due, NET, (what, detail))
                    else:
                        self._net(now, what, detail)
            elif self.core.feed(REC_FRAME, now, frame) == 0:
                return
            if self.core.has_intents:
                self._send()
            if self.watch is not None:
                self.watch(now)
        self.core.feed(REC_STOP, self.core.now)

    def _timer(self, now: int, is_second: bool) -> None:
        self.now = now
        self.exchange.on_time(now)
        self._later(now)
        if is_second and self.line.drops():
            self.stream_back = now + STREAM_BACK_NS
            self.shell.on_stream(False)
        if not self.shell.has_stream and now >= self.stream_back:
            self.shell.on_stream(True)
        self.shell.on_timer()
        if self.net is not None:
            for due, kind, detail in self.net.on_timer(now):
                self._push(due, NET, (kind, detail))
        for read in self.shell.reads():
            self._push(now + self.line.latency(), READ, (self.life, read))
        self._send()

    def _net(self, now: int, kind: int, what: Any) -> None:
        """Something of the feed arrives."""
        assert self.net is not None
        for due, after, detail in self.net.arrive(now, kind, what):
            self._push(due, NET, (after, detail))

    def _push(self, due: int, kind: int, what: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (due, kind, self.sequence, what))

    def _later(self, now: int) -> None:
        """Queues what the exchange has to say."""
        if self.exchange._updates:
            for due, message in self.exchange.take_updates():
                for at, told in self.line.messages(max(due, now), message):
                    self._push(at, MESSAGE, told)

    def act(self, now: int) -> None:
        """Something was fed to the core from elsewhere: what follows from it leaves."""
        self.now = now
        self._send()

    def _send(self) -> None:
        """Hands the shell's requests to the line."""
        for send in self.shell.take():
            journey = self.line.journey(send.request)
            if journey.out_ns is None:
                self._answer(self.now, self.now + TIMEOUT_NS, send, 0, None)
            else:
                self._push(self.now + journey.out_ns, ARRIVE, (self.life, send, journey, self.now))

    def _answer(self, sent: int, due: int, send: Send, status: int, body: Any) -> None:
        if due - sent >= TIMEOUT_NS:
            status, body, due = 0, None, sent + TIMEOUT_NS
        self._push(due, ANSWER, (self.life, send, status, body, due - sent))

    def _event(self, due: int, kind: int, _: int, what: Any) -> None:
        self.now = due
        if kind == ARRIVE:
            self._arrive(due, *what)
        elif kind == READ:
            self._read(due, *what)
        elif kind == NET:
            self._net(due, *what)
        elif kind == SHOWN and what[0] == self.life:
            self.shell.on_read(*what[1:])
        elif kind == ANSWER and what[0] == self.life:
            self.shell.on_reply(*what[1:])
        elif kind == MESSAGE and self.shell.has_stream:
            self.shell.on_message(self.rest.pushed(what))
        self._send()
        if self.watch is not None:
            self.watch(due)

    def _arrive(self, due: int, life: int, send: Send, journey: Delivery, sent: int) -> None:
        """A request reaches the broker; its answer, if one comes, goes back."""
        request, (status, code), body = send.request, journey.error or (0, ""), None
        if journey.is_done:
            answered, body = self.rest.call(request.method, request.path, request.body, request.params, due)
            if answered == 200 and request.method == "POST":
                self.line.on_placed(self.broker.verdict_of(int(send.intent["kind"]), answered, body).order_id, due)
            self._later(due)
            status = status or answered
        if journey.error is not None:
            body = {"status": "error", "errors": [{"errorCode": code}]}
        if life == self.life:
            self._answer(sent, due + journey.back_ns if journey.back_ns is not None else sent + TIMEOUT_NS, send, status, body)

    def _read(self, due: int, life: int, read: Read) -> None:
        """A read reaches the broker; what it shows goes back, late or wrong where the line makes it so."""
        if life != self.life:
            return
        request, journey = read.request, self.line.journey(read.request)
        status, body = self.rest.call(request.method, request.path, request.body, request.params, due)
        if journey.error is not None:
            status, body = journey.error[0], None
        elif self.line.is_clear:
            pass
        elif status == 200 and read.what == "book":
            body = body | {"data": self.line.shown(self.line.visible(body["data"], due), due)}
        elif status == 200 and read.what == "positions":
            body = body | {"data": self.line.positions(body["data"], due)}
        self._push(due + (journey.back_ns or 0), SHOWN, (life, read, status, body))


class Source(Protocol):
    """A market to run on: recorded or synthetic."""
    specs: list[Instrument]
    day: dt.date

    def frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]: ...
    def history(self) -> np.ndarray: ...


def run_virtual(config: Config, source: Source, name: str, run: RunDir, seed: int, seconds: float | None,
                progress: Callable[[Core, int], None] | None = None, is_paper: bool = False) -> dict[str, Any]:
    """Runs the whole of `source` on virtual time, or `seconds` of wall time of it; the report. `is_paper`: the engine's own
    matching takes the orders, as on a live feed, and not the simulated exchange.

    A run folder that holds a journal of the same run, killed half-way, is repeated and gone on with. The caller holds the
    folder's lock. Raises RunError when it holds another run's journal.
    """
    has_journal = bool(segment_names(run.journal))
    try:
        journal = Journal(run.journal, SEGMENT, 1 << 50, prefix=run.reader() if has_journal else None)
    except OSError as error:
        raise RunError(f"{error}: {advice_for(str(error), ROOM)}") from None
    core = Core(journal, max(len(source.specs), 1), config.ring_depth)
    first = sessions.epoch_ms(source.day) * 1_000_000
    funds = round(config.risk.account_size * 100)
    begin(core, config, source.specs, source.day, source.history(), first,
          Boot(name, seed, f"{seed:x}", store_seconds=BATCH_S, folder=run.path, is_paper=is_paper,
               latencies=kept_latencies() if is_paper else None), funds)
    began = time.perf_counter()

    def each(now: int) -> bool:
        alive()
        if progress is not None:
            progress(core, now)
        return not journal.diverged and (seconds is None or time.perf_counter() - began < seconds)

    go, shell, trades = (_on_paper if is_paper else _at_the_exchange)(core, source, run, seed, each)
    with watched(core.pipeline.host), ended_if_hung(core.pipeline.host, run.path) as alive:
        go()
    took = time.perf_counter() - began
    if journal.diverged:
        raise RunError(f"{run.path} holds the journal of another run: use a new folder, or the same source and seed")
    problem = f"{journal.problem}: {advice_for(journal.problem or '', ROOM)}" if journal.full else None
    journal.append(REC_CLOSED, core.now, closing(core))
    journal.close()
    return report(core, trades(), name, source, seed, took) | {"run_dir": str(run.path), "problem": problem,
                                                               "troubles": shell.stopped}


Drive = tuple[Callable[[], None], Shell, Callable[[], int]]
"""What runs the day, its shell, and how many trades there were."""


def _at_the_exchange(core: Core, source: Source, run: RunDir, seed: int, each: Callable[[int], bool]) -> Drive:
    core.feed(REC_LINK, core.now, link_record(STREAM_FEED, True))
    exchange = Exchange(source.specs, core.money()["available"])
    virtual = VirtualRun(core, source.frames(), exchange, ENGINE_ID, f"{seed:x}", each, folder=run.path)
    return virtual.run, virtual.shell, lambda: len(exchange.trades)


def _on_paper(core: Core, source: Source, run: RunDir, seed: int, each: Callable[[int], bool]) -> Drive:
    paper = Paper(core, venue_of_start(core), [f"{seed:x}"], folder=run.path)
    core.feed(REC_LINK, core.now, link_record(STREAM_FEED, True))
    return (lambda: drive(paper, source.frames(), each)), paper.shell, lambda: paper.venue.n_fills


def report(core: Core, trades: int, name: str, source: Source, seed: int, took: float) -> dict[str, Any]:
    """What a run did, for `--json` and the closing summary; money in rupees."""
    counts, money = core.counts(), core.money()
    return {
        "source": name, "day": source.day.isoformat(), "seed": seed, "instruments": len(source.specs),
        "market_time": dt.datetime.fromtimestamp(core.now / 1e9, sessions.IST).strftime("%H:%M:%S"),
        **counts, "trades": trades, "open_positions": len(core.positions()),
        "realised": money["realised"] / 100, "charges": money["charges"] / 100, "open": money["open"] / 100,
        "net": (money["realised"] + money["open"] - money["charges"]) / 100,
        "clock_skew_ms": core.market.clock_skew_ms(), "digest": f"{core.digest:016x}", "seconds": round(took, 2),
        "updates_per_s": round(counts["updates"] / max(took, 1e-9))}
