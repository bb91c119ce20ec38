"""Parity: a day beside the same day made again, with an alarm where the model of fills and delays has drifted.

The latencies of `engine/broker/paper/latency.py` are what the matching draws from; the command is `engine/cli/parity.py`.
"""
import numpy as np
import orjson
import pytest

from _ext.core.records import FILL, REC_FILL, REC_REPLY, REPLY
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.trade.venue import PaperVenue
from _ext.trail.journal import Journal
from engine.backtest.parity import DRIFT, _alarms, _figures, _pairs, parity
from engine.broker.paper import latency
from engine.cli.parity import page
from engine.config import Config
from engine.errors import DataError
from engine.trail.rundir import RunDir
from engine.watch.trades import END, Trade
from tests.backtest.conftest import day_of


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def with_records(run: RunDir, folder, change) -> RunDir:
    """A copy of a run whose records `change(kind, payload)` has changed."""
    made = RunDir.new(folder)
    journal = Journal(made.journal)
    for kind, _, now, payload in run.reader():
        journal.append(kind, now, change(kind, payload))
    journal.close()
    return made


def test_a_paper_day_made_again_is_the_same(paper_day):
    document = parity(paper_day, Config())
    assert document["is_paper"] and document["is_same"] and document["alarms"] == [] and document["matched"] > 5
    assert document["alone"] == 0 and document["net"]["run"] == document["net"]["made"]
    assert document["latency_ms"]["run"] == document["latency_ms"]["made"]
    assert all(row["decision"] == "the same" and row.get("net", 0.0) == 0.0 for row in document["trades"])


def test_a_paper_day_that_is_not_the_same_is_an_alarm(paper_day, tmp_path):
    changed = []

    def change(kind, payload):
        if kind != REC_FILL or changed:
            return payload
        changed.append(1)
        row = np.frombuffer(payload, FILL).copy()
        row["price"] += 5
        return row.tobytes()

    document = parity(with_records(paper_day, tmp_path / "other", change), Config())
    assert not document["is_same"] and "made again is another" in document["alarms"][0]


def test_a_day_at_a_broker_is_held_against_the_model_trade_by_trade(exchange_day):
    document = parity(exchange_day, Config())
    assert not document["is_paper"] and document["matched"] >= 5
    both = [row for row in document["trades"] if "net" in row]
    assert all(abs(row["entry_bp"]) < 20 and abs(row["entry_delay_s"]) < 5 for row in both)
    assert sum(row["decision"] == "the same" for row in both) >= len(both) / 2
    assert any(line.startswith("made again") for line in page(document)) and len(page(document)) > document["matched"]


def test_fills_that_are_worse_than_the_model_are_measured_and_alarm(exchange_day, tmp_path):
    """Each entry filled 20 bp worse: that is what it says."""
    from _ext.core.records import ROLE_ENTRY

    def change(kind, payload):
        if kind != REC_FILL:
            return payload
        row = np.frombuffer(payload, FILL).copy()
        if row["role"] == ROLE_ENTRY:
            row["price"] += np.rint(row["price"] * 0.002 * row["side"]).astype(row["price"].dtype)
        return row.tobytes()

    usual = parity(exchange_day, Config())["median"]["entry_bp"]
    document = parity(with_records(exchange_day, tmp_path / "worse", change), Config())
    assert document["median"]["entry_bp"] == pytest.approx(usual + 20, abs=1)
    assert any("entries fill" in alarm and "worse" in alarm for alarm in document["alarms"])


FIGURES = {"matched": 20, "alone": 0, "unmatched": 0.0, "latency_ms": {"run": None, "made": None},
           "median": {"entry_bp": 0.0, "exit_bp": 0.0, "entry_delay_s": 0.0, "exit_delay_s": 0.0}}


@pytest.mark.parametrize(("name", "value", "word"), [
    ("entry_bp", 5.1, "entries fill +5.1 bp worse"), ("exit_bp", -6.0, "exits fill -6.0 bp worse"),
    ("entry_delay_s", 2.5, "entries fill +2.5 s later"), ("exit_delay_s", -2.5, "exits fill -2.5 s later")])
def test_each_drift_has_its_alarm_from_its_limit_on(name, value, word):
    def said(measured, matched=20):
        return _alarms(FIGURES | {"matched": matched, "median": FIGURES["median"] | {name: measured}}, False, False)

    assert said(value) and word in said(value)[0] and said(value, matched=4) == []
    assert said(DRIFT[name]) == [] and said(-DRIFT[name]) == []


def test_trades_of_one_account_alone_and_latencies_alarm():
    def told(p50, count=40):
        return {"count": count, "p50": p50, "p99": p50, "max": p50}

    assert _alarms(FIGURES | {"alone": 3, "unmatched": 0.11}, False, False) == ["3 trades stand in one account alone (11%)"]
    assert _alarms(FIGURES | {"alone": 1, "unmatched": 0.5}, False, False) == [], "one trade is chance"
    slow = _alarms(FIGURES | {"latency_ms": {"run": told(60), "made": told(35)}}, False, False)
    assert slow == ["requests take 60 ms, the model draws 35: `--keep` makes this day's the model's"]
    assert _alarms(FIGURES | {"latency_ms": {"run": told(50), "made": told(35)}}, False, False) == []
    for run, made in ((19, 40), (40, 19)):
        assert _alarms(FIGURES | {"latency_ms": {"run": told(60, run), "made": told(35, made)}}, False, False) == []


def bought(**fields) -> Trade:
    """Ten bought at Rs 100 and sold at Rs 102."""
    return Trade(**{"day": "2026-09-01", "symbol": "A", "source": "spike", "candidate": 1, "side": 1, "quantity": 10,
                    "entry_time": 10**18, "exit_time": 10**18 + 10**9, "entry_price": 10_000.0, "exit_price": 10_200.0,
                    "gross": 2_000, "charges": 200,
                    "reason": "target", "strength": 0.7, "score": 0.9, "stop": 9_800, "target": 10_400} | fields)


@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_that_is_worse_than_the_model_s_counts_as_such_on_either_side(side):
    """Bought or sold 10 bp worse, and left 20 bp worse."""
    ours = bought(side=side, entry_price=10_000.0 * (1 + side * 0.001), exit_price=10_200.0 * (1 - side * 0.002))
    (row,) = _pairs([ours], [bought(side=side)], {1: (5, 10, 10_010)}, {1: (5, 10, 10_010)})
    assert (row["entry_bp"], row["exit_bp"]) == (pytest.approx(10), pytest.approx(20))


def test_what_was_still_held_when_the_data_ended_says_nothing_of_exits():
    (row,) = _pairs([bought(reason="time")], [bought(reason=END, exit_price=9_000.0)], {1: (5, 10, 10_010)}, {1: (5, 10, 10_010)})
    assert (row["exit_bp"], row["exit_delay_s"], row["net"]) == (None, None, 0.0) and row["entry_bp"] == 0


def test_what_nobody_filled_stands_in_neither_account_alone():
    """One both filled, one that the run alone filled, one that both asked for in vain."""
    asked = {number: (5, 10, 10_010) for number in (1, 2, 3)}
    rows = _pairs([bought(), bought(candidate=2)], [bought()], asked, asked)
    found = _figures(rows, [], [])
    assert (len(rows), found["matched"], found["alone"], found["unmatched"]) == (3, 1, 1, pytest.approx(1 / 3))


# ---- latencies ---------------------------------------------------------------------------------------------------------
def test_measured_latencies_become_what_is_drawn(exchange_day, tmp_path):
    """A day whose requests took 200 to 300 ms: from then on the venue's do, in backtests and on paper."""
    draw = np.random.default_rng(1)

    def change(kind, payload):
        if kind != REC_REPLY:
            return payload
        row = np.frombuffer(payload, REPLY).copy()
        row["latency"] = draw.integers(200_000_000, 300_000_000)
        return row.tobytes()

    slow = with_records(exchange_day, tmp_path / "slow", change)
    document = parity(slow, Config(), keep_latencies=True)
    kept = latency.kept_latencies()
    assert document["latencies_kept"] == str(latency.path()) and len(kept) == 101
    assert 200e6 <= kept[0] < kept[50] < kept[100] <= 300e6
    (tmp_path / "p").mkdir()
    run = day_of(tmp_path / "p", True)
    took = [int(np.frombuffer(r[3], REPLY)[0]["latency"]) for r in run.reader() if r[0] == REC_REPLY]
    assert len(took) > 10 and min(took) >= 200e6 and np.median(took) > 250e6
    assert parity(run, Config())["is_same"], "the START record has them: made again it is the same"


def test_the_venue_draws_between_the_quantiles():
    core = Core(KeepingSink(()), 4)
    quantiles = [10_000_000 + k * 2_000_000 for k in range(101)]
    venue = PaperVenue(core.trader, 1, 0, quantiles)
    ways = np.array([way for order in range(1, 3000) for way in venue.latency(order, 1, 0)])
    assert ways.min() >= 5_000_000 and ways.max() <= 105_000_000 and (ways % 1_000_000 == 0).all()
    expected = np.quantile(quantiles, [0.1, 0.5, 0.9]) / 2
    assert np.allclose(np.quantile(ways, [0.1, 0.5, 0.9]), expected, atol=2e6)
    assert PaperVenue(core.trader, 1, 7_000_000, quantiles).latency(1, 1, 0) == (7_000_000, 7_000_000), "a fixed one is fixed"


@pytest.mark.parametrize("quantiles", [[1] * 100, [1] * 102, [0] * 101, [5] + [1] * 100, [61_000_000_000] * 101, [-1] * 101])
def test_what_is_no_distribution_is_refused(quantiles):
    with pytest.raises(ValueError, match="quantile"):
        PaperVenue(Core(KeepingSink(()), 4).trader, 1, 0, quantiles)


def test_too_few_answers_say_nothing():
    with pytest.raises(DataError, match="19 answers"):
        latency.quantiles_of([1_000_000] * 19 + [0, -5, 10**12])
    assert latency.quantiles_of([1_000_000] * 20) == [1_000_000] * 101


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b'{"quantiles_ns": [1, 2]}', b'{"quantiles_ns": "x"}', b'{"quantiles_ns": [null]}',
    orjson.dumps({"quantiles_ns": [0] * 101}), orjson.dumps({"quantiles_ns": [2] + [1] * 100}),
    orjson.dumps({"quantiles_ns": [1, 3] + [2] * 99}),
    orjson.dumps({"quantiles_ns": [10**12] * 101})])
def test_a_damaged_file_of_latencies_is_named(content):
    assert latency.kept_latencies() == [] and latency.latency_notes() == []
    latency.path().parent.mkdir(parents=True)
    latency.path().write_bytes(content)
    with pytest.raises(DataError, match="parity RUN --keep"):
        latency.kept_latencies()


def test_what_they_are_stands_in_the_notes_of_a_backtest(tmp_path):
    latency.keep([20_000_000] * 100 + [90_000_000], "runs/x", 55)
    assert latency.latency_notes() == [
        f"delays are drawn from those measured live ({latency.path()}): median 20 ms, 99 % within 20 ms"]


def test_delays_of_paper_are_not_kept_and_what_never_left_took_no_time(paper_day, exchange_day, tmp_path):
    """They were drawn, and rounded up to a timer: kept, they would grow with every day that is kept."""
    with pytest.raises(DataError, match="the model's own"):
        parity(paper_day, Config(), keep_latencies=True)
    assert not latency.path().exists() or latency.kept_latencies()

    def change(kind, payload):
        if kind != REC_REPLY:
            return payload
        row = np.frombuffer(payload, REPLY).copy()
        row["latency"] = 0
        return row.tobytes()

    document = parity(with_records(exchange_day, tmp_path / "none", change), Config())
    assert document["latency_ms"]["run"] is None and not document["is_paper"]
