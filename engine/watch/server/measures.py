"""What metrics and alerts are told of the run that is followed: one `Watched` a second, and what takes longer once in a while."""
import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import EngineError
from engine.store.client import client_of, number_of
from engine.trail.rundir import is_held
from engine.watch import drift
from engine.watch.follow import Follow
from engine.watch.moment import models
from engine.watch.watched import Watched
from engine.watch.watching import Watching

LOOK_S, DAYS_S, DRIFT_S = 1.0, 60.0, 600.0
"""Between two looks; between two at the days before; between two questions to ClickHouse about drift."""


class Measures:
    """Feeds `watching` with what `follow` reads. `days` gives earlier day -> net result of the account (paise)."""

    def __init__(self, follow: Follow, config: Config, mode: Callable[[], str], days: Callable[[], Mapping[str, int]]):
        self.follow, self.config, self.mode, self.days_of = follow, config, mode, days
        self.watching = Watching(follow.run, config.alerts, Path(config.models))
        follow.listeners.append(self.watching.take)
        self.days: Mapping[str, int] = {}
        self.drift: dict[str, Any] | None = None
        self.why_no_drift = "not measured yet"
        self._looked = 0.0
        self._version = version("spike-engine")

    def look(self) -> None:
        """At most once a second: metrics, alerts, and what is to be told."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        is_attended = self.follow.is_live or is_held(self.follow.run.path / "launcher.lock")
        self.watching.look(self.view(), tells=is_attended)     # of a run that is over nothing is news

    def view(self) -> Watched:
        """The run at this moment."""
        follow, day = self.follow, self.follow.day
        active = models(day)["active"]
        thresholds = [float(row["threshold"]) for _, row in day.models if row["sha256"].decode().startswith(active or "-")]
        return Watched(
            follow.now(), time.time_ns(), follow.status, follow.store, state=day.state, trades=day.trades,
            troubles=tuple(follow.troubles), is_paper=self.mode() != "live", run=follow.name, mode=self.mode(),
            source=str(day.start.get("source", "")), version=self._version, day=str(day.start.get("day", "")), days=self.days,
            updates_per_s=follow.rate, drift=self.drift, threshold=thresholds[-1] if thresholds else None, model=active)

    async def run(self) -> None:
        """Looks at the days before, and measures drift in the store now and then; in threads, for both take their time."""
        drift_at = time.monotonic() + DAYS_S
        while True:
            self.days = await asyncio.to_thread(self.days_of)
            await asyncio.sleep(DAYS_S)
            if not self.follow.is_live or time.monotonic() < drift_at:
                continue
            drift_at = time.monotonic() + DRIFT_S
            try:
                self.drift, self.why_no_drift = await asyncio.to_thread(self._measured), ""
            except (EngineError, LookupError, OSError) as error:
                self.why_no_drift = str(error)
            except Exception as error:                     # of ClickHouse's client, whose words are not ours
                self.why_no_drift = f"the store did not answer ({type(error).__name__})"

    def _measured(self) -> dict[str, Any]:
        run = self.follow.run
        with client_of(self.config, run) as client:
            return drift.measure(client, Path(self.config.models), f"run = {number_of(run)}")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.watching.close()
