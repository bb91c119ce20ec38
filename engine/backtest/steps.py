"""Whether a day at a step of the roll-out was a good one, from what the engine itself has reported of it."""
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from _ext.core.reasons import REASONS, Reason
from engine.backtest.parity import parity
from engine.backtest.remade import start_of
from engine.backtest.uptime import WANTED, session_of, uptime
from engine.config import Config
from engine.errors import EngineError
from engine.run.rollout import KEPT, Judged, State
from engine.trail.checked import damage_of, reader_of
from engine.trail.rundir import RunDir, is_held
from engine.watch.state import RunState

EVENING = "evening.json"
LOSSES = frozenset(REASONS[reason] for reason in (Reason.DAILY_LOSS, Reason.DRAWDOWN))
"""Limits of risk: a day they end is a bad day for the account and a good one for the engine."""
NEVER = frozenset(REASONS[reason] for reason in (
    Reason.SECOND_EXIT, Reason.REVERSED, Reason.FILL_PRESUMED, Reason.TABLE_FULL, Reason.JOURNAL_FULL, Reason.BROKER_HALT,
    Reason.ILLEGAL_STEP, Reason.TAKEN_OVER, Reason.STRANGE_FILL))
"""Alarms of which a good day has none."""


def note_evening(run: RunDir, differences: int) -> None:
    """Keeps what holding a day's fills and charges against the broker's has come to."""
    (run.path / EVENING).write_bytes(orjson.dumps({"differences": differences}))


def judged(run: RunDir, config: Config, step: int, beside: Sequence[RunDir] = ()) -> Judged:
    """The day of a run that is over, at the step it was run at; `beside`: others of that day and step."""
    day = str(start_of(run)["day"])
    return Judged(day, step, str(run.path.resolve()), "; ".join(_faults(run, day, config, step, beside)))


def _faults(run: RunDir, day: str, config: Config, step: int, beside: Sequence[RunDir]) -> list[str]:
    """What a good day does not have."""
    reader = reader_of(run.path)
    state, found = RunState.after(reader), list[str]()
    if damage_of(run.path, reader):
        found.append("its journal is damaged")
    if others := [reason for reason in dict.fromkeys(state.reducing) if reason not in LOSSES]:
        found.append(f"entries were stopped: {', '.join(others)}")
    if alarms := [alarm for alarm in state.alarms if alarm in NEVER]:
        found.append(f"alarm: {', '.join(alarms)}")
    if (up := uptime([run, *beside], day)) < WANTED:
        found.append(f"up for {up:.1%} of the session, {WANTED:.1%} are wanted")
    if step > 0:
        return found + _evening(run)
    try:
        held_against = parity(run, config)
    except EngineError as error:
        return [*found, f"it cannot be made again: {error}"]
    return [*found, *held_against["alarms"]]


def _evening(run: RunDir) -> list[str]:
    try:
        count = int(orjson.loads((run.path / EVENING).read_bytes())["differences"])
    except (OSError, ValueError, TypeError, KeyError):
        return ["its fills and charges were not held against the broker's: `python -m engine report --compare`"]
    return [f"{count} differences from the broker's fills and charges"] if count else []


def step_of(run: RunDir) -> int | None:
    """The step a run was of: 0 on paper on a live feed, what START says with real money; None: it is none of the roll-out."""
    try:
        start = start_of(run)
    except EngineError:
        return None
    if start.get("source") != "upstox":
        return None
    return 0 if start.get("via") == 1 else int(start["step"]) if start.get("step") else None


def judge(state: State, folders: Iterable[Path], config: Config, say: Callable[[str], Any] = lambda _: None) -> list[Judged]:
    """The days of every run among `folders` whose session is over and that was not judged, in order; `rollout.add` keeps them. Runs
    of one day are up together. Days before those that are remembered are over and done with."""
    known = {day.run for day in state.days}
    oldest = state.days[0].day if len(state.days) >= KEPT else ""
    waiting = []
    for folder in folders:
        if folder.is_symlink() or not (folder / "journal").is_dir() or str(folder.resolve()) in known:
            continue
        run = RunDir(folder)
        step = None if is_held(run.lock) else step_of(run)
        day = str(start_of(run)["day"]) if step is not None else ""
        if step is not None and day >= oldest and time.time_ns() >= session_of([run], day)[1]:
            waiting.append((day, step, run))
    days = []
    for day, step, run in sorted(waiting, key=lambda entry: (entry[0], str(entry[2].path))):
        say(f"{run.path}: {day}")
        days.append(judged(run, config, step, [other for one, at, other in waiting if (one, at) == (day, step) and other != run]))
    return days
