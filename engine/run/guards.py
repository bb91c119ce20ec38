"""What an engine keeps an eye on besides the market: its launcher, its store, its token, its models. Each guard may stop entries,
and takes back no stop but its own."""
import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _ext.core.records import OP_PAUSE, OP_REDUCE, OP_RUN, REC_MODEL
from _ext.entrance import Core
from _ext.signals.scorer import ModelRefused
from _ext.trail.status import StatusBlock
from engine.broker.upstox import login
from engine.config import Config
from engine.market import sessions
from engine.signals import models
from engine.trail.note import read_note
from engine.trail.rundir import Attendance, RunDir

SILENCE_S = 60.0
"""Without a launcher's beat for so long nothing new is entered."""
WARNING_S = 600.0
"""A word is said so long before the token dies."""


@dataclass
class Target:
    """Which broker: `base` of the sim (with its speed) or Upstox itself."""
    base: str
    token: str
    source: str = "sim"
    account: str = "paper"
    expires: float = 0.0               # epoch seconds of the token's end; 0: never
    is_paper: bool = False             # the engine's own matching takes the orders: there is a feed and no broker

    def __repr__(self) -> str:
        return f"Target({self.source}, {self.base})"

    @property
    def is_sim(self) -> bool:
        return self.source == "sim"

    @property
    def lock(self) -> str:
        """Of the account: one engine alone trades it."""
        return f"{self.account}@{self.base}" if self.is_sim or not self.is_paper else self.account


class Guards:
    """Looks once a second. `end` ends the run; `renew` goes on with another token."""

    def __init__(self, run: RunDir, status: StatusBlock, target: Target, is_live: bool, note: Callable[[str], Any],
                 end: Callable[[], Any], renew: Callable[[str], Any]):
        self.run, self.status, self.target, self.is_live = run, status, target, is_live
        self.note, self.end, self.renew = note, end, renew
        self.attendance = Attendance(run)
        self.drain = ""                    # what the store cannot do; empty: nothing
        self.stopped: set[str] = set()     # what has stopped entries
        self.is_ending = self.is_warned = False

    def stop(self, cause: str, word: str = "") -> None:
        """Entries end, unless the operator has said something himself."""
        if self.status.operator == OP_RUN:
            if word:
                self.note(word)
            self.status.operator = OP_REDUCE
            self.stopped.add(cause)
        elif self.stopped and self.status.operator == OP_REDUCE:
            self.stopped.add(cause)

    def lift(self, cause: str, word: str) -> None:
        """Takes back the stop of this cause, where it is the one in force."""
        if cause in self.stopped:
            self.stopped.discard(cause)
            if not self.stopped and self.status.operator == OP_REDUCE:
                self.note(word)
                self.status.operator = OP_RUN

    def look(self) -> None:
        self._token()
        self._store()
        self._launcher()

    def _launcher(self) -> None:
        """Without a launcher's beat nothing new is entered, positions stay protected; where no real money is at stake the run ends
        sooner."""
        silence = self.attendance.silence()
        if silence > Attendance.LOST_S and not self.is_live:
            if not self.is_ending:
                self.is_ending = True
                self.note("the launcher is gone: the run ends, no real money is in it")
                self.end()
        elif silence > SILENCE_S and self.status.operator == OP_RUN:
            self.note("the launcher is silent: entries stop")
            self.status.operator = OP_PAUSE

    def _store(self) -> None:
        """While the journal cannot be made safe on disk nothing is entered."""
        self.drain = str(read_note(self.run.store).get("drain") or "")
        if self.drain:
            self.stop("drain", self.drain)
        else:
            self.lift("drain", "the journal is on disk again: entries go on")

    def _token(self) -> None:
        """Tokens die at 03:30: a word ten minutes before. From then on nothing is entered until another is there."""
        left = self.target.expires - time.time() if self.target.expires else 1e9
        if left < WARNING_S and not self.is_warned:
            self.is_warned = True
            self.note("the token ends within ten minutes: `python -m engine login`; the engine takes the new one as it runs")
        if left > 0:
            return
        if (token := self.new_token()) is not None:
            self.renew(token)
            self.note("another token is there: going on with it")
            self.lift("token", "entries go on")
        else:
            self.stop("token")

    def new_token(self) -> str | None:
        """A token that somebody has logged in for since, if there is one."""
        if self.target.is_sim:
            return None
        with contextlib.suppress(login.LoginError):
            token = login.load()
            if token.text != self.target.token and token.seconds_left(dt.datetime.now(sessions.IST)) > 0:
                self.target.token, self.target.expires, self.is_warned = token.text, token.expires.timestamp(), False
                return token.text
        return None


class ModelWatch:
    """Gives models the roles `active.json` has for them as it changes; a file that is refused changes nothing."""

    def __init__(self, core: Core, config: Config, clock: Callable[[], int], note: Callable[[str], Any]):
        self.core, self.clock, self.note = core, clock, note
        self.folder, self.threshold = Path(config.models), 1 - config.signals.noise
        self.seen = 0
        self.refusal = ""                  # why new models were refused; empty: they were not

    def has_changed(self) -> bool:
        with contextlib.suppress(OSError):
            changed, was = (self.folder / "active.json").stat().st_mtime_ns, self.seen
            self.seen = changed
            return changed != was
        return False

    async def load(self) -> None:
        """Models are loaded and tried in a thread, which ends with it: that takes longer than a tick may wait."""
        core = self.core
        was = {"sha256": core.scorer.sha256 if core.scorer else "", "shadows": [s.sha256 for _, s in core.shadows],
               "b": core.scorer_b.sha256 if core.scorer_b else ""}
        try:
            with ThreadPoolExecutor(1) as pool:
                changes = await asyncio.get_running_loop().run_in_executor(pool, models.records, self.folder, self.threshold, was)
        except (ModelRefused, ValueError, KeyError, OSError) as error:
            self.refusal = f"the new models were refused, the old ones stay: {error}"
            self.note(self.refusal)
            return
        self.refusal = ""
        for needed, record in changes:
            core.models.update(needed)
            core.feed(REC_MODEL, self.clock(), record)
            for sha256 in needed:
                self.note(f"model {sha256[:16]} is in force")
