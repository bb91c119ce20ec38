"""What metrics and alerts look at: one moment of a run, gathered by whoever follows it."""
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from _ext.core.clock import MINUTE, day_of_minutes, open_minute
from engine.trail.signs import ENDED, READY
from engine.watch.state import RunState
from engine.watch.tally import Tally
from engine.watch.trades import Trade

SESSION_MINUTES = 375
"""09:15 to 15:30."""


@dataclass(frozen=True)
class Channel:
    """One way alerts are told; `name` says what kind it is and nothing of its address."""
    name: str
    sent: int = 0
    failed: int = 0                   # messages given up after every try
    dropped: int = 0                  # there was no room to wait in
    dead_since: int = 0               # wall time ns of the first failure since the last success; 0: it works
    why: str = ""


@dataclass
class Watched:
    """Money in paise, times ns since 1970. `now_ns` is the time of the last record that was followed, `wall_ns` this machine's.
    What is None or empty is unknown: nothing is said of it."""
    now_ns: int
    wall_ns: int
    status: Any = None                # of the status block
    store: Mapping[str, Any] = field(default_factory=dict)
    launcher: Mapping[str, Any] = field(default_factory=dict)
    state: RunState = field(default_factory=RunState)
    tally: Tally = field(default_factory=Tally)
    trades: Sequence[Trade] = ()      # of the day
    troubles: Sequence[str] = ()
    is_paper: bool = True
    run: str = ""
    mode: str = ""                    # paper, live, observe, simulated
    source: str = ""
    version: str = ""
    day: str = ""
    days: Mapping[str, int] = field(default_factory=dict)     # earlier day -> net result of the account
    updates_per_s: float | None = None
    store_lag_s: float | None = None  # of StoreLag
    drift: Mapping[str, Any] | None = None                    # engine/watch/drift.py `measure`
    threshold: float | None = None    # of the active model
    model: str = ""                   # head of its sha256
    model_age_s: float | None = None
    token_s: float | None = None      # until it expires
    disk_free: int | None = None      # bytes
    disk_rate: float | None = None    # bytes a second it fills by; negative: it empties
    memory: Mapping[str, int] = field(default_factory=dict)   # process -> resident bytes
    channels: Sequence[Channel] = ()
    firing: Mapping[str, int] = field(default_factory=dict)   # severity -> alerts that stand

    # ---- what follows from it ------------------------------------------------------------------------------------------
    @property
    def minute(self) -> int:
        """Minutes after 09:15 in India; negative before."""
        minutes = self.now_ns // MINUTE
        return int(minutes - open_minute(day_of_minutes(minutes)))

    @property
    def is_session(self) -> bool:
        """Whether the market trades. A run of a day without a session has none of its own clock either."""
        return 0 <= self.minute < SESSION_MINUTES

    @property
    def is_ready(self) -> bool:
        return self.status is not None and int(self.status["ready"]) == READY

    @property
    def has_ended(self) -> bool:
        return self.status is not None and int(self.status["ready"]) == ENDED

    @property
    def heartbeat_s(self) -> float | None:
        """Since the engine's last sign of life; None before it is ready and once it has ended in order."""
        return max(self.wall_ns - int(self.status["heartbeat"]), 0) / 1e9 if self.is_ready else None

    @property
    def realised(self) -> int:
        return int(self.status["realised"]) if self.status is not None else self.state.realised

    @property
    def charges(self) -> int:
        return int(self.status["charges"]) if self.status is not None else self.state.charges

    @property
    def open(self) -> int:
        """Of positions, at the last price."""
        return int(self.status["open"]) if self.status is not None else 0

    @property
    def net(self) -> int:
        return self.realised + self.open - self.charges

    @property
    def equity(self) -> int | None:
        return int(self.status["equity"]) if self.status is not None and int(self.status["equity"]) > 0 else None

    @property
    def closed(self) -> list[Trade]:
        """By the time they were closed."""
        return sorted((trade for trade in self.trades if trade.is_closed), key=lambda trade: trade.exit_time)

    @property
    def store_lag_rows(self) -> int | None:
        """Updates that are not in ClickHouse yet."""
        if self.status is None or "stored" not in self.store:
            return None
        return max(int(self.status["updates"]) - int(self.store["stored"]), 0)

    @property
    def restarts(self) -> Mapping[str, int]:
        """Process -> deaths in all, as the launcher counts them."""
        return {str(name): int(count) for name, count in (self.launcher.get("died") or {}).items()}


class StoreLag:
    """How old the oldest update is that ClickHouse does not have: `take` about once a second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=7200)

    def take(self, wall_ns: int, updates: int, stored: int) -> float:
        """Seconds; 0 where all is stored."""
        if self._seen and updates < self._seen[-1][1]:
            self._seen.clear()                                 # another engine counts anew
        self._seen.append((wall_ns, updates))
        while len(self._seen) > 1 and self._seen[0][1] <= stored:
            self._seen.popleft()
        return max(wall_ns - self._seen[0][0], 0) / 1e9 if updates > stored else 0.0
