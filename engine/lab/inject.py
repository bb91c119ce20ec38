"""Artefacts and genuine spikes put into a stream of ticks, recorded or generated (docs/market.md 3.2): sizes are relative to the
moment, by the name's own one-minute sd (s1m) and expected minute volume (M).

A name's rows stay in order of receipt; what a genuine spike moved stays moved, and what was traded more stays in the cumulative
volume. The kinds of HELD_OUT are for tests alone: no model may have seen them.
"""
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.market.instruments import Instrument

GENUINE = ("spike", "fast")
ARTEFACTS = ("bad_print", "sweep", "wide", "vtt_jump", "outage", "backlog", "step_back", "duplicate", "late_print")
HELD_OUT = ("one_sided", "crossed", "off_grid", "flicker")
QUIET_MS = 75_000
"""Before and after a planted thing nothing else is planted."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What was put where: row of the instrument, receipt ms, size in s1m (of `vtt_jump` in M)."""
    kind: str
    inst: int
    begin: int
    end: int
    size: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What the injectors go by: one-minute sd (log), expected volume of the minute, usual receipt minus trade time, ms."""
    s1m: float
    volume: float
    lag: int


class Name:
    """Rows of one instrument, in order of receipt, while things are put into them."""

    def __init__(self, rows: np.ndarray, received: np.ndarray, spec: Instrument, a: np.ndarray, v: np.ndarray, open_ms: int):
        self.rows, self.received, self.spec, self.a, self.v, self.open_ms = rows, received, spec, a, v, open_ms
        self.keep = np.ones(len(rows), bool)
        self.extra: list[tuple[np.ndarray, np.ndarray]] = []
        self.lag = int(np.median(received - rows["ltt"])) if len(rows) else 0
        self._measure()

    def _measure(self) -> None:
        """Closes and volumes of the minutes of trade time, of the day as it was: sizes by what was planted before would grow and
        grow."""
        minute = (self.rows["ltt"] - self.open_ms) // 60_000
        good = (minute >= 0) & (minute < len(self.a)) & (self.rows["ltp"] > 0)
        last = np.full(len(self.a), -1)
        last[minute[good]] = np.flatnonzero(good)
        seen = np.maximum.accumulate(last)
        self.close = np.where(seen >= 0, np.log(np.maximum(self.rows["ltp"][np.maximum(seen, 0)], 1)), np.nan)
        self.traded = np.diff(np.where(seen >= 0, self.rows["vtt"][np.maximum(seen, 0)], 0), prepend=0).astype(float)

    def moment(self, at: int) -> Moment | None:
        """None where twenty minutes before `at` are not there."""
        m = (at - self.lag - self.open_ms) // 60_000
        if not 21 <= m < len(self.a) or np.isnan(self.close[m - 21:m]).any():
            return None
        u = np.diff(self.close[m - 21:m]) / self.a[m - 20:m]
        least = self.spec.tick / np.exp(self.close[m - 1]) / self.a[m]
        volume = self.v[m] * self.traded[m - 20:m].sum() / self.v[m - 20:m].sum()
        return Moment(max(float(u.std(ddof=1)), least) * float(self.a[m]), max(float(volume), 1.0), self.lag)

    # ---- tools ---------------------------------------------------------------------------------------------------------
    def from_(self, at: int) -> int:
        return int(np.searchsorted(self.received, at))

    def grid(self, price: np.ndarray) -> np.ndarray:
        return np.maximum(np.rint(price / self.spec.tick), 1).astype(np.int64) * self.spec.tick

    def trade(self, i: int, quantity: float) -> None:
        """Makes row `i` a trade of `quantity` at its price: later rows carry the volume, and no older trade time."""
        quantity = max(int(quantity), 1)
        self.rows["ltt"][i] = max(int(self.received[i]) - self.lag, int(self.rows["ltt"][max(i - 1, 0)]) + 1)
        self.rows["ltt"][i:] = np.maximum(self.rows["ltt"][i:], self.rows["ltt"][i])
        self.rows["ltq"][i] = quantity
        self.rows["vtt"][i:] += quantity

    def again(self, source: np.ndarray, times: np.ndarray) -> None:
        """More messages: rows `source` once more at `times`."""
        self.extra.append((self.rows[source].copy(), np.asarray(times, np.int64)))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        rows = [self.rows[self.keep], *(r for r, _ in self.extra)]
        return (np.concatenate([r.view(np.uint8) for r in rows]).view(self.rows.dtype),
                np.concatenate([self.received[self.keep], *(t for _, t in self.extra)]))


def lognormal(rng: np.random.Generator, median: float, sd: float) -> float:
    return float(np.exp(rng.normal(np.log(median), sd)))


def _side(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 1]))


def _displaced(name: Name, i: int, moved: float, quantity: float) -> None:
    """Row `i` prints `moved` (log) away; the book stays."""
    name.rows["ltp"][i] = name.grid(name.rows["ltp"][i] * np.exp(moved))
    name.trade(i, quantity)


def _back(name: Name, i: int) -> None:
    """Row `i` is a trade at the price from before, so that nobody repeats what came last."""
    if i < len(name.rows):
        name.trade(i, name.spec.lot)


# ---- artefacts -----------------------------------------------------------------------------------------------------------
def _bad_print(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    size = lognormal(rng, 5, 0.45)
    moved, count = _side(rng) * size * now.s1m, 1 if rng.random() < 0.8 else 2
    for k in range(i, min(i + count, len(name.rows))):
        _displaced(name, k, moved, lognormal(rng, 3.7, 1.4) * name.spec.lot)
    _back(name, i + count)
    return i + count, size


def _sweep(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    size = lognormal(rng, 5, 0.45)
    moved, count = _side(rng) * size * now.s1m, 1 if rng.random() < 0.8 else 2
    volume = lognormal(rng, 1, 0.8) * now.volume / count
    for k in range(i, min(i + count, len(name.rows))):
        _displaced(name, k, moved, volume)
    _back(name, i + count)
    return i + count, size


def _wide(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """Both sides away, one lot each; two messages in five print one lot on one side."""
    end, size, up = name.from_(int(name.received[i] + rng.uniform(5, 30) * 1000)), lognormal(rng, 3.5, 0.35), _side(rng)
    for k in range(i, end):
        level, price = name.rows["levels"][k], name.rows["ltp"][k]
        middle = (level["bidP"][0] + level["askP"][0]) / 2 if level["bidP"][0] > 0 and level["askP"][0] > 0 else price
        reach = size * now.s1m * middle
        for field, sign in (("bidP", -1), ("askP", 1)):
            level[field] = np.where(level[field] > 0, name.grid(middle + sign * (reach + name.spec.tick * np.arange(len(
                level[field])))), 0)
        level["bidQ"][0] = level["askQ"][0] = name.spec.lot
        if rng.random() < 0.4:
            name.rows["ltp"][k] = level["askP" if up > 0 else "bidP"][0] or price
            name.trade(k, name.spec.lot)
        elif k > i:
            for field in ("ltp", "ltq"):
                name.rows[field][k] = name.rows[field][k - 1]
    _back(name, end)
    return end, size


def _vtt_jump(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    size = lognormal(rng, 5, 0.7)
    name.trade(i, size * now.volume)
    return i + 1, size


def _outage(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    length = min(max(lognormal(rng, 55, 0.8), 10), 180)
    end = name.from_(int(name.received[i] + length * 1000))
    name.keep[i:end] = False
    return end, length


def _backlog(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """Nothing for a while, then half of what there was, eight messages a second, with its old trade times."""
    length = min(max(lognormal(rng, 30, 0.7), 5), 120)
    end = name.from_(int(name.received[i] + length * 1000))
    kept = np.arange(i, end)[rng.random(end - i) < 0.5]
    name.keep[i:end] = False
    if len(kept) and end < len(name.rows):
        name.again(kept, name.received[end - 1] + 1 + 125 * np.arange(len(kept)))
    return end, length


def _step_back(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    old = max(name.from_(int(name.received[i] - lognormal(rng, 15, 0.9) * 1000)), 0)
    count = int(rng.integers(1, 4))
    name.again(np.full(count, old), name.received[i] + 1 + np.arange(count))
    return i + 1, float(count)


def _duplicate(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    count = int(rng.integers(3, 26))
    name.again(np.full(count, i), name.received[i] + 20 * (1 + np.arange(count)))
    return i + 1, float(count)


def _late_print(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """As an auction's: nothing for long, one print of many shares far away, no book to speak of, then silence."""
    size, print_ = lognormal(rng, 38e-4, 0.8), name.from_(int(name.received[i] + rng.uniform(20, 240) * 1000))
    if print_ >= len(name.rows) - 1:
        return i + 1, 0.0
    name.keep[i:print_] = False
    _displaced(name, print_, _side(rng) * size, lognormal(rng, 5.8, 0.85) * now.volume)
    for field in ("bidQ", "askQ") if rng.random() < 0.5 else (str(rng.choice(["bidQ", "askQ"])),):
        name.rows["levels"][field][print_], name.rows["levels"][field[:3] + "P"][print_] = 0, 0
    end = name.from_(int(name.received[print_] + 20_000))
    name.keep[print_ + 1:end] = False
    _back(name, end)
    return end, size / now.s1m


# ---- artefacts for tests alone ---------------------------------------------------------------------------------------------
def _one_sided(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """One side of the book is gone for a few seconds and a few shares print far beyond the other."""
    size, up = lognormal(rng, 5, 0.45), _side(rng)
    end = max(name.from_(int(name.received[i] + rng.uniform(2, 8) * 1000)), i + 1)
    for field in ("askQ", "askP") if up > 0 else ("bidQ", "bidP"):
        name.rows["levels"][field][i:end] = 0
    _displaced(name, i, up * size * now.s1m, 2 * name.spec.lot)
    _back(name, i + 1)
    return end, size


def _crossed(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """Bids above asks for a few seconds, a small print at the wrong one."""
    size, up = lognormal(rng, 5, 0.45), _side(rng)
    end = max(name.from_(int(name.received[i] + rng.uniform(2, 8) * 1000)), i + 1)
    field = "bidP" if up > 0 else "askP"
    level = name.rows["levels"][field]
    level[i:end] = np.where(level[i:end] > 0, name.grid(level[i:end] * np.exp(up * size * now.s1m)), 0)
    name.rows["ltp"][i] = level[i][0] or name.rows["ltp"][i]
    name.trade(i, 3 * name.spec.lot)
    _back(name, i + 1)
    return end, size


def _off_grid(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """A print away from the market at a price between two ticks."""
    size = lognormal(rng, 5, 0.45)
    _displaced(name, i, _side(rng) * size * now.s1m, lognormal(rng, 3.7, 1.4) * name.spec.lot)
    name.rows["ltp"][i] += max(name.spec.tick // 2, 1)
    _back(name, i + 1)
    return i + 1, size


def _flicker(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    """Every other message prints away and back, six in all; the book stays."""
    size, count = lognormal(rng, 4, 0.35), 6
    moved = _side(rng) * size * now.s1m
    for k in range(i, min(i + count, len(name.rows))):
        if (k - i) % 2 == 0:
            _displaced(name, k, moved, 5 * name.spec.lot)
        else:
            _back(name, k)
    _back(name, i + count)
    return i + count, size


# ---- genuine -------------------------------------------------------------------------------------------------------------
def spike(name: Name, i: int, now: Moment, rng: np.random.Generator, size: float, ramp_s: float, volume: float) -> int:
    """`size` s1m within `ramp_s` seconds, `volume` times the expected volume meanwhile, half of that after; the book follows 0.2 to
    0.6 s behind. Most of the move stays. The row after its end."""
    at, up = int(name.received[i]), _side(rng)
    power, keep, behind = rng.uniform(0.6, 2.0), rng.normal(0.80, 0.25), rng.uniform(200, 600)
    rows, received = name.rows[i:], name.received[i:]

    def moved(t: np.ndarray) -> np.ndarray:
        rise = np.clip(t / (ramp_s * 1000), 0, 1) ** power
        return np.exp(up * size * now.s1m * rise * (keep + (1 - keep) * np.exp(-np.maximum(t / 1000 - ramp_s, 0) / 60)))

    before = np.diff(rows["vtt"], prepend=name.rows["vtt"][max(i - 1, 0)]) > 0
    rows["ltp"] = name.grid(rows["ltp"] * moved(rows["ltt"] + name.lag - at))
    book = moved(received - at - behind)[:, None]
    for field in ("bidP", "askP"):
        level = rows["levels"][field]
        level[:] = np.where(level > 0, name.grid(level * book), 0)
    t = (received - at) / 1000
    times = np.where(t <= ramp_s, volume, 1 + max(0.45 * volume, 1.5) * np.exp(-np.maximum(t - ramp_s, 0) / 300))
    last = np.maximum.accumulate(np.where(before, received, at))
    pace = np.where(before & (t < 1500), (received - np.concatenate([[at], last[:-1]])).clip(0, 10_000), 0) / 60_000
    rows["vtt"] += np.cumsum(np.floor((times - 1) * now.volume * pace)).astype(np.int64)
    return name.from_(int(at + (ramp_s + 60) * 1000))


def _spike(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    size = lognormal(rng, 7.9, 0.30)
    return spike(name, i, now, rng, size, min(lognormal(rng, 58, 0.61) * 1.25, 300), lognormal(rng, 6.4, 0.5)), size


def _fast(name: Name, i: int, now: Moment, rng: np.random.Generator) -> tuple[int, float]:
    size = lognormal(rng, 7.9, 0.30)
    return spike(name, i, now, rng, size, float(rng.uniform(0.5, 4)), lognormal(rng, 6.4, 0.5)), size


Injector = Callable[[Name, int, Moment, np.random.Generator], tuple[int, float]]
"""(name, row to begin at, its moment, random numbers) -> (row after its end, size)."""
INJECTORS: dict[str, Injector] = {
    "bad_print": _bad_print, "sweep": _sweep, "wide": _wide, "vtt_jump": _vtt_jump, "outage": _outage, "backlog": _backlog,
    "step_back": _step_back, "duplicate": _duplicate, "late_print": _late_print, "one_sided": _one_sided, "crossed": _crossed,
    "off_grid": _off_grid, "flicker": _flicker, "spike": _spike, "fast": _fast}


@contextlib.contextmanager
def more(injectors: dict[str, Injector]) -> Iterator[None]:
    """Kinds that exist for as long as they are measured."""
    INJECTORS.update(injectors)
    try:
        yield
    finally:
        for kind in injectors:
            del INJECTORS[kind]


def inject(rows: np.ndarray, received: np.ndarray, specs: Sequence[Instrument], open_ms: int, a: np.ndarray, v: np.ndarray,
           seed: int,
           kinds: Sequence[str], every_s: float = 420.0) -> tuple[np.ndarray, np.ndarray, list[Planted]]:
    """(rows, received, what was planted) of a day: one of `kinds` about every `every_s` seconds of each name, from the 22nd minute
    on.

    `rows`: TICK_DTYPE in order of receipt, `received` in ms; both are left alone. `a`, `v`: profiles of the continuous session.
    """
    rng, planted, parts = np.random.default_rng(seed), [], []
    for inst, spec in enumerate(specs):
        at = np.flatnonzero(rows["key"] == spec.key.encode())
        if not len(at):
            continue
        name = Name(rows[at].copy(), received[at].copy(), spec, a, v, open_ms)
        moment = open_ms + 22 * 60_000 + rng.uniform(0, every_s) * 1000
        end = open_ms + (len(a) - 4) * 60_000
        while moment < end:
            i, now = name.from_(int(moment)), name.moment(int(moment))
            nxt = moment + rng.uniform(0.7, 1.3) * every_s * 1000
            if now is not None and i < len(name.rows) - 30:
                kind = str(rng.choice(kinds))
                begin = int(name.received[i])
                after, size = INJECTORS[kind](name, i, now, rng)
                stop = int(name.received[min(after, len(name.rows) - 1)])
                planted.append(Planted(kind, inst, begin, stop, size))
                nxt = max(nxt, stop + QUIET_MS)
            moment = nxt
        parts.append(name.result())
    out = np.concatenate([p[0].view(np.uint8) for p in parts]).view(rows.dtype)
    times = np.concatenate([p[1] for p in parts])
    order = np.argsort(times, kind="stable")
    return out[order], times[order], planted
