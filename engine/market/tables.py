"""Tables that come from outside: each column validated and normalised here, and nowhere else.

Stamps become epoch milliseconds, prices paise, volumes whole numbers. No unit and no zone is guessed in silence: what was
understood of a column stands in `notes`, and what cannot be understood is refused with file, row, column and what is wanted.
"""
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from _ext.core.clock import day_of_minutes, open_minute
from engine.errors import DataError
from engine.market.sessions import IST

FIRST_MS, LAST_MS = (round(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp() * 1000) for year in (2000, 2100))
UNITS = {"seconds": 1000.0, "milliseconds": 1.0, "microseconds": 1e-3, "nanoseconds": 1e-6}
"""Of epoch numbers: factor to milliseconds. Within a century the numbers of no two units overlap."""
MOST_RUPEES, MOST_SHARES = 10_000_000, 10**13
"""Dearer is no share, more no day's volume: NSE's dearest trades at Rs 150,000, its largest days have 10^9 shares."""
KEY_MAX = 48
BEFORE, AFTER = -15, 405
"""Minutes after the open between which NSE's updates lie, auctions included: from 09:00 to 16:00."""
OFFSET = r"(Z|[+-]\d\d:?\d\d)$"
WRITTEN = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M",
           "%d-%b-%Y %H:%M:%S")
"""Texts without an offset that are read where the zone is given; the day's place among the numbers is never guessed."""
ZONED = ("store it with its zone, as polars does with .dt.replace_time_zone('Asia/Kolkata') where the clock is India's, or 'UTC'; "
         "or bring it in with `python -m engine data import --zone Asia/Kolkata`")


class Table:
    """One file, Parquet or CSV. Rows are left out by `keep`, which counts them; every column is then asked for by what it means.
    `zone`: of stamps that do not say theirs; without it they are refused."""

    def __init__(self, path: Path, columns: Sequence[str] | None = None, zone: str = ""):
        self.path, self.zone, self.notes = path, zone, list[str]()
        self.frame = _of_csv(path) if path.suffix.lower() == ".csv" else _of_parquet(path, columns)
        self.at = np.arange(1, len(self.frame) + 1)        # number of each row in the file

    def lacks(self, wanted: Sequence[str]) -> list[str]:
        return [name for name in wanted if name not in self.frame.columns]

    def need(self, wanted: Sequence[str]) -> None:
        """DataError where one of the columns is not there."""
        if missing := self.lacks(wanted):
            raise DataError(f"{self.path.name}: column {', '.join(missing)} is missing (there are {self.there}); wanted are "
                            f"{', '.join(wanted)}")

    @property
    def there(self) -> str:
        """Names of the first columns, in plain characters."""
        names = [plain(name) for name in self.frame.columns]
        return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")

    def texts(self, name: str) -> pl.Series:
        """A column as texts; numbers as they are written. DataError for lists, bytes and the like."""
        column = self.frame[name]
        if column.dtype.is_nested() or column.dtype == pl.Binary:
            raise DataError(f"{self.path.name}: column {plain(name)} is {_kind(column)}: texts are wanted")
        return column.cast(pl.String)

    def keep(self, mask: np.ndarray, why: str) -> None:
        """Leaves the other rows out, and notes how many."""
        if not mask.all():
            self.notes.append(f"{self.path.name}: {int((~mask).sum()):,} rows {why} are left out")
            self.only(mask)

    def only(self, mask: np.ndarray) -> None:
        """Goes on with these rows."""
        self.frame, self.at = self.frame.filter(pl.Series(mask)), self.at[mask]

    # ---- columns -------------------------------------------------------------------------------------------------------
    def times(self, name: str) -> np.ndarray:
        """`stamps` of a column that every row must have: rows without one are left out."""
        self.keep(self.frame[name].is_not_null().to_numpy(), f"without {name}")
        return self.stamps(name)

    def stamps(self, name: str) -> np.ndarray:
        """int64 ms of a column of stamps with a zone, epoch numbers of one unit, or texts with an offset; 0 where there is none.
        DataError for stamps without a zone, of no unit, or of no year from 2000 to 2099."""
        rows = np.flatnonzero(self.frame[name].is_not_null().to_numpy())
        column = self.frame[name].drop_nulls()
        if isinstance(column.dtype, pl.Datetime):
            is_zoned = column.dtype.time_zone is not None
            if not is_zoned and self.zone:
                column = self._zoned(name, column)
            elif not is_zoned:
                first = self._shown(name, int(rows[0])) if len(rows) else "none"
                raise DataError(f"{self.path.name}: the times of column {name} have no time zone (first {first}): {ZONED}")
            ms = column.dt.epoch("ms").to_numpy()
        elif column.dtype.is_numeric():
            ms = self._epochs(name, column)
        elif column.dtype == pl.String:
            ms = self._texts(name, column, rows)
        else:
            raise DataError(f"{self.path.name}: column {name} is {_kind(column)}: a time with its zone, or epoch milliseconds, is "
                            "wanted")
        out, bad = np.zeros(len(self.frame), np.int64), np.zeros(len(self.frame), bool)
        out[rows], bad[rows] = ms, (ms < FIRST_MS) | (ms >= LAST_MS)
        self.refuse(bad, name, "lies in no year from 2000 to 2099: a time with its zone is wanted")
        return out

    def _epochs(self, name: str, column: pl.Series) -> np.ndarray:
        values = column.cast(pl.Float64).to_numpy()
        for unit, factor in UNITS.items():
            if len(values) and FIRST_MS <= values.min() * factor and values.max() * factor < LAST_MS:
                self.notes.append(f"{self.path.name}: {name} is read as epoch {unit}")
                return np.asarray(np.rint(values * factor), np.int64)
        if not len(values):
            return np.zeros(0, np.int64)
        raise DataError(f"{self.path.name}: the numbers of column {name} (from {values.min():g} to {values.max():g}) are epoch "
                        "times of no one unit between the years 2000 and 2099: milliseconds, or a time with its zone, are wanted")

    def _zoned(self, name: str, column: pl.Series) -> pl.Series:
        """Stamps without a zone as those of `zone`."""
        self.notes.append(f"{self.path.name}: {name} is read as the time of {self.zone}")
        return column.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null")

    def _texts(self, name: str, column: pl.Series, rows: np.ndarray) -> np.ndarray:
        if self.zone and not column.str.contains(OFFSET).any():
            for written in WRITTEN:
                if not (found := column.str.to_datetime(format=written, time_unit="ms", strict=False)).has_nulls():
                    self.notes.append(f"{self.path.name}: {name} is read as text like {plain(column[0])!r}")
                    return np.asarray(self._zoned(name, found).dt.epoch("ms").to_numpy())
        try:
            parsed = column.str.to_datetime(format="%+", time_unit="ms", time_zone="UTC", strict=True)
        except pl.exceptions.PolarsError:
            has_offset = column.str.contains(OFFSET).to_numpy()
            at = int(np.argmin(has_offset))
            raise DataError(f"{self.path.name}: row {self.at[rows[at]]}: {name} is the text {str(column[at])[:40]!r}: a time with "
                            "its offset (2025-12-15T09:15:00+05:30) is wanted"
                            + ("" if has_offset.all() else f"; or {ZONED}")) from None
        self.notes.append(f"{self.path.name}: {name} is read as text with its offset")
        return np.asarray(parsed.dt.epoch("ms").to_numpy())

    def rupees(self, name: str) -> np.ndarray:
        """int64 paise of a column of rupees; 0 where there is none. DataError for texts, negative and absurd prices."""
        return self._prices(name, "rupees", 100.0)

    def paise(self, name: str) -> np.ndarray:
        return self._prices(name, "paise", 1.0)

    def _prices(self, name: str, unit: str, factor: float) -> np.ndarray:
        values = np.nan_to_num(self._floats(name), nan=0.0, posinf=np.inf, neginf=-np.inf)
        self.refuse(values < 0, name, f"is negative: a price in {unit} is wanted")
        self.refuse(values * factor > MOST_RUPEES * 100, name, f"is no price of a share: {unit} are wanted")
        return np.asarray(np.rint(values * factor), np.int64)

    def counts(self, name: str, may_lack: bool = True) -> np.ndarray:
        """int64 of a column of quantities; 0 where there is none, unless that is not allowed."""
        values = self._floats(name)
        if not may_lack:
            self.refuse(np.isnan(values), name, "is no number: a whole number of shares is wanted, 0 where nothing traded")
        values = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
        self.refuse(values < 0, name, "is negative: a number of shares is wanted")
        self.refuse(values > MOST_SHARES, name, "is no number of shares")
        return np.asarray(np.rint(values), np.int64)

    def numbers(self, name: str) -> np.ndarray:
        """float64 of any number; 0 where there is none."""
        values = np.asarray(np.nan_to_num(self._floats(name), nan=0.0, posinf=np.inf, neginf=-np.inf))
        self.refuse(~np.isfinite(values) | (np.abs(values) > 1e15), name, "is no finite number")
        return values

    def keys(self, name: str) -> np.ndarray:
        """S48 of a column of instrument keys; rows without one are left out."""
        column = self.frame[name]
        if column.dtype not in (pl.String, pl.Categorical):
            raise DataError(f"{self.path.name}: column {name} is {_kind(column)}: a text like NSE_EQ|INE002A01018 is wanted")
        self.keep((column.cast(pl.String).fill_null("").str.len_bytes() > 0).to_numpy(), f"without {name}")
        column = self.frame[name].cast(pl.String)
        good = column.str.contains(rf"^[\x21-\x7e][\x20-\x7e]{{0,{KEY_MAX - 1}}}$").to_numpy()
        self.refuse(~good, name, f"is no instrument key (at most {KEY_MAX} plain characters, like NSE_EQ|INE002A01018)")
        return np.asarray(column.to_numpy().astype(f"S{KEY_MAX}"))

    def _floats(self, name: str) -> np.ndarray:
        column = self.frame[name]
        if column.dtype == pl.Null:
            return np.full(len(column), np.nan)
        if not column.dtype.is_numeric():
            raise DataError(f"{self.path.name}: column {name} is {_kind(column)}: numbers are wanted")
        return np.asarray(column.cast(pl.Float64).fill_null(float("nan")).to_numpy())

    def refuse(self, bad: np.ndarray, name: str, why: str) -> None:
        """DataError that names the first row of `bad`, where there is one."""
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(f"{self.path.name}: row {self.at[at]}: {name} {self._shown(name, at)} {why}"
                            + (f" ({int(bad.sum()):,} rows are so)" if bad.sum() > 1 else ""))

    def _shown(self, name: str, at: int) -> str:
        """A value as a person reads it; a stamp too far off for a date by its number."""
        try:
            text = str(self.frame[name][at])
        except (OverflowError, ValueError):
            text = str(self.frame[name].to_physical()[at])
        return plain(text)

    def check_hours(self, ms: np.ndarray, name: str) -> None:
        """DataError where most stamps lie outside the hours of NSE: their zone is another than they say."""
        minutes = ms // 60_000
        since = minutes - open_minute(day_of_minutes(minutes))
        if len(ms) and ((since >= BEFORE) & (since < AFTER)).mean() < 0.5:
            first = dt.datetime.fromtimestamp(int(ms[0]) / 1000, IST)
            raise DataError(f"{self.path.name}: most times of column {name} lie outside NSE's hours (first {first:%Y-%m-%d %H:%M} "
                            "in India): is their zone the right one?")


def plain(text: str) -> str:
    """A foreign text as one line may show it."""
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def _of_parquet(path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=list(columns) if columns is not None else None, hive_partitioning=False)
    except Exception:
        raise DataError(f"{path.name}: not a Parquet file that can be read: write it anew, or leave it out of the "
                        "folder") from None


def _of_csv(path: Path) -> pl.DataFrame:
    """Numbers as numbers where a whole column is, else texts."""
    try:
        frame = pl.read_csv(path, infer_schema_length=None, try_parse_dates=False)
        return frame.rename({name: name.strip().strip("<>").strip() for name in frame.columns})
    except Exception:
        raise DataError(f"{path.name}: not a CSV file that can be read: commas, one line of names, every line as many fields, in "
                        "UTF-8, are wanted") from None


def _kind(column: pl.Series) -> str:
    """A column's type in plain words."""
    if column.dtype == pl.String:
        return "text"
    if column.dtype == pl.Date:
        return "a date without a time"
    if column.dtype == pl.Null:
        return "empty"
    return "of another kind" if column.dtype.is_nested() or column.dtype == pl.Binary else str(column.dtype).lower()


def files_of(folder: Path, what: str) -> list[Path]:
    """The Parquet files of a folder. DataError where there are none."""
    paths = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not paths:
        others = sorted({p.suffix for p in folder.iterdir() if p.is_file() and p.suffix}) if folder.is_dir() else []
        there = f" (there are {', '.join(others)})" if others else ""
        raise DataError(f"{folder}: no Parquet files there{there}; a folder of {what} is wanted")
    return paths
