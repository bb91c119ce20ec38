"""The broker's token: what is one, where it is kept, when it dies, and where it never goes. How one is given: consent.py.

A token lies in a file of mode 600 or in ENGINE_TOKEN, is never logged, never sent anywhere but to the broker, and dies at 03:30
IST whatever the time of issue (docs/upstox.md 3.1).
"""
import base64
import datetime as dt
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from engine.broker.upstox import answers
from engine.broker.upstox.answers import clean
from engine.broker.upstox.client import LOOPBACK
from engine.errors import UsageError
from engine.market.sessions import IST

EXPIRY = dt.time(3, 30)


class LoginError(UsageError):
    """Says what to do; never holds a secret."""


class LoginRefused(LoginError):
    """A login that was tried and failed: the broker's word, not bad usage."""
    exit_code = 1


@dataclass(frozen=True)
class Token:
    text: str
    expires: dt.datetime
    kind: str = "trading"              # or analytics: a year long, reads only
    user: str = ""                     # the broker's user id, where the profile has told it

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
        claims = answers.record(answers.parse(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), "the token")
        return dt.datetime.fromtimestamp(answers.whole(claims.get("exp"), "its end", 0, answers.LAST_MS // 1000), IST)
    except (IndexError, ValueError):
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
        file.write(orjson.dumps({"token": token.text, "expires": token.expires.isoformat(), "kind": token.kind,
                                 "user": token.user}))
    temporary.replace(path)
    return path


def load(now: dt.datetime | None = None) -> Token:
    """The token in force; LoginError where there is none, it has expired, or others could read the file."""
    now = now or dt.datetime.now(IST)
    if text := os.environ.get("ENGINE_TOKEN"):
        token = Token(check_text(text), expiry_of(text, now))
    else:
        token = _kept()
    if token.seconds_left(now) <= 0:
        raise LoginError(f"the token expired at {token.expires.astimezone(IST):%H:%M on %d %b}: `python -m engine login`")
    return token


def _kept() -> Token:
    """The token in the file, expired or not."""
    path = token_file()
    try:
        mode = path.stat().st_mode
        document = answers.record(answers.parse(path.read_bytes(), answers.SMALL), "the token file")
        expires = dt.datetime.fromisoformat(answers.text(document.get("expires"), "its end"))
        token = Token(check_text(answers.text(document.get("token"), "it", 4096)), expires,
                      answers.text(document.get("kind"), "its kind"), str(document.get("user") or "")[:64])
    except (OSError, ValueError, LoginError):
        raise LoginError("there is no token: `python -m engine login`") from None
    if expires.tzinfo is None:
        raise LoginError("there is no token: `python -m engine login`")
    if stat.S_IMODE(mode) & 0o077:
        raise LoginError(f"{path} can be read by others: `chmod 600 {path}`, then log in again, since it may have been seen")
    return token


def known_user() -> str:
    """The broker's user id of the last token, expired or not; empty where nobody has told."""
    try:
        return _kept().user
    except LoginError:
        return ""


def stored_token() -> str:
    return load().text


def check_base(base: str, secret: str) -> None:
    """The secret goes to the broker over TLS; a loopback sim is spoken to with the secret `demo`."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if not (parts.scheme == "https" and (host == "upstox.com" or host.endswith(".upstox.com"))) and not (
            host in LOOPBACK and secret == "demo"):
        raise LoginError(f"the app's secret is not sent to {clean(base)}")


def pasted(text: str, kind: str = "trading") -> Token:
    """A token from the broker's console."""
    now = dt.datetime.now(IST)
    return Token(check_text(text), expiry_of(text, now), kind)
