"""Answers of every call and messages of the order stream, made wrong in a way that knows their structure. Everything follows from
the seed: `python -m tests.trade.fuzz_answers --seed N --count 1` repeats one case, `--count 100000` looks for more.

Promises: nothing but a BrokerError (LoginError, MasterError) or a typed outcome leaves a call; whoever uses it in the engine goes
on, with a note; what is right is taken; no answer holds the loop or fills the memory.
"""
import argparse
import asyncio
import copy
import datetime as dt
import gzip
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from _ext.core.records import INTENT_CANCEL, INTENT_MODIFY, INTENT_PLACE, WARM_BAR
from engine.broker.base import BrokerError
from engine.broker.upstox import candles, consent, master, protocol
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import session
from engine.broker.upstox.doctor import Checks
from engine.broker.upstox.login import App, LoginError
from engine.broker.upstox.protocol import funds_of
from engine.config import Config
from engine.feed.backfill import Fetch
from engine.market import calendar
from engine.run.doctor import Doctor
from engine.run.live import EngineProcess
from engine.run.order_line import OrderLine
from engine.run.shell import Read, Shell
from engine.trade import inputs
from tests.trade.conftest import SPECS, Desk

KEY, DAY = SPECS[0].key, dt.date(2026, 9, 1)
ORDER = {"quantity": 49, "product": "I", "validity": "DAY", "price": 1001.1, "tag": "spk.n.1.e", "instrument_token": KEY,
         "order_type": "LIMIT", "transaction_type": "BUY", "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False}
CPU_S, WALL_S, DRIP_S, GROWTH_KB = 2.0, 30.0, 0.25, 400_000


# ---- what the broker answers when all is well (shapes of its documentation) --------------------------------------------------
def order_row(intent: int = 1, leg: str = "e", **fields: Any) -> dict[str, Any]:
    return {"exchange": "NSE", "product": "I", "price": 1001.1, "quantity": 49, "status": "open", "guid": None,
            "tag": f"spk.n.{intent}.{leg}", "instrument_token": KEY, "placed_by": "AB1234", "trading_symbol": "RELIANCE-EQ",
            "order_type": "LIMIT", "validity": "DAY", "trigger_price": 0.0, "disclosed_quantity": 0, "transaction_type": "BUY",
            "average_price": 1000.0, "filled_quantity": 20, "pending_quantity": 29, "status_message": None,
            "order_id": f"B{intent}", "exchange_order_id": "1100000000001", "parent_order_id": None, "variety": "SIMPLE",
            "is_amo": False, "order_timestamp": "2026-09-01 09:45:00", "exchange_timestamp": "2026-09-01 09:45:00"} | fields


CANDLES = {"candles": [["2026-09-01T09:16:00+05:30", 100.0, 101.5, 99.5, 101.0, 1200, 0],
                       ["2026-09-01T09:15:00+05:30", 99.0, 100.5, 98.5, 100.0, 5000, 0]]}
LEVELS = [{"quantity": 100, "price": 1000.0, "orders": 3}] * 5
URL = {"authorized_redirect_uri": "ws://127.0.0.1:1/feeds?code=x", "authorizedRedirectUri": "ws://127.0.0.1:1/feeds?code=x"}
GOLDEN: dict[str, Any] = {
    "ids": {"order_ids": ["1644490272000"]}, "id": {"order_id": "1644490272000"},
    "book": [order_row(1), order_row(2, "x", order_type="SL", trigger_price=980.0), order_row(3, tag=None),
             order_row(4, tag="a.b")],
    "positions": [{"exchange": "NSE", "product": "I", "instrument_token": KEY, "quantity": 20, "average_price": 1000.0, "pnl": 1.5},
                  {"exchange": "NSE", "product": "D", "instrument_token": "NSE_EQ|ELSE", "quantity": 5, "average_price": 10.0}],
    "trades": [{"order_id": "B1", "quantity": 20, "average_price": 1000.0, "trade_id": "5", "instrument_token": KEY}],
    "funds": {"available_to_trade": {"total": 1_000_000.5, "cash_available_to_trade": {"total": 1_000_000.5, "cash": {
        "opening_balance": 1e6}}}, "unavailable_to_trade": {}},
    "quotes": {f"NSE_EQ:{s.symbol}": {
        "instrument_token": s.key, "last_price": 1000.0, "prev_close_price": 990.0, "volume": 5000, "average_price": 999.5,
        "oi": 0.0, "lower_circuit_limit": 900.0, "upper_circuit_limit": 1100.0, "depth": {"buy": LEVELS, "sell": LEVELS}}
        for s in SPECS[:2]},
    "minutes": {"NSE_EQ:A": {"instrument_token": KEY, "last_price": 1.0, "live_ohlc": None, "prev_ohlc": {
        "open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 900, "ts": 29_803_425 * 60_000}}},
    "candles": CANDLES, "url": URL,
    "timings": [{"exchange": "NSE", "start_time": 1788234300000, "end_time": 1788256800000}],
    "holidays": [{"date": "2026-10-02", "description": "x", "holiday_type": "TRADING_HOLIDAY", "closed_exchanges": ["NSE"]}],
    "status": {"exchange": "NSE", "status": "NORMAL_OPEN", "last_updated": 1788234300000},
    "profile": {"email": "a@example.invalid", "exchanges": ["NSE"], "user_id": "AB1234", "is_active": True, "poa": False},
    "ip": {"primary_ip": "203.0.113.7", "secondary_ip": None},
    "switch": [{"segment": "NSE_EQ", "segment_status": "ACTIVE", "kill_switch_enabled": False}],
    "charges": {"charges": {"total": 25.5, "brokerage": 20.0, "taxes": {"gst": 4.0}, "otherTaxes": {"transaction": 1.0}}},
    "margin": {"margins": [{"total_margin": 200.0}], "required_margin": 200.0, "final_margin": 200.0},
    "token": {"access_token": "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3ODkyNTA0MDB9.signature", "user_id": "AB1234"},
    "file": [{"segment": "NSE_EQ", "instrument_key": KEY, "trading_symbol": "RELIANCE", "lot_size": 1, "tick_size": 10.0}] * 3,
}


# ---- what goes wrong ---------------------------------------------------------------------------------------------------------
RAW = "\x01raw:"
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**63, 2**64, 2**70, -2**70, 1e15, 1e300, -1e300, "", " ", "0", "-5", "1e5",
    "NaN", "12.5", "\u0661\u0662", "x" * 5000, "9" * 5000, "\x00", "\x1b[2J<script>", "é€", "null", [], {}, [[]], [None],
    [1, 2], {"a": 1}, [{}], "wss://[::1", "ws://127.0.0.1:99999/x", "ws://a@127.0.0.1/x", "2026-09-01T09:15:00", "9999-12-31",
    RAW + "1e999", RAW + "NaN", RAW + "-Infinity", RAW + "1" * 400, RAW + '"\\ud800"', RAW + "[" * 500 + "]" * 500,
    RAW + "-0.0e-999", "spk.n.1.e", "spk.n.%s.e" % ("9" * 40), "spk.n.18446744073709551616.x", "complete", "cancelled",
    "SL", "SELL", "I", KEY)
STATUSES = (200,) * 24 + (201, 204, 206, 207, 301, 302, 304, 400, 401, 403, 404, 418, 423, 429, 500, 502, 503, 599, 600, 999)
HEADERS = (
    b"X-Sim-Time: x", b"X-Sim-Time: -1", b"X-Sim-Time: " + b"9" * 400, b"X-Sim-Time: 1e3", b"X-Sim-Time: \xd9\xa1", b"Date: x",
    b"Date: Fri, 99 Foo 99999 99:99:99 GMT", b"Date: Mon, 01 Jan 0001 00:00:00 +2359", b"Date: " + b"9" * 5000,
    b"A: " + b"b" * 20_000, b"Set-Cookie: a=b; expires=x; domain=" + b"." * 500, b"Content-Type: text/html; charset=" + b"x" * 300,
    b"Content-Type: \xff\xfe", b"Location: http://127.0.0.1:1/", b"Content-Length: 5", b"Content-Length: -1",
    b"Content-Length: 99999999999", b"Bad header",
    b"Transfer-Encoding: chunked", b"Connection: upgrade", b"Upgrade: websocket", b"Content-Encoding: br",
    b"Content-Encoding: gzip", b"Content-Encoding: deflate", b"Content-Encoding: gzip, gzip", b"Content-Encoding: \xff", b"X: \x00",
    b"ETag: " + b"\xff" * 300)


def spots(node: Any, out: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        out.append((node, key))
        if isinstance(value, (dict, list)):
            spots(value, out)
    return out


def mutate(document: Any, draw: random.Random) -> Any:
    """The document with one to three wrong things in it."""
    root = [copy.deepcopy(document)]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        node, key = draw.choice(spots(root, []))
        value = node[key]
        how = draw.randrange(9)
        if how <= 3:
            node[key] = copy.deepcopy(draw.choice(NASTY))
        elif how == 4 and isinstance(value, (int, float, str)):
            node[key] = str(value) if not isinstance(value, str) else RAW + (value or "0") if value.isdigit() else value * 50
        elif how == 5 and isinstance(node, dict):
            del node[key]
        elif how == 6 and isinstance(value, list):
            node[key] = value * draw.choice((0, 2, 50))
        elif how == 7:
            node[key] = draw.choice(([value], {"data": value}, [value, copy.deepcopy(draw.choice(NASTY))]))
        elif how == 8 and isinstance(node, dict):
            node[draw.choice(("status", "data", "", "x" * 300, "errors", "quantity", "instrument_token"))] = node.pop(key)
    return root[0]


def written(document: Any) -> bytes:
    """Its text; what starts with RAW goes in as it stands."""
    text = re.sub(r'"\\u0001raw:((?:[^"\\]|\\.)*)"', lambda found: json.loads(f'"{found[1]}"'), json.dumps(document))
    return text.encode("utf-8", "surrogatepass")


def spoiled(text: bytes, draw: random.Random) -> bytes:
    """The text with something wrong in its bytes."""
    at, how = draw.randrange(len(text) + 1), draw.randrange(12)
    if how == 0:
        return text[:at]
    if how == 1:
        return text[:at] + bytes([draw.randrange(256)]) + text[at + 1:]
    if how == 2:
        return text[:at] + b"\xff\xfe\xed\xa0\x80" + text[at:]
    if how == 3:
        return text.replace(b"{", b'{"status":"error","data":null,"status":"success",', 1)
    return draw.choice((b"", b"\xef\xbb\xbf" + text, text + b"x", b"[" * 200_000, b'{"a":' * 100_000,
                        b"[" + b"[]," * 300_000 + b"1]", b" " * 2_000_000 + text, b'"' + b"a" * 1_200_000 + b'"',
                        b"<html>502</html>", b"null", b"0", b"[[[]]]",
                        b'{"status":"success","data":' + b"[" * 40 + b"]" * 40 + b"}", b"[" + b"1," * 1_500_000 + b"1]"))


def wire(body: bytes, draw: random.Random, is_rough: bool) -> list[bytes]:
    """The bytes of an answer, in the pieces they are sent in; an empty piece waits."""
    status, headers, given = 200, [], body
    if is_rough:
        status, headers = draw.choice(STATUSES), draw.sample(HEADERS, draw.choice((0, 1, 1, 2)))
        how = draw.randrange(12)
        if how == 0:
            given, headers = gzip.compress(body, 1), [*headers, b"Content-Encoding: gzip"]
        elif how == 1:
            given, headers = BOMB, [*headers, b"Content-Encoding: gzip"]
        elif how == 2:
            given, headers = gzip.compress(body, 1)[:-9], [*headers, b"Content-Encoding: gzip"]
        elif how == 3:
            headers = [*headers, b"Transfer-Encoding: chunked"]
            last = draw.choice((b"0\r\n\r\n", b"", b"zz\r\n", b"-5\r\n", b"0\r\nA: b\r\n\r\n"))
            given = b"%x\r\n%b\r\n" % (len(body), body) + last
    first = draw.choice((b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"junk\r\n")) if is_rough and draw.random() < 0.1 else b""
    if not any(h.startswith((b"Content-Length", b"Transfer")) for h in headers):
        headers.append(b"Content-Length: %d" % (len(given) + (draw.choice((0, 0, 0, 7, -7)) if is_rough else 0)))
    head = first + b"HTTP/1.1 %d %b\r\n" % (status, draw.choice((b"OK", b"", b"\xff"))) + b"\r\n".join(headers) + b"\r\n\r\n"
    if is_rough and draw.random() < 0.01:
        return [head, given[:3], b"", b"1"]                  # a drip: the time limit must end it
    return [head + given]


BOMB = gzip.compress(bytes(64 << 20), 9)


class Wire:
    """A server that answers whatever it is told."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def __aenter__(self) -> "Wire":
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self.pieces:
                if not piece:
                    await asyncio.sleep(2 * DRIP_S)
                writer.write(piece)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


# ---- who uses it --------------------------------------------------------------------------------------------------------------
class Bare(EngineProcess):
    """The engine's readers over a desk, without a process around them."""

    def __init__(self, desk: Desk, rest: Api):
        self.desk, self.rest, self.core, self.config = desk, rest, desk.core, Config()
        self.notes: list[str] = []
        self.seconds: list[str] = []
        self.shell = Shell(protocol, desk.core, "spk", ["n"], self._now, is_fresh=False, note=self._note,
                           on_second_engine=self.seconds.append)
        self.line = OrderLine(rest, self.shell, self.act, lambda work: None, lambda took: None, self._note)
        self.backfill = self
        self.bars = 0
        rest.on_note = self._note

    def _now(self) -> int:
        return self.desk.now

    def act(self) -> None:
        self.core.take_intents()

    def hear(self, text: Any) -> None:
        self.shell.on_message(text if isinstance(text, (str, bytes)) else b"")
        self.act()

    def _note(self, text: str) -> None:
        assert len(text) < 1000 and text.isprintable(), text[:200]
        self.notes.append(text)

    def failed(self, fetch: Fetch, now: int) -> None:
        """As the backfill."""

    def on_bars(self, fetch: Fetch, bars: dict[str, np.ndarray], now: int) -> None:
        assert all(rows.dtype == WARM_BAR and (rows["low"] >= 0).all() and (rows["high"] >= rows["low"]).all()
                   for rows in bars.values())
        self.bars += 1


async def read(bare: Bare, what: str) -> None:
    await bare.line.read(Read(what, protocol.read_of("quotes" if what == "bands" else what, [KEY]), bare.desk.now))


def typed(answer: Any, kind: int) -> None:
    verdict = protocol.verdict_of(kind, answer.status, answer.body)
    assert len(inputs.reply_record(1, kind, verdict, answer.status, answer.latency_ns)) and verdict.outcome in range(1, 6)
    assert answer.sim_time >= 0 and (answer.date is None or 0 < answer.date < 5e9)


async def _orders(bare: Bare) -> None:
    typed(await bare.rest.place(ORDER), INTENT_PLACE)


async def _modify(bare: Bare) -> None:
    typed(await bare.rest.modify(ORDER), INTENT_MODIFY)


async def _cancel(bare: Bare) -> None:
    typed(await bare.rest.cancel("B1"), INTENT_CANCEL)
    typed(await bare.rest.cancel_all(), INTENT_CANCEL)


async def _funds(bare: Bare) -> None:
    await read(bare, "funds")
    assert isinstance(funds_of(await bare.rest.funds()), int)


async def _book(bare: Bare) -> None:
    await read(bare, "book")
    assert all(isinstance(row, dict) for row in await bare.rest.book())


async def _positions(bare: Bare) -> None:
    await read(bare, "positions")


async def _quotes(bare: Bare) -> None:
    await read(bare, "quotes")
    await read(bare, "bands")
    quotes = await bare.rest.quotes([KEY])
    assert all(isinstance(q.get("last_price", 0.0), float) for q in quotes.values())


async def _minutes(bare: Bare) -> None:
    await bare._fetch(Fetch("minute", (KEY,), 29_803_425))


async def _candles(bare: Bare) -> None:
    await bare._fetch(Fetch("day", (KEY,)))
    candles.of_rows(await bare.rest.candles(KEY, DAY, DAY))


async def _timings(bare: Bare) -> None:
    hours, _ = calendar.hours_of(DAY, await bare.rest.timings(DAY))
    assert hours is None or hours.day == DAY


async def _doctor(bare: Bare) -> None:
    doctor = Doctor(Config(), bare.rest, None, "sim")
    for name, step in Checks(bare.rest, doctor.now, doctor.note).steps():
        if name in ("funds", "feed"):
            continue
        try:
            await step()
        except BrokerError as error:
            assert error.args
    assert all(check.said.isprintable() for check in doctor.checks)


async def _trades(bare: Bare) -> None:
    assert all(isinstance(t["quantity"], int) for t in await bare.rest.trades())
    await bare.rest.historical_trades(DAY, DAY)


async def _rest(bare: Bare) -> None:
    for call in (bare.rest.profile, bare.rest.static_ip, bare.rest.market_status, bare.rest.kill_switch, bare.rest.holidays,
                 lambda: bare.rest.brokerage(KEY, 1, "BUY", 1.0), lambda: bare.rest.margin([]), lambda: bare.rest.history("t"),
                 lambda: bare.rest.details("1"), lambda: bare.rest.switch_segment("NSE_EQ")):
        try:
            await call()
        except BrokerError:
            continue


async def _url(bare: Bare) -> None:
    assert (await bare.rest.socket_url("/v3/feed/market-data-feed/authorize")).startswith(("ws", "http"))


async def _token(bare: Bare) -> None:
    token = await consent.exchange(App("key", "demo"), "code", bare.rest.base)
    await consent.verified(token, bare.rest.base)


async def _file(bare: Bare) -> None:
    await master.fetch(DAY, bare.rest.base + "/NSE.json.gz", today=DAY)


Use = Callable[[Bare], Awaitable[None]]
CALLS: tuple[tuple[str, Use], ...] = (
    ("ids", _orders), ("id", _modify), ("id", _cancel), ("book", _book), ("book", _book), ("positions", _positions),
    ("funds", _funds), ("quotes", _quotes), ("minutes", _minutes), ("candles", _candles), ("timings", _timings),
    ("trades", _trades), ("url", _url), ("token", _token), ("file", _file), ("profile", _doctor), ("switch", _doctor),
    ("ip", _doctor),
    ("timings", _doctor), ("status", _rest), ("profile", _rest), ("holidays", _rest), ("charges", _rest), ("switch", _rest))


async def case(seed: int, bare: Bare, server: Wire) -> str:
    """One case; its kind. AssertionError, or whatever escapes, where a promise is broken."""
    draw = random.Random(seed)
    if draw.random() < 0.4:
        return _message(draw, bare)
    name, use = draw.choice(CALLS)
    document: Any = {"status": "success", "data": GOLDEN[name]}
    if name in ("token", "file") and draw.random() < 0.8:
        document = GOLDEN[name]
    is_mutated, is_spoiled, is_rough = draw.random() < 0.8, draw.random() < 0.25, draw.random() < 0.4
    text = written(mutate(document, draw) if is_mutated else document)
    body = spoiled(text, draw) if is_spoiled else text
    server.pieces = wire(gzip.compress(body, 1) if name == "file" and draw.random() < 0.8 else body, draw, is_rough)
    is_right = not (is_mutated or is_spoiled or is_rough or name in ("token", "file"))      # those two need more than one answer
    began, cpu = time.monotonic(), time.process_time()
    try:
        await asyncio.wait_for(use(bare), WALL_S)
    except (BrokerError, LoginError, master.MasterError) as error:
        assert str(error).isprintable() and len(str(error)) < 1000, str(error)[:200]
        assert not is_right, f"what is right was refused: {error}"
    spent = time.process_time() - cpu
    assert spent < CPU_S, f"{name} held the loop for {spent:.1f} of {time.monotonic() - began:.1f} s"
    assert not (is_right and bare.notes), bare.notes
    return name


def _message(draw: random.Random, bare: Bare) -> str:
    """A message of the order stream."""
    document = {"update_type": "order", "user_id": "AB1234"} | draw.choice(GOLDEN["book"])
    text = written(mutate(document, draw) if draw.random() < 0.9 else document)
    if draw.random() < 0.15:
        text = spoiled(text, draw)
    as_text = draw.random() < 0.8
    bare.hear(text.decode("utf-8", "surrogatepass" if draw.random() < 0.5 else "replace") if as_text and _is_text(text) else text)
    return "message"


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def good(bare: Bare) -> None:
    """The engine still takes what is right."""
    before, bare.shell.unread_at = bare.shell.unread, 1 << 62
    bare.hear(written({"update_type": "order"} | order_row(1)).decode())
    bare.hear("[]")
    assert bare.shell.unread == before + 1
    bare.desk.timer()


async def run(seed: int, count: int, folder: Path, say: Callable[[str], Any] = lambda text: None) -> Counter[str]:
    """`count` cases from `seed` on; raises RuntimeError with the seed of the first that breaks a promise."""
    seen: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Wire() as server:
        bare = None
        for number in range(seed, seed + count):
            if bare is None or number % 200 == 0:
                desk = Desk(folder / str(number))
                desk.tick(0)
                _, intents = desk.enter()
                desk.reply(intents[0])
                api = Api("demo", server.base, server.base)
                api._session = session(aiohttp.ClientTimeout(total=DRIP_S), aiohttp.TCPConnector(force_close=True))
                if bare is not None:
                    await bare.rest.close()
                bare = Bare(desk, api)
            try:
                seen[await case(number, bare, server)] += 1
                if number % 50 == 49:
                    good(bare)
            except Exception as error:
                raise RuntimeError(f"seed {number}: {type(error).__name__}: {str(error)[:300]}") from error
            seen["notes"] += len(bare.notes)
            bare.notes.clear()
            if number % 1000 == 999:
                say(f"{number + 1 - seed:,} cases")
        if bare is not None:
            await bare.rest.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > GROWTH_KB:
        raise RuntimeError(f"the memory grew by {grown / 1024:.0f} MB")
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="wrong answers of every call, by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        seen = asyncio.run(run(options.seed, options.count, Path(folder), lambda text: print(text, file=sys.stderr)))
    print(f"{options.count:,} cases, nothing broken: {dict(seen)}")


if __name__ == "__main__":
    main()
