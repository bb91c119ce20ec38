"""A day of the feed with faults of every kind, on virtual time, beside the same day without: `python -m tests.feed.daylong`.

Broken is: a silence longer than a name's own rate allows that the ledger does not have; a candidate the faultless day does not
have, or lacks, outside the gap windows; a planted spike, five minutes after a fault, that is not found; a key that is not
subscribed in the end; a lost minute of a tradable name that was not fetched; a connection given up while the market was closed.
"""
import argparse
import datetime as dt
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from _ext.core.records import CANDIDATE, GAP, GAPS, REC_CANDIDATE, REC_FEED_NOTE, REC_GAP
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.feed import decode, encode_market_info
from engine.market.instruments import Instrument, shipped
from engine.market.sessions import epoch_ms
from engine.run.opening import Boot, begin
from engine.run.virtual import VirtualRun
from engine.run.virtual_feed import FRAME, VirtualFeed
from engine.sim.candles import Candles
from engine.sim.exchange import Exchange
from engine.sim.feed import Feed, FeedFault
from engine.sim.market import SyntheticMarket

DAY = dt.date(2026, 9, 1)
SECOND, MINUTE = 1_000_000_000, 60_000_000_000
OPEN = epoch_ms(DAY) * 1_000_000
BUCKET_MS = 50
LIVE = b"\x08"
"""First byte of a live_feed; a snapshot begins otherwise and ends no silence."""
COOLDOWN = 390 * SECOND
"""After a fault: the rest of its minute, one to fetch it, and the five a candidate that was missed would have quieted."""


def names(count: int) -> list[Instrument]:
    """`count` instruments: the shipped names, and as many more of the same make as it takes, which are watched and not traded."""
    base = shipped()
    return [base[i] if i < len(base) else replace(
        base[i % len(base)], key=f"NSE_FO|{100_000 + i}", tradable=False, symbol=f"{base[i % len(base)].symbol[:20]} {i}")
        for i in range(count)]


def script_of(seed: int, count: int, minutes: int, keys: int, first: int = 6) -> list[FeedFault]:
    """`count` faults, every kind in turn, spread over the day from minute `first`; each ends before the next begins."""
    draw = random.Random(seed)
    kinds = ["drop", "stall", "silence", "corrupt", "backlog", "refuse", "wild", "half_open", "halt", "duplicate", "refuse_keys",
             "reorder", "vtt_damage", "lag", "step_back", "no_candles"]
    first, tail = (first, 8) if minutes > 30 else (3, 2)
    step = (minutes - first - tail) * 60 / max(count, 1)
    out: list[FeedFault] = []
    for k in range(count):
        kind = kinds[k % len(kinds)]
        at = OPEN + round((first * 60 + k * step + draw.random() * step * 0.2) * SECOND)
        some = tuple(draw.sample(range(keys), min(keys, draw.randrange(1, 12))))
        few = tuple(draw.sample(range(min(keys, 208)), 1))

        def lasting(low: float, high: float, at: int = at) -> int:
            return at + round(min(draw.uniform(low, high), 0.6 * step) * SECOND)

        if kind == "drop":
            out.append(FeedFault(kind, at, at + SECOND, (), draw.choice([1000, 1001, 1006, 1011])))
        elif kind == "refuse":
            end = lasting(3, 40)
            out += [FeedFault("drop", at, at + SECOND), FeedFault(kind, at, end, (), draw.choice([401, 403, 429, 503]))]
        elif kind == "refuse_keys":
            out += [FeedFault("drop", at, at + SECOND), FeedFault(kind, at, lasting(5, 30), some)]
        elif kind == "no_candles":
            end = lasting(20, 60)
            out += [FeedFault("stall", at, at + (end - at) // 2), FeedFault(kind, at, end)]
        elif kind in ("silence", "halt"):
            out.append(FeedFault(kind, at, lasting(40, 150), some))
        elif kind in ("wild", "vtt_damage"):
            out.append(FeedFault(kind, at, at + 20 * SECOND, few, draw.choice([-0.4, 0.3, 5.0]) if kind == "wild" else 0))
        elif kind == "lag":
            out.append(FeedFault(kind, at, lasting(5, 20), (), draw.uniform(4, 12)))
        elif kind == "half_open":
            out.append(FeedFault(kind, at, at + 20 * SECOND))
        elif kind == "corrupt":
            out.append(FeedFault(kind, at, lasting(1, 5)))
        else:
            out.append(FeedFault(kind, at, lasting(10, 100)))
    return out


@dataclass
class Outcome:
    """What one run did."""
    candidates: list[np.void] = field(default_factory=list)
    gaps: list[np.void] = field(default_factory=list)
    silences: list[tuple[int, int, int]] = field(default_factory=list)      # row, begin, end, as they arrived
    notes: list[tuple[int, str]] = field(default_factory=list)
    connects: int = 0
    subscribed: int = 0
    given_up: int = 0
    fresh: float = 0.0             # share of market seconds in which the feed was fresh and a gate could let an exit go
    memory: list[int] = field(default_factory=list)
    seconds: float = 0.0


def resident_mb() -> int:
    """Of this process now: its peak would hold the frames the sim keeps back during a stall."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20


def frames_of_day(market: SyntheticMarket) -> Iterator[tuple[int, np.ndarray, bytes]]:
    """The market's frames between a quarter of an hour before the open and half an hour after the close without a word."""
    empty = market.last[:0]
    first, end = epoch_ms(DAY), epoch_ms(DAY, market.minutes)
    for at in range(first - 900_000, first, 1000):
        yield at, empty, encode_market_info({"NSE_EQ": 1}, at)
    yield from market.frames(BUCKET_MS)
    if market.minutes < 360:
        return
    for at in range(end + 2000, end + 1_800_000, 1000):
        yield at, empty, encode_market_info({"NSE_EQ": 3}, at)


def play(seed: int, count: int, minutes: int, script: list[FeedFault], planted: list[tuple[int, float]],
         quiet: bool = True) -> Outcome:
    """One day; `planted`: row and second after 09:15 of a spike of 12 one-minute sd and ten times the volume within 20 s."""
    specs = names(count)
    market = SyntheticMarket(specs, DAY, seed, spikes=0.2)
    market.minutes = min(market.minutes, minutes)
    for inst, at in planted:
        market.plant(inst, at, 12.0, 10.0, 20.0)
    watch = KeepingSink((REC_CANDIDATE, REC_GAP, REC_FEED_NOTE))
    core = Core(watch, len(specs), 256)
    settings = config.Config.model_construct(models="/nonexistent")
    begin(core, settings, specs, DAY, market.history(), OPEN - 900 * SECOND, Boot("soak", seed, "0"), 10**8)
    exchange = Exchange(specs, 10**8)
    feed = Feed(specs, script=script, seed=seed)
    net = VirtualFeed(core, feed, Candles(specs, DAY), [s.key for s in specs if s.tradable], seed)
    out, last = Outcome(), np.zeros(count, np.int64)
    made, missed = bytearray(), bytearray()             # candidates and ledger, packed: their count is not the engine's memory
    began, fresh, market_seconds = time.perf_counter(), 0, 0
    arrive = net.arrive

    def listen(now: int, kind: int, what: Any) -> list[tuple[int, int, Any]]:
        if kind == FRAME and what[1] == net.lives[what[0]] and what[0] in feed.links:
            try:
                keys = decode(what[2])["key"] if what[2][:1] == LIVE else ()
            except ValueError:
                keys = ()
            inst = np.array([feed.index[k.decode()] for k in keys], np.int64)
            late = np.flatnonzero((now - last[inst] > 8 * SECOND) & (last[inst] > 0)) if len(inst) else ()
            for i in late:                              # beyond what the name's own rate allows at this moment
                if (now - last[inst[i]]) // 1_000_000 > core.market.row(int(inst[i]))["gap_limit_ms"]:
                    out.silences.append((int(inst[i]), int(last[inst[i]]), now))
            last[inst] = now
        return arrive(now, kind, what)

    net.arrive = listen

    def each(now: int) -> bool:
        nonlocal fresh, market_seconds
        for kind, _, payload in watch.kept:
            (made if kind == REC_CANDIDATE else missed).extend(payload)
        watch.kept.clear()
        if OPEN <= now < OPEN + market.minutes * MINUTE:
            market_seconds += 1
            fresh += core.states()[2] and core.market.last_update > now - 3 * SECOND
            if market_seconds % 1800 == 0:
                out.memory.append(resident_mb())
        if not quiet and now // SECOND % 600 == 0:
            print(f"{(now - OPEN) // MINUTE:>4} min, {core.counts()['updates']:,} updates, {time.perf_counter() - began:.0f} s",
                  flush=True)
        return True

    run = VirtualRun(core, frames_of_day(market), exchange, "spk", "0", each, net=net)
    run.run()
    each(-1)
    out.candidates, out.gaps = list(np.frombuffer(bytes(made), CANDIDATE)), list(np.frombuffer(bytes(missed), GAP))
    out.notes, out.given_up = net.notes, net.backfill.given_up
    out.connects = sum(n for n in net.lives)
    out.subscribed = int(sum((link.modes >= 0).sum() for link in feed.links.values()))
    out.fresh, out.seconds = fresh / max(market_seconds, 1), time.perf_counter() - began
    return out


def windows_of(script: list[FeedFault], gaps: list[np.void]) -> dict[int, list[tuple[int, int]]]:
    """row (-1: all) -> times in which decisions may differ: while a fault lasts, what the ledger says was lost, and after."""
    out: dict[int, list[tuple[int, int]]] = {}
    for f in script:
        if f.kind in ("wild", "vtt_damage", "silence", "halt"):
            for inst in f.keys:
                out.setdefault(inst, []).append((f.begin, f.end + COOLDOWN))
        elif f.kind != "duplicate":
            out.setdefault(-1, []).append((f.begin, f.end + COOLDOWN))
    for g in gaps:
        if GAPS[g["kind"]] in ("silence", "refused", "stale"):
            out.setdefault(int(g["inst"]), []).append((int(g["begin"]), int(g["end"]) + COOLDOWN))
    return out


def is_inside(windows: dict[int, list[tuple[int, int]]], inst: int, now: int) -> bool:
    return any(a <= now <= b for a, b in windows.get(inst, []) + windows.get(-1, []))


def compare(clean: Outcome, faulty: Outcome, script: list[FeedFault], planted: list[tuple[int, float]],
            count: int) -> dict[str, Any]:
    """What is broken, and the figures beside it."""
    broken: list[str] = []
    ledger: dict[int, list[tuple[int, int]]] = {}
    for g in faulty.gaps:
        if GAPS[g["kind"]] == "silence":
            ledger.setdefault(int(g["inst"]), []).append((int(g["begin"]), int(g["end"])))
    close = OPEN + 360 * MINUTE
    for inst, a, b in faulty.silences:
        if a < OPEN or b > close:
            continue
        if not any(abs(x - a) < SECOND and abs(y - b) < SECOND for x, y in ledger.get(inst, [])):
            broken.append(f"row {inst}: silent {(b - a) / SECOND:.1f} s from second {(a - OPEN) / SECOND:.1f}, not in "
                          "the ledger")
    windows = windows_of(script, faulty.gaps)

    def outside(run: Outcome) -> Counter[tuple[int, int, int, int]]:
        return Counter((int(c["inst"]), int(c["move"]), int(c["level"]), int(c["ltt"])) for c in run.candidates
                       if not is_inside(windows, int(c["inst"]), int(c["now"])))

    def is_carried(run: Outcome, other: Outcome, inst: int, direction: int, ltt: int) -> bool:
        """Whether the quiet time after one inside a window ended just before, or in the other run still lasts: what was moved there
        moves on with it."""
        spans = ((run, 299_000, 345_000), (other, 0, 300_000))
        return any(c["inst"] == inst and c["move"] == direction and low <= ltt - int(c["ltt"]) <= high
                   and is_inside(windows, inst, int(c["now"])) for outcome, low, high in spans for c in outcome.candidates)

    a, b = outside(clean), outside(faulty)
    carried = 0
    for word, run, other, rest in (("made", faulty, clean, b - a), ("missed", clean, faulty, a - b)):
        for inst, direction, level, ltt in sorted(rest, key=lambda k: k[3]):
            if is_carried(run, other, inst, direction, ltt):
                carried += 1
            else:
                broken.append(f"row {inst}: candidate {word} at second {(ltt * 1_000_000 - OPEN) / SECOND:.1f}, level {level}")
    caused = [c for c in faulty.candidates if any(f.begin <= c["now"] <= f.end + 5 * SECOND for f in script)
              and not any(k["inst"] == c["inst"] and abs(int(k["ltt"]) - int(c["ltt"])) < 330_000 for k in clean.candidates)]
    broken += [f"row {c['inst']}: candidate of nothing in a fault at second {(int(c['now']) - OPEN) / SECOND:.1f}" for c in caused]
    missed_by_both = 0
    for inst, at in planted:
        found = [any(c["inst"] == inst and at - 1 <= (int(c["now"]) - OPEN) / SECOND <= at + 90 for c in run.candidates)
                 for run in (clean, faulty)]
        missed_by_both += not any(found)
        if found == [True, False]:
            broken.append(f"row {inst}: the spike planted at second {at:.1f} was not found")
    if faulty.subscribed != count:
        broken.append(f"{faulty.subscribed} keys are subscribed in the end, {count} were asked for")
    if len(faulty.memory) > 4 and faulty.memory[-1] > 1.1 * faulty.memory[2]:
        broken.append(f"memory grew from {faulty.memory[2]} to {faulty.memory[-1]} MB")
    kinds = Counter(GAPS[g["kind"]] for g in faulty.gaps)
    return {"faults": len(script), "rows": dict(kinds), "silences": len(faulty.silences), "candidates": len(faulty.candidates),
            "compared": sum(a.values()), "planted": len(planted), "found_by_neither": missed_by_both, "carried": carried,
            "connects": faulty.connects, "given_up": faulty.given_up, "fresh": round(faulty.fresh, 5),
            "fresh_clean": round(clean.fresh, 5), "memory_mb": faulty.memory, "seconds": round(clean.seconds + faulty.seconds, 1),
            "broken": broken}


def day(seed: int, count: int, minutes: int, faults: int, quiet: bool = True) -> dict[str, Any]:
    """Both runs of one day, compared."""
    script = script_of(seed, faults, minutes, count)
    draw = random.Random(seed + 1)
    planted = []
    for fault in script:
        at, inst = (fault.end - OPEN) / SECOND + 300, draw.choice(fault.keys) if fault.keys else draw.randrange(count)
        others = [f for f in script if not f.keys or inst in f.keys or f.kind == "refuse_keys"]
        while any((f.begin - OPEN) / SECOND - 60 < at < (f.end - OPEN) / SECOND + 60 for f in others):
            at += 5                                     # into the next fault: to the first moment that is clear of any
        if at < (minutes - 3) * 60:
            planted.append((inst, at))
    clean = play(seed, count, minutes, [], planted, quiet)
    faulty = play(seed, count, minutes, script, planted, quiet)
    return {"seed": seed, "keys": count, "minutes": minutes, **compare(clean, faulty, script, planted, count)}


def usual(seed: int, keys: int) -> list[FeedFault]:
    """What a bad but not a broken day has: two cut lines, a refusal of 5 to 15 s, a half-open link, a stall and a backlog of 10 to
    20 s, ten names that fall silent, three seconds of noise."""
    draw, out = random.Random(seed), []
    for kind, low, high in (("drop", 1, 1), ("drop", 1, 1), ("refuse", 5, 15), ("half_open", 20, 20), ("stall", 10, 20),
                            ("backlog", 10, 20), ("silence", 60, 60), ("corrupt", 3, 3)):
        at = OPEN + round(draw.uniform(600, 20_000) * SECOND)
        end = at + round(draw.uniform(low, high) * SECOND)
        if kind == "refuse":
            out.append(FeedFault("drop", at, at + SECOND, (), 1006))
        value = draw.choice([401, 403, 503]) if kind == "refuse" else 0
        out.append(FeedFault(kind, at, end, tuple(range(min(keys, 10))) if kind == "silence" else (), value))
    return out


def month(seed: int, days: int, keys: int) -> dict[str, Any]:
    """`days` trading days with the usual faults: the share of market seconds with fresh data and a way to let an exit go."""
    shares = [play(seed + day, keys, 360, usual(seed + day, keys), []).fresh for day in range(days)]
    return {"seed": seed, "days": days, "keys": keys, "fresh": round(sum(shares) / len(shares), 5), "worst": round(min(shares), 5),
            "broken": [] if sum(shares) / len(shares) >= 0.995 else ["fresh for less than 99.5 % of market seconds"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=2500)
    parser.add_argument("--minutes", type=int, default=360)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--days", type=int, default=0, help="so many days with few faults each: how often all is fresh")
    arguments = parser.parse_args()
    if arguments.days:
        document = month(arguments.seed, arguments.days, min(arguments.keys, 60))
    else:
        document = day(arguments.seed, arguments.keys, arguments.minutes, arguments.faults, quiet=False)
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return 1 if document["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
