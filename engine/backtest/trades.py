"""A day's trades in a backtest: those still held at its end, those of which nobody can tell what came first, and the counts."""
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from _ext.core.records import REC_CANDIDATE, REC_GATE, REC_VERDICT
from _ext.entrance import Core
from _ext.trade.costs import charges_of
from engine.feed.dayfile import DayFile
from engine.watch.trades import END, Kept, Trade, rows_of


def mark_open(trades: Sequence[Trade], core: Core, now: int) -> None:
    """What is still held when the data of a day ends counts as left at the best price shown then, with the costs of leaving."""
    orders = core.orders()
    for slot in core.positions():
        held = slot["bought"] - slot["sold"]
        if held <= 0:
            continue
        row, spec = core.market.row(slot["inst"]), core.instrument(slot["inst"])
        price = (row["bid"] if slot["side"] > 0 else row["ask"]) or row["ltp"]
        number = orders[slot["entry"] - 1]["candidate"] if slot["entry"] else 0
        trade = next(trade for trade in trades if trade.candidate == number and not trade.is_closed)
        before = slot["sold"] * trade.exit_price
        trade.gross += slot["side"] * (held * price - slot["left"])
        trade.charges += charges_of(spec["kind"], -slot["side"], held, held * price, now)
        trade.exit_price = (before + held * price) / slot["bought"]
        trade.exit_time, trade.reason = now, END
        trade.stop, trade.target = slot["plan"]["stop"], slot["plan"]["target"]


def mark_ambiguous(trades: Iterable[Trade], day: DayFile) -> None:
    """Of a day of bars: marks the trades whose last bar holds both their stop and their target, so that nobody knows which came
    first."""
    symbols = {s.symbol: i for i, s in enumerate(day.specs)}
    ms, inst = np.asarray(day.columns["ms"]), np.asarray(day.columns["inst"])
    low, high = day.columns["low"], day.columns["high"]
    for trade in trades:
        if trade.exit_time and trade.stop and trade.target:
            minute = trade.exit_time // 60_000_000_000 * 60_000
            begin, end = np.searchsorted(ms, (minute, minute + 1))
            for row in begin + np.flatnonzero(inst[begin:end] == symbols[trade.symbol]):
                within = low[row] <= min(trade.stop, trade.target) and high[row] >= max(trade.stop, trade.target)
                trade.is_ambiguous = trade.is_ambiguous or bool(within)


def counts_of(kept: Kept, reasons: Sequence[str]) -> dict[str, Any]:
    """Candidates of the day, and how many ended by which reason: of rules (verdicts) and of the gate."""
    def named(numbers: np.ndarray) -> dict[str, int]:
        found, counts = np.unique(numbers, return_counts=True)
        return {reasons[number]: int(count) for number, count in zip(found.tolist(), counts.tolist(), strict=True)}

    gate = rows_of(kept, REC_GATE)
    return {"candidates": len(rows_of(kept, REC_CANDIDATE)), "rules": named(rows_of(kept, REC_VERDICT)["reason"]),
            "gate": named(gate["reason"][gate["is_exit"] == 0])}
