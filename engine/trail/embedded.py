"""Embedded ClickHouse: chDB behind the ClickHouse HTTP interface, on loopback, guarded.

Unguarded it would be arbitrary file access for any web page that can reach loopback. So: a random password per database
(file of mode 600), no request with an Origin, none with a Host that is not loopback, and everything but the store's own
statements runs in a session that is read-only for good and bounded in time and memory. Read-only refuses table functions
and writes; the scalar file(), DESCRIBE of a table function, BACKUP, KILL and INTO OUTFILE it lets pass, so each statement's
parsed tree is looked at first.
"""
import asyncio
import base64
import contextlib
import hmac
import os
import re
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

READER = "reader"
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
BODY_MAX = 256 << 20
READS = ("SelectWithUnionQuery", "Show", "Describe", "Explain", "Exists")
_FILE = re.compile(r"^ *(Function|Identifier|TableIdentifier|Literal) '?file'?\b", re.MULTILINE | re.IGNORECASE)
_FUNCTION = re.compile(r"^ *(Table)?Function ", re.MULTILINE | re.IGNORECASE)


def password_of(folder: Path) -> str:
    """The reader's password of a database folder, made at the first call; the file has mode 600."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "password"
    if path.exists() and len(path.read_text().strip()) < 20:
        path.unlink()                      # cut short while it was made: an empty password must never open anything
    if not path.exists():
        fd, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
    return path.read_text().strip()


class Embedded:
    """chDB over `folder`, served at 127.0.0.1. `writer` is the secret of the store's own client."""

    def __init__(self, folder: Path):
        from chdb import session

        self.password = password_of(folder)
        self.writer = secrets.token_urlsafe(24)
        self.scratch = folder / "insert.bin"
        data = folder / "data"
        data.mkdir(exist_ok=True, mode=0o700)
        self.pool = ThreadPoolExecutor(1, "chdb")
        self.write_session = session.Session(str(data))
        self.write_session.query("CREATE DATABASE IF NOT EXISTS spike")
        self.write_session.query("USE spike")
        self.read_session = session.Session(str(data))
        self.read_session.query("USE spike")
        self.read_session.query("SET max_execution_time = 60, max_memory_usage = 2000000000, max_result_rows = 10000000")
        self.read_session.query("SET readonly = 1")
        self.runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> int:
        """Serves on loopback; the port. Raises OSError when it is taken."""
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._query)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", port)
        await site.start()
        return self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        self.pool.shutdown()
        self.read_session.close()
        self.write_session.close()

    def _refusal(self, request: web.Request) -> str | None:
        """Why a request is turned away before anything is read from it, or None."""
        if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
            return "requests from web pages are refused"
        host = request.headers.get("Host", "")
        if host.rsplit(":", 1)[0] not in LOOPBACK:
            return "the Host must be loopback"
        return None

    def _user(self, request: web.Request) -> str | None:
        """`store`, `reader` or None: who the credentials say the client is."""
        user, key = request.headers.get("X-ClickHouse-User"), request.headers.get("X-ClickHouse-Key")
        authorization = request.headers.get("Authorization", "")
        if authorization.startswith("Basic "):
            try:
                user, _, key = base64.b64decode(authorization[6:]).decode().partition(":")
            except ValueError:
                return None
        user, key = user or request.query.get("user"), key or request.query.get("password")
        expected = {"store": self.writer, READER: self.password}.get(user or "")
        if expected is None or not hmac.compare_digest(expected.encode(), (key or "").encode()):
            return None
        return user

    async def _ping(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        return web.Response(status=403, text=refusal) if refusal else web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal:
            return _failed(403, 497, refusal)
        user = self._user(request)
        if user is None:
            return _failed(401, 516, "wrong user or password: the reader's password lies in the run folder, "
                                     "clickhouse/password")
        body = await request.read()
        if request.headers.get("Content-Encoding"):
            return _failed(400, 1, "send bodies uncompressed: compress=False in clickhouse-connect")
        sql, data = request.query.get("query", ""), b""
        if sql:
            data = body
        else:
            head, _, rest = body.partition(b"\n")
            is_insert = user == "store" and head.lstrip()[:6].upper() == b"INSERT"
            sql, data = (head.decode(), rest) if is_insert else (body.decode(errors="replace"), b"")
        loop = asyncio.get_running_loop()
        try:
            if user == "store":
                out = await loop.run_in_executor(self.pool, self._write, sql, data, dict(request.query))
            else:
                out = await loop.run_in_executor(self.pool, self._read, sql, request)
        except Exception as error:
            return _failed(400, _code(str(error)), str(error))
        return web.Response(body=out, headers={"X-ClickHouse-Format": "Native", "X-ClickHouse-Timezone": "UTC"})

    def _read(self, sql: str, request: web.Request) -> bytes:
        if "OUTFILE" in sql.upper():
            raise ValueError("Code: 164. INTO OUTFILE is refused (the word is not allowed anywhere in a query)")
        self._check(sql)
        wanted = request.query.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated"
        return self.read_session.query(sql, wanted).bytes()

    def _check(self, sql: str) -> None:
        """Refuses what is not a plain read of tables, by its parsed tree. The tree of `a; b` would run b: one statement only."""
        text = sql.rstrip("; \n\t\r")
        if ";" in text:
            raise ValueError("Code: 164. one statement at a time, and no semicolon inside it")
        text = re.sub(r"\s+FORMAT\s+\w+$", "", text, flags=re.IGNORECASE)
        tree = self.read_session.query(f"EXPLAIN AST {text}", "TabSeparatedRaw").bytes().decode(errors="replace")
        if (not tree.startswith(READS) or "ApplyTransformer" in tree or _FILE.search(tree)
                or (not tree.startswith("Select") and _FUNCTION.search(tree))):
            raise ValueError("Code: 164. refused: readers read the tables of this database and nothing else")

    def _write(self, sql: str, data: bytes, params: dict[str, str]) -> bytes:
        if not data:
            return self.write_session.query(sql, params.get("default_format", "TabSeparated")).bytes()
        target, _, kind = sql.rpartition(" FORMAT ")
        self.scratch.write_bytes(data)
        settings = [f"{name} = '{value}'" if not value.isdigit() else f"{name} = {value}" for name, value in params.items()
                    if name in ("insert_deduplication_token", "deduplicate_blocks_in_dependent_materialized_views")]
        clause = f" SETTINGS {', '.join(settings)}" if settings else ""
        return self.write_session.query(f"{target} FROM INFILE '{self.scratch}'{clause} FORMAT {kind.strip()}").bytes()


def _code(text: str) -> int:
    digits = text.partition("Code: ")[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 1000


def _failed(status: int, code: int, text: str) -> web.Response:
    """An error as ClickHouse gives it."""
    message = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}"
    return web.Response(status=status, text=message + "\n", headers={"X-ClickHouse-Exception-Code": str(code)})
