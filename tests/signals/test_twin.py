"""The detector against its plain-Python twin on generated days: the same updates, the same numbers, the same first tick."""
import dataclasses
import datetime as dt

import numpy as np
import orjson
import pytest

from _ext.core.records import CANDIDATE, REC_CANDIDATE, REC_FRAME, REC_INSTRUMENTS, REC_PROFILE, REC_START
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE
from engine.market import instruments
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms, profile
from engine.sim.market import SyntheticMarket
from engine.sim.recorded import frames_of
from tests.reference.spike import Twin

DAYS = ((dt.date(2026, 9, 2), 5), (dt.date(2021, 5, 20), 8))
"""One of each era's profile."""
MINUTES = 66
SPECS = [Instrument("NSE_EQ|A", "RELIANCE", tick=10, price=140_000), Instrument("NSE_EQ|B", "IDEA", tick=1, price=1_200),
         Instrument("NSE_EQ|C", "SBIN", tick=5, price=80_000)]


@pytest.fixture(scope="module", params=DAYS, ids=["2026", "2021"])
def made(request):
    """(day, rows and receipt times of each name) of the first hour with artefacts, repeats, silences and planted spikes."""
    day, seed = request.param
    market = SyntheticMarket(SPECS, day, seed, spikes=0.0, artefacts=6.0)
    for inst, begin, ramp in ((0, 1500, 5), (1, 1700, 30), (2, 2100, 15), (0, 2700, 60), (2, 3300, 2), (1, 3600, 20)):
        market.plant(inst, begin, 9.0 if (begin // 100) % 2 else -9.0, 7.0, ramp)
    parts = [market.next_minute() for _ in range(MINUTES)]
    rows = np.concatenate([r.view(np.uint8) for r, _ in parts]).view(TICK_DTYPE)
    received = np.concatenate([times for _, times in parts])
    chance = np.random.default_rng(seed)
    keep = np.ones(len(rows), bool)
    for begin in chance.uniform(1300, 3800, 4):            # of the whole feed, nine to forty seconds
        since = received - epoch_ms(day) - begin * 1000
        keep &= ~((since > 0) & (since < chance.uniform(9_000, 40_000)))
    rows, received = rows[keep], received[keep]
    out = []
    for k, spec in enumerate(SPECS):
        mine = np.flatnonzero(rows["key"] == spec.key.encode())
        mine = mine[np.append(np.diff(received[mine]) > 0, True)]      # of two in one frame the later counts
        out.append((k, rows[mine], received[mine]))
    return day, out


def candidates(day, rows, received, spec: Instrument, **detector) -> np.ndarray:
    """CANDIDATE records of one name's updates."""
    trail = KeepingSink((REC_CANDIDATE,))
    core = Core(trail, 1)
    begin = int(received[0]) * 1_000_000
    settings = config.Config(models="", source={"spike": detector})
    core.feed(REC_START, begin, orjson.dumps(settings.record()))
    core.feed(REC_INSTRUMENTS, begin, instruments.table([spec], day).tobytes())
    core.feed(REC_PROFILE, begin, profile(day).tobytes())
    for at, _, frame in frames_of(rows, received):
        core.feed(REC_FRAME, at * 1_000_000, frame)
    return np.frombuffer(b"".join(payload for _, _, payload in trail.kept), CANDIDATE)


def twin_of(day, spec: Instrument) -> Twin:
    a, v = profile(day)
    return Twin(a, v, spec.tick, instruments.close_minute(spec.kind, spec.is_cas, day))


def test_every_strength_and_statistic_equals_the_twins(made):
    day, names = made
    compared = 0
    for k, rows, received in names:
        spec = dataclasses.replace(SPECS[k])
        got = {int(c["now"]) // 1_000_000: c for c in candidates(day, rows, received, spec, emit=1e-9, trade=1e-9, cooldown_s=0)}
        twin = twin_of(day, spec)
        for at, row in zip(received.tolist(), rows, strict=True):
            strength = twin.on_tick(at, row)
            assert (strength is not None and strength >= 1e-9) == (at in got), (spec.symbol, at)
            if at in got:
                mine = got.pop(at)
                compared += 1
                assert mine["move"] == twin.direction and mine["ltt"] == row["ltt"] and mine["price"] == row["ltp"]
                for name, value in twin.statistics.items():
                    assert float(mine[name]) == pytest.approx(value, rel=1e-9, abs=1e-10), (spec.symbol, at, name)
        assert not got
    assert compared > 3000


def test_the_first_tick_at_the_threshold_is_the_candidates(made):
    day, names = made
    fired = 0
    for k, rows, received in names:
        twin, want = twin_of(day, SPECS[k]), []
        quiet = {(level, side): 0 for level in (0, 1) for side in (1, -1)}
        for at, row in zip(received.tolist(), rows, strict=True):
            strength = twin.on_tick(at, row)
            level = 1 if strength is not None and strength >= 0.6 else 0
            if strength is None or strength < 0.5 or row["ltt"] < quiet[level, twin.direction]:
                continue
            for below in range(level + 1):
                quiet[below, twin.direction] = int(row["ltt"]) + 300_000
            want.append((at, level, twin.direction))
        found = candidates(day, rows, received, SPECS[k])
        got = [(int(c["now"]) // 1_000_000, int(c["level"]), int(c["move"])) for c in found]
        assert got == want, SPECS[k].symbol
        fired += sum(level for _, level, _ in want)
    assert fired >= 4
