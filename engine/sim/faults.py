"""What can go wrong between an engine and its broker, drawn from a seed or scripted; pure, like the exchange behind it.

A request may never arrive, its answer may be lost after it was carried out, an error may hide what happened, an accepted order
may stay invisible for half a minute, messages may be late, repeated, out of order or lost (docs/upstox.md 7).
"""
import math
import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine.broker.base import Request
from engine.sim.exchange import Exchange
from engine.sim.order import Order

Row = dict[str, Any]
MEDIAN_NS, SPREAD = 35_000_000, 0.45
"""Round trip of an order request: 30-45 ms claimed, some far slower (docs/upstox.md 7.14); p99 is about 100 ms."""


@dataclass
class Rates:
    """Probabilities of each fault for one request, order or message; 0 everywhere is a faultless broker."""
    seed: int = 0
    lost_request: float = 0.0       # never arrives, no answer
    lost_answer: float = 0.0        # carried out, no answer
    error_before: float = 0.0       # 503, not carried out
    error_after: float = 0.0        # 502, carried out
    throttle: float = 0.0           # 429
    refuse: float = 0.0             # 400 for no good reason
    read_error: float = 0.0         # 503 to a read
    slow: float = 0.0               # an answer that takes up to four seconds
    hidden: float = 0.0             # accepted, not in the book for up to thirty seconds
    reject_after: float = 0.0       # accepted, then rejected
    partial: float = 0.0            # a match gives a part only
    drop_update: float = 0.0        # a message of the order stream is lost
    repeat_update: float = 0.0
    late_update: float = 0.0        # up to five seconds, so out of order
    disconnect: float = 0.0         # the order stream drops, per market second
    unpriced: float = 0.0           # an order's rows and messages tell no average, or an absurd one, for up to a minute
    garbled: float = 0.0            # an order's rows and messages lack quantity, tag, id or time, or contradict themselves, so long
    garbled_position: float = 0.0   # a read of the positions has a row that nobody can read


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of one request: `out_ns` to the broker (None: lost), `back_ns` of the answer (None: lost), an error that
    takes the answer's place, and whether the request was carried out nevertheless."""
    out_ns: int | None
    back_ns: int | None
    error: tuple[int, str] | None = None
    is_done: bool = True


def _but(**fields: Any) -> Callable[[Row], Row]:
    return lambda row: row | fields


def _without(*names: str) -> Callable[[Row], Row]:
    return lambda row: {name: value for name, value in row.items() if name not in names}


BAD_PRICES: tuple[Callable[[Row], Any], ...] = (
    _but(average_price=0), _but(average_price=None), _without("average_price"), _but(average_price="n/a"), _but(average_price=[]),
    _but(average_price=-1.0), _but(average_price=float("nan")), _but(average_price=1e308),
    lambda row: row | {"average_price": row["average_price"] * 100},                       # in paise
    lambda row: row | {"average_price": f"{row['average_price']:,.2f}"})
"""What becomes of an order's price: its fill counts all the same."""
BAD_ROWS: tuple[Callable[[Row], Any], ...] = (
    _but(filled_quantity=None, pending_quantity=None), _without("filled_quantity"), _but(filled_quantity="many"), _but(tag=None),
    _but(filled_quantity=-5), _without("tag"), _but(status=None), _but(status=7), _without("quantity", "pending_quantity"),
    _but(quantity="ten"), _but(quantity=1e30), _without("order_timestamp", "exchange_timestamp"), _without("price"),
    _but(order_timestamp=1.7e12), _without("order_id"), lambda row: [], lambda row: None, _but(filled_quantity=True),
    lambda row: row | {"filled_quantity": 0} if row["status"] == "complete" else row,
    lambda row: row | {"filled_quantity": str(row["filled_quantity"]), "quantity": f"{row['quantity']}.0"},
    lambda row: row | {"filled_quantity": row["quantity"] * 100} if row["filled_quantity"] else row,
    lambda row: row | {"tag": row["tag"][:-2] if row["tag"] else None})
"""What becomes of the rest of it: the broker's positions decide."""
BAD_POSITIONS: tuple[Callable[[Row], Any], ...] = (
    _but(quantity=None), _but(quantity="x"), _without("quantity"), _but(product=None), _but(product="intraday"),
    _without("instrument_token"), lambda row: None, _but(quantity=float("inf")))


class Network:
    """The way to and from one `exchange`. Draws in the order of the calls: the same run draws the same."""

    def __init__(self, exchange: Exchange, rates: Rates | None = None):
        self.exchange, self.rates = exchange, rates or Rates()
        self.draw = random.Random(self.rates.seed)
        self.is_clear = all(getattr(self.rates, f.name) == 0 for f in fields(Rates) if f.name != "seed")
        self.hidden: dict[str, int] = {}
        self.bad: dict[str, tuple[Callable[[Row], Any], int]] = {}
        if not self.is_clear:
            exchange.veto = self._veto
            exchange.share = self._share

    def quiet(self) -> None:
        """From now on nothing fails."""
        self.rates = Rates(self.rates.seed)

    def _hit(self, rate: float) -> bool:
        return rate > 0 and self.draw.random() < rate

    def latency(self) -> int:
        """One way of a round trip in ns, log-normal."""
        return round(MEDIAN_NS / 2 * math.exp(SPREAD * self.draw.gauss(0, 1)))

    def journey(self, request: Request) -> Delivery:
        """What becomes of one request."""
        r, out, back = self.rates, self.latency(), self.latency()
        if self.is_clear:
            return Delivery(out, back)
        if request.method == "GET":
            return Delivery(out, back, (503, "UDAPI100500") if self._hit(r.read_error) else None)
        if self._hit(r.slow):
            back += round(self.draw.random() * 4e9)
        if self._hit(r.lost_request):
            return Delivery(None, None)
        if self._hit(r.lost_answer):
            return Delivery(out, None)
        if self._hit(r.error_after):
            return Delivery(out, back, (502, ""))
        for rate, status, code in ((r.error_before, 503, ""), (r.throttle, 429, "UDAPI10005"), (r.refuse, 400, "UDAPI100036")):
            if self._hit(rate):
                return Delivery(out, back, (status, code), is_done=False)
        return Delivery(out, back)

    def on_placed(self, order_id: str, now: int) -> None:
        if self._hit(self.rates.hidden):
            self.hidden[order_id] = now + round(self.draw.random() * 30e9)

    def visible(self, rows: list[dict[str, Any]], now: int) -> list[dict[str, Any]]:
        """The book as it shows at `now`."""
        return [row for row in rows if self.hidden.get(row["order_id"], 0) <= now] if self.hidden else rows

    def shown(self, rows: list[Row], now: int) -> list[Any]:
        """The rows of the book as the broker tells them, which may be wrong."""
        return [self.told(row, now) for row in rows]

    def positions(self, rows: list[Row], now: int) -> list[Any]:
        """The rows of the positions, one of them perhaps such as nobody can read."""
        if not rows or not self._hit(self.rates.garbled_position):
            return rows
        at = self.draw.randrange(len(rows))
        return [self.draw.choice(BAD_POSITIONS)(row) if i == at else row for i, row in enumerate(rows)]

    def told(self, row: Row, now: int) -> Any:
        """An order's row or message as the broker tells it. Whether it is told badly is drawn once an order, and lasts."""
        if self.is_clear:
            return row
        order_id = row["order_id"]
        if order_id not in self.bad:
            kinds = BAD_PRICES if self._hit(self.rates.unpriced) else BAD_ROWS if self._hit(self.rates.garbled) else None
            until = now + round(self.draw.random() * 60e9) if self.draw.random() < 0.7 else 1 << 62
            self.bad[order_id] = (self.draw.choice(kinds), until) if kinds else (dict, 0)
        change, until = self.bad[order_id]
        if now >= until or not (self.rates.unpriced or self.rates.garbled):
            return row
        return change(dict(row))

    def messages(self, due: int, message: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        """When a message of the order stream arrives: never, once or more often."""
        if self.is_clear:
            return [(due, message)]
        order_id, message = message["order_id"], self.told(message, due)
        due = max(due, self.hidden.get(order_id, 0))
        if self._hit(self.rates.drop_update):
            return []
        if self._hit(self.rates.late_update):
            due += round(self.draw.random() * 5e9)
        out = [(due, message)]
        if self._hit(self.rates.repeat_update):
            out.append((due + round(self.draw.random() * 2e9), message))
        return out

    def drops(self) -> bool:
        """Whether the order stream breaks in this second."""
        return self._hit(self.rates.disconnect)

    def _veto(self, order: Order) -> str:
        return "RMS: rejected by the sim's fault script" if self._hit(self.rates.reject_after) else ""

    def _share(self, order: Order, quantity: int) -> int:
        return max(1, quantity * self.draw.randrange(1, 10) // 10) if self._hit(self.rates.partial) else quantity


def from_file(path: Path) -> tuple[Rates, list[dict[str, Any]]]:
    """(rates, scripted feed faults: see feed.script_of) from a TOML file; ValueError names a key that is none."""
    document = tomllib.loads(path.read_text())
    script = document.pop("feed", [])
    known = {f.name for f in fields(Rates)}
    unknown = set(document) - known
    if unknown:
        raise ValueError(f"unknown fault {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    return Rates(**document), script
