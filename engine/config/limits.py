"""Limits of risk and session: the one table from which the configuration, the START record, the core's struct and the documentation
come. A new limit is one line here and the rule that uses it (`limits.NAME` in `_ext/trade`).

`unit`: share and x are fractions and multiples, s becomes ns in the core, rupees become paise, a choice becomes its place in the
list.
"""
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


def setting(default: Any, unit: str, description: str, core: bool = True, **bounds: Any) -> Any:
    """One setting with its unit and what it means. `core`: whether the core decides by it."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "core": core}, **bounds)


class Risk(Section):
    account_size: float = setting(1_000_000, "rupees", "account of paper trading; live takes the broker's funds", core=False, gt=0,
                                  le=1e12)
    notional: float = setting(0.05, "share", "of equity one position may take", gt=0, le=1)
    leverage: float = setting(1.5, "x", "of equity all positions together may take", gt=0, le=5)
    daily_loss: float = setting(0.02, "share", "of equity; realised, open and charges together, at which entries end", gt=0, le=1)
    drawdown: float = setting(0.02, "share", "of equity below the day's best at which entries end", gt=0, le=1)
    max_positions: int = setting(3, "count", "positions and working entries at once", ge=0, le=64)
    orders_per_minute: int = setting(10, "count", "entry orders a minute", ge=0, le=500)
    orders_per_hour: int = setting(60, "count", "entry orders an hour", ge=0, le=2000)
    orders_per_day: int = setting(200, "count", "entry orders a day", ge=0, le=2000)
    symbol_gap_s: float = setting(30, "s", "between entries of one instrument", ge=0, le=86_400)
    symbol_per_minute: int = setting(2, "count", "entry orders of one instrument a minute", ge=0, le=16)
    symbol_per_hour: int = setting(6, "count", "entry orders of one instrument an hour", ge=0, le=16)
    symbol_exposure: float = setting(0.05, "share", "of equity in one name, its contracts included", gt=0, le=1)
    sector_exposure: float = setting(0.10, "share", "of equity in one sector; an unknown sector has `notional`", gt=0, le=1)
    order_value: float = setting(1_000_000, "rupees", "largest single entry", gt=0, le=1e9)
    losing_streak: int = setting(5, "count", "losing trades in a row that pause entries; 0: no such limit", ge=0, le=1000)
    streak_pause_s: float = setting(1800, "s", "of the pause after a losing streak", ge=0, le=86_400)
    stale_s: float = setting(5, "s", "a quote older than this denies an entry", gt=0, le=3600)
    skew_s: float = setting(30, "s", "largest difference between this clock and the exchange's", gt=0, le=3600)
    lpp: float = setting(0.03, "share", "contracts: largest distance of a limit from the last price (NSE's LPP)", gt=0, le=1)
    expiry_days: int = setting(4, "days", "contracts: no entry so many days before expiry (physical settlement)", ge=0, le=365)
    vehicle: Literal["equity", "future"] = setting("equity", "choice", "what a signal in a stock is traded with")
    protection: float = setting(0.001, "share", "of price an entry's limit lies beyond the other side", ge=0, lt=0.05)
    entry_life_s: float = setting(5, "s", "an entry may wait for its fill", gt=0, le=3600)
    policy: Literal["seed", "atr"] = setting("seed", "choice", "exits: stop and target below, or average ranges")
    stop: float = setting(0.02, "share", "of the entry price; rests at the exchange in either policy", gt=0, lt=0.5)
    target: float = setting(0.04, "share", "of the entry price", gt=0, lt=1)
    trail: float = setting(0.0, "share", "the stop follows the best price at this distance; 0: it stays", ge=0, lt=0.5)
    hold_s: float = setting(1800, "s", "longest holding time; 0: until square-off", ge=0, le=86_400)
    atr_stop: float = setting(4.0, "x", "policy atr: stop and target in average one-minute ranges", gt=0, le=100)
    atr_floor: float = setting(0.003, "share", "policy atr: smallest distance of stop and target", gt=0, le=0.5)
    cost_share: float = setting(1 / 3, "share", "policy atr: largest share of the target the costs may take", gt=0, le=1)
    fade_s: float = setting(60, "s", "policy atr: losing half of the move within this ends the trade", ge=0, le=86_400)
    exit_by: Literal["modify", "cancel"] = setting("modify", "choice", "how a stop becomes a limit; cancel where modify is refused")
    feed_dead_s: float = setting(60, "s", "without a feed for so long positions are closed on quotes by REST", gt=0, le=3600)
    settle_entry_s: float = setting(35, "s", "an entry that no read of the book shows for so long is absent", ge=15, le=3600)
    settle_exit_s: float = setting(15, "s", "the same for an exit; then, or earlier by price, a new one is sent", ge=15, le=3600)
    resend_move: float = setting(0.01, "share", "move against a position with an unknown stop that sends another", gt=0, le=1)
    requests_per_second: int = setting(8, "count", "of the broker's 10: every place, modify and cancel", ge=5, le=10)
    requests_per_minute: int = setting(450, "count", "of the broker's 500", ge=5, le=500)
    requests_per_half_hour: int = setting(1900, "count", "of the broker's 2,000", ge=5, le=2000)
    exit_reserve: int = setting(4, "count", "requests of each window kept for exits", ge=1, le=5)


class Session(Section):
    """Minutes after 09:15; `cas`: names with a closing auction."""
    first_minute: int = setting(5, "minutes", "after 09:15 with entries", ge=1, le=375)
    last_minute: int = setting(360, "minutes", "after 09:15: no entry from here on", ge=1, le=375)
    last_minute_cas: int = setting(345, "minutes", "the same of names with a closing auction", ge=1, le=360)
    flat_minute: int = setting(368, "minutes", "after 09:15: everything is flat by then", ge=1, le=374)
    flat_minute_cas: int = setting(353, "minutes", "the same of names with a closing auction", ge=1, le=359)


SCALE = {"s": 1_000_000_000, "rupees": 100}


def core_name(name: str, unit: str) -> str:
    """What the core calls a setting: a time is ns there, so its name has no unit."""
    return name.removesuffix("_s") if unit == "s" else name


def core_limits(*sections: Section) -> dict[str, float | int]:
    """The settings of `sections` as the core takes them."""
    out: dict[str, float | int] = {}
    for section in sections:
        for name, field in type(section).model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            if extra["core"]:
                value, unit = getattr(section, name), str(extra["unit"])
                if unit == "choice":
                    value = get_args(field.annotation).index(value)
                out[core_name(name, unit)] = round(value * SCALE[unit]) if unit in SCALE else value
    return out
