"""What a share's price did between two sessions: nothing, a split, or what nobody explains."""
import math

RATIOS = tuple(sorted({a / b for a in range(1, 11) for b in range(1, 11) if a < b} | {1 / 20, 1 / 50, 1 / 100}))
"""What a share becomes in a split or bonus: 1/2, 1/5, 2/3 of the price before."""


def overnight(last_close: float, previous_close: float) -> tuple[float, str]:
    """(factor, reason) of a night: `last_close` is history's, `previous_close` the exchange's of this morning, adjusted for what
    happened. The factor takes history to today's scale, 1.0 when nothing happened; a reason means it is not explained
    (a jump over 8 % that no split or bonus makes) and the name is to be left alone for the day."""
    if not (last_close > 0 and previous_close > 0):
        return 1.0, ""
    ratio = previous_close / last_close
    if abs(ratio - 1) <= 0.08:
        return ratio if abs(ratio - 1) > 0.005 else 1.0, ""
    nearest = min((*RATIOS, *(1 / r for r in RATIOS)), key=lambda r: abs(math.log(ratio / r)))
    if abs(math.log(ratio / nearest)) < 0.005:
        return ratio, ""
    return 1.0, f"its close of yesterday is {ratio:.3f} of what history says, which no split explains"
