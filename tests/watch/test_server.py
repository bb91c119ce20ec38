"""The page's server, asked in its own process: who is let in, what the routes answer, and the two steps of an operation.

`engine/watch/server/app.py`, `engine/watch/server/guard.py`, `engine/watch/server/operations.py`, `engine/watch/server/runs.py`,
`engine/watch/server/measures.py`, `engine/watch/server/seeker.py`, `engine/watch/server/serving.py`, `engine/paths.py`.
"""
import asyncio
import hashlib
import hmac
import json
import os
import shutil
import stat

import httpx
import numpy as np
import pytest
from starlette.datastructures import Headers

from _ext.core.records import DO_PAUSE, OPERATION
from _ext.trail.status import StatusBlock
from engine.config import Config
from engine.market.instruments import sector_names
from engine.signals import models
from engine.trail.rundir import RunDir
from engine.watch.server import operations
from engine.watch.server.app import make_app
from engine.watch.server.guard import BODY_MAX, COOKIE, Guard, csrf_of, kept_token
from engine.watch.server.runs import NoSuchRun
from engine.watch.server.serving import Serving

TOKEN = "t" * 43
HOST = "127.0.0.1:8420"
KNOWN = hmac.new(TOKEN.encode(), b"page", hashlib.sha256).hexdigest()
PAGE = {"host": HOST, "cookie": f"{COOKIE}={KNOWN}", "sec-fetch-site": "same-origin"}
CHANGE = PAGE | {"origin": f"http://{HOST}", "x-spike": csrf_of(TOKEN)}


class Server:
    """A server of a run, without a socket; `log` has what it refused."""

    def __init__(self, run):
        self.log: list[dict] = []
        self.serving = Serving(RunDir.existing(run), Config(), csrf_of(TOKEN), sector_names())
        while self.serving.follow.advance(1.0):
            pass
        self.serving.follow.look()
        self.serving.warm = lambda follow: None            # each request here has a loop of its own
        self.app = make_app(self.serving)
        self.guard = Guard(self.app, TOKEN, log=self.log.append)

    def ask(self, path: str, headers=PAGE, method="GET", **options) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(self.guard, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                request = client.build_request(method, path, headers=headers, **options)
                for name in set(request.headers) - {name.lower() for name in headers} - {"content-length", "content-type"}:
                    del request.headers[name]
                return await client.send(request)
        return asyncio.run(one())

    def json(self, path: str, status: int = 200, **options):
        answer = self.ask(path, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def server(day_run):
    return Server(day_run)


# ---- who is let in -----------------------------------------------------------------------------------------------------
READS = ("/api/session", "/api/moment", "/api/candidates", "/metrics", "/api/openapi.json", "/api/log", "/nothing")


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(("headers", "status"), [
    ({"host": HOST}, 401),                                                              # no token
    ({"host": HOST, "cookie": f"{COOKIE}={'x' * 43}"}, 401),
    ({"host": HOST, "cookie": f"other={KNOWN}"}, 401),
    ({"host": HOST, "cookie": f"{COOKIE}={TOKEN}"}, 401),                               # a cookie is not the token
    ({"host": HOST, "authorization": "Bearer "}, 401),
    ({"host": HOST, "authorization": f"Basic {TOKEN}"}, 401),
    (PAGE | {"host": "evil.example"}, 403),                                            # a name that was rebound
    (PAGE | {"host": "evil.example:8420"}, 403),
    (PAGE | {"host": "127.0.0.1.evil.example:8420"}, 403),
    (PAGE | {"host": ""}, 403),
    (PAGE | {"origin": "http://evil.example"}, 403),                                   # another origin
    (PAGE | {"origin": "http://localhost:3000"}, 403),
    (PAGE | {"origin": "null"}, 403),
    (PAGE | {"sec-fetch-site": "cross-site"}, 403),
    (PAGE | {"sec-fetch-site": "same-site"}, 403),
])
def test_what_is_refused_and_logged(server, path, headers, status):
    server.log.clear()
    answer = server.ask(path, headers)
    assert answer.status_code == status and len(answer.text) < 400
    assert [entry["refused"] for entry in server.log] == [status] and server.log[0]["path"] == path
    assert TOKEN not in json.dumps(server.log) + answer.text


def test_who_has_the_token_may_read(server):
    for headers in (PAGE, {"host": HOST, "authorization": f"Bearer {TOKEN}"}, PAGE | {"host": "localhost:9"},
                    PAGE | {"origin": f"http://{HOST}"}):
        assert server.ask("/api/session", headers).status_code == 200


def test_the_first_look_puts_the_token_into_a_cookie_and_out_of_the_address(server):
    answer = server.ask(f"/?token={TOKEN}", {"host": HOST})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and f"{COOKIE}={KNOWN}" in answer.headers["set-cookie"]
    assert TOKEN not in cookie
    server.log.clear()
    assert server.ask("/?token=wrong", {"host": HOST}).status_code == 401
    assert "wrong" not in json.dumps(server.log)
    assert server.ask(f"/api/session?token={TOKEN}", {"host": HOST}).status_code == 401      # only the first look


def test_a_link_clicked_elsewhere_shows_the_page_to_who_has_the_cookie_alone(server):
    clicked = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert server.ask("/", clicked).status_code == 401
    assert server.ask("/api/session", clicked | {"cookie": f"{COOKIE}={KNOWN}"}).status_code == 403


def test_every_answer_forbids_other_hosts_and_frames(server):
    for path in ("/api/session", "/nothing", "/"):
        headers = server.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_a_change_needs_more_than_the_cookie(server):
    body = {"operation": "pause"}
    for without in ("origin", "x-spike", "cookie"):
        headers = {name: value for name, value in CHANGE.items() if name != without}
        assert server.ask("/api/operations", headers, "POST", json=body).status_code in (401, 403), without
    for wrong in ({"x-spike": "0" * 64}, {"origin": "http://evil.example"}, {"host": "evil.example"}):
        assert server.ask("/api/operations", CHANGE | wrong, "POST", json=body).status_code == 403, wrong
    for odd in ({"x-spike": "\xff\xfe"}, {"content-length": "\u00b2"}):
        sent = {name: value.encode("latin-1", "replace") for name, value in (CHANGE | odd).items()}
        raw = [*((name.encode(), value) for name, value in sent.items()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/api/operations", "query_string": b""}
        assert server.guard.refusal(scope, Headers(raw=raw))[0] in (403, 413)
    form = server.ask("/api/operations", CHANGE | {"content-type": "text/plain"}, "POST", content=json.dumps(body))
    assert form.status_code == 403                                                      # what a form could send
    assert server.ask("/api/operations", CHANGE, "POST", json={"operation": "x" * BODY_MAX}).status_code == 413
    assert server.ask("/api/operations", CHANGE, "POST", json=body | {"more": 1}).status_code == 400
    assert server.ask("/api/session", CHANGE, "DELETE").status_code in (403, 405)


def test_the_token_is_kept_for_its_owner_alone(tmp_path):
    token = kept_token(tmp_path / "state")
    path = tmp_path / "state" / "watch.token"
    assert len(token) == 43 and stat.S_IMODE(path.stat().st_mode) == 0o600 and kept_token(tmp_path / "state") == token
    os.chmod(path, 0o644)                                                               # others may have read it
    assert kept_token(tmp_path / "state") != token
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        kept_token(tmp_path / "state")


# ---- what it answers ---------------------------------------------------------------------------------------------------
def test_routes_answer_with_the_day(server, followed_day):
    session = server.json("/api/session")
    assert session["csrf"] == csrf_of(TOKEN) and session["mode"] == "simulated" and not session["live"]
    day = followed_day.day
    assert server.json("/api/instruments")["symbol"] == day.state.symbols
    assert server.json("/api/candidates?limit=5")["total"] == len(day.candidates)
    found = server.json("/api/candidate/3")
    assert found["row"]["id"] == 3 and found["chain"]
    moment = server.json("/api/moment")
    assert moment["counts"]["candidates"] == len(day.candidates) and len(moment["quotes"]["ltp"]) == len(day.instruments)
    assert moment["money"]["realised"] == sum(int(f["realised"]) for _, f in day.fills)
    for path in ("/api/trades", "/api/orders", "/api/marks?inst=1", "/api/candles?inst=1&tf=5", "/api/equity", "/api/latency",
                 "/api/feed", "/api/gaps", "/api/log", "/api/runs", "/api/models", "/api/alerts", "/api/broker"):
        assert server.json(path), path
    described = server.json("/api/openapi.json")
    assert {"/api/candidate/{number}", "/api/operations/confirm", "/metrics"} <= set(described["paths"])


@pytest.mark.parametrize(("path", "status", "words"), [
    ("/api/candidate/999999", 404, "no candidate"), ("/api/order/999999", 404, "no order"),
    ("/api/candles?inst=1&tf=7", 409, "tf=7"), ("/api/candles?inst=999", 404, "no instrument"),
    ("/api/candles?inst=-1", 400, "inst"), ("/api/candidates?limit=0", 400, "limit"),
    ("/api/candidates?limit=99999999", 400, "limit"), ("/api/session?run=../../etc", 404, "no name of a run"),
    ("/api/session?run=nobody", 404, "no run"), ("/api/chain?symbol=NOBODY", 404, "no such instrument"),
    ("/api/backtest/nobody", 404, "no run"), ("/api/nothing", 404, "nothing at this address"),
    ("/%2e%2e/%2e%2e/etc/passwd", 404, "nothing"), ("/api/moment?at=-5", 400, "at"), ("/api/moment?at=x", 400, "at"),
])
def test_what_cannot_be_asked_is_refused_in_words(server, path, status, words):
    answer = server.ask(path)
    assert answer.status_code == status and words in answer.json()["error"], answer.text
    assert "Traceback" not in answer.text


def test_a_runs_name_leads_nowhere_else(server, tmp_path):
    runs = server.serving.runs
    for name in ("..", ".", "a/../..", "/etc", "a/b/c", "x\0y", ".hidden", "a\\b", ""):
        with pytest.raises(NoSuchRun):
            runs.path_of(name)
    link = runs.root / "elsewhere"
    link.symlink_to(tmp_path)
    try:
        with pytest.raises(NoSuchRun):
            runs.path_of("elsewhere")
        assert "elsewhere" not in [row["name"] for row in runs.listed()]
    finally:
        link.unlink()


def test_a_moment_by_the_time_machine(server, followed_day):
    async def ask():
        try:
            at = (followed_day.day.began + 40 * 60_000_000_000) // 1000
            moment = json.loads(await server.serving.moment("", at))
            candles = await server.serving.candles("", at, 1, 1)
            return at, moment, candles
        finally:
            await server.serving.seeker.close()

    at, moment, candles = asyncio.run(ask())
    assert moment["now_us"] == at and moment["counts"]["updates"] > 0
    assert candles["t"][-1] * 1_000_000 <= at < (candles["t"][-1] + 120) * 1_000_000
    assert candles["c"][-1] == moment["quotes"]["ltp"][1] or candles["closed"] == len(candles["t"])


# ---- operations --------------------------------------------------------------------------------------------------------
@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A desk of a run with a status block and no engine; `engine` takes what is asked."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir(exist_ok=True)
    block = StatusBlock(run.status, create=True)
    monkeypatch.setattr(operations, "is_running", lambda run: True)
    monkeypatch.setattr(operations, "ANSWER_S", 0.3)
    seen: list[tuple[str, str]] = []
    desk = operations.Desk(run, tmp_path / "models", "page: asha",
                           lambda name, who: seen.append((name, who)) or ("feed" if name == "7" else ""))
    desk.block, desk.seen = block, seen
    return desk


async def with_engine(desk, work):
    """`work` while somebody takes from the ring; (answer, what was taken)."""
    found = []

    async def take():
        while True:
            found.extend(np.frombuffer(entry, OPERATION)[0] for entry in desk.block.take())
            await asyncio.sleep(0.01)

    task = asyncio.create_task(take())
    try:
        return await work, found
    finally:
        task.cancel()


def test_an_operation_takes_two_steps_and_is_the_engines(desk):
    asked = desk.ask("pause")
    assert "No new entries" in asked["words"] and desk.block.take() == []
    done, taken = asyncio.run(with_engine(desk, desk.confirm(asked["confirm"])))
    assert done["done"] and [(int(t["kind"]), t["who"]) for t in taken] == [(DO_PAUSE, b"page: asha")]
    with pytest.raises(operations.OperationRefused, match="nothing to confirm"):
        asyncio.run(desk.confirm(asked["confirm"]))                                     # a confirmation counts once


def test_a_confirmation_is_not_guessed_and_does_not_wait_for_ever(desk, monkeypatch):
    for word in ("", "x", "0" * 22):
        with pytest.raises(operations.OperationRefused, match="nothing to confirm"):
            asyncio.run(desk.confirm(word))
    monkeypatch.setattr(operations, "VALID_S", -1.0)
    asked = desk.ask("resume")
    with pytest.raises(operations.OperationRefused, match="too long ago"):
        asyncio.run(desk.confirm(asked["confirm"]))
    assert desk.block.take() == []


def test_an_engine_that_does_not_answer_is_told(desk):
    asked = desk.ask("flatten")
    with pytest.raises(operations.OperationRefused, match="has not answered"):
        asyncio.run(desk.confirm(asked["confirm"]))
    (left,) = desk.block.take()
    assert np.frombuffer(left, OPERATION)[0]["kind"] < 0                                # taken back


def test_what_is_done_beside_the_engine_is_said_to_be_done(desk, tmp_path):
    """A rollback that the engine has not confirmed has happened all the same: whoever is told otherwise does it twice."""
    shutil.copytree(Config().models, desk.models)
    names = [row["model"] for row in models.entries(desk.models) if row["role"] != "refused"]
    roles = models.roles(desk.models)
    (desk.models / "active.json").write_text(json.dumps(roles | {"before": [roles["sha256"]]}))
    asked = desk.ask("rollback")
    done = asyncio.run(desk.confirm(asked["confirm"]))
    assert done["done"] and "has not confirmed" in done["words"] and names
    asked = desk.ask("rollback")
    with pytest.raises(operations.OperationRefused, match="no model traded before"):
        asyncio.run(desk.confirm(asked["confirm"]))


@pytest.mark.parametrize(("name", "argument", "words"), [
    ("open", "", "there is no operation"), ("pause", "x", "takes no argument"), ("promote", "", "needs to be told"),
    ("promote", "x" * 501, "needs to be told"), ("", "", "there is no operation")])
def test_what_is_no_operation_is_refused(desk, name, argument, words):
    with pytest.raises(operations.OperationRefused, match=words):
        desk.ask(name, argument)


def test_alerts_are_acknowledged_with_who(desk):
    asked = desk.ask("acknowledge", "7")
    _, taken = asyncio.run(with_engine(desk, desk.confirm(asked["confirm"])))
    assert desk.seen == [("7", "page: asha")] and [t["argument"] for t in taken] == [b"feed"]
    asked = desk.ask("acknowledge", "nobody")
    with pytest.raises(operations.OperationRefused, match="no alert"):
        asyncio.run(desk.confirm(asked["confirm"]))


def test_without_an_engine_nothing_is_paused(desk, monkeypatch):
    monkeypatch.setattr(operations, "is_running", lambda run: False)
    for name in ("pause", "resume", "flatten"):
        with pytest.raises(operations.OperationRefused, match="no engine runs"):
            desk.ask(name)
    assert desk.ask("kill")["confirm"]                                                  # a hung one is ended all the same


def test_confirmations_that_wait_are_bounded(desk):
    for _ in range(operations.MOST):
        desk.ask("pause")
    with pytest.raises(operations.OperationRefused, match="too many"):
        desk.ask("pause")
