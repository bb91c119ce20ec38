"""The evening's account: what the day did, and our fills and charges against the broker's, to the paisa."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _ext.core.reasons import REASONS
from _ext.core.records import (
    FILL,
    INSTRUMENT,
    INTENT,
    ORDER_UPDATE,
    REC_FILL,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_ORDER_UPDATE,
    REC_REPLY,
    REC_STATE,
    REDUCING,
    REPLY,
    ROLE_BROKER,
    ROLE_EXIT,
    STATE,
    STATE_ALARM,
    STATE_TRADING,
    WHYS,
)
from _ext.trail.journal import Reader
from engine.broker.upstox.api import Api
from engine.broker.upstox.protocol import paise


@dataclass
class Order:
    """One of our orders as the journal has it; money in paise."""
    inst: int
    side: int
    role: int
    order_id: str = ""
    filled: int = 0
    value: int = 0
    charges: int = 0
    why: str = ""


@dataclass
class Day:
    orders: dict[int, Order] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    realised: int = 0
    exits: dict[str, int] = field(default_factory=dict)          # why -> filled exit orders
    alarms: dict[str, int] = field(default_factory=dict)
    reducing: list[str] = field(default_factory=list)
    broker_fills: int = 0


def read_day(reader: Reader) -> Day:
    """Orders, fills, exits and alarms of a journal."""
    day, values = Day(), dict[int, int]()
    for kind, _, _, payload in reader:
        if kind == REC_INSTRUMENTS:
            rows = np.frombuffer(payload, INSTRUMENT)
            day.keys += [bytes(r["key"]).rstrip(b"\0").decode() for r in rows]
            day.symbols += [bytes(r["symbol"]).rstrip(b"\0").decode() for r in rows]
        elif kind == REC_INTENT:
            i = np.frombuffer(payload, INTENT)[0]
            order = day.orders.setdefault(int(i["id"]), Order(int(i["inst"]), int(i["side"]), int(i["role"])))
            order.why = WHYS[i["why"]]
        elif kind == REC_REPLY:
            r = np.frombuffer(payload, REPLY)[0]
            if int(r["intent"]) in day.orders and r["order_id"]:
                day.orders[int(r["intent"])].order_id = r["order_id"].decode()
        elif kind == REC_ORDER_UPDATE:
            u = np.frombuffer(payload, ORDER_UPDATE)[0]
            if int(u["intent"]) in day.orders:
                day.orders[int(u["intent"])].order_id = u["order_id"].decode()
                values[int(u["intent"])] = max(values.get(int(u["intent"]), 0), int(u["value"]))
        elif kind == REC_FILL:
            f = np.frombuffer(payload, FILL)[0]
            day.realised += int(f["realised"])
            day.broker_fills += f["role"] == ROLE_BROKER
            if int(f["intent"]) in day.orders:
                order = day.orders[int(f["intent"])]
                order.filled += int(f["quantity"])
                order.charges += int(f["charges"])
        elif kind == REC_STATE:
            s = np.frombuffer(payload, STATE)[0]
            if s["what"] == STATE_ALARM:
                day.alarms[REASONS[s["reason"]]] = day.alarms.get(REASONS[s["reason"]], 0) + 1
            elif s["what"] == STATE_TRADING and s["now_is"] == REDUCING:
                day.reducing.append(REASONS[s["reason"]])
    for number, order in day.orders.items():
        order.value = values.get(number, 0)
        if order.role == ROLE_EXIT and order.filled:
            day.exits[order.why] = day.exits.get(order.why, 0) + 1
    return day


def summary(day: Day) -> dict[str, Any]:
    """What the day did, money in rupees."""
    charges = sum(o.charges for o in day.orders.values())
    return {"entries": sum(o.role == 1 and o.filled > 0 for o in day.orders.values()), "exits": day.exits,
            "realised": day.realised / 100, "charges": charges / 100, "net": (day.realised - charges) / 100,
            "broker_fills": day.broker_fills, "alarms": day.alarms, "reducing": day.reducing}


async def compare(day: Day, api: Api) -> list[dict[str, Any]]:
    """Every filled order against the broker's trades and its charges calculator; one row a difference, empty when all agrees."""
    theirs: dict[str, list[int]] = {}
    for trade in await api.trades():
        entry = theirs.setdefault(str(trade["order_id"]), [0, 0])
        entry[0] += int(trade["quantity"])
        entry[1] += round(float(trade["average_price"]) * 100 * int(trade["quantity"]))
    out = []
    for number, order in day.orders.items():
        quantity, value = theirs.pop(order.order_id, [0, 0])
        name = {"order": number, "symbol": day.symbols[order.inst], "order_id": order.order_id}
        if quantity != order.filled:
            out.append(name | {"what": "quantity", "ours": order.filled, "broker": quantity})
        if abs(value - order.value) > order.filled // 2:             # an average of rupees with two decimals is no exacter
            out.append(name | {"what": "value", "ours": order.value / 100, "broker": value / 100})
        if order.filled:
            told = (await api.brokerage(day.keys[order.inst], order.filled, "BUY" if order.side > 0 else "SELL",
                                        order.value / order.filled / 100))["charges"]
            if paise(told["total"]) != order.charges:
                out.append(name | {"what": "charges", "ours": order.charges / 100, "broker": told["total"]})
    return out
