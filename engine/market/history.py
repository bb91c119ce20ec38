"""One-minute candles of the last months, kept on this machine: a Parquet file a name and month. What an engine needs of them at its
start is kept beside them in one small file.

The broker adjusts its candles for splits and bonuses (with quirks, docs/upstox.md 7.18); what the last night did to a name is
judged at the start, from the exchange's own previous close (universe.overnight).
"""
import datetime as dt
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from _ext.core.clock import day_of_minutes
from _ext.core.records import WARM_BAR
from engine.market.sessions import number_of
from engine.market.universe import turnover_of_bars

WARM_BARS = 75
"""Minutes of the last session an engine starts with: the long window is 50."""


def folder() -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "history"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base


def file_of(key: str, month: dt.date) -> Path:
    return folder() / key.replace("|", "_").replace(" ", "-") / f"{month:%Y-%m}.parquet"


def months_back(day: dt.date, count: int) -> list[tuple[dt.date, dt.date]]:
    """(first, last) of this month up to the day before `day`, and of the `count` - 1 months before, newest first."""
    out, last = [], day - dt.timedelta(days=1)
    for _ in range(count):
        first = last.replace(day=1)
        out.append((first, last))
        last = first - dt.timedelta(days=1)
    return out


def is_whole(path: Path, last: dt.date) -> bool:
    """Whether a file was fetched up to `last`."""
    try:
        return path.with_suffix(".upto").read_text() >= last.isoformat() and path.exists()
    except OSError:
        return False


def write(path: Path, bars: np.ndarray, last: dt.date) -> None:
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
        if file_of(key, month).exists():
            frame = pl.read_parquet(file_of(key, month))
            rows = np.zeros(len(frame), WARM_BAR)
            for name in frame.columns:
                rows[name] = frame[name].to_numpy()
            parts.append(rows)
        month = (month + dt.timedelta(days=32)).replace(day=1)
    rows = once(np.concatenate(parts)) if parts else np.zeros(0, WARM_BAR)
    days = day_of_minutes(rows["minute"])
    return np.asarray(rows[(days >= number_of(first)) & (days <= number_of(last))])


def once(bars: np.ndarray) -> np.ndarray:
    """WARM_BAR rows of one name, oldest first, each minute once: of several rows of a minute the last stands."""
    bars = bars[np.argsort(bars["minute"], kind="stable")]
    return np.asarray(bars[np.append(bars["minute"][1:] != bars["minute"][:-1], True)]) if len(bars) else bars


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
    return np.asarray(bars)


def rescaled(bars: np.ndarray, factors: Mapping[int, float], shares: Mapping[int, float]) -> np.ndarray:
    """Bars on today's scale after what happened overnight: prices times the row's factor, volumes times what its shares were
    multiplied by (a demerger and a dividend add none)."""
    out = bars.copy()
    for inst, factor in factors.items():
        mine = out["inst"] == inst
        for name in ("open", "high", "low", "close"):
            out[name][mine] = np.rint(out[name][mine] * factor)
        out["volume"][mine] = np.rint(out["volume"][mine] * shares.get(inst, 1.0))
    return out
