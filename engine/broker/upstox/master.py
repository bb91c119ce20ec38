"""The broker's instrument file (docs/upstox.md 3.6): fetched, kept and judged. Its `listing` is what a universe is made of.

Prices in the file are paise, `expiry` is 23:59:59 IST of the last day in ms. A file is taken only when it is whole: every
contract has its underlying, no stock has lost its options or its futures, and the counts are those of the file before.
"""
import datetime as dt
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from engine.broker.base import BrokerError, Unreadable
from engine.broker.upstox import answers
from engine.broker.upstox.answers import clean
from engine.broker.upstox.client import session
from engine.errors import UsageError
from engine.market.sessions import IST
from engine.market.universe import Contract, Listed, Listing, Share

URL = "https://assets.upstox.com/market-quote/instruments/exchange/NSE.json.gz"
LEAST = {"rows": 20_000, "contracts": 12_000, "futures": 400, "stocks": 150}
"""Of what is read here: NSE's shares, indices and F&O. Real files from February 2025 to August 2026 have 39,500 to 58,000
of these rows, 31,000 to 49,000 contracts, 627 to 665 futures and 206 to 227 stocks; the day after an expiry has fewest."""
SHRINK = 0.9
"""A file with less of anything than this share of the one before is cut off, whatever its floor."""
CONTRACT_FIELDS = ("instrument_key", "expiry", "lot_size", "tick_size", "freeze_quantity", "instrument_type", "underlying_key",
                   "asset_type", "asset_symbol", "strike_price", "trading_symbol")
EQUITY_FIELDS = ("instrument_key", "trading_symbol", "name", "isin", "instrument_type", "lot_size", "tick_size", "freeze_quantity")
NUMBERS = frozenset({"expiry", "lot_size", "tick_size", "freeze_quantity", "strike_price"})
MAX_PACKED, MAX_BYTES, MAX_VALUES = 32 << 20, 256 << 20, 16_000_000
"""Real files: 2 MB packed, 25 MB and some two million values unpacked."""
TEXT_LENGTH, TAG_LENGTH = 200, 200
MOST = 1e15
"""No number of a row, epoch milliseconds among them, comes near."""
MAGIC = b"\x1f\x8b"
"""How gzip begins."""


class MasterError(UsageError, ValueError):
    """The file is not what it should be; says what to do."""


@dataclass(frozen=True, slots=True)
class Master:
    """A whole instrument file: NSE's equities and indices by key, and its F&O contracts."""
    equities: dict[str, dict[str, Any]]
    indices: dict[str, dict[str, Any]]
    contracts: list[dict[str, Any]]
    rows: int                 # of the three, as they came

    def counts(self, day: dt.date = dt.date.min) -> dict[str, int]:
        """What a file is measured by: of the contracts those that have not expired by `day`, since an expiry takes two fifths of
        all rows with it."""
        living = [r for r in self.contracts if last_day(r) >= day]
        return {"rows": len(self.equities) + len(self.indices) + len(living), "contracts": len(living),
                "futures": sum(r["instrument_type"] == "FUT" for r in living),
                "stocks": len({r["underlying_key"] for r in living if r["asset_type"] == "EQUITY"})}

    @property
    def listing(self) -> Listing:
        """What the file says, in the engine's terms: prices in paise, days as dates."""
        return Listing({key: self._share(key) for key in {r["underlying_key"] for r in self.contracts} if key in self.equities},
                       [_listed(row) for row in self.contracts])

    def _share(self, key: str) -> Share:
        row = self.equities[key]
        is_normal = row.get("security_type", "NORMAL") == "NORMAL" and row["instrument_type"] == "EQ"
        return Share(key, row["trading_symbol"], row["name"], row["isin"], round(row["tick_size"]), int(row["freeze_quantity"]),
                     "" if is_normal else row["instrument_type"], bool(row.get("cas_eligible")))


def _listed(row: Mapping[str, Any]) -> Listed:
    day = last_day(row)
    return Listed(row["underlying_key"], row["asset_symbol"], row["asset_type"] == "INDEX", day, Contract(
        row["instrument_key"], row["instrument_type"], day.isoformat(), round(row["strike_price"] * 100), int(row["lot_size"]),
        round(row["tick_size"]), int(row["freeze_quantity"]), row["trading_symbol"]))


def read(data: bytes, before: Mapping[str, int] | None = None) -> Master:
    """The file in `data` (JSON, gzipped or not, of NSE or of all exchanges); `before` are the counts of the last file taken, as of
    the day of this one. The exchange's own test symbols are left out.

    Raises MasterError for one that is damaged, cut, half, of another kind or contradicts itself.
    """
    is_packed = data.startswith(MAGIC)
    if not is_packed and not data.lstrip().startswith(b"["):
        raise MasterError("this is not the broker's instrument file, which is JSON (NSE.json.gz, packed or not): fetch it again")
    try:
        rows = answers.parse(answers.unpacked(data, "gzip" if is_packed else "", MAX_BYTES), MAX_BYTES, MAX_VALUES)
    except Unreadable as error:
        raise MasterError(f"the instrument file is damaged ({error}): fetch it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MasterError("the instrument file is not a list of instruments: fetch it again")
    try:
        mine: dict[str, list[dict[str, Any]]] = {"NSE_EQ": [], "NSE_INDEX": [], "NSE_FO": []}
        for row in rows:
            if row.get("segment") in mine:
                mine[row["segment"]].append(row)
        tests = {row["instrument_key"] for row in mine["NSE_EQ"] if _is_test(row)}
        shares = [row for row in mine["NSE_EQ"] if row["instrument_key"] not in tests]
        contracts = [row for row in mine["NSE_FO"] if row["underlying_key"] not in tests]
        master = Master({row["instrument_key"]: row for row in shares}, {row["instrument_key"]: row for row in mine["NSE_INDEX"]},
                        contracts, len(shares) + len(mine["NSE_INDEX"]) + len(contracts))
        _judge(master, before)
    except MasterError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise MasterError(f"rows of the instrument file lack a field ({clean(error)}): its format has changed, or it is not "
                          "the file") from None
    return master


def _is_test(row: Mapping[str, Any]) -> bool:
    """Whether a share is one of the symbols the exchange keeps for mock sessions: 18 of them, with a future each, stand in the
    files of 2025 (011NSETEST, ISIN DUMMYSAN005)."""
    isin, symbol = row.get("isin"), row.get("trading_symbol")
    return (isinstance(isin, str) and isin.upper().startswith("DUMMY")) or (
        isinstance(symbol, str) and symbol.endswith("NSETEST") and symbol[:-7].isdigit())


def _judge(master: Master, before: Mapping[str, int] | None) -> None:
    """MasterError where the file is not whole, or says something impossible of what we trade."""
    if len(master.equities) + len(master.indices) + len({r["instrument_key"] for r in master.contracts}) < master.rows:
        raise MasterError("the instrument file names a key twice: it is damaged, fetch it again")
    for row in master.contracts:
        _check(row, CONTRACT_FIELDS, ("lot_size", "tick_size", "freeze_quantity"))
        is_option = row["instrument_type"] in ("CE", "PE")
        if row["freeze_quantity"] < row["lot_size"] or row["expiry"] <= 0 or is_option != (row["strike_price"] > 0) or (
                not is_option and row["instrument_type"] != "FUT"):
            raise MasterError(f"{clean(row['instrument_key'])} makes no sense ({clean(row['instrument_type'])}, lot "
                              f"{row['lot_size']}, freeze {row['freeze_quantity']}, strike {row['strike_price']}): the file is "
                              "damaged, fetch it again")
        last_day(row)
    shares = [master.equities[key] for key in {r["underlying_key"] for r in master.contracts} if key in master.equities]
    for row in shares:
        _check(row, EQUITY_FIELDS, ("lot_size", "tick_size", "freeze_quantity"))
    if len({row["trading_symbol"] for row in shares}) < len(shares):
        raise MasterError("two F&O stocks of the instrument file have one symbol: it is damaged, fetch it again")
    if not master.contracts:
        raise MasterError("the instrument file has no F&O contract of NSE: the engine reads NSE.json.gz or complete.json.gz, "
                          "whole: fetch it again")
    counts = master.counts()
    for name, least in LEAST.items():
        floor = max(least, round(SHRINK * before.get(name, 0)) if before else 0)
        if counts[name] < floor:
            raise MasterError(f"the instrument file has {counts[name]:,} {name}, {floor:,} are the least"
                              f"{' after the last one' if floor > least else ''}: it is cut off, fetch it again")
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in master.contracts:
        kinds[row["underlying_key"]].add(row["instrument_type"])
    lost = [key for key in kinds if key not in master.equities and key not in master.indices]
    bare = [key for key, types in kinds.items() if types != {"FUT", "CE", "PE"}]
    if lost or len(bare) > 2:          # a name that joins or leaves may be bare for a day; half a file makes dozens
        raise MasterError(f"{len(lost)} underlyings of contracts are not in the instrument file and {len(bare)} have no futures "
                          "or no options: it is cut off, fetch it again")


def _check(row: Mapping[str, Any], names: Sequence[str], whole: Sequence[str]) -> None:
    """MasterError where a field is of another type, empty, or a count is not a positive whole number."""
    for name in names:
        value = row[name]
        is_number = name in NUMBERS
        good = isinstance(value, str) and 0 < len(value) <= TEXT_LENGTH if not is_number else (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < MOST)
        if not good or (name in whole and (value <= 0 or value != round(value))):
            raise MasterError(f"{name} of {clean(row.get('instrument_key'))[:48]} is {clean(repr(value))[:48]}: the instrument "
                              "file is damaged, fetch it again")


def last_day(row: Mapping[str, Any]) -> dt.date:
    """The last trading day of a contract."""
    return dt.datetime.fromtimestamp(row["expiry"] / 1000, IST).date()


# ---- keeping ---------------------------------------------------------------------------------------------------------
def folder() -> Path:
    """Where files are kept between runs, readable by the user alone."""
    base = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "instruments"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base


def kept(day: dt.date) -> Path:
    return folder() / f"NSE.{day.isoformat()}.json.gz"


def newest_before(day: dt.date, taken: bool = False) -> Path | None:
    """The newest kept file of an earlier day that can be read; with `taken` of those whose universe was taken."""
    for path in sorted((p for p in folder().glob("NSE.*.json.gz") if p.name < kept(day).name), reverse=True):
        if taken and not (folder() / f"universe.{path.name[4:14]}.json").exists():
            continue
        try:
            read(path.read_bytes())
        except (MasterError, OSError):
            continue
        return path
    return None


async def fetch(day: dt.date, url: str = URL, again: bool = False, today: dt.date | None = None) -> tuple[Master, str]:
    """(master, note) of `day`: kept, or fetched; the newest older one, with a word about it, where today's cannot be had.

    `again` asks the server whether its file has changed since (ETag): what was fetched before six in the morning is yesterday's.
    Nothing is fetched for another day than `today`. MasterError where there is none at all.
    """
    path, older = kept(day), newest_before(day)
    before = read(older.read_bytes()).counts(day) if older is not None else None
    present: Master | None = None
    if path.exists():
        try:
            present = read(path.read_bytes(), before)
        except MasterError:
            path.unlink()
            path.with_suffix(".etag").unlink(missing_ok=True)
    is_today = day == (today or dt.datetime.now(IST).date())
    if not is_today and present is None:
        raise MasterError(f"no instrument file of {day} was kept: give one with --file")
    if present is not None and (not again or not is_today):
        return present, ""
    tag = path.with_suffix(".etag")
    known = _tag_of(tag.read_text(errors="replace")) if present is not None and tag.exists() else ""
    try:
        async with (session(timeout=aiohttp.ClientTimeout(total=60)) as web,
                    web.get(url, headers={"If-None-Match": known} if known else {}, allow_redirects=False) as response):
            if response.status == 304 and present is not None:
                return present, _stale(path, older)
            if response.status != 200:
                raise MasterError(f"the server answered {response.status}")
            data = await answers.body_of(response, MAX_PACKED)
            master = read(data, before)
            _write(path, data)
            _write(tag, _tag_of(response.headers.get("ETag", "")).encode())
        return master, _stale(path, older)
    except (aiohttp.ClientError, TimeoutError, OSError, BrokerError, MasterError) as error:
        said = str(error) if isinstance(error, (BrokerError, MasterError)) else "no answer from the server"
        if present is not None:
            return present, f"the broker could not be asked for a newer instrument file ({said})"
        if older is None:
            raise MasterError(f"no instrument file: {said}") from None
        return read(older.read_bytes()), f"today's instrument file could not be had ({said}); using {older.name}"


def _tag_of(text: str) -> str:
    """An ETag that may be sent back; empty where it is none."""
    return text if len(text) <= TAG_LENGTH and text.isascii() and text.isprintable() else ""


def _stale(path: Path, older: Path | None) -> str:
    """A word where today's file is the older one: the broker has not made the new one yet."""
    if older is not None and path.read_bytes() == older.read_bytes():
        return f"the broker's instrument file is still that of {older.name[4:14]}"
    return ""


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    temporary.replace(path)


def banned(path: Path | None, day: dt.date) -> set[str] | None:
    """Symbols of the exchange's F&O ban list (fo_secban.csv: a title with the date, then `n,SYMBOL` lines); None where the
    list is missing or not of `day`: then nothing is known of any name, and contracts are not entered."""
    if path is None or not path.exists():
        return None
    lines = path.read_text(errors="replace").splitlines()
    if not lines or day.strftime("%d-%b-%Y").upper() not in lines[0].upper():
        return None
    return {line.partition(",")[2].strip() for line in lines[1:] if "," in line}
