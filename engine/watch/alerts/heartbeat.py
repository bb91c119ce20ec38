"""The sign of life to an outside address: who waits for it raises the alarm when it stays away, for nobody here could.

Watch sends it while engine and watch are well; the launcher is the second sender, so that a dead watch does not silence it and a
dead engine does. `python -m engine.watch.alerts.heartbeat` sends one, as the launcher has it done: exit 0 where it was taken.
"""
import http.client
import sys
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Callable

from engine.errors import UsageError
from engine.watch.alerts.secrets import Addresses, addresses

TIMEOUT_S = 10.0


def send(url: str, timeout_s: float = TIMEOUT_S) -> str:
    """One GET. What is wrong in words that hold nothing of the address, empty where it was taken; a redirect is not followed, for
    it would lead to an address nobody chose."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = None
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")),
                           headers={"User-Agent": "spike", "Connection": "close"})
        status = connection.getresponse().status
    except TimeoutError:
        return f"no answer within {timeout_s:.0f} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"it cannot be reached ({type(error).__name__})"
    finally:
        if connection is not None:
            connection.close()
    return "" if 200 <= status < 300 else f"it answers {status}"


class Heartbeat:
    """`take` at any pace: at most one is under way, in a thread of its own. Off without an address."""

    def __init__(self, given: Addresses, every_s: float, send: Callable[[str], str] = send):
        self._url, self.every_s, self._send = given.heartbeat, every_s, send
        self._due, self._thread = 0.0, threading.Thread()
        self.sent, self.why = 0, ""

    @property
    def is_on(self) -> bool:
        return bool(self._url)

    def take(self, is_well: bool, now: float | None = None) -> bool:
        """Sends one where it is due and all is well; whether it did. `now` by a clock that only goes on, s."""
        now = time.monotonic() if now is None else now
        if not self.is_on or not is_well or now < self._due or self._thread.is_alive():
            return False
        self._due = now + self.every_s
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return True

    def _beat(self) -> None:
        self.why = self._send(self._url)
        self.sent += not self.why


def main() -> int:
    try:
        url = addresses().heartbeat
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    why = send(url) if url else "there is no address for it: ENGINE_ALERTS_HEARTBEAT"
    if why:
        print(f"error: the sign of life was not taken: {why}", file=sys.stderr)
    return int(bool(why))


if __name__ == "__main__":
    sys.exit(main())
