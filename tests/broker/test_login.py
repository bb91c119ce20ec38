"""Tokens: what is one, where it is kept, when it dies, and where it never goes."""
import asyncio
import base64
import datetime as dt
import stat

import orjson
import pytest
from aiohttp import web

from engine.broker.base import BrokerError
from engine.broker.upstox import login
from engine.broker.upstox.client import API, ORDERS, RestClient
from engine.broker.upstox.login import LoginError, Token
from engine.market.sessions import IST

NOW = dt.datetime(2026, 9, 1, 9, 0, tzinfo=IST)
SECRET = "eyJhbGciOiJIUzI1NiJ9.secretsecretsecret.sig"


def jwt(expires: dt.datetime) -> str:
    body = base64.urlsafe_b64encode(orjson.dumps({"exp": int(expires.timestamp())})).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.sig"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("ENGINE_TOKEN", raising=False)


def test_a_token_ends_at_half_past_three_whatever_the_time_of_issue():
    for hour, day in ((4, 2), (23, 2), (0, 1), (3, 1)):
        now = dt.datetime(2026, 9, 1, hour, 10, tzinfo=IST)
        assert login.next_expiry(now) == dt.datetime(2026, 9, day, 3, 30, tzinfo=IST), hour
    told = dt.datetime(2027, 9, 1, 3, 30, tzinfo=IST)
    assert login.expiry_of(jwt(told), NOW) == told and login.expiry_of("opaque-token-of-some-kind", NOW) == login.next_expiry(NOW)


def test_it_is_kept_where_only_this_user_can_read_it():
    token = Token(SECRET, NOW + dt.timedelta(hours=18))
    path = login.save(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and login.load(NOW) == token
    assert SECRET not in repr(token)
    path.chmod(0o644)
    with pytest.raises(LoginError, match="chmod 600") as refused:
        login.load(NOW)
    assert SECRET not in str(refused.value)


def test_an_expired_one_is_not_used():
    login.save(Token(SECRET, NOW + dt.timedelta(hours=1)))
    with pytest.raises(LoginError, match="expired at 10:00"):
        login.load(NOW + dt.timedelta(hours=1))
    with pytest.raises(LoginError, match="engine login"):
        login.token_file().unlink()
        login.load(NOW)


@pytest.mark.parametrize("text", ["", "short", "with space in the middle", "newline\nX-Header: 1" * 2, "x" * 5000,
                                  "ünïcödé-tökén-tökén-tökén"])
def test_what_is_no_token_is_refused_without_being_repeated(text):
    with pytest.raises(LoginError) as refused:
        login.pasted(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("document", [b"[]", b"7", b"{}", b"[" * 5000, b"\xff", b'{"token":7,"expires":1,"kind":[]}',
                                      b'{"token":"aaaaaaaaaaaaaaaaaaaa","expires":"2026-09-02T03:30:00","kind":"trading"}'])
def test_a_damaged_file_is_no_token(document):
    path = login.save(Token(SECRET, NOW + dt.timedelta(hours=18)))
    path.write_bytes(document)
    with pytest.raises(LoginError, match="engine login"):
        login.load(NOW)
    assert login.known_user() == ""


def test_the_last_tokens_user_is_known_when_it_has_expired():
    login.save(Token(SECRET, NOW - dt.timedelta(days=9), user="AB1234"))
    assert login.known_user() == "AB1234"
    with pytest.raises(LoginError, match="expired"):
        login.load(NOW)


@pytest.mark.parametrize("claims", [{"exp": 1e300}, {"exp": "x"}, {"exp": True}, {"exp": -5}, {"exp": None}, [], 7, {"exp": 2**70}])
def test_a_token_that_says_nonsense_of_its_end_ends_in_the_night(claims):
    body = base64.urlsafe_b64encode(orjson.dumps(claims) if claims != {"exp": 2**70} else b'{"exp":%d}' % 2**70).decode()
    assert login.expiry_of(f"eyJh.{body}.sig", NOW) == login.next_expiry(NOW)


@pytest.mark.parametrize("base", ["http://api.upstox.com", "https://upstox.com.evil.example", "https://evil.example",
                                  "https://evilupstox.com", "http://127.0.0.1:1"])
def test_secret_and_token_go_to_the_broker_alone(base):
    with pytest.raises(LoginError, match="not sent"):
        login.check_base(base, "real-secret")
    for urls in ((base, base), (base, ORDERS), (API, base)):
        with pytest.raises(ValueError, match="only the token `demo`"):
            RestClient(SECRET, *urls)
    assert SECRET not in repr(RestClient(SECRET))


def test_no_redirect_is_followed_and_no_text_of_the_broker_reaches_the_terminal_raw():
    """A redirect would carry the Bearer elsewhere; escapes and markup in messages are made harmless."""

    async def life() -> None:
        async def away(request: web.Request) -> web.Response:
            raise web.HTTPFound("http://127.0.0.1:9/else")

        async def rude(request: web.Request) -> web.Response:
            return web.json_response({"status": "error", "errors": [{"message": "\x1b]0;x\x07<script>"}]}, status=400)

        app = web.Application()
        app.router.add_get("/away", away)
        app.router.add_get("/rude", rude)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        rest = RestClient("demo", base, base)
        try:
            for path in ("/away", "/rude"):
                with pytest.raises(BrokerError) as failed:
                    await rest.get(path)
                assert "\x1b" not in str(failed.value) and "<" not in str(failed.value)
            for url in ("wss://evil.example/x", "ws://wsfeeder-api.upstox.com/x", "wss://upstox.com.evil.example", "",
                        "wss://evilupstox.com/x", "ws://127.0.0.1:1/x"):
                with pytest.raises(BrokerError, match="refused"):
                    RestClient(SECRET).check_socket_url(url)
            with pytest.raises(BrokerError, match="refused"):
                rest.check_socket_url("wss://wsfeeder-api.upstox.com/x")
            assert RestClient(SECRET).check_socket_url("wss://wsfeeder-api.upstox.com/x?code=1")
        finally:
            await rest.close()
            await runner.cleanup()

    asyncio.run(life())
