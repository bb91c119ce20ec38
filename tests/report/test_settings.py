"""Settings in a report are those of the configuration, in its own units."""
from engine.config import Config
from engine.config.changes import changed
from engine.report.settings import settings_of


def test_every_setting_the_core_was_told_is_there_as_it_is_written():
    config = Config()
    found = {row["name"]: row["value"] for row in settings_of(config.record())}
    for section in ("risk", "session", "signals"):
        model = getattr(config, section)
        for name, field in type(model).model_fields.items():
            if field.json_schema_extra["core"]:
                wanted = getattr(model, name)
                assert found.pop(f"{section}.{name}") == (", ".join(wanted) if isinstance(wanted, list) else wanted), name
    assert found == {}


def test_a_changed_setting_is_the_changed_one():
    told = changed(Config().record(), ["risk.hold_s=600", "risk.vehicle=future", "signals.noise=0.4", "risk.order_value=5000"])
    found = {row["name"]: row["value"] for row in settings_of(told)}
    assert found["risk.hold_s"] == 600 and found["risk.vehicle"] == "future" and found["risk.order_value"] == 5000
    assert found["signals.noise"] == 0.4
    assert settings_of({}) == []
