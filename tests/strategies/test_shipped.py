"""The strategies that come with the engine, each called by hand on bars of which the answer is known.

`engine/strategies/shipped/`: moving_average_cross, spike_option, spike_reversal.
"""
import itertools

import numpy as np
import pytest

from _ext.core.records import (
    CANDIDATE,
    INSTRUMENT,
    INTENT,
    REC_CANDIDATE,
    REC_INSTRUMENTS,
    REC_INTENT,
    TYPE_SL,
)
from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.strategies import loading
from engine.strategies.base import Position, Signal, Strategy, StrategyError
from engine.strategies.shipped import moving_average_cross, spike_option, spike_reversal
from engine.strategies.trial import Trial, bars, stock
from engine.trail.checked import reader_of
from engine.trail.replay import replay
from engine.watch.explain import explain
from tests.backtest.test_session import _models
from tests.kit.days import DAY, recorded_day

SBIN = stock()


def made(module, **parameters):
    (kind,) = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
               and issubclass(value, Strategy)]
    return kind("mine", kind.Parameters(**parameters))


def test_the_names_are_what_is_there():
    assert loading.shipped() == ["moving_average_cross", "spike_option", "spike_reversal"]
    for name in loading.shipped():
        strategy, source = loading.load(name, loading.path_of(name), {})
        assert strategy.parameters and type(strategy).__doc__ is None and source.texts
        assert all(field.description for field in type(strategy).Parameters.model_fields.values())


# ---- moving-average cross: means of 2 and 3 closes --------------------------------------------------------------------------
@pytest.mark.parametrize(("closes", "side"), [
    ((10, 9, 8, 12), 1),               # before 8.5 - 9 < 0, now 10 - 9.67 > 0
    ((8, 9, 10, 6), -1), ((8, 9, 10, 11), None), ((10, 9, 8, 8.5), None), ((10, 9, 12), None)])
def test_a_cross_is_traded_the_way_the_fast_mean_goes(closes, side):
    wishes = Trial(made(moving_average_cross, fast=2, slow=3, stop=0.02)).bar(SBIN, bars(closes), minutes=5)
    if side is None:
        assert wishes == []
    else:
        ((instrument, found, rest),) = wishes
        assert (instrument, found) == (SBIN, side) and rest["stop"] == pytest.approx(closes[-1] * (1 - 0.02 * side))


@pytest.mark.parametrize(("longer", "side"), [((1, 2, 3), 1), ((3, 2, 1), None), ((2, 2, 2), None), ((2, 3), None)])
def test_the_other_timeframes_must_lie_the_same_way(longer, side):
    """Up on five minutes; on fifteen up, down, level, and too few to say."""
    trial = Trial(made(moving_average_cross, timeframes=(5, 15), fast=2, slow=3))
    assert trial.bar(SBIN, bars(longer), minutes=15) == []
    assert [wish.side for wish in trial.bar(SBIN, bars([10, 9, 8, 12]), minutes=5)] == ([side] if side else [])


def test_a_cross_of_any_two_timeframes_and_not_of_one_there_is_not():
    assert made(moving_average_cross, timeframes=(3, 60)).timeframes == (3, 60)
    for given, words in (({"timeframes": (5, 7)}, "a bar has 1, 2, 3"), ({"fast": 3, "slow": 3}, "give it fewer")):
        with pytest.raises(StrategyError, match=words):
            loading.load("mine", loading.path_of("moving_average_cross"), given)


def test_a_cross_ends_what_is_held():
    trial = Trial(made(moving_average_cross, fast=2, slow=3), held=Position(1, 5, 9.0, 8.0, 12.0, 1.0))
    assert trial.bar(SBIN, bars([8, 9, 10, 6]), minutes=5) == [(SBIN, 0, {"reason": "crossed back"})]


# ---- spike reversal: a spike from 100 to 104 --------------------------------------------------------------------------------
def spike(move=1, price=104.0, strength=0.8, source="spike"):
    return Signal(source, SBIN, move, move, strength, price, 100.0, 0.9, 3.0, 4.0, 5.0)


@pytest.mark.parametrize(("move", "price", "closes", "at"), [
    (1, 104.0, (103.0, 102.0), 2),     # half of 4 is lost at 102
    (1, 104.0, (103.0, 102.5, 102.1, 102.1, 102.1, 101.0), None),          # too late: five minutes
    (1, 104.0, (106.0, 103.1, 103.0), 3),                                  # the extreme moved to 106: half is 103
    (-1, 96.0, (97.0, 98.0), 2), (-1, 96.0, (95.0, 97.4, 97.5), 3)])
def test_a_spike_that_is_half_lost_in_time_is_traded_against(move, price, closes, at):
    trial = Trial(made(spike_reversal))
    trial.tell("on_candidate", spike(move, price))
    for k, close in enumerate(closes, 1):
        trial.bar(SBIN, bars([close]))
        assert bool(trial.wishes) is (at is not None and k >= at)
    if at is not None:
        ((_, side, rest),) = trial.wishes
        extreme = max(price, *closes) if move > 0 else min(price, *closes)
        assert side == -move and rest["move"] == move and rest["stop"] == extreme


def test_only_spikes_that_are_strong_enough_are_watched():
    trial = Trial(made(spike_reversal, strength=0.7))
    trial.tell("on_candidate", spike(strength=0.65))
    trial.tell("on_candidate", spike(source="other"))
    assert trial.bar(SBIN, bars([100.5])) == []
    trial.tell("on_candidate", spike(strength=0.7))
    assert len(trial.bar(SBIN, bars([100.5], reach=0.2))) == 1
    assert trial.bar(SBIN, bars([100.5])) == []


# ---- options of a spiking stock ---------------------------------------------------------------------------------------------
OPTIONS = {"option_orders": True, "models": "",
           "strategies": {"spike_option": {"file": "spike_option", "parameters": {"score": 0}}},
           "limits": {"spike": {"is_on": False}}}


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Two hours of a generated day with chains, traded by options alone: (document, folder of the day)."""
    folder = tmp_path_factory.mktemp("options")
    recorded_day(folder / "days", names=8, minutes=100, options=10, mood=6.0)
    document = backtest(BacktestOptions(data=folder / "days", run_dir=folder / "run"), Config(**OPTIONS))
    return document, folder / "run" / str(DAY)


def stock_name(table, inst):
    return table[inst]["symbol"].decode()


def rows(folder, kind, dtype):
    return [(now, np.frombuffer(payload, dtype)[0]) for found, _, now, payload in reader_of(folder) if found == kind]


def test_a_spike_is_followed_by_the_option_at_the_money(traded):
    document, folder = traded
    assert made(spike_option, score=0.5).parameters.score == 0.5
    (table,) = [np.frombuffer(payload, INSTRUMENT) for kind, _, _, payload in reader_of(folder) if kind == REC_INSTRUMENTS]
    asked = [c for _, c in rows(folder, REC_CANDIDATE, CANDIDATE) if c["source"] == 1]
    spikes = {int(c["now"]): c for _, c in rows(folder, REC_CANDIDATE, CANDIDATE) if c["source"] == 0 and c["level"] == 1}
    assert len(asked) >= 3 and document["stopped"] == []
    for c in asked:
        option, stock = table[c["inst"]], spikes[int(c["now"])]
        assert (option["kind"], c["side"], c["move"], option["right"]) == (2, 1, stock["move"], stock["move"])
        assert option["under"] == stock["inst"] == c["guide"] - 1
        near = [abs(o["strike"] - stock["price"]) for o in table if o["under"] == stock["inst"] and o["right"] == option["right"]]
        assert abs(option["strike"] - stock["price"]) == min(near), "at the money"
        told = explain(folder, int(c["id"]))["asked"]
        assert told["guide"] == stock_name(table, stock["inst"]) and told["stop"] == c["own_stop"] / 100
        assert c["own_stop"] == pytest.approx(stock["price"] * (1 - 0.01 * stock["move"]), abs=1)


def test_its_stop_rests_on_the_option_and_follows_slowly(traded):
    document, folder = traded
    trades = document["result"]["trades"]
    assert trades >= 2 and document["groups"]["source"].keys() == {"spike_option"}
    stops: dict[int, list] = {}
    for now, intent in rows(folder, REC_INTENT, INTENT):
        moves = stops.setdefault(int(intent["id"]), [])
        if intent["order_type"] == TYPE_SL and (not moves or moves[-1][1] != intent["trigger"]):      # else it grows
            moves.append((now, int(intent["trigger"])))
    assert sum(map(bool, stops.values())) >= trades
    for moves in stops.values():
        for (before, was), (now, trigger) in itertools.pairwise(moves):
            assert trigger >= was + 10 and now - before >= 30e9, "two steps of five paise, half a minute"
    assert any(len(moves) > 1 for moves in stops.values()), "some of them moved"
    assert replay(folder, _models())["identical"]


def test_options_are_not_traded_unless_the_account_says_so(tmp_path):
    recorded_day(tmp_path / "days", names=3, minutes=60, options=4, mood=6.0)
    config = Config(**OPTIONS | {"option_orders": False})
    document = backtest(BacktestOptions(data=tmp_path / "days", run_dir=tmp_path / "run"), config)
    assert document["result"]["trades"] == 0 and set(document["counts"]["gate"]) <= {"not tradable", "its source is not traded"}
