"""A sequence model as a rival of the filter: a small convolutional net over the 64 minutes before a candidate, alone and beside the
candidate's features (PyTorch, extra `sequence`).

It is compared by the folds the filter was chosen by. Only a net that wins is worth what it would take to trade with it: bars as a
model's input, and its microseconds at each candidate.
"""
import copy
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from engine.lab.dataset import Dataset
from engine.lab.members import Scale
from engine.lab.train import Rows, folds_of, removed_at_kept

EPOCHS, PATIENCE, BATCH = 40, 6, 256
SPARED = 0.15
"""Share of the learning rows (the last ones) that say when to stop."""


class Net(nn.Module):
    """Two convolutions over [channels, minutes], their mean and extreme; with `features` of them beside, two dense layers."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.path = nn.Sequential(nn.Conv1d(channels, 16, 5, padding=2), nn.ReLU(), nn.Conv1d(16, 32, 5, stride=2, padding=2),
                                  nn.ReLU())
        self.head = nn.Sequential(nn.Linear(64 + features, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))

    def forward(self, path: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        seen = self.path(path)
        return self.head(torch.cat([seen.mean(2), seen.amax(2), features], 1))[:, 0]


def fit(path: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray, seed: int) -> Any:
    """Learns from `path` float32[rows, minutes, channels] and scaled features `x` float[rows, columns] (none: the path alone);
    returns path, x -> log-odds of genuine. Stops when the rows spared have not got better for PATIENCE epochs."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)                             # layers this small lose more to handing over than they gain
    net = Net(path.shape[2], x.shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    tensors = [torch.tensor(np.ascontiguousarray(v), dtype=torch.float32) for v in (path.transpose(0, 2, 1), x, y, weight)]
    cut = int(len(y) * (1 - SPARED))
    best, kept, waited = np.inf, copy.deepcopy(net.state_dict()), 0
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(cut).split(BATCH):
            p, f, label, w = (t[rows] for t in tensors)
            loss = nn.functional.binary_cross_entropy_with_logits(net(p, f), label, w)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        net.eval()
        with torch.no_grad():
            p, f, label, w = (t[cut:] for t in tensors)
            spared = float(nn.functional.binary_cross_entropy_with_logits(net(p, f), label, w))
        best, kept, waited = (spared, copy.deepcopy(net.state_dict()), 0) if spared < best else (best, kept, waited + 1)
        if waited >= PATIENCE:
            break
    net.load_state_dict(kept)

    def log_odds(path: np.ndarray, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(net(*(torch.tensor(np.ascontiguousarray(v), dtype=torch.float32)
                                    for v in (path.transpose(0, 2, 1), x))).double().numpy())
    return log_odds


def compare(data: Dataset, rows: Rows, filter_scores: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """Cross-validation of the net beside the filter's own: {name: {removed: share at KEPT, auc}}. `filter_scores`: of the filter on
    `rows`, made by the same folds."""
    path = np.clip(data.path[rows.of], -20.0, 20.0)
    scores = {"the vote": filter_scores, "minutes alone": np.zeros(len(rows.y)), "minutes and features": np.zeros(len(rows.y))}
    for learn, test in folds_of(rows.day):
        scale = Scale.of(rows.x[learn])
        x = scale(rows.x)
        for name, features in (("minutes alone", x[:, :0]), ("minutes and features", x)):
            log_odds = fit(path[learn], features[learn], rows.y[learn], rows.weight[learn], seed)
            scores[name][test] = log_odds(path[test], features[test])
    return {name: {"removed": round(removed_at_kept(score, rows), 4), "auc": round(float(roc_auc_score(
        rows.y, score, sample_weight=rows.weight)), 4)} for name, score in scores.items()}
