"""What a day saw: each candidate with where its way ended and how far it was from the other side, from the journal's records."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import REC_CANDIDATE, REC_FILL, REC_GATE, REC_VERDICT, ROLE_ENTRY
from engine.watch.trades import Kept, rows_of

WATCHED, UNDECIDED, RULE, GATE, UNFILLED, ENTERED = range(6)
STAGES = ("watched", "not decided", "refused by a rule", "refused by the gate", "entered, nothing filled", "entered")
"""Where a candidate's way ended."""
NEAR = 0.10
"""Of a limit: who missed it by no more was near."""

COLUMNS = np.dtype([
    ("id", "u8"), ("inst", "u4"), ("time", "i8"), ("day", "i4"), ("source", "i4"), ("move", "i4"), ("price", "i8"),
    ("last_close", "i8"), ("strength", "f8"), ("volume", "f8"), ("spread_bp", "f8"), ("rz", "f8"), ("score", "f8"), ("stage", "i4"),
    ("reason", "i4"), ("measured", "f8"), ("limit", "f8"), ("stayed", "i4"), ("side", "i4"), ("ltt", "i8"), ("quote", "i8")])
"""A candidate. Prices in paise, `time` ns, `stayed` 1, 0, or -1 where nobody knows; `quote`: the best price an entry could have
at the tick, 0: none was shown."""


@dataclass
class Seen:
    """Candidates of one or more days, and the words for their numbers."""
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, COLUMNS))
    symbols: list[str] = field(default_factory=list)           # of each row
    sources: list[str] = field(default_factory=list)

    def add(self, rows: np.ndarray, symbols: Sequence[str], sources: Sequence[str]) -> None:
        """Those of a further day; `symbols` and `sources` by their numbers there."""
        self.rows = np.concatenate([self.rows, rows])
        self.symbols += [word_at(symbols, int(inst)) for inst in rows["inst"]]
        self.sources += [word_at(sources, int(source)) for source in rows["source"]]


def word_at(words: Sequence[str], number: int) -> str:
    """A word by its number; the number where a damaged journal has no such word."""
    return words[number] if number < len(words) else str(number)


def candidates_of(kept: Kept, day: int) -> np.ndarray:
    """COLUMNS rows of a day's candidates in order of their ids. `day` is the day's place in the report."""
    made, judged = rows_of(kept, REC_CANDIDATE), rows_of(kept, REC_VERDICT)
    made = made[np.unique(made["id"], return_index=True)[1]]
    out = np.zeros(len(made), COLUMNS)
    for name in ("id", "inst", "source", "move", "price", "last_close", "strength", "rz", "side", "ltt", "measured", "limit"):
        out[name] = made[name]
    out["day"], out["time"], out["volume"], out["stayed"] = day, made["now"], made["volume_ratio"], -1
    out["score"], out["reason"] = made["score"], made["reason"]
    bid, ask = made["bid"].astype(float), made["ask"].astype(float)
    shown = (bid > 0) & (ask > 0)
    out["spread_bp"] = np.where(shown, (ask - bid) / np.maximum((ask + bid) / 2, 1e-9) * 1e4, np.nan)
    out["quote"] = np.where(made["side"] > 0, made["ask"], made["bid"])
    out["stage"] = np.where(made["level"] == 0, WATCHED, UNDECIDED)
    at = _places(out["id"], judged["id"])
    verdict, at = judged[at >= 0], at[at >= 0]
    scored = np.isfinite(verdict["score_next"])
    out["score"][at] = np.where(scored, verdict["score_next"], verdict["score"])
    for name in ("reason", "measured", "limit"):
        out[name][at] = verdict[name]
    out["stage"][at] = np.where(verdict["reason"] == PASS, UNDECIDED, RULE)
    _gate(out, kept)
    return out


def _gate(out: np.ndarray, kept: Kept) -> None:
    """What the gate said of those that passed, and which of them got a fill."""
    gate = rows_of(kept, REC_GATE)
    gate = gate[gate["is_exit"] == 0]
    at = _places(out["id"], gate["candidate"])
    gate, at = gate[at >= 0], at[at >= 0]
    passed = gate["reason"] == PASS
    out["stage"][at] = np.where(passed, UNFILLED, GATE)
    for name in ("reason", "measured", "limit"):
        out[name][at] = gate[name]
    fills = rows_of(kept, REC_FILL)
    at = _places(out["id"], fills["candidate"][fills["role"] == ROLE_ENTRY])
    out["stage"][at[at >= 0]] = ENTERED


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of `wanted` stands in the ordered `ids`, -1 where it does not."""
    if not len(ids):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[at] == wanted, at, -1)


def miss_of(rows: np.ndarray) -> np.ndarray:
    """How far each was from the limit that refused it, as a share of the limit; NaN where there is no number to compare."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(rows["measured"] - rows["limit"]) / np.abs(rows["limit"])
    return np.where(np.isfinite(share), share, np.nan)


def summary(seen: Seen) -> dict[str, Any]:
    """Counts of each stage, and of each reason of rules and gate: how many, and how near they were."""
    rows = seen.rows
    stages = np.bincount(rows["stage"], minlength=len(STAGES)).tolist()
    reasons = []
    for stage, word in ((RULE, "rule"), (GATE, "gate")):
        mine = rows[rows["stage"] == stage]
        for reason in np.unique(mine["reason"]).tolist():
            part = mine[mine["reason"] == reason]
            reasons.append({"by": word, "reason": word_at(REASONS, reason), "count": len(part), **nearness(part)})
    reasons.sort(key=lambda row: -row["count"])
    return {"candidates": len(rows), "stages": dict(zip(STAGES, stages, strict=True)), "reasons": reasons,
            "refused": stages[RULE] + stages[GATE], "taken": stages[ENTERED]}


def nearness(part: np.ndarray) -> dict[str, Any]:
    """Of candidates that one reason refused: the median and the smallest miss as shares of the limit, how many missed it by at most
    a tenth, and what was measured at the median against which limit; None where the reason has no numbers."""
    miss = miss_of(part)
    known = np.isfinite(miss)
    if not known.any():
        return {"median_miss": None, "least_miss": None, "near": None, "measured": None, "limit": None}
    return {"median_miss": float(np.median(miss[known])), "least_miss": float(miss[known].min()),
            "near": int((miss[known] <= NEAR).sum()), "measured": float(np.median(part["measured"][known])),
            "limit": float(np.median(part["limit"][known]))}


def of_counts(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a backtest without journals, of which only the counts are known."""
    reasons = [{"by": word, "reason": reason, "count": number, "median_miss": None, "least_miss": None, "near": None,
                "measured": None, "limit": None} for word, stage in (("rule", "rules"), ("gate", "gate"))
               for reason, number in counts[stage].items() if reason != REASONS[PASS]]
    reasons.sort(key=lambda row: -row["count"])
    return {"candidates": counts["candidates"], "stages": None, "reasons": reasons,
            "refused": sum(row["count"] for row in reasons), "taken": None}
