"""The engine process: one uvloop thread with the feed, the core and the orders. Everything else is another process."""
import asyncio
import contextlib
import dataclasses
import datetime as dt
import faulthandler
import gc
import os
import random
import secrets
import signal
import sys
import time
from typing import Any

import orjson

from _ext.core.records import (
    INTENT_CANCEL,
    OP_KILL,
    OP_REDUCE,
    OP_RUN,
    OUTCOME_AMBIGUOUS,
    OUTCOME_HALT,
    REC_CLOSED,
    REC_STOP,
)
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.status import StatusBlock
from engine.broker.base import BrokerError, Request
from engine.broker.paper.latency import kept_latencies
from engine.broker.paper.protocol import Beside
from engine.broker.upstox import candles, protocol
from engine.broker.upstox.answers import clean
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import ORDERS
from engine.broker.upstox.feed import FeedClient
from engine.broker.upstox.market import Market, ReadOnly
from engine.config import Config
from engine.feed.backfill import Backfill, Fetch
from engine.feed.subscriptions import SubscriptionManager
from engine.market import sessions
from engine.run import drill, screening, vitals
from engine.run import universe as kept
from engine.run.again import taken_up, venue_of_start
from engine.run.clock import Clock
from engine.run.guards import Guards, ModelWatch, Target
from engine.run.opening import ENGINE_ID, Boot, begin, closing, restore
from engine.run.operations import Operations
from engine.run.order_line import OrderLine
from engine.run.paper import Paper
from engine.run.rollout import step_of_live
from engine.run.shell import Shell
from engine.strategies import stops, watchdog
from engine.trail.resources import SHARED, advice_for, in_words, is_ours
from engine.trail.rundir import Lock, RunDir, RunError, account_lock, start_time

TIMER_S, FASTEST_S, SHORTEST_S, STATUS_S, WARM_S, GUARD_S = 0.05, 0.005, 0.001, 0.25, 0.02, 1.0
GRAIN_S = 0.25
"""Of timers, in market time: that of a run on virtual time, so that a fast sim's day has the candidates of one."""
FETCH_S = 0.25
SEGMENT, MEMORY_CAP = 16 << 20, 512 << 20
SWITCH_S = 0.0001
"""A thread that loads a model gives the interpreter back after so long; Python's own 5 ms are a hundred ticks."""
SLICE = 32
QUOTES = Beside(protocol)
"""What a run on paper speaks: orders are its own matching's, quotes the broker's."""
ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What an answer that makes no sense may raise where it is not one of the shell's."""


class EngineProcess:
    """One engine over `target`, in `run`. `observe` decides and sends nothing."""

    failure: BaseException | None = None

    def __init__(self, config: Config, run: RunDir, target: Target, seed: int, observe: bool = False):
        self.config, self.run_dir, self.target, self.seed, self.observe = config, run, target, seed, observe
        self.account: Api | None = None                            # where orders go; None: nothing can be sent
        if not observe and not target.is_paper:
            self.account = Api(target.token, target.base, target.base if target.is_sim else ORDERS)
        self.rest: Market = self.account or ReadOnly(target.token, target.base)
        self.rest.on_note = self._note
        self.paper: Paper | None = None                            # where the engine's own matching takes the orders
        self.nonce = secrets.token_hex(3)
        self.stopping = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.notes: list[str] = []
        self.is_live = self.account is not None and not target.is_sim      # real money is at stake

    # ---- start ---------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Locks the account, restores or begins the day, connects. Raises RunError or BrokerError."""
        self.run_lock = Lock(self.run_dir.path / "lock", f"run folder {self.run_dir.path}")
        screening.must_be_same(self.run_dir.reader().read(), self.run_dir.path, self.target.is_paper, self.is_live)
        self.lock = account_lock(self.target.lock)
        self.status = StatusBlock(self.run_dir.status, create=True)
        self._introduce({})                                # before anything that may take long: `kill` must find us
        await self.rest.open()
        await self._probe()
        restored = self.run_dir.reader().read() is not None
        self.day = await self._screen(restored)
        self._introduce({s.key: (s.tick, s.freeze) for s in self.day.specs})
        self.config = self.day.config
        self.clock = Clock(self.target.is_sim, self.day.speed)
        await self._open(restored)
        self.clock.on_time(self.core.now)
        self.core.stamped, self.core.feed_time = True, self.target.is_sim
        self.guards = Guards(self.run_dir, self.status, self.target, self.is_live, self._note, self.stopping.set, self._renew)
        self.models = ModelWatch(self.core, self.config, self._now, self._note)
        self.shell = self.paper.shell if self.paper is not None else Shell(
            protocol, self.core, ENGINE_ID, self.core.config["nonces"], self._now, self.observe, not restored, self._note,
            self._second_engine, folder=self.run_dir.path)
        self.operations = Operations(self.status, self.shell.input, self._note)
        self.operations.left_over()
        if self.core.pipeline.host is not None:
            watchdog.begin(self.core.pipeline.host)
            self.core.pipeline.host.mark_calls(stops.mark_in(self.run_dir.path))
        self._subscribe()
        self.vitals = vitals.Vitals(self)
        self.line = OrderLine(self.rest, self.shell, self.act, self._spawn, self.vitals.order_took, self._note)
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()

    async def _probe(self) -> None:
        """Asks the order host to cancel an order that cannot exist: a token may be good for reads and refused for orders, and
        orders from another address than the registered one are (docs/upstox.md 4.3). RunError before anything is entered."""
        if self.account is None or not self.is_live:
            return
        answer = await self.account.cancel("0")
        verdict = protocol.verdict_of(INTENT_CANCEL, answer.status, answer.body)
        if verdict.outcome in (OUTCOME_HALT, OUTCOME_AMBIGUOUS):
            raise RunError(f"the order host refuses us ({answer.status} {verdict.code}): run `python -m engine doctor`")

    async def _screen(self, restored: bool) -> screening.Screened:
        if self.target.is_sim:
            return await screening.of_sim(self.rest, self.config)
        if restored:
            return screening.of_journal(self.run_dir.reader(), self.config, self.run_dir.path)
        return await screening.of_broker(self.rest, self.config, self._note, self.is_live)

    async def _open(self, restored: bool) -> None:
        """Begins the day's journal, or goes on with it."""
        day, capacity = self.day, max(len(self.day.specs), 1)
        if restored and self.target.is_paper:
            self.paper, self.gaps = taken_up([self.run_dir.memory, self.run_dir.journal], self._repeating, capacity, self.config,
                                             self.nonce, self.run_dir.path, self._note, QUOTES)
            self.core = self.paper.core
            return
        if restored:
            self.core, self.gaps = restore([self.run_dir.memory, self.run_dir.journal], self._journal, capacity, self.config,
                                           self.nonce, self.run_dir.path)
            return
        self.gaps = []
        self.core = Core(self._journal(0), capacity, self.config.ring_depth)
        past = await screening.past(self.rest, day, self.target.is_sim, self._note)
        total = await screening.opening_funds(self.account, self.config)
        now = self.clock.now() or int(dt.datetime.combine(day.day, dt.time(9), sessions.IST).timestamp() * 1e9)
        begin(self.core, self.config, day.specs, day.day, past, now,
              Boot(self.target.source, self.seed, self.nonce, store_seconds=self.config.store.seconds * max(1.0, day.speed),
                   folder=self.run_dir.path, is_paper=self.target.is_paper, step=step_of_live() if self.is_live else 0,
                   latencies=kept_latencies() if self.target.is_paper else None),
              total, day.documents)
        if self.target.is_paper:
            self.paper = Paper(self.core, venue_of_start(self.core), self.core.config["nonces"], self._note,
                               self.run_dir.path, QUOTES)
        kept.announce(day.documents)

    def _subscribe(self) -> None:
        """The feed: what is subscribed on which connection, and what lost minutes are fetched."""
        keys, insts = self.shell.keys, self.shell.insts
        rank = {key: i for i, key in enumerate(self.day.order)}
        important = sorted((i for i, s in enumerate(self.day.specs) if s.tradable), key=lambda i: rank.get(keys[i], i))
        self.backfill = Backfill(self.core, keys, important, self.input)
        self.backfill.recall(self.gaps, self.core.now)
        first = [key for key in self.day.order if key in insts]
        self.keeper = SubscriptionManager(self.core, list(dict.fromkeys([*first, *insts])), insts, record=self.input,
                                          note=self._note, draw=random.random, pace=self.day.speed)
        self.feed = FeedClient(self.rest, self.core, self.keeper, self._now, self._held, self._on_link, self._note, self.act,
                               self._new_token)

    def _introduce(self, specs: dict[str, tuple[int, int]]) -> None:
        """Writes down who this is, for `kill`: it must not need anything of a process that hangs."""
        note = {"pid": os.getpid(), "started": start_time(os.getpid()), "account": self.target.account, "lock": self.target.lock,
                "source": self.target.source, "engine": ENGINE_ID, "live": self.is_live, "observe": self.observe,
                "paper": self.target.is_paper, "specs": specs}
        if self.target.is_sim or not self.target.is_paper:         # a run on paper has no broker
            note |= {"base": self.rest.base, "orders": self.rest.orders}
        temporary = self.run_dir.engine.with_suffix(".new")
        temporary.write_bytes(orjson.dumps(note))
        temporary.chmod(0o600)
        temporary.replace(self.run_dir.engine)

    def _journal(self, first_seq: int) -> Journal:
        return self._made(first_seq=first_seq)

    def _repeating(self, prefix: Reader) -> Journal:
        return self._made(prefix=prefix)

    def _made(self, **how: Any) -> Journal:
        try:
            self.journal = Journal(self.run_dir.memory, SEGMENT, MEMORY_CAP, folders=(self.run_dir.journal,), **how)
            return self.journal
        except OSError as error:
            raise RunError(f"{in_words(error) if error.errno else error}: {advice_for(str(error), SHARED)}") from None

    # ---- life ----------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        drill.install(loop, self)
        for work in (self.feed.run(), self._timers(), self._look(), self._publish(), self._keep_warm(), self._fetches()):
            self._spawn(work)
        if self.target.is_sim:
            self._spawn(self._follow())
        if self.account is not None:
            self._spawn(self.line.follow())
        if not self.observe:
            self._spawn(self.line.poll())
        await self.stopping.wait()
        await self.stop()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = error
            self.stopping.set()
            self._note(f"{type(error).__name__}: {error}")

    async def stop(self) -> None:
        """Ends the day's journal and lets go of everything."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.rest.close()
        self.core.feed(REC_STOP, self._now())
        self.journal.append(REC_CLOSED, self.core.now, closing(self.core))
        self.vitals.publish(vitals.ENDED)
        self.journal.close()
        self.lock.release()
        self.run_lock.release()

    def _now(self) -> int:
        return int(max(self.clock.now(), self.core.now))

    def _note(self, text: str) -> None:
        self.notes = [*self.notes[-49:], text]
        with contextlib.suppress(OSError):                 # a full disk must not end what it cannot serve
            print(orjson.dumps({"at": time.time(), "note": text}).decode(), flush=True)

    def input(self, kind: int, record: bytes) -> None:
        """A record from outside, and what follows from it."""
        self.shell.input(kind, record)
        self.act()

    def act(self) -> None:
        """Sends what was decided; the operator has the last word. On paper he is heard at the timers alone: what a record decides
        then leaves with it, here and where the day is made again."""
        if self.paper is not None:
            self.paper.act()
            return
        self._operator()
        for send in self.shell.take():
            self._spawn(self.line.send(send))

    def _operator(self) -> None:
        """Takes over what an authorised process wrote into the status file."""
        self.operations.take()
        if OP_RUN <= self.status.operator <= OP_KILL:
            self.shell.on_operator(self.status.operator)
            if self.paper is not None:
                self.paper.act()

    def _second_engine(self, tag: str) -> None:
        if self.status.operator == OP_RUN:
            self._note(f"order {clean(tag)} has our mark and is not ours: a second engine trades this account; entries stop")
            self.status.operator = OP_REDUCE

    async def _timers(self) -> None:
        pause = min(TIMER_S, max(GRAIN_S / self.day.speed, FASTEST_S))
        while True:
            await asyncio.sleep(pause if self.paper is None else min(pause, self._due_in(self.paper)))
            self.clock.on_time(self.core.decoder.frame_head()[1] * 1_000_000)
            self._operator()
            if self._now() > 0 and self.shell.on_timer(self._now()) and self.paper is not None:
                self.paper.on_timer()
            self.journal.prepare()
            if self.paper is not None and self.shell.waiting:          # made again, the day would have had it where it belongs
                raise RunError(f"{self.vitals.no_room()}; what the venue said could not be journaled, so the run ends here")
            if self.journal.full and self.status.operator == OP_RUN:
                self._note(self.vitals.no_room())
                self.status.operator = OP_REDUCE
            self.act()

    def _due_in(self, paper: Paper) -> float:
        """Wall seconds until the venue has something to do, not less than a loop can wait for."""
        return max((paper.due - self._now()) / 1e9 / self.day.speed, SHORTEST_S)

    async def _look(self) -> None:
        while True:
            self.guards.look()
            if self.models.has_changed():
                self._spawn(self.models.load())
            await asyncio.sleep(GUARD_S)

    async def _publish(self) -> None:
        while True:
            self.vitals.publish()
            await asyncio.sleep(STATUS_S)

    async def _keep_warm(self) -> None:
        while True:
            await asyncio.sleep(WARM_S)
            if self.core.scorer is not None:
                self.core.scorer.keep_warm()

    # ---- feed ----------------------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        """Asks the sim for its time while its feed says nothing. Between frames it is not heard: those on their way are older."""
        while True:
            frames = self.core.frames
            await asyncio.sleep(TIMER_S)
            if frames and self.core.frames == frames:
                answer = await self.rest.call(Request("GET", "/sim/clock"))
                if self.core.frames == frames:
                    self.clock.on_time(answer.sim_time, self.feed.is_up)

    def _on_link(self, is_up: bool, code: int) -> None:
        self.shell.on_feed(is_up, code)
        self.act()

    def _held(self) -> list[str]:
        """Keys with a position or a working entry."""
        return [self.shell.keys[int(slot["inst"])] for slot in self.core.positions()]

    def _renew(self, token: str) -> None:
        self.rest.renew(token)
        self.keeper.on_token(self._now())

    def _new_token(self) -> str | None:
        if self.target.is_sim:
            return None if self.keeper.token_ok else self.target.token
        return self.guards.new_token()

    async def _fetches(self) -> None:
        """Minutes that were lost, fetched as the backfill wants them."""
        while True:
            await asyncio.sleep(FETCH_S)
            for wanted in self.backfill.due(self._now()):
                self._spawn(self._fetch(wanted))

    async def _fetch(self, fetch: Fetch) -> None:
        try:
            if fetch.what != "day":
                rows = candles.of_quotes(await self.rest.last_minutes(fetch.keys), fetch.minute)
            else:
                rows = {fetch.keys[0]: candles.of_rows(await self.rest.today(fetch.keys[0]))}
        except (BrokerError, *ODD):
            self.backfill.failed(fetch, self._now())
            return
        for part in range(0, len(fetch.keys), SLICE):      # the loop is not held for five hundred names at once
            self.backfill.on_bars(dataclasses.replace(fetch, keys=fetch.keys[part:part + SLICE]), rows, self._now())
            await asyncio.sleep(0)


def main(config: Config, run: RunDir, target: Target, seed: int, observe: bool) -> None:
    """Runs the engine until SIGTERM; raises what ended it."""
    import uvloop

    faulthandler.enable()                                  # a crash, and the launcher's SIGABRT, say which line it was

    async def life() -> None:
        process = EngineProcess(config, run, target, seed, observe)
        try:
            await process.start()
        except ODD as error:
            await process.rest.close()
            if is_ours(error):
                raise
            raise RunError(f"what the broker answered at the start was not understood ({in_words(error)[:200]}): run `python -m "
                           "engine doctor`, then try again") from None
        except BaseException:
            await process.rest.close()
            raise
        await process.run()
        if process.failure is not None:
            raise process.failure

    uvloop.run(life())
