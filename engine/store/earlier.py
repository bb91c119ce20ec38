"""A run's own database, as every run had one before there were homes: its rows are moved into the home's.

chDB opens one folder a process: one process writes the rows of the old database to files, another reads them. The rows get a
number of the folder's name: two runs with the same seed had the same one, each in its own database.
"""
import shutil
import subprocess
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from engine.store import confinement, grants
from engine.store.grants import DATABASE
from engine.store.home import Home
from engine.store.schema import columns, migrate, table_names, uuid_of
from engine.store.windows import read_cursor, write_cursor
from engine.trail.note import Note
from engine.trail.rundir import RunDir, RunError, in_turn

TURN_S = 10.0
NOT_MOVED = {"schema_version"}


class Direct:
    """A database of this process, asked as through clickhouse-connect."""

    def __init__(self, folder: Path):
        from chdb import session

        chdb: Any = session
        (folder / "data").mkdir(exist_ok=True, mode=0o700)
        self.session = chdb.Session(grants.connection(folder))
        self.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")

    def command(self, text: str) -> str:
        return bytes(self.session.query(text, "TabSeparated").bytes()).decode().strip()

    def query(self, text: str) -> SimpleNamespace:
        document = orjson.loads(bytes(self.session.query(text, "JSONCompact").bytes()))
        return SimpleNamespace(result_rows=[tuple(row) for row in document["data"]])

    def close(self) -> None:
        self.session.close()


def export(run: RunDir) -> None:
    """Writes every table of the run's own database to a file beside it, and how many rows each has to `tables.json`."""
    files = _files(run)
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(mode=0o700)
    database = Direct(Home(run.path).database)
    migrate(database, DATABASE)
    counts = {}
    for table in table_names() - NOT_MOVED:
        chosen = ", ".join(f"toUInt32({_number(run)}) AS run" if name == "run" else name for name, _ in columns(table))
        database.command(f"SELECT {chosen} FROM {DATABASE}.{table} INTO OUTFILE '{files / table}' FORMAT Native")
        counts[table] = int(database.command(f"SELECT count() FROM {DATABASE}.{table}"))
    (files / "tables.json").write_bytes(orjson.dumps(counts))
    database.close()


def take(run: RunDir) -> int:
    """Moves the rows of the run's own database into the one of the folder it lies in; how many. The old one is removed once all are
    there. RunError where there is nothing to move, or nowhere to move it to."""
    old, home = Home(run.path), Home(run.path.parent)
    if not old.has_tables:
        raise RunError(f"{run.path} has no database of its own to move")
    if not home.database.is_dir():
        raise RunError(f"{home.path} has no database for the runs in it: `python -m engine` makes one with its first run")
    done = subprocess.run(confinement.command("--run-dir", str(run.path), "--export"), env=confinement.environment(), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        said = (done.stdout.strip().splitlines() or ["it says nothing"])[-1].removeprefix("error: ")
        raise RunError(f"the database of {run.path} cannot be read: {said}")
    counts: dict[str, int] = orjson.loads((_files(run) / "tables.json").read_bytes())
    lock = in_turn(home.keep, TURN_S)
    try:
        database = Direct(home.database)
        migrate(database, DATABASE)
        _read(database, run, counts)
        _remember(run, uuid_of(database, DATABASE))
        database.close()
        shutil.rmtree(old.database)
    finally:
        lock.release()
    return sum(counts.values())


def _read(database: Direct, run: RunDir, counts: dict[str, int]) -> None:
    """Inserts every file, once. RunError where rows are missing afterwards."""
    for table, count in counts.items():
        names = [name for name, _ in columns(table)]
        if count:
            database.command(f"INSERT INTO {DATABASE}.{table} ({', '.join(names)}) FROM INFILE '{_files(run) / table}' SETTINGS "
                             f"insert_deduplication_token = 'earlier:{_number(run)}:{table}' FORMAT Native")
        if "run" in names:
            found = int(database.command(f"SELECT count() FROM {DATABASE}.{table} WHERE run = {_number(run)}"))
            if found < count:
                raise RunError(f"of {count:,} rows of {table} {found:,} are in the home's database: the old one stays as it is")


def _remember(run: RunDir, target: str) -> None:
    """What was sent to the old database is in the new one."""
    if (sent := read_cursor(run.cursor)) is not None:
        write_cursor(run.cursor, target, *sent[1:])
    note = Note(run.filled)
    note.write({"run": _number(run)})
    note.close()


def _files(run: RunDir) -> Path:
    return Home(run.path).database / "rows"


def _number(run: RunDir) -> int:
    return zlib.crc32(run.path.name.encode())
