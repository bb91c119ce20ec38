"""What a backtest runs on: day files, and those made of anything else once and kept."""
import contextlib
import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from engine.config import Config, load
from engine.errors import DataError
from engine.feed.dayfile import SUFFIX, DayFile, Head, Source, of_ticks, write
from engine.trail.checked import survey
from engine.trail.rundir import RunError

MADE_OF, WHOLE = "made-of.json", "whole.json"
MADE = 2
"""Rises where day files of runs are made in another way: those of before are made again."""
DATABASE = "clickhouse"


def is_database(data: Path) -> bool:
    """Whether the data is what ClickHouse has, `clickhouse[:RUN|:MARKET][:bars]`, and no file or folder."""
    return str(data).partition(":")[0] == DATABASE


def days_of(data: Path, cache: Path, tell: Callable[[str], Any] = lambda _: None,
            span: tuple[dt.date | None, dt.date | None] = (None, None), config: Config | None = None) -> list[Head]:
    """Heads of the day files of `data` in order of their days: a day file, a folder of them, a run folder, or CSV and Parquet
    files, of which day files are made in a folder of `cache`; of the database of `config` (`engine/backtest/clickhouse.py`) only
    those of `span` and the session before. A day that has ticks is played from its ticks and not from its bars. DataError where
    there are none; `tell` hears what was understood of foreign files."""
    if is_database(data):
        from engine.backtest import clickhouse

        paths = clickhouse.paths_of(data, span, cache.parent, cache, config or load(), tell)
    elif not data.exists():
        raise DataError(f"{data}: there is no such file or folder")
    elif (data / "journal").is_dir():
        paths = [_of_run(data, cache)]
    elif data.suffix == SUFFIX:
        paths = [data]
    else:
        paths = sorted(data.glob(f"*{SUFFIX}")) if data.is_dir() else []
        if not paths:
            paths = sorted(_of_tables(data, cache, tell).glob(f"*{SUFFIX}"))
    best: dict[dt.date, Head] = {}
    for head in map(Head, paths):
        known = best.get(head.day)
        if head.rows and known is not None and known.kind == head.kind:
            raise DataError(f"{known.path.name} and {head.path.name} both hold {head.kind} of {head.day}: keep one of them in the "
                            "folder, or name one file")
        if head.rows and (known is None or head.kind == "ticks"):
            best[head.day] = head
    if not best:
        raise DataError(f"{data}: there is no day with rows")
    return [head for _, head in sorted(best.items())]


def must_be_whole(day: DayFile, cache: Path) -> None:
    """DataError where a day file's content is not what was written: a flipped bit is a wrong price, and a wrong price a fortune. A
    file that was found whole and has not changed since is believed."""
    path, known = cache / WHOLE, dict[str, Any]()
    with contextlib.suppress(OSError, ValueError):
        known = orjson.loads(path.read_bytes())
    stamp = [day.path.stat().st_size, day.path.stat().st_mtime_ns, day.path.stat().st_ctime_ns]
    if known.get(str(day.path.resolve())) == stamp:
        return
    if not day.is_whole:
        raise DataError(f"{day.path}: its content is not what was written (a damaged disk, or somebody changed it): make it again "
                        "with `python -m engine data import`")
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(orjson.dumps(known | {str(day.path.resolve()): stamp}))
        temporary.replace(path)


def _folder_for(data: Path, cache: Path) -> Path:
    """The folder of the day files made of `data`."""
    return cache / f"{data.resolve().name}-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]}"


def _of_tables(data: Path, cache: Path, tell: Callable[[str], Any]) -> Path:
    """Day files of CSV and Parquet files, made anew where any of the files has changed since."""
    from engine.market.layouts import Asked, found
    from engine.sim.days import bring_in

    folder = _folder_for(data, cache)
    now = _stamps(found([data]))
    try:
        before = orjson.loads((folder / MADE_OF).read_bytes())
    except (OSError, ValueError):
        before = None
    if before != now:
        tell(f"{data}: making day files of {len(now)} files in {folder}")
        for old in folder.glob(f"*{SUFFIX}"):
            old.unlink()
        bring_in([data], folder, Asked("", "rupees", "", ""), tell)
        (folder / MADE_OF).write_bytes(orjson.dumps(now))
    return folder


def _stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of change of each file."""
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(paths)]


def _of_run(folder: Path, cache: Path) -> Path:
    """The day file of a run's journaled frames."""
    from engine.sim import recorded
    from engine.sim.days import path_of

    if damage := survey(folder):
        raise RunError(damage)
    into = _folder_for(folder, cache)
    segments = [[MADE], *_stamps([path for path in (folder / "journal").iterdir() if path.is_file()])]
    if into.is_dir() and (into / MADE_OF).exists() and orjson.loads((into / MADE_OF).read_bytes()) == segments:
        return next(into.glob(f"*{SUFFIX}"))
    recording = recorded.from_run(folder / "journal")
    into.mkdir(parents=True, exist_ok=True)
    path = path_of(into, recording.day, "ticks")
    columns = of_ticks(recording.rows, recording.received, recording.specs)
    write(path, recording.day, "ticks", recording.specs, columns, [Source(str(folder.name), "")])
    (into / MADE_OF).write_bytes(orjson.dumps(segments))
    return path
