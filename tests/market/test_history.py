"""Candles fetched within the limits, kept, gone on with; and what an engine starts with."""
import asyncio
import datetime as dt

import numpy as np
import pytest

from engine.broker.base import BrokerError
from engine.broker.upstox import fetch
from engine.market import history
from engine.market.sessions import IST

DAY = dt.date(2026, 9, 16)


class Broker:
    """Answers candle calls: 3 minutes a day, every weekday but the `closed`."""

    def __init__(self):
        self.calls, self.failing, self.closed = [], set(), set()

    async def candles(self, key, first, last):
        self.calls.append((key, first, last))
        if key in self.failing:
            raise BrokerError(503, "no")
        rows, day = [], first
        while day <= last:
            if day.weekday() < 5 and day not in self.closed:
                at = dt.datetime.combine(day, dt.time(15, 12), IST)
                rows += [[(at + dt.timedelta(minutes=k)).isoformat(), 100, 101, 99, 100.5, 10 + k, 0] for k in range(3)]
            day += dt.timedelta(days=1)
        return rows[::-1]


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0, 0.0))


def sync(broker, keys=("NSE_EQ|A", "NSE_EQ|B"), day=DAY, months=3):
    return asyncio.run(fetch.months(broker, keys, day, months, lambda *_: None))


def test_months_are_whole_and_newest_first():
    assert history.months_back(DAY, 3) == [(dt.date(2026, 9, 1), dt.date(2026, 9, 15)), (dt.date(2026, 8, 1), dt.date(2026, 8, 31)),
                                           (dt.date(2026, 7, 1), dt.date(2026, 7, 31))]
    assert history.months_back(dt.date(2026, 9, 1), 1) == [(dt.date(2026, 8, 1), dt.date(2026, 8, 31))]


def test_what_is_there_is_not_fetched_again():
    broker = Broker()
    assert sync(broker)["calls"] == 6 and sync(broker)["calls"] == 0
    assert sync(broker, day=DAY + dt.timedelta(days=1))["calls"] == 2          # the running month, a day longer
    assert sync(broker, months=4)["calls"] == 2


def test_days_without_a_session_make_a_month_no_less_whole():
    broker, monday = Broker(), dt.date(2026, 9, 21)
    sync(broker, day=monday - dt.timedelta(days=2), months=1)
    assert sync(broker, day=monday, months=1) == {"calls": 2, "rows": 84, "failed": {}, "kept": 2}
    assert sync(broker, day=monday, months=1)["calls"] == 0


def test_an_answer_with_less_than_is_kept_is_none():
    broker, next_day = Broker(), DAY + dt.timedelta(days=1)
    sync(broker, keys=["NSE_EQ|A"], months=1)
    kept = history.read("NSE_EQ|A", dt.date(2026, 9, 1), DAY)
    broker.closed = {dt.date(2026, 9, 3), dt.date(2026, 9, 4)}
    assert sync(broker, keys=["NSE_EQ|A"], day=next_day, months=1)["failed"] == {"NSE_EQ|A 2026-09": "30 bars where 33 are kept"}
    assert (history.read("NSE_EQ|A", dt.date(2026, 9, 1), DAY) == kept).all() and len(kept) == 33
    broker.closed = set()
    assert sync(broker, keys=["NSE_EQ|A"], day=next_day, months=1) == {"calls": 1, "rows": 36, "failed": {}, "kept": 1}


def test_a_month_without_bars_is_told_and_asked_for_again():
    broker = Broker()
    broker.closed = {dt.date(2026, 9, k) for k in range(1, 31)}
    for _ in range(2):
        assert sync(broker, keys=["NSE_EQ|A"], months=1)["failed"] == {"NSE_EQ|A 2026-09": "no bars"}
    broker.closed = set()
    assert sync(broker, keys=["NSE_EQ|A"], months=1)["failed"] == {}


def test_a_month_that_fails_is_told_and_tried_at_the_next_call():
    broker = Broker()
    broker.failing = {"NSE_EQ|B"}
    first = sync(broker)
    assert len(first["failed"]) == 3 and first["kept"] == 3
    broker.failing = set()
    again = sync(broker)
    assert again["calls"] == 3 and not again["failed"] and again["kept"] == 6


def test_reading_gives_the_days_asked_for():
    sync(Broker())
    rows = history.read("NSE_EQ|A", dt.date(2026, 8, 31), dt.date(2026, 9, 2))
    assert len(rows) == 9 and (np.diff(rows["minute"]) > 0).all() and rows["close"].tolist() == [10050] * 9


def test_an_engine_starts_with_the_last_minutes_of_names_it_knows():
    sync(Broker())
    bars = history.recent({"NSE_EQ|B": 4, "NSE_EQ|Z": 0}, DAY)
    assert set(bars["inst"]) == {4} and len(bars) == 9                       # the last five days: Fri, Mon, Tue
    assert not len(history.recent({"NSE_EQ|B": 4}, DAY + dt.timedelta(days=20)))
    day = 100.5 * (10 + 11 + 12)                 # rupees of each session: three minutes
    assert history.turnovers(DAY) == pytest.approx({"NSE_EQ|A": day, "NSE_EQ|B": day})
    assert history.turnovers(DAY + dt.timedelta(days=20)) == {}


def test_calls_keep_within_every_window():
    async def run():
        pace = fetch.Pace(((0.05, 3), (0.2, 6)))
        loop, at = asyncio.get_running_loop(), []
        for _ in range(14):
            await pace.turn()
            at.append(loop.time())
        return at

    at = asyncio.run(run())
    for length, limit in ((0.05, 3), (0.2, 6)):
        assert all(b - a >= length - 0.005 for a, b in zip(at, at[limit:], strict=False))


def test_a_split_of_the_night_rescales_what_was_kept():
    sync(Broker())
    bars = history.recent({"NSE_EQ|A": 0, "NSE_EQ|B": 1}, DAY)
    scaled = history.rescaled(bars, {1: 0.5}, {1: 2.0})
    assert (scaled["close"][scaled["inst"] == 0] == 10050).all() and (scaled["close"][scaled["inst"] == 1] == 5025).all()
    assert (scaled["volume"][scaled["inst"] == 1] == 2 * bars["volume"][bars["inst"] == 1]).all()
    # a demerger or a dividend: the same shares at another price
    for shares in ({}, {1: 1.0}):
        alone = history.rescaled(bars, {1: 0.374}, shares)
        assert (alone["close"][alone["inst"] == 1] == 3759).all() and (alone["volume"] == bars["volume"]).all()
