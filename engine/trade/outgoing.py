"""The queue between the core's decisions and the wire: exits before cancels before entries, inside the broker's limits.

The gate keeps its own counts when it decides; this is the last place before the bytes, so whatever was decided, no more than
the broker allows leaves. Pure: no clock, no I/O.
"""
import heapq
from collections import deque

import numpy as np

from _ext.core.clock import SECOND
from _ext.core.records import INTENT_CANCEL, INTENT_PLACE, ROLE_ENTRY

WINDOWS = ((SECOND, 10), (60 * SECOND, 500), (1800 * SECOND, 2000))
"""Length and requests of the broker's three windows (docs/upstox.md 4.1); places, modifies and cancels count."""
ENTRY_RESERVE = 2                # of the one-second window, for exits
ENTRY_LIFE = SECOND              # an entry that could not leave in this time was for another market
ROOM = 128
EXIT, CANCEL, ENTRY = 0, 1, 2


class Outgoing:
    """Bounded, by priority. `push` and `take` in any order; what `take` gives may be sent at once."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, int, np.void]] = []
        self.sent: deque[int] = deque(maxlen=WINDOWS[-1][1])
        self.number = 0
        self.dropped: list[np.void] = []

    def push(self, intent: np.void, now: int) -> None:
        """Queues a request. Without room the youngest entry makes some; without one to give way it is dropped itself."""
        kind, role = int(intent["kind"]), int(intent["role"])
        rank = ENTRY if kind == INTENT_PLACE and role == ROLE_ENTRY else CANCEL if kind == INTENT_CANCEL else EXIT
        if len(self.heap) >= ROOM:
            last = max(self.heap)
            if last[0] <= rank:
                self.dropped.append(intent)
                return
            self.heap.remove(last)
            heapq.heapify(self.heap)
            self.dropped.append(last[3])
        self.number += 1
        heapq.heappush(self.heap, (rank, self.number, now, intent))

    def take(self, now: int) -> tuple[list[np.void], list[np.void]]:
        """(requests that may leave now, requests that will never: too old or no room)."""
        going: list[np.void] = []
        over, self.dropped = self.dropped, []
        while self.heap:
            rank, _, since, intent = self.heap[0]
            if rank == ENTRY and now - since > ENTRY_LIFE:
                heapq.heappop(self.heap)
                over.append(intent)
            elif self._has_room(now, ENTRY_RESERVE if rank == ENTRY else 0):
                heapq.heappop(self.heap)
                self.sent.append(now)
                going.append(intent)
            else:
                break
        return going, over

    def _has_room(self, now: int, reserve: int) -> bool:
        for i, (length, limit) in enumerate(WINDOWS):
            limit -= reserve if i == 0 else 0
            if len(self.sent) >= limit and self.sent[-limit] > now - length:
                return False
        return True

    def __len__(self) -> int:
        return len(self.heap)
