"""Fetches candles: the months a machine keeps, within the broker's limits and gone on with wherever it stopped, and today's."""
import asyncio
import contextlib
import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.records import WARM_BAR
from engine.broker.base import BrokerError
from engine.broker.upstox import candles
from engine.broker.upstox.market import Market
from engine.market import history

BUDGET = ((1.0, 20), (60.0, 300), (1800.0, 1500))
"""Candle calls: the broker allows 50, 500 and 2,000 (docs/upstox.md 4.1); a running engine's backfill must find room."""
PAUSES = (1.0, 5.0, 20.0)


class Pace:
    """Waits so that no window of `budget` is exceeded, counting the calls of earlier processes too: they stand in `path`."""

    def __init__(self, budget: Sequence[tuple[float, int]] = BUDGET, path: Path | None = None):
        self.budget = budget
        self.calls: deque[float] = deque(maxlen=max(limit for _, limit in budget))
        self.path = path or history.folder() / "calls"
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


async def months(api: Market, keys: Sequence[str], day: dt.date, count: int, tell: Callable[[int, int, str], Any],
                 pace: Pace | None = None) -> dict[str, Any]:
    """Fetches what is missing of `count` months before `day` for `keys`, newest month first so that a start is possible soon.

    `tell(done, all, what)` hears of each call. A month that is over is fetched once; the running one again when a session was
    added. What failed is in the answer and tried at the next call. Raises BrokerError for a refused token only.
    """
    pace = pace or Pace()
    todo = [(key, first, last) for first, last in history.months_back(day, count) for key in keys
            if not history.is_whole(history.file_of(key, first), last)]
    failed: dict[str, str] = {}
    rows, month = 0, None
    try:
        for done, (key, first, last) in enumerate(todo, 1):
            if month not in (None, first):
                history.write_recent(keys, day)              # the newest month is there: a start is possible
            month = first
            problem, count = await _one(api, key, first, last, pace)
            rows += count
            if problem:
                failed[f"{key} {first:%Y-%m}"] = problem
            tell(done, len(todo), f"{key} {first:%Y-%m}{': ' + problem if problem else ''}")
    finally:
        history.write_recent(keys, day)
    return {"calls": len(todo), "rows": rows, "failed": failed, "kept": sum(1 for _ in history.folder().glob("*/*.parquet"))}


async def _one(api: Market, key: str, first: dt.date, last: dt.date, pace: Pace) -> tuple[str, int]:
    """Fetches one month of one name: (what went wrong, bars). An answer with less than is kept is none."""
    problem = ""
    for pause in (*PAUSES, None):
        await pace.turn()
        try:
            bars = candles.of_rows(await api.candles(key, first, last))
            had = len(history.read(key, first, last))
            if len(bars) < had:
                return f"{len(bars)} bars where {had} are kept", 0
            history.write(history.file_of(key, first), bars, last if len(bars) else first)
            return ("" if len(bars) else "no bars"), len(bars)
        except (BrokerError, ValueError, TypeError, IndexError) as error:
            if isinstance(error, BrokerError) and error.status == 401:
                raise
            problem = str(error)
            if pause is None or (isinstance(error, BrokerError) and error.status == 400):
                break
            await asyncio.sleep(pause)
    return problem, 0


async def today(api: Market, keys: Mapping[str, int], now: dt.datetime, pace: Pace | None = None) -> np.ndarray:
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
