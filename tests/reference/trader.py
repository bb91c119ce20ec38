"""Gate, sizing, positions and their one exit order in the plain-Python backtest, from docs/configuration.md and docs/safety.md.

Equities, policy seed, a broker that loses nothing. Money is in paise, times are ns.
"""
from dataclasses import dataclass

from engine.market.instruments import sector_of
from engine.sim.charges import paise_of
from tests.reference.minutes import SECOND, Candidate, Name, session_of
from tests.reference.venue import CANCELLED, COMPLETE, OPEN

PROTECT, REPRICE, GROW, SHRINK, TRAIL = "protect", "re-price", "grow", "shrink", "trail"
LONGEST = 30 * SECOND


def to_tick(price: int, tick: int, up: int) -> int:
    """On the grid, towards the higher or the lower step."""
    rest = price % tick
    return max(price + (tick - rest if up > 0 else -rest) if rest else price, tick)


@dataclass
class Order:
    number: int
    name: Name
    slot: object
    is_entry: bool
    side: int
    is_stop: bool
    why: str
    quantity: int
    price: int
    trigger: int
    sent: int
    changed: int
    candidate: int
    busy: str = "place"               # the request under way
    is_known: bool = False            # the venue has told of it
    is_live: bool = True
    is_ending: bool = False
    retry_at: int = 0
    filled: int = 0
    value: int = 0
    charged: int = 0
    was_stop: bool = False            # when it was last filled
    new: tuple = ()                   # is_stop, quantity, price, trigger, asked for by a modify


@dataclass
class Slot:
    """A position, or an entry that works."""
    name: Name
    side: int
    source: object
    entry: Order = None
    exit: Order = None
    bought: int = 0
    sold: int = 0
    cost: int = 0
    left: int = 0                     # what is held has cost
    net: int = 0
    opened: int = 0
    stop: int = 0
    target: int = 0
    average: int = 0
    atr: float = 0.0
    soft: int = 0                     # policy atr: its own stop, inside the resting one
    fade: int = 0                     # policy atr: half of the spike is lost here
    best: int = 0
    triggered: int = 0
    reprices: int = 0
    rejects: int = 0
    pause: int = SECOND
    own_stop: int = 0
    own_target: int = 0
    own_hold: int = 0
    must_leave: bool = False

    @property
    def held(self) -> int:
        return self.bought - self.sold


@dataclass
class Trade:
    """One position; prices are averages."""
    candidate: int
    symbol: str
    source: str
    side: int
    entry_time: int
    bought: int = 0
    paid: int = 0
    sold: int = 0
    got: int = 0
    exit_time: int = 0
    reason: str = ""
    charges: int = 0
    gross: int = 0
    parts: int = 0                    # of the exit
    bought_at: int = 0                # the last of it
    is_mixed: bool = False            # some was bought after some was sold, or with it


@dataclass
class Request:
    kind: str                         # place, modify, cancel
    order: Order
    terms: tuple                      # is_stop, quantity, price, trigger
    is_entry: bool


class Trader:
    """`risk`, `session`: the sections of the configuration; `cash`: the account at the day's start, paise."""

    def __init__(self, names, feed, risk, session, day, cash: int):
        self.names, self.feed, self.risk, self.session, self.day, self.cash = names, feed, risk, session, day, cash
        self.slots, self.orders, self.outbox = [], [], []
        self.requests, self.entries, self.of_name = [], [], {}
        self.realised = self.charges = self.best = self.losses = self.lost_at = 0
        self.is_reducing = False
        self.trades, self.reasons = {}, {}
        self.on_fill = self.on_exit = None

    # ---- the account -----------------------------------------------------------------------------------------------------
    def open_profit(self) -> int:
        """At the side one can leave on."""
        return sum(s.side * (s.held * leave_price(s.name, s.side) - s.left)
                   for s in self.slots if s.held > 0)

    def exposure(self, wanted=lambda slot: True) -> int:
        """Positions at that price, working entries at their limit."""
        out = 0
        for s in filter(wanted, self.slots):
            out += max(s.held, 0) * leave_price(s.name, s.side)
            if s.entry.is_live:
                out += (s.entry.quantity - s.entry.filled) * s.entry.price
        return out

    def result(self) -> int:
        return self.realised + self.open_profit() - self.charges

    def size(self, n: Name, side: int, price: int) -> int:
        """Whole lots of the smallest of: share of equity, room under the leverage, funds, what is shown, freeze quantity."""
        value = min(self.risk.notional * self.cash, self.risk.leverage * self.cash - self.exposure(), float(self.cash))
        if price <= 0 or not value > 0:
            return 0
        quantity = min(int(value / price), n.ask_depth if side > 0 else n.bid_depth, n.spec.freeze)
        return max(quantity - quantity % n.spec.lot, 0)

    # ---- the gate --------------------------------------------------------------------------------------------------------
    def gate(self, n: Name, side: int, quantity: int, price: int, now: int, minute: int, source) -> str:
        """`pass`, or the first limit against an entry."""
        risk, last = self.risk, self.session.last_minute_cas if n.cas else self.session.last_minute
        lag = self.feed.clock.lag
        checks = (
            ("not running", self.is_reducing),
            ("outside session", not self.session.first_minute <= minute < last),
            ("not tradable", not n.spec.tradable),
            ("clock skew", lag is None or abs(lag) > risk.skew_s * 1000),
            ("stale quote", not n.book_seen or now - n.book_seen > risk.stale_s * SECOND),
            ("no quote", n.bid <= 0 or n.ask <= n.bid),
            ("size below one lot", quantity < n.spec.lot))
        reason = next((word for word, is_against in checks if is_against), "")
        if not reason and n.slot is not None:
            reason = "already in this name" if n.slot.source is source else "another source is in this name"
        if not reason and len(self.slots) >= risk.max_positions:
            reason = "too many positions"
        return (reason or self._account(n, quantity * price, now) or self._costs(n, quantity, price) or self._budgets(n, now)
                or "pass")

    def target_share(self, atr: float) -> float:
        """Distance of the target: 4 %, or four average ranges, not below 30 bp, with 4 % as outer limit; 0: not known."""
        risk = self.risk
        if risk.policy == "seed":
            return risk.target
        return min(max(risk.atr_stop * atr, risk.atr_floor), risk.target) if atr > 0 else 0.0

    def _costs(self, n: Name, quantity: int, price: int) -> str:
        """Policy atr: charges of both legs and a spread against what the target earns."""
        value, share = quantity * price, self.target_share(n.atr)
        if self.risk.policy == "seed":
            return ""
        if not share:
            return "unknown number"
        cost = sum(paise_of("equity", is_sale, value, self.day) for is_sale in (False, True)) + quantity * (n.ask - n.bid)
        return "costs too much of the target" if cost / (share * value) > self.risk.cost_share else ""

    def _account(self, n: Name, value: int, now: int) -> str:
        risk, equity, sector = self.risk, self.cash, sector_of(n.spec.symbol)
        loss = -self.result() / equity
        checks = (
            ("order value", value > risk.order_value * 100),
            ("over 5 % notional", value > risk.notional * equity),
            ("over leverage", self.exposure() + value > risk.leverage * equity),
            ("exposure in this name", (self.exposure(lambda s: s.name is n) + value) / equity > risk.symbol_exposure),
            ("exposure in this sector", (self.exposure(lambda s: sector_of(s.name.spec.symbol) == sector) + value) / equity
             > (risk.sector_exposure if sector else min(risk.notional, risk.sector_exposure))),
            ("daily loss", loss >= risk.daily_loss),
            ("drawdown", (self.best - self.result()) / equity >= risk.drawdown),
            ("losing streak", 0 < risk.losing_streak <= self.losses and now - self.lost_at < risk.streak_pause_s * SECOND))
        return next((word for word, is_against in checks if is_against), "")

    def _budgets(self, n: Name, now: int) -> str:
        risk, mine, reserve = self.risk, self.of_name.get(n.number, []), self.risk.exit_reserve
        checks = (
            ("too soon in this name", bool(mine) and now - mine[-1] < risk.symbol_gap_s * SECOND),
            ("orders a minute in this name", recent(mine, now, 60) >= risk.symbol_per_minute
             or recent(mine, now, 3600) >= risk.symbol_per_hour),
            ("orders a minute", recent(self.entries, now, 60) >= risk.orders_per_minute),
            ("orders an hour", recent(self.entries, now, 3600) >= risk.orders_per_hour),
            ("orders a day", len(self.entries) >= risk.orders_per_day),
            ("broker budget", recent(self.requests, now, 1) >= risk.requests_per_second - reserve
             or recent(self.requests, now, 60) >= risk.requests_per_minute - 10 * reserve
             or recent(self.requests, now, 1800) >= risk.requests_per_half_hour - 100 * reserve))
        return next((word for word, is_against in checks if is_against), "")

    def may_exit(self, now: int) -> bool:
        risk = self.risk
        windows = (1, risk.requests_per_second), (60, risk.requests_per_minute), (1800, risk.requests_per_half_hour)
        return all(recent(self.requests, now, seconds) < most for seconds, most in windows)

    # ---- entries ---------------------------------------------------------------------------------------------------------
    def enter(self, x: Candidate, now: int, minute: int, limit: int = 0, stop: int = 0, target: int = 0, hold: int = 0) -> None:
        n, side = x.name, x.move
        price = self.marketable(n, side)
        if limit and price > 0 and side * (limit - price) < 0:
            price = to_tick(limit, n.spec.tick, -side)
        self.best = max(self.best, self.result())
        quantity = self.size(n, side, price)
        reason = self.gate(n, side, quantity, price, now, minute, x.source)
        if reason == "pass" and stop and side * ((n.ask if side > 0 else n.bid) - stop) <= 0:
            reason = "its own stop is reached already"
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if reason != "pass":
            return
        s = Slot(n, side, x.source, own_stop=stop, own_target=target, own_hold=hold, atr=n.atr)
        if self.risk.policy == "atr":
            s.fade = int(0.5 * (n.bid + n.ask) * (1 - 0.5 * (1 - x.last_close / x.price)))
        self.slots.append(s)
        n.slot = s
        s.entry = self._order(s, True, side, False, "entry", quantity, price, 0, now, x.number)
        self.entries.append(now)
        self.of_name.setdefault(n.number, []).append(now)

    def marketable(self, n: Name, side: int) -> int:
        """A limit that trades now: the other side's best and the protection beyond it, on the grid away from it."""
        best = (n.ask if side > 0 else n.bid) or n.ltp
        return to_tick(best + int(side * self.risk.protection * best), n.spec.tick, side) if best > 0 else 0

    def _order(self, s: Slot, is_entry, side, is_stop, why, quantity, price, trigger, now, candidate) -> Order:
        o = Order(len(self.orders) + 1, s.name, s, is_entry, side, is_stop, why, quantity, price, trigger, now, now, candidate)
        self.orders.append(o)
        self._ask("place", o, (is_stop, quantity, price, trigger), why, now)
        return o

    def _ask(self, kind: str, o: Order, terms: tuple, why: str, now: int) -> None:
        o.busy, o.changed = kind, now
        if why not in (REPRICE, GROW, SHRINK, TRAIL):
            o.why = why
        elif kind == "place":
            o.why = PROTECT
        self.requests.append(now)
        self.outbox.append(Request(kind, o, terms, kind == "place" and o.is_entry))

    def is_ready(self, o: Order, now: int) -> bool:
        return not o.busy and o.is_live and o.is_known and now >= o.retry_at

    def _cancel(self, o: Order, why: str, now: int) -> None:
        if self.is_ready(o, now) and self.may_exit(now):
            o.is_ending = True
            self._ask("cancel", o, (), why, now)

    # ---- answers ---------------------------------------------------------------------------------------------------------
    def on_reply(self, o: Order, kind: str, is_done: bool, now: int) -> None:
        if kind != o.busy:                # the message was faster
            return
        o.busy, o.is_known = "", o.is_known or is_done
        if is_done and kind == "modify":
            o.is_stop, o.quantity, o.price, o.trigger = o.new
        elif kind == "cancel" or not is_done:
            o.retry_at = now + 10 * SECOND
        self._settle(o, now)

    def on_message(self, told, now: int) -> None:
        """An order as the venue says it is."""
        o = self.orders[told.number - 1]
        o.is_known = True
        if told.filled > o.filled:
            quantity, worth = told.filled - o.filled, told.value - o.value
            o.filled, o.value, o.was_stop = told.filled, told.value, told.is_stop
            self._filled(o, quantity, worth, now)
        if o.busy == "place":
            o.busy = ""
        s = o.slot
        if told.status != OPEN:
            o.is_live, o.busy = False, ""
            if s.exit is o and told.status != COMPLETE:
                if o.is_ending and told.status == CANCELLED:
                    o.retry_at = now
                else:
                    self._back_off(s, o, now)
        elif s.exit is o and o.is_stop:
            s.pause, s.rejects = SECOND, 0
        self._settle(o, now)

    def _settle(self, o: Order, now: int) -> None:
        if o.slot in self.slots:
            self.manage(o.slot, now)
        elif o.is_live:
            self._cancel(o, "late", now)

    def _back_off(self, s: Slot, o: Order, now: int) -> None:
        o.retry_at = now + s.pause
        s.pause = min(2 * s.pause, LONGEST)
        s.rejects += 1

    def _filled(self, o: Order, quantity: int, worth: int, now: int) -> None:
        s, realised = o.slot, 0
        if o.is_entry:
            s.opened = s.opened or now
            s.bought += quantity
            s.cost += worth
            s.left += worth
            self._plan(s)
        else:
            part = s.left * quantity // s.held
            s.sold += quantity
            s.left -= part
            realised = s.side * (worth - part)
        charged = paise_of("equity", o.side < 0, o.value, self.day)
        part = charged - o.charged
        o.charged = charged
        self.realised += realised
        self.charges += part
        s.net += realised - part
        self._keep(o, quantity, worth, realised, part, now)

    def _keep(self, o: Order, quantity: int, worth: int, realised: int, charges: int, now: int) -> None:
        s = o.slot
        t = self.trades.setdefault(o.candidate, Trade(o.candidate, s.name.spec.symbol, s.source.word, s.side, now))
        t.charges += charges
        t.gross += realised
        if o.is_entry:
            t.is_mixed, t.bought_at = t.is_mixed or t.sold > 0, now
            t.bought += quantity
            t.paid += quantity * (worth // quantity)
            return
        t.parts += 1
        t.is_mixed = t.is_mixed or t.bought_at == now
        t.sold += quantity
        t.got += quantity * (worth // quantity)
        t.reason = "stop" if o.why == PROTECT or o.was_stop else o.why
        if t.sold >= t.bought:
            t.exit_time = now

    def _plan(self, s: Slot) -> None:
        """Stop and target from the average entry price, on the grid towards it."""
        average, tick, share = s.cost / s.bought, s.name.spec.tick, self.target_share(s.atr) or self.risk.target
        s.average = int(average)
        s.stop = to_tick(int(average * (1 - s.side * self.risk.stop)), tick, s.side)
        s.target = to_tick(int(average * (1 + s.side * share)), tick, -s.side)
        if self.risk.policy == "atr" and share < self.risk.stop:
            s.soft = to_tick(int(average * (1 - s.side * share)), tick, s.side)
        if s.own_stop:
            if s.side * (s.average - s.own_stop) <= 0:
                s.must_leave = True
            elif s.side * (s.own_stop - s.stop) > 0:
                s.stop = to_tick(s.own_stop, tick, s.side)
        if s.own_target and s.side * (s.own_target - s.target) < 0:
            s.target = to_tick(s.own_target, tick, -s.side)

    def leave(self, s: Slot, now: int) -> None:
        """Its strategy asks for the end of a position, or takes its entry back."""
        s.must_leave = True
        if s.entry.is_live:
            self._cancel(s.entry, "strategy", now)
        self.manage(s, now)

    # ---- exits -----------------------------------------------------------------------------------------------------------
    def minute_of(self, now: int) -> int:
        return session_of(self.feed.clock.exchange_ms(now))

    def flat_minute(self, n: Name) -> int:
        return self.session.flat_minute_cas if n.cas else self.session.flat_minute

    def why_exit(self, s: Slot, now: int) -> str:
        """Why a position should end; PROTECT: it should not."""
        price = s.name.bid if s.side > 0 else s.name.ask
        hold = round(self.risk.hold_s * SECOND)
        if s.own_hold and (not hold or s.own_hold < hold):
            hold = s.own_hold
        if s.must_leave:
            return "strategy"
        if self.minute_of(now) >= self.flat_minute(s.name):
            return "square-off"
        if hold and now - s.opened >= hold:
            return "time"
        if price <= 0:
            return PROTECT
        if s.side * (price - s.target) >= 0:
            return "target"
        if s.soft and s.side * (price - s.soft) <= 0:
            return "soft stop"
        is_young = now - s.opened <= round(self.risk.fade_s * SECOND)
        return "fade" if s.fade and is_young and s.side * (price - s.fade) <= 0 else PROTECT

    def manage(self, s: Slot, now: int) -> None:
        """Brings the orders of a position to where they should be."""
        o, held = s.exit, s.held
        if s.entry.is_live and (s.sold or now - s.entry.sent >= round(self.risk.entry_life_s * SECOND)):
            self._cancel(s.entry, "stale entry", now)
        if held <= 0:
            if o is not None and o.is_live:
                self._cancel(o, SHRINK, now)
            elif not s.entry.is_live:
                self._free(s, now)
            return
        if o is not None and o.is_live and o.quantity - o.filled > held:
            self._exit(s, SHRINK, held, now)
            return
        if self.minute_of(now) >= self.flat_minute(s.name) + 2:
            return
        why = self.why_exit(s, now)
        if why == PROTECT:
            self._protect(s, held, now)
        elif o is None or not o.is_live or o.is_stop:
            self._exit(s, why, held, now)
        elif now - o.changed >= patience(s):
            self._exit(s, REPRICE, held, now)

    def _protect(self, s: Slot, held: int, now: int) -> None:
        """The stop rests for all that is held; one that the price went through gets filled."""
        o, price = s.exit, s.name.bid if s.side > 0 else s.name.ask
        if price > 0 and (not s.best or s.side * (price - s.best) > 0):
            s.best = price
        s.stop = self._trailed(s)
        is_through = price > 0 and s.side * (price - s.stop) <= 0
        if o is None or not o.is_live:
            self._exit(s, REPRICE if is_through or s.rejects >= 2 else PROTECT, held, now)
        elif not o.is_stop:
            if now - o.changed >= patience(s):
                self._exit(s, REPRICE, held, now)
        elif is_through:
            s.triggered = s.triggered or now
            if now - s.triggered >= SECOND:
                self._exit(s, REPRICE, held, now)
        else:
            s.triggered = 0
            if o.quantity - o.filled < held:
                self._exit(s, GROW, held, now)
            elif o.trigger != s.stop:
                self._exit(s, TRAIL, held, now)

    def _trailed(self, s: Slot) -> int:
        """The stop follows the best price at its distance, by a quarter of it at least, and never turns back."""
        trail = self.risk.trail
        if not trail or s.best <= 0 or s.side * (s.best - s.average) < trail * s.average:
            return s.stop
        stop = to_tick(int(s.best * (1 - s.side * trail)), s.name.spec.tick, s.side)
        return stop if s.side * (stop - s.stop) >= max(int(0.25 * trail * s.best), s.name.spec.tick) else s.stop

    def stop_limit(self, s: Slot) -> int:
        """Limit of a stop: 0.5 %, three spreads or five steps beyond the trigger, whichever is most."""
        n, offset = s.name, max(int(0.005 * s.stop), 5 * s.name.spec.tick)
        if n.bid > 0 and n.ask > n.bid:
            offset = max(offset, 3 * (n.ask - n.bid))
        return to_tick(s.stop - s.side * offset, n.spec.tick, -s.side)

    def _exit(self, s: Slot, why: str, held: int, now: int) -> None:
        """Makes the one exit order say `why` for `held`: places it, or modifies the one that lives."""
        o, is_stop = s.exit, why in (PROTECT, GROW, TRAIL)
        if why == SHRINK:
            is_stop, price, trigger = o.is_stop, o.price, o.trigger
        elif is_stop:
            price, trigger = self.stop_limit(s), s.stop
        else:
            price, trigger = self.marketable(s.name, -s.side), 0
        if price <= 0 or (o is not None and now < o.retry_at) or not self.may_exit(now):
            return
        if o is None or not o.is_live:
            s.exit = self._order(s, False, -s.side, is_stop, why, held, price, trigger, now, s.entry.candidate)
            return
        is_same = o.is_stop == is_stop and o.quantity - o.filled == held and (
            o.trigger == trigger if is_stop else o.price == price)
        if not self.is_ready(o, now) or is_same:
            return
        if self.risk.exit_by == "cancel" and o.is_stop != is_stop:
            self._cancel(o, why, now)
            return
        o.new = is_stop, o.filled + held, price, trigger
        self._ask("modify", o, o.new, why, now)
        s.reprices += not is_stop

    def _free(self, s: Slot, now: int) -> None:
        if s.bought > 0:
            self.losses = self.losses + 1 if s.net < 0 else 0
            self.lost_at = now if s.net < 0 else self.lost_at
        self.slots.remove(s)
        s.name.slot = None

    # ---- time ------------------------------------------------------------------------------------------------------------
    def on_timer(self, now: int) -> None:
        if not self.slots:
            return
        result = self.result()
        self.best = max(self.best, result)
        if -result >= self.risk.daily_loss * self.cash or self.best - result >= self.risk.drawdown * self.cash:
            self.is_reducing = True
        for s in list(self.slots):
            self.manage(s, now)

    def end(self, now: int) -> None:
        """What is held where the data ends counts as left at the best price shown, with the costs of leaving."""
        for s in self.slots:
            if s.held > 0:
                price, t = leave_price(s.name, s.side), self.trades[s.entry.candidate]
                t.gross += s.side * (s.held * price - s.left)
                t.charges += paise_of("equity", s.side > 0, s.held * price, self.day)
                t.got += s.held * price
                t.parts += 1
                t.sold += s.held
                t.exit_time, t.reason = now, "end of data"


def leave_price(n: Name, side: int) -> int:
    return (n.bid if side > 0 else n.ask) or n.ltp


def patience(s: Slot) -> int:
    """Between re-pricings of an exit that does not fill."""
    return SECOND if s.reprices < 10 else 5 * SECOND if s.reprices < 40 else LONGEST


def recent(times: list, now: int, seconds: int) -> int:
    """How many of `times` are later than `seconds` ago."""
    return sum(at > now - seconds * SECOND for at in times)

