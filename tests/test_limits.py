"""What the core is told of the configuration: each setting in the core's unit, by hand.

The table is `engine/config/limits.py`.
"""
import re

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from _ext.core.records import REC_START
from _ext.core.sink import RecordSink
from _ext.entrance import Core
from _ext.signals.source import names, source_of
from engine import config
from tests.conftest import ROOT
from tools import generate

S = 1_000_000_000
RISK = {
    "notional": 0.05, "leverage": 1.5, "daily_loss": 0.02, "symbol_exposure": 0.05, "sector_exposure": 0.10, "drawdown": 0.02,
    "lpp": 0.03, "trail": 0.0, "atr_stop": 4.0, "atr_floor": 0.003, "cost_share": 1 / 3, "resend_move": 0.01,
    "order_value": 100_000_000, "skew": 30 * S, "streak_pause": 1800 * S, "fade": 60 * S, "feed_dead": 60 * S,
    "settle_entry": 35 * S, "settle_exit": 15 * S, "losing_streak": 5, "symbol_per_minute": 2, "symbol_per_hour": 6,
    "first_minute": 5, "expiry_days": 4, "policy": 0, "exit_by": 0, "vehicle": 0, "max_positions": 3, "orders_per_minute": 10,
    "orders_per_hour": 60,
    "orders_per_day": 200, "requests_per_second": 8, "requests_per_minute": 450, "requests_per_half_hour": 1900, "exit_reserve": 4,
    "symbol_gap": 30 * S, "stale": 5 * S, "last_minute": 360, "last_minute_cas": 345, "protection": 0.001, "stop": 0.02,
    "target": 0.04, "hold": 1800 * S, "entry_life": 5 * S, "flat_minute": 368, "flat_minute_cas": 353}


def test_the_limits_reach_the_core_in_its_units():
    record = config.Config(models="").record()["limits"]
    assert record == pytest.approx(RISK)


@pytest.mark.parametrize(("given", "name", "value"), [
    ({"policy": "atr"}, "policy", 1), ({"exit_by": "cancel"}, "exit_by", 1), ({"vehicle": "future"}, "vehicle", 1),
    ({"order_value": 123.45}, "order_value", 12_345), ({"hold_s": 0.5}, "hold", S // 2), ({"skew_s": 0.25}, "skew", S // 4)])
def test_a_changed_limit_too(given, name, value):
    assert config.Config(models="", risk=config.Risk(**given)).record()["limits"][name] == value


def test_arm_b_has_what_was_given_and_no_more():
    ab = config.Config(models="", ab=config.Comparison(share=0.5, strength=0.7, opposing_s=12)).record()["ab"]
    assert ab == {"share": 0.5, "signals": {"strength": 0.7, "opposing_ms": 12_000}}
    assert config.Config(models="").record()["ab"] == {"share": 0.0, "signals": {}}
    assert config.Config(models="", signals=config.Signals(noise=0.6)).record()["signals"]["min_score"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["signals", "ab", "risk", "session", "rollout", "store"])
def test_every_default_is_within_its_own_bounds(name):
    section = getattr(config.Config(models=""), name)
    assert type(section)(**section.model_dump()) == section


@pytest.mark.parametrize(("section", "field", "edge", "beyond"), [
    (config.Risk, "notional", 1, 1.0001), (config.Risk, "max_positions", 64, 65), (config.Risk, "max_positions", 0, -1),
    (config.Risk, "requests_per_second", 10, 11), (config.Risk, "requests_per_second", 5, 4),
    (config.Risk, "settle_exit_s", 15, 14.9), (config.Signals, "noise", 1, 1.01),
    (config.Comparison, "share", 0, -0.01),
    (config.Comparison, "share", 1, 1.01)])
def test_bounds_at_their_edges(section, field, edge, beyond):
    assert getattr(section(**{field: edge}), field) == edge
    with pytest.raises(ValidationError):
        section(**{field: beyond})


@pytest.mark.parametrize(("given", "words"), [
    ({"sources": []}, "name one to"), ({"sources": ["spike", "spike"]}, "different"), ({"sources": ["spike", "none"]},
                                                                                        "there is no source"),
    ({"source": {"opening_range": {"minutes": 20}}}, "sources does not name it"), ({"source": {"spike": {"sgima": 2}}},
                                                                                   "no parameter 'sgima'"),
    ({"source": {"spike": {"trade": 1.01}}}, "from 1e-12 to 1"), ({"source": {"spike": {"sigma": 0}}},
                                                                  "sigma of source spike is 0")])
def test_a_source_is_there_once_with_parameters_it_has(given, words):
    with pytest.raises(ValidationError, match=words):
        config.Config(models="", **given)


def test_each_source_says_what_its_parameters_are():
    record = config.Config(models="", sources=["opening_range", "spike"],
                           source={"opening_range": {"minutes": 20}}).record()["sources"]
    assert [(s["name"], s["parameters"].get("minutes")) for s in record] == [("opening_range", 20), ("spike", None)]
    for name in names():
        for parameter in source_of(name).parameters.values():
            assert parameter.says and parameter.unit and parameter.least <= parameter.default <= parameter.most


def test_a_core_takes_no_limits_but_those_of_its_build():
    """One that is unknown, and one that is missing, is refused by its name."""
    record = config.Config(models="").record()
    for limits, words in ((record["limits"] | {"sotp": 1}, "sotp unknown"),
                          ({k: v for k, v in record["limits"].items() if k != "stop"}, "stop missing")):
        with pytest.raises(ValueError, match=words):
            Core(RecordSink(), 1).feed(REC_START, 1, orjson.dumps(record | {"limits": limits}))


def test_the_compiled_headers_are_those_of_the_tables():
    features = (ROOT / "_ext/signals/features.pyx").read_text()
    assert (ROOT / "_ext/core/features.pxi").read_text() == generate.features(features)
    assert (ROOT / "_ext/trade/limits.pxd").read_text() == generate.limits((ROOT / "engine/config/limits.py").read_text())
    assert len(re.findall(r"^    (?:double|int64_t|int32_t) ", generate.limits((ROOT / "engine/config/limits.py").read_text()),
                          re.M)) == len(
        config.Config(models="").record()["limits"])


def test_every_setting_says_what_it_means_and_of_what():
    """Also to whoever reads the tree from outside: no setting without a description, a unit and bounds where it is a number."""
    sections = [config.Config, config.Signals, config.Comparison, config.Risk, config.Session, config.Rollout, config.Store]
    fields = [(s.__name__, name, f) for s in sections for name, f in s.model_fields.items() if not isinstance(f.default, BaseModel)]
    assert len(fields) > 70
    for section, name, field in fields:
        assert field.description and field.json_schema_extra["unit"], (section, name)
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert len(field.metadata) >= 2, (section, name)


@pytest.mark.parametrize(("seconds", "ms"), [(0, 0), (0.25, 250), (300, 300_000)])
def test_the_time_without_a_signal_the_other_way_reaches_the_core_in_milliseconds(seconds, ms):
    """Of both arms; none at all is a number too, and not the other arm's."""
    record = config.Config(models="", signals=config.Signals(opposing_s=seconds), ab=config.Comparison(opposing_s=seconds)).record()
    assert record["signals"]["opposing_ms"] == ms and record["ab"]["signals"] == {"opposing_ms": ms}
