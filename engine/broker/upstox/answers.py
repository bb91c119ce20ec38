"""What comes from outside, bounded and typed: the one place where the broker's bytes become values.

Size, depth and number of values are bounded before anybody looks at an answer, so that none can end the engine, fill its memory
or hold its loop. A value is taken for what it should be or refused: no truth value is a number, no text but a plain decimal.
"""
import math
import re
import zlib
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from engine.broker.base import Unreadable

SMALL, LIMIT, LARGE = 1 << 16, 1 << 20, 16 << 20
"""Bytes of a refusal or an order message, of an answer, of one with many rows. A real book of 2,000 orders has some 2.5 MB."""
LARGE_PATHS = ("/order/retrieve-all", "/order/history", "/order/trades", "/charges/historical-trades", "/portfolio/",
               "/market-quote/", "/historical-candle/")
DEPTH = 32
"""Levels of an answer; the broker's deepest, the funds, have six. Python's own `repr` gives up at some hundreds."""
VALUES = 1_000_000
FEW, VALUE_BYTES, BRACKET_BYTES = 1000, 4, 24
"""Values at most, a fifth of them lists or objects, and, beyond a few, the bytes each must have: a list of empty lists takes fifty
times the memory of its text. Of real answers candles are the densest: five bytes a value, forty a row."""
GZIP = 31
"""zlib's word for a gzip stream with its checksum."""
MOST = 1e12
"""Rupees, shares or seconds beyond which a number is nonsense; times 100 it is far from the end of 64 bits."""
NESTED = frozenset((dict, list))
FIRST_MS, LAST_MS = 946_684_800_000, 4_102_444_800_000
"""Years 2000 to 2100: times outside are nonsense."""
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")
_ODD = re.compile(r"[^\x20-\x7e]|[<>]")
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)


def clean(text: Any) -> str:
    """Broker text made safe for a terminal and a page."""
    return _NOT_PRINTABLE.sub("?", str(text)[:300]).replace("<", "(").replace(">", ")")


# ---- bytes ------------------------------------------------------------------------------------------------------------
def limit_of(path: str, status: int) -> int:
    """Bytes an answer of `path` may have."""
    if status != 200:
        return SMALL
    return LARGE if any(part in path for part in LARGE_PATHS) else LIMIT


async def body_of(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, unpacked; read no further than `limit`. The session must not unpack by itself: a bomb goes off while it is read."""
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > limit:
            raise Unreadable(f"the answer is longer than {limit:,} bytes")
    return unpacked(bytes(data), response.headers.get("Content-Encoding", ""), limit)


def unpacked(data: bytes, coding: str, limit: int) -> bytes:
    """`data` out of its content coding: none or gzip, the only ones asked for."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding != "gzip":
        raise Unreadable("the answer is packed in a way nobody asked for")
    unzip = zlib.decompressobj(GZIP)
    try:
        out = unzip.decompress(data, limit + 1)
    except zlib.error:
        raise Unreadable("the answer cannot be unpacked") from None
    if len(out) > limit:
        raise Unreadable(f"the answer unpacks to more than {limit:,} bytes")
    if not unzip.eof or unzip.unused_data:
        raise Unreadable("the answer cannot be unpacked: its end is missing")
    return out


def parse(data: bytes | str, limit: int = LIMIT, most: int = VALUES) -> Any:
    """The JSON document in `data`; Unreadable for what is none, or larger or deeper than an answer can be. Of a name that comes
    twice the last one counts."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > limit:
        raise Unreadable(f"the text is longer than {limit:,} bytes")
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets > min(most // 5, FEW + len(raw) // BRACKET_BYTES) or (
            brackets + raw.count(b",") > min(most, FEW + len(raw) // VALUE_BYTES)):
        raise Unreadable("the text has more values than an answer can have")
    try:
        document = orjson.loads(raw)      # refuses 1,025 levels, NaN, an infinity, half a surrogate
    except ValueError:
        raise Unreadable("the text is not JSON") from None
    level = [document] if type(document) in NESTED else []
    for _ in range(DEPTH):                # exact types, an eighth of the time: 1.5 ms for a book of 2,000 orders
        level = [value for part in level for value in (part.values() if type(part) is dict else part) if type(value) in NESTED]
        if not level:
            return document
    raise Unreadable(f"the text is deeper than {DEPTH} levels")


# ---- headers -----------------------------------------------------------------------------------------------------------
def clock_of(header: str | None) -> int:
    """ns since 1970 as the sim's clock header says; 0 where it says nothing that makes sense."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 19:
        return 0
    return int(header) if FIRST_MS <= int(header) // 1_000_000 <= LAST_MS else 0


def date_of(header: str | None) -> float | None:
    """Epoch seconds of a Date header; None where there is none or it makes no sense."""
    try:
        at = parsedate_to_datetime((header or "")[:40]).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return at if FIRST_MS <= at * 1000 <= LAST_MS else None


# ---- values ------------------------------------------------------------------------------------------------------------
def number(value: Any, what: str, least: float = -MOST, most: float = MOST) -> float:
    """A finite number from `least` to `most`, or a plain decimal in text, which can mean nothing else."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not least <= value <= most:
        raise Unreadable(f"{what} is not a number that makes sense")
    return float(value)


def whole(value: Any, what: str, least: int = 0, most: int = int(MOST)) -> int:
    """A number without a fraction."""
    found = number(value, what, least, most)
    if found != int(found):
        raise Unreadable(f"{what} is not a whole number")
    return int(found)


def text(value: Any, what: str, most: int = 300) -> str:
    """Text of 1 to `most` printable characters without markup."""
    if not isinstance(value, str) or not 0 < len(value) <= most or _ODD.search(value):
        raise Unreadable(f"{what} is not a text that makes sense")
    return value


def truth(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"{what} is neither true nor false")
    return value


def record(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not an object")
    return value


def rows(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable(f"{what} is not a list")
    return value


def readable(values: Sequence[Any], take: Callable[[Any], Any]) -> tuple[list[Any], int]:
    """(what `take` made of the values, number of those it refused)."""
    out = []
    for value in values:
        try:
            out.append(take(value))
        except Unreadable:
            continue
    return out, len(values) - len(out)


def data_of(body: Any, what: str) -> Any:
    """The data of a successful answer. One without any, or that says it is none, is unreadable: nothing is not the same as an
    empty list."""
    if not isinstance(body, dict) or body.get("status") != "success" or body.get("data") is None:
        raise Unreadable(f"{what}: the answer has no data")
    return body["data"]


def said(body: Any) -> str:
    """Code and message of the first error of an answer, made safe; either spelling of the code."""
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "no reason given"
    code, message = first.get("errorCode") or first.get("error_code"), first.get("message")
    return clean(" ".join(part for part in (code, message) if isinstance(part, str))) or "no reason given"


LEVELS = 64                          # of a side; the broker shows five
QUOTE_NUMBERS = ("last_price", "prev_close_price", "lower_circuit_limit", "upper_circuit_limit", "volume", "average_price", "oi")


def quote(value: Any) -> dict[str, Any]:
    """A quote with its numbers as numbers; those that are null stay away, and a depth that is null is empty."""
    row = dict(record(value, "a quote"))
    row["instrument_token"] = text(row.get("instrument_token"), "the key of a quote", 64)
    for name in QUOTE_NUMBERS:
        if row.get(name) is None:
            row.pop(name, None)
        else:
            row[name] = number(row[name], f"{name} of a quote", 0, 1e15 if name in ("volume", "oi") else MOST)
    depth = record({} if row.get("depth") is None else row["depth"], "the depth of a quote")
    row["depth"] = {side: [_level(level) for level in rows(depth.get(side, []), "a side of a quote")[:LEVELS]]
                    for side in ("buy", "sell")}
    return row


def _level(value: Any) -> dict[str, Any]:
    level = record(value, "a level")
    return {name: number(level.get(name, 0), f"{name} of a level", 0) for name in ("price", "quantity")}


def minute(value: Any) -> dict[str, Any]:
    """The last completed minute of an instrument, {instrument_token, prev_ohlc}; None where there was none."""
    row = record(value, "a minute")
    candle = row.get("prev_ohlc")
    return {"instrument_token": text(row.get("instrument_token"), "the key of a minute", 64),
            "prev_ohlc": None if candle is None else record(candle, "a minute")}


def hours(value: Any) -> dict[str, Any]:
    """One exchange's hours of a day, {exchange, start_time, end_time} in ms."""
    row = record(value, "hours of a day")
    return {"exchange": text(row.get("exchange"), "an exchange", 16),
            **{name: whole(row.get(name), name, FIRST_MS, LAST_MS) for name in ("start_time", "end_time")}}


def trade(value: Any) -> dict[str, Any]:
    """A fill as the day's trades tell it."""
    row = record(value, "a trade")
    return row | {"order_id": text(row.get("order_id"), "the order of a trade", 64),
                  "quantity": whole(row.get("quantity"), "the quantity of a trade"),
                  "average_price": number(row.get("average_price"), "the price of a trade", 0)}


def switch(value: Any) -> dict[str, Any]:
    """One segment of the broker's kill switch."""
    row = record(value, "a segment")
    return row | {"segment": text(row.get("segment"), "a segment", 16),
                  "kill_switch_enabled": truth(row.get("kill_switch_enabled"), "the switch of a segment")}
