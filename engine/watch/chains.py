"""What opens behind a candidate or an order: the rule that said no and by how much, what the filter saw, and all that followed."""
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    GATE,
    PAYLOADS,
    REC_CANDIDATE,
    REC_GATE,
    REC_ORDER_UPDATE,
    REC_REPLY,
    REC_SHADOW,
    REC_TIMING,
    RECORD_NAMES,
    SHADOW,
    TIMING,
)
from _ext.signals.features import FEATURES
from engine.signals.models import beside_training, ranges_of
from engine.watch import rows
from engine.watch.day import Chained, Day
from engine.watch.events import answered
from engine.watch.rules import described

STATISTICS = ("strength", "z20", "z50", "rz", "volume_ratio", "u", "s1m", "expected", "last_close", "move", "side", "level",
              "quality")


def opened(day: Day, number: int, models: Path) -> dict[str, Any] | None:
    """Everything about one candidate; None where there is none of this number. `models`: folder of the models."""
    seen = day.candidates.get(number)
    if seen is None:
        return None
    c = seen.last
    out: dict[str, Any] = {
        "row": rows.candidate(day, number), "statistics": {name: rows.number(c[name]) for name in STATISTICS},
        "own": {name: rows.number(value) for name, value in day.state.own(c).items()}, "verdict": rows.verdict(c),
        "rules": [_rule(int(c["reason"]), c)] if c["level"] or c["reason"] else [], "waited_updates": int(c["updates"]),
        "decided_us": int(c["decided"]) // 1000, "score": rows.number(seen.first["score"]),
        "score_next": rows.number(c["score_next"]), "model": rows.text(c["model"]),
        "note": c["note"].decode("ascii", "replace"), "threshold": _threshold(day, c),
        "filter": filter_saw(models, rows.text(c["model"]), c), "shadows": [], "stages_ns": None,
        "tick": {"sequence": int(c["tick_seq"]), "ltt_us": int(c["ltt"]) * 1000, "price": int(c["price"]), "bid": int(c["bid"]),
                 "ask": int(c["ask"]), "last_close": int(c["last_close"])},
        "asked": {name: int(c[f"own_{name}"]) for name in ("limit", "stop", "target") if c[f"own_{name}"]},
        "chain": chain(day, seen.chain)}
    for kind, _, _, payload in seen.chain:
        if kind == REC_GATE and not (gate := np.frombuffer(payload, GATE)[0])["is_exit"]:
            out["rules"].append(_rule(int(gate["reason"]), gate, "gate"))
        elif kind == REC_SHADOW:
            shadow = np.frombuffer(payload, SHADOW)[0]
            out["shadows"].append({"model": rows.text(shadow["model"]), "score": rows.number(shadow["score"])})
        elif kind == REC_TIMING:
            timing = np.frombuffer(payload, TIMING)[0]
            out["stages_ns"] = {name: int(timing[name]) for name in ("decoded", "scored", "decided", "done")}
    said = next((rule for rule in out["rules"] if rule["said"] == "no"), None)
    return out | {"refused_by": said, "fills": sum(kind == "fill" for kind in (one["kind"] for one in out["chain"]))}


def order(day: Day, number: int) -> dict[str, Any] | None:
    """One of our orders with its chain; None where there is none of this number."""
    asked = day.orders.get(number)
    return None if asked is None else {"row": rows.order(day, number), "chain": chain(day, asked.chain)}


def _rule(reason: int, row: np.void, by: str = "rules") -> dict[str, Any]:
    """What a rule said: which, by which setting, what it saw and what it allows."""
    return {"by": by, "reason": REASONS[reason], "said": "yes" if reason == PASS else "no",
            "measured": rows.number(row["measured"]), "limit": rows.number(row["limit"])} | described(reason)


def _threshold(day: Day, c: np.void) -> float | None:
    """Smallest score that passed when the candidate was decided: of its model, as it was put in force last before."""
    found = [float(row["threshold"]) for now, row in day.models
             if row["sha256"][:16] == c["model"] and now <= max(int(c["decided"]), int(c["now"]))]
    return found[-1] if found else None


def filter_saw(models: Path, model: str, c: np.void) -> list[dict[str, Any]]:
    """The features the candidate's model looked at when it was decided, each beside what genuine ones had in training (1, 50 and 99
    per cent), those outside first; all features where the model's file is gone."""
    values = dict(zip(FEATURES, map(float, c["feature"]), strict=True))
    known = ranges_of(models, model)
    return beside_training(values, known) if known else [
        {"feature": name, "value": rows.number(value), "low": None, "middle": None, "high": None, "beyond": None,
         "is_outside": False} for name, value in values.items()]


def chain(day: Day, records: list[Chained]) -> list[dict[str, Any]]:
    """The records in words, in order; what the book repeats of an order is said once."""
    out: list[dict[str, Any]] = []
    said: dict[int, str] = {}
    for kind, seq, now, payload in records:
        words = "the tick that made it" if kind == REC_CANDIDATE else _words(day, kind, seq, now, payload)
        if kind in (REC_REPLY, REC_ORDER_UPDATE):
            order_ = int(np.frombuffer(payload, PAYLOADS[kind])["intent"][0])
            words, said[order_] = "" if said.get(order_) == words else words, words
        if words:
            out.append({"seq": seq, "t_us": now // 1000, "kind": RECORD_NAMES[kind], "text": words})
    return out


def _words(day: Day, kind: int, seq: int, now: int, payload: bytes) -> str:
    """A record as a line of the log has it; empty: it says nothing to a person."""
    row = np.frombuffer(payload, PAYLOADS[kind])[0]
    if kind in (REC_ORDER_UPDATE, REC_REPLY):
        return answered(kind, row)
    if kind == REC_SHADOW:
        return f"model {rows.text(row['model'])}, which decides nothing: score {float(row['score']):.3f}"
    event = day.formatter.words(kind, seq, now, payload)
    return " ".join(event.text.split()) if event is not None else ""

