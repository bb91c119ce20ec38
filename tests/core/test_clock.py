"""India's clock against the time zone database, at the edges where the day of India is not that of UTC."""
import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from _ext.core import clock

INDIA, EPOCH = ZoneInfo("Asia/Kolkata"), dt.date(1970, 1, 1)


def minute_of(year: int, month: int, day: int, hour: int, minute: int) -> int:
    """Of UTC, since 1970."""
    return int(dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC).timestamp()) // 60


@pytest.mark.parametrize("at", [(2026, 9, 1, 18, 29), (2026, 9, 1, 18, 30), (2026, 9, 1, 23, 59), (2026, 9, 2, 0, 0),
                                (2026, 9, 2, 3, 45), (1970, 1, 1, 0, 0)])
def test_a_minute_belongs_to_the_day_of_india(at):
    minute = minute_of(*at)
    there = dt.datetime.fromtimestamp(60 * minute, INDIA)
    assert clock.day_of_minutes(minute) == (there.date() - EPOCH).days
    assert clock.day_of_minutes(np.array([minute, minute])).tolist() == [(there.date() - EPOCH).days] * 2


def test_the_session_opens_at_a_quarter_past_nine_in_india():
    day = dt.date(2026, 9, 2)
    opens = dt.datetime.fromtimestamp(60 * clock.open_minute((day - EPOCH).days), INDIA)
    assert (opens.date(), opens.hour, opens.minute) == (day, 9, 15)
    assert clock.OPEN_OF_DAY == 9 * 60 + 15 and clock.MINUTES == 15 * 60 + 45 - clock.OPEN_OF_DAY
    assert (clock.SECOND, clock.MINUTE) == (10**9, 60 * 10**9)
