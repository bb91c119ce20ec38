"""The UNIVERSE record: what the store writes to `symbols` and `symbol_update_log`."""
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.market.instruments import Instrument, sector_name
from engine.market.universe.changes import Change
from engine.market.universe.terms import ACTIVE, SUSPENDED, Contract, Stock, Universe, in_order

FOR_EVER = "2149-06-06"
"""The last day a ClickHouse Date can hold: valid until further notice."""


@dataclass(frozen=True)
class Today:
    """The universe of a day, what changed since the one before, and rows for the table `symbols`: each stock's terms with the days
    they were valid from and to (exclusive)."""
    universe: Universe
    changes: list[Change]
    rows: list[dict[str, Any]]

    def document(self, ranked: Universe | None = None) -> dict[str, Any]:
        """The UNIVERSE record: what the store writes to `symbols` and `symbol_update_log`, with the scores of `ranked`."""
        stocks = (ranked or self.universe).stocks
        rows = [row | {n: stocks[row["symbol"]].document()[n] for n in ("liquidity", "status", "reason")}
                if row["symbol"] in stocks and row["valid_to"] == FOR_EVER else row for row in self.rows]
        return {"day": self.universe.day.isoformat(), "rows": rows, "changes": [asdict(c) | {"blocking": c.is_blocking}
                                                                                      for c in self.changes]}


def left_behind(row: Mapping[str, Any]) -> Stock:
    """A stock that left, from its last row."""
    plain = {f.name: row[f.name] for f in fields(Stock) if f.name in row and f.name not in ("futures", "options", "liquidity")}
    return Stock(**plain, futures=())


def described(specs: Iterable[Instrument], day: dt.date) -> dict[str, Any]:
    """The UNIVERSE record of a market without an instrument file: the sim's, a recording's."""
    specs = list(specs)
    stocks: dict[str, Stock] = {}
    contracts: dict[str, list[Contract]] = defaultdict(list)
    for s in specs:
        if s.underlying:
            contracts[s.underlying].append(
                Contract(s.key, s.right or "FUT", s.expiry, s.strike, s.lot, s.tick, s.freeze, s.symbol))
    for s in specs:
        if s.kind == "equity":
            listed = in_order(contracts[s.key])
            futures = tuple(c for c in listed if c.type == "FUT")
            stocks[s.symbol] = Stock(
                s.symbol, s.symbol, s.key, s.key.partition("|")[2], s.tick, futures[0].lot if futures else s.lot, s.freeze,
                s.freeze, sector_name(s.symbol), s.is_cas, futures, tuple(c for c in listed if c.type != "FUT"),
                ACTIVE if s.tradable else SUSPENDED, "" if s.tradable else "watched, not traded", s.banned)
    rows = [s.document() | {"valid_from": day.isoformat(), "valid_to": FOR_EVER} for s in stocks.values()]
    return {"day": day.isoformat(), "rows": rows, "changes": []}
