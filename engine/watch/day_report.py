"""The report of a day: what it did, and our fills and charges against the broker's, to the paisa."""
from typing import Any

from engine.broker.upstox.api import Api
from engine.broker.upstox.protocol import paise
from engine.watch.state import RunState


def summary(day: RunState) -> dict[str, Any]:
    """What the day did, money in rupees."""
    return {"entries": day.entries, "exits": day.exits, "realised": day.realised / 100, "charges": day.charges / 100,
            "net": (day.realised - day.charges) / 100, "broker_fills": day.broker_fills, "alarms": day.alarms,
            "reducing": day.reducing}


async def compare(day: RunState, api: Api) -> list[dict[str, Any]]:
    """Every filled order against the broker's trades and its charges calculator; one row a difference, empty when all agrees."""
    theirs: dict[str, list[int]] = {}
    for trade in await api.trades():
        entry = theirs.setdefault(str(trade["order_id"]), [0, 0])
        entry[0] += int(trade["quantity"])
        entry[1] += round(float(trade["average_price"]) * 100 * int(trade["quantity"]))
    out = []
    for number, order in day.orders.items():
        quantity, value = theirs.pop(order.order_id, [0, 0])
        name = {"order": number, "symbol": day.symbol(order.inst), "order_id": order.order_id}
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
