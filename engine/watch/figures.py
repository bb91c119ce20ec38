"""Figures of trades and days that page, metrics and alerts share. Money in paise, times ns."""
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.watch.trades import Trade

YEAR = 252
"""Sessions a year."""


def win_rate(trades: Sequence[Trade]) -> float | None:
    """Share of closed trades that earned something after costs; None without one."""
    closed = [trade for trade in trades if trade.is_closed]
    return sum(trade.net > 0 for trade in closed) / len(closed) if closed else None


def mean_seconds(trades: Sequence[Trade]) -> float | None:
    """Mean time from the first fill to the last of closed trades; None without one."""
    closed = [trade for trade in trades if trade.is_closed]
    return sum(trade.exit_time - trade.entry_time for trade in closed) / len(closed) / 1e9 if closed else None


def losing_streak(trades: Sequence[Trade]) -> int:
    """Losing trades in a row at the end, by the time they were closed; one that earned nothing after costs has lost."""
    streak = 0
    for trade in sorted((t for t in trades if t.is_closed), key=lambda t: t.exit_time, reverse=True):
        if trade.net > 0:
            break
        streak += 1
    return streak


def sharpe(daily: Sequence[int], account: int) -> float | None:
    """Mean daily net result over its standard deviation, a year's: of days as shares of `account`. None for fewer than two days,
    or days that are all alike."""
    if len(daily) < 2 or account <= 0:
        return None
    returns = [net / account for net in daily]
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    return mean / deviation * math.sqrt(YEAR) if deviation > 1e-12 else None


def max_drawdown(steps: Iterable[int], account: int) -> float:
    """The largest loss from a best result of the account, as a share of that best; `steps`: net results in order."""
    worth = best = account
    worst = 0.0
    for net in steps:
        worth += net
        best = max(best, worth)
        worst = max(worst, 1 - worth / best) if best > 0 else 1.0
    return worst


def filter_accuracy(score: Sequence[Mapping[str, Any]], threshold: float) -> tuple[float, int] | None:
    """(share, candidates): on which share of the candidates filter and market agree: it passed and a quarter of the move was still
    there a minute later, or it refused and the move was gone. `score`: of engine/watch/drift.py `meaning`, by fifths of the score,
    each judged by its middle. No label says what was an artefact. None without candidates."""
    agreed = total = 0.0
    for row in score:
        n, stayed = int(row["candidates"]), row["stayed"]
        if n and stayed is not None:
            agreed += n * (stayed if row["from"] + 0.1 >= threshold else 1 - stayed)
            total += n
    return (agreed / total, round(total)) if total else None
