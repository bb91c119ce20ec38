"""Going live in steps: what counts as progress, what goes back by itself, and that nothing goes on without a word."""
import orjson
import pytest

from engine.run import rollout
from engine.run.rollout import STEPS, Judged, RolloutError, State


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def days(count: int, step: int = 0, first: int = 1, why: str = "") -> list[Judged]:
    return [Judged(f"2026-09-{first + k:02d}", step, f"r{first + k}", why) for k in range(count)]


def after(state: State, judged: list[Judged]) -> State:
    for day in judged:
        state = state.judged(day)
    return state


def test_five_good_days_in_a_row_let_the_next_step_be_taken():
    state = after(State(), days(4))
    with pytest.raises(RolloutError, match="4 of 5 good days"):
        state.advanced()
    state = after(state, days(1, first=5))
    assert state.step == 0, "by itself nothing goes on"
    assert state.advanced().step == 1 and state.advanced().good == 0, "days of paper are none of step 1"


def test_one_bad_day_begins_anew_and_is_named():
    state = after(State(), [*days(4), *days(1, first=5, why="up for 80 %"), *days(4, first=6)])
    assert state.good == 4
    with pytest.raises(RolloutError, match="not yet"):
        state.advanced()
    assert "up for 80 %" in after(State(), days(1, why="up for 80 %")).words
    assert after(state, days(1, first=10)).good == 5


def test_with_real_money_a_bad_day_goes_a_step_back():
    state = State(2, tuple(days(3, 2)))
    assert state.judged(Judged("2026-09-09", 2, "x", "bad")).step == 1
    assert State(1).judged(Judged("2026-09-09", 1, "x", "bad")).step == 0, "and from the first to paper"
    assert State(2).judged(Judged("2026-09-09", 1, "x", "bad")).step == 2, "a day of an earlier step says nothing of this one"
    assert State(0).judged(Judged("2026-09-09", 0, "x", "bad")).step == 0


def test_two_runs_of_a_day_are_one_day_and_both_must_be_good():
    twice = [Judged("2026-09-01", 0, "a"), Judged("2026-09-01", 0, "b")]
    assert after(State(), twice).good == 1
    assert after(State(), [*twice, Judged("2026-09-01", 0, "c", "bad")]).good == 0
    assert len(after(State(), [twice[0], twice[0]]).days) == 1, "judged again is not judged twice"


def test_days_come_in_the_order_of_the_calendar():
    state = after(State(), [Judged("2026-09-03", 0, "c"), Judged("2026-09-01", 0, "a", "bad"), Judged("2026-09-02", 0, "b")])
    assert [day.day for day in state.days] == ["2026-09-01", "2026-09-02", "2026-09-03"] and state.good == 2


def test_the_ends_are_ends():
    with pytest.raises(RolloutError, match="last step"):
        State(len(STEPS), tuple(days(9, len(STEPS)))).advanced()
    with pytest.raises(RolloutError, match="first step"):
        State().back()
    assert State(3).back().step == 2
    assert [step.notional for step in STEPS] == sorted(step.notional for step in STEPS) and STEPS[0].notional == 0.005
    assert STEPS[0].symbols == 1


def test_the_state_is_kept_for_this_user_alone_and_a_damaged_one_risks_nothing():
    assert rollout.load() == State()
    state = after(State(1), days(3, 1))
    rollout.save(state)
    assert rollout.load() == state and rollout.path().stat().st_mode & 0o777 == 0o600
    for content in (b"", b"{", b"[]", b'{"step": "x", "days": []}', b'{"step": 9, "days": []}', b'{"step": -1, "days": []}',
                    b'{"step": 1, "days": [{"day": 1}]}'):
        rollout.path().write_bytes(content)
        with pytest.raises(RolloutError, match="begin with paper again"):
            rollout.load()


def test_real_money_waits_for_paper():
    with pytest.raises(RolloutError, match=r"after 5 good days of paper.*0 of 5"):
        rollout.step_of_live()
    rollout.save(State(2))
    assert rollout.step_of_live() == 2


def test_what_is_said_is_what_is_kept():
    document = rollout.document(after(State(), days(5)))
    assert document["good_days"] == 5 and "advance" in document["words"] and orjson.dumps(document)
    assert "advance" not in rollout.document(State(len(STEPS)))["words"]
