"""One moment of a run as one document: what the page shows now, what its time machine shows of then, and `replay --until`.

What the journal says comes from `Day`, prices from the market stage, and what only the engine knows (money, budgets) from its
status block now and from a core that was brought to that moment then. Money in paise, times in us since 1970.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from _ext.core.records import MODEL_ACTIVE, MODEL_B, MODEL_NO_B, MODEL_SHADOW, OPERATOR_STATES, POSITION_STATES, TRADING_STATES
from _ext.entrance import Core
from engine.config.limits import Risk, core_name
from engine.watch import rows
from engine.watch.day import Day

COUNTS = ("updates", "frames", "rejected", "unknown", "candidates", "signals", "orders", "requests", "gaps", "late", "repeats",
          "records")
MONEY = ("equity", "available", "realised", "charges", "open", "exposure", "best")
STATE = ("trading", "operator")
USED = ("losses", "used_second", "used_minute", "used_half_hour", "used_hour", "used_day", "entries_minute")
LAST_CANDIDATES, LAST_ORDERS = 50, 100
Figures = dict[str, dict[str, int]]
"""What only the engine knows: counts, money (paise), what is used of budgets, and the states it is in."""


def figures_of_status(status: Any) -> Figures:
    """As the engine published it last; `status` a STATUS record, None: zeros."""
    return {part: {name: int(status[name]) if status is not None else 0 for name in names}
            for part, names in (("counts", COUNTS), ("money", MONEY), ("used", USED), ("state", STATE))}


def figures_of_core(core: Core) -> Figures:
    """Of a core that was brought to the moment."""
    counts, money, used = core.counts(), core.money(), core.used()
    return {"counts": {name: int(counts[name]) for name in COUNTS}, "money": {name: int(money[name]) for name in MONEY},
            "used": {name: int(used[name]) for name in USED},
            "state": dict(zip(STATE, map(int, core.states()[:2]), strict=True))}


def moment(day: Day, shown: np.ndarray, before: np.ndarray, figures: Figures, now: int) -> dict[str, Any]:
    """The document at `now` (ns). `shown`: board.SHOWN of each instrument; `before`: its close of the day before, paise (0: not
    known)."""
    held = positions(day, shown)
    recent = list(day.candidates)[-LAST_CANDIDATES:]
    passed = sum(seen.last["level"] > 0 and seen.last["reason"] == 0 for seen in day.candidates.values())
    return {
        "now_us": now // 1000, "sequence": day.sequence,
        "state": states(day, figures),
        "counts": figures["counts"], "money": figures["money"], "limits": limits(day, figures, held),
        "budgets": budgets(day, figures["used"]), "positions": held, "by_source": by_source(day, held),
        "quotes": quotes(shown, before),
        "candidates": {"total": len(day.candidates), "passed": int(passed),
                       "last": [rows.candidate(day, number) for number in reversed(recent)]},
        "orders": [rows.order(day, number) for number in reversed(list(day.orders)[-LAST_ORDERS:])],
        "alarms": dict(day.state.alarms), "reducing": list(day.state.reducing), "stopped": dict(day.state.stopped),
        "gaps": rows.gap_counts(day), "models": models(day)}


def states(day: Day, figures: Figures) -> dict[str, Any]:
    """Trading and operator state, and which streams are up."""
    state = figures["state"]
    return {"trading": TRADING_STATES[state["trading"]], "operator": OPERATOR_STATES[state["operator"]], "feed_up": day.is_up[0],
            "orders_up": day.is_up[1]}


def quotes(shown: np.ndarray, before: np.ndarray) -> dict[str, list[Any]]:
    """Columns over the instruments."""
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.where((before > 0) & (shown["ltp"] > 0), shown["ltp"] / before - 1.0, np.nan)
    names = ("ltp", "bid", "ask", "bid_q", "ask_q", "volume", "minute_volume")
    return {**{name: shown[name].tolist() for name in names}, "expected": rows.known(shown["expected"]), "move": rows.known(move),
            "iv": rows.known(np.where(shown["iv"] > 0, shown["iv"], np.nan)), "seen_us": (shown["seen"] // 1000).tolist(),
            "traded_us": (shown["traded"] // 1000).tolist()}


def leaving(shown: np.ndarray, inst: int, quantity: int) -> int:
    """Price at which one could leave a position now: the other side of the book, else the last trade; paise."""
    if inst >= len(shown):
        return 0
    row = shown[inst]
    return int((row["bid"] if quantity > 0 else row["ask"]) or row["ltp"])


def positions(day: Day, shown: np.ndarray) -> list[dict[str, Any]]:
    """What is held or being entered."""
    open_trades = {trade.symbol: trade for trade in day.trades if not trade.is_closed}
    out = []
    for inst, row in sorted(day.state.positions.items()):
        if not row["state"]:
            continue
        symbol, quantity, price = day.state.symbol(inst), int(row["quantity"]), leaving(shown, inst, int(row["quantity"]))
        trade = open_trades.get(symbol)
        candidate = trade.candidate if trade is not None else 0
        out.append({
            "inst": inst, "symbol": symbol, "source": day.source_of(candidate), "state": POSITION_STATES[row["state"]],
            "quantity": quantity, "average": int(row["average"]), "ltp": int(shown[inst]["ltp"]) if inst < len(shown) else 0,
            "leaving": price, "open": quantity * (price - int(row["average"])) if price else 0, "realised": int(row["realised"]),
            "charges": int(row["charges"]), "stop": int(row["stop"]), "target": int(row["target"]), "candidate": candidate,
            "entered_us": trade.entry_time // 1000 if trade is not None else None})
    return out


def by_source(day: Day, held: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Realised, open and charges of each source; trades that ended, and how many of them earned something after charges."""
    out = []
    for name in day.state.sources:
        trades = [trade for trade in day.trades if trade.source == name]
        ended = [trade for trade in trades if trade.is_closed]
        out.append({"source": name, "realised": sum(trade.gross for trade in trades), "charges": sum(t.charges for t in trades),
                    "open": sum(one["open"] for one in held if one["source"] == name), "trades": len(ended),
                    "wins": sum(trade.net > 0 for trade in ended), "is_on": name not in day.state.stopped})
    return out


def budgets(day: Day, used: Mapping[str, int]) -> list[dict[str, Any]]:
    """Requests of the broker's windows; entries stop where only the reserve for exits is left."""
    limits = day.start.get("limits", {})
    reserve = int(limits.get("exit_reserve", 0))
    return [{"name": name, "used": used[key], "limit": int(limits.get(limit, 0)), "reserve": share * reserve}
            for name, key, limit, share in (
                ("requests a second", "used_second", "requests_per_second", 1),
                ("requests a minute", "used_minute", "requests_per_minute", 10),
                ("requests in half an hour", "used_half_hour", "requests_per_half_hour", 100))]


def limits(day: Day, figures: Figures, held: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each limit of the account that fills up, and how full it is."""
    money, used, known = figures["money"], figures["used"], day.start.get("limits", {})
    equity = max(money["equity"], 1)
    net = money["realised"] + money["open"] - money["charges"]
    by_name: dict[str, int] = {}
    by_sector: dict[int, int] = {}
    for one in held:
        value = abs(one["quantity"]) * one["leaving"]
        sector = int(day.instruments[one["inst"]]["sector"]) if one["inst"] < len(day.instruments) else 0
        by_name[one["symbol"]] = by_name.get(one["symbol"], 0) + value
        by_sector[sector] = by_sector.get(sector, 0) + value
    values = {"max_positions": len(held), "leverage": money["exposure"] / equity, "daily_loss": max(0, -net) / equity,
              "drawdown": max(0, money["best"] - net) / equity, "losing_streak": used["losses"],
              "symbol_exposure": max(by_name.values(), default=0) / equity,
              "sector_exposure": max(by_sector.values(), default=0) / equity,
              "orders_per_minute": used["entries_minute"], "orders_per_hour": used["used_hour"], "orders_per_day": used["used_day"]}
    out = []
    for name, value in values.items():
        field = Risk.model_fields[name]
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        unit = str(extra["unit"])
        limit = known.get(core_name(name, unit), 0)
        out.append({"name": name, "words": field.description, "unit": unit, "value": value, "limit": limit,
                    "used": value / limit if limit else None})
    return out


def models(day: Day) -> dict[str, Any]:
    """Which model does what, by the head of its hash."""
    active, second = "", ""
    shadows: list[str] = []
    for _, row in day.models:
        sha256, role = row["sha256"].decode()[:16], int(row["role"])
        if role == MODEL_ACTIVE:
            active = sha256
        elif role in (MODEL_B, MODEL_NO_B):
            second = sha256 if role == MODEL_B else ""
        else:
            shadows = [*shadows, sha256] if role == MODEL_SHADOW else []
    return {"active": active, "b": second, "shadows": shadows}
