"""Tables of candles and ticks as people have them: which column means what, and whose rows they are.

Columns are known by the names that brokers, libraries and spreadsheets give them. What a name leaves open (the zone of a stamp,
rupees or paise, whether a tick's volume is its own or the day's so far) is said by the caller, or refused.
"""
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from _ext.core.clock import day_of_minutes, open_minute
from engine.errors import DataError
from engine.market.instruments import EXCLUDED
from engine.market.sessions import IST, day_of
from engine.market.tables import KEY_MAX, Table

NAMES: dict[str, tuple[str, ...]] = {
    "stamp": ("ts", "timestamp", "datetime", "date_time", "exchange_timestamp", "last_trade_time", "ltt", "date", "time"),
    "open": ("open", "o", "into"), "high": ("high", "h", "inth"), "low": ("low", "l", "intl"), "close": ("close", "c", "intc"),
    "volume": ("volume", "v", "vol", "intv"), "interest": ("oi", "open_interest", "intoi", "openinterest"),
    "price": ("ltp", "last_price", "price", "last_traded_price", "lp"),
    "so_far": ("cum_volume", "vtt", "volume_traded", "volume_traded_today", "total_volume", "ttq", "day_volume"),
    "each": ("ltq", "qty", "quantity", "last_quantity", "last_traded_quantity", "trade_volume"),
    "bid": ("bid", "best_bid", "bid_price", "bp1"), "ask": ("ask", "best_ask", "ask_price", "ap1"),
    "bid_q": ("bid_qty", "bid_quantity", "best_bid_qty", "bq1"), "ask_q": ("ask_qty", "ask_quantity", "best_ask_qty", "aq1"),
    "symbol": ("instrument_key", "tradingsymbol", "trading_symbol", "symbol", "ticker", "stock", "scrip")}
"""What a column means -> names it goes by, the surest first; compared in small letters."""
CANDLE = ("open", "high", "low", "close")
IN_NAME = re.compile(r"[_. -]*(\d{4}-?\d{2}-?\d{2}|1min|1minute|minute|1m|ticks?)(?=[_. -]|$)", re.IGNORECASE)
"""What of a file's name is no symbol."""
FULL_DAY, LAST_MINUTE = 300, 374
"""Bars from which a day's first and last minute say something, and the last minute after 09:15."""
INDICES = EXCLUDED | {"MIDCPNIFTY"}
"""Symbols that are indices and no shares; NIFTYBEES is one."""
SYMBOL_MAX = 31
"""Characters of a symbol, as an instrument record has room for."""
PLAIN = re.compile(r"[A-Z0-9][A-Z0-9&_. -]*")
Prices = Literal["rupees", "paise"]
Volume = Literal["", "so-far", "each"]


class LayoutError(DataError):
    """A table whose columns are neither candles nor ticks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller says of columns that do not say it themselves. `zone`: of stamps without one; `volume`: of a tick's column
    `volume`; `symbol`: whose rows they are where nothing names them."""
    zone: str = ""
    prices: Prices = "rupees"
    volume: Volume = ""
    symbol: str = ""


@dataclass
class Layout:
    """A table whose columns are understood. `of` what they mean -> their name in the file."""
    table: Table
    kind: Literal["candles", "ticks"]
    of: dict[str, str]
    asked: Asked
    key: str                          # of all rows; empty: a column says it

    def prices(self, meaning: str) -> np.ndarray:
        """int64 paise."""
        name = self.of[meaning]
        is_paise = name.lower().endswith("_paise") or self.asked.prices == "paise"
        return self.table.paise(name) if is_paise else self.table.rupees(name)

    def counts(self, meaning: str) -> np.ndarray:
        """int64; 0 in a table that has no such column."""
        if meaning not in self.of:
            return np.zeros(len(self.table.frame), np.int64)
        return self.table.counts(self.of[meaning], may_lack=False)

    def keys(self) -> np.ndarray:
        """S48: whose each row is."""
        if self.key:
            return np.full(len(self.table.frame), self.key.encode(), "S48")
        column = self.table.texts(self.of["symbol"])
        found = {text: key_of(text) for text in column.unique().to_list()}
        self.table.refuse(column.is_in([text for text, key in found.items() if not key]).to_numpy(), self.of["symbol"],
                          "is no symbol and no instrument key")
        return np.asarray(column.replace_strict(found).to_numpy().astype("S48"))


def understood(table: Table, asked: Asked) -> Layout:
    """A table as candles or as ticks. LayoutError where its columns are neither, DataError where they leave something open."""
    path = table.path
    known = {name.lower(): name for name in table.frame.columns}
    plain = known | {name.removesuffix("_paise"): original for name, original in known.items() if name.endswith("_paise")}
    of = {meaning: plain[name] for meaning, names in NAMES.items() for name in names[::-1] if name in plain}
    _one_stamp(table, of, known)
    kind: Literal["candles", "ticks"] = "candles" if all(name in of for name in CANDLE) else "ticks"
    if "stamp" not in of or (kind == "ticks" and "price" not in of):
        raise LayoutError(f"{path.name}: its columns ({table.there}) are neither candles (a time, open, high, low, close, volume) "
                          "nor ticks (a time, ltp, volume_traded or ltq): name them so")
    if kind == "ticks":
        _volume(path, of, asked)
    elif "volume" not in of:
        raise DataError(f"{path.name}: column volume is missing (there are {table.there})")
    layout = Layout(table, kind, of, asked, "" if "symbol" in of else _key(path, asked))
    if "symbol" in of:
        names = table.texts(of["symbol"]).fill_null("")
        table.keep((names.str.len_chars() > 0).to_numpy(), f"without {of['symbol']}")
    table.notes += [f"{path.name}: read as {kind}, " + ", ".join(f"{meaning} of {name}" for meaning, name in of.items())]
    if not any(of[name].lower().endswith("_paise") for name in of if name in (*CANDLE, "price")):
        table.notes.append(f"{path.name}: prices are read as {asked.prices}")
    return layout


def _one_stamp(table: Table, of: dict[str, str], known: dict[str, str]) -> None:
    """A day and a time in two columns become one."""
    if "date" in known and "time" in known and of.get("stamp") in (known["date"], known["time"]):
        day, time = (table.texts(known[name]) for name in ("date", "time"))
        table.frame = table.frame.with_columns((day + " " + time).alias("date and time"))
        of["stamp"] = "date and time"


def _volume(path: Path, of: dict[str, str], asked: Asked) -> None:
    """Which column of ticks is what traded."""
    if "so_far" in of or "each" in of:
        return
    if "volume" in of and asked.volume:
        of["so_far" if asked.volume == "so-far" else "each"] = of["volume"]
        return
    if "volume" in of:
        raise DataError(f"{path.name}: column {of['volume']} may be each trade's shares or the day's so far: say which with "
                        "--volume each or --volume so-far")
    raise DataError(f"{path.name}: what traded is missing: volume_traded (the day's so far) or ltq (each trade's) is wanted")


def _key(path: Path, asked: Asked) -> str:
    """Whose rows a file has that does not name them: as its folders do (symbol=SBIN), as the caller says, as it is called."""
    folders = (part.partition("=") for part in reversed(path.parts[:-1]))
    text = next((value for name, _, value in folders if value and name.lower() in NAMES["symbol"]),
                asked.symbol or IN_NAME.sub("", path.stem))
    if not (key := key_of(text)):
        raise DataError(f"{path.name}: whose rows they are is not said ({text[:40]!r} is no symbol): call the file by its symbol, "
                        "as RELIANCE.csv, or say --symbol")
    return key


def key_of(text: str) -> str:
    """An instrument key as it is; of a symbol the key it is kept by; empty for what is neither."""
    text = text.strip()
    if "|" in text:
        return text if len(text) <= KEY_MAX and text.isascii() and text.isprintable() else ""
    symbol = text.upper().removeprefix("NSE:").removesuffix("-EQ")
    if not PLAIN.fullmatch(symbol) or len(symbol) > SYMBOL_MAX:
        return ""
    return ("NSE_INDEX|" if symbol in INDICES or symbol.startswith(("NIFTY ", "NIFTY_")) else "NSE_EQ|") + symbol


def candles(layout: Layout) -> pl.DataFrame:
    """Columns key, ms, open, high, low, close (paise), volume, interest: by instrument and minute. A minute counts once, the later
    row. DataError for bars of other lengths, or of prices that are none."""
    table = layout.table
    ms = table.times(layout.of["stamp"])
    table.check_hours(ms, layout.of["stamp"])
    bars = pl.DataFrame({"key": layout.keys().astype(str), "ms": ms} | {name: layout.prices(name) for name in CANDLE}
                        | {"volume": layout.counts("volume"), "interest": layout.counts("interest")})
    whole = bars.filter(pl.all_horizontal(pl.col(*CANDLE) > 0))
    if left := len(bars) - len(whole):
        table.notes.append(f"{table.path.name}: {left:,} rows without a price are left out")
    once = whole.unique(("key", "ms"), keep="last", maintain_order=True).sort("key", "ms")
    if left := len(whole) - len(once):
        table.notes.append(f"{table.path.name}: {left:,} minutes come more than once, the last row counts")
    check_bars(table.path.name, once)
    return once


def check_bars(name: str, bars: pl.DataFrame) -> None:
    """DataError where bars are no bars of a minute, called by its start. `bars`: sorted by key where there is one, then ms."""
    if odd := bars.filter(pl.col("low") > pl.col("high")).height:
        raise DataError(f"{name}: of {odd:,} bars the low is above the high: are the columns the right ones?")
    ms = bars["ms"].to_numpy()
    steps = np.diff(ms)
    if "key" in bars.columns:
        steps = steps[(bars["key"][1:] == bars["key"][:-1]).to_numpy()]
    steps = steps[(steps > 0) & (steps < 3_600_000)]
    if len(steps):
        lengths, counts = np.unique(steps, return_counts=True)
        if (usual := int(lengths[counts.argmax()])) != 60_000:
            said = f"{usual // 60_000} minutes" if usual % 60_000 == 0 else f"{usual / 1000:g} seconds"
            raise DataError(f"{name}: its bars are of {said}, bars of one minute are wanted")
    if odd := int((ms % 60_000 != 0).sum()):
        raise DataError(f"{name}: {odd:,} bars do not begin with a minute (first {_clock(int(ms[ms % 60_000 != 0][0]))})")
    since = ms // 60_000 - open_minute(day_of_minutes(ms // 60_000))
    if len(since) > FULL_DAY and since.min() == 1 and since.max() == LAST_MINUTE + 1:
        raise DataError(f"{name}: its minutes run from 09:16 to 15:30, as where bars are called by their end: here the first is "
                        "09:15; take a minute off every time")


def _clock(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, IST):%Y-%m-%d %H:%M:%S}"


def found(paths: list[Path]) -> Iterator[Path]:
    """Parquet and CSV files among `paths` and in the folders among them, whatever their depth. DataError where there are none."""
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".csv", ".parquet")) if path.is_dir() else [path]
        for one in inside:
            if one.name == "instruments.csv":
                continue
            if one.suffix.lower() not in (".csv", ".parquet"):
                raise DataError(f"{one.name}: CSV or Parquet is wanted")
            if one.resolve() not in seen:                 # once, also where a folder and a file of it are named
                seen.add(one.resolve())
                yield one
    if not seen:
        raise DataError(f"{', '.join(map(str, paths))}: no CSV and no Parquet files there")


def days(ms: np.ndarray) -> dict[dt.date, np.ndarray]:
    """Rows of each day in India."""
    number = day_of_minutes(ms // 60_000)
    return {day_of(int(one)): number == one for one in np.unique(number)}
