"""Candidates with features and labels, made by the compiled path itself: from generated days, recorded ticks, bars, a run's
journal or the store.

Each candidate has its features twice: at the tick, and at the next trade update, when most orders are decided (docs/market.md 0.8).
Labels (docs/market.md 0.9, 4): what was planted there, where an injector or the generator knows; whether activity goes on; and, for
the record, what following it would have brought.
"""
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import orjson

from _ext.core.clock import day_of_minutes
from _ext.core.records import (
    CANDIDATE,
    REC_BARS,
    REC_CANDIDATE,
    REC_FRAME,
    REC_INSTRUMENTS,
    REC_PROFILE,
    REC_START,
    REC_STOP,
    REC_TIMER,
    REC_VERDICT,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.signals.features import DESCRIBED, FEATURES
from engine import config
from engine.feed import TICK_DTYPE
from engine.lab.inject import ARTEFACTS, HELD_OUT, Planted, inject
from engine.market import instruments, sessions
from engine.market.instruments import Instrument
from engine.sim.contracts import with_contracts
from engine.sim.market import SyntheticMarket
from engine.sim.recorded import Recording

SOURCES = {"generator": {"price", "ticks", "book", "depth", "bars", "names"}, "upstox": {"price", "ticks", "book", "depth", "bars"},
           "store": {"price", "ticks", "book", "bars", "names"}, "ticks": {"price", "bars", "names"},
           "bars": {"price", "bars", "names"}, "live": {"price", "ticks", "book", "depth", "bars", "names"}}
"""What each source has of what features need; the store keeps the best quotes alone, one-second ticks have no
updates and no book, bars only minutes."""
NATURAL = "natural"
"""The kind of a candidate nobody planted."""
SORTS = ("liquid stock", "thin stock", "future", "option near", "option far")
"""Sorts of instruments a filter is measured on, each by itself."""
LIQUID, NEAR = 30.0, 0.3
"""Trade updates a minute of a liquid stock, and |delta| of an option near the money, at least."""
HORIZON, AHEAD, BEFORE = 30, 5, 64
"""Minutes: of a barrier, in which activity goes on or does not, and of the path kept before a candidate."""


def features_of(source: str) -> list[str]:
    """Names of the features `source` can supply."""
    return [name for name, _, _, needs in DESCRIBED if needs in SOURCES[source]]


@dataclass
class Dataset:
    """One row a candidate; arrays of one length."""
    first: np.ndarray              # float32[rows, features]: at the tick
    second: np.ndarray             # likewise at the next trade update; NaN where none came in time
    path: np.ndarray               # float32[rows, BEFORE, 2]: moves and ranges of the minutes before; 0 where there was none
    kind: np.ndarray               # str: what was planted, or NATURAL
    begin: np.ndarray              # int: ms, of what was planted; 0: nothing
    name: np.ndarray               # str: symbol
    sort: np.ndarray               # str: one of SORTS; empty where ticks do not tell
    day: np.ndarray                # int: days since 1970
    minute: np.ndarray             # int: of the session
    size: np.ndarray               # of what was planted, s1m
    active: np.ndarray             # float: the next five minutes' mean range > 1.5 x expected; NaN: not known
    barrier: np.ndarray            # float: 1 target of 3 ATR first, 0 stop first, NaN neither within 30 minutes
    ahead_bp: np.ndarray           # float: move of the next 15 minutes in its direction
    strength: np.ndarray
    direction: np.ndarray
    id: np.ndarray                 # int: ltt, ms

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def is_artefact(self) -> np.ndarray:
        return np.asarray(np.isin(self.kind, ARTEFACTS + HELD_OUT))

    @property
    def is_planted(self) -> np.ndarray:
        """Known to be genuine: a spike that was planted."""
        return np.asarray(~self.is_artefact & (self.kind != NATURAL))

    def __getitem__(self, rows: np.ndarray) -> "Dataset":
        return Dataset(*(getattr(self, f.name)[rows] for f in fields(self)))


def joined(parts: Iterable[Dataset]) -> Dataset:
    kept = [p for p in parts if len(p)]
    if not kept:
        raise ValueError("no candidate in any of the days: nothing to learn from")
    return Dataset(*(np.concatenate([getattr(p, f.name) for p in kept]) for f in fields(Dataset)))


# ---- the path --------------------------------------------------------------------------------------------------------------
def candidates_of(specs: Sequence[Instrument], days: Iterable[tuple[dt.date, Iterator[tuple[int, bytes]]]], history: np.ndarray,
                  level: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """(records, which are of the tick) of the days, in order: each candidate at its tick and decided. Every candidate of strength
    `level` waits for the next trade update (0: as the engine is configured, which journals those of 0.5 and waits with those of
    0.6); there is no model, no order and no clock but the frames'."""
    base = config.Config.model_construct().record()
    (spike,) = base["sources"]
    given = {"emit": level, "trade": level} if level else {}
    settings = base | {"sources": [spike | {"parameters": spike["parameters"] | given}],
                       "signals": base["signals"] | {"confirm_share": 9.0}}
    trail = KeepingSink((REC_CANDIDATE, REC_VERDICT))
    core, is_begun, now = Core(trail, len(specs)), False, 0
    for day, frames in days:
        begin = (sessions.epoch_ms(day) - 60_000) * 1_000_000
        if not is_begun:
            core.feed(REC_START, begin, orjson.dumps(settings))
            core.feed(REC_INSTRUMENTS, begin, instruments.table(specs, day).tobytes())
            is_begun = True
        core.feed(REC_PROFILE, begin, sessions.profile(day).tobytes())
        if len(history):
            core.feed(REC_BARS, begin, history.tobytes())
            history = history[:0]
        for at, frame in frames:
            now = at * 1_000_000
            core.feed(REC_FRAME, now, frame)
            if at % 1000 < 20:
                core.feed(REC_TIMER, now, b"")
    core.feed(REC_STOP, now, b"")
    return np.frombuffer(b"".join(payload for _, _, payload in trail.kept), CANDIDATE), np.array(
        [kind == REC_CANDIDATE for kind, _, _ in trail.kept], bool)


class Minutes:
    """Bars of one name and day by minute of the session, from its ticks or as they are: what outcomes are measured on. Log
    prices."""

    def __init__(self, high: np.ndarray, low: np.ndarray, close: np.ndarray):
        self.high, self.low, self.close = high, low, close
        before = np.roll(close, 1)
        self.true_range = np.maximum(high, before) - np.minimum(low, before)

    @classmethod
    def of_ticks(cls, ltt: np.ndarray, ltp: np.ndarray, open_ms: int, count: int) -> "Minutes":
        high, low, close = np.full(count, -np.inf), np.full(count, np.inf), np.full(count, np.nan)
        minute = (ltt - open_ms) // 60_000
        good = (minute >= 0) & (minute < count) & (ltp > 0)
        m, price = minute[good], np.log(ltp[good])
        np.maximum.at(high, m, price)
        np.minimum.at(low, m, price)
        close[m] = price
        return cls(high, low, close)


def path_before(bars: Minutes, minute: int, a: np.ndarray) -> np.ndarray:
    """float32[BEFORE, 2]: close-to-close moves and true ranges of the closed minutes before `minute`, as multiples of their mean
    range, the last one last."""
    out = np.zeros((BEFORE, 2), np.float32)
    at = np.arange(max(minute - BEFORE, 1), minute)
    with np.errstate(invalid="ignore"):
        both = np.column_stack([bars.close[at] - bars.close[at - 1], bars.true_range[at]]) / a[at][:, None]
    known = np.isfinite(both).all(axis=1)
    if known.any() and (mean := both[known, 1].mean()) > 0:
        out[BEFORE - len(at):][known] = both[known] / mean
    return out


def outcome(bars: Minutes, minute: int, direction: int, price: float, a: np.ndarray) -> tuple[float, float, float]:
    """(active, barrier, move of 15 minutes in bp) of a candidate in `minute`, entered at `price` (log) when it is over."""
    true = bars.true_range
    past, ahead = slice(max(minute - 20, 1), minute), slice(minute + 1, min(minute + 1 + AHEAD, len(bars.close)))
    expected = np.nanmean(np.where(np.isfinite(true[past]), true[past] / a[past], np.nan)) if minute > 5 else np.nan
    after = np.where(np.isfinite(true[ahead]), true[ahead] / a[ahead], np.nan)
    active = np.nan
    if len(after) == AHEAD and np.isfinite(after).sum() >= 3 and expected > 0:
        active = float(np.nanmean(after) > 1.5 * expected)
    barrier = np.nan
    reach = 3 * expected * a[minute] if expected > 0 else np.nan
    for m in range(minute + 1, min(minute + 1 + HORIZON, len(bars.close))):
        up, down = direction * (bars.high[m] - price), direction * (bars.low[m] - price)
        if not np.isfinite(up):
            continue
        if min(up, down) <= -reach:                      # both in one bar: the stop, pessimistic
            barrier = 0.0
            break
        if max(up, down) >= reach:
            barrier = 1.0
            break
    later = bars.close[min(minute + 15, len(bars.close) - 1)]
    move = direction * (later - price) * 1e4 if minute + 15 < len(bars.close) else np.nan
    return active, barrier, move


def rows_from(specs: Sequence[Instrument], found: tuple[np.ndarray, np.ndarray], source: str, planted: dict[int, list[Planted]],
              bars: dict[tuple[int, int], Minutes], alone: np.ndarray | None = None, sorts: Sequence[str] = ()) -> Dataset:
    """Candidates as rows: each with what was planted at its time and what came of it. `alone`: those that are there anyhow;
    `sorts`: of `specs`."""
    records, is_first = found
    second = {int(r["id"]): r for r, f in zip(records, is_first, strict=True) if not f}
    firsts = records[is_first]
    n, names = len(firsts), np.array(FEATURES)
    first, later_rows = (np.full((n, len(FEATURES)), np.nan, np.float32) for _ in range(2))
    nothing = {name: np.full(n, np.nan) for name in ("active", "barrier", "ahead_bp")}
    out = Dataset(first, later_rows, np.zeros((n, BEFORE, 2), np.float32), np.full(n, NATURAL, "U32"),
                  name=np.zeros(n, "U32"), sort=np.zeros(n, "U12"), size=np.zeros(n), strength=np.zeros(n), **nothing,
                  **{name: np.zeros(n, int) for name in ("begin", "day", "minute", "direction", "id")})
    missing = ~np.isin(names, features_of(source))
    profiles: dict[int, np.ndarray] = {}
    for k, c in enumerate(firsts):
        inst, at = int(c["inst"]), int(c["now"]) // 1_000_000
        day = day_of_minutes(int(c["ltt"]) // 60_000)
        out.first[k] = c["feature"]
        later = second.get(int(c["id"]))
        if later is not None and later["updates"] > 0:
            out.second[k] = later["feature"]
        anyhow = alone is not None and bool(((alone["inst"] == inst) & (alone["move"] == c["move"])
                                             & (np.abs(alone["ltt"] - c["ltt"]) < 10_000)).any())
        for p in planted.get(inst, ()):
            if p.begin <= at <= p.end + 1500 and not (anyhow and p.kind in ARTEFACTS + HELD_OUT):
                out.kind[k], out.size[k], out.begin[k] = p.kind, p.size, p.begin
                break
        date = sessions.day_of(day)
        if day not in profiles:
            profiles[day] = sessions.profile(date)[0]
        minute = int((int(c["ltt"]) - sessions.epoch_ms(date)) // 60_000)
        out.name[k], out.day[k], out.minute[k], out.id[k] = specs[inst].symbol, day, minute, int(c["ltt"])
        out.strength[k], out.direction[k] = float(c["strength"]), int(c["move"])
        out.sort[k] = sorts[inst] if sorts else ""
        mine = bars.get((inst, day))
        if mine is None or not 0 <= minute < len(mine.close):
            continue
        out.path[k] = path_before(mine, minute, profiles[day])
        if np.isfinite(mine.close[minute]):
            out.active[k], out.barrier[k], out.ahead_bp[k] = outcome(
                mine, minute, int(c["move"]), float(mine.close[minute]), profiles[day])
    out.first[:, missing] = out.second[:, missing] = np.nan
    return out


# ---- sources ---------------------------------------------------------------------------------------------------------------
def of_ticks(recording: Recording, source: str, seed: int | None = None, kinds: Sequence[str] = (), every_s: float = 420.0,
             level: float = 0.5, planted: Sequence[Planted] = (), alone: np.ndarray | None = None,
             out: list[Planted] | None = None) -> Dataset:
    """Candidates of a recorded (or generated) day; with `seed`, after planting one of `kinds` about every `every_s` seconds a name.

    A candidate counts as an artefact's where the same day without it, `alone` (made here where it is not given), has none within
    ten seconds. `out` gets what was planted.
    """
    day, specs, plants = recording.day, recording.specs, list(planted)
    changed = recording
    if seed is not None:
        a, v = (values[:sessions.close_minute("equity", False, day)] for values in sessions.profile(day))
        rows, received, more = inject(recording.rows, recording.received, specs, sessions.epoch_ms(day), a, v, seed, kinds, every_s)
        changed = Recording(rows, received, specs, recording.bars)
        plants = more + plants
        if out is not None:
            out += more
        if alone is None:
            alone = undisturbed(recording, level)
    by_inst: dict[int, list[Planted]] = {}
    for p in plants:
        by_inst.setdefault(p.inst, []).append(p)
    sorts = [sort_of(spec, recording.rows[recording.rows["key"] == spec.key.encode()]) for spec in specs]
    return rows_from(specs, played(changed, level), source, by_inst, minutes_of(changed, specs), alone, sorts)


def sort_of(spec: Instrument, rows: np.ndarray) -> str:
    """Which of SORTS an instrument is, by its ticks of a day; empty for an index."""
    if spec.kind == "option":
        delta = np.abs(rows["delta"][rows["delta"] != 0])
        return "option near" if len(delta) and np.median(delta) >= NEAR else "option far"
    if spec.kind != "equity":
        return spec.kind if spec.kind in SORTS else ""
    minutes = max((int(rows["ltt"].max()) - int(rows["ltt"].min())) / 60_000, 1.0) if len(rows) else 1.0
    return "liquid stock" if (np.diff(rows["vtt"]) > 0).sum() / minutes >= LIQUID else "thin stock"


def played(recording: Recording, level: float) -> tuple[np.ndarray, np.ndarray]:
    """`candidates_of` one recorded day."""
    frames = ((at, frame) for at, _, frame in recording.frames())
    return candidates_of(recording.specs, [(recording.day, frames)], recording.history(), level)


def undisturbed(recording: Recording, level: float = 0.5) -> np.ndarray:
    """CANDIDATE records at the tick of a day as it is."""
    records, is_first = played(recording, level)
    return np.asarray(records[is_first])


def minutes_of(recording: Recording, specs: Sequence[Instrument]) -> dict[tuple[int, int], Minutes]:
    """Bars of each of `specs`, by (instrument, day)."""
    day = recording.day
    number, open_ms, count = sessions.number_of(day), sessions.epoch_ms(day), sessions.close_minute("equity", False, day)
    out = {}
    for inst, spec in enumerate(specs):
        mine = recording.rows["key"] == spec.key.encode()
        out[inst, number] = Minutes.of_ticks(recording.rows["ltt"][mine], recording.rows["ltp"][mine], open_ms, count)
    return out


def generated_day(seed: int, number: int, names: int, spikes: float = 0.3, own: float = 0.0, minutes: int = 375,
                  thin: float = 0.0, contracts: int = 0) -> tuple[Recording, list[Planted]]:
    """(day, its own labels) of `names` names drawn by the seed; `own`: mean of each of the generator's artefacts a name; `thin`:
    share of the names that have a message every two to eight times as many seconds; `contracts`: options of each, beside a
    future."""
    day = dt.date(2026, 9, 1) + dt.timedelta(days=number)
    chosen = np.random.default_rng([seed, number]).permutation(len(instruments.shipped()))[:names]
    specs = [instruments.shipped()[i] for i in sorted(chosen)]
    if contracts:
        specs = with_contracts(specs, day, contracts)
    market = SyntheticMarket(specs, day, seed + number, spikes=spikes, artefacts=own)
    chance = np.random.default_rng([seed, number, 1])
    market.gap *= np.where(chance.random(len(specs)) < thin, np.exp(chance.uniform(np.log(2), np.log(8), len(specs))), 1.0)
    market.minutes = min(market.minutes, minutes)
    parts = []
    while market.minute < market.minutes:
        parts.append(market.next_minute())
    rows = np.concatenate([p[0].view(np.uint8) for p in parts]).view(TICK_DTYPE)
    labels = [Planted(x.kind, x.inst, x.begin, x.end, x.size) for x in market.labels]
    return Recording(rows, np.concatenate([p[1] for p in parts]), specs, market.history()), labels


def generated(seed: int, days: int, names: int, kinds: Sequence[str], level: float = 0.5, spikes: float = 0.3, own: float = 0.0,
              every_s: float = 420.0, minutes: int = 375, first: int = 0, thin: float = 0.0, contracts: int = 0) -> Dataset:
    """Candidates of `days` generated days from number `first` on, into which `kinds` were planted."""
    parts = []
    for number in range(first, first + days):
        recording, labels = generated_day(seed, number, names, spikes, own, minutes, thin, contracts)
        parts.append(of_ticks(recording, "generator", seed + number if kinds else None, kinds, every_s, level, labels))
    return joined(parts)


def write(data: Dataset, path: Path) -> None:
    """One Parquet file, a row a candidate: f_ features at the tick, g_ at the next trade update, labels as named in Dataset."""
    import polars as pl

    columns: dict[str, np.ndarray] = {f.name: getattr(data, f.name) for f in fields(Dataset)[3:]}
    columns["path"] = data.path.reshape(len(data), -1)
    for prefix, values in (("f", data.first), ("g", data.second)):
        columns |= {f"{prefix}_{name}": values[:, i] for i, name in enumerate(FEATURES)}
    pl.DataFrame(columns).write_parquet(path, compression="zstd")


def read(path: Path) -> Dataset:
    """What `write` wrote. ValueError where its features are other ones."""
    import polars as pl

    frame = pl.read_parquet(path)
    if [c[2:] for c in frame.columns if c.startswith("f_")] != list(FEATURES) or not {f.name for f in fields(Dataset)[3:]} <= set(
            frame.columns):
        raise ValueError(f"{path} has other features than this engine computes: make it again")
    parts = {prefix: frame.select(f"{prefix}_{n}" for n in FEATURES).to_numpy().astype(np.float32) for prefix in "fg"}
    before = frame["path"].to_numpy().reshape(-1, BEFORE, 2)
    return Dataset(parts["f"], parts["g"], before, *(frame[f.name].to_numpy() for f in fields(Dataset)[3:]))
