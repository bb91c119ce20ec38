"""The broker's instrument file: what trades in F&O today, with lots, ticks, freeze quantities and near contracts (UPSTOX 3.6).

Prices in the file are paise. `expiry` is 23:59:59 IST of the last day. The file is fetched once a day and kept; yesterday's is
used, and said, when today's cannot be had.
"""
import datetime as dt
import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from engine.market.instruments import EXCLUDED, Spec
from engine.market.sessions import IST
from engine.trade.broker import USER_AGENT

URL = "https://assets.upstox.com/market-quote/instruments/exchange/NSE.json.gz"
LEAST_ROWS, LEAST_STOCKS = 20_000, 100
"""A file with less is cut off or not the file: the real one has some 80,000 rows and 208 stocks."""


class MasterError(ValueError):
    """The file is not what it should be; says what to do."""


def parse(data: bytes, day: dt.date, futures: bool = False) -> list[Spec]:
    """Specs of the F&O stocks of `day` from a gzipped file, with their contracts of the next expiry where wanted.

    Raises MasterError for a file that is cut, empty or of another kind.
    """
    try:
        rows = orjson.loads(gzip.decompress(data))
    except (OSError, EOFError, ValueError) as error:
        raise MasterError(f"the instrument file is damaged ({error}): fetch it again") from None
    if not isinstance(rows, list) or len(rows) < LEAST_ROWS:
        raise MasterError(f"the instrument file has {len(rows) if isinstance(rows, list) else 'no'} rows, some 80,000 are usual: "
                          "fetch it again")
    contracts = _near([r for r in rows if r.get("segment") == "NSE_FO" and r.get("instrument_type") == "FUT"
                       and r.get("asset_type") == "EQUITY" and r.get("asset_symbol") not in EXCLUDED], day)
    specs = [_stock(r) for r in rows if r.get("segment") == "NSE_EQ" and r.get("instrument_key") in contracts]
    if len(specs) < LEAST_STOCKS:
        raise MasterError(f"only {len(specs)} F&O stocks in the instrument file: it is cut off, or of a day without contracts")
    specs.sort(key=lambda s: s.symbol)
    return specs + [_contract(contracts[s.key]) for s in specs] if futures else specs


def _near(contracts: Iterable[dict[str, Any]], day: dt.date) -> dict[str, dict[str, Any]]:
    """Stock key -> its contract with the next expiry from `day` on."""
    found: dict[str, dict[str, Any]] = {}
    for row in contracts:
        if _last_day(row) >= day and row["expiry"] < found.get(row["asset_key"], {"expiry": 1 << 62})["expiry"]:
            found[row["asset_key"]] = row
    return found


def _last_day(row: dict[str, Any]) -> dt.date:
    return dt.datetime.fromtimestamp(row["expiry"] / 1000, IST).date()


def _stock(row: dict[str, Any]) -> Spec:
    return Spec(row["instrument_key"], row["trading_symbol"], "equity", round(row["tick_size"]), int(row["lot_size"]),
                int(row["freeze_quantity"]), is_cas=bool(row.get("cas_eligible")))


def _contract(row: dict[str, Any]) -> Spec:
    return Spec(row["instrument_key"], row["trading_symbol"][:31], "future", round(row["tick_size"]), int(row["lot_size"]),
                int(row["freeze_quantity"]), is_cas=False, underlying=row["asset_key"], expiry=_last_day(row).isoformat(),
                banned=-1)


def folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "instruments"


async def fetch(day: dt.date, url: str = URL) -> tuple[bytes, str]:
    """(file, note) of `day`: kept, fetched, or the newest kept with a word about it. MasterError where there is none at all."""
    base = folder()
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = base / f"NSE.{day.isoformat()}.json.gz"
    if kept.exists():
        return kept.read_bytes(), ""
    try:
        async with (aiohttp.ClientSession(headers={"User-Agent": USER_AGENT}, timeout=aiohttp.ClientTimeout(total=60)) as session,
                    session.get(url) as response):
            data = await response.read() if response.status == 200 else b""
        parse(data, day)
        temporary = kept.with_suffix(".new")
        temporary.write_bytes(data)
        temporary.replace(kept)
        return data, ""
    except (aiohttp.ClientError, TimeoutError, OSError, MasterError) as error:
        older = sorted(base.glob("NSE.*.json.gz"))
        if not older:
            raise MasterError(f"no instrument file: {error}") from None
        return older[-1].read_bytes(), f"today's instrument file could not be had ({error}); using {older[-1].name}"


def banned(path: Path | None, day: dt.date) -> set[str] | None:
    """Symbols of the exchange's F&O ban list (fo_secban.csv: a title with the date, then `n,SYMBOL` lines); None where the
    list is missing or not of `day`: then nothing is known of any name, and contracts are not entered."""
    if path is None or not path.exists():
        return None
    lines = path.read_text(errors="replace").splitlines()
    if not lines or day.strftime("%d-%b-%Y").upper() not in lines[0].upper():
        return None
    return {line.partition(",")[2].strip() for line in lines[1:] if "," in line}
