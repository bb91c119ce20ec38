"""Where alerts go to. An address holds a password or a token, so it stands in the environment or in a file of mode 600, is never
logged, shown or part of a record, and every text on its way out is masked.
"""
import os
import re
import stat
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import UsageError
from engine.paths import state_folder

URLS, HEARTBEAT, FILE = "ENGINE_ALERTS_URLS", "ENGINE_ALERTS_HEARTBEAT", "ENGINE_ALERTS_FILE"
FILE_MAX = 64 << 10
MOST = 8
"""Ways of telling alerts: each has a thread."""
MASK = "***"


@dataclass(frozen=True, repr=False)
class Addresses:
    """`urls` of Apprise, `heartbeat` an address of http or https; empty: none. Its text shows how many there are, never which."""
    urls: tuple[str, ...] = ()
    heartbeat: str = ""
    pieces: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        parts = {piece for url in (*self.urls, self.heartbeat) for piece in _pieces(url)}
        object.__setattr__(self, "pieces", tuple(sorted(parts, key=len, reverse=True)))

    def __repr__(self) -> str:
        return f"Addresses({len(self.urls)} ways, {'a' if self.heartbeat else 'no'} heartbeat)"

    def masked(self, text: str) -> str:
        """Without anything that stands in an address but its kind."""
        for piece in self.pieces:
            text = text.replace(piece, MASK)
        return text


def addresses() -> Addresses:
    """What environment and file say together. UsageError for a file that others can read, or that is none."""
    urls, heartbeat = os.environ.get(URLS, "").split(), os.environ.get(HEARTBEAT, "").strip()
    for line in _lines():
        if line.startswith("heartbeat "):
            heartbeat = heartbeat or line.removeprefix("heartbeat ").strip()
        else:
            urls += line.split()
    if len(urls) > MOST:
        raise UsageError(f"{len(urls)} addresses for alerts: at most {MOST}")
    for number, url in enumerate(urls, 1):
        if not re.match(r"[A-Za-z][\w+.-]*://\S", url):
            raise UsageError(f"address {number} for alerts is none: write it as Apprise does, such as mailto://... or tgram://...")
    if heartbeat and not re.match(r"https?://[^/]", heartbeat):
        raise UsageError(f"the heartbeat's address begins with https:// or http:// ({HEARTBEAT}, or a line `heartbeat ...`)")
    return Addresses(tuple(dict.fromkeys(urls)), heartbeat)


def default_file() -> Path:
    return state_folder() / "alerts"


def _lines() -> list[str]:
    """Of the file: an address a line, `heartbeat ADDRESS` for the sign of life, # before a remark."""
    named = os.environ.get(FILE, "")
    path = Path(named) if named else default_file()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if named:
            raise UsageError(f"{path}: no such file; {FILE} names it") from None
        return []
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size > FILE_MAX:
            raise UsageError(f"{path} is no file with addresses")
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            raise UsageError(f"{path} can be read by others: `chmod 600 {path}`, and change the passwords in it, since they may "
                             "have been seen")
        text = os.pread(fd, FILE_MAX, 0).decode(errors="replace")
    finally:
        os.close(fd)
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def kind_of(url: str) -> str:
    """`tgram`, `mailtos`, `slack` ...: all that is ever shown of an address."""
    return url.partition("://")[0].lower()[:20]


def _pieces(url: str) -> set[str]:
    """Whatever of an address could give it away: as it stands, and decoded."""
    if not url:
        return set()
    rest = url.partition("://")[2]
    found = {url, rest}
    for text in (rest, urllib.parse.unquote(rest)):
        found |= {part for part in re.split(r"[/@?&=#,;+]|:(?!\d{1,5}\b)", text) if len(part) > 3}
        found |= {part for part in re.split(r"[/@?&=#,;+:]", text) if len(part) > 3}
        found |= {urllib.parse.quote(part, safe="") for part in found if len(part) < 400}
    return {part for part in found if len(part) > 3}
