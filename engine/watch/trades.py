"""Trades of a day, from what the core decided: one row a position, from its first fill to its last."""
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from _ext.core.records import (
    FILL,
    INTENT,
    INTENT_CANCEL,
    ORDER_UPDATE,
    PAYLOADS,
    POSITION,
    REC_CANDIDATE,
    REC_FILL,
    REC_GATE,
    REC_INTENT,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_VERDICT,
    ROLE_ENTRY,
    TYPE_SL,
    WHY_GROW,
    WHY_PROTECT,
    WHY_REPRICE,
    WHY_SHRINK,
    WHY_TRAIL,
    WHYS,
)

SAME = frozenset((WHY_REPRICE, WHY_GROW, WHY_SHRINK, WHY_TRAIL))
"""An exit that is modified for one of these is still there for what it was sent for."""
KEPT = (REC_CANDIDATE, REC_VERDICT, REC_GATE, REC_INTENT, REC_FILL, REC_POSITION, REC_ORDER_UPDATE)
"""Records a day's trades and counts are made from."""
STOP, END = "stop", "end of data"
"""Reasons of trades whose resting stop was filled, and that were still held when the data ended."""


@dataclass(slots=True)
class Trade:
    """One position. Money in paise; times ns since 1970; `exit_time` 0 while it is open."""
    day: str
    symbol: str
    source: str
    candidate: int
    side: int                         # +1 long, -1 short
    quantity: int
    entry_time: int
    exit_time: int
    entry_price: float                # average, paise
    exit_price: float
    gross: int                        # realised, before charges
    charges: int
    reason: str                       # of the exit
    strength: float
    score: float                      # of the filter at the decision; NaN: not scored
    stop: int
    target: int
    is_ambiguous: bool = False        # of bars: the exit's bar holds both stop and target

    @property
    def net(self) -> int:
        return self.gross - self.charges

    @property
    def is_closed(self) -> bool:
        return self.exit_time > 0


COLUMNS = tuple(field.name for field in fields(Trade))
Kept = Sequence[tuple[int, int, bytes]]


def trades_of(kept: Kept, day: str, symbols: Sequence[str], sources: Sequence[str]) -> list[Trade]:
    """The day's trades in order of entry. `symbols` and `sources` by their numbers in the records."""
    found: dict[tuple[int, int], Trade] = {}
    facts = _facts(kept)
    why: dict[int, int] = {}                                   # order -> why it was last asked to be what it is
    stops: dict[int, bool] = {}                                # order -> the venue has it as a stop
    bought: dict[tuple[int, int], list[int]] = {}              # quantity and value of entry and exit
    plan: dict[int, tuple[int, int]] = {}
    for kind, now, payload in kept:
        if kind == REC_INTENT:
            row = np.frombuffer(payload, INTENT)[0]
            if row["kind"] == INTENT_CANCEL:
                continue
            if int(row["why"]) not in SAME:
                why[int(row["id"])] = int(row["why"])
            else:
                why.setdefault(int(row["id"]), WHY_PROTECT)    # a stop that was reached before it could rest
        elif kind == REC_ORDER_UPDATE:
            u = np.frombuffer(payload, ORDER_UPDATE)[0]
            stops[int(u["intent"])] = u["order_type"] == TYPE_SL
        elif kind == REC_POSITION:
            p = np.frombuffer(payload, POSITION)[0]
            if p["quantity"]:
                plan[int(p["inst"])] = int(p["stop"]), int(p["target"])
        elif kind == REC_FILL:
            f = np.frombuffer(payload, FILL)[0]
            inst, at = int(f["inst"]), (int(f["candidate"]), int(f["inst"]))
            if at not in found:
                strength, score, source = facts.get(at[0], (0.0, float("nan"), 0))
                found[at] = Trade(day, symbols[inst], sources[source] if source < len(sources) else "", at[0], int(f["side"]), 0,
                                  now, 0, 0.0, 0.0, 0, 0, "", strength, score, 0, 0)
                bought[at] = [0, 0, 0, 0]
            order = int(f["intent"])                           # what was asked of it may still be under way
            _take(found[at], bought[at], f, now, WHY_PROTECT if stops.get(order) else why.get(order, WHY_PROTECT))
            if f["role"] != ROLE_ENTRY:
                found[at].stop, found[at].target = plan.get(inst, (0, 0))
    return list(found.values())


def _facts(kept: Kept) -> dict[int, tuple[float, float, int]]:
    """Strength, score and source of the candidates that anything was bought for; of its verdict where there is one."""
    wanted = np.array([int(row["candidate"]) for row in rows_of(kept, REC_FILL)], np.uint64)
    out: dict[int, tuple[float, float, int]] = {}
    for kind in (REC_CANDIDATE, REC_VERDICT):
        rows = rows_of(kept, kind)
        for c in rows[np.isin(rows["id"], wanted)]:
            score = float(c["score_next"]) if c["updates"] else float(c["score"])
            out[int(c["id"])] = float(c["strength"]), score, int(c["source"])
    return out


def rows_of(kept: Kept, wanted: int) -> np.ndarray:
    """Records of one type as an array."""
    return np.frombuffer(b"".join(payload for kind, _, payload in kept if kind == wanted), PAYLOADS[wanted])


def _take(trade: Trade, money: list[int], fill: np.void, now: int, why: int) -> None:
    """One fill of a position; `why` its order was there."""
    place = 0 if fill["role"] == ROLE_ENTRY else 2
    money[place] += int(fill["quantity"])
    money[place + 1] += int(fill["quantity"]) * int(fill["price"])
    trade.charges += int(fill["charges"])
    trade.gross += int(fill["realised"])
    if place == 0:
        trade.quantity = money[0]
        trade.entry_price = money[1] / max(money[0], 1)
        return
    trade.exit_price = money[3] / max(money[2], 1)
    trade.reason = STOP if why == WHY_PROTECT else WHYS[why]
    if money[2] >= money[0]:
        trade.exit_time = now
