"""The runs of a folder: those that trade or have traded, backtests with their days, and what-ifs; opened when somebody looks."""
import asyncio
import contextlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import orjson

from _ext.core.records import REC_START
from engine.errors import EngineError
from engine.trail.checked import JournalError
from engine.trail.rundir import FolderError, RunDir
from engine.trail.signs import is_running, vital_signs
from engine.watch.follow import Follow, followed

KEPT = 2
"""Runs besides the one followed that stay open: each holds its day's candidates and candles."""
LISTED = 500
RESULT_MAX = 256 << 20


class NoSuchRun(EngineError):
    """There is no run of this name, or nothing in it to look at."""


class Runs:
    """Runs below `root`; `own` is the one this server follows."""

    def __init__(self, root: Path, own: Follow):
        self.root, self.own = root, own
        self.open: OrderedDict[str, Follow] = OrderedDict()
        self.opening: dict[str, asyncio.Task[Follow]] = {}

    def path_of(self, name: str) -> Path:
        """The folder of a run, or of a day of a backtest (`NAME/DAY`). NoSuchRun for any other place."""
        parts = name.split("/")
        if not 1 <= len(parts) <= 2 or any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise NoSuchRun(f"{name[:80]!r} is no name of a run")
        path = self.root.joinpath(*parts)
        if not path.is_dir() or not path.resolve().is_relative_to(self.root.resolve()):
            raise NoSuchRun(f"there is no run {name[:80]!r} in {self.root.name}")
        return path

    async def get(self, name: str) -> Follow:
        """The run of this name (empty: the one followed), read to what is written. NoSuchRun."""
        if not name or name == self.own.name:
            return self.own
        if name in self.open:
            self.open.move_to_end(name)
            follow = self.open[name]
            follow.advance(0.05)
            return follow
        if name not in self.opening:
            path = self.path_of(name)
            self.opening[name] = asyncio.create_task(asyncio.to_thread(self._opened, path))
        try:
            follow = await asyncio.shield(self.opening[name])
        except (JournalError, FolderError) as error:
            raise NoSuchRun(str(error)) from None
        finally:
            self.opening.pop(name, None)
        self.open[name] = follow
        while len(self.open) > KEPT:
            self.open.popitem(last=False)
        return follow

    @staticmethod
    def _opened(path: Path) -> Follow:
        return followed(path)

    def listed(self) -> list[dict[str, Any]]:
        """Every run, the newest first."""
        found = []
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.is_symlink() or path.name.startswith(".") or not path.is_dir():
                continue
            with contextlib.suppress(EngineError, OSError, ValueError, KeyError, TypeError):
                found.append(_backtest(path) if (path / "backtest.json").exists() else _run(path))
        return sorted(found, key=lambda row: -row["began_us"])[:LISTED]

    def result(self, name: str) -> dict[str, Any]:
        """backtest.json of a backtest, or whatif.json of a what-if. NoSuchRun."""
        path = self.path_of(name)
        for file in (path / "backtest.json", path / "whatif.json"):
            if file.exists():
                if file.stat().st_size > RESULT_MAX:
                    raise NoSuchRun(f"{file.name} of {name} is larger than any result of ours")
                try:
                    document = orjson.loads(file.read_bytes())
                except ValueError:
                    raise NoSuchRun(f"{file.name} of {name} cannot be read: run the backtest again") from None
                if isinstance(document, dict):
                    return document
        raise NoSuchRun(f"{name} is no backtest and no what-if")


def _backtest(path: Path) -> dict[str, Any]:
    document = orjson.loads((path / "backtest.json").read_bytes())
    summary, first, last = document.get("result") or {}, str(document.get("first") or ""), str(document.get("last") or "")
    return {"name": path.name, "kind": "backtest", "day": first if first == last else f"{first} to {last}",
            "began_us": (path / "backtest.json").stat().st_mtime_ns // 1000, "is_running": False,
            "trades": summary.get("trades"), "net": None if summary.get("net") is None else round(100 * summary["net"]),
            "candidates": None, "passed": None, "updates": document.get("rows"), "problem": document.get("problem"),
            "days": sorted(part.name for part in path.iterdir() if (part / "journal").is_dir())}


def _run(path: Path) -> dict[str, Any]:
    run = RunDir.existing(path)
    head = run.reader().read()
    start = orjson.loads(head[3]) if head is not None and head[0] == REC_START else {}
    status, _ = vital_signs(run)
    is_whatif = (path / "whatif.json").exists() or "inputs" in start
    kind = "whatif" if is_whatif else "live" if start.get("step") else "paper" if start.get("via") else "run"
    row: dict[str, Any] = {
        "name": path.name, "kind": kind, "day": str(start.get("day", "")), "source": str(start.get("source", "")),
        "began_us": head[2] // 1000 if head is not None else 0, "is_running": is_running(run), "trades": None, "net": None,
        "candidates": None, "passed": None, "updates": None, "problem": None}
    if head is not None and start.get("source") != "upstox":         # a simulated day's own time says nothing of when it was made
        row["began_us"] = (path / "journal").stat().st_mtime_ns // 1000 if (path / "journal").exists() else row["began_us"]
    if status is not None:
        net = int(status["realised"]) + int(status["open"]) - int(status["charges"])
        row |= {"net": net, "candidates": int(status["candidates"]), "passed": int(status["signals"]),
                "updates": int(status["updates"]), "orders": int(status["orders"])}
    return row

