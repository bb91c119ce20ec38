"""Who may ask: every request passes here. Loopback alone is no protection, for a web page can reach it.

A request needs the token, by cookie or `Authorization: Bearer`; a Host by which this server is known, or a name was rebound; no
Origin but its own; and what changes something needs besides a word that only the page itself could read (docs/page.md).
"""
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "spike"
BODY_MAX, TARGET_MAX = 64 << 10, 4096
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
          "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
"""Nothing of any other host, no script but the page's own."""
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"),
           (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"),
           (b"cross-origin-opener-policy", b"same-origin")]
NO_TOKEN = ("open the address that `run` printed (it stands in watch.address of the run's folder), or send `Authorization: Bearer "
            "TOKEN`")


def kept_token(folder: Path) -> str:
    """The token of this machine's user: 32 random bytes, made once, in a file of mode 600. A link that was kept goes on to work."""
    path = folder / "watch.token"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.write(fd, secrets.token_urlsafe(32).encode())
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        token = file.read(256).decode("ascii", "replace").strip()
    if os.stat(path).st_mode & 0o077 or len(token) < 32:
        path.unlink()
        return kept_token(folder)
    return token


def csrf_of(token: str) -> str:
    """What the page sends with a change: only who can read its session knows it."""
    return hmac.new(token.encode(), b"operations", hashlib.sha256).hexdigest()


class Guard:
    """Wraps the app. `hosts`: names besides those of loopback by which this server is asked for, at any port."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str] = (), log: Callable[[dict[str, Any]], Any] | None = None):
        self.app, self.token = app, token
        self.hosts = {f"[{name}]" if ":" in name and not name.startswith("[") else name
                      for name in map(str.lower, (*LOOPBACK, *hosts))}
        self.cookie = hmac.new(token.encode(), b"page", hashlib.sha256).hexdigest()      # a cookie goes to every port of a host
        self.csrf = csrf_of(token)
        self.log = log or (lambda document: print(json.dumps(document), flush=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            return
        headers = Headers(scope=scope)
        status, why = self.refusal(scope, headers)
        if status:
            self._told(scope, status, why)
            await self._refuse(scope, receive, send, status, why)
            return
        if scope["type"] == "http" and self._offered(scope):
            await self._welcome(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [pair for pair in message["headers"] if pair[0].lower() != b"server"]
                if not any(name.lower() == b"cache-control" for name, _ in given):
                    given.append((b"cache-control", b"no-store"))
                message["headers"] = [*given, *HEADERS]
            await send(message)

        await self.app(scope, receive, send_guarded)

    # ---- what is refused -----------------------------------------------------------------------------------------------
    def refusal(self, scope: Scope, headers: Headers) -> tuple[int, str]:
        """(status, why) of a request that is refused; 0 for one that may pass."""
        host = headers.get("host", "")
        if host.lower().rpartition(":")[0] not in self.hosts and host.lower() not in self.hosts:
            return 403, "not known by that Host: open the address that `run` printed, or name this one in watch.hosts"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return 403, "a page of another origin asks"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not self._is_first_look(scope, headers):
            return 403, "a page of another site asks"
        if len(scope.get("query_string", b"")) > TARGET_MAX or len(scope["path"]) > TARGET_MAX:
            return 414, "the address is too long"
        if self._offered(scope):
            return (0, "") if self.is_token(self._offered(scope)) else (401, "that is not the token: " + NO_TOKEN)
        if not self._has_token(headers):
            return 401, "no token: " + NO_TOKEN
        if scope["type"] == "websocket" and origin is None and "authorization" not in headers:
            return 403, "a WebSocket of a page has an Origin"
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return self._change(headers)
        return 0, ""

    def _change(self, headers: Headers) -> tuple[int, str]:
        """Of what changes something: only the page itself, or a program with the token in its header."""
        is_program = "authorization" in headers and "cookie" not in headers
        if not is_program and headers.get("origin") is None:
            return 403, "a change needs an Origin"
        if not hmac.compare_digest(headers.get("x-spike", "").encode("utf-8", "replace"), self.csrf.encode()):
            return 403, "a change needs the header X-Spike with `csrf` of /api/session"
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 403, "a change is sent as application/json"
        length = headers.get("content-length", "")
        if not re.fullmatch("[0-9]{1,9}", length, re.ASCII) or int(length) > BODY_MAX:
            return 413, f"a change has at most {BODY_MAX >> 10} KiB and says how long it is"
        return 0, ""

    def _is_first_look(self, scope: Scope, headers: Headers) -> bool:
        """A link to the page itself that was clicked elsewhere: it shows nothing without the cookie, and changes nothing."""
        return (scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
                and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document")

    def is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE and hmac.compare_digest(value.encode("utf-8", "replace"), self.cookie.encode()):
                return True
        return False

    @staticmethod
    def _offered(scope: Scope) -> str:
        """The token in the address of the page's first look; empty without one."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            return ""
        query: bytes = scope.get("query_string", b"")
        return parse_qs(query.decode("ascii", "replace")).get("token", [""])[0]

    # ---- answers -------------------------------------------------------------------------------------------------------
    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What follows from the token goes into a cookie, and the token out of the address, which a browser keeps and shows."""
        answer = RedirectResponse("/", 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
        answer.set_cookie(COOKIE, self.cookie, max_age=30 * 86_400, path="/", httponly=True, samesite="strict",
                          secure=scope.get("scheme") == "https")
        await answer(scope, receive, send)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:120]})
            return
        plain = scope["path"] == "/" and scope["method"] == "GET"
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff", "content-security-policy": POLICY}
        answer = (PlainTextResponse(f"{why}\n", status, headers) if plain
                  else JSONResponse({"error": why}, status, headers))
        await answer(scope, receive, send)

    def _told(self, scope: Scope, status: int, why: str) -> None:
        """A refusal is logged: never its query, which may hold a token that was mistyped."""
        client = scope.get("client") or ("?", 0)
        self.log({"at": round(time.time(), 3), "refused": status, "why": why.partition(":")[0], "method": scope.get("method", "WS"),
                  "path": scope["path"][:200], "from": client[0]})
