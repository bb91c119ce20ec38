"""The kept token: who may read it, when it ends, what is one at all; each at its edge."""
import asyncio
import datetime as dt
import socket

import pytest
from aiohttp import web

from engine.broker.base import BrokerError
from engine.broker.upstox import consent, login
from engine.broker.upstox.client import RestClient
from engine.market.sessions import IST

NOW = dt.datetime(2026, 9, 2, 10, 0, tzinfo=IST)
TEXT = "abcdefgh.ijklmnop-12345_~+/="


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("ENGINE_TOKEN", raising=False)


@pytest.mark.parametrize(("mode", "good"), [
    (0o600, True), (0o400, True), (0o700, True), (0o640, False), (0o620, False), (0o610, False), (0o604, False), (0o602, False),
    (0o601, False)])
def test_a_file_others_could_read_is_not_used(mode, good):
    path = login.save(login.Token(TEXT, NOW + dt.timedelta(hours=1)))
    path.chmod(mode)
    if good:
        assert login.load(NOW).text == TEXT
    else:
        with pytest.raises(login.LoginError, match="chmod 600"):
            login.load(NOW)


@pytest.mark.parametrize(("left", "good"), [(1, True), (0, False), (-1, False)])
def test_the_last_second_of_a_token(left, good):
    login.save(login.Token(TEXT, NOW + dt.timedelta(seconds=left)))
    if good:
        assert login.load(NOW).seconds_left(NOW) == left
    else:
        with pytest.raises(login.LoginError, match="expired"):
            login.load(NOW)


@pytest.mark.parametrize(("text", "good"), [
    ("x" * 16, True), ("x" * 15, False), ("x" * 4096, True), ("x" * 4097, False), (TEXT, True), (TEXT + " ", True),
    (TEXT + "\n", True),
    ("x" * 16 + " y", False), ("x" * 16 + ";", False), ("x" * 16 + "\u00e9", False), ("x" * 16 + "\x1b", False)])
def test_what_a_token_looks_like(text, good):
    if good:
        assert login.check_text(text) == text.strip()
    else:
        with pytest.raises(login.LoginError) as caught:
            login.check_text(text)
        assert text.strip()[:16] not in str(caught.value)


@pytest.mark.parametrize(("hour", "minute", "day"), [(3, 29, 2), (3, 30, 3), (3, 31, 3), (23, 0, 3)])
def test_tokens_end_at_half_past_three(hour, minute, day):
    at = dt.datetime(2026, 9, 2, hour, minute, tzinfo=IST)
    assert login.next_expiry(at) == dt.datetime(2026, 9, day, 3, 30, tzinfo=IST)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_secret_and_token_do_not_follow_a_redirect():
    """The broker's answer sends the request elsewhere, and there somebody listens."""
    here, there = free_port(), free_port()
    taken = []

    async def run():
        async def redirects(request):
            raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{there}/steal")

        async def steals(request):
            taken.append(request.method)
            return web.json_response({"access_token": TEXT})

        runners = []
        for port, handler in ((here, redirects), (there, steals)):
            server = web.Application()
            server.router.add_route("*", "/{path:.*}", handler)
            runners.append(web.AppRunner(server))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", port).start()
        try:
            base = f"http://127.0.0.1:{here}"
            with pytest.raises(consent.LoginRefused, match="broker"):
                await consent.exchange(login.App("key", "demo"), "code", base)
            rest = RestClient("demo", base, base)
            with pytest.raises(BrokerError):
                await rest.get("/v2/user/profile")
            await rest.close()
        finally:
            for runner in runners:
                await runner.cleanup()

    asyncio.run(run())
    assert taken == []
