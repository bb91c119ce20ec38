"""The report of runs, as it stands in its file: money from the fills, refusals from the verdicts, and no word about this machine.

`engine/report/gather.py`, and the commands that write the files.
"""
import datetime as dt
import os
import shutil

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from _ext.core.records import FILL, REC_FILL, ROLE_ENTRY
from engine.cli import app
from engine.config import Config
from engine.errors import DataError
from engine.market.instruments import shipped
from engine.report import gather
from engine.report.gather import candidates_block, of_runs
from engine.report.html import PAGE
from engine.report.payload import unpacked
from engine.report.runs import read, together
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.trail.checked import reader_of
from engine.trail.rundir import Lock, RunDir
from tests.kit.reports import saw, sessions

NEEDS_PAGE = pytest.mark.skipif(not (PAGE / "report.js").exists(), reason="the page is not bundled: make page")


@pytest.fixture(scope="module")
def report(week):
    title, header, blocks = of_runs(week, Config(), "week")
    return title, header, {block.name: unpacked(block.head, block.packed()) for block in blocks}


def test_money_is_that_of_the_fills(week, report):
    """Gross, charges and net of positions that were left, from the FILL records alone."""
    gross = charges = trades = 0
    for _, run in week:
        fills = [np.frombuffer(payload, FILL)[0] for _, _, payload in reader_of(run.path).pick((REC_FILL,))]
        held = {}
        for f in fills:
            place = held.setdefault((int(f["candidate"]), int(f["inst"])), [0, 0, 0])
            place[0] += int(f["quantity"]) * (1 if f["role"] == ROLE_ENTRY else -1)
            place[1] += int(f["realised"])
            place[2] += int(f["charges"])
        closed = [place for place in held.values() if place[0] == 0]
        gross, charges, trades = (gross + sum(p[1] for p in closed), charges + sum(p[2] for p in closed), trades + len(closed))
    title, header, blocks = report
    assert title == "Week 2026-09-01 to 2026-09-02" and trades > 2
    assert header["summary"]["trades"] == trades
    assert round(header["summary"]["net"] * 100) == gross - charges == int(blocks["equity"]["net"][-1])
    assert round(header["costs"]["charges"] * 100) == charges == round(sum(header["daily"]["charges"]) * 100)


def test_every_candidate_is_there_with_what_was_said_of_it(week, report):
    saw_ = together([read(run, k) for k, (_, run) in enumerate(week)])
    listed = report[2]["candidates"]
    assert listed["id"].tolist() == saw_.rows["id"].tolist() and listed["symbol"] == saw_.symbols
    assert listed["stayed"].tolist() == saw_.rows["stayed"].tolist()
    assert np.allclose(listed["strength"] / 1000, saw_.rows["strength"], atol=6e-4)
    assert report[1]["seen"]["candidates"] == len(saw_.rows)
    known = saw_.rows["stayed"][saw_.rows["stayed"] >= 0]
    assert report[1]["suggestions"]["labelled"] == len(known)
    assert report[1]["suggestions"]["stayed"] == pytest.approx(known.mean())


def test_criteria_are_said_with_what_they_are_of(report):
    criteria = report[1]["criteria"]
    assert "nothing of a real market" in criteria["of"]
    assert [row["name"] for row in criteria["rows"]] == ["detection", "noise filter", "win rate", "order", "uptime", "paper P&L"]
    assert criteria["rows"][-1]["passed"] is None and criteria["rows"][2]["figure"] == report[1]["summary"]["win_rate"]
    assert [day["day"] for day in criteria["days"]] == ["2026-09-01", "2026-09-02"]


def test_a_path_is_shown_by_its_last_part():
    assert gather.plain("the day of /home/me/runs/2026-09-01: see /a/b.py, or runs/x and 3/4") == (
        "the day of 2026-09-01: see b.py, or runs/x and 3/4")


def test_of_too_many_candidates_the_nearest_are_listed(monkeypatch):
    monkeypatch.setattr(gather, "MOST_CANDIDATES", 50)
    everything, days = saw(sessions(3), 400, 5), sessions(3)
    places, left_out = gather._kept_candidates(everything.rows)
    assert left_out == 350 and len(places) == 50 and (np.diff(places) > 0).all()
    block = candidates_block(everything, places, days)
    found = unpacked(block.head, block.packed())
    order = ["watched", "not decided", "refused by a rule", "refused by the gate", "entered, nothing filled", "entered"]
    taken = sum(row["stage"] == 5 for row in everything.rows)
    assert found["stage"].count("entered") == min(taken, 50) and set(found["stage"]) <= set(order)


def test_a_day_on_paper_stands_beside_the_backtest_of_its_inputs(tmp_path):
    market = SyntheticMarket(shipped()[:12], dt.date(2026, 9, 3), 4, mood=3.0)
    market.minutes = 40
    run = RunDir(tmp_path / "paper")
    run_virtual(Config(), market, "sim", run, 3, None, is_paper=True)
    header = of_runs([("2026-09-03", run)], Config(), "day")[1]
    slip = header["slippage"]
    assert slip["against"] == "backtest" and slip["trades"] == len(slip["rows"]) > 0
    assert slip["entry"]["mean"] == slip["entry"]["p95"] == 0.0 and slip["net"]["run"] == slip["net"]["made"]
    assert header["criteria"]["days"][0]["is_same"] is True


def test_a_run_that_goes_on_is_reported_as_far_as_it_is(week, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(week[0][1].path, folder)
    run = RunDir.existing(folder)
    lock = Lock(run.lock, "the run")
    try:
        header = of_runs([(week[0][0], run)], Config(), "day")[1]
    finally:
        lock.release()
    assert "run is still running: this is what it had come to" in header["notes"]
    assert header["summary"]["days"] == 1


def test_a_folder_that_cannot_be_read_is_left_out_and_named(week, tmp_path):
    bad = tmp_path / "cut"
    (bad / "journal").mkdir(parents=True)
    header = of_runs([week[0], ("2026-09-03", RunDir.existing(bad))], Config(), "week")[1]
    assert any(note.startswith("cut is left out") for note in header["notes"])
    with pytest.raises(DataError, match="no run of 1 can be read"):
        of_runs([("2026-09-03", RunDir.existing(bad))], Config(), "week")


@pytest.mark.browser
@NEEDS_PAGE
def test_the_commands_write_their_files(week, played, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_TOKEN", "secret.token.0123456789")
    runs = week[0][1].path.parent
    for words, name in ((["day", str(week[0][1].path)], "day.html"), (["week", str(runs)], "week.html"),
                        (["backtest", str(played)], "backtest.html")):
        out = tmp_path / name
        told = CliRunner().invoke(app, ["report", *words, "--out", str(out), "--json"])
        assert told.exit_code == 0, told.output
        document = orjson.loads(told.stdout)
        assert document["file"] == str(out) and document["bytes"] == out.stat().st_size
        assert os.stat(out).st_mode & 0o777 == 0o600
        text = out.read_text()
        assert "secret.token" not in text and str(runs.parent) not in text and str(played.parent) not in text
    plain = CliRunner().invoke(app, ["report", "day", str(week[0][1].path)])
    assert "report.html" in plain.stdout and (week[0][1].path / "report.html").exists()
    (week[0][1].path / "report.html").unlink()


def test_report_alone_does_what_it_did(week):
    run = str(week[0][1].path)
    for words in (["report", "--run-dir", run, "--json"], ["evening", "--run-dir", run, "--json"]):
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0 and {"entries", "exits", "realised", "net", "problem"} <= set(orjson.loads(told.stdout))
    assert "realised Rs" in CliRunner().invoke(app, ["report", "--run-dir", run]).stdout


def test_nothing_to_report_on_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, said in ((["week"], "there is no run in"), (["backtest"], "there is no backtest in"),
                        (["day"], "there is no run yet")):
        told = CliRunner().invoke(app, ["report", *words])
        assert told.exit_code != 0 and said in str(told.exception)
