"""What a source may take of the account: each limit at, below and above its edge, and in a backtest.

`_ext/trade/shares.pyx`.
"""
import math

import numpy as np
import orjson
import pytest

from _ext.core.reasons import REASONS, Reason
from _ext.core.records import CANDIDATE, GATE, REC_ASK, REC_GATE, REC_START
from _ext.trade.shares import judge
from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.trail.checked import reader_of
from engine.trail.replay import replay
from tests.backtest.test_session import LOOSE, _models
from tests.kit.days import DAY, recorded_day

EQUITY = 1_000_000.0
ALL = (3, 0.10, 0.02, True)            # positions, exposure, daily loss, on


@pytest.mark.parametrize(("limits", "state", "value", "reason"), [
    # (positions, exposure, realised less charges, open)
    (ALL, (0, 0, 0, 0), 1.0, Reason.PASS), ((3, 0.10, 0.02, False), (0, 0, 0, 0), 1.0, Reason.SOURCE_OFF),
    (ALL, (2, 0, 0, 0), 1.0, Reason.PASS), (ALL, (3, 0, 0, 0), 1.0, Reason.SOURCE_POSITIONS),
    ((0, 0.10, 0.02, True), (0, 0, 0, 0), 1.0, Reason.SOURCE_POSITIONS),
    (ALL, (1, 60_000, 0, 0), 40_000.0, Reason.PASS), (ALL, (1, 60_001, 0, 0), 40_000.0, Reason.SOURCE_EXPOSURE),
    (ALL, (0, 0, -19_999, 0), 1.0, Reason.PASS), (ALL, (0, 0, -20_000, 0), 1.0, Reason.SOURCE_LOSS),
    (ALL, (0, 0, -15_000, -5_000), 1.0, Reason.SOURCE_LOSS), (ALL, (0, 0, -25_000, 6_000), 1.0, Reason.PASS),
    (ALL, (0, 0, 0, 0), math.nan, Reason.SOURCE_EXPOSURE)])
def test_each_limit_at_its_edge(limits, state, value, reason):
    assert judge(limits, state, value, EQUITY)[0] == reason


@pytest.mark.parametrize(("direction", "mid", "reason"), [
    (1, 99_000, "daily loss of its source"), (1, 101_000, "pass"), (-1, 101_000, "daily loss of its source"), (-1, 99_000, "pass")])
def test_what_a_source_holds_counts_at_the_price_it_could_leave_at(desk, direction, mid, reason):
    """49 at Rs 1,000 stand Rs 10 a share better or worse; Rs 400 of Rs 10 lakh may be lost."""
    _, (entry,) = desk.enter(direction=direction)
    desk.reply(entry)
    desk.update(entry, 3, 49, 100_000)
    settings = Config(models="", limits={"spike": {"daily_loss": 0.0004}}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(mid=mid)
    desk.tick(1)
    assert desk.enter(1, number=2)[0] == reason


@pytest.mark.parametrize(("direction", "bid", "ask", "reason"), [
    (1, 99_000, 100_000, "daily loss of its source"), (1, 100_000, 101_000, "pass"),
    (-1, 100_000, 101_000, "daily loss of its source"), (-1, 99_000, 100_000, "pass")])
def test_the_price_a_source_could_leave_at_is_that_of_the_other_side(desk, direction, bid, ask, reason):
    _, (entry,) = desk.enter(direction=direction)
    desk.reply(entry)
    desk.update(entry, 3, 49, 100_000)
    settings = Config(models="", limits={"spike": {"daily_loss": 0.0004}}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(bid=bid, ask=ask)
    desk.tick(1)
    assert desk.enter(1, number=2)[0] == reason


@pytest.mark.parametrize(("more", "reason"), [(-1, "daily loss of its source"), (1, "pass")])
def test_what_a_source_s_trades_cost_counts_as_its_loss(desk, more, reason):
    """Out at the price paid: nothing realised, and the loss is what both legs cost, a paisa more or less than may be lost."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    desk.reply(stop)
    desk.update(stop, 3, 49, 100_000)
    money = desk.core.money()
    assert money["realised"] == 0 < money["charges"]
    settings = Config(models="", limits={"spike": {"daily_loss": (money["charges"] + more) / money["equity"]}}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(1)
    assert desk.enter(1, number=2)[0] == reason


@pytest.mark.parametrize(("last", "reason"), [(99_000, "daily loss of its source"), (100_000, "pass")])
def test_what_another_hand_sold_of_a_source_s_position_counts_as_its_result(desk, last, reason):
    """All 49 at the last price, which is Rs 490 lost or nothing; Rs 400 may be."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    (stop,) = desk.update(entry, 3, 49, 100_000)
    desk.reply(stop)
    desk.update(stop, 2)
    desk.tick(mid=last)
    for _ in range(5):
        desk.timer(2.5)
        desk.book(stop)
        desk.holdings({})
    assert desk.core.held(0) == (0, 0) and desk.core.money()["realised"] == 49 * (last - 100_000)
    settings = Config(models="", limits={"spike": {"daily_loss": 0.0004}}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(1)
    assert desk.enter(1, number=2)[0] == reason


def test_a_refusal_says_by_how_much():
    assert judge(ALL, (3, 0, 0, 0), 1.0, EQUITY) == (Reason.SOURCE_POSITIONS, 3.0, 3.0)
    assert judge(ALL, (0, 90_000, 0, 0), 20_000.0, EQUITY)[1:] == pytest.approx((0.11, 0.10))
    assert judge(ALL, (0, 0, -30_000, 0), 1.0, EQUITY)[1:] == pytest.approx((0.03, 0.02))
    assert judge(ALL, (0, 0, 0, 0), 1.0, 0.0)[0] == Reason.SOURCE_EXPOSURE                # no account, no trade


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days")
    recorded_day(folder, minutes=75, names=6)
    return folder


@pytest.mark.parametrize(("limits", "word", "trades"), [
    ({"is_on": False}, "its source is not traded", 0), ({"positions": 0}, "too many positions of its source", 0),
    ({"exposure": 0.0001}, "exposure of its source", 0), ({"positions": 1}, "too many positions of its source", None)])
def test_a_source_keeps_to_its_share(days, tmp_path, limits, word, trades):
    free = backtest(BacktestOptions(data=days, run_dir=tmp_path / "free", journal=False), Config(**LOOSE))
    document = backtest(BacktestOptions(data=days, run_dir=tmp_path / "run"), Config(**LOOSE, limits={"spike": limits}))
    reasons = [REASONS[np.frombuffer(payload, GATE)[0]["reason"]] for kind, _, _, payload in reader_of(tmp_path / "run" / str(DAY))
               if kind == REC_GATE]
    assert word in reasons and free["result"]["trades"] > 1
    if trades is not None:
        assert document["result"]["trades"] == trades
    assert document["counts"]["candidates"] == free["counts"]["candidates"]      # judged and kept all the same
    assert replay(tmp_path / "run" / str(DAY), _models())["identical"]


def test_a_strategy_s_own_reasons_have_words():
    """They are met in tests/strategies/test_strategies.py."""
    assert REASONS[Reason.OWN_STOP] == "its own stop is reached already"
    assert REASONS[Reason.STRATEGY_STOPPED] == "a strategy is not called any more"


def test_a_limit_of_a_source_nobody_named_is_refused():
    with pytest.raises(ValueError, match="limits a source that is not named"):
        Config(limits={"spkie": {"positions": 1}})


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("status", "filled", "reason"), [
    (2, 0, "exposure of its source"), (2, 20, "exposure of its source"), (4, 20, "pass"), (3, 49, "exposure of its source")])
def test_what_an_entry_of_a_source_may_still_add_counts_as_its_exposure(desk, direction, status, filled, reason):
    """Two entries are 9.8 % of the account, of which 8 % may be the source's; with 20 of the first 49 alone they are 6.9 %."""
    _, (entry,) = desk.enter(direction=direction)
    desk.reply(entry)
    desk.update(entry, status, filled, 100_000)
    settings = Config(models="", limits={"spike": {"exposure": 0.08}}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(1)
    assert desk.enter(1, number=2)[0] == reason


@pytest.mark.parametrize(("source", "reason"), [(0, "too many positions of its source"), (1, "pass")])
def test_what_another_source_holds_is_not_counted_against_it(desk, source, reason):
    """Each may have one position, and the first has it."""
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 3, 49, 100_000)
    settings = Config(models="", sources=["spike", "opening_range"], limits={name: {"positions": 1} for name in
                                                                               ("spike", "opening_range")}).record()
    desk.core.feed(REC_START, desk.now, orjson.dumps(settings | {"nonce": "n", "engine": "spk"}))
    desk.tick(1)
    row = np.zeros(1, CANDIDATE)
    row["price"], row["last_close"], row["id"], row["inst"], row["side"], row["source"] = 100_000, 100_000, 2, 1, 1, source
    desk.core.feed(REC_ASK, desk.now, row.tobytes())
    assert REASONS[desk.records(REC_GATE, GATE)[-1]["reason"]] == reason
