"""Days one after another through the compiled path, windows carried from day to day: one-minute bars, from files or from the store,
and one-second ticks.
"""
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from _ext.core.clock import day_of_minutes
from _ext.core.records import WARM_BAR
from engine.feed import HAS_FULL, HAS_LTPC, TICK_DTYPE
from engine.feed.dayfile import SUFFIX, DayFile
from engine.lab.dataset import Dataset, Minutes, candidates_of, minutes_of, rows_from
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.market.layouts import check_bars
from engine.market.tables import Table, files_of
from engine.sim import recorded
from engine.sim.recorded import Recording

CLOSES = 10
"""Updates a bar's volume is spread over at its close: one update may add one expected bar."""
BEAT = 2_500
"""ms between updates within a bar: a longer silence would be a gap."""
PRICES = ("open", "high", "low", "close")


def bars_of_folder(folder: Path, names: int = 0,
                   tell: Callable[[str], Any] = lambda _: None) -> tuple[list[Instrument], pl.DataFrame]:
    """(instruments, bars) of a folder of Parquet files of one-minute bars (ts, open, high, low, close in rupees, volume), a stock
    each. Columns of the bars: inst, ms (of their minute), open, high, low, close in paise, volume. A minute counts once, the later
    row. Day files of bars are read as well. `tell` hears what was understood and left out. Raises DataError without any, or where a
    column cannot be understood."""
    if days := sorted(folder.glob(f"*.bars{SUFFIX}")):
        return _of_days(days, names)
    paths = [p for p in files_of(folder, "one-minute bars") if "NIFTY" not in p.stem][:names or None]
    specs = [Instrument(f"NSE_EQ|{p.stem}"[:48], p.stem[:31]) for p in paths]
    parts = []
    for i, path in enumerate(paths):
        table = Table(path)
        parts.append(_bars_of(table).with_columns(inst=pl.lit(i, pl.Int64)))
        for note in table.notes:
            tell(note)
    return specs, pl.concat(parts).select("inst", "ms", *PRICES, "volume")


def _of_days(paths: Sequence[Path], names: int) -> tuple[list[Instrument], pl.DataFrame]:
    """`bars_of_folder` of day files; indices are left out as there."""
    days = [DayFile(path) for path in paths]
    specs = [s for s in {s.key: s for day in days for s in day.specs}.values() if s.kind != "index"][:names or None]
    number = {s.key: i for i, s in enumerate(specs)}
    parts = []
    for day in days:
        place = np.array([number.get(s.key, -1) for s in day.specs])
        bars = day.bars()
        bars = bars[place[bars["inst"]] >= 0]
        parts.append(pl.DataFrame({"inst": place[bars["inst"]], **{name: bars[name] for name in ("ms", *PRICES, "volume")}}))
    return specs, pl.concat(parts)


def _bars_of(table: Table) -> pl.DataFrame:
    """One file's bars."""
    table.need(("ts", *PRICES, "volume"))
    ms = table.times("ts")
    table.check_hours(ms, "ts")
    columns = {"ms": ms} | {name: table.rupees(name) for name in PRICES} | {"volume": table.counts("volume", may_lack=False)}
    bars = pl.DataFrame(columns).filter(pl.all_horizontal(pl.col(*PRICES) > 0))
    bars = bars.unique("ms", keep="last", maintain_order=True).sort("ms")
    check_bars(table.path.name, bars)
    return bars


def of_bars(specs: Sequence[Instrument], bars: pl.DataFrame, level: float = 0.5) -> Dataset:
    """Candidates of one-minute bars. A bar shows its open, its extremes without volume, and at its close all of its volume: a
    candidate is one of the closed bar, and nothing of its inside is made up."""
    bars = bars.sort("ms", "inst").with_columns(day=day_of_minutes(pl.col("ms") // 60_000))
    days = (part for _, part in bars.group_by("day", maintain_order=True))
    return _played(specs, ((Recording(*_updates(specs, part)), _minutes(part)) for part in days), "bars", level)


def of_second_ticks(folder: Path, days: Sequence[dt.date], level: float = 0.5) -> Dataset:
    """Candidates of recorded one-second ticks."""
    specs = recorded.load(folder, days[0]).specs
    parts = (recorded.load(folder, day) for day in days)
    return _played(specs, ((part, minutes_of(part, specs)) for part in parts), "ticks", level)


Bars = dict[tuple[int, int], Minutes]
"""By (instrument, day)."""


def _played(specs: Sequence[Instrument], days: Iterator[tuple[Recording, Bars]], source: str, level: float) -> Dataset:
    minutes: Bars = {}

    def play() -> Iterator[tuple[dt.date, Iterator[tuple[int, bytes]]]]:
        for part, bars in days:
            minutes.update(bars)
            yield part.day, ((at, frame) for at, _, frame in part.frames())

    found = candidates_of(specs, play(), np.zeros(0, WARM_BAR), level)
    return rows_from(specs, found, source, {}, minutes)


def _minutes(bars: pl.DataFrame) -> Bars:
    number = int(bars["day"][0])
    day = sessions.day_of(number)
    open_ms, count = sessions.epoch_ms(day), sessions.close_minute("equity", False, day)
    out = {}
    for (inst,), mine in bars.group_by("inst"):
        prices = np.concatenate([mine[name].to_numpy() for name in ("high", "low", "close")])      # the last one is the minute's
        out[int(inst), number] = Minutes.of_ticks(np.tile(mine["ms"].to_numpy(), 3), prices, open_ms, count)
    return out


def _updates(specs: Sequence[Instrument], bars: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(rows, receipt ms) of a day's bars."""
    values = {name: bars[name].to_numpy() for name in ("inst", "ms", *PRICES, "volume")}
    inst, ms, volume = values["inst"], values["ms"], values["volume"]
    before = bars.select(pl.col("volume").cum_sum().over("inst")).to_series().to_numpy() - volume
    keys = np.array([s.key.encode() for s in specs], "S48")
    early = [("open", 500), *(("low", at) for at in range(3_000, 28_000, BEAT)),
             *(("high", at) for at in range(28_000, 57_000, BEAT))]
    parts = []
    for step, (price, offset) in enumerate([*early, *(("close", 58_000 + 180 * k) for k in range(CLOSES))]):
        rows = np.zeros(len(ms), TICK_DTYPE)
        rows["key"], rows["key_len"], rows["mode"], rows["has"] = keys[inst], np.char.str_len(keys)[inst], 1, HAS_LTPC | HAS_FULL
        rows["ltp"] = values[price]
        rows["ltt"] = ms + offset
        rows["vtt"] = before + volume * max(step + 1 - len(early), 0) // CLOSES
        parts.append(rows)
    rows = np.concatenate([p.view(np.uint8) for p in parts]).view(TICK_DTYPE)
    order = np.argsort(rows["ltt"], kind="stable")
    return rows[order], rows["ltt"][order] + 300
