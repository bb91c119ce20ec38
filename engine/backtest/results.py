"""What came of a backtest: one figure a day and trade turned into the usual ones, each with an interval by bootstrap over days.

Days are what is drawn, not trades: trades of one day share its market. An interval is of the middle 95 % of 2,000 draws.
"""
import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from engine.market.sessions import IST
from engine.watch.trades import Trade

DRAWS, SEED = 2000, 1
YEAR = 252
"""Sessions a year."""
SCORES = (0.0, 0.7, 0.9, 0.95, 0.99, 1.0)


def summary(trades: Sequence[Trade], days: Sequence[str], equity: int) -> dict[str, Any]:
    """The figures of closed trades over `days`, money in rupees; `equity` (paise) is what the account began with."""
    closed = [trade for trade in trades if trade.is_closed]
    columns = Columns(closed, days)
    values = {name: figure(columns, columns.by_day) for name, figure in FIGURES.items()}
    daily = columns.daily("net") / equity
    out: dict[str, Any] = {
        "days": len(days), "trades": len(closed), "open": len(trades) - len(closed),
        "gross": columns.total("gross"), "charges": columns.total("charges"), "net": columns.total("net"),
        "total_return": float(daily.sum()), "win_rate": values["win_rate"], "profit_factor": values["profit_factor"],
        "average_bp": values["average_bp"], "sharpe": _ratio(daily, daily), "sortino": _ratio(daily, np.minimum(daily, 0.0)),
        "average_minutes": float(columns.minutes.mean()) if closed else None,
        "exposure": _exposure(closed, len(days)), "turnover": columns.total("value") / (equity / 100),
        "ambiguous": sum(trade.is_ambiguous for trade in closed)}
    out |= drawdown(closed, equity)
    out["interval"] = intervals(columns) | intervals_of_account(columns, equity)
    return out


class Columns:
    """Closed trades as arrays."""

    def __init__(self, trades: Sequence[Trade], days: Sequence[str]):
        at = {day: i for i, day in enumerate(days)}
        self.days = len(days)
        self.day = np.array([at[t.day] for t in trades], int)
        self.gross = np.array([t.gross for t in trades], float)
        self.charges = np.array([t.charges for t in trades], float)
        self.net = self.gross - self.charges
        self.value = np.array([t.quantity * (t.entry_price + t.exit_price) for t in trades])
        self.entry = np.array([t.quantity * t.entry_price for t in trades])
        self.minutes = np.array([(t.exit_time - t.entry_time) / 60e9 for t in trades])
        self.by_day = np.arange(len(trades))

    def total(self, name: str) -> float:
        """Rupees."""
        return float(getattr(self, name).sum()) / 100

    def daily(self, name: str) -> np.ndarray:
        """Paise of each day."""
        return np.bincount(self.day, getattr(self, name), self.days)


def win_rate(columns: Columns, rows: np.ndarray) -> float | None:
    """Share of trades that earned something after costs."""
    return float((columns.net[rows] > 0).mean()) if len(rows) else None


def profit_factor(columns: Columns, rows: np.ndarray) -> float | None:
    """What winners earned per rupee that losers lost, after costs; None where nobody lost."""
    net = columns.net[rows]
    lost = -float(net[net < 0].sum())
    return float(net[net > 0].sum()) / lost if lost else None


def average_bp(columns: Columns, rows: np.ndarray) -> float | None:
    """Net result of a trade in basis points of what was put in, the mean of all."""
    return float((columns.net[rows] / columns.entry[rows]).mean()) * 1e4 if len(rows) else None


FIGURES: Mapping[str, Callable[[Columns, np.ndarray], float | None]] = {
    "win_rate": win_rate, "profit_factor": profit_factor, "average_bp": average_bp}


def _ratio(daily: np.ndarray, risk: np.ndarray) -> float | None:
    """Mean daily return over the root mean square of `risk` about its own mean (Sharpe) or about 0 (Sortino), a year's; None for
    fewer than two days, or no risk."""
    if len(daily) < 2:
        return None
    deviation = float(daily.std(ddof=1)) if risk is daily else math.sqrt(float((risk * risk).mean()))
    return float(daily.mean()) / deviation * math.sqrt(YEAR) if deviation > 0 else None


def drawdown(trades: Sequence[Trade], equity: int) -> dict[str, Any]:
    """The largest loss from a best result of the account, by closed trades in order of their ends: share of the best, and the days
    of both. `equity` in paise."""
    order = sorted(trades, key=lambda trade: trade.exit_time)
    worth = equity + np.cumsum([trade.net for trade in order]) if order else np.array([equity])
    path = np.concatenate([[equity], worth])
    best = np.maximum.accumulate(path)
    share = 1.0 - path / best
    at = int(share.argmax())
    if share[at] <= 0:
        return {"max_drawdown": 0.0, "drawdown_from": None, "drawdown_to": None}
    top = int(np.flatnonzero(path[:at + 1] == best[at])[-1])
    return {"max_drawdown": float(share[at]), "drawdown_from": order[max(top - 1, 0)].day, "drawdown_to": order[at - 1].day}


def _exposure(trades: Sequence[Trade], days: int) -> float:
    """Share of the session in which anything was held."""
    spans = sorted((trade.entry_time, trade.exit_time) for trade in trades)
    held, end = 0, 0
    for begin, until in spans:
        held += max(0, until - max(begin, end))
        end = max(end, until)
    return held / (days * 375 * 60e9) if days else 0.0


@lru_cache(maxsize=1)
def _picks(days: int) -> np.ndarray:
    """Which days each draw has: the same for every group."""
    return np.random.default_rng(SEED).integers(0, days, (DRAWS, days))


def intervals(columns: Columns) -> dict[str, list[float] | None]:
    """The middle 95 % of each figure and of the net result over days drawn with replacement."""
    if columns.days < 2 or not len(columns.day):
        return {name: None for name in (*FIGURES, "net")}
    picks = _picks(columns.days)
    wins = np.bincount(columns.day, columns.net > 0, columns.days)
    count = np.bincount(columns.day, minlength=columns.days).astype(float)
    won = np.bincount(columns.day, np.maximum(columns.net, 0), columns.days)
    lost = np.bincount(columns.day, np.maximum(-columns.net, 0), columns.days)
    share = np.bincount(columns.day, columns.net / columns.entry, columns.days)
    trades = count[picks].sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = {"win_rate": wins[picks].sum(1) / trades, "profit_factor": won[picks].sum(1) / lost[picks].sum(1),
                 "average_bp": share[picks].sum(1) / trades * 1e4, "net": columns.daily("net")[picks].sum(1) / 100}
    return {name: _middle(values) for name, values in drawn.items()}


def intervals_of_account(columns: Columns, equity: int) -> dict[str, list[float] | None]:
    """Likewise, of what the whole account earned."""
    if columns.days < 2 or not len(columns.day):
        return {"total_return": None, "sharpe": None}
    daily = columns.daily("net")[_picks(columns.days)]
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = daily.mean(1) / daily.std(1, ddof=1) * math.sqrt(YEAR)
    return {"total_return": _middle(daily.sum(1) / equity), "sharpe": _middle(sharpe)}


def _middle(values: np.ndarray) -> list[float] | None:
    values = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(values, (2.5, 97.5))] if len(values) else None


def by_day(trades: Sequence[Trade], days: Sequence[str]) -> list[dict[str, Any]]:
    """Trades and rupees of each day, also of those without one."""
    return [{"day": day, "trades": sum(t.day == day and t.is_closed for t in trades),
             "net": sum(t.net for t in trades if t.day == day and t.is_closed) / 100} for day in days]


def _hour(trade: Trade) -> str:
    return f"{dt.datetime.fromtimestamp(trade.entry_time / 1e9, IST):%H}:00"


def _score(trade: Trade) -> str:
    if math.isnan(trade.score):
        return "not scored"
    above = max(edge for edge in SCORES[:-1] if trade.score >= edge)
    return f"from {above:g}"


GROUPS: Mapping[str, Callable[[Trade], str]] = {
    "hour": _hour, "instrument": lambda trade: trade.symbol, "direction": lambda trade: "long" if trade.side > 0 else "short",
    "score": _score, "reason": lambda trade: trade.reason, "source": lambda trade: trade.source}


def groups(trades: Sequence[Trade], days: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Trades, win rate, mean and net of each hour of entry, instrument, direction, score, reason of the exit, and source, with
    intervals."""
    out: dict[str, dict[str, Any]] = {}
    for name, of in GROUPS.items():
        parts: dict[str, list[Trade]] = {}
        for trade in trades:
            if trade.is_closed:
                parts.setdefault(of(trade), []).append(trade)
        out[name] = {}
        for word, part in sorted(parts.items()):
            columns = Columns(part, days)
            figures = {figure: of_figure(columns, columns.by_day) for figure, of_figure in FIGURES.items()}
            out[name][word] = {"trades": len(part), "net": columns.total("net"), **figures, "interval": intervals(columns)}
    return out
