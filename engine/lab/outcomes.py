"""What really came of candidates, on days no model has seen: does activity go on, which way does the price go, what is left after
costs. Real data stays where it is; only figures leave.

Splits are by day and in time: the model learns from the earlier days, leaves one out, and is asked about the later ones.
"""
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from _ext.signals.features import FEATURES
from engine.errors import DataError
from engine.lab.dataset import Dataset, features_of
from engine.lab.evaluate import interval

COST_BP = 8.4
"""A round trip of Rs 2 lakh and 2.5 bp of spread and slip (docs/market.md 4)."""
REMOVED = 0.70
LEARN = 0.65
"""Share of the days, from the first on, that are learned from."""


def study(data: Dataset, source: str, seed: int = 7) -> dict[str, Any]:
    """AUC of activity and of direction on the later days, beside strength alone; what is kept at 70 % of false positives removed;
    the mean return after costs of what was kept and what was not. Intervals: bootstrap by day."""
    days = np.unique(data.day)
    if len(days) < 4:
        raise DataError(f"candidates of {len(days)} days: four are the least, of which the later are asked about")
    cut = days[max(int(len(days) * LEARN) - 1, 0)]
    learn, test = data.day <= cut, data.day > cut + 1
    if len(np.unique(data.day[test])) < 2:
        raise DataError(f"{len(days)} days are too few: the later ones must be at least two")
    names = set(features_of(source))
    use = [i for i, n in enumerate(FEATURES) if n in names and (~np.isnan(data.first[:, i])).mean() >= 0.95]
    x = np.nan_to_num(data.first[:, use])
    labels = {"activity": data.active, "direction: target or stop first": data.barrier,
              "direction: sign of 15 minutes": np.where(np.isnan(data.ahead_bp), np.nan, data.ahead_bp > 0)}
    out: dict[str, Any] = {"candidates": len(data), "days": len(days), "learned_from": int(learn.sum()), "asked": int(test.sum()),
                           "test_days": len(np.unique(data.day[test])), "features": len(use)}
    for name, label in labels.items():
        known = ~np.isnan(label)
        a, b = known & learn, known & test
        model = GradientBoostingClassifier(n_estimators=100, max_depth=3, learning_rate=0.08, subsample=0.6, min_samples_leaf=20,
                                           random_state=seed).fit(x[a], label[a] > 0)
        score = model.predict_proba(x[b])[:, 1]
        out[name] = {"cases": int(b.sum()), "share": round(float((label[b] > 0).mean()), 4),
                     "filter": _ranked(score, label[b] > 0, data.day[b]),
                     "strength": _ranked(data.strength[b], label[b] > 0, data.day[b])}
        if name == "activity":
            out["money"] = money(score, data.ahead_bp[b], data.day[b])
            out["curve"] = {who: curve(s, label[b] > 0) for who, s in (("filter", score), ("strength", data.strength[b]))}
    return out


def _ranked(score: np.ndarray, y: np.ndarray, day: np.ndarray) -> dict[str, Any]:
    both = np.column_stack([score, y])

    def auc(v: np.ndarray) -> float:
        return float(roc_auc_score(v[:, 1] > 0, v[:, 0])) if 0 < v[:, 1].sum() < len(v) else float("nan")

    def kept(v: np.ndarray) -> float:
        return float((v[v[:, 1] > 0, 0] > np.quantile(v[v[:, 1] == 0, 0], REMOVED)).mean())

    return {"auc": round(auc(both), 4), "auc_interval": interval(both, day, auc), "kept_at_70": round(kept(both), 4),
            "kept_interval": interval(both, day, kept)}


def curve(score: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """(share of false positives removed, share of true ones kept) along the threshold."""
    return [(round(q, 2), round(float((score[y] > np.quantile(score[~y], q)).mean()), 4)) for q in np.linspace(0, 0.95, 20)]


def money(score: np.ndarray, ahead_bp: np.ndarray, day: np.ndarray) -> dict[str, Any]:
    """Mean move of 15 minutes in the candidate's direction after costs, bp, of the higher and the lower half of the score, and of
    all."""
    known = ~np.isnan(ahead_bp)
    net, high = ahead_bp[known] - COST_BP, score[known] >= np.median(score[known])
    return {name: {"mean_bp": round(float(net[mine].mean()), 2), "interval": interval(net[mine], day[known][mine]), "cases": int(
        mine.sum())} for name, mine in (("kept", high), ("rejected", ~high), ("no filter", np.ones(len(net), bool)))}


def lines(document: dict[str, Any]) -> list[str]:
    """The study as Markdown."""
    out = [f"{document['candidates']:,} candidates of {document['days']} days; learned from the first "
           f"{document['learned_from']:,}, asked about {document['asked']:,} of the last {document['test_days']} days.", "",
           "| label | cases | share | AUC of the model [95 %] | AUC of strength alone | kept at 70 % of false removed | "
           "strength |",
           "| --- | --- | --- | --- | --- | --- | --- |"]
    for name in (k for k in document if k == "activity" or k.startswith("direction")):
        part = document[name]
        out.append(f"| {name} | {part['cases']} | {part['share']:.2f} | {part['filter']['auc']:.3f} "
                   f"{part['filter']['auc_interval']} | {part['strength']['auc']:.3f} | "
                   f"{part['filter']['kept_at_70']:.0%} | {part['strength']['kept_at_70']:.0%} |")
    out += ["", "| by the activity score | cases | mean of 15 minutes after costs, bp [95 %] |", "| --- | --- | --- |"]
    out += [f"| {name} | {part['cases']} | {part['mean_bp']:+.2f} {part['interval']} |" for name, part in document["money"].items()]
    return out
