"""What each panel of the page asks, by name: the same answers now and at any moment of before."""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.errors import EngineError
from engine.watch import chains, rows
from engine.watch.day import Day


class NothingThere(EngineError):
    """What was asked for does not exist."""


class View(Protocol):
    """A run at a moment: `Follow` now, `Then` before."""
    day: Day

    def shown(self) -> np.ndarray: ...
    def option_chain(self, under: int) -> dict[str, Any]: ...


Arguments = Mapping[str, Any]


def candidates(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.candidates(view.day, int(arguments.get("before") or 0), int(arguments.get("limit") or 200),
                           str(arguments.get("symbol") or ""), str(arguments.get("reason") or ""),
                           str(arguments.get("verdict") or ""), str(arguments.get("source") or ""))


def candidate(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    found = chains.opened(view.day, int(arguments["id"]), models)
    if found is None:
        raise NothingThere(f"there is no candidate {arguments['id']} in this run at this time")
    return found


def orders(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.orders(view.day, int(arguments.get("before") or 0), int(arguments.get("limit") or 200))


def order(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    found = chains.order(view.day, int(arguments["id"]))
    if found is None:
        raise NothingThere(f"there is no order {arguments['id']} in this run at this time")
    return found


def trades(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.trades(view.day)


def marks(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.marks(view.day, int(arguments["inst"]))


def gaps(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.gaps(view.day, int(arguments.get("limit") or 500))


def latency(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.latency(view.day)


def links(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return {"links": rows.links(view.day)}


def log(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    return rows.log(view.day, int(arguments.get("before") or 0), int(arguments.get("limit") or 300),
                    str(arguments.get("kind") or ""), str(arguments.get("text") or ""))


def chain(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    symbols = view.day.state.symbols
    symbol = str(arguments.get("symbol") or "")
    if symbol not in symbols:
        raise NothingThere(f"{symbol or 'no symbol'}: this run has no such instrument")
    under = symbols.index(symbol)
    return rows.option_chain(view.day, view.shown(), view.option_chain(under), under)


def forming(view: View, arguments: Arguments, models: Path) -> dict[str, Any]:
    """The minute under way of one instrument, as the market stage has it."""
    shown, inst = view.shown(), int(arguments["inst"])
    if not 0 <= inst < len(shown):
        raise NothingThere(f"there is no instrument {inst} in this run")
    names = {"minute": "minute", "open": "open", "high": "high", "low": "low", "close": "close", "volume": "minute_volume"}
    return {name: int(shown[inst][field]) for name, field in names.items()}


PANELS: dict[str, Callable[[View, Arguments, Path], dict[str, Any]]] = {
    panel.__name__: panel for panel in (
        candidates, candidate, orders, order, trades, marks, gaps, latency, links, log, chain, forming)}
