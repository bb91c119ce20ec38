"""Explain: the chain of one candidate, from its tick to the last order, with the rule that said no and by how much."""
import json
from pathlib import Path
from typing import Any

import numpy as np

from _ext.core.reasons import REASONS
from _ext.core.records import (
    CANDIDATE,
    PAYLOADS,
    REC_CANDIDATE,
    REC_FILL,
    REC_FRAME,
    REC_GATE,
    REC_INTENT,
    REC_ORDER_UPDATE,
    REC_REPLY,
    REC_START,
    REC_TIMING,
    REC_VERDICT,
)
from _ext.signals.features import FEATURES
from engine.feed import decode
from engine.signals.models import beside_training, ranges_of
from engine.trail.checked import reader_of
from engine.watch.events import EventFormatter, answered, clock, plain
from engine.watch.state import RunState


def explain(path: Path, number: int) -> dict[str, Any] | None:
    """Everything journaled about candidate `number`; None when there is none of it."""
    formatter, frame, place = EventFormatter(), (0, 0, b""), "row"
    out: dict[str, Any] = {}
    orders: set[int] = set()
    said: dict[int, str] = {}
    for kind, seq, now, payload in reader_of(path):
        if kind == REC_FRAME:
            frame = (seq, now, payload)
        elif kind == REC_START and "inputs" in json.loads(payload):     # its frames stand in the run it was made from
            place = "sequence"
        event = formatter.event(kind, seq, now, payload)
        if kind in (REC_CANDIDATE, REC_VERDICT):
            c = np.frombuffer(payload, CANDIDATE)[0]
            if c["id"] != number:
                continue
            if kind == REC_CANDIDATE:
                out = {"candidate": number, "symbol": formatter.symbol(int(c["inst"])), "time": clock(now),
                       "tick": _tick(c, frame, formatter.state.key(int(c["inst"])), place),
                       "statistics": {n: plain(c)[n] for n in ("strength", "z20", "z50", "rz", "volume_ratio", "u", "s1m",
                                                               "expected", "last_close", "move", "side", "level", "quality")},
                       "source": formatter.state.source(int(c["source"])), "own": formatter.state.own(c),
                       "features": dict(zip(FEATURES, map(float, c["feature"]), strict=True)), "score": float(c["score"]),
                       "model": c["model"].decode(), "verdict": REASONS[c["reason"]], "chain": []} | _asked(c, formatter)
            if out:
                if kind == REC_VERDICT and c["updates"] > 0:
                    out["features_next"] = dict(zip(FEATURES, map(float, c["feature"]), strict=True))
                out |= {"verdict": REASONS[c["reason"]], "score_next": float(c["score_next"]), "measured": float(c["measured"]),
                        "limit": float(c["limit"]), "decided": clock(int(c["decided"])),
                        "waited_updates": int(c["updates"])}
        elif out and kind in (REC_GATE, REC_INTENT, REC_FILL, REC_TIMING):
            row = np.frombuffer(payload, PAYLOADS[kind])[0]
            if int(row["candidate"]) != number:
                continue
            if kind == REC_INTENT:
                orders.add(int(row["id"]))
            if kind == REC_TIMING:
                out["stages_ns"] = {n: int(row[n]) for n in ("decoded", "scored", "decided", "done")}
            elif event is not None:
                out["chain"].append(f"{clock(now)} {event.text.strip()}")
        elif out and kind in (REC_REPLY, REC_ORDER_UPDATE):
            row = np.frombuffer(payload, PAYLOADS[kind])[0]
            text = "  " + answered(kind, row)
            if int(row["intent"]) in orders and said.get(int(row["intent"])) != text:      # the book repeats what the stream said
                said[int(row["intent"])] = text
                out["chain"].append(f"{clock(now)} {text}")
    return out or None


def _asked(c: np.void, formatter: EventFormatter) -> dict[str, Any]:
    """What the candidate's strategy gave with it: its reason, and its own prices (rupees) and holding time (s), and the guide whose
    prices those are."""
    prices: dict[str, Any] = {name: int(c[f"own_{name}"]) / 100 for name in ("limit", "stop", "target") if c[f"own_{name}"]}
    hold = {"hold": int(c["own_hold"]) / 1e9} if c["own_hold"] else {}
    guide = {"guide": formatter.symbol(int(c["guide"]) - 1)} if c["guide"] else {}
    note = {"note": c["note"].decode("ascii", "replace")} if c["note"] else {}
    return note | ({"asked": guide | prices | hold} if guide or prices or hold else {})


def _tick(c: np.void, frame: tuple[int, int, bytes], key: str, place: str) -> dict[str, Any]:
    """The update a candidate was made by: of its frame, or, where the frame is elsewhere, what the candidate itself holds, and its
    `place` there."""
    if not frame[2]:
        return {place: int(c["tick_seq"]), "ltp": int(c["price"]), "ltt": int(c["ltt"]), "bidP": int(c["bid"]),
                "askP": int(c["ask"])}
    rows = decode(frame[2])
    mine = rows[rows["key"] == key.encode()]
    return {"sequence": frame[0], **({n: mine[0][n].item() for n in (
        "ltp", "ltt", "ltq", "vtt", "bidP", "bidQ", "askP", "askQ")} if len(mine) else {})}


def against_training(document: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The features the candidate's model looked at when it was decided, each beside what genuine ones had in training: 1, 50 and 99
    per cent, those outside first. Empty where the model's file is gone."""
    return beside_training(document.get("features_next", document["features"]), ranges_of(folder, document["model"]))


def candidate_of(path: Path, order: int) -> int | None:
    """The candidate an order belongs to; None where there is no such order."""
    found = RunState.after(reader_of(path)).orders.get(order)
    return None if found is None else found.candidate
