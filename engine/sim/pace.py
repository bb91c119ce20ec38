"""The sim's time: so many market seconds a second, and never more of them than its market has been made for.

Where the machine is too slow for the pace that is asked, the day runs slower. Nothing is ever late by the sim's own clock.
"""
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

GRACE_S = 0.05
"""Wall time the market may be behind its pace and still catch up with it; what is beyond is lost to the day."""
LOOKS = 10
STEPS = 8                            # buckets of the lateness an octave: 9 % wide
BUCKETS = 27 * STEPS                 # 1 us to over a minute


class Lateness:
    """Wall time between when frames were due by the sim's clock and when they were sent, in buckets."""

    def __init__(self) -> None:
        self.counts = np.zeros(BUCKETS, np.int64)
        self.most = 0.0

    def add(self, seconds: float, frames: int) -> None:
        if not frames:
            return
        self.most = max(self.most, seconds)
        self.counts[min(int(math.log2(max(seconds * 1e6, 1.0)) * STEPS), BUCKETS - 1)] += frames

    def ms(self, share: float) -> float:
        """The upper edge, ms, of the bucket below which `share` of all frames were."""
        seen = np.cumsum(self.counts)
        if not seen[-1]:
            return 0.0
        edge = 2 ** ((int(np.searchsorted(seen, math.ceil(share * seen[-1]))) + 1) / STEPS) / 1e3
        return round(min(edge, self.most * 1e3), 3)

    def document(self) -> dict[str, Any]:
        return {"frames": int(self.counts.sum()), "p50": self.ms(0.5), "p99": self.ms(0.99), "p999": self.ms(0.999),
                "max": round(self.most * 1e3, 3)}


class Pace:
    """`speed` market seconds a second from `first` (ns) on, once it is started. `wall` gives seconds."""

    def __init__(self, speed: float, first: int, wall: Callable[[], float] = time.monotonic):
        self.speed, self.first, self.wall = speed, first, wall
        self.began = self.zero = 0.0             # the start; the start as if what was lost had never been
        self.limit: int | None = first           # the market is made and sent up to here; None: it has ended
        self.has_started = False
        self.end: tuple[float, int] | None = None       # of the market: wall and market time
        self.reached = 0.0                       # speed of the last seconds
        self.lateness = Lateness()
        self.stops, self.longest, self.lost = 0, 0.0, 0.0        # how often the clock stood, and for how long (s)
        self._looks: deque[tuple[float, int]] = deque(maxlen=LOOKS)

    def start(self) -> None:
        self.has_started = True
        self.began = self.zero = self.wall()
        self._looks.append((self.began, self.first))

    def due(self) -> int:
        """Where the market should be by now."""
        return self.first + round((self.wall() - self.zero) * self.speed * 1e9) if self.has_started else self.first

    def now(self) -> int:
        """The sim's clock, ns since 1970."""
        return self.due() if self.limit is None else min(self.due(), self.limit)

    def allow(self, until: int | None) -> None:
        """All that the market does before `until` has been sent; None: all it ever does."""
        if until is None and self.limit is not None and self.has_started:
            self._give_up(self.limit)
            self.end = self.wall(), self.limit
        self.limit = until

    def sent(self, at: int, frames: int) -> None:
        """`frames` have been sent, the first of which was due at `at`."""
        self.lateness.add(self._give_up(at), frames)

    def _give_up(self, at: int) -> float:
        """How far what belongs to `at` is behind (s of wall time). Time beyond what may be caught up with is lost: the clock stood
        and goes on from there."""
        behind = (self.due() - at) / 1e9 / self.speed
        lost = behind - GRACE_S
        if lost > 0:
            self.zero += lost
            self.stops, self.longest, self.lost = self.stops + 1, max(self.longest, lost), self.lost + lost
        return min(behind, GRACE_S)

    def look(self) -> float:
        """The speed of the last looks."""
        if self.has_started:
            self._looks.append((self.wall(), self.now()))
            (at, then), (last, now) = self._looks[0], self._looks[-1]
            self.reached = (now - then) / 1e9 / (last - at) if last > at else 0.0
        return self.reached

    def document(self) -> dict[str, Any]:
        """What was asked and what was reached, of the last look and in all; how late frames were sent by the sim's clock (ms of
        wall time), how often it stood and for how long (s)."""
        at, now = self.end or (self.wall(), self.now())
        whole = (now - self.first) / 1e9 / (at - self.began) if self.has_started and at > self.began else 0.0
        return {"asked": self.speed, "reached": round(self.reached, 2), "reached_in_all": round(whole, 2),
                "late_ms": self.lateness.document(), "stops": self.stops, "longest_stop": round(self.longest, 3),
                "lost": round(self.lost, 1)}


def words(document: dict[str, Any]) -> str:
    """One line for whoever ran the sim."""
    late = document["late_ms"]
    stood = (f"; the clock stood {document['stops']:,} times, {document['lost']:g} s in all, {document['longest_stop'] * 1e3:.0f} "
             "ms the longest") if document["stops"] else ""
    return (f"x{document['asked']:g} asked, x{document['reached_in_all']:.3g} reached; {late['frames']:,} frames sent behind the "
            f"sim's clock by, ms of wall time: p50 {late['p50']:g}, p99 {late['p99']:g}, p99.9 {late['p999']:g}, "
            f"max {late['max']:g}{stood}")
