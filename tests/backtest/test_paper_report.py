"""The report of paper days: what they earned is what their journals say, and each criterion is passed from its target on.

The command is `engine/cli/paper.py`.
"""
import datetime as dt

import numpy as np
import pytest
from typer.testing import CliRunner

from _ext.core.records import FILL, REC_FILL, ROLE_ENTRY
from _ext.trail.journal import Journal
from engine.backtest.paper_report import TARGETS, Day, criteria, paper_runs, report
from engine.cli import app
from engine.cli.paper import page
from engine.config import Config
from engine.errors import DataError
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.trail.rundir import RunDir


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """Five mornings on paper, the third in two runs."""
    home = tmp_path_factory.mktemp("week")
    runs = []
    for number, (day, minutes) in enumerate([(1, 90), (2, 90), (3, 60), (3, 90), (4, 90), (7, 90)]):
        run = RunDir.new(home / f"run{number}")
        market = market_of(None, number, dt.date(2026, 9, day), 40, minutes, "lively", -1)
        run_virtual(Config(), market, "synthetic", run, number, None, is_paper=True)
        runs.append(run)
    return runs


def fills_of(runs) -> dict[tuple[str, int, int], list]:
    """Of each position its fills, straight from the journals: (entry?, side, quantity, price, charges, realised)."""
    out: dict[tuple[str, int, int], list] = {}
    for run in runs:
        for kind, _, _, payload in run.reader():
            if kind == REC_FILL:
                f = np.frombuffer(payload, FILL)[0]
                out.setdefault((str(run.path), int(f["candidate"]), int(f["inst"])), []).append(
                    (f["role"] == ROLE_ENTRY, *(int(f[name]) for name in ("side", "quantity", "price", "charges", "realised"))))
    return out


def test_what_days_earned_is_what_their_journals_say(week):
    document = report(week, Config())
    closed = [fills for fills in fills_of(week).values()
              if sum(f[2] for f in fills if f[0]) == sum(f[2] for f in fills if not f[0])]
    assert document["result"]["trades"] == len(closed) > 20
    assert round(document["result"]["net"] * 100) == sum(f[5] - f[4] for fills in closed for f in fills)
    assert [day["day"] for day in document["days"]] == [f"2026-09-0{k}" for k in (1, 2, 3, 4, 7)]
    assert len(document["days"][2]["runs"]) == 2 and all(day["is_same"] for day in document["days"])
    assert sum(day["trades"] for day in document["days"]) == len(closed)
    assert document["result"]["interval"]["net"][0] < document["result"]["net"] < document["result"]["interval"]["net"][1]


def test_each_trade_stands_beside_the_backtest_of_its_day(week):
    rows = [row for day in report(week[:2], Config())["days"] for row in day["beside"]
            if row["run"] and row["run"]["quantity"]]
    assert len(rows) > 5 and all(row["run"]["net"] == row["made"]["net"] for row in rows)
    text = page(report(week[:2], Config()))
    assert sum(row["symbol"] in line for row in rows for line in text) >= len(rows)
    assert "predict activity, not direction" in text[-1]


def test_the_command_takes_the_runs_it_is_given(week, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["paper", "report", *(str(run.path) for run in week[:2])])
    assert told.exit_code == 0 and "2026-09-02" in told.output and "open  paper P&L" in told.output and "2 of 5 days" in told.output
    none = CliRunner().invoke(app, ["paper", "report"])
    assert none.exit_code != 0 and isinstance(none.exception, DataError) and "run --source upstox" in str(none.exception)


def test_a_simulated_feed_counts_only_where_it_is_named(week):
    folders = [run.path for run in week]
    assert paper_runs(folders) == [] and len(paper_runs(folders, is_any=True)) == 6
    assert paper_runs([folders[0] / "journal", folders[0].parent / "none"], is_any=True) == []


# ---- criteria ----------------------------------------------------------------------------------------------------------
def days(**values) -> list[Day]:
    """Five days, each with these figures."""
    return [Day(f"2026-09-0{k}", uptime=values.get("uptime", 1.0), decided=[values.get("decided", 10**5)] * 10,
                answered=[values.get("answered", 35 * 10**6)] * 10, judged=values.get("judged", [100, 100])) for k in range(1, 6)]


def said(name: str, given: list[Day], win_rate: float | None = 0.6) -> dict:
    result = {"win_rate": win_rate, "interval": {"win_rate": None}}
    return next(row for row in criteria(given, result) if row["name"] == name)


@pytest.mark.parametrize(("name", "field", "good", "bad"), [
    ("detection", "decided", 1_000_000, 1_000_001), ("order", "answered", 100_000_000, 100_000_001),
    ("uptime", "uptime", 0.995, 0.9949), ("noise filter", "judged", [100, 99], [1000, 989])])
def test_a_criterion_is_passed_from_its_target_on(name, field, good, bad):
    assert said(name, days(**{field: good}))["passed"] is True and said(name, days(**{field: bad}))["passed"] is False
    row = said(name, days(**{field: good}))
    assert row["target"] == TARGETS[name][0] and row["interval"][0] == pytest.approx(row["interval"][1])


def test_win_rate_and_result_are_more_than_their_targets():
    assert said("win rate", days(), 0.5)["passed"] is False and said("win rate", days(), 0.51)["passed"] is True
    assert said("win rate", days(), None)["passed"] is None
    assert said("paper P&L", days())["passed"] is False, "nothing earned is not positive"
    few = said("paper P&L", days()[:4])
    assert few["passed"] is None and few["why"] == "4 of 5 days"


def test_what_was_not_measured_is_open():
    empty = [Day("2026-09-01")]
    assert [said(name, empty)["passed"] for name in ("detection", "order", "noise filter")] == [None] * 3
    assert said("uptime", empty)["interval"] is None, "one day has no interval"


def test_a_run_that_cannot_be_made_again_does_not_hide_the_others(week, tmp_path):
    """One that ended before its day began."""
    made, journal = RunDir.new(tmp_path / "cut"), Journal(tmp_path / "cut" / "journal")
    for kind, _, now, payload in week[1].reader():
        journal.append(kind, now, payload)
        break
    journal.close()
    document = report([week[0], made], Config())
    assert [day["is_same"] for day in document["days"]] == [True, False] and "cut" in document["problem"]
    assert document["days"][0]["net"] == report(week[:1], Config())["days"][0]["net"]
