"""Whether today's candidates look like those the model learned from, computed in the store: population by PSI, score by what came
of it. No label says what was an artefact in the market; that a move is gone within a minute while the book never went along says
much.
"""
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from _ext.signals.features import FEATURES
from engine.signals.models import find
from engine.store.client import EVERY_RUN

PSI_DRIFT, FEWEST = 0.25, 200
"""The usual bounds of the population stability index are 0.1 (watch) and 0.25 (drifted); under 200 candidates it is noise."""
STAYED, AFTER_S = 0.25, 60
"""A move stayed when a quarter of it is there a minute later."""
FEW, SURE, CHANGED = 50, 1.64, 3.0
"""Cases under which a share says nothing; standard errors that tell passed from refused, and today from before."""
def psi(counts: np.ndarray, shares: np.ndarray) -> float:
    """Population stability index of counts in bins that held `shares` in training: sum of (p - q) ln(p / q)."""
    p, q = (np.maximum(x / max(x.sum(), 1e-12), 1e-4) for x in (np.asarray(counts, float), np.asarray(shares, float)))
    return float(((p - q) * np.log(p / q)).sum())


def measure(client: Any, folder: Path, among: str = EVERY_RUN) -> dict[str, Any]:
    """PSI of each feature of the latest model of the runs `among`, of candidates at their tick, and its score's meaning. Raises
    LookupError without scored candidates."""
    latest = client.query(f"SELECT model, count() FROM signals WHERE model != '' AND {among} GROUP BY model "
                          "ORDER BY max(ts) DESC LIMIT 1").result_rows
    if not latest:
        raise LookupError("no candidate in the store has been scored: let a model trade first")
    model, candidates = str(latest[0][0]), int(latest[0][1])
    scorer = find(folder, model)
    meta = scorer.meta
    if "population" not in meta:
        raise LookupError(f"model {model} does not say what it learned from: train it again")
    names, reference = json.loads(meta["features"]), json.loads(meta["population"])
    wanted = [f"countIf(f_{name} <= {edge})" for name, part in zip(names, reference, strict=True) for edge in part["edges"]]
    (total, *below), found = client.query(f"SELECT count(), {', '.join(wanted)} FROM signals WHERE model = '{model}' "
                                          f"AND f_waited = 0 AND {among}").result_rows[0], {}
    for name, part in zip(names, reference, strict=True):
        mine, below = below[:len(part["edges"])], below[len(part["edges"]):]
        found[name] = round(psi(np.diff([0, *mine, total]), np.array(part["shares"])), 4)
    found, score = dict(sorted(found.items(), key=lambda pair: -pair[1])), meaning(client, model, among)
    return {"model": model, "candidates": candidates, "enough": candidates >= FEWEST, "psi": found,
            "drifted": [n for n, v in found.items() if v > PSI_DRIFT] if candidates >= FEWEST else [],
            "score": score, "calibration": judged(score, scorer.threshold)}


def later(where: str) -> str:
    """Subquery: candidates and the last price a minute later, and whether a quarter of the move was still there."""
    return f"""(SELECT s.*, t.ltp AS later,
                       direction * (later - last_close) >= {STAYED} * direction * (price - last_close) AS stayed
                FROM (SELECT *, exch_ts + INTERVAL {AFTER_S} SECOND AS at FROM signals WHERE {where}) AS s
                ASOF JOIN ticks AS t ON s.run = t.run AND s.inst = t.inst AND s.at >= t.exch_ts WHERE later > 0)"""


def meaning(client: Any, model: str, among: str = EVERY_RUN) -> list[dict[str, Any]]:
    """By fifths of the score, `among` these runs: how many candidates, of which share the move was still there a minute later;
    and of how many and which share on the days before the last one."""
    rows = client.query(f"""
        SELECT least(floor(if(isNaN(score_next), score, score_next) * 5), 4) / 5 AS fifth, countIf(is_last), sumIf(stayed, is_last),
               countIf(NOT is_last), sumIf(stayed, NOT is_last)
        FROM (SELECT *, toDate(ts) = (SELECT max(toDate(ts)) FROM signals WHERE model = '{model}' AND {among}) AS is_last
              FROM {later(f"model = '{model}' AND NOT isNaN(score) AND {among}")})
        GROUP BY fifth ORDER BY fifth""").result_rows
    return [{"from": float(fifth), "candidates": int(n), "stayed": round(k / n, 4) if n else None, "before": int(m),
             "stayed_before": round(j / m, 4) if m else None} for fifth, n, k, m, j in rows]


def z_of(first: tuple[float, int], second: tuple[float, int]) -> float:
    """How many standard errors the share of the first is above that of the second; (share, cases) each, pooled. NaN under FEW
    cases."""
    (p, n), (q, m) = first, second
    if min(n, m) < FEW:
        return math.nan
    pooled = (p * n + q * m) / (n + m)
    return (p - q) / math.sqrt(max(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-12))


def judged(score: list[dict[str, Any]], threshold: float) -> list[str]:
    """What is wrong with what the score means: what passes stays no more often than what is refused, or a fifth is no longer what
    it was on the days before. Nothing where there are too few to say."""
    sides = [[row for row in score if (row["from"] + 0.1 >= threshold) == passes and row["candidates"]] for passes in (True, False)]
    counts = [sum(row["candidates"] for row in side) for side in sides]
    shares = [sum(row["stayed"] * row["candidates"] for row in side) / max(n, 1) for side, n in zip(sides, counts, strict=True)]
    out = []
    if z_of((shares[0], counts[0]), (shares[1], counts[1])) < SURE:
        out.append(f"moves that pass stay no more often than refused ones ({shares[0]:.0%} and {shares[1]:.0%})")
    for row in score:
        if row["candidates"] and row["before"] and abs(z_of((row["stayed"], row["candidates"]),
                                                            (row["stayed_before"], row["before"]))) > CHANGED:
            out.append(f"scores from {row['from']:.1f} stayed {row['stayed_before']:.0%} before, {row['stayed']:.0%} now")
    return out


def lines(document: dict[str, Any]) -> list[str]:
    out = [f"{document['model']}: {document['candidates']} candidates"
           + ("" if document["enough"] else f", {FEWEST} are needed to say")]
    out += [f"  {name:<18} PSI {value:6.3f}{'  drifted' if value > PSI_DRIFT else ''}" for name, value in list(
        document["psi"].items())[:12]]
    out += [f"  score from {row['from']:.1f}: {row['candidates']:>5} candidates, {row['stayed']:.0%} of the moves still there "
            "after a minute" + (f" (before: {row['stayed_before']:.0%} of {row['before']})" if row["before"] else "")
            for row in document["score"] if row["candidates"]]
    return out + [f"  {said}" for said in document["calibration"]]


def compare(client: Any, folder: Path, first: str, second: str, among: str = EVERY_RUN) -> dict[str, Any]:
    """Both models over the stored features of every candidate of the runs `among`: how often they agree, and of which share of the
    candidates that only one passes the move stayed."""
    scorers = [find(folder, first), find(folder, second)]
    columns = ", ".join(f"f_{name}" for name in FEATURES)
    rows = client.query(f"SELECT stayed, {columns} FROM {later(among)}").result_rows
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
