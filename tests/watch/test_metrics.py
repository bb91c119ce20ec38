"""Each metric of a stored day equals what ClickHouse says of it, or the journal read another way; the rest equals by hand."""
import dataclasses
import math
import statistics
from collections import Counter

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from _ext.core.records import GATE, REC_GATE, REC_TIMING, REDUCING, TIMING
from engine.config import Config
from engine.store.process import main as store
from engine.watch import figures
from engine.watch.metrics import TABLE, Metrics
from engine.watch.tally import STAGE_EDGES, Tally
from engine.watch.trades import Trade
from engine.watch.watched import Channel, StoreLag, Watched
from tests.conftest import ROOT
from tests.kit.store import tables
from tests.kit.watched import watched_day
from tests.watch.test_conditions import EQUITY, NOW, well

MINUTE_NS = 60 * 10**9


def scraped(view: Watched) -> dict[tuple[str, ...], float]:
    """(name, label values in order of their names) -> value, as a reader of the text finds it."""
    metrics = Metrics()
    metrics.update(view)
    return {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(metrics.text().decode()) for s in family.samples}


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    day = watched_day(tmp_path_factory.mktemp("metrics") / "run", 40, 30, mood=4.0)
    store(Config(), day.run, once=True, drain_only=False, confined=False)
    return day


@pytest.fixture(scope="module")
def end(day):
    return day.end()


@pytest.fixture(scope="module")
def found(end):
    return scraped(end)


@pytest.fixture(scope="module")
def client(day):
    with tables(day.run.path) as client:
        yield client


CLOSED = ("SELECT max(seq) seq, min(toUnixTimestamp64Nano(ts)) began, max(toUnixTimestamp64Nano(ts)) ended, sum(realised) - "
          "sum(charges) net FROM trades GROUP BY candidate, inst HAVING sumIf(quantity, role = 'entry') = sumIf(quantity, role != "
          "'entry')")
ONE = {
    "spike_feed_updates_total": "SELECT count() FROM ticks",
    "spike_signals_total": "SELECT count() FROM signals WHERE verdict = 'passed'",
    "spike_signals_last_day": "SELECT count() FROM signals WHERE verdict = 'passed'",
    "spike_orders_total": "SELECT count() FROM orders WHERE event = 'place'",
    "spike_day_realised_rupees": "SELECT sum(realised) / 100 FROM trades",
    "spike_day_charges_rupees": "SELECT sum(charges) / 100 FROM trades",
    "spike_trades_closed_total": f"SELECT count() FROM ({CLOSED})",
    "spike_positions": "SELECT count() FROM (SELECT argMax(quantity, seq) q FROM positions GROUP BY inst HAVING q != 0)",
    "spike_trades_win_ratio": f"SELECT avg(net > 0) FROM ({CLOSED})",
    "spike_trade_duration_mean_seconds": f"SELECT avg(ended - began) / 1e9 FROM ({CLOSED})",
}
MANY = {
    "spike_candidates_total": "SELECT if(verdict = 'refused', reason, ''), verdict, count() FROM signals GROUP BY 1, 2",
    "spike_gate_denials_total": "SELECT reason, count() FROM rate_limit_log WHERE NOT is_exit AND reason != 'pass' GROUP BY 1",
    "spike_order_requests_total": "SELECT event, count() FROM orders WHERE event IN ('place', 'modify', 'cancel') GROUP BY 1",
    "spike_feed_gaps_total": "SELECT kind, count() FROM gaps GROUP BY 1",
}


def test_single_figures_equal_clickhouses(found, client):
    for name, sql in ONE.items():
        assert found[name,] == pytest.approx(float(client.query(sql).first_row[0]), rel=1e-12), name
    assert found["spike_feed_updates_total",] > 20_000 and found["spike_trades_closed_total",] >= 5
    assert 0 < found["spike_trades_win_ratio",] < 1 or found["spike_losing_streak",] > 0


def test_figures_by_label_equal_clickhouses(found, client):
    for name, sql in MANY.items():
        theirs = {(name, *row[:-1]): float(row[-1]) for row in client.query(sql).result_rows}
        assert {key: value for key, value in found.items() if key[0] == name} == theirs and theirs, name


def test_round_trips_equal_clickhouses(end, client):
    """Each trade: quantity, average prices, gross, charges and times, as its fills have them; money to the paisa."""
    rows = client.query("SELECT candidate, sumIf(quantity, role = 'entry') a, sumIf(quantity, role != 'entry') b, sumIf(quantity * "
                        "price, role = 'entry') / a, if(b > 0, sumIf(quantity * price, role != 'entry') / b, 0), sum(realised), "
                        "sum(charges), toUnixTimestamp64Nano(min(ts)), if(a = b, toUnixTimestamp64Nano(max(ts)), 0), "
                        "argMin(side, seq) FROM trades GROUP BY candidate, inst ORDER BY min(seq)").result_rows
    mine = [(t.candidate, t.quantity, t.entry_price, t.exit_price, t.gross, t.charges, t.entry_time, t.exit_time, t.side)
            for t in end.trades]
    theirs = [(row[0], row[1], pytest.approx(row[3]), pytest.approx(row[4]), *row[5:]) for row in rows]
    assert mine == theirs and len(mine) >= 5 and all(isinstance(trade, Trade) for trade in end.trades)
    assert {t.reason for t in end.closed} <= {"stop", "target", "time", "square off", "soft stop"}


def test_signals_of_the_last_hour_at_any_time_equal_clickhouses(day, client):
    for view in day.moments():
        if view.now_ns % (7 * MINUTE_NS) == 0:
            (theirs,) = client.query(f"SELECT count() FROM signals WHERE verdict = 'passed' AND toUnixTimestamp64Nano(decided) <= "
                                     f"{view.now_ns} AND toUnixTimestamp64Nano(decided) > {view.now_ns} - 3600000000000").first_row
            assert scraped(view)["spike_signals_last_hour",] == theirs


def test_answers_equal_clickhouses(found, client):
    """Histogram and outcomes of the broker's answers."""
    rows = client.query("SELECT id, event, status, latency_ns FROM orders WHERE latency_ns > 0").result_rows
    assert len(rows) > 5
    mine = sum(value for key, value in found.items() if key[0] == "spike_order_answer_seconds_count")
    assert mine == len(rows)
    assert sum(v for k, v in found.items() if k[0] == "spike_order_answer_seconds_sum") == pytest.approx(
        sum(row[3] for row in rows) / 1e9)
    within = sum(v for k, v in found.items() if k[0] == "spike_order_answer_seconds_bucket" and k[1] == "0.05")
    assert within == sum(row[3] <= 50_000_000 for row in rows)


def test_stages_equal_the_journals_timings(tmp_path):
    """A virtual day has no stop-watch: records of timings as the engine writes them, and what quantiles they lie under."""
    tally, draw = Tally(), np.random.default_rng(5)
    rows = np.zeros(500, TIMING)
    for name in ("decoded", "scored", "decided", "done"):
        rows[name] = draw.integers(1, 60_000_000, 500)
    rows["scored"][::5] = 0                                   # no score was asked
    for row in rows:
        tally.take(REC_TIMING, 1, row.tobytes())
    found = scraped(dataclasses.replace(well(), tally=tally))
    for name in ("decoded", "scored", "decided", "done"):
        values = rows[name][rows[name] > 0]
        for edge in STAGE_EDGES:
            assert found["spike_stage_seconds_bucket", repr(edge / 1e9), name] == (values <= edge).sum()
        assert found["spike_stage_seconds_count", name] == len(values)
        assert found["spike_stage_seconds_sum", name] == pytest.approx(values.sum() / 1e9)


def test_budgets_equal_what_the_gate_counted(day):
    """At each decision of the gate: its own counts of the windows before it, and ours at that moment."""
    tally, compared = Tally(), 0
    for kind, _, now, payload in day.run.reader():
        if kind == REC_GATE:
            g = np.frombuffer(payload, GATE)[0]
            if not g["is_exit"]:
                ours = [tally.used(w, now) for w in ("second", "minute", "half_hour")]
                ours += [tally.entries(w, now) for w in ("hour", "day")]
                theirs = [int(g[f"used_{w}"]) for w in ("second", "minute", "half_hour", "hour", "day")]
                assert ours == theirs, now
                compared += 1
        tally.take(kind, now, payload)
    assert compared > 15


def test_money_and_limits_come_from_the_engine(end, found):
    status = end.status
    for name in ("equity", "available", "exposure"):
        assert found[f"spike_{name}_rupees",] == int(status[name]) / 100
    assert found["spike_day_net_rupees",] == (int(status["realised"]) + int(status["open"]) - int(status["charges"])) / 100
    assert found["spike_day_open_rupees",] == int(status["open"]) / 100
    assert {key[1]: value for key, value in found.items() if key[0] == "spike_request_budget_limit"} == {
        "second": 8, "minute": 450, "half_hour": 1900}
    assert {key[1]: value for key, value in found.items() if key[0] == "spike_entry_budget_limit"} == {
        "minute": 10, "hour": 60, "day": 200}


def test_drawdown_equals_a_walk_over_the_fills(found, client, end):
    """Paise by paise, from ClickHouse's rows."""
    rows = client.query(f"SELECT seq, net FROM ({CLOSED}) ORDER BY seq").result_rows
    worth = np.cumsum([int(end.equity), *(int(net) for _, net in rows)])
    best = np.maximum.accumulate(worth)
    assert found["spike_max_drawdown_ratio",] == pytest.approx(float(((best - worth) / best).max()), rel=1e-12) and len(rows) > 4


def test_sharpe_is_of_all_days_known():
    view = well()
    view.status["realised"] = -30_000
    view.days = {"2026-08-28": 50_000, "2026-08-31": 10_000}
    daily = [50_000 / EQUITY, 10_000 / EQUITY, -30_000 / EQUITY]
    expected = statistics.mean(daily) / statistics.stdev(daily) * math.sqrt(252)
    assert scraped(view)["spike_sharpe_ratio",] == pytest.approx(expected) and scraped(view)["spike_days_known",] == 3
    assert ("spike_sharpe_ratio",) not in scraped(well()), "one day has no deviation"


def test_accuracy_of_the_filter_by_hand():
    """Threshold 0.3: the fifths from 0.2 on pass. Of 40 refused 30 were gone, of 60 passed 45 stayed: 75 of 100."""
    view = well()
    view.threshold = 0.3
    view.drift = {"enough": True, "psi": {"z20": 0.1, "rz": 0.3}, "drifted": ["rz"], "score": [
        {"from": 0.0, "candidates": 40, "stayed": 0.25}, {"from": 0.2, "candidates": 20, "stayed": 0.5},
        {"from": 0.4, "candidates": 0, "stayed": None}, {"from": 0.8, "candidates": 40, "stayed": 0.875}]}
    found = scraped(view)
    assert found["spike_filter_accuracy_ratio",] == pytest.approx(0.75) and found["spike_filter_judged_candidates",] == 100
    assert found["spike_model_drift_psi", "rz"] == 0.3
    view.drift["enough"] = False
    assert ("spike_model_drift_psi", "rz") not in scraped(view)


def test_figures_without_trades_or_days_are_none_or_nothing():
    assert figures.win_rate([]) is None and figures.mean_seconds([]) is None and figures.losing_streak([]) == 0
    assert figures.sharpe([5], 100) is None and figures.sharpe([5, 5, 5], 100) is None and figures.sharpe([1, 2], 0) is None
    assert figures.max_drawdown([], 100) == 0 and figures.max_drawdown([-50, 100, -75], 100) == 0.5
    assert figures.max_drawdown([-200], 100) == 2.0 and figures.filter_accuracy([], 0.3) is None


def test_the_machines_figures():
    view = well()
    view.status["trading"], view.status["started"] = REDUCING, view.wall_ns - 90 * 10**9
    view.status["heartbeat"] = view.wall_ns - 4 * 10**9
    view.channels = [Channel("json 1", 3, 1, 2), Channel("tgram 2", dead_since=5, why="no")]
    view.memory, view.launcher = {"engine": 10**8}, {"died": {"engine": 2, "store": 0}}
    view.firing, view.troubles, view.store = {"page": 1, "warn": 0}, ["one", "two"], {"stored": 400, "trouble": "x"}
    found = scraped(view)
    for key, value in {("spike_engine_up",): 0, ("spike_engine_heartbeat_age_seconds",): 4, ("spike_engine_uptime_seconds",): 90,
                       ("spike_trading_state", "REDUCING"): 1, ("spike_trading_state", "RUNNING"): 0, ("spike_troubles",): 2,
                       ("spike_process_restarts_total", "engine"): 2, ("spike_process_memory_bytes", "engine"): 1e8,
                       ("spike_store_lag_rows",): 600, ("spike_store_lag_seconds",): 4, ("spike_store_in_trouble",): 1,
                       ("spike_alerts_firing", "page"): 1, ("spike_alert_channel_up", "json 1"): 1,
                       ("spike_alert_channel_up", "tgram 2"): 0, ("spike_alert_messages_total", "json 1", "dropped"): 2,
                       ("spike_token_remaining_seconds",): 40_000, ("spike_disk_free_bytes",): 1e11,
                       ("spike_model_age_seconds",): 86_400, ("spike_session_open",): 1, ("spike_filter_on",): 1}.items():
        assert found[key] == value, key


def test_the_stores_lag_is_the_age_of_the_oldest_row_it_lacks():
    lag = StoreLag()
    seconds = [lag.take(t * 10**9, updates, stored) for t, updates, stored in (
        (0, 0, 0), (1, 100, 0), (2, 200, 0), (3, 300, 100), (4, 400, 250), (5, 500, 500), (6, 600, 500), (7, 50, 50), (8, 60, 50))]
    assert seconds == [0, 0, 1, 1, 1, 0, 0, 0, 0]


def test_what_is_not_known_has_no_sample_and_no_name_is_lost():
    found = scraped(Watched(NOW, NOW))
    assert {key[0] for key in found} <= {m.name for m in TABLE} | {f"{m.name}_{part}" for m in TABLE for part in (
        "bucket", "sum", "count")}
    for name in ("spike_equity_rupees", "spike_store_lag_rows", "spike_token_remaining_seconds",
                 "spike_engine_heartbeat_age_seconds"):
        assert (name,) not in found
    metrics = Metrics()
    metrics.update(Watched(NOW, NOW))
    text = metrics.text().decode()
    for measure in TABLE:
        assert f"# HELP {measure.name} " in text and f"# TYPE {measure.name} {measure.kind}" in text


def test_names_follow_the_rules():
    """Base units, `_total` where it only grows and nowhere else, words of one sentence, labels without bound nowhere."""
    for measure in TABLE:
        assert measure.name.startswith("spike_") and measure.words.endswith("."), measure.name
        assert measure.name.endswith("_total") == (measure.kind == "counter"), measure.name
        assert not measure.name.endswith(("_ms", "_ns", "_us", "_minutes", "_paise", "_percent")), measure.name
        assert not {"symbol", "inst", "key", "order_id", "candidate"} & set(measure.labels), measure.name
    assert max(Counter(m.name for m in TABLE).values()) == 1


def test_a_day_of_5000_names_has_no_more_series_than_one_of_40(end, found):
    """What grows with the market is counted, not labelled."""
    assert len(found) < 500 and not any("RELIANCE" in part or "NSE_EQ" in part for key in found for part in key)


def test_the_page_of_metrics_has_each_of_them():
    text = (ROOT / "docs" / "metrics.md").read_text()
    for measure in TABLE:
        labels = ", ".join(f"`{label}`" for label in measure.labels)
        assert f"| `{measure.name}` | {measure.kind} | {labels} | {measure.words} |" in text, measure.name
