"""One play of a strategy's check, as a process: `python -m engine.backtest.play`, what is asked on its standard input.

The clock that a strategy sees may be another; files but libraries, this project and the day's copy are out of its reach.
"""
import datetime as dt
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import REC_CANDIDATE, REC_FILL, REC_GATE, REC_INTENT, REC_POSITION, REC_VERDICT
from engine.config import Config
from engine.errors import EngineError
from engine.store import confinement, landlock
from engine.strategies import loading
from engine.strategies.base import Strategy

KINDS = (REC_CANDIDATE, REC_VERDICT, REC_GATE, REC_INTENT, REC_FILL, REC_POSITION)


MOST_BESIDE = 1000
"""Python files beside a strategy that it may import."""


class Opened:
    """Files that a strategy opens while it is called."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.is_watching = False

    def hook(self, event: str, arguments: Any) -> None:
        if self.is_watching and event in ("open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen"):
            word = {"open": "a file", "socket.connect": "a connection", "subprocess.Popen": "a program"}.get(event, "a folder")
            problem = f"it opens {word} while it is called ({str(arguments[0])[:80]}): a backtest cannot know what that held"
            if problem not in self.names:
                self.names.append(problem)


def shift_clock(seconds: int) -> None:
    """Another time for whoever asks from here on: `time` and `datetime`."""
    real_time, real_ns, local, gmt = time.time, time.time_ns, time.localtime, time.gmtime

    class Datetime(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(real_time() + seconds, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(real_time() + seconds, dt.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Date(dt.date):
        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(real_time() + seconds)

    vars(time).update({
        "time": lambda: real_time() + seconds, "time_ns": lambda: real_ns() + seconds * 1_000_000_000,
        "localtime": lambda at=None: local(real_time() + seconds if at is None else at),
        "gmtime": lambda at=None: gmt(real_time() + seconds if at is None else at)})
    vars(dt).update({"datetime": Datetime, "date": Date})


def timed(strategy: Strategy, opened: Opened, spent: list[int]) -> None:
    """Counts the strategy's calls and their time, and watches what they open."""
    called = strategy.called

    def measure(method: str, argument: Any) -> None:
        opened.is_watching = True
        began = time.perf_counter_ns()
        try:
            called(method, argument)
        finally:
            spent.append(time.perf_counter_ns() - began)
            opened.is_watching = False

    vars(strategy)["called"] = measure


def main() -> None:
    asked = orjson.loads(sys.stdin.buffer.read())
    loose: dict[str, Any] = {
        "sources": ["spike"], "strategies": {"checked": {"file": asked["file"], "parameters": asked["parameters"]}},
        "signals": {"noise": 1.0}, "session": {"first_minute": 1},
        "risk": {"orders_per_day": 2000, "losing_streak": 0, "daily_loss": 1.0, "drawdown": 1.0}}
    config = Config(**loose)                   # nothing that would end the day early
    opened, spent = Opened(), list[int]()
    is_confined = landlock.version() > 0
    if is_confined:                            # before anything that begins a thread is imported
        landlock.confine(_rights(config, Path(asked["file"]), Path(asked["folder"])), ())
    from engine.backtest.options import BacktestOptions
    from engine.backtest.session import Account, played
    from engine.feed.dayfile import DayFile

    day, options = DayFile(Path(asked["day"])), BacktestOptions(data=Path(asked["day"]))
    if asked["shift_s"]:
        shift_clock(asked["shift_s"])
    made, source = loading.load("checked", Path(asked["file"]), asked["parameters"])
    timed(made, opened, spent)
    sys.addaudithook(opened.hook)
    account = Account(round(config.risk.account_size * 100))
    kept, trades, ended = played(day, config, options, account, {"checked": (made, source)}, KINDS)
    digest = [hashlib.blake2b(payload, digest_size=8, salt=kind.to_bytes(2, "little")).digest() for kind, _, payload in kept]
    np.savez(asked["out"], now=np.array([now for _, now, _ in kept], np.int64),
             decided=np.frombuffer(b"".join(digest), np.uint64))
    said = {"problems": opened.names + [f"call {call} was stopped: {reason}" for _, call, reason in ended],
            "calls": len(spent), "us_a_call": round(float(np.median(spent)) / 1000, 1) if spent else None, "trades": trades,
            "candidates": sum(kind == REC_CANDIDATE and _source(payload) == 1 for kind, _, payload in kept),
            "is_confined": is_confined}
    sys.stdout.buffer.write(orjson.dumps(said))


def _rights(config: Config, file: Path, folder: Path) -> list[tuple[Path, int]]:
    """What a play may touch: libraries, this project, the check's own folder, and the Python files beside the strategy."""
    beside = sorted(file.parent.rglob("*.py"))[:MOST_BESIDE]
    return [(folder, landlock.WRITE), *((path, landlock.READ) for path in (*confinement.readable(config, False), file, *beside))]


def _source(payload: bytes) -> int:
    from _ext.core.records import CANDIDATE

    return int(np.frombuffer(payload, CANDIDATE)[0]["source"])


if __name__ == "__main__":
    try:
        main()
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        os._exit(1)
