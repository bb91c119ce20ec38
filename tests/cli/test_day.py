"""`day` on a Tuesday at ten: whether there is a session, how long it is watched, and when it is not traded."""
import datetime as dt
from types import SimpleNamespace

import pytest

from engine.broker.base import BrokerError
from engine.broker.upstox.master import MasterError
from engine.cli import day as command
from engine.cli.options import Failed
from engine.market.sessions import IST
from engine.run.session import NotReady
from engine.trail.rundir import RunError

TUESDAY = dt.date(2026, 9, 1)


class AtTen(dt.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.combine(TUESDAY, dt.time(10), tz)


def nse(opens: dt.time, closes: dt.time) -> list[dict]:
    return [{"exchange": "NSE", "start_time": dt.datetime.combine(TUESDAY, opens, IST).timestamp() * 1000,
             "end_time": dt.datetime.combine(TUESDAY, closes, IST).timestamp() * 1000}]


@pytest.fixture
def morning(monkeypatch):
    """The broker's hours of the day and what a run ends with; `runs`: (seconds, live, ending) of each."""
    told = SimpleNamespace(hours=nse(dt.time(9, 15), dt.time(15, 30)), document={"run_dir": "r"}, runs=[], evenings=[], confirms=[],
                           fails=None, compared=[], judged=[], differs=False)

    class Broker:
        def __init__(self, token):
            assert token == "t"

        async def timings(self, date):
            assert date == TUESDAY
            if told.hours is None:
                raise BrokerError(503, "no")
            return told.hours

        async def close(self):
            pass

    def run(options, config, quiet, confirm):
        told.confirms.append(confirm({"well": True, "checks": []}, "step 1"))
        if told.fails is not None:
            raise told.fails
        told.runs.append((options.seconds, options.live, options.ending))
        return told.document

    monkeypatch.setattr("engine.broker.upstox.market.ReadOnly", Broker)
    monkeypatch.setattr(command, "dt", SimpleNamespace(datetime=AtTen, date=dt.date, time=dt.time))
    monkeypatch.setattr(command.logins, "load", lambda: SimpleNamespace(text="t"))
    monkeypatch.setattr("engine.run.session.run", run)
    monkeypatch.setattr(command, "closing_words", lambda document: None)
    def account(folder, compare=False):
        told.evenings.append(str(folder))
        told.compared.append(compare)
        if told.differs:
            raise Failed("2 differences from the broker")

    monkeypatch.setattr(command, "report", account)
    monkeypatch.setattr(command, "rollout_of_today", lambda: told.judged.append(list(told.compared)))
    return told


def test_a_regular_day_runs_until_after_the_close_and_has_its_account(said, morning):
    """Until 15:40, five hours and forty minutes from ten."""
    assert said("day", "--live", "--flatten") == (0, "")
    assert morning.runs == [(20_400, True, "flatten")] and morning.evenings == ["r"]


def test_a_day_with_real_money_is_held_against_the_brokers_before_it_is_judged(said, morning):
    """One that was not is a bad day, which would go a step back every evening; differences are judged too."""
    assert said("day", "--live", "--flatten") == (0, "") and morning.judged == [[True]]
    assert said("day") == (0, "") and morning.judged[1:] == [[True, False]], "on paper no broker has its trades"
    assert said("day", "--observe") == (0, "") and len(morning.judged) == 2
    morning.differs = True
    code, text = said("day", "--live", "--flatten")
    assert code == 1 and "2 differences" in text and len(morning.judged) == 3


def test_without_the_brokers_hours_the_shipped_calendar_counts_and_is_named(said, morning):
    morning.hours = None
    assert said("day") == (0, "") and "the shipped calendar is used" in said.out
    assert morning.runs == [(20_400, False, "")]


def test_a_day_without_a_session_runs_nothing(said, morning):
    morning.hours = []
    assert said("day", "--live") == (0, "") and "Tuesday 01 September: no session today" in said.out
    assert morning.runs == [] and morning.evenings == []


@pytest.mark.parametrize(("closes", "runs"), [(dt.time(10, 30), [(1_800, False, "")]), (dt.time(10, 0), []), (dt.time(9, 45), [])])
def test_a_session_of_other_hours_is_watched_and_not_traded(said, morning, closes, runs):
    morning.hours = nse(dt.time(9, 15), closes)
    assert said("day", "--live") == (0, "") and "is watched, not traded" in said.out
    assert morning.runs == runs and ("the market has closed" in said.out) == (not runs)


def test_a_run_with_a_problem_fails_and_has_no_account(said, morning):
    morning.document["problem"] = "the engine is dead"
    code, text = said("day")
    assert code == 1 and "the engine is dead" in text and morning.evenings == []


def test_real_orders_every_day_are_asked_for_once_more(said, morning, monkeypatch):
    monkeypatch.setattr(command, "confirmed", lambda words: False)
    code, text = said("day", "--live", "--forever")
    assert code == 1 and "not confirmed; no order was sent" in text and morning.runs == []


def test_day_after_day_a_day_that_is_over_is_not_begun_again(morning, monkeypatch):
    """The broker tells of no session on a Tuesday at ten: it is asked once, and the next morning is waited for."""
    asked = []
    morning.hours = []

    def sleep(seconds):
        asked.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(KeyboardInterrupt):
        command.day(forever=True)
    assert asked == [30] and morning.runs == []


@pytest.fixture
def forever(monkeypatch):
    """Naps of `day --forever`, the first of which ends it; the word was typed when it began."""
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(command, "confirmed", lambda words: True)
    monkeypatch.setattr("engine.cli.closing.confirmed", lambda when: pytest.fail("nobody is there to type"))
    return naps


def test_who_agreed_to_every_day_is_not_asked_each_morning(morning, forever):
    with pytest.raises(KeyboardInterrupt):
        command.day(live=True, forever=True)
    assert morning.confirms == [True] and morning.runs == [(20_400, True, "")] and forever == [30]


def test_a_morning_on_which_doctor_finds_something_is_tried_again(morning, forever, capsys):
    morning.fails = NotReady("doctor found what must be mended first")
    with pytest.raises(KeyboardInterrupt):
        command.day(live=True, forever=True)
    assert forever == [60] and "ALARM: this day is over: doctor found" in capsys.readouterr().out


@pytest.mark.parametrize("error", [
    NotReady("doctor"), RunError("the folder"), MasterError("the file"), Failed("the engine"), ValueError("a number")])
def test_a_day_that_failed_is_begun_again_a_minute_later(morning, forever, monkeypatch, capsys, error):
    """It is ten: what is left of the session is traded, and once that is over the next morning is waited for."""
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        morning.fails = None
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    morning.fails = error
    with pytest.raises(KeyboardInterrupt):
        command.day(live=True, forever=True)
    assert naps == [60, 30] and morning.runs == [(20_400, True, "")]
    assert capsys.readouterr().out.count(f"ALARM: this day is over: {error}") == 1


def test_one_day_that_failed_is_not_begun_again(said, morning, monkeypatch):
    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=lambda seconds: pytest.fail("it waits for another try")))
    morning.fails = RunError("the folder is in use")
    code, text = said("day")
    assert code == 1 and "the folder is in use" in text and morning.runs == []


def test_a_signal_ends_it_for_all_days(morning, forever):
    morning.document["told_to_stop"] = True
    command.day(live=True, forever=True)
    assert forever == [] and len(morning.runs) == 1
