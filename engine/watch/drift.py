"""Whether today's candidates look like those the model learned from, computed in the store: population by PSI, score by what came
of it. No label says what was an artefact in the market; that a move is gone within a minute while the book never went along says
much.
"""
import json
from pathlib import Path
from typing import Any

import numpy as np

from _ext.signals.features import FEATURES
from engine.signals.models import find

PSI_DRIFT, FEWEST = 0.25, 200
"""The usual bounds of the population stability index are 0.1 (watch) and 0.25 (drifted); under 200 candidates it is noise."""
STAYED, AFTER_S = 0.25, 60
"""A move stayed when a quarter of it is there a minute later."""


def psi(counts: np.ndarray, shares: np.ndarray) -> float:
    """Population stability index of counts in bins that held `shares` in training: sum of (p - q) ln(p / q)."""
    p, q = (np.maximum(x / max(x.sum(), 1e-12), 1e-4) for x in (np.asarray(counts, float), np.asarray(shares, float)))
    return float(((p - q) * np.log(p / q)).sum())


def measure(client: Any, folder: Path) -> dict[str, Any]:
    """PSI of each feature of the store's latest model, of candidates at their tick, and its score's meaning. Raises LookupError
    without scored candidates."""
    latest = client.query("SELECT model, count() FROM signals WHERE model != '' GROUP BY model "
                          "ORDER BY max(ts) DESC LIMIT 1").result_rows
    if not latest:
        raise LookupError("no candidate in the store has been scored: let a model trade first")
    model, candidates = str(latest[0][0]), int(latest[0][1])
    meta = find(folder, model).meta
    if "population" not in meta:
        raise LookupError(f"model {model} does not say what it learned from: train it again")
    names, reference = json.loads(meta["features"]), json.loads(meta["population"])
    wanted = [f"countIf(f_{name} <= {edge})" for name, part in zip(names, reference, strict=True) for edge in part["edges"]]
    (total, *below), found = client.query(f"SELECT count(), {', '.join(wanted)} FROM signals WHERE model = '{model}' "
                                          "AND f_waited = 0").result_rows[0], {}
    for name, part in zip(names, reference, strict=True):
        mine, below = below[:len(part["edges"])], below[len(part["edges"]):]
        found[name] = round(psi(np.diff([0, *mine, total]), np.array(part["shares"])), 4)
    found = dict(sorted(found.items(), key=lambda pair: -pair[1]))
    return {"model": model, "candidates": candidates, "enough": candidates >= FEWEST, "psi": found,
            "drifted": [n for n, v in found.items() if v > PSI_DRIFT] if candidates >= FEWEST else [],
            "score": meaning(client, model)}


def meaning(client: Any, model: str) -> list[dict[str, Any]]:
    """By fifths of the score: how many candidates, and of which share the move was still there a minute later."""
    rows = client.query(f"""
        SELECT least(floor(if(isNaN(score_next), score, score_next) * 5), 4) / 5 AS fifth, count() AS candidates,
               avg(direction * (later - last_close) >= {STAYED} * direction * (price - last_close)) AS stayed
        FROM (SELECT s.*, t.ltp AS later FROM (SELECT *, exch_ts + INTERVAL {AFTER_S} SECOND AS at FROM signals
                                               WHERE model = '{model}' AND NOT isNaN(score)) AS s
              ASOF LEFT JOIN ticks AS t ON s.run = t.run AND s.inst = t.inst AND s.at >= t.exch_ts)
        WHERE later > 0 GROUP BY fifth ORDER BY fifth""").result_rows
    return [{"from": float(a), "candidates": int(b), "stayed": round(float(c), 4)} for a, b, c in rows]


def lines(document: dict[str, Any]) -> list[str]:
    out = [f"{document['model']}: {document['candidates']} candidates"
           + ("" if document["enough"] else f", {FEWEST} are needed to say")]
    out += [f"  {name:<18} PSI {value:6.3f}{'  drifted' if value > PSI_DRIFT else ''}" for name, value in list(
        document["psi"].items())[:12]]
    out += [f"  score from {row['from']:.1f}: {row['candidates']:>5} candidates, {row['stayed']:.0%} of the moves still there "
            "after a minute" for row in document["score"]]
    return out


def compare(client: Any, folder: Path, first: str, second: str) -> dict[str, Any]:
    """Both models over the stored features of every candidate: how often they agree, and of which share of the candidates that only
    one passes the move stayed."""
    scorers = [find(folder, first), find(folder, second)]
    columns = ", ".join(f"f_{name}" for name in FEATURES)
    rows = client.query(f"""
        SELECT direction * (later - last_close) >= {STAYED} * direction * (price - last_close), {columns}
        FROM (SELECT s.*, t.ltp AS later FROM (SELECT *, exch_ts + INTERVAL {AFTER_S} SECOND AS at FROM signals) AS s
              ASOF LEFT JOIN ticks AS t ON s.run = t.run AND s.inst = t.inst AND s.at >= t.exch_ts) WHERE later > 0""").result_rows
    if not rows:
        raise LookupError("the store has no candidates with ticks a minute later")
    values = np.array(rows, np.float32)
    stayed, features = values[:, 0] > 0, values[:, 1:]
    passed = [np.array([s.score_row(row) >= s.threshold for row in features]) for s in scorers]

    def group(mine: np.ndarray) -> dict[str, Any]:
        return {"candidates": int(mine.sum()), "stayed": round(float(stayed[mine].mean()), 4) if mine.any() else None}

    return {"candidates": len(values), "first": scorers[0].sha256[:16], "second": scorers[1].sha256[:16],
            "both pass": group(passed[0] & passed[1]), "only the first passes": group(passed[0] & ~passed[1]),
            "only the second passes": group(~passed[0] & passed[1]), "both refuse": group(~passed[0] & ~passed[1])}


def compared(document: dict[str, Any]) -> list[str]:
    return [f"{document['candidates']} candidates"] + [
        f"  {name:<24} {part['candidates']:>6}" + (
            "" if part["stayed"] is None else f", {part['stayed']:.0%} still there after a minute")
        for name, part in document.items() if isinstance(part, dict)]
