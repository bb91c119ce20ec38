"""Paper trading: the engine's own matching behind the shell, and the client that can send nothing."""
import asyncio

import numpy as np
import orjson
import pytest
from aiohttp import web

from _ext.core.records import INTENT, INTENT_MODIFY, POSITION, REC_INTENT, REC_POSITION, REC_REPLY, REC_START, REPLY
from _ext.trade.states import STATES
from _ext.trade.venue import PaperVenue
from engine.broker.base import BrokerError, Request
from engine.broker.paper.protocol import Beside
from engine.broker.upstox import protocol
from engine.broker.upstox.api import Api
from engine.broker.upstox.market import ReadOnly
from engine.config import Config
from engine.market.instruments import Instrument
from engine.run.options import OptionError, RunOptions, made
from engine.run.paper import MESSAGE, MESSAGE_NS, Paper
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.trail.rundir import RunDir
from tests.trade.conftest import Desk


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A lively hour on paper: (its report, records of its journal)."""
    run = RunDir.new(tmp_path_factory.mktemp("paper") / "run")
    report = run_virtual(Config(), market_of(None, 3, None, 40, 75, "lively", -1), "synthetic", run, 3, None, is_paper=True)
    return report, list(run.reader())


def rows(records, kind, dtype):
    return [np.frombuffer(payload, dtype)[0] for number, _, _, payload in records if number == kind]


def test_every_order_is_taken_by_the_engines_own_matching_and_says_so(day):
    report, records = day
    intents, replies = rows(records, REC_INTENT, INTENT), rows(records, REC_REPLY, REPLY)
    start = next(orjson.loads(payload) for kind, _, _, payload in records if kind == REC_START)
    assert report["trades"] > 10 and start["via"] == 1
    assert len(intents) >= 20 and all(intent["via"] == 1 for intent in intents)
    assert {(int(r["intent"]), int(r["kind"])) for r in replies} == {(int(i["id"]), int(i["kind"])) for i in intents}
    assert all(250e6 < r["latency"] < 2e9 for r in replies), "there at one timer, back at a later one"
    assert all(r["order_id"].startswith(b"P") for r in replies)


def test_positions_are_protected_and_end_flat(day):
    _, records = day
    last = {int(p["inst"]): p for p in rows(records, REC_POSITION, POSITION)}
    assert len(last) >= 4 and sum(p["quantity"] == 0 for p in last.values()) >= len(last) - 3


def test_a_run_at_the_exchange_says_that_a_broker_takes_its_orders(tmp_path):
    run_virtual(Config(), market_of(None, 3, None, 4, 5, "lively", -1), "synthetic", RunDir.new(tmp_path / "run"), 3, None)
    assert next(orjson.loads(r[3]) for r in RunDir(tmp_path / "run").reader() if r[0] == REC_START)["via"] == 0


def test_quotes_are_the_brokers_and_all_else_the_venues():
    beside = Beside(protocol)
    assert beside.read_of("quotes", ["NSE_EQ|A"]) == protocol.read_of("quotes", ["NSE_EQ|A"])
    assert beside.read_of("book").method == "PAPER"
    quote = {"instrument_token": "NSE_EQ|A", "last_price": 10.05}
    assert beside.rows_of("quotes", {"status": "success", "data": {"x": quote}}) == [quote]
    assert beside.quote_of(quote).price == 1005 and beside.rows_of("positions", [1]) == [1]


# ---- nothing can be sent -----------------------------------------------------------------------------------------------
ASKED = ["/v3/feed/market-data-feed/authorize", "/v3/market-quote/quotes", "/v3/market-quote/ohlc",
         "/v3/historical-candle/intraday/NSE_EQ%7CA/minutes/1", "/v2/market/holidays", "/v2/market/timings/2026-11-30",
         "/v2/market/status/NSE", "/sim/clock"]
NEVER = ["/v2/order/positions/exit", "/v3/order/place", "/v2/user/profile", "/v3/user/get-funds-and-margin",
         "/v2/order/retrieve-all", "/v2/portfolio/short-term-positions", "/v2/feed/portfolio-stream-feed/authorize",
         "/v2/user/kill-switch", "/v2/market/timings/../../order/retrieve-all", "/v2/logout", "/v3/market-quote/quotes/x",
         "/v2/market/status"]


def served(scene) -> list[tuple[str, str]]:
    """Runs `scene` with a client for paper against a server that writes down what it is asked."""
    heard = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((request.method, request.path))
        return web.json_response({"status": "success", "data": {}})

    async def work() -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        client = ReadOnly("demo", f"http://127.0.0.1:{port}")
        try:
            await client.open()
            await scene(client)
        finally:
            await client.close()
            await runner.cleanup()

    asyncio.run(work())
    return heard


def test_what_the_market_says_may_be_asked():
    async def scene(client):
        for path in ASKED:
            assert (await client.call(Request("GET", path))).status == 200

    assert [method for method, _ in served(scene)] == ["GET"] * len(ASKED)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
def test_nothing_but_get_leaves(method):
    async def scene(client):
        for path in ASKED:
            with pytest.raises(BrokerError, match="was not sent"):
                await client.call(Request(method, path))
            with pytest.raises(BrokerError, match="was not sent"):
                await client._session.request(method, client.base + path)

    assert served(scene) == []


def test_nothing_of_an_account_is_asked_whoever_asks():
    """Neither by a request of ours, nor past it by the session, nor by a socket."""
    async def scene(client):
        for path in NEVER:
            with pytest.raises(BrokerError, match="prices, candles and hours alone"):
                await client.call(Request("GET", path))
        for path in (path for path in NEVER if ".." not in path):
            with pytest.raises(BrokerError, match="prices, candles and hours alone"):
                await client._session.get(client.base + path)
            with pytest.raises(BrokerError, match="prices, candles and hours alone"):
                await client._session.ws_connect(client.base + path)
        with pytest.raises(BrokerError, match="was not sent"):
            async with client.order_stream():
                pass

    assert served(scene) == []


def test_a_client_for_paper_has_no_name_for_an_order():
    """Whatever places, changes, ends or reads orders, funds and positions is another class's."""
    only = {name for name in vars(Api) if not name.startswith("_")}
    assert {"place", "modify", "cancel", "exit_all", "funds", "positions", "book", "switch_segment"} <= only
    assert not any(hasattr(ReadOnly, name) for name in only)


# ---- what is asked for -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("given", "is_paper"), [
    ({}, False), ({"paper": True}, True), ({"source": "upstox"}, True), ({"source": "upstox", "paper": True}, True),
    ({"source": "upstox", "observe": True}, False), ({"source": "upstox", "live": True}, False)])
def test_the_live_feed_is_paper_unless_something_else_is_said(given, is_paper):
    assert made(RunOptions, given).is_paper is is_paper


@pytest.mark.parametrize("given", [
    {"paper": True, "observe": True}, {"source": "upstox", "live": True, "paper": True},
    {"source": "upstox", "live": True, "observe": True}, {"source": "upstox", "faults": "x.toml"},
    {"speed": "max", "faults": "x.toml"}])
def test_what_contradicts_itself_is_refused(given):
    with pytest.raises(OptionError, match=r"one of them|simulated broker's"):
        made(RunOptions, given)


# ---- more at once than the broker takes --------------------------------------------------------------------------------
NAMES = ("RELIANCE", "TCS", "SBIN", "SUNPHARMA", "LT", "INFY", "ICICIBANK", "HDFCBANK", "AXISBANK")


def test_a_request_that_waits_for_room_leaves_without_another_to_wake_it(tmp_path):
    """Nine entries in one second, of which the broker's window has room for eight: the ninth waits, and goes or is told."""
    desk = Desk(tmp_path, [Instrument(f"NSE_EQ|{name}", name, tick=10) for name in NAMES], notional=0.01, max_positions=20,
                requests_per_second=10, exit_reserve=1)
    paper = Paper(desk.core, PaperVenue(desk.core.trader), ["n"])
    for number, _ in enumerate(NAMES):
        desk.ask(number, number=number + 1)
    paper.act()
    assert len(paper.shell.outgoing) == 1
    for _ in range(6):
        paper.shell.on_timer(desk.core.now + 250_000_000)
        paper.on_timer()
    assert not paper.shell.outgoing and paper.due > desk.core.now
    assert [order["state"] for order in desk.core.orders()].count(STATES.index("sent")) == 0


def test_what_the_venue_says_arrives_so_long_after_it_happened(tmp_path):
    """Also where the last record is older than what happened."""
    desk = Desk(tmp_path)
    paper = Paper(desk.core, PaperVenue(desk.core.trader), ["n"])
    desk.ask()
    paper.act()
    paper.at = arrived = paper.due
    assert arrived > desk.core.now
    paper.event()
    assert [due for due, kind, _, _ in paper.events if kind == MESSAGE] == [arrived + MESSAGE_NS]


class Asked:
    """A venue that writes down for which requests it was asked how long they take."""

    def __init__(self, venue):
        self.venue, self.heard = venue, []

    def __getattr__(self, name):
        return getattr(self.venue, name)

    def latency(self, *request):
        self.heard.append(request)
        return self.venue.latency(*request)


def test_each_attempt_at_an_order_takes_a_time_of_its_own(tmp_path):
    """An exit of which one share is bought at a time is moved after the falling price."""
    desk = Desk(tmp_path)
    paper = Paper(desk.core, PaperVenue(desk.core.trader, 7), ["n"])
    paper.venue = Asked(paper.venue)
    desk.intents = lambda: paper.act() or []

    def wait():
        for _ in range(6):
            paper.shell.on_timer(desk.core.now + 250_000_000)
            paper.on_timer()
        desk.now = desk.core.now

    desk.tick()
    desk.ask()
    paper.act()
    wait()
    for mid in (97_000, 96_000, 95_000, 94_000):
        desk.tick(mid=mid, bid_q=1)
        wait()
    exits = [attempt for order, kind, attempt in paper.venue.heard if order == 2 and kind == INTENT_MODIFY]
    assert len(exits) >= 3 and exits == list(range(len(exits)))
