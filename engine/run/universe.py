"""The universe from one day to the next: what was known of each stock is kept beside the broker's instrument files."""
import contextlib
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from engine.broker.upstox import master
from engine.market.instruments import EXCLUDED
from engine.market.universe import FOR_EVER, INACTIVE, Change, Listing, Today, build, follow, left_behind


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


def take(day: dt.date, source: Listing, banned: set[str] | None, excluded: Iterable[str] = EXCLUDED) -> Today:
    """The universe of `day` as it follows from the last one kept, which it replaces as the last one."""
    fresh = build(source, day, banned, excluded)
    changes: list[Change] = []
    known: dict[str, dict[str, Any]] = {}
    older = master.newest_before(day, taken=True)
    if older is not None:
        then = dt.date.fromisoformat(older.name[4:14])
        with contextlib.suppress(OSError, ValueError):
            known = orjson.loads(_state(then).read_bytes())
        before = build(master.read(older.read_bytes()).listing, then, None, excluded)
        judged = {s: replace(before.stocks[s], status=k["row"]["status"], reason=k["row"]["reason"])
                  for s, k in known.items() if s in before.stocks}
        gone = {s: left_behind(k["row"]) for s, k in known.items() if k["row"]["status"] == INACTIVE and s not in before.stocks}
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


def announce(documents: Iterable[Mapping[str, Any]]) -> None:
    """These are in a run's journal now: they need not be told again."""
    for document in documents:
        _note(dt.date.fromisoformat(document["day"])).unlink(missing_ok=True)
