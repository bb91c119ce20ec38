"""Trains the noise filter on the generator and writes it as one ONNX file with its card.

Real against planted artefact, gradient-boosted trees; the days of the test are generated from another seed.
"""
import json
from pathlib import Path

import numpy as np

from _ext.signals.features import FEATURES, FEATURES_HASH
from engine.lab.dataset import Dataset, generated

# Features that every live source supplies and that mean the same on generated and real ticks.
USED = [name for name in FEATURES if name not in ("session", "firing", "lag_s", "market_5m_bp", "s1m_bp", "updates", "repeats")]
THRESHOLD = 0.3
"""Smallest score that passes: the seed refuses what is noise with more than 0.7."""


def train(folder: Path, seed: int = 7, days: int = 3, names: int = 60) -> dict:
    """Trains, tests on other seeds, writes `<sha>.onnx`, `active.json` and `card.md` into `folder`; returns the card."""
    from sklearn.ensemble import GradientBoostingClassifier

    learn, test = generated(seed, days, names), generated(seed + 1000, max(1, days // 2), names)
    columns = [FEATURES.index(name) for name in USED]
    x, y = _complete(learn, columns)
    weight = np.where(y, 1.0, y.sum() / max((~y).sum(), 1))
    model = GradientBoostingClassifier(n_estimators=80, max_depth=3, learning_rate=0.15, subsample=0.7, random_state=seed)
    model.fit(x, y, sample_weight=weight)
    card = {"features": USED, "features_hash": FEATURES_HASH, "threshold": THRESHOLD, "seed": seed, "days": days,
            "names": names, "rows": len(y), "artefacts": int((~y).sum()), "test": _report(model, test, columns)}
    return _write(folder, model, card)


def _complete(data: Dataset, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    x = data.features[:, columns]
    whole = ~np.isnan(x).any(axis=1)
    return x[whole], data.is_real[whole]


def _report(model, data: Dataset, columns: list[int]) -> dict:
    """Kept genuine and removed artefacts on data the model has not seen, at the tick and at the decision, by kind."""
    out: dict = {}
    x = data.features[:, columns]
    whole = ~np.isnan(x).any(axis=1)
    passed = np.zeros(len(x), bool)
    passed[whole] = model.predict_proba(x[whole])[:, 1] >= THRESHOLD
    for name, rows in (("at_tick", data.at_tick), ("next_update", ~data.at_tick)):
        kinds = {}
        for kind in sorted(set(data.kind[rows])):
            mine = rows & (data.kind == kind)
            kinds[kind] = {"count": int(mine.sum()), "passed": round(float(passed[mine].mean()), 4)}
        out[name] = kinds
    return out


def _write(folder: Path, model, card: dict) -> dict:
    import hashlib

    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    onx = convert_sklearn(model, "noise", [("features", FloatTensorType([1, len(USED)]))],
                          options={id(model): {"zipmap": False}}, target_opset=17)
    for key, value in (("features", json.dumps(USED)), ("features_hash", FEATURES_HASH), ("threshold", str(THRESHOLD))):
        entry = onx.metadata_props.add()
        entry.key, entry.value = key, value
    data = onx.SerializeToString(deterministic=True)
    sha = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sha[:16]}.onnx").write_bytes(data)
    (folder / "active.json").write_text(json.dumps({"sha256": sha, "file": f"{sha[:16]}.onnx"}) + "\n")
    card = {"sha256": sha} | card
    (folder / "card.md").write_text(_markdown(card))
    return card


def _markdown(card: dict) -> str:
    lines = [
        "# Noise filter", "",
        f"Gradient-boosted trees, real against planted artefact. Model `{card['sha256'][:16]}`, features hash "
        f"`{card['features_hash']}`, passes at P(real) >= {card['threshold']}.", "",
        f"Trained on the generator only (`python -m engine train --seed {card['seed']} --days {card['days']} --names "
        f"{card['names']}`): {card['rows']} rows, {card['artefacts']} of them artefacts. No real market data went in. The "
        "figures below are of generated days from another seed; they say how well the filter tells our own artefacts from "
        "our own spikes, not how well it will do on the real market, and nothing about profit.", "",
        "| decision | planted | candidates | passed |", "| --- | --- | --- | --- |"]
    for when, kinds in card["test"].items():
        lines += [f"| {when.replace('_', ' ')} | {kind} | {v['count']} | {v['passed']:.1%} |" for kind, v in kinds.items()]
    lines += ["", "Features, in order: " + ", ".join(f"`{name}`" for name in card["features"]) + ".", ""]
    return "\n".join(lines)
