"""`history sync` before a broker played by hand: which names, how far back, what its end says."""
import datetime as dt
from types import SimpleNamespace

import orjson
import pytest

from engine.broker.base import BrokerError
from engine.broker.upstox import fetch, master
from tests.market.test_universe import read, rows, small

__all__ = ["small"]


@pytest.fixture
def asked(monkeypatch):
    """What was asked for: (keys, months); `answer` is what comes of it."""
    calls, answer = [], {"calls": 2, "rows": 1234, "kept": 3, "failed": {}}

    async def file(day, again=False):
        return read(rows(expiries=[day + dt.timedelta(days=30 * k) for k in (1, 2)])), ""

    async def months(api, keys, today, count, tell):
        calls.append((keys, count))
        if isinstance(answer.get("error"), Exception):
            raise answer["error"]
        return answer

    monkeypatch.setattr(master, "fetch", file)
    monkeypatch.setattr(fetch, "months", months)
    monkeypatch.setattr("engine.cli.history.token_for", lambda source: {"upstox": "t"}[source])
    return SimpleNamespace(calls=calls, answer=answer)


def test_every_stock_six_months_back_by_default(said, asked):
    assert said("history", "sync") == (0, "")
    assert asked.calls == [(["NSE_EQ|AAA", "NSE_EQ|BBB", "NSE_EQ|CCC", "NSE_EQ|DDD"], 6)]
    assert said.out.startswith("2 calls, 1,234 bars; 3 files in ")


def test_the_names_that_were_asked_for_and_no_others(said, asked):
    assert said("history", "sync", "--names", "bbb, DDD,none", "--months", "1", "--json") == (0, "")
    assert asked.calls == [(["NSE_EQ|BBB", "NSE_EQ|DDD"], 1)] and orjson.loads(said.out) == asked.answer


@pytest.mark.parametrize("months", ["0", "13"])
def test_it_goes_one_to_twelve_months_back(said, asked, months):
    assert said("history", "sync", "--months", months)[0] == 2 and asked.calls == []


def test_months_that_could_not_be_had_fail_the_command(said, asked):
    asked.answer["failed"] = {"AAA 2026-08": "HTTP 503"}
    code, text = said("history", "sync")
    assert code == 1 and "1 months could not be had: run it again" in text and "failed: AAA 2026-08: HTTP 503" in said.out


def test_a_broker_that_says_no_is_told_in_its_words(said, asked):
    asked.answer["error"] = BrokerError(401, "the token is of yesterday")
    code, text = said("history", "sync")
    assert code == 1 and "the token is of yesterday" in text
