"""Two accounts of one day, held side by side: which decisions differ, by which rule, and what that did to the day."""
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _ext.core.reasons import REASONS
from _ext.core.records import CANDIDATE, GATE, REC_CANDIDATE, REC_GATE, REC_VERDICT
from engine.watch.events import clock
from engine.watch.trades import Kept, Trade

Key = tuple[str, str, int, int]
"""Symbol, source, ns of the tick, and direction of a candidate."""
SAME_NS = 60_000_000_000


@dataclass(slots=True)
class Decision:
    """What became of one candidate. `rule` and `gate`: the reasons they gave, empty where they were not asked."""
    candidate: int
    rule: str = ""
    gate: str = ""
    measured: float = float("nan")     # by the rule that decided, or the gate
    limit: float = float("nan")
    quantity: int = 0
    price: int = 0                     # paise, the entry's limit
    trade: Trade | None = None

    @property
    def words(self) -> str:
        """Where it ended."""
        if self.trade is not None:
            trade = self.trade
            return (f"{'bought' if trade.side > 0 else 'sold'} {trade.quantity} at {trade.entry_price / 100:.2f}, out at "
                    f"{trade.exit_price / 100:.2f} by {trade.reason or 'nothing yet'}, net {trade.net / 100:+,.2f}")
        word = f"gate: {self.gate}" if self.gate else self.rule or "undecided"
        if self.gate == "pass":
            return "entered, nothing filled"
        return word + ("" if math.isnan(self.limit) else f" ({self.measured:.4g} against {self.limit:.4g})")

    def document(self) -> dict[str, Any]:
        return {"candidate": self.candidate, "rule": self.rule, "gate": self.gate or None, "said": self.words,
                "measured": _number(self.measured), "limit": _number(self.limit),
                "net": self.trade.net / 100 if self.trade is not None else None}

    def same(self) -> tuple[Any, ...]:
        """What must be equal for two to be the same."""
        trade = self.trade
        traded = () if trade is None else (trade.entry_time, trade.exit_time, trade.entry_price, trade.exit_price, trade.quantity,
                                           trade.net, trade.reason)
        return self.rule, self.gate, self.quantity, self.price, traded


@dataclass
class Account:
    """A day's decisions by candidate, and its trades."""
    decisions: dict[Key, Decision] = field(default_factory=dict)
    trades: Sequence[Trade] = ()

    @property
    def net(self) -> float:
        """Rupees."""
        return sum(trade.net for trade in self.trades) / 100


def account_of(kept: Kept, symbols: Sequence[str], sources: Sequence[str], trades: Sequence[Trade]) -> Account:
    """The decisions of a day, from its records."""
    decisions: dict[Key, Decision] = {}
    by_id: dict[int, Decision] = {}
    for kind, _, payload in kept:
        if kind in (REC_CANDIDATE, REC_VERDICT):
            c = np.frombuffer(payload, CANDIDATE)[0]
            number = int(c["id"])
            if number not in by_id:
                by_id[number] = Decision(number)
                decisions[symbols[c["inst"]], sources[c["source"]], int(c["now"]), int(c["move"])] = by_id[number]
            if kind == REC_VERDICT or c["level"] == 0:
                found = by_id[number]
                found.rule = REASONS[c["reason"]] if kind == REC_VERDICT else "watched"
                if c["reason"]:
                    found.measured, found.limit = float(c["measured"]), float(c["limit"])
        elif kind == REC_GATE:
            g = np.frombuffer(payload, GATE)[0]
            if not g["is_exit"] and (known := by_id.get(int(g["candidate"]))) is not None:
                known.gate, known.quantity, known.price = REASONS[g["reason"]], int(g["quantity"]), int(g["price"])
                known.measured, known.limit = ((float(g["measured"]), float(g["limit"])) if g["reason"] else
                                               (float("nan"), float("nan")))
    for trade in trades:
        if trade.candidate in by_id:
            by_id[trade.candidate].trade = trade
    return Account(decisions, trades)


def differences(before: Account, after: Account) -> list[dict[str, Any]]:
    """Every candidate whose way differs, in order of time: `before` and `after` say what became of it, None where it was none;
    `net` is what that did to the day, rupees. A candidate of the same move within a minute of another is the same."""
    rows = []
    for key, was, now in _pairs(before.decisions, after.decisions):
        if was is not None and now is not None and was.same() == now.same():
            continue
        symbol, source, at, move = key
        rows.append({"time": clock(at), "symbol": symbol, "source": source, "move": "up" if move > 0 else "down",
                     "before": was and was.document(), "after": now and now.document(), "rule": _rule(was, now),
                     "net": (_net(now) - _net(was))})
    return rows


def _pairs(before: Mapping[Key, Decision], after: Mapping[Key, Decision]) -> list[tuple[Key, Decision | None, Decision | None]]:
    """Each candidate of either account with its like in the other."""
    pairs: list[tuple[Key, Decision | None, Decision | None]] = [
        (key, before[key], after[key]) for key in before.keys() & after.keys()]
    waiting: dict[tuple[str, str, int], list[Key]] = defaultdict(list)
    for key in sorted(after.keys() - before.keys(), key=lambda key: key[2]):
        waiting[key[0], key[1], key[3]].append(key)
    for key in sorted(before.keys() - after.keys(), key=lambda key: key[2]):
        others = waiting[key[0], key[1], key[3]]
        near = min(others, key=lambda other: abs(other[2] - key[2]), default=None)
        if near is None or abs(near[2] - key[2]) > SAME_NS:
            pairs.append((key, before[key], None))
        else:
            others.remove(near)
            pairs.append((key, before[key], after[near]))
    pairs += [(key, None, after[key]) for keys in waiting.values() for key in keys]
    return sorted(pairs, key=lambda pair: (pair[0][2], pair[0]))


def _net(decision: Decision | None) -> float:
    return decision.trade.net / 100 if decision is not None and decision.trade is not None else 0.0


def _rule(was: Decision | None, now: Decision | None) -> str:
    """What made the difference: the rule that said another thing, or the exit."""
    if was is None:
        return "a candidate only after"
    if now is None:
        return "a candidate only before"
    if was.rule != now.rule:
        return f"{was.rule} -> {now.rule}"
    if was.gate != now.gate:
        return f"gate: {was.gate or 'not asked'} -> {now.gate or 'not asked'}"
    if (was.quantity, was.price) != (now.quantity, now.price):
        return "another quantity or price"
    reasons = [decision.trade.reason if decision.trade else "no fill" for decision in (was, now)]
    return f"exit: {reasons[0]} -> {reasons[1]}" if reasons[0] != reasons[1] else "another fill"


def by_rule(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many decisions each rule changed, and what that did, rupees."""
    counts, money = Counter(row["rule"] for row in rows), Counter[str]()
    for row in rows:
        money[row["rule"]] += row["net"]
    return [{"rule": rule, "decisions": count, "net": round(float(money[rule]), 2)} for rule, count in counts.most_common()]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
