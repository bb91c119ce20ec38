"""Tokens: the three ways to get one, where it is kept, when it dies, and where it never goes."""
import asyncio
import base64
import datetime as dt
import stat

import aiohttp
import orjson
import pytest
from aiohttp import web

from engine.market.sessions import IST
from engine.trade import login
from engine.trade.broker import BrokerError, RestClient
from engine.trade.login import App, LoginError, Token

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


def test_browser_login_takes_one_callback_with_the_right_state(unused_tcp_port):
    app = App("key", "demo", f"http://127.0.0.1:{unused_tcp_port}/callback")
    seen: list[dict] = []

    async def life() -> Token:
        async def token(request: web.Request) -> web.Response:
            seen.append(dict(await request.post()))
            return web.json_response({"access_token": jwt(NOW + dt.timedelta(days=400))})

        broker = web.Application()
        broker.router.add_post(login.EXCHANGE, token)
        runner = web.AppRunner(broker)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(login.browser(app, asked.set_result, base, 10))
        address = await asked
        state = dict(part.split("=") for part in address.split("?")[1].split("&"))["state"]
        async with aiohttp.ClientSession() as browser:
            for wrong in ("", "?code=x", f"?code=x&state={state[:-1]}"):
                async with browser.get(app.redirect + wrong) as answer:
                    assert answer.status == 403
            async with browser.get(f"{app.redirect}?code=x&state={state}", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403                # a page elsewhere, through a rebound name
            async with browser.get(f"{app.redirect}?code=good&state={state}") as answer:
                assert answer.status == 200
        try:
            return await work
        finally:
            await runner.cleanup()

    token = asyncio.run(life())
    assert token.text.startswith("eyJ") and [s["code"] for s in seen] == ["good"]
    assert seen[0] == {"code": "good", "client_id": "key", "client_secret": "demo", "redirect_uri": app.redirect,
                       "grant_type": "authorization_code"}


def test_nobody_logs_in(unused_tcp_port):
    app = App("key", "demo", f"http://127.0.0.1:{unused_tcp_port}/callback")
    with pytest.raises(LoginError, match="nobody logged in"):
        asyncio.run(login.browser(app, lambda text: None, "http://127.0.0.1:9", 0.1))


def test_approval_on_the_phone(unused_tcp_port):
    app = App("key", "demo")

    async def life() -> Token:
        async def ask(request: web.Request) -> web.Response:
            assert await request.json() == {"client_secret": "demo"}
            return web.json_response({"status": "success", "data": {"authorization_expiry": "1", "notifier_url": "https://x"}})

        broker = web.Application()
        broker.router.add_post(login.PHONE + "key", ask)
        runner = web.AppRunner(broker)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(login.phone(app, asked.set_result, f"http://127.0.0.1:{runner.addresses[0][1]}",
                                                 unused_tcp_port, 10))
        await asked
        async with aiohttp.ClientSession() as other:
            for body in ({"client_id": "else", "message_type": "access_token", "access_token": SECRET}, {"message_type": "x"}, []):
                async with other.post(f"http://127.0.0.1:{unused_tcp_port}/n", json=body):
                    pass
            assert not work.done()
            async with other.post(f"http://127.0.0.1:{unused_tcp_port}/n", json={
                    "client_id": "key", "message_type": "access_token", "access_token": SECRET}):
                pass
        try:
            return await work
        finally:
            await runner.cleanup()

    assert asyncio.run(life()).text == SECRET


@pytest.mark.parametrize("base", ["http://api.upstox.com", "https://upstox.com.evil.example", "https://evil.example", "http://127.0.0.1:1"])
def test_secret_and_token_go_to_the_broker_alone(base):
    with pytest.raises(LoginError, match="not sent"):
        login.check_base(base, "real-secret")
    with pytest.raises(ValueError, match="only the token `demo`"):
        RestClient(SECRET, base, base)
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
            for url in ("wss://evil.example/x", "ws://wsfeeder-api.upstox.com/x", "wss://upstox.com.evil.example", ""):
                with pytest.raises(BrokerError, match="refused"):
                    RestClient(SECRET).check_socket_url(url)
            assert RestClient(SECRET).check_socket_url("wss://wsfeeder-api.upstox.com/x?code=1")
        finally:
            await rest.close()
            await runner.cleanup()

    asyncio.run(life())
