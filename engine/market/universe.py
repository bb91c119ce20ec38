"""The F&O universe of a day: stocks with their futures and options, what changed since the last one, and who may be traded.

A stock belongs when the instrument file has futures and options on it. ACTIVE: tradable; INACTIVE: it has left F&O; SUSPENDED: its
lot, tick, freeze quantity or an expiry changed and nobody has acknowledged that yet, or its price jumped overnight without a
known reason. Prices in paise, expiries as dates.
"""
import contextlib
import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import day_of_minutes
from engine.market import master
from engine.market.instruments import EXCLUDED, Spec, sector_name
from engine.market.master import Master, last_day

ACTIVE, INACTIVE, SUSPENDED = "ACTIVE", "INACTIVE", "SUSPENDED"
BLOCKING = ("lot", "tick", "freeze", "expiry")
"""A change of one of these blocks a name until somebody says `universe acknowledge`: sizes and prices would be wrong."""
TYPES = ("FUT", "CE", "PE")


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


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two universes. `what`: stock, future or option; `kind`: joined, left, listed, expired, delisted,
    reused (the key names another contract now) or changed (then `field` says what)."""
    symbol: str
    what: str
    key: str
    kind: str
    field: str = ""
    was: str = ""
    now: str = ""

    @property
    def is_blocking(self) -> bool:
        return self.kind == "changed" and self.field in BLOCKING


@dataclass(frozen=True)
class Universe:
    """The F&O stocks of `day` by symbol, and the indices that were left out."""
    day: dt.date
    stocks: dict[str, Stock]
    indices: dict[str, str]      # symbol -> key

    def document(self) -> dict[str, Any]:
        states = [s.status for s in self.stocks.values()]
        return {"day": self.day.isoformat(), "counts": {
            "stocks": len(self.stocks), "indices": len(self.indices), "futures": sum(len(s.futures) for s in self.stocks.values()),
            "options": sum(len(s.options) for s in self.stocks.values()), **{name: states.count(name) for name in (
                ACTIVE, INACTIVE, SUSPENDED)}},
            "indices": self.indices, "stocks": [s.document() for s in self.stocks.values()]}

    def specs(self, futures: bool = False, options: int = 0, prices: Mapping[str, int] | None = None) -> list[Spec]:
        """What the engine is told of: every stock, with its next contract where wanted, and `options` calls and puts of its next
        expiry nearest to its price (`prices`: key -> paise), for the volatility at the money. Who is not ACTIVE is watched."""
        out = [Spec(s.key, s.symbol, "equity", s.tick, 1, s.equity_freeze, tradable=s.status == ACTIVE, is_cas=s.is_cas)
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


def _contract_spec(stock: Stock, contract: Contract) -> Spec:
    return Spec(contract.key, contract.name[:31], "future" if contract.type == "FUT" else "option", contract.tick, contract.lot,
                contract.freeze, tradable=stock.status == ACTIVE, is_cas=False, underlying=stock.key, expiry=contract.expiry,
                banned=stock.banned, strike=contract.strike, right=contract.type if contract.type != "FUT" else "")


def build(source: Master, day: dt.date, banned: set[str] | None = None, excluded: Iterable[str] = EXCLUDED) -> Universe:
    """The universe `source` describes for `day`: contracts that have expired by then are left out, as are the indices and whatever
    `excluded` names. `banned`: symbols in the ban period, None where that is not known."""
    left_out = set(excluded)
    contracts: dict[str, list[Contract]] = defaultdict(list)
    indices: dict[str, str] = {}
    for row in source.contracts:
        if last_day(row) < day:
            continue
        key = row["underlying_key"]
        if row["asset_type"] == "INDEX" or key not in source.equities:
            indices[row["asset_symbol"]] = key
        elif row["asset_symbol"] not in left_out:
            contracts[key].append(_contract(row))
    stocks = [_stock(source.equities[key], sorted(listed, key=lambda c: (c.expiry, c.strike, c.type)), banned)
              for key, listed in contracts.items()]
    return Universe(day, {s.symbol: s for s in sorted(stocks, key=lambda s: s.symbol)}, dict(sorted(indices.items())))


def _contract(row: Mapping[str, Any]) -> Contract:
    return Contract(row["instrument_key"], row["instrument_type"], last_day(row).isoformat(), round(row["strike_price"] * 100),
                    int(row["lot_size"]), round(row["tick_size"]), int(row["freeze_quantity"]), row["trading_symbol"])


def _stock(row: Mapping[str, Any], listed: Sequence[Contract], banned: set[str] | None) -> Stock:
    futures = tuple(c for c in listed if c.type == "FUT")
    nearest = futures[0] if futures else None
    symbol = row["trading_symbol"]
    is_normal = row.get("security_type", "NORMAL") == "NORMAL" and row["instrument_type"] == "EQ"
    reason = "" if is_normal and nearest else "no future is listed" if is_normal else f"listed as {row['instrument_type']}"
    return Stock(symbol, row["name"], row["instrument_key"], row["isin"], round(row["tick_size"]),
                 nearest.lot if nearest else 0, nearest.freeze if nearest else 0, int(row["freeze_quantity"]),
                 sector_name(symbol), bool(row.get("cas_eligible")), futures,
                 tuple(c for c in listed if c.type != "FUT"), SUSPENDED if reason else ACTIVE, reason,
                 -1 if banned is None else int(symbol in banned))


# ---- from one day to the next --------------------------------------------------------------------------------------------
def diff(old: Universe, new: Universe) -> list[Change]:
    """Every difference, in the order of symbols and keys. A stock is known by its key (its ISIN): another symbol is a change of it.
    A roll to a future with another lot or freeze quantity is a change of the stock's, each contract having kept its own."""
    before, after = ({s.key: s for s in side.stocks.values()} for side in (old, new))
    changes: list[Change] = []
    for key in sorted(before.keys() | after.keys(), key=lambda k: (after.get(k) or before[k]).symbol):
        a, b = before.get(key), after.get(key)
        symbol = (b or a).symbol                     # type: ignore[union-attr]
        if a is None or b is None:
            changes.append(Change(symbol, "stock", key, "left" if b is None else "joined"))
        else:
            changes += [Change(symbol, "stock", key, "changed", label, str(getattr(a, name)), str(getattr(b, name)))
                        for name, label in (("symbol", "symbol"), ("isin", "isin"), ("name", "name"), ("tick", "tick"),
                                            ("equity_freeze", "freeze"), ("is_cas", "closing auction"))
                        if getattr(a, name) != getattr(b, name)]
            if a.futures and b.futures and a.futures[0].key != b.futures[0].key:
                changes += [Change(symbol, "stock", key, "changed", name, str(getattr(a, name)), str(getattr(b, name)))
                            for name in ("lot", "freeze") if getattr(a, name) != getattr(b, name)]
        changes += _contract_changes(symbol, a, b, new.day)
    return changes


def _contract_changes(symbol: str, old: Stock | None, new: Stock | None, day: dt.date) -> list[Change]:
    a, b = ({c.key: c for c in (*stock.futures, *stock.options)} if stock else {} for stock in (old, new))
    changes = []
    for key in sorted(a.keys() | b.keys()):
        was, now = a.get(key), b.get(key)
        what = "future" if (now or was).type == "FUT" else "option"              # type: ignore[union-attr]
        if was is None:
            changes.append(Change(symbol, what, key, "listed", now=now.name))    # type: ignore[union-attr]
        elif now is None:
            kind = "expired" if was.expiry < day.isoformat() else "delisted"
            changes.append(Change(symbol, what, key, kind, was=was.name))
        elif was.expiry < day.isoformat() or (was.type, was.strike) != (now.type, now.strike):
            changes.append(Change(symbol, what, key, "reused", was=was.name, now=now.name))
        else:
            changes += [Change(symbol, what, key, "changed", name, str(getattr(was, name)), str(getattr(now, name)))
                        for name in ("lot", "tick", "freeze", "expiry", "name") if getattr(was, name) != getattr(now, name)]
    return changes


def follow(old: Universe, new: Universe, acknowledged: Mapping[str, str]) -> tuple[Universe, list[Change]]:
    """`new` with what the change from `old` means: names that left stay known as INACTIVE, with their last terms, and are judged by
    them should they come back; names with a blocking change are SUSPENDED unless `acknowledged` (symbol -> day of the universe it
    was acknowledged for) covers it, and stay so until then."""
    gone = {s.key: s for s in old.stocks.values() if s.status == INACTIVE}
    changes = diff(replace(old, stocks={s: k for s, k in old.stocks.items() if k.status != INACTIVE}), new)
    stocks, by_key = dict(new.stocks), {s.key: s.symbol for s in new.stocks.values()}
    for stock in list(new.stocks.values()):
        if (was := gone.get(stock.key)) is not None:
            changes += [Change(stock.symbol, "stock", stock.key, "changed", n, str(getattr(was, n)), str(getattr(stock, n)))
                        for n in ("lot", "tick", "freeze") if getattr(was, n) != getattr(stock, n)]
    for stock in old.stocks.values():
        symbol = by_key.get(stock.key)
        if symbol is None:
            stocks[stock.symbol] = stock if stock.status == INACTIVE else replace(
                stock, status=INACTIVE, futures=(), options=(),
                reason=f"not in F&O since {new.day}" + (f"; {stock.reason}" if stock.status == SUSPENDED else ""))
        elif "changed on" in stock.reason and acknowledged.get(symbol, "") < old.day.isoformat():
            stocks[symbol] = replace(stocks[symbol], status=SUSPENDED, reason=stock.reason)      # still nobody has looked
    for change in changes:
        if change.is_blocking and acknowledged.get(change.symbol, "") < new.day.isoformat():
            stocks[change.symbol] = replace(stocks[change.symbol], status=SUSPENDED, reason=(
                f"changed on {new.day}: {change.what} {change.field} {change.was} -> {change.now}; "
                f"`python -m engine universe acknowledge {change.symbol}`"))
    return Universe(new.day, dict(sorted(stocks.items())), new.indices), changes


# ---- liquidity -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Turnover:
    """What a name trades; NaN where it is not known."""
    value: float = math.nan          # rupees a day, mean of the sessions at hand (20 where history has them)
    open_interest: float = math.nan  # of its near future, rupees
    spread_bp: float = math.nan


def liquidity(names: Mapping[str, Turnover]) -> dict[str, float]:
    """Score of each name, 0 (least) to 1: weighted mean of its ranks among all names, 0.5 turnover, 0.3 open interest, 0.2
    narrowness of the spread. A part that is unknown of a name is left out of its mean; all unknown is NaN, taken last."""
    ranks = [(0.5, _rank({n: t.value for n, t in names.items()})), (0.3, _rank({n: t.open_interest for n, t in names.items()})),
             (0.2, _rank({n: -t.spread_bp for n, t in names.items()}))]
    out = {}
    for name in names:
        parts = [(weight, rank[name]) for weight, rank in ranks if name in rank]
        out[name] = sum(w * r for w, r in parts) / sum(w for w, _ in parts) if parts else math.nan
    return out


def _rank(values: Mapping[str, float]) -> dict[str, float]:
    """Share of the other known names that are below; ties share their mean."""
    known = sorted((v, n) for n, v in values.items() if not math.isnan(v))
    out: dict[str, float] = {}
    edges = [0, *(i for i, ((a, _), (b, _)) in enumerate(pairwise(known), 1) if a != b), len(known)]
    for begin, end in pairwise(edges):
        for _, name in known[begin:end]:
            out[name] = (begin + end - 1) / 2 / max(len(known) - 1, 1)
    return out


def suspended(universe: Universe, strange: Mapping[str, str]) -> Universe:
    """The universe with the names of `strange` (key -> reason) SUSPENDED for the day."""
    return replace(universe, stocks={n: replace(s, status=SUSPENDED, reason=strange[s.key]) if s.key in strange else s
                                     for n, s in universe.stocks.items()})


def turnover_of(quote: Mapping[str, Any], future: Mapping[str, Any], usual: float = math.nan) -> Turnover:
    """What the broker's quotes of a share and its near future say: the spread now, open interest (in shares) at the future's price,
    and today's turnover unless the `usual` of the last sessions is known."""
    depth = quote.get("depth") or {}
    bid, ask = (float((depth.get(side) or [{}])[0].get("price") or 0) for side in ("buy", "sell"))
    value = float(quote.get("volume") or 0) * float(quote.get("average_price") or quote.get("last_price") or 0)
    interest = float(future.get("oi") or 0) * float(future.get("last_price") or 0)
    return Turnover(usual if not math.isnan(usual) else value if value > 0 else math.nan, interest if interest > 0 else math.nan,
                    2e4 * (ask - bid) / (ask + bid) if 0 < bid < ask else math.nan)


def turnover_of_bars(bars: np.ndarray, sessions: int = 20) -> Turnover:
    """Mean daily turnover of the last `sessions` days of WARM_BAR rows."""
    days, at = np.unique(day_of_minutes(bars["minute"]), return_inverse=True)
    if not len(days):
        return Turnover()
    value = np.bincount(at, bars["close"].astype(float) * bars["volume"] / 100)
    return Turnover(float(value[-sessions:].mean()))


def with_liquidity(universe: Universe, names: Mapping[str, Turnover]) -> Universe:
    scores = liquidity(names)
    return replace(universe, stocks={n: replace(s, liquidity=scores.get(n, math.nan)) for n, s in universe.stocks.items()})


# ---- overnight -----------------------------------------------------------------------------------------------------------
RATIOS = tuple(sorted({a / b for a in range(1, 11) for b in range(1, 11) if a < b} | {1 / 20, 1 / 50, 1 / 100}))
"""What a share becomes in a split or bonus: 1/2, 1/5, 2/3 of the price before."""


def overnight(last_close: float, previous_close: float) -> tuple[float, str]:
    """(factor, reason) of a night: `last_close` is history's, `previous_close` the exchange's of this morning, adjusted for what
    happened. The factor takes history to today's scale, 1.0 when nothing happened; a reason means it is not explained
    (a jump over 8 % that no split or bonus makes) and the name is to be left alone for the day."""
    if not (last_close > 0 and previous_close > 0):
        return 1.0, ""
    ratio = previous_close / last_close
    if abs(ratio - 1) <= 0.08:
        return ratio if abs(ratio - 1) > 0.005 else 1.0, ""
    nearest = min((*RATIOS, *(1 / r for r in RATIOS)), key=lambda r: abs(math.log(ratio / r)))
    if abs(math.log(ratio / nearest)) < 0.005:
        return ratio, ""
    return 1.0, f"its close of yesterday is {ratio:.3f} of what history says, which no split explains"


# ---- keeping -------------------------------------------------------------------------------------------------------------
FOR_EVER = "2149-06-06"
"""The last day a ClickHouse Date can hold: valid until further notice."""


def _state(day: dt.date) -> Path:
    return master.folder() / f"universe.{day.isoformat()}.json"


def _note(day: dt.date) -> Path:
    return master.folder() / f"noted.{day.isoformat()}.json"


def _write(path: Path, document: Any) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(document))
    temporary.replace(path)


def acknowledged() -> dict[str, str]:
    """Symbol -> day of the universe whose changes somebody has looked at."""
    try:
        return dict(orjson.loads((master.folder() / "acknowledged.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def acknowledge(symbols: Iterable[str], day: dt.date) -> None:
    """Lets names with changed terms trade again."""
    _write(master.folder() / "acknowledged.json", acknowledged() | {symbol: day.isoformat() for symbol in symbols})


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


def _of_row(row: Mapping[str, Any]) -> Stock:
    """A stock that left, from its last row."""
    plain = {f.name: row[f.name] for f in fields(Stock) if f.name in row and f.name not in ("futures", "options", "liquidity")}
    return Stock(**plain, futures=())


def described(specs: Iterable[Spec], day: dt.date) -> dict[str, Any]:
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
            listed = sorted(contracts[s.key], key=lambda c: (c.expiry, c.strike, c.type))
            futures = tuple(c for c in listed if c.type == "FUT")
            stocks[s.symbol] = Stock(
                s.symbol, s.symbol, s.key, s.key.partition("|")[2], s.tick, futures[0].lot if futures else s.lot, s.freeze,
                s.freeze,
                sector_name(s.symbol), s.is_cas, futures, tuple(c for c in listed if c.type != "FUT"),
                ACTIVE if s.tradable else SUSPENDED, "" if s.tradable else "watched, not traded", s.banned)
    rows = [s.document() | {"valid_from": day.isoformat(), "valid_to": FOR_EVER} for s in stocks.values()]
    return {"day": day.isoformat(), "rows": rows, "changes": []}


def take(day: dt.date, source: Master, banned: set[str] | None, excluded: Iterable[str] = EXCLUDED) -> Today:
    """The universe of `day` as it follows from the last one kept, which it replaces as the last one."""
    fresh = build(source, day, banned, excluded)
    changes: list[Change] = []
    known: dict[str, dict[str, Any]] = {}
    older = master.newest_before(day, taken=True)
    if older is not None:
        then = dt.date.fromisoformat(older.name[4:14])
        with contextlib.suppress(OSError, ValueError):
            known = orjson.loads(_state(then).read_bytes())
        before = build(master.read(older.read_bytes()), then, None, excluded)
        judged = {s: replace(before.stocks[s], status=k["row"]["status"], reason=k["row"]["reason"])
                  for s, k in known.items() if s in before.stocks}
        gone = {s: _of_row(k["row"]) for s, k in known.items() if k["row"]["status"] == INACTIVE and s not in before.stocks}
        before = replace(before, stocks=before.stocks | judged | gone)
        fresh, changes = follow(before, fresh, acknowledged())
    rows: list[dict[str, Any]] = []
    state = {}
    for symbol, stock in fresh.stocks.items():
        row, was = stock.document(), known.get(symbol)
        terms = {name: value for name, value in row.items() if name not in ("liquidity", "options", "banned")}
        same = was is not None and {name: was["row"].get(name) for name in terms} == terms
        since = was["since"] if was is not None and same else day.isoformat()
        if stock.status == INACTIVE and same:
            state[symbol] = {"since": since, "row": row}
            continue
        if was is not None and not same and was["since"] < day.isoformat():
            rows.append(was["row"] | {"valid_from": was["since"], "valid_to": day.isoformat()})
        rows.append(row | {"valid_from": since, "valid_to": FOR_EVER})
        state[symbol] = {"since": since, "row": row}
    _write(_state(day), state)
    today = Today(fresh, changes, rows)
    _write(_note(day), today.document())
    return today


def noted(day: dt.date) -> list[dict[str, Any]]:
    """UNIVERSE records of days before `day` that no run has told the store of: whoever asks for the universe notes what changed."""
    out = []
    for path in sorted(p for p in master.folder().glob("noted.*.json") if p.name < _note(day).name):
        with contextlib.suppress(OSError, ValueError):
            out.append(dict(orjson.loads(path.read_bytes())))
    return out


def told(documents: Iterable[Mapping[str, Any]]) -> None:
    """These are in a run's journal now: they need not be told again."""
    for document in documents:
        _note(dt.date.fromisoformat(document["day"])).unlink(missing_ok=True)
