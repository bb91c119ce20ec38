"""Login by browser and by phone: a token is taken for the request that was made and for no other; both sides say what happened."""
import asyncio
import datetime as dt
import re
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from engine import __main__ as command_line
from engine.broker.upstox import consent, login
from engine.broker.upstox.login import App, LoginError, LoginRefused, Token
from tests.broker.test_login import NOW, SECRET, jwt, state  # noqa: F401

TOKEN = jwt(NOW + dt.timedelta(days=400))
PATH = "/upstox/Zx3_kQ9-fLr0aVb7TnW2yHcE"
PROFILE = {"status": "success", "data": {"user_id": "AB1234", "is_active": True}}


class Broker:
    """The broker's side of a login: what it answers, and what it was asked."""

    def __init__(self):
        self.exchange, self.profile = (200, {"access_token": TOKEN}), (200, PROFILE)
        self.phone = (200, {"status": "success", "data": {"authorization_expiry": "1", "notifier_url": f"https://tunnel.example{PATH}"}})
        self.codes: list[dict] = []
        self.bearers: list[str] = []

    @staticmethod
    def _answer(status, body) -> web.Response:
        return web.json_response(body, status=status) if isinstance(body, (dict, list)) else web.Response(body=body, status=status)

    async def _exchange(self, request: web.Request) -> web.Response:
        self.codes.append(dict(await request.post()))
        return self._answer(*self.exchange)

    async def _profile(self, request: web.Request) -> web.Response:
        self.bearers.append(request.headers["Authorization"].removeprefix("Bearer "))
        return self._answer(*self.profile)

    async def _phone(self, request: web.Request) -> web.Response:
        assert await request.json() == {"client_secret": "demo"}
        return self._answer(*self.phone)

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post(consent.EXCHANGE, self._exchange)
        app.router.add_get(consent.PROFILE, self._profile)
        app.router.add_post(consent.PHONE + "key", self._phone)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"


class Login:
    """One login under way; `visit` is the browser, `post` whoever sends something to the notifier's port."""

    def __init__(self, broker: Broker, port: int, way=consent.browser, **given):
        self.broker, self.port, self.way, self.given = broker, port, way, given
        self.told: list[str] = []
        self.app = App("key", "demo", f"http://127.0.0.1:{port}/callback")

    async def __aenter__(self):
        base = await self.broker.start()
        self.shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        options = {"tell": self.told.append, "wait_s": 5} | ({"port": self.port} if self.way is consent.phone else {}) | self.given
        self.work = asyncio.ensure_future(self.way(self.app, self.shown.set_result, base, **options))
        self.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        await asyncio.wait([self.shown, self.work], return_when=asyncio.FIRST_COMPLETED)
        self.state = parse_qs(urlsplit(self.shown.result()).query).get("state", [""])[0] if self.shown.done() else ""
        return self

    async def __aexit__(self, *_):
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)
        await self.client.close()
        await self.broker.runner.cleanup()

    async def visit(self, query: str, method: str = "GET", **headers) -> tuple[int, str]:
        async with self.client.request(method, f"{self.app.redirect}{query}", headers=headers) as answer:
            return answer.status, (await answer.text()).strip()

    async def post(self, body: object = None, path: str = PATH, kind: str = "application/json", method: str = "POST",
                   **headers) -> int:
        data = body if isinstance(body, (bytes, str)) else login.orjson.dumps(body)
        async with self.client.request(method, f"http://127.0.0.1:{self.port}{path}", data=data,
                                       headers={"Content-Type": kind, "Host": "tunnel.example"} | headers) as answer:
            assert "\n" not in (await answer.text()).strip()
            return answer.status


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 20))


# ---- the browser -------------------------------------------------------------------------------------------------------------
def test_the_page_says_logged_in_once_the_token_is_verified_and_kept(unused_tcp_port):
    broker = Broker()

    async def scene() -> None:
        async with Login(broker, unused_tcp_port) as now:
            assert not login.token_file().exists()
            status, said = await now.visit(f"?code=good&state={now.state}")
            assert (status, said) == (200, "Logged in. This page may be closed.")
            assert login.load(NOW).text == TOKEN               # when the page is there, so is the token
            assert (await now.work).user == login.known_user() == "AB1234"

    play(scene)
    assert broker.bearers == [TOKEN]
    assert broker.codes == [{"code": "good", "client_id": "key", "client_secret": "demo", "grant_type": "authorization_code",
                             "redirect_uri": f"http://127.0.0.1:{unused_tcp_port}/callback"}]


@pytest.mark.parametrize(("query", "words", "page"), [
    ("error=access_denied&error_description=%3Cscript%3E", "consent was denied", "consent was denied"),
    ("error=access_denied&code=x", "consent was denied", "consent was denied"),
    ("", "no code", "no code"),
    ("code=", "no code", "no code"),
    ("code=a&code=b", "no code", "no code"),
    ("code=" + "x" * 600, "no code", "no code"),
    ("code=%0d%0aX", "no code", "no code"),
    ("code=%E2%82%AC", "no code", "no code"),
])
def test_a_login_that_was_not_granted_is_said_on_both_sides_at_once(unused_tcp_port, query, words, page):
    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port, wait_s=300) as now:
            status, said = await now.visit(f"?{query}&state={now.state}")
            assert status == 400 and said.startswith("Not logged in") and page in said and "<" not in said and "\n" not in said
            with pytest.raises(LoginRefused, match=words):
                await now.work

    play(scene)
    assert not login.token_file().exists()


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("exchange", (400, {"status": "error", "errors": [{"errorCode": "UDAPI100057", "message": "\x1b<b>No"}]}), "UDAPI100057"),
    ("exchange", (200, b"[" * 60_000), "not understood"),
    ("exchange", (200, b"{" + b" " * 200_000 + b"}"), "not understood"),
    ("exchange", (200, {"access_token": {"a": 1}}), "gave no token"),
    ("exchange", (200, {"access_token": "short"}), "gave no token"),
    ("exchange", (302, {"access_token": TOKEN}), "refused"),
    ("profile", (401, {"status": "error", "errors": [{"errorCode": "UDAPI100050"}]}), "does not take the token"),
    ("profile", (200, {"status": "success", "data": {"user_id": 7}}), "whose the token is"),
    ("profile", (200, {"status": "success"}), "whose the token is"),
    ("profile", (200, b"\xff\xfe"), "not understood"),
])
def test_a_token_that_is_not_to_be_had_is_said_on_both_sides_and_not_kept(unused_tcp_port, name, answer, words):
    broker = Broker()
    setattr(broker, name, answer)

    async def scene() -> None:
        async with Login(broker, unused_tcp_port, wait_s=300) as now:
            status, said = await now.visit(f"?code=good&state={now.state}")
            assert status == 502 and said.startswith("Not logged in: the ") and "the command line says why" in said
            assert "UDAPI" not in said and "\n" not in said     # the page repeats nothing of the broker's
            with pytest.raises(LoginError, match=words) as refused:
                await now.work
            assert TOKEN not in str(refused.value) and "\x1b" not in str(refused.value) and "<" not in str(refused.value)

    play(scene)
    assert not login.token_file().exists()


def test_a_token_of_another_user_than_the_last_one_is_not_kept(unused_tcp_port):
    login.save(Token(SECRET, NOW, user="ZZ0001"))

    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port) as now:
            assert (await now.visit(f"?code=good&state={now.state}"))[0] == 502
            with pytest.raises(LoginRefused, match="--user AB1234"):
                await now.work
        async with Login(Broker(), unused_tcp_port, user="AB1234") as now:
            assert (await now.visit(f"?code=good&state={now.state}"))[0] == 200
            await now.work

    play(scene)
    assert login.known_user() == "AB1234"


def test_what_is_not_the_answer_to_this_login_is_turned_away_and_told_of_once(unused_tcp_port):
    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port) as now:
            good = f"?code=good&state={now.state}"
            for query in ("", "?code=x", f"?code=x&state={now.state[:-1]}", "?code=x&state=%C3%A9%E2%82%AC", "?code=x&state=%ff%fe",
                          f"{good}&state={now.state}", "?error=access_denied", "?state=", "?code=x&state=" + "y" * 7000):
                status, said = await now.visit(query)
                assert status == 403 and said.startswith("Not logged in: this is not the answer"), query
            assert len(now.told) == 1 and "still waiting" in now.told[0]
            assert (await now.visit(good, Host="evil.example"))[0] == 403         # a page elsewhere, through a rebound name
            assert (await now.visit(good, Origin="https://evil.example"))[0] == 403
            assert (await now.visit(good, **{"Sec-Fetch-Mode": "no-cors"}))[0] == 403      # a picture of some page
            assert (await now.visit(good, "POST"))[0] == (await now.visit(good, "HEAD"))[0] == 405
            assert (await now.visit("/else" + good))[0] == 404
            assert not now.work.done() and not now.broker.codes
            assert (await now.visit(good))[0] == 200
            await now.work

    play(scene)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"x" * 70_000, b"GET /callback?code=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET / HTTP/9.9\r\n\r\n", b"GET /%zz?%=%&state=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
                                  b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
                                  b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n"])
def test_an_odd_request_is_refused_without_a_line_of_ours(unused_tcp_port, data, capfd):
    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port) as now:
            reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
            writer.write(data)
            answer = await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer
            assert not now.work.done()

    play(scene)
    assert capfd.readouterr().err == ""


def test_nobody_logs_in(unused_tcp_port):
    app = App("key", "demo", f"http://127.0.0.1:{unused_tcp_port}/callback")
    with pytest.raises(LoginRefused, match="nobody logged in"):
        asyncio.run(consent.browser(app, lambda text: None, "http://127.0.0.1:9", 0.1))


@pytest.mark.parametrize(("query", "code", "words"), [("error=access_denied", 1, "consent was denied"),
                                                      ("code=good", 0, "kept in")])
def test_the_command_ends_with_what_happened(unused_tcp_port, monkeypatch, capsys, query, code, words):
    """The command line itself, up to its exit code; a browser that answers at once."""
    broker, browser = Broker(), consent.browser

    async def way(app, show, **given):
        base = await broker.start()

        async def visit(address: str) -> None:
            given = parse_qs(urlsplit(address).query)["state"][0]
            async with aiohttp.ClientSession() as client, client.get(f"{app.redirect}?{query}&state={given}"):
                pass

        visits = []
        try:
            return await browser(app, lambda text: (show(text), visits.append(asyncio.ensure_future(visit(text)))), base, **given)
        finally:
            await asyncio.gather(*visits)
            await broker.runner.cleanup()

    monkeypatch.setattr(consent, "browser", way)
    for name, value in (("KEY", "key"), ("SECRET", "demo")):
        monkeypatch.setenv(f"ENGINE_API_{name}", value)
    monkeypatch.setenv("ENGINE_REDIRECT", f"http://127.0.0.1:{unused_tcp_port}/callback")
    monkeypatch.setattr(sys, "argv", ["engine", "login"])
    try:
        command_line.main()
        left = 0
    except SystemExit as leave:
        left = int(leave.code or 0)
    said = capsys.readouterr()
    assert left == code and words in said.out + said.err and TOKEN not in said.out + said.err


# ---- the phone ---------------------------------------------------------------------------------------------------------------
def message(**fields: object) -> dict:
    return {"client_id": "key", "user_id": "AB1234", "message_type": "access_token", "access_token": TOKEN, "token_type": "Bearer",
            "expires_at": "1789250400000", "issued_at": str(round(dt.datetime.now().timestamp() * 1000))} | fields


def test_a_token_is_taken_for_the_request_that_was_made(unused_tcp_port):
    broker = Broker()

    async def scene() -> None:
        async with Login(broker, unused_tcp_port, consent.phone) as now:
            assert "tunnel.example" in now.shown.result() and PATH not in now.shown.result()
            for path in ("/", "/n", PATH + "x", PATH[:-1], PATH.upper(), "/callback"):
                assert await now.post(message(), path=path) == 404, path
            assert await now.post(message(), method="PUT") == 404
            for name, value in (("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site"),
                                ("Host", "evil.example"), ("Host", "tunnel.example.evil")):
                assert await now.post(message(), **{name: value}) == 403, name
            for kind in ("text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp"):
                assert await now.post(message(), kind=kind) == 415, kind
            assert await now.post(message(), **{"Content-Encoding": "gzip"}) == 415
            assert await now.post(message(x="y" * 20_000)) == 413
            for body in (b"[" * 16_000, b"{", b"\xff", b"[]", b"7", message(message_type="x"), message(access_token=7),
                         message(access_token="short"), message(user_id=[1]), message(issued_at="1000000000000"),
                         {"client_id": "key", "message_type": "access_token"}):
                assert await now.post(body) == 400, body
            assert await now.post(message(client_id="else")) == await now.post(message(client_id=7)) == 403
            assert broker.bearers == [] and not now.work.done()
            assert await now.post(message(), Host=f"127.0.0.1:{unused_tcp_port}") == 200      # a tunnel that rewrites the name
            assert (await now.work).text == TOKEN and login.load(NOW).user == "AB1234"

    play(scene)
    assert broker.bearers == [TOKEN]


def test_a_token_the_broker_does_not_know_is_told_of_and_another_waited_for(unused_tcp_port):
    broker = Broker()

    async def scene() -> None:
        async with Login(broker, unused_tcp_port, consent.phone) as now:
            broker.profile = 401, {"status": "error"}
            assert await now.post(message(access_token=SECRET)) == 200
            while not now.told:
                await asyncio.sleep(0.01)
            assert "does not take" in now.told[0] and "still waiting" in now.told[0] and not login.token_file().exists()
            broker.profile = 200, {"status": "success", "data": {"user_id": "ZZ0001"}}        # not whom the message names
            assert await now.post(message()) == 200
            while len(now.told) < 2:
                await asyncio.sleep(0.01)
            assert not login.token_file().exists()
            broker.profile = 200, PROFILE
            assert await now.post(message()) == 200
            assert (await now.work).user == "AB1234"

    play(scene)


def test_a_message_that_names_another_user_than_its_token_is_told_of(unused_tcp_port):
    """Whom the login is for is known, the token is theirs; what the message says of it is not true."""
    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port, consent.phone, user="AB1234") as now:
            assert await now.post(message(user_id="ZZ0001")) == 200
            while not now.told:
                await asyncio.sleep(0.01)
            assert "another user" in now.told[0] and not login.token_file().exists()
            assert await now.post(message()) == 200
            assert (await now.work).user == "AB1234"

    play(scene)


@pytest.mark.parametrize("address", ["https://tunnel.example", "https://tunnel.example/n", "https://tunnel.example/short", None, 7,
                                     "https://tunnel.example/" + "a" * 40, "https://[::1", "x" * 2000])
def test_a_notifier_without_a_secret_takes_nothing(unused_tcp_port, address):
    broker = Broker()
    broker.phone = 200, {"status": "success", "data": {"notifier_url": address}}

    async def scene() -> None:
        async with Login(broker, unused_tcp_port, consent.phone) as now:
            with pytest.raises(LoginError, match="register a notifier address such as https://YOUR-TUNNEL/"):
                await now.work

    play(scene)


def test_nobody_approves(unused_tcp_port):
    async def scene() -> None:
        async with Login(Broker(), unused_tcp_port, consent.phone, wait_s=0.1) as now:
            with pytest.raises(LoginRefused, match="no approval"):
                await now.work

    play(scene)
