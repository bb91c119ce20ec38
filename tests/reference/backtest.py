"""A plain-Python backtest of day files, written from the rules (docs/backtest.md, docs/strategies.md, docs/market.md,
docs/safety.md, docs/configuration.md) and without a formula of the product. Slow on purpose: `trades` tells what an account would
have done."""
import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from engine.feed.dayfile import DayFile
from engine.market.instruments import CLOSING_AUCTION_FROM, close_minute
from engine.market.sessions import profile
from tests.reference.minutes import (
    HAS_BOOK,
    KEPT,
    MS,
    SECOND,
    Candidate,
    Feed,
    MovingAverageCross,
    Name,
    OpeningRange,
    Seen,
    Spike,
    Update,
    session_of,
)
from tests.reference.trader import Trader
from tests.reference.venue import Venue, VenueOrder

PERIOD, TOLD = SECOND // 4, 8 * MS
ARRIVE, ANSWER, MESSAGE = range(3)
"""What happens first of what happens at one time; then timers, then prices."""
SHIPPED = {"moving_average_cross": MovingAverageCross}
SOURCES = {"spike": Spike, "opening_range": OpeningRange}


@dataclass
class Rules:
    """[signals] and [session] as sources ask for them."""
    strength: float
    volume: float
    spread_bp: float
    opposing_ms: int
    first_minute: int
    last_minute: int
    last_minute_cas: int


@dataclass
class Options:
    latency_ms: int
    spread_bp: float = 3.0
    spread_ticks: int = 3
    level: int = 15_000_000           # paise


def updates_of(day: DayFile, options: Options):
    """(time in ns, number of the name, what gives its Update or None when told the side of the position held) in order."""
    yield from (bars_of if day.kind == "bars" else ticks_of)(day, options)


def ticks_of(day: DayFile, options: Options):
    """Each row is an update; a day without a book has a modelled one."""
    fields = ("has", "ltp", "ltt", "vtt", "iv", "n_levels")
    sides = [f"levels.{name}" for name in ("bidQ", "bidP", "askQ", "askP")]
    columns = {name: np.asarray(values).tolist() for name, values in day.columns.items()
               if name in ("inst", "received", *fields, *sides)}
    has_book = "levels.bidP" in columns and any(has & HAS_BOOK for has in columns["has"])
    zeros = [0] * day.rows
    none = [()] * day.rows
    for inst, at, has, ltp, ltt, vtt, iv, count, *shown in zip(
            columns["inst"], columns["received"], *(columns.get(name, zeros) for name in fields),
            *(columns.get(name, none) for name in sides), strict=True):
        levels = list(itertools.islice(itertools.zip_longest(*shown, fillvalue=0), count)) if has & HAS_BOOK else []
        if not has_book and ltp > 0:
            has, levels = has | HAS_BOOK, modelled(ltp, day.specs[inst].tick, options)
        update = Update(at * MS, has, ltp, ltt, vtt, iv, levels)
        yield at * MS, inst, lambda side, update=update: update


def bars_of(day: DayFile, options: Options):
    """Four updates a bar, point by point of all bars of a minute; the volume comes with the close."""
    total = dict.fromkeys(range(len(day.specs)), 0)
    for ms, group in itertools.groupby(day.bars().tolist(), lambda bar: bar[1]):
        bars = list(group)
        for point, second in enumerate((1, 20, 40, 59)):
            at = ms + second * 1000
            for bar in bars:
                if point == 3:
                    total[bar[0]] += max(bar[6], 0)
                tick, so_far = day.specs[bar[0]].tick, total[bar[0]]

                def make(side, bar=bar, point=point, at=at, tick=tick, so_far=so_far):
                    price = price_of(bar, point, side)
                    return Update(at * MS, 67, price, at, so_far, 0.0, modelled(price, tick, options)) if price > 0 else None

                yield at * MS, bar[0], make


def price_of(bar, point: int, side: int) -> int:
    """Of the extremes the one against a position comes first; without one the low comes first in a bar that rose."""
    _, _, opened, high, low, close, *_ = bar
    is_low_first = side > 0 if side else close >= opened
    return (opened, low if is_low_first else high, high if is_low_first else low, close)[point]


def modelled(price: int, tick: int, options: Options) -> list:
    """3 bp or three steps wide about the last price, and the same value on each of five levels a step apart."""
    spread = max(int(options.spread_bp * 1e-4 * price) // tick * tick, options.spread_ticks * tick)
    bid = max((price - spread // 2) // tick * tick, tick)
    quantity = max(options.level // bid, 1)
    return [(quantity, max(bid - k * tick, 0), quantity, bid + spread + k * tick) for k in range(5)]


class Day:
    """One day on one account. `warm`: minutes of the session before by key."""

    def __init__(self, day: DayFile, config, options: Options, cash: int, warm: dict, strategies=SHIPPED):
        self.file, self.options, self.signals = day, options, config.signals
        self.feed = Feed(600_000 if day.kind == "bars" else 0)      # candles: ten minutes without one are a gap
        a, v = profile(day.day)
        self.names = []
        for number, spec in enumerate(day.specs):
            is_cas = spec.is_cas and day.day >= CLOSING_AUCTION_FROM
            name = Name(spec, number, a, v, close_minute(spec.kind, is_cas, day.day), self.feed, is_cas)
            name.warm(warm.get(spec.key, []))
            self.names.append(name)
        self.trader = Trader(self.names, self.feed, config.risk, config.session, day.day, cash)
        self.venue = Venue(day.specs)
        self.sources = [SOURCES[word](**config.source.get(word, {})) for word in config.sources]
        self.strategies = [strategies[entry.file](word, **entry.parameters) for word, entry in config.strategies.items()]
        s = config.session
        self.rules = Rules(config.signals.strength, config.signals.volume, config.signals.spread_bp,
                           round(config.signals.opposing_s * 1000), s.first_minute, s.last_minute, s.last_minute_cas)
        self.last = {}                    # (source, name, direction) -> trade time of the last candidate worth trading
        self.passed, self.events, self.order = [], [], 0
        self.candidates, self.verdicts = 0, {}
        self.now = 0

    # ---- time --------------------------------------------------------------------------------------------------------------
    def run(self) -> None:
        rows = ((at, list(group)) for at, group in itertools.groupby(updates_of(self.file, self.options), lambda row: row[0]))
        coming = next(rows, None)
        timer = (coming[0] // PERIOD + 1) * PERIOD if coming else 0
        while coming is not None or (self.events and self.events[0][0] <= timer):
            at = coming[0] if coming is not None else None
            if self.events and self.events[0][0] <= timer and (at is None or self.events[0][0] <= at):
                self._event()
            elif timer <= at:
                self._timer(timer)
                timer += PERIOD
            else:
                self.now = at
                for _, number, make in coming[1]:
                    n = self.names[number]
                    update = make(n.slot.side if n.slot is not None else 0)
                    if update is not None:
                        self._update(n, update)
                self._strategies()
                coming = next(rows, None)
            self._send()
        while self.events:
            self._event()
            self._send()
        self.now += MS
        self._expire(True)
        self.trader.end(self.now)

    def _timer(self, now: int) -> None:
        self.now = now
        if self.feed.clock.lag is not None:
            for name in self.names:
                name.on_timer(now)
        self._expire(False)
        self.trader.on_timer(now)
        self._strategies()

    def _push(self, due: int, kind: int, what) -> None:
        self.order += 1
        heapq.heappush(self.events, (due, kind, self.order, what))

    def _send(self) -> None:
        """Requests leave, exits before entries; what the venue says is under way."""
        way = self.options.latency_ms * MS // 2
        rank = {"modify": 0, "place": 0, "cancel": 1}
        for request in sorted(self.trader.outbox, key=lambda r: 2 if r.is_entry else rank[r.kind]):
            self._push(self.now + way, ARRIVE, request)
        self.trader.outbox.clear()
        for at, order in self.venue.told:
            self._push(at + TOLD, MESSAGE, order)
        self.venue.told.clear()

    def _event(self) -> None:
        due, kind, _, what = heapq.heappop(self.events)
        self.now = due
        if kind == ARRIVE:
            self._push(due + self.options.latency_ms * MS // 2, ANSWER, (what, self._arrive(what, due)))
        elif kind == ANSWER:
            self.trader.on_reply(what[0].order, what[0].kind, what[1], due)
        else:
            self.trader.on_message(what, due)

    def _arrive(self, request, now: int) -> bool:
        o = request.order
        if request.kind == "cancel":
            return self.venue.cancel(o.number, now)
        if request.kind == "modify":
            return self.venue.modify(o.number, *request.terms, now)
        return self.venue.place(VenueOrder(o.number, o.name.number, o.side, *request.terms), now)

    def last_minutes(self) -> dict:
        """By key, what the next day begins with."""
        return {n.spec.key: n.bars[-KEPT:] for n in self.names}

    # ---- an update ---------------------------------------------------------------------------------------------------------
    def _update(self, n: Name, t: Update) -> None:
        """The venue sees a price before the engine does; a candidate that waits is asked first, then positions, then sources."""
        self.venue.on_row(n.number, t)
        seen = n.on_row(t)
        if seen.traded:
            while n.pending:
                self._decide(n.pending.pop(), seen)
            self._enter(seen)
        if n.slot is not None:
            self.trader.manage(n.slot, self.now)
        for source in self.sources:
            event = source.on_tick(n, seen)
            if event is not None:
                self._propose(source, n, seen, *event)
        self._enter(seen)

    def _strategies(self) -> None:
        """After a frame or timer strategies are called for the bars that have closed; what each call asks for counts at once."""
        closings, self.feed.closings = self.feed.closings, []
        for strategy in self.strategies:
            for n, count in strategy.take(closings):
                held = n.slot.side if n.slot is not None and n.slot.source is strategy else 0
                wish = strategy.on_bar(np.array(strategy.bars[n.number][:count][-200:]), held)
                if wish == "leave":
                    self.trader.leave(n.slot, self.now)
                elif wish is not None:
                    now_ms = self.feed.clock.exchange_ms(self.now)
                    minute = session_of(now_ms) if 0 <= session_of(now_ms) < n.close else -1
                    self._propose(strategy, n, Seen(self.now, n.ltt, n.ltp, minute), wish["side"], 1, 1.0)
                    limit, stop, target = (round(100 * wish.get(name, 0)) for name in ("limit", "stop", "target"))
                    for x in self.passed:
                        self.trader.enter(x, self.now, self.trader.minute_of(self.now), limit, stop, target,
                                          round(wish.get("hold", 0) * SECOND))
                    self.passed.clear()

    def _propose(self, source, n: Name, seen: Seen, move: int, level: int, strength: float) -> None:
        self.candidates += 1
        m = n.measures(seen.ltp)
        x = Candidate(self.candidates, source, n, move, level, strength, seen.now, seen.ltp, int(n.last_close), n.open5, m["z20"],
                      m["z50"], m["ratio"])
        if level == 0:
            return
        self.last[source, n.number, move] = seen.ltt
        if not source.is_scored or n.moved_along(seen, move, self.signals.confirm_share):
            self._decide(x, seen)
            return
        for other in [y for y in n.pending if y.source is source]:     # the newer one counts
            n.pending.remove(other)
            self._verdict("not confirmed")
        n.pending.append(x)

    def _decide(self, x: Candidate, seen: Seen) -> None:
        other = self.last.get((x.source, x.name.number, -x.move))
        opposing = None if other is None else max(seen.ltt - other, 0)
        reason = x.source.judge(self.rules, x.name, seen, opposing, x)
        self._verdict(reason)
        if reason == "pass":
            self.passed.append(x)

    def _verdict(self, reason: str) -> None:
        self.verdicts[reason] = self.verdicts.get(reason, 0) + 1

    def _enter(self, seen: Seen) -> None:
        for x in self.passed:
            self.trader.enter(x, self.now, seen.minute)
        self.passed.clear()

    def _expire(self, is_end: bool) -> None:
        """A candidate waits for a minute at most."""
        for n in self.names:
            for x in list(n.pending):
                if is_end or self.now - x.now > round(self.signals.confirm_s * SECOND):
                    n.pending.remove(x)
                    self._verdict("not confirmed")


def trades(paths, config, options: Options, before=None, strategies=SHIPPED):
    """(trades, verdicts by reason, gate's words by reason, candidates) of the days in order, on one account. `parts`: of the exit;
    `is_mixed`: some was bought after some was sold. `before`: a day of which only the last minutes are taken.
    `strategies`: by their file."""
    cash, warm, out = round(config.risk.account_size * 100), {}, []
    rules, gate, candidates = {}, {}, 0
    if before is not None:
        day = Day(DayFile(before), config, options, cash, {}, strategies)
        day.trader.is_reducing = True
        day.run()
        warm = day.last_minutes()
    for path in paths:
        day = Day(DayFile(path), config, options, cash, warm, strategies)
        day.run()
        for t in day.trader.trades.values():
            cash += t.gross - t.charges
            out.append({
                "day": str(day.file.day), "candidate": t.candidate, "symbol": t.symbol, "source": t.source, "side": t.side,
                "quantity": t.bought, "entry_time": t.entry_time, "exit_time": t.exit_time, "entry_price": t.paid / t.bought,
                "exit_price": t.got / max(t.sold, 1), "gross": t.gross, "charges": t.charges, "reason": t.reason,
                "parts": t.parts, "is_mixed": t.is_mixed})
        warm = day.last_minutes()
        candidates += day.candidates
        for total, found in ((rules, day.verdicts), (gate, day.trader.reasons)):
            for word, count in found.items():
                total[word] = total.get(word, 0) + count
    return out, rules, gate, candidates

