"""What if: a run's day made again with something changed. The account of each difference is that of `explain` in both runs.

The days are made by `engine/backtest/remade.py` and held side by side by `engine/backtest/differences.py`; the command is
`engine/cli/whatif.py`.
"""
import hashlib
import shutil

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    CLOSING,
    MODEL_ACTIVE,
    MODEL_CHANGE,
    MODEL_SHADOW,
    PAYLOADS,
    REC_CLOSED,
    REC_FRAME,
    REC_MODEL,
    REC_STRATEGY_OFF,
    REC_TIMER,
)
from _ext.trail.journal import Journal
from engine.backtest.differences import Account, Decision, account_of, by_rule, differences
from engine.backtest.remade import Beginning, ByConfig, Recorded, paper_run, refers, remake, replayed, start_of
from engine.backtest.whatif import whatif
from engine.cli.whatif import page
from engine.config import Config, ConfigurationError
from engine.errors import DataError
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.strategies.base import StrategyError
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir, RunError
from engine.watch.explain import explain

STRATEGY = '''"""Sells what has risen for two minutes."""
from pydantic import Field

import engine


class Fade(engine.Strategy):
    class Parameters(engine.Parameters):
        least: float = Field(0.003, gt=0, lt=1, description="share of price")

    def on_bar(self, instrument, minutes, bars):
        if len(bars) > 2 and bars.close[-1] / bars.close[-3] - 1 > self.parameters.least:
            self.candidate(instrument, -1, move=1, strength=0.9, reason="fade")
'''


def everything_in(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_without_a_change_nothing_is_different_and_the_run_stays_as_it_was(paper_day, tmp_path):
    before = everything_in(paper_day.path)
    document = whatif(paper_day, [], [], Config(), tmp_path / "w")
    assert document["differences"] == [] and document["rules"] == [] and document["net"] == 0.0
    assert document["as_run"]["is_same"] and document["before"]["trades"] == document["as_run"]["trades"] > 5
    assert everything_in(paper_day.path) == before
    assert "no decision is different" in page(document) and "the same day as was run" in page(document)[1]


def test_of_a_run_at_a_broker_both_accounts_are_modelled_and_said_to_be(exchange_day, tmp_path):
    document = whatif(exchange_day, [], [], Config(), tmp_path / "w")
    assert document["differences"] == [] and not document["as_run"]["is_same"] and document["as_run"]["trades"] > 5
    assert "modelled" in page(document)[1]


@pytest.mark.parametrize("settings", [
    ["risk.stop=0.005"], ["detector.volume=4", "risk.max_positions=1"], ["signals.noise=0.005"], ["limits.spike.is_on=false"],
    ["risk.account_size=200000", "session.first_minute=30"]])
def test_every_difference_is_what_explain_says_in_both_runs(paper_day, tmp_path, settings):
    document = whatif(paper_day, settings, [], Config(), tmp_path / "w")
    rows = document["differences"]
    assert rows and document["after"]["net"] != document["before"]["net"]
    moved = sorted(rows, key=lambda row: -abs(row["net"]))[:6]
    for row in [*moved, *rows[:3], *rows[-3:]]:
        for word in ("before", "after"):
            if row[word] is None:
                continue
            told = explain(tmp_path / "w" / word, row[word]["candidate"])
            assert told["symbol"] == row["symbol"] and told["source"] == row["source"]
            assert row[word]["rule"] in (told["verdict"], "watched")
            gate = next((line for line in told["chain"] if "gate:" in line), None)
            assert (gate is None) == (row[word]["gate"] is None)
            if gate is not None:
                assert f"gate: {row[word]['gate']}" in gate
            fills = [line for line in told["chain"] if "FILL" in line]
            assert bool(fills) == (row[word]["net"] is not None)
    total = sum(row["net"] for row in rows)
    assert total == pytest.approx(document["after"]["net"] - document["before"]["net"], abs=0.02)
    assert sum(rule["decisions"] for rule in document["rules"]) == len(rows)


def test_what_was_made_refers_to_frames_and_is_replayed_from_them(paper_day, tmp_path):
    whatif(paper_day, ["risk.stop=0.01"], [], Config(), tmp_path / "w")
    for word in ("before", "after"):
        made = tmp_path / "w" / word
        kinds = {record[0] for record in reader_of(made)}
        assert not kinds & {REC_FRAME, REC_TIMER} and refers(made) and not refers(paper_day.path)
        done = replayed(made, Config())
        assert done["identical"] and done["updates"] == done["updates"] > 10_000, done
        tick = explain(made, 3)["tick"]
        record = next(r for r in paper_day.reader() if r[1] == tick["sequence"])
        assert record[0] == REC_FRAME, "the number is that of the frame in the run"
    with pytest.raises(DataError, match="name that run"):
        start_of(RunDir.existing(tmp_path / "w" / "after"))


def test_a_run_whose_inputs_are_gone_or_others_is_not_replayed(paper_day, exchange_day, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(paper_day.path, copy)
    whatif(RunDir.existing(copy), [], [], Config(), tmp_path / "w")
    shutil.rmtree(copy)
    with pytest.raises(RunError, match="no such run folder"):
        replayed(tmp_path / "w" / "after", Config())
    shutil.copytree(exchange_day.path, copy)
    with pytest.raises(RunError, match="put that one back"):
        replayed(tmp_path / "w" / "after", Config())


def test_a_changed_journal_of_what_was_made_is_not_identical(paper_day, tmp_path):
    from _ext.core.records import REC_FILL, REC_GATE
    whatif(paper_day, [], [], Config(), tmp_path / "w")
    made = RunDir.existing(tmp_path / "w" / "after")
    records = list(made.reader())
    shutil.rmtree(made.journal)
    journal = Journal(made.journal)
    for kind, _, now, payload in records:
        changed = kind == REC_GATE and not any(r[0] == REC_FILL for r in records[:1])
        journal.append(kind, now + 1 if changed else now, payload)
    journal.close()
    assert not replayed(made.path, Config())["identical"] and PAYLOADS[REC_GATE] is not None


def test_from_python_it_is_the_same(paper_day, tmp_path):
    import engine

    document = engine.whatif(paper_day.path, ["risk.stop=0.005"], run_dir=tmp_path / "w", config=Config())
    assert document["differences"] == whatif(paper_day, ["risk.stop=0.005"], [], Config(), tmp_path / "w2")["differences"]
    assert engine.parity(paper_day.path, config=Config())["is_same"]


def test_a_run_made_again_arrives_at_the_digest_its_writer_noted(paper_day, tmp_path):
    whatif(paper_day, [], [], Config(), tmp_path / "w")
    made = RunDir.existing(tmp_path / "w" / "after")
    records = list(made.reader())
    assert records[-1][0] == REC_CLOSED
    shutil.rmtree(made.journal)
    journal = Journal(made.journal)
    for kind, _, now, payload in records[:-1]:
        journal.append(kind, now, payload)
    row = np.frombuffer(records[-1][3], CLOSING).copy()
    row["digest"] ^= 1
    journal.append(REC_CLOSED, records[-1][2], row.tobytes())
    journal.close()
    found = replayed(made.path, Config())
    assert not found["identical"] and found["mismatched"] == 0 and found["digest"] != found["expected"]


def test_the_filter_of_a_configuration_lets_through_what_its_noise_says(paper_day):
    """A fifth of noise is a score of 0.8."""
    ((_, payload),) = ByConfig(paper_day, Config(signals={"noise": 0.2}), None).changes
    assert np.frombuffer(payload, MODEL_CHANGE)[0]["threshold"] == pytest.approx(0.8)


# ---- strategies --------------------------------------------------------------------------------------------------------
def test_a_strategy_more_is_a_source_more_and_leaves_the_others_candidates_alone(paper_day, tmp_path):
    file = tmp_path / "fade.py"
    file.write_text(STRATEGY)
    document = whatif(paper_day, ["source.fade.least=0.01"], [file], Config(), tmp_path / "w")
    new = [row for row in document["differences"] if row["source"] == "fade"]
    assert new and all(row["before"] is None for row in new)
    old = [row for row in document["differences"] if row["source"] == "spike"]
    assert all(row["before"] is not None and row["after"] is not None for row in old)
    few = len(new)
    more = whatif(paper_day, ["source.fade.least=0.002"], [file], Config(), tmp_path / "w2")
    assert len([row for row in more["differences"] if row["source"] == "fade"]) > few
    assert replayed(tmp_path / "w2" / "after", Config())["identical"]


def test_a_strategy_that_raises_is_off_and_said(paper_day, tmp_path):
    file = tmp_path / "fade.py"
    file.write_text(STRATEGY.replace("self.candidate(", "raise ValueError("))
    document = whatif(paper_day, [], [file], Config(), tmp_path / "w")
    assert "fade is off since its call" in document["stopped"][0]


def run_with(folder, text: str, **config) -> RunDir:
    """Half an hour of twenty names on paper with a strategy."""
    folder.mkdir()
    (folder / "fade.py").write_text(text)
    run = RunDir.new(folder / "run")
    run_virtual(Config(strategies={"fade": {"file": str(folder / "fade.py")}}, **config),
                market_of(None, 3, None, 20, 30, "lively", -1), "synthetic", run, 3, None, is_paper=True)
    return run


def test_a_strategy_that_is_mended_goes_on_where_the_run_had_stopped_it(tmp_path):
    """Neither the run's record of its end nor the call it was stopped at is of the new text."""
    run = run_with(tmp_path / "r", STRATEGY.replace("self.candidate(", "raise ValueError("))
    assert REC_STRATEGY_OFF in {record[0] for record in run.reader()}
    file = tmp_path / "fade.py"
    file.write_text(STRATEGY)
    document = whatif(run, [], [file], Config(), tmp_path / "w")
    assert document["stopped"] == [] and sum(row["source"] == "fade" for row in document["differences"]) > 10
    assert document["as_run"]["is_same"], "as it was it is stopped"
    for word in ("before", "after"):
        assert replayed(tmp_path / "w" / word, Config())["identical"], word


def test_a_parameter_named_inputs_refers_to_no_run(tmp_path):
    run = run_with(tmp_path / "r", STRATEGY.replace("least", "inputs"))
    assert not refers(run.path) and replayed(run.path, Config())["identical"]


def test_a_file_named_as_a_source_of_ours_is_refused_and_not_passed_over(paper_day, tmp_path):
    file = tmp_path / "spike.py"
    file.write_text(STRATEGY)
    with pytest.raises(StrategyError, match="give the file another name"):
        whatif(paper_day, [], [file], Config(), tmp_path / "w")


@pytest.mark.parametrize(("settings", "word"), [
    (["risk.stop"], "write it as"), (["=1"], "write it as"), (["risk.stopp=1"], "no such setting"), (["risk.stop=2"], "less than"),
    (["risk.stop=abc"], "valid number"), (["x.y=1"], "no such setting"), (["signals.min_score=1"], "no such setting"),
    (["source.other.volume=1"], "no source other"), (["detector.volum=1"], "volum"), (["detector.volume=-1"], "volume"),
    (["detector.volume=true"], "a number"), (["limits.spike.positions=99"], "less than"), (["risk=1"], "no such setting"),
    (["store.url=x"], "no such setting"), (["risk.a.b=1"], "no such setting")])
def test_what_cannot_be_set_is_named(paper_day, tmp_path, settings, word):
    with pytest.raises(ConfigurationError, match=word):
        whatif(paper_day, settings, [], Config(), tmp_path / "w")
    assert not (tmp_path / "w").exists(), "what is refused leaves no folder"


def test_what_is_no_strategy_or_no_empty_folder_is_refused(paper_day, tmp_path):
    with pytest.raises(StrategyError, match="no such strategy file"):
        whatif(paper_day, [], [tmp_path / "none.py"], Config(), tmp_path / "w")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "x").touch()
    with pytest.raises(RunError, match="not empty"):
        whatif(paper_day, [], [], Config(), tmp_path / "w")


def test_a_candidate_at_another_tick_of_its_minute_is_the_same_one():
    """Two a minute apart and more are not; each has one like it at most."""
    at = 10**18
    before = Account({("A", "spike", at, 1): Decision(1, "noise"), ("A", "spike", at + 5 * 10**9, 1): Decision(2, "noise")})
    after = Account({("A", "spike", at + 10**9, 1): Decision(7, "noise"), ("A", "spike", at + 90 * 10**9, 1): Decision(8, "weak"),
                     ("A", "spike", at, -1): Decision(9, "noise")})
    rows = differences(before, after)
    assert [(row["before"] and row["before"]["candidate"], row["after"] and row["after"]["candidate"]) for row in rows] == [
        (None, 9), (2, None), (None, 8)]
    assert {rule["rule"]: rule["decisions"] for rule in by_rule(rows)} == {
        "a candidate only before": 1, "a candidate only after": 2}


def test_another_quantity_or_limit_is_another_decision():
    key = ("A", "spike", 10**18, 1)
    for field in ("quantity", "price"):
        rows = differences(Account({key: Decision(1, "pass", "pass", quantity=5, price=100)}),
                           Account({key: Decision(1, "pass", "pass", **{"quantity": 5, "price": 100, field: 7})}))
        assert [row["rule"] for row in rows] == ["another quantity or price"]


def test_the_gates_word_is_that_of_the_entry_and_not_of_the_exit(paper_day, tmp_path):
    made = remake(Beginning(paper_day, Config(), None), None)
    account = account_of(made.kept, made.symbols, ["spike"], made.trades)
    traded = [decision for decision in account.decisions.values() if decision.trade is not None]
    assert len(traded) == len(made.trades) > 5
    for decision in traded:
        assert decision.gate == "pass" and decision.quantity >= decision.trade.quantity > 0
        assert abs(decision.price / decision.trade.entry_price - 1) < 0.005


# ---- a paper run as the data of a backtest -------------------------------------------------------------------------------
def test_a_backtest_of_a_paper_run_has_its_trades(paper_day, tmp_path, monkeypatch):
    """Time, price, quantity and reason, from the run's own inputs."""
    import polars as pl

    from engine.backtest.options import BacktestOptions
    from engine.backtest.remade import symbols_of
    from engine.backtest.session import backtest
    from engine.watch.trades import KEPT, trades_of
    monkeypatch.chdir(tmp_path)
    document = backtest(BacktestOptions(data=paper_day.path, run_dir=tmp_path / "b"), Config())
    theirs = trades_of(paper_day.reader().pick(KEPT), "2026-09-01", symbols_of(paper_day), ["spike"])
    ours = pl.read_parquet(tmp_path / "b" / "trades.parquet")
    closed = [trade for trade in theirs if trade.is_closed]
    assert document["result"]["trades"] == len(theirs) > 5 and len(closed) > 5
    for trade, row in zip(theirs, ours.iter_rows(named=True), strict=True):
        assert (trade.symbol, trade.side, trade.quantity, trade.candidate) == tuple(row[n] for n in ("symbol", "side", "quantity",
                                                                                                  "candidate"))
        assert round(trade.entry_price / 100, 6) == round(row["entry_price"], 6)
        assert trade.entry_time == row["entry_time"].timestamp() * 1e9 or abs(
            trade.entry_time - row["entry_time"].timestamp() * 1e9) < 1e4
        if trade.is_closed:
            assert (trade.reason, trade.net) == (row["reason"], round((row["gross"] - row["charges"]) * 100))
    assert "own inputs" in document["notes"][0] and document["is_whole"]
    assert replayed(tmp_path / "b" / document["first"], Config())["identical"]
    other = backtest(BacktestOptions(data=paper_day.path, run_dir=tmp_path / "b2", journal=False),
                     Config(risk={"max_positions": 1}))
    assert other["result"]["trades"] != document["result"]["trades"], "the settings in force are those of the configuration"


def test_it_is_judged_by_the_models_in_force_whatever_the_run_had(tmp_path, monkeypatch):
    """A run without a filter, and one with a filter made again where its model is gone."""
    from engine.backtest.options import BacktestOptions
    from engine.backtest.session import backtest
    monkeypatch.chdir(tmp_path)
    run = run_with(tmp_path / "r", STRATEGY, models=str(tmp_path))
    document = backtest(BacktestOptions(data=run.path, run_dir=tmp_path / "b"), Config())
    made = tmp_path / "b" / document["first"]
    assert [record[0] for record in reader_of(made)].count(REC_MODEL) == 1 and replayed(made, Config())["identical"]
    with pytest.raises(RunError, match="put its file back"):
        remake(Recorded(RunDir.existing(made), Config(models=str(tmp_path))), None)
    none = backtest(BacktestOptions(data=run.path, run_dir=tmp_path / "b2"), Config(models=str(tmp_path)))
    assert REC_MODEL not in {record[0] for record in reader_of(tmp_path / "b2" / none["first"])}


def test_a_model_given_its_role_as_the_day_ran_is_so_with_the_changed_threshold(paper_day, tmp_path):
    """Two changes of models before the first tick and one after it."""
    records, journal = list(paper_day.reader()), Journal(tmp_path / "r" / "journal")
    change = next(r[3] for r in records if r[0] == REC_MODEL)
    shadow = np.frombuffer(change, MODEL_CHANGE).copy()
    shadow["role"] = MODEL_SHADOW
    for place, (kind, _, now, payload) in enumerate(records):
        journal.append(kind, now, payload)
        if kind == REC_MODEL:
            journal.append(kind, now, shadow.tobytes())
        if place == len(records) // 2:
            journal.append(REC_MODEL, now, change)
    journal.close()
    whatif(RunDir.existing(tmp_path / "r"), ["signals.noise=0.3"], [], Config(), tmp_path / "w")
    after = [np.frombuffer(r[3], MODEL_CHANGE)[0] for r in reader_of(tmp_path / "w" / "after") if r[0] == REC_MODEL]
    assert [int(row["role"]) for row in after] == [MODEL_ACTIVE, MODEL_SHADOW, MODEL_ACTIVE]
    assert {round(float(row["threshold"]), 6) for row in after} == {0.7}
    for word in ("before", "after"):
        assert replayed(tmp_path / "w" / word, Config())["identical"], word


def test_only_a_run_on_paper_is_taken_so(paper_day, exchange_day, tmp_path):
    assert paper_run(paper_day.path) is not None and paper_run(exchange_day.path) is None and paper_run(tmp_path) is None
    (tmp_path / "x" / "journal").mkdir(parents=True)
    assert paper_run(tmp_path / "x") is None
    assert orjson.loads(next(r[3] for r in paper_day.reader()))["via"] == 1
