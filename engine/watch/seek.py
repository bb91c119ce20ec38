"""The time machine: a process without threads that applies a journal to a core once, and leaves a stopped copy of itself behind
every ten minutes of the market. A moment is the nearest copy before it, brought on by at most ten minutes.

Tree of processes: the first has applied most; each of its children stands at its moment; the cursor is a copy of a child that was
brought to the moment asked for, and answers until another is asked for. All speak by sockets and end when the first does.
"""
import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from _ext.core.clock import MINUTE
from engine.errors import EngineError
from engine.watch.panels import PANELS
from engine.watch.then import Then

STEP = 10 * MINUTE
MEMORY = 1 << 30
"""Bytes that copies may come to hold of their own; for larger days they stand further apart."""
OF_A_NAME = 20 << 10
"""Bytes of an instrument, besides its ring, that change between two copies, about."""
SESSION_STEPS = 39
KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "XDG_STATE_HOME", "ENGINE_SHM")
KEPT_PREFIXES = ("PYTHON", "LC_")
"""Of the environment: a process that runs strategies needs no address and no token."""
TAIL_S = 20.0
"""Between two looks at the end of a journal that grows."""
LENGTH = struct.Struct("<Q")
MOST = 256 << 20


def environment() -> dict[str, str]:
    """Of this process: numpy's algebra starts no thread, a strategy's sets have one order, as in the run, and an unpacked segment
    goes back to the machine instead of staying in every copy's heap."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}


class Copy(NamedTuple):
    """A stopped copy at `at` (ns), and the socket to it."""
    at: int
    line: socket.socket


class Tree:
    """Applies the journal of a run, leaves copies behind, and answers what panels ask of a moment."""

    def __init__(self, path: Path, models: Path):
        self.then, self.models = Then(path, models), models
        self.then.reader.be_alone()
        self.copies: list[Copy] = []
        self.cursor: Copy | None = None
        held = self.then.core.keys.capacity * (64 * self.then.core.market.depth + OF_A_NAME)
        self.step = STEP * max(1, -(-SESSION_STEPS * held // MEMORY))
        self.at = 0                        # of the last copy

    def grow(self) -> bool:
        """Applies one step more and leaves a copy there; False where the journal has no more for now."""
        coming = self.then.reader.next_time()
        if coming is None:
            return False
        goal = (max(self.at, coming - 1) // self.step + 1) * self.step if self.at else coming
        self.then.advance(goal)
        if self.then.reader.next_time() is None:               # more of this step may yet be written
            return False
        self.at = goal
        self._leave()
        return True

    def _leave(self) -> None:
        """Leaves a copy of this process here."""
        ours, theirs = socket.socketpair()
        gc.freeze()
        if os.fork() == 0:
            ours.close()
            self._forget()
            self.then.reader.rest()                            # a segment that was unpacked is 16 MiB in each copy
            self._stand(theirs)
            os._exit(0)
        theirs.close()
        self.copies.append(Copy(self.at, ours))

    def _forget(self) -> None:
        """In a copy: the lines of the process it was copied from are not its own."""
        for copy in self.copies:
            copy.line.close()
        if self.cursor is not None:
            self.cursor.line.close()
        self.copies, self.cursor = [], None
        for number in (0, 1):
            with contextlib.suppress(OSError):
                os.close(number)

    def _stand(self, line: socket.socket) -> None:
        """In a copy: makes a cursor for each socket that is sent, until the first process ends."""
        while True:
            message, fds, _, _ = socket.recv_fds(line, 1, 1)
            if not message:
                return
            if os.fork() == 0:
                line.close()
                serve(self, socket.socket(fileno=fds[0]))
                os._exit(0)
            os.close(fds[0])

    def cursor_at(self, at: int) -> Copy | None:
        """The cursor at `at`: the one there is where it is not beyond, else a copy of the nearest copy; None: of this process."""
        nearest = max((copy for copy in self.copies if copy.at <= at), default=None, key=lambda copy: copy.at)
        if self.cursor is not None and (nearest.at if nearest else 0) <= self.cursor.at <= at:
            self.cursor = Copy(at, self.cursor.line)
            return self.cursor
        if self.cursor is not None:
            self.cursor.line.close()
            self.cursor = None
        if nearest is None:
            return None
        ours, theirs = socket.socketpair()
        socket.send_fds(nearest.line, [b"c"], [theirs.fileno()])
        theirs.close()
        self.cursor = Copy(at, ours)
        return self.cursor

    def answer(self, at: int, panel: str, arguments: dict[str, Any]) -> bytes:
        """In a cursor: the answer as JSON, or its error in words."""
        try:
            self.then.advance(at)
            document = self.then.document() if panel == "moment" else PANELS[panel](self.then, arguments, self.models)
        except EngineError as error:
            document = {"error": str(error)}
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def serve(tree: Tree, line: socket.socket) -> None:
    """In a cursor: answers until the line ends."""
    for request in requests(line.makefile("rb")):
        document = orjson.loads(request)
        answer = tree.answer(int(document["at"]), document["panel"], document["arguments"])
        line.sendall(LENGTH.pack(len(answer)) + answer)
        tree.then.reader.rest()                                # a segment in use elsewhere must not be held by who waits


def requests(file: Any) -> Iterator[bytes]:
    """Messages of a length and so many bytes, to the end of `file`."""
    while len(head := file.read(LENGTH.size)) == LENGTH.size:
        size = LENGTH.unpack(head)[0]
        if size > MOST or len(body := file.read(size)) != size:
            return
        yield body


def main(path: Path, models: Path) -> None:
    """Answers requests of stdin on stdout; meanwhile the tree grows."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tree = Tree(path, models)
    out, file = sys.stdout.buffer, os.fdopen(os.dup(0), "rb", 0)
    while True:
        wait = 0.0
        while not select.select([file], [], [], wait)[0]:
            wait = 0.0 if tree.grow() else TAIL_S              # a day that goes on is followed
            if wait:
                tree.then.reader.rest()
        request = next(requests(file), None)
        if request is None:
            return
        at = int(orjson.loads(request)["at"])
        while tree.at + tree.step <= at and tree.grow():
            pass
        answer = ask(tree, at, request)
        out.write(LENGTH.pack(len(answer)) + answer)
        out.flush()


def ask(tree: Tree, at: int, request: bytes) -> bytes:
    """Has a cursor answer `request`."""
    cursor = tree.cursor_at(at)
    if cursor is None:
        return orjson.dumps({"error": "the run had not begun at this moment"})
    cursor.line.sendall(LENGTH.pack(len(request)) + request)
    found = next(requests(cursor.line.makefile("rb")), None)
    if found is None:
        tree.cursor = None
        return orjson.dumps({"error": "the time machine lost its place: ask again"})
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(json.loads(sys.argv[2])))
