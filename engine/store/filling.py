"""The thread that takes one run's journal to ClickHouse, and what it says of itself in the run's folder."""
import contextlib
import secrets
import threading
import time
from typing import Any

import orjson

from engine.config import Config
from engine.errors import EngineError
from engine.store.windows import Store
from engine.trail.checked import JournalError, capacity_of, damage_words
from engine.trail.note import Note
from engine.trail.rundir import RunDir

PUBLISH_S, POLL_S, AGAIN_S, AGAIN_MOST_S = 0.5, 0.05, 1.0, 30.0
OPENING = threading.Lock()
"""One at a time makes or migrates the tables."""


class Ended(EngineError):
    """Told to end while ClickHouse did not take a batch."""


class Filling:
    """Goes on until `end`. `client_args` are clickhouse-connect's; `database` is the one to fill.

    The note `filled.json`: rows `stored`, the `run`'s number in the tables, `finished` once the journal is closed, `idle`: when
    there was nothing new, last; `trouble`, `damage` and `unreadable` in words.
    """

    def __init__(self, run: RunDir, config: Config, client_args: dict[str, Any], database: str):
        self.run_dir, self.config, self.client_args, self.database = run, config, client_args, database
        self.ending = threading.Event()
        self.note = Note(run.filled)
        self.state: dict[str, Any] = {"run": 0, "stored": 0, "finished": False, "corrupt": 0, "idle": 0.0, "trouble": "",
                                      "damage": "", "unreadable": ""}
        self.saying = threading.Lock()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Ends between two batches; blocks until then."""
        self.ending.set()
        self.thread.join()
        self.note.close()

    def _work(self) -> None:
        store, pause = None, AGAIN_S
        while not self.ending.is_set():
            try:
                store = store or self._open()
                self._go_on(store)
                pause = AGAIN_S
            except JournalError as error:                  # nothing has begun yet, or nothing that can be read
                self.state |= {"unreadable": str(error), "idle": time.time()}
                self._publish(store)
                self.ending.wait(2 * POLL_S)
            except Ended:
                break
            except Exception as error:
                if store is not None:
                    store.close()
                store = None
                self._trouble(f"{type(error).__name__}: {error}")
                self.ending.wait(pause)
                pause = min(2 * pause, AGAIN_MOST_S)
        if store is not None:
            with contextlib.suppress(Exception):           # what was under way is sent again by the next
                store.settle()
            store.close()

    def _open(self) -> Store:
        import clickhouse_connect

        capacity = capacity_of(self.run_dir.path)
        client = clickhouse_connect.get_client(compress=False, autogenerate_session_id=False, **self.client_args)
        with OPENING:
            client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            store = Store(self.run_dir.reader(), client, self.database, capacity, self.run_dir.cursor, self.config.store.rows,
                          self.run_dir.path.name, identity_of(self.run_dir))
        store.wait, store.on_trouble = self.ending.wait, self._refused      # type: ignore[method-assign]
        self.state["unreadable"] = ""
        self._publish(store)
        return store

    def _go_on(self, store: Store) -> None:
        """Everything there is, and a look whether there is more."""
        said = time.monotonic()
        while not self.ending.is_set() and store.step():
            if time.monotonic() - said > PUBLISH_S:
                self._publish(store)
                said = time.monotonic()
        if not self.ending.is_set():
            self.state["idle"] = time.time()
        self._publish(store)
        self.ending.wait(POLL_S)

    def _refused(self, text: str) -> None:
        self._trouble(text)
        if self.ending.is_set():
            raise Ended(text)

    def _trouble(self, text: str) -> None:
        self.state["trouble"] = text[:300]
        say(text[:300])
        self._publish(None)

    def _publish(self, store: Store | None) -> None:
        if store is not None:
            self.state |= {"run": store.run, "stored": store.stored, "finished": store.finished, "corrupt": store.reader.corrupt,
                           "trouble": "", "damage": damage_words(store.reader) if store.reader.problem else ""}
        with self.saying:                                  # the sender tells of trouble, this thread how far it is
            self.state["at"] = time.time()
            self.note.write(self.state)


def identity_of(run: RunDir) -> bytes:
    """What tells this run's rows from those of another with the same day, seed and configuration, made when the first row is
    stored; empty for a run that was stored before there were any."""
    path = run.path / "identity"
    if not path.exists() and not run.cursor.exists():
        path.write_text(secrets.token_hex(8) + "\n")
    return path.read_bytes().strip() if path.exists() else b""


def say(text: str) -> None:
    """A line of the process's output."""
    with contextlib.suppress(OSError):                     # a full disk takes no words either
        print(orjson.dumps({"at": time.time(), "store": text}).decode(), flush=True)
