"""The sim's clock: at the pace asked, never beyond the market that has been made; a client of REST alone sees time pass."""
import asyncio
import datetime as dt
import time

import numpy as np
import pytest

from engine.broker.base import Request
from engine.broker.upstox.api import Api
from engine.feed import HAS_FULL, HAS_LTPC, TICK_DTYPE, encode
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms
from engine.run.clock import Clock
from engine.sim import player
from engine.sim.exchange import Exchange
from engine.sim.pace import GRACE_S, Lateness, Pace, words
from engine.sim.player import Ahead, FeedSocket, head_of
from engine.sim.server import SimServer
from engine.watch.view import speeds

DAY = dt.date(2026, 9, 1)
SPEC = Instrument("NSE_EQ|A", "RELIANCE", tick=10, price=100_000)
SECOND = 1_000_000_000


class SlowMarket:
    """One update a market second, each of which takes `takes` seconds of wall time to make. Notes how far it has got."""

    def __init__(self, seconds: int, takes: float):
        self.specs, self.day, self.seconds, self.takes = [SPEC], DAY, seconds, takes
        self.made = epoch_ms(DAY) * 1_000_000

    def history(self):
        raise NotImplementedError

    def frames(self):
        for second in range(1, self.seconds + 1):
            time.sleep(self.takes)
            at = epoch_ms(DAY) + 1000 * second
            row = np.zeros(1, TICK_DTYPE)
            row["key"], row["key_len"], row["mode"], row["has"] = SPEC.key.encode(), len(SPEC.key), 1, HAS_LTPC | HAS_FULL
            row["ltp"], row["ltt"], row["vtt"] = 100_000 + second, at, second
            self.made = at * 1_000_000
            yield at, row, encode(row, at)


class Wall:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_runs_at_its_speed_and_stops_where_the_market_does():
    wall = Wall()
    pace = Pace(50.0, 1000 * SECOND, wall)
    assert pace.now() == 1000 * SECOND
    wall.now += 7
    assert pace.now() == 1000 * SECOND                     # nobody has looked yet
    pace.start()
    pace.allow(1100 * SECOND)
    wall.now += 1
    assert pace.now() == 1050 * SECOND
    wall.now += 3                                          # 200 s are asked, 100 s of market are there
    assert pace.now() == 1100 * SECOND
    pace.sent(1100 * SECOND, 10)
    assert pace.due() == 1100 * SECOND + round(GRACE_S * 50 * SECOND)
    assert pace.document()["stops"] == 1 and pace.document()["lost"] == round(2 - GRACE_S, 1)
    pace.allow(None)
    wall.now += 1
    assert pace.now() == 1150 * SECOND + round(GRACE_S * 50 * SECOND)       # after the market's end nothing holds it
    assert pace.document()["reached_in_all"] == 25.0       # 100 s in the four it took


def test_a_hold_up_within_the_grace_is_caught_up_with():
    wall = Wall()
    pace = Pace(10.0, 0, wall)
    pace.start()
    for second in range(1, 101):
        pace.allow(second * SECOND)
        wall.now = 100 + second / 10 + (0.04 if second % 7 == 0 else 0.0)
        pace.sent(second * SECOND, 1)
    document = pace.document()
    assert document["stops"] == 0 and document["lost"] == 0 and pace.look() == pytest.approx(10.0)
    assert document["late_ms"]["max"] == pytest.approx(40, abs=0.01) and 36 < document["late_ms"]["p99"] <= 44


def test_lateness_is_counted_by_frames_and_in_bounds():
    late = Lateness()
    late.add(0.001, 990)
    late.add(0.030, 9)
    late.add(500.0, 1)
    assert late.document()["frames"] == 1000 and late.document()["max"] == 500_000
    assert 1.0 <= late.ms(0.5) <= 1.1 and 1.0 <= late.ms(0.99) <= 1.1 and 30 <= late.ms(0.999) <= 33
    assert Lateness().document() == {"frames": 0, "p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}


def test_what_is_said_of_the_speed():
    assert speeds(50.0, 31.2) == "x50 asked, x31 reached" and speeds(50.0, 49.2) == "x50" and speeds(10, 0.0) == "x10"
    pace = Pace(50.0, 0, Wall())
    pace.start()
    pace.allow(None)
    assert words(pace.document()).startswith("x50 asked, x0 reached; 0 frames")


def lone(server: SimServer, work) -> None:
    """Runs `work(server, api)` beside a started server."""
    async def life() -> None:
        port = await server.start()
        api = Api("demo", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        try:
            await work(server, api)
        finally:
            await api.close()
            await server.stop()
    asyncio.run(life())


def test_a_slow_market_makes_the_day_slower_and_nobody_sees_what_is_not_made():
    market = SlowMarket(60, 0.01)                          # x100 at best, x400 is asked

    async def work(server: SimServer, api: Api) -> None:
        await api.quotes([SPEC.key])
        seen = []
        while not server.finished.is_set():
            answer = await api.call(Request("GET", "/v2/user/profile"))
            if market.made >= (epoch_ms(DAY) + 60_000) * 1_000_000:        # it has ended: the clock is free
                break
            assert answer.sim_time <= market.made
            seen.append(answer.sim_time)
        assert seen == sorted(seen) and len(set(seen)) > 3
        document = server.pace.document()
        assert document["asked"] == 400 and 0 < document["reached_in_all"] < 110 and document["stops"] > 3

    lone(SimServer(market, Exchange([SPEC], 10**9), 400.0), work)


@pytest.mark.parametrize("call", [
    Request("GET", "/v3/market-quote/ltp", params={"instrument_key": SPEC.key}),
    Request("GET", "/v2/market/status/NSE"),
    Request("POST", "/v3/order/place", {
        "quantity": 1, "product": "I", "validity": "DAY", "price": 900.0, "instrument_token": SPEC.key, "order_type": "LIMIT",
        "transaction_type": "BUY", "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False})])
def test_time_passes_for_a_client_of_rest_alone(call):
    """It begins with a look at prices or an order, and not with what a client reads before it is ready."""
    async def work(server: SimServer, api: Api) -> None:
        for path in ("/v3/user/get-funds-and-margin", "/v2/order/retrieve-all", "/sim/instruments",
                     "/v3/feed/market-data-feed/authorize"):
            await api.call(Request("GET", path))
        await asyncio.sleep(0.05)
        first = (await api.call(Request("GET", "/sim/clock"))).sim_time
        assert first == epoch_ms(DAY) * 1_000_000
        stranger = Api("demo", api.base, api.base)
        stranger._headers["Authorization"] = "Bearer other"
        assert (await stranger.call(call)).status == 401 and not server.has_begun
        await stranger.close()
        assert (await api.call(call)).status == 200
        await asyncio.sleep(0.3)
        then = (await api.call(Request("GET", "/sim/clock"))).sim_time
        assert 5 < (then - first) / 1e9 < 200 and server.exchange.last(SPEC.key) > 100_000

    lone(SimServer(SlowMarket(600, 0.0), Exchange([SPEC], 10**9), 50.0), work)


def test_a_market_that_breaks_off_is_told():
    class Broken(SlowMarket):
        def frames(self):
            yield from super().frames()
            raise ValueError("no more")

    async def work(server: SimServer, api: Api) -> None:
        server.begin()
        await asyncio.wait_for(server.finished.wait(), 10)
        assert isinstance(server.failure, ValueError)

    lone(SimServer(Broken(3, 0.0), Exchange([SPEC], 10**9), 50.0), work)


def test_no_more_than_a_minute_is_made_ahead(monkeypatch):
    market = SlowMarket(3600, 0.0)
    ahead = Ahead(market.frames())
    end = time.monotonic() + 5
    while len(ahead.made) < 65 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(ahead.made) == 66                           # 65 s and the one that reached them
    assert [at for at, _, _ in ahead.due((epoch_ms(DAY) + 3500) * 1_000_000)] == [epoch_ms(DAY) + 1000 * s for s in (1, 2, 3)]
    ahead.is_stopped = True


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_heads_of_websocket_frames_are_those_of_the_library(size):
    from websocket import ABNF  # websocket-client, what the SDK uses

    frame = ABNF(1, 0, 0, 0, ABNF.OPCODE_BINARY, 0, b"x" * size)
    assert frame.format() == head_of(size) + b"x" * size


class Stuck:
    """A transport whose peer reads nothing, or `rate` bytes a look."""

    def __init__(self, left: int, rate: int):
        self.left, self.rate, self.is_gone = left, rate, False

    def get_extra_info(self, name):
        return None

    def get_write_buffer_size(self) -> int:
        self.left -= self.rate
        return max(self.left, 0)

    def is_closing(self) -> bool:
        return self.is_gone

    def abort(self) -> None:
        self.is_gone = True


def test_a_client_that_reads_nothing_is_cut_off_and_a_slow_one_is_waited_for(monkeypatch):
    monkeypatch.setattr(player, "PATIENCE_S", 0.05)
    for rate, gone in ((0, True), (3000, False)):
        transport = Stuck(300_000, rate)
        asyncio.run(FeedSocket(None, transport).drained())
        assert transport.is_gone is gone


def test_the_engines_clock_does_not_run_ahead_of_a_slow_sim(monkeypatch):
    wall = [0]
    monkeypatch.setattr("engine.run.clock.time.monotonic_ns", lambda: wall[0])
    clock = Clock(True, 50.0)
    assert clock.now() == 0
    told = 1000 * SECOND
    clock.on_time(told)
    for _ in range(100):                                   # asked x50, reached x10: 20 ms bring 0.2 s
        wall[0] += SECOND // 50
        assert told <= clock.now() <= told + SECOND // 50
        told += SECOND // 5
        clock.on_time(told)
        assert clock.now() == told
    wall[0] += SECOND // 3                                 # a hold-up of a third of a second is no stall of three
    assert clock.now() - told == SECOND // 3
    clock.on_time(told + SECOND // 10)                        # what is slower than the wall makes nothing go back
    assert clock.now() - told == SECOND // 3
    clock.on_time(told - SECOND)
    assert clock.now() - told == SECOND // 3


def test_the_engines_clock_stands_while_the_sim_says_that_its_own_does(monkeypatch):
    wall = [0]
    monkeypatch.setattr("engine.run.clock.time.monotonic_ns", lambda: wall[0])
    clock = Clock(True, 50.0)
    clock.on_time(1000 * SECOND)
    for _ in range(200):                                   # ten seconds in which the sim's machine makes nothing
        wall[0] += SECOND // 20
        assert clock.now() - 1000 * SECOND == SECOND // 20
        clock.on_time(1000 * SECOND, is_standing=True)
    wall[0] += 10 * SECOND                                 # nothing is heard any more: time passes, or nothing would be tried again
    assert clock.now() - 1000 * SECOND == 10 * SECOND
    assert Clock(False, 1.0).now() > 1_700_000_000 * SECOND


class Deaf:
    """A web socket whose client reads nothing."""
    async def send_str(self, text: str) -> None:
        await asyncio.sleep(60)


def test_a_client_of_the_order_stream_that_reads_nothing_holds_up_nobody(monkeypatch):
    monkeypatch.setattr("engine.sim.server.PATIENCE_S", 0.05)
    said: list[str] = []

    class Hearing(Deaf):
        async def send_str(self, text: str) -> None:
            said.append(text)

    async def work(server: SimServer, api: Api) -> None:
        transport = Stuck(0, 0)
        server.portfolios = {Deaf(): transport, Hearing(): None}
        await server._broadcast("one")
        await server._broadcast("two")
        assert transport.is_gone and said == ["one", "two"] and len(server.portfolios) == 1

    lone(SimServer(SlowMarket(1, 0.0), Exchange([SPEC], 10**9), 50.0), work)
