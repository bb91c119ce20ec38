"""What a day is made of: nights that nobody explains, a sim that is none, a journal of another day."""
import asyncio
import datetime as dt
from types import SimpleNamespace

import numpy as np
import orjson
import pytest

from _ext.core.records import REC_INSTRUMENTS, REC_START, WARM_BAR
from engine.broker.base import BrokerError
from engine.config import Config, Risk
from engine.market import history
from engine.market.instruments import Instrument, table
from engine.market.sessions import IST
from engine.market.universe import Change
from engine.run import screening
from engine.trail.rundir import RunError

DAY = dt.date(2026, 9, 1)
SPECS = [Instrument(f"NSE_EQ|{name}", name, tick=10) for name in ("RELIANCE", "TCS", "SBIN", "LT", "ITC")]


def candles_of(bars: np.ndarray) -> list[list]:
    """The rows as the broker's candle call gives them, newest first."""
    return [[dt.datetime.fromtimestamp(int(bar["minute"]) * 60, IST).isoformat(), *(int(bar[name]) / 100 for name in (
        "open", "high", "low", "close")), int(bar["volume"]), 0] for bar in bars[::-1]]


def kept_bars() -> np.ndarray:
    """Forty minutes of the session before for each of SPECS: 1,000.00, 300 shares a minute."""
    bars = np.zeros((len(SPECS), 40), WARM_BAR)
    bars["inst"], bars["volume"] = np.arange(len(SPECS))[:, None], 300
    bars["minute"] = int(dt.datetime(2026, 8, 31, 14, 0, tzinfo=IST).timestamp()) // 60 + np.arange(40)
    for name in ("open", "high", "low", "close"):
        bars[name] = 100_000
    return bars.ravel()


def test_a_night_is_a_split_explained_or_a_reason_not_to_trade(monkeypatch):
    """Closes of 1,000.00 in history; this morning's previous close is half, 3 % less, 30 % more, 37 % and not told. The broker's
    candles of now: as they were, but of LT, whose prices it has adjusted and whose volumes it has not."""
    kept = kept_bars()
    monkeypatch.setattr(history, "recent", lambda insts, day: kept)
    quotes = {SPECS[k].key: {"prev_close_price": price} for k, price in enumerate((500.0, 970.0, 1300.0, 374.0))}
    asked, notes = [], []

    async def candles(key, first, last):
        asked.append((key, first, last))
        mine = kept[kept["inst"] == [s.key for s in SPECS].index(key)].copy()
        if key == SPECS[3].key:
            for name in ("open", "high", "low", "close"):
                mine[name] = 37_400
        if key == SPECS[0].key:
            raise BrokerError(500, "not now")
        return candles_of(mine)

    factors, shares, strange = asyncio.run(
        screening.nights(SimpleNamespace(candles=candles), SPECS, quotes, [], DAY, notes.append))
    yesterday = dt.date(2026, 8, 31)
    assert asked == [(SPECS[k].key, yesterday, yesterday) for k in (0, 2, 3)], "of names that jumped, no others"
    assert factors == {SPECS[0].key: 0.5, SPECS[1].key: 0.97, SPECS[3].key: pytest.approx(0.374)}
    assert shares == {SPECS[0].key: 2.0, SPECS[1].key: 1.0, SPECS[3].key: 1.0}
    assert list(strange) == [SPECS[2].key] and "1.300 of what history says" in strange[SPECS[2].key]
    assert notes == [f"SBIN and its contracts are watched, not traded today: {strange[SPECS[2].key]}"]


def test_the_lots_of_the_instrument_file_are_heard_and_too_many_jumps_are_not_asked_about(monkeypatch):
    kept = kept_bars()
    monkeypatch.setattr(history, "recent", lambda insts, day: kept)
    monkeypatch.setattr(screening, "MOST_ASKED", 2)
    asked = []

    async def candles(key, first, last):
        asked.append(key)
        return []

    changes = [Change("RELIANCE", "future", "NSE_FO|1", "changed", "lot", "300", "1000"),
               Change("RELIANCE", "stock", SPECS[0].key, "changed", "lot", "300", "5000"),
               Change("TCS", "option", "NSE_FO|2", "changed", "tick", "300", "1000")]
    quotes = {s.key: {"prev_close_price": 302.0} for s in SPECS}
    factors, shares, strange = asyncio.run(
        screening.nights(SimpleNamespace(candles=candles), SPECS, quotes, changes, DAY, lambda _: None))
    assert asked == [SPECS[0].key, SPECS[1].key]
    assert factors == {SPECS[0].key: pytest.approx(0.302)} and shares == {SPECS[0].key: pytest.approx(1 / 0.302)}
    assert list(strange) == [s.key for s in SPECS[1:]]


def sim(answer: bytes) -> SimpleNamespace:
    async def raw(path):
        assert path == "/sim/instruments"
        return answer
    return SimpleNamespace(raw=raw, base="http://sim")


def test_the_sims_day_is_taken_as_it_is_told():
    told = {"day": "2026-09-01", "speed": 20, "specs": [{"key": "NSE_EQ|A", "symbol": "A", "lot": 5}]}
    found = asyncio.run(screening.of_sim(sim(orjson.dumps(told)), Config(models="")))
    assert (found.day, found.speed, [(s.key, s.lot) for s in found.specs]) == (DAY, 20.0, [("NSE_EQ|A", 5)])


@pytest.mark.parametrize("told", [
    {}, [], {"day": "today", "speed": 1, "specs": []}, {"day": "2026-09-01", "specs": []},
    {"day": "2026-09-01", "speed": 1, "specs": [{"name": "A"}]}])
def test_what_answers_otherwise_is_no_sim(told):
    with pytest.raises(RunError, match="not as this engine's sim"):
        asyncio.run(screening.of_sim(sim(orjson.dumps(told)), Config(models="")))


def journal(day: dt.date) -> list[tuple]:
    return [(REC_START, 1, 0, orjson.dumps({"day": day.isoformat()})), (REC_INSTRUMENTS, 2, 0, table(SPECS[:2], day).tobytes())]


def test_a_restart_goes_on_with_the_names_of_its_own_day(tmp_path):
    today = dt.datetime.now(IST).date()
    found = screening.of_journal(journal(today), Config(models=""), tmp_path)
    assert found.day == today and [(s.key, s.symbol, s.tick) for s in found.specs] == [(s.key, s.symbol, 10) for s in SPECS[:2]]
    yesterday = today - dt.timedelta(days=1)
    with pytest.raises(RunError, match=f"holds the journal of {yesterday}: start a new run folder"):
        screening.of_journal(journal(yesterday), Config(models=""), tmp_path)


def test_funds_that_cannot_be_read_are_papers_for_who_only_observes():
    """And for who trades on paper: neither has an account, and none is asked for."""
    async def funds():
        raise BrokerError(403, "this token may not")
    account = SimpleNamespace(funds=funds)
    config = Config(models="", risk=Risk(account_size=250_000.5))
    assert asyncio.run(screening.opening_funds(None, config)) == 25_000_050
    with pytest.raises(BrokerError):
        asyncio.run(screening.opening_funds(account, config))
