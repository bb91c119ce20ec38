"""The figures of a report's trades: days, months, hours, costs, distributions, equity. Money in rupees unless a name says paise."""
import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.backtest import results
from engine.market.sessions import IST
from engine.report.payload import Block
from engine.watch.trades import Trade

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BINS = 40
OUTER = 1.0
"""Per cent at either end that a distribution gathers in its outermost bins."""


def figures(trades: Sequence[Trade], days: Sequence[str], equity: int) -> dict[str, Any]:
    """Everything the page shows of closed trades; `equity` in paise is what the account began with."""
    closed = [trade for trade in trades if trade.is_closed]
    summary = results.summary(trades, days, equity)
    return {"summary": summary, "groups": results.groups(trades, days), "daily": daily(closed, days),
            "monthly": monthly(closed, days, equity), "hourly": hourly(closed), "costs": costs(closed, days),
            "distributions": distributions(closed)}


def daily(closed: Sequence[Trade], days: Sequence[str]) -> dict[str, list[Any]]:
    """Columns: day, trades, gross, charges, net."""
    at = {day: k for k, day in enumerate(days)}
    day = np.array([at[trade.day] for trade in closed], int)
    out: dict[str, list[Any]] = {"day": list(days), "trades": np.bincount(day, minlength=len(days)).tolist()}
    for name in ("gross", "charges", "net"):
        sums = np.bincount(day, np.array([getattr(trade, name) for trade in closed], float), len(days))
        out[name] = [round(float(value) / 100, 2) for value in sums]
    return out


def monthly(closed: Sequence[Trade], days: Sequence[str], equity: int) -> dict[str, Any]:
    """Net of each month of each year, and as a share of `equity`; None where there was no session."""
    months = sorted({day[:7] for day in days})
    net = dict.fromkeys(months, 0)
    for trade in closed:
        net[trade.day[:7]] += trade.net
    years = sorted({month[:4] for month in months})

    def of(year: str, month: int) -> int | None:
        return net.get(f"{year}-{month:02}")

    table = [[of(year, month) for month in range(1, 13)] for year in years]
    return {"years": years, "net": [[None if v is None else v / 100 for v in row] for row in table],
            "share": [[None if v is None else v / equity for v in row] for row in table]}


def hourly(closed: Sequence[Trade]) -> dict[str, Any]:
    """Net and number of trades by the weekday and the half hour of the entry."""
    moments = [dt.datetime.fromtimestamp(trade.entry_time / 1e9, IST) for trade in closed]
    slots = sorted({(at.hour, at.minute // 30) for at in moments})
    days = sorted({at.weekday() for at in moments})
    net = np.zeros((len(days), len(slots)))
    count = np.zeros((len(days), len(slots)), int)
    for trade, at in zip(closed, moments, strict=True):
        cell = days.index(at.weekday()), slots.index((at.hour, at.minute // 30))
        net[cell] += trade.net / 100
        count[cell] += 1
    return {"rows": [WEEKDAYS[day] for day in days], "columns": [f"{hour:02}:{half * 30:02}" for hour, half in slots],
            "net": [[round(float(v), 2) if n else None for v, n in zip(*row, strict=True)] for row in zip(net, count, strict=True)],
            "trades": count.tolist()}


def costs(closed: Sequence[Trade], days: Sequence[str]) -> dict[str, Any]:
    """What trading cost: in all, a trade, in basis points of what was bought and sold, and as a share of what winners earned before
    it."""
    gross, charges = (np.array([getattr(trade, name) for trade in closed], float) / 100 for name in ("gross", "charges"))
    turnover = sum(trade.quantity * (trade.entry_price + trade.exit_price) for trade in closed) / 100
    won = float(gross[gross > 0].sum())
    turned = int(((gross > 0) & (gross - charges <= 0)).sum())
    return {"gross": float(gross.sum()), "charges": float(charges.sum()), "net": float((gross - charges).sum()),
            "turnover": turnover, "a_trade": float(charges.mean()) if closed else None,
            "a_day": float(charges.sum()) / len(days) if days else None,
            "bp_of_turnover": float(charges.sum()) / turnover * 1e4 if turnover else None,
            "share_of_winners": float(charges.sum()) / won if won else None, "winners_lost_to_costs": turned}


def distributions(closed: Sequence[Trade]) -> dict[str, Any]:
    """Histograms of results (net bp of what was put in; rupees) and of durations (minutes)."""
    columns = results.Columns(closed, sorted({trade.day for trade in closed}))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = columns.net / columns.entry * 1e4
    return {"result_bp": histogram(share, True), "result_rupees": histogram(columns.net / 100, True),
            "minutes": histogram(columns.minutes, False)}


def histogram(values: np.ndarray, signed: bool) -> dict[str, Any]:
    """Edges and counts; the outermost bins hold what lies beyond them too. `signed`: zero is an edge."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"edges": [], "counts": [], "median": None, "mean": None, "low": None, "high": None}
    low, high = (float(edge) for edge in np.percentile(values, (OUTER, 100 - OUTER)))
    if low == high:
        low, high = low - 1, high + 1
    width = (high - low) / BINS
    if signed and low < 0 < high:
        low = np.floor(low / width) * width
    edges = low + width * np.arange(int(np.ceil((high - low) / width - 1e-9)) + 1)
    edges[np.abs(edges) < width * 1e-6] = 0.0
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "median": float(np.median(values)), "mean": float(values.mean()),
            "low": float(values.min()), "high": float(values.max())}


def equity_block(trades: Sequence[Trade], equity: int, begin: int) -> Block:
    """The account after each trade that ended, in order of the ends; the drawdown is below the best so far. `equity` in paise is
    what it had at `begin`, s."""
    order = sorted((trade for trade in trades if trade.is_closed), key=lambda trade: trade.exit_time)
    worth = equity + np.cumsum([0, *(trade.net for trade in order)])
    first = min([begin, *(trade.exit_time // 1_000_000_000 for trade in order)])
    block = Block("equity", len(worth))
    block.whole("time", [first, *(trade.exit_time // 1_000_000_000 for trade in order)], "s since 1970")
    block.whole("net", worth - equity, "paise since the beginning")
    block.whole("drawdown", np.maximum.accumulate(worth) - worth, "paise below the best so far")
    return block


def trades_block(trades: Sequence[Trade], windows: Sequence[int]) -> Block:
    """Every trade, and the window of its candles."""
    block = Block("trades", len(trades))
    block.words("day", [trade.day for trade in trades], "trading day")
    block.words("symbol", [trade.symbol for trade in trades])
    block.words("source", [trade.source for trade in trades])
    block.words("reason", [trade.reason for trade in trades], "of the exit")
    block.whole("candidate", [trade.candidate for trade in trades], "number in its day's journal")
    block.whole("side", [trade.side for trade in trades], "1 long, -1 short", differ=False)
    block.whole("quantity", [trade.quantity for trade in trades], "units", differ=False)
    block.whole("entered", [trade.entry_time // 1_000_000_000 for trade in trades], "s since 1970")
    held = [(trade.exit_time - trade.entry_time) // 1_000_000_000 if trade.is_closed else -1 for trade in trades]
    block.whole("held", held, "s, -1: still open", differ=False)
    block.whole("entry", [round(trade.entry_price) for trade in trades], "paise", differ=False)
    block.whole("left", [round(trade.exit_price) - round(trade.entry_price) for trade in trades], "paise, exit less entry",
                differ=False)
    block.whole("gross", [trade.gross for trade in trades], "paise", differ=False)
    block.whole("charges", [trade.charges for trade in trades], "paise", differ=False)
    block.real("strength", [trade.strength for trade in trades], "")
    block.real("score", [trade.score for trade in trades], "NaN: not scored")
    block.whole("stop", [trade.stop and trade.stop - round(trade.entry_price) for trade in trades], "paise from the entry; 0: none",
                differ=False)
    block.whole("target", [trade.target and trade.target - round(trade.entry_price) for trade in trades],
                "paise from the entry; 0: none", differ=False)
    block.whole("ambiguous", [trade.is_ambiguous for trade in trades], "1: its last bar holds both stop and target", differ=False)
    block.whole("window", windows, "of `windows`, -1: none")
    return block
