"""Embedded ClickHouse: chDB behind the ClickHouse HTTP interface, on loopback, guarded.

Unguarded it would be arbitrary file access for any web page that can reach loopback. So: a random password per database
(file of mode 600), no request with an Origin, none with a Host that is not loopback; three layers around what a reader's SQL
can do: the kernel's (confinement.py), ClickHouse's own grants (grants.py) and an allow-list of statements (statements.py); and
bounds in time, memory, size and number (readers.py).
"""
import asyncio
import base64
import contextlib
import hmac
import logging
import os
import re
import secrets
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.store import grants
from engine.store.readers import ZONE, Busy, Readers
from engine.store.statements import TEXT_MAX, Refused

READER = "reader"
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
BODY_MAX = 256 << 20
NO_READERS = ("this kernel has no Landlock to confine the database with, so readers are off: set unconfined_readers = true "
              "under [store] in engine.toml to have them all the same")
OWN_WORDS = {
    396: "the result is larger than a reader may have: ask for fewer rows or columns, or in parts (WHERE, LIMIT)",
    241: "the statement or its result takes more memory than a reader may have: ask for less, or in parts (WHERE, LIMIT)",
    306: "the statement is nested too deeply",
    159: "the statement took longer than a reader may: ask for less of the data (WHERE)"}
"""What ClickHouse's errors of a bound mean here."""


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

    def __init__(self, folder: Path, has_readers: bool = True):
        from chdb import session as chdb

        session: Any = chdb
        self.password = password_of(folder)
        self.writer = secrets.token_urlsafe(24)
        self.scratch = folder / "insert.bin"
        (folder / "data").mkdir(exist_ok=True, mode=0o700)
        where = grants.connection(folder)
        self.pool = ThreadPoolExecutor(1, "chdb")
        self.session = session.Session(where)
        self.session.query(f"CREATE DATABASE IF NOT EXISTS {grants.DATABASE}")
        self.session.query(f"USE {grants.DATABASE}")
        self.readers = Readers(lambda: session.Session(where)) if has_readers else None
        self.runner: web.AppRunner | None = None

    async def start(self, listener: socket.socket | None = None) -> int:
        """Serves at `listener`, by default a port of loopback nobody has; the port."""
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._query)
        silent = logging.Logger("embedded", logging.CRITICAL)     # a bad request must not fill a file with tracebacks
        silent.addHandler(logging.NullHandler())
        self.runner = web.AppRunner(app, access_log=None, logger=silent, handler_cancellation=True, shutdown_timeout=1)
        await self.runner.setup()
        await (web.SockSite(self.runner, listener) if listener else web.TCPSite(self.runner, "127.0.0.1", 0)).start()
        return int(self.runner.addresses[0][1])

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        if self.readers is not None:
            await self.readers.close()
        self.pool.shutdown()
        self.session.close()

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
        if expected is None or not hmac.compare_digest(expected.encode(), (key or "").encode(errors="replace")):
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
            return _failed(401, 516, "wrong user or password: the reader's password lies in the data home, "
                                     "clickhouse/password")
        if request.headers.get("Content-Encoding"):
            return _failed(400, 1, "send bodies uncompressed: compress=False in clickhouse-connect")
        try:
            out, form = await (self._answer_store(request) if user == "store" else self._answer_reader(request))
        except Busy as error:
            return _failed(503, 202, str(error))
        except Refused as error:
            return _failed(400, 497, f"refused: {error}")
        except (RuntimeError, ValueError) as error:
            return _failed(400, _code(str(error)), _said(str(error)))
        return web.Response(body=out, headers={"X-ClickHouse-Format": form, "X-ClickHouse-Timezone": ZONE})

    async def _answer_reader(self, request: web.Request) -> tuple[bytes, str]:
        if self.readers is None:
            raise Refused(NO_READERS)
        body = await _body(request, TEXT_MAX)
        sql = (request.query.get("query") or body.decode(errors="replace")).encode(errors="replace").decode()
        wanted = request.query.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated"
        parameters = {name[6:]: value for name, value in request.query.items() if re.fullmatch(r"param_\w+", name, re.ASCII)}
        return await self.readers.ask(sql, wanted, parameters)

    async def _answer_store(self, request: web.Request) -> tuple[bytes, str]:
        body = await _body(request, BODY_MAX)
        sql, data = request.query.get("query", ""), b""
        if sql:
            data = body
        else:
            head, _, rest = body.partition(b"\n")
            is_insert = head.lstrip()[:6].upper() == b"INSERT"
            sql, data = (head.decode(), rest) if is_insert else (body.decode(errors="replace"), b"")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self._write, sql, data, dict(request.query)), "Native"

    def _write(self, sql: str, data: bytes, params: dict[str, str]) -> bytes:
        if not data:
            return bytes(self.session.query(sql, params.get("default_format", "TabSeparated")).bytes())
        target, _, kind = sql.rpartition(" FORMAT ")
        self.scratch.write_bytes(data)
        settings = [f"{name} = '{value}'" if not value.isdigit() else f"{name} = {value}" for name, value in params.items()
                    if name in ("insert_deduplication_token", "deduplicate_blocks_in_dependent_materialized_views")]
        clause = f" SETTINGS {', '.join(settings)}" if settings else ""
        return bytes(self.session.query(f"{target} FROM INFILE '{self.scratch}'{clause} FORMAT {kind.strip()}").bytes())


async def _body(request: web.Request, most: int) -> bytes:
    """The body, of at most `most` bytes."""
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > most:
            raise Refused(f"a statement has at most {most >> 10} KB")
        parts.append(part)
    return b"".join(parts)


def _code(text: str) -> int:
    digits = text.partition("Code: ")[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 1000


def _said(text: str) -> str:
    """ClickHouse's message, without the statement of ours around the reader's; bounds in our own words."""
    if own := OWN_WORDS.get(_code(text)):
        return own
    text, cut, _ = text.partition(": In scope SELECT formatQuerySingleLine(")
    return text + (". (SYNTAX_ERROR)" if cut else "")


def _failed(status: int, code: int, text: str) -> web.Response:
    """An error as ClickHouse gives it."""
    message = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}"
    return web.Response(status=status, text=message + "\n", headers={"X-ClickHouse-Exception-Code": str(code)})
