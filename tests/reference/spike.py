"""Plain-Python twin of the market stage and the spike detector (docs/market.md 1.3), written from the definitions with lists and
numpy; slow on purpose. Fed with decoded updates of one instrument, it tells the strength at each."""
import math
from collections import Counter

import numpy as np

LIMIT_MS, IST_MS, OPEN = 8000, 19_800_000, 555
EDGES = [125 * 2 ** (k // 2) * (3 if k % 2 else 2) // 2 for k in range(24)]


def c(x: float) -> float:
    return 1.0 - 2.0 ** -x if x > 0 else 0.0


class Twin:
    """One instrument. `a`, `v`: profiles from 09:15; `step`: price step in paise; `close`: minutes of the session."""

    def __init__(self, a, v, step: int, close: int = 375, is_option: bool = False):
        self.a, self.v, self.step, self.close, self.is_option = a, v, step, close, is_option
        self.path, self.u, self.raw, self.volume, self.share = [], [], [], [], []
        self.level = self.raw_level = 0.0
        self.minute = self.day = None
        self.last_close = 0.0
        self.ltt = self.ltp = self.peak = self.seen = None
        self.gaps, self.trade_gaps = Counter(), Counter()      # by upper edge of their bucket
        self.limit = self.trade_limit = LIMIT_MS
        self.iv = self.iv5 = 0.0
        self.minute5 = None
        self.is_closed = False

    @staticmethod
    def _edge(ms: float) -> int:
        """Upper edge of the half-octave bucket from 125 ms that holds `ms`; the last is open."""
        return next((e for e in EDGES if ms <= e), EDGES[-1])

    def _limit(self, gaps) -> int:
        total, below = sum(gaps.values()), 0
        if total < 100:
            return LIMIT_MS
        for edge in EDGES:
            below += gaps[edge]
            if below * 100 >= total * 99:
                break
        return max(LIMIT_MS, 3 * edge)

    def _close_bar(self) -> None:
        if self.minute is None or self.is_closed:
            return
        session = (self.minute + 330) % 1440 - OPEN
        if not self.dirty and self.last_close > 0:
            raw = math.log(self.price / self.last_close)
            self.level += raw / self.a[session]
            self.raw_level += raw
            self._push(raw / self.a[session], self.level, self.raw_level, self.bar_volume, self.v[session])
        self.last_close = float(self.price)
        self.is_closed = True
        self.limit, self.trade_limit = self._limit(self.gaps), self._limit(self.trade_gaps)

    def _push(self, u, path, raw, volume, share) -> None:
        for values, value in ((self.u, u), (self.path, path), (self.raw, raw), (self.volume, volume), (self.share, share)):
            values.append(value)

    def on_tick(self, received_ms: int, row) -> float | None:
        """Strength at this update, None where there is none to speak of. `row`: TICK_DTYPE."""
        gap = False
        if self.seen is not None:
            silence = received_ms - self.seen
            gap = silence > self.limit
            if not gap:
                self.gaps[self._edge(silence)] += 1
        self.seen = received_ms
        if row["iv"] > 0:
            self.iv = float(row["iv"])
        ltt, ltp, vtt = int(row["ltt"]), int(row["ltp"]), int(row["vtt"])
        if ltp <= 0 or ltt <= 0:
            return None
        if self.ltt is not None and ltt > self.ltt:
            is_pause, days = ltt - self.ltt > self.trade_limit, {(t + IST_MS) // 86_400_000 for t in (self.ltt, ltt)}
            if not is_pause or (not gap and len(days) == 1):      # a pause counts too where updates came meanwhile
                self.trade_gaps[self._edge(ltt - self.ltt)] += 1
            gap = gap or is_pause
        if ltt == self.ltt and ltp == self.ltp and vtt in (self.peak, 0) and not gap:
            return None
        session = (ltt + IST_MS) % 86_400_000 // 60_000 - OPEN
        return self._trade(ltt, ltp, vtt, session, gap)

    def _trade(self, ltt, ltp, vtt, session, gap) -> float | None:
        minute, day = ltt // 60_000, (ltt + IST_MS) // 86_400_000
        back = self.ltt is not None and ltt < self.ltt
        if day != self.day and not back:
            self.peak = None
        first, volume = self.peak is None, 0
        if first:
            self.peak = vtt
        elif vtt > self.peak:
            volume, self.peak = vtt - self.peak, vtt
        traded = volume > 0
        if gap:
            volume = 0
        if back:
            if minute == self.minute and not self.is_closed:
                self.bar_volume += volume
            return None
        self.ltt, self.ltp = ltt, ltp
        if not 0 <= session < self.close:
            return None
        if self.minute is not None and (minute < self.minute or (minute == self.minute and self.is_closed)):
            return None
        if self.minute is not None and gap:
            self.dirty = True
        if self.minute is None or minute > self.minute:
            self._roll(minute, day, session, ltp)
            self.dirty = gap
        self.price = ltp
        self.bar_volume += volume
        self.capped += min(volume, self.expected) if self.expected > 0 else volume
        if first or gap or not traded or self.dirty or len(self.u) < 20 or session < 1:
            return None
        return self.strength(ltp, session)

    def _roll(self, minute, day, session, ltp) -> None:
        self._close_bar()
        if day != self.day or self.last_close <= 0:
            self.last_close, self.minute5 = float(ltp), None
        elif self.minute is not None and not self.dirty:
            for skipped in range(max(self.minute + 1, minute - 50), minute):
                self._push(0.0, self.level, self.raw_level, 0.0, self.v[(skipped + 330) % 1440 - OPEN])
        self.day, self.minute, self.is_closed = day, minute, False
        self.bar_volume, self.capped = 0, 0.0
        if minute // 5 != self.minute5:
            self.minute5, self.iv5 = minute // 5, self.iv
        n = len(self.u)
        shares = sum(self.share[-20:])
        self.expected = self.v[session] * sum(self.volume[-20:]) / shares if n >= 20 and shares > 0 else 0.0

    def strength(self, price: int, session: int) -> float:
        a = self.a[session]
        raw = math.log(price / self.last_close)
        u = raw / a
        step = self.step / self.last_close / a
        here = self.level + u
        z20 = (here - np.mean(self.path[-20:])) / max(np.std(self.path[-20:]), step)
        sign = 1 if z20 >= 0 else -1
        z50 = (here - np.mean(self.path[-50:])) / max(np.std(self.path[-50:]), step) if len(self.path) >= 50 else 0.0
        rz = u / max(np.std(self.u[-20:]), step)
        momentum = c(sign * rz / 3)
        roc = sign * (self.raw_level + raw - self.raw[-20])
        if roc >= 0.02 and not self.is_option:
            momentum = max(momentum, c(roc / 0.02))
        ratio = self.capped / self.expected if self.expected > 0 else 0.0
        out = 0.25 * c(abs(z20) / 2) + 0.10 * c(sign * z50 / 2) + 0.35 * c(ratio / 2.5) + 0.30 * momentum
        if self.iv > 0 and self.iv5 > 0:
            out = 0.85 * out + 0.15 * c(abs(self.iv / self.iv5 - 1) / 0.2)
        self.direction = sign
        self.statistics = {"strength": out, "z20": z20, "z50": z50, "rz": rz, "volume_ratio": ratio, "u": u,
                           "s1m": max(np.std(self.u[-20:]), step) * a, "expected": self.expected, "last_close": self.last_close}
        return out
