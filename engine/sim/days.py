"""Other people's files as day files: each table is understood (`engine/market/layouts.py`), split by day, and joined with what the
day has already.
"""
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from _ext.core.clock import day_of_minutes
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_LTPC, TICK_DTYPE
from engine.feed.dayfile import (
    BAR_COLUMNS,
    BAR_DTYPE,
    SUFFIX,
    DayFile,
    Head,
    Source,
    in_order,
    numbers_of,
    of_bars,
    of_ticks,
    write,
)
from engine.market import layouts
from engine.market.instruments import Instrument
from engine.market.layouts import Asked, Layout, LayoutError
from engine.market.tables import Table
from engine.sim import recorded
from engine.sim.recorded import TICK_COLUMNS, UPSTOX_COLUMNS

Columns = dict[str, np.ndarray]


@dataclass
class Part:
    """Rows of one day from one file: columns as a day file has them."""
    specs: list[Instrument]
    columns: Columns


@dataclass
class Day:
    """What becomes one day file."""
    parts: list[Part] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def path_of(folder: Path, day: dt.date, kind: str) -> Path:
    return folder / f"{day.isoformat()}.{kind}{SUFFIX}"


def bring_in(paths: Sequence[Path], folder: Path, asked: Asked,
             tell: Callable[[str], Any] = lambda _: None) -> list[dict[str, Any]]:
    """Makes day files in `folder` of the CSV and Parquet files among `paths`; what was made, a row a day file. A file that was
    taken in before, read the same way, is left alone; an instrument that comes again replaces what the day had of it. `tell` hears
    what was understood and left out. DataError where a file cannot be understood: then nothing is written."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {source for path in folder.glob(f"*{SUFFIX}") for source in Head(path).sources}
    found: dict[tuple[dt.date, str], Day] = {}
    listed: dict[Path, dict[str, Instrument]] = {}
    for path in layouts.found(list(paths)):
        source = Source.of(path, " ".join(filter(None, dataclasses.astuple(asked))))
        if source in there:
            tell(f"{path.name}: is there already")
            continue
        if path.parent not in listed:
            listed[path.parent] = recorded.listed(path.parent)
        try:
            kind, notes, parts = _read(path, asked, listed[path.parent])
        except LayoutError as error:
            if path in paths:
                raise
            tell(f"left out: {error}")
            continue
        for note in notes:
            tell(note)
        for day, part in parts.items():
            into = found.setdefault((day, kind), Day())
            into.parts.append(part)
            into.sources.append(source)
            into.notes += notes
    return [_made(folder, day, kind, what) for (day, kind), what in sorted(found.items())]


def _read(path: Path, asked: Asked, listed: Mapping[str, Instrument]) -> tuple[str, list[str], dict[dt.date, Part]]:
    """(kind, notes, parts by day) of one file."""
    table = Table(path, zone=asked.zone)
    for columns, read in ((UPSTOX_COLUMNS, recorded.upstox_rows), (TICK_COLUMNS, recorded.second_rows)):
        if not table.lacks(sorted(columns)):
            rows, received = read(table)
            stamp = "recv_ts" if "recv_ts" in columns else "ts"
            break
    else:
        layout = layouts.understood(table, asked)
        if layout.kind == "candles":
            return "bars", table.notes, _bars(layout, listed)
        rows, received = _ticks(layout)
        stamp = layout.of["stamp"]
    table.check_hours(received, stamp)
    parts = {}
    for day, mine in layouts.days(received).items():
        specs = recorded.specs_of(rows["key"][mine], listed)
        parts[day] = Part(specs, of_ticks(rows[mine], received[mine], specs))
    return "ticks", table.notes, parts


def _bars(layout: Layout, listed: Mapping[str, Instrument]) -> dict[dt.date, Part]:
    bars = layouts.candles(layout)
    keys, ms = bars["key"].to_numpy().astype("S48"), bars["ms"].to_numpy()
    parts = {}
    for day, mine in layouts.days(ms).items():
        specs = recorded.specs_of(keys[mine], listed)
        rows = np.zeros(int(mine.sum()), BAR_DTYPE)
        rows["inst"] = numbers_of(keys[mine], specs)
        for name in BAR_COLUMNS[1:]:
            rows[name] = bars[name].to_numpy()[mine]
        parts[day] = Part(specs, of_bars(rows))
    return parts


def _ticks(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """(TICK_DTYPE rows, receipt ms) of a table of ticks: its stamp is the time of receipt and of trade. Shares of each trade become
    the day's so far."""
    table = layout.table
    table.times(layout.of["stamp"])                        # rows without one are left out first
    price = layout.prices("price")
    table.keep(price > 0, "without a price")
    received, keys = table.times(layout.of["stamp"]), layout.keys()
    order = np.argsort(received, kind="stable")
    rows = np.zeros(len(keys), TICK_DTYPE)
    rows["key"], rows["key_len"], rows["mode"] = keys, np.char.str_len(keys), 1
    rows["ltp"], rows["ltt"], rows["has"] = price[price > 0], received, HAS_LTPC | HAS_FULL
    if "each" in layout.of:
        rows["ltq"] = layout.counts("each")
    rows = rows[order]
    if "so_far" in layout.of:
        rows["vtt"] = layout.counts("so_far")[order]
    else:
        table.notes.append(f"{table.path.name}: the day's volume is the sum of {layout.of['each']}")
        each = pl.DataFrame({"key": rows["key"], "day": day_of_minutes(received[order] // 60_000), "shares": rows["ltq"]})
        rows["vtt"] = each.select(pl.col("shares").cum_sum().over("key", "day")).to_series().to_numpy()
    if {"bid", "ask"} <= set(layout.of):
        level = rows["levels"]
        for name, meaning in (("bidP", "bid"), ("askP", "ask")):
            level[name][:, 0] = layout.prices(meaning)[order]
        for name, meaning in (("bidQ", "bid_q"), ("askQ", "ask_q")):
            level[name][:, 0] = layout.counts(meaning)[order]
        rows["n_levels"], rows["has"] = 1, HAS_LTPC | HAS_FULL | HAS_DEPTH
    return rows, received[order]


def _made(folder: Path, day: dt.date, kind: str, what: Day) -> dict[str, Any]:
    """Writes a day file; what it has."""
    path = path_of(folder, day, kind)
    parts = what.parts
    if path.exists():
        before = DayFile(path)
        again = {s.key for part in parts for s in part.specs}
        parts = [_without(Part(before.specs, before.columns), again), *parts]
        what.sources, what.notes = [*before.sources, *what.sources], [*before.notes, *what.notes]
    specs, columns = joined(parts)
    if kind == "bars":
        columns = _once(columns)
    else:
        columns = _taken(columns, in_order(columns["received"], columns["inst"]))
    write(path, day, kind, specs, columns, what.sources, dict.fromkeys(what.notes))
    return {"file": str(path), "day": day.isoformat(), "kind": kind, "instruments": len(specs), "rows": len(columns["inst"]),
            "bytes": path.stat().st_size}


def _without(part: Part, keys: set[str]) -> Part:
    """The part without the instruments of `keys`."""
    gone = np.array([s.key in keys for s in part.specs], bool)
    return Part(part.specs, _taken(part.columns, np.flatnonzero(~gone[part.columns["inst"]]))) if gone.any() else part


def joined(parts: Iterable[Part]) -> tuple[list[Instrument], Columns]:
    """Instruments and columns of all parts one after another; a column that a part does not have is 0 there."""
    parts = list(parts)
    specs = list({s.key: s for part in parts for s in part.specs}.values())
    number = {s.key: i for i, s in enumerate(specs)}
    columns: Columns = {"inst": np.concatenate([
        np.array([number[s.key] for s in part.specs], np.uint32)[part.columns["inst"]] for part in parts])}
    edges = np.cumsum([0, *(len(part.columns["inst"]) for part in parts)])
    for name in dict.fromkeys(name for part in parts for name in part.columns if name != "inst"):
        has = [(at, part.columns[name]) for at, part in zip(edges[:-1], parts, strict=True) if name in part.columns]
        whole = np.zeros((int(edges[-1]), *map(max, zip(*(values.shape[1:] for _, values in has), strict=True))), has[0][1].dtype)
        for at, values in has:
            into = whole[at:at + len(values)]
            into[(slice(None), *map(slice, values.shape[1:]))] = values
        columns[name] = whole
    return specs, columns


def _taken(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _once(columns: Columns) -> Columns:
    """Bars by minute and instrument, each once: the later row."""
    order = np.lexsort((np.arange(len(columns["inst"])), columns["inst"], columns["ms"]))
    inst, ms = columns["inst"][order], columns["ms"][order]
    is_last = np.append((inst[1:] != inst[:-1]) | (ms[1:] != ms[:-1]), True)
    return _taken(columns, order[is_last])
