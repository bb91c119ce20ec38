"""Instrument table: rows of records.INSTRUMENT from the names the project ships, or from a recording's own list."""
import csv
import datetime as dt
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from _ext.core.records import INSTRUMENT, KINDS
from engine.errors import UsageError
from engine.market.sessions import CLOSING_AUCTION_FROM, close_minute, day_of, number_of

NO_INST = 0xFFFFFFFF
RIGHTS = {1: "CE", -1: "PE"}
EXCLUDED = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "NIFTYNXT50"})


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument for the day. Prices in paise; `kind` one of records.KINDS."""
    key: str
    symbol: str
    kind: str = "equity"
    tick: int = 5
    lot: int = 1
    freeze: int = 100_000
    tradable: bool = True
    is_cas: bool = True
    price: int = 0          # a recent close, for the synthetic market
    lower: int = 0          # circuit limits of the day; 0: unknown
    upper: int = 0
    underlying: str = ""    # of a contract: the key of its stock
    expiry: str = ""        # of a contract: YYYY-MM-DD
    banned: int = 0         # in the F&O ban period; -1: not known
    strike: int = 0         # of an option
    right: str = ""         # of an option: CE or PE


def table(specs: Iterable[Instrument], day: dt.date) -> np.ndarray:
    """The INSTRUMENTS record of `specs` on `day`."""
    specs = list(specs)
    nearest = near_futures(specs, day)
    symbols = {s.key: s.symbol for s in specs}
    at = {s.key: i for i, s in enumerate(specs)}
    rows = np.zeros(len(specs), INSTRUMENT)
    for row, s in zip(rows, specs, strict=True):
        is_cas = s.is_cas and s.kind == "equity" and day >= CLOSING_AUCTION_FROM
        row["key"], row["symbol"] = s.key.encode(), s.symbol.encode()[:32]
        row["tick"], row["lot"], row["freeze"] = s.tick, s.lot, s.freeze
        row["lower_band"], row["upper_band"] = s.lower, s.upper
        row["future"] = nearest.get(s.key, NO_INST)
        row["sector"] = sector_of(s.symbol) if not s.underlying else sector_of(symbols.get(s.underlying, ""))
        row["expiry"] = number_of(dt.date.fromisoformat(s.expiry)) if s.expiry else 0
        row["banned"], row["strike"] = s.banned, s.strike
        row["right"] = next((number for number, right in RIGHTS.items() if right == s.right), 0)
        row["under"] = at.get(s.underlying, NO_INST)
        row["kind"], row["tradable"] = KINDS.index(s.kind), s.tradable
        row["close_minute"], row["cas"] = close_minute(s.kind, is_cas, day), is_cas
    return rows


def of_table(rows: np.ndarray) -> list[Instrument]:
    """The instruments of an INSTRUMENTS record: what `table` was made of, but for `price`, and `is_cas` as it is on that day."""
    keys = [bytes(row["key"]).rstrip(b"\0").decode() for row in rows]
    return [Instrument(
        key, bytes(row["symbol"]).rstrip(b"\0").decode(), KINDS[row["kind"]], int(row["tick"]), int(row["lot"]), int(row["freeze"]),
        bool(row["tradable"]), bool(row["cas"]), lower=int(row["lower_band"]), upper=int(row["upper_band"]),
        underlying=keys[row["under"]] if row["under"] < len(keys) else "",
        expiry=day_of(row["expiry"]).isoformat() if row["expiry"] else "", banned=int(row["banned"]), strike=int(row["strike"]),
        right=RIGHTS.get(int(row["right"]), "")) for key, row in zip(keys, rows, strict=True)]


def near_futures(specs: list[Instrument], day: dt.date) -> dict[str, int]:
    """Stock key -> row of its contract with the next expiry from `day` on."""
    found: dict[str, tuple[str, int]] = {}
    for i, s in enumerate(specs):
        if s.kind == "future" and s.underlying and s.expiry >= day.isoformat():
            found[s.underlying] = min(found.get(s.underlying, ("9999", 0)), (s.expiry, i))
    return {key: row for key, (_, row) in found.items()}


@cache
def sectors() -> dict[str, int]:
    """Symbol -> number of its sector, from 1 (engine/market/sectors.json, as of the date it says)."""
    document = json.loads((Path(__file__).parent / "sectors.json").read_text())
    return {symbol: i for i, names in enumerate(document["sectors"].values(), 1) for symbol in names}


def sector_of(symbol: str) -> int:
    """Number of a name's sector; 0: not known."""
    return sectors().get(symbol, 0)


@cache
def sector_names() -> list[str]:
    """Names of the sectors by their numbers; the first is of those that are in none."""
    document = json.loads((Path(__file__).parent / "sectors.json").read_text())
    return ["unknown", *document["sectors"]]


@cache
def sector_name(symbol: str) -> str:
    """Name of a name's sector, "unknown" where it is in none."""
    return sector_names()[sector_of(symbol)]


@cache
def shipped() -> tuple[Instrument, ...]:
    """The 208 F&O stocks of 2026-08-21 with their real keys and ticks (engine/market/names.json).

    Their prices are made up, from the range the exchange gives the tick size (docs/upstox.md 8.3); real ones are not ours to ship.
    """
    rows = json.loads((Path(__file__).parent / "names.json").read_text())
    return tuple(Instrument(key, symbol, "equity", tick, price=_price(key, tick)) for symbol, key, tick in rows)


def _price(key: str, tick: int) -> int:
    """A level in paise for the synthetic market: fixed by the key, spread evenly in logarithm over the tick's range."""
    low, high = {1: (50, 250), 5: (250, 1000), 10: (1000, 5000), 50: (5000, 10000), 100: (10000, 20000)}.get(
        tick, (20000, 40000))
    share = zlib.crc32(key.encode()) / 2**32
    return int(round(low * (high / low) ** share * 100) // tick * tick)


CSV_COLUMNS = ("instrument_key", "trading_symbol", "instrument_type", "lot_size", "tick_size")
CSV_KINDS = {"EQ": "equity", "FUT": "future", "CE": "option", "PE": "option", "INDEX": "index"}
CSV_ROWS = 100_000


class ListError(UsageError, ValueError):
    """A recording's list of instruments is not what it should be; says row, column and what is wanted."""


def from_csv(path: Path) -> list[Instrument]:
    """A recording's instruments.csv: instrument_key, trading_symbol, instrument_type, lot_size, tick_size (paise). ListError where
    a column is missing or a value is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]:
                there = ", ".join(reader.fieldnames or ())[:200]
                raise ListError(f"{path.name}: column {', '.join(missing)} is missing (there are {there}); wanted are "
                                f"{', '.join(CSV_COLUMNS)}, the tick in paise")
            rows = list(islice(reader, CSV_ROWS + 1))
            if len(rows) > CSV_ROWS:
                raise ListError(f"{path.name}: more than {CSV_ROWS:,} rows: the instruments of the recording are wanted, no others")
            return [_of_csv(path, number, row) for number, row in enumerate(rows, 1)]
    except (UnicodeDecodeError, csv.Error):
        raise ListError(f"{path.name}: not a CSV file in UTF-8") from None


def _of_csv(path: Path, number: int, row: dict[str, str | None]) -> Instrument:
    texts = {name: (row[name] or "").strip() for name in CSV_COLUMNS}

    def no(name: str, wanted: str) -> ListError:
        return ListError(f"{path.name}: row {number}: {name} {texts[name][:40]!r}: {wanted}")

    numbers = {}
    for name, wanted in (("tick_size", "whole paise are wanted (10 for a tick of Rs 0.10)"),
                         ("lot_size", "a whole number is wanted")):
        try:
            numbers[name] = float(texts[name])
        except ValueError:
            raise no(name, wanted) from None
        if not 1 <= numbers[name] <= 10**7 or numbers[name] != round(numbers[name]):
            raise no(name, wanted)
    if texts["instrument_type"] not in CSV_KINDS:
        raise no("instrument_type", f"one of {', '.join(CSV_KINDS)} is wanted")
    for name, most in (("instrument_key", 48), ("trading_symbol", 100)):
        if not texts[name] or len(texts[name]) > most or not texts[name].isascii() or not texts[name].isprintable():
            raise no(name, "plain text is wanted")
    return Instrument(texts["instrument_key"], texts["trading_symbol"], CSV_KINDS[texts["instrument_type"]],
                      round(numbers["tick_size"]), round(numbers["lot_size"]), tradable=texts["instrument_type"] == "EQ")
