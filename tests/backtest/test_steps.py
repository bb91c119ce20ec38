"""Days of the roll-out judged by the engine's own reports, and how much of a session it was there for.

`engine/backtest/uptime.py` measures that; `engine/cli/rollout.py` is the command.
"""
import datetime as dt
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from _ext.core.reasons import Reason
from _ext.core.records import (
    GAP,
    GAP_LINK,
    GAP_SILENCE,
    GAP_STALL,
    REC_FILL,
    REC_FRAME,
    REC_GAP,
    REC_START,
    REC_STATE,
    REC_TIMER,
    REDUCING,
    STATE,
    STATE_ALARM,
    STATE_TRADING,
)
from _ext.trail.journal import Journal
from engine.backtest.steps import EVENING, judge, judged, step_of
from engine.backtest.uptime import uptime
from engine.cli import app
from engine.cli.options import Failed
from engine.cli.rollout import advance
from engine.config import Config
from engine.market.instruments import NO_INST
from engine.market.sessions import IST
from engine.run import rollout
from engine.run.rollout import KEPT, Judged, State
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.trail.rundir import RunDir

DAY = "2026-09-01"


def at(clock: str) -> int:
    return int(dt.datetime.fromisoformat(f"{DAY} {clock}").replace(tzinfo=IST).timestamp() * 1e9)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole session of four names on paper."""
    run = RunDir.new(tmp_path_factory.mktemp("whole") / "run")
    run_virtual(Config(), market_of(None, 3, None, 4, 375, "lively", -1), "upstox", run, 3, None, is_paper=True)
    return run


def copied(run: RunDir, folder, more=(), until=None, **start) -> RunDir:
    """A copy of a run with records more at its end, cut at `until` (ns), its START record changed."""
    made = RunDir.new(folder)
    journal = Journal(made.journal)
    for kind, _, now, payload in run.reader():
        if until is not None and now > until:
            break
        if kind == REC_START and start:
            payload = orjson.dumps({name: value for name, value in (orjson.loads(payload) | start).items() if value is not None},
                                   option=orjson.OPT_SORT_KEYS)
        journal.append(kind, now, payload)
    for kind, payload in more:
        journal.append(kind, at("15:30:00"), payload)
    journal.close()
    return made


def state(what: int, reason: Reason) -> tuple[int, bytes]:
    row = np.zeros(1, STATE)
    row["what"], row["now_is"], row["reason"] = what, REDUCING if what == STATE_TRADING else 1, reason
    return REC_STATE, row.tobytes()


# ---- a day -------------------------------------------------------------------------------------------------------------
def test_a_whole_day_on_paper_that_is_the_same_made_again_is_a_good_one(whole):
    assert step_of(whole) == 0
    assert judged(whole, Config(), 0) == Judged(DAY, 0, str(whole.path.resolve()), "")


def test_a_day_that_was_cut_is_none(whole, tmp_path):
    why = judged(copied(whole, tmp_path / "cut", until=at("12:00:00")), Config(), 0).why
    assert "up for 45.8% of the session" in why


@pytest.mark.parametrize(("what", "reason", "word"), [
    (STATE_ALARM, Reason.SECOND_EXIT, "a second exit was needed"), (STATE_ALARM, Reason.TAKEN_OVER, "nobody can explain"),
    (STATE_ALARM, Reason.FILL_PRESUMED, "the broker's positions"), (STATE_TRADING, Reason.UNRECONCILED, "were stopped: not"),
    (STATE_TRADING, Reason.DAILY_LOSS, None), (STATE_TRADING, Reason.DRAWDOWN, None), (STATE_ALARM, Reason.LATE_FILL, None)])
def test_alarms_and_stops_are_told_from_losses(whole, tmp_path, what, reason, word):
    """A limit of loss that ends entries is what it is there for. With real money, and all agreed with the broker's."""
    run = copied(whole, tmp_path / "x", [state(what, reason)], via=0, step=2)
    (run.path / EVENING).write_bytes(b'{"differences": 0}')
    why = judged(run, Config(), 2).why
    assert why == "" if word is None else word in why


def test_real_money_is_held_against_the_broker(whole, tmp_path):
    run = copied(whole, tmp_path / "live", via=0, step=1)
    assert step_of(run) == 1 and "were not held against" in judged(run, Config(), 1).why
    for content, word in ((b'{"differences": 0}', ""), (b'{"differences": 1}', "1 differences"), (b"x", "were not held against")):
        (run.path / EVENING).write_bytes(content)
        assert word in judged(run, Config(), 1).why and bool(judged(run, Config(), 1).why) is bool(word)


def test_a_paper_day_that_is_another_made_again_is_none(whole, tmp_path):
    def changed(kind, payload):
        if kind != REC_FILL:
            return payload
        out = bytearray(payload)
        out[24] ^= 1
        return bytes(out)

    made = RunDir.new(tmp_path / "other")
    journal = Journal(made.journal)
    records = list(whole.reader())
    assert any(record[0] == REC_FILL for record in records)
    for kind, _, now, payload in records:
        journal.append(kind, now, changed(kind, payload))
    journal.close()
    assert "made again is another" in judged(made, Config(), 0).why


def test_what_is_no_day_of_the_roll_out_is_not_judged(whole, paper_day, exchange_day, tmp_path):
    observed = copied(whole, tmp_path / "observed", via=0)
    assert [step_of(run) for run in (paper_day, exchange_day, observed)] == [None] * 3, "a sim, a sim, and who only observed"
    (tmp_path / "empty" / "journal").mkdir(parents=True)
    assert judge(State(), [paper_day.path, observed.path, tmp_path / "empty", tmp_path / "none"], Config()) == []


def test_days_are_judged_once_and_only_when_they_are_over(whole, tmp_path):
    from engine.trail.rundir import Lock

    (tmp_path / "runs").mkdir()
    run = copied(whole, tmp_path / "runs" / "a")
    lock = Lock(run.lock, "x")
    assert judge(State(), [run.path], Config()) == []
    lock.release()
    said = []
    done = rollout.add(judge(State(), [run.path], Config(), said.append))
    assert done.good == 1 and len(said) == 1
    assert judge(done, [run.path], Config(), said.append) == [] and len(said) == 1
    full = State(1, tuple(Judged("2027-01-01", 1, f"r{number}") for number in range(KEPT)))
    assert judge(full, [run.path], Config()) == [], "a day that was forgotten is not judged once more"


def test_a_step_gone_back_while_days_are_judged_stands(tmp_path, monkeypatch):
    """Judging takes minutes; a person has gone back meanwhile. And a word typed long after it was asked for says nothing."""
    rollout.save(State(2))
    found = [Judged(DAY, 2, "r", "bad")]
    rollout.save(rollout.load().back())
    assert rollout.add(found) == State(1, (found[0],)) == rollout.load()
    assert rollout.add(found).step == 1, "the same day twice is one"
    rollout.save(State(1, tuple(Judged(f"2026-09-0{k}", 1, f"r{k}") for k in range(1, 6))))

    def typed(_):
        rollout.add([Judged("2026-09-08", 1, "r8", "bad")])
        return "STEP 2"

    monkeypatch.setattr("engine.cli.rollout.sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("engine.cli.rollout.typer.prompt", typed)
    with pytest.raises(Failed, match="meanwhile"):
        advance()
    assert rollout.load().step == 0


def test_two_runs_of_a_day_are_up_together(whole, tmp_path):
    """A morning and the rest of the day in another folder: neither was up for long, the day was."""
    morning = copied(whole, tmp_path / "runs" / "a", until=at("12:00:00"))
    other = copied(whole, tmp_path / "runs" / "b")
    days = judge(State(), [morning.path, other.path], Config())
    assert [day.why for day in days] == ["", ""]


def test_a_day_whose_session_goes_on_is_not_judged(whole, tmp_path, monkeypatch):
    from engine.backtest import steps

    run = copied(whole, tmp_path / "runs" / "a")
    for clock, count in (("15:14:59", 0), ("15:15:00", 1)):
        monkeypatch.setattr(steps.time, "time_ns", lambda clock=clock: at(clock))
        assert len(judge(State(), [run.path], Config())) == count


def test_days_are_judged_in_their_order_whatever_their_folders_are_called(whole, tmp_path):
    """A bad day at the second step, then a bad one at the first: two steps back."""
    later = copied(whole, tmp_path / "a", via=0, step=1, day="2026-09-02")
    first = copied(whole, tmp_path / "z", via=0, step=2)
    state = State(2)
    for day in judge(state, [later.path, first.path], Config()):
        state = state.judged(day)
    assert state.step == 0


def test_the_command_judges_says_and_never_goes_on_without_a_word(whole, tmp_path):
    (tmp_path / "runs").mkdir()
    copied(whole, tmp_path / "runs" / "a")
    told = CliRunner().invoke(app, ["rollout"])
    assert told.exit_code == 0 and f"{DAY}  paper   good" in told.output and "1 of 5 good days" in told.output
    assert orjson.loads(CliRunner().invoke(app, ["rollout", "--json"]).output)["good_days"] == 1
    assert CliRunner().invoke(app, ["rollout", "advance"]).exit_code == 1 and rollout.load().step == 0
    rollout.save(State(0, tuple(Judged(f"2026-09-0{k}", 0, f"r{k}") for k in range(1, 6))))
    refused = CliRunner().invoke(app, ["rollout", "advance"], input="STEP 1\n")
    assert refused.exit_code == 1 and rollout.load().step == 0, "a pipe is no person at a terminal"
    rollout.save(State(2))
    assert CliRunner().invoke(app, ["rollout", "back"]).exit_code == 0 and rollout.load().step == 1


# ---- uptime ------------------------------------------------------------------------------------------------------------
def run_of(folder, spans, gaps=(), feed=None) -> RunDir:
    """A run with a timer a second in each of its spans, a frame a second there or in `feed`, and rows of the gap ledger."""
    run = RunDir.new(folder)
    journal = Journal(run.journal)
    ticks = [(at(since), at(until)) for since, until in (spans if feed is None else feed)]
    for since, until in spans:
        for now in range(at(since), at(until) + 1, 10**9):
            journal.append(REC_TIMER, now, b"")
            if any(first <= now <= last for first, last in ticks):
                journal.append(REC_FRAME, now, b"x")
    for kind, inst, since, until in gaps:
        row = np.zeros(1, GAP)
        row["kind"], row["inst"], row["begin"], row["end"] = kind, inst, at(since), at(until)
        journal.append(REC_GAP, at(spans[-1][1]), row.tobytes())
    journal.close()
    return run


@pytest.mark.parametrize(("spans", "gaps", "minutes"), [
    ([("09:15:00", "15:30:00")], [], 375), ([("09:00:00", "15:40:00")], [], 375), ([("10:15:00", "15:30:00")], [], 315),
    ([("09:15:00", "12:00:00"), ("12:30:00", "15:30:00")], [], 345),
    ([("09:15:00", "12:00:00"), ("12:00:04", "15:30:00")], [], 375),
    ([("09:15:00", "15:30:00")], [(GAP_LINK, NO_INST, "10:00:00", "10:30:00")], 345),
    ([("09:15:00", "15:30:00")], [(GAP_STALL, NO_INST, "10:00:00", "10:30:00"), (GAP_LINK, NO_INST, "10:15:00", "10:45:00")], 330),
    ([("09:15:00", "15:30:00")], [(GAP_LINK, NO_INST, "10:00:00", "11:00:00"), (GAP_STALL, NO_INST, "10:15:00", "10:30:00")], 315),
    ([("09:15:00", "15:30:00")], [(GAP_SILENCE, 3, "10:00:00", "10:30:00"), (GAP_SILENCE, NO_INST, "10:00:00", "10:30:00")], 375),
    ([("09:15:00", "15:30:00")], [(GAP_LINK, NO_INST, "08:00:00", "09:20:00"), (GAP_LINK, NO_INST, "15:25:00", "16:00:00")], 365),
    ([("07:00:00", "08:00:00")], [], 0)])
def test_up_is_writing_with_a_feed_that_speaks(tmp_path, spans, gaps, minutes):
    assert uptime([run_of(tmp_path / "run", spans, gaps)], DAY) == pytest.approx(minutes / 375, abs=1e-4)


@pytest.mark.parametrize(("feed", "minutes"), [
    ([], 0), ([("09:15:00", "13:15:00")], 240), ([("11:15:00", "15:30:00")], 255), ([("09:15:00", "10:15:00"),
                                                                                  ("10:45:00", "15:30:00")], 345)])
def test_an_engine_without_a_feed_is_not_up(tmp_path, feed, minutes):
    """A token that was refused all day, a feed that was lost at noon or came late: timers go on, and the gap ledger has no row of a
    link that did not come back."""
    run = run_of(tmp_path / "run", [("09:00:00", "15:40:00")], feed=feed)
    assert uptime([run], DAY) == pytest.approx(minutes / 375, abs=1e-4)


def test_two_runs_of_a_day_add_up_and_do_not_count_twice(tmp_path):
    first = run_of(tmp_path / "a", [("09:15:00", "11:15:00")])
    second = run_of(tmp_path / "b", [("11:00:00", "15:30:00")], [(GAP_LINK, NO_INST, "11:00:00", "11:20:00")])
    assert uptime([first, second], DAY) == pytest.approx(370 / 375, abs=1e-4)
    assert uptime([], DAY) == 0.0


def test_a_damaged_state_of_the_roll_out_hides_no_vital_signs(whole, tmp_path):
    run = copied(whole, tmp_path / "run")
    run.engine.write_bytes(orjson.dumps({"pid": 1, "started": 1, "source": "upstox"}))
    rollout.save(State(1))
    rollout.path().write_bytes(b"{")
    told = CliRunner().invoke(app, ["status", "--run-dir", str(run.path), "--json"])
    assert "cannot be read" in told.output and orjson.loads(told.stdout)["running"] is False
