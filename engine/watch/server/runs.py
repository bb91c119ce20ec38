"""The runs of a folder: those that trade or have traded, backtests with their days, and what-ifs; opened when somebody looks."""
import asyncio
import contextlib
import os
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
LISTED, NAME_MAX = 500, 200
RESULT_MAX = 256 << 20


class NoSuchRun(EngineError):
    """There is no run of this name, or nothing in it to look at."""


class Runs:
    """Runs below `root`; `own` is the one this server follows."""

    def __init__(self, root: Path, own: Follow):
        self.root, self.own = root, own
        self.open: OrderedDict[str, Follow] = OrderedDict()
        self._starts: dict[str, tuple[int, dict[str, Any]]] = {}
        self.opening: dict[str, asyncio.Task[Follow]] = {}

    def path_of(self, name: str) -> Path:
        """The folder of a run, or of a day of a backtest (`NAME/DAY`). NoSuchRun for any other place."""
        parts = name.split("/")
        if not 1 <= len(parts) <= 2 or any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise NoSuchRun(f"{name[:80]!r} is no name of a run")
        path = self.root.joinpath(*parts)
        if len(name) > NAME_MAX or not path.is_dir() or not path.resolve().is_relative_to(self.root.resolve()):
            raise NoSuchRun(f"there is no run {name[:80]!r} in {self.root.name}")
        about = path.stat()
        if about.st_uid != os.getuid() or about.st_mode & 0o022:         # its strategies would be run here
            raise NoSuchRun(f"{name} can be written by others: only runs of your own are opened (`chmod go-w`)")
        return path

    async def get(self, name: str) -> Follow:
        """The run of this name (empty: the one followed), read to what is written. NoSuchRun."""
        if not name or name == self.own.name:
            return self.own
        if name in self.open:
            self.open.move_to_end(name)
            follow = self.open[name]
            while follow.advance(0.05):                        # another run that goes on
                await asyncio.sleep(0)
            follow.look()
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
            with contextlib.suppress(Exception):               # whatever lies there: it is no run that could be shown
                found.append(self._row(path))
        return sorted(found, key=lambda row: -row["began_us"])[:LISTED]

    def _row(self, path: Path) -> dict[str, Any]:
        """The line of one run; what stands in its first segment is read once."""
        if (path / "backtest.json").exists():
            return _backtest(path)
        begun = (path / "journal").stat().st_mtime_ns
        if self._starts.get(path.name, (0, None))[0] != begun:
            head = RunDir.existing(path).reader().read()
            start = orjson.loads(head[3]) if head is not None and head[0] == REC_START else {}
            self._starts[path.name] = begun, start
        return _run(path, self._starts[path.name][1])

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


def kind_of(start: dict[str, Any]) -> str:
    """What kind of run a START record is of."""
    return "whatif" if "inputs" in start else "live" if start.get("step") else "paper" if start.get("via") else "run"


def _run(path: Path, start: dict[str, Any]) -> dict[str, Any]:
    run = RunDir.existing(path)
    status, _ = vital_signs(run)
    kind = "whatif" if (path / "whatif.json").exists() else kind_of(start)
    row: dict[str, Any] = {
        "name": path.name, "kind": kind, "day": str(start.get("day", "")), "source": str(start.get("source", "")),
        "began_us": (path / "journal").stat().st_mtime_ns // 1000, "is_running": is_running(run), "trades": None, "net": None,
        "candidates": None, "passed": None, "updates": None, "problem": None}
    if status is not None:
        net = int(status["realised"]) + int(status["open"]) - int(status["charges"])
        row |= {"net": net, "candidates": int(status["candidates"]), "passed": int(status["signals"]),
                "updates": int(status["updates"]), "orders": int(status["orders"])}
    return row

