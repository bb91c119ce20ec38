"""The store process: drains the journal to disk, serves the embedded ClickHouse, and fills it."""
import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.config import Config
from engine.store import confinement
from engine.store.embedded import NO_READERS, READER, Embedded, password_of
from engine.store.grants import DATABASE
from engine.store.rows import Store
from engine.trail.checked import JournalError, capacity_of, damage_words, survey
from engine.trail.drain import Drainer
from engine.trail.note import Note
from engine.trail.resources import ADVICE, in_words
from engine.trail.rundir import Attendance, Lock, RunDir, RunError, is_held

ALLOW_LIST_ALONE = "the database is not confined: readers are kept from files by the list of statements they may run alone"
PATIENCE_S = 20.0
"""How long `--once` waits for a ClickHouse that does not answer."""


class StoreProcess:
    """Runs until SIGTERM, then takes what is left of the journal and ends; `once` ends when the journal is closed."""

    def __init__(self, config: Config, run: RunDir, once: bool, drain_only: bool, is_confined: bool,
                 listener: socket.socket | None):
        self.config, self.run_dir, self.once, self.drain_only = config, run, once, drain_only
        self.has_readers, self.listener = is_confined or config.store.unconfined_readers, listener
        self.stopping = threading.Event()
        self.troubled, self.why = 0.0, ""
        self.note = Note(run.store)
        self.state: dict[str, Any] = {"pid": os.getpid(), "stored": 0, "trouble": "", "drain": "", "damage": "", "url": ""}

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        lock = await self._lock()
        self._publish(None)
        watch = asyncio.ensure_future(self._attend())
        (self.run_dir.database / "port").unlink(missing_ok=True)
        embedded = None
        drain = threading.Thread(target=self._drain, daemon=True)
        drain.start()
        try:
            if self.drain_only:
                await loop.run_in_executor(None, self._until_drained if self.once else self.stopping.wait)
                return
            if self.config.store.url:
                client_args: dict[str, Any] = {"dsn": self.config.store.url}
                database = self.config.store.url.rsplit("/", 1)[-1] if self.config.store.url.count("/") > 2 else DATABASE
            else:
                embedded = Embedded(self.run_dir.database, self.has_readers)
                port = await embedded.start(self.listener)
                database = DATABASE
                client_args = {"host": "127.0.0.1", "port": port, "username": "store", "password": embedded.writer}
                self.state["url"] = f"http://127.0.0.1:{port}"
                (self.run_dir.database / "port").write_text(f"{port}\n")
            await loop.run_in_executor(None, self._fill, client_args, database or DATABASE)
        finally:
            watch.cancel()
            self.stopping.set()
            drain.join()
            if embedded is not None:
                with contextlib.suppress(FileNotFoundError):
                    (self.run_dir.database / "port").unlink()
                await embedded.stop()
            lock.release()
        if self.state["drain"]:
            raise RunError(f"it could not write the journal to the disk: {self.why}")
        if self.once and not self.drain_only and (damage := survey(self.run_dir.path)):
            raise RunError(damage)

    async def _attend(self) -> None:
        """Ends, once it has everything, when neither launcher nor engine is there any more."""
        attendance = Attendance(self.run_dir)
        while not attendance.is_over():
            await asyncio.sleep(1)
        self.stopping.set()

    def _until_drained(self) -> None:
        """`--once --drain-only`: until nobody writes any more; the rest is drained at the end."""
        while is_held(self.run_dir.lock) and not self.stopping.wait(0.2):
            pass

    async def _lock(self) -> Lock:
        """The store's lock; one that is just ending gets five seconds."""
        for _ in range(50):
            with contextlib.suppress(RunError):
                return _store_lock(self.run_dir)
            await asyncio.sleep(0.1)
        return _store_lock(self.run_dir)

    async def serve(self) -> None:
        """Serves the database as it is until standard input ends and no client uses it; says its port when it is ready."""
        lock = _store_lock(self.run_dir)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        (self.run_dir.database / "port").unlink(missing_ok=True)
        embedded = Embedded(self.run_dir.database, self.has_readers)
        try:
            port = await embedded.start(self.listener)
            (self.run_dir.database / "port").write_text(f"{port}\n")
            print(port, flush=True)
            loop.add_reader(0, lambda: None if os.read(0, 64) else ended.set())
            await ended.wait()
            loop.remove_reader(0)
            while is_held(self.run_dir.database / "used"):
                await asyncio.sleep(0.05)
        finally:
            (self.run_dir.database / "port").unlink(missing_ok=True)
            await embedded.stop()
            lock.release()

    def _drain(self) -> None:
        """Copies and syncs in its own thread: a slow disk delays neither the queries nor the inserts. What cannot be copied stays
        in memory, and is tried for again."""
        drainer, synced = None, 0.0
        while True:
            last = self.stopping.is_set()
            sync = last or time.monotonic() - synced > 1
            copied = 0
            try:
                drainer = drainer or Drainer(self.run_dir.memory, self.run_dir.journal)
                if last:
                    self._drain_to_the_end(drainer)
                else:
                    copied = drainer.step(sync)
                self._drained("")
            except (OSError, MemoryError) as error:
                self._drained(self._undrainable(error))
                self.stopping.wait(1)
            if sync:
                synced = time.monotonic()
            if last:
                return
            if not copied:
                self.stopping.wait(0.02)

    def _drain_to_the_end(self, drainer: Drainer) -> None:
        """All there is; where no writer lives, what a killed one has left in memory too."""
        lock = None
        with contextlib.suppress(RunError):
            lock = Lock(self.run_dir.lock, "the journal")  # no engine begins while its segments are cleared away
        try:
            while drainer.step(True, is_over=lock is not None):
                pass
            drainer.close()
        finally:
            if lock is not None:
                lock.release()

    def _drained(self, trouble: str) -> None:
        """Says at once when the disk begins to refuse the journal, and when it takes it again."""
        if trouble != self.state["drain"]:
            self.state["drain"] = trouble
            if trouble:
                _say(trouble)
            self._publish(None)

    def _undrainable(self, error: OSError | MemoryError) -> str:
        code = error.errno if isinstance(error, OSError) else errno.ENOMEM
        self.why = "no room is left on the disk" if code == errno.ENOSPC else ADVICE.get(code or 0, in_words(error))
        return (f"the journal cannot be written to {self.run_dir.journal} ({self.why}): what is missing there lies in shared "
                f"memory alone, {self.run_dir.memory}, and is lost when this machine stops; once that is mended it is written by "
                f"itself, or, after the run, by `python -m engine store --once --run-dir {self.run_dir.path}`")

    def _fill(self, client_args: dict[str, Any], database: str) -> None:
        import clickhouse_connect

        store = None
        while store is None:
            try:
                capacity = capacity_of(self.run_dir.path)
                client = clickhouse_connect.get_client(compress=False, autogenerate_session_id=False, **client_args)
                client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
                store = Store(self.run_dir.reader(), client, database, capacity, Path(self.config.models),
                              self.run_dir.path / "store.cursor", self.config.store.rows)
            except JournalError:
                if self.once and not is_held(self.run_dir.lock):
                    raise                   # and nobody is there to begin
                self._wait_or_end(0.1)      # the engine has not begun
            except Exception as error:
                self._trouble(f"{type(error).__name__}: {error}")
                self._wait_or_end(1.0)
            if store is None and self.stopping.is_set():
                return
        store.on_trouble = self._trouble    # type: ignore[method-assign]
        self._publish(store)
        told = time.monotonic()
        while True:
            progressed = store.step()
            if time.monotonic() - told > 0.5 or not progressed:
                self._publish(store)
                told = time.monotonic()
            if not progressed:
                if self.stopping.is_set() or (self.once and store.finished):
                    return
                # no writer lives: one more look after the lock was seen free, then that is all there will be
                if self.once and not is_held(self.run_dir.lock) and not store.step():
                    return
                self.stopping.wait(0.05)

    def _wait_or_end(self, seconds: float) -> None:
        self.stopping.wait(seconds)
        self._publish(None)

    def _trouble(self, text: str) -> None:
        self.state["trouble"] = text[:300]
        _say(text[:300])
        self._publish(None)
        self.troubled = self.troubled or time.monotonic()
        if self.stopping.is_set() or (self.once and time.monotonic() - self.troubled > PATIENCE_S):
            raise RunError(f"ClickHouse does not take the rows ({text[:200]}). Nothing is lost: the journal keeps everything, "
                           "`python -m engine store --once --run-dir ...` stores it later")

    def _publish(self, store: Store | None) -> None:
        """Where readers find the database and how far it is."""
        if store is not None:
            self.troubled = 0.0
            self.state |= {"stored": store.stored, "finished": store.finished, "corrupt": store.reader.corrupt, "trouble": "",
                           "damage": damage_words(store.reader) if store.reader.problem else ""}
        self.state["at"] = time.time()
        self.note.write(self.state)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):                     # a full disk takes no words either
        print(orjson.dumps({"at": time.time(), "store": text}).decode(), flush=True)


def main(config: Config, run: RunDir, once: bool, drain_only: bool, serve: bool = False, confined: bool = True) -> None:
    """The store process. It gives up the rest of the machine for good before it does anything else, where `confined`."""
    has_database = not (drain_only or config.store.url)
    listener = socket.create_server(("127.0.0.1", 0)) if has_database else None
    if not (once or serve):
        run.memory.mkdir(parents=True, exist_ok=True, mode=0o700)      # what is not there yet cannot be granted
    is_confined = confined and confinement.confine(run, config, listener.getsockname()[1] if listener else 0)
    if has_database and not is_confined and not serve:
        said = ALLOW_LIST_ALONE if config.store.unconfined_readers else NO_READERS
        print(orjson.dumps({"at": time.time(), "store": said}).decode(), flush=True)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)    # out of descriptors it would say so each second, with a traceback
    process = StoreProcess(config, run, once, drain_only, is_confined, listener)
    asyncio.run(process.serve() if serve else process.main())


def _store_lock(run: RunDir) -> Lock:
    return Lock(run.path / "store.lock", f"the store of {run.path}")


@contextlib.contextmanager
def client_of(config: Config, run: RunDir):
    """A read-only clickhouse-connect client for the run's database; a process that serves it is started where none runs."""
    import clickhouse_connect

    if config.store.url:
        with clickhouse_connect.get_client(dsn=config.store.url) as client:
            yield client
        return
    with _served(run) as port, _use_of(run):
        try:
            client = clickhouse_connect.get_client(host="127.0.0.1", port=port, username=READER, password=password_of(run.database),
                                                   compress=False)
        except clickhouse_connect.driver.exceptions.Error as error:
            said = str(error).split("(for url")[0].partition("DB::Exception: ")[2].strip()
            raise RunError(said or f"the store of {run.path} does not answer") from None
        with client:
            yield client


@contextlib.contextmanager
def _use_of(run: RunDir) -> Iterator[None]:
    """As long as this is held, a process that serves the database for a client that has ended goes on."""
    fd = os.open(run.database / "used", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def _served(run: RunDir) -> Iterator[int]:
    """The port of the run's database: of the store that runs, or of a process started for it."""
    for _ in range(100):
        if is_held(run.path / "store.lock"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                port = int((run.database / "port").read_text())
                break
            time.sleep(0.1)
            continue
        if not (run.database / "data").exists():
            raise RunError(f"{run.path} has no database: it was run with --no-store. `python -m engine store --run-dir "
                           f"{run.path} --once` fills it from the journal")
        with tempfile.TemporaryFile() as words, _server(run, words) as server:
            if port := int(server.stdout.readline() or 0):          # type: ignore[union-attr]
                yield port
                return
            server.wait()
            words.seek(0)
            if not is_held(run.path / "store.lock"):                # nobody else was faster
                said = words.read().decode(errors="replace").strip().splitlines()
                words_of_it = said[-1].removeprefix("error: ") if said else "its process said nothing"
                raise RunError(f"the database of {run.path} does not open: {words_of_it}")
    else:
        raise RunError(f"the store of {run.path} does not answer")
    yield port


@contextlib.contextmanager
def _server(run: RunDir, words: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that serves the run's database, told to end afterwards; what it says of itself goes to `words`."""
    command = confinement.command("--run-dir", str(run.path), "--serve")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, start_new_session=True,
                               env=confinement.environment())
    try:
        yield process
    finally:
        process.stdin.close()          # type: ignore[union-attr]
        process.stdout.close()         # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):       # it serves another client until that ends
            process.wait(5)
