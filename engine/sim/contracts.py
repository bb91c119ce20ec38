"""Futures and options of the shipped stocks for the synthetic market: strikes, expiries and lots of the usual make."""
import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from engine.market.calendar import CalendarError, hours
from engine.market.instruments import Instrument

FIRST_TOKEN = 40_000
CONTRACT_VALUE = 60_000_000
"""Paise; the exchange sets lots so that a contract is worth some five to ten lakh rupees."""


def expiry_after(day: dt.date) -> dt.date:
    """The last Tuesday of the month that is not before `day`, or the trading day before where that is a holiday."""
    while True:
        last = dt.date(day.year, day.month, calendar.monthrange(day.year, day.month)[1])
        last -= dt.timedelta(days=(last.weekday() - 1) % 7)
        try:
            while hours(last) is None:
                last -= dt.timedelta(days=1)
        except CalendarError:
            pass
        if last >= day:
            return last
        day = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)


def step_of(price: int) -> int:
    """Distance of strikes for a stock of this price, paise: about two per cent, a round number."""
    step = 10 ** (len(str(price * 2 // 100)) - 1)
    return int(next(m * step for m in (1, 2, 5, 10) if m * step >= price * 15 // 1000))


def with_contracts(stocks: Sequence[Instrument], day: dt.date, options: int = 10) -> list[Instrument]:
    """`stocks`, a future of each, and `options` (calls and puts of as many strikes around the price) of each."""
    expiry = expiry_after(day)
    out, futures, chains = list(stocks), [], []
    token = FIRST_TOKEN
    for s in stocks:
        lot = max(CONTRACT_VALUE // s.price // 25 * 25, 25)
        common = replace(s, lot=lot, freeze=40 * lot, underlying=s.key, expiry=expiry.isoformat(), is_cas=False, tradable=False)
        token += 1
        futures.append(replace(common, key=f"NSE_FO|{token}", kind="future",
                               symbol=f"{s.symbol} FUT {expiry:%d %b %y}".upper()[:31]))
        step = step_of(s.price)
        middle = round(s.price / step)
        for k in range(options):
            token += 1
            strike = (middle + (k // 2 + 1) // 2 * (1 if k // 2 % 2 else -1)) * step
            right = "CE" if k % 2 == 0 else "PE"
            chains.append(replace(common, key=f"NSE_FO|{token}", symbol=f"{s.symbol} {strike / 100:g} {right}"[:31], kind="option",
                                  tick=5, strike=strike, right=right, price=0))
    return out + futures + chains
