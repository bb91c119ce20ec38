"""What the page may do, in two steps: asked for, told what it will do, confirmed. The engine takes it from the operator ring and
journals who asked."""
import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from _ext.core.records import DO_ACKNOWLEDGE, DO_FLATTEN, DO_KILL, DO_PAUSE, DO_PROMOTE, DO_ROLL_BACK, DO_RUN
from _ext.signals.scorer import ModelRefused
from _ext.trail.status import StatusBlock
from engine.errors import UsageError
from engine.signals import models
from engine.trail.rundir import RunDir
from engine.trail.signs import is_running

VALID_S, MOST = 30.0, 100
"""How long a confirmation may wait, and how many may."""
ANSWER_S, KILL_S = 2.0, 120.0
ARGUMENT_MAX = 500


class OperationRefused(UsageError):
    """Says why nothing was done."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`kind`: records.OperationKind; `words`: what will happen. `needs_engine`: one must run."""
    kind: int
    words: str
    needs_engine: bool = True
    takes_argument: bool = False


OPERATIONS = {
    "pause": Operation(DO_PAUSE, "No new entries. Positions stay protected; resume takes it back."),
    "resume": Operation(DO_RUN, "Entries again, where rules and limits allow them."),
    "flatten": Operation(DO_FLATTEN, "Entries are cancelled and every position is closed at once, at what the book gives. Nothing "
                         "new until resume."),
    "kill": Operation(DO_KILL, "The engine is ended, whatever it does; its orders are cancelled, its positions closed.", False),
    "promote": Operation(DO_PROMOTE, "Model {argument} decides from the next candidate on.", False, True),
    "rollback": Operation(DO_ROLL_BACK, "The model before this one decides again from the next candidate on.", False),
    "acknowledge": Operation(DO_ACKNOWLEDGE, "The alert {argument} is marked as seen; it goes on to stand until its cause is gone.",
                             False, True),
}


class Desk:
    """Takes operations on `run`. `on_acknowledge(alert, who)` marks an alert as seen; `who` names whoever sits at the page."""

    def __init__(self, run: RunDir, folder: Path, who: str, on_acknowledge: Callable[[str, str], bool]):
        self.run, self.models, self.who, self.on_acknowledge = run, folder, who, on_acknowledge
        self.waiting: dict[str, tuple[float, str, str]] = {}

    def ask(self, name: str, argument: str = "") -> dict[str, str]:
        """{confirm: a word for `confirm`, words: what will happen}. Raises OperationRefused."""
        found = OPERATIONS.get(name)
        if found is None:
            raise OperationRefused(f"there is no operation {name[:40]!r}: {', '.join(OPERATIONS)}")
        if found.takes_argument != bool(argument) or len(argument) > ARGUMENT_MAX:
            raise OperationRefused(f"{name} {'needs to be told of what' if found.takes_argument else 'takes no argument'}")
        if found.needs_engine and not is_running(self.run):
            raise OperationRefused(f"no engine runs in {self.run.path.name}")
        now = time.monotonic()
        self.waiting = {word: one for word, one in self.waiting.items() if one[0] > now}
        if len(self.waiting) >= MOST:
            raise OperationRefused("too many operations wait for a confirmation: try again in half a minute")
        word = secrets.token_urlsafe(16)
        self.waiting[word] = now + VALID_S, name, argument
        return {"confirm": word, "operation": name, "words": found.words.format(argument=argument)}

    async def confirm(self, word: str) -> dict[str, object]:
        """Does what `word` stands for, once. Raises OperationRefused."""
        until, name, argument = self.waiting.pop(word, (0.0, "", ""))
        if until < time.monotonic():
            raise OperationRefused("there is nothing to confirm, or it was asked for too long ago: ask again")
        doing: dict[str, Callable[[str], Awaitable[str]]] = {
            "kill": self._kill, "promote": self._promote, "rollback": self._roll_back, "acknowledge": self._acknowledge}
        said = await doing[name](argument) if name in doing else await self._told(name)
        return {"done": True, "operation": name, "words": said}

    async def _told(self, name: str, argument: str = "") -> str:
        """Writes the operation into the ring and waits until the engine has taken it."""
        try:
            block = StatusBlock(self.run.status)
            number = block.ask(OPERATIONS[name].kind, argument.encode()[:63], self.who.encode()[:23])
        except (OSError, ValueError) as error:
            raise OperationRefused(f"{name}: {error}") from None
        end = time.monotonic() + ANSWER_S
        while block.taken < number:
            if time.monotonic() > end:
                raise OperationRefused(f"{name} was written, but the engine has not answered within {ANSWER_S:.0f} s; kill ends it")
            await asyncio.sleep(0.02)
        return f"{name}: the engine has seen it"

    async def _noted(self, name: str, argument: str = "") -> str:
        """Likewise where the engine need not know: without one it is done all the same."""
        return await self._told(name, argument) if is_running(self.run) else f"{name}: done, no engine runs"

    async def _kill(self, _: str) -> str:
        """By the command, in a process of its own, which needs nothing of an engine that hangs."""
        try:
            StatusBlock(self.run.status).ask(DO_KILL, b"", self.who.encode()[:23])
        except (OSError, ValueError):
            pass                                           # a dead engine takes nothing; it is killed all the same
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine", "kill", "--run-dir", str(self.run.path), "--yes", stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            out, error = await asyncio.wait_for(process.communicate(), KILL_S)
        except TimeoutError:
            raise OperationRefused(f"kill has not ended within {KILL_S:.0f} s: `python -m engine kill` says what it does") from None
        lines = (out.decode(errors="replace").strip() or error.decode(errors="replace").strip()).splitlines()
        if process.returncode:
            raise OperationRefused(f"kill: {lines[-1] if lines else 'it failed'}")
        return f"kill: {lines[-1] if lines else 'done'}"

    async def _promote(self, name: str) -> str:
        try:
            scorer = models.promote(self.models, name)
        except (ModelRefused, OSError) as error:
            raise OperationRefused(str(error)) from None
        await self._noted("promote", scorer.sha256)
        return f"model {scorer.sha256[:16]} decides from now on"

    async def _roll_back(self, _: str) -> str:
        try:
            scorer = models.rollback(self.models)
        except (ModelRefused, OSError) as error:
            raise OperationRefused(str(error)) from None
        await self._noted("rollback")
        return f"model {scorer.sha256[:16]} decides again"

    async def _acknowledge(self, name: str) -> str:
        if not self.on_acknowledge(name, self.who):
            raise OperationRefused(f"there is no alert {name!r} that waits to be seen")
        return await self._noted("acknowledge", name)

