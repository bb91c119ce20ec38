"""Recorded ticks as a feed: folders of Parquet in the layouts of the Upstox V3 recording and of the one-second ticks.

Every row becomes the frame the broker would have sent, `currentTs` being the recorder's clock. Rows of one millisecond
are sent in one frame, as the broker does.
"""
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from _ext.core.clock import day_of_minutes
from _ext.core.records import INSTRUMENT, REC_BARS, REC_FRAME, REC_INSTRUMENTS, REC_START, WARM_BAR
from _ext.trail.reader import Reader
from engine.errors import UsageError
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_GREEKS, HAS_I1, HAS_LTPC, HAS_OHLC, TICK_DTYPE, decode, encode
from engine.market.instruments import Instrument, from_csv, of_table
from engine.market.sessions import IST, day_of, number_of

UPSTOX_COLUMNS = {"recv_ts", "instrument_key", "ltt", "ltp", "ltq", "cp", "vtt", "atp", "bp1", "bq1", "ap1", "aq1"}
TICK_COLUMNS = {"ts", "ltp_paise", "cum_volume"}


class DataError(UsageError, ValueError):
    """The folder is not a recording this engine can read; says what is missing."""


@dataclass
class Recording:
    """Rows of all instruments in order of receipt, and who they are."""
    rows: np.ndarray                  # TICK_DTYPE
    received: np.ndarray              # int64 ms
    specs: list[Instrument] = field(default_factory=list)
    bars: np.ndarray = field(default_factory=lambda: np.zeros(0, WARM_BAR))
    """What came before, where it was recorded."""

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


def load(folder: Path, day: dt.date | None = None) -> Recording:
    """Reads every Parquet file of `folder`. `day` picks one of several days; by default the first day present.

    Raises DataError where there are none, or where columns are missing or of another type.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise DataError(f"{folder}: no Parquet files there; --data takes a folder of recorded ticks")
    number = number_of(day) if day is not None else min(
        (days[0] for days in map(_days_of, files) if len(days)), default=0)
    parts, specs = [], {}
    listed = {s.key: s for s in from_csv(folder / "instruments.csv")} if (folder / "instruments.csv").exists() else {}
    for path in files:
        try:
            frame = pl.read_parquet(path)
        except Exception as error:
            raise DataError(f"{path.name} is not a readable Parquet file: {error}") from None
        columns = set(frame.columns)
        frame = _on_day(frame, number)               # a folder of months does not fit into memory as rows
        if UPSTOX_COLUMNS <= columns:
            rows, received = _upstox_rows(frame, path)
        elif TICK_COLUMNS <= columns:
            rows, received = _second_rows(frame, path)
        else:
            missing = sorted(UPSTOX_COLUMNS - columns)
            raise DataError(f"{path.name}: columns {', '.join(missing[:6])} are missing for an Upstox V3 recording, and "
                            f"{', '.join(sorted(TICK_COLUMNS - columns))} for one-second ticks")
        if len(rows) == 0:
            continue
        for key in np.unique(rows["key"]):
            name = key.decode()
            specs[name] = listed.get(name, Instrument(name, name.split("|")[-1], kind="index" if "INDEX" in name else "equity"))
        parts.append((rows, received))
    if not parts:
        raise DataError(f"{folder}: its files hold no rows" + (f" of {day}" if day is not None else ""))
    rows = np.concatenate([p[0].view(np.uint8) for p in parts]).view(TICK_DTYPE)   # keeps the overlapping fields
    received = np.concatenate([p[1] for p in parts])
    order = np.argsort(received, kind="stable")
    return Recording(rows[order], received[order], list(specs.values()))


def _when(frame: pl.DataFrame) -> pl.Series | None:
    """Days since 1970 in India of a file's rows; None where its columns are not ours: then whoever reads it says so."""
    name = next((n for n in ("recv_ts", "ts") if n in frame.columns), None)
    if name is None or not isinstance(frame[name].dtype, pl.Datetime):
        return None
    days: pl.Series = day_of_minutes(frame[name].dt.epoch("ms") // 60_000)
    return days


def _days_of(path: Path) -> list[int]:
    try:
        names = set(pl.read_parquet_schema(path))
        days = _when(pl.read_parquet(path, columns=sorted(names & {"recv_ts", "ts"})))
    except Exception:
        return []                                        # `load` says what is wrong with it
    return [] if days is None else sorted(days.drop_nulls().unique().to_list())


def _on_day(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    days = _when(frame)
    return frame if days is None else frame.filter((days == number).fill_null(False))


def days_of(folder: Path) -> list[dt.date]:
    """Days a folder of recorded ticks has, in order."""
    found = {number for path in Path(folder).glob("*.parquet") for number in _days_of(path)}
    return [day_of(number) for number in sorted(found)]


def _upstox_rows(frame: pl.DataFrame, path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = np.zeros(len(frame), TICK_DTYPE)
    has = np.full(len(frame), HAS_LTPC | HAS_DEPTH | HAS_FULL, np.uint16)
    keys = frame["instrument_key"].to_numpy().astype("S48")
    rows["key"], rows["key_len"], rows["mode"] = keys, np.char.str_len(keys), 1
    try:
        for name in ("ltp", "cp", "atp"):
            rows[name] = _paise(frame, name)
        for name in ("ltq", "vtt"):
            rows[name] = _numbers(frame, name).astype(np.int64)
        for name in ("oi", "iv", "tbq", "tsq", "delta", "theta", "gamma", "vega", "rho"):
            if name in frame.columns:
                rows[name] = _numbers(frame, name)
        rows["ltt"] = _millis(frame, "ltt")
        levels = sum(f"bp{i}" in frame.columns for i in range(1, 6))
        rows["n_levels"] = levels
        for i in range(levels):
            for name, column in (("bidP", f"bp{i + 1}"), ("askP", f"ap{i + 1}")):
                rows["levels"][name][:, i] = _paise(frame, column)
            for name, column in (("bidQ", f"bq{i + 1}"), ("askQ", f"aq{i + 1}")):
                rows["levels"][name][:, i] = _numbers(frame, column).astype(np.int64)
        for name, prefix, bit in (("day", "d1_", HAS_OHLC), ("i1", "m1_", HAS_I1)):
            if f"{prefix}ts" not in frame.columns:
                continue
            rows[name]["ts"] = _millis(frame, f"{prefix}ts")
            rows[name]["vol"] = _numbers(frame, f"{prefix}vol").astype(np.int64)
            for part in ("open", "high", "low", "close"):
                rows[name][part] = _paise(frame, prefix + part)
            has |= np.where(rows[name]["ts"] > 0, bit, 0).astype(np.uint16)
        if "delta" in frame.columns:
            has |= np.where(_numbers(frame, "delta") != 0, HAS_GREEKS, 0).astype(np.uint16)
        received = _millis(frame, "recv_ts")
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(f"{path.name}: {error}") from None
    rows["has"] = has
    return rows, received


def _second_rows(frame: pl.DataFrame, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One-second stamps serve as receipt and as trade time; there is no book."""
    rows = np.zeros(len(frame), TICK_DTYPE)
    key = ("NSE_INDEX|" if path.stem.startswith("NIFTY_") else "NSE_EQ|") + path.stem
    rows["key"], rows["key_len"], rows["mode"] = key.encode(), len(key), 1
    rows["has"] = HAS_LTPC | HAS_FULL
    try:
        rows["ltp"] = frame["ltp_paise"].cast(pl.Int64).to_numpy()
        rows["vtt"] = frame["cum_volume"].cast(pl.Int64).fill_null(0).to_numpy()
        rows["ltt"] = received = _millis(frame, "ts")
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(f"{path.name}: {error}") from None
    return rows, received


def _numbers(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()


def _paise(frame: pl.DataFrame, name: str) -> np.ndarray:
    return np.asarray(np.rint(_numbers(frame, name) * 100).astype(np.int64))


def _millis(frame: pl.DataFrame, name: str) -> np.ndarray:
    if not isinstance(frame[name].dtype, pl.Datetime):
        raise ValueError(f"column {name} is {frame[name].dtype}, a time stamp is needed")
    return frame[name].dt.epoch("ms").fill_null(0).to_numpy()
