"""A data home: one database, and the runs that have their rows in it.

The home of a run is the folder it lies in where that has a database (`runs`, by default), else the run's own folder. One process at
a time keeps the database: the store process of one of the runs, or one that serves a reader. The others wait to take its place.
"""
import contextlib
from pathlib import Path

from engine.trail.rundir import DATABASE_FOLDER, Lock, RunDir, RunError, is_held


class Home:
    """The home in the folder `path`; that of a run is `RunDir.home`."""

    def __init__(self, path: Path):
        self.path, self.database = path, path / DATABASE_FOLDER

    @property
    def has_tables(self) -> bool:
        return (self.database / "data").exists()

    @property
    def lock(self) -> Path:
        """Held by the process that keeps the database."""
        return self.database / "lock"

    @property
    def used(self) -> Path:
        """Held by whoever reads through a process that was started for a reader."""
        return self.database / "used"

    @property
    def _port(self) -> Path:
        return self.database / "port"

    @property
    def _wanted(self) -> Path:
        return self.database / "wanted"

    def keep(self) -> Lock:
        """The lock of who keeps the database. Raises RunError where another process does."""
        return Lock(self.lock, f"the database of {self.path}")

    def answers_at(self, port: int | None) -> None:
        """Says where the database answers; None: nowhere."""
        if port is None:
            self._port.unlink(missing_ok=True)
        else:
            self._port.write_text(f"{port}\n")

    def port(self) -> int | None:
        """Where the database answers."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._port.read_text())
        return None

    def want(self, run: RunDir) -> None:
        """The rows of `run`, whose store process this is, shall be in the database."""
        self._wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._wanted / run.path.name).write_text(str(run.path))

    def no_longer(self, run: RunDir) -> None:
        (self._wanted / run.path.name).unlink(missing_ok=True)

    def wanting(self) -> dict[str, RunDir]:
        """The runs of which a store process waits for rows, by name."""
        out = {}
        for path in sorted(self._wanted.iterdir()) if self._wanted.is_dir() else ():
            with contextlib.suppress(OSError, RunError):
                run = RunDir(path.read_text(), make=False)
                if is_held(run.store_lock):
                    out[path.name] = run
        return out
