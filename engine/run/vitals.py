"""What an engine shows of itself: the status block, and what is wrong in words."""
import os
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.run.live import EngineProcess

READY, ENDED = 1, 2
"""Words of the block's `ready`; 0: not yet."""
NO_FILTER = ("the filter is off: no model is active, so every candidate is refused; `python -m engine model list` shows what there "
             "is, `model promote` lets one trade")
COUNTS = ("updates", "frames", "rejected", "unknown", "candidates", "signals", "orders", "requests", "gaps", "late", "repeats",
          "records")
MONEY = ("equity", "available", "realised", "charges", "open", "exposure", "best")
USED = ("losses", "used_second", "used_minute", "used_half_hour", "used_hour", "used_day", "entries_minute", "skew_ms")


class Vitals:
    """Publishes the state of `process`; read by other processes, never by a decision."""

    def __init__(self, process: "EngineProcess"):
        self.process = process
        self.started, self.first_update = time.time_ns(), 0
        self.order_times: deque[int] = deque(maxlen=500)      # ns from the request's first byte to its answer

    def order_took(self, latency_ns: int) -> None:
        self.order_times.append(latency_ns)

    def no_room(self) -> str:
        return f"the journal has no room ({self.process.journal.problem or 'the store does not drain it'}): entries stop"

    def troubles(self, is_last: bool = False) -> list[str]:
        """What is wrong with this engine, in words. What is not drained at the end, the store and the launcher say."""
        p = self.process
        found = (self.no_room() if p.journal.full else "", "" if is_last else p.guards.drain,
                 NO_FILTER if p.core.scorer is None else "", p.models.refusal, *p.shell.stopped)
        return [text for text in found if text]

    def publish(self, ready: int = READY) -> None:
        p, core, v = self.process, self.process.core, self.process.status.values
        counts, money, used = core.counts(), core.money(), core.used()
        if not self.first_update and counts["updates"]:
            self.first_update = time.time_ns()
        trading, operator, feed_up, positions = core.states()
        p50, p99, p999, worst = p.feed.percentiles()
        times = sorted(self.order_times) or [0]
        for name, value in {
            "pid": os.getpid(), "heartbeat": time.time_ns(), "now": core.now, "speed": p.clock.speed, "trading": trading,
            "operator": operator, "feed_up": feed_up, "positions": positions, "reconnects": max(p.feed.connects - 1, 0),
            "instruments": core.keys.size, "digest": core.digest, "epoch": p.journal.epoch, "p50": p50, "p99": p99, "p999": p999,
            "max": worst, "order_p50": times[len(times) // 2], "order_max": times[-1], "first_update": self.first_update,
            "started": self.started, "journal_full": p.journal.full and ready != ENDED, "ready": ready,
            "sequence": p.journal.seq, "filter": core.scorer is not None,
            "trouble": "\n".join(self.troubles(ready == ENDED)).encode()[:600],
            **{name: counts[name] for name in COUNTS}, **{name: money[name] for name in MONEY},
            **{name: used[name] for name in USED},
        }.items():
            v[name] = value
        p.status.publish()
