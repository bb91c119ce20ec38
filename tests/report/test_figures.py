"""Figures of generated trades, by numpy and by hand; those of a real backtest stand in test_backtests.py."""
import dataclasses

import numpy as np
import pytest

from engine.report.figures import distributions, equity_block, figures, histogram, hourly, monthly
from engine.report.payload import unpacked
from tests.kit.reports import EQUITY, sessions, trades_of_year

DAYS = sessions(60)
TRADES = trades_of_year(DAYS, 500, 20)


def test_groups_are_those_of_their_trades():
    found = figures(TRADES, DAYS, EQUITY)["groups"]
    assert set(found) == {"hour", "instrument", "direction", "score", "reason", "source"}
    for name, of in (("instrument", lambda t: t.symbol), ("direction", lambda t: "long" if t.side > 0 else "short"),
                     ("reason", lambda t: t.reason), ("source", lambda t: t.source)):
        assert sum(row["trades"] for row in found[name].values()) == 500
        for word, row in found[name].items():
            mine = [t for t in TRADES if of(t) == word]
            net = np.array([t.gross - t.charges for t in mine])
            assert row["trades"] == len(mine) and row["net"] == pytest.approx(net.sum() / 100)
            assert row["average_bp"] == pytest.approx(np.mean(net / [t.quantity * t.entry_price for t in mine]) * 1e4)
            low, high = row["interval"]["net"]
            assert low <= high and (len(mine) < 20 or low < row["net"] < high)


def test_months_of_two_years_and_those_without_a_session():
    found = monthly(TRADES, DAYS, EQUITY)
    assert found["years"] == ["2025"]
    total = sum(value for row in found["net"] for value in row if value is not None)
    assert total == pytest.approx(sum(t.net for t in TRADES) / 100)
    assert found["share"][0][9] == pytest.approx(found["net"][0][9] * 100 / EQUITY)
    over = monthly([], ["2025-12-31", "2026-01-01"], EQUITY)
    assert over["years"] == ["2025", "2026"] and over["net"][0][11] == 0 and over["net"][1][11] is None


def test_a_cell_without_a_trade_is_not_one_that_earned_nothing():
    found = hourly([dataclasses.replace(TRADES[0], gross=500, charges=500), dataclasses.replace(
        TRADES[0], entry_time=TRADES[0].entry_time + (86_400 + 3600) * 1_000_000_000)])
    values = [value for row in found["net"] for value in row]
    assert values.count(None) == 2 and 0.0 in values


def test_a_histogram_counts_all_and_has_zero_as_an_edge():
    values = np.random.default_rng(3).normal(1, 10, 3000)
    found = histogram(values, True)
    assert sum(found["counts"]) == 3000 and 0.0 in found["edges"] and found["median"] == pytest.approx(np.median(values))
    zero = found["edges"].index(0.0)
    assert sum(found["counts"][zero:]) == (values >= 0).sum()
    assert found["low"] == values.min() < found["edges"][0] and len(found["edges"]) == len(found["counts"]) + 1
    assert histogram(np.array([5.0, 5.0]), False)["counts"].count(2) == 1
    assert histogram(np.array([np.nan]), True)["counts"] == []


def test_durations_and_results_are_of_every_closed_trade():
    found = distributions(TRADES)
    assert sum(found["minutes"]["counts"]) == sum(found["result_bp"]["counts"]) == 500
    held = [(t.exit_time - t.entry_time) / 60e9 for t in TRADES]
    assert found["minutes"]["mean"] == pytest.approx(np.mean(held)) and found["result_rupees"]["mean"] == pytest.approx(
        np.mean([t.net for t in TRADES]) / 100)


def test_the_account_goes_by_when_trades_ended_and_leaves_out_open_ones():
    trades = [dataclasses.replace(TRADES[0], exit_time=3_000_000_000, gross=-500, charges=100),
              dataclasses.replace(TRADES[0], exit_time=2_000_000_000, gross=900, charges=100),
              dataclasses.replace(TRADES[0], exit_time=0)]
    block = equity_block(trades, EQUITY, 1)
    found = unpacked(block.head, block.packed())
    assert found["time"].tolist() == [1, 2, 3] and found["net"].tolist() == [0, 800, 200]
    assert found["drawdown"].tolist() == [0, 0, 600]


def test_nothing_traded_is_a_report_too():
    found = figures([], DAYS[:2], EQUITY)
    assert found["summary"]["trades"] == 0 and found["costs"]["a_trade"] is None and found["hourly"]["rows"] == []
    assert found["daily"]["net"] == [0.0, 0.0]
