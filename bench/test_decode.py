"""Decoding the recorded frames in a compiled loop, beside upb with the same reads and the SDK's way."""
import numpy as np

from _ext.core.keys import KeyTable
from _ext.feed.wire import Decoder
from bench.conftest import BUDGETS, best_of, note, percentiles, sampled
from tests.reference import upb


def read_all(frame: bytes) -> tuple[int, int, int]:
    """upb and every field the decoder reads; (updates, sum of ltp, sum of best bids) to check the answer."""
    response = upb.message("FeedResponse").FromString(frame)
    updates = ltps = bids = 0
    for feed in response.feeds.values():
        market = feed.fullFeed.marketFF
        ltpc = market.ltpc
        _ = (ltpc.ltt, ltpc.ltq, ltpc.cp, market.vtt, market.atp, market.oi, market.iv, market.tbq, market.tsq)
        levels = [(q.bidQ, q.bidP, q.askQ, q.askP) for q in market.marketLevel.bidAskQuote]
        greeks = market.optionGreeks
        _ = (greeks.delta, greeks.theta, greeks.gamma, greeks.vega, greeks.rho)
        for candle in market.marketOHLC.ohlc:
            _ = (candle.interval, candle.open, candle.high, candle.low, candle.close, candle.vol, candle.ts)
        updates += 1
        ltps += round(ltpc.ltp * 100)
        bids += round(levels[0][1] * 100) if levels else 0
    return updates, ltps, bids


def test_decode(benchmark, frames):
    from google.protobuf import json_format

    data, keys = frames
    table = KeyTable(64)
    for key in keys:
        table.add(key)
    decoder = Decoder(table, 64)
    decoder.keep_keys = False
    packed = np.frombuffer(b"".join(data), np.uint8)
    offsets = np.cumsum([0] + [len(f) for f in data])
    want = np.sum([read_all(f) for f in data[:4000]], axis=0)
    assert decoder.decode_packed(packed, offsets[:4001])[1:] == tuple(want)
    updates = decoder.decode_packed(packed, offsets)[1]
    benchmark.pedantic(decoder.decode_packed, (packed, offsets), rounds=15, warmup_rounds=2)
    few, fewer = (int(sum(read_all(f)[0] for f in data[:n])) for n in (2000, 400))
    parse = upb.message("FeedResponse").FromString
    rounds = []
    for _ in range(4):                                     # one after the other, each time: a neighbour's burst meets all three
        rounds.append((best_of(lambda: decoder.decode_packed(packed, offsets), 3)[0] / updates,
                       best_of(lambda: [read_all(f) for f in data[:2000]], 1)[0] / few,
                       best_of(lambda: [json_format.MessageToDict(parse(f)) for f in data[:400]], 1)[0] / max(fewer, 1)))
    ours, by_upb, by_dict = (min(each) for each in zip(*rounds, strict=True))
    samples = sampled(lambda i, j: decoder.decode_packed(packed, offsets[i:j + 1]), 0, 30_000)
    note("decode one update", "ns", {"best": ours * 1e9, **percentiles(samples)},
         f"upb + reads x{by_upb / ours:.0f}, MessageToDict x{by_dict / ours:.0f}, budget {BUDGETS['decode']['target_ns']} ns")
    assert by_upb / ours >= BUDGETS["decode"]["min_ratio_upb"]
    assert by_dict / ours >= BUDGETS["decode"]["min_ratio_dict"]
