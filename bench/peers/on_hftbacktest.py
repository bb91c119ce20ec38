"""The rows through hftbacktest: `on_hftbacktest.py rows.npz`. One line of JSON: what came of it, and the processor time of
its parts.

A row is a depth event for each side (two where its best price moved: the old level goes, the new one comes) and a trade event where
volume was traded. Strategy and loop are compiled by numba in every process; compiled machine code is not kept (`cache=True` cannot
be used with its pointers), so the empty run compiles too.
"""
import json
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

FAST, SLOW, STAKE = 9, 21, 50_000
ONE_WAY_NS, MINUTE = 17_500_000, 60_000_000_000
BOTH = EXCH_EVENT | LOCAL_EVENT


def events_of(rows, at):
    """The rows of one name as hftbacktest takes them: at most five events each, those that are none left out."""
    out = np.zeros((len(at), 5), event_dtype)
    out["exch_ts"] = out["local_ts"] = rows["ns"][at][:, None]
    for place, (side, name) in enumerate(((BUY_EVENT, "bid"), (SELL_EVENT, "ask"))):
        price = rows[name][at]
        moved = np.flatnonzero(np.diff(price)) + 1
        out["ev"][moved, 2 * place], out["px"][moved, 2 * place] = DEPTH_EVENT | BOTH | side, price[moved - 1]
        new = out[:, 2 * place + 1]
        new["ev"], new["px"], new["qty"] = DEPTH_EVENT | BOTH | side, price, rows["size"][at]
    traded = np.flatnonzero(rows["volume"][at] > 0)
    out["ev"][traded, 4] = TRADE_EVENT | BOTH | BUY_EVENT
    out["px"][traded, 4], out["qty"][traded, 4] = rows["last"][at][traded], rows["volume"][at][traded]
    return out[out["ev"] > 0]


@njit
def trade(hbt, closes, may_trade, minutes):
    """One look a minute, as a bar closes; orders sent."""
    count, orders = len(may_trade), 0
    for minute in range(minutes):
        if hbt.elapse(MINUTE) != 0:
            break
        for asset in range(count):
            depth = hbt.depth(asset)
            closes[asset, minute] = (depth.best_bid + depth.best_ask) / 2
            if not may_trade[asset] or minute < SLOW or np.isnan(closes[asset, minute - SLOW]):
                continue
            close = closes[asset, :minute + 1]
            now = close[-FAST:].mean() - close[-SLOW:].mean()
            before = close[-FAST - 1:-1].mean() - close[-SLOW - 1:-1].mean()
            if now * before >= 0:
                continue
            hbt.clear_inactive_orders(asset)
            held = hbt.position(asset)
            number = abs(held) if held != 0 else np.floor(STAKE / close[-1])
            if number == 0:
                continue
            orders += 1
            if held < 0 or (held == 0 and now > 0):
                hbt.submit_buy_order(asset, orders, depth.best_ask, number, GTC, MARKET, False)
            else:
                hbt.submit_sell_order(asset, orders, depth.best_bid, number, GTC, MARKET, False)
    return orders


def main(path):
    began = time.process_time()
    rows = dict(np.load(path))
    assets, feeds, who = [], [], []             # feeds are looked at where they lie: they must live as long as the run
    for number, step in enumerate(rows["steps"]):
        at = np.flatnonzero(rows["inst"] == number)
        if len(at):
            who.append(number)
            feeds.append(events_of(rows, at))
            assets.append(BacktestAsset().data(feeds[-1]).linear_asset(1.0).constant_order_latency(ONE_WAY_NS, ONE_WAY_NS)
                          .risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0003, 0.0003)
                          .tick_size(step).lot_size(1.0))
    hbt = HashMapMarketDepthBacktest(assets)
    prepared = time.process_time()
    minutes = int((rows["ns"][-1] - rows["ns"][0]) // MINUTE) + 1
    orders = trade(hbt, np.full((len(assets), minutes), np.nan), ~rows["is_index"][who], minutes)
    done = time.process_time()
    fills = sum(hbt.state_values(asset).num_trades for asset in range(len(assets)))
    hbt.close()
    print(json.dumps({"events": sum(map(len, feeds)), "orders": orders, "trades": int(fills) // 2, "prepare_s": prepared - began,
                      "run_s": done - prepared}))


main(*sys.argv[1:])
