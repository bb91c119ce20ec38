"""What the page may do, in two steps: asked for, told what it will do, confirmed. The engine takes it from the operator ring and
journals who asked."""
import asyncio
import contextlib
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
    """Takes operations on `run`. `on_acknowledge(number, who)` marks an alert as seen and gives its name, empty where there is
    none; `who` names whoever sits at the page."""

    def __init__(self, run: RunDir, folder: Path, who: str, on_acknowledge: Callable[[str, str], str]):
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

    async def at_once(self, name: str) -> str:
        """Asks and confirms: for who has a confirmation of its own. OperationRefused."""
        return str((await self.confirm(self.ask(name)["confirm"]))["words"])

    def _write(self, name: str, argument: str = "") -> tuple[StatusBlock, int]:
        """Puts the operation into the ring: the engine journals who asked before anything is done."""
        try:
            block = StatusBlock(self.run.status)
            return block, block.ask(OPERATIONS[name].kind, argument.encode()[:71], self.who.encode()[:23])
        except (OSError, ValueError) as error:
            raise OperationRefused(f"{name}: {error}") from None

    async def _is_taken(self, block: StatusBlock, number: int) -> bool:
        """Whether the engine has taken it within two seconds; an entry it has not is taken back."""
        end = time.monotonic() + ANSWER_S
        while block.taken < number:
            if time.monotonic() > end:
                return not block.withdraw(number)
            await asyncio.sleep(0.02)
        return True

    async def _told(self, name: str) -> str:
        """What the engine does itself."""
        if not await self._is_taken(*self._write(name)):
            raise OperationRefused(f"{name}: the engine has not answered within {ANSWER_S:.0f} s, and it was taken back; kill ends "
                                   "the engine")
        return f"{name}: the engine has seen it"

    async def _beside(self, name: str, argument: str, do: Callable[[], str]) -> str:
        """What is done here: who asked stands in the ring before, and the answer is what was done, whatever the engine says."""
        if not is_running(self.run):
            return do()
        asked = self._write(name, argument)
        said = do()
        return said if await self._is_taken(*asked) else f"{said}; the engine has not confirmed that it knows"

    async def _kill(self, _: str) -> str:
        """By the command, in a process of its own, which needs nothing of an engine that hangs and outlives this one."""
        with contextlib.suppress(OperationRefused):        # a dead engine takes nothing; it is killed all the same
            self._write("kill")
        path = self.run.path / "kill.out"
        with path.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "engine", "kill", "--run-dir", str(self.run.path), "--yes",
                stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            await asyncio.wait_for(process.wait(), KILL_S)
        except TimeoutError:
            raise OperationRefused(f"kill goes on after {KILL_S:.0f} s: {path.name} of the run says what it does") from None
        lines = path.read_text(errors="replace").strip().splitlines()
        if process.returncode:
            raise OperationRefused(f"kill: {lines[-1] if lines else 'it failed'}")
        return f"kill: {lines[-1] if lines else 'done'}"

    async def _promote(self, name: str) -> str:
        def do() -> str:
            return f"model {models.promote(self.models, name).sha256[:16]} decides from now on"
        return await self._beside("promote", name[:16], self._of_models(do))

    async def _roll_back(self, _: str) -> str:
        def do() -> str:
            return f"model {models.rollback(self.models).sha256[:16]} decides again"
        return await self._beside("rollback", "", self._of_models(do))

    @staticmethod
    def _of_models(do: Callable[[], str]) -> Callable[[], str]:
        """`do`, with what the models' folder says against it in our words."""
        def checked() -> str:
            try:
                return do()
            except (ModelRefused, OSError) as error:
                raise OperationRefused(str(error)) from None
        return checked

    async def _acknowledge(self, name: str) -> str:
        alert = self.on_acknowledge(name, self.who)
        if not alert:
            raise OperationRefused(f"there is no alert {name[:40]!r} that waits to be seen")
        return await self._beside("acknowledge", alert, lambda: f"{alert} is marked as seen")

