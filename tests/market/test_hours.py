"""Trading days and hours against what was observed, and the phases of a day."""
import csv
import datetime as dt

import pytest

from engine.market import calendar
from engine.market.calendar import CalendarError, Hours
from engine.market.sessions import IST, Phase, phase_at, phases
from tests.conftest import recording

MISSING = {dt.date(2022, 8, 8), dt.date(2021, 11, 4)}
"""Sessions without a file in the daily record."""


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
    day = dt.date(2026, 11, 25)
    at = [round(dt.datetime.combine(day, dt.time(h, m), IST).timestamp() * 1000) for h, m in ((9, 0), (15, 30))]
    timings = [{"exchange": name, "start_time": at[0], "end_time": at[1]} for name in ("MCX", "NSE")]
    assert calendar.hours_of(day, timings) == (Hours(day), "")
    assert calendar.hours_of(dt.date(2026, 11, 24), []) == (None, "")
    wrong, note = calendar.hours_of(day - dt.timedelta(days=2), timings)
    assert wrong == Hours(dt.date(2026, 11, 23)) and "make no sense" in note
    for odd in ({}, {"start_time": None, "end_time": 5}, {"start_time": {}}):
        odd = [{"exchange": "NSE"} | odd]
        taken, note = calendar.hours_of(day, odd)
        assert taken == Hours(day) and "the shipped calendar is used" in note and "None" not in note


def told(day: dt.date, begin: tuple[int, int], end: tuple[int, int]) -> list[dict]:
    return [{"exchange": "NSE", **{name: round(dt.datetime.combine(day, dt.time(*at), IST).timestamp() * 1000)
                                   for name, at in (("start_time", begin), ("end_time", end))}}]


@pytest.mark.parametrize(("day", "evening"), [
    (dt.date(2019, 10, 27), "18:15"), (dt.date(2020, 11, 14), "18:15"), (dt.date(2021, 11, 4), "18:15"),
    (dt.date(2022, 10, 24), "18:15"), (dt.date(2023, 11, 12), "18:15"), (dt.date(2024, 11, 1), "18:00"),
    (dt.date(2025, 10, 21), "13:45"), (dt.date(2026, 11, 8), "18:00")])
def test_each_diwali_has_its_hour_and_is_not_traded(day, evening):
    found = calendar.hours(day)
    assert f"{found.open:%H:%M}" == evening and not found.is_regular
    assert (found.close.hour * 60 + found.close.minute) - (found.open.hour * 60 + found.open.minute) == 60


@pytest.mark.parametrize("day", [dt.date(2021, 11, 4), dt.date(2026, 11, 8), dt.date(2026, 2, 1), dt.date(2026, 11, 25)])
def test_a_session_the_broker_knows_nothing_of_is_none_and_a_note_says_so(day):
    hours, note = calendar.hours_of(day, [])
    assert hours is None and str(day) in note and "the shipped calendar has one" in note


def test_a_session_the_calendar_knows_nothing_of_is_watched():
    for day in (dt.date(2026, 11, 24), dt.date(2026, 11, 28)):                # a holiday, a Saturday
        hours, note = calendar.hours_of(day, told(day, (9, 15), (15, 30)))
        assert (hours.open, hours.close) == (dt.time(9, 15), dt.time(15, 30)) and not hours.is_regular
        assert "the shipped calendar has none" in note and "watched, not traded" in note
    beyond = dt.date(2027, 1, 4)                           # the calendar says nothing: no disagreement
    assert calendar.hours_of(beyond, told(beyond, (9, 15), (15, 30))) == (Hours(beyond), "")
    assert calendar.hours_of(beyond, []) == (None, "")


@pytest.mark.parametrize(("day", "begin", "end", "taken", "is_regular", "words"), [
    (dt.date(2026, 11, 25), (9, 0), (15, 15), ("09:15", "15:15"), True, ""),                    # the closing auction
    (dt.date(2026, 11, 25), (9, 15), (15, 40), ("09:15", "15:30"), True, ""),
    (dt.date(2026, 11, 25), (9, 15), (13, 0), ("09:15", "13:00"), False, "what is in both is taken"),
    (dt.date(2026, 11, 25), (11, 0), (15, 30), ("11:00", "15:30"), False, "what is in both is taken"),
    (dt.date(2024, 11, 1), (9, 15), (15, 30), ("09:15", "15:30"), False, "watched, not traded"),
    (dt.date(2026, 11, 8), (18, 15), (19, 15), ("18:15", "19:00"), False, ""),
    (dt.date(2026, 11, 8), (13, 45), (14, 45), ("13:45", "14:45"), False, "watched, not traded")])
def test_where_both_know_a_session_the_narrower_one_is_taken(day, begin, end, taken, is_regular, words):
    hours, note = calendar.hours_of(day, told(day, begin, end))
    assert (f"{hours.open:%H:%M}", f"{hours.close:%H:%M}") == taken and hours.is_regular == is_regular
    assert words in note and bool(words) == bool(note)


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


@pytest.mark.parametrize(("moment", "is_one"), [
    (dt.datetime(2026, 9, 1, 8, 44, 59, 999_999, IST), False), (dt.datetime(2026, 9, 1, 8, 45, tzinfo=IST), True),
    (dt.datetime(2026, 9, 1, 15, 39, 59, 999_999, IST), True), (dt.datetime(2026, 9, 1, 15, 40, tzinfo=IST), False),
    (dt.datetime(2026, 9, 1, 3, 15, tzinfo=dt.UTC), True), (dt.datetime(2026, 9, 1, 10, 10, tzinfo=dt.UTC), False),
    (dt.datetime(2026, 9, 5, 10, tzinfo=IST), False),      # a Saturday
    (dt.datetime(2026, 2, 1, 10, tzinfo=IST), True),       # a Sunday with a budget
    (dt.datetime(2026, 11, 24, 10, tzinfo=IST), False),    # a holiday
    (dt.datetime(2024, 11, 1, 18, 59, tzinfo=IST), True), (dt.datetime(2024, 11, 1, 19, tzinfo=IST), False),        # Muhurat
    (dt.datetime(2099, 9, 1, 10, tzinfo=IST), True), (dt.datetime(2099, 9, 5, 10, tzinfo=IST), False)])
def test_a_market_day_goes_from_the_morning_to_the_end_of_its_session(moment, is_one):
    """To 15:40, when the last trades of the closing auction are told; beyond the calendar every weekday is one."""
    assert calendar.is_market_day(moment) == is_one
