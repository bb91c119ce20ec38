"""A run's folder: journal on disk and in memory, status block, database, logs; and the locks that keep runs apart."""
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from engine.errors import EngineError
from engine.paths import state_folder


class RunError(EngineError):
    """The run folder cannot be used; says what to do."""


class FolderError(RunError, ValueError):
    """The folder named is not one of a run: bad usage."""
    exit_code = 2


def folder_of(value: Any) -> Any:
    """A folder that was named. FolderError for an empty name, which would mean the one somebody happens to be in."""
    if isinstance(value, str) and not value.strip():
        raise FolderError("an empty name: write the folder of a run, or leave --run-dir away")
    return value


FENCE_S = 2.0
DATABASE_FOLDER = "clickhouse"
MARKS = ("journal", "engine.json", "status", "lock", "launcher.lock", "store.lock", "children.json", DATABASE_FOLDER)
"""What a run leaves in its folder, the first of it before anything else can fail."""


class RunDir:
    """`path` is made with mode 700; with `make` False it must be there. `memory` is where the segments of a real-time run lie until
    they are drained."""

    def __init__(self, path: Path | str, make: bool = True):
        self.path = Path(path).absolute()
        try:
            if make:
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            elif not self.path.is_dir():
                raise FolderError(f"{self.path}: no such run folder; name one with --run-dir")
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {error.strerror}; choose another with --run-dir") from None
        shared = Path(os.environ.get("ENGINE_SHM") or ("/dev/shm" if os.path.isdir("/dev/shm") else self.path))
        self.memory = shared / f"spike-{os.getuid()}-{_short(self.path.parent)}" / _short(self.path)
        for folder in (self.memory.parent, self.memory):
            if folder.exists() and (folder.is_symlink() or folder.lstat().st_uid != os.getuid() or folder.lstat().st_mode & 0o077):
                raise RunError(f"{folder} belongs to somebody else or is open to others: remove it")

    @classmethod
    def existing(cls, path: Path) -> "RunDir":
        """The folder of a run that has been; FolderError names it where there is none."""
        run = cls(path, make=False)
        if not run.is_run:
            raise FolderError(f"{run.path} is not the folder of a run: name one with --run-dir")
        return run

    @classmethod
    def new(cls, path: Path) -> "RunDir":
        """A folder to run in: new, empty, or one of a run that is gone on with. FolderError where it holds anything else."""
        run = cls(path)
        if not run.is_run:
            if any(run.path.iterdir()):
                raise FolderError(f"{run.path} holds other files and no run: name a new or an empty folder with --run-dir")
            run.forget_memory()                            # of a folder of the same name that was removed
        return run

    @property
    def is_run(self) -> bool:
        return any((self.path / name).exists() for name in MARKS)

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def status(self) -> Path:
        return self.path / "status"

    @property
    def beat(self) -> Path:
        """Touched by the launcher while it lives."""
        return self.path / "launcher.beat"

    @property
    def launcher(self) -> Path:
        """What the launcher says of the processes: which died, how often, with what last words."""
        return self.path / "launcher.json"

    @property
    def children(self) -> Path:
        """Name -> [pid, start time] of the processes as the launcher started them."""
        return self.path / "children.json"

    @property
    def store(self) -> Path:
        """What the store says: rows stored, what it cannot do, where the database answers."""
        return self.path / "store.json"

    @property
    def market(self) -> Path:
        """What the sim says: the speed asked and reached, whether its day has ended."""
        return self.path / "sim.json"

    @property
    def address(self) -> Path:
        """Where the page is served, with its token: for its owner alone."""
        return self.path / "watch.address"

    def page_address(self) -> str:
        """The address of the page; empty where none is served."""
        with contextlib.suppress(OSError):
            return self.address.read_text().strip()
        return ""

    @property
    def lock(self) -> Path:
        """Held by whoever writes the journal."""
        return self.path / "lock"

    @property
    def engine(self) -> Path:
        """What the engine wrote about itself when it started: pid, broker, account. No secret."""
        return self.path / "engine.json"

    @property
    def home(self) -> Path:
        """The folder with this run's database: the run's own where it has one, else the folder it lies in where that has one."""
        if (self.path / DATABASE_FOLDER / "data").is_dir() or not (self.path.parent / DATABASE_FOLDER).is_dir():
            return self.path
        return self.path.parent

    @property
    def database(self) -> Path:
        return self.home / DATABASE_FOLDER

    @property
    def filled(self) -> Path:
        """What whoever fills the database says of this run: rows stored, what is in the way."""
        return self.path / "filled.json"

    @property
    def cursor(self) -> Path:
        """How far the rows of this run were sent, and to which database."""
        return self.path / "store.cursor"

    @property
    def store_lock(self) -> Path:
        """Held by the run's store process."""
        return self.path / "store.lock"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def reader(self) -> Reader:
        """A reader of everything journaled, memory first: it is never behind the disk."""
        return Reader(self.memory, self.journal)

    def clear_after_removal(self) -> None:
        """The folder was removed while it was in use: what is left of the run in memory is nobody's."""
        if not self.path.exists():
            self.forget_memory()

    def forget_memory(self) -> None:
        """Removes what lies in memory, for good."""
        shutil.rmtree(self.memory, ignore_errors=True)
        self.leave_memory()

    def make_memory(self) -> None:
        """Makes the folders in memory, for their owner alone."""
        self.memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.memory.mkdir(exist_ok=True, mode=0o700)

    def leave_memory(self) -> None:
        """Removes the folders in memory where they are empty. That of a home stays: its store may open but the one it was given."""
        with contextlib.suppress(OSError):
            self.memory.rmdir()
        with contextlib.suppress(OSError):
            if self.home == self.path:
                self.memory.parent.rmdir()

    def undrained(self) -> int:
        """Bytes of the segments that lie in memory alone."""
        total = 0
        for name in segment_names(self.memory):
            with contextlib.suppress(OSError):
                total += (self.memory / name).stat().st_size
        return total

    @staticmethod
    def latest(base: Path = Path("runs")) -> Path:
        """The run that `runs/latest` points to."""
        link = base / "latest"
        if not link.exists():
            if link.is_symlink():
                raise FolderError(f"{link.absolute()} points to {os.readlink(link)}, which is gone: name a run with --run-dir")
            raise FolderError(f"there is no run yet in {base.absolute()}: start one with `python -m engine`, or name one "
                           "with --run-dir")
        return link.resolve()


def new_run(base: Path = Path("runs")) -> Path:
    """A new run folder named by the time, which `latest` points to from now on. All runs made here share the database of `base`."""
    import datetime as dt

    (base / DATABASE_FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = dt.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    path, number = base / stamp, 1
    while path.exists():
        number += 1
        path = base / f"{stamp}-{number}"
    path.mkdir(mode=0o700)
    mark_latest(path, base)
    return path


def mark_latest(path: Path, base: Path = Path("runs")) -> None:
    with contextlib.suppress(OSError):                     # a convenience: a read-only folder must not stop a run
        base.mkdir(parents=True, exist_ok=True)
        link = base / f".latest-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.absolute())
        link.replace(base / "latest")


def _short(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def start_time(pid: int) -> int:
    """Start of a process in clock ticks, 0 where there is none: with the pid it names a process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def end_process(pid: int, started: int) -> bool:
    """SIGKILL by pid and start time, through a handle that cannot come to mean another process; whether there was one."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_time(pid) != started:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        end = time.monotonic() + FENCE_S
        while start_time(pid) == started and time.monotonic() < end:
            time.sleep(0.005)
        return True
    finally:
        os.close(handle)


class Attendance:
    """Whether a run's launcher still beats: by the beats themselves and our own clock, for the wall's may jump. Where nobody has
    ever attended a run, nobody is missed."""

    LOST_S, HUNG_S = 10.0, 30.0

    def __init__(self, run: RunDir):
        self.run, self.beat, self.at = run, -1, time.monotonic()

    def silence(self) -> float:
        """Seconds without a beat."""
        try:
            beat = self.run.beat.stat().st_mtime_ns
        except FileNotFoundError:
            beat = 0
        except OSError:
            return 0.0                                     # no descriptor left says nothing about the launcher
        if beat != self.beat or (beat == 0 and self.run.path.exists()):
            self.beat, self.at = beat, time.monotonic()
        return time.monotonic() - self.at

    def is_over(self) -> bool:
        """Whether neither launcher nor engine is there any more: what serves them has nothing to wait for."""
        return self.silence() > self.LOST_S and not is_held(self.run.lock)

    def end_the_hung(self) -> bool:
        """Ends an engine without real money that has not ended by itself long after its launcher; whether it did."""
        if self.silence() < self.HUNG_S:
            return False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = orjson.loads(self.run.engine.read_bytes())
            return note["live"] is False and end_process(int(note["pid"]), int(note["started"]))
        return False


class Lock:
    """An exclusive lock for the life of this process; the kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path, what: str):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self.fd, 32, 0).decode(errors="replace").strip()
            os.close(self.fd)
            raise RunError(f"{what} is in use by process {owner or 'unknown'}: stop it first, or use another") from None
        try:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self.fd)
            raise OSError(error.errno, error.strerror, str(path)) from None

    def release(self) -> None:
        os.close(self.fd)


def in_turn(take: Callable[[], Lock], seconds: float) -> Lock:
    """The lock that `take` takes; who holds it and is just ending gets so long. Raises the RunError of the last try."""
    end = time.monotonic() + seconds
    while True:
        try:
            return take()
        except RunError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock; looks without taking it for itself or writing."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True                                        # it may be: none is free to look with
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def account_lock(account: str) -> Lock:
    """One engine per account, wherever its run folder is."""
    return Lock(state_folder() / f"account-{hashlib.sha256(account.encode()).hexdigest()[:16]}.lock", f"account {account}")
