"""One typed tree of configuration: defaults, then engine.toml, then ENGINE_... variables. Unknown keys are an error.

Secrets never stand here: the token comes from ENGINE_TOKEN or a file of mode 600, and is never part of a record.
"""
import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from engine.errors import UsageError

FILE_MAX = 256 << 10


class ConfigurationError(UsageError, ValueError):
    """Says which key is wrong and what to write instead."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Detector(Section):
    sigma: float = Field(2.0, gt=0, description="price: sd of the last 20 path values that count 1")
    volume: float = Field(2.5, gt=0, description="volume: multiple of the expected bar that counts 1")
    jump: float = Field(3.0, gt=0, description="momentum: the minute's move in one-minute sd that counts 1")
    roc: float = Field(0.02, gt=0, description="momentum flag: move over 20 bars")
    iv: float = Field(0.20, gt=0, description="implied volatility: relative change in five minutes that counts 1")
    emit: float = Field(0.5, gt=0, le=1, description="strength at which a candidate is journaled")
    trade: float = Field(0.6, gt=0, le=1, description="strength at which it may be traded")
    cooldown_s: float = Field(300, ge=0, description="quiet time of a name and direction after a candidate")
    max_lag_s: float = Field(3.0, gt=0, description="a tick delivered later than this makes no candidate")


class Signals(Section):
    strength: float = Field(0.6, ge=0, le=1)
    volume: float = Field(1.5, ge=0)
    spread_bp: float = Field(15.0, gt=0)
    noise: float = Field(0.7, gt=0, le=1, description="a candidate more likely noise than this is refused")
    opposing_s: float = Field(300, ge=0)
    confirm_share: float = Field(0.25, ge=0, description="mid's move / last price's move that needs no second update")
    confirm_s: float = Field(10, gt=0, description="longest wait for the next trade update")


class Comparison(Section):
    share: float = Field(0.0, ge=0, le=1, description="share of the names, by hash of their key, that arm B decides by these rules")
    strength: float | None = Field(None, ge=0, le=1)
    volume: float | None = Field(None, ge=0)
    spread_bp: float | None = Field(None, gt=0)
    opposing_s: float | None = Field(None, ge=0)


class Risk(Section):
    account_size: float = Field(1_000_000, gt=0, description="rupees; paper only, live takes the broker's funds")
    notional: float = Field(0.05, gt=0, le=1)
    leverage: float = Field(1.5, gt=0)
    daily_loss: float = Field(0.02, gt=0, le=1)
    max_positions: int = Field(3, ge=0, le=64)
    orders_per_minute: int = Field(10, ge=0)
    orders_per_hour: int = Field(60, ge=0)
    orders_per_day: int = Field(200, ge=0)
    symbol_gap_s: float = Field(30, ge=0)
    stale_s: float = Field(5, gt=0)
    protection: float = Field(0.001, ge=0, lt=0.05)
    stop: float = Field(0.02, gt=0, lt=0.5)
    target: float = Field(0.04, gt=0, lt=1)
    hold_s: float = Field(1800, ge=0, description="longest holding time; 0: until square-off")
    entry_life_s: float = Field(5, gt=0)
    symbol_exposure: float = Field(0.05, gt=0, le=1, description="share of equity in one name")
    sector_exposure: float = Field(0.10, gt=0, le=1, description="share of equity in one sector; unknown ones take `notional`")
    order_value: float = Field(1_000_000, gt=0, description="rupees; largest single entry")
    drawdown: float = Field(0.02, gt=0, le=1, description="share of equity below the day's best at which entries end")
    losing_streak: int = Field(5, ge=0, description="losing trades in a row that pause entries; 0: no such limit")
    streak_pause_s: float = Field(1800, ge=0)
    symbol_per_minute: int = Field(2, ge=0, le=16)
    symbol_per_hour: int = Field(6, ge=0, le=16)
    skew_s: float = Field(30, gt=0, description="largest difference between our clock and the exchange's")
    lpp: float = Field(0.03, gt=0, description="contracts: largest distance of a limit from the last price (NSE's LPP)")
    expiry_days: int = Field(4, ge=0, description="contracts: no entry so many days before expiry (physical settlement)")
    vehicle: Literal["equity", "future"] = Field("equity", description="what a signal in a stock is traded with")
    policy: Literal["seed", "atr"] = Field("seed", description="exits: stop and target above, or 4 average ranges")
    atr_stop: float = Field(4.0, gt=0)
    atr_floor: float = Field(0.003, gt=0)
    cost_share: float = Field(1 / 3, gt=0, description="policy atr: largest share of the target the costs may take")
    fade_s: float = Field(60, ge=0, description="policy atr: losing half of the spike within this ends the trade")
    trail: float = Field(0.0, ge=0, lt=0.5, description="the stop follows the best price at this distance; 0: it stays")
    exit_by: Literal["modify", "cancel"] = Field("modify", description="how a stop becomes a limit; cancel where modify is refused")
    feed_dead_s: float = Field(60, gt=0, description="without a feed for so long positions are closed on quotes by REST")
    settle_entry_s: float = Field(35, ge=15, description="an entry that no read of the book shows for so long is absent")
    settle_exit_s: float = Field(15, ge=15, description="the same for an exit; then, or earlier by price, a new one is sent")
    resend_move: float = Field(0.01, gt=0, description="move against a position whose stop cannot be found that sends another")
    requests_per_second: int = Field(8, ge=5, le=10, description="of the broker's 10, every place, modify and cancel")


class Session(Section):
    """Minutes after 09:15."""
    first_minute: int = 5
    last_minute: int = 360
    last_minute_cas: int = 345
    flat_minute: int = 368
    flat_minute_cas: int = 353


class Rollout(Section):
    step: int = Field(1, ge=1, le=4, description="of going live; engine/trade/rollout.py has the steps and the rule")
    symbols: list[str] = Field([], description="names in the order they are taken in; empty: all, by symbol")


class Store(Section):
    url: str = Field("", description="an existing ClickHouse (http://user@host:8123/database); empty: embedded")
    rows: int = Field(50_000, ge=1)
    seconds: float = Field(5.0, gt=0)
    unconfined_readers: bool = Field(False, description="readers of the embedded database also on a kernel without Landlock")


class Config(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ENGINE_", env_nested_delimiter="__", extra="forbid")
    detector: Detector = Detector()
    signals: Signals = Signals()
    ab: Comparison = Comparison()
    risk: Risk = Risk()
    session: Session = Session()
    store: Store = Store()
    rollout: Rollout = Rollout()
    excluded: list[str] = Field(["NIFTY", "BANKNIFTY", "FINNIFTY", "NIFTYNXT50"], description="underlyings left out by name; every "
                                "index is left out besides")
    options: int = Field(4, ge=0, le=16, description="calls and puts of each stock that are watched for its volatility")
    ban_list: str = Field("", description="the exchange's fo_secban.csv of the day; without it contracts are not entered")
    instruments: int = Field(8192, ge=1, description="largest number of instruments")
    ring_depth: int = Field(256, ge=64)
    models: str = Field(str(Path(__file__).parents[1] / "models"), description="folder of ONNX models")

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
                                   env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
                                   file_secret_settings: PydanticBaseSettingsSource):
        return init_settings, env_settings, InitSettingsSource(settings_cls, _document(cls._file()))

    @classmethod
    def _file(cls) -> Path:
        return Path(os.environ.get("ENGINE_CONFIG", "engine.toml"))

    def record(self) -> dict[str, Any]:
        """What the core decides by, as it stands in the START record."""
        d, s, r, t = self.detector, self.signals, self.risk, self.session
        second = 1_000_000_000
        return {
            "detector": {"sigma": d.sigma, "volume": d.volume, "jump": d.jump, "roc": d.roc, "iv": d.iv, "emit": d.emit,
                         "trade": d.trade, "cooldown_ms": round(d.cooldown_s * 1000),
                         "max_lag_ms": round(d.max_lag_s * 1000)},
            "signals": {"strength": s.strength, "volume": s.volume, "spread_bp": s.spread_bp, "min_score": 1 - s.noise,
                        "opposing_ms": round(s.opposing_s * 1000), "confirm_share": s.confirm_share,
                        "confirm_ns": round(s.confirm_s * second)},
            "ab": {"share": self.ab.share, "signals": {
                name: value for name, value in (("strength", self.ab.strength), ("volume", self.ab.volume), (
                    "spread_bp", self.ab.spread_bp), ("opposing_ms", None if self.ab.opposing_s is None else round(
                        self.ab.opposing_s * 1000))) if value is not None}},
            "session": t.model_dump(),
            "risk": {"notional": r.notional, "leverage": r.leverage, "daily_loss": r.daily_loss,
                     "symbol_exposure": r.symbol_exposure, "sector_exposure": r.sector_exposure, "drawdown": r.drawdown,
                     "lpp": r.lpp, "trail": r.trail, "atr_stop": r.atr_stop, "atr_floor": r.atr_floor, "cost_share": r.cost_share,
                     "resend_move": r.resend_move, "order_value": round(r.order_value * 100), "skew": round(r.skew_s * 1000),
                     "streak_pause": round(r.streak_pause_s * second), "fade": round(r.fade_s * second),
                     "feed_dead": round(r.feed_dead_s * second), "settle_entry": round(r.settle_entry_s * second),
                     "settle_exit": round(r.settle_exit_s * second), "losing_streak": r.losing_streak,
                     "symbol_per_minute": r.symbol_per_minute, "symbol_per_hour": r.symbol_per_hour,
                     "first_minute": t.first_minute, "expiry_days": r.expiry_days, "policy": int(r.policy == "atr"),
                     "replace": int(r.exit_by == "cancel"), "futures": int(r.vehicle == "future"),
                     "max_positions": r.max_positions, "per_minute": r.orders_per_minute, "per_hour": r.orders_per_hour,
                     "per_day": r.orders_per_day,
                     "broker_second": r.requests_per_second, "broker_minute": 450, "broker_half_hour": 1900,
                     "exit_reserve": 4, "symbol_gap": round(r.symbol_gap_s * second), "stale": round(r.stale_s * second),
                     "last_minute": t.last_minute, "last_minute_cas": t.last_minute_cas, "protection": r.protection,
                     "stop": r.stop, "target": r.target, "hold": round(r.hold_s * second),
                     "entry_life": round(r.entry_life_s * second), "flat_minute": t.flat_minute,
                     "flat_minute_cas": t.flat_minute_cas},
        }


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
    known = set(Config.model_fields) | {"config", "data", "debug", "shm", "token", "api_key", "api_secret", "redirect"}
    for name in os.environ:
        if name.startswith("ENGINE_") and name[7:].lower().split("__")[0] not in known:
            raise ConfigurationError(f"{name}: unknown variable; known are ENGINE_{', ENGINE_'.join(sorted(known)).upper()}")
