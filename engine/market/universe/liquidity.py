"""How liquid each stock is among the others of its universe."""
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from _ext.core.clock import day_of_minutes
from engine.market.universe.terms import Universe


@dataclass(frozen=True, slots=True)
class Turnover:
    """What a name trades; NaN where it is not known."""
    value: float = math.nan          # rupees a day, mean of the sessions at hand (20 where history has them)
    open_interest: float = math.nan  # of its near future, rupees
    spread_bp: float = math.nan


def liquidity(names: Mapping[str, Turnover]) -> dict[str, float]:
    """Score of each name, 0 (least) to 1: weighted mean of its ranks among all names, 0.5 turnover, 0.3 open interest, 0.2
    narrowness of the spread. A part that is unknown of a name is left out of its mean; all unknown is NaN, taken last."""
    ranks = [(0.5, _rank({n: t.value for n, t in names.items()})), (0.3, _rank({n: t.open_interest for n, t in names.items()})),
             (0.2, _rank({n: -t.spread_bp for n, t in names.items()}))]
    out = {}
    for name in names:
        parts = [(weight, rank[name]) for weight, rank in ranks if name in rank]
        out[name] = sum(w * r for w, r in parts) / sum(w for w, _ in parts) if parts else math.nan
    return out


def _rank(values: Mapping[str, float]) -> dict[str, float]:
    """Share of the other known names that are below; ties share their mean."""
    known = sorted((v, n) for n, v in values.items() if not math.isnan(v))
    out: dict[str, float] = {}
    edges = [0, *(i for i, ((a, _), (b, _)) in enumerate(pairwise(known), 1) if a != b), len(known)]
    for begin, end in pairwise(edges):
        for _, name in known[begin:end]:
            out[name] = (begin + end - 1) / 2 / max(len(known) - 1, 1)
    return out


def turnover_of(quote: Mapping[str, Any], future: Mapping[str, Any], usual: float = math.nan) -> Turnover:
    """What the broker's quotes of a share and its near future say: the spread now, open interest (in shares) at the future's price,
    and today's turnover unless the `usual` of the last sessions is known."""
    depth = quote.get("depth") or {}
    bid, ask = (float((depth.get(side) or [{}])[0].get("price") or 0) for side in ("buy", "sell"))
    value = float(quote.get("volume") or 0) * float(quote.get("average_price") or quote.get("last_price") or 0)
    interest = float(future.get("oi") or 0) * float(future.get("last_price") or 0)
    return Turnover(usual if not math.isnan(usual) else value if value > 0 else math.nan, interest if interest > 0 else math.nan,
                    2e4 * (ask - bid) / (ask + bid) if 0 < bid < ask else math.nan)


def turnover_of_bars(bars: np.ndarray, sessions: int = 20) -> Turnover:
    """Mean daily turnover of the last `sessions` days of WARM_BAR rows."""
    days, at = np.unique(day_of_minutes(bars["minute"]), return_inverse=True)
    if not len(days):
        return Turnover()
    value = np.bincount(at, bars["close"].astype(float) * bars["volume"] / 100)
    return Turnover(float(value[-sessions:].mean()))


def with_liquidity(universe: Universe, names: Mapping[str, Turnover]) -> Universe:
    scores = liquidity(names)
    return replace(universe, stocks={n: replace(s, liquidity=scores.get(n, math.nan)) for n, s in universe.stocks.items()})
