"""Documents of `watch` that are about more than the moment, for the page's tests: models, runs, results, log, alerts."""
import time
from typing import Any

from tests.watch.page_documents import SHA
from tests.watch.page_market import FEATURES, NOW_US, OPEN_US, SECOND, Market


def models() -> dict[str, Any]:
    return {
        "known": [
            {"model": sha, "role": role, "features": 22, "threshold": 0.7, "learned from": {"days": 40}, "removed": {"spike": 0.98}}
            for sha, role in zip(SHA, ("active", "shadow", ""), strict=True)
        ],
        "problem": None,
        "drift": {
            "enough": True,
            "psi": {name: ((k * 29) % 31) / 100 for k, name in enumerate(FEATURES)},
            "drifted": [FEATURES[16], FEATURES[1]],
        },
    }


def runs(m: Market) -> list[dict[str, Any]]:
    out = [
        {
            "name": "run-28",
            "kind": "paper",
            "day": "2026-11-28",
            "began_us": OPEN_US,
            "is_running": True,
            "trades": len(m.trades),
            "net": 184_300,
            "candidates": len(m.candidates),
            "passed": 40,
            "updates": 1_900_000,
            "problem": None,
        }
    ]
    for k in range(12):
        kind = ("paper", "backtest", "whatif", "run")[k % 4]
        out.append(
            {
                "name": f"{kind}-{27 - k}",
                "kind": kind,
                "day": f"2026-11-{27 - k:02d}",
                "began_us": OPEN_US - (k + 1) * 86_400 * SECOND,
                "is_running": False,
                "trades": 20 + k,
                "net": (k * 7919 % 900 - 420) * 1000,
                "candidates": 600 + k,
                "passed": 31 + k,
                "updates": 1_500_000 + k,
                "problem": "its journal ends in the middle of a record" if k == 5 else None,
            }
        )
    return out


def backtest(m: Market) -> dict[str, Any]:
    r, many = m.random, []
    for k in range(300):
        base = m.trades[k % max(1, len(m.trades) - 2)]
        day_us = OPEN_US - (k * 26 // 24 + 3) * 86_400 * SECOND
        at = day_us + r.randrange(0, 5 * 3600) * SECOND
        many.append(
            {
                "day": time.strftime("%Y-%m-%d", time.gmtime(at / SECOND)),
                **{name: base[name] for name in ("symbol", "source", "candidate", "side", "quantity", "strength", "score")},
                "entry_time": at * 1000,
                "exit_time": (at + r.randrange(20, 1800) * SECOND) * 1000,
                "gross": round(r.gauss(40, 900), 2),
                "charges": 90.0,
                "entry_price": base["entry"] / 100,
                "exit_price": base["exit"] / 100,
                "reason": base["exit_why"],
                "stop": base["stop"] / 100,
                "target": base["target"] / 100,
            }
        )
    return {
        "name": "backtest-26",
        "first": "2026-01-28",
        "last": "2026-11-25",
        "rows": 1_900_000,
        "is_whole": True,
        "problem": None,
        "result": {
            "days": 240,
            "trades": 300,
            "gross": 12_000.0,
            "charges": 27_000.0,
            "net": -15_000.0,
            "win_rate": 0.47,
            "sharpe": -0.31,
            "max_drawdown": 0.041,
        },
        "columns": {name: [row[name] for row in many] for name in many[0]},
    }


def whatif() -> dict[str, Any]:
    before = {"run_dir": "before", "candidates": 620, "signals": 31, "trades": 21, "wins": 9, "charges": 1_920.0, "net": -1_240.5}
    return {
        "name": "whatif-25",
        "changes": ["risk.stop=0.01"],
        "day": "2026-11-25",
        "before": before,
        "after": before | {"trades": 24, "net": 310.25},
        "net": 1_550.75,
        "differences": [
            {
                "time": "10:14:03",
                "symbol": "TCS",
                "source": "spike",
                "move": "up",
                "before": None,
                "after": None,
                "rule": "the stop came earlier",
                "net": 812.5,
            }
        ],
    }


def compare() -> dict[str, Any]:
    days = [f"2026-11-{d:02d}" for d in range(9, 28)]
    return {
        "a": {"name": "a", "result": {"net": 1843.0, "trades": 36, "win_rate": 0.47}, "counts": {"candidates": 600}},
        "b": {"name": "b", "result": {"net": -912.5, "trades": 31, "win_rate": 0.41}, "counts": {"candidates": 588}},
        "daily": {
            "day": days,
            "a": [float(d * 7919 % 900 - 420) for d in range(19)],
            "b": [None if d == 4 else float(d * 6007 % 800 - 390) for d in range(19)],
        },
    }


def log(m: Market) -> list[dict[str, Any]]:
    kinds = (
        (
            "signals",
            "candidate",
            "RELIANCE     up    1304.50  strength 0.71  volume x4.1  move +3.2 sd  score 0.31  refused: noise",
        ),
        ("trading", "fill", "TCS          FILL bought 32 at 3011.20, charges 31.40"),
        ("feed", "gap", "ITC          silence (12.1, 12.1 s from 10:01:12)"),
        ("errors", "alarm", "ALARM: stale quote (1)"),
    )
    return [
        {
            "seq": k + 1,
            "t_us": OPEN_US + k * 9 * SECOND,
            "kind": kinds[k % 7 % 4][0],
            "name": kinds[k % 7 % 4][1],
            "text": kinds[k % 7 % 4][2],
        }
        for k in range((NOW_US - OPEN_US) // (9 * SECOND))
    ]


def alerts() -> list[dict[str, Any]]:
    return [
        {
            "id": 3,
            "name": "Daily loss over 1 %",
            "severity": "critical",
            "text": "the day stands at -1.04 % of equity",
            "since_us": NOW_US - 90 * SECOND,
            "until_us": None,
            "acknowledged_by": None,
            "count": 1,
        },
        {
            "id": 2,
            "name": "Unusual rejections",
            "severity": "warning",
            "text": "9 of the last 20 orders were refused by the broker",
            "since_us": NOW_US - 900 * SECOND,
            "until_us": None,
            "acknowledged_by": None,
            "count": 3,
        },
        {
            "id": 1,
            "name": "Feed",
            "severity": "info",
            "text": "the feed was down for 4 s",
            "since_us": OPEN_US + 600 * SECOND,
            "until_us": OPEN_US + 604 * SECOND,
            "acknowledged_by": "asha",
            "count": 1,
        },
    ]
