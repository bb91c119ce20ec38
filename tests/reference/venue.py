"""How orders are matched in the plain-Python backtest (docs/backtest.md "How orders are matched"): what is shown can be had, once,
until the next update of the name."""
from dataclasses import dataclass, replace

from tests.reference.minutes import HAS_BOOK

OPEN, COMPLETE, CANCELLED, REJECTED = "open", "complete", "cancelled", "rejected"


@dataclass(slots=True)
class VenueOrder:
    number: int
    name: int
    side: int
    is_stop: bool
    quantity: int
    price: int
    trigger: int
    status: str = OPEN
    is_waiting: bool = False          # a stop whose trigger was not reached
    filled: int = 0
    value: int = 0


class Venue:
    """`specs`: instruments by number. `told` collects (time, order as it was)."""

    def __init__(self, specs):
        self.specs, self.orders, self.told, self.working = specs, {}, [], []
        self.last = dict.fromkeys(range(len(specs)), 0)
        self.book = {k: [] for k in range(len(specs))}         # [bid quantity, bid, ask quantity, ask], less what was taken

    def on_row(self, name: int, t) -> None:
        """An update of a name; one without a book is no news of the book."""
        if t.ltp > 0:
            self.last[name] = t.ltp
        if t.has & HAS_BOOK:
            self.book[name] = [list(level) for level in t.levels]
        self.working = [o for o in self.working if o.status == OPEN]
        for order in self.working:
            if order.name == name:
                self._match(order, t.now)

    def _match(self, o: VenueOrder, now: int) -> bool:
        """Whether the order got something of the book as it is."""
        if o.is_waiting:
            if self.last[o.name] <= 0 or (self.last[o.name] - o.trigger) * o.side < 0:
                return False
            o.is_waiting = False
        size, price, before = (2, 3, o.filled) if o.side > 0 else (0, 1, o.filled)
        lot = self.specs[o.name].lot
        for level in self.book[o.name]:
            if level[price] <= 0 or level[size] <= 0:
                continue
            if (level[price] - o.price) * o.side > 0 or o.filled == o.quantity:
                break
            take = min(level[size], o.quantity - o.filled) // lot * lot
            level[size] -= take
            o.filled += take
            o.value += take * level[price]
        if o.filled == o.quantity:
            o.status = COMPLETE
        if o.filled > before:
            self._tell(o, now)
        return o.filled > before

    def _tell(self, o: VenueOrder, now: int) -> None:
        self.told.append((now, replace(o)))

    def _is_fit(self, o: VenueOrder) -> bool:
        spec = self.specs[o.name]
        if o.quantity % spec.lot or o.quantity > spec.freeze or o.price <= 0 or o.price % spec.tick or o.trigger % spec.tick:
            return False
        prices = (o.price, o.trigger) if o.is_stop else (o.price,)
        inside = all(p >= spec.lower and (spec.upper <= 0 or p <= spec.upper) for p in prices)
        return inside and (not o.is_stop or (o.trigger > 0 and (o.trigger - o.price) * o.side <= 0))

    def place(self, o: VenueOrder, now: int) -> bool:
        self.orders[o.number] = o
        self.working.append(o)
        if not self._is_fit(o):
            o.status = REJECTED
            self._tell(o, now)
            return True
        o.is_waiting = o.is_stop
        if not self._match(o, now):
            self._tell(o, now)
        return True

    def modify(self, number: int, is_stop: bool, quantity: int, price: int, trigger: int, now: int) -> bool:
        """False: refused, for the order is over."""
        o = self.orders[number]
        if o.status != OPEN or quantity <= o.filled:
            return False
        if self._is_fit(replace(o, is_stop=is_stop, quantity=quantity, price=price, trigger=trigger)):
            o.is_stop, o.quantity, o.price, o.trigger, o.is_waiting = is_stop, quantity, price, trigger, is_stop
            if self._match(o, now):
                return True
        self._tell(o, now)
        return True

    def cancel(self, number: int, now: int) -> bool:
        o = self.orders[number]
        if o.status != OPEN:
            return False
        o.status = CANCELLED
        self._tell(o, now)
        return True
