"""Readers' statements: two at once, one thread each, every one in a session of its own that ends with it.

Nothing a statement leaves behind, failed or not, meets another; and none of them shares a thread or a session with the inserts.
"""
import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.errors import EngineError
from engine.store import statements
from engine.store.grants import DATABASE

AT_ONCE = 2
WAIT_S = 30.0
WAITING_MAX = 64
SECONDS = 60
ROWS = 10_000_000
BYTES = 512_000_000
MEMORY = 1_000_000_000
LIMITS = (f"max_threads = 1, max_execution_time = {SECONDS}, max_memory_usage = {MEMORY}, max_result_rows = {ROWS}, "
          f"max_result_bytes = {BYTES}, result_overflow_mode = 'throw', timeout_overflow_mode = 'throw', "
          f"max_query_size = {2 * statements.WRITTEN_MAX}, max_parser_depth = 500, log_comment = ")
KILL_EVERY_S = 0.2
ZONE = "Asia/Kolkata"
"""Times without a zone of their own, as toStartOfHour(...) gives them, are India's too."""


class Busy(EngineError):
    """Too many readers at once."""


class Readers:
    """`connect` opens a session of the database."""

    def __init__(self, connect: Callable[[], Any]):
        self.connect = connect
        self.slots = asyncio.Semaphore(AT_ONCE)
        self.pool = ThreadPoolExecutor(AT_ONCE, "reader")
        self.killers = ThreadPoolExecutor(1, "killer")
        self.admin = connect()
        names = self.admin.query("SELECT lower(name) FROM system.functions", "TabSeparatedRaw").bytes().decode()
        self.known = frozenset(names.split("\n")) - {""}
        self.waiting = 0
        self.ending: set[asyncio.Task[None]] = set()

    async def ask(self, sql: str, wanted: str, parameters: Mapping[str, str]) -> tuple[bytes, str]:
        """(answer, its format). Cancelled, as when the client leaves, the statement ends too. Raises Busy, statements.Refused, or
        what ClickHouse says."""
        if self.waiting >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} statements of readers wait already: try again later")
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self.slots.acquire()
        except TimeoutError:
            raise Busy(f"{AT_ONCE} statements of readers run, and none ended within {WAIT_S:.0f} s: try again later") from None
        finally:
            self.waiting -= 1
        tag = secrets.token_hex(8)
        work = asyncio.get_running_loop().run_in_executor(self.pool, self._run, tag, sql, wanted, parameters)
        work.add_done_callback(self._ended)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            task = asyncio.create_task(self._end(tag, work))
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)
            raise

    def _ended(self, work: "asyncio.Future[Any]") -> None:
        self.slots.release()
        if not work.cancelled():
            work.exception()               # looked at, also where the client is gone

    async def _end(self, tag: str, work: "asyncio.Future[Any]") -> None:
        """Kills the statement until it has ended: it may not have begun to run when it is told."""
        loop = asyncio.get_running_loop()
        while not work.done():
            await loop.run_in_executor(self.killers, self._kill, tag)
            await asyncio.wait([work], timeout=KILL_EVERY_S)

    def _kill(self, tag: str) -> None:
        with contextlib.suppress(RuntimeError):
            self.admin.query(f"KILL QUERY WHERE Settings['log_comment'] = '{tag}' ASYNC")

    def _run(self, tag: str, sql: str, wanted: str, parameters: Mapping[str, str]) -> tuple[bytes, str]:
        with self.connect() as session:
            for statement in (f"USE {DATABASE}", f"SET {LIMITS}'{tag}'", f"SET session_timezone = '{ZONE}'", "SET readonly = 1"):
                session.query(statement)

            def ask(own: str, given: Mapping[str, str]) -> str:
                return str(session.query(own, "TabSeparatedRaw", params=dict(given)).bytes().decode(errors="replace")[:-1])

            text, named = statements.examine(ask, sql, parameters, self.known)
            wanted = named or wanted
            if not statements.FORMATS.fullmatch(wanted):
                raise statements.Refused(f"the format {wanted[:40]} is not for readers")
            return session.query(text, wanted, params=dict(parameters)).bytes(), wanted

    async def close(self) -> None:
        """Ends what runs, then the sessions."""
        self.waiting = WAITING_MAX
        await asyncio.get_running_loop().run_in_executor(
            self.killers, self.admin.query, "KILL QUERY WHERE Settings['log_comment'] != '' ASYNC")
        if self.ending:
            await asyncio.wait(self.ending)
        await asyncio.get_running_loop().run_in_executor(None, self.pool.shutdown)
        self.killers.shutdown()
        self.admin.close()
