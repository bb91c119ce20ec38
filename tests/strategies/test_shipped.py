"""The strategies that come with the engine, each called by hand on bars of which the answer is known.

`engine/strategies/shipped/`: moving_average_cross, spike_reversal.
"""
import pytest

from engine.strategies import loading
from engine.strategies.base import Position, Signal
from engine.strategies.shipped import moving_average_cross, spike_reversal
from engine.strategies.trial import Trial, bars, stock

SBIN = stock()


def made(module, **parameters):
    (kind,) = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
               and hasattr(value, "on_bar")]
    return kind("mine", kind.Parameters(**parameters))


def test_the_names_are_what_is_there():
    assert loading.shipped() == ["moving_average_cross", "spike_reversal"]
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
