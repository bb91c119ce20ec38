"""What a share's price did between two sessions, and whether shares were added: nothing, a dividend, a split or bonus, a demerger,
or what nobody explains.

The ratio of two closes alone cannot tell a demerger from a split: SIEMENS opened at 0.497 of its close on 2025-04-07, and no share
was added. What else is known decides: the broker's candles adjusted since, and the lots of contracts that kept their keys.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

BONUSES = ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 10), (1, 20), (3, 2), (2, 3), (2, 5), (3, 5))
"""Shares given for shares held."""
FACES = (2, 5, 10, 20, 50, 100)
"""Shares that one becomes where its face value is split."""
RATIOS = tuple(sorted({float(Fraction(held, held + given)) for given, held in BONUSES} | {1 / n for n in FACES} | set(
    map(float, FACES))))
"""What a price becomes in the usual splits, bonuses and (above 1) consolidations: 1/2, 10/11, 1/5, 10."""
NOTHING, ORDINARY, EXACT, ALIKE = 0.005, 0.08, 0.001, 0.02
"""A night within `NOTHING` is noise of the last minute's close; within `ORDINARY` a dividend or a small right. A ratio alone speaks
for a split or bonus where it fits one within `EXACT`; with a second witness, two agree within `ALIKE`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What else is known of a night; NaN where it is not. `prices`, `volumes`: the broker's candles of sessions before it by what
    was kept of the same sessions; `lots`: the lot of a contract that kept its key by what it was."""
    prices: float = math.nan
    volumes: float = math.nan
    lots: float = math.nan


UNSEEN = Seen()


def overnight(last_close: float, previous_close: float, seen: Seen = UNSEEN) -> tuple[float, str]:
    """(factor, reason) of a night: `last_close` is history's, `previous_close` the exchange's of this morning, adjusted for what
    happened. The factor takes history's prices to today's scale, 1.0 when nothing happened; a reason means that it is not
    explained and the name is to be left alone for the day."""
    ratio = _ratio(last_close, previous_close)
    if abs(ratio - 1) <= ORDINARY:
        return ratio, ""
    if shares_added(last_close, previous_close, seen) != 1.0 or (_alike(seen.volumes, 1.0) and _alike(seen.prices, ratio)):
        return seen.prices if _alike(seen.prices, ratio) else ratio, ""        # or a demerger: the same shares at another price
    return 1.0, f"its close of yesterday is {ratio:.3f} of what history says, and nothing tells a split from a demerger"


def shares_added(last_close: float, previous_close: float, seen: Seen = UNSEEN) -> float:
    """What the number of shares was multiplied by overnight; 1.0 where none were added, or nothing tells. History's volumes are of
    so many shares less than today's: they are multiplied by it."""
    ratio = _ratio(last_close, previous_close)
    if ratio == 1.0:
        return 1.0
    if _is_known(seen.prices) and not _alike(seen.prices, 1.0):      # the broker has adjusted its candles: their volumes say why
        is_added = _alike(seen.prices, ratio) and _alike(seen.volumes * seen.prices, 1.0) and not _alike(seen.volumes, 1.0)
        return seen.volumes if is_added else 1.0
    if _is_known(seen.lots) and not _alike(seen.lots, 1.0):
        return 1 / ratio if _alike(seen.lots * ratio, 1.0) else 1.0
    nearest = min(RATIOS, key=lambda r: abs(math.log(ratio / r)))
    return 1 / ratio if abs(math.log(ratio / nearest)) <= EXACT else 1.0


def _ratio(last_close: float, previous_close: float) -> float:
    """What the night made of the price; 1.0 where nothing happened or a close is not known."""
    ratio = previous_close / last_close if last_close > 0 and previous_close > 0 else 1.0
    return ratio if abs(ratio - 1) > NOTHING else 1.0


def _is_known(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _alike(a: float, b: float) -> bool:
    return _is_known(a) and _is_known(b) and abs(math.log(a / b)) <= ALIKE


def witnessed(kept: np.ndarray, adjusted: np.ndarray) -> Seen:
    """What the broker's candles of now say of bars `kept` earlier, both WARM_BAR rows of one name: the medians over the minutes
    that are in both. NaN where fewer than twenty are."""
    _, mine, theirs = np.intersect1d(kept["minute"], adjusted["minute"], return_indices=True)
    old, new = kept[mine], adjusted[theirs]
    use = (old["close"] > 0) & (new["close"] > 0) & (old["volume"] > 0) & (new["volume"] > 0)
    if use.sum() < 20:
        return UNSEEN
    return Seen(*(float(np.median(new[name][use] / old[name][use])) for name in ("close", "volume")))


def lots_by(changes: Sequence[tuple[str, str]]) -> float:
    """Ratio of the lots (was, now) of a name's contracts that kept their keys, NaN where they do not agree."""
    ratios = {float(now) / float(was) for was, now in changes if float(was) > 0}
    return ratios.pop() if len(ratios) == 1 else math.nan
