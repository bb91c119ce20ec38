"""The server's side of the time machine: one seek process for each run that is looked at, asked over pipes, in turn."""
import asyncio
import contextlib
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import orjson

from engine.errors import EngineError
from engine.watch.seek import LENGTH, MOST, environment

KEPT = 2
"""Runs whose copies are kept; the one that was asked longest ago goes."""
WAIT_S = 60.0
LINE_MAX = 1 << 20


class SeekFailed(EngineError):
    """The time machine cannot say; what to do instead."""


class Seeker:
    """Asks for moments of runs. `models`: folder of the models."""

    def __init__(self, models: Path):
        self.models = models
        self.processes: OrderedDict[Path, asyncio.subprocess.Process] = OrderedDict()
        self.locks: dict[Path, asyncio.Lock] = {}

    async def ask(self, path: Path, at_ns: int, panel: str, arguments: dict[str, Any]) -> bytes:
        """The answer of a panel at a moment, as JSON. SeekFailed."""
        lock = self.locks.setdefault(path, asyncio.Lock())
        async with lock:
            process = await self._process(path)
            assert process.stdin is not None and process.stdout is not None
            request = orjson.dumps({"at": at_ns, "panel": panel, "arguments": arguments})
            try:
                process.stdin.write(LENGTH.pack(len(request)) + request)
                await process.stdin.drain()
                size = LENGTH.unpack(await asyncio.wait_for(process.stdout.readexactly(LENGTH.size), WAIT_S))[0]
                if size > MOST:
                    raise OSError("no answer is so large")
                return await asyncio.wait_for(process.stdout.readexactly(size), WAIT_S)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                words = await self._ended(path)
                raise SeekFailed(f"the time machine of {path.name} has ended{': ' + words if words else ''}; ask again") from None

    async def warm(self, path: Path) -> None:
        """Begins to apply a run's journal, so that the first moment that is asked for is not waited for."""
        async with self.locks.setdefault(path, asyncio.Lock()):
            await self._process(path)

    async def _process(self, path: Path) -> asyncio.subprocess.Process:
        found = self.processes.get(path)
        if found is not None and found.returncode is None:
            self.processes.move_to_end(path)
            return found
        idle = [one for one in self.processes if not self.locks[one].locked()]
        for oldest in idle[:max(len(self.processes) + 1 - KEPT, 0)]:
            await self._ended(oldest)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.watch.seek", str(path), json.dumps(str(self.models)), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE_MAX,
            env=environment())
        self.processes[path] = process
        return process

    async def _ended(self, path: Path) -> str:
        """Ends the process of a run; its last words."""
        process = self.processes.pop(path, None)
        if process is None:
            return ""
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
        words = b""
        if process.stderr is not None:
            with contextlib.suppress(TimeoutError):
                words = await asyncio.wait_for(process.stderr.read(4096), 1.0)
        await process.wait()
        lines = words.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    async def close(self) -> None:
        for path in list(self.processes):
            await self._ended(path)
