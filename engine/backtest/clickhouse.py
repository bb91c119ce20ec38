"""Days of a backtest from ClickHouse: ticks or bars that runs of this engine have stored, made into day files once.

`clickhouse` is the database of the runs in `runs`, or the server of `store.url`. `clickhouse:WORD` names a run, or a market (sim,
upstox ..); `clickhouse:bars`, `clickhouse:WORD:bars` takes minutes instead of ticks. A day file is made again where the tables have
other rows of the day: their number, the last one's journal sequence and its time.
"""
import contextlib
import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.config import Config
from engine.errors import DataError, EngineError
from engine.feed.dayfile import Source, write
from engine.sim.days import path_of
from engine.store import day_rows
from engine.store.client import client_of
from engine.store.home import Home
from engine.trail.rundir import RunDir

WORD = "clickhouse"
LAST = {"ticks": ("seq", "max(toUnixTimestamp64Micro(recv_ts))"), "bars": ("version", "max(toUnixTimestamp64Micro(closed))")}
"""What tells rows that came later: the journal's sequence, and the time of receipt."""
MOST = 8
"""Runs that are named in an error."""

Tell = Callable[[str], Any]


class Stored(NamedTuple):
    """A day of a run, as the tables have it. `last`: the highest sequence and time of its rows."""
    run: int
    name: str
    market: str
    day: dt.date
    rows: int
    last: tuple[int, int]


def paths_of(data: Path, span: tuple[dt.date | None, dt.date | None], home: Path, cache: Path, config: Config,
             tell: Tell) -> list[Path]:
    """Day files of the days from `span[0]` to `span[1]` (both may be open) and of the session before, made in a folder of `cache`.
    `home`: folder of the runs. DataError where nothing is stored, or rows make no sense; `tell` hears which runs were taken."""
    word, kind = _asked(data)
    with _plainly(), _client(config, home) as client:
        days = _chosen(_stored(client, kind, word), word, kind, tell)
        wanted = _within(days, *span)
        folder = cache / f"{WORD}-{hashlib.sha256(_where(config, home).encode()).hexdigest()[:8]}"
        return [_made(client, one, kind, folder, tell) for one in wanted]


def _asked(data: Path) -> tuple[str, str]:
    """(word, kind) of `clickhouse[:WORD][:bars]`."""
    words = str(data).split(":")[1:]
    kind = "bars" if words and words[-1] == "bars" else "ticks"
    words = words[:-1] if kind == "bars" else words
    if len(words) > 1 or not all(words):
        raise DataError(f"--data {data}: {WORD}, {WORD}:RUN, {WORD}:MARKET, and :bars behind it for minutes")
    return (words[0] if words else ""), kind


def _where(config: Config, home: Path) -> str:
    return config.store.url.rpartition("@")[2] or str(home.absolute())


@contextlib.contextmanager
def _client(config: Config, home: Path) -> Iterator[Any]:
    """A reader of the server of `store.url`, or of the home's database."""
    if not config.store.url and not Home(home).has_tables:
        raise DataError(f"there is no database in {home.absolute()}: `python -m engine` makes one with its first run; to take a "
                        "run that lies elsewhere, name its folder; a server is `url` under [store] in engine.toml")
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)       # what it has to say comes as an exception too
    with client_of(config, RunDir(Path() if config.store.url else home, make=False)) as client:
        yield client


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """What ClickHouse or its client say against a question, in a line."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        said = str(error).split("(for url")[0].partition("DB::Exception: ")[2].strip()
        raise DataError(f"ClickHouse does not give the rows ({said[:200] or 'it does not answer'}): look whether "
                        "`python -m engine query \"SELECT count() FROM ticks\"` answers") from None


def _stored(client: Any, kind: str, word: str) -> list[Stored]:
    """Days of runs whose name or market is `word`, of all for an empty one, by day. A run is known by its row in the table runs."""
    sequence, time = LAST[kind]
    named = [(int(run), str(name), str(market)) for run, name, market in client.query(
        "SELECT run, any(name), any(source) FROM runs GROUP BY run").result_rows]
    chosen = [row for row in named if row[1] == word] or [row for row in named if word in ("", row[2])]
    if not chosen and named:
        raise DataError(f"ClickHouse has no run and no market called {word!r}: it has {len(named)} runs of "
                        f"{', '.join(sorted({row[2] for row in named}))}; "
                        "`python -m engine query \"SELECT name, day, source FROM runs FINAL\"` names them")
    if not chosen:
        return []
    about = {run: (name, market) for run, name, market in chosen}
    found = client.query(f"SELECT run, toString(trade_date), count(), max({sequence}), {time} FROM {kind} "
                         f"WHERE run IN ({', '.join(map(str, about))}) GROUP BY run, trade_date ORDER BY trade_date").result_rows
    return [Stored(run, *about[run], dt.date.fromisoformat(day), rows, (last, at)) for run, day, rows, last, at in found]


def _chosen(days: Sequence[Stored], word: str, kind: str, tell: Tell) -> list[Stored]:
    """One run for each day: where a market has several, the one that saw most of it. DataError where there are several markets."""
    if not days:
        raise DataError(f"ClickHouse has no {kind} of {word or 'any run'}: `python -m engine store --once --run-dir FOLDER` stores "
                        "those of a run from its journal")
    if len(markets := sorted({one.market for one in days})) > 1:
        raise DataError(f"ClickHouse has days of several markets, and a simulated day says nothing of a real one: name one, as "
                        f"--data {WORD}:{markets[-1]} (there are {', '.join(markets)}), or a run")
    best: dict[dt.date, Stored] = {}
    for one in days:
        if one.day not in best or (one.rows, one.last) > (best[one.day].rows, best[one.day].last):
            best[one.day] = one
    for day, one in best.items():
        others = [other.name for other in days if other.day == day and other is not one]
        if others:
            tell(f"{day}: run {one.name} is taken, which saw most ({one.rows:,} {kind}); {WORD}:NAME takes another: "
                 + ", ".join(others[:MOST]) + (", .." if len(others) > MOST else ""))
    return list(best.values())


def _within(days: Sequence[Stored], first: dt.date | None, last: dt.date | None) -> list[Stored]:
    """Those from `first` to `last`, and the one before, whose last minutes are known when the first begins. DataError for none."""
    low, high = first or days[0].day, last or days[-1].day
    if not (wanted := [one for one in days if low <= one.day <= high]):
        raise DataError(f"ClickHouse has no day from {low} to {high}; there are {days[0].day} to {days[-1].day}")
    return [*[one for one in days if one.day < low][-1:], *wanted]


def _made(client: Any, one: Stored, kind: str, folder: Path, tell: Tell) -> Path:
    """The day file of a run's day, made where it is not there or the tables have other rows by now."""
    folder = folder / f"{one.run:08x}"
    path, note = path_of(folder, one.day, kind), folder / f"{one.day}.{kind}.json"
    now = [one.rows, *one.last]
    with contextlib.suppress(OSError, ValueError):
        if path.exists() and orjson.loads(note.read_bytes()) == now:
            return path
    tell(f"{one.day}: making a day file of {one.rows:,} {kind} of run {one.name}")
    specs = day_rows.specs_of(client, one.run, one.name)
    columns = day_rows.columns_of(client, one.run, one.name, one.day, kind, len(specs), one.last[0])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.unlink(missing_ok=True)
    write(path, one.day, kind, specs, columns, [Source(f"ClickHouse, {kind} of run {one.name}", "")],
          ["of the book the best quotes alone were stored"] if kind == "ticks" else [])
    note.write_bytes(orjson.dumps(now))
    return path
