"""What the tables have of a run's day as the columns of a day file: every update, or every closed minute.

A table may be of any server: each row is looked at here, and nothing of it is believed before (`DataError`). Of the book the tables
have the best quotes alone; day, one-minute and depth columns of the feed, and Greeks, are not in them.
"""
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from _ext.core.clock import day_of_minutes
from _ext.core.records import KINDS
from engine.errors import DataError
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_LTPC, TICK_DTYPE
from engine.feed.dayfile import BAR_DTYPE, of_bars
from engine.market.instruments import RIGHTS, Instrument
from engine.market.sessions import number_of

TICK = np.dtype([("inst", "<u4"), ("seq", "<u8"), ("ltt", "<i8"), ("received", "<i8"), ("ltp", "<i8"), ("ltq", "<u4"),
                 ("vtt", "<u8"), ("bid", "<i8"), ("ask", "<i8"), ("bid_qty", "<u4"), ("ask_qty", "<u4"), ("oi", "<u8"),
                 ("iv", "<f4"), ("flags", "<u2")])
TICKS = ("SELECT inst, seq, toUnixTimestamp64Milli(exch_ts), intDiv(toUnixTimestamp64Micro(recv_ts), 1000), ltp, ltq, vtt, bid, "
         "ask, bid_qty, ask_qty, oi, iv, flags FROM ticks WHERE run = {run:UInt32} AND trade_date = {day:Date} "
         "AND inst BETWEEN {low:UInt32} AND {high:UInt32} AND seq <= {last:UInt64}")
BAR = np.dtype([("inst", "<u4"), ("ms", "<i8"), ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"),
                ("volume", "<u8")])
BARS = ("SELECT inst, toUnixTimestamp64Milli(toDateTime64(bar_ts, 3)), open, high, low, close, volume FROM bars FINAL "
        "WHERE run = {run:UInt32} AND trade_date = {day:Date} AND tf = 1 AND inst BETWEEN {low:UInt32} AND {high:UInt32}")
"""Questions whose answers are rows of TICK and BAR as RowBinary writes them."""
PART = 1_000_000
"""Rows of one question: a reader's answer has bounds (`engine/store/readers.py`)."""
ROWS_MAX, NAMES_MAX = 40_000_000, 100_000
"""Of a day: rows beyond this do not fit into the memory of a usual machine."""
CARRIED = 4096
"""Flag of an update without a trade of its own: its last price is an earlier one."""
PRICE_MAX, COUNT_MAX = 1_000_000_000_000_000, 1 << 52
"""Paise; a decoder takes no price beyond 1e13 rupees."""
KEY_MAX, SYMBOL_MAX = 48, 31
DAY_MS = 86_400_000
Columns = dict[str, np.ndarray]


def specs_of(client: Any, run: int, name: str) -> list[Instrument]:
    """The instruments of a run by their numbers. DataError where some are missing or make no sense. What the table does not have
    (price bands, the ban period) is not known of them."""
    found = client.query("SELECT inst, key, symbol, kind, tick, lot, freeze, tradable, cas, underlying, strike, option_type, "
                         "toString(expiry) FROM instruments WHERE run = {run:UInt32} ORDER BY inst LIMIT " + str(NAMES_MAX + 1),
                         parameters={"run": run}).result_rows
    keys = [str(row[1]) for row in found]
    if not found or [row[0] for row in found] != list(range(len(found))) or len(set(keys)) < len(keys) or len(keys) > NAMES_MAX:
        raise _odd(name, "instruments", "it lacks some of them, or has one twice")
    specs = []
    for row, key in zip(found, keys, strict=True):
        _, _, symbol, kind, tick, lot, freeze, tradable, cas, under, strike, right, expiry = row
        if not (_is_plain(key, KEY_MAX) and _is_plain(symbol, SYMBOL_MAX) and kind in KINDS
                and all(0 < value < COUNT_MAX for value in (tick, lot, freeze)) and 0 <= strike < PRICE_MAX):
            raise _odd(name, "instruments", f"the row of {key[:60]!r} makes no sense")
        specs.append(Instrument(key, symbol, kind, tick, lot, freeze, bool(tradable), bool(cas), strike=strike,
                                underlying=keys[under] if under < len(keys) else "", right=RIGHTS.get(right, ""),
                                expiry="" if expiry == "1970-01-01" else expiry))
    return specs


def _is_plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable()


def columns_of(client: Any, run: int, name: str, day: dt.date, kind: str, names: int, last: int) -> Columns:
    """The rows of `day` as a day file has them: `kind` ticks, in the order of the journal up to sequence `last` (a run may go on),
    or bars, by minute. `names` is the number of instruments. DataError where there are more rows than fit, or such as no engine has
    written."""
    dtype, question = (TICK, TICKS) if kind == "ticks" else (BAR, BARS)
    given = {"run": run, "day": day}
    parts = []
    for low, high, count in _parts(client, given, kind, name):
        with client.raw_stream(question, parameters=given | {"low": low, "high": high, "last": last}, fmt="RowBinary") as answer:
            parts.append(_rows(answer, count, dtype, name, kind))
    rows = np.concatenate(parts) if parts else np.zeros(0, dtype)
    del parts
    if (rows["inst"] >= names).any():
        raise _odd(name, kind, "rows of an instrument that its table of instruments does not have")
    rows = rows[np.lexsort((rows["inst"], rows["seq" if kind == "ticks" else "ms"]))]
    for what, wrong in (_wrong_ticks if kind == "ticks" else _wrong_bars)(rows, number_of(day)).items():
        if count := int(np.count_nonzero(wrong)):
            raise _odd(name, kind, f"of {count:,} rows {what}")
    return _ticks(rows) if kind == "ticks" else _bars(rows)


def _parts(client: Any, given: Mapping[str, Any], kind: str, name: str) -> Iterator[tuple[int, int, int]]:
    """Ranges of instruments, each of about PART rows at most, and how many."""
    counts = client.query(f"SELECT inst, count() FROM {kind} WHERE run = {{run:UInt32}} AND trade_date = {{day:Date}} "
                          "GROUP BY inst ORDER BY inst", parameters=given).result_rows
    total = sum(count for _, count in counts)
    if total > ROWS_MAX:
        raise DataError(f"{name} of {given['day']} has {total:,} {kind}, more than {ROWS_MAX:,}: take its bars "
                        f"(--data clickhouse:{name}:bars)")
    begin, held = 0, 0
    for at, (inst, count) in enumerate(counts):
        if held and held + count > PART:
            yield counts[begin][0], counts[at - 1][0], held
            begin, held = at, 0
        held += count
        if at == len(counts) - 1:
            yield counts[begin][0], inst, held


def _rows(answer: Any, count: int, dtype: np.dtype, name: str, kind: str) -> np.ndarray:
    """The answer, of which no more is read than `count` rows and those that may have come since they were counted."""
    most = (count + PART) * dtype.itemsize
    data = answer.read(most + 1)
    if len(data) > most or len(data) % dtype.itemsize:
        raise _odd(name, kind, f"the answer has {len(data):,} bytes, which are not the {count:,} rows that it counts")
    return np.frombuffer(data, dtype)


def _wrong_ticks(rows: np.ndarray, day: int) -> Mapping[str, np.ndarray]:
    """What may be wrong with rows of a day (since 1970) -> which of them it is."""
    same = (rows["seq"][1:] == rows["seq"][:-1]) & (rows["inst"][1:] == rows["inst"][:-1])
    return {"the time of receipt is not of the day": day_of_minutes(rows["received"] // 60_000) != day,
            "the time of receipt steps back": np.diff(rows["received"]) < 0, "one comes twice in a frame": same,
            "the time of the trade is none": (rows["ltt"] < 0) | (rows["ltt"] > rows["received"] + DAY_MS),
            **{f"{price} is no price": _outside(rows[price], 1 if price == "ltp" else 0, PRICE_MAX)
               for price in ("ltp", "bid", "ask")},
            **{f"{count} is no count": rows[count] > COUNT_MAX for count in ("vtt", "oi")},
            "iv is no volatility": ~np.isfinite(rows["iv"])}


def _wrong_bars(rows: np.ndarray, day: int) -> Mapping[str, np.ndarray]:
    same = (rows["ms"][1:] == rows["ms"][:-1]) & (rows["inst"][1:] == rows["inst"][:-1])
    body = np.stack([rows["open"], rows["close"]])
    return {"the time is no minute of the day": (day_of_minutes(rows["ms"] // 60_000) != day) | (rows["ms"] % 60_000 != 0),
            "one minute comes twice": same,
            **{f"{price} is no price": _outside(rows[price], 1, PRICE_MAX) for price in ("open", "high", "low", "close")},
            "low and high do not hold open and close": (rows["low"] > body.min(0)) | (rows["high"] < body.max(0)),
            "volume is no count": rows["volume"] > COUNT_MAX}


def _outside(values: np.ndarray, low: int, high: int) -> np.ndarray:
    return (values < low) | (values > high)


def _odd(name: str, table: str, why: str) -> DataError:
    return DataError(f"ClickHouse, table {table}, run {name}: {why}: no engine has written that; take the run's folder or files "
                     "instead of the database")


def _ticks(rows: np.ndarray) -> Columns:
    """An update that said nothing of book or trade shows the last ones, as the engine knew them."""
    has_book = (rows["bid"] > 0) | (rows["ask"] > 0)
    has_trade = (rows["flags"] & CARRIED) == 0
    has = np.uint16(HAS_FULL) | has_book * np.uint16(HAS_DEPTH) | has_trade * np.uint16(HAS_LTPC)
    columns = {"inst": rows["inst"], "received": rows["received"], "has": has, "n_levels": has_book}
    columns |= {name: rows[name] for name in ("ltp", "ltt", "ltq", "vtt", "oi", "iv")}
    columns |= {f"levels.{level}": rows[name][:, None]
                for level, name in (("bidP", "bid"), ("askP", "ask"), ("bidQ", "bid_qty"), ("askQ", "ask_qty"))}
    out = {}
    for name, values in columns.items():
        field, _, part = name.partition(".")
        if name in ("inst", "received") or values.any():
            kind = np.dtype(np.int64) if name == "received" else TICK_DTYPE[field].base[part] if part else TICK_DTYPE[field]
            out[name] = np.ascontiguousarray(values, kind)
    return out


def _bars(rows: np.ndarray) -> Columns:
    bars = np.zeros(len(rows), BAR_DTYPE)
    for name in rows.dtype.names or ():
        bars[name] = rows[name]
    return of_bars(bars)
