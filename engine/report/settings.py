"""The settings a run was told, as engine.toml writes them: the core's own numbers turned back into seconds, rupees and words."""
from collections.abc import Mapping
from typing import Any, get_args

from engine.config import Signals
from engine.config.limits import SCALE, Risk, Section, Session, core_name

Row = dict[str, Any]
SIGNALS = {"opposing_s": ("opposing_ms", 1000), "confirm_s": ("confirm_ns", SCALE["s"])}
"""Rules whose name in the START record is another, and what its number is divided by."""


def settings_of(told: Mapping[str, Any]) -> list[Row]:
    """A row a setting that a START record (or the settings of a backtest) has: its section and name, value, unit, and what it
    means."""
    signals, limits = told.get("signals") or {}, told.get("limits") or {}
    out = []
    for name, unit, words, _ in _fields(Signals):
        key, parts = SIGNALS.get(name, (name, 1))
        if name == "noise" and "min_score" in signals:
            out.append(_row("signals", name, round(1 - signals["min_score"], 9), unit, words))
        elif key in signals:
            value = signals[key]
            out.append(_row("signals", name, ", ".join(value) if isinstance(value, list) else value / parts, unit, words))
    for section, model in (("risk", Risk), ("session", Session)):
        for name, unit, words, choices in _fields(model):
            key = core_name(name, unit)
            if key in limits:
                value = limits[key]
                out.append(_row(section, name, choices[int(value)] if choices else value / SCALE.get(unit, 1), unit, words))
    return out


def _fields(model: type[Section]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Name, unit, meaning and the words of a choice, of each setting of a section."""
    out = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        unit = str(extra["unit"])
        out.append((name, unit, str(field.description), get_args(field.annotation) if unit == "choice" else ()))
    return out


def _row(section: str, name: str, value: Any, unit: str, words: str) -> Row:
    return {"name": f"{section}.{name}", "value": value, "unit": unit, "words": words}
