"""One-minute candles of the last months, kept on this machine: a Parquet file a name and month, fetched within the broker's limits
and gone on with wherever it stopped. What an engine needs of them at its start is kept beside them in one small file.

The broker adjusts its candles for splits and bonuses (with quirks, UPSTOX 7.18); what the last night did to a name is judged at the
start, from the exchange's own previous close (universe.overnight).
"""
import asyncio
import contextlib
import datetime as dt
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.clock import day_of_minutes
from _ext.core.records import WARM_BAR
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import BrokerError
from engine.market import candles
from engine.market.sessions import number_of
from engine.market.universe import turnover_of_bars

WARM_BARS = 75
"""Minutes of the last session an engine starts with: the long window is 50."""
BUDGET = ((1.0, 20), (60.0, 300), (1800.0, 1500))
"""Candle calls: the broker allows 50, 500 and 2,000 (UPSTOX 4.1); a running engine's backfill must find room."""
PAUSES = (1.0, 5.0, 20.0)


def folder() -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "history"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base


def _file(key: str, month: dt.date) -> Path:
    return folder() / key.replace("|", "_").replace(" ", "-") / f"{month:%Y-%m}.parquet"


def months_back(day: dt.date, count: int) -> list[tuple[dt.date, dt.date]]:
    """(first, last) of this month up to the day before `day`, and of the `count` - 1 months before, newest first."""
    out, last = [], day - dt.timedelta(days=1)
    for _ in range(count):
        first = last.replace(day=1)
        out.append((first, last))
        last = first - dt.timedelta(days=1)
    return out


class Pace:
    """Waits so that no window of `budget` is exceeded, counting the calls of earlier processes too: they stand in `path`."""

    def __init__(self, budget: Sequence[tuple[float, int]] = BUDGET, path: Path | None = None):
        self.budget = budget
        self.calls: deque[float] = deque(maxlen=max(limit for _, limit in budget))
        self.path = path or folder() / "calls"
        now, longest = time.time(), max(length for length, _ in budget)
        with contextlib.suppress(OSError, ValueError):
            self.calls.extend(t for t in map(float, self.path.read_text().split()) if now - longest < t <= now)
        self.path.write_text("".join(f"{t:.3f}\n" for t in self.calls))

    async def turn(self) -> None:
        while True:
            now = time.time()
            waits = [self.calls[-limit] + length - now for length, limit in self.budget if len(self.calls) >= limit]
            if max(waits, default=0) <= 0:
                self.calls.append(now)
                with self.path.open("a") as file:
                    file.write(f"{now:.3f}\n")
                return
            await asyncio.sleep(max(waits))


async def sync(api: Api, keys: Sequence[str], day: dt.date, months: int, tell: Callable[[int, int, str], Any],
               pace: Pace | None = None) -> dict[str, Any]:
    """Fetches what is missing of `months` months before `day` for `keys`, newest month first so that a start is possible soon.

    `tell(done, all, what)` hears of each call. A month that is over is fetched once; the running one again when a session was
    added. What failed is in the answer and tried at the next call. Raises BrokerError for a refused token only.
    """
    pace = pace or Pace()
    todo = [(key, first, last) for first, last in months_back(day, months) for key in keys
            if not _is_whole(_file(key, first), last)]
    failed: dict[str, str] = {}
    rows, month = 0, None
    try:
        for done, (key, first, last) in enumerate(todo, 1):
            if month not in (None, first):
                write_recent(keys, day)              # the newest month is there: a start is possible
            month = first
            problem, count = await _one(api, key, first, last, pace)
            rows += count
            if problem:
                failed[f"{key} {first:%Y-%m}"] = problem
            tell(done, len(todo), f"{key} {first:%Y-%m}{': ' + problem if problem else ''}")
    finally:
        write_recent(keys, day)
    return {"calls": len(todo), "rows": rows, "failed": failed, "kept": sum(1 for _ in folder().glob("*/*.parquet"))}


async def _one(api: Api, key: str, first: dt.date, last: dt.date, pace: Pace) -> tuple[str, int]:
    """Fetches one month of one name: (what went wrong, bars). An answer with less than is kept is none."""
    problem = ""
    for pause in (*PAUSES, None):
        await pace.turn()
        try:
            bars = candles.of_rows(await api.candles(key, first, last))
            had = len(read(key, first, last))
            if len(bars) < had:
                return f"{len(bars)} bars where {had} are kept", 0
            _write(_file(key, first), bars, last if len(bars) else first)
            return ("" if len(bars) else "no bars"), len(bars)
        except (BrokerError, ValueError, TypeError, IndexError) as error:
            if isinstance(error, BrokerError) and error.status == 401:
                raise
            problem = str(error)
            if pause is None or (isinstance(error, BrokerError) and error.status == 400):
                break
            await asyncio.sleep(pause)
    return problem, 0


def _is_whole(path: Path, last: dt.date) -> bool:
    """Whether a file was fetched up to `last`."""
    try:
        return path.with_suffix(".upto").read_text() >= last.isoformat() and path.exists()
    except OSError:
        return False


def _write(path: Path, bars: np.ndarray, last: dt.date) -> None:
    import polars as pl

    path.parent.mkdir(exist_ok=True, mode=0o700)
    frame = pl.DataFrame({name: bars[name] for name in ("minute", "open", "high", "low", "close", "volume")})
    temporary = path.with_suffix(".new")
    frame.write_parquet(temporary, compression="zstd")
    temporary.replace(path)
    path.with_suffix(".upto").write_text(last.isoformat())


def read(key: str, first: dt.date, last: dt.date) -> np.ndarray:
    """WARM_BAR rows of one name from `first` to `last`, oldest first; what was not fetched is not there."""
    import polars as pl

    parts, month = [], first.replace(day=1)
    while month <= last:
        if _file(key, month).exists():
            frame = pl.read_parquet(_file(key, month))
            rows = np.zeros(len(frame), WARM_BAR)
            for name in frame.columns:
                rows[name] = frame[name].to_numpy()
            parts.append(rows)
        month = (month + dt.timedelta(days=32)).replace(day=1)
    rows = np.concatenate(parts) if parts else np.zeros(0, WARM_BAR)
    days = day_of_minutes(rows["minute"])
    return rows[(days >= number_of(first)) & (days <= number_of(last))]


def write_recent(keys: Iterable[str], day: dt.date) -> None:
    """The last minutes of each name before `day` and what it usually trades, in one file that an engine reads without a library."""
    names: list[str] = []
    parts, values = [], []
    usual = turnovers(day)
    known = {key: i for i, key in enumerate(_recent_names())}
    kept = recent(known, day)
    for key in dict.fromkeys([*keys, *known]):       # what another call fetched stays
        month = read(key, day - dt.timedelta(days=35), day - dt.timedelta(days=1))
        rows = month[-WARM_BARS:] if len(month) else kept[kept["inst"] == known.get(key, -1)].copy()
        if len(rows):
            rows["inst"] = len(names)
            names.append(key)
            parts.append(rows)
            values.append(turnover_of_bars(month).value if len(month) else usual.get(key, math.nan))
    temporary = folder() / "recent.new.npz"
    np.savez(temporary, keys=np.array(names, "S48"), turnover=np.array(values, float), day=np.array(day.toordinal()),
             bars=np.concatenate(parts) if parts else np.zeros(0, WARM_BAR))
    temporary.replace(folder() / "recent.npz")


def turnovers(day: dt.date) -> dict[str, float]:
    """Key -> rupees a day, mean of the last 20 sessions, where history was synced within ten days of `day`."""
    try:
        with np.load(folder() / "recent.npz", allow_pickle=False) as kept:
            if not 0 <= day.toordinal() - int(kept["day"]) <= 10:
                return {}
            return {k.decode(): float(v) for k, v in zip(kept["keys"], kept["turnover"], strict=True) if v > 0}
    except (OSError, ValueError, KeyError):
        return {}


def _recent_names() -> list[str]:
    try:
        with np.load(folder() / "recent.npz", allow_pickle=False) as kept:
            return [k.decode() for k in kept["keys"]]
    except (OSError, ValueError, KeyError):
        return []


def recent(insts: Mapping[str, int], day: dt.date) -> np.ndarray:
    """Bars to start with, rows of `insts` (key -> row), from sessions within five days of `day`; none where nothing was synced."""
    try:
        with np.load(folder() / "recent.npz", allow_pickle=False) as kept:
            names, bars = [k.decode() for k in kept["keys"]], kept["bars"]
    except (OSError, ValueError, KeyError):
        return np.zeros(0, WARM_BAR)
    rows = np.array([insts.get(name, -1) for name in names] or [0])[bars["inst"]]
    age = number_of(day) - day_of_minutes(bars["minute"])
    keep = (rows >= 0) & (age > 0) & (age <= 5)
    bars = bars[keep]
    bars["inst"] = rows[keep]
    return bars


def rescaled(bars: np.ndarray, factors: Mapping[int, float]) -> np.ndarray:
    """Bars on today's scale after splits and bonuses of the night: prices times the row's factor, volumes through it."""
    out = bars.copy()
    for inst, factor in factors.items():
        mine = out["inst"] == inst
        for name in ("open", "high", "low", "close"):
            out[name][mine] = np.rint(out[name][mine] * factor)
        out["volume"][mine] = np.rint(out["volume"][mine] / factor)
    return out


async def today(api: Api, keys: Mapping[str, int], now: dt.datetime, pace: Pace | None = None) -> np.ndarray:
    """Minutes of today that are over, for an engine that starts within the session; names that fail are left out."""
    pace, parts = pace or Pace(), []
    limit = int(now.timestamp()) // 60

    async def one(key: str, inst: int) -> None:
        await pace.turn()
        try:
            rows = candles.of_rows(await api.today(key))
        except (BrokerError, ValueError, TypeError, IndexError):
            return
        rows = rows[rows["minute"] < limit]
        rows["inst"] = inst
        parts.append(rows)

    await asyncio.gather(*(one(key, inst) for key, inst in keys.items()))
    return np.concatenate(parts) if parts else np.zeros(0, WARM_BAR)

