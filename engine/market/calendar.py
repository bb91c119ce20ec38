"""Which days NSE trades, and when: the broker's word where it can be had, else the shipped calendar (holidays.json).

The shipped one knows the weekend sessions and evening hours that library calendars miss (9 and 12 of them between 2019-10 and
2026-08); it ends with its last year, and a day beyond it is unknown, which means no trading until the broker says otherwise.
"""
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.market.sessions import IST, OPEN

CLOSE = dt.time(15, 30)


class CalendarError(EngineError, LookupError):
    """The day lies outside the years the shipped calendar knows; says what to do."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Equity's continuous hours of one trading day."""
    day: dt.date
    open: dt.time = OPEN
    close: dt.time = CLOSE
    is_doubted: bool = False         # one of broker and calendar knows no session on that day

    @property
    def is_regular(self) -> bool:
        """09:15 to 15:30 or, with a closing auction, 15:15: profiles and square-off times hold. Evening sessions (Muhurat), drills
        and days on which broker and calendar disagree are watched and not traded."""
        return self.open == OPEN and self.close >= dt.time(15, 15) and not self.is_doubted


@cache
def _shipped() -> tuple[dt.date, dt.date, frozenset[dt.date], dict[dt.date, Hours]]:
    document = json.loads((Path(__file__).parent / "holidays.json").read_text())
    date, time = dt.date.fromisoformat, dt.time.fromisoformat
    special = {date(day): Hours(date(day), time(begin), time(end)) for day, (begin, end) in document["special"].items()}
    return (dt.date.fromisoformat(document["first"]), dt.date.fromisoformat(document["last"]),
            frozenset(map(dt.date.fromisoformat, document["closed"])), special)


def hours(day: dt.date) -> Hours | None:
    """Hours of `day` by the shipped calendar, None on a holiday; CalendarError outside its years."""
    first, last, closed, special = _shipped()
    if not first <= day <= last:
        raise CalendarError(f"{day} is outside the shipped calendar ({first} to {last}): ask the broker (a token is enough), or "
                            "extend engine/market/holidays.json")
    if day in special:
        return special[day]
    return None if day.weekday() >= 5 or day in closed else Hours(day)


def sessions_between(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """Trading days from `first` to `last`, both inclusive."""
    for offset in range((last - first).days + 1):
        if hours(first + dt.timedelta(days=offset)) is not None:
            yield first + dt.timedelta(days=offset)


def session_before(day: dt.date) -> dt.date:
    """The last trading day before `day`."""
    while True:
        day -= dt.timedelta(days=1)
        if hours(day) is not None:
            return day


def hours_of_broker(day: dt.date, timings: Sequence[Mapping[str, Any]]) -> Hours | None:
    """What the broker's `market/timings` says of NSE equity on `day`: {exchange, start_time, end_time} in ms, empty when closed.

    ValueError where the answer cannot be read.
    """
    mine = next((row for row in timings if isinstance(row, dict) and row.get("exchange") == "NSE"), None)
    if mine is None:
        return None
    start, end = (dt.datetime.fromtimestamp(float(mine[name]) / 1000, IST) for name in ("start_time", "end_time"))
    if start.date() != day or end <= start:
        raise ValueError(f"the broker's hours of {day} make no sense: {start} to {end}")
    # the broker counts from the pre-open on some days: continuous trading never begins before 09:15
    return Hours(day, max(start.time(), OPEN), end.time())


APART = dt.timedelta(minutes=20)
"""A close that broker and calendar have this far apart is another session; the closing auction moves one by 15 minutes."""


def hours_of(day: dt.date, timings: Sequence[Mapping[str, Any]] | None) -> tuple[Hours | None, str]:
    """(hours, note): the broker's word where `timings` could be had, else the shipped calendar's with a note to say so. Where the
    two disagree the note says so and the cautious one wins: no session, or one that is watched and not traded."""
    try:
        known, problem = hours(day), ""
    except CalendarError as error:
        known, problem = None, str(error)
    told = None
    if timings is not None:
        try:
            told, note = hours_of_broker(day, timings), ""
        except (ValueError, TypeError, KeyError) as error:
            note = str(error) if isinstance(error, ValueError) else "the broker's hours cannot be read"
    else:
        note = "the broker did not tell today's hours"
    if note:
        return known, f"{note}; {problem or 'the shipped calendar is used'}"
    if problem or told == known:
        return told, ""
    return _cautious(told, known)


def _cautious(told: Hours | None, known: Hours | None) -> tuple[Hours | None, str]:
    """Of the broker's hours and the shipped calendar's, which are not the same."""
    if told is None:
        assert known is not None
        return None, (f"the broker has no session on {known.day}, the shipped calendar has one ({known.open:%H:%M} to "
                      f"{known.close:%H:%M}): nothing is traded")
    if known is None:
        return replace(told, is_doubted=True), (f"the broker has a session on {told.day} ({told.open:%H:%M} to "
                                                f"{told.close:%H:%M}), the shipped calendar has none: it is watched, not traded")
    both = Hours(told.day, max(told.open, known.open), min(told.close, known.close))
    if _apart(told.open, known.open) or _apart(told.close, known.close):
        note = (f"the broker's hours of {told.day} are {told.open:%H:%M} to {told.close:%H:%M}, the shipped calendar's "
                f"{known.open:%H:%M} to {known.close:%H:%M}")
        if both.open < both.close:
            return both, f"{note}: what is in both is taken"
        return replace(told, is_doubted=True), f"{note}: the session is watched, not traded"
    return both, ""


def _apart(a: dt.time, b: dt.time) -> bool:
    return abs(dt.datetime.combine(dt.date.min, a) - dt.datetime.combine(dt.date.min, b)) >= APART


MORNING, REFRESH = dt.time(8, 45), dt.time(6, 5)
"""When a trading day is made ready; when the broker's new instrument file is there (some time about 06:00, docs/upstox.md 3.6)."""


def agenda(now: dt.datetime) -> list[tuple[dt.datetime, str]]:
    """What comes next for a process that runs for days, from `now` (with a time zone) on: `refresh` of the instrument file after
    the close and before the open, `morning` of the next session. A day the calendar does not know counts as one if it is a weekday:
    the broker is asked in the morning."""
    day, out = now.astimezone(IST).date(), []
    for offset in range(12):
        date = day + dt.timedelta(days=offset)
        try:
            is_session = hours(date) is not None
        except CalendarError:
            is_session = date.weekday() < 5
        if is_session:
            out += [(dt.datetime.combine(date, at, IST), what) for at, what in (
                (REFRESH, "refresh"), (MORNING, "morning"), (dt.time(18, 30), "refresh"))]
    return [(at, what) for at, what in out if at > now]


def is_market_day(now: dt.datetime) -> bool:
    """Whether it is between the morning and the end of a session, as far as the calendar knows."""
    local = now.astimezone(IST)
    try:
        today = hours(local.date())
    except CalendarError:
        today = Hours(local.date()) if local.weekday() < 5 else None
    return today is not None and MORNING <= local.time() < max(today.close, dt.time(15, 40))
