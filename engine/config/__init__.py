"""One typed tree of configuration: defaults, then engine.toml, then ENGINE_... variables. Unknown keys are an error.

Secrets never stand here: the token comes from ENGINE_TOKEN or a file of mode 600, and is never part of a record.
"""
import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from _ext.signals.source import MAX_SOURCES, parameters_of
from engine.config.alerts import Alerts
from engine.config.limits import SCALE, Risk, Section, Session, core_limits, setting
from engine.errors import UsageError

__all__ = ["Alerts", "Comparison", "Config", "ConfigurationError", "Risk", "Rollout", "Session", "Share", "Signals", "Store",
           "Watch", "load"]

FILE_MAX = 256 << 10
VARIABLES = {
    "config": "path of the configuration file; without it engine.toml of the folder one is in, where there is one",
    "token": "the broker's access token; without it the file that `login` keeps",
    "api_key": "key of your app as registered with the broker; `login` by browser or phone needs it",
    "api_secret": "secret of your app",
    "redirect": "redirect address of your app, a loopback address with a port",
    "alerts_urls": "where alerts go to: addresses as Apprise writes them, by blanks; docs/alerts.md",
    "alerts_heartbeat": "address that is asked at intervals while all is well; off without one",
    "alerts_file": "file of mode 600 with both instead, an address a line; without it ~/.local/state/spike/alerts if it is there",
    "sandbox_token": "token of the broker's sandbox, for `doctor --sandbox`",
    "shm": "folder of the journal's segments in shared memory; without it /dev/shm",
    "data": "folder of recordings for the tests; without it ../shared/data",
    "debug": "anything: an error shows its traceback, and a rehearsal may make an engine enter or hang",
}
"""What ENGINE_... variables mean besides the settings; a misspelt one is refused."""


class ConfigurationError(UsageError, ValueError):
    """Says which key is wrong and what to write instead."""


class Signals(Section):
    """The seed's rules; a source takes those it wants."""
    strength: float = setting(0.6, "strength", "more than this", ge=0, le=1)
    volume: float = setting(1.5, "expected bars", "more than this: forming volume / expected full bar", ge=0, le=1000)
    spread_bp: float = setting(15.0, "bp", "of the best quotes, at most", gt=0, le=1000)
    noise: float = setting(0.7, "probability", "a candidate more likely noise than this is refused", gt=0, le=1)
    opposing_s: float = setting(300, "s", "no candidate worth trading the other way within this", ge=0, le=86_400)
    confirm_share: float = setting(0.25, "share", "mid's move / last price's move that needs no second update", ge=0, le=100)
    confirm_s: float = setting(60, "s", "a candidate waits for the next trade update at most", gt=0, le=3600)
    kinds: list[Literal["equity", "future", "option"]] = setting(
        ["equity"], "kinds", "of instruments whose candidates may pass: those the shipped filter was measured on (models/card.md)",
        min_length=1)

    def core(self) -> dict[str, Any]:
        return {"strength": self.strength, "volume": self.volume, "spread_bp": self.spread_bp, "min_score": 1 - self.noise,
                "opposing_ms": round(self.opposing_s * 1000), "confirm_share": self.confirm_share,
                "confirm_ns": round(self.confirm_s * SCALE["s"]), "kinds": self.kinds}


class StrategySetting(Section):
    file: str = setting("", "path", "of a Python file, from the folder of engine.toml on, or the name of a shipped strategy")
    parameters: dict[str, Any] = setting({}, "table", "of its own, by name")


class Share(Section):
    positions: int = setting(64, "count", "positions and working entries of the source at once", ge=0, le=64)
    exposure: float = setting(5.0, "share", "of equity all positions of the source together may take", gt=0, le=5)
    daily_loss: float = setting(1.0, "share", "of equity; realised, open and charges of the source, at which its entries end", gt=0,
                                le=1)
    is_on: bool = setting(True, "yes or no", "whether its candidates are traded; they are judged and kept in any case")


class Comparison(Section):
    """Rules of arm B where they differ."""
    share: float = setting(0.0, "share", "of the names, by hash of their key, that arm B decides by these rules", ge=0, le=1)
    strength: float | None = setting(None, "strength", "as signals.strength", ge=0, le=1)
    volume: float | None = setting(None, "expected bars", "as signals.volume", ge=0, le=1000)
    spread_bp: float | None = setting(None, "bp", "as signals.spread_bp", gt=0, le=1000)
    opposing_s: float | None = setting(None, "s", "as signals.opposing_s", ge=0, le=86_400)

    def core(self) -> dict[str, Any]:
        given = {"strength": self.strength, "volume": self.volume, "spread_bp": self.spread_bp,
                 "opposing_ms": None if self.opposing_s is None else round(self.opposing_s * 1000)}
        return {"share": self.share, "signals": {name: value for name, value in given.items() if value is not None}}


class Rollout(Section):
    symbols: list[str] = setting([], "symbols", "names in the order they are taken in; empty: all, by symbol")


class Store(Section):
    url: str = setting("", "URL", "an existing ClickHouse (http://user@host:8123/database); empty: embedded")
    rows: int = setting(50_000, "rows", "of one batch", ge=1, le=1_000_000)
    seconds: float = setting(5.0, "s", "of journal time in one batch", gt=0, le=3600)
    unconfined_readers: bool = setting(False, "yes or no", "readers of the embedded database also on a kernel without Landlock")


class Watch(Section):
    """The page (docs/page.md)."""
    is_on: bool = setting(True, "yes or no", "`run` serves a page of what the engine sees and does")
    host: str = setting("127.0.0.1", "address", "the page is served at; with another than loopback other machines reach it, "
                        "whoever has its token, and nothing on the way is encrypted", min_length=1, max_length=255)
    port: int = setting(8420, "port", "of the page; where it is taken, any that is free; 0: any", ge=0, le=65_535)
    hosts: list[str] = setting([], "names", "the page may be asked for by besides that address, such as one of a tunnel or a proxy",
                               max_length=32)


class Config(BaseSettings):
    """Every setting, by section: docs/configuration.md has them. `Config()` reads the environment and, where there is one, the
    engine.toml of the folder one is in; `engine.config.load()` does so with our own words for what is wrong."""

    model_config = SettingsConfigDict(env_prefix="ENGINE_", env_nested_delimiter="__", extra="forbid")
    sources: list[str] = setting(["spike"], "names", "candidate sources, each a file of _ext/signals/sources")
    source: dict[str, dict[str, float]] = setting({}, "tables", "parameters of a source that differ from its own: [source.spike]")
    limits: dict[str, Share] = setting({}, "tables", "what a source or strategy may take of the account: [limits.NAME]")
    strategies: dict[str, StrategySetting] = setting({}, "tables", "strategies in Python: [strategies.NAME]")
    signals: Signals = Signals()
    ab: Comparison = Comparison()
    risk: Risk = Risk()
    session: Session = Session()
    store: Store = Store()
    rollout: Rollout = Rollout()
    watch: Watch = Watch()
    alerts: Alerts = Alerts()
    excluded: list[str] = setting(["NIFTY", "BANKNIFTY", "FINNIFTY", "NIFTYNXT50"], "symbols",
                                  "underlyings left out by name; every index is left out besides")
    options: int = setting(4, "count", "calls and puts of each stock that are watched for its volatility", ge=0, le=16)
    option_orders: bool = setting(False, "yes or no", "strategies may buy the options that are watched")
    ban_list: str = setting("", "path", "the exchange's fo_secban.csv of the day; without it contracts are not entered")
    instruments: int = setting(8192, "count", "largest number of instruments", ge=1, le=1_000_000)
    ring_depth: int = setting(256, "updates", "of each instrument that are kept for its features", ge=64, le=65_536)
    models: str = setting(str(Path(__file__).parents[2] / "models"), "path", "folder of ONNX models")

    @model_validator(mode="after")
    def _sources_exist(self) -> "Config":
        """Each source is there, once, with parameters it has; one that is not asked for has none."""
        names = [*self.sources, *self.strategies]
        if not 1 <= len(names) <= MAX_SOURCES or len(set(names)) < len(names):
            raise ValueError(f"sources and strategies name one to {MAX_SOURCES} different ones, not {', '.join(names) or 'none'}")
        for name in {*self.sources, *self.source}:
            parameters_of(name, self.source.get(name, {}))
        if unknown := set(self.limits) - set(names):
            raise ValueError(f"[limits.{min(unknown)}] limits a source that is not named")
        if idle := set(self.source) - set(self.sources):
            raise ValueError(f"[source.{min(idle)}] has parameters, but sources does not name it")
        return self

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
                                   env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
                                   file_secret_settings: PydanticBaseSettingsSource) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, _document(cls._file()))

    @classmethod
    def _file(cls) -> Path:
        return Path(os.environ.get("ENGINE_CONFIG", "engine.toml"))

    @model_validator(mode="after")
    def _files_beside_the_configuration(self) -> "Config":
        """A strategy's file that is named by a relative path lies beside engine.toml, wherever the command is given."""
        for strategy in self.strategies.values():
            path = Path(strategy.file)
            if path.suffix == ".py" and not path.is_absolute():
                strategy.file = str(self._file().absolute().parent / path)
        return self

    def share(self, name: str) -> dict[str, Any]:
        """What a source may take of the account, as it stands in the START record."""
        return self.limits.get(name, Share()).model_dump()

    def record(self) -> dict[str, Any]:
        """What the core decides by, as it stands in the START record."""
        return {"sources": [{"name": name, "parameters": parameters_of(name, self.source.get(name, {})), "limits": self.share(name)}
                            for name in self.sources],
                "signals": self.signals.core(), "ab": self.ab.core(), "limits": core_limits(self.risk, self.session)}


def load() -> Config:
    """The configuration in force; ConfigurationError names every wrong key."""
    path = Config._file()
    try:
        _refuse_unknown_variables()
        return Config()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise ConfigurationError(f"{path if path.exists() else 'ENGINE_ variables'}: " + "; ".join(lines)) from None


def _document(path: Path) -> dict[str, Any]:
    """What the file says; empty without one. ConfigurationError for one that is named or there and cannot be read whole."""
    if os.environ.get("ENGINE_CONFIG") == "":
        raise ConfigurationError("ENGINE_CONFIG is empty: name a file, or unset it to run with engine.toml or the defaults")
    if "ENGINE_CONFIG" not in os.environ and not os.path.lexists(path):
        return {}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)     # a FIFO without a writer must not hold us up
    except OSError as error:
        remedy = ("; unset ENGINE_CONFIG to run with the defaults" if "ENGINE_CONFIG" in os.environ
                  else f"; it is a link to {os.readlink(path)}" if path.is_symlink() else "")
        what = "no such file" if error.errno == errno.ENOENT else (error.strerror or "").lower()
        raise ConfigurationError(f"{path}: {what}{remedy}") from None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}: name a TOML file")
        data = os.pread(fd, FILE_MAX + 1, 0)
    finally:
        os.close(fd)
    if len(data) > FILE_MAX:
        raise ConfigurationError(f"{path} is larger than {FILE_MAX >> 10} KiB: that is no configuration")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    """pydantic-settings ignores unknown ENGINE_ variables; a misspelt limit must not pass in silence."""
    known = {*Config.model_fields, *VARIABLES}
    for name in os.environ:
        if name.startswith("ENGINE_") and name[7:].lower().split("__")[0] not in known:
            raise ConfigurationError(f"{name}: unknown variable; known are ENGINE_{', ENGINE_'.join(sorted(known)).upper()}")
