"""Features against their plain-Python twin and the libraries' indicators, over generated days with everything planted into them."""
import math

import numpy as np
import orjson
import pytest

from _ext.core.records import REC_BARS, REC_FRAME, REC_INSTRUMENTS, REC_PROFILE, REC_START
from _ext.core.sink import RecordSink
from _ext.entrance import Core
from _ext.signals.features import DESCRIBED, FEATURES
from engine import config
from engine.lab.dataset import SOURCES, features_of, generated_day
from engine.lab.inject import INJECTORS, inject
from engine.market import instruments, sessions
from engine.sim.recorded import frames_of
from tests.reference.features import ring_features

FLAGS = {"TRADED": 1, "AFTER_GAP": 4, "REPEAT": 32, "BOOK": 64}


@pytest.fixture(scope="module")
def seen():
    """(features, what the twin says, the row, indicators) of two names at many moments of a day with artefacts of every kind."""
    day, _ = generated_day(13, 5, 6, spikes=4.0, own=3.0, minutes=100)
    a, v = (x[:100] for x in sessions.profile(day.day))
    rows, received, _ = inject(day.rows, day.received, day.specs, sessions.epoch_ms(day.day), a, v, 5, list(INJECTORS), 150.0)
    core = Core(RecordSink(), len(day.specs))
    begin = (sessions.epoch_ms(day.day) - 60_000) * 1_000_000
    core.feed(REC_START, begin, orjson.dumps(config.Config.model_construct().record()))
    core.feed(REC_INSTRUMENTS, begin, instruments.table(day.specs, day.day).tobytes())
    core.feed(REC_PROFILE, begin, sessions.profile(day.day).tobytes())
    core.feed(REC_BARS, begin, day.bars.tobytes())
    out = []
    for n, (at, _, frame) in enumerate(frames_of(rows, received)):
        core.feed(REC_FRAME, at * 1_000_000, frame)
        if n % 37 or n < 20_000:
            continue
        inst, direction = n % len(day.specs), 1 if n % 2 else -1
        row = core.market.row(inst)
        if row["ring_at"] == 0 or row["expected"] <= 0:
            continue
        ring = core.market.ticks(inst)
        count = min(int(row["ring_at"]), len(ring))
        order = [(int(row["ring_at"]) - count + k) % len(ring) for k in range(count)]
        out.append((core.features_at(inst, direction), ring_features(ring[order], row, direction, FLAGS), row, direction,
                    core.market.indicators_at(inst), core.market.window(inst), int(ring[order[-1]]["ltp"])))
    return out


def test_features_of_the_last_minute_equal_their_twin(seen):
    assert len(seen) >= 300
    for got, want, *_ in seen:
        for name, value in want.items():
            assert got[FEATURES.index(name)] == pytest.approx(value, rel=1e-4, abs=1e-5, nan_ok=True), name


def test_features_of_closed_minutes_say_what_the_indicators_do(seen):
    for got, _, row, sign, x, w, price in seen:
        f = dict(zip(FEATURES, got.tolist(), strict=True))
        s1m = row["s1m"]
        moved = math.log(price / row["last_close"])
        raw = np.array(w["u"])
        want = {
            "rsi": sign * (x["rsi"] - 50) / 50, "adx": x["adx"], "trend": sign * (x["plus_di"] - x["minus_di"]) / 100,
            "macd": np.clip(sign * x["macd_histogram"] / price / s1m, -50, 50), "atr": x["atr"] / price / s1m,
            "band_width": x["width"] / s1m, "vwap": np.clip(sign * math.log(price / x["vwap"]) / s1m, -50, 50),
            "to_level": np.clip(math.log(x["resistance"] / price if sign > 0 else price / x["support"]) / s1m, -50, 50),
            "roc20_bp": sign * (row["raw"] + moved - row["raw20"]) * 1e4, "regime": x["regime"], "s1m_bp": s1m * 1e4,
            "minute_before": sign * raw[-1] * row["inv_u"], "ma_gap": sign * (row["mean20"] - row["mean50"]) * row["inv50"]}
        for name, value in want.items():
            assert f[name] == pytest.approx(value, rel=1e-4, abs=1e-4, nan_ok=True), name


def test_every_feature_is_described_and_stays_in_its_range(seen):
    assert len(DESCRIBED) == len(set(FEATURES)) == len(FEATURES)
    assert {needs for _, _, _, needs in DESCRIBED} <= SOURCES["live"] | {"volatility"}
    for k, (name, _, span, _) in enumerate(DESCRIBED):
        values = np.array([got[k] for got, *_ in seen])
        low, _, high = span.partition("..")
        values = values[~np.isnan(values)]
        if low and len(values) and name != "spread_ticks":          # a crossed book has a negative spread
            assert name in ("spread_bp", "spread_ratio", "spread_before") or values.min() >= float(low) - 1e-6, name
        if high and len(values):
            assert values.max() <= float(high) + 1e-6, name


def test_sources_differ_in_what_they_can_supply():
    assert "spread_bp" not in features_of("ticks") and "spread_bp" in features_of("upstox")
    assert "held_updates" not in features_of("bars") and "rsi" in features_of("bars")
    assert set(features_of("bars")) < set(features_of("live"))
