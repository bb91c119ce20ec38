"""The members of the noise filter, each with a margin (more is more genuine): boosted trees, an isolation forest, a local outlier
factor over chosen prototypes, and a logistic baseline. Together they vote by weight, each through its own calibration.

Every member is a scikit-learn estimator; what graph.py writes as ONNX answers the same on every row.
"""
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor

MEMBERS = ("trees", "forest", "outliers", "logistic")
PROTOTYPES, NEIGHBOURS, FOREST = 64, 10, 32
"""What the budget of a candidate leaves room for; four times as many earned no vote either (docs/decisions.md 59)."""
LIMIT = 1e-6
"""Votes are kept this far from 0 and 1."""
PHASES = 2
"""Calibrations apart: at the tick, and after a trade update was waited for."""


@dataclass
class Scale:
    """Clips each feature to its 0.5 and 99.5 per cent of training and takes it to mean 0, sd 1: for the members that measure
    distances. float64."""
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Scale":
        low, high = np.quantile(x.astype(float), [0.005, 0.995], axis=0)
        clipped = np.clip(x, low, high)
        sd = clipped.std(axis=0)
        return cls(low, high, clipped.mean(axis=0), np.where(sd > 1e-12, sd, 1.0))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray((np.clip(x.astype(float), self.low, self.high) - self.mean) / self.sd)


def fit_trees(x: np.ndarray, y: np.ndarray, weight: np.ndarray, seed: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=120, max_depth=4, learning_rate=0.08, subsample=0.6, min_samples_leaf=12,
                                      max_features=0.5, random_state=seed).fit(x, y, sample_weight=weight)


@dataclass
class Members:
    """The fitted members over the same columns."""
    scale: Scale
    trees: GradientBoostingClassifier
    forest: IsolationForest
    outliers: LocalOutlierFactor
    logistic: LogisticRegression

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, weight: np.ndarray, seed: int) -> "Members":
        """`x` float32[rows, columns], `y` bool: genuine. Forest and outliers learn the genuine ones alone."""
        scale, rng = Scale.of(x), np.random.default_rng(seed)
        genuine = x[y]
        chosen = rng.permutation(len(genuine))[:PROTOTYPES]
        return cls(scale, fit_trees(x, y, weight, seed),
                   IsolationForest(n_estimators=FOREST, max_samples=min(256, len(genuine)), random_state=seed).fit(genuine),
                   LocalOutlierFactor(n_neighbors=min(NEIGHBOURS, len(chosen) - 1), novelty=True, algorithm="brute").fit(
                       scale(genuine[chosen])),
                   LogisticRegression(C=0.3, max_iter=2000).fit(scale(x), y, sample_weight=weight))

    def margins(self, x: np.ndarray) -> np.ndarray:
        """float64[rows, members]. The forest's is its mean path length as a share of the usual one: -score is 2 to minus that."""
        z = self.scale(x)
        return np.column_stack([self.trees.decision_function(x), -np.log2(-self.forest.score_samples(x)),
                                self.outliers.score_samples(z), self.logistic.decision_function(z)])


@dataclass
class Hybrid:
    """Weighted vote: sum of w_m sigmoid(a_m margin_m + b_m), then sigmoid(slope x logit + shift of the phase)."""
    members: Members
    weights: np.ndarray                # one a member, sum 1
    platt: np.ndarray                  # [members, 2]: a, b
    slope: float = 1.0
    shift: np.ndarray = field(default_factory=lambda: np.zeros(PHASES))

    def vote(self, margins: np.ndarray) -> np.ndarray:
        return np.asarray(sigmoid(margins * self.platt[:, 0] + self.platt[:, 1]) @ self.weights)

    def probability(self, x: np.ndarray, waited: np.ndarray) -> np.ndarray:
        """P(genuine) of rows; `waited`: trade updates since the tick."""
        return self.of_margins(self.members.margins(x), waited)

    def of_margins(self, margins: np.ndarray, waited: np.ndarray) -> np.ndarray:
        return np.asarray(sigmoid(self.slope * logit(self.vote(margins)) + self.shift[np.minimum(waited, 1).astype(int)]))


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -500, 500)))


def logit(p: Any) -> Any:
    p = np.clip(p, LIMIT, 1 - LIMIT)
    return np.log(p / (1 - p))


def platt(margin: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """(a, b) of sigmoid(a margin + b), the likeliest for `y`."""
    scale = max(float(margin.std()), 1e-9)
    model = LogisticRegression(C=1e3, max_iter=1000).fit((margin / scale)[:, None], y, sample_weight=weight)
    return float(model.coef_[0, 0]) / scale, float(model.intercept_[0])
