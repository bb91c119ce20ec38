"""Questions from Telegram: a thread for each bot of the addresses of alerts, off unless `alerts.chats` is on.

Only chats whose number stands in an address are heard. The bot's token is part of every path asked, so nothing of what a library
says of a request is ever shown.
"""
import contextlib
import http.client
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from engine.watch.alerts.answers import Answers, Heard
from engine.watch.alerts.secrets import Addresses, kind_of

API = "https://api.telegram.org"
POLL_S, ANSWER_S = 25, 10.0
"""One question for updates waits so long at Telegram; any other answer may take so long."""
PAUSES_S = (1.0, 2.0, 5.0, 15.0, 60.0)
UPDATES, ANSWER_MAX = 50, 1 << 20
LOG_S = 60.0
CHAT = re.compile(r"(-?\d{1,18})(?::\d+)?", re.ASCII)
"""Number of a chat, and of a topic in it."""


@dataclass(frozen=True, repr=False)
class Bot:
    """`chats`: numbers of those it listens to."""
    token: str
    chats: frozenset[int]

    def __repr__(self) -> str:
        return f"Bot({len(self.chats)} chats)"


def bots(given: Addresses) -> list[Bot]:
    """Bots of the tgram:// addresses, each with its chats. A chat named by @name is told alerts and not heard: a name can be given
    to another chat."""
    found: dict[str, set[int]] = {}
    for url in given.urls:
        if kind_of(url) != "tgram":
            continue
        rest = urllib.parse.unquote(url.partition("://")[2].partition("?")[0])
        token, *chats = rest.split("/")
        token = token.rpartition("@")[2].removeprefix("bot")
        if re.fullmatch(r"\d+:[\w-]+", token, re.ASCII):
            found.setdefault(token, set()).update(int(m[1]) for chat in chats if (m := CHAT.fullmatch(chat)))
    return [Bot(token, frozenset(chats)) for token, chats in found.items() if chats]


class Failed(Exception):
    """Why a request came to nothing, in words without the address; `wait_s`: how long Telegram asks to wait."""

    def __init__(self, words: str, wait_s: float = 0.0):
        super().__init__(words)
        self.wait_s = wait_s


class Listener:
    """One bot: asks for updates, answers, counts. `log` takes a document now and then of what was ignored or has failed."""

    def __init__(self, bot: Bot, answers: Answers, log: Callable[[dict[str, Any]], Any], base: str = ""):
        self._bot, self._answers, self._log, self._base = bot, answers, log, base or API
        self.heard = self.answered = self.ignored = self.failed = 0
        self.why = ""
        self._offset: int | None = None                        # None: what is from before the start is not passed over yet
        self._closing = threading.Event()
        self._told, self._unsaid = -LOG_S, 0
        self.thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def close(self, seconds: float = 0.5) -> None:
        """A question under way is left: its thread ends with the process."""
        self._closing.set()
        self.thread.join(seconds)

    def counts(self) -> dict[str, Any]:
        return {"heard": self.heard, "answered": self.answered, "ignored": self.ignored, "limited": self._answers.limited,
                "failed": self.failed, "why": self.why}

    # ---- the thread ----------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        tries = 0
        while not self._closing.is_set():
            try:
                self._round()
                tries, self.why = 0, ""
            except Failed as error:
                self.failed, self.why = self.failed + 1, str(error)
                pause = max(PAUSES_S[min(tries, len(PAUSES_S) - 1)], min(error.wait_s, 300.0))
                tries += 1
                self._say({"answers": "failed", "why": self.why})
                self._closing.wait(pause)
            except Exception as error:                         # of a message nobody foresaw: its words may hold anything
                self.failed, self.why = self.failed + 1, f"a message could not be taken ({type(error).__name__})"
                self._say({"answers": "failed", "why": self.why})
                self._closing.wait(PAUSES_S[0])

    def _round(self) -> None:
        """One question for updates. The first passes over everything that was sent before this run was watched."""
        if self._offset is None:
            rows = self._ask("getUpdates", {"offset": -1, "timeout": 0, "limit": 1, "allowed_updates": ["message"]})
            self._offset = max((_number(row) for row in rows), default=-1) + 1
            return
        rows = self._ask("getUpdates", {"offset": self._offset, "timeout": POLL_S, "limit": UPDATES,
                                        "allowed_updates": ["message"]})
        for row in rows:
            self._offset = max(self._offset, _number(row) + 1)      # before it is done: what fails is not done twice
            if self._closing.is_set():
                return
            self._take(row.get("message"))

    def _take(self, message: Any) -> None:
        """One message; of a chat that may not ask it is counted and no more."""
        if not isinstance(message, dict):
            return
        chat, sender = _table(message.get("chat")), _table(message.get("from"))
        if chat.get("id") not in self._bot.chats or sender.get("is_bot"):
            self.ignored += 1
            self._unsaid += 1
            self._say({"answers": "ignored", "why": "of a chat that may not ask", "count": self._unsaid}, is_count=True)
            return
        text, sent = message.get("text"), message.get("date")
        if not isinstance(text, str):
            return
        self.heard += 1
        name = str(sender.get("username") or sender.get("first_name") or "somebody")
        age = max(time.time() - sent, 0.0) if isinstance(sent, int) else None
        user = sender.get("id")
        said = self._answers.answer(Heard(int(chat["id"]), user if isinstance(user, int) else 0, name, text, age))
        if said:
            self._ask("sendMessage", {"chat_id": chat["id"], "text": said, "link_preview_options": {"is_disabled": True}})
            self.answered += 1

    def _say(self, document: dict[str, Any], is_count: bool = False) -> None:
        """A line of the log, at most one a minute."""
        now = time.monotonic()
        if now - self._told >= LOG_S:
            self._told = now
            self._log({"at": round(time.time(), 3)} | document)
            self._unsaid = 0 if is_count else self._unsaid

    # ---- the network ---------------------------------------------------------------------------------------------------
    def _ask(self, method: str, body: Mapping[str, Any]) -> Any:
        """`result` of one method. Failed."""
        parts = urllib.parse.urlsplit(self._base)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_S + float(body.get("timeout") or 0))
        try:
            connection.request("POST", f"/bot{self._bot.token}/{method}", orjson.dumps(body),
                               {"Content-Type": "application/json", "Connection": "close", "User-Agent": "spike"})
            response = connection.getresponse()
            status, data = response.status, response.read(ANSWER_MAX + 1)
        except TimeoutError:
            raise Failed("Telegram does not answer") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failed(f"Telegram cannot be reached ({type(error).__name__})") from None
        finally:
            connection.close()
        document: Any = None
        with contextlib.suppress(ValueError):
            document = json.loads(data) if len(data) <= ANSWER_MAX else None
        answer = _table(document)
        if status == 200 and answer.get("ok") is True:
            found = answer.get("result")
            return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        wait = _table(answer.get("parameters")).get("retry_after")
        raise Failed(REASONS.get(status, f"Telegram answers {status}"), float(wait) if isinstance(wait, int | float) else 0.0)


REASONS = {401: "Telegram answers 401: the bot's token is wrong", 404: "Telegram answers 404: the bot's token is wrong",
           409: "Telegram answers 409: another process, or a webhook, takes what is sent to this bot; a bot answers for one run",
           429: "Telegram answers 429: too many requests"}


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(row: Mapping[str, Any]) -> int:
    number = row.get("update_id")
    return number if isinstance(number, int) else -1
