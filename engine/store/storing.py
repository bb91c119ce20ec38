"""Puts what came of a backtest into ClickHouse: a thread of whoever keeps the home's database, or of a process of its own where it
is a server.

The command starts a process (`put`), confined as every store process is, so that a backtest itself opens no database. That process
asks in the home for the rows of its folder, as a run's store does; where a run goes on in the home, its store inserts them.
"""
import asyncio
import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from engine.config import Config
from engine.errors import DataError
from engine.store import backtests, confinement
from engine.store.backtests import DOCUMENT
from engine.store.filling import OPENING
from engine.trail.note import Note, read_note
from engine.trail.rundir import DATABASE_FOLDER, RunDir, RunError

AGAIN_S, PATIENCE_S, SILENCE_S, LOOK_S = 1.0, 20.0, 60.0, 0.05
"""Seconds between two attempts; how long ClickHouse may refuse the rows; how long nobody may say a word; between two looks."""


class Storing:
    """Inserts the results in the folder `run`, once; has the face of a `Filling`. The note says the `backtest`'s number, whether it
    `is_new`, what is in the way (`trouble`, tried again), and what is for good (`problem`)."""

    def __init__(self, run: RunDir, config: Config, client_args: dict[str, Any], database: str):
        self.run_dir, self.client_args, self.database = run, client_args, database
        self.ending = threading.Event()
        self.note = Note(run.path / "stored.json")
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Ends between two attempts; blocks until then."""
        self.ending.set()
        self.thread.join()
        self.note.close()

    def _work(self) -> None:
        import clickhouse_connect

        while not self.ending.is_set():
            try:
                results = backtests.results_of(self.run_dir.path)
                with clickhouse_connect.get_client(compress=False, autogenerate_session_id=False, **self.client_args) as client, \
                        OPENING:
                    client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
                    is_new = backtests.send(client, self.database, results)
                self._say(backtest=results.number, is_new=is_new)
                return
            except DataError as error:
                self._say(problem=str(error))
                return
            except Exception as error:
                self._say(trouble=" ".join(f"{type(error).__name__}: {error}".partition("(for url")[0].split())[:300])
                self.ending.wait(AGAIN_S)

    def _say(self, **words: Any) -> None:
        self.note.write({"at": time.time(), "backtest": "", "is_new": False, "trouble": "", "problem": ""} | words)


async def stored(run: RunDir, began: float) -> dict[str, Any]:
    """Waits until the results are stored, by whomever; what the note says then, as far as it is younger than `began`. RunError
    where ClickHouse does not take them, or nobody is there who could."""
    troubled, silent = 0.0, time.monotonic()
    while True:
        said = read_note(run.path / "stored.json")
        if said.get("at", 0.0) < began:
            if time.monotonic() - silent > SILENCE_S:
                raise RunError(f"who keeps the database of {run.home} takes no results: end the run that goes on there (it is of "
                               f"an earlier version), then `python -m engine store --backtest {run.path}`")
        else:
            if said["problem"]:
                raise DataError(said["problem"])
            if said["backtest"]:
                return said
            troubled = (troubled or time.monotonic()) if said["trouble"] else 0.0
            if troubled and time.monotonic() - troubled > PATIENCE_S:
                raise RunError(f"ClickHouse does not take the results ({said['trouble'][:200]}). They are in {run.path}: `python "
                               f"-m engine store --backtest {run.path}` stores them later")
        await asyncio.sleep(LOOK_S)


def put(folder: Path, config: Config) -> dict[str, Any]:
    """Stores the results in `folder` and waits for it: `backtest` (its number in the tables) and whether it `is_new` there.
    DataError where the folder is not one of a backtest, RunError where they cannot be stored."""
    folder = folder.absolute()
    if not (folder / DOCUMENT).is_file():
        raise DataError(f"{folder} is not the folder of a backtest: it has no {DOCUMENT}")
    if folder.parent == Path("runs").absolute() and not config.store.url:      # as a run there makes it
        (folder.parent / DATABASE_FOLDER).mkdir(exist_ok=True, mode=0o700)
    environment = confinement.environment() | ({"ENGINE_STORE__URL": config.store.url} if config.store.url else {})
    done = subprocess.run(confinement.command("--run-dir", str(folder), "--backtest"), env=environment, capture_output=True,
                          text=True, check=False)
    with contextlib.suppress(ValueError, IndexError, KeyError):
        said = orjson.loads(done.stdout.strip().splitlines()[-1])
        return {name: said[name] for name in ("backtest", "is_new")}
    lines = done.stderr.strip().splitlines()
    raise RunError(lines[-1].removeprefix("error: ") if lines else f"the process that stores ended with {done.returncode}, and "
                   f"says nothing: `python -m engine store --backtest {folder}` tries again")
