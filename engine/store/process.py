"""The store process: drains a run's journal to disk and sees to it that its rows come into ClickHouse."""
import asyncio
import logging
import os
import signal
import socket
import threading
import time
from typing import Any

import orjson

from engine.config import Config
from engine.store import confinement
from engine.store.draining import Draining
from engine.store.embedded import NO_READERS
from engine.store.filling import Filling, say
from engine.store.grants import DATABASE
from engine.store.home import Home
from engine.store.keeper import Keeper, kept
from engine.store.storing import Storing, stored
from engine.trail.checked import JournalError, survey
from engine.trail.note import Note, read_note
from engine.trail.rundir import Attendance, Lock, RunDir, RunError, in_turn, is_held

ALLOW_LIST_ALONE = "the database is not confined: readers are kept from files by the list of statements they may run alone"
PATIENCE_S = 20.0
"""How long `--once` waits for a ClickHouse that does not answer."""
TURN_S, LOOK_S = 5.0, 0.1
FILLED = ("stored", "finished", "corrupt", "trouble", "damage")
"""What of the filling's note stands in the store's."""


class StoreProcess:
    """Runs until SIGTERM, then takes what is left of the journal and ends; `once` ends when the journal is closed.

    Where the database is embedded it keeps the home's (`keeper.py`), or waits for its turn while another process fills it with this
    run's rows too.
    """
    note: Note

    def __init__(self, config: Config, run: RunDir, once: bool, drain_only: bool, is_confined: bool,
                 listener: socket.socket | None):
        self.config, self.run_dir, self.once, self.drain_only = config, run, once, drain_only
        self.has_readers, self.listener, self.home = is_confined or config.store.unconfined_readers, listener, Home(run.home)
        self.stopping = threading.Event()
        self.began, self.over, self.troubled = time.time(), 0.0, 0.0
        self.state: dict[str, Any] = {"pid": os.getpid(), "stored": 0, "trouble": "", "drain": "", "damage": "", "url": ""}

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        lock = await asyncio.to_thread(in_turn, lambda: Lock(self.run_dir.store_lock, f"the store of {self.run_dir.path}"), TURN_S)
        self.note = Note(self.run_dir.store)
        self._publish()
        attending = asyncio.ensure_future(self._attend())
        draining = Draining(self.run_dir, self.stopping, self._drained)
        draining.start()
        try:
            if self.drain_only:
                await loop.run_in_executor(None, self._until_drained if self.once else self.stopping.wait)
            elif self.config.store.url:
                await self._fill_a_server(self.config.store.url)
            else:
                await self._fill_the_home()
        finally:
            attending.cancel()
            self.stopping.set()
            await loop.run_in_executor(None, draining.join)
            lock.release()
        if draining.trouble:
            raise RunError(f"it could not write the journal to the disk: {draining.why}")
        if self.once and not self.drain_only and (damage := survey(self.run_dir.path)):
            raise RunError(damage)

    async def serve(self) -> None:
        """Keeps the home's database until standard input ends and no client uses it; says its port when it is ready."""
        lock = await asyncio.to_thread(in_turn, self.home.keep, TURN_S)
        loop, closed = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(0, lambda: None if os.read(0, 64) else closed.set())

        async def unused() -> None:
            await closed.wait()
            loop.remove_reader(0)
            while is_held(self.home.used):
                await asyncio.sleep(LOOK_S / 2)

        keeper = Keeper(self.home, lock, self.config, self.has_readers, self.listener)
        await keeper.keep(asyncio.ensure_future(unused()), lambda port: print(port, flush=True))

    async def _fill_the_home(self) -> None:
        self.home.want(self.run_dir)
        filled = asyncio.ensure_future(self._until_filled())
        try:
            await kept(self.home, self.config, self.has_readers, self.listener, filled)
        finally:
            filled.cancel()
            self.home.no_longer(self.run_dir)

    async def _fill_a_server(self, url: str) -> None:
        filling = Filling(self.run_dir, self.config, {"dsn": url}, database_of(url))
        try:
            await self._until_filled()
        finally:
            await asyncio.get_running_loop().run_in_executor(None, filling.end)

    async def _until_filled(self) -> None:
        """Until all rows of this run are stored, by whoever fills the database. RunError where they cannot be."""
        while not self._is_filled(said := read_note(self.run_dir.filled)):
            self._publish(said)
            await asyncio.sleep(LOOK_S)
        self._publish(said)

    def _is_filled(self, said: dict[str, Any]) -> bool:
        # nobody writes any more: what was read after that was seen is all there will be
        is_over = self.stopping.is_set() or (self.once and not is_held(self.run_dir.lock))
        self.over = (self.over or time.time()) if is_over else 0.0
        if said.get("at", 0.0) < self.began:
            return False                                   # of another time
        is_idle = is_over and said["idle"] > self.over
        if said["unreadable"] and is_idle:
            if self.once and not self.stopping.is_set():
                raise JournalError(said["unreadable"])
            return True                                    # the run ended before it had begun
        self._lose_patience(said["trouble"])
        return is_idle or (self.once and said["finished"])

    def _lose_patience(self, trouble: str) -> None:
        self.troubled = (self.troubled or time.monotonic()) if trouble else 0.0
        if trouble and (self.stopping.is_set() or (self.once and time.monotonic() - self.troubled > PATIENCE_S)):
            raise RunError(f"ClickHouse does not take the rows ({trouble[:200]}). Nothing is lost: the journal keeps everything, "
                           "`python -m engine store --once --run-dir ...` stores it later")

    async def _attend(self) -> None:
        """Ends, once it has everything, when neither launcher nor engine is there any more; until then it shows that it lives."""
        attendance = Attendance(self.run_dir)
        while not attendance.is_over():
            self._publish()
            await asyncio.sleep(1)
        self.stopping.set()

    def _until_drained(self) -> None:
        """`--once --drain-only`: until nobody writes any more; the rest is drained at the end."""
        while is_held(self.run_dir.lock) and not self.stopping.wait(0.2):
            pass

    def _drained(self, trouble: str) -> None:
        """The disk begins to refuse the journal, or takes it again."""
        self.state["drain"] = trouble
        if trouble:
            say(trouble)
        self._publish()

    def _publish(self, said: dict[str, Any] | None = None) -> None:
        """Where readers find the database and how far it is."""
        if said and said.get("at", 0.0) >= self.began:
            self.state |= {name: said[name] for name in FILLED}
        port = None if self.drain_only or self.config.store.url else self.home.port()
        self.state |= {"url": f"http://127.0.0.1:{port}" if port else "", "at": time.time()}
        self.note.write(self.state)


def database_of(url: str) -> str:
    """The database that a server's URL names, or ours."""
    return (url.rsplit("/", 1)[-1] if url.count("/") > 2 else "") or DATABASE


class BacktestProcess:
    """Ends when the results in the folder `run` are in the home's database, or in the server; says which they are."""

    def __init__(self, config: Config, run: RunDir, is_confined: bool, listener: socket.socket | None):
        self.config, self.run_dir, self.listener, self.home = config, run, listener, Home(run.home)
        self.has_readers, self.began = is_confined or config.store.unconfined_readers, time.time()

    async def main(self) -> None:
        lock = await asyncio.to_thread(in_turn, lambda: Lock(self.run_dir.store_lock, f"the store of {self.run_dir.path}"), TURN_S)
        done = asyncio.ensure_future(stored(self.run_dir, self.began))
        storing = None
        try:
            if url := self.config.store.url:
                storing = Storing(self.run_dir, self.config, {"dsn": url}, database_of(url))
                said = await done
            else:
                self.home.want(self.run_dir)
                said = await kept(self.home, self.config, self.has_readers, self.listener, done)
        finally:
            done.cancel()
            if storing is not None:
                await asyncio.to_thread(storing.end)
            self.home.no_longer(self.run_dir)
            lock.release()
        print(orjson.dumps(said).decode(), flush=True)


def main(config: Config, run: RunDir, once: bool, drain_only: bool, serve: bool = False, confined: bool = True,
         backtest: bool = False) -> None:
    """The store process. It gives up the rest of the machine for good before it does anything else, where `confined`."""
    has_database = not (drain_only or config.store.url)
    listener = socket.create_server(("127.0.0.1", 0)) if has_database else None
    if has_database:
        run.database.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (once or serve or backtest) or run.home != run.path:
        run.make_memory()                                  # what is not there yet cannot be granted
    is_confined = confined and confinement.confine(run, config, listener.getsockname()[1] if listener else 0)
    if has_database and not is_confined and not (serve or backtest):
        say(ALLOW_LIST_ALONE if config.store.unconfined_readers else NO_READERS)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)    # out of descriptors it would say so each second, with a traceback
    if backtest:
        asyncio.run(BacktestProcess(config, run, is_confined, listener).main())
        return
    process = StoreProcess(config, run, once, drain_only, is_confined, listener)
    asyncio.run(process.serve() if serve else process.main())
