"""Sessions as of a date, profiles, and the instrument table."""
import datetime as dt

import numpy as np
import pytest

from _ext.core.records import INSTRUMENT
from engine.market import instruments, sessions
from engine.market.instruments import Instrument


@pytest.mark.parametrize(("kind", "cas", "day", "minutes"), [
    ("equity", True, dt.date(2026, 7, 31), 375), ("equity", True, dt.date(2026, 8, 3), 360),
    ("equity", False, dt.date(2026, 8, 3), 375), ("future", True, dt.date(2026, 8, 3), 385),
    ("option", False, dt.date(2025, 12, 15), 375), ("index", False, dt.date(2026, 9, 1), 375),
])
def test_continuous_trading_ends_as_of_the_date(kind, cas, day, minutes):
    assert sessions.close_minute(kind, cas, day) == minutes


def test_session_minutes_are_indian_time():
    at = dt.datetime.fromtimestamp(sessions.epoch_ms(dt.date(2026, 9, 1), 7.5) / 1000, dt.UTC)
    assert at == dt.datetime(2026, 9, 1, 3, 52, 30, tzinfo=dt.UTC)
    assert sessions.minute_of_session("15:10") == 355


def test_profiles_are_positive_smile_and_have_mean_one():
    for year in (2021, 2026):
        a, v = sessions.profile(dt.date(year, 3, 1))
        assert a.shape == v.shape == (sessions.MINUTES,) and (a > 0).all() and (v > 0).all()
        for factors in (a, v):
            assert abs(factors[:375].mean() - 1) < 0.12
            assert factors[0] > 3 * factors[180]


def test_the_shipped_names_are_the_208_of_august():
    specs = instruments.shipped()
    assert len(specs) == len({s.key for s in specs}) == 208
    for spec in specs:
        assert spec.key.startswith("NSE_EQ|INE") and spec.tick > 0 and spec.price > 0 and spec.price % spec.tick == 0
    assert not {s.symbol for s in specs} & instruments.EXCLUDED


def test_the_table_says_what_the_specs_say():
    specs = [Instrument("NSE_EQ|AAA", "AAA", tick=10), Instrument("NSE_FO|1", "AAA FUT", "future", 10, 500, 15_000, tradable=False)]
    rows = instruments.table(specs, dt.date(2026, 9, 1))
    assert rows.dtype == INSTRUMENT
    assert [bytes(k) for k in rows["key"]] == [b"NSE_EQ|AAA", b"NSE_FO|1"]
    assert rows["cas"].tolist() == [1, 0] and rows["close_minute"].tolist() == [360, 385]
    assert rows["lot"].tolist() == [1, 500] and rows["tradable"].tolist() == [1, 0]
    assert np.all(rows["lower_band"] == 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_stock_s_future_is_the_next_to_expire_its_last_day_included(order):
    months = ["2026-09-29", "2026-10-27"][::order]
    specs = [Instrument("NSE_EQ|A", "A"), *(Instrument(f"NSE_FO|{m}", "A FUT", "future", underlying="NSE_EQ|A",
                                                       expiry=m) for m in months),
             Instrument("NSE_FO|O", "A 100 CE", "option", underlying="NSE_EQ|A", expiry="2026-09-01", strike=10_000, right="CE")]
    near, far = 1 + months.index("2026-09-29"), 1 + months.index("2026-10-27")
    for day, row in ((28, near), (29, near), (30, far)):
        rows = instruments.table(specs, dt.date(2026, 9, day))
        assert rows["future"].tolist() == [row] + [instruments.NO_INST] * 3, day
    assert instruments.table(specs, dt.date(2026, 10, 28))["future"][0] == instruments.NO_INST
    assert rows["under"].tolist() == [instruments.NO_INST, 0, 0, 0] and rows["right"].tolist() == [0, 0, 0, 1]
    assert (rows["expiry"][near] - rows["expiry"][3], rows["expiry"][far] - rows["expiry"][near]) == (28, 28)
