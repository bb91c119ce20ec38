"""Who keeps a home's database: serves it to readers and fills it with the rows of every run and backtest that wants them there."""
import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from engine.config import Config
from engine.store.backtests import DOCUMENT
from engine.store.embedded import Embedded
from engine.store.filling import Filling
from engine.store.grants import DATABASE
from engine.store.home import Home
from engine.store.storing import Storing
from engine.trail.rundir import Lock, RunError

LOOK_S = 0.1


class Keeper:
    """`lock` is that of `home`, given up at the end. The database answers at `listener`, or at a port nobody has."""

    def __init__(self, home: Home, lock: Lock, config: Config, has_readers: bool, listener: socket.socket | None):
        self.home, self.lock, self.config, self.has_readers, self.listener = home, lock, config, has_readers, listener
        self.fillings: dict[str, Filling | Storing] = {}

    async def keep(self, done: asyncio.Future[Any], ready: Callable[[int], Any] = lambda _: None) -> None:
        """Until `done`; `ready` is told the port. What a filling has under way is finished first."""
        embedded = None
        try:
            self.home.answers_at(None)
            embedded = Embedded(self.home.database, self.has_readers)
            port = await embedded.start(self.listener)
            self.home.answers_at(port)
            ready(port)
            while not done.done():
                await self._look({"host": "127.0.0.1", "port": port, "username": "store", "password": embedded.writer})
                await asyncio.wait([done], timeout=LOOK_S)
        finally:
            self.home.answers_at(None)
            await self._end(list(self.fillings))
            if embedded is not None:
                await embedded.stop()
            self.lock.release()

    async def _look(self, client_args: dict[str, Any]) -> None:
        wanting = self.home.wanting()
        await self._end([name for name in self.fillings if name not in wanting])
        for name, run in wanting.items():
            if name not in self.fillings:
                filling = Storing if (run.path / DOCUMENT).exists() else Filling
                self.fillings[name] = filling(run, self.config, client_args, DATABASE)

    async def _end(self, names: list[str]) -> None:
        """Their last batches need this loop: it waits for them in another thread."""
        ending = [self.fillings.pop(name) for name in names]
        for filling in ending:
            filling.ending.set()
        for filling in ending:
            await asyncio.get_running_loop().run_in_executor(None, filling.end)


async def kept(home: Home, config: Config, has_readers: bool, listener: socket.socket | None, until: asyncio.Future[Any]) -> Any:
    """Keeps the home's database as long as nobody else does and `until` is not done; what that comes to."""
    while not until.done():
        with contextlib.suppress(RunError):
            lock = home.keep()
            await Keeper(home, lock, config, has_readers, listener).keep(until)
        await asyncio.wait([until], timeout=LOOK_S)
    return await until
