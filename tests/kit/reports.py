"""Reports of generated trades: a year, as large as is asked for, whose candles are walks of the size real minutes have."""
import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np

from engine.market.sessions import epoch_ms
from engine.report import gather, seen
from engine.report.candles import BAR
from engine.report.gather import Report
from engine.report.seen import COLUMNS, Seen
from engine.watch.trades import Trade

SIGMA = 7e-4                           # of a minute (docs/market.md 5)
REASONS = ("stop", "time", "target", "square-off")
EQUITY = 100_000_000                   # paise


def sessions(count: int, first: dt.date = dt.date(2025, 9, 1)) -> list[str]:
    """Weekdays in a row."""
    days = (first + dt.timedelta(days=k) for k in range(2 * count + 7))
    return [day.isoformat() for day in days if day.weekday() < 5][:count]


def minutes(day: str, symbol: str, seed: int = 1) -> np.ndarray:
    """A session of one stock: BAR rows, prices on steps of five paise."""
    draw = np.random.default_rng([seed, *symbol.encode(), *day.encode()])
    ends = 100_000 * np.exp(np.cumsum(draw.normal(0, SIGMA, (375, 4)), None).reshape(375, 4) / 2)
    rows = np.zeros(375, BAR)
    rows["s"] = epoch_ms(dt.date.fromisoformat(day)) // 1000 + 60 * np.arange(375)
    rows["open"], rows["close"], rows["high"], rows["low"] = ends[:, 0], ends[:, 3], ends.max(1), ends.min(1)
    for name in ("open", "high", "low", "close"):
        rows[name] = rows[name] // 5 * 5
    return rows


def bars(day: str, symbols: Sequence[str]) -> Mapping[str, np.ndarray]:
    return {symbol: minutes(day, symbol) for symbol in symbols}


def trades_of_year(days: Sequence[str], count: int, names: int, seed: int = 1) -> list[Trade]:
    """Closed trades spread over the days, in order of their entries."""
    draw = np.random.default_rng(seed)
    out = []
    for day_at, begin in sorted(zip(draw.integers(0, len(days), count), draw.integers(5, 300, count), strict=True)):
        day, symbol = days[day_at], f"STOCK{draw.integers(0, names):03}"
        start = epoch_ms(dt.date.fromisoformat(day)) * 1_000_000
        held = int(min(30 + draw.exponential(1500), 60 * 60))
        price, side = float(minutes(day, symbol)["open"][int(begin)]), int(draw.choice((-1, 1)))
        quantity = int(draw.integers(1, 400))
        gross = int(quantity * price * draw.normal(-2e-4, 40e-4))
        enter = start + int(begin) * 60_000_000_000 + int(draw.integers(0, 60_000)) * 1_000_000
        out.append(Trade(day, symbol, str(draw.choice(("spike", "opening_range"))), len(out) + 1, side, quantity, enter,
                         enter + held * 1_000_000_000, price, price + side * gross / quantity, gross,
                         int(draw.integers(2_000, 9_000)), str(draw.choice(REASONS)), float(draw.uniform(0.6, 1)),
                         float(draw.uniform(0.3, 1)),
                         round(price * (1 - side * 0.02)), round(price * (1 + side * 0.04))))
    return out


def saw(days: Sequence[str], count: int, names: int, seed: int = 2) -> Seen:
    """Candidates, most of them refused."""
    draw = np.random.default_rng(seed)
    rows = np.zeros(count, COLUMNS)
    rows["id"], rows["day"] = np.arange(1, count + 1), np.sort(draw.integers(0, len(days), count))
    rows["inst"] = draw.integers(0, names, count)
    starts = np.array([epoch_ms(dt.date.fromisoformat(day)) for day in days])
    rows["time"] = (starts[rows["day"]] + draw.integers(0, 375 * 60_000, count)) * 1_000_000
    rows["move"], rows["price"] = draw.choice((-1, 1), count), draw.integers(95_000, 105_000, count)
    rows["strength"], rows["volume"] = draw.uniform(0.5, 1, count), draw.exponential(3, count)
    rows["score"] = np.where(draw.random(count) < 0.4, np.nan, draw.random(count))
    rows["stage"] = draw.choice((seen.WATCHED, seen.RULE, seen.GATE, seen.ENTERED), count, p=(0.4, 0.45, 0.1, 0.05))
    rows["reason"] = np.where(rows["stage"] == seen.ENTERED, 0, draw.integers(20, 35, count))
    rows["measured"], rows["limit"] = draw.exponential(2, count), 2.5
    rows["stayed"] = draw.integers(-1, 2, count)
    out = Seen()
    out.add(rows, [f"STOCK{k:03}" for k in range(names)], ["spike", "opening_range"])
    return out


def year(days: int, trades: int, names: int, candidates: int) -> Report:
    """The report of so much of a backtest."""
    names_of_days = sessions(days)
    made, candidates_seen = trades_of_year(names_of_days, trades, names), saw(names_of_days, candidates, names)
    header = {"kind": "backtest", "what": gather.KINDS["backtest"], "runs": ["generated"], "account": EQUITY / 100, "notes": [],
              "problem": None, **gather.common(made, names_of_days, EQUITY), "seen": seen.summary(candidates_seen), "latency": {},
              "criteria": None, "slippage": None, "suggestions": None, "feed": None, "settings": [], "thresholds": {}}
    begin = epoch_ms(dt.date.fromisoformat(names_of_days[0])) // 1000
    return "A generated year", header, gather.blocks_of(made, candidates_seen, names_of_days, bars, EQUITY, begin, header)


