"""Trading sessions of NSE as of a date (docs/upstox.md 8.5) and the day profiles that belong to them (docs/market.md 5.2)."""
import datetime as dt
from dataclasses import dataclass

import numpy as np

from _ext.core.clock import AHEAD_OF_UTC, MINUTES, OPEN_OF_DAY

IST = dt.timezone(dt.timedelta(minutes=AHEAD_OF_UTC))
EPOCH = dt.date(1970, 1, 1)
OPEN = dt.time(9, 15)
CLOSING_AUCTION_FROM = dt.date(2026, 8, 3)
"""From this date F&O-listed stocks stop at 15:15 and F&O itself runs to 15:40."""

LONGER_PRE_OPEN_FROM = dt.date(2026, 9, 7)
FUTURES_PRE_OPEN_FROM = dt.date(2025, 12, 8)

_AT = ("09:15 09:16 09:17 09:18 09:20 09:25 09:30 09:45 10:00 10:15 10:45 11:15 12:00 12:45 13:15 13:45 14:15 14:30 14:45 "
       "15:00 15:10 15:15 15:20 15:25 15:29")
_TABLES = {
    "2021": ("4.1 3.7 2.7 2.6 2.5 1.9 1.7 1.3 1.17 1.03 .88 .85 .81 .77 .82 .84 .87 .91 .88 1.1 1.0 .91 1.0 .88 1.1",
             "4.9 4.8 3.7 3.1 2.8 2.0 1.7 1.3 1.05 .89 .78 .75 .68 .67 .68 .74 .82 .89 .94 1.5 1.8 2.1 2.3 1.6 1.1"),
    "2026": ("7.9 4.4 2.6 3.0 2.2 1.8 1.65 1.4 1.12 1.02 .93 .86 .76 .82 .84 .78 .91 .89 .85 1.06 .8 .84 .97 1.3 2.0",
             "8.2 4.4 3.5 3.4 1.9 1.6 1.5 1.4 1.0 .84 .66 .63 .59 .84 .69 .66 .97 1.1 1.0 2.3 2.1 2.6 3.0 3.3 2.4"),
}


def number_of(day: dt.date) -> int:
    """Days since 1970."""
    return (day - EPOCH).days


def day_of(number: int) -> dt.date:
    """The day so many days after 1970-01-01."""
    return EPOCH + dt.timedelta(days=int(number))


def minute_of_session(text: str) -> int:
    """Minutes after 09:15 of a time `HH:MM`."""
    return int(int(text[:2]) * 60 + int(text[3:]) - OPEN_OF_DAY)


def profile(day: dt.date) -> np.ndarray:
    """float64[2, 390]: factors of |one-minute return| and of volume from 09:15, interpolated; the era's of `day`."""
    table = _TABLES["2021" if day < dt.date(2026, 1, 1) else "2026"]
    at = [minute_of_session(text) for text in _AT.split()]
    return np.array([np.interp(np.arange(MINUTES), at, [float(x) for x in row.split()]) for row in table])


def close_minute(kind: str, is_cas: bool, day: dt.date) -> int:
    """Minutes after 09:15 at which continuous trading of an instrument ends on `day`."""
    if day < CLOSING_AUCTION_FROM:
        return 375
    if kind in ("future", "option"):
        return 385
    return 360 if is_cas else 375


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of a day, from `begin` to before `end` (times in India)."""
    name: str
    begin: dt.time
    end: dt.time


def phases(kind: str, is_cas: bool, day: dt.date) -> tuple[Phase, ...]:
    """The phases of a regular `day` for an instrument class, in order; what is between them is closed (docs/upstox.md 8.5)."""
    def at(minute: int) -> dt.time:
        return dt.time((OPEN_OF_DAY + minute) // 60, (OPEN_OF_DAY + minute) % 60)

    out = []
    if kind == "equity":
        collecting = dt.time(9, 10) if day >= LONGER_PRE_OPEN_FROM else dt.time(9, 8)
        out = [Phase("pre-open", dt.time(9), collecting), Phase("matching", collecting, dt.time(9, 12))]
    elif kind == "future" and day >= FUTURES_PRE_OPEN_FROM:
        out = [Phase("pre-open", dt.time(9), dt.time(9, 8)), Phase("matching", dt.time(9, 8), dt.time(9, 12))]
    end = close_minute(kind, is_cas, day)
    out.append(Phase("continuous", OPEN, at(end)))
    if kind == "equity":
        if end < 375:
            out.append(Phase("closing auction", at(end), dt.time(15, 35)))
        out.append(Phase("post-close", dt.time(15, 50) if day >= CLOSING_AUCTION_FROM else dt.time(15, 40), dt.time(16)))
    return tuple(out)


def phase_at(kind: str, is_cas: bool, moment: dt.datetime) -> str:
    """Name of the phase an instrument class is in; "closed" between them."""
    for phase in phases(kind, is_cas, moment.astimezone(IST).date()):
        if phase.begin <= moment.astimezone(IST).time() < phase.end:
            return phase.name
    return "closed"


def epoch_ms(day: dt.date, minute: float = 0) -> int:
    """Epoch ms of a session minute on `day`."""
    return round((dt.datetime.combine(day, OPEN, IST).timestamp() + 60 * minute) * 1000)
