"""No answer ends the engine: what is taken of the broker, at the edge and beyond it."""
import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest

from _ext.core.records import INTENT_CANCEL, INTENT_MODIFY, INTENT_PLACE, OUTCOME_AMBIGUOUS, OUTCOME_DONE
from engine.broker.base import BrokerError, Unreadable
from engine.broker.upstox import answers, api, protocol
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import RestClient, session
from engine.broker.upstox.protocol import funds_of
from engine.trade import inputs
from engine.trade.tags import Tag, read_tag
from tests.trade import fuzz_answers
from tests.trade.conftest import SPECS
from tests.trade.fuzz_answers import GOLDEN, KEY, ORDER, Bare, Wire, read


def test_seeded_wrong_answers_of_every_call_break_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seen = asyncio.run(fuzz_answers.run(1, 800, tmp_path))
    assert {name for name, _ in fuzz_answers.CALLS} | {"message"} <= set(seen) and seen["notes"] > 20


def answered(pieces: list[bytes], scene: Callable[[Api], Awaitable[Any]], timeout: float = 5.0) -> Any:
    """What a call makes of an answer's bytes."""
    async def life() -> Any:
        async with Wire() as server:
            server.pieces = pieces
            rest = Api("demo", server.base, server.base)
            rest._session = session(aiohttp.ClientTimeout(total=timeout), aiohttp.TCPConnector(force_close=True))
            try:
                return await scene(rest)
            finally:
                await rest.close()

    return asyncio.run(life())


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> list[bytes]:
    head = b"".join(h + b"\r\n" for h in (*headers, b"Content-Length: %d" % len(body)))
    return [b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + body]


def success(data: Any) -> list[bytes]:
    return http(orjson.dumps({"status": "success", "data": data}))


# ---- bytes -------------------------------------------------------------------------------------------------------------------
BODIES = {
    "200,000 brackets": b"[" * 200_000, "200,000 objects": b'{"a":' * 200_000, "a deep list": b"[" * 40 + b"]" * 40,
    "a bomb": None, "too long": b'"' + b"a" * answers.LIMIT + b'"', "many values": b"[" + b"[]," * 300_000 + b"[]]",
    "not UTF-8": b'{"status":"\xff"}', "half a surrogate": b'{"status":"\\ud800"}', "cut": b'{"status":"success","da', "none": b"",
    "NaN": b'{"status":"success","data":NaN}', "infinite": b'{"status":"success","data":1e999}',
    "a page": b"<html>bad gateway</html>",
    "a mark": b'\xef\xbb\xbf{"status":"success"}', "more": b'{"status":"success"} {}'}


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_nobody_can_read_is_ambiguous_for_an_order_and_a_plain_error_for_a_read(name):
    body = BODIES[name]
    pieces = http(gzip.compress(bytes(64 << 20)), b"Content-Encoding: gzip") if body is None else http(body)
    calls = ((INTENT_PLACE, lambda rest: rest.place(ORDER)), (INTENT_MODIFY, lambda rest: rest.modify(ORDER)),
             (INTENT_CANCEL, lambda rest: rest.cancel("B1")))
    for kind, call in calls:
        answer = answered(pieces, call)
        assert answer.status == 200 and answer.body is None
        assert protocol.verdict_of(kind, answer.status, answer.body)[0] == OUTCOME_AMBIGUOUS
        assert len(inputs.reply_record(1, kind, protocol.verdict_of(kind, answer.status, answer.body), answer.status, 1))
    for call in (Api.book, Api.funds, Api.profile):
        with pytest.raises(BrokerError, match="understood") as failed:
            answered(pieces, call)
        assert isinstance(failed.value, Unreadable) and failed.value.status == 200 and len(str(failed.value)) < 100


def test_nothing_is_read_beyond_the_limit():
    """A stream without an end: the reading ends, and not by the clock."""
    piece = b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n"
    began = time.monotonic()
    answer = answered([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[piece] * 2000],
                      lambda rest: rest.place(ORDER), 60)
    assert answer.status == 200 and answer.body is None and time.monotonic() - began < 20


@pytest.mark.parametrize("pieces", [[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"", b"1"], [b"HTTP/1.1 2", b"", b"00"],
                                    [b"HTTP/1.1 100 Continue\r\n\r\n", b"", b"HTTP"]])
def test_a_drip_ends_with_the_time_limit(pieces):
    began = time.monotonic()
    answer = answered(pieces, lambda rest: rest.place(ORDER), 0.1)
    assert answer.status == 0 and time.monotonic() - began < 2
    assert protocol.verdict_of(INTENT_PLACE, answer.status, answer.body)[0] == OUTCOME_AMBIGUOUS


@pytest.mark.parametrize(("status", "outcome"), [(b"204 No Content", OUTCOME_AMBIGUOUS), (b"302 Found", OUTCOME_AMBIGUOUS),
                                                 (b"304 Not Modified", OUTCOME_AMBIGUOUS), (b"999 x", OUTCOME_AMBIGUOUS),
                                                 (b"206 Partial", OUTCOME_AMBIGUOUS), (b"503 x", OUTCOME_AMBIGUOUS)])
def test_an_odd_status_says_nothing_of_an_order(status, outcome):
    body = b"" if status[:3] in (b"204", b"304") else orjson.dumps({"status": "success", "data": {"order_ids": ["1"]}})
    answer = answered(http(body, b"Location: http://127.0.0.1:1/x", status=status), lambda rest: rest.place(ORDER))
    assert protocol.verdict_of(INTENT_PLACE, answer.status, answer.body)[0] == outcome
    with pytest.raises(BrokerError):
        answered(http(body, b"Location: http://127.0.0.1:1/x", status=status), Api.book)


def test_limits_lie_where_they_say():
    for size, good in ((answers.LIMIT, True), (answers.LIMIT + 1, False)):
        text = b'"' + b"a" * (size - 2) + b'"'
        assert takes(lambda text=text: answers.parse(text)) == good
        assert takes(lambda text=text: answers.unpacked(gzip.compress(text), "gzip", answers.LIMIT)) == good
    for depth in (1, answers.DEPTH, answers.DEPTH + 1, 1000):
        for text in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            assert takes(lambda text=text: answers.parse(text)) == (depth <= answers.DEPTH), depth
    for count, good in ((answers.FEW, True), (3000, False)):                 # short values, and more of them than any answer has
        assert takes(lambda count=count: answers.parse(b"[" + b"1," * count + b"1]")) == good
        assert takes(lambda count=count: answers.parse(b"[" + b"[]," * (count // 2) + b"1]")) == good
    rows = [["2026-09-01T09:15:00+05:30", 1, 1, 1, 1, 0, 0]] * 10_000         # what is dense and real
    assert takes(lambda: answers.parse(orjson.dumps({"status": "success", "data": {"candles": rows}}), answers.LARGE))
    levels = [{"quantity": 0, "price": 0.0}] * 10_000
    assert takes(lambda: answers.parse(orjson.dumps({"data": levels}), answers.LARGE))
    assert not takes(lambda: answers.parse(b"[" + b"1234567," * answers.VALUES + b"1]", answers.LARGE))
    assert answers.parse(b'{"a":1,"a":2}') == {"a": 2} and answers.parse("7") == 7
    packed = gzip.compress(b"{}")
    for odd in (packed[:-1], packed + b"x", packed + packed, b"{}", b""):
        assert not takes(lambda odd=odd: answers.unpacked(odd, "gzip", 10))
    for coding, good in (("", True), ("identity", True), (" Identity ", True), ("br", False), ("gzip, gzip", False), ("?", False)):
        assert takes(lambda coding=coding: answers.unpacked(b"{}", coding, 10)) == good
    assert answers.limit_of("/v2/order/retrieve-all", 200) == answers.LARGE > answers.limit_of("/v3/order/place", 200)
    assert answers.limit_of("/v2/order/retrieve-all", 400) == answers.SMALL


def takes(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Unreadable:
        return False
    return True


# ---- headers -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("header", "value"), [
    (None, 0), ("", 0), ("x", 0), ("-1", 0), ("1e18", 0), (" 1788234300000000000", 0), ("1788234300000000000", 1788234300000000000),
    ("9" * 19, 0), ("9" * 400, 0), ("\u0661" * 19, 0), ("0", 0), ("946684799999999999", 0), ("946684800000000000",
    946684800000000000),
    ("4102444800001000000", 0)])
def test_the_clock_of_the_sim_is_a_time_or_nothing(header, value):
    assert answers.clock_of(header) == value


@pytest.mark.parametrize(("header", "value"), [
    (None, None), ("", None), ("x", None), ("Tue, 01 Sep 2026 03:45:00 GMT", 1788234300.0), ("Fri, 99 Foo 99999 99:99:99 GMT",
    None),
    ("Fri, 31 Dec 9999 23:59:59 -2359", None), ("9" * 9000, None)])
def test_the_time_of_the_broker_is_a_time_or_nothing(header, value):
    assert answers.date_of(header) == value


def test_a_clock_header_counts_at_the_sim_alone():
    (piece,) = success({"order_ids": ["1"]})
    for header, value in ((b"x", 0), (b"9" * 4000, 0), (b"\xff", 0), (b"1788234300000000000", 1788234300000000000)):
        answer = answered([piece.replace(b"OK\r\n", b"OK\r\nX-Sim-Time: " + header + b"\r\n")], lambda rest: rest.place(ORDER))
        assert answer.sim_time == value and protocol.verdict_of(1, answer.status, answer.body)[:2] == (OUTCOME_DONE, "1")
    assert not RestClient("secret-token-of-the-broker").is_sim


# ---- values ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("value", "found"), [
    (0, 0.0), (-1.5, -1.5), (10**12, 1e12), (10**12 + 1, None), (-10**13, None), (2**70, None), (1e300, None), (float("nan"), None),
    (float("inf"), None), (True, None), (False, None), (None, None), ("12.5", 12.5), ("-3", -3.0), ("", None), (" 1", None),
    ("1e5", None), ("0x10", None), ("1_000", None), ("NaN", None), ("\u0661", None), ("9" * 400, None), ([1], None), ({}, None)])
def test_a_number_is_a_number(value, found):
    if found is None:
        with pytest.raises(Unreadable, match=r"^it is not a number"):
            answers.number(value, "it")
    else:
        assert answers.number(value, "it") == found


def test_whole_numbers_texts_and_truths():
    assert answers.whole(7.0, "it") == 7 and answers.whole("49", "it") == 49 and answers.whole(-5, "it", -5) == -5
    for value in (0.5, -1, True, "7.5", None, 2**63):
        assert not takes(lambda value=value: answers.whole(value, "it")), value
    assert answers.text("x" * 10, "it", 10) == "x" * 10
    for value in ("", "x" * 11, "a\nb", "<b>", "é", 7, None, ["x"], b"x"):
        assert not takes(lambda value=value: answers.text(value, "it", 10)), value
    for value in (0, 1, "true", None, []):
        assert not takes(lambda value=value: answers.truth(value, "it")), value


def test_no_data_is_not_an_empty_list():
    for body in (None, [], 7, {}, {"status": "success"}, {"status": "success", "data": None}, {"data": []},
                 {"status": "error", "data": []}, {"status": ["success"], "data": []}):
        assert not takes(lambda body=body: answers.data_of(body, "it")), body
    assert answers.data_of({"status": "success", "data": []}, "it") == []
    for data in ({}, {"rows": []}, "x", 7):
        with pytest.raises(Unreadable):
            answered(success(data), Api.positions)


@pytest.mark.parametrize(("total", "paise"), [(1_000_000.5, 100_000_050), ("1000000.5", 100_000_050), (-5, -500), (0, 0), (None,
                                              None),
                                              (True, None), ("x", None), (2**70, None), ([], None), (1e13, None)])
def test_funds_are_rupees_or_unknown(total, paise):
    answer = {"status": "success", "data": {"available_to_trade": {"total": total}}}
    if paise is None:
        with pytest.raises(BrokerError, match="does not say"):
            funds_of(answer)
    else:
        assert funds_of(answer) == paise
    for odd in ({"available_to_trade": [total]}, [total], None):
        with pytest.raises(BrokerError, match="does not say"):
            funds_of({"status": "success", "data": odd})


# ---- rows --------------------------------------------------------------------------------------------------------------------
def noted(rest: Api) -> list[str]:
    notes: list[str] = []
    rest.on_note = notes.append
    return notes


@pytest.mark.parametrize("field", [
    {"last_price": True}, {"last_price": -1}, {"last_price": [1]}, {"upper_circuit_limit": 1e300}, {"lower_circuit_limit": "x"},
    {"instrument_token": None}, {"instrument_token": 7}, {"depth": []}, {"depth": 7}, {"depth": {"buy": {}}},
    {"depth": {"sell": [7]}},
    {"depth": {"buy": [{"price": {}, "quantity": 1}]}}, {"depth": {"buy": [{"price": 1, "quantity": -1}]}}, {"volume": 2**60}])
def test_a_quote_nobody_understands_is_left_out_and_told_of(field):
    async def scene(rest: Api) -> tuple[Any, list[str]]:
        notes = noted(rest)
        return await rest.quotes([KEY]), notes

    quotes = GOLDEN["quotes"]
    first = next(iter(quotes))
    found, notes = answered(success(quotes | {first: quotes[first] | field}), scene)
    assert list(found) == [SPECS[1].key] and found[SPECS[1].key]["last_price"] == 1000.0
    assert notes == ["1 of 2 rows of /v3/market-quote/quotes were not understood and are left out"]


@pytest.mark.parametrize(("call", "name"), [(Api.book, "book"), (Api.positions, "positions"), (Api.trades, "trades")])
def test_orders_and_positions_are_read_whole_or_not_at_all(call, name):
    rows = GOLDEN[name]
    assert answered(success(rows), call) == rows and answered(success([]), call) == []
    for odd in (None, [], 7, "x"):
        with pytest.raises(Unreadable, match="a row of"):
            answered(success([*rows, odd]), call)


def test_a_book_with_a_row_that_is_none_makes_no_order_missing(desk):
    """It may be the order whose answer was lost: that is looked for on."""
    async def scene(rest: Api) -> Bare:
        bare = Bare(desk, rest)
        for _ in range(22):
            desk.tick(seconds=2)
            await read(bare, "book")
        return bare

    _, (entry,) = desk.enter()
    desk.reply(entry, outcome=4, code=0)
    bare = answered(success([*GOLDEN["book"], None]), scene)
    assert bare.shell.reconciler.has_book and desk.core.counts()["unreadable"] >= 22
    assert entry["id"] in [order["id"] for order in desk.core.live_orders()]


@pytest.mark.parametrize(("ids", "good"), [(["1" * 32], True), (["a_1"], True), (["1" * 33], False), (["1\x00"], False),
                                           (["1 2"], False),
                                           ([" "], False), (["\n"], False), (["x" * 100_000], False)])
def test_an_order_id_that_does_not_fit_is_ambiguous(ids, good):
    outcome, order_id, _ = protocol.verdict_of(INTENT_PLACE, 200, {"status": "success", "data": {"order_ids": ids}})
    assert (outcome, order_id) == ((OUTCOME_DONE, ids[0]) if good else (OUTCOME_AMBIGUOUS, ""))


@pytest.mark.parametrize(("call", "data"), [
    (Api.kill_switch, [{"segment": "NSE_EQ", "kill_switch_enabled": "false"}]), (Api.kill_switch, [7]), (Api.kill_switch, {}),
    (lambda rest: rest.timings(fuzz_answers.DAY), [{"exchange": "NSE", "start_time": 1e300, "end_time": 1}]),
    (lambda rest: rest.timings(fuzz_answers.DAY), [{"exchange": "NSE", "start_time": 1788234300000}]),
    (lambda rest: rest.timings(fuzz_answers.DAY), [None]),
    (Api.profile, {"user_id": "A", "is_active": "yes"}), (Api.profile, {"is_active": True}), (Api.static_ip,
    {"primary_ip": "\x1b[2J"}),
    (Api.market_status, {"status": ["NORMAL_OPEN"]}), (lambda rest: rest.brokerage(KEY, 1, "BUY", 1),
    {"charges": {"total": "many"}}),
    (lambda rest: rest.brokerage(KEY, 1, "BUY", 1), {"charges": []}), (lambda rest: rest.today(KEY), {"candles": {}}),
    (lambda rest: rest.socket_url("/authorize"), []), (lambda rest: rest.last_minutes([KEY]), [])])
def test_a_read_of_another_shape_is_refused_as_a_whole(call, data):
    with pytest.raises(BrokerError):
        answered(success(data), call)


def test_trades_that_never_end_are_refused(monkeypatch):
    monkeypatch.setattr(api, "PAGES", 3)
    with pytest.raises(Unreadable, match="do not end"):
        answered(success([{"a": 1}] * api.PAGE), lambda rest: rest.historical_trades(fuzz_answers.DAY, fuzz_answers.DAY))


@pytest.mark.parametrize("url", ["wss://[::1", "wss://user@wsfeeder-api.upstox.com/x", "wss://wsfeeder-api.upstox.com:0/x", 7,
                                 None, [],
                                 "wss://wsfeeder-api.upstox.com/\r\nX: y", "wss://wsfeeder-api.upstox.com:99999/x",
                                 "wss://wsfeeder-api.upstox.com/" + "x" * 5000, "wss://\uff45vil.upstox.com/", {"a": 1}, True])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(BrokerError, match="refused"):
        RestClient("secret-token-of-the-broker").check_socket_url(url)


def test_a_refusal_is_told_by_its_code_and_message_alone():
    errors = [{"errorCode": "UDAPI1\x1b", "message": "<b>no</b>", "invalidValue": "x" * 9000}]
    with pytest.raises(BrokerError) as failed:
        answered(http(orjson.dumps({"status": "error", "errors": errors}), status=b"400 x"), Api.book)
    assert str(failed.value) == "/v2/order/retrieve-all answered 400: UDAPI1? (b)no(/b)"
    for body in (None, [], {"errors": 7}, {"errors": [7]}, {"errors": [{}]}, {"errors": [{"errorCode": [1], "message": {}}]}):
        assert answers.said(body) == "no reason given"


# ---- messages of the order stream -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["[" * 50_000, "[]", "7", "null", "", "{", '"x"', b"\xff\x00", b"", "{}", '{"update_type":7}',
                                  '{"update_type":"ordr"}', "x" * (answers.SMALL + 1),
                                  '{"update_type":"order","a":' + "[" * 40 + "]" * 40 + "}",
                                  None, 7, ConnectionResetError()])
def test_a_message_nobody_understands_is_counted_and_the_book_read(desk, text):
    bare = Bare(desk, Api("demo", "http://127.0.0.1:1", "http://127.0.0.1:1"))
    bare.shell.reconciler.has_book = True
    bare.shell.reconciler.next["book"] = 2**62
    bare.hear(text)
    assert bare.shell.unread == 1 and bare.shell.reconciler.next["book"] == 0 and len(bare.notes) == 1
    bare.shell.reconciler.next["book"] = 2**62
    for _ in range(1000):                               # a flood is one line and one read a second
        bare.hear(text)
    assert bare.shell.unread == 1001 and len(bare.notes) == 1 and bare.shell.reconciler.next["book"] == 2**62
    for kind in ("gtt_order", "position", "holding"):
        bare.hear(orjson.dumps({"update_type": kind}).decode())
    assert bare.shell.unread == 1001


def test_a_tag_longer_than_any_of_ours_is_not_ours():
    for tag in ("spk.n." + "9" * 5000 + ".e", "spk.n." + "9" * 40 + ".e", 7, ["spk.n.1.e"], None, {"a": 1}, "spk.n.\u0661.e"):
        assert read_tag(tag, "spk") is None
    assert read_tag("spk.n.12.e", "spk") == Tag("spk", "n", 12, 1)


# ---- calls ---------------------------------------------------------------------------------------------------------------------
def refused(code: str) -> list[bytes]:
    return http(orjson.dumps({"status": "error", "errors": [{"error_code": code, "message": "no"}]}), status=b"400 x")


def test_a_tag_without_an_order_has_no_history_and_another_refusal_is_one():
    """UDAPI100010 says that there is no such order; what any other says must not look like an empty history."""
    assert answered(refused("UDAPI100010"), lambda rest: rest.history("spk.n.1.e")) == []
    with pytest.raises(BrokerError, match="UDAPI100016") as failed:
        answered(refused("UDAPI100016"), lambda rest: rest.history("spk.n.1.e"))
    assert failed.value.code == "UDAPI100016"


@pytest.mark.parametrize(("keys", "calls"), [(500, [500]), (501, [500, 1]), (1001, [500, 500, 1])])
def test_quotes_of_many_names_are_asked_for_five_hundred_at_a_time(keys, calls):
    rest, asked = Api("demo", "http://127.0.0.1:1", "http://127.0.0.1:1"), []

    async def by_key(path, params, take):
        asked.append(params["instrument_key"].split(","))
        return {key: {} for key in asked[-1]}

    rest._by_key = by_key
    wanted = [f"NSE_EQ|{n}" for n in range(keys)]
    assert list(asyncio.run(rest.quotes(wanted))) == wanted and [len(part) for part in asked] == calls


@pytest.mark.parametrize(("said", "is_active"), [({"is_active": True}, True), ({"is_active": False}, False), ({}, False)])
def test_a_user_is_active_where_the_profile_says_so(said, is_active):
    assert answered(success({"user_id": "A1"} | said), Api.profile)["is_active"] is is_active


@pytest.mark.parametrize("status", [b"200 OK", b"207 Multi-Status"])
def test_a_margin_is_read_also_where_the_answer_is_said_to_be_of_parts(status):
    pieces = http(orjson.dumps({"status": "success", "data": {"required_margin": 7}}), status=status)
    assert answered(pieces, lambda rest: rest.margin([])) == {"required_margin": 7}


def test_a_name_without_a_last_minute_has_none():
    """Nothing traded in it: no candle, and not one of zeros."""
    candle = {"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 9, "ts": 1788234300000}
    told = {"NSE_EQ:A": {"instrument_token": "A", "prev_ohlc": candle}, "NSE_EQ:B": {"instrument_token": "B", "prev_ohlc": None}}
    assert answered(success(told), lambda rest: rest.last_minutes(["A", "B"])) == {"A": candle}
    assert answers.minute(told["NSE_EQ:B"]) == {"instrument_token": "B", "prev_ohlc": None}
    assert not takes(lambda: answers.minute(told["NSE_EQ:B"] | {"prev_ohlc": []}))      # a candle of another shape is none


def test_a_quote_has_what_was_told_and_no_more():
    """A number that is null is absent, not nought; a day's volume may be larger than a price; of each side 64 levels are kept."""
    level = {"price": 1.0, "quantity": 2}
    row = {"instrument_token": "A", "last_price": 1000.0, "volume": 2e12, "upper_circuit_limit": None,
           "depth": {"buy": [level] * 65, "sell": [level] * 64}}
    found = answers.quote(row)
    assert found["last_price"] == 1000.0 and found["volume"] == 2e12 and "upper_circuit_limit" not in found
    assert [len(found["depth"][side]) for side in ("buy", "sell")] == [64, 64]
    assert answers.quote(row | {"depth": None})["depth"] == {"buy": [], "sell": []}
    assert not takes(lambda: answers.quote(row | {"last_price": 2e12})) and not takes(lambda: answers.quote(row | {"oi": 2e15}))


@pytest.mark.parametrize(("call", "host"), [
    (lambda rest: rest.place(ORDER), "api-hft"), (lambda rest: rest.modify(ORDER), "api-hft"),
    (lambda rest: rest.cancel("B1"), "api-hft"), (Api.cancel_all, "api"), (Api.exit_all, "api")])
def test_orders_go_to_the_host_for_orders_and_all_else_to_the_other(call, host):
    """The broker has one for place, modify and cancel alone."""
    rest, urls = Api("secret-token-of-the-broker"), []

    class Session:
        def request(self, method: str, url: str, **_: Any) -> None:
            urls.append(url)
            raise aiohttp.ClientConnectionError

    rest._session = Session()
    assert asyncio.run(call(rest)).status == 0
    assert len(urls) == 1 and urls[0].startswith(f"https://{host}.upstox.com/v")
