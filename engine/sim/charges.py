"""What the broker's calculator answers: the charges of an order, from the published rates in per cent.

The sim states the rates again on purpose, in the words of their sources and in decimal numbers: it stands for the broker, and the
engine's own model (`_ext/trade/costs`) is held against it. Rounding is that of a published answer (docs/upstox.md 8.1): STT in
whole rupees, all else to the paisa.
"""
import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from _ext.core.clock import MINUTE, day_of_minutes
from engine.market.sessions import day_of

SEGMENT = {"equity": "cash", "future": "futures", "option": "options", "index": "cash"}
STT_ON_SALE = {                      # per cent of the turnover, of the premium for options
    "cash": (("2004-10-01", "0.025"),),
    "futures": (("2013-06-01", "0.01"), ("2023-04-01", "0.0125"), ("2024-10-01", "0.02"), ("2026-04-01", "0.05")),
    "options": (("2016-06-01", "0.05"), ("2023-04-01", "0.0625"), ("2024-10-01", "0.1"), ("2026-04-01", "0.15"))}
EXCHANGE = {                         # per cent of each side, investor protection fund included
    "cash": (("2021-01-01", "0.00345"), ("2023-04-01", "0.00325"), ("2024-04-01", "0.00322"), ("2024-10-01", "0.00307")),
    "futures": (("2021-01-01", "0.002"), ("2023-04-01", "0.0019"), ("2024-04-01", "0.00188"), ("2024-10-01", "0.00183")),
    "options": (("2021-01-01", "0.053"), ("2023-04-01", "0.05"), ("2024-04-01", "0.0495"), ("2024-10-01", "0.03553"))}
STAMP_ON_PURCHASE = {"cash": "0.003", "futures": "0.002", "options": "0.003"}
BROKERAGE = {"cash": "0.1", "futures": "0.05", "options": None}      # at most Rs 20 an order; options Rs 20
SEBI, GST = "0.0001", "18"
PAISA, RUPEE, MOST = Decimal("0.01"), Decimal("1"), Decimal("20")


def charges(kind: str, is_sale: bool, value: Decimal, day: dt.date) -> dict[str, Decimal]:
    """Parts in rupees of one order's fills of `value` rupees, by the names of the broker's answer."""
    what = SEGMENT[kind]
    percent = BROKERAGE[what]
    brokerage = (MOST if percent is None else min(MOST, _share(value, percent))) if value else Decimal(0)
    exchange, sebi = _share(value, _of_day(EXCHANGE[what], day)), _share(value, SEBI)
    parts = {
        "brokerage": brokerage, "transaction": exchange, "sebi_turnover": sebi, "gst": _share(brokerage + exchange + sebi, GST),
        "stamp_duty": Decimal(0) if is_sale else _share(value, STAMP_ON_PURCHASE[what])}
    stt = _share(value, _of_day(STT_ON_SALE[what], day)) if is_sale else Decimal(0)
    return {name: part.quantize(PAISA, ROUND_HALF_UP) for name, part in parts.items()} | {
        "stt": stt.quantize(RUPEE, ROUND_HALF_UP).quantize(PAISA)}


@lru_cache(4096)
def paise_of(kind: str, is_sale: bool, value: int, day: dt.date) -> int:
    """All parts together; `value` and the answer in paise. Funds are read every few seconds, and ask of each order of the day."""
    return int(100 * sum(charges(kind, is_sale, Decimal(value) / 100, day).values()))


def day_at(now: int) -> dt.date:
    """The day in India at `now` (ns)."""
    return day_of(day_of_minutes(now // MINUTE))


def _share(value: Decimal, percent: str) -> Decimal:
    return value * Decimal(percent) / 100


def _of_day(rates: tuple[tuple[str, str], ...], day: dt.date) -> str:
    """The rate in force; before the first day the first."""
    return next((rate for since, rate in reversed(rates) if since <= day.isoformat()), rates[0][1])
