"""Landlock: a process gives up every file and TCP port but those it names, for good (Linux 5.13; ports since 6.7).

Three system calls, by number since the C library has no names for them. The kernel holds what follows from them, whatever the
process is made to do later. UDP is not covered, and a port is open at every address.
https://docs.kernel.org/userspace-api/landlock.html
"""
import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from engine.errors import EngineError

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
NO_NEW_PRIVILEGES = 38
PATH_BENEATH, NET_PORT = 1, 2
WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
MAKE_DIR, MAKE_FILE, MAKE_LINK, REFER, TRUNCATE = 1 << 7, 1 << 8, 1 << 12, 1 << 13, 1 << 14
CONNECT_TCP = 1 << 1
FILE_RIGHTS = READ_FILE | WRITE_FILE | TRUNCATE
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_FILE | MAKE_LINK | REFER | TRUNCATE
SCOPES = 0b11
"""Abstract sockets of other processes, and signals to them."""
HANDLED = {2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights a kernel knows from this version of Landlock on; all of them are given up, also to execute."""
OLDEST, NETWORK_SINCE, SCOPES_SINCE = 2, 4, 6

_libc = ctypes.CDLL(None, use_errno=True)


class ConfinementError(EngineError):
    """The process cannot be confined as it was asked to be."""


def version() -> int:
    """Landlock's version in this kernel; 0 where it has none, it is switched off, or is the first, which forbids to move a file."""
    found = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return found if found >= OLDEST else 0


def confine(rights: Iterable[tuple[Path, int]], ports: Iterable[int]) -> None:
    """From now on only `rights` (READ, WRITE or some of their bits, at and below each path) and connections to `ports`.

    To be called before there is a second thread: one that runs already would stay free. Paths that do not exist are left out.
    """
    abi = version()
    if abi == 0:
        raise ConfinementError("this kernel has no Landlock")
    if len(os.listdir("/proc/self/task")) > 1:
        raise ConfinementError("another thread runs already and would not be confined")
    handled = HANDLED[max(known for known in HANDLED if known <= abi)]
    network = CONNECT_TCP if abi >= NETWORK_SINCE else 0
    ruleset = _create(struct.pack("QQQ", handled, network, SCOPES)[:24 if abi >= SCOPES_SINCE else 16 if network else 8])
    try:
        for path, wanted in rights:
            _allow(ruleset, path, wanted & handled)
        for port in ports if network else ():
            _call(ADD_RULE, ruleset, NET_PORT, struct.pack("QQ", CONNECT_TCP, port), 0)
        if _libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise ConfinementError("the kernel refuses no_new_privs")
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _create(attributes: bytes) -> int:
    return _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        rights = rights if path.is_dir() else rights & FILE_RIGHTS
        _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise ConfinementError(f"Landlock refuses: {os.strerror(ctypes.get_errno())}")
    return int(result)
