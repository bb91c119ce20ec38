"""Questions from Telegram, at a server that does as its API does: who is heard, what is passed over, and the engine's ring."""
import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from _ext.core.records import DO_FLATTEN, DO_PAUSE, OPERATION
from _ext.trail.status import StatusBlock
from engine.config import Config
from engine.trail.rundir import RunDir
from engine.watch.alerts import delivery
from engine.watch.alerts import telegram as work
from engine.watch.alerts.answers import Answers
from engine.watch.alerts.secrets import URLS, Addresses
from engine.watch.alerts.telegram import Bot, Listener, bots
from engine.watch.server import operations
from engine.watch.server.serving import Serving
from tests.watch.test_answers import FACTS
from tests.watch.test_delivery import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TOKEN = "123456789:AAsecret-of_the-bot"
MINE, OTHER = 4242, 666


class Telegram:
    """getUpdates with its offsets, sendMessage; `status` other than 200 is answered to everything."""

    def __init__(self):
        self.updates: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.status, self.more, self.next_id = 200, {}, 100
        self.changed = threading.Condition()
        self.is_closing = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, document = outer.answer(self.path, body)
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"ok": False, "description": f"no {path}"} | self.more
        token, _, method = path.removeprefix("/bot").partition("/")
        if token != TOKEN:
            return 404, {"ok": False}
        if method == "sendMessage":
            self.sent.append(body)
            return 200, {"ok": True, "result": {"message_id": 1}}
        with self.changed:
            self.asked.append(body)
            if body["offset"] < 0:
                self.updates = self.updates[body["offset"]:]
                return 200, {"ok": True, "result": self.updates}
            self.updates = [row for row in self.updates if row["update_id"] >= body["offset"]]
            self.changed.wait_for(lambda: self.updates or self.is_closing or self.status != 200, min(body["timeout"], 5))
            return 200, {"ok": True, "result": self.updates[:body["limit"]]}

    def write(self, text: str, chat: int = MINE, age_s: float = 0.0, **more: Any) -> None:
        message = {"message_id": 1, "date": int(time.time() - age_s), "chat": {"id": chat, "type": "private"}, "text": text,
                   "from": {"id": chat, "is_bot": False, "username": "asha"}} | more
        self.put({"message": message})

    def put(self, update: dict[str, Any]) -> None:
        with self.changed:
            self.updates.append({"update_id": self.next_id} | update)
            self.next_id += 1
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.is_closing = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    found = Telegram()
    yield found
    found.close()


@pytest.fixture
def listened(telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(work, "PAUSES_S", (0.05,))
    done: list[tuple[str, str]] = []
    log: list[dict[str, Any]] = []
    answers = Answers(lambda: FACTS, lambda name, who: done.append((name, who)) or f"{name}: done")
    listener = Listener(Bot(TOKEN, frozenset({MINE})), answers, log.append, telegram.url)
    listener.done, listener.log = done, log
    yield listener
    listener._closing.set()
    telegram.write("the end", OTHER)
    listener.close(6)
    assert not listener.thread.is_alive()


def begun(listener: Listener, telegram: Telegram) -> Listener:
    """Started, with everything from before passed over."""
    listener.start()
    assert until(lambda: listener._offset is not None)
    return listener


def test_a_chat_is_answered(telegram, listened):
    begun(listened, telegram)
    telegram.write("status")
    assert until(lambda: len(telegram.sent) == 1)
    assert telegram.sent[0]["chat_id"] == MINE and "Rs 1,144.30 after charges" in telegram.sent[0]["text"]
    assert "parse_mode" not in telegram.sent[0]
    telegram.write("pause")
    assert until(lambda: telegram.sent[1:] and telegram.sent[1]["text"] == "pause: done") and listened.done == [("pause", "asha")]
    assert until(lambda: listened.counts() == {"heard": 2, "answered": 2, "ignored": 0, "limited": 0, "failed": 0, "why": ""})


def test_what_was_sent_before_the_start_is_not_done(telegram, listened):
    for text in ("pause", "resume", "flatten"):
        telegram.write(text)
    begun(listened, telegram)
    telegram.write("help")
    assert until(lambda: telegram.sent) and listened.done == [] and listened.heard == 1
    assert "help: this" in telegram.sent[0]["text"]


def test_what_was_sent_while_nobody_could_be_reached_is_not_done_either(telegram, listened):
    telegram.status = 502
    listened.start()
    assert until(lambda: listened.failed > 1)
    telegram.write("pause")
    telegram.status = 200
    assert until(lambda: listened._offset is not None)
    telegram.write("resume", age_s=600)                                                 # of an outage that came later
    assert until(lambda: telegram.sent) and "nothing was done" in telegram.sent[0]["text"] and listened.done == []


def test_other_chats_are_ignored_and_counted(telegram, listened):
    begun(listened, telegram)
    telegram.write("pause", OTHER)
    telegram.write("flatten", -MINE)
    telegram.write("pause", **{"from": {"id": 9, "is_bot": True}})
    for chat in ({"id": str(MINE)}, None):
        telegram.put({"message": {"date": int(time.time()), "chat": chat, "text": "pause", "from": {"id": MINE}}})
    assert until(lambda: listened.ignored == 5)
    assert telegram.sent == [] and listened.done == [] and listened.heard == 0
    assert len(listened.log) == 1 and listened.log[0]["answers"] == "ignored" and str(OTHER) not in json.dumps(listened.log)


def test_what_is_no_question_is_passed_over(telegram, listened):
    begun(listened, telegram)
    for update in ({"edited_message": {"chat": {"id": MINE}, "text": "pause"}}, {"message": None}, {"message": []},
                   {"message": {"chat": {"id": MINE}, "from": {"id": 1}}}, {"message": {"chat": {"id": [1]}, "text": "pause"}},
                   {"message": {"chat": {"id": MINE}, "text": "pause"}}, {"message": {"chat": {"id": MINE}, "text": ["pause"]}}):
        telegram.put(update)
    telegram.write("help")
    assert until(lambda: any("help: this" in one["text"] for one in telegram.sent)) and listened.done == []


def test_flatten_by_two_messages(telegram, listened):
    begun(listened, telegram)
    telegram.write("flatten")
    assert until(lambda: telegram.sent) and listened.done == []
    telegram.write(telegram.sent[0]["text"].splitlines()[1])
    assert until(lambda: listened.done == [("flatten", "asha")])
    assert until(lambda: telegram.sent[-1]["text"] == "flatten: done")


@pytest.mark.parametrize(("status", "more", "words"), [
    (401, {}, "token is wrong"), (404, {}, "token is wrong"), (409, {}, "one run"), (502, {}, "answers 502"),
    (429, {"parameters": {"retry_after": 0.1}}, "too many requests")])
def test_what_fails_is_said_without_the_token(telegram, listened, caplog, status, more, words):
    caplog.set_level(logging.DEBUG)
    telegram.status, telegram.more = status, more
    listened.start()
    assert until(lambda: listened.failed > 1)
    assert words in listened.why and [entry["answers"] for entry in listened.log] == ["failed"]
    told = json.dumps(listened.log) + caplog.text + repr(listened._bot) + json.dumps(listened.counts())
    assert TOKEN not in told and "AAsecret" not in told
    telegram.status = 200
    assert until(lambda: listened.why == "" and listened._offset is not None)


def test_nobody_there_and_an_answer_that_is_none(telegram, listened, unused_tcp_port, monkeypatch):
    listened._base = f"http://127.0.0.1:{unused_tcp_port}"
    listened.start()
    assert until(lambda: "cannot be reached" in listened.why)
    for data in (b"<html>", b"[]", b'{"ok": true, "result": 5}'[:-2], b" " * (work.ANSWER_MAX + 2)):
        before = listened.failed
        telegram.answer = lambda path, body, data=data: (200, data)
        listened._base = telegram.url
        assert until(lambda before=before: listened.failed > before + 1), data[:20]
    assert listened.why == "Telegram answers 200" and listened.done == []


@pytest.mark.parametrize(("urls", "wanted"), [
    ((f"tgram://{TOKEN}/4242",), {TOKEN: {4242}}), ((f"tgram://bot{TOKEN}/4242/-100123/?format=text",), {TOKEN: {4242, -100123}}),
    ((f"tgram://{TOKEN}/4242", f"tgram://{TOKEN}/7"), {TOKEN: {4242, 7}}), ((f"tgram://{TOKEN}/4242:12",), {TOKEN: {4242}}),
    ((f"tgram://{TOKEN}/@channel",), {}), ((f"tgram://{TOKEN}/",), {}), (("tgram://nonsense/4242",), {}),
    (("mailto://a:b@example.com", "json://127.0.0.1/4242"), {}), ((), {})])
def test_bots_and_chats_are_those_of_the_addresses(urls, wanted):
    assert {bot.token: set(bot.chats) for bot in bots(Addresses(urls))} == wanted


def test_an_address_means_to_us_what_it_means_to_apprise():
    """Alerts go where questions come from."""
    import apprise

    url = f"tgram://{TOKEN}/4242/-100123"
    service = apprise.Apprise.instantiate(url)
    (bot,) = bots(Addresses((url,)))
    assert service.bot_token == bot.token and {int(target[0]) for target in service.targets} == bot.chats


# ---- with watch --------------------------------------------------------------------------------------------------------
@pytest.fixture
def untold(monkeypatch):
    """Alerts of these tests go nowhere: their addresses are those of the real Telegram."""
    monkeypatch.setattr(delivery, "by_apprise", lambda url, notice: "")


@pytest.fixture
def serving(untold, day_run, tmp_path, telegram, monkeypatch):
    """Of the day, with an engine's ring beside it."""
    monkeypatch.setattr(work, "API", telegram.url)
    monkeypatch.setenv(URLS, f"tgram://{TOKEN}/{MINE}")
    run = RunDir(tmp_path / "ring")
    block = StatusBlock(run.status, create=True)
    monkeypatch.setattr(operations, "is_running", lambda run: True)
    found = Serving(RunDir.existing(day_run), Config(alerts={"chats": True}), "csrf", [], True)
    found.follow.run = run
    found.block = block
    while found.follow.advance(1.0):
        pass
    return found


def test_a_chats_operations_go_through_the_ring_with_its_name(serving, telegram):
    async def play() -> list[tuple[int, bytes]]:
        taken = []

        async def wait_for(condition) -> None:
            end = time.monotonic() + 10
            while not condition():
                assert time.monotonic() < end
                taken.extend((int(row["kind"]), bytes(row["who"])) for row in (
                    np.frombuffer(entry, OPERATION)[0] for entry in serving.block.take()))
                await asyncio.sleep(0.01)

        async with serving.running():
            (listener,) = serving.listeners
            await wait_for(lambda: listener._offset is not None)
            telegram.write("status")
            await wait_for(lambda: len(telegram.sent) == 1)
            telegram.write("pause")
            await wait_for(lambda: len(telegram.sent) == 2)
            telegram.write("flatten")
            await wait_for(lambda: len(telegram.sent) == 3)
            telegram.write(telegram.sent[2]["text"].splitlines()[1])
            await wait_for(lambda: len(telegram.sent) == 4)
            await wait_for(lambda: serving.chats()[0]["answered"] == 4)
            listener._closing.set()
            telegram.write("the end", OTHER)
        return taken

    taken = asyncio.run(play())
    assert taken == [(DO_PAUSE, b"chat: asha"), (DO_FLATTEN, b"chat: asha")]
    money = serving.facts()["money"]
    assert f"{(money['realised'] - money['charges']) / 100:,.2f} after charges" in telegram.sent[0]["text"]
    assert telegram.sent[1]["text"] == "pause: the engine has seen it"


def test_nobody_is_asked_unless_it_is_wanted(untold, day_run, telegram, monkeypatch):
    monkeypatch.setattr(work, "API", telegram.url)
    monkeypatch.setenv(URLS, f"tgram://{TOKEN}/{MINE}")
    assert not Config().alerts.chats

    async def play(serving: Serving) -> None:
        async with serving.running():
            await asyncio.sleep(0.3)

    asyncio.run(play(Serving(RunDir.existing(day_run), Config(), "csrf", [])))
    assert telegram.asked == [] and telegram.sent == []
    monkeypatch.setenv(URLS, f"tgram://{TOKEN}/@channel")
    serving = Serving(RunDir.existing(day_run), Config(alerts={"chats": True}), "csrf", [], True)
    asyncio.run(play(serving))
    assert telegram.asked == [] and "by its number" in serving.measures.watching.problem
