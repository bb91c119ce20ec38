"""From a decision to its bytes at the socket, and what a frame with a candidate costs inside a market."""
import asyncio
import datetime as dt
import time

import aiohttp
import numpy as np

from _ext.core.records import CANDIDATE, INTENT, REC_ASK, REC_LINK, REC_REPLY, REC_TIMING, TIMING, Stream
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from bench.conftest import BUDGETS, note, percentiles
from engine.broker.upstox import protocol
from engine.broker.upstox.client import RestClient
from engine.config import Config
from engine.market import sessions
from engine.market.instruments import shipped
from engine.run.opening import Boot, begin
from engine.run.virtual import VirtualRun
from engine.sim.exchange import Exchange
from engine.sim.market import SyntheticMarket
from engine.sim.server import SimServer
from engine.trade import inputs
from engine.trade.outgoing import Outgoing
from engine.trade.tags import tag_of
from tests.trade.conftest import SPECS, Desk


def test_frames_with_a_candidate(tmp_path):
    """Decode, statistics, features, ONNX, validator, gate and records of every frame that made or decided a candidate."""
    day, specs = dt.date(2026, 9, 1), list(shipped()[:80])
    market = SyntheticMarket(specs, day, 9, spikes=4)
    market.minutes = 90
    core = Core(Journal(tmp_path, 64 << 20, 1 << 40), len(specs))
    first = sessions.epoch_ms(day) * 1_000_000
    begin(core, Config(), specs, day, market.history(), first, Boot("bench", 9, "9"), 100_000_000)
    for which in Stream:
        core.feed(REC_LINK, first, inputs.link_record(which, True))
    core.stamped = True
    VirtualRun(core, market.frames(), Exchange(specs, 100_000_000), "spk", "9").run()
    rows = np.concatenate([np.frombuffer(r[3], TIMING) for r in Reader(tmp_path) if r[0] == REC_TIMING])
    assert len(rows) > 200 and core.counts()["orders"] > 0 and (rows["scored"] > 0).any()
    scored = rows[rows["scored"] > 0]
    note("frame with a candidate, from receipt", "us", percentiles(scored["done"] / 1000),
         f"to decoded {np.median(scored['decoded']) / 1000:.1f}, to scored {np.median(scored['scored']) / 1000:.1f}; "
         "the model is cold, the generator runs in the same process")
    assert np.percentile(scored["done"], 99) < 30e6 / 10                # a tenth of the broker's round trip


def test_decision_to_socket():
    """RestClient against the sim over loopback, nine orders a second: until the request is with the socket."""
    day, specs = dt.date(2026, 9, 1), list(shipped()[:4])
    sent: list[int] = []

    async def work() -> list[float]:
        server = SimServer(SyntheticMarket(specs, day, 1), Exchange(specs, 10**12), 1.0)
        port = await server.start()
        client = RestClient("demo", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        trace = aiohttp.TraceConfig()

        async def on_sent(*_):
            sent.append(time.perf_counter_ns())

        trace.on_request_chunk_sent.append(on_sent)
        trace.freeze()
        await client.open()
        client._session._trace_configs.append(trace)
        intent = np.zeros(1, INTENT)[0]
        intent["id"], intent["kind"], intent["role"], intent["side"], intent["order_type"] = 1, 1, 1, 1, 1
        intent["quantity"], intent["price"] = 1, specs[0].price
        to_socket = []
        try:
            for n in range(150):
                await asyncio.sleep(0.11)
                began = time.perf_counter_ns()
                answer = await client.call(protocol.request_of(intent, specs[0].key, tag_of("spk", "b", n + 1, 1)))
                assert answer.status == 200, answer
                to_socket.append((sent[-1] - began) / 1000)
        finally:                                                        # an open server would keep the loop from closing
            await client.close()
            await server.stop()
        return to_socket

    import uvloop
    to_socket = uvloop.run(work())
    p = percentiles(to_socket[10:])
    note("decision -> order bytes at the socket, paced", "us", p,
         f"budget {BUDGETS['order']['target_p99_us']} us p99")
    assert len(sent) == 150 and 30_000 / p["p50"] >= BUDGETS["order"]["min_ratio_broker"]


def test_signal_to_acceptance(tmp_path):
    """From a validated signal to the order accepted by the sim, whose latency is drawn as the broker's (median 35 ms): sizing,
    gate, journal, queue, HTTP, the broker, and the answer back in the core. The seed asks for 500 ms."""
    import uvloop

    desk = Desk(tmp_path, minute=10, symbol_gap_s=0, symbol_per_minute=16, symbol_per_hour=16, orders_per_minute=500,
                orders_per_hour=2000,
                orders_per_day=2000, losing_streak=0, max_positions=64)
    ask = np.zeros(1, CANDIDATE)
    sent: list[int] = []

    async def work() -> tuple[list[float], list[float]]:
        server = SimServer(SyntheticMarket(SPECS, dt.date(2026, 9, 1), 1), Exchange(SPECS, 10**12), 1.0)
        port = await server.start()
        client = RestClient("demo", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        await client.open()
        trace = aiohttp.TraceConfig()

        async def on_sent(*_):
            sent.append(time.perf_counter_ns())

        trace.on_request_chunk_sent.append(on_sent)
        trace.freeze()
        client._session._trace_configs.append(trace)
        whole, ours, queue = [], [], Outgoing()
        try:
            for n in range(150):
                await asyncio.sleep(0.08)
                desk.now += 61 * 1_000_000_000
                inst = n % len(SPECS)
                desk.tick(inst)
                ask["id"], ask["inst"], ask["side"] = n + 1, inst, 1
                began = time.perf_counter_ns()
                desk.core.feed(REC_ASK, desk.now, ask.tobytes())
                for intent in desk.core.take_intents():
                    queue.push(intent, desk.now)
                (intent,), _ = queue.take(desk.now)
                request = protocol.request_of(intent, SPECS[inst].key, tag_of("spk", "b", int(intent["id"]), 1))
                answer = await client.call(request)
                back = time.perf_counter_ns()
                assert answer.status == 200, answer
                body = answer.body | {"data": {"order_ids": [f"B{intent['id']}"]}}      # the desk's name for it
                verdict = protocol.verdict_of(1, answer.status, body)
                record = inputs.reply_record(int(intent["id"]), 1, verdict, answer.status, answer.latency_ns)
                desk.core.feed(REC_REPLY, desk.now, record)
                whole.append((time.perf_counter_ns() - began) / 1e6)
                ours.append((sent[-1] - began + time.perf_counter_ns() - back) / 1000)
                desk.update(intent, 4)                                      # cancelled: the name is free again
        finally:
            await client.close()
            await server.stop()
        return whole, ours

    whole, ours = uvloop.run(work())
    assert desk.core.counts()["orders"] == 150
    p = percentiles(whole[5:])
    note("signal -> order accepted, with the broker's latency", "ms", p, "the seed's bar: 500 ms at p99")
    note("the same, our share: signal to socket, answer to core", "us", percentiles(ours[5:]),
         f"budget {BUDGETS['order']['target_p99_us']} us p99")
    assert p["p99"] < BUDGETS["order"]["max_accepted_ms"]
