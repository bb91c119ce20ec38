"""Episodes with contracts that their underlying guides, on the same failing broker: the feed's Greeks come, stop, or are nonsense.

What the engine should do with a guide is worked out here once more, from what the feed was made to say: `docs/strategies.md`,
"Options, and a guide".
"""
import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from _ext.core.records import CANDIDATE, INTENT, REC_ASK, REC_INTENT, ROLE_EXIT, Why
from _ext.entrance import Core
from _ext.trail.reader import Reader
from engine.feed import HAS_GREEKS
from engine.market.instruments import Instrument
from engine.run.virtual import VirtualRun
from engine.sim.exchange import Exchange
from tests.trade.episodes import AFTER_FAULT_NS, CASH, SECOND, Episode, Violation

STOCK, OTHER = Instrument("NSE_EQ|A", "RELIANCE", tick=10, price=140_000), Instrument("NSE_EQ|B", "TCS", tick=5, price=310_000)
CONTRACT: dict[str, Any] = {"underlying": STOCK.key, "expiry": "2026-09-29", "lot": 25, "freeze": 1000, "tick": 5,
                            "strike": 140_000}
NAMES = [STOCK, Instrument("NSE_FO|1", "RELIANCE 1400 CE", "option", right="CE", **CONTRACT),
         Instrument("NSE_FO|2", "RELIANCE 1400 PE", "option", right="PE", **CONTRACT), OTHER]
RIGHT = {1: 1, 2: -1}                    # of the contracts, by their rows
SPREAD = 0.3 * math.sqrt(28 / 365)       # sd of the underlying's logarithm until the expiry
FRESH_NS, AGAIN_NS = 60 * SECOND, 30 * SECOND
LEAST = 2 * 5                            # paise of a move
ACT_NS = 5 * SECOND                      # from a guide beyond its stop or target to an exit on its way, when nothing fails
GREEKS = ("fresh", "fresh", "fresh", "absent", "silent", "nan", "wrong")


def to_tick(price: int, tick: int, up: int) -> int:
    """On the grid, towards the higher or the lower step."""
    rest = price % tick
    return max(price + (tick - rest if up > 0 else -rest) if rest else price, tick)


def delta_of(right: int, stock: int, strike: int) -> float:
    return right * 0.5 * math.erfc(-right * (math.log(stock / strike) / SPREAD + SPREAD / 2) / math.sqrt(2))


def price_of(right: int, stock: int, strike: int) -> float:
    away = math.log(stock / strike) / SPREAD
    return right * (stock * 0.5 * math.erfc(-right * (away + SPREAD / 2) / math.sqrt(2))
                    - strike * 0.5 * math.erfc(-right * (away - SPREAD / 2) / math.sqrt(2)))


@dataclass
class Guided:
    """What is known of one position with a guide; prices in paise."""
    inst: int
    candidate: int
    side: int                            # of the guide's move that earns
    began: int                           # ns
    entry: int                           # the guide's price then
    stop: int                            # of the guide, not trailed
    target: int
    is_reached: bool                     # its own stop was reached before
    rests: int                           # where the contract's stop should rest
    mapped: int                          # ns it was last mapped at; 0: the contract's own rule holds
    best: int
    beyond: int = 0                      # ns since when the guide has been beyond stop or target; 0: it is not


class WatchedExchange(Exchange):
    """Says what it shows when it shows it."""
    seen: Callable[[np.ndarray, int], None]

    def on_rows(self, rows: np.ndarray, now: int) -> None:
        super().on_rows(rows, now)
        self.seen(rows, now)


class WatchedRun(VirtualRun):
    """Looks after each timer too: what it does must not be taken for the next frame's."""

    def _timer(self, now: int, is_second: bool) -> None:
        super()._timer(now, is_second)
        assert self.watch is not None
        self.watch(now)


class GuidedEpisode(Episode):
    """One seed with calls and puts of a stock."""
    names, prices = NAMES, (140_000, 4_700, 4_700, 310_000)

    def __init__(self, seed: int, *given: Any, **more: Any):
        super().__init__(seed, *given, **more)
        draw, risk = self.draw, self.settings.risk
        risk.stop, risk.target = draw.choice((0.004, 0.01, 0.02)), draw.choice((0.02, 0.04))
        risk.hold_s, risk.trail = draw.choice((60, 600, 600)), draw.choice((0.0, 0.0, 0.003))
        self.quotes: dict[int, int] = {}                   # last price by row
        self.deltas: dict[int, tuple[float, int]] = {}     # (delta, ns) as the feed last told it
        self.says: dict[int, tuple[str, float]] = {}       # (of GREEKS, until when in s) of a contract
        self.last: dict[int, np.ndarray] = {}              # last row
        self.premium = {1: 1.0, 2: 1.0}                    # what is paid over the model
        self.asked: dict[int, tuple[int, int]] = {}        # candidate -> its own stop and target; 0: none
        self.stock: list[tuple[int, int]] = []             # (ns, price) of the guide
        self.held: dict[tuple[int, int], Guided] = {}      # by entry order and generation
        self.done: list[Guided] = []

    # ---- the market --------------------------------------------------------------------------------------------------------
    def next_price(self, i: int, prices: list[int], now: int) -> int:
        if i not in RIGHT:
            return super().next_price(i, prices, now)
        word, until = self.says.get(i, ("fresh", 0.0))
        if now / 1e9 > until:
            word = self.draw.choice(GREEKS) if i in self.says else "fresh"
            self.says[i] = word, now / 1e9 + self.draw.choice((10, 40, 100))
        if word == "silent":                               # nobody trades: what is offered stays where the last trade was
            return int(self.last[i]["ltp"][0]) + 5 * self.draw.choice((-1, 0, 1))
        self.premium[i] = min(max(self.premium[i] * (1 + self.draw.gauss(0.001, 0.01)), 0.7), 2.0)
        return max(round(price_of(RIGHT[i], prices[0], NAMES[i].strike) * self.premium[i] / 5) * 5, 100)

    def slide(self, i: int, price: int, now: int) -> None:
        if i not in RIGHT:
            super().slide(i, price, now)
            return
        lower, upper = (round(price * (1 + side * self.draw.uniform(0.1, 0.6)) / 10) * 10 for side in (-1, 1))
        self.virtual.exchange.slide(NAMES[i].key, lower, upper, now)
        self.line.note(NAMES[i].key)

    def row(self, i: int, price: int, vtt: int) -> np.ndarray:
        row = super().row(i, price, vtt)
        if i in RIGHT:
            self._say(i, row)
        return row

    def seen(self, rows: np.ndarray, now: int) -> None:
        """What the engine knows from here on, by the engine's clock: a candidate may have put it ahead of this frame."""
        now = max(now, self.virtual.core.now)
        i = next(i for i, spec in enumerate(NAMES) if spec.key.encode() == rows["key"][0])
        self.quotes[i], self.last[i] = int(rows["ltp"][0]), rows
        if i == 0:
            self.stock.append((now, self.quotes[0]))
        if rows["has"][0] & HAS_GREEKS:
            self.deltas[i] = float(rows["delta"][0]), now

    def _say(self, i: int, row: np.ndarray) -> None:
        """The feed's Greeks as they are said now; while it says nothing the book alone changes."""
        word = self.says[i][0]
        row["iv"] = 0.3
        if word == "silent":
            for name in ("ltp", "ltt", "vtt"):
                row[name] = self.last[i][name]
        if word in ("absent", "silent"):
            return
        delta = delta_of(RIGHT[i], self.quotes.get(0, STOCK.price), NAMES[i].strike)
        row["has"] |= HAS_GREEKS
        row["delta"] = {"fresh": delta, "nan": math.nan}.get(word) or self.draw.choice((0.0, 1.5, -delta, math.inf))

    def enter(self, inst: int, side: int, now: int, is_sure: bool = False) -> None:
        if inst not in RIGHT or 0 not in self.quotes:
            super().enter(inst, side, now, is_sure)
            return
        self.candidates += 1
        draw, stock, move = self.draw, self.quotes[0], RIGHT[inst]
        stop, target = (round(stock * (1 + move * away)) if draw.random() < 0.4 else 0
                        for away in (draw.uniform(-0.012, 0.0005), draw.uniform(0.002, 0.03)))
        self.asked[self.candidates] = stop, target
        row = np.zeros(1, CANDIDATE)
        row["id"], row["inst"], row["side"], row["price"], row["guide"] = self.candidates, inst, 1, self.quotes.get(inst, 0), 1
        row["own_stop"], row["own_target"] = stop, target
        self.virtual.core.feed(REC_ASK, now, row.tobytes())
        if is_sure or draw.random() < 0.97:
            self.virtual.act(now)

    # ---- what must hold ----------------------------------------------------------------------------------------------------
    def exchange_of(self) -> Exchange:
        exchange = WatchedExchange(self.names, CASH)
        exchange.seen = self.seen
        return exchange

    def driven(self, core: Core, exchange: Exchange) -> VirtualRun:
        return WatchedRun(core, self.frames(), exchange, "spk", "n0", line=self.line, watch=self.watch)

    def watch(self, now: int) -> None:
        super().watch(now)
        now = max(now, self.virtual.core.now)              # a candidate comes at the time of the frame after it
        seen = set()
        for s in self.virtual.core.positions():
            if s["guide"]["inst"] and s["bought"]:
                at = s["entry"], s["generation"]
                seen.add(at)
                if at in self.held:
                    self._follow(self.held[at], s, now)
                else:
                    self.held[at] = self._entered(s, now)
                if s["bought"] > s["sold"]:
                    self._acts(self.held[at], now)
        self.done += [self.held.pop(at) for at in self.held.keys() - seen]

    def _delta(self, inst: int, now: int) -> float:
        """The one to be believed; 0: none."""
        delta, told = self.deltas.get(inst, (0.0, 0))
        is_sound = 0 < abs(delta) <= 1 and delta * RIGHT[inst] > 0
        return delta if is_sound and now - told <= FRESH_NS else 0.0

    def _entered(self, s: dict[str, Any], now: int) -> Guided:
        """A position that is new: where its stop should rest."""
        inst, risk, stock = s["inst"], self.settings.risk, self.quotes[0]
        side, number = RIGHT[inst], self.virtual.core.orders()[s["entry"] - 1]["candidate"]
        stop = to_tick(int(stock * (1.0 - side * risk.stop)), STOCK.tick, side)
        target = to_tick(int(stock * (1.0 + side * risk.target)), STOCK.tick, -side)
        own_stop, own_target = self.asked[int(number)]
        is_reached = own_stop > 0 and side * (stock - own_stop) <= 0
        if own_stop and not is_reached and side * (own_stop - stop) > 0:
            stop = to_tick(own_stop, STOCK.tick, side)
        if own_target and side * (own_target - target) < 0:
            target = to_tick(own_target, STOCK.tick, -side)
        average, delta = s["cost"] / s["bought"], self._delta(inst, now)
        rests = to_tick(int(average) + int(delta * (stop - stock)) if delta else int(average * (1.0 - risk.stop)), 5, 1)
        if s["plan"]["stop"] != rests:
            raise Violation(f"{NAMES[inst].key}: bought at {average}, the guide at {stock}, delta {delta}: the stop should rest "
                            f"at {rests}, and is planned at {s['plan']['stop']}")
        self.report.guided += 1
        return Guided(inst, int(number), side, now, stock, stop, target, is_reached, rests, now if delta else 0, stock)

    def _follow(self, g: Guided, s: dict[str, Any], now: int) -> None:
        """Its stop is where it was, or was mapped anew, closer."""
        stop, stock, delta = s["plan"]["stop"], self.quotes[0], self._delta(g.inst, now)
        g.best = max(g.best, stock) if g.side > 0 else min(g.best, stock)
        if stop == g.rests:
            return
        bid, key = int(self.last[g.inst]["levels"]["bidP"][0, 0]), NAMES[g.inst].key
        if stop - g.rests < LEAST or now - g.mapped < AGAIN_NS or not delta or stop >= bid:
            raise Violation(f"{key}: the stop went from {g.rests} to {stop}, {(now - g.mapped) / SECOND:.1f} s after it was "
                            f"mapped; delta {delta}, bid {bid}")
        ends = sorted(to_tick(bid + int(delta * (at - stock)), 5, 1) for at in (g.stop, self._trailed(g)))
        if not ends[0] <= stop <= ends[1]:
            raise Violation(f"{key}: the stop went from {g.rests} to {stop}; the guide's has it between {ends}")
        g.rests, g.mapped = stop, now
        self.report.mapped += 1

    def _trailed(self, g: Guided) -> int:
        """The closest that the guide's stop can have come."""
        trail = self.settings.risk.trail
        if not trail or g.side * (g.best - g.entry) < trail * g.entry:
            return g.stop
        stop = to_tick(int(g.best * (1.0 - g.side * trail)), STOCK.tick, g.side)
        return max(stop, g.stop) if g.side > 0 else min(stop, g.stop)

    def _acts(self, g: Guided, now: int) -> None:
        """Beyond stop or target the position is on its way out."""
        stock, key, exchange = self.quotes[0], NAMES[g.inst].key, self.virtual.exchange
        is_beyond = g.side * (stock - g.stop) <= 0 or g.side * (stock - g.target) >= 0
        g.beyond = (g.beyond or now) if is_beyond or g.is_reached else 0
        since = max(g.beyond, self.line.last.get(key, 0))
        allowed = ACT_NS if self.line.last.get(key, -AFTER_FAULT_NS) < g.beyond - AFTER_FAULT_NS else AFTER_FAULT_NS
        live = [o.order_type for o in exchange.working.get(key, ()) if o.tag and o.tag.endswith("x")]
        if g.beyond and now - since > allowed and exchange.net(key) > 0 and "LIMIT" not in live:
            raise Violation(f"{key}: the guide at {stock} has been beyond its stop {g.stop} or target {g.target} for "
                            f"{(now - g.beyond) / SECOND:.1f} s, and live are {live}")

    def run(self) -> Any:
        report = super().run()
        self._reasons()
        return report

    def _reasons(self) -> None:
        """No exit was asked for by a guide whose price did not say so."""
        found = {(g.candidate, g.inst): g for g in (*self.done, *self.held.values())}
        asked = ((now, np.frombuffer(payload, INTENT)[0]) for kind, _, now, payload in Reader(self.folder) if kind == REC_INTENT)
        for now, i in asked:
            g = found.get((int(i["candidate"]), int(i["inst"])))
            if g is not None and i["role"] == ROLE_EXIT and i["why"] in (Why.WHY_TARGET, Why.WHY_SOFT_STOP):
                self._reason(g, now, i["why"] == Why.WHY_TARGET)
                self.report.ended += 1

    def _reason(self, g: Guided, now: int, is_target: bool) -> None:
        at = bisect.bisect_right(self.stock, (now, 10**12)) - 1
        said = {price for _, price in self.stock[max(at - 1, 0):at + 1]}       # by the update of this instant, or the one before
        best = [price for moment, price in self.stock if g.began <= moment <= now] + [g.entry]
        g.best = max(best) if g.side > 0 else min(best)
        edge, turn = (g.target, g.side) if is_target else (self._trailed(g), -g.side)
        if not g.is_reached and not any(turn * (price - edge) >= 0 for price in said):
            raise Violation(f"{NAMES[g.inst].key}: at {sorted(said)} the guide ended a position by its "
                            f"{'target' if is_target else 'stop'} {edge}")
