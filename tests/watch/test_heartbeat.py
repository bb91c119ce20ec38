"""The sign of life: asked for at intervals while all is well, never when it is not, and without showing where."""
import logging
import subprocess
import sys
import threading
import time

import pytest

from engine.watch.alerts.heartbeat import Heartbeat, send
from engine.watch.alerts.secrets import Addresses
from tests.conftest import ROOT
from tests.kit.answering import answering
from tests.watch.test_delivery import until

PLACE = "0a1b2c-the-place"


@pytest.fixture
def web():
    with answering() as served:
        yield served


def test_one_is_sent_when_it_is_due_and_all_is_well(web):
    beat = Heartbeat(Addresses(heartbeat=f"{web.url}/{PLACE}?a=b"), 60)
    sent = []
    for now, is_well in ((0, True), (1, True), (59.9, True), (60, True), (130, False), (140, False), (150, True), (151, True)):
        sent.append(beat.take(is_well, now))
        assert until(lambda: len(web.asked) == sum(sent))
        assert until(lambda: not beat._thread.is_alive())
    assert sent == [True, False, False, True, False, False, True, False]
    assert {(a.method, a.path) for a in web.asked} == {("GET", f"/{PLACE}?a=b")} and beat.sent == 3 and beat.why == ""


def test_it_is_off_without_an_address():
    beat = Heartbeat(Addresses(), 60)
    assert not beat.is_on and not beat.take(True, 0) and not beat.take(True, 1000)


def test_one_that_hangs_is_the_only_one(web):
    web.free.clear()
    beat = Heartbeat(Addresses(heartbeat=web.url), 5)
    begun = time.monotonic()
    assert [beat.take(True, now) for now in (0, 5, 10, 500)] == [True, False, False, False]
    assert time.monotonic() - begun < 1 and threading.active_count() < 20
    web.free.set()
    assert until(lambda: beat.sent == 1) and beat.take(True, 501)


def test_what_is_wrong_is_said_without_the_address(web, unused_tcp_port, caplog):
    caplog.set_level(logging.DEBUG)
    assert send(f"{web.url}/{PLACE}") == ""
    web.answer = lambda _: (404, "text/plain", PLACE.encode(), {})
    whys = [send(url) for url in (f"{web.url}/{PLACE}", f"http://127.0.0.1:{unused_tcp_port}/{PLACE}",
                                  f"https://127.0.0.1:{web.port}/{PLACE}", f"http://127.0.0.1:99999/{PLACE}")]
    assert whys[0] == "it answers 404" and all("cannot be reached" in why for why in whys[1:])
    web.free.clear()
    assert send(f"{web.url}/{PLACE}", 0.3) == "no answer within 0 s"
    assert PLACE not in "".join(whys) + caplog.text


def test_a_redirect_is_not_followed(web):
    web.answer = lambda _: (302, "text/plain", b"", {"Location": f"{web.url}/elsewhere"})
    assert send(f"{web.url}/{PLACE}") == "it answers 302" and len(web.asked) == 1


def beaten(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "engine.watch.alerts.heartbeat"], cwd=ROOT, capture_output=True, text=True,
                          check=False, timeout=30, env={"PATH": "/usr/bin", "HOME": "/nonexistent"} | env)


def test_the_launchers_child_sends_one_and_shows_nothing(web, unused_tcp_port):
    done = beaten(ENGINE_ALERTS_HEARTBEAT=f"{web.url}/{PLACE}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and len(web.asked) == 1
    done = beaten(ENGINE_ALERTS_HEARTBEAT=f"http://127.0.0.1:{unused_tcp_port}/{PLACE}")
    assert done.returncode == 1 and "cannot be reached" in done.stderr and PLACE not in done.stderr
    assert beaten().returncode == 1 and beaten(ENGINE_ALERTS_HEARTBEAT="nothing").returncode == 2


def test_that_child_loads_little():
    """It is begun every minute beside an engine."""
    code = ("import sys, engine.watch.alerts.heartbeat\n"
            "heavy = {'numpy', 'pydantic', 'apprise', 'aiohttp', 'asyncio', 'orjson', 'fastapi'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
