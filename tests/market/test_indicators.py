"""Indicators against TA-Lib and pandas on generated and on real bars, bar by bar from the first value on."""
import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
import talib

from _ext.market.indicators import NAMES, REGIMES, indicators_of
from tests.conftest import recording

RESTS = {"2016": ("bars_1m_2016", ("RELIANCE", "INFY", "ADANIPOWER", "MARUTI")), "2026": ("bars_1m_2026", ("RELIANCE",)),
         "2026-07": ("bars_1m_2026-07", None)}


def series(folder, names):
    for path in sorted(recording(folder).glob("*.parquet")):
        if names is None or path.stem.split("_")[0] in names:
            frame = pl.read_parquet(path)
            yield path.stem, frame


def generated(seed: int) -> pl.DataFrame:
    """Three days of two hundred minutes: a walk on a grid, with stretches that stand still and minutes without volume."""
    rng = np.random.default_rng(seed)
    n = 600
    close = 1000.0 + 0.05 * np.cumsum(np.where(rng.random(n) < 0.15, 0, rng.integers(-40, 41, n)))
    close[320:345] = close[320]
    first = np.roll(close, 1)
    first[0] = close[0]
    ts = [dt.datetime(2026, 9, 1 + k // 200, 4, tzinfo=dt.UTC) + dt.timedelta(minutes=k % 200) for k in range(n)]
    wick = 0.05 * rng.integers(0, 20, (2, n))
    wick[:, 320:345] = 0
    return pl.DataFrame({"ts": ts, "high": np.maximum(first, close) + wick[0], "low": np.minimum(first, close) - wick[1],
                         "close": close, "volume": rng.integers(0, 5, n) * 100.0})


RECORDED = pytest.mark.recording(twin="tests/market/test_indicators.py::test_every_indicator_equals_its_oracle[generated]")


@pytest.fixture(params=["generated", *(pytest.param(name, marks=RECORDED) for name in RESTS)])
def real(request):
    if request.param == "generated":
        return [(f"seed {seed}", generated(seed)) for seed in (1, 2)]
    found = list(series(*RESTS[request.param]))
    assert found
    return found


def columns(frame):
    high, low, close, volume = (frame[name].to_numpy().astype(float) for name in ("high", "low", "close", "volume"))
    days = frame["ts"].dt.convert_time_zone("Asia/Kolkata").dt.date().to_numpy().astype("datetime64[D]").astype(np.int64)
    return high, low, close, volume, days


def test_every_indicator_equals_its_oracle(real):
    for name, frame in real:
        high, low, close, volume, days = columns(frame)
        ours = dict(zip(NAMES, indicators_of(np.column_stack([high, low, close, volume]), days).T, strict=True))
        upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
        macd, signal, histogram = talib.MACD(close, 12, 26, 9)
        day = pd.Series(days)
        typical = pd.Series((high + low + close) / 3)
        traded = pd.Series(volume).groupby(day).cumsum()
        oracle = {"rsi": talib.RSI(close, 14), "macd_signal": signal, "macd_histogram": histogram, "upper": upper, "middle": middle,
                  "lower": lower, "width": (upper - lower) / middle, "atr": talib.ATR(high, low, close, 14),
                  "adx": talib.ADX(high, low, close, 14), "plus_di": talib.PLUS_DI(high, low, close, 14),
                  "minus_di": talib.MINUS_DI(high, low, close, 14), "roc": talib.ROC(close, 20), "obv": talib.OBV(close, volume),
                  "support": talib.MIN(low, 50), "resistance": talib.MAX(high, 50),
                  "vwap": ((typical * volume).groupby(day).cumsum() / traded.where(traded > 0)).to_numpy()}
        for what, expected in oracle.items():
            known = ~np.isnan(expected)
            assert (~np.isnan(ours[what])[known]).all() and known.sum() > 300, (name, what)
            if what not in ("macd_signal", "macd_histogram"):
                assert np.isnan(ours[what][~known]).all(), (name, what)
            # TA-Lib keeps running sums of squares for its bands: their rounding is worth some 1e-8 of the price
            tolerance = 1e-7 if what in ("upper", "lower", "width") else 1e-9
            np.testing.assert_allclose(ours[what][known], expected[known], rtol=tolerance, atol=tolerance, err_msg=f"{name} {what}")
        np.testing.assert_allclose(ours["macd"][33:], macd[33:], rtol=1e-9, atol=1e-9)
        exact = pd.DataFrame([close[i - 19:i + 1].std() for i in range(19, len(close))])[0].to_numpy()
        np.testing.assert_allclose((ours["upper"] - ours["middle"])[19:], 2 * exact, rtol=1e-9, atol=1e-9)
        moved = exact > 1e-9
        np.testing.assert_allclose(ours["z"][19:][moved], (close - middle)[19:][moved] / exact[moved], rtol=1e-9, atol=1e-9)


def test_regimes_are_told_apart():
    rng = np.random.default_rng(3)
    n = 200

    def last(steps):
        close = 1000 + np.cumsum(steps)
        bars = np.column_stack([close + 1, close - 1, close, np.ones(n)])
        return REGIMES[int(indicators_of(bars, np.zeros(n))[-1, -1])]

    calm = rng.normal(0, 1, n)
    assert last(np.full(n, 1.0)) == "rising" and last(np.full(n, -1.0)) == "falling"
    assert last(np.where(np.arange(n) > 190, 10 * calm, calm)) == "wild"
    assert last(np.where(np.arange(n) > 175, 0.01 * calm, 5 * calm)) == "quiet"
    assert last(np.tile([1.0, -1.0], n // 2)) == "ranging"
    assert last(calm) in REGIMES[1:]


def test_the_regime_is_what_ranges_and_directions_say_bar_by_bar(real):
    """Unknown while there are fewer than fifty true ranges: the first bar has none, nothing closed before it."""
    for name, frame in real:
        high, low, close, volume, days = columns(frame)
        ours = indicators_of(np.column_stack([high, low, close, volume]), days)[:, NAMES.index("regime")]
        reach = pd.Series(talib.TRANGE(high, low, close))
        ratio = (reach.rolling(14).mean() / reach.rolling(50).mean()).to_numpy()
        adx = talib.ADX(high, low, close, 14)
        is_up = talib.PLUS_DI(high, low, close, 14) > talib.MINUS_DI(high, low, close, 14)
        expected = np.select([np.isnan(ratio) | np.isnan(adx), ratio > 1.5, ratio < 2 / 3, adx > 25],
                             [0, REGIMES.index("wild"), REGIMES.index("quiet"), np.where(is_up, REGIMES.index("rising"),
                                                                                         REGIMES.index("falling"))],
                             REGIMES.index("ranging"))
        edge = (np.abs(ratio - 1.5) < 1e-9) | (np.abs(ratio - 2 / 3) < 1e-9) | (np.abs(adx - 25) < 1e-9)
        assert (ours == expected)[~edge].all() and ours[49] == 0 != ours[50], name


def test_still_bars_make_no_nonsense():
    flat = np.column_stack([np.full(120, 100.0)] * 3 + [np.zeros(120)])
    ours = dict(zip(NAMES, indicators_of(flat, np.zeros(120))[-1], strict=True))
    assert (ours["rsi"], ours["atr"], ours["width"], ours["z"], ours["roc"], ours["obv"]) == (0, 0, 0, 0, 0, 0)
    assert np.isnan(ours["vwap"]) and np.isnan(ours["adx"]) and ours["regime"] == 0


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="n x 4"):
        indicators_of(np.zeros((3, 3)), np.zeros(3))
