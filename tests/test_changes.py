"""Settings of a run that has been, changed: each lands where the core reads it, as a run with that configuration would have it."""
from copy import deepcopy

import pytest

from engine.config import Config, ConfigurationError
from engine.config.changes import changed


@pytest.mark.parametrize(("text", "given"), [
    ("risk.stop=0.01", {"risk": {"stop": 0.01}}), ("risk.hold_s=600", {"risk": {"hold_s": 600}}),
    ("risk.policy=atr", {"risk": {"policy": "atr"}}), ("risk.policy='atr'", {"risk": {"policy": "atr"}}),
    ("risk.order_value=50000", {"risk": {"order_value": 50000}}), ("session.first_minute=10", {"session": {"first_minute": 10}}),
    ("signals.noise=0.5", {"signals": {"noise": 0.5}}), ("signals.opposing_s=60", {"signals": {"opposing_s": 60}}),
    ("signals.confirm_s=20", {"signals": {"confirm_s": 20}}), ('signals.kinds=["equity", "future"]', {"signals": {"kinds": [
        "equity", "future"]}}),
    ("detector.volume=3", {"source": {"spike": {"volume": 3}}}), ("source.spike.sigma=1", {"source": {"spike": {"sigma": 1}}}),
    ("limits.spike.positions=1", {"limits": {"spike": {"positions": 1}}}),
    ("limits.spike.is_on=false", {"limits": {"spike": {"is_on": False}}})])
def test_a_change_is_what_that_configuration_says(text, given):
    start = Config().record() | {"seed": 7, "day": "2026-09-01"}
    before = deepcopy(start)
    assert changed(start, [text]) == Config(**given).record() | {"seed": 7, "day": "2026-09-01"} and start == before


def test_changes_add_up_and_the_last_of_one_name_counts():
    out = changed(Config().record(), ["risk.stop=0.01", "risk.target=0.03", "risk.stop=0.005"])
    assert out == Config(risk={"stop": 0.005, "target": 0.03}).record()


def test_the_account_stands_beside_what_the_core_decides_by():
    assert changed(Config().record(), ["risk.account_size=50000"]) == Config().record() | {"account_size": 50000.0}


def test_parameters_of_a_strategy_are_its_own_to_check():
    start = {"sources": [{"name": "mine", "file": "m.py", "sha256": "x", "parameters": {"bars": 3}, "limits": {}}]}
    assert changed(start, ["source.mine.bars=9"])["sources"][0]["parameters"] == {"bars": 9}


@pytest.mark.parametrize("text", [
    "", "risk", "risk.stop=", "risk.stop=[", "risk.stop=nan", "risk.stop=1e999", "a" * 5000 + "=1", "risk..=1",
    "source.spike.sigma='2'",
    "source.spike.sigma=true", "=", "limits.spike.none=1", "source.none.x=1", "\n=1"])
def test_nonsense_is_refused_in_our_own_words(text):
    with pytest.raises(ConfigurationError, match="--set"):
        changed(Config().record(), [text])
