"""What the packed frames show besides prices: marks and scores of each instrument, kept from the day's newest records."""
from typing import NamedTuple

import numpy as np

from _ext.core.clock import SECOND
from _ext.core.reasons import PASS, PENDING
from _ext.quotes import MARKS
from engine.watch.day import Day, Seen
from engine.watch.rows import score_of

BIT = {name: 1 << at for at, name in enumerate(MARKS)}
FLARE_NS, SCORE_NS, WORKING_NS = 5 * int(SECOND), 60 * int(SECOND), 600 * int(SECOND)
"""How long a candidate flares on the map, its score is shown, and an order may be working; market time."""
NO_SCORE = 255


class Shown(NamedTuple):
    """What is shown of one candidate: of its instrument, in 200ths, its lasting bits and those of its flare."""
    decided: np.void
    inst: int
    score: int
    bits: int
    flare: int


class Marks:
    """Marks (bits of quotes.MARKS) and scores (200ths) of `count` instruments."""

    def __init__(self, count: int):
        self.marks, self.scores = np.zeros(count, np.uint8), np.full(count, NO_SCORE, np.uint8)
        self._shown: dict[int, Shown] = {}             # of the candidates of the last minute: ten times a second they are the same

    def update(self, day: Day, now: int) -> None:
        """As it is at `now` (ns of the market)."""
        marks, scores = self.marks, self.scores
        marks[:] = 0
        scores[:] = NO_SCORE
        for inst, row in day.state.positions.items():
            if row["quantity"]:
                marks[inst] |= BIT["position"]
        for asked in reversed(day.orders.values()):
            if now - asked.now > WORKING_NS:
                break
            if not asked.is_over:
                marks[int(asked.last["inst"])] |= BIT["order"]
        kept: dict[int, Shown] = {}
        for number, seen in reversed(day.candidates.items()):
            if now - seen.now > SCORE_NS:
                break
            shown = self._shown.get(number)
            if shown is None or shown.decided is not seen.last:
                shown = shown_of(seen)
            kept[number] = shown
            _, inst, score, bits, flare = shown
            if score != NO_SCORE and scores[inst] == NO_SCORE:
                scores[inst] = score
            if now - seen.now <= FLARE_NS:
                bits |= flare
            if bits:
                marks[inst] |= bits
        self._shown = kept


def shown_of(seen: Seen) -> Shown:
    c, score = seen.last, score_of(seen.last)
    passed = BIT["passed"] if c["level"] and c["reason"] == int(PASS) else 0
    return Shown(c, int(c["inst"]), NO_SCORE if score is None else round(200 * min(max(score, 0.0), 1.0)),
                 BIT["pending"] if c["reason"] == int(PENDING) else 0, BIT["candidate"] | passed)
