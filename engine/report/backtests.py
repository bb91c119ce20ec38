"""The report of a backtest's folder: its figures, its trades, candles from its day files, refusals from its journals."""
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import REC_INSTRUMENTS, REC_START
from engine.errors import DataError, EngineError
from engine.feed.dayfile import SUFFIX, DayFile, Head
from engine.market.sessions import IST
from engine.report import candles, gather, runs, seen, timing
from engine.report.gather import Report, Say
from engine.report.payload import Block
from engine.report.seen import Seen
from engine.report.settings import settings_of
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir
from engine.watch.state import RunState
from engine.watch.trades import Trade

CACHE = Path("runs") / "days"
NAMES = (REC_START, REC_INSTRUMENTS)
"""Records with the words for the numbers of others."""


def of_backtest(folder: Path, say: Say = lambda _: None) -> Report:
    """The report of the results in `folder`. DataError where they are not there or cannot be read."""
    document, trades = results_of(folder), trades_at(folder)
    days = [str(row["day"]) for row in document["daily"]]
    equity = round(float(document["account"]) * 100)
    notes = [gather.plain(str(note)) for note in document["notes"]]
    notes += [gather.plain(f"strategy off on {text}") for text in document["stopped"]]
    if not document["is_whole"]:
        notes.append(f"not whole: {gather.plain(document['problem'] or 'it was interrupted')}; this is what was done")
    saw, latencies = _journals(folder, days, notes, say)
    has_journals = len(saw.rows) > 0
    settings = document["settings"] or {}
    header: dict[str, Any] = {
        "kind": "backtest", "what": gather.KINDS["backtest"], "runs": [folder.name], "account": equity / 100, "notes": notes,
        "problem": document["problem"] and gather.plain(str(document["problem"])), **gather.common(trades, days, equity),
        "seen": seen.summary(saw) if has_journals else seen.of_counts(document["counts"]),
        "latency": timing.latency(latencies), "criteria": None,
        "slippage": timing.against_quotes(trades, saw, days) if has_journals else None, "suggestions": None, "feed": None,
        "rows": document["rows"], "optimistic": document.get("optimistic") and {
            name: document["optimistic"][name] for name in ("net", "trades", "total_return")},
        "settings": settings_of(settings),
        "thresholds": runs.thresholds_of(settings, None)}
    title = f"Backtest {days[0]} to {days[-1]}" if days else "Backtest"
    begin = int(dt.datetime.combine(dt.date.fromisoformat(days[0]), dt.time(9, 15), IST).timestamp()) if days else 0
    known = _day_files(document, folder, days)
    blocks: list[Block] = gather.blocks_of(trades, saw, days, _Prices(document, known, say), equity, begin, header)
    return title, header, blocks


def results_of(folder: Path) -> dict[str, Any]:
    """backtest.json of a folder. DataError where there is none."""
    try:
        document = orjson.loads((folder / "backtest.json").read_bytes())
    except (OSError, ValueError):
        raise DataError(f"{folder} has no results of a backtest (backtest.json): name a folder that `python -m engine backtest` "
                        "made") from None
    if not isinstance(document, dict) or not {"daily", "account", "notes", "counts", "content"} <= set(document):
        raise DataError(f"{folder / 'backtest.json'} is not of this version: run the backtest again")
    return document


def trades_at(folder: Path) -> list[Trade]:
    """The trades of trades.parquet, in paise and ns again. DataError where they cannot be read."""
    import polars as pl

    try:
        frame = pl.read_parquet(folder / "trades.parquet")
    except (OSError, pl.exceptions.PolarsError):
        raise DataError(f"{folder / 'trades.parquet'} is missing or cannot be read: run the backtest again") from None
    if not len(frame):
        return []
    frame = frame.with_columns(
        *(pl.col(name).dt.timestamp("ns") for name in ("entry_time", "exit_time")),
        *((pl.col(name) * 100) for name in ("entry_price", "exit_price")),
        *((pl.col(name) * 100).round().cast(pl.Int64) for name in ("gross", "charges", "stop", "target")),
        pl.col("score").cast(pl.Float64).fill_null(float("nan")))
    return [Trade(**row) for row in frame.iter_rows(named=True)]


def _journals(folder: Path, days: Sequence[str], notes: list[str], say: Say) -> tuple[Seen, list[Mapping[str, np.ndarray]]]:
    """What each day saw, from the journals that were kept."""
    out, latencies, missing = Seen(), list[Mapping[str, np.ndarray]](), 0
    for number, day in enumerate(days):
        path = folder / day
        if not (path / "journal").is_dir():
            missing += 1
            continue
        try:
            records = reader_of(path).pick((*NAMES, *runs.WANTED))
        except (EngineError, ValueError) as error:
            notes.append(f"{day}: {gather.plain(str(error))}")
            continue
        state = RunState(has_ledger=False)
        for kind, _, payload in records:
            if kind in NAMES:
                state.take(kind, payload)
        kept = [record for record in records if record[0] in runs.WANTED]
        out.add(seen.candidates_of(kept, number), state.symbols, state.sources)
        latencies.append(timing.latencies_of(kept))
    if missing:
        notes.append(f"{missing} of {len(days)} days have no journal: of their candidates only the counts are known")
        if missing == len(days):
            return Seen(), []
    return out, latencies


def _day_files(document: Mapping[str, Any], folder: Path, days: Sequence[str]) -> dict[str, Path]:
    """Day -> the file whose content is what was played, where it is still there."""
    wanted = {content: day for day, content in document["content"].items() if day in days}
    found: dict[str, Path] = {}
    for path in _candidates(Path(str(document["options"]["data"])), folder):
        if len(found) == len(wanted):
            break
        try:
            content = Head(path).content
        except DataError:
            continue
        if content in wanted:
            found.setdefault(wanted[content], path)
    return found


def _candidates(data: Path, folder: Path) -> Iterator[Path]:
    """Day files that may be those of a backtest."""
    if data.suffix == SUFFIX:
        yield data
    elif data.is_dir():
        yield from sorted(data.glob(f"*{SUFFIX}"))
    for cache in dict.fromkeys((CACHE.absolute(), folder.parent / "days")):
        yield from sorted(cache.rglob(f"*{SUFFIX}"))


class _Prices:
    """Candles of a day from its day file, or from the frames of the run on paper that was played."""

    def __init__(self, document: Mapping[str, Any], files: Mapping[str, Path], say: Say):
        self.files, self.say = files, say
        self.data = Path(str(document["options"]["data"]))

    def __call__(self, day: str, symbols: Sequence[str]) -> dict[str, np.ndarray]:
        try:
            if (path := self.files.get(day)) is not None:
                return candles.of_day_file(DayFile(path), symbols)
            if (self.data / "journal").is_dir():
                return runs.read(RunDir.existing(self.data)).bars
        except (EngineError, ValueError) as error:
            self.say(f"{day}: no candles: {error}")
        return {}
