"""The rows through raptorbt: `on_raptorbt.py rows.npz bars|ticks`. One line of JSON: what came of it, and the processor time of its
parts.

`bars`: its array path, one-minute bars made of the rows, signals worked out beforehand, a run for each name and direction. `ticks`:
its `Strategy` class, called when a bar of the tick stream has closed, one account.
"""
import json
import os
import sys
import time

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"        # it asks its registry for a newer version otherwise
import numpy as np
import raptorbt

FAST, SLOW, STAKE, MINUTE = 9, 21, 50_000, "m"


def means_of(close):
    return raptorbt.sma(close, FAST) - raptorbt.sma(close, SLOW)


class Cross(raptorbt.Strategy):
    def on_start(self, ctx):
        self.closes, self.orders = {}, 0

    def on_bar(self, ctx):
        kept = self.closes.setdefault(ctx.symbol, [])
        kept.append(ctx.bar.close)
        if len(kept) <= SLOW or ctx.symbol.startswith("NIFTY"):
            return
        close = list(kept)[-SLOW - 1:]
        now = sum(close[-FAST:]) / FAST - sum(close[1:]) / SLOW
        before = sum(close[-FAST - 1:-1]) / FAST - sum(close[:-1]) / SLOW
        if now * before >= 0:
            return
        self.orders += 1
        if ctx.position is not None:
            self.close_position()
        elif now > 0:
            self.enter_long(size_frac=0.05)
        else:
            self.enter_short(size_frac=0.05)


def names_of(rows):
    """Name, and its rows."""
    for number, symbol in enumerate(rows["symbols"]):
        at = np.flatnonzero(rows["inst"] == number)
        if len(at):
            yield str(symbol), at, bool(rows["is_index"][number])


def bars(rows):
    """Long at a cross upwards until the next, short the other way round: a run has one direction. Signals are known before."""
    config = raptorbt.BacktestConfig(initial_capital=1_000_000, fees=0.0003)
    trades = 0
    for symbol, at, is_index in names_of(rows):
        volume = rows["volume"][at]
        made = raptorbt.bars_from_ticks(rows["ns"][at], rows["last"][at], volume, np.zeros(len(at)), 1, MINUTE)
        ns, opens, high, low, close, size = (np.ascontiguousarray(column) for column in made[:6])
        if is_index or len(close) <= SLOW:
            continue
        gap = means_of(close)
        crossed = np.zeros(len(gap), bool)
        crossed[1:] = gap[1:] * gap[:-1] < 0
        for direction, enters in ((1, crossed & (gap > 0)), (-1, crossed & (gap < 0))):
            result = raptorbt.run_single_backtest(ns, opens, high, low, close, size, enters, crossed & ~enters, direction, 1.0,
                                                  symbol, config)
            trades += len(result.trades())
    return {"trades": trades}


def ticks(rows):
    data = {symbol: {"timestamps": rows["ns"][at], "ltp": rows["last"][at], "bid": rows["bid"][at], "ask": rows["ask"][at],
                     "buy_qty_delta": rows["volume"][at], "ltq": rows["volume"][at]} for symbol, at, _ in names_of(rows)}
    strategy = Cross()
    result = raptorbt.run_tick_strategy(strategy, data, raptorbt.BacktestConfig(initial_capital=1_000_000, fees=0.0003),
                                        primary_bars=(1, MINUTE), account_type="margin", leverage=5)
    return {"orders": strategy.orders, "trades": len(result.result.trades())}


def main(path, mode):
    began = time.process_time()
    rows = dict(np.load(path))
    prepared = time.process_time()
    found = {"bars": bars, "ticks": ticks}[mode](rows)
    print(json.dumps({"events": len(rows["ns"]), **found, "prepare_s": prepared - began, "run_s": time.process_time() - prepared}))


main(*sys.argv[1:])
