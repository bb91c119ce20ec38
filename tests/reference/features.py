"""Plain-Python twin of the features of the last minute of a name's ring, written from their descriptions (features.pyx)."""
import math
from itertools import pairwise


def clip(x, low, high):
    return x if math.isnan(x) else max(low, min(high, x))


def lean(a, b):
    return (a - b) / (a + b) if a + b > 0 else math.nan


def ring_features(ticks, row, direction, flags):
    """`ticks`: oldest first, the last one is now; `row`: the market's row; `flags`: TickFlag bits by name."""
    now, s1m = ticks[-1], max(row["s1m"], 1e-7)
    minute = [t for t in ticks if now["now"] - t["now"] <= 60_000_000_000]
    for k in range(len(minute) - 1, -1, -1):           # nothing is computed across a gap
        if minute[k]["flags"] & flags["AFTER_GAP"]:
            minute = minute[k:]
            break
    prices = [int(t["ltp"]) for t in minute if t["ltp"] > 0]
    books = [t for t in minute if t["bid"] > 0 and t["ask"] > 0]
    steps = [abs(math.log(b / a)) for a, b in pairwise(prices)]
    move = math.log(now["ltp"] / prices[0])
    mid = [0.5 * (int(t["bid"]) + int(t["ask"])) for t in books]
    whole = now["bid"] > 0 and now["ask"] > 0
    mid_move = math.log(mid[-1] / mid[0]) if whole and books else math.nan
    volumes = [int(t["volume"]) for t in minute if t["volume"] > 0]
    ahead = sum(int(t["volume"]) for t in minute if t["volume"] > 0 and t["ask"] > 0 and t["ltp"] >= t["ask"])
    behind = sum(int(t["volume"]) for t in minute if t["volume"] > 0 and 0 < t["ltp"] <= t["bid"] and not 0 < t["ask"] <= t["ltp"])
    flow = ahead - behind
    gaps = [int(b["now"] - a["now"]) for a, b in pairwise(minute)]
    changed = [t for t in minute if t["flags"] & flags["BOOK"]]
    beyond = 0.0
    if row["ask"] > 0 and now["ltp"] > row["ask"]:
        beyond = now["ltp"] / row["ask"] - 1
    elif row["bid"] > 0 and now["ltp"] < row["bid"]:
        beyond = 1 - now["ltp"] / row["bid"]
    spreads = [int(t["ask"] - t["bid"]) for t in books]
    before = [int(t["ask"] - t["bid"]) for t in books if now["now"] - t["now"] > 30_000_000_000]
    touch = [min(int(t["bid_q"]), int(t["ask_q"])) for t in books]
    half = 0.5 * (row["last_close"] + row["ltp"])
    return {
        "mid_move_s1m": clip(direction * mid_move / s1m, -50, 50),
        "mid_over_ltp": clip(mid_move / move, -2, 2) if abs(move) > 1e-9 else math.nan if math.isnan(mid_move) else 0.0,
        "largest_step": clip(max(steps, default=0) / abs(move), 0, 2) if abs(move) > 1e-9 else 2.0,
        "spread_ratio": (row["ask"] - row["bid"]) * len(spreads) / sum(spreads) if whole and sum(spreads) > 0 else math.nan,
        "outside_book_s1m": clip(beyond / s1m, 0, 50) if row["bid"] > 0 or row["ask"] > 0 else math.nan,
        "held_updates": sum(1 for t in minute if t["flags"] & flags["TRADED"] and now["now"] - t["now"] <= 10_000_000_000
                            and direction * (int(t["ltp"]) - half) >= 0),
        "longest_gap_s": max(gaps, default=0) / 1e9,
        "last_volume": int(now["volume"]) / row["expected"] if row["expected"] > 0 else 0.0,
        "spread_bp": (row["ask"] - row["bid"]) / mid[-1] * 1e4 if whole else math.nan,
        "imbalance": direction * lean(row["bid_q"], row["ask_q"]),
        "updates": len(minute), "repeats": sum(1 for t in minute if t["flags"] & flags["REPEAT"]) / len(minute),
        "realised": math.sqrt(sum(s * s for s in steps)) / s1m,
        "flow": direction * flow / sum(volumes) if volumes and books else math.nan,
        "largest_volume": max(volumes) / sum(volumes) if volumes else math.nan,
        "spread_ticks": (row["ask"] - row["bid"]) / row["tick"] if whole else math.nan,
        "thin_touch": min(row["bid_q"], row["ask_q"]) * len(touch) / sum(touch) if whole and sum(touch) > 0 else math.nan,
        "depth_imbalance": direction * lean(row["bid_depth"], row["ask_depth"]),
        "imbalance_change": direction * (lean(row["bid_q"], row["ask_q"]) - lean(int(books[0]["bid_q"]), int(books[0]["ask_q"])))
        if books else math.nan,
        "book_age_s": min((int(now["now"] - t["now"]) for t in changed), default=60_000_000_000) / 1e9,
        "spread_s1m": clip((row["ask"] - row["bid"]) / mid[-1] / s1m, 0, 50) if whole else math.nan,
        "spread_before": (row["ask"] - row["bid"]) * len(before) / sum(before) if whole and sum(before) > 0 else
        (row["ask"] - row["bid"]) * len(spreads) / sum(spreads) if whole and sum(spreads) > 0 else math.nan,
        "directness": clip(abs(move) / sum(steps), 0, 1) if sum(steps) > 0 else 0.0,
    }
