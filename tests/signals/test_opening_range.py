"""The opening-range breakout beside the spike, in one core: what makes a candidate, what spoils a range, which rules it has."""
import numpy as np
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import CANDIDATE, GATE, REC_ASK, REC_GATE
from engine.market.instruments import Instrument
from tests.signals.quiet import BASE, Quiet, reason
from tests.trade.conftest import Desk

ROOMY = {"signals": {"spread_bp": 1000.0}}


def session(sources=("opening_range",), source=None, minutes: int = 15, late: float = 0.0, silent: tuple[float, float] = (0, 0),
            **given) -> Quiet:
    """A desk at the end of an opening range of `minutes`, a trade every five seconds; nothing within `silent` seconds of it."""
    desk = Quiet(minute=0, sources=list(sources), source=source or {}, **(ROOMY | given))
    desk.at = late
    while desk.at < 60 * minutes - 5:
        at = desk.at + 5
        if silent[0] <= at < silent[1]:
            desk.at = at
        else:
            desk.tick((BASE - 100, BASE + 100, BASE)[round(at / 5) % 3], 80, after=5.0)
    desk.at = 60.0 * minutes
    return desk


def passes(desk: Quiet, seconds: int) -> None:
    """Time in which little happens."""
    for _ in range(seconds // 5):
        desk.tick(BASE, 10, after=5)


def broken(desk: Quiet, price: int, updates: int = 2) -> list:
    """Candidates after `updates` of as much volume as one bar has each: an update adds one expected bar at most."""
    for _ in range(updates):
        desk.tick(price, 2000)
    return desk.candidates


@pytest.mark.parametrize(("price", "move"), [(BASE + 101, 1), (BASE - 101, -1), (BASE + 100, 0), (BASE - 100, 0)])
def test_the_first_trade_beyond_the_range_with_volume_is_a_candidate(price, move):
    made = broken(session(), price)
    assert [(int(c["move"]), int(c["side"]), int(c["level"])) for c in made] == ([(move, move, 1)] if move else [])
    for c in made:
        width = 2e4 * 200 / (2 * BASE)
        assert c["own"].tolist() == [BASE + 100, BASE - 100, pytest.approx(width), 0, 0, 0]
        assert c["volume_ratio"] == pytest.approx(2.0) and c["strength"] == pytest.approx(1 - 2 ** (-2 / 1.5))


def test_without_volume_there_is_none_and_it_may_come_later():
    desk = session()
    assert broken(desk, BASE + 200, updates=1) == []            # one expected bar: 1.0, not 1.5
    assert len(broken(desk, BASE + 150, updates=1)) == 1        # the second
    assert len(broken(desk, BASE + 400, updates=3)) == 1        # once a day
    passes(desk, 70)
    assert [int(c["move"]) for c in broken(desk, BASE - 200)] == [1, -1]      # and once the other way


@pytest.mark.parametrize(("given", "made"), [
    ({"source": {"opening_range": {"volume": 2.5}}}, 0), ({"source": {"opening_range": {"volume": 2.0}}}, 1),
    ({"source": {"opening_range": {"until": 15}}}, 0), ({"source": {"opening_range": {"until": 16}}}, 1),
    ({"source": {"opening_range": {"minutes": 16}}}, 0)])
def test_its_parameters_are_its_own(given, made):
    assert len(broken(session(**given), BASE + 101)) == made


def test_a_range_that_was_not_seen_whole_breaks_nothing():
    assert broken(session(late=61.0), BASE + 101) == []                         # from the second minute on
    assert broken(session(silent=(300, 420)), BASE + 101) == []                 # a gap within it
    assert len(broken(session(late=30.0), BASE + 101)) == 1                     # within the first minute is whole


def test_a_late_tick_and_an_odd_one_make_none():
    desk = session()
    desk.tick(BASE + 101, 2000)
    desk.tick(BASE + 101, 2000, lag=3.5)
    assert desk.candidates == []
    desk.tick(BASE + 101, 2000)
    assert len(desk.candidates) == 1


def test_no_model_judges_it_and_it_is_decided_at_the_tick():
    """Its rules are session, the other direction and the book: no score, no weakness, no confirmation."""
    desk = session()
    broken(desk, BASE + 101)
    (verdict,) = desk.verdicts
    assert reason(verdict) == "pass" and verdict["updates"] == 0 and np.isnan(verdict["score"]) and np.isnan(verdict["score_next"])
    desk = session(signals={"spread_bp": 1.0})
    broken(desk, BASE + 101)
    assert [reason(v) for v in desk.verdicts] == ["wide spread"]
    desk = session(session={"first_minute": 16})
    broken(desk, BASE + 101)
    assert [reason(v) for v in desk.verdicts] == ["outside session"]
    desk = session()
    broken(desk, BASE + 101)
    passes(desk, 65)
    broken(desk, BASE - 101)
    assert [reason(v) for v in desk.verdicts] == ["pass", "opposing signal"]


@pytest.mark.parametrize("sources", [("spike", "opening_range"), ("opening_range", "spike")])
def test_two_sources_of_one_core_have_their_own_lives(sources):
    """The same break is seen by both; each candidate says whose it is, and cool-down, opposing and pending are of each."""
    made = {}
    for chosen in (("spike",), ("opening_range",), sources):
        desk = session(sources=chosen, source={"spike": {"emit": 0.3, "trade": 0.3}} if "spike" in chosen else None)
        broken(desk, BASE + 400, updates=4)
        passes(desk, 65)
        broken(desk, BASE - 400, updates=4)
        made[chosen] = [(chosen[int(c["source"])], int(c["move"]), int(c["ltt"])) for c in desk.candidates]
        verdicts = [(chosen[int(v["source"])], reason(v)) for v in desk.verdicts]
        made[chosen, "verdicts"] = verdicts
    both = made[sources]
    for name in sources:
        assert [c for c in both if c[0] == name] == made[(name,)] != []
        assert [v for v in made[sources, "verdicts"] if v[0] == name] == made[(name,), "verdicts"]


def test_the_second_source_in_an_instrument_is_denied(tmp_path):
    """One position of an instrument: the gate names the reason, and an entry of the same source is only the second one."""
    desk = Desk(tmp_path, specs=[Instrument("NSE_EQ|A", "RELIANCE", tick=10)])
    for source, number in ((0, 1), (1, 2), (0, 3)):
        row = np.zeros(1, CANDIDATE)
        row["id"], row["side"], row["move"], row["source"], row["price"] = number, 1, 1, source, desk.mid[0]
        desk.core.feed(REC_ASK, desk.now, row.tobytes())
    assert [REASONS[g["reason"]] for g in desk.records(REC_GATE, GATE)] == ["pass", "another source is in this name",
                                                                             "already in this name"]
    (entry,) = desk.intents()
    assert entry["source"] == 0 and entry["via"] == 0
