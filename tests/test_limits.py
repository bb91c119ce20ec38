"""What the core is told of the configuration: each setting in the core's unit, by hand."""
import pytest
from pydantic import ValidationError

from engine import config

S = 1_000_000_000
RISK = {
    "notional": 0.05, "leverage": 1.5, "daily_loss": 0.02, "symbol_exposure": 0.05, "sector_exposure": 0.10, "drawdown": 0.02,
    "lpp": 0.03, "trail": 0.0, "atr_stop": 4.0, "atr_floor": 0.003, "cost_share": 1 / 3, "resend_move": 0.01,
    "order_value": 100_000_000, "skew": 30_000, "streak_pause": 1800 * S, "fade": 60 * S, "feed_dead": 60 * S,
    "settle_entry": 35 * S, "settle_exit": 15 * S, "losing_streak": 5, "symbol_per_minute": 2, "symbol_per_hour": 6,
    "first_minute": 5, "expiry_days": 4, "policy": 0, "replace": 0, "futures": 0, "max_positions": 3, "per_minute": 10,
    "per_hour": 60, "per_day": 200, "broker_second": 8, "broker_minute": 450, "broker_half_hour": 1900, "exit_reserve": 4,
    "symbol_gap": 30 * S, "stale": 5 * S, "last_minute": 360, "last_minute_cas": 345, "protection": 0.001, "stop": 0.02,
    "target": 0.04, "hold": 1800 * S, "entry_life": 5 * S, "flat_minute": 368, "flat_minute_cas": 353}


def test_the_limits_reach_the_core_in_its_units():
    record = config.Config(models="").record()["risk"]
    assert {name: record[name] for name in RISK} == pytest.approx(RISK)


@pytest.mark.parametrize(("given", "name", "value"), [
    ({"policy": "atr"}, "policy", 1), ({"exit_by": "cancel"}, "replace", 1), ({"vehicle": "future"}, "futures", 1),
    ({"order_value": 123.45}, "order_value", 12_345), ({"hold_s": 0.5}, "hold", S // 2), ({"skew_s": 0.25}, "skew", 250)])
def test_a_changed_limit_too(given, name, value):
    assert config.Config(models="", risk=config.Risk(**given)).record()["risk"][name] == value


def test_arm_b_has_what_was_given_and_no_more():
    ab = config.Config(models="", ab=config.Comparison(share=0.5, strength=0.7, opposing_s=12)).record()["ab"]
    assert ab == {"share": 0.5, "signals": {"strength": 0.7, "opposing_ms": 12_000}}
    assert config.Config(models="").record()["ab"] == {"share": 0.0, "signals": {}}
    assert config.Config(models="", signals=config.Signals(noise=0.6)).record()["signals"]["min_score"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["detector", "signals", "ab", "risk", "session", "rollout", "store"])
def test_every_default_is_within_its_own_bounds(name):
    section = getattr(config.Config(models=""), name)
    assert type(section)(**section.model_dump()) == section


@pytest.mark.parametrize(("section", "field", "edge", "beyond"), [
    (config.Risk, "notional", 1, 1.0001), (config.Risk, "max_positions", 64, 65), (config.Risk, "max_positions", 0, -1),
    (config.Risk, "requests_per_second", 10, 11), (config.Risk, "requests_per_second", 5, 4),
    (config.Risk, "settle_exit_s", 15, 14.9), (config.Signals, "noise", 1, 1.01),
    (config.Detector, "trade", 1, 1.01), (config.Comparison, "share", 0, -0.01),
    (config.Comparison, "share", 1, 1.01), (config.Rollout, "step", 4, 5), (config.Rollout, "step", 1, 0)])
def test_bounds_at_their_edges(section, field, edge, beyond):
    assert getattr(section(**{field: edge}), field) == edge
    with pytest.raises(ValidationError):
        section(**{field: beyond})
