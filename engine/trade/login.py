"""Getting and keeping the broker's token: browser login with a loopback callback, approval on the phone, or pasted.

A token lies in a file of mode 600 or in ENGINE_TOKEN, is never logged, never sent anywhere but to the broker, and dies at 03:30
IST whatever the time of issue (UPSTOX 3.1).
"""
import asyncio
import base64
import datetime as dt
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from aiohttp import web

from engine.market.sessions import IST
from engine.trade.broker import API, LOOPBACK, TIMEOUT, USER_AGENT, clean

DIALOG, EXCHANGE = "/v2/login/authorization/dialog", "/v2/login/authorization/token"
PHONE = "/v3/login/auth/token/request/"
EXPIRY = dt.time(3, 30)
WAIT_S = 300.0


class LoginError(RuntimeError):
    """Says what to do; never holds a secret."""


@dataclass(frozen=True)
class Token:
    text: str
    expires: dt.datetime
    kind: str = "trading"              # or analytics: a year long, reads only

    def __repr__(self) -> str:
        return f"Token({self.kind}, expires {self.expires:%Y-%m-%d %H:%M})"

    def seconds_left(self, now: dt.datetime) -> float:
        return (self.expires - now).total_seconds()


@dataclass(frozen=True)
class App:
    """The broker's app: its key, and the secret, which stays here."""
    key: str
    secret: str
    redirect: str = "http://127.0.0.1:18711/callback"

    def __repr__(self) -> str:
        return f"App({self.key})"


def app_of_environment() -> App:
    """ENGINE_API_KEY, ENGINE_API_SECRET and ENGINE_REDIRECT as registered with the broker."""
    try:
        return App(os.environ["ENGINE_API_KEY"], os.environ["ENGINE_API_SECRET"],
                   os.environ.get("ENGINE_REDIRECT", App.redirect))
    except KeyError as missing:
        raise LoginError(f"set {missing.args[0]} (the broker's developer console shows it), or paste a token with "
                         "`python -m engine login --paste`") from None


def next_expiry(now: dt.datetime) -> dt.datetime:
    """03:30 IST after `now`."""
    at = dt.datetime.combine(now.astimezone(IST).date(), EXPIRY, IST)
    return at if at > now else at + dt.timedelta(days=1)


def expiry_of(text: str, now: dt.datetime) -> dt.datetime:
    """The token's own `exp`, unverified: it only decides when to ask again. The next 03:30 where it has none."""
    try:
        body = text.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return dt.datetime.fromtimestamp(int(claims["exp"]), IST)
    except (IndexError, ValueError, KeyError, TypeError):
        return next_expiry(now)


def check_text(text: str) -> str:
    """A token fit for a header; LoginError for anything else, without repeating it."""
    text = text.strip()
    if not 16 <= len(text) <= 4096 or not all(c.isascii() and (c.isalnum() or c in "-_.~+/=") for c in text):
        raise LoginError("that is not a token: it has 16 to 4096 letters, digits and -_.~+/=")
    return text


def token_file() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "token.json"


def save(token: Token) -> Path:
    """Writes the token where only this user can read it."""
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(orjson.dumps({"token": token.text, "expires": token.expires.isoformat(), "kind": token.kind}))
    temporary.replace(path)
    return path


def load(now: dt.datetime | None = None) -> Token:
    """The token in force; LoginError where there is none, it has expired, or others could read the file."""
    now = now or dt.datetime.now(IST)
    if text := os.environ.get("ENGINE_TOKEN"):
        token = Token(check_text(text), expiry_of(text, now))
    else:
        path = token_file()
        try:
            mode = path.stat().st_mode
            document = orjson.loads(path.read_bytes())
        except (OSError, ValueError):
            raise LoginError("there is no token: `python -m engine login`") from None
        if stat.S_IMODE(mode) & 0o077:
            raise LoginError(f"{path} can be read by others: `chmod 600 {path}`, then log in again, since it may have been seen")
        token = Token(check_text(document["token"]), dt.datetime.fromisoformat(document["expires"]), document["kind"])
    if token.seconds_left(now) <= 0:
        raise LoginError(f"the token expired at {token.expires.astimezone(IST):%H:%M on %d %b}: `python -m engine login`")
    return token


def stored_token() -> str:
    return load().text


# ---- the three ways -------------------------------------------------------------------------------------------------------
def check_base(base: str, secret: str) -> None:
    """The secret goes to the broker over TLS; a loopback sim is spoken to with the secret `demo`."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if not (parts.scheme == "https" and (host == "upstox.com" or host.endswith(".upstox.com"))) and not (
            host in LOOPBACK and secret == "demo"):
        raise LoginError(f"the app's secret is not sent to {clean(base)}")


async def browser(app: App, show: Callable[[str], Any], base: str = API, wait_s: float = WAIT_S) -> Token:
    """OAuth code flow: `show` gets the address to open; the broker sends the browser back to our loopback address.

    One callback with the right `state` is taken; others are turned away. LoginError when none comes in time.
    """
    check_base(base, app.secret)
    redirect = urlsplit(app.redirect)
    if redirect.hostname not in LOOPBACK or redirect.port is None:
        raise LoginError("ENGINE_REDIRECT must be a loopback address with a port, as registered: http://127.0.0.1:18711/callback")
    state = secrets.token_urlsafe(24)
    code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def callback(request: web.Request) -> web.Response:
        if request.host != redirect.netloc or not hmac.compare_digest(request.query.get("state", ""), state):
            return web.Response(status=403, text="this is not the answer to our question")
        if not code.done() and request.query.get("code"):
            code.set_result(request.query["code"])
        return web.Response(text="Logged in. This page may be closed.", headers={"Referrer-Policy": "no-referrer"})

    server = web.Application()
    server.router.add_get(redirect.path or "/", callback)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, redirect.hostname, redirect.port).start()
        show(f"{base}{DIALOG}?" + urlencode({
            "response_type": "code", "client_id": app.key, "redirect_uri": app.redirect, "state": state}))
        try:
            return await exchange(app, await asyncio.wait_for(code, wait_s), base)
        except TimeoutError:
            raise LoginError(f"nobody logged in within {wait_s:.0f} s: run login again") from None
    except OSError as error:
        raise LoginError(f"cannot listen on {redirect.netloc}: {error.strerror}; end what does, or register another port") from None
    finally:
        await runner.cleanup()


async def exchange(app: App, code: str, base: str = API) -> Token:
    """The single-use code for a token."""
    form = {"code": code, "client_id": app.key, "client_secret": app.secret, "redirect_uri": app.redirect,
            "grant_type": "authorization_code"}
    body = await _post(base + EXCHANGE, data=form)
    return _token_of(body)


async def phone(app: App, show: Callable[[str], Any], base: str = API, port: int = 18712, wait_s: float = WAIT_S) -> Token:
    """Asks for a token to be approved on the phone; the broker posts it to the app's notifier address, which must lead to
    `port` here (a tunnel: the broker takes public https addresses only). Nothing listens beyond loopback."""
    check_base(base, app.secret)
    got: asyncio.Future[Token] = asyncio.get_running_loop().create_future()

    async def notified(request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.content.read(16_384))
            if body.get("message_type") == "access_token" and body.get("client_id") == app.key and not got.done():
                got.set_result(_token_of(body))
        except (ValueError, AttributeError, LoginError):
            return web.Response(status=400)
        return web.Response()

    server = web.Application()
    server.router.add_post("/{path:.*}", notified)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        body = await _post(f"{base}{PHONE}{app.key}", json={"client_secret": app.secret})
        data = body.get("data", body)
        show(f"approve the request on the phone; it is sent to {clean(data.get('notifier_url'))}")
        return await asyncio.wait_for(got, wait_s)
    except TimeoutError:
        raise LoginError(f"no approval within {wait_s:.0f} s: run login again") from None
    finally:
        await runner.cleanup()


def pasted(text: str, kind: str = "trading") -> Token:
    """A token from the broker's console."""
    now = dt.datetime.now(IST)
    return Token(check_text(text), expiry_of(text, now), kind)


def _token_of(body: dict[str, Any]) -> Token:
    text = body.get("access_token") or (body.get("data") or {}).get("access_token")
    if not text:
        raise LoginError(f"the broker gave no token: {clean(body.get('errors') or 'no reason given')}")
    return pasted(str(text))


async def _post(url: str, **body: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers={"User-Agent": USER_AGENT, "Accept": "application/json"}) as session:
        try:
            async with session.post(url, allow_redirects=False, **body) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise LoginError(f"no answer from the broker ({type(error).__name__}): is the network up?") from None
        if response.status != 200:
            errors = answer.get("errors") if isinstance(answer, dict) else None
            raise LoginError(f"the broker refused ({response.status}): {clean(errors)}")
        return answer
