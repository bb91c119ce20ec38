"""Which setting stands behind a reason, so that whoever reads "refused" sees what would have to be otherwise."""
from typing import Any

from _ext.core.reasons import (
    AGAINST_TREND,
    BROKER_BUDGET,
    CLOCK_SKEW,
    COST_SHARE,
    DAILY_LOSS,
    DAY_BUDGET,
    DRAWDOWN,
    EXPIRY_WEEK,
    FEED_DOWN,
    HOUR_BUDGET,
    LOSING_STREAK,
    LOW_VOLUME,
    MAX_POSITIONS,
    MINUTE_BUDGET,
    NO_SCORE,
    NOISE,
    NOT_ALIGNED,
    NOT_CONFIRMED,
    OPERATOR,
    OPPOSING_SIGNAL,
    ORDER_VALUE,
    OUTSIDE_BAND,
    OUTSIDE_LPP,
    OUTSIDE_SESSION,
    OVER_LEVERAGE,
    OVER_NOTIONAL,
    REASONS,
    SECTOR_EXPOSURE,
    SIZE_BELOW_LOT,
    SOURCE_EXPOSURE,
    SOURCE_LOSS,
    SOURCE_OFF,
    SOURCE_POSITIONS,
    STALE_QUOTE,
    STOP_OUTSIDE_BAND,
    SYMBOL_BUDGET,
    SYMBOL_EXPOSURE,
    SYMBOL_GAP,
    UNMEASURED,
    WEAK,
    WIDE_SPREAD,
)
from engine.config import Session, Share, Signals
from engine.config.limits import Risk, Section

SECTIONS: dict[str, type[Section]] = {"signals": Signals, "risk": Risk, "session": Session, "limits.SOURCE": Share}
SETTINGS = {
    WEAK: "signals.strength", LOW_VOLUME: "signals.volume", OPPOSING_SIGNAL: "signals.opposing_s",
    WIDE_SPREAD: "signals.spread_bp", NOISE: "signals.noise", NOT_CONFIRMED: "signals.confirm_s", UNMEASURED: "signals.kinds",
    OUTSIDE_SESSION: "session.first_minute", STALE_QUOTE: "risk.stale_s",
    MAX_POSITIONS: "risk.max_positions", OVER_NOTIONAL: "risk.notional",
    OVER_LEVERAGE: "risk.leverage", DAILY_LOSS: "risk.daily_loss", SYMBOL_GAP: "risk.symbol_gap_s",
    MINUTE_BUDGET: "risk.orders_per_minute", HOUR_BUDGET: "risk.orders_per_hour", DAY_BUDGET: "risk.orders_per_day",
    BROKER_BUDGET: "risk.requests_per_second", SYMBOL_BUDGET: "risk.symbol_per_minute", SYMBOL_EXPOSURE: "risk.symbol_exposure",
    SECTOR_EXPOSURE: "risk.sector_exposure", ORDER_VALUE: "risk.order_value", DRAWDOWN: "risk.drawdown",
    LOSING_STREAK: "risk.losing_streak", EXPIRY_WEEK: "risk.expiry_days", OUTSIDE_LPP: "risk.lpp", CLOCK_SKEW: "risk.skew_s",
    COST_SHARE: "risk.cost_share", SOURCE_OFF: "limits.SOURCE.is_on", SOURCE_POSITIONS: "limits.SOURCE.positions",
    SOURCE_EXPOSURE: "limits.SOURCE.exposure", SOURCE_LOSS: "limits.SOURCE.daily_loss",
}
"""Reason -> the setting it goes by."""
WORDS = {
    AGAINST_TREND: "the five minutes it is in move the other way",
    NOT_ALIGNED: "its minute and its five minutes do not move the same way",
    NO_SCORE: "no model is in force, or it could not say", OPERATOR: "somebody has said: no entries (`resume` takes it back)",
    FEED_DOWN: "without a feed, or without the stream of orders, nothing is entered",
    SIZE_BELOW_LOT: "what the account, the depth shown and the freeze quantity allow is less than one lot",
    OUTSIDE_BAND: "the exchange takes no order outside its price band",
    STOP_OUTSIDE_BAND: "its stop could not rest inside the exchange's price band",
}
"""What is behind those that go by no setting."""


def described(reason: int) -> dict[str, Any]:
    """`setting` behind a reason with its `unit`, empty where there is none, and what it means in `words`."""
    path = SETTINGS.get(reason, "")
    if not path:
        return {"setting": "", "unit": "", "words": WORDS.get(reason, REASONS[reason])}
    section, name = path.rsplit(".", 1)
    field = SECTIONS[section].model_fields[name]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return {"setting": path, "unit": str(extra["unit"]), "words": str(field.description)}
