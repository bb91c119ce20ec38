"""What a machine may run out of, said in words with what to do about it."""
import contextlib
import errno
import resource
import shutil
from pathlib import Path

ADVICE = {
    errno.ENOSPC: "no room is left: make room on that disk, or choose another folder with --run-dir",
    errno.EDQUOT: "the quota is used up: make room, or choose another folder with --run-dir",
    errno.EROFS: "the file system is read-only: choose another folder with --run-dir",
    errno.EIO: "the disk does not read or write: look at the system's log, choose another folder with --run-dir",
    errno.EMFILE: "too few file descriptors: raise the limit (`ulimit -n 1024`, or LimitNOFILE= of the service)",
    errno.ENFILE: "the machine has no file descriptor left: end what holds so many",
    errno.ENOMEM: "too little memory: raise the limit (`ulimit -d`, `ulimit -v`, MemoryMax= of the service), or end something else",
    errno.EAGAIN: "no further process or thread is allowed: raise the limit (`ulimit -u`, TasksMax= of the service)",
}
ROOM = "make room there, or choose another folder with --run-dir"
SHARED = ("the journal is written in shared memory first: make room there (a container: --shm-size), or set ENGINE_SHM to another "
          "folder")
SIGNS = {errno.ENOMEM: ("bad_alloc", "MemoryError", "Cannot allocate memory", "CANNOT_ALLOCATE_MEMORY", "CANNOT_SCHEDULE_TASK"),
         errno.EMFILE: ("Too many open files", "TOO_MANY_OPEN_FILES", "errno: 24"), errno.ENOSPC: ("No space left", "errno: 28")}
"""How libraries say what ran out; chDB says that it cannot schedule a task when no thread can be made for want of memory."""
ROOM_BYTES = 1 << 20


def advice_for(text: str, otherwise: str = "") -> str:
    """What to do about what a library says; `otherwise` where it names nothing that runs out, or no room, of which the caller knows
    better."""
    for code, signs in SIGNS.items():
        if any(sign in text for sign in signs) and not (code == errno.ENOSPC and otherwise):
            return ADVICE[code]
    return otherwise


def is_ours(error: BaseException) -> bool:
    """Whether the error is one of the engine's or of its compiled half's: it has words of its own that say what to do."""
    return type(error).__module__.startswith(("engine.", "_ext."))


def in_words(error: BaseException) -> str:
    """An error that is not one of ours: what ran out and what to do, or its own words on one line."""
    if isinstance(error, MemoryError):
        return f"{ADVICE[errno.ENOMEM]}{f' ({error})' if str(error) else ''}"
    if isinstance(error, OSError) and error.errno in ADVICE:
        return f"{error.filename}: {ADVICE[error.errno]}" if error.filename else ADVICE[error.errno]
    text = " ".join(str(error).split())
    if is_ours(error):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def memory_limit() -> int | None:
    """Bytes this process and its children may take, by the limits set for them; None without one."""
    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    with contextlib.suppress(OSError, ValueError):         # of the control group, where there is one with a limit
        group = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]
        limits.append(int(Path(f"/sys/fs/cgroup{group}/memory.max").read_text()))
    return min((limit for limit in limits if limit not in (resource.RLIM_INFINITY, -1)), default=None)


def is_full(folder: Path) -> bool:
    """Whether the file system of `folder` has no room left for anything."""
    try:
        return shutil.disk_usage(folder).free < ROOM_BYTES
    except OSError:
        return False
