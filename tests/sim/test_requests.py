"""What the sim is sent: another's pages and names are refused, odd bodies and parameters get a 4xx of the broker's in one line."""
import asyncio
import copy
import datetime as dt
import gzip
import itertools
import json

import orjson
import pytest

from engine.market.instruments import Instrument
from engine.sim.exchange import Exchange
from engine.sim.feed import Feed
from engine.sim.market import SyntheticMarket
from engine.sim.requests import Refused, body_of, is_local
from engine.sim.rest import Rest
from engine.sim.server import FEED, SimServer

KEY = "NSE_EQ|INE002A01018"
SPEC = Instrument(KEY, "RELIANCE", tick=10, price=100_000)
ORDER = {"quantity": 1, "product": "I", "validity": "DAY", "price": 1000.0, "instrument_token": KEY, "order_type": "LIMIT",
         "transaction_type": "BUY", "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False, "tag": "t", "slice": False,
         "market_protection": -1}
MODIFY = {"order_id": "1", "validity": "DAY", "price": 1000.0, "order_type": "LIMIT", "trigger_price": 0.0, "quantity": 2,
          "disclosed_quantity": 0}
LINE = {"instrument_key": KEY, "quantity": 1, "transaction_type": "BUY", "product": "I", "price": 1000.0}
SWITCH = {"segment": "NSE_FO", "action": "DISABLE"}
ODD = [None, True, "", "1", "1.5", "NaN", "é", "\x00", "x" * 5000, -1, 1.5, 10**30, 1e308, [], [1], {}, {"a": 1}]


@pytest.fixture
def rest() -> Rest:
    return Rest(Exchange([SPEC], 10**9))


class Steady:
    """Calls with a second of market time between them: no rate limit is met."""
    now = 1_788_234_300_000_000_000

    def __init__(self, rest: Rest):
        self.rest = rest

    def __call__(self, method, path, body=None, params=None):
        Steady.now += 5_000_000_000
        status, answer = self.rest.call(method, path, body, params or {}, Steady.now)
        orjson.dumps(answer)                               # what was sent is never so odd that the answer cannot be written
        if status != 200:
            (error,) = answer["errors"]
            assert 400 <= status < 500 and error["errorCode"] and error["message"].isprintable(), answer
        return status, answer


@pytest.mark.parametrize(("method", "path", "body", "field", "value"), [
    ("POST", "/v3/order/place", ORDER, "quantity", "1"), ("POST", "/v3/order/place", ORDER, "quantity", True),
    ("POST", "/v3/order/place", ORDER, "quantity", 1.5), ("POST", "/v3/order/place", ORDER, "price", "1000"),
    ("POST", "/v3/order/place", ORDER, "price", -1.0), ("POST", "/v3/order/place", ORDER, "trigger_price", 1e300),
    ("POST", "/v3/order/place", ORDER, "transaction_type", "HOLD"), ("POST", "/v3/order/place", ORDER, "transaction_type", "buy"),
    ("POST", "/v3/order/place", ORDER, "order_type", "ICEBERG"), ("POST", "/v3/order/place", ORDER, "product", "X"),
    ("POST", "/v3/order/place", ORDER, "is_amo", "false"), ("POST", "/v3/order/place", ORDER, "tag", 7),
    ("POST", "/v3/order/place", ORDER, "instrument_token", [KEY]), ("POST", "/v3/order/place", ORDER, "market_protection", "x"),
    ("PUT", "/v3/order/modify", MODIFY, "quantity", "2"), ("PUT", "/v3/order/modify", MODIFY, "order_type", None),
    ("PUT", "/v3/order/modify", MODIFY, "price", None), ("PUT", "/v3/order/modify", MODIFY, "order_id", {}),
])
def test_a_field_of_the_wrong_kind_is_named(rest, method, path, body, field, value):
    status, answer = Steady(rest)(method, path, body | {field: value})
    assert status == 400 and answer["errors"][0]["errorCode"] == "UDAPI100036"
    assert answer["errors"][0]["message"].startswith(field) and not rest.exchange.orders


@pytest.mark.parametrize("name", [name for name in ORDER if name not in ("tag", "slice", "market_protection")])
def test_every_field_of_an_order_is_needed(rest, name):
    status, answer = Steady(rest)("POST", "/v3/order/place", {k: v for k, v in ORDER.items() if k != name})
    assert (status, answer["errors"][0]["message"]) == (400, f"{name} is required") and not rest.exchange.orders


@pytest.mark.parametrize(("method", "path", "params"), [
    ("GET", "/v2/charges/historical-trades", {"page_number": "x"}), ("GET", "/v2/charges/historical-trades", {"page_number": "0"}),
    ("GET", "/v2/charges/historical-trades", {"page_size": "-5"}), ("GET", "/v2/charges/historical-trades", {"page_size": "٣"}),
    ("GET", "/v2/charges/historical-trades", {"page_number": "9" * 5000}),
    ("GET", "/v2/charges/historical-trades", {"start_date": "yesterday"}),
    ("GET", "/v2/charges/brokerage", {}), ("GET", "/v2/charges/brokerage", {
        "instrument_token": KEY, "quantity": "1", "price": "nan", "transaction_type": "BUY"}),
    ("GET", "/v2/charges/brokerage", {"instrument_token": KEY, "quantity": "1e3", "price": "1", "transaction_type": "BUY"}),
    ("GET", "/v2/market/timings/banana", {}), ("GET", "/v2/market/timings/", {}), ("GET", "/v2/market/timings/9999-12-31", {}),
    ("GET", "/v2/market/timings/2026-02-30", {}), ("GET", "/v2/market/holidays/banana", {}), ("GET", "/v2/market/status/é", {}),
    ("GET", "/v3/market-quote/quotes", {}), ("GET", "/v3/market-quote/ltp", {"instrument_key": ""}),
    ("GET", "/v2/market-quote/quotes", {"instrument_key": ",".join(["a"] * 501)}),
    ("GET", "/v3/market-quote/ltp", {"instrument_key": ",".join(["a"] * 501)}),
])
def test_parameters_out_of_their_bounds_are_400(rest, method, path, params):
    assert Steady(rest)(method, path, None, params)[0] == 400


def test_whatever_a_body_holds_the_answer_is_the_brokers(rest):
    """Every field of every body in turn replaced by every odd value, and the whole body too."""
    call, seen = Steady(rest), set()
    for (method, path), good in {
        ("POST", "/v3/order/place"): ORDER, ("PUT", "/v3/order/modify"): MODIFY,
        ("POST", "/v2/charges/margin"): {"instruments": [LINE]}, ("POST", "/v2/user/kill-switch"): [SWITCH],
    }.items():
        assert call(method, path, copy.deepcopy(good))[0] in (200, 400)
        for value in ODD:
            assert call(method, path, value)[0] == 400
        for value in ODD:
            for place in good if isinstance(good, dict) else ():
                seen.add(call(method, path, good | {place: value})[0])
            for name in LINE if "margin" in path else SWITCH if "kill" in path else ():
                line = (LINE if "margin" in path else SWITCH) | {name: value}
                seen.add(call(method, path, {"instruments": [line]} if "margin" in path else [line])[0])
    assert seen == {200, 400}


def test_whatever_parameters_hold_the_answer_is_the_brokers(rest):
    call = Steady(rest)
    names = ("order_id", "tag", "segment", "page_number", "page_size", "start_date", "instrument_token", "instrument_key",
             "quantity", "price", "transaction_type")
    words = ["", "0", "-1", "1e999", "nan", "é", "\x00", "x" * 9000, "2026-13-01", KEY, "٣"]
    for (method, path), (name, word) in itertools.product(Rest.ROUTES, itertools.product(names, words)):
        assert call(method, path, None, {name: word})[0] < 500
    for (method, path), word in itertools.product(Rest.PREFIXES, words):
        assert call(method, path + word)[0] < 500


@pytest.mark.parametrize("data", [b"{", b"[" * 200_000, b"\xff\xfe", b'{"a": NaN}', b'"\\ud800"', b"nul", b'{"a": 1} x'])
def test_bodies_that_are_no_json_are_refused(data):
    with pytest.raises(Refused, match="not JSON"):
        body_of(data)


def test_a_body_may_be_empty():
    assert body_of(b"") is None and body_of(b" \r\n") is None and body_of(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("message", [
    b"", b"{", b"[]", b"7", b"[" * 100_000, b'{"method": "sub"}', b'{"method": "sub", "data": []}',
    b'{"method": "sub", "data": {"instrumentKeys": "abc"}}', b'{"method": "sub", "data": {"instrumentKeys": [[]]}}',
    b'{"method": "sub", "data": {"instrumentKeys": [{}], "mode": "full"}}',
    b'{"method": {}, "data": {"instrumentKeys": [], "mode": "full"}}',
    b'{"method": "sub", "data": {"instrumentKeys": [], "mode": []}}', b'{"method": "sub", "data": {"instrumentKeys": null}}',
    json.dumps({"method": "sub", "data": {"instrumentKeys": ["x"] * 5001}}).encode()])
def test_odd_messages_to_the_feed_are_answered(message):
    feed = Feed([SPEC])
    feed.open(1, 0)
    frames, text = feed.request(1, message, 0)
    assert frames == [] and json.loads(text)["status"] == "failed"


@pytest.mark.parametrize(("hosts", "origin", "good"), [
    (["127.0.0.1:8000"], None, True), (["localhost"], None, True), (["LOCALHOST:1"], "http://localhost:1", True),
    (["[::1]:8000"], None, True), (["127.0.0.1:8000"], "http://127.0.0.1:8000", True), (["sim.internal:8000"], None, True),
    (["evil.example"], None, False), (["evil.example:8000"], "http://evil.example:8000", False), ([], None, False),
    (["127.0.0.1.evil.example"], None, False), (["localhost.evil.example:8000"], None, False),
    (["evil.example#127.0.0.1"], None, False),
    (["127.0.0.1@evil.example"], None, False), (["evil.example@127.0.0.1"], None, False), ([""], None, False),
    (["127.0.0.1:8000", "evil.example"], None, False), (["127.0.0.1:8000", "127.0.0.1:8000"], None, False),
    (["127.0.0.1:8000"], "http://127.0.0.1:9000", False), (["127.0.0.1:8000"], "http://evil.example", False),
    (["127.0.0.1:8000"], "null", False), (["[::1"], None, False), (["127.0.0.1:8000"], "http://[::1", False),
    (["127.0.0.1/evil"], None, False), (["127.0.0.1 "], None, False),
])
def test_only_who_means_this_sim_is_let_in(hosts, origin, good):
    assert is_local(hosts, origin, {"127.0.0.1", "localhost", "::1", "sim.internal"}) is good


async def sent(port: int, text: str, body: bytes = b"") -> tuple[int, bytes]:
    """(status, body) of one request as it is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def order(host: str, origin: str = "", body: bytes = b"", line: str = "POST /v3/order/place HTTP/1.1") -> str:
    return "\n".join([line, f"Host: {host}", *([f"Origin: {origin}"] if origin else []), "Authorization: Bearer demo",
                      "Connection: close", "Content-Type: application/json", f"Content-Length: {len(body)}"])


def test_over_the_wire(capfd, caplog):
    """Rebinding places nothing, opens no feed; no odd request is answered with a 500 or a traceback."""
    async def life() -> None:
        exchange = Exchange([SPEC], 10**9)
        server = SimServer(SyntheticMarket([SPEC], dt.date(2026, 9, 1), 1), exchange, 50.0, hosts=["Sim.Internal"])
        port = await server.start()
        good = json.dumps(ORDER).encode()
        try:
            for host, origin, status in (
                    ("evil.example", "http://evil.example", 403), (f"evil.example:{port}", f"http://evil.example:{port}", 403),
                    ("evil.example", "", 403), ("", "", 403), (f"127.0.0.1:{port}", "http://evil.example", 403),
                    (f"127.0.0.1:{port}", "", 200), ("sim.internal", "", 200)):
                had = len(exchange.orders)
                assert (await sent(port, order(host, origin, good), good))[0] == status, (host, origin)
                assert len(exchange.orders) == had + (status == 200)
            server.codes.add("known")
            upgrade = (f"GET {FEED}?code=known HTTP/1.1\nHost: evil.example\nOrigin: http://evil.example\nUpgrade: websocket\n"
                       "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(upgrade.replace("\n", "\r\n").encode() + b"\r\n\r\n")
            assert b" 403 " in await reader.readline() and server.codes == {"known"} and not server.feed.links
            writer.close()
            here = f"127.0.0.1:{port}"
            for body, status in ((b"[]", 400), (b"[" * 200_000, 400), (b"\xff", 400), (b'"' + b"x" * (2 << 20) + b'"', 413)):
                got, said = await sent(port, order(here, body=body), body)
                assert got == status and json.loads(said)["status"] == "error" and len(said) < 600
            for path, status in (("/v2/charges/historical-trades?page_number=x", 400), ("/v2/market/timings/banana", 400),
                                 ("/v3/historical-candle/intraday/NSE_EQ%7Cnobody/minutes/1", 400),
                                 ("/v3/historical-candle/intraday/NSE_EQ%7CINE002A01018/parsecs/1", 400),
                                 ("/v3/historical-candle/NSE_EQ%7CINE002A01018/minutes/1/banana", 400),
                                 ("/v3/market-quote/ohlc", 400), ("/v3/feed/market-data-feed/%FF%00", 404),
                                 (f"{FEED}?code=no", 403)):
                got, said = await sent(port, order(here, line=f"GET {path} HTTP/1.1"))
                assert got == status and json.loads(said)["errors"][0]["errorCode"], path
            for encoding in ("gzip", "deflate"):
                got, said = await sent(port, order(here, body=good) + f"\nContent-Encoding: {encoding}", good)
                assert got == 400 and json.loads(said)["errors"][0]["message"] == "the body cannot be read"
            bomb = gzip.compress(b" " * (8 << 20))
            assert (await sent(port, order(here, body=bomb) + "\nContent-Encoding: gzip", bomb))[0] == 413
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(order(here, body=good).replace("\n", "\r\n").encode() + b"\r\n\r\n" + good[:20])
            writer.close()                                 # gone in the middle of its order
            for line in ("GET http://evil.example/v2/user/profile HTTP/1.1", "GET /é HTTP/1.1", "BREW / HTTP/9", "\udcff"):
                assert (await sent(port, order(here, line=line)))[0] == 400
        finally:
            await server.stop()

    asyncio.run(life())
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_fault_of_the_sims_own_is_one_line_in_the_brokers_shape(capfd, monkeypatch):
    monkeypatch.setattr(Exchange, "positions", lambda self: 1 // 0)

    async def life() -> tuple[int, bytes]:
        server = SimServer(SyntheticMarket([SPEC], dt.date(2026, 9, 1), 1), Exchange([SPEC], 10**9), 50.0)
        port = await server.start()
        try:
            return await sent(port, order(f"127.0.0.1:{port}", line="GET /v2/portfolio/short-term-positions HTTP/1.1"))
        finally:
            await server.stop()

    status, said = asyncio.run(life())
    assert status == 500 and json.loads(said)["errors"][0]["errorCode"] == "UDAPI100500"
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "ZeroDivisionError" in lines[0]
