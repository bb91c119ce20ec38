"""Looks for what would make a strategy's backtest lie: what it knows of the future, of the clock, of the order of a set, of files.

A day is played once, and again with another hash seed, on a clock a year ahead, and cut at some instants: after the cut prices and
volumes are noise. Until the cut every decision must be the same, byte for byte. Each play is a process of its own that may read
libraries, this project and the day's copy, and no other file (where the kernel has Landlock; elsewhere opening one is noticed).
"""
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.errors import EngineError
from engine.feed.dayfile import DayFile, Source, write
from engine.market.instruments import shipped
from engine.sim.days import path_of
from engine.sim.market import SyntheticMarket

CUTS, HASHES = 10, 3
GENERATED = dt.date(2026, 9, 1)
NAMES, MINUTES, MOOD = 12, 180, 4.0
"""Of the day that is generated where no data is given: its moves are four times those of a calibrated day, so that things
happen."""
YEAR_S = 365 * 86_400
PLAY_S = 600
"""Longest time a play may take."""


class CheckError(EngineError):
    """The check itself could not be made."""


@dataclass
class Play:
    """How a day is played, and what was decided: time (ns) and hash of each decision, in order."""
    name: str
    day: Path
    until: int = 0                    # ns: decisions up to here are compared; 0: all
    hash_seed: int = 0
    shift_s: int = 0                  # of the clock
    now: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    decided: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    said: dict[str, Any] = field(default_factory=dict)


def check(file: Path, parameters: dict[str, Any], data: Path | None = None, seed: int = 1, cuts: int = CUTS,
          hashes: int = HASHES, say: Callable[[str], Any] = lambda _: None) -> dict[str, Any]:
    """What was found: `problems` (empty for an honest strategy), its calls, candidates and time a call. `data`: a day file; without
    one a day is generated. CheckError where the strategy cannot be played at all."""
    with tempfile.TemporaryDirectory(prefix="spike-check-") as name:
        folder = Path(name)
        say("preparing the day")
        whole = _copy(DayFile(data), folder / "whole") if data is not None else _generated(folder / "whole", seed)
        plays = [Play("as it is", whole), Play("a second time", whole),
                 *(Play(f"with hash seed {k}", whole, hash_seed=k) for k in range(1, hashes + 1)),
                 Play("on a clock a year ahead", whole, shift_s=YEAR_S)]
        for k, until in enumerate(_instants(DayFile(whole), seed, cuts)):
            plays.append(Play(f"cut at {_clock(until)}", _cut(DayFile(whole), folder / f"cut{k}", until, seed + k), until))
        say(f"playing it {len(plays)} times")
        with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
            list(pool.map(lambda play: _played(play, file, parameters, folder), plays))
    return _judged(plays)


def _judged(plays: Sequence[Play]) -> dict[str, Any]:
    base = plays[0]
    problems = list(base.said["problems"])
    for play, why in zip(plays[1:], _reasons(plays[1:]), strict=True):
        at = _first_difference(base, play)
        if at is not None and not (play.until and "not twice the same" in " ".join(problems)):
            problems.append(f"{why}: {play.name}, another decision at {_clock(at)}")
        problems += [problem for problem in play.said["problems"] if problem not in problems]
    return {"problems": problems, "is_honest": not problems, "plays": len(plays), "calls": base.said["calls"],
            "candidates": base.said["candidates"], "trades": base.said["trades"], "us_a_call": base.said["us_a_call"],
            "is_confined": base.said["is_confined"]}


def _reasons(plays: Iterable[Play]) -> list[str]:
    out = []
    for play in plays:
        if play.until:
            out.append("it knows what comes later")
        elif play.shift_s:
            out.append("it decides by the clock")
        elif play.hash_seed:
            out.append("it decides by the order of a set or of hashes")
        else:
            out.append("it is not twice the same (random numbers, the clock, addresses)")
    return out


def _first_difference(base: Play, play: Play) -> int | None:
    """Time of the first decision that is another, up to the play's end; None where all are the same."""
    ends = [int(np.searchsorted(one.now, play.until, "right")) if play.until else len(one.now) for one in (base, play)]
    count = min(ends)
    other = np.flatnonzero((base.now[:count] != play.now[:count]) | (base.decided[:count] != play.decided[:count]))
    if len(other):
        return int(base.now[other[0]])
    if ends[0] != ends[1]:
        longer = base if ends[0] > ends[1] else play
        return int(longer.now[count])
    return None


def _clock(now: int) -> str:
    return f"{dt.datetime.fromtimestamp(now / 1e9, dt.timezone(dt.timedelta(minutes=330))):%H:%M:%S}"


# ---- days -------------------------------------------------------------------------------------------------------------------
def _generated(folder: Path, seed: int) -> Path:
    from engine.feed import TICK_DTYPE
    from engine.feed.dayfile import of_ticks

    market = SyntheticMarket(list(shipped()[:NAMES]), GENERATED, seed, mood=MOOD)
    market.minutes = MINUTES
    parts = [(at, rows) for at, rows, _ in market.frames()]
    rows = np.concatenate([part.view(np.uint8) for _, part in parts]).view(TICK_DTYPE)
    received = np.repeat([at for at, _ in parts], [len(part) for _, part in parts])
    folder.mkdir()
    path = path_of(folder, GENERATED, "ticks")
    write(path, GENERATED, "ticks", market.specs, of_ticks(rows, received, market.specs), [Source("generated", "")])
    return path


def _copy(day: DayFile, folder: Path) -> Path:
    """The day where nothing but the check looks."""
    folder.mkdir()
    path = path_of(folder, day.day, day.kind)
    write(path, day.day, day.kind, day.specs, day.columns, day.sources, day.notes)
    return path


def _instants(day: DayFile, seed: int, cuts: int) -> list[int]:
    """Instants within the day, ns, in the middle of its rows."""
    times = np.unique(np.asarray(day.columns["received" if day.kind == "ticks" else "ms"]))
    draw = np.random.default_rng(seed)
    low, high = len(times) // 10, max(len(times) - 1, len(times) // 10 + 1)
    return sorted(int(times[k]) * 1_000_000 for k in draw.integers(low, high, cuts))


def _cut(day: DayFile, folder: Path, until: int, seed: int) -> Path:
    """The day with noise for prices and volumes after `until`: each name's price walks on from where it was."""
    draw = np.random.default_rng(seed)
    columns = {name: np.array(values) for name, values in day.columns.items()}
    stamp = columns["received" if day.kind == "ticks" else "ms"] * 1_000_000 + (60_000_000_000 if day.kind == "bars" else 0)
    inst = columns["inst"]
    for k, spec in enumerate(day.specs):
        later = np.flatnonzero((inst == k) & (stamp > until))
        if not len(later):
            continue
        factor = np.exp(np.cumsum(draw.normal(0.0, 2e-3 if day.kind == "bars" else 3e-4, len(later))))
        for name in PRICES & columns.keys():
            scale = factor[:, None] if columns[name].ndim > 1 else factor
            step = max(spec.tick, 1)
            columns[name][later] = np.maximum(np.rint(columns[name][later] * scale / step) * step, 0).astype(columns[name].dtype)
        for name in ("levels.bidQ", "levels.askQ", "volume", "ltq"):
            if name in columns:
                shape = columns[name][later].shape
                columns[name][later] = (columns[name][later] * draw.uniform(0.2, 3.0, shape)).astype(columns[name].dtype)
        if "vtt" in columns:
            steps = np.diff(columns["vtt"][later], prepend=columns["vtt"][later[0]])
            grown = np.maximum(steps, 0) * draw.uniform(0.2, 4.0, len(later))
            columns["vtt"][later] = columns["vtt"][later[0]] + np.cumsum(grown).astype(np.int64)
    folder.mkdir()
    path = path_of(folder, day.day, day.kind)
    write(path, day.day, day.kind, day.specs, columns, day.sources, day.notes)
    return path


PRICES = frozenset({"ltp", "atp", "levels.bidP", "levels.askP", "open", "high", "low", "close", "i1.open", "i1.high", "i1.low",
                    "i1.close"})
"""Columns in paise that are made noise of after a cut."""


# ---- one play ---------------------------------------------------------------------------------------------------------------
def _played(play: Play, file: Path, parameters: dict[str, Any], folder: Path) -> None:
    """Plays a day in a process of its own, and takes what it decided."""
    out = folder / f"{play.day.parent.name}-{play.hash_seed}-{play.shift_s}-{abs(hash(play.name))}.npz"
    asked = {"file": str(file.resolve()), "parameters": parameters, "day": str(play.day), "out": str(out), "folder": str(folder),
             "shift_s": play.shift_s}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_") or name == "ENGINE_SHM"}
    environment |= {"PYTHONHASHSEED": str(play.hash_seed), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", "engine.backtest.play"], input=orjson.dumps(asked), capture_output=True,
                          timeout=PLAY_S, env=environment, check=False)
    if done.returncode or not out.exists():
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise CheckError(lines[-1].removeprefix("error: ") if lines else f"a play ended with {done.returncode}")
    with np.load(out) as found:
        play.now, play.decided = found["now"], found["decided"]
    play.said = orjson.loads(done.stdout)
