"""What a filter does on candidates it has never seen: artefacts removed, genuine kept, spikes found, and real outcomes.

Shares carry intervals from a bootstrap by block (day, or instrument and quarter of an hour where there is only one day).
"""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _ext.signals.features import FEATURES, OUTSIDE_MOST_S1M
from engine.config import Signals
from engine.errors import DataError
from engine.lab import inject
from engine.lab.dataset import SORTS, Dataset, joined, of_ticks, undisturbed
from engine.lab.inject import HELD_OUT, Moment, Name, spike
from engine.sim import recorded
from engine.sim.recorded import Recording

SPREAD_TICKS, SPREAD_RATIO, MID_OVER_LTP, MID_MOVE, OUTSIDE_BOOK = (FEATURES.index(n) for n in (
    "spread_ticks", "spread_ratio", "mid_over_ltp", "mid_move_s1m", "outside_book_s1m"))
SIZES, VOLUMES, RAMPS_S = (4.0, 6.0, 8.0, 10.0), (6.0, 10.0), (2.0, 15.0, 60.0, 110.0)
SAMPLES, FEW = 400, 10
"""Of a bootstrap; and candidates without which a kind is not in the mean of kinds."""
ENOUGH, FROM = 200, 3
"""Planted genuine and artefacts of a sort of instrument, and instruments of it, below which the sort is called unmeasured."""
KEPT, REMOVED = 0.95, 0.93
"""Shares by the next update at which a sort that was measured is one the filter holds on."""
KINDS = ("bad_print", "sweep", "wide", "wide", "vtt_jump", "outage", "late_print", *HELD_OUT, "spike", "fast", "fast")
"""Planted to judge: kinds no model has seen are among them."""
Scores = Callable[[np.ndarray], np.ndarray]
"""Feature rows (float32[rows, all features]) -> P(genuine), NaN where a feature is missing."""


def of_scorer(scorer: Any) -> Scores:
    """The engine's own scorer, row by row: what trades is what is judged."""
    return lambda rows: np.array([scorer.score_row(row) for row in rows])


def guarded(rows: np.ndarray) -> np.ndarray:
    """Refused by rule whatever the score: a side of the book is empty, or it is crossed (validator: no quote)."""
    return np.asarray(np.isnan(rows[:, SPREAD_TICKS]) | (rows[:, SPREAD_TICKS] <= 0))


def by_rules(rows: np.ndarray) -> np.ndarray:
    """Passed by the rules of docs/market.md 3.4 alone: a whole book, spread to three times its mean, the mid moved by a quarter."""
    return ~guarded(rows) & (rows[:, SPREAD_RATIO] <= 3.0) & (rows[:, MID_OVER_LTP] >= 0.25)


def at_once(rows: np.ndarray) -> np.ndarray:
    """Decided at the tick, as the pipeline does: the book has moved along and the price lies within it."""
    with np.errstate(invalid="ignore"):
        return np.asarray((rows[:, MID_OVER_LTP] >= Signals().confirm_share) & (rows[:, MID_MOVE] > 0)
                          & (rows[:, OUTSIDE_BOOK] <= OUTSIDE_MOST_S1M))


def verdicts(data: Dataset, scores: Scores, threshold: float) -> dict[str, dict[str, np.ndarray]]:
    """What passes of `data`, bool[rows]: by time of the decision, then by whom. A candidate no update followed is never traded."""
    out: dict[str, dict[str, np.ndarray]] = {}
    for when, rows in (("at_tick", data.first), ("next_update", data.second)):
        there = ~np.isnan(rows[:, 0])
        score = np.full(len(data), np.nan)
        score[there] = scores(rows[there])
        out[when] = {"filter": there & ~guarded(rows) & (score >= threshold), "rules": there & by_rules(rows)}
    out["as_it_trades"] = {"filter": np.where(at_once(data.first), out["at_tick"]["filter"], out["next_update"]["filter"])}
    return out


def by_sort(data: Dataset, passed: np.ndarray, blocks: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """Of each sort of instrument: what is `passed` of the planted genuine and removed of the artefacts, with counts, intervals and
    instruments; `is_measured` where there is enough of both, `holds` where both shares are reached."""
    is_artefact, is_planted = data.is_artefact, data.is_planted
    blocks = data.day if blocks is None else blocks
    out: dict[str, dict[str, Any]] = {}
    sorts = data.sort.astype("U12")
    for sort in (s for s in ("stock", *SORTS) if np.char.endswith(sorts, s).any()):
        mine = np.char.endswith(sorts, sort)               # "stock": liquid and thin ones together
        genuine, artefact = is_planted & mine, is_artefact & mine
        names = min(len(np.unique(data.name[mine])) for mine in (genuine, artefact))
        row: dict[str, Any] = {"instruments": names, "genuine": int(genuine.sum()), "artefacts": int(artefact.sum())}
        for name, mine, values in (("kept", genuine, passed), ("removed", artefact, ~passed)):
            row[name] = round(float(values[mine].mean()), 4) if mine.any() else None
            row[f"{name}_interval"] = interval(values[mine].astype(float), blocks[mine]) if mine.any() else []
        row["is_measured"] = names >= FROM and min(row["genuine"], row["artefacts"]) >= ENOUGH
        row["holds"] = row["is_measured"] and row["kept"] >= KEPT and row["removed"] >= REMOVED
        out[sort] = row
    return out


def interval(values: np.ndarray, blocks: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean,
             seed: int = 1) -> list[float]:
    """[2.5 %, 97.5 %] of `statistic` over resampled blocks."""
    names, at = np.unique(blocks, return_inverse=True)
    rows = [np.flatnonzero(at == k) for k in range(len(names))]
    rng, out = np.random.default_rng(seed), []
    for _ in range(SAMPLES if len(names) > 1 else 0):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, len(names), len(names))])
        value = statistic(values[drawn])
        if np.isfinite(value):
            out.append(value)
    return [round(float(q), 4) for q in np.quantile(out, [0.025, 0.975])] if out else []


def artefacts(data: Dataset, scores: Scores, threshold: float, blocks: np.ndarray | None = None) -> dict[str, Any]:
    """At the tick, by the next trade update and as it trades (at the tick where the book moved along): of each kind how many became
    candidates and which share is removed; of the genuine the share kept (all, and those known to be genuine because they were
    planted); beside it what rules alone do."""
    return _counted(data, verdicts(data, scores, threshold), blocks)


def _counted(data: Dataset, found: dict[str, dict[str, np.ndarray]], blocks: np.ndarray | None) -> dict[str, Any]:
    """`artefacts` of what passed."""
    is_artefact, is_planted = data.is_artefact, data.is_planted
    blocks = data.day if blocks is None else blocks
    out: dict[str, Any] = {}
    for when, parts in found.items():
        for name, passed in parts.items():
            kinds = {str(k): {"count": int((data.kind == k).sum()), "removed": round(float((~passed[data.kind == k]).mean()), 4)}
                     for k in np.unique(data.kind[is_artefact])}
            genuine = {str(k): {"count": int((data.kind == k).sum()), "kept": round(float(passed[data.kind == k]
                       .mean()), 4)} for k in np.unique(data.kind[~is_artefact])}
            large = [v["removed"] for v in kinds.values() if v["count"] >= FEW]
            whole = np.where(is_artefact, ~passed, passed)
            out[f"{when}_{name}"] = {
                "kinds": kinds, "genuine": genuine, "artefacts": int(is_artefact.sum()),
                "removed_mean_of_kinds": round(float(np.mean(large)), 4) if large else None,
                "removed_all": round(float((~passed[is_artefact]).mean()), 4) if is_artefact.any() else None,
                "removed_interval": interval((~passed[is_artefact]).astype(float), blocks[is_artefact]),
                "kept_all": round(float(passed[~is_artefact].mean()), 4),
                "kept_interval": interval(passed[~is_artefact].astype(float), blocks[~is_artefact]),
                "kept_planted": round(float(passed[is_planted].mean()), 4) if is_planted.any() else None,
                "kept_planted_interval": interval(passed[is_planted].astype(float), blocks[is_planted]),
                "accuracy": round(float((whole[is_artefact].mean() + whole[~is_artefact].mean()) / 2), 4)
                if is_artefact.any() else None}
    return out


def judged(data: Dataset, scores: Scores, threshold: float, blocks: np.ndarray | None = None) -> dict[str, Any]:
    """What a card says of candidates no model has seen: `times` (`artefacts`) and, by the next update, `sorts` (`by_sort`)."""
    found = verdicts(data, scores, threshold)
    return {"times": _counted(data, found, blocks), "sorts": by_sort(data, found["next_update"]["filter"], blocks)}


def recall(recording: Recording, source: str, seed: int, every_s: float = 2700.0,
           sizes: Sequence[float] = SIZES) -> list[dict[str, Any]]:
    """Planted sustained spikes found from their start to 60 s after the ramp, by size, volume and ramp, at 0.5 and at 0.6, by the
    detector as it is configured."""
    cells = [(size, volume, ramp) for size in sizes for volume in VOLUMES for ramp in RAMPS_S]

    def planting(size: float, volume: float, ramp: float) -> inject.Injector:
        def plant(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
            return spike(name, i, now, rng, size, ramp, volume), size
        return plant

    kinds = {f"{size:g} s1m x{volume:g} in {ramp:g} s": planting(size, volume, ramp) for size, volume, ramp in cells}
    planted: list[inject.Planted] = []
    with inject.more(kinds):
        data = of_ticks(recording, source, seed, list(kinds), every_s, 0.0, out=planted)
    found: dict[tuple[str, str, int], float] = {}
    for kind, name, begin, strength in zip(data.kind, data.name, data.begin, data.strength, strict=True):
        found[kind, name, int(begin)] = max(float(strength), found.get((kind, name, int(begin)), 0.0))
    rows = []
    for (size, volume, ramp), kind in zip(cells, kinds, strict=True):
        best = [found.get((kind, recording.specs[p.inst].symbol, p.begin), 0.0) for p in planted if p.kind == kind]
        rows.append({"size": size, "volume": volume, "ramp_s": ramp, "planted": len(best),
                     "found_at_0.5": sum(b >= 0.5 for b in best), "found_at_0.6": sum(b >= 0.6 for b in best)})
    return rows


def on_recording(folder: Path, scores: Scores, threshold: float, seeds: int = 40, seed: int = 1) -> dict[str, Any]:
    """`judged` on a recorded session into which KINDS are planted `seeds` times anew; intervals by name and quarter of an hour.
    DataError where there is nothing to judge by: no book, no day of minutes, too few candidates."""
    day = recorded.load(folder)
    if not day.has_book:
        raise DataError(f"{folder}: these ticks have no book (bid and ask), by which the filter knows artefacts: a recording in "
                        "the layout of the Upstox feed is wanted (bp1, bq1, ap1, aq1)")
    alone = {level: undisturbed(day, level) for level in (0.5, 0.6)}
    try:
        data = joined(of_ticks(day, "upstox", seed + k, KINDS, 300.0, level, alone=alone[level])
                      for k in range(seeds) for level in ((0.5, 0.6)[k % 2],))
    except ValueError:
        raise DataError(f"{folder}: no candidate in any of the {seeds} days made of it: a longer recording is wanted") from None
    planted, odd = int(data.is_planted.sum()), int(data.is_artefact.sum())
    if min(planted, odd) < FEW:
        raise DataError(f"{folder}: {planted} of the planted spikes and {odd} of the artefacts became candidates; {FEW} of each "
                        "are the least a share can be stated of: give a longer day or more --seeds")
    return judged(data, scores, threshold, np.array([f"{n} {m // 15}" for n, m in zip(data.name, data.minute, strict=True)]))
