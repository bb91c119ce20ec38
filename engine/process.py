"""The engine process: one uvloop thread with the feed, the core and the orders. Everything else is another process."""
import asyncio
import contextlib
import dataclasses
import datetime as dt
import gc
import math
import os
import random
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import (
    CANDIDATE,
    GAP,
    INSTRUMENT,
    INTENT_CANCEL,
    INTENT_PLACE,
    KINDS,
    OP_KILL,
    OP_PAUSE,
    OP_REDUCE,
    OP_RUN,
    OPERATOR_CHANGE,
    OUTCOME_AMBIGUOUS,
    OUTCOME_HALT,
    REC_ASK,
    REC_CLOSED,
    REC_FUNDS,
    REC_GAP,
    REC_INSTRUMENTS,
    REC_LINK,
    REC_MODEL,
    REC_OPERATOR,
    REC_QUOTES,
    REC_REPLY,
    REC_START,
    REC_STOP,
    REC_TIMER,
    ROLE_ENTRY,
    STREAM_FEED,
    STREAM_ORDERS,
    WARM_BAR,
)
from _ext.signals.scorer import ModelRefused
from _ext.trail.journal import Journal
from _ext.trail.status import StatusBlock
from _ext.wiring import Core
from engine.broker.upstox import answers, login, protocol
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import BrokerError, clean, funds_of
from engine.config import Config
from engine.feed.backfill import Backfill, Fetch
from engine.feed.client import FeedClient
from engine.feed.keeper import Keeper
from engine.market import candles, history, master, sessions, universe
from engine.market.instruments import Spec
from engine.signals import models
from engine.trade import rollout
from engine.trade.bands import BandWatch
from engine.trade.outgoing import Outgoing
from engine.trade.reconcile import READS, UNREADABLE, Reconciler
from engine.trail.note import read_note
from engine.trail.resources import SHARED, advice_for, in_words, is_ours
from engine.trail.rundir import Attendance, Lock, RunDir, RunError, account_lock, start_time
from engine.wiring import (
    ENGINE_ID,
    Boot,
    begin,
    closing,
    funds_record,
    restore,
)

TIMER_S, FASTEST_S, STATUS_S, WARM_S = 0.05, 0.005, 0.25, 0.02
GRAIN_S = 0.25
"""Of timers, in market time: that of a run on virtual time, so that a fast sim's day has the candidates of one."""
POLL_S, FUNDS_S, QUOTES_S, SILENCE_S, FETCH_S = 0.05, 60.0, 2.0, 60.0, 0.25
SEGMENT, MEMORY_CAP = 16 << 20, 512 << 20
SWITCH_S = 0.0001
"""A thread that loads a model gives the interpreter back after so long; Python's own 5 ms are a hundred ticks."""
SLICE = 32
NO_FILTER = ("the filter is off: no model is active, so every candidate is refused; `python -m engine model list` shows what there "
             "is, `model promote` lets one trade")


@dataclass
class Target:
    """Which broker: `base` of the sim (with its speed) or Upstox itself."""
    base: str
    token: str
    source: str = "sim"
    account: str = "paper"
    expires: float = 0.0               # epoch seconds of the token's end; 0: never

    def __repr__(self) -> str:
        return f"Target({self.source}, {self.base})"


class Clock:
    """`now` for what is not a frame: the wall clock, or the sim's as it was last told. A sim may be slower than it was asked to be:
    while it says nothing time passes no faster than the wall's. `now` never goes back."""

    def __init__(self, is_sim: bool, speed: float):
        self.is_sim, self.speed = is_sim, speed
        self.anchor = (time.monotonic_ns(), 0)
        self.latest = 0

    def hear(self, sim_ns: int, is_standing: bool = False) -> None:
        """`is_standing`: that it is still as late as it was is news, too."""
        if self.is_sim and (sim_ns > self.anchor[1] or (is_standing and sim_ns == self.anchor[1])):
            self.anchor = (time.monotonic_ns(), sim_ns)

    def now(self) -> int:
        if not self.is_sim:
            return time.time_ns()
        at, sim = self.anchor
        if sim:
            self.latest = max(self.latest, sim + int((time.monotonic_ns() - at) * min(self.speed, 1.0)))
        return self.latest


class EngineProcess:
    """One engine over `target`, in `run`. `observe` decides and sends nothing."""

    def __init__(self, config: Config, run: RunDir, target: Target, seed: int, observe: bool = False):
        self.config, self.run_dir, self.target, self.seed, self.observe = config, run, target, seed, observe
        self.rest = Api(target.token, target.base, target.base if target.source == "sim" else
                               "https://api-hft.upstox.com")
        self.rest.on_note = self._note
        self.nonce = secrets.token_hex(3)
        self.stopping = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.order_times: list[int] = []
        self.first_update = 0
        self.started = time.time_ns()
        self.notes: list[str] = []
        self.heed_at, self.model_seen = 0.0, 0
        self.unheard, self.unheard_at = 0, 0.0         # order messages nobody understood, and when one may be told of again
        self.waiting: list[tuple[int, bytes]] = []
        self.screened: list[dict[str, Any]] = []
        self.order: list[str] = []                     # keys, the most liquid first
        self.factors: dict[str, float] = {}            # of names with a split or bonus since their history was fetched
        self.warned = self.token_stop = self.drain_stop = False
        self.drain = self.refusal = ""                 # what the store cannot do, why new models were refused; empty: nothing
        self.attendance = Attendance(run)

    @property
    def _is_live(self) -> bool:
        """Whether real money is at stake."""
        return self.target.source != "sim" and not self.observe

    # ---- start ---------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Locks the account, restores or begins the day, connects. Raises RunError or BrokerError."""
        self.run_lock = Lock(self.run_dir.path / "lock", f"run folder {self.run_dir.path}")
        self.lock = account_lock(f"{self.target.account}@{self.target.base}")
        self.status = StatusBlock(self.run_dir.status, create=True)
        self.specs: list[Spec] = []
        self._introduce()                                  # before anything that may take long: `kill` must find us
        await self.rest.open()
        await self._probe()
        reader = self.run_dir.reader()
        restored = (first := reader.read()) is not None
        if restored and self.target.source != "sim":
            self._universe_of_journal(first)
        else:
            await self._universe()
        self._introduce()
        self.clock = Clock(self.target.source == "sim", self.speed)
        capacity = max(len(self.specs), 1)
        if restored:
            self.core = restore([self.run_dir.memory, self.run_dir.journal], self._journal, capacity, self.config, self.nonce)
        else:
            self.core = Core(self._journal(0), capacity, self.config.ring_depth)
            past = await self._history()
            total = await self._opening_funds()
            now = self.clock.now() or int(dt.datetime.combine(self.day, dt.time(9), sessions.IST).timestamp() * 1e9)
            begin(self.core, self.config, self.specs, self.day, past, now,
                  Boot(self.target.source, self.seed, self.nonce,
                       store_seconds=self.config.store.seconds * max(1.0, self.clock.speed)), total, self.screened)
            universe.told(self.screened)
        self.clock.hear(self.core.now)
        self.core.stamped = True
        self.core.feed_time = self.target.source == "sim"
        self.keys = {i: self.core.instrument(i)["key"].rstrip(b"\0").decode() for i in range(len(self.specs))}
        self.outgoing = Outgoing()
        self.bands = BandWatch(self.core, self.keys, self._input)
        self.reconciler = Reconciler(self.core, ENGINE_ID, self.core.config["nonces"], {key: i for i, key in self.keys.items()},
                                     self._input, is_fresh=not restored, on_second_engine=self._second_engine,
                                     on_note=self._note, on_unexpected_end=self.bands.soon)
        insts = {key: i for i, key in self.keys.items()}
        rank = {key: i for i, key in enumerate(self.order)}
        important = sorted((i for i, s in enumerate(self.specs) if s.tradable), key=lambda i: rank.get(self.keys[i], i))
        self.backfill = Backfill(self.core, self.keys, important, self._input)
        if restored:
            ledger = (np.frombuffer(payload, GAP)[0] for kind, _, _, payload in self.run_dir.reader() if kind == REC_GAP)
            self.backfill.recall(ledger, self.core.now)
        first = [key for key in self.order if key in insts]
        self.keeper = Keeper(self.core, first + [key for key in insts if key not in set(first)], insts, record=self._input,
                             note=self._note, draw=random.random, pace=self.speed)
        self.feed = FeedClient(self.rest, self.core, self.keeper, self._now, self._held, self._on_link, self._note, self._drain,
                               self._new_token)
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()

    async def _universe(self) -> None:
        """The day, its instruments and the speed of time: of the sim, or from the broker's instrument file and quotes."""
        if self.target.source == "sim":
            about = answers.parse(await self.rest.raw("/sim/instruments"), answers.LARGE)
            try:
                self.specs, self.speed = [Spec(**spec) for spec in about["specs"]], float(about["speed"])
                self.day = dt.date.fromisoformat(about["day"])
            except (KeyError, TypeError, ValueError):
                raise RunError(f"{self.target.base} answers, but not as this engine's sim: `python -m engine sim`") from None
            return
        self.day, self.speed = dt.datetime.now(sessions.IST).date(), 1.0
        source, note = await master.fetch(self.day, again=True)
        if note:
            self._note(note)
        listed = master.banned(Path(self.config.ban_list) if self.config.ban_list else None, self.day)
        today = universe.take(self.day, source, listed, self.config.excluded)
        for stock in today.universe.stocks.values():
            if stock.status == universe.SUSPENDED:
                self._note(f"{stock.symbol} is watched, not traded: {stock.reason}")
        is_future = self.config.risk.vehicle == "future"
        specs = today.universe.specs(futures=is_future)
        near = {s.symbol: s.futures[0].key for s in today.universe.stocks.values() if s.futures}
        quotes = await self.rest.quotes(dict.fromkeys([*(s.key for s in specs), *near.values()]))
        usual = history.turnovers(self.day)
        strange = self._strange_nights([s for s in specs if s.kind == "equity"], quotes)
        prices = {key: protocol.paise(quote.get("last_price")) for key, quote in quotes.items()}
        ranked = universe.with_liquidity(universe.suspended(today.universe, strange), {
            s.symbol: universe.turnover_of(quotes.get(s.key, {}), quotes.get(near.get(s.symbol, ""), {}),
                                           usual.get(s.key, math.nan))
            for s in today.universe.stocks.values()})
        self.order = [s.key for s in sorted(ranked.stocks.values(), key=lambda s: (math.isnan(s.liquidity), -s.liquidity))]
        self.screened = [*universe.noted(self.day), today.document(ranked)]
        specs = [dataclasses.replace(s, tradable=s.tradable and s.key not in strange and s.underlying not in strange)
                 for s in today.universe.specs(is_future, self.config.options, prices)]
        specs = [dataclasses.replace(
            s, lower=protocol.paise(quotes.get(s.key, {}).get("lower_circuit_limit")),
            upper=protocol.paise(quotes.get(s.key, {}).get("upper_circuit_limit"))) for s in specs]
        self.config, self.specs = rollout.apply(self.config, specs)

    def _strange_nights(self, specs: list[Spec], quotes: dict[str, Any]) -> dict[str, str]:
        """Key -> reason of the stocks whose price jumped overnight for no reason known: their history says nothing of today. Splits
        and bonuses are noted in `factors`."""
        kept = history.recent({s.key: i for i, s in enumerate(specs)}, self.day)
        close, strange = {int(bar["inst"]): int(bar["close"]) for bar in kept}, {}
        for i, s in enumerate(specs):
            factor, reason = universe.overnight(close.get(i, 0), protocol.paise(quotes.get(s.key, {}).get("prev_close_price")))
            if factor != 1.0:
                self.factors[s.key] = factor
            if reason:
                strange[s.key] = reason
                self._note(f"{s.symbol} and its contracts are watched, not traded today: {reason}")
        return strange

    def _universe_of_journal(self, first: Any) -> None:
        """A restart goes on with the names the day began with, whatever the instrument file says by now; a journal of another
        day is not gone on with: its bands, budgets and equity are that day's."""
        self.day, self.speed = dt.datetime.now(sessions.IST).date(), 1.0
        began = orjson.loads(first[3]).get("day") if first[0] == REC_START else None
        if began != self.day.isoformat():
            raise RunError(f"{self.run_dir.path} holds the journal of {began}: start a new run folder")
        for kind, _, _, payload in self.run_dir.reader():
            if kind == REC_INSTRUMENTS:
                self.specs = [Spec(bytes(r["key"]).rstrip(b"\0").decode(), bytes(r["symbol"]).rstrip(b"\0").decode(),
                                   KINDS[r["kind"]], int(r["tick"]), int(r["lot"]), int(r["freeze"]), bool(r["tradable"]))
                              for r in np.frombuffer(payload, INSTRUMENT)]
                return

    async def _history(self) -> np.ndarray:
        """Bars to start with: the sim's, or what `history sync` has kept and, within the session, today's so far."""
        if self.target.source == "sim":
            return np.frombuffer(await self.rest.raw("/sim/history"), WARM_BAR)
        insts = {s.key: i for i, s in enumerate(self.specs)}
        now = dt.datetime.now(sessions.IST)
        bars = history.rescaled(history.recent(insts, self.day), {insts[k]: f for k, f in self.factors.items()})
        if not len(bars):
            self._note("no history: the first 20 minutes make no candidates (`python -m engine history sync`)")
        if dt.time(9, 20) < now.time() < dt.time(15, 30):
            wanted = {s.key: i for i, s in enumerate(self.specs) if s.tradable}
            bars = np.concatenate([bars, await history.today(self.rest, wanted, now)])
        return bars

    async def _opening_funds(self) -> int:
        """Paise at the day's start. Who only observes may hold a token that cannot read them: then it is paper's account."""
        try:
            return funds_of(await self.rest.funds())
        except BrokerError:
            if not self.observe:
                raise
            return round(self.config.risk.account_size * 100)

    async def _probe(self) -> None:
        """Asks the order host to cancel an order that cannot exist: a token may be good for reads and refused for orders, and
        orders from another address than the registered one are (UPSTOX 4.3). RunError before anything is entered."""
        if self.target.source == "sim" or self.observe:
            return
        answer = await self.rest.cancel("0")
        if protocol.outcome_of(INTENT_CANCEL, answer.status, answer.body)[0] in (OUTCOME_HALT, OUTCOME_AMBIGUOUS):
            raise RunError(f"the order host refuses us ({answer.status} {protocol.error_code(answer.body)}): run `python -m engine "
                           "doctor`")

    def _introduce(self) -> None:
        """Writes down who this is, for `kill`: it must not need anything of a process that hangs."""
        note = {"pid": os.getpid(), "started": start_time(os.getpid()), "base": self.rest.base, "orders": self.rest.orders,
                "account": self.target.account, "source": self.target.source, "engine": ENGINE_ID,
                "live": self._is_live,
                "specs": {s.key: (s.tick, s.freeze) for s in self.specs}}
        temporary = self.run_dir.engine.with_suffix(".new")
        temporary.write_bytes(orjson.dumps(note))
        temporary.chmod(0o600)
        temporary.replace(self.run_dir.engine)

    def _journal(self, first_seq: int) -> Journal:
        try:
            self.journal = Journal(self.run_dir.memory, SEGMENT, MEMORY_CAP, first_seq=first_seq,
                                   folders=(self.run_dir.journal,))
            return self.journal
        except OSError as error:
            raise RunError(f"{in_words(error) if error.errno else error}: {advice_for(str(error), SHARED)}") from None

    # ---- life ----------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        if os.environ.get("ENGINE_DEBUG"):
            loop.add_signal_handler(signal.SIGUSR1, self._ask)
            loop.add_signal_handler(signal.SIGUSR2, self._hang)
        for work in (self.feed.run(), self._timers(), self._statuses(), self._keep_warm(), self._fetches()):
            self._spawn(work)
        if self.target.source == "sim":
            self._spawn(self._follow())
        if self.observe:                                   # nothing is sent, so there is nothing to reconcile
            self.reconciler.on_book([], self._now())
            self.reconciler.on_positions([], self._now())
            self._input(REC_LINK, protocol.link_record(STREAM_ORDERS, True))
        else:
            self._spawn(self._orders())
            self._spawn(self._poll())
        await self.stopping.wait()
        await self.stop()

    def _ask(self) -> None:
        """Drills: asks for an entry in every name with a fresh quote until the gate has enough."""
        row = np.zeros(1, CANDIDATE)
        row["direction"] = 1
        for inst in range(len(self.specs)):
            row["inst"] = inst
            self._input(REC_ASK, row.tobytes())
            if self.core.states()[3] >= self.config.risk.max_positions:
                break

    def _hang(self) -> None:
        """Drills: never comes back."""
        while True:
            pass

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

    failure: BaseException | None = None

    async def stop(self) -> None:
        """Ends the day's journal and lets go of everything."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.rest.close()
        self.core.feed(REC_STOP, self._now())
        self.journal.append(REC_CLOSED, self.core.now, closing(self.core))
        self._publish(ready=2)
        self.journal.close()
        self.lock.release()
        self.run_lock.release()

    def _now(self) -> int:
        return max(self.clock.now(), self.core.now)

    def _note(self, text: str) -> None:
        self.notes = [*self.notes[-49:], text]
        with contextlib.suppress(OSError):                 # a full disk must not end what it cannot serve
            print(orjson.dumps({"at": time.time(), "note": text}).decode(), flush=True)

    def _on_link(self, is_up: bool, code: int) -> None:
        self._input(REC_LINK, protocol.link_record(STREAM_FEED, is_up, code))

    async def _timers(self) -> None:
        pause = min(TIMER_S, max(GRAIN_S / self.speed, FASTEST_S))
        while True:
            await asyncio.sleep(pause)
            self.clock.hear(self.core.decoder.frame_head()[1] * 1_000_000)
            self._operator()
            if self._now() > 0:
                self.core.feed(REC_TIMER, self._now())
            self.journal.prepare()
            if self.journal.full and self.status.operator == OP_RUN:
                self._note(self._no_room())
                self.status.operator = OP_REDUCE
            if self.waiting:
                self._input(*self.waiting.pop())
            self._drain()

    async def _follow(self) -> None:
        """Asks the sim for its time while its feed says nothing. Between frames it is not heard: those on their way are older."""
        while True:
            frames = self.core.frames
            await asyncio.sleep(TIMER_S)
            if frames and self.core.frames == frames:
                answer = await self.rest.call(protocol.Request("GET", "/sim/clock"))
                if self.core.frames == frames:
                    self.clock.hear(answer.sim_time, self.feed.is_up)
    def _no_room(self) -> str:
        return f"the journal has no room ({self.journal.problem or 'the store does not drain it'}): entries stop"

    def _heed_store(self) -> None:
        """While the journal cannot be made safe on disk nothing is entered; that stop ends with its cause, and no other does."""
        self.drain = str(read_note(self.run_dir.store).get("drain") or "")
        if self.drain and self.status.operator == OP_RUN:
            self._note(self.drain)
            self.status.operator, self.drain_stop = OP_REDUCE, True
        elif not self.drain and self.drain_stop:
            self.drain_stop = False
            if self.status.operator == OP_REDUCE:
                self._note("the journal is on disk again: entries go on")
                self.status.operator = OP_RUN

    def _operator(self) -> None:
        """Takes over what an authorised process wrote into the status file."""
        self._heed_launcher()
        state = self.status.operator
        if state != self.core.states()[1] and OP_RUN <= state <= OP_KILL:
            row = np.zeros(1, OPERATOR_CHANGE)
            row["state"] = state
            self.core.feed(REC_OPERATOR, self._now(), row.tobytes())

    def _heed_launcher(self) -> None:
        """Without a launcher's beat for 60 s nothing new is entered, positions stay protected; where no real money is at stake the
        run ends after 10 s."""
        if time.monotonic() < self.heed_at:
            return
        self.heed_at = time.monotonic() + 1
        with contextlib.suppress(OSError):
            changed = (Path(self.config.models) / "active.json").stat().st_mtime_ns
            if changed != self.model_seen:
                self.model_seen = changed
                self._spawn(self._heed_models())
        self._heed_token()
        self._heed_store()
        silence = self.attendance.silence()
        if silence > Attendance.LOST_S and not self._is_live and not self.stopping.is_set():
            self._note("the launcher is gone: the run ends, no real money is in it")
            self.stopping.set()
        elif silence > SILENCE_S and self.status.operator == OP_RUN:
            self._note("the launcher is silent: entries stop")
            self.status.operator = OP_PAUSE

    def _heed_token(self) -> None:
        """Tokens die at 03:30: a word ten minutes before. From then on nothing is entered until another is there."""
        left = self.target.expires - time.time() if self.target.expires else 1e9
        if left < 600 and not self.warned:
            self.warned = True
            self._note("the token ends within ten minutes: `python -m engine login`; the engine takes the new one as it runs")
        if left <= 0 and (token := self._new_token()) is not None:
            self.rest.renew(token)
            self.keeper.on_token(self._now())
            self._note("another token is there: going on with it")
            if self.token_stop and self.status.operator == OP_REDUCE:
                self.status.operator = OP_RUN                   # the stop the dead token caused, and no other
            self.token_stop = False
        elif left <= 0 and self.status.operator == OP_RUN:
            self.status.operator, self.token_stop = OP_REDUCE, True

    def _new_token(self) -> str | None:
        """A token that somebody has logged in for since, if there is one."""
        if self.target.source == "sim":
            return None if self.keeper.token_ok else self.target.token
        with contextlib.suppress(login.LoginError):
            token = login.load()
            if token.text != self.target.token and token.seconds_left(dt.datetime.now(sessions.IST)) > 0:
                self.target.token, self.target.expires, self.warned = token.text, token.expires.timestamp(), False
                return token.text
        return None

    def _held(self) -> list[str]:
        """Keys with a position or a working entry."""
        return [self.keys[int(slot["inst"])] for slot in self.core.positions()]

    async def _fetches(self) -> None:
        """Minutes that were lost, fetched as the backfill wants them."""
        while True:
            await asyncio.sleep(FETCH_S)
            for fetch in self.backfill.due(self._now()):
                self._spawn(self._fetch(fetch))

    async def _fetch(self, fetch: Fetch) -> None:
        try:
            if fetch.what != "day":
                rows = candles.of_quotes(await self.rest.last_minutes(fetch.keys), fetch.minute)
            else:
                rows = {fetch.keys[0]: candles.of_rows(await self.rest.today(fetch.keys[0]))}
        except (BrokerError, IndexError, *UNREADABLE):
            self.backfill.failed(fetch, self._now())
            return
        for part in range(0, len(fetch.keys), SLICE):      # the loop is not held for five hundred names at once
            self.backfill.on_bars(dataclasses.replace(fetch, keys=fetch.keys[part:part + SLICE]), rows, self._now())
            await asyncio.sleep(0)

    async def _heed_models(self) -> None:
        """Gives models the roles active.json has for them; a file that is refused changes nothing. They are loaded and tried in a
        thread: that takes longer than a tick may wait."""
        was = {"sha256": self.core.scorer.sha256 if self.core.scorer else "", "shadows": [s.sha256 for _, s in self.core.shadows],
               "b": self.core.scorer_b.sha256 if self.core.scorer_b else ""}
        try:
            changes = await asyncio.to_thread(models.records, Path(self.config.models), 1 - self.config.signals.noise, was)
        except (ModelRefused, ValueError, KeyError, OSError) as error:
            self.refusal = f"the new models were refused, the old ones stay: {error}"
            self._note(self.refusal)
            return
        self.refusal = ""
        for needed, record in changes:
            self.core.models.update(needed)
            self.core.feed(REC_MODEL, self._now(), record)
            for sha256 in needed:
                self._note(f"model {sha256[:16]} is in force")

    async def _keep_warm(self) -> None:
        while True:
            await asyncio.sleep(WARM_S)
            if self.core.scorer is not None:
                self.core.scorer.keep_warm()

    # ---- orders --------------------------------------------------------------------------------------------------------
    def _drain(self) -> None:
        """Sends what was decided, exits first. The journal has each request before its bytes leave; the operator has the last
        word."""
        self._operator()
        now = self._now()
        if self.core.has_intents:
            for intent in self.core.take_intents():
                is_entry = intent["kind"] == INTENT_PLACE and intent["role"] == ROLE_ENTRY
                if self.observe or (is_entry and self.status.operator != OP_RUN):
                    self._refuse(intent, "OBSERVED" if self.observe else "OPERATOR")
                else:
                    self.outgoing.push(intent, now)
        if self.outgoing:
            going, over = self.outgoing.take(now)
            for intent in over:
                self._refuse(intent, "NOT SENT")
            for intent in going:
                self._spawn(self._send(intent))

    def _refuse(self, intent: np.void, why: str) -> None:
        """The answer to a request that stays here; never inside the record that asked for it."""
        record = protocol.local_refusal(int(intent["id"]), int(intent["kind"]), why)
        asyncio.get_running_loop().call_soon(self._input, REC_REPLY, record)

    async def _send(self, intent: np.void) -> None:
        number, kind = int(intent["id"]), int(intent["kind"])
        tag = protocol.tag_of(ENGINE_ID, self.nonce, number, int(intent["role"]))
        answer = await self.rest.call(protocol.request_of(intent, self.keys[int(intent["inst"])], tag))
        self.order_times = [*self.order_times[-499:], answer.latency_ns]
        outcome = protocol.outcome_of(kind, answer.status, answer.body)[0]
        if outcome == OUTCOME_AMBIGUOUS:
            self._note(f"order {number}: no clear answer ({answer.status}); the book will tell")
        self._input(REC_REPLY, protocol.reply_record(number, kind, answer.status, answer.body, answer.latency_ns))

    def _second_engine(self, tag: str) -> None:
        if self.status.operator == OP_RUN:
            self._note(f"order {clean(tag)} has our mark and is not ours: a second engine trades this account; entries stop")
            self.status.operator = OP_REDUCE

    def _input(self, kind: int, record: bytes) -> None:
        """Feeds what must not be lost: while the journal has no room it waits, in order."""
        self.waiting.append((kind, record))
        while self.waiting and self.core.feed(self.waiting[0][0], self._now(), self.waiting[0][1]):
            self.waiting.pop(0)
        self._drain()

    async def _poll(self) -> None:
        """Reads of book and positions as the reconciler wants them, funds once a minute, quotes while the feed is down."""
        loop, funds_at, quotes_at = asyncio.get_running_loop(), 0.0, 0.0
        while True:
            for what in self.reconciler.due(self._now()):
                self._spawn(self._read(what))
            if self.core.updates:                          # a sim's day begins with a look at prices: not before the feed is there
                for keys in self.bands.due(self._now()):
                    self._spawn(self._read_bands(keys))
            if loop.time() - funds_at > FUNDS_S:
                funds_at = loop.time()
                self._spawn(self._read_funds())
            if not self.core.states()[2] and self.core.states()[3] and loop.time() - quotes_at > QUOTES_S:
                quotes_at = loop.time()
                self._spawn(self._read_quotes())
            await asyncio.sleep(POLL_S)

    async def _read(self, what: str) -> bool:
        """Reads book or positions; whether that worked."""
        began = self._now()
        try:
            rows = answers.rows(await self.rest.data(READS[what]), what)      # one that is none is the reconciler's to count
            if what == "book":
                self.reconciler.on_book(rows, began)
            else:
                self.reconciler.on_positions(rows, began)
            return True
        except (BrokerError, *UNREADABLE) as error:
            self.reconciler.failed(what, self._now())
            self._note(f"{what} not read: {clean(error)}")
            if isinstance(error, BrokerError) and error.status == 401:
                raise
            return False

    async def _read_funds(self) -> None:
        with contextlib.suppress(BrokerError, *UNREADABLE):
            total = funds_of(await self.rest.funds())
            if total != self.core.money()["available"]:
                self._input(REC_FUNDS, funds_record(total, self.core.money()["equity"]))

    async def _read_bands(self, keys: list[str]) -> None:
        """Price bands as they are now; without an answer the old ones stand until the next read."""
        with contextlib.suppress(BrokerError, *UNREADABLE):
            self.bands.on_quotes(await self.rest.quotes(keys))

    async def _read_quotes(self) -> None:
        """What positions can be left by while the feed is down."""
        held = sorted({slot["inst"] for slot in self.core.positions()})
        with contextlib.suppress(BrokerError, *UNREADABLE):
            quotes = await self.rest.quotes(self.keys[i] for i in held)
            self._input(REC_QUOTES, protocol.quotes_record(quotes, self.reconciler.keys))

    async def _orders(self) -> None:
        """Portfolio stream: every order message becomes a record; at each (re)connect book and positions are read first."""
        pause = 0.2
        while True:
            try:
                url = await self.rest.socket_url("/v2/feed/portfolio-stream-feed/authorize", {"update_types": "order"})
                assert self.rest._session is not None
                async with self.rest._session.ws_connect(url, heartbeat=10, max_msg_size=answers.SMALL) as socket:
                    if not (await self._read("book") and await self._read("positions")):
                        raise BrokerError(0, "book and positions must be read before anything is entered")
                    self._input(REC_LINK, protocol.link_record(STREAM_ORDERS, True))
                    pause = 0.2
                    async for message in socket:
                        self._hear(message.data)
            except BrokerError as error:
                if error.status == 401:
                    raise
                self._note(f"orders: {error}")
            except Exception as error:                     # a cut line, a refused handshake: all tried again
                self._note(f"orders: the stream was cut ({type(error).__name__}); it is tried again")
            self._input(REC_LINK, protocol.link_record(STREAM_ORDERS, False))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)

    def _hear(self, text: Any) -> None:
        """One message of the portfolio stream; one that cannot be understood makes the book be read, at most once a second."""
        try:
            body = answers.record(answers.parse(text if isinstance(text, (str, bytes)) else b"", answers.SMALL), "an order message")
            what = body.get("update_type")
            if what == "order":
                self.reconciler.on_message(body)
            elif what not in ("gtt_order", "position", "holding"):
                raise answers.Unreadable("its type is unknown")
        except answers.Unreadable:
            self.unheard += 1
            if (now := time.monotonic()) >= self.unheard_at:
                self.unheard_at = now + 1.0
                self.reconciler.on_message(None)

    # ---- status --------------------------------------------------------------------------------------------------------
    async def _statuses(self) -> None:
        while True:
            self._publish()
            await asyncio.sleep(STATUS_S)

    def _troubles(self, is_last: bool) -> list[str]:
        """What is wrong with this engine, in words. What is not drained at the end, the store and the launcher say."""
        found = (self._no_room() if self.journal.full else "", "" if is_last else self.drain,
                 NO_FILTER if self.core.scorer is None else "", self.refusal)
        return [text for text in found if text]

    def _publish(self, ready: int = 1) -> None:
        core, v = self.core, self.status.values
        counts, money = core.counts(), core.money()
        if not self.first_update and counts["updates"]:
            self.first_update = time.time_ns()
        trading, operator, feed_up, positions = core.states()
        p50, p99, p999, worst = self.feed.percentiles()
        times = sorted(self.order_times) or [0]
        for name, value in {
            "pid": os.getpid(), "heartbeat": time.time_ns(), "now": core.now,
            "speed": self.clock.speed, "trading": trading, "operator": operator, "feed_up": feed_up,
            "positions": positions, "reconnects": max(self.feed.connects - 1, 0), "instruments": len(self.specs),
            "digest": core.digest, "epoch": self.journal.epoch, "p50": p50, "p99": p99, "p999": p999, "max": worst,
            "order_p50": times[len(times) // 2], "order_max": times[-1], "first_update": self.first_update,
            "started": self.started, "journal_full": self.journal.full and ready != 2, "ready": ready,
            "sequence": self.journal.seq, "filter": core.scorer is not None,
            "trouble": "\n".join(self._troubles(ready == 2)).encode()[:600],
            **{n: counts[n] for n in ("updates", "frames", "rejected", "unknown", "candidates", "signals", "orders",
                                      "requests", "gaps", "late", "repeats", "records")},
            **{n: money[n] for n in ("equity", "available", "realised", "charges", "open", "exposure")},
        }.items():
            v[name] = value
        self.status.publish()


def main(config: Config, run: RunDir, target: Target, seed: int, observe: bool) -> None:
    """Runs the engine until SIGTERM; raises what ended it."""
    import uvloop

    async def life() -> None:
        process = EngineProcess(config, run, target, seed, observe)
        try:
            await process.start()
        except UNREADABLE as error:
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
