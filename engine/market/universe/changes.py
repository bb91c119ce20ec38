"""What changed between two universes, and what that means for who may be traded."""
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.market.universe.terms import INACTIVE, SUSPENDED, Contract, Stock, Universe

BLOCKING = ("lot", "tick", "freeze", "expiry", "isin")
"""A change of one of these blocks a name until somebody says `universe acknowledge`: sizes and prices would be wrong."""
MARK, HINT = "changed on ", "; `python -m engine universe acknowledge "
"""How the reason of a name begins that waits for somebody to look at its new terms, and what comes after them."""
LABELS = {"equity_freeze": "freeze", "is_cas": "closing auction"}


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


def diff(old: Universe, new: Universe) -> list[Change]:
    """Every difference, in the order of symbols and keys. A roll to a future with another lot or freeze quantity is a change of
    the stock's, each contract having kept its own."""
    changes: list[Change] = []
    owners = [{c.key: c for stock in side.stocks.values() for c in _contracts(stock)} for side in (old, new)]
    for a, b in _pairs(old, new):
        symbol = (b or a).symbol                     # type: ignore[union-attr]
        if a is None or b is None:
            changes.append(Change(symbol, "stock", (b or a).key, "left" if b is None else "joined"))     # type: ignore[union-attr]
        else:
            changes += _changed(symbol, "stock", a, b, "symbol", "isin", "name", "tick", "equity_freeze", "is_cas")
            if a.futures and b.futures and a.futures[0].key != b.futures[0].key:
                changes += _changed(symbol, "stock", a, b, "lot", "freeze")
        changes += _contract_changes(symbol, a, b, new.day, *owners)
    return changes


def _pairs(old: Universe, new: Universe) -> list[tuple[Stock | None, Stock | None]]:
    """Each stock beside what became of it, in the order of symbols. A stock is known by its key, which is its ISIN; one whose key
    is gone by its symbol, where that has a key nobody had before: a change of the face value gives a share a new ISIN."""
    before, after = ({s.key: s for s in side.stocks.values()} for side in (old, new))
    heirs = {s.symbol: s for s in after.values() if s.key not in before}
    pairs: list[tuple[Stock | None, Stock | None]] = [
        (a, after.get(a.key) or heirs.pop(a.symbol, None)) for a in before.values()]
    return sorted([*pairs, *((None, b) for b in heirs.values())], key=lambda pair: (pair[1] or pair[0]).symbol)  # type: ignore[union-attr]


def _contracts(stock: Stock | None) -> Iterable[Contract]:
    return (*stock.futures, *stock.options) if stock is not None else ()


def _changed(symbol: str, what: str, was: Any, now: Any, *names: str) -> list[Change]:
    """What is another of `names`, fields of both."""
    return [Change(symbol, what, now.key, "changed", LABELS.get(name, name), str(getattr(was, name)), str(getattr(now, name)))
            for name in names if getattr(was, name) != getattr(now, name)]


def _contract_changes(symbol: str, old: Stock | None, new: Stock | None, day: dt.date, before: Mapping[str, Contract],
                      after: Mapping[str, Contract]) -> list[Change]:
    """Of one stock's contracts; `before` and `after` have those of all, for a key that is free again may name another stock's."""
    a, b = ({c.key: c for c in _contracts(stock)} for stock in (old, new))
    changes = []
    for key in sorted(a.keys() | b.keys()):
        was, now = a.get(key), b.get(key)
        what = "future" if (now or was).type == "FUT" else "option"              # type: ignore[union-attr]
        if now is None:
            if key not in after:
                kind = "expired" if was.expiry < day.isoformat() else "delisted"                     # type: ignore[union-attr]
                changes.append(Change(symbol, what, key, kind, was=was.name))    # type: ignore[union-attr]
        elif was is None and key not in before:
            changes.append(Change(symbol, what, key, "listed", now=now.name))
        elif was is None or was.expiry < day.isoformat() or (was.type, was.strike) != (now.type, now.strike):
            changes.append(Change(symbol, what, key, "reused", was=before[key].name, now=now.name))
        else:
            changes += _changed(symbol, what, was, now, "lot", "tick", "freeze", "expiry", "name")
    return changes


def follow(old: Universe, new: Universe, acknowledged: Mapping[str, str]) -> tuple[Universe, list[Change]]:
    """`new` with what the change from `old` means: names that left stay known as INACTIVE, with their last terms, and are judged by
    them should they come back; names with a blocking change are SUSPENDED unless `acknowledged` (symbol -> day of the universe it
    was acknowledged for) covers it, and stay so until then."""
    living = replace(old, stocks={s: k for s, k in old.stocks.items() if k.status != INACTIVE})
    changes, stocks = diff(living, new), dict(new.stocks)
    for was, now in _pairs(old, new):
        if was is None:
            continue
        if now is None:
            if was.symbol not in stocks:             # else its symbol is another's now
                stocks[was.symbol] = was if was.status == INACTIVE else replace(
                    was, status=INACTIVE, futures=(), options=(),
                    reason=f"not in F&O since {new.day}" + (f"; {was.reason}" if was.status == SUSPENDED else ""))
            continue
        if was.status == INACTIVE:
            changes += _changed(now.symbol, "stock", was, now, "isin", "lot", "tick", "freeze")
        day = max(acknowledged.get(was.symbol, ""), acknowledged.get(now.symbol, ""))
        waiting = was.reason.partition(HINT)[0] if MARK in was.reason and day < old.day.isoformat() else ""
        mine = [c for c in changes if c.symbol == now.symbol and c.is_blocking] if day < new.day.isoformat() else []
        if waiting or mine:
            told = [text for text in (waiting, f"{MARK}{new.day}: {_in_words(mine)}" if mine else "") if text]
            stocks[now.symbol] = replace(stocks[now.symbol], status=SUSPENDED, reason="; ".join(told) + HINT + now.symbol + "`")
    return Universe(new.day, dict(sorted(stocks.items())), new.indices), changes


def _in_words(changes: Iterable[Change]) -> str:
    """All terms that changed; what many contracts share is told once."""
    counts = Counter((c.what, c.field, c.was, c.now) for c in changes)
    return ", ".join(f"{what if count == 1 else f'{count} {what}s'} {field} {was} -> {now}"
                     for (what, field, was, now), count in counts.items())
