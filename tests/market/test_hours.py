"""Trading days and hours against what was observed, and the phases of a day."""
import csv
import datetime as dt

import pytest

from engine.market import calendar
from engine.market.calendar import CalendarError, Hours
from engine.market.sessions import IST, Phase, phase_at, phases
from tests.conftest import recording

MISSING = {dt.date(2022, 8, 8)}
"""A session without a file in the daily record."""


def days(path):
    with path.open(newline="") as file:
        return {dt.date.fromisoformat(row["date"]) for row in csv.DictReader(file)}


@pytest.mark.recording(twin="tests/market/test_hours.py::test_evening_sessions_and_drills_are_not_regular")
def test_every_observed_session_is_one_and_no_other_day():
    observed = days(recording("daily") / "sessions_observed_2019-10_2026-08.csv") | MISSING
    assert set(calendar.sessions_between(min(observed), max(observed))) == observed
    assert sum(day.weekday() >= 5 for day in observed) == 9


@pytest.mark.recording(twin="tests/market/test_hours.py::test_evening_sessions_and_drills_are_not_regular")
def test_the_exchange_s_own_list_agrees():
    listed = days(recording("calendar") / "nse_cm_sessions_2025-08-20_2026-08-19.csv")
    assert set(calendar.sessions_between(dt.date(2025, 8, 20), dt.date(2026, 8, 19))) == listed


def test_evening_sessions_and_drills_are_not_regular():
    assert calendar.hours(dt.date(2026, 2, 1)).is_regular               # a Sunday with a budget
    assert not calendar.hours(dt.date(2024, 11, 1)).is_regular          # Muhurat
    assert calendar.hours(dt.date(2026, 11, 24)) is None
    assert calendar.session_before(dt.date(2026, 11, 25)) == dt.date(2026, 11, 23)


def test_a_day_beyond_the_calendar_is_unknown_not_open():
    with pytest.raises(CalendarError, match="ask the broker"):
        calendar.hours(dt.date(2027, 1, 4))
    hours, note = calendar.hours_of(dt.date(2027, 1, 4), None)
    assert hours is None and "ask the broker" in note


def test_the_broker_s_word_goes_first():
    day = dt.date(2026, 11, 24)
    at = [round(dt.datetime.combine(day, dt.time(h, m), IST).timestamp() * 1000) for h, m in ((9, 0), (15, 30))]
    timings = [{"exchange": name, "start_time": at[0], "end_time": at[1]} for name in ("MCX", "NSE")]
    assert calendar.hours_of(day, timings) == (Hours(day), "")
    assert calendar.hours_of(day, []) == (None, "")
    wrong, note = calendar.hours_of(day - dt.timedelta(days=1), timings)
    assert wrong == Hours(dt.date(2026, 11, 23)) and "make no sense" in note


def test_phases_as_of_the_date():
    before, after = dt.date(2026, 7, 31), dt.date(2026, 9, 8)
    assert [p.name for p in phases("equity", True, before)] == ["pre-open", "matching", "continuous", "post-close"]
    assert phases("equity", True, after)[2:4] == (Phase("continuous", dt.time(9, 15), dt.time(15, 15)),
                                                  Phase("closing auction", dt.time(15, 15), dt.time(15, 35)))
    assert phases("option", False, after) == (Phase("continuous", dt.time(9, 15), dt.time(15, 40)),)
    assert phases("future", False, dt.date(2025, 12, 5))[0].name == "continuous"
    assert [phase_at("equity", True, dt.datetime.combine(after, dt.time(*t), IST)) for t in ((9, 9), (9, 13), (15, 14), (15, 15),
                                                                                          (15, 40))] == [
        "pre-open", "closed", "continuous", "closing auction", "closed"]


def test_the_agenda_of_a_process_that_runs_for_days():
    friday = dt.datetime(2026, 11, 20, 15, 45, tzinfo=IST)
    assert [(f"{at:%a %H:%M}", what) for at, what in calendar.agenda(friday)[:4]] == [
        ("Fri 18:30", "refresh"), ("Mon 06:05", "refresh"), ("Mon 08:45", "morning"), ("Mon 18:30", "refresh")]
    monday = dt.datetime(2026, 11, 23, 19, 0, tzinfo=IST)                     # Tuesday is a holiday
    assert f"{calendar.agenda(monday)[0][0]:%a %H:%M}" == "Wed 06:05"
    assert calendar.agenda(dt.datetime(2027, 1, 4, 7, 0, tzinfo=IST))[0][1] == "morning"
