"""The open: on real bars the first quarter of an hour makes no more candidates than the rest of the day (docs/market.md 2)."""
import datetime as dt

import numpy as np
import polars as pl
import pytest

from _ext.core.records import CANDIDATE, REC_CANDIDATE, REC_FRAME, WARM_BAR
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, shipped
from engine.market.sessions import epoch_ms
from engine.run.opening import Boot, begin
from engine.sim.market import SyntheticMarket
from tests.conftest import recording

DAY = dt.date(2026, 9, 1)
STEPS = range(500, 60_000, 5_000)
"""A bar is played as twelve updates: open, then the nearer extreme, the other one, the close."""


def played(frame: pl.DataFrame, specs) -> np.ndarray:
    """Minute of the session of every candidate."""
    days = frame["day"].unique().sort().to_list()
    trail = KeepingSink((REC_CANDIDATE,))
    core = Core(trail, len(specs), 64)
    begin(core, config.Config.model_construct(models="/nonexistent"), specs, days[0], np.zeros(0, WARM_BAR),
          epoch_ms(days[0]) * 1_000_000, Boot("bars", 1, "0"), 10**8)
    vtt, day = np.zeros(len(specs), np.int64), None
    for (ms, today), bars in frame.group_by("ms", "day", maintain_order=True):
        if today != day:
            day, vtt[:] = today, 0
        inst = bars["inst"].to_numpy()
        prices = np.rint(bars.select("open", "high", "low", "close").to_numpy() * 100).astype(np.int64)
        rising = prices[:, 3] >= prices[:, 0]
        path = np.stack([prices[:, 0], np.where(rising, prices[:, 2], prices[:, 1]), np.where(rising, prices[:, 1], prices[:, 2]),
                         prices[:, 3]])
        rows = np.zeros(len(bars), TICK_DTYPE)
        rows["key"] = [specs[i].key.encode() for i in inst]
        rows["key_len"], rows["mode"], rows["has"] = np.char.str_len(rows["key"]), 1, 1 | 64
        for k, after in enumerate(STEPS):
            share = bars["volume"].to_numpy().astype(np.int64) // 12
            vtt[inst] += share if k < 11 else bars["volume"].to_numpy().astype(np.int64) - 11 * share
            rows["ltp"], rows["vtt"], rows["ltt"] = path[(k >= 4) + (k >= 8) + (k >= 11)], vtt[inst], ms + after
            core.feed(REC_FRAME, (ms + after + 300) * 1_000_000, encode(rows, ms + after))
    ltt = np.array([np.frombuffer(payload, CANDIDATE)[0]["ltt"] for _, _, payload in trail.kept])
    return (ltt + 19_800_000) // 60_000 % 1440 - 555


@pytest.mark.recording(twin="tests/signals/test_opening.py::test_so_does_the_open_of_a_generated_day")
@pytest.mark.parametrize(("folder", "names", "tick"), [("bars_1m_2016", 10, 5), ("bars_1m_2026", 1, 10), ("bars_1m_2026-07", 4, 1)])
def test_the_open_makes_at_most_twice_the_candidates_of_an_average_minute(folder, names, tick):
    paths = [p for p in sorted(recording(folder).glob("*.parquet")) if not p.stem.startswith("NIFTY")][:names]
    specs = [Instrument(f"NSE_EQ|{p.stem}", p.stem[:30], tick=tick) for p in paths]
    frame = pl.concat([pl.read_parquet(p).select("ts", "open", "high", "low", "close", "volume").with_columns(inst=pl.lit(i))
                       for i, p in enumerate(paths)])
    frame = frame.with_columns(ms=pl.col("ts").dt.epoch("ms"), day=pl.col("ts").dt.convert_time_zone("Asia/Kolkata").dt.date())
    first = frame["day"].min()
    assert isinstance(first, dt.date)
    minutes = played(frame.filter(pl.col("day") <= first + dt.timedelta(days=40)).sort("ms", "inst"), specs)
    assert len(minutes) > 200
    assert (minutes < 15).sum() / 15 <= 2 * len(minutes) / 375


def test_so_does_the_open_of_a_generated_day():
    """Of twelve stocks and two hours: the first quarter of an hour against the average minute."""
    specs = shipped()[:12]
    market = SyntheticMarket(specs, DAY, 8)
    market.minutes = 120
    trail = KeepingSink((REC_CANDIDATE,))
    core = Core(trail, len(specs), 64)
    begin(core, config.Config.model_construct(models="/nonexistent"), specs, DAY, market.history(), epoch_ms(DAY) * 1_000_000,
          Boot("generated", 1, "0"), 10**8)
    for now, _, frame in market.frames():
        core.feed(REC_FRAME, now * 1_000_000, frame)
    ltt = np.array([np.frombuffer(payload, CANDIDATE)[0]["ltt"] for _, _, payload in trail.kept])
    minutes = (ltt + 19_800_000) // 60_000 % 1440 - 555
    assert len(minutes) > 50
    assert (minutes < 15).sum() / 15 <= 2 * len(minutes) / 120
