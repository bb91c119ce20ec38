"""The documents of the API of `watch` over a Market of page_market, for the page's tests."""

import math
from typing import Any

from tests.watch.page_market import FEATURES, MINUTE, OPEN_US, REASONS, SECOND, Market

LIMITS = (
    ("max_positions", "positions and working entries at once", "count", 2, 3),
    ("daily_loss", "of equity, at which entries end", "share", 0.0031, 0.02),
    ("leverage", "of equity all positions together may take", "x", 0.09, 1.5),
    ("notional", "of equity one position may take", "share", 0.048, 0.05),
    ("orders_per_minute", "entry orders a minute", "count", 10, 10),
    ("orders_per_hour", "entry orders an hour", "count", 21, 60),
    ("orders_per_day", "entry orders a day", "count", 36, 200),
    ("sector_exposure", "of equity in one sector", "share", 0.048, 0.1),
    ("order_value", "largest single entry", "rupees", 48_712.5, 1_000_000),
    ("losing_streak", "losing trades in a row that pause entries", "count", 1, 5),
    ("drawdown", "of equity below the day's best at which entries end", "share", 0.0052, 0.02),
)
BUDGETS = (("requests a second", 1, 8, 4), ("requests a minute", 14, 400, 60), ("requests in 30 minutes", 212, 1800, 200))
STAGES = {"decoded": 180, "scored": 9_000, "decided": 14_000, "done": 61_000, "order": 31_000_000}
SHA = ("9f2c41d07a88e3b5", "41aa09be77d2c6f0", "c0ffee1234567890")


def instruments(m: Market) -> dict[str, Any]:
    n = m.count
    return {
        "symbol": m.symbols,
        "key": [f"NSE_EQ|{i:06d}" for i in range(n)],
        "kind": m.kind,
        "sector": m.sector,
        "tick": [5] * n,
        "lot": [1] * n,
        "lower_band": [p * 9 // 10 for p in m.previous],
        "upper_band": [p * 11 // 10 for p in m.previous],
        "under": m.under,
        "strike": m.strike,
        "right": m.right,
        "expiry": m.expiry,
        "tradable": [True] * n,
        "previous_close": m.previous,
    }


def money(m: Market) -> dict[str, int]:
    realised = sum(t["gross"] for t in m.trades)
    charges, opened = sum(t["charges"] for t in m.trades), sum(p["open"] for p in m.positions)
    equity = 100_000_000 + realised + opened - charges
    exposure = sum(abs(p["quantity"]) * p["ltp"] for p in m.positions)
    return {
        "equity": equity,
        "available": equity - exposure // 5,
        "realised": realised,
        "charges": charges,
        "open": opened,
        "exposure": exposure,
        "best": max(equity - 100_000_000, 6_200_000),
    }


def counts(m: Market) -> dict[str, int]:
    at = (m.now_us - OPEN_US) // SECOND
    return {
        "updates": at * 190,
        "frames": at * 9,
        "rejected": 0,
        "unknown": 3,
        "candidates": len(m.candidates),
        "signals": sum(row["verdict"] == "passed" for row in m.candidates),
        "orders": len(m.orders),
        "requests": len(m.orders) + 9,
        "gaps": 41,
        "late": 12,
        "repeats": at * 31,
        "records": at * 23,
    }


def pulse(m: Market, operator: str = "RUN") -> dict[str, Any]:
    return {
        "now_us": m.now_us,
        "wall_us": m.now_us,
        "state": {"trading": "RUNNING", "operator": operator, "feed_up": True, "orders_up": True},
        "counts": counts(m),
        "money": money(m),
        "limits": limits(),
        "budgets": budgets(),
        "positions": m.positions,
        "alerts": 2,
        "updates_per_s": 1904,
        "tick_us": {"p50": 0.42, "p99": 2.9, "p999": 9.8, "max": 61.0},
        "order_ms": {"p50": 31.2, "max": 88.0},
        "troubles": [],
        "speed": 10.0,
        "stored": 1_204_511,
    }


def limits() -> list[dict[str, Any]]:
    return [{"name": n, "words": w, "unit": u, "value": v, "limit": x, "used": v / x} for n, w, u, v, x in LIMITS]


def budgets() -> list[dict[str, Any]]:
    return [{"name": n, "used": u, "limit": x, "reserve": r} for n, u, x, r in BUDGETS]


def moment(m: Market, at: int | None, operator: str = "RUN") -> dict[str, Any]:
    now = at or m.now_us
    rows = [row for row in m.candidates if row["t_us"] <= now]
    n, back = m.count, (m.now_us - now) / (3600 * SECOND)
    price = [round(p * (1 + 0.004 * back * math.sin(i))) // 5 * 5 for i, p in enumerate(m.price)]
    said = pulse(m, operator)
    return {
        "now_us": now,
        "sequence": now // SECOND % 10**7,
        "run": "run-28",
        "is_live": at is None,
        **{name: said[name] for name in ("state", "counts", "money", "limits", "budgets")},
        "positions": [p for p in m.positions if p["entered_us"] <= now],
        "by_source": [
            {"source": "spike", "realised": 412_300, "open": 21_050, "charges": 98_100, "trades": 25, "wins": 13, "is_on": True},
            {"source": "cross", "realised": -88_400, "open": 0, "charges": 41_000, "trades": 11, "wins": 4, "is_on": False},
        ],
        "quotes": {
            "ltp": price,
            "bid": [p - 5 for p in price],
            "ask": [p + 5 for p in price],
            "bid_q": [100] * n,
            "ask_q": [120] * n,
            "volume": [v * 130 for v in m.minute_volume],
            "minute_volume": m.minute_volume,
            "expected": m.expected,
            "move": [p / q - 1 for p, q in zip(price, m.previous, strict=True)],
            "iv": [None] * n,
            "seen_us": [now] * n,
            "traded_us": [now] * n,
        },
        "candidates": {"total": len(rows), "passed": sum(row["verdict"] == "passed" for row in rows), "last": rows[:-51:-1]},
        "orders": [row for row in m.orders if row["t_us"] <= now][:-101:-1],
        "alarms": {"STALE_QUOTE": 4, "UNREADABLE_ANSWER": 1},
        "troubles": [],
        "reducing": [],
        "gaps": {"total": 41, "by_kind": {"silence": 30, "jump": 9, "pause": 2}},
        "stopped": {"cross": "an error in on_bar"},
        "models": {"active": SHA[0], "b": "", "shadows": [SHA[1]]},
    }


def candidate(m: Market, number: int, notes: list[dict[str, Any]]) -> dict[str, Any]:
    row = m.candidates[number - 1]
    seen = []
    for k, name in enumerate(FEATURES):
        low, high = -1.0 - k / 9, 2.0 + k / 3
        value = low + (high - low) * ((number * 37 + k * 53) % 130 - 15) / 100
        seen.append(
            {
                "feature": name,
                "value": value,
                "low": low,
                "middle": (low + high) / 2.4,
                "high": high,
                "is_outside": not low <= value <= high,
                "beyond": max(low - value, value - high) / (high - low),
            }
        )
    said = {
        "by": "rules",
        "reason": row["reason"],
        "said": "no",
        "measured": row["measured"],
        "limit": row["limit"],
        "setting": "signals.noise",
        "unit": "share",
        "words": REASONS.get(row["reason"], ""),
    }
    rules = [said] if row["reason"] else [said | {"reason": "pass", "said": "yes", "measured": None, "limit": None, "setting": ""}]
    t = row["t_us"]
    chain = [
        {"t_us": t, "kind": "candidate", "text": f"strength {row['strength']:.2f}, volume x{row['volume_ratio']:.1f}"},
        {"t_us": t + SECOND, "kind": "verdict", "text": row["verdict"] + (f": {row['reason']}" if row["reason"] else "")},
    ]
    if row["verdict"] == "passed":
        chain += [
            {"t_us": t + SECOND, "kind": "gate", "text": "pass, 120 at 1,204.50"},
            {"t_us": t + SECOND, "kind": "intent", "text": "place entry BUY 120 LIMIT 1,204.50"},
            {"t_us": t + SECOND + 31_000, "kind": "reply", "text": "accepted in 31 ms"},
            {"t_us": t + 2 * SECOND, "kind": "fill", "text": "bought 120 at 1,204.35"},
        ]
    return {
        "row": row,
        "statistics": {
            "z20": 3.1,
            "z50": 2.7,
            "s1m": 0.00061,
            "expected": 18_211.0,
            "last_close": row["price"] - 400,
            "level": 1,
            "quality": 50,
        },
        "own": {"roc (%)": 1.84},
        "verdict": row["verdict"],
        "refused_by": said if row["reason"] else None,
        "waited_updates": 1,
        "decided_us": t + SECOND,
        "score": row["score"],
        "score_next": row["score"],
        "threshold": 0.7,
        "model": SHA[0],
        "note": "",
        "filter": sorted(seen, key=lambda one: -one["beyond"]),
        "shadows": [{"model": SHA[1], "score": 0.41}],
        "stages_ns": {"decoded": 210, "scored": 7_900, "decided": 12_400, "done": 58_000},
        "chain": chain,
        "rules": rules,
        "notes": notes,
    }


def marks(m: Market, inst: int, until_us: int) -> dict[str, Any]:
    fills, levels = [], []
    for t in m.trades:
        if t["inst"] != inst or t["entered_us"] > until_us:
            continue
        common = {"quantity": t["quantity"], "candidate": t["candidate"]}
        fills.append(
            common
            | {
                "t_us": t["entered_us"],
                "side": t["side"],
                "role": "entry",
                "price": t["entry"],
                "intent": t["n"] * 2 - 1,
                "why": "enter",
            }
        )
        if t["exited_us"]:
            fills.append(
                common
                | {
                    "t_us": t["exited_us"],
                    "side": -t["side"],
                    "role": "exit",
                    "price": t["exit"],
                    "intent": t["n"] * 2,
                    "why": t["exit_why"],
                }
            )
        levels.append(
            {
                "t_us": t["entered_us"],
                "until_us": t["exited_us"],
                "stop": t["stop"],
                "target": t["target"],
                "average": t["entry"],
                "quantity": t["quantity"] * t["side"],
                "state": "protected",
            }
        )
    return {
        "candidates": [row for row in m.candidates if row["inst"] == inst and row["t_us"] <= until_us],
        "fills": fills,
        "levels": levels,
    }


def equity(m: Market, until_us: int) -> dict[str, Any]:
    times = list(range(OPEN_US, until_us + 1, MINUTE))
    realised, charges, opened = [], [], []
    for k, t in enumerate(times):
        done = [one for one in m.trades if one["exited_us"] and one["exited_us"] <= t]
        realised.append(sum(one["gross"] for one in done))
        charges.append(sum(one["charges"] for one in done))
        opened.append(round(60_000 * math.sin(k / 7)))
    net = [a + b - c for a, b, c in zip(realised, opened, charges, strict=True)]
    best, drawdown = -(10**12), []
    for value in net:
        best = max(best, value)
        drawdown.append(best - value)
    return {"t_us": times, "realised": realised, "open": opened, "charges": charges, "net": net, "drawdown": drawdown}


def latency() -> dict[str, Any]:
    out = {}
    for name, middle in STAGES.items():
        edges = [round(middle / 8 * 1.25**k) for k in range(32)]
        counts_ = [round(4000 * math.exp(-(((k - 9) / 2.6) ** 2))) + (2 if k % 5 == 0 and k < 29 else 0) for k in range(32)]
        out[name] = {"edges_ns": edges, "counts": counts_, "p50": edges[9], "p99": edges[15], "p999": edges[22], "max": edges[29]}
    return {"stages": out}


def option_chain(m: Market, symbol: str) -> dict[str, Any]:
    under = m.symbols.index(symbol)
    mine = [i for i in range(m.count) if m.under[i] == under]
    expiries = sorted({m.expiry[i] for i in mine})
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for i in mine:
        away = (m.strike[i] - m.price[under]) / m.price[under]
        delta = 1 / (1 + math.exp(away * 40))
        leg = {
            "inst": i,
            "ltp": m.price[i],
            "bid": m.price[i] - 5,
            "ask": m.price[i] + 5,
            "oi": 120_000 + 900 * i,
            "iv": 0.21 + away * away * 4,
            "delta": delta if m.right[i] > 0 else delta - 1,
            "gamma": 0.0041,
            "theta": -1.31,
            "vega": 2.2,
            "rho": 0.41,
            "volume": 900 * (i % 40),
        }
        rows.setdefault((m.expiry[i], m.strike[i]), {"expiry": m.expiry[i], "strike": m.strike[i], "call": None, "put": None})[
            "call" if m.right[i] > 0 else "put"
        ] = leg
    return {
        "symbol": symbol,
        "spot": m.price[under],
        "atm_iv": 0.213,
        "pcr": 0.82,
        "expiries": expiries,
        "rows": [rows[place] for place in sorted(rows)],
    }
