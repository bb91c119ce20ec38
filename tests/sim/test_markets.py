"""The market that was asked for."""
import datetime as dt

from engine.sim.markets import MOODS, market_of


def test_a_market_is_as_large_and_as_long_as_it_is_asked_for():
    market = market_of(None, 1, None, 3, minutes=20)
    assert len(market.specs) == 3 and market.minutes == 20 and market.day == dt.date(2026, 9, 1)
    with_contracts = market_of(None, 1, dt.date(2026, 9, 2), 3, contracts=2)
    kinds = [spec.kind for spec in with_contracts.specs]
    assert (kinds.count("equity"), kinds.count("future"), kinds.count("option")) == (3, 3, 6)
    assert with_contracts.day == dt.date(2026, 9, 2)


def test_a_lively_day_moves_four_times_as_much():
    assert MOODS["lively"] == 4 * MOODS["normal"]
    lively, normal = (market_of(None, 1, None, 3, mood=mood) for mood in ("lively", "normal"))
    assert lively.mood == 4 * normal.mood
