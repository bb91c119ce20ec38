"""Recorded ticks as a feed: folders of Parquet in the layouts of the Upstox V3 recording and of the one-second ticks.

Every row becomes the frame the broker would have sent, `currentTs` being the recorder's clock. Rows of one millisecond
are sent in one frame, as the broker does.
"""
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from _ext.core.clock import day_of_minutes
from _ext.core.records import INSTRUMENT, REC_BARS, REC_FRAME, REC_INSTRUMENTS, REC_START, WARM_BAR
from _ext.trail.reader import Reader
from engine.errors import DataError
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_GREEKS, HAS_I1, HAS_LTPC, HAS_OHLC, TICK_DTYPE, decode, encode
from engine.feed.dayfile import SUFFIX, DayFile, Head, in_order, numbers_of
from engine.market.instruments import Instrument, from_csv, of_table
from engine.market.sessions import IST, day_of, number_of
from engine.market.tables import Table, files_of

UPSTOX_COLUMNS = {"recv_ts", "instrument_key", "ltt", "ltp", "ltq", "cp", "vtt", "atp", "bp1", "bq1", "ap1", "aq1"}
TICK_COLUMNS = {"ts", "ltp_paise", "cum_volume"}


@dataclass
class Recording:
    """Rows of all instruments in order of receipt, and who they are."""
    rows: np.ndarray                  # TICK_DTYPE
    received: np.ndarray              # int64 ms
    specs: list[Instrument] = field(default_factory=list)
    bars: np.ndarray = field(default_factory=lambda: np.zeros(0, WARM_BAR))
    """What came before, where it was recorded."""
    notes: list[str] = field(default_factory=list)
    """What was understood of the files, and what was left out."""

    @property
    def day(self) -> dt.date:
        return dt.datetime.fromtimestamp(self.received[0] / 1000, IST).date()

    @property
    def has_book(self) -> bool:
        return bool((self.rows["n_levels"] > 0).any())

    def history(self) -> np.ndarray:
        return self.bars

    def frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]:
        """(receipt ms, rows, frame) in order of receipt."""
        return frames_of(self.rows, self.received)


class Journaled:
    """A run's journal as a market: its frames as they were received, its instruments and its warm-up bars."""

    def __init__(self, folder: Path):
        reader = Reader(folder)
        self.folder, self.specs, bars = folder, [], []
        day = ""
        while (record := reader.read()) is not None and record[0] != REC_FRAME:
            if record[0] == REC_START:
                day = orjson.loads(record[3])["day"]
            elif record[0] == REC_INSTRUMENTS:
                self.specs += of_table(np.frombuffer(record[3], INSTRUMENT))
            elif record[0] == REC_BARS:
                bars.append(np.frombuffer(record[3], WARM_BAR))
        if record is None or not self.specs or not day:
            raise DataError(f"{folder}: no frames are journaled there{f' ({reader.problem})' if reader.problem else ''}")
        self.day = dt.date.fromisoformat(day)
        self.bars = np.concatenate(bars) if bars else np.zeros(0, WARM_BAR)
        self.received = [record[2] // 1_000_000]

    def history(self) -> np.ndarray:
        return self.bars

    def frames(self) -> Iterator[tuple[int, np.ndarray, bytes]]:
        """(receipt ms, rows, frame) in order of receipt; frames that carry no update (market_info) are left out."""
        for kind, _, now, payload in Reader(self.folder):
            if kind == REC_FRAME and len(rows := decode(payload)):
                yield now // 1_000_000, rows, payload


def from_run(folder: Path) -> Recording:
    """The updates of a run's journal, as they were received."""
    market = Journaled(folder)
    parts = [(at, rows) for at, rows, _ in market.frames()]
    if not parts:
        raise DataError(f"{folder}: no updates are journaled there")
    rows = np.concatenate([p.view(np.uint8) for _, p in parts]).view(TICK_DTYPE)
    return Recording(rows, np.repeat([at for at, _ in parts], [len(p) for _, p in parts]), market.specs,
                     market.bars)


def frames_of(rows: np.ndarray, received: np.ndarray) -> Iterator[tuple[int, np.ndarray, bytes]]:
    """Rows of one millisecond share a frame; a key comes once in each."""
    edges = np.flatnonzero(np.diff(received)) + 1
    begin = 0
    for end in [*edges.tolist(), len(received)]:
        if end == begin:
            continue
        at, part = int(received[begin]), rows[begin:end]
        begin = end
        while len(part) > 1:
            if len(set(part["key"].tolist())) == len(part):
                break
            _, first = np.unique(part["key"], return_index=True)
            take = np.zeros(len(part), bool)
            take[first] = True
            yield at, part[take], encode(part[take], at)
            part = part[~take]
        yield at, part, encode(part, at)


def listed(folder: Path) -> dict[str, Instrument]:
    """What an instruments.csv in the folder says of its instruments, by key."""
    path = folder / "instruments.csv"
    return {s.key: s for s in from_csv(path)} if path.exists() else {}


def specs_of(keys: np.ndarray, known: Mapping[str, Instrument]) -> list[Instrument]:
    """An instrument for each of `keys` (S48): as it is known, else a stock or an index that is called as its key ends."""
    names = [key.decode() for key in np.unique(keys).tolist()]
    return [known.get(name) or Instrument(name, name.split("|")[-1], kind="index" if "INDEX" in name else "equity")
            for name in names]


def from_day(path: Path) -> Recording:
    """The ticks of a day file. DataError where it has none."""
    day = DayFile(path)
    if day.kind != "ticks" or not day.rows:
        raise DataError(f"{path.name}: it holds {day.kind if day.rows else 'nothing'}, a day of ticks is wanted")
    rows, received = day.ticks()
    return Recording(rows, received, day.specs, notes=day.notes)


def load(folder: Path, day: dt.date | None = None) -> Recording:
    """Reads a day file, or every Parquet file of `folder`. `day` picks one of several days; by default the first day present.

    Raises DataError where there are none, or where columns are missing or cannot be understood.
    """
    folder = Path(folder)
    if paths := day_files(folder):
        path = paths.get(day) if day is not None else paths[min(paths)]
        if path is None:
            raise DataError(f"{folder}: there is no day file of {day}; there are {', '.join(map(str, sorted(paths)))}")
        return from_day(path)
    files = files_of(folder, "recorded ticks")
    number = number_of(day) if day is not None else min((days[0] for days in map(_days_of, files) if len(days)), default=0)
    parts, notes = [], list[str]()
    specs: dict[str, Instrument] = {}
    known = listed(folder)
    for path in files:
        table = Table(path)
        is_full = not table.lacks(sorted(UPSTOX_COLUMNS))
        if not is_full and table.lacks(sorted(TICK_COLUMNS)):
            full, seconds = (", ".join(table.lacks(sorted(names))[:6]) for names in (UPSTOX_COLUMNS, TICK_COLUMNS))
            raise DataError(f"{path.name}: columns {full} are missing for an Upstox V3 recording, and {seconds} for one-second "
                            "ticks")
        stamp = "recv_ts" if is_full else "ts"
        received = table.times(stamp)
        table.check_hours(received, stamp)
        table.only(day_of_minutes(received // 60_000) == number)      # months do not fit as rows
        rows, received = upstox_rows(table) if is_full else second_rows(table)
        notes += table.notes
        if len(rows) == 0:
            continue
        specs |= {s.key: s for s in specs_of(rows["key"], known)}
        parts.append((rows, received))
    if not parts:
        raise DataError(f"{folder}: its files hold no rows" + (f" of {day}" if day is not None else ""))
    rows = np.concatenate([p[0].view(np.uint8) for p in parts]).view(TICK_DTYPE)   # keeps the overlapping fields
    received = np.concatenate([p[1] for p in parts])
    order = in_order(received, numbers_of(rows["key"], specs.values()))
    return Recording(rows[order], received[order], list(specs.values()), notes=list(dict.fromkeys(notes)))


def _days_of(path: Path) -> list[int]:
    """Days since 1970 in India of a file's rows; none where it cannot be read: `load` says what is wrong with it."""
    try:
        names = set(pl.read_parquet_schema(path)) & {"recv_ts", "ts"}
        name = "recv_ts" if "recv_ts" in names else "ts"
        return [int(day) for day in np.unique(day_of_minutes(Table(path, [name]).times(name) // 60_000))]
    except Exception:
        return []


def day_files(folder: Path) -> dict[dt.date, Path]:
    """Day files of ticks in a folder, or the one that is named, by day."""
    paths = [folder] if folder.suffix == SUFFIX else sorted(folder.glob(f"*.ticks{SUFFIX}")) if folder.is_dir() else []
    return {Head(path).day: path for path in paths}


def days_of(folder: Path) -> list[dt.date]:
    """Days a folder of recorded ticks has, in order."""
    if paths := day_files(Path(folder)):
        return sorted(paths)
    found = {number for path in Path(folder).glob("*.parquet") for number in _days_of(path)}
    return [day_of(number) for number in sorted(found)]


def upstox_rows(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """(TICK_DTYPE rows, receipt ms) of a table in the layout of the Upstox V3 recording."""
    table.times("recv_ts")                                 # rows without one are left out first: then keys and times are as many
    keys = table.keys("instrument_key")
    received = table.times("recv_ts")
    ltp = table.rupees("ltp")
    table.keep(ltp > 0, "without a price")
    keys, received, ltp = keys[ltp > 0], received[ltp > 0], ltp[ltp > 0]
    rows = np.zeros(len(keys), TICK_DTYPE)
    has = np.full(len(keys), HAS_LTPC | HAS_DEPTH | HAS_FULL, np.uint16)
    rows["key"], rows["key_len"], rows["mode"], rows["ltp"] = keys, np.char.str_len(keys), 1, ltp
    rows["ltt"] = table.stamps("ltt")
    columns = set(table.frame.columns)
    for name in ("cp", "atp"):
        rows[name] = table.rupees(name)
    for name in ("ltq", "vtt"):
        rows[name] = table.counts(name)
    for name in ("oi", "iv", "tbq", "tsq", "delta", "theta", "gamma", "vega", "rho"):
        if name in columns:
            rows[name] = table.numbers(name)
    levels = sum(f"bp{i}" in columns for i in range(1, 6))
    table.need([f"{prefix}{i}" for i in range(1, levels + 1) for prefix in ("bp", "bq", "ap", "aq")])
    rows["n_levels"] = levels
    for i in range(levels):
        for name, column in (("bidP", f"bp{i + 1}"), ("askP", f"ap{i + 1}")):
            rows["levels"][name][:, i] = table.rupees(column)
        for name, column in (("bidQ", f"bq{i + 1}"), ("askQ", f"aq{i + 1}")):
            rows["levels"][name][:, i] = table.counts(column)
    for name, prefix, bit in (("day", "d1_", HAS_OHLC), ("i1", "m1_", HAS_I1)):
        if f"{prefix}ts" not in columns:
            continue
        table.need([prefix + part for part in ("open", "high", "low", "close", "vol")])
        rows[name]["ts"] = table.stamps(f"{prefix}ts")
        rows[name]["vol"] = table.counts(f"{prefix}vol")
        for part in ("open", "high", "low", "close"):
            rows[name][part] = table.rupees(prefix + part)
        has |= np.where(rows[name]["ts"] > 0, bit, 0).astype(np.uint16)
    if "delta" in columns:
        has |= np.where(rows["delta"] != 0, HAS_GREEKS, 0).astype(np.uint16)
    rows["has"] = has
    return rows, received


def second_rows(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """One-second stamps serve as receipt and as trade time; there is no book."""
    received, stem = table.times("ts"), table.path.stem
    ltp = table.paise("ltp_paise")
    table.keep(ltp > 0, "without a price")
    received, ltp = received[ltp > 0], ltp[ltp > 0]
    if not stem.isascii() or not stem.isprintable():
        raise DataError(f"{table.path.name}: one-second ticks are called by their symbol, in plain letters: RELIANCE.parquet")
    rows = np.zeros(len(received), TICK_DTYPE)
    key = ("NSE_INDEX|" if stem.startswith("NIFTY_") else "NSE_EQ|") + stem
    rows["key"], rows["key_len"], rows["mode"] = key.encode(), len(key), 1
    rows["has"] = HAS_LTPC | HAS_FULL
    rows["ltp"], rows["vtt"], rows["ltt"] = ltp, table.counts("cum_volume"), received
    return rows, received
