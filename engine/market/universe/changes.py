"""What changed between two universes, and what that means for who may be traded."""
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.market.universe.terms import INACTIVE, SUSPENDED, Stock, Universe

BLOCKING = ("lot", "tick", "freeze", "expiry")
"""A change of one of these blocks a name until somebody says `universe acknowledge`: sizes and prices would be wrong."""


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
