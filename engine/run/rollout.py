"""Going live in steps, as one state: paper days first, then one name with half a per cent of the account, then more.

A day is judged from what the engine itself has reported (`engine/backtest/steps.py`). Five good days in a row at a step let a
person take the next one, by a typed word; one day that fails with real money goes a step back by itself: that only risks less.
"""
import dataclasses
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.config import Config
    from engine.market.instruments import Instrument

NEEDED = 5
"""Good trading days in a row at a step before the next."""
KEPT = 400
"""Judged days that are remembered."""


@dataclass(frozen=True, slots=True)
class Step:
    symbols: int
    notional: float          # share of the account in one position
    positions: int

    @property
    def words(self) -> str:
        names = f"{self.symbols} name{'s' if self.symbols > 1 else ''}" if self.symbols < 1000 else "every name"
        return f"{names}, {self.notional:.1%} of the account each, {self.positions} at once"


STEPS = (Step(1, 0.005, 1), Step(3, 0.01, 1), Step(10, 0.02, 2), Step(10_000, 0.05, 3))
"""Steps 1 to 4; step 0 is paper."""


class RolloutError(EngineError):
    """The step is not to be taken, or its file cannot be read."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A day at a step, and why it was not a good one; empty: it was."""
    day: str
    step: int
    run: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    step: int = 0
    days: tuple[Judged, ...] = field(default=())

    @property
    def good(self) -> int:
        """Days in a row that were good in all their runs, the last of them at this step."""
        good = {day: True for day in dict.fromkeys(judged.day for judged in self.days)}
        for judged in self.days:
            good[judged.day] &= judged.step == self.step and not judged.why
        return sum(1 for _ in itertools.takewhile(bool, reversed(good.values())))

    @property
    def is_last(self) -> bool:
        return self.step == len(STEPS)

    @property
    def words(self) -> str:
        """Where we are, and what is missing for the next step."""
        here = "paper" if self.step == 0 else f"step {self.step} of {len(STEPS)} with real money: {STEPS[self.step - 1].words}"
        if self.is_last:
            return f"{here}; {self.good} good days in a row"
        last = next((judged for judged in reversed(self.days) if judged.step == self.step), None)
        word = f"; the last, {last.day}, was none: {last.why}" if last is not None and last.why else ""
        return f"{here}; {min(self.good, NEEDED)} of {NEEDED} good days in a row{word}" + (
            "; `python -m engine rollout advance` takes the next" if self.good >= NEEDED else "")

    def judged(self, day: Judged) -> "State":
        """With a day more. One that was judged before is judged anew; with real money one that fails goes a step back."""
        days = [known for known in self.days if known.run != day.run]
        state = State(self.step, tuple(sorted([*days, day], key=lambda known: known.day)[-KEPT:]))
        return dataclasses.replace(state, step=self.step - 1) if day.why and day.step == self.step > 0 else state

    def advanced(self) -> "State":
        """At the next step. RolloutError where its rule does not hold yet."""
        if self.is_last:
            raise RolloutError("this is the last step")
        if self.good < NEEDED:
            raise RolloutError(f"not yet: {self.words}")
        return dataclasses.replace(self, step=self.step + 1)

    def back(self) -> "State":
        """A step back, which anybody may take."""
        if self.step == 0:
            raise RolloutError("this is the first step: paper")
        return dataclasses.replace(self, step=self.step - 1)


def path() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "rollout.json"


def load() -> State:
    """The state in force: paper where nothing was kept. RolloutError for a file that cannot be read: nobody guesses how much money
    may be risked."""
    try:
        document = orjson.loads(path().read_bytes())
        state = State(int(document["step"]), tuple(Judged(**day) for day in document["days"]))
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, TypeError, KeyError):
        raise RolloutError(f"{path()} cannot be read: remove it to begin with paper again") from None
    if not 0 <= state.step <= len(STEPS):
        raise RolloutError(f"{path()} names step {state.step}: remove it to begin with paper again")
    return state


def save(state: State) -> None:
    """Keeps the state for this machine's user alone."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(dataclasses.asdict(state)))
    temporary.chmod(0o600)
    temporary.replace(target)


def add(days: Iterable[Judged]) -> State:
    """Keeps days that were judged in the state as it is by now: judging takes minutes, and a step taken or gone back meanwhile
    stands."""
    state = load()
    for day in days:
        if all(known.run != day.run for known in state.days):
            state = state.judged(day)
    save(state)
    return state


def apply(config: "Config", specs: "list[Instrument]", number: int) -> "tuple[Config, list[Instrument]]":
    """The configuration and names of step `number` with real money; limits only ever become tighter."""
    step = STEPS[number - 1]
    risk = config.risk.model_copy(update={"notional": min(config.risk.notional, step.notional),
                                          "max_positions": min(config.risk.max_positions, step.positions)})
    wanted = config.rollout.symbols or [s.symbol for s in specs if s.kind == "equity"]
    chosen = set(wanted[:step.symbols])
    keys = {s.key for s in specs if s.symbol in chosen}
    return (config.model_copy(update={"risk": risk}),
            [dataclasses.replace(s, tradable=s.tradable and (s.key in keys or s.underlying in keys)) for s in specs])


def step_of_live() -> int:
    """The step of a run with real money. RolloutError while it is paper's turn."""
    state = load()
    if state.step == 0:
        raise RolloutError(f"real money begins after {NEEDED} good days of paper in a row, and a typed word: {state.words} "
                           "(`python -m engine rollout`)")
    return state.step


def document(state: State) -> dict[str, Any]:
    """For `--json`."""
    return {"step": state.step, "good_days": state.good, "needed": NEEDED, "words": state.words,
            "days": [dataclasses.asdict(day) for day in state.days]}
