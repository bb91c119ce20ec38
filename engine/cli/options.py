"""Options the commands share, and what they mean: durations, speeds, runs, markets."""
import datetime as dt
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from engine.errors import EngineError
from engine.trail.rundir import RunDir


def _folder(text: str) -> Path:
    """An empty name would mean the folder one happens to be in."""
    if isinstance(text, str) and not text.strip():
        raise typer.BadParameter("an empty name: write the folder of a run, or leave --run-dir away")
    return Path(text)


Run = Annotated[Path | None, typer.Option("--run-dir", parser=_folder, metavar="DIR",
                                          help="folder of the run; by default the latest, or a new one")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else")]
DEFAULT_DAY = dt.date(2026, 9, 1)


class Failed(EngineError):
    """A check failed: exit 1."""


def seconds_of(text: str) -> float:
    """`60s`, `5m`, `1h` or plain seconds."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise typer.BadParameter(f"{text!r}: write a duration such as 60s, 5m or 1h")
    return value


def speed_of(text: str) -> float | None:
    """A factor, or None for `max`."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 50:
        raise typer.BadParameter(f"{text!r}: a factor of up to 50, or max")
    return value


def show(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def run_of(path: Path | None) -> RunDir:
    """The run that a command looks at: one that is there. Nothing is made."""
    return RunDir.existing(path if path is not None else RunDir.latest())


Flatten = Annotated[bool, typer.Option("--flatten", help="--live: at the end close every position")]
LeaveStops = Annotated[bool, typer.Option("--leave-stops", help="--live: at the end leave positions with their stops")]


def ending_of(flatten: bool, leave_stops: bool) -> str:
    """What becomes of the positions of a live run when it ends; empty: that is asked then."""
    if flatten and leave_stops:
        raise typer.BadParameter("--flatten or --leave-stops, not both")
    return "flatten" if flatten else "leave-stops" if leave_stops else ""


def fail_where(damage: str | None) -> None:
    """A journal that is not whole fails the command that has said what it could of it."""
    if damage:
        raise Failed(damage)


def token_for(source: str) -> str:
    """The token of a source: `demo` for the sim, never another."""
    if source == "sim":
        return "demo"
    from engine.broker.upstox.login import stored_token

    return stored_token()


MOODS = {"normal": 1.0, "lively": 4.0}


def mood_of(text: str) -> float:
    if text not in MOODS:
        raise typer.BadParameter(f"--mood {text}: {' or '.join(MOODS)}")
    return MOODS[text]


def source_of(data: Path | None, seed: int, day: dt.date | None, names: int, minutes: int = 375, mood: str = "normal",
              contracts: int = -1) -> Any:
    """The market asked for. `contracts`: options of each stock besides its future, -1: stocks alone."""
    from engine.market.instruments import shipped
    from engine.sim import recorded
    from engine.sim.contracts import with_contracts
    from engine.sim.market import SyntheticMarket

    if data is not None and (data / "journal").is_dir():
        from engine.trail.checked import survey

        fail_where(survey(data))                           # half a market must not pass for one
        return recorded.Journaled(data / "journal")
    if data is not None:
        return recorded.load(data, day)
    date = day or DEFAULT_DAY
    specs = list(shipped()[:names])
    if contracts >= 0:
        specs = with_contracts(specs, date, contracts)
    market = SyntheticMarket(specs, date, seed, mood=mood_of(mood))
    market.minutes = min(market.minutes, minutes)
    return market
