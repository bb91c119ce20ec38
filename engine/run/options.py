"""What a run is asked for: one typed object, from the command line or from Python."""
import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.errors import UsageError
from engine.trail.rundir import folder_of

SPEED_MAX = 50.0
TIME = re.compile(r"(?:09|1[0-5]):[0-5]\d")


class OptionError(UsageError, ValueError):
    """An option has a value it cannot have."""


def seconds_of(value: Any) -> Any:
    """`60s`, `5m`, `1h` or plain seconds."""
    if not isinstance(value, str):
        return value
    factor = {"s": 1, "m": 60, "h": 3600}.get(value[-1:], 0)
    try:
        return float(value[:-1]) * factor if factor else float(value)
    except ValueError:
        raise ValueError("a duration such as 60s, 5m or 1h") from None


def speed_of(value: Any) -> Any:
    """A factor, or None for `max`."""
    if value is None or value == "max":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"a factor of up to {SPEED_MAX:g}, or max") from None


def core_of(value: Any) -> Any:
    """A core this process may use."""
    may = sorted(os.sched_getaffinity(0))
    if value is not None and (str(value) not in map(str, may) or len(may) < 2):
        raise ValueError(f"a core this process may use ({', '.join(map(str, may))}), of two or more")
    return value


def _time(value: Any) -> Any:
    if isinstance(value, str) and not TIME.fullmatch(value):
        raise ValueError("market time as 09:15")
    return value


class MarketOptions(BaseModel):
    """Which market: simulated, or recorded."""
    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path | None = Field(None, description="folder of recorded ticks instead of the synthetic market")
    seed: int = Field(3, ge=0, lt=1 << 63, description="number the synthetic market is made from")
    day: dt.date | None = Field(None, description="trading day", json_schema_extra={"metavar": "YYYY-MM-DD"})
    names: int = Field(208, ge=1, le=208, description="stocks of the synthetic market")
    start: Annotated[str, BeforeValidator(_time)] = Field(
        "09:15", description="market time at which a synthetic day is joined", json_schema_extra={"metavar": "HH:MM"})
    contracts: int = Field(-1, ge=-1, le=100, description="options of each stock besides its future; -1: stocks alone")


class RunOptions(MarketOptions):
    """A run, as `python -m engine run` and `engine.run` take it. OptionError where a value cannot be."""

    source: Literal["sim", "upstox"] = Field("sim", description="sim (no account needed) or upstox")
    speed: Annotated[float | None, BeforeValidator(speed_of)] = Field(
        10.0, gt=0, le=SPEED_MAX, allow_inf_nan=False,
        description="market seconds a second, up to 50 and what the machine can do, or max",
        json_schema_extra={"metavar": "FACTOR"})
    seconds: Annotated[float | None, BeforeValidator(seconds_of)] = Field(
        None, gt=0, allow_inf_nan=False, description="stop so long after the engine is ready: wall time, as 60s, 5m or 1h",
        json_schema_extra={"option": "--for", "metavar": "DURATION"})
    run_dir: Annotated[Path | None, BeforeValidator(folder_of)] = Field(
        None, description="folder of the run; by default a new one", json_schema_extra={"metavar": "DIR"})
    minutes: int = Field(375, ge=1, le=375, description="length of a synthetic day at --speed max")
    mood: Literal["normal", "lively"] | None = Field(
        None, description="of the synthetic market: lively has moves four times as large and is the default, normal at --speed max")
    paper: bool = Field(False, description="the engine's own matching takes the orders, on the feed's prices; with --source "
                        "upstox the default")
    observe: bool = Field(False, description="decide, send nothing")
    faults: Path | None = Field(None, description="TOML file of a simulated broker's faults, as `sim --faults` takes it")
    live: bool = Field(False, description="REAL ORDERS: needs a passing doctor and a typed word")
    store: bool = Field(True, description="fill ClickHouse", json_schema_extra={"option": "--store/--no-store"})
    flatten: bool = Field(False, description="--live: at the end close every position")
    leave_stops: bool = Field(False, description="--live: at the end leave positions with their stops")
    cpus: Annotated[int | None, BeforeValidator(core_of)] = Field(
        None, description="pin the engine to this core, and every other process to the rest", json_schema_extra={"metavar": "CORE"})
    unlisted: bool = Field(False, description="leave runs/latest as it is", json_schema_extra={"hidden": True})

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.live and self.source != "upstox":
            raise ValueError("--live trades money: it needs --source upstox")
        if self.flatten and self.leave_stops:
            raise ValueError("--flatten or --leave-stops, not both")
        if self.faults is not None and (self.source != "sim" or self.speed is None):
            raise ValueError("--faults are a simulated broker's: they need --source sim and a speed other than max")
        if self.live + self.paper + self.observe > 1:
            raise ValueError("--live, --paper or --observe, one of them")
        return self

    @property
    def is_paper(self) -> bool:
        """Whether the engine's own matching takes the orders."""
        return self.paper or (self.source == "upstox" and not self.live and not self.observe)

    @property
    def ending(self) -> str:
        """What becomes of the positions of a live run when it ends; empty: that is asked then."""
        return "flatten" if self.flatten else "leave-stops" if self.leave_stops else ""


class SimOptions(MarketOptions):
    """The local Upstox alone, as `python -m engine sim` takes it."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65_535, description="port to listen on; 0: any that is free")
    speed: Annotated[float | None, BeforeValidator(speed_of)] = Field(
        1.0, gt=0, le=SPEED_MAX, allow_inf_nan=False,
        description="market seconds a second, up to 50 and what the machine can do, or max",
        json_schema_extra={"metavar": "FACTOR"})
    token: str = Field("demo", min_length=1, description="token its clients must send")
    mood: Literal["normal", "lively"] = Field("normal", description="of the synthetic market: lively has moves four times as large")
    plus: bool = Field(False, description="an account with Upstox Plus: full_d30 is served")
    faults: Path | None = Field(
        None, description="TOML file: rates of order faults (engine/sim/faults.py) and feed faults by time (engine/sim/feed.py)")
    tls_cert: Path | None = Field(None, description="certificate: the sim then speaks TLS")
    tls_key: Path | None = Field(None, description="key of the certificate")
    allow_host: tuple[str, ...] = Field(
        (), description="a name the sim may be called by besides localhost and --host, such as one of a container; once for each")
    address_file: Path | None = Field(None, description="file for its address", json_schema_extra={"hidden": True})
    state_file: Path | None = Field(None, description="file for what it says of itself", json_schema_extra={"hidden": True})
    attend: Path | None = Field(None, description="end with the run of this folder", json_schema_extra={"hidden": True})


WORDS = {"less_than_equal": "at most {le:g}", "greater_than_equal": "at least {ge:g}", "less_than": "less than {lt:g}",
         "greater_than": "more than {gt:g}", "int_parsing": "a whole number", "float_parsing": "a number",
         "literal_error": "{expected}", "finite_number": "a number that is one",
         "extra_forbidden": "there is no such option", "string_too_short": "a word"}
"""What is wanted, by the validator's name of an error."""


def made(model: type[BaseModel], values: dict[str, Any]) -> Any:
    """A `model` of `values`; OptionError says of each value that cannot be what is wanted."""
    try:
        return model(**values)
    except ValidationError as error:
        raise OptionError("; ".join(_words(model, found) for found in error.errors())) from None


def flag_of(name: str, field: Any) -> str:
    """The option of a field on the command line."""
    return str((field.json_schema_extra or {}).get("option", f"--{name.replace('_', '-')}"))


def _words(model: type[BaseModel], found: Any) -> str:
    if not found["loc"]:
        return str(found["ctx"]["error"])
    name, kind = str(found["loc"][0]), found["type"]
    flag = flag_of(name, model.model_fields[name]) if name in model.model_fields else f"--{name}"
    if kind == "value_error":
        return f"{flag} {found['input']}: {found['ctx']['error']}"
    other = "a day as 2026-11-26" if kind.startswith("date") else f"a value of another kind ({kind})"
    return f"{flag} {found['input']}: {WORDS.get(kind, other).format(**found.get('ctx', {}))}"
