"""The two ways a token is given while somebody waits: the broker's redirect of the browser, and its message after an approval on
the phone.

Both need a listener, which other processes of this machine and pages of its browser can reach as well. A token is taken for the
request that was made and for no other: bound by the state of the redirect or the secret path of the notifier address, by Host and
Origin, by the app's key; and it is kept after the broker's profile has told whose it is.
"""
import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

import aiohttp
from aiohttp import web

from engine.broker.base import Unreadable
from engine.broker.upstox import answers
from engine.broker.upstox.answers import clean
from engine.broker.upstox.client import API, LOOPBACK, session
from engine.broker.upstox.login import App, LoginError, LoginRefused, Token, check_base, known_user, pasted, save

DIALOG, EXCHANGE = "/v2/login/authorization/dialog", "/v2/login/authorization/token"
PHONE, PROFILE = "/v3/login/auth/token/request/", "/v2/user/profile"
WAIT_S, MESSAGE_S = 300.0, 5.0
MESSAGE = 16_384                    # bytes of the broker's message; a real one has some 700
SECRET_LENGTH = 22                  # characters of 6 bits: 128 bits and more
OLD_S = 120.0                       # a token issued so long before it was asked for is the answer to an earlier request
OF_PAGES = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")
PLAIN = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
         "X-Content-Type-Options": "nosniff"}
QUIET = logging.Logger("callback", logging.CRITICAL + 1)
"""What others send to a listener is no line of ours: aiohttp would print a traceback for each malformed request."""
Say = Callable[[str], Any]
Keep = Callable[[Token], Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# ---- the listener --------------------------------------------------------------------------------------------------------
def page(status: int, text: str) -> web.Response:
    """One line of plain text, ours alone: nothing of a request is repeated."""
    return web.Response(status=status, text=text + "\n", headers=PLAIN)


def refused(status: HTTPStatus) -> web.Response:
    return page(status, f"{status.value} {status.phrase}")


def same(a: str, b: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))


@contextlib.asynccontextmanager
async def listening(takes: Handler, host: str, port: int) -> AsyncIterator[None]:
    """`takes` gets every request to `host`, which is loopback. LoginError where nobody can listen there."""

    @web.middleware
    async def plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as odd:
            return refused(HTTPStatus(odd.status))

    app = web.Application(middlewares=[plainly], client_max_size=MESSAGE)
    app.router.add_route("*", "/{path:.*}", takes)
    runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            raise LoginError(f"cannot listen on {host}:{port}: end what does, or register another port") from None
        yield
    finally:
        await runner.cleanup()          # an answer under way is finished first


# ---- asking the broker -----------------------------------------------------------------------------------------------------
async def ask(method: str, url: str, **given: Any) -> tuple[int, dict[str, Any]]:
    """(status, answer) of a call with a secret in it; LoginRefused where there is none that can be read."""
    try:
        async with session() as web_, web_.request(method, url, allow_redirects=False, **given) as response:
            body = answers.parse(await answers.body_of(response, answers.SMALL), answers.SMALL)
            return response.status, answers.record(body, "the broker's answer")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise LoginRefused(f"no answer from the broker ({type(error).__name__}): is the network up? Run login again") from None
    except Unreadable as error:
        raise LoginRefused(f"the broker's answer was not understood ({error}): run login again") from None


async def exchange(app: App, code: str, base: str = API) -> Token:
    """The single-use code for a token."""
    status, body = await ask("POST", base + EXCHANGE, data={
        "code": code, "client_id": app.key, "client_secret": app.secret, "redirect_uri": app.redirect,
        "grant_type": "authorization_code"})
    if status != HTTPStatus.OK:
        raise LoginRefused(f"the broker refused to exchange the code ({status}): {answers.said(body)}; run login again")
    return token_of(body)


def token_of(body: dict[str, Any]) -> Token:
    """The token in an answer or message of the broker."""
    data = body.get("data")
    text = body.get("access_token") or (data.get("access_token") if isinstance(data, dict) else None)
    try:
        return pasted(text if isinstance(text, str) else "")
    except LoginError:
        raise LoginRefused("the broker gave no token that can be one: run login again") from None


async def verified(token: Token, base: str, user: str = "") -> Token:
    """`token` with its user, as the broker's profile tells it. LoginRefused where the broker does not take it, or it is of another
    user than `user` (where that is not empty)."""
    status, body = await ask("GET", base + PROFILE, headers={"Authorization": f"Bearer {token.text}"})
    if status != HTTPStatus.OK:
        raise LoginRefused(f"the broker does not take the token ({status}: {answers.said(body)}): nothing was kept; run login "
                           "again")
    try:
        found = answers.text(answers.record(answers.data_of(body, "the profile"), "the profile").get("user_id"), "the user", 64)
    except Unreadable:
        raise LoginRefused("the broker does not say whose the token is: nothing was kept; run login again") from None
    if user and not same(found, user):
        raise LoginRefused(f"the token is of {found}, not of {clean(user)}: nothing was kept; `login --user {found}` if that is "
                           "meant")
    return replace(token, user=found)


# ---- the browser -------------------------------------------------------------------------------------------------------------
async def browser(app: App, show: Say, base: str = API, wait_s: float = WAIT_S, tell: Say = lambda text: None, user: str = "",
                  keep: Keep = save) -> Token:
    """OAuth code flow: `show` gets the address to open; the broker sends the browser back to our loopback address, and the page
    there says what `tell` and the error say here. The token is kept before the page calls it a success.

    One callback with the right `state` is taken; others are turned away, and told of. LoginRefused when none comes in time.
    """
    check_base(base, app.secret)
    redirect = urlsplit(app.redirect)
    host, port = redirect.hostname or "", redirect.port or 0
    if host not in LOOPBACK or not port:
        raise LoginError("ENGINE_REDIRECT must be a loopback address with a port, as registered: http://127.0.0.1:18711/callback")
    wait = _Callback(redirect, tell)
    async with listening(wait.callback, host, port):
        show(f"{base}{DIALOG}?" + urlencode({
            "response_type": "code", "client_id": app.key, "redirect_uri": app.redirect, "state": wait.state}))
        step = "nobody logged in in time"
        try:
            code = await asyncio.wait_for(wait.code, wait_s)
            step = "the broker did not give a token for the code; the command line says why"
            token = await exchange(app, code, base)
            step = "the token is not one to keep; the command line says why"
            token = await verified(token, base, user or known_user())
            step = "the token could not be kept; the command line says why"
            keep(token)
            step = ""
            return token
        except TimeoutError:
            raise LoginRefused(f"nobody logged in within {wait_s:.0f} s: run login again") from None
        except OSError as error:
            raise LoginRefused(f"the token cannot be kept: {error.strerror}") from None
        finally:
            if not wait.outcome.done():
                wait.outcome.set_result(step)


class _Callback:
    """The one callback that answers our question: `code` becomes its code or a LoginRefused, and its page says `outcome` (empty:
    logged in)."""

    def __init__(self, redirect: SplitResult, tell: Say):
        self.redirect, self.tell = redirect, tell
        self.state = secrets.token_urlsafe(24)
        self.code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.has_told = False

    async def callback(self, request: web.Request) -> web.StreamResponse:
        if request.path != (self.redirect.path or "/"):
            return refused(HTTPStatus.NOT_FOUND)
        if request.method != "GET":
            return refused(HTTPStatus.METHOD_NOT_ALLOWED)
        if request.host != self.redirect.netloc or "Origin" in request.headers or (
                request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"):       # a redirect of the broker is none of these
            return refused(HTTPStatus.FORBIDDEN)
        if not same(_one(request, "state"), self.state):
            if not self.has_told:
                self.has_told = True
                self.tell("a page came back that does not belong to this login (its state is another): open the address above; "
                          "still waiting")
            return page(HTTPStatus.FORBIDDEN, "Not logged in: this is not the answer to the login that is waiting. "
                        "Close this page and open the address the command line shows.")
        if self.code.done():
            return page(HTTPStatus.CONFLICT, "This login was answered before. The command line says what came of it.")
        code = _one(request, "code")
        if "error" in request.query:
            self.code.set_exception(LoginRefused("consent was denied at the broker: nothing was kept; run login again"))
            return page(HTTPStatus.BAD_REQUEST, "Not logged in: consent was denied. This page may be closed.")
        if not code or len(code) > 512 or not code.isascii() or not code.isprintable():
            self.code.set_exception(LoginRefused("the broker sent no code that can be used: nothing was kept; run login again"))
            return page(HTTPStatus.BAD_REQUEST, "Not logged in: the broker sent no code. This page may be closed.")
        self.code.set_result(code)
        why = await self.outcome
        return page(HTTPStatus.BAD_GATEWAY if why else HTTPStatus.OK,
                    f"Not logged in: {why}." if why else "Logged in. This page may be closed.")


def _one(request: web.Request, name: str) -> str:
    """A parameter that is there once; empty otherwise."""
    values = request.query.getall(name, [])
    return values[0] if len(values) == 1 else ""


# ---- the phone ---------------------------------------------------------------------------------------------------------------
async def phone(app: App, show: Say, base: str = API, port: int = 18712, wait_s: float = WAIT_S, tell: Say = lambda text: None,
                user: str = "", keep: Keep = save) -> Token:
    """Asks for a token to be approved on the phone; the broker posts it to the app's notifier address, which must lead to `port`
    here (a tunnel: the broker takes public https addresses only) and hold a secret in its path. Nothing listens beyond loopback."""
    check_base(base, app.secret)
    notifier = _Notifier(app.key, port)
    async with listening(notifier.notified, "127.0.0.1", port):
        status, body = await ask("POST", f"{base}{PHONE}{app.key}", json={"client_secret": app.secret})
        if status != HTTPStatus.OK:
            raise LoginRefused(f"the broker refused ({status}): {answers.said(body)}")
        data = body.get("data", body)
        notifier.expect(data.get("notifier_url") if isinstance(data, dict) else None)
        show(f"approve the request on the phone; the answer comes through {clean(notifier.host)}")
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    token, whose = await notifier.messages.get()
                    try:
                        token = await verified(token, base, user or known_user() or whose)
                        if whose and not same(token.user, whose):
                            raise LoginRefused("the message names another user")
                    except LoginRefused as error:
                        tell(f"a token came that is not taken: {error}; still waiting")
                        continue
                    keep(token)
                    return token
        except TimeoutError:
            raise LoginRefused(f"no approval within {wait_s:.0f} s: run login again") from None
        except OSError as error:
            raise LoginRefused(f"the token cannot be kept: {error.strerror}") from None


class _Notifier:
    """Takes the broker's message at the secret path of the notifier address, which the broker itself told us over TLS."""

    def __init__(self, key: str, port: int):
        self.key, self.asked = key, time.time()
        self.hosts, self.host, self.path = {f"127.0.0.1:{port}", f"localhost:{port}"}, "", ""
        self.messages: asyncio.Queue[tuple[Token, str]] = asyncio.Queue(4)

    def expect(self, address: Any) -> None:
        """From now on messages to `address` are taken. LoginError where there is none, or no secret in its path."""
        advice = f"register a notifier address such as https://YOUR-TUNNEL/{secrets.token_urlsafe(24)} with the broker"
        try:
            parts = urlsplit(answers.text(address, "the notifier address", 1000))
            self.host = parts.netloc
        except ValueError:
            raise LoginError(f"the broker has no notifier address of this app: {advice}") from None
        if not any(len(part) >= SECRET_LENGTH and part.isascii() and part.replace("-", "").replace("_", "").isalnum()
                   and len(set(part)) > SECRET_LENGTH // 3 for part in parts.path.split("/")):
            raise LoginError(f"the notifier address has no secret in its path, so anybody could send a token: {advice}")
        self.hosts |= {parts.netloc, parts.hostname or ""}
        self.path = parts.path

    async def notified(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST" or not self.path or not same(request.path, self.path):
            return refused(HTTPStatus.NOT_FOUND)
        if request.host not in self.hosts or any(name in request.headers for name in OF_PAGES):
            return refused(HTTPStatus.FORBIDDEN)           # the broker's server is no page
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            async with asyncio.timeout(MESSAGE_S):
                body = answers.record(answers.parse(await request.read(), MESSAGE), "the message")
            key, token, whose = body.get("client_id"), token_of(body), body.get("user_id", "")
        except TimeoutError:
            return refused(HTTPStatus.REQUEST_TIMEOUT)
        except (Unreadable, LoginError, web.RequestPayloadError):
            return refused(HTTPStatus.BAD_REQUEST)
        if body.get("message_type") != "access_token" or not isinstance(whose, str) or self._is_old(body.get("issued_at")):
            return refused(HTTPStatus.BAD_REQUEST)
        if not isinstance(key, str) or not same(key, self.key):
            return refused(HTTPStatus.FORBIDDEN)
        if self.messages.full():
            return refused(HTTPStatus.TOO_MANY_REQUESTS)
        self.messages.put_nowait((token, whose))
        return page(HTTPStatus.OK, "taken")

    def _is_old(self, issued: Any) -> bool:
        """Whether a message says, in epoch milliseconds, that its token was issued before it was asked for."""
        try:
            return answers.whole(issued, "the time of issue", answers.FIRST_MS, answers.LAST_MS) / 1000 < self.asked - OLD_S
        except Unreadable:
            return False
