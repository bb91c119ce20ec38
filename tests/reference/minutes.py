"""What a name's updates make of its minutes, book and windows, and which of them are candidates: the market half of the plain
backtest (`tests/reference/backtest.py`), from docs/market.md, docs/decisions.md and docs/configuration.md. Slow on purpose."""
import math
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from tests.reference.spike import IST_MS, LIMIT_MS, OPEN, Twin, c

MS, SECOND = 1_000_000, 1_000_000_000
HAS_PRICE, HAS_BOOK, HAS_VOLUME = 1, 2, 64 | 128
STALL_MS, AHEAD_MS, GRACE_MS = 3_000, 60_000, 1_500
WILD_BARS, KEPT = 60, 64


def session_of(ms: int) -> int:
    """Minutes after 09:15 in India."""
    return (ms + IST_MS) % 86_400_000 // 60_000 - OPEN


def day_of(ms: int) -> int:
    return (ms + IST_MS) // 86_400_000


class Clock:
    """How much later than its trade an update comes at least: the smallest lag of eight minutes, all names (decision 11)."""

    def __init__(self):
        self.lag, self.of = None, {}
        self.doubted, self.doubts = None, 0

    def see(self, now_ms: int, lag: int, name) -> None:
        if self.lag is not None and lag < self.lag - 1000:         # a sudden drop waits for another name, or twice more of the same
            known = self.doubted is not None and lag < self.doubted[1] + 1000
            self.doubts = self.doubts + 1 if known else 1
            if self.doubts == 1 or (self.doubts < 3 and self.doubted[0] is name):
                self.doubted = name, lag
                return
        self.doubted, self.doubts = None, 0
        minute = now_ms // 60_000
        self.of[minute] = min(lag, self.of.get(minute, lag))
        self.of = {at: value for at, value in self.of.items() if at > minute - 8}
        self.lag = min(self.of.values())

    def exchange_ms(self, now: int) -> int:
        return now // MS - (self.lag or 0)


class Feed:
    """What is known of all names together: the clock, and the last time all of them were silent for more than three seconds."""

    def __init__(self, patience: int = 0):
        self.clock, self.last, self.stalled = Clock(), None, 0
        self.closings = []                # (name, minute, open, close) that no strategy was told of yet
        self.least, self.stall = max(LIMIT_MS, patience), patience or STALL_MS

    def see(self, now: int) -> None:
        if self.last is not None and now - self.last > self.stall * MS:
            self.stalled = now
        self.last = now


@dataclass(slots=True)
class Update:
    """One row of a day file."""
    now: int
    has: int
    ltp: int
    ltt: int
    vtt: int
    iv: float
    levels: list                      # (bid quantity, bid, ask quantity, ask), best first; empty: no news of the book


@dataclass(slots=True)
class Seen:
    """What an update was found to be. `minute` -1: no trade of the session; `is_fit`: a trade of a clean minute."""
    now: int
    ltt: int
    ltp: int
    minute: int = -1
    lag: int = 0
    traded: bool = False
    after_gap: bool = False
    is_unfit: bool = False
    is_fit: bool = False


@dataclass(slots=True)
class Bar:
    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    base: float
    reach: float                      # true range over its base, time-of-day corrected
    u: float
    raw: float
    path: float
    path_raw: float
    share: float


@dataclass
class Name:
    """One instrument's memory."""
    spec: object
    number: int
    a: np.ndarray
    v: np.ndarray
    close: int                        # minutes of its session
    feed: Feed
    cas: bool = False
    bid: int = 0
    ask: int = 0
    bid_depth: int = 0
    ask_depth: int = 0
    book_seen: int = 0
    ltt: int = 0
    ltp: int = 0
    peak: int = -1
    day: int = 0
    flowing: int = 0
    last_close: float = 0.0
    minute: int = 0
    is_closed: bool = False
    is_dirty: bool = False
    price: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    volume: int = 0
    capped: float = 0.0
    minute5: int = 0
    open5: int = 0
    iv: float = 0.0
    iv5: float = 0.0
    limit: int = LIMIT_MS
    trade_limit: int = LIMIT_MS
    doubted: tuple = None             # price, volume, whether after a gap
    bars: list = field(default_factory=list)
    gaps: Counter = field(default_factory=Counter)
    trade_gaps: Counter = field(default_factory=Counter)
    ring: deque = field(default_factory=lambda: deque(maxlen=256))
    pending: list = field(default_factory=list)
    slot: object = None
    is_warm: bool = False
    z50: tuple = None

    def __post_init__(self):
        self.limit = self.trade_limit = self.feed.least
        self._begin(0)

    # ---- an update ---------------------------------------------------------------------------------------------------------
    def on_row(self, t: Update) -> Seen:
        feed, seen = self.feed, Seen(t.now, t.ltt, t.ltp)
        feed.see(t.now)
        if t.has & HAS_BOOK:
            self._book(t)
        gap = False
        if self.flowing:
            silence = (t.now - self.flowing) // MS
            gap = silence > self.limit
            if gap:
                self._lost(t.now)
            if not gap or self.flowing >= feed.stalled:
                self.gaps[Twin._edge(silence)] += 1
        self.flowing = t.now
        if t.has & HAS_VOLUME and t.iv > 0:
            self.iv = t.iv
        if t.has & HAS_PRICE and t.ltp > 0 and t.ltt > 0:
            self._price(t, seen, gap)
        self.ring.appendleft((t.now, t.ltp, self.bid, self.ask, seen.after_gap))
        seen.is_fit = seen.traded and not seen.is_unfit and not self.is_dirty and not self.is_closed
        return seen

    def _book(self, t: Update) -> None:
        """Best quotes, and the quantity of all levels shown. Price or quantity 0 is no level."""
        bid_q, bid, ask_q, ask = t.levels[0] if t.levels else (0, 0, 0, 0)
        self.bid, self.ask = bid if bid_q > 0 else 0, ask if ask_q > 0 else 0
        self.bid_depth = sum(q for q, p, _, _ in t.levels if p > 0)
        self.ask_depth = sum(q for _, _, q, p in t.levels if p > 0)
        self.book_seen = t.now

    def _price(self, t: Update, seen: Seen, gap: bool) -> None:
        now_ms = t.now // MS
        lag = now_ms - t.ltt
        if lag < -AHEAD_MS:
            seen.is_unfit = True
            return
        if t.ltt > self.ltt:
            self.feed.clock.see(now_ms, lag, self)
        seen.lag = max(lag - self.feed.clock.lag, 0) if self.feed.clock.lag is not None else 0
        session = session_of(t.ltt)
        seen.minute = session if 0 <= session < self.close else -1
        if self.ltt and t.ltt > self.ltt:
            silence = t.ltt - self.ltt
            is_pause = silence > self.trade_limit
            if not is_pause or (not gap and day_of(t.ltt) == day_of(self.ltt)):
                self.trade_gaps[Twin._edge(silence)] += 1
            gap = gap or is_pause
        gap = gap or (self.doubted is not None and self.doubted[2])
        if (t.ltt, t.ltp) == (self.ltt, self.ltp) and t.vtt in (self.peak, 0) and not gap:
            return
        if self._is_wild(t, gap):
            seen.is_unfit = True
            return
        if self.doubted is not None:
            self.doubted = None
        self._trade(t, seen, gap)

    def _is_wild(self, t: Update, gap: bool) -> bool:
        """A tenth away from the last price, or 60 expected bars at once, waits for a second update that says so (decision 41)."""
        more = t.vtt - self.peak if t.has & HAS_VOLUME and self.peak >= 0 else 0
        most = WILD_BARS * self.expected * (1 + max(t.ltt - self.ltt, 0) / 60_000)
        too_much = self.expected > 0 and more > most
        if self.ltp <= 0:
            return False
        if t.ltt < self.ltt:
            return too_much
        if not (t.ltp * 10 > self.ltp * 11 or t.ltp * 10 < self.ltp * 9 or too_much):
            return False
        if self.doubted is not None:
            price, volume, _ = self.doubted
            if price * 49 < t.ltp * 50 < price * 51 and 0 <= t.vtt - volume <= WILD_BARS * max(self.expected, 1):
                return False
        self.doubted = t.ltp, t.vtt, gap
        return True

    def _traded(self, t: Update, seen: Seen) -> int:
        """The advance of the day's volume."""
        back = t.ltt < self.ltt
        if day_of(t.ltt) != self.day and not back:
            self.peak = -1
        if not t.has & HAS_VOLUME:
            seen.traded = not back and (t.ltt > self.ltt or t.ltp != self.ltp)
            return 0
        if back and day_of(t.ltt) < self.day:
            return 0
        if self.peak < 0:
            seen.is_unfit, self.peak = True, t.vtt
            return 0
        volume, self.peak = max(t.vtt - self.peak, 0), max(t.vtt, self.peak)
        seen.traded = volume > 0
        return volume

    def _trade(self, t: Update, seen: Seen, gap: bool) -> None:
        minute = t.ltt // 60_000
        volume = self._traded(t, seen)
        if gap:
            volume, seen.after_gap, seen.is_unfit = 0, True, True
        if t.ltt < self.ltt:
            seen.is_unfit = True
            if minute == self.minute and not self.is_closed:
                self.volume += volume
            return
        self.ltt, self.ltp = t.ltt, t.ltp
        if seen.minute < 0 or minute < self.minute or (minute == self.minute and self.is_closed):
            seen.is_unfit = True
            return
        self.is_dirty = self.is_dirty or gap
        if minute > self.minute:
            self.close_bar()
            self._open_bar(minute, t.ltp)
            self.is_dirty = gap
        self.price, self.high, self.low = t.ltp, max(self.high, t.ltp), min(self.low, t.ltp)
        self.volume += volume
        is_bar = self.feed.least > LIMIT_MS                   # all of a candle's volume counts, of an update one expected bar
        self.capped += min(volume, self.expected) if self.expected > 0 and not is_bar else volume

    # ---- minutes -----------------------------------------------------------------------------------------------------------
    def close_bar(self) -> None:
        """A clean minute enters the windows, a dirty one only moves the last close."""
        if not self.minute or self.is_closed:
            return
        if not self.is_dirty and self.last_close > 0:
            self._enter(self.minute, (self.open, self.high, self.low, self.price), self.volume, self.last_close)
            self.feed.closings.append((self, self.minute, self.open, self.price))
        self.last_close, self.is_closed = float(self.price), True
        self.limit = max(Twin._limit(self, self.gaps), self.feed.least)
        self.trade_limit = max(Twin._limit(self, self.trade_gaps), self.feed.least)

    def _enter(self, minute: int, prices: tuple, volume: int, base: float) -> None:
        session = session_of(minute * 60_000)
        raw = math.log(prices[3] / base)
        reach = (max(prices[1], base) - min(prices[2], base)) / base / self.a[session]
        u = raw / self.a[session]
        path, path_raw = (self.bars[-1].path, self.bars[-1].path_raw) if self.bars else (0.0, 0.0)
        self.bars.append(Bar(minute, *prices, volume, base, reach, u, raw, path + u, path_raw + raw, self.v[session]))

    def _open_bar(self, minute: int, price: int) -> None:
        day = day_of(minute * 60_000)
        if day != self.day or self.last_close <= 0:
            self.last_close, self.minute5 = float(price), 0
        elif self.minute and not self.is_dirty:
            for still in range(self.minute + 1, minute):
                self._enter(still, (int(self.last_close),) * 4, 0, self.last_close)
                self.feed.closings.append((self, still, int(self.last_close), int(self.last_close)))
        self.day, self.minute, self.is_closed, self.is_dirty = day, minute, False, False
        self.open = self.high = self.low = price
        self.volume, self.capped = 0, 0.0
        if minute // 5 != self.minute5:
            self.minute5, self.open5, self.iv5 = minute // 5, price, self.iv
        self._begin(session_of(minute * 60_000))

    def _begin(self, session: int) -> None:
        """Mean and deviation of what has closed, for the minute that forms."""
        self.session, self.expected, self.s1m, self.atr = session, 0.0, 0.0, 0.0
        self.is_warm = len(self.bars) >= 20 and self.last_close > 0
        if not self.is_warm:
            return
        self.step = self.spec.tick / self.last_close / self.a[session]
        short = self.bars[-20:]
        self.z20 = self._of_path(20)
        self.z50 = self._of_path(50) if len(self.bars) >= 50 else None
        self.sd_u = max(float(np.std([bar.u for bar in short])), self.step)
        self.s1m = self.sd_u * self.a[session]
        self.atr = sum(bar.reach for bar in short) / 20 * self.a[session]
        shares = sum(bar.share for bar in short)
        self.expected = self.v[session] * sum(bar.volume for bar in short) / shares if shares > 0 else 0.0

    def _of_path(self, count: int) -> tuple:
        """Mean and deviation of the last path values, the latter at least one price step."""
        path = [bar.path for bar in self.bars[-count:]]
        return float(np.mean(path)), max(float(np.std(path)), self.step)

    def _lost(self, now: int) -> None:
        """After a silence the minutes it touched leave the windows again, also those that time had closed meanwhile."""
        clock = self.feed.clock
        since = self.flowing
        early = -session_of(clock.exchange_ms(since))
        if early > 0:
            since += (60_000 * early - clock.exchange_ms(since) % 60_000) * MS
        first, last = clock.exchange_ms(since), clock.exchange_ms(now)
        if (now - since <= self.limit * MS or session_of(first) >= self.close or day_of(first) != day_of(last)
                or session_of(last) < 0):
            return
        if self.bars and self.bars[-1].minute >= first // 60_000:
            while self.bars and self.bars[-1].minute >= first // 60_000:
                self.bars.pop()
            if self.minute and not self.is_closed:
                self._begin(session_of(self.minute * 60_000))

    def on_timer(self, now: int) -> None:
        """A minute closes a second and a half after its end, trade or no trade."""
        if self.minute and not self.is_closed and (self.minute + 1) * 60_000 + GRACE_MS < self.feed.clock.exchange_ms(now):
            self.close_bar()

    def warm(self, bars: list) -> None:
        """Minutes of the session before."""
        for bar in bars:
            day = day_of(bar.minute * 60_000)
            base = float(bar.open) if day != self.day or self.last_close <= 0 else self.last_close
            self._enter(bar.minute, (bar.open, bar.high, bar.low, bar.close), bar.volume, base)
            self.day, self.minute, self.is_closed, self.last_close, self.price = day, bar.minute, True, float(bar.close), bar.close

    # ---- statistics --------------------------------------------------------------------------------------------------------
    def measures(self, price: int) -> dict:
        """The numbers of docs/market.md 1.3 at `price`; 0 where there are too few bars."""
        if not self.is_warm:
            return dict.fromkeys(("u", "z20", "z50", "rz", "roc", "ratio"), 0.0)
        raw = math.log(price / self.last_close)
        u = raw / self.a[self.session]
        here = self.bars[-1].path + u
        mean20, sd20 = self.z20
        mean50, sd50 = self.z50 or (here, 1.0)
        return {"u": u, "z20": (here - mean20) / sd20, "z50": (here - mean50) / sd50, "rz": u / self.sd_u,
                "roc": self.bars[-1].path_raw + raw - self.bars[-20].path_raw,
                "ratio": self.capped / self.expected if self.expected > 0 else 0.0}

    def moved_along(self, seen: Seen, move: int, share: float) -> bool:
        """Whether the book has moved along over 60 s and holds the price: then it is decided at once (decisions 16, 127)."""
        oldest, mid, oldest_mid = seen.ltp, None, None
        for k, (now, ltp, bid, ask, after_gap) in enumerate(self.ring):
            if seen.now - now > 60 * SECOND:
                break
            if ltp > 0:
                oldest = ltp
            if bid > 0 and ask > 0:
                oldest_mid = 0.5 * (bid + ask)
                mid = oldest_mid if k == 0 else mid
            if after_gap:
                break
        if mid is None:
            return False
        by_mid, by_price = math.log(mid / oldest_mid), math.log(seen.ltp / oldest)
        beyond = 0.0
        if self.ask > 0 and seen.ltp > self.ask:
            beyond = seen.ltp / self.ask - 1
        elif self.bid > 0 and seen.ltp < self.bid:
            beyond = 1 - seen.ltp / self.bid
        along = np.float32(max(-2.0, min(2.0, by_mid / by_price)) if abs(by_price) > 1e-9 else 0.0)
        return bool(along >= share and move * by_mid > 0 and np.float32(beyond / max(self.s1m, 1e-7)) <= 1)


# ---- sources ---------------------------------------------------------------------------------------------------------------
@dataclass
class Candidate:
    """`level` 0: too weak to be traded."""
    number: int
    source: object
    name: Name
    move: int
    level: int
    strength: float
    now: int
    price: int
    last_close: int
    open5: int
    z20: float
    z50: float
    ratio: float


class Spike:
    """Strength of docs/market.md 1.3, from `emit` on; each level and direction is quiet for a while afterwards (decision 10)."""
    word, is_scored = "spike", True

    def __init__(self, sigma=2.0, volume=2.5, jump=3.0, roc=0.02, iv=0.2, emit=0.5, trade=0.6, cooldown_s=300.0, max_lag_s=3.0):
        self.sigma, self.volume, self.jump, self.roc, self.iv = sigma, volume, jump, roc, iv
        self.emit, self.trade, self.cooldown, self.max_lag = emit, trade, round(cooldown_s * 1000), round(max_lag_s * 1000)
        self.quiet = {}

    def strength(self, n: Name, m: dict, sign: int) -> float:
        momentum = c(sign * m["rz"] / self.jump)
        if sign * m["roc"] >= self.roc:
            momentum = max(momentum, c(sign * m["roc"] / self.roc))
        out = (0.25 * c(abs(m["z20"]) / self.sigma) + 0.10 * c(sign * m["z50"] / self.sigma) + 0.35 * c(m["ratio"] / self.volume)
               + 0.30 * momentum)
        return 0.85 * out + 0.15 * c(abs(n.iv / n.iv5 - 1) / self.iv) if n.iv > 0 and n.iv5 > 0 else out

    def on_tick(self, n: Name, seen: Seen):
        """(direction, level, strength) of a candidate, or None."""
        if not seen.is_fit or not n.is_warm or seen.minute < 1 or seen.lag > self.max_lag:
            return None
        m = n.measures(seen.ltp)
        sign = 1 if m["z20"] >= 0 else -1
        strength = self.strength(n, m, sign)
        level = int(strength >= self.trade)
        if strength < self.emit or seen.ltt < self.quiet.get((n.number, level, sign), 0):
            return None
        for below in range(level + 1):
            self.quiet[n.number, below, sign] = seen.ltt + self.cooldown
        return sign, level, strength

    def judge(self, rules, n: Name, seen: Seen, opposing, x: Candidate) -> str:
        """The seed's rules, in order."""
        if not x.strength > rules.strength:
            return "weak"
        if not x.ratio > rules.volume:
            return "low volume"
        if (reason := in_session(rules, n, seen)) != "pass":
            return reason
        if not x.move * (x.z50 if n.is_warm and n.z50 else x.z20) > 0:
            return "against trend"
        if not (x.move * (seen.ltp - x.last_close) > 0 and x.move * (seen.ltp - x.open5) > 0):
            return "1 and 5 minutes not aligned"
        return unopposed_and_quoted(rules, n, opposing)


class OpeningRange:
    """The first trade beyond the high or low of the session's first minutes, with volume; each direction once a day."""
    word, is_scored = "opening_range", False

    def __init__(self, minutes=15, volume=1.5, until=240, max_lag_s=3.0):
        self.minutes, self.volume, self.until, self.max_lag = minutes, volume, until, round(max_lag_s * 1000)
        self.ranges = {}

    def on_tick(self, n: Name, seen: Seen):
        if 0 <= seen.minute < self.minutes:
            self._widen(n, seen)
            return None
        o = self.ranges.get((n.number, n.day))
        if o is None or not o["whole"] or not o["high"] or o["low"] <= seen.ltp <= o["high"]:
            return None
        side = 1 if seen.ltp > o["high"] else -1
        if (side in o["broken"] or not seen.is_fit or not self.minutes <= seen.minute < self.until or seen.lag > self.max_lag
                or not n.is_warm or not n.expected > 0 or not n.capped / n.expected >= self.volume):
            return None
        o["broken"].add(side)
        return side, 1, c(n.capped / n.expected / self.volume) if self.volume > 0 else 1.0

    def _widen(self, n: Name, seen: Seen) -> None:
        o = self.ranges.setdefault((n.number, n.day), {"high": 0, "low": 0, "whole": seen.minute == 0, "broken": set()})
        o["whole"] = o["whole"] and not seen.after_gap
        if seen.traded and not seen.is_unfit:
            o["high"], o["low"] = max(o["high"], seen.ltp), min(o["low"] or seen.ltp, seen.ltp)

    def judge(self, rules, n: Name, seen: Seen, opposing, x: Candidate) -> str:
        reason = in_session(rules, n, seen)
        return reason if reason != "pass" else unopposed_and_quoted(rules, n, opposing)


class BarStrategy:
    """A strategy in Python: called once a bar of `minutes` minutes (docs/strategies.md). `bars`: of each name (open, close) in
    rupees, oldest first."""
    is_scored, minutes = False, 1

    def __init__(self, word: str):
        self.word, self.bars, self.forming = word, {}, {}

    def on_tick(self, n: Name, seen: Seen):
        return None

    def take(self, closings: list) -> list:
        """(name, how many bars it has now) of each that closed."""
        first = {}
        for n, minute, *_ in closings:
            first.setdefault(n.number, (n, minute))
        for number, (n, minute) in first.items():
            if number not in self.bars:
                self.bars[number] = []
                for bar in n.bars[-KEPT:]:
                    if bar.minute < minute:
                        self._minute(number, bar.minute, bar.open, bar.close)
        out = []
        for n, minute, opened, close in closings:
            before = len(self.bars[n.number])
            self._minute(n.number, minute, opened, close)
            out += [(n, count) for count in range(before + 1, len(self.bars[n.number]) + 1)]
        return out

    def _minute(self, number: int, minute: int, opened: int, close: int) -> None:
        """A bar ends with its last minute; without that, when a minute of another comes."""
        which = day_of(minute * 60_000), session_of(minute * 60_000) // self.minutes
        if number in self.forming and self.forming[number][0] != which:
            self.bars[number].append(self.forming.pop(number)[1])
        begun = self.forming[number][1][0] if number in self.forming else opened / 100.0
        self.forming[number] = which, (begun, close / 100.0)
        if (session_of(minute * 60_000) + 1) % self.minutes == 0:
            self.bars[number].append(self.forming.pop(number)[1])

    def on_bar(self, bars: np.ndarray, held: int):
        """What it asks for: None, `leave`, or the candidate's side and prices. `held`: side of its own position or entry, or 0."""
        raise NotImplementedError

    def judge(self, rules, n: Name, seen: Seen, opposing, x: Candidate) -> str:
        reason = in_session(rules, n, seen)
        return reason if reason != "pass" else unopposed_and_quoted(rules, n, opposing)


class MovingAverageCross(BarStrategy):
    """The shipped one: buys and sells short at crosses of two means of five-minute closes, leaves at the next."""
    minutes = 5

    def __init__(self, word: str, fast=9, slow=21, stop=0.01):
        super().__init__(word)
        self.fast, self.slow, self.stop = fast, slow, stop

    def on_bar(self, bars: np.ndarray, held: int):
        close = bars[:, 1]
        if len(close) <= self.slow:
            return None
        gap = [now[-self.fast:].mean() - now[-self.slow:].mean() for now in (close, close[:-1])]
        if gap[0] * gap[1] >= 0:
            return None
        side = 1 if gap[0] > 0 else -1
        return "leave" if held else {"side": side, "stop": close[-1] * (1 - side * self.stop)}


def in_session(rules, n: Name, seen: Seen) -> str:
    last = rules.last_minute_cas if n.cas else rules.last_minute
    return "pass" if rules.first_minute <= seen.minute < last else "outside session"


def unopposed_and_quoted(rules, n: Name, opposing) -> str:
    if opposing is not None and opposing < rules.opposing_ms:
        return "opposing signal"
    if n.bid <= 0 or n.ask <= n.bid:
        return "no quote"
    return "pass" if 2e4 * (n.ask - n.bid) / (n.ask + n.bid) <= rules.spread_bp else "wide spread"
