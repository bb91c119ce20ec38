"""Thresholds another value of which the labelled candidates speak for. Nothing is applied: a person reads it and decides.

The label: a minute after the candidate's last trade a quarter of its minute's move is still there (engine/watch/drift.py says the
same of the tables). It says that activity went on, and nothing of profit.

For each other value of a threshold the candidates that would change sides are held against those that pass either way. A looser one
is right where those it lets in stay more often than those that pass, a tighter one where those it keeps out stay less often. The
difference has an interval by bootstrap over half hours, since candidates of one half hour share its market, and as wide as the
number of values that were tried demands (Bonferroni).
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from engine.report.seen import COLUMNS

AFTER_MS, STAYED = 60_000, 0.25
FEWEST, FEW, BLOCKS = 200, 50, 20
"""Labelled candidates in all, on either side, and half hours, under which nothing is said."""
DRAWS, SEED, SURE = 20_000, 1, 0.05
HALF_HOUR_NS = 1_800_000_000_000
QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LABEL = ("stayed: a minute after the candidate's last trade at least a quarter of its minute's move is still there. It predicts "
         "activity and not profit: nothing says that a trade would have earned anything.")


@dataclass(frozen=True)
class Threshold:
    """A threshold of the configuration and the column it is held against; `above`: who passes has more."""
    setting: str
    column: str
    above: bool
    words: str


THRESHOLDS = (
    Threshold("signals.strength", "strength", True, "strength of the move"),
    Threshold("signals.volume", "volume", True, "volume, expected bars"),
    Threshold("signals.spread_bp", "spread_bp", False, "spread, bp"),
    Threshold("filter", "score", True, "score of the noise filter, at least: 1 less signals.noise"),
)


def stayed(move: int, last_close: int, price: int, later: int) -> int:
    """The label of one candidate, prices in paise: 1 or 0; -1 where a price is not known or nothing had moved."""
    if min(last_close, price, later) <= 0 or move * (price - last_close) <= 0:
        return -1
    return int(move * (later - last_close) >= STAYED * move * (price - last_close))


def suggestions(rows: np.ndarray, now: Mapping[str, float | None]) -> dict[str, Any]:
    """What the labelled among `rows` (COLUMNS) say of each threshold whose value `now` is known: a row of each, with `value` where
    another is suggested and `why` where none is."""
    assert rows.dtype == COLUMNS
    known = rows[rows["stayed"] >= 0]
    blocks = np.unique(known["day"].astype(np.int64) << 40 | known["time"] // HALF_HOUR_NS, return_inverse=True)[1]
    tried = {threshold.setting: _values(known, threshold, now) for threshold in THRESHOLDS}
    count = sum(map(len, tried.values()))
    out = [_row(known, blocks, threshold, now, tried[threshold.setting], max(count, 1)) for threshold in THRESHOLDS
           if now.get(threshold.setting) is not None]
    return {"label": LABEL, "candidates": len(rows), "labelled": len(known), "tried": count,
            "stayed": float(known["stayed"].mean()) if len(known) else None,
            "half_hours": int(blocks.max()) + 1 if len(known) else 0, "rows": out}


def _others(known: np.ndarray, threshold: Threshold, now: Mapping[str, float | None]) -> np.ndarray:
    """Whether the other thresholds hold, and this one's number is known. The score is asked for where it is the one looked at: who
    was too weak was never scored."""
    mask: np.ndarray = np.isfinite(known[threshold.column])
    for other in THRESHOLDS:
        limit = now.get(other.setting)
        if other is not threshold and other.column != "score" and limit is not None:
            mask &= _passes(known[other.column], limit, other)
    return mask


def _passes(values: np.ndarray, limit: float, threshold: Threshold) -> np.ndarray:
    passes: np.ndarray = values >= limit if threshold.above else values <= limit
    return passes


def _values(known: np.ndarray, threshold: Threshold, now: Mapping[str, float | None]) -> list[float]:
    """Other values to try: where the candidates lie."""
    limit = now.get(threshold.setting)
    values = known[threshold.column][_others(known, threshold, now)]
    if limit is None or not len(values):
        return []
    edges = {float(f"{edge:.3g}") for edge in np.quantile(values, QUANTILES)}
    return sorted(edge for edge in edges if edge > 0 and abs(edge / limit - 1) > 0.01) if limit else []


def _row(known: np.ndarray, blocks: np.ndarray, threshold: Threshold, now: Mapping[str, float | None], tried: Sequence[float],
         count: int) -> dict[str, Any]:
    limit = now[threshold.setting]
    assert limit is not None
    mine = _others(known, threshold, now)
    values, label, of = known[threshold.column][mine], known["stayed"][mine], blocks[mine]
    row: dict[str, Any] = {"setting": threshold.setting, "words": threshold.words, "now": limit, "value": None, "why": None,
                           "cases": int(mine.sum()), "passing": int(_passes(values, limit, threshold).sum())}
    if len(values) < FEWEST or len(np.unique(of)) < BLOCKS:
        return row | {"why": f"{len(values)} labelled candidates in {len(np.unique(of))} half hours: {FEWEST} in {BLOCKS} are the "
                             "fewest"}
    best: dict[str, Any] | None = None
    for value in tried:
        found = _compared(values, label, of, limit, value, threshold, count)
        if found is not None and found["is_sure"] and (best is None or found["edge"] > best["edge"]):
            best = found
    if best is None:
        return row | {"why": "no other value's interval excludes no change"}
    return row | {name: best[name] for name in ("value", "changed", "kept", "changed_stayed", "kept_stayed", "difference",
                                                "interval", "lets_in")}


def _compared(values: np.ndarray, label: np.ndarray, blocks: np.ndarray, limit: float, value: float, threshold: Threshold,
              count: int) -> dict[str, Any] | None:
    """Those that would change sides held against those that pass either way; None where there are too few."""
    before, after = _passes(values, limit, threshold), _passes(values, value, threshold)
    changed, kept = before ^ after, before & after
    if min(changed.sum(), kept.sum()) < FEW:
        return None
    lets_in = bool(after.sum() > before.sum())
    difference = float(label[changed].mean() - label[kept].mean())
    interval = _interval(label, changed, kept, blocks, SURE / count)
    edge = interval[0] if lets_in else -interval[1]            # how far the near end is on the right side of no change
    return {"value": value, "changed": int(changed.sum()), "kept": int(kept.sum()), "lets_in": lets_in,
            "changed_stayed": float(label[changed].mean()), "kept_stayed": float(label[kept].mean()), "difference": difference,
            "interval": interval, "edge": edge, "is_sure": edge > 0}


@lru_cache(maxsize=2)
def _weights(blocks: int) -> np.ndarray:
    """How often each draw has each half hour."""
    drawn = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS)
    return drawn.astype(np.float32)


def _interval(label: np.ndarray, changed: np.ndarray, kept: np.ndarray, blocks: np.ndarray, sure: float) -> list[float]:
    """Of the difference of shares, over half hours drawn with replacement; `sure`: what both ends leave out together."""
    names, at = np.unique(blocks, return_inverse=True)
    sums = np.stack([np.bincount(at, weights=weights, minlength=len(names)) for weights in (
        changed, changed * label, kept, kept * label)], 1).astype(np.float32)
    drawn = _weights(len(names)) @ sums
    with np.errstate(divide="ignore", invalid="ignore"):
        found = drawn[:, 1] / drawn[:, 0] - drawn[:, 3] / drawn[:, 2]
    found = found[np.isfinite(found)]
    return [float(edge) for edge in np.quantile(found, (sure / 2, 1 - sure / 2))]
