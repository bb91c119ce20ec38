"""What the packed frames show besides prices: marks and scores of each instrument, kept from the day's newest records."""
import numpy as np

from _ext.core.clock import SECOND
from _ext.core.reasons import PASS, PENDING
from _ext.quotes import MARKS
from engine.watch.day import Day
from engine.watch.rows import score_of

BIT = {name: 1 << at for at, name in enumerate(MARKS)}
FLARE_NS, SCORE_NS = 5 * SECOND, 60 * SECOND
"""How long a candidate flares on the map, and its score is shown; market time."""
NO_SCORE = 255


class Marks:
    """Marks (bits of quotes.MARKS) and scores (200ths) of `count` instruments."""

    def __init__(self, count: int):
        self.marks, self.scores = np.zeros(count, np.uint8), np.full(count, NO_SCORE, np.uint8)

    def update(self, day: Day, now: int) -> None:
        """As it is at `now` (ns of the market)."""
        self.marks[:] = 0
        self.scores[:] = NO_SCORE
        for inst, row in day.state.positions.items():
            if row["quantity"]:
                self.marks[inst] |= BIT["position"]
        for asked in reversed(day.orders.values()):
            if now - asked.now > 600 * SECOND:
                break
            if not asked.is_over:
                self.marks[int(asked.last["inst"])] |= BIT["order"]
        for seen in reversed(day.candidates.values()):
            if now - seen.now > SCORE_NS:
                break
            c, inst, score = seen.last, int(seen.last["inst"]), score_of(seen.last)
            if score is not None and self.scores[inst] == NO_SCORE:
                self.scores[inst] = round(200 * min(max(score, 0.0), 1.0))
            if c["reason"] == PENDING:
                self.marks[inst] |= BIT["pending"]
            if now - seen.now <= FLARE_NS:
                self.marks[inst] |= BIT["candidate"] | (BIT["passed"] if c["level"] and c["reason"] == PASS else 0)
