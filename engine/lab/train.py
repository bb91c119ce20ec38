"""Trains the noise filter: genuine against planted artefact, chosen by purged cross-validation over days, exported as one ONNX
file.

The shipped filter learns from the generator alone: from a clone, the same command gives the same file. What it does on ticks it has
never seen is evaluate.py's to say.
"""
import datetime as dt
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.signals.features import FEATURES, hash_of
from engine.lab import graph
from engine.lab.dataset import NATURAL, Dataset, features_of, generated, joined
from engine.lab.members import MEMBERS, Hybrid, Members, logit, platt

CLOCK, SIZE, OTHERS, RATE, TREND = (
    "the generator's hours are not the market's", "a name's size, not the move's", "a feed of few names has no market",
    "a name's own rate, not the move's",
    "an artefact knows no trend; most need up to 50 bars, and a name without them would have no score")
LEFT_OUT = {
    **dict.fromkeys(("session", "second"), CLOCK),
    **dict.fromkeys(("s1m_bp", "spread_bp", "spread_ticks", "roc20_bp", "roc5_bp"), SIZE),
    **dict.fromkeys(("market_5m_bp", "market_1m_bp", "sector_5m_bp", "firing"), OTHERS),
    **dict.fromkeys(("updates", "repeats"), RATE),
    **dict.fromkeys(("rsi", "macd", "adx", "trend", "ma_gap", "to_level", "from_level", "vwap"), TREND),
    "lag_s": "no use against any kind (docs/market.md 3.3)", "quality": "faults of the feed, not of the print",
    "book_age_s": "the generator's books are fresher than the exchange's", "regime": "a label of others",
    "iv_change": "stocks have none where their options are not watched"}
"""Features the filter does without, and why."""
PLANTED = ("bad_print",) * 8 + ("sweep",) * 5 + ("wide",) * 10 + ("vtt_jump", "outage", "late_print") + ("spike",) * 3 + (
    "fast",) * 4
"""What is planted, and how often: of most artefacts one in twenty makes a candidate, of genuine spikes nearly each."""
EVERY_S = 240.0
THIN = 0.3
"""Of the generated names, that trade a few times a minute."""
KEPT = (0.981, 0.985)
"""Of the genuine, in cross-validation, at the tick and after: 95 per cent there gave 89-90 on instruments never seen
(docs/market.md 3.4)."""
FEW, ENOUGH = 10, 200
"""A kind with fewer candidates than the one says nothing, with more than the other it weighs no more."""
THRESHOLD = 0.3
"""The seed refuses what is noise with more than 0.7. The probability's prior is chosen so that this keeps KEPT."""
WORTH = 0.005
"""What a member more must add to the share removed: it costs microseconds at each candidate."""
FOLDS, EMBARGO = 5, 1
PRESENT = 0.95


@dataclass
class Rows:
    """Candidates at both times under each other. `waited` 0: at the tick."""
    x: np.ndarray                  # float32[rows, columns]
    y: np.ndarray                  # bool: genuine
    waited: np.ndarray
    kind: np.ndarray
    day: np.ndarray
    of: np.ndarray                 # int: which candidate of the dataset

    def __getitem__(self, rows: np.ndarray) -> "Rows":
        return Rows(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def weight(self) -> np.ndarray:
        """Both classes weigh the same, within the artefacts each kind of which there are enough; a few odd rows count for
        little."""
        kinds, at = np.unique(np.where(self.y, "genuine", self.kind), return_inverse=True)
        counts = np.bincount(at).astype(float)
        is_genuine = kinds == "genuine"
        share = np.where(is_genuine, 0.0, np.minimum(counts, ENOUGH))
        share = np.where(is_genuine, 1.0, share / max(share.sum(), 1.0))
        out = (share / counts)[at]
        return np.asarray(out * len(self.y) / out.sum())


def rows_of(data: Dataset, columns: Sequence[int]) -> Rows:
    """Both times of every candidate whose features are all there."""
    x = np.concatenate([data.first, data.second])[:, columns]
    kind, of = np.tile(data.kind, 2), np.tile(np.arange(len(data)), 2)
    rows = Rows(x, np.tile(~data.is_artefact, 2), np.repeat([0, 1], len(data)), kind, np.tile(data.day, 2), of)
    return rows[~np.isnan(x).any(axis=1)]


def chosen(data: Dataset) -> list[str]:
    """Features of the model: supplied by the live feed, present in nearly every row, and not left out for a reason."""
    there = (~np.isnan(data.first)).mean(axis=0), (~np.isnan(data.second[~np.isnan(data.second[:, 0])])).mean(axis=0)
    live = set(features_of("live"))
    return [n for i, n in enumerate(FEATURES) if n in live and n not in LEFT_OUT and min(there[0][i], there[1][i]) >= PRESENT]


def folds_of(day: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(learn, test) masks: blocks of days in order, a day between them left out on either side."""
    days = np.unique(day)
    out = []
    for block in np.array_split(days, min(FOLDS, len(days))):
        test = np.isin(day, block)
        near = (day >= block[0] - EMBARGO) & (day <= block[-1] + EMBARGO)
        if test.any() and (~near).any():
            out.append((~near, test))
    return out


def removed_at_kept(probability: np.ndarray, rows: Rows, kept: tuple[float, float] = KEPT) -> float:
    """Mean over both times and all kinds of the artefacts below the score that `kept` of the genuine reach."""
    shares = []
    for waited in (0, 1):
        mine = rows.waited == waited
        edge = np.quantile(probability[mine & rows.y], 1 - kept[waited])
        for kind in np.unique(rows.kind[mine & ~rows.y]):
            those = mine & (rows.kind == kind)
            if those.sum() >= FEW:
                shares.append(float((probability[those] < edge).mean()))
    return float(np.mean(shares)) if shares else 0.0


def weights_of(margins: np.ndarray, lines: np.ndarray, rows: Rows) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """(weights, table): the vote that removes most at KEPT, in steps of a tenth; a member more must be worth WORTH."""
    table = []
    for parts in itertools.product(range(11), repeat=len(MEMBERS)):
        if sum(parts) == 10:
            weights = np.array(parts) / 10
            hybrid = Hybrid(None, weights, lines)                            # type: ignore[arg-type]
            table.append({"weights": weights.tolist(), "removed": round(removed_at_kept(hybrid.vote(margins), rows), 5)})
    best = [max((t for t in table if sum(w > 0 for w in t["weights"]) <= size), key=lambda t: t["removed"])
            for size in range(1, len(MEMBERS) + 1)]
    winner = best[0]
    for other in best[1:]:
        if other["removed"] > winner["removed"] + WORTH:
            winner = other
    return np.array(winner["weights"]), [winner, *table]


def fit(rows: Rows, seed: int) -> tuple[Hybrid, dict[str, Any], Rows, np.ndarray]:
    """(hybrid, what cross-validation said, its rows, their scores): members, calibrations, weights, the operating point."""
    margins, covered = np.zeros((len(rows.y), len(MEMBERS))), np.zeros(len(rows.y), bool)
    for learn, test in folds_of(rows.day):
        part = Members.fit(rows.x[learn], rows.y[learn], rows.weight[learn], seed)
        margins[test], covered = part.margins(rows.x[test]), covered | test
    seen, margins = rows[covered], margins[covered]
    lines = np.array([platt(margins[:, m], seen.y, seen.weight) for m in range(len(MEMBERS))])
    weights, table = weights_of(margins, lines, seen)
    hybrid = Hybrid(Members.fit(rows.x, rows.y, rows.weight, seed), weights, lines)
    vote = hybrid.vote(margins)
    hybrid.slope, calibrated = platt(logit(vote), seen.y, seen.weight)
    odds = hybrid.slope * logit(vote)
    for waited in (0, 1):
        mine = (seen.waited == waited) & seen.y
        hybrid.shift[waited] = float(logit(THRESHOLD) - np.quantile(odds[mine], 1 - KEPT[waited]))
    alone = {name: next(t["removed"] for t in table if t["weights"][m] == 1) for m, name in enumerate(MEMBERS)}
    probability = hybrid.of_margins(margins, seen.waited)
    prior = [float(np.exp(s - calibrated)) for s in hybrid.shift]
    return hybrid, {
        "folds": len(folds_of(rows.day)), "removed": {"hybrid": table[0]["removed"], **alone},
        "weights": dict(zip(MEMBERS, weights.tolist(), strict=True)), "genuine_for_each_artefact": [round(p, 3) for p in prior],
        "calibration": calibration(probability, seen, prior)}, seen, probability


def calibration(probability: np.ndarray, rows: Rows, prior: Sequence[float]) -> list[dict[str, float]]:
    """Share of genuine in tenths of the score, in the mix the probability is meant for: both classes weighed alike times
    `prior`."""
    weight = rows.weight * np.where(rows.y, np.array(prior)[rows.waited], 1.0)
    at = np.minimum((probability * 10).astype(int), 9)
    return [{"from": k / 10, "mean": round(float(np.average(probability[at == k], weights=weight[at == k])), 4),
             "genuine": round(float(np.average(rows.y[at == k], weights=weight[at == k])), 4), "rows": int((at == k).sum())}
            for k in range(10) if (at == k).any()]


def learning_data(seed: int, days: int, names: int, minutes: int = 375) -> Dataset:
    """Generated days with artefacts and spikes planted, half of them looked at from strength 0.5 on, half from 0.6."""
    first = days - days // 2
    parts = [generated(seed + 1000 * k, (first, days // 2)[k], names, PLANTED, level, spikes=0.5, own=0.3, every_s=EVERY_S,
                       minutes=minutes, first=k * first, thin=THIN) for k, level in enumerate((0.5, 0.6)) if k == 0 or days > 1]
    return joined(parts)


@dataclass
class Trained:
    """A model file, what it was made of, its card so far, and cross-validation's rows and scores to draw."""
    file: bytes
    hybrid: Hybrid
    card: dict[str, Any]
    rows: Rows
    scores: np.ndarray


def train(data: Dataset, seed: int, about: dict[str, Any]) -> Trained:
    """Learns from `data`; `about` says where its rows come from. ValueError where they are all of one class."""
    used = chosen(data)
    rows = rows_of(data, [FEATURES.index(name) for name in used])
    if rows.y.all() or not rows.y.any():
        raise ValueError("all rows are of one class: plant artefacts, or give more days")
    hybrid, cross, seen, scores = fit(rows, seed)

    def quantiles(shares: Any) -> list[list[float]]:
        return [[round(float(q), 6) for q in np.quantile(rows.x[rows.y, i], shares)] for i in range(len(used))]

    importance = dict(sorted(zip(used, map(float, hybrid.members.trees.feature_importances_), strict=True),
                             key=lambda pair: -pair[1]))
    metadata = {"features": used, "features_hash": hash_of(used), "threshold": str(THRESHOLD), "about": about, "format": "1",
                "population": [population(rows, i) for i in range(len(used))], "ranges": quantiles((0.01, 0.5, 0.99)),
                "metrics": cross["removed"], "weights": cross["weights"]}
    file = graph.build(hybrid, used.index("waited"), len(used), metadata)
    card = {"sha256": hashlib.sha256(file).hexdigest(), "trained": dt.date.today().isoformat(),
            "features": used, "features_hash": hash_of(used), "threshold": THRESHOLD,
            "about": about, "rows": {str(k): int((rows.kind == k).sum()) for k in np.unique(rows.kind)}, "cross_validation": cross,
            "importance": {k: round(v, 5) for k, v in importance.items()}}
    return Trained(file, hybrid, card, seen, scores)


def in_turn(data: Dataset, done: Trained, seed: int) -> np.ndarray:
    """P(genuine) of each candidate at its next trade update, by members that learned from other instruments alone: FOLDS groups
    of instruments are left out in turn. NaN where there is no such row."""
    rows = rows_of(data, [FEATURES.index(name) for name in done.card["features"]])
    names, of = np.unique(data.name, return_inverse=True)
    group = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[of][rows.of]
    out = np.full(len(data), np.nan)
    for k in range(FOLDS):
        learn, test = rows[group != k], rows[(group == k) & (rows.waited == 1)]
        if len(test.y) and learn.y.any() and not learn.y.all():
            hybrid = replace(done.hybrid, members=Members.fit(learn.x, learn.y, learn.weight, seed))
            out[test.of] = hybrid.probability(test.x, test.waited)
    return out


def population(rows: Rows, column: int) -> dict[str, list[float]]:
    """What a day has by itself, at the tick: edges at its deciles (fewer where a value is frequent) and the share up to each."""
    mine = rows.x[np.isin(rows.kind, (NATURAL, "burst")) & (rows.waited == 0), column].astype(float)
    if not len(mine):
        return {"edges": [], "shares": [1.0]}
    edges = np.unique(np.round(np.quantile(mine, np.linspace(0.1, 0.9, 9)), 6))
    counts = np.bincount(np.searchsorted(edges, mine, side="left"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": np.round(counts / counts.sum(), 6).tolist()}


def write(folder: Path, data: bytes, card: dict[str, Any]) -> Path:
    """Puts the model into `folder` beside its card as JSON; it trades only once it is promoted."""
    sha = hashlib.sha256(data).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sha}.onnx").write_bytes(data)
    (folder / f"{sha}.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    return folder / f"{sha}.onnx"

