"""The rows through nautilus_trader: `on_nautilus.py rows.npz quotes|trades|idle`. One line of JSON: what came of it, and the
processor time of its parts.

`quotes`: a QuoteTick a row, bars of the middle price. `trades`: and a TradeTick where volume was traded, bars of the last price.
`idle`: as `quotes`, and the strategy does nothing at a bar.
"""
import gc
import json
import sys
import time
from collections import deque
from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import INR
from nautilus_trader.model.data import BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

FAST, SLOW, STAKE = 9, 21, 50_000
ONE_WAY_NS = 17_500_000


class Cross(Strategy):
    def __init__(self, equities, price):
        super().__init__()
        self.equities, self.price = {equity.id: equity for equity in equities}, price
        self.closes = {name: deque(maxlen=SLOW + 1) for name in self.equities}

    def on_start(self):
        for name in self.equities:
            self.subscribe_bars(BarType.from_str(f"{name}-1-MINUTE-{self.price}-INTERNAL"))

    def on_bar(self, bar):
        name = bar.bar_type.instrument_id
        kept = self.closes[name]
        kept.append(bar.close.as_double())
        if len(kept) <= SLOW:
            return
        close = list(kept)[-SLOW - 1:]
        now = sum(close[-FAST:]) / FAST - sum(close[1:]) / SLOW
        before = sum(close[-FAST - 1:-1]) / FAST - sum(close[:-1]) / SLOW
        if now * before >= 0:
            return
        if not self.portfolio.is_flat(name):
            self.close_all_positions(name)
        elif (count := int(STAKE / close[-1])) > 0:
            side = OrderSide.BUY if now > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(name, side, Quantity.from_int(count)))


class Idle(Cross):
    def on_bar(self, bar):
        pass


def quotes_of(equity, rows, at):
    ns = rows["ns"][at].astype(np.uint64)
    return QuoteTick.from_raw_arrays_to_list(equity.id, 2, 0, rows["bid"][at], rows["ask"][at], rows["size"][at],
                                             rows["size"][at], ns, ns)


def trades_of(equity, rows, at):
    at = at[rows["volume"][at] > 0]
    if not len(at):
        return []
    ns, last = rows["ns"][at].astype(np.uint64), rows["last"][at]
    # 1: a buyer began it, 2: a seller; the rows do not say who
    sides = np.where(np.diff(last, prepend=last[0]) >= 0, 1, 2).astype(np.uint8)
    return TradeTick.from_raw_arrays_to_list(equity.id, 2, 0, last, rows["volume"][at], sides, [str(row) for row in at], ns, ns)


def main(path, mode):
    began = time.process_time()
    gc.disable()                       # the objects made here live until the end; looking at them again and again costs 15 %
    rows = dict(np.load(path))
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    venue = Venue("NSE")
    engine.add_venue(venue, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, INR)], INR, default_leverage=Decimal(5),
                     latency_model=LatencyModel(ONE_WAY_NS))
    equities = [Equity(InstrumentId(Symbol(str(name)), venue), Symbol(str(name)), INR, 2, Price(step, 2), Quantity.from_int(1), 0,
                       0, taker_fee=Decimal("0.0003")) for name, step in zip(rows["symbols"], rows["steps"], strict=True)]
    events = 0
    for number, equity in enumerate(equities):
        engine.add_instrument(equity)
        at = np.flatnonzero(rows["inst"] == number)
        for data in (quotes_of(equity, rows, at), trades_of(equity, rows, at) if mode == "trades" else []):
            events += len(data)
            if data:
                engine.add_data(data, sort=False)
    engine.sort_data()
    stocks = [equity for equity, is_index in zip(equities, rows["is_index"], strict=True) if not is_index]
    strategy = (Idle if mode == "idle" else Cross)(stocks, "LAST" if mode == "trades" else "MID")
    engine.add_strategy(strategy)
    prepared = time.process_time()
    engine.run()
    done = time.process_time()
    cache = engine.kernel.cache
    print(json.dumps({"events": events, "orders": cache.orders_total_count(),
                      "trades": cache.positions_closed_count() + len(cache.position_snapshots()),
                      "prepare_s": prepared - began, "run_s": done - prepared}))


main(*sys.argv[1:])
