"""The engine's backtest against one in plain Python, written from the rules alone: every trade, every refusal.

`tests/reference/backtest.py` (its parts: `minutes`, `trader`, `venue`) knows no formula of the product.
"""
import datetime as dt
import itertools
from collections import Counter

import numpy as np
import polars as pl
import pytest

import engine
from engine.config import Config
from engine.feed.dayfile import BAR_DTYPE, DayFile, Source, of_bars, write
from engine.sim.days import Asked, bring_in, path_of
from tests.conftest import recording
from tests.kit.days import recorded_day
from tests.reference.backtest import SHIPPED, Options, trades
from tests.reference.minutes import BarStrategy

LATENCY = 40
SPIKES = {"signals": {"strength": 0.3, "volume": 0.5, "noise": 1.0}, "session": {"first_minute": 1},
          "source": {"spike": {"emit": 0.4, "trade": 0.45}}}
"""Settings that let generated candidates trade; the filter passes everything."""
BOTH = SPIKES | {"sources": ["spike", "opening_range"], "source": {
    "spike": {"emit": 0.4, "trade": 0.45}, "opening_range": {"minutes": 5, "volume": 0.0}}}
CLOSE = {"stop": 0.004, "target": 0.006, "trail": 0.003, "hold_s": 90, "max_positions": 6, "symbol_gap_s": 20}
NARROW = CLOSE | {"notional": 0.3, "symbol_exposure": 0.3, "sector_exposure": 0.4, "daily_loss": 0.006, "drawdown": 0.008,
                  "losing_streak": 2, "streak_pause_s": 240, "symbol_per_hour": 3, "orders_per_hour": 12}
WIDE = {"losing_streak": 0, "daily_loss": 0.5, "drawdown": 0.5, "max_positions": 8, "sector_exposure": 1.0}
CROSSES = {"strategies": {"crosses": {"file": "moving_average_cross", "parameters": {"fast": 2, "slow": 3}}}}
CROWDED = {"max_positions": 20, "leverage": 5, "symbol_gap_s": 0, "symbol_per_minute": 16, "symbol_per_hour": 16, "stop": 0.003,
           "target": 0.004, "notional": 1.0, "symbol_exposure": 1.0, "sector_exposure": 1.0, "daily_loss": 1, "drawdown": 1,
           "losing_streak": 0, "order_value": 1e9, "protection": 0.0}
NAMES = ("AXISBANK", "ICICIBANK", "RELIANCE", "SBIN", "TATASTEEL")
MONEY = ("gross", "charges", "entry_price", "exit_price")
EXACT = ("symbol", "source", "side", "quantity", "entry_time", "exit_time", "reason")


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two generated days of eight names that move a lot, the second without a book."""
    folder = tmp_path_factory.mktemp("days")
    return [recorded_day(folder, dt.date(2026, 9, 1), names=8, minutes=120, seed=5, mood=8.0),
            recorded_day(folder, dt.date(2026, 9, 2), names=8, minutes=120, seed=6, mood=8.0, book=False)]


@pytest.fixture(scope="module")
def bars(days, tmp_path_factory):
    """The same days as bars of a minute."""
    folder = tmp_path_factory.mktemp("bars")
    return [as_bars(path, folder) for path in days]


MINUTES = """
import engine


class Minutes(engine.Strategy):
    def on_bar(self, instrument, minutes, bars):
        opened, close, held = bars.open[-1], bars.close[-1], self.position(instrument)
        side = 1 if close > opened else -1
        if held is not None and held.side != side:
            self.exit(instrument)
        elif held is None and close != opened:
            self.candidate(instrument, side, limit=close, stop=close * (1 - side * 0.004), target=close * (1 + side * 0.003),
                           hold=100)
"""


class Minutes(BarStrategy):
    """The same once more."""

    def on_bar(self, bars, held):
        opened, close = bars[-1]
        side = 1 if close > opened else -1
        if held:
            return "leave" if held != side else None
        return {"side": side, "limit": close, "stop": close * (1 - side * 0.004), "target": close * (1 + side * 0.003),
                "hold": 100} if close != opened else None


def as_bars(path, folder):
    """A day file of the one-minute bars of a day file of ticks."""
    day = DayFile(path)
    rows, _ = day.ticks()
    made = []
    for (inst, minute), group in itertools.groupby(sorted(zip(
            day.columns["inst"].tolist(), (rows["ltt"] // 60_000).tolist(), range(day.rows), strict=True)), lambda row: row[:2]):
        mine = rows[[number for _, _, number in group]]
        price, volume = mine["ltp"], mine["vtt"]
        made.append((inst, minute * 60_000, price[0], price.max(), price.min(), price[-1], volume.max() - volume.min() + 1, 0))
    table = np.array(sorted(made, key=lambda bar: (bar[1], bar[0])), BAR_DTYPE)
    out = path_of(folder, day.day, "bars")
    write(out, day.day, "bars", day.specs, of_bars(table), [Source("generated", "")])
    return out


def by_engine(paths, config, run, latency, first=None):
    """(trades, verdicts, gate's words, candidates) as the engine has them; money in paise."""
    data = paths[0].parent if len(paths) > 1 else paths[0]
    document = engine.backtest(data=data, run_dir=run, latency_ms=latency, journal=False, config=config, first=first)
    frame = pl.read_parquet(run / "trades.parquet").with_columns(
        *(pl.col(name).dt.epoch("ns") for name in ("entry_time", "exit_time")), *(pl.col(name) * 100 for name in MONEY))
    counts = document["counts"]
    return frame.to_dicts(), counts["rules"], counts["gate"], counts["candidates"]


def compare(paths, settings, run, latency=LATENCY, first=None, strategies=SHIPPED) -> Counter:
    """Both run the days; what must be equal is. Reasons of the exits.

    `first`: the second day alone is traded, the first gives its last minutes."""
    config = Config(**settings)
    theirs, *their_counts = by_engine(paths, config, run, latency, first)
    own_days, before = (paths[1:], paths[0]) if first else (paths, None)
    mine, *my_counts = trades(own_days, config, Options(latency), before, strategies)
    assert my_counts == their_counts
    assert [(own["day"], own["candidate"]) for own in mine] == [(other["day"], other["candidate"]) for other in theirs]
    for own, other in zip(mine, theirs, strict=True):
        assert [own[name] for name in EXACT] == [other[name] for name in EXACT]
        assert [own[name] for name in MONEY[1:]] == pytest.approx([other[name] for name in MONEY[1:]], rel=0, abs=1e-4), own
        assert own["gross"] == pytest.approx(other["gross"], rel=0, abs=0.01), own
    return Counter(other["reason"] for other in theirs)


def test_every_trade_on_spikes_is_the_oracles(days, tmp_path):
    reasons = compare(days, SPIKES, tmp_path / "run")
    assert reasons.total() >= 20 and {"stop", "target", "time"} <= set(reasons)


def test_every_trade_of_two_sources_with_close_exits_is_the_oracles(days, tmp_path):
    reasons = compare(days, BOTH | {"risk": CLOSE}, tmp_path / "run")
    assert reasons.total() >= 40 and {"stop", "time", "target"} <= set(reasons)


def test_every_trade_within_narrow_limits_is_the_oracles(days, tmp_path):
    reasons = compare(days, BOTH | {"risk": NARROW}, tmp_path / "run", latency=400)
    assert reasons.total() >= 20


def test_every_trade_of_a_crowded_account_is_the_oracles(days, tmp_path):
    """Entries and exits in many parts, a second on the way."""
    settings = SPIKES | {"signals": {"strength": 0.1, "volume": 0, "noise": 1.0, "spread_bp": 100}, "risk": CROWDED,
                         "source": {"spike": {"emit": 0.2, "trade": 0.25, "cooldown_s": 20}}}
    reasons = compare(days, settings, tmp_path / "run", 1000)
    assert reasons.total() >= 200


def test_every_trade_with_exits_by_average_ranges_is_the_oracles(days, tmp_path):
    """Policy atr, and a stop that is cancelled where it cannot be modified."""
    risk = WIDE | {"policy": "atr", "exit_by": "cancel", "atr_stop": 2, "cost_share": 0.5}
    reasons = compare(days, BOTH | {"risk": risk}, tmp_path / "run")
    assert reasons.total() >= 20 and {"soft stop", "fade", "target"} <= set(reasons)


def test_every_trade_where_half_of_the_updates_have_no_book_is_the_oracles(tmp_path):
    """No book is no news: the one shown last is there to be had."""
    path = recorded_day(tmp_path / "whole", names=8, minutes=120, seed=1, mood=8.0)
    day = DayFile(path)
    columns = {name: np.array(values) for name, values in day.columns.items()}
    gone = np.random.default_rng(1).random(day.rows) < 0.5
    columns["has"][gone] &= ~np.uint16(2)
    for name, values in columns.items():
        if name == "n_levels" or name.startswith("levels."):
            values[gone] = 0
    write(path, day.day, "ticks", day.specs, columns, [Source("generated", "")])
    assert compare([path], BOTH | {"risk": {"losing_streak": 0, "max_positions": 6}}, tmp_path / "run").total() >= 20


def test_every_trade_of_one_day_that_begins_with_the_minutes_of_another_is_the_oracles(days, tmp_path):
    reasons = compare(days, BOTH | {"risk": CLOSE | WIDE}, tmp_path / "run", first=dt.date(2026, 9, 2))
    assert reasons.total() >= 20


@pytest.mark.parametrize("risk", [{}, WIDE | {"stop": 0.005, "target": 0.006, "hold_s": 300}], ids=["shipped", "close"])
def test_every_trade_on_bars_is_the_oracles(bars, tmp_path, risk):
    settings = BOTH | {"risk": risk, "source": {"spike": {"emit": 0.3, "trade": 0.35, "cooldown_s": 60},
                                                "opening_range": {"minutes": 5, "volume": 0.0}}}
    assert compare(bars, settings, tmp_path / "run").total() >= 20


def test_every_trade_of_a_strategy_in_python_is_the_oracles(days, tmp_path):
    """A source beside it in the same names."""
    settings = SPIKES | CROSSES | {"risk": WIDE}
    reasons = compare(days, settings, tmp_path / "run")
    assert reasons.total() >= 40 and reasons["strategy"] >= 5


def test_every_trade_with_a_strategy_s_own_prices_is_the_oracles(days, tmp_path):
    """Limit, stop, target and holding time, and an end that it asks for."""
    file = tmp_path / "minutes.py"
    file.write_text(MINUTES)
    settings = SPIKES | {"strategies": {"minutes": {"file": str(file)}}, "risk": WIDE | {"symbol_per_hour": 16}}
    reasons = compare(days[:1], settings, tmp_path / "run", strategies={str(file): Minutes})
    assert reasons.total() >= 30 and {"strategy", "target", "stop", "time"} <= set(reasons)


def test_every_trade_of_a_strategy_on_bars_is_the_oracles(bars, tmp_path):
    settings = CROSSES | {"sources": [], "session": {"first_minute": 1}, "risk": WIDE}
    reasons = compare(bars, settings, tmp_path / "run")
    assert reasons.total() >= 40 and reasons["strategy"] >= 5


@pytest.mark.recording(twin="tests/backtest/test_oracle.py::test_every_trade_of_two_sources_with_close_exits_is_the_oracles")
def test_every_trade_of_recorded_days_is_the_oracles(tmp_path):
    """Ten stock-days of 2021."""
    folder, wanted = recording("ticks_2021"), ("2021-05-14", "2021-05-20")
    bring_in([folder / f"{name}.parquet" for name in NAMES], tmp_path / "all", Asked())
    (tmp_path / "days").mkdir()
    paths = [(tmp_path / "all" / f"{day}.ticks.day").rename(tmp_path / "days" / f"{day}.ticks.day") for day in wanted]
    reasons = compare(paths, BOTH | {"risk": {"stop": 0.003, "target": 0.005, "hold_s": 600, "losing_streak": 4}}, tmp_path / "run")
    assert reasons.total() >= 20 and {"stop", "time", "target"} <= set(reasons)


@pytest.mark.recording(twin="tests/backtest/test_oracle.py::test_every_trade_of_two_sources_with_close_exits_is_the_oracles")
def test_every_trade_of_a_recorded_feed_is_the_oracles(tmp_path):
    """Three shares of one session with their books."""
    folder = recording("upstox_v3_2025-12-15")
    bring_in([*folder.glob("NSE_EQ_*.parquet")], tmp_path / "days", Asked())
    settings = BOTH | {"source": {"opening_range": {"minutes": 3, "volume": 0.0},
                                  "spike": {"emit": 0.3, "trade": 0.32, "cooldown_s": 30}},
                       "risk": WIDE | {"stop": 0.002, "target": 0.002, "hold_s": 60, "symbol_gap_s": 1, "symbol_per_hour": 16}}
    reasons = compare([*(tmp_path / "days").glob("*.day")], settings, tmp_path / "run")
    assert reasons.total() >= 50 and {"stop", "time", "target"} <= set(reasons)
