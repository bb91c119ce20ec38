"""Latencies and slippage of hand-made records."""
from itertools import pairwise

import numpy as np
import pytest

from _ext.core.records import REC_REPLY, REC_TIMING, REPLY, TIMING
from engine.report.seen import COLUMNS, Seen
from engine.report.timing import against_backtest, against_quotes, latencies_of, latency, spread_of
from tests.kit.reports import sessions, trades_of_year


def records(decided, answered):
    timing, reply = np.zeros(len(decided), TIMING), np.zeros(len(answered), REPLY)
    timing["decided"], reply["latency"] = decided, answered
    return [*((REC_TIMING, 0, row.tobytes()) for row in timing), *((REC_REPLY, 0, row.tobytes()) for row in reply)]


def test_quantiles_and_histogram_hold_every_value():
    draw = np.random.default_rng(1)
    decided, answered = draw.lognormal(10, 1, 500).astype(int), draw.lognormal(17, 0.4, 40).astype(int)
    found = latency([latencies_of(records(decided[:200], answered)), latencies_of(records(decided[200:], [0, 0]))])
    assert set(found) == {"decided", "order"}                       # what was not measured is not there, and 0 never left
    assert found["decided"]["count"] == 500 and sum(found["decided"]["counts"]) == 500 and found["order"]["count"] == 40
    assert found["decided"]["p99"] == pytest.approx(np.percentile(decided, 99)) and found["order"]["max"] == answered.max()
    edges = found["decided"]["edges_ns"]
    inside = [((decided >= a) & (decided < b)).sum() for a, b in pairwise(edges)]
    assert found["decided"]["counts"] == inside


def test_a_value_beyond_the_edges_is_in_the_last_bin():
    found = latency([{"order": np.array([1, 50_000_000_000])}])["order"]
    assert found["counts"][0] == 1 and found["counts"][-1] == 1 and found["max"] == 5e10
    assert latency([]) == {}


def test_slippage_against_the_quote_is_signed_by_the_side():
    days = sessions(2)
    trades = trades_of_year(days, 6, 3)
    rows = np.zeros(6, COLUMNS)
    rows["id"], rows["day"] = [t.candidate for t in trades], [days.index(t.day) for t in trades]
    rows["time"] = [t.entry_time - 500_000_000 for t in trades]
    rows["quote"] = [round(t.entry_price / (1 + t.side * 10e-4)) for t in trades]       # each 10 bp worse
    saw = Seen()
    saw.add(rows, ["?"], ["spike"])
    saw.symbols = [t.symbol for t in trades[:5]] + ["ANOTHER"]
    found = against_quotes(trades, saw, days)
    assert found["trades"] == 5 and found["entry"]["mean"] == pytest.approx(10, abs=0.2) and found["delay_s"] == pytest.approx(0.5)
    rows["quote"] = 0
    saw.rows = rows
    assert against_quotes(trades, saw, days) is None


def test_slippage_against_the_backtest_is_that_of_its_rows():
    def row(symbol, entry, exit_, run, made):
        return {"symbol": symbol, "side": 1, "decision": "the same", "entry_bp": entry, "exit_bp": exit_, "entry_delay_s": 0.2,
                "net": run - made, "run": {"net": run, "reason": "stop", "entry_time": 1}, "made": {"net": made}}

    days = [{"day": "2026-09-01", "beside": [row("A", 2.0, 4.0, 10.0, 12.0), row("B", 4.0, None, 1.0, 1.0)]},
            {"day": "2026-09-02", "beside": [{"symbol": "C", "side": 1, "decision": "entered only in the run",
                                              "run": {"net": -3.0, "reason": "time"}, "made": None}]}]
    found = against_backtest(days)
    assert found["trades"] == 2 and found["entry"]["mean"] == 3.0 and found["exit"]["count"] == 1
    assert found["net"] == {"run": 8.0, "made": 13.0} and [r["symbol"] for r in found["rows"]] == ["A", "B", "C"]
    assert against_backtest([{"day": "2026-09-01", "beside": []}]) is None


def test_an_interval_needs_two_days():
    assert spread_of(np.array([1.0, 3.0]), np.array([0, 0]))["interval"] is None
    low, high = spread_of(np.array([1.0, 3.0, 5.0]), np.array([0, 1, 1]))["interval"]
    assert low == pytest.approx(1.0) and high == pytest.approx(4.0)
