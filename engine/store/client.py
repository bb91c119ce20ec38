"""A reader's way to the rows of a run: through whoever keeps the database, or a process that is started for the reader."""
import contextlib
import fcntl
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from engine.config import Config
from engine.store import confinement
from engine.store.embedded import READER, password_of
from engine.store.grants import DATABASE
from engine.store.home import Home
from engine.trail.note import read_note
from engine.trail.rundir import RunDir, RunError, is_held

ANSWER_S, END_S = 30.0, 5.0
EVERY_RUN = "1"


@contextlib.contextmanager
def client_of(config: Config, run: RunDir) -> Iterator[Any]:
    """A read-only clickhouse-connect client for the database of the run's home; a process that serves it is started where none
    runs."""
    import clickhouse_connect

    if config.store.url:
        with clickhouse_connect.get_client(dsn=config.store.url) as client:
            yield client
        return
    home = Home(run.home)
    with _served(run, home) as port, _use_of(home):
        try:
            client = clickhouse_connect.get_client(host="127.0.0.1", port=port, username=READER,
                                                   password=password_of(home.database), compress=False)
        except clickhouse_connect.driver.exceptions.Error as error:
            said = str(error).split("(for url")[0].partition("DB::Exception: ")[2].strip()
            raise RunError(said or f"the database of {home.path} does not answer") from None
        with client:
            yield client


def connection_of(config: Config, run: RunDir) -> str:
    """How other tools reach the database of the run's home while it is served; the password stays in its file. RunError where
    nothing serves it now."""
    if config.store.url:
        return "the database is the ClickHouse server of `url` under [store] in engine.toml: connect as to any other"
    home = Home(run.home)
    port = home.port() if is_held(home.lock) else None
    if port is None:
        raise RunError("nothing serves the database now: `python -m engine query --serve` does until Ctrl-C, and prints how to "
                       "connect; a run serves it as long as it goes on")
    password = home.database.resolve() / "password"
    password_of(home.database)
    at = f"http://127.0.0.1:{port}"
    return "\n".join((
        f"ClickHouse over HTTP at {at}, database {DATABASE}, user {READER}, password in {password}",
        f"  curl:     curl -u \"{READER}:$(cat {shlex.quote(str(password))})\" {at}/ "
        "-d 'SELECT * FROM trades_view FORMAT CSVWithNames'",
        f"  pandas:   clickhouse_connect.get_client(host='127.0.0.1', port={port}, username='{READER}', "
        f"password=open({str(password)!r}).read().strip(), compress=False).query_df('SELECT * FROM bars_1m')",
        f"  DBeaver:  jdbc:clickhouse://127.0.0.1:{port}/{DATABASE}?compress=0, user {READER}, the password from the file",
        f"  Grafana:  ClickHouse data source, server 127.0.0.1, port {port}, protocol HTTP, user {READER}, the same password"))


def number_of(run: RunDir) -> int:
    """The run's number in the tables. RunError where none of its rows were stored."""
    number = int(read_note(run.filled).get("run") or 0)
    if not number:
        raise RunError(f"no row of {run.path} is in a database: `python -m engine store --once --run-dir {run.path}` stores them "
                       "from the journal")
    return number


def market_of(run: RunDir) -> str:
    """The condition for rows of runs of the same market as `run` (sim, recorded, the broker's): a simulated day says nothing of a
    real one. In a database of the run's own it is every row."""
    if run.home == run.path:
        return EVERY_RUN
    return f"run IN (SELECT run FROM runs WHERE source = (SELECT any(source) FROM runs WHERE run = {number_of(run)}))"


@contextlib.contextmanager
def _use_of(home: Home) -> Iterator[None]:
    """As long as this is held, a process that serves the database for a client that has ended goes on."""
    fd = os.open(home.used, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def _served(run: RunDir, home: Home) -> Iterator[int]:
    """The port of the database: of the store that keeps it, or of a process started for it."""
    end = time.monotonic() + ANSWER_S
    while time.monotonic() < end:
        if is_held(home.lock):
            if (port := home.port()) is not None:
                yield port
                return
            time.sleep(0.1)
            continue
        if not home.has_tables:
            raise RunError(f"{home.path} has no database: it was run with --no-store. `python -m engine store --run-dir "
                           f"{run.path} --once` fills it from the journal")
        with tempfile.TemporaryFile() as words, _server(run, words) as server:
            if port := int(server.stdout.readline() or 0):          # type: ignore[union-attr]
                yield port
                return
            server.wait()
            words.seek(0)
            if not is_held(home.lock):                              # nobody else was faster
                said = words.read().decode(errors="replace").strip().splitlines()
                words_of_it = said[-1].removeprefix("error: ") if said else "its process said nothing"
                raise RunError(f"the database of {home.path} does not open: {words_of_it}")
    raise RunError(f"the database of {home.path} does not answer")


@contextlib.contextmanager
def _server(run: RunDir, words: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that serves the home's database, told to end afterwards; what it says of itself goes to `words`."""
    command = confinement.command("--run-dir", str(run.path), "--serve")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, start_new_session=True,
                               env=confinement.environment())
    try:
        yield process
    finally:
        process.stdin.close()          # type: ignore[union-attr]
        process.stdout.close()         # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):       # it serves another client until that ends
            process.wait(END_S)
