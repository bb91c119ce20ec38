"""Model folder: ONNX files named by their hash, `active.json` names the one that trades."""
import json
from pathlib import Path

import numpy as np

from _ext.core.records import MODEL_CHANGE
from _ext.signals.scorer import ModelRefused, Scorer


def load_models(folder: Path) -> dict[str, Scorer]:
    """Every loadable model of the folder by sha256; files that are refused are left out (`active` says why)."""
    found: dict[str, Scorer] = {}
    for path in sorted(folder.glob("*.onnx")):
        try:
            scorer = Scorer(path)
        except ModelRefused:
            continue
        found[scorer.sha256] = scorer
    return found


def active(folder: Path) -> Scorer | None:
    """The model that trades; None without one (every candidate is then refused: no score). Raises ModelRefused."""
    note = folder / "active.json"
    if not note.exists():
        return None
    entry = json.loads(note.read_text())
    scorer = Scorer(folder / entry["file"])
    if scorer.sha256 != entry["sha256"]:
        raise ModelRefused(f"{entry['file']} has hash {scorer.sha256[:16]}, active.json says {entry['sha256'][:16]}")
    return scorer


def model_record(scorer: Scorer, threshold: float) -> bytes:
    """The MODEL record that puts `scorer` in force at `threshold`."""
    row = np.zeros(1, MODEL_CHANGE)
    row["sha256"], row["threshold"] = scorer.sha256.encode(), threshold
    return row.tobytes()
