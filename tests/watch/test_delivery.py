"""Alerts arrive by mail, webhook, Telegram and Slack at servers of our own; what does not arrive holds up nobody and shows no
address.

Apprise has the addresses of Telegram and Slack as constants of their classes: the tests put a local server in their place.
"""
import email
import logging
import threading
import time
from dataclasses import replace
from email.policy import default

import orjson
import pytest
from aiosmtpd.controller import Controller

from engine.watch.alerts.book import Notice
from engine.watch.alerts.delivery import PAUSES_S, ROOM, Delivery, by_apprise, dated
from engine.watch.alerts.secrets import Addresses
from tests.kit.answering import answering

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")       # of parts of Apprise as they load
SECRET, PASSWORD = "s3cretTokenOfTheRoom", "pa55wordOfTheMail"
NOTICE = Notice("alert", "page", "no frames of the feed", "the feed has said nothing for 12 s", time.time_ns() + 300 * 10**9)
QUICK = (0.0, 0.02, 0.02)


def until(is_so, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def web():
    with answering() as served:
        yield served


def delivered(*urls: str, notice: Notice = NOTICE, **options):
    """The channels once the message has left, or was given up."""
    delivery = Delivery(Addresses(urls), **options)
    delivery.tell([notice])
    assert until(lambda: all(c.sent + c.failed for c in delivery.channels())), delivery.channels()
    found = delivery.channels()
    delivery.close()
    return found


def test_a_webhook_gets_it(web):
    notice = replace(NOTICE, at=time.time_ns())
    (channel,) = delivered(f"json://{SECRET}@127.0.0.1:{web.port}/hook", notice=notice)
    (asked,) = web.asked
    document = orjson.loads(asked.body)
    assert document["title"] == "spike: no frames of the feed" and document["type"] == "failure"
    assert document["message"].startswith("the feed has said nothing for 12 s\n") and document["message"].endswith(" IST")
    assert (channel.name, channel.sent, channel.failed, channel.dead_since) == ("json 1", 1, 0, 0)


def test_the_kind_says_how_grave_it_is(web):
    for kind, severity, expected in (("alert", "warn", "warning"), ("alert", "note", "info"), ("recovery", "page", "success"),
                                     ("trade", "note", "info"), ("limit", "warn", "info")):
        delivered(f"json://127.0.0.1:{web.port}", notice=Notice(kind, severity, "t", "x", time.time_ns()))
        assert orjson.loads(web.asked[-1].body)["type"] == expected


def test_a_mail_server_gets_it(unused_tcp_port):
    class Keeps:
        def __init__(self):
            self.mails = []

        async def handle_DATA(self, server, session, envelope):
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default)))
            return "250 OK"

    keeps = Keeps()
    controller = Controller(keeps, hostname="127.0.0.1", port=unused_tcp_port)
    controller.start()
    try:
        (channel,) = delivered(f"mailto://127.0.0.1:{unused_tcp_port}?from=engine@example.com&to=asha@example.com")
    finally:
        controller.stop()
    ((sender, to, mail),) = keeps.mails
    assert channel.sent == 1 and sender == "engine@example.com" and to == ["asha@example.com"]
    assert mail["Subject"] == "spike: no frames of the feed"
    text = mail.get_body(("plain", "html")).get_content()
    assert "the feed has said nothing for 12 s" in text


def test_telegram_gets_it(web, monkeypatch):
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{web.url}/bot")
    web.answer = lambda _: (200, "application/json", b'{"ok": true, "result": {}}', {})
    (channel,) = delivered(f"tgram://123456789:{SECRET}_abcdefghijk/987654")
    document = orjson.loads(web.asked[-1].body)
    assert channel.sent == 1 and web.asked[-1].path == f"/bot123456789:{SECRET}_abcdefghijk/sendMessage"
    assert str(document["chat_id"]) == "987654" and "the feed has said nothing for 12 s" in document["text"]


def test_slack_gets_it(web, monkeypatch):
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{web.url}/services")
    web.answer = lambda _: (200, "text/html", b"ok", {})
    (channel,) = delivered("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts")
    assert channel.sent == 1 and web.asked[-1].path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert b"the feed has said nothing for 12 s" in web.asked[-1].body


def test_one_that_refuses_is_tried_again_and_then_dead_until_one_arrives(web):
    web.answer = lambda _: (500 if len(web.asked) <= 4 else 200, "text/plain", b"", {})
    delivery = Delivery(Addresses((f"json://127.0.0.1:{web.port}/{SECRET}",)), pauses_s=QUICK)
    begun = time.time_ns()
    delivery.tell([NOTICE])
    assert until(lambda: delivery.channels()[0].failed == 1)
    channel = delivery.channels()[0]
    assert len(web.asked) == len(QUICK) and channel.why == "it answers 500" and begun < channel.dead_since < time.time_ns()
    delivery.tell([NOTICE])
    assert until(lambda: delivery.channels()[0].sent == 1)
    assert len(web.asked) == 5 and delivery.channels()[0].dead_since == 0 and delivery.channels()[0].why == ""
    delivery.close()


def test_the_tries_take_a_minute():
    assert len(PAUSES_S) == 4 and 50 <= sum(PAUSES_S) <= 70


def test_one_that_hangs_holds_up_neither_us_nor_the_other(web):
    """`tell` returns at once, the other address gets all, and what there is no room for goes, the oldest first."""
    stuck, told = threading.Event(), []

    def send(url: str, notice: Notice) -> str:
        if "slow" in url:
            stuck.wait()
        told.append((url[:4], notice.title))
        return ""

    delivery = Delivery(Addresses(("slow://somewhere.example", "fast://somewhere.example")), send)
    begun = time.monotonic()
    for i in range(ROOM + 11):
        delivery.tell([Notice("alert", "page", str(i), "", time.time_ns())])
        assert until(lambda n=i: sum(url == "fast" for url, _ in told) > n)
    assert time.monotonic() - begun < 5
    slow, fast = delivery.channels()
    assert fast.sent == ROOM + 11 and slow.sent == 0 and slow.dropped == 10
    stuck.set()
    assert until(lambda: delivery.channels()[0].sent == ROOM + 1)
    assert [title for url, title in told if url == "slow"] == ["0", *(str(i) for i in range(11, ROOM + 11))]
    delivery.close()


def test_a_server_that_never_answers_is_left_after_some_seconds(web):
    """Apprise waits four seconds for the connection and four for the answer, unless the address says otherwise."""
    web.free.clear()
    begun = time.monotonic()
    why = by_apprise(f"json://127.0.0.1:{web.port}?rto=1", NOTICE)
    assert why == "it does not answer, or refuses the message" and 0.9 < time.monotonic() - begun < 4


ADDRESSES = (f"json://user:{PASSWORD}@127.0.0.1:9/{SECRET}", f"tgram://123456789:{SECRET}/987654", f"nosuch://{PASSWORD}/{SECRET}",
             f"mailto://asha:{PASSWORD}@127.0.0.1:9?from=a@example.com&to=b@example.com", f"slack://{SECRET}/{PASSWORD}",
             f"json://127.0.0.1:9/{SECRET}?{PASSWORD}=%5Bx%5D")


def test_no_address_is_ever_shown(monkeypatch, capsys, caplog, web):
    """Of addresses that fail in every way: in what a channel says, in logs of any level, on the terminal, in a text."""
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{web.url}/bot")
    web.answer = lambda asked: (401, "application/json", b'{"ok": false, "description": "bad ' + asked.path.encode() + b'"}', {})
    caplog.set_level(logging.DEBUG)
    given = Addresses(ADDRESSES)

    def speaks(url: str, notice: Notice) -> str:
        raise RuntimeError(url)

    channels = [*delivered(*ADDRESSES, pauses_s=(0.0,)), *delivered(*ADDRESSES, pauses_s=(0.0,), send=speaks),
                *delivered(*ADDRESSES, pauses_s=(0.0,), send=lambda url, _: f"could not reach {url}")]
    assert all(c.failed == 1 and c.why for c in channels) and len(channels) == 18
    shown = repr(channels) + repr(given) + str(given) + caplog.text + "".join(capsys.readouterr())
    assert SECRET not in shown and PASSWORD not in shown and "987654" not in shown
    whys = {c.name: c.why for c in channels[:6]}
    assert whys["tgram 2"] == "it answers 401: the address or its token is wrong"
    assert whys["nosuch 3"].startswith("Apprise knows no such address (nosuch)")
    assert channels[6].why == "the sender failed (RuntimeError)"


def test_a_late_message_says_so():
    old = dated(Notice("alert", "page", "t", "text", time.time_ns() - 300 * 10**9))
    assert old.text.endswith("IST, told 5 minutes late") and old.at < time.time_ns()
    assert dated(Notice("alert", "page", "t", "text", time.time_ns())).text.endswith(" IST")


def test_closing_gives_what_waits_a_moment_and_no_more(web):
    web.free.clear()
    delivery = Delivery(Addresses((f"json://127.0.0.1:{web.port}?rto=30",)))
    delivery.tell([NOTICE, NOTICE])
    assert until(lambda: len(web.asked) == 1)
    begun = time.monotonic()
    delivery.close(0.3)
    assert time.monotonic() - begun < 1
