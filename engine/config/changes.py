"""Settings of a run that has been, changed: `section.name=value` applied to what its START record says."""
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from _ext.signals.source import parameters_of
from engine.config import ConfigurationError, Share, Signals
from engine.config.limits import Risk, Section, Session, core_limits, core_name

SIGNALS = {"noise": "min_score", "opposing_s": "opposing_ms", "confirm_s": "confirm_ns"}
"""Rules whose name in the START record is another."""
ALIAS = {"detector": "source.spike"}
KNOWN = ("risk.NAME, session.NAME, signals.NAME, source.NAME.PARAMETER (detector.PARAMETER is source.spike.PARAMETER), "
         "limits.NAME.WHAT")


def changed(start: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """The START document with each of `wanted` in force; `account_size` stands in it where it was asked for (rupees).
    ConfigurationError names a setting that does not exist or a value it cannot have."""
    out = deepcopy(dict(start))
    for text in wanted:
        name, is_set, value = text.partition("=")
        if not is_set or not name.strip():
            raise ConfigurationError(f"--set {text}: write it as risk.stop=0.01")
        _set(out, name.strip(), _value(value.strip()))
    return out


def _value(text: str) -> Any:
    """What TOML makes of it; a word without quotes is a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _set(start: dict[str, Any], name: str, value: Any) -> None:
    head, _, rest = name.partition(".")
    parts = f"{ALIAS.get(head, head)}.{rest}".split(".")
    section, last = parts[0], parts[-1]
    if section in ("risk", "session") and len(parts) == 2:
        _limit(start, Risk if section == "risk" else Session, name, last, value)
    elif section == "signals" and len(parts) == 2:
        core = _checked(Signals, name, last, value).core()
        key = SIGNALS.get(last, last)
        start["signals"][key] = core[key]
    elif section in ("source", "limits") and len(parts) == 3:
        entry = _source(start, name, parts[1])
        if section == "limits":
            entry["limits"][last] = getattr(_checked(Share, name, last, value), last)
        elif "sha256" in entry:                            # a strategy in Python checks its own when it is loaded
            entry["parameters"][last] = value
        else:
            entry["parameters"][last] = _parameter(entry["name"], name, last, value)
    else:
        raise ConfigurationError(f"--set {name}: there is no such setting; known are {KNOWN}")


def _limit(start: dict[str, Any], section: type[Section], name: str, last: str, value: Any) -> None:
    model = _checked(section, name, last, value)
    extra = section.model_fields[last].json_schema_extra
    assert isinstance(extra, dict)
    if not extra["core"]:
        start[last] = getattr(model, last)
    else:
        key = core_name(last, str(extra["unit"]))
        start["limits"][key] = core_limits(model)[key]


def _checked(section: type[Section], name: str, last: str, value: Any) -> Any:
    """The section with this one setting, all else at its default."""
    if last not in section.model_fields:
        raise ConfigurationError(f"--set {name}: there is no such setting; known are {', '.join(section.model_fields)}")
    try:
        return section(**{last: value})
    except ValidationError as error:
        raise ConfigurationError(f"--set {name}={value}: {error.errors()[0]['msg'].lower()}") from None


def _parameter(source: str, name: str, last: str, value: Any) -> float:
    if not isinstance(value, int | float):
        raise ConfigurationError(f"--set {name}={value}: a number is wanted")
    try:
        return float(parameters_of(source, {last: value})[last])
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"--set {name}={value}: {error}") from None


def _source(start: Mapping[str, Any], name: str, wanted: str) -> dict[str, Any]:
    for entry in start["sources"]:
        if entry["name"] == wanted:
            found: dict[str, Any] = entry
            return found
    names = ", ".join(entry["name"] for entry in start["sources"])
    raise ConfigurationError(f"--set {name}: the run has no source {wanted}; it has {names}")
