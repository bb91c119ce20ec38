"""The stocks of a day with their futures and options, as the instrument file has them, and who may be traded.

A stock belongs when the instrument file has futures and options on it. ACTIVE: tradable; INACTIVE: it has left F&O; SUSPENDED: its
lot, tick, freeze quantity or an expiry changed and nobody has acknowledged that yet, or its price jumped overnight without a
known reason. Prices in paise, expiries as dates.
"""
import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from engine.market.instruments import EXCLUDED, Instrument, sector_name

ACTIVE, INACTIVE, SUSPENDED = "ACTIVE", "INACTIVE", "SUSPENDED"


@dataclass(frozen=True, slots=True)
class Share:
    """One share of the cash market, as the instrument file has it."""
    key: str
    symbol: str
    name: str
    isin: str
    tick: int                # paise
    freeze: int
    series: str              # why it is no ordinary share (BE, ...); empty where it is one
    is_cas: bool


@dataclass(frozen=True, slots=True)
class Contract:
    """One future or option, as the instrument file has it."""
    key: str
    type: str                # FUT, CE, PE
    expiry: str              # YYYY-MM-DD
    strike: int              # paise; 0 of a future
    lot: int
    tick: int                # paise
    freeze: int
    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A contract with what it is on."""
    underlying: str          # key
    symbol: str              # of the underlying
    is_index: bool
    last_day: dt.date
    contract: Contract


@dataclass(frozen=True, slots=True)
class Listing:
    """What a broker's instrument file says of one day; its own folder reads it."""
    shares: Mapping[str, Share]          # by key
    contracts: Sequence[Listed]


@dataclass(frozen=True, slots=True)
class Stock:
    """One F&O stock on one day. `lot` and `freeze` are its nearest future's, `equity_freeze` the share's own."""
    symbol: str
    name: str
    key: str
    isin: str
    tick: int
    lot: int
    freeze: int
    equity_freeze: int
    sector: str
    is_cas: bool
    futures: tuple[Contract, ...]
    options: tuple[Contract, ...] = field(repr=False, default=())
    status: str = ACTIVE
    reason: str = ""         # why it is not ACTIVE
    banned: int = -1         # in the F&O ban period: 1; -1: not known
    liquidity: float = math.nan   # 0..1, see `liquidity`

    def document(self) -> dict[str, Any]:
        """For --json and the table `symbols`; options by count and expiry."""
        chain: dict[str, int] = defaultdict(int)
        for option in self.options:
            chain[option.expiry] += 1
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("futures", "options", "liquidity")}
        return plain | {"liquidity": None if math.isnan(self.liquidity) else round(self.liquidity, 4),
                        "futures": [asdict(c) for c in self.futures], "options": dict(sorted(chain.items()))}


@dataclass(frozen=True)
class Universe:
    """The F&O stocks of `day` by symbol, and the indices that were left out."""
    day: dt.date
    stocks: dict[str, Stock]
    indices: dict[str, str]      # symbol -> key

    def document(self) -> dict[str, Any]:
        states = [s.status for s in self.stocks.values()]
        return {"day": self.day.isoformat(), "counts": {
            "stocks": len(self.stocks) - states.count(INACTIVE), "indices": len(self.indices),
            "futures": sum(len(s.futures) for s in self.stocks.values()),
            "options": sum(len(s.options) for s in self.stocks.values()), **{name: states.count(name) for name in (
                ACTIVE, INACTIVE, SUSPENDED)}},
            "indices": self.indices, "stocks": [s.document() for s in self.stocks.values()]}

    def specs(self, futures: bool = False, options: int = 0, prices: Mapping[str, int] | None = None) -> list[Instrument]:
        """What the engine is told of: every stock, with its next contract where wanted, and `options` calls and puts of its next
        expiry nearest to its price (`prices`: key -> paise), for the volatility at the money. Who is not ACTIVE is watched."""
        out = [Instrument(s.key, s.symbol, "equity", s.tick, 1, s.equity_freeze, tradable=s.status == ACTIVE, is_cas=s.is_cas)
               for s in self.stocks.values() if s.status != INACTIVE]
        if futures:
            out += [_contract_spec(s, s.futures[0]) for s in self.stocks.values() if s.status != INACTIVE and s.futures]
        for stock in self.stocks.values() if options else ():
            price = (prices or {}).get(stock.key, 0)
            if price > 0 and stock.options and stock.status != INACTIVE:
                mine = [c for c in stock.options if c.expiry == stock.options[0].expiry]
                mine.sort(key=lambda c: (abs(c.strike - price), c.strike, c.type))
                out += [replace(_contract_spec(stock, c), tradable=False) for c in mine[:options]]
        return out


def _contract_spec(stock: Stock, contract: Contract) -> Instrument:
    return Instrument(
        contract.key, contract.name[:31], "future" if contract.type == "FUT" else "option", contract.tick, contract.lot,
        contract.freeze, tradable=stock.status == ACTIVE, is_cas=False, underlying=stock.key, expiry=contract.expiry,
        banned=stock.banned, strike=contract.strike, right=contract.type if contract.type != "FUT" else "")


def build(source: Listing, day: dt.date, banned: set[str] | None = None, excluded: Iterable[str] = EXCLUDED) -> Universe:
    """The universe `source` describes for `day`: contracts that have expired by then are left out, as are the indices and whatever
    `excluded` names. `banned`: symbols in the ban period, None where that is not known."""
    left_out = set(excluded)
    contracts: dict[str, list[Contract]] = defaultdict(list)
    indices: dict[str, str] = {}
    for listed in source.contracts:
        if listed.last_day < day:
            continue
        if listed.is_index or listed.underlying not in source.shares:
            indices[listed.symbol] = listed.underlying
        elif listed.symbol not in left_out:
            contracts[listed.underlying].append(listed.contract)
    stocks = [_stock(source.shares[key], in_order(mine), banned) for key, mine in contracts.items()]
    return Universe(day, {s.symbol: s for s in sorted(stocks, key=lambda s: s.symbol)}, dict(sorted(indices.items())))


def in_order(contracts: Iterable[Contract]) -> list[Contract]:
    return sorted(contracts, key=lambda c: (c.expiry, c.strike, c.type))


def _stock(share: Share, listed: Sequence[Contract], banned: set[str] | None) -> Stock:
    futures = tuple(c for c in listed if c.type == "FUT")
    nearest = futures[0] if futures else None
    reason = f"listed as {share.series}" if share.series else "" if nearest else "no future is listed"
    return Stock(share.symbol, share.name, share.key, share.isin, share.tick, nearest.lot if nearest else 0,
                 nearest.freeze if nearest else 0, share.freeze, sector_name(share.symbol), share.is_cas, futures,
                 tuple(c for c in listed if c.type != "FUT"), SUSPENDED if reason else ACTIVE, reason,
                 -1 if banned is None else int(share.symbol in banned))


def suspended(universe: Universe, strange: Mapping[str, str]) -> Universe:
    """The universe with the names of `strange` (key -> reason) SUSPENDED for the day."""
    return replace(universe, stocks={n: replace(s, status=SUSPENDED, reason=strange[s.key]) if s.key in strange else s
                                     for n, s in universe.stocks.items()})
