"""Metrics and alerts of one run, put together: what the machine says, the book, its delivery, the sign of life.

`take` each record of the journal, frames too; `look` about once a second. Nothing here waits: what is sent has threads of its own.
"""
import contextlib
import datetime as dt
import os
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from engine.broker.upstox.login import LoginError
from engine.broker.upstox.login import load as token_in_force
from engine.config.alerts import Alerts
from engine.errors import UsageError
from engine.market.sessions import IST
from engine.trail.note import read_note
from engine.trail.rundir import RunDir, start_time
from engine.watch.alerts.book import Alert, Notice, keep, kept
from engine.watch.alerts.delivery import Delivery
from engine.watch.alerts.heartbeat import Heartbeat
from engine.watch.alerts.secrets import Addresses, addresses
from engine.watch.metrics import Metrics
from engine.watch.tally import Tally
from engine.watch.watched import StoreLag, Watched

SLOW_NS = 60_000_000_000
"""Between two looks at what changes slowly: token and model."""
PACE_NS = 600_000_000_000
"""The disk's pace is that of so long."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Watching:
    """`metrics.text()` is what a scrape gets. `problem`: why there are no addresses, in words. `models`: folder of the models."""

    def __init__(self, run: RunDir, settings: Alerts, models: Path, given: Addresses | None = None):
        self.run, self.models, self.problem = run, models, ""
        try:
            found = addresses() if given is None else given
        except UsageError as error:
            found, self.problem = Addresses(), str(error)
        self.tally, self.metrics, self.lag = Tally(), Metrics(), StoreLag()
        self.file = run.path / "alerts.json"
        self.book = kept(settings, self.file)
        self.delivery = Delivery(found)
        self.heartbeat = Heartbeat(found, settings.heartbeat_s)
        self._disk: deque[tuple[int, int]] = deque(maxlen=1200)
        self._slow = 0
        self._token_s: float | None = None
        self._model_s: float | None = None

    def take(self, kind: int, now: int, payload: bytes) -> None:
        """One record."""
        self.tally.take(kind, now, payload)

    def look(self, view: Watched, tells: bool = True) -> list[Notice]:
        """Completes `view` by what the machine says, updates the metrics, tells what is to be told, and gives it back. `tells`: the
        run goes on; of one that is over there are figures and no alerts."""
        view.tally = self.tally
        self._of_the_machine(view)
        view.channels, view.firing = self.delivery.channels(), self.book.by_severity()
        view.troubles = [*view.troubles, *([self.problem] if self.problem else [])]
        if not tells:
            self.metrics.update(view)
            return []
        notices = self.book.take(view)
        view.firing = self.book.by_severity()
        self.delivery.tell(notices)
        self.metrics.update(view)
        self.heartbeat.take(view.is_ready and (view.heartbeat_s or 0) < self.book.settings.silent_s)
        with contextlib.suppress(OSError):                     # a full disk: the book is kept at the next change
            keep(self.book, self.file)
        return notices

    def acknowledge(self, number: int, who: str, now: int) -> Alert:
        """LookupError where there is no such alert."""
        row = self.book.acknowledge(number, who, now)
        with contextlib.suppress(OSError):
            keep(self.book, self.file)
        return row

    def rows(self) -> list[dict[str, Any]]:
        """Alerts for the page, the newest first; times in us."""
        return [{"id": r.id, "name": r.name, "subject": r.subject, "severity": r.severity, "text": r.text, "count": r.count,
                 "since_us": r.since // 1000, "until_us": r.until // 1000 or None, "acknowledged_by": r.acknowledged_by or None}
                for r in sorted(self.book.rows, key=lambda r: -r.since)]

    def close(self) -> None:
        """Gives what waits a moment to leave."""
        self.delivery.close()

    # ---- the machine ---------------------------------------------------------------------------------------------------
    def _of_the_machine(self, view: Watched) -> None:
        if not view.launcher:
            view.launcher = read_note(self.run.launcher)
        if view.status is not None and "stored" in view.store:
            view.store_lag_s = self.lag.take(view.wall_ns, int(view.status["updates"]), int(view.store["stored"]))
        with contextlib.suppress(OSError):
            room = os.statvfs(self.run.path)
            view.disk_free = room.f_bavail * room.f_frsize
            view.disk_rate = self._pace(view.wall_ns, view.disk_free)
        view.memory = {name: size for name, (pid, started) in read_note(self.run.children).items()
                       if start_time(int(pid)) == started and (size := resident(int(pid)))}
        if view.wall_ns - self._slow >= SLOW_NS:
            self._slow = view.wall_ns
            self._token_s = token_left() if view.source == "upstox" else None
            self._model_s = trained_ago(self.models, view.model, view.wall_ns)
        view.token_s, view.model_age_s = self._token_s, self._model_s

    def _pace(self, now: int, free: int) -> float | None:
        """Bytes a second by which the disk fills; None before a minute has passed."""
        self._disk.append((now, free))
        while now - self._disk[0][0] > PACE_NS:
            self._disk.popleft()
        passed = (now - self._disk[0][0]) / 1e9
        return (self._disk[0][1] - free) / passed if passed >= 60 else None


def resident(pid: int) -> int:
    """Bytes a process has in memory; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def token_left() -> float | None:
    """Seconds until the broker's token expires, less than 0 where it has; None where there is none to know of."""
    now = dt.datetime.now(IST)
    try:
        return token_in_force(now).seconds_left(now)
    except LoginError as error:
        return -1.0 if "expired" in str(error) else None


def trained_ago(folder: Path, model: str, now: int) -> float | None:
    """Seconds since the day a model was trained; None where its card does not say."""
    if not model:
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        day = dt.date.fromisoformat(orjson.loads((folder / f"{model[:16]}.json").read_bytes())["trained"])
        return now / 1e9 - dt.datetime.combine(day, dt.time(), IST).timestamp()
    return None
