"""From a decision to its bytes at the socket, and what a frame with a candidate costs inside a market."""
import asyncio
import datetime as dt
import time

import aiohttp
import numpy as np

from _ext.core.records import INTENT, TIMING
from _ext.trail.journal import Journal, Reader
from _ext.wiring import Core
from bench.conftest import BUDGETS, note, percentiles
from engine.config import Config
from engine.market import sessions
from engine.market.instruments import shipped
from engine.sim.exchange import Exchange
from engine.sim.market import SyntheticMarket
from engine.sim.server import SimServer
from engine.sim.virtual import VirtualRun
from engine.trade import protocol
from engine.trade.broker import RestClient
from engine.wiring import Boot, begin, link


def test_frames_with_a_candidate(tmp_path):
    """Decode, statistics, features, ONNX, validator, gate and records of every frame that made or decided a candidate."""
    day, specs = dt.date(2026, 9, 1), list(shipped()[:80])
    market = SyntheticMarket(specs, day, 9, spikes=4)
    market.minutes = 90
    core = Core(Journal(tmp_path, 64 << 20, 1 << 40), len(specs))
    first = sessions.epoch_ms(day) * 1_000_000
    begin(core, Config(), specs, day, market.history(), first, Boot("bench", 9, "9"), 100_000_000)
    core.feed(7, first, link(0, True))
    core.feed(7, first, link(1, True))
    core.stamped = True
    VirtualRun(core, market.frames(), Exchange(specs, 100_000_000), "spk", "9").run()
    rows = np.concatenate([np.frombuffer(r[3], TIMING) for r in Reader(tmp_path) if r[0] == 128])
    assert len(rows) > 200 and core.counts()["orders"] > 0 and (rows["scored"] > 0).any()
    scored = rows[rows["scored"] > 0]
    note("frame with a candidate, from receipt", "us", percentiles(scored["done"] / 1000),
         f"to decoded {np.median(scored['decoded']) / 1000:.1f}, to scored {np.median(scored['scored']) / 1000:.1f}; "
         "the model is cold, the generator runs in the same process")
    assert np.percentile(scored["done"], 99) < 30e6 / 10                # a tenth of the broker's round trip


def test_decision_to_socket():
    """RestClient against the sim over loopback, an order every 20 ms: until the request is with the socket, and until answered."""
    day, specs = dt.date(2026, 9, 1), list(shipped()[:4])
    sent: list[int] = []

    async def work() -> tuple[list[float], list[float]]:
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
        to_socket, answered = [], []
        for n in range(400):
            await asyncio.sleep(0.02)
            began = time.perf_counter_ns()
            answer = await client.call(protocol.request_of(intent, specs[0].key, protocol.tag_of("spk", "b", n + 1, 1)))
            assert answer.status == 200, answer
            to_socket.append((sent[-1] - began) / 1000)
            answered.append((time.perf_counter_ns() - began) / 1000)
        await client.close()
        await server.stop()
        return to_socket, answered

    import uvloop
    to_socket, answered = uvloop.run(work())
    p = percentiles(to_socket[20:])
    note("decision -> order bytes at the socket, paced", "us", p,
         f"budget {BUDGETS['order']['target_p99_us']} us p99; answered by the sim here p50 {np.median(answered):,.0f} us")
    assert len(sent) == 400 and 30_000 / p["p50"] >= BUDGETS["order"]["min_ratio_broker"]
