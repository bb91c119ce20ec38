"""The model folder: ONNX files named by their hash, their cards beside them, and `active.json`, which says who does what.

`active` trades, `b` trades the names of arm B, `shadows` score beside and decide nothing, `before` are the ones that traded before,
newest first. A file that is refused changes nothing.
"""
import datetime as dt
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.records import MODEL_ACTIVE, MODEL_B, MODEL_CHANGE, MODEL_NO_B, MODEL_NO_SHADOW, MODEL_SHADOW
from _ext.signals.scorer import ModelRefused, Scorer

SHADOWS, KEPT = 3, 10
"""Most shadows at a time (each costs a score a candidate), and earlier models remembered."""


def load_models(folder: Path) -> dict[str, Scorer]:
    """Every loadable model of the folder by sha256; files that are refused are left out (`active` says why)."""
    found: dict[str, Scorer] = {}
    for path in sorted(folder.glob("*.onnx")):
        try:
            scorer = Scorer(path)
        except (ModelRefused, OSError):
            continue
        found[scorer.sha256] = scorer
    return found


NOBODY: dict[str, Any] = {"sha256": "", "file": "", "b": "", "shadows": [], "before": []}
HASH = re.compile(r"[0-9a-f]{64}")
NOTE_MAX = 64 << 10


def roles(folder: Path) -> dict[str, Any]:
    """active.json: {sha256, file, b, shadows, before}; hashes of those that are not there are empty. Without the file nobody has a
    role: the filter is off. ModelRefused where it does not say who has."""
    note = folder / "active.json"
    if not note.exists() and not note.is_symlink():
        return dict(NOBODY)
    try:
        with note.open("rb") as file:
            document = json.loads(file.read(NOTE_MAX).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelRefused(f"{note} is not readable ({error}): {ANEW}") from None
    if wrong := _wrong_with(document):
        raise ModelRefused(f"{note} {wrong}: {ANEW}")
    return dict(NOBODY | document)


ANEW = "remove it, then write it anew with `python -m engine model promote`"


def _wrong_with(document: Any) -> str:
    """What is wrong with the content of active.json; empty where nothing is."""
    if not isinstance(document, dict):
        return "is no object of roles"
    if "sha256" not in document:
        return "names no model"
    if unknown := sorted(set(document) - set(NOBODY)):
        return f"has unknown entries ({', '.join(map(repr, unknown))[:80]})"
    lists = [document.get("shadows", []), document.get("before", [])]
    if not all(isinstance(part, list) for part in lists) or not isinstance(document.get("file", ""), str):
        return "has entries of another kind than it must"
    hashes = [h for h in (document["sha256"], document.get("b", "")) if h != ""] + [h for part in lists for h in part]
    if not all(isinstance(h, str) and HASH.fullmatch(h) for h in hashes):
        return "has a hash that is none (64 hexadecimal digits)"
    return f"has more than {SHADOWS} shadows" if len(lists[0]) > SHADOWS else ""


def trained(folder: Path, scorer: Scorer) -> dt.date | None:
    """The day a model was trained, from itself or the card beside it; None where neither says. A file's time is that of a copy."""
    said = scorer.meta.get("trained")
    try:
        if said is None:
            card = json.loads((folder / f"{scorer.sha256[:16]}.json").read_text())
            said = card["trained"] if card["sha256"] == scorer.sha256 else None
        return dt.date.fromisoformat(said)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def active(folder: Path) -> Scorer | None:
    """The model that trades; None without one (every candidate is then refused: no score). Raises ModelRefused."""
    entry = roles(folder)
    if not entry["sha256"]:
        return None
    return _checked(folder, entry["sha256"])


@lru_cache(maxsize=8)
def _loaded(path: Path, *state: int) -> Scorer:
    """The model of a file in that state: a backtest asks for the same one every day."""
    return Scorer(path)


def _checked(folder: Path, sha256: str) -> Scorer:
    path = folder / f"{sha256[:16]}.onnx"
    if not path.exists():
        raise ModelRefused(f"{path} is missing: put it back, or promote another")
    stat = path.stat()
    scorer = _loaded(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if scorer.sha256 != sha256:
        raise ModelRefused(f"{path.name} has hash {scorer.sha256[:16]}, active.json says {sha256[:16]}")
    return scorer


def find(folder: Path, name: str) -> Scorer:
    """The model whose hash begins with `name`. ModelRefused where there is none, or more than one, or it is not fit to trade."""
    paths = [p for p in sorted(folder.glob("*.onnx")) if p.stem.startswith(name.removesuffix(".onnx"))]
    if len(paths) != 1:
        raise ModelRefused(f"{name}: {len(paths)} models begin so; `python -m engine model list` shows all")
    scorer = Scorer(paths[0])
    if not scorer.sha256.startswith(paths[0].stem):
        raise ModelRefused(f"{paths[0].name} has hash {scorer.sha256[:16]}: it was changed after it was written")
    return scorer


@lru_cache(maxsize=8)
def ranges_of(folder: Path, name: str) -> dict[str, tuple[float, float, float]]:
    """Feature -> 1, 50 and 99 per cent of what genuine candidates had when the model was trained, in the model's order; empty where
    its file is gone or does not say."""
    try:
        meta = find(folder, name).meta if name else {}
    except (ModelRefused, OSError):
        return {}
    return {feature: (float(low), float(middle), float(high)) for feature, (low, middle, high) in zip(
        json.loads(meta.get("features", "[]")), json.loads(meta.get("ranges", "[]")), strict=False)}


def beside_training(values: dict[str, float], ranges: dict[str, tuple[float, float, float]]) -> list[dict[str, Any]]:
    """Each feature of `ranges` with its value, the furthest outside first; `beyond` in widths of its range."""
    out = []
    for name, (low, middle, high) in ranges.items():
        value = values[name]
        beyond = max(low - value, value - high) / max(high - low, 1e-12)
        out.append({"feature": name, "value": value, "low": low, "middle": middle, "high": high, "beyond": beyond,
                    "is_outside": not low <= value <= high})
    return sorted(out, key=lambda row: -row["beyond"])


def _write(folder: Path, document: dict[str, Any]) -> None:
    temporary = folder / "active.new"
    temporary.write_text(json.dumps(document, indent=1) + "\n")
    temporary.replace(folder / "active.json")


def promote(folder: Path, name: str) -> Scorer:
    """Makes a model the one that trades; the one before is remembered."""
    scorer, entry = find(folder, name), roles(folder)
    if scorer.sha256 != entry["sha256"]:
        before = [entry["sha256"], *entry["before"]] if entry["sha256"] else entry["before"]
        _write(folder, entry | {"sha256": scorer.sha256, "file": f"{scorer.sha256[:16]}.onnx", "before": before[:KEPT]})
    return scorer


def rollback(folder: Path) -> Scorer:
    """Puts the model before this one back."""
    entry = roles(folder)
    if not entry["before"]:
        raise ModelRefused("no model traded before this one")
    scorer = _checked(folder, entry["before"][0])
    _write(folder, entry | {"sha256": scorer.sha256, "file": f"{scorer.sha256[:16]}.onnx", "before": entry["before"][1:]})
    return scorer


def assign(folder: Path, role: int, name: str) -> Scorer | None:
    """Gives a model to arm B or makes it a shadow; an empty `name` takes all of that role away."""
    entry = roles(folder)
    if not name:
        _write(folder, entry | {"b" if role == MODEL_B else "shadows": "" if role == MODEL_B else []})
        return None
    scorer = find(folder, name)
    if role == MODEL_B:
        _write(folder, entry | {"b": scorer.sha256})
    elif scorer.sha256 not in entry["shadows"]:
        if len(entry["shadows"]) >= SHADOWS:
            raise ModelRefused(f"{SHADOWS} models are shadows already: `python -m engine model shadow --off` first")
        _write(folder, entry | {"shadows": [*entry["shadows"], scorer.sha256]})
    return scorer


def entries(folder: Path) -> list[dict[str, Any]]:
    """Every file of the folder: hash, what it does, where it was learned, how it did in cross-validation, or why it is refused."""
    entry, out = roles(folder), []
    for path in sorted(folder.glob("*.onnx")):
        try:
            scorer = Scorer(path)
        except (ModelRefused, OSError) as error:
            out.append({"model": path.stem, "role": "refused", "why": str(error)})
            continue
        sha = scorer.sha256
        role = ("active" if sha == entry["sha256"] else "arm B" if sha == entry["b"] else "shadow" if sha in entry["shadows"]
                else "before" if sha in entry["before"] else "")
        out.append({"model": sha[:16], "role": role, "features": scorer.count, "threshold": scorer.threshold,
                    "learned from": json.loads(scorer.meta.get("about", "{}")), "removed": json.loads(
                        scorer.meta.get("metrics", "{}")).get("hybrid")})
    return out


def model_record(sha256: str, threshold: float, role: int = MODEL_ACTIVE) -> bytes:
    """The MODEL record that gives a model its role, at `threshold`."""
    row = np.zeros(1, MODEL_CHANGE)
    row["sha256"], row["threshold"], row["role"] = sha256.encode(), threshold, role
    return row.tobytes()


def records(folder: Path, threshold: float, was: dict[str, Any] | None = None) -> list[tuple[dict[str, Scorer], bytes]]:
    """(models it needs, MODEL record) of every role that differs from `was`, an earlier answer of `roles`. Raises ModelRefused;
    then nothing is to be changed."""
    now, was = roles(folder), was or {"sha256": "", "b": "", "shadows": []}
    out: list[tuple[dict[str, Scorer], bytes]] = []

    def add(sha256: str, role: int) -> None:
        out.append(({sha256: _checked(folder, sha256)}, model_record(sha256, threshold, role)))

    if now["sha256"] and now["sha256"] != was["sha256"]:
        add(now["sha256"], MODEL_ACTIVE)
    if now["b"] != was["b"]:
        add(now["b"], MODEL_B) if now["b"] else out.append(({}, model_record("", 0.0, MODEL_NO_B)))
    if now["shadows"] != was["shadows"]:
        if was["shadows"]:
            out.append(({}, model_record("", 0.0, MODEL_NO_SHADOW)))
        for sha256 in now["shadows"]:
            add(sha256, MODEL_SHADOW)
    return out
