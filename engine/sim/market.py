"""Synthetic market with the parameters of docs/market.md 5: prices, volumes and books of many names, genuine spikes and
artefacts, each labelled. Seeded and pure: the same seed gives the same day.

A minute at a time: volume shocks and sigma per minute, an efficient price on a one-second grid (random walk plus a
transient part), messages at renewal times, a book that follows the price, volumes shared out over the trades.
"""
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from _ext.core.records import WARM_BAR
from _ext.market.greeks import greeks, prices_of
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_GREEKS, HAS_I1, HAS_LTPC, HAS_OHLC, TICK_DTYPE
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms, profile
from engine.sim.columns import SPAN, WORDS, running_max, words_of
from engine.sim.recorded import frames_of

Array: TypeAlias = np.ndarray

BASE_SIGMA = 6e-4                  # of one minute; 7-8 bp in total with the bursts
PHI_SECOND = 0.52 ** (1 / 60)      # of the transient part
ARTEFACTS = ("bad_print", "sweep", "wide", "vtt_jump", "duplicate", "step_back")


@dataclass(frozen=True, slots=True)
class Label:
    """What was planted: kind `spike`, `burst` or an artefact, on which instrument and when (epoch ms), its size in s1m."""
    kind: str
    inst: int
    begin: int
    end: int
    size: float


class SyntheticMarket:
    """One trading day of `specs`. `spikes` and `artefacts` are means per name and day (0.30 and 0.15 of each kind).

    `mood` multiplies every move: 1 is the calibrated day, on which 2 % and 4 % are touched by few trades (docs/market.md 4), 4 the
    day of a crash or an election.
    """

    def __init__(self, specs: Sequence[Instrument], day: dt.date, seed: int, spikes: float = 0.30, bursts: float = 15.0,
                 artefacts: float = 0.15, mood: float = 1.0):
        self.mood = mood
        self.specs = list(specs)
        self.day = day
        self.rng = np.random.default_rng([seed, day.toordinal()])
        n = len(self.specs)
        self.n = n
        self.minutes = 360 if day >= dt.date(2026, 8, 3) else 375
        self.a, self.v = profile(day)
        rng = self.rng
        self.tick = np.array([s.tick for s in self.specs], float)
        self.lots = np.array([s.lot for s in self.specs], float)
        self.start_price = np.array([s.price or 100_000 for s in self.specs], float)
        self._contracts()
        self.day_sigma = mood * BASE_SIGMA * np.exp(rng.normal(0, 0.24, n))
        self.minute_volume = np.exp(rng.normal(0, 0.47, n)) * 4e8 / self.start_price * np.exp(rng.normal(0, 0.8, n))
        self.gap = np.exp(rng.uniform(np.log(0.45), np.log(1.1), n))          # median seconds between messages
        self.beta = rng.normal(0.97, 0.4, n)
        self.spread = np.maximum(1.0, 2.2e-4 * self.start_price / self.tick)  # ticks, median
        self.log_price = np.log(self.start_price)
        self.transient = np.zeros(n)
        self.slow = np.zeros((3, n))
        self.vtt = np.zeros(n, np.int64)
        self.value = np.zeros(n)
        self.last = np.zeros(n, TICK_DTYPE)
        self.spread_state = np.zeros(n)
        self.imbalance = np.zeros(n)
        self.carry = np.zeros(n)
        self.minute = 0
        self.bar = np.zeros((n, 5), np.int64)
        self.labels: list[Label] = []
        self._plan(spikes, bursts, artefacts)

    # ---- what happens when -------------------------------------------------------------------------------------------
    def _plan(self, spikes: float, bursts: float, artefacts: float) -> None:
        rng, n, seconds = self.rng, self.n, self.minutes * 60
        self.moves: list[tuple[int, float, float, float, float, float, float]] = []
        for kind, rate, size, spread, volume in (("spike", spikes, 7.9, 0.30, 6.4), ("burst", bursts, 2.8, 0.35, 3.9)):
            for inst in np.repeat(np.arange(n), rng.poisson(np.where(self.under < 0, rate, 0.0))):
                begin = rng.uniform(60, seconds - 120)
                ramp = min(float(np.exp(rng.normal(np.log(58), 0.61))) * 1.25, 300.0)
                amplitude = float(np.exp(rng.normal(np.log(size), spread))) * rng.choice([-1.0, 1.0])
                times = float(np.exp(rng.normal(np.log(volume), 0.5 if kind == "spike" else 0.35)))
                keep = rng.normal(0.80, 0.25)
                self.moves.append((int(inst), begin, ramp, amplitude, times, rng.uniform(0.6, 2.0), keep))
                at = epoch_ms(self.day) + int(begin * 1000)
                self.labels.append(Label(kind, int(inst), at, at + int((ramp + 60) * 1000), abs(amplitude)))
        self.artefacts: dict[int, list[tuple[str, int, float, float]]] = {}
        for kind in ARTEFACTS:
            for inst in np.repeat(np.arange(n), rng.poisson(np.where(self.under < 0, artefacts, 0.0))):
                begin = rng.uniform(120, seconds - 120)
                size = float(np.exp(rng.normal(np.log(5), 0.45)))
                self.artefacts.setdefault(int(begin // 60), []).append((kind, int(inst), begin, size))
                at = epoch_ms(self.day) + int(begin * 1000)
                self.labels.append(Label(kind, int(inst), at - 1500, at + 40_000, size))

    # ---- contracts ---------------------------------------------------------------------------------------------------
    def _contracts(self) -> None:
        """Who follows whom: a future its stock at a small premium, an option by Black-Scholes at a volatility of its own, a smile
        over strikes that moves slowly through the day (docs/market.md 3.1: at most 6 % in an hour)."""
        at = {s.key: i for i, s in enumerate(self.specs)}
        self.under = np.array([at.get(s.underlying, -1) for s in self.specs])
        self.options = np.flatnonzero([s.kind == "option" and s.underlying in at for s in self.specs])
        self.futures = np.flatnonzero([s.kind == "future" and s.underlying in at for s in self.specs])
        mine = [self.specs[i] for i in self.options]
        self.strike = np.array([s.strike for s in mine], float)
        self.is_call = np.array([s.right == "CE" for s in mine], np.uint8)
        self.expires = np.array([epoch_ms(dt.date.fromisoformat(s.expiry), 375) for s in mine], float)
        self.at_the_money = np.exp(np.random.default_rng([self.day.toordinal(), 9]).normal(np.log(0.26), 0.25, self.n))
        self.iv_path = np.zeros(self.n)
        self.start_price[self.futures] = np.rint(self.start_price[self.under[self.futures]] * 1.003)
        if len(self.options):
            spot = self.start_price[self.under[self.options]][:, None]
            self.start_price[self.options] = np.maximum(self._option_prices(spot, 0)[:, 0], 5.0)

    def _volatility(self) -> np.ndarray:
        """Of each option now: its underlying's, and the smile."""
        under = self.under[self.options]
        away = np.log(self.strike / self.start_price[under])
        return np.asarray(self.at_the_money[under] * np.exp(self.iv_path[under]) * (1 - 0.4 * away + 3.0 * away ** 2))

    def _option_prices(self, spot: np.ndarray, minute: int) -> np.ndarray:
        """float64[options, k] for prices of their underlyings, paise."""
        years = np.maximum(self.expires - epoch_ms(self.day, minute), 6e4) / (365 * 86_400_000.0)
        return np.asarray(prices_of(np.ascontiguousarray(spot), self.strike, years, self._volatility(), self.is_call))

    def _derive(self, minute: int, path: np.ndarray) -> None:
        """Puts the contracts' log prices over what the stock's machinery made of their rows."""
        path[self.futures] = path[self.under[self.futures]] + 0.003
        if len(self.options):
            self.iv_path = 0.999 * self.iv_path + self.rng.normal(0, 0.002, self.n)
            prices = self._option_prices(np.exp(path[self.under[self.options]]), minute)
            path[self.options] = np.log(np.maximum(prices, self.tick[self.options][:, None]))

    def _greeks(self, rows: np.ndarray, inst: np.ndarray, minute: int, path: np.ndarray) -> None:
        """Volatility, Greeks and open interest on the options' rows, as of the minute."""
        if not len(self.options):
            return
        spot = np.exp(path[self.under[self.options], -1]) / 100
        years = np.maximum(self.expires - epoch_ms(self.day, minute), 6e4) / (365 * 86_400_000.0)
        sigma = self._volatility()
        place = np.full(self.n, -1)
        place[self.options] = np.arange(len(self.options))
        table = np.array([list(greeks(s, k / 100, y, 0.0, v, bool(c)).values()) for s, k, y, v, c in zip(
            spot, self.strike, years, sigma, self.is_call, strict=True)])
        mine = np.flatnonzero(place[inst] >= 0)
        which = place[inst[mine]]
        rows["iv"][mine] = np.round(sigma[which], 6)
        for column, name in enumerate(("delta", "gamma", "theta", "vega", "rho"), 1):
            rows[name][mine] = np.round(table[which, column], 4)
        rows["oi"][mine] = 100 * self.lots[inst[mine]] * (1 + minute // 30)
        rows["has"][mine] |= HAS_GREEKS

    def history(self, bars: int = 75) -> np.ndarray:
        """WARM_BAR rows of the last minutes of the day before, for every name: what warm-up gets from candles."""
        rng, n = np.random.default_rng([self.day.toordinal(), self.n]), self.n
        yesterday = self.day - dt.timedelta(days=1)
        last = 360 if self.day >= dt.date(2026, 8, 3) else 375
        first = last - bars
        rows = np.zeros((n, bars), WARM_BAR)
        path = np.log(self.start_price)[:, None] + np.cumsum(
            rng.standard_normal((n, bars)) * self.day_sigma[:, None] * self.a[first:last], axis=1)[:, ::-1] * 0.1
        moves = rng.standard_normal((n, bars)) * self.day_sigma[:, None] * self.a[first:last]
        close = np.exp(path[:, -1:] - np.cumsum(moves[:, ::-1], axis=1)[:, ::-1] + moves)
        opened = close * np.exp(-moves)
        rows["inst"] = np.arange(n)[:, None]
        rows["minute"] = epoch_ms(yesterday) // 60_000 + np.arange(first, last)
        for name, values in (("open", opened), ("close", close)):
            rows[name] = np.rint(values / self.tick[:, None]) * self.tick[:, None]
        rows["high"], rows["low"] = np.maximum(rows["open"], rows["close"]), np.minimum(rows["open"], rows["close"])
        rows["volume"] = self.minute_volume[:, None] * self.v[first:last] * np.exp(rng.normal(-0.3, 0.78, (n, bars)))
        return np.delete(rows, self.options, axis=0).ravel()          # options have none: their day begins with twenty blind bars

    # ---- one minute --------------------------------------------------------------------------------------------------
    def _efficient(self, minute: int, sigma: np.ndarray) -> np.ndarray:
        """Log price of every name on the 60 seconds of a minute (plus the second before), float64[n, 61]."""
        rng, n = self.rng, self.n
        path = np.empty((n, 61))
        path[:, 0] = self.log_price + self.transient
        step = sigma / np.sqrt(60) * np.sqrt(0.33)
        market = rng.standard_normal(60) * self.mood * BASE_SIGMA * self.a[minute] / np.sqrt(60) * 0.42
        noise = rng.standard_normal((n, 60)) * step[:, None] + self.beta[:, None] * market
        pull = rng.standard_normal((n, 60)) * (np.sqrt(0.67 * (1 - PHI_SECOND ** 2)) * sigma)[:, None]
        for k in range(60):
            self.log_price += noise[:, k]
            self.transient = PHI_SECOND * self.transient + pull[:, k]
            path[:, k + 1] = self.log_price + self.transient
        return path

    def _moves(self, minute: int, path: np.ndarray, volume: np.ndarray) -> None:
        """Adds the planted spikes and bursts to the path and their volume to the minute's per-second weights."""
        seconds = minute * 60 + np.arange(61)
        for inst, begin, ramp, amplitude, times, power, keep in self.moves:
            if not begin - 1 <= seconds[-1] or seconds[0] > begin + 1500:
                continue
            t = seconds - begin
            rise = np.clip(t / ramp, 0, 1) ** power
            after = np.maximum(t - ramp, 0)
            left = keep + (1 - keep) * np.exp(-after / 60)
            path[inst] += amplitude * self.day_sigma[inst] * self.a[minute] * rise * left
            boost = np.where(t < 0, 1.0, np.where(t <= ramp, times, 1 + max(0.45 * times, 1.5) * np.exp(-after / 300)))
            volume[inst] *= boost[1:]

    def next_minute(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, receipt ms) of the next minute, in order of receipt."""
        rng, n, minute = self.rng, self.n, self.minute
        start = epoch_ms(self.day, minute)
        phis = np.array([[0.75], [0.97], [0.97]])
        self.slow = phis * self.slow + np.sqrt(1 - phis ** 2) * rng.standard_normal((3, n))
        shock = 0.78 * (np.sqrt(0.30) * self.slow[0] + np.sqrt(0.24) * self.slow[1] + np.sqrt(0.46) * rng.standard_normal(n))
        sigma = self.day_sigma * self.a[minute] * np.exp(0.45 * shock + 0.10 * self.slow[2])
        weights = np.repeat((self.minute_volume * self.v[minute] * np.exp(shock) / 60)[:, None], 60, axis=1)
        path = self._efficient(minute, sigma)
        self._moves(minute, path, weights)
        self._derive(minute, path)

        # messages: renewal times with lognormal gaps, at most the 99th percentile long
        k = int(60 / 0.33) + 8
        gaps = np.minimum(self.gap[:, None] * np.exp(rng.normal(0, 0.77, (n, k))), 3.2 * self.gap[:, None] + 0.6)
        times = self.carry[:, None] + np.cumsum(gaps, axis=1)
        inside = times < 60
        self.carry = np.where(inside, 1e9, times).min(axis=1) - 60
        inst, _ = np.nonzero(inside)
        t = times[inside]
        second = np.minimum(t.astype(int), 59)
        share = (t - second)
        price = path[inst, second] * (1 - share) + path[inst, second + 1] * share
        late = np.maximum(t - np.exp(rng.normal(np.log(0.4), 0.35, len(t))), 0)        # the book is a little behind
        back = np.minimum(late.astype(int), 59)
        mid = path[inst, back] * (1 - (late - back)) + path[inst, back + 1] * (late - back)
        kind = rng.random(len(t))
        is_trade, is_repeat = kind < 0.67, kind > 0.88
        has_book = (kind < 0.37) | ((kind >= 0.67) & ~is_repeat)

        tick = self.tick[inst]
        self.spread_state = 0.8 * self.spread_state + 0.6 * rng.normal(0, 0.5, n)
        spread = np.maximum(1, np.rint(self.spread[inst] * np.exp(self.spread_state[inst] + rng.normal(0, 0.25, len(t)))))
        middle = np.exp(mid) / tick
        bid = np.floor(middle - spread / 2 + 0.5)
        ask = bid + spread
        side = rng.random(len(t))
        ltp = np.where(side < 0.34, bid, np.where(side > 0.64, ask, np.rint(np.exp(price) / tick)))
        ltp = np.clip(ltp, np.minimum(bid, np.rint(np.exp(price) / tick)), np.maximum(ask, np.rint(np.exp(price) / tick)))

        # volume of each trade: the second's share, heavy tailed, in whole units
        heavy = np.exp(rng.normal(0, 1.3, len(t)))
        heavy *= is_trade * weights[inst, second]
        total = np.bincount(inst, heavy, n)
        wanted = weights.sum(axis=1)
        volume = np.floor(heavy * (wanted / np.maximum(total, 1e-9))[inst] + is_trade).astype(np.int64)

        rows = np.zeros(len(t), TICK_DTYPE)
        rows["inst"] = inst
        rows["key"] = self._keys()[inst]
        rows["key_len"] = self._lengths[inst]
        rows["mode"], rows["n_levels"] = 1, 5
        rows["has"] = HAS_LTPC | HAS_DEPTH | HAS_FULL | HAS_OHLC | (HAS_I1 if minute else 0)
        rows["ltp"] = ltp * tick
        rows["ltq"] = np.maximum(volume // 4, is_trade)
        rows["cp"] = self.start_price[inst]
        received = start + np.floor(t * 1000).astype(np.int64)
        lag = np.minimum(np.exp(rng.normal(np.log(0.44), 0.5, len(t))), 1.7) * 1000
        rows["ltt"] = received - lag.astype(np.int64)
        self._greeks(rows, inst, minute, path)
        self._books(rows, bid, ask, tick, inst, has_book)
        rows, received = self._carry_over(rows, received, inst, is_trade, has_book, volume, minute)
        rows, received = self._artefacts(minute, rows, received, sigma)
        self.minute += 1
        order = np.argsort(received, kind="stable")
        return rows[order], received[order]

    def _keys(self) -> np.ndarray:
        if not hasattr(self, "_names"):
            self._names = np.array([s.key.encode() for s in self.specs], "S48")
            self._lengths = np.char.str_len(self._names)
        return self._names

    def _books(self, rows: Array, bid: Array, ask: Array, tick: Array, inst: Array, has_book: Array) -> None:
        """Five levels a tick apart and their quantities; imbalance persists from message to message."""
        rng, m = self.rng, len(rows)
        self.imbalance = 0.7 * self.imbalance + 0.7 * rng.normal(0, 0.7, self.n)
        lean = np.tanh(self.imbalance[inst])[:, None]
        scale = np.maximum(self.minute_volume[inst] / 60, 2.0)[:, None]
        quantity = np.exp(rng.normal(0, 0.9, (2, m, 5))) * scale * np.array([0.6, 1.0, 1.2, 1.3, 1.4])
        steps = np.arange(5)
        rows["levels"]["bidP"] = np.maximum(bid[:, None] - steps, 1) * tick[:, None]
        rows["levels"]["askP"] = (ask[:, None] + steps) * tick[:, None]
        rows["levels"]["bidQ"] = np.maximum(quantity[0] * (1 + 0.6 * lean), 1)
        rows["levels"]["askQ"] = np.maximum(quantity[1] * (1 - 0.6 * lean), 1)
        rows["tbq"] = rows["levels"]["bidQ"].sum(axis=1) * 20.0
        rows["tsq"] = rows["levels"]["askQ"].sum(axis=1) * 20.0

    def _carry_over(self, rows: Array, received: Array, inst: Array, is_trade: Array, has_book: Array, volume: Array,
                    minute: int) -> tuple[Array, Array]:
        """What a message does not show it repeats: last trade, book, volume, candles. Rows: name by name, each in order of time."""
        place, starts = np.arange(len(rows)), np.flatnonzero(np.diff(inst, prepend=-1))
        ends, names = np.append(starts[1:], len(rows)) - 1, inst[starts]
        group = np.repeat(np.arange(len(starts)), ends + 1 - starts)
        words, last = words_of(rows), words_of(self.last)      # as whole words of eight bytes: numpy copies structs field by field
        for fields, shown in ((("ltp", "ltt", "ltq"), is_trade), (("levels", "tbq", "tsq"), has_book)):
            source = np.maximum.accumulate(np.where(shown, place, -1))
            none = source < starts[group]                  # not in this minute: as the last one left it
            for f in fields:
                at = WORDS[f]
                values = words[np.maximum(source, 0), at]
                values[none] = last[inst[none], at]
                words[:, at] = values
        rows["ltt"] = running_max(rows["ltt"], group)
        total = np.cumsum(volume)
        rows["vtt"] = self.vtt[inst] + total - (total - volume)[starts][group]
        self.vtt[names] = rows["vtt"][ends]
        self.value[names] += np.add.reduceat(volume * rows["ltp"], starts)
        rows["atp"] = np.rint(self.value[names] / np.maximum(self.vtt[names], 1))[group]
        self._candles(rows, names, starts, ends, group, minute)
        last[names] = words[ends]
        keep = (rows["ltp"] > 0) & (rows["levels"]["bidP"][:, 0] > 0)
        return rows[keep], received[keep]

    def _candles(self, rows: Array, names: Array, starts: Array, ends: Array, group: Array, minute: int) -> None:
        """1d as it grows, I1 as the feed gives it: the last completed minute."""
        before, last, day = self.last[names], rows["ltp"], rows["day"]
        first = last[starts]
        day["open"] = np.where(before["day"]["open"] > 0, before["day"]["open"], first)[group]
        day["close"] = last
        day["high"] = np.maximum(running_max(last, group), before["day"]["high"][group])
        day["low"] = np.minimum(SPAN - running_max(SPAN - last, group),
                                np.where(before["day"]["low"] > 0, before["day"]["low"], first)[group])
        day["vol"], day["ts"] = rows["vtt"], epoch_ms(self.day) - 33_300_000
        for k, part in enumerate(("open", "high", "low", "close", "vol")):
            rows["i1"][part] = self.bar[names, k][group]
        rows["i1"]["ts"] = epoch_ms(self.day, minute - 1)
        self.bar[names] = np.stack([first, np.maximum.reduceat(last, starts), np.minimum.reduceat(last, starts), last[ends],
                                    rows["vtt"][ends] - before["vtt"]], axis=1)

    # ---- artefacts (docs/market.md 3.2) --------------------------------------------------------------------------------------
    def _artefacts(self, minute: int, rows: Array, received: Array, sigma: Array) -> tuple[Array, Array]:
        extra_rows, extra_times = [], []
        for kind, inst, begin, size in self.artefacts.get(minute, ()):
            at = epoch_ms(self.day) + int(begin * 1000)
            mine = np.flatnonzero((rows["inst"] == inst) & (received >= at))
            if len(mine) < 4:
                continue
            direction = self.rng.choice([-1, 1])
            moved = float(rows["ltp"][mine[0]]) * size * sigma[inst] * direction
            step = int(self.tick[inst])
            if kind in ("bad_print", "sweep"):
                hit = mine[:1 if self.rng.random() < 0.8 else 2]
                rows["ltp"][hit] = np.maximum(np.rint((rows["ltp"][hit] + moved) / step), 1) * step
                rows["ltt"][hit] = received[hit] - 300
                jump = self.minute_volume[inst] * self.v[minute] * float(np.exp(self.rng.normal(0, 0.8)))
                rows["vtt"][mine] += int(jump if kind == "sweep" else 4)
                self.vtt[inst] += int(jump if kind == "sweep" else 4)
            elif kind == "vtt_jump":
                jump = int(5 * self.minute_volume[inst] * self.v[minute] * float(np.exp(self.rng.normal(0, 0.7))))
                rows["vtt"][mine] += jump
                self.vtt[inst] += jump
            elif kind == "wide":
                wide = mine[received[mine] < at + 15_000]
                reach = np.rint(abs(moved) * 0.7 / step) * step + step
                for f, sign in (("bidP", -1), ("askP", 1)):
                    rows["levels"][f][wide] = np.maximum(rows["levels"][f][wide] + int(sign * reach), step)
                rows["levels"]["bidQ"][wide] = rows["levels"]["askQ"][wide] = 1
                prints = wide[self.rng.random(len(wide)) < 0.4]
                quote = rows["levels"]["askP" if direction > 0 else "bidP"][prints, 0]
                rows["ltp"][prints], rows["ltt"][prints] = quote, received[prints] - 300
            else:
                source = mine[:1]
                copies = int(self.rng.integers(3, 26)) if kind == "duplicate" else 2
                after = received[mine[2]]
                extra_rows.append(np.repeat(rows[source].view(np.uint8).reshape(1, -1), copies, axis=0).ravel())
                extra_times.append(after + 20 * np.arange(copies))
        if extra_rows:
            rows = np.concatenate([rows.view(np.uint8), *extra_rows]).view(TICK_DTYPE)
            received = np.concatenate([received, *extra_times])
        return rows, received

    # ---- as a feed -----------------------------------------------------------------------------------------------------
    def skip_to(self, minute: int) -> None:
        """Runs the market up to `minute` of the session without handing anything out."""
        while self.minute < minute:
            self.next_minute()

    def frames(self, bucket_ms: int = 1) -> Iterator[tuple[int, np.ndarray, bytes]]:
        """(receipt ms, rows, frame) from the current minute to the end of the session; what comes within `bucket_ms` shares a
        frame, as with thousands of names it does."""
        while self.minute < self.minutes:
            rows, received = self.next_minute()
            yield from frames_of(rows, -(-received // bucket_ms) * bucket_ms)

    def plant(self, inst: int, begin: float, size: float, volume: float, ramp: float) -> None:
        """Adds a genuine spike: `begin` and `ramp` in seconds (after 09:15), `size` in one-minute sd, `volume` times the usual."""
        self.moves.append((inst, begin, ramp, size, volume, 1.0, 0.8))
        at = epoch_ms(self.day) + int(begin * 1000)
        self.labels.append(Label("spike", inst, at, at + int((ramp + 60) * 1000), abs(size)))
