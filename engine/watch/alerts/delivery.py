"""Telling alerts by Apprise: a thread and a short queue for each address, so that one that hangs holds up nobody else.

A message is tried four times over a minute; then it has failed, and the way is dead until one arrives again. Apprise's own words
may hold an address: they are read for a status code and never shown.
"""
import contextlib
import datetime as dt
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from engine.market.sessions import IST
from engine.watch.alerts.book import Notice
from engine.watch.alerts.secrets import Addresses, kind_of
from engine.watch.watched import Channel

PAUSES_S = (0.0, 2.0, 10.0, 45.0)
"""Before each try."""
ROOM = 100
LATE_S = 120.0
Send = Callable[[str, Notice], str]


class Delivery:
    """`tell` never waits. `send` gives the reason of a failure in our own words, empty where the message has arrived; it must come
    back by itself."""

    def __init__(self, addresses: Addresses, send: Send | None = None, pauses_s: Sequence[float] = PAUSES_S):
        self.addresses = addresses
        kinds = [kind_of(url) for url in addresses.urls]
        self._lines = [_Line(f"{kind} {number}", url, send or by_apprise, pauses_s, addresses.masked)
                       for number, (kind, url) in enumerate(zip(kinds, addresses.urls, strict=True), 1)]

    def tell(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            for line in self._lines:
                line.put(notice)

    def channels(self) -> list[Channel]:
        """What became of the messages of each address."""
        return [line.channel() for line in self._lines]

    def close(self, seconds: float = 3.0) -> None:
        """Gives what waits so long to leave."""
        end = time.monotonic() + seconds
        for line in self._lines:
            line.close()
        for line in self._lines:
            line.thread.join(max(end - time.monotonic(), 0))


class _Line:
    """One address."""

    def __init__(self, name: str, url: str, send: Send, pauses_s: Sequence[float], masked: Callable[[str], str]):
        self.name, self._url, self._send, self._pauses, self._masked = name, url, send, pauses_s, masked
        self._waiting: deque[Notice] = deque()
        self._changed, self._closing = threading.Condition(), threading.Event()
        self._counts = {"sent": 0, "failed": 0, "dropped": 0}
        self._dead_since, self._why = 0, ""
        self.thread = threading.Thread(target=self._run, name=f"alerts {name}", daemon=True)
        self.thread.start()

    def put(self, notice: Notice) -> None:
        with self._changed:
            if len(self._waiting) >= ROOM:
                self._waiting.popleft()                        # what is new matters more
                self._counts["dropped"] += 1
            self._waiting.append(notice)
            self._changed.notify()

    def channel(self) -> Channel:
        with self._changed:
            return Channel(self.name, self._counts["sent"], self._counts["failed"], self._counts["dropped"], self._dead_since,
                           self._why)

    def close(self) -> None:
        with self._changed:
            self._closing.set()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing.is_set():
                    self._changed.wait()
                if not self._waiting:
                    return
                notice = self._waiting.popleft()
            self._deliver(notice)

    def _deliver(self, notice: Notice) -> None:
        for pause in self._pauses:
            if pause and self._closing.wait(pause):
                break                                          # the run ends: one try was all
            why = self._try(notice)
            with self._changed:
                self._why, self._dead_since = why, 0 if not why else self._dead_since or time.time_ns()
                if not why:
                    self._counts["sent"] += 1
                    return
        with self._changed:
            self._counts["failed"] += 1

    def _try(self, notice: Notice) -> str:
        try:
            return self._masked(self._send(self._url, dated(notice)))[:200]
        except Exception as error:                             # of a library: its words may hold the address
            return f"the sender failed ({type(error).__name__})"


def dated(notice: Notice) -> Notice:
    """With the time it speaks of, and the word where it is late."""
    at = dt.datetime.fromtimestamp(notice.at / 1e9, IST)
    late = (time.time_ns() - notice.at) / 1e9
    word = f", told {late / 60:.0f} minutes late" if late > LATE_S else ""
    return replace(notice, text=f"{notice.text}\n{at:%d %b %H:%M:%S} IST{word}")


def by_apprise(url: str, notice: Notice) -> str:
    """One message to one address."""
    with EAR.listening():
        import apprise

        service = apprise.Apprise.instantiate(url)
        if service is None:
            return f"Apprise knows no such address ({kind_of(url)}): its page of the service says how it is written"
        is_sent = service.notify(body=notice.text, title=f"spike: {notice.title}", body_format=apprise.NotifyFormat.TEXT,
                                 notify_type=apprise.NotifyType(_type_of(notice)))
    return "" if is_sent else EAR.reason()


def _type_of(notice: Notice) -> str:
    if notice.kind != "alert":
        return "success" if notice.kind == "recovery" else "info"
    return {"page": "failure", "warn": "warning"}.get(notice.severity, "info")


class _Ear(logging.Filter):
    """Hears what Apprise and the library under it log in a thread that delivers, keeps the status code, and lets nothing on to any
    handler: it may hold an address."""
    LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()
        for name in self.LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._of_thread, "listens", False):
            return record.name != "apprise"
        found = re.search(r"error[ =:(]+(\d{3})\b", record.getMessage())
        self._of_thread.code = found[1] if found else self._of_thread.code
        return False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        self._of_thread.listens, self._of_thread.code = True, ""
        try:
            yield
        finally:
            self._of_thread.listens = False

    def reason(self) -> str:
        """Why the last message of this thread has not arrived."""
        code = self._of_thread.code
        if code in ("401", "403", "404"):
            return f"it answers {code}: the address or its token is wrong"
        return f"it answers {code}" if code else "it does not answer, or refuses the message"


EAR = _Ear()
