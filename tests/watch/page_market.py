"""A market for the page's tests, made of numbers drawn from a seed: instruments, quotes, candles, candidates, orders, trades.

Nothing of it is a recording. Times are microseconds since 1970 UTC, prices paise, as the API of `watch` has them.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

SECOND, MINUTE = 1_000_000, 60_000_000
OPEN_US = 1_795_837_500 * SECOND  # 28 November 2026, 09:15 in India
NOW_US = OPEN_US + 2 * 3600 * SECOND + 17 * SECOND
ROOT = Path(__file__).resolve().parents[2]
REASONS = {
    "noise": "the filter's score must reach its threshold",
    "weak": "the strength must reach what is traded",
    "low volume": "the minute's volume must be so many times what is expected",
    "wide spread": "the spread may be so many times its mean",
    "too many positions": "positions and working entries at once",
    "too soon in this name": "seconds between entries of one instrument",
    "against trend": "the move must go with the five-minute trend",
}
FEATURES = (
    "strength",
    "z20",
    "z50",
    "rz",
    "volume_ratio",
    "mid_move_s1m",
    "largest_step",
    "spread_ratio",
    "held_updates",
    "longest_gap_s",
    "imbalance",
    "updates",
    "market_5m_bp",
    "firing",
    "lag_s",
    "rsi",
    "macd",
    "atr",
    "vwap",
    "to_level",
    "from_level",
    "book_age_s",
)


class Market:
    """`count` stocks, and options of the first when `options`; `candidates` and `trades` of the day so far."""

    def __init__(self, count: int = 208, candidates: int = 640, trades: int = 36, options: bool = True, seed: int = 7):
        self.random = random.Random(seed)
        self.now_us = NOW_US
        names = json.loads((ROOT / "engine/market/names.json").read_text())
        sectors = {
            symbol: sector
            for sector, symbols in json.loads((ROOT / "engine/market/sectors.json").read_text())["sectors"].items()
            for symbol in symbols
        }
        self.symbols = [row[0] for row in names][:count] + [f"NAME{i:04d}" for i in range(max(0, count - len(names)))]
        self.count = len(self.symbols)
        self.sector = [
            sectors.get(symbol, f"Group {i % 12}" if symbol.startswith("NAME") else "") for i, symbol in enumerate(self.symbols)
        ]
        self.previous = [self.random.randrange(12_000, 480_000) // 5 * 5 for _ in self.symbols]
        market = self.random.gauss(0, 0.004)
        drift = {sector: self.random.gauss(market, 0.006) for sector in sorted(set(self.sector))}
        self.price = [
            max(5, round(p * (1 + drift[s] + self.random.gauss(0, 0.007)) / 5) * 5)
            for p, s in zip(self.previous, self.sector, strict=True)
        ]
        self.minute_volume = [self.random.randrange(500, 40_000) for _ in self.symbols]
        self.expected = [self.random.randrange(8_000, 30_000) for _ in self.symbols]
        self.score = [255] * self.count
        self.flags = [0] * self.count
        self.kind, self.under, self.strike, self.right, self.expiry = (
            ["equity"] * self.count,
            [-1] * self.count,
            [0] * self.count,
            [0] * self.count,
            [""] * self.count,
        )
        if options:
            self._add_options(self.symbols.index("RELIANCE") if "RELIANCE" in self.symbols else 0)
        self.candidates = [
            self._candidate(i + 1, OPEN_US + round((i + 1) * (NOW_US - OPEN_US) / (candidates + 1))) for i in range(candidates)
        ]
        self.trades = [self._trade(i + 1, trades) for i in range(trades)]
        self.orders = [order for trade in self.trades for order in self._orders(trade)]
        self.positions = [self._position(trade) for trade in self.trades if trade["exited_us"] is None]
        for row in self.positions:
            self.flags[row["inst"]] |= 1 | 16
        for row in self.candidates[-24:]:
            self.score[row["inst"]] = round((row["score"] or 0) * 200)

    def _add_options(self, under: int) -> None:
        spot, step = self.price[under], 2000
        middle = round(spot / step) * step
        for expiry in ("2026-12-31", "2027-01-28"):
            for k in range(-9, 10):
                for right, word in ((1, "CE"), (-1, "PE")):
                    strike = middle + k * step
                    self.symbols.append(f"{self.symbols[under]} {strike // 100} {word} {expiry[2:].replace('-', '')}")
                    self.sector.append("")
                    value = max(5, round((max(0, right * (spot - strike)) + 3000 * math.exp(-abs(k) / 4)) / 5) * 5)
                    self.previous.append(value)
                    self.price.append(max(5, value + self.random.randrange(-200, 200) // 5 * 5))
                    self.minute_volume.append(self.random.randrange(0, 5000))
                    self.expected.append(3000)
                    self.score.append(255)
                    self.flags.append(0)
                    self.kind.append("option")
                    self.under.append(under)
                    self.strike.append(strike)
                    self.right.append(right)
                    self.expiry.append(expiry)
        self.stocks, self.count = self.count, len(self.symbols)

    def _candidate(self, number: int, t_us: int) -> dict[str, Any]:
        r = self.random
        inst = r.randrange(getattr(self, "stocks", self.count))
        move = r.choice((1, -1))
        verdict = r.choices(("passed", "refused", "watched"), (6, 70, 24))[0]
        reason = r.choice(list(REASONS)) if verdict == "refused" else "weak" if verdict == "watched" else ""
        limit = {
            "noise": 0.7,
            "weak": 0.6,
            "low volume": 2.5,
            "wide spread": 3.0,
            "too many positions": 3.0,
            "too soon in this name": 30.0,
            "against trend": 0.0,
        }.get(reason)
        measured = (
            None
            if limit is None
            else limit * r.uniform(0.2, 0.99)
            if reason not in ("wide spread", "too many positions")
            else limit * (r.uniform(1.01, 2.4))
        )
        score = (
            r.uniform(0.7, 0.99)
            if verdict == "passed"
            else measured
            if reason == "noise"
            else None
            if verdict == "watched"
            else r.random()
        )
        return {
            "id": number,
            "t_us": t_us,
            "inst": inst,
            "symbol": self.symbols[inst],
            "source": r.choice(("spike", "spike", "cross")),
            "move": move,
            "side": move,
            "price": self.price[inst],
            "strength": r.uniform(0.5, 0.95),
            "volume_ratio": r.uniform(1, 14),
            "rz": move * r.uniform(2, 9),
            "score": score,
            "verdict": verdict,
            "reason": reason,
            "measured": measured,
            "limit": limit,
            "tag": "",
        }

    def _trade(self, number: int, of: int) -> dict[str, Any]:
        r = self.random
        passed = [row for row in self.candidates if row["verdict"] == "passed"] or self.candidates
        row = passed[(number * 7) % len(passed)]
        begun = OPEN_US + round(number * (NOW_US - OPEN_US) / (of + 1))
        is_open = number > of - 2
        quantity, entry = r.randrange(10, 300), row["price"]
        end = None if is_open else min(NOW_US, begun + r.randrange(30, 1700) * SECOND)
        result = 0.0 if is_open else r.choices((0.03, -0.02, r.gauss(0.001, 0.006)), (2, 3, 6))[0]
        leave = 0 if is_open else round(entry * (1 + row["side"] * result) / 5) * 5
        gross = 0 if is_open else (leave - entry) * quantity * row["side"]
        charges = round(entry * quantity * 0.0004) + 4000
        why = "" if is_open else "target" if result == 0.03 else "stop" if result == -0.02 else "time"
        return {
            "n": number,
            "inst": row["inst"],
            "symbol": row["symbol"],
            "source": row["source"],
            "candidate": row["id"],
            "side": row["side"],
            "quantity": quantity,
            "entered_us": begun,
            "exited_us": end,
            "entry": entry,
            "exit": leave,
            "gross": gross,
            "charges": charges,
            "net": gross - charges,
            "exit_why": why,
            "strength": row["strength"],
            "score": row["score"],
            "tags": [],
            "stop": round(entry * (1 - 0.02 * row["side"])),
            "target": round(entry * (1 + 0.04 * row["side"])),
        }

    def _orders(self, trade: dict[str, Any]) -> list[dict[str, Any]]:
        number = trade["n"] * 2 - 1
        common = {
            "inst": trade["inst"],
            "symbol": trade["symbol"],
            "candidate": trade["candidate"],
            "source": trade["source"],
            "quantity": trade["quantity"],
        }
        entry = {
            "id": number,
            "t_us": trade["entered_us"],
            "role": "entry",
            "side": trade["side"],
            "type": "LIMIT",
            "why": "enter",
            "price": trade["entry"],
            "trigger": 0,
            "filled": trade["quantity"],
            "average": trade["entry"],
            "status": "complete",
            "order_id": f"2611280000{number:04d}",
            "latency_ms": round(self.random.uniform(18, 60), 1),
        }
        done = trade["exited_us"] is not None
        leave = {
            "id": number + 1,
            "t_us": trade["exited_us"] or trade["entered_us"] + SECOND,
            "role": "exit",
            "side": -trade["side"],
            "type": "LIMIT" if done else "SL",
            "why": trade["exit_why"] or "protect",
            "price": trade["exit"] or trade["stop"],
            "trigger": 0 if done else trade["stop"],
            "filled": trade["quantity"] if done else 0,
            "average": trade["exit"],
            "status": "complete" if done else "trigger pending",
            "order_id": f"2611280000{number + 1:04d}",
            "latency_ms": round(self.random.uniform(18, 60), 1),
        }
        return [common | entry, common | leave]

    def _position(self, trade: dict[str, Any]) -> dict[str, Any]:
        price = self.price[trade["inst"]]
        ltp = round(price * (1 + self.random.gauss(0, 0.004)) / 5) * 5
        quantity = trade["quantity"] * trade["side"]
        return {
            "inst": trade["inst"],
            "symbol": trade["symbol"],
            "source": trade["source"],
            "state": "protected",
            "quantity": quantity,
            "average": trade["entry"],
            "ltp": ltp,
            "open": (ltp - trade["entry"]) * quantity,
            "realised": 0,
            "charges": trade["charges"],
            "stop": trade["stop"],
            "target": trade["target"],
            "candidate": trade["candidate"],
            "entered_us": trade["entered_us"],
            "hold_until_us": trade["entered_us"] + 1800 * SECOND,
        }

    def candles(self, inst: int, tf: int, until_us: int) -> dict[str, Any]:
        """Bars of one instrument that end at its price now; the same at every call."""
        r = random.Random(inst * 100 + tf)
        step = tf * 60
        days = (until_us - OPEN_US) // (86_400 * SECOND)  # an earlier day has its own
        begin = OPEN_US // SECOND + days * 86_400
        n = max(1, (until_us // SECOND - begin) // step + 1)
        prices = [float(self.price[inst])]
        for _ in range(n):
            prices.append(prices[-1] * (1 + r.gauss(0, 0.0007 * math.sqrt(tf))))
        prices.reverse()
        out: dict[str, list[int]] = {name: [] for name in ("t", "o", "h", "l", "c", "v", "flags")}
        for k in range(n):
            a, b = prices[k], prices[k + 1]
            high, low = max(a, b) * (1 + abs(r.gauss(0, 0.0004))), min(a, b) * (1 - abs(r.gauss(0, 0.0004)))
            for name, value in zip(out, (begin + k * step, a, high, low, b, r.randrange(500, 30_000) * tf, 0), strict=True):
                out[name].append(round(value))
        return {**out, "closed": n - 1}

    def tick(self, share: float, seconds: float) -> list[int]:
        """Moves `share` of the instruments one step; their numbers."""
        r = self.random
        self.now_us += round(seconds * SECOND)
        moved = r.sample(range(self.count), max(1, int(self.count * share)))
        for i in moved:
            self.price[i] = max(5, self.price[i] + r.choice((-10, -5, -5, 0, 5, 5, 10)))
            self.minute_volume[i] = self.minute_volume[i] + r.randrange(0, 200) if r.random() > 0.002 else 0
            self.flags[i] &= ~6 if r.random() < 0.02 else 63
        return moved

    def next_candidate(self) -> dict[str, Any]:
        """A new one, as if it had come now."""
        row = self._candidate(len(self.candidates) + 1, self.now_us)
        self.candidates.append(row)
        self.flags[row["inst"]] |= 2 | (4 if row["verdict"] == "passed" else 0)
        if row["score"] is not None:
            self.score[row["inst"]] = round(row["score"] * 200)
        return row
