"""Figures of a backtest against numbers worked out by hand, and trades against fills written by hand.

`engine/backtest/results.py`, `engine/backtest/trades.py`, `engine/backtest/terminal.py`.
"""
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from _ext.core.records import (
    CANDIDATE,
    FILL,
    GATE,
    INTENT,
    INTENT_CANCEL,
    INTENT_MODIFY,
    KIND_EQUITY,
    ORDER_UPDATE,
    POSITION,
    REC_CANDIDATE,
    REC_FILL,
    REC_GATE,
    REC_INTENT,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_VERDICT,
    ROLE_ENTRY,
    ROLE_EXIT,
    TYPE_LIMIT,
    TYPE_SL,
    WHY_ENTRY,
    WHY_PROTECT,
    WHY_TARGET,
    WHY_TIME,
)
from engine.backtest import results, terminal
from engine.backtest.trades import counts_of, mark_ambiguous, mark_open
from engine.feed.dayfile import DayFile
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.sim.charges import paise_of
from engine.watch.trades import Trade, trades_of
from tests.kit.days import DAY, bars_day

MINUTE = 60_000_000_000
OPEN = sessions.epoch_ms(DAY) * 1_000_000
DAYS = ["2026-09-01", "2026-09-02", "2026-09-03", "2026-09-04"]
EQUITY = 10_000_000                    # paise: Rs 1 lakh


def trade(day: int, net: int, entry: int = 10, minutes: int = 10, **fields) -> Trade:
    """A trade of 10 shares at Rs 100, which costs Rs 2."""
    begin = OPEN + day * 86_400_000_000_000 + entry * MINUTE
    return Trade(**{"day": DAYS[day], "symbol": "A", "source": "spike", "candidate": 1, "side": 1, "quantity": 10,
                    "entry_time": begin, "exit_time": begin + minutes * MINUTE, "entry_price": 10_000.0, "exit_price": 10_000.0,
                    "gross": net + 200, "charges": 200, "reason": "time", "strength": 0.7, "score": 0.95, "stop": 9_800,
                    "target": 10_400} | fields)


def test_the_figures_are_those_of_the_book():
    trades = [trade(0, 3_000), trade(0, -1_000, 30), trade(1, -4_000, minutes=30), trade(3, 1_000)]
    found = results.summary(trades, DAYS, EQUITY)
    assert (found["trades"], found["days"], found["open"]) == (4, 4, 0)
    assert (found["net"], found["gross"], found["charges"]) == (-10.0, -2.0, 8.0)
    assert found["win_rate"] == 0.5 and found["profit_factor"] == pytest.approx(4_000 / 5_000)
    assert found["average_bp"] == pytest.approx((300 - 100 - 400 + 100) / 4)                 # of Rs 1,000 each
    assert found["total_return"] == pytest.approx(-0.0001)
    daily = [0.0002, -0.0004, 0.0, 0.0001]
    mean = sum(daily) / 4
    spread = math.sqrt(sum((x - mean) ** 2 for x in daily) / 3)
    assert found["sharpe"] == pytest.approx(mean / spread * math.sqrt(252))
    assert found["sortino"] == pytest.approx(mean / math.sqrt(0.0004 ** 2 / 4) * math.sqrt(252))
    assert found["max_drawdown"] == pytest.approx(5_000 / 10_003_000)
    assert (found["drawdown_from"], found["drawdown_to"]) == (DAYS[0], DAYS[1])
    assert found["average_minutes"] == 15 and found["exposure"] == pytest.approx(60 / (4 * 375))
    assert found["turnover"] == pytest.approx(4 * 2 * 1_000 / 100_000)


def test_a_drawdown_goes_by_when_trades_ended_and_from_the_last_best():
    """The loss of 60 was entered before the gain of 100 and ended after it; a best is met twice before the largest loss."""
    late = trade(0, -6_000, entry=5, minutes=60)
    found = results.drawdown([late, trade(0, 10_000, entry=10, minutes=5)], EQUITY)
    assert found["max_drawdown"] == pytest.approx(6_000 / 10_010_000)
    twice = [trade(0, 1_000), trade(1, -500), trade(2, 500), trade(3, -800)]
    found = results.drawdown(twice, EQUITY)
    assert (found["drawdown_from"], found["drawdown_to"]) == (DAYS[2], DAYS[3])


def test_a_position_that_overlaps_another_counts_its_time_once():
    found = results.summary([trade(0, 1), trade(0, 1, 15, 10), trade(0, 1, 16, 2)], DAYS[:1], EQUITY)
    assert found["exposure"] == pytest.approx(15 / 375)


def test_what_nobody_can_say_is_none():
    found = results.summary([], DAYS, EQUITY)
    assert [found[name] for name in ("win_rate", "profit_factor", "average_bp", "sharpe", "average_minutes")] == [None] * 5
    assert found["net"] == 0 and found["max_drawdown"] == 0 and set(found["interval"].values()) == {None}
    assert results.summary([trade(0, 5)], DAYS[:1], EQUITY)["sharpe"] is None
    assert results.summary([trade(0, 5)], DAYS, EQUITY)["profit_factor"] is None
    still = results.summary([trade(0, 5), trade(0, 5, exit_time=0)], DAYS, EQUITY)
    assert (still["trades"], still["open"]) == (1, 1)


def test_an_interval_holds_the_figure_and_shrinks_with_days():
    draw = np.random.default_rng(5)
    days = [f"day {k}" for k in range(60)]
    trades = [dataclasses.replace(trade(0, int(n)), day=day) for day in days for n in draw.normal(100, 1_000, 5)]
    few = [t for t in trades if t.day in days[:6]]
    wide, narrow = results.summary(few, days[:6], EQUITY), results.summary(trades, days, EQUITY)
    for found in (wide, narrow):
        for name in ("win_rate", "profit_factor", "average_bp", "net", "total_return", "sharpe"):
            low, high = found["interval"][name]
            assert low <= found[name] <= high
    width = {name: [np.ptp(found["interval"][name]) for found in (wide, narrow)] for name in ("win_rate", "average_bp")}
    assert all(first > 2 * second for first, second in width.values())
    # the mean of 60 days of 5 trades: its standard error is that of the daily means
    means = np.array([np.mean([t.net for t in trades if t.day == day]) for day in days]) / 100_000 * 1e4
    assert np.ptp(narrow["interval"]["average_bp"]) == pytest.approx(2 * 1.96 * means.std(ddof=1) / math.sqrt(60), rel=0.15)


def test_trades_are_grouped_by_what_they_were():
    trades = [trade(0, 10), trade(0, -10, 60, side=-1, symbol="B", score=float("nan"), reason="stop", source="other"),
              trade(1, 10, score=0.999, exit_time=0)]
    found = results.groups(trades, DAYS)
    assert {name: {word: row["trades"] for word, row in rows.items()} for name, rows in found.items()} == {
        "hour": {"09:00": 1, "10:00": 1}, "instrument": {"A": 1, "B": 1}, "direction": {"long": 1, "short": 1},
        "score": {"from 0.95": 1, "not scored": 1}, "reason": {"stop": 1, "time": 1}, "source": {"other": 1, "spike": 1}}
    assert found["direction"]["long"]["win_rate"] == 1 and found["direction"]["short"]["net"] == -0.1


# ---- trades from records ----------------------------------------------------------------------------------------------------
def record(dtype, **fields) -> bytes:
    row = np.zeros(1, dtype)
    for name, value in fields.items():
        row[name] = value
    return row.tobytes()


def fills(*parts, inst=1, side=1):
    """(minute, role, quantity, price, charges, realised) each, of candidate 4."""
    out = [(REC_CANDIDATE, OPEN, record(CANDIDATE, id=4, inst=inst, strength=0.8, score=0.9, source=1)),
           (REC_VERDICT, OPEN, record(CANDIDATE, id=4, inst=inst, strength=0.8, score=0.9, score_next=0.97, updates=1, source=1)),
           (REC_INTENT, OPEN, record(INTENT, id=1, why=WHY_ENTRY)), (REC_INTENT, OPEN, record(INTENT, id=2, why=WHY_PROTECT)),
           (REC_POSITION, OPEN, record(POSITION, inst=inst, quantity=side * 5, stop=98, target=104))]
    for minute, role, quantity, price, charges, realised in parts:
        out.append((REC_FILL, OPEN + minute * MINUTE, record(
            FILL, candidate=4, inst=inst, role=role, side=side if role == ROLE_ENTRY else -side, quantity=quantity, price=price,
            charges=charges, realised=realised, intent=1 if role == ROLE_ENTRY else 2)))
    return out


def test_fills_of_a_candidate_are_one_trade():
    kept = fills((1, ROLE_ENTRY, 3, 100, 2, 0), (2, ROLE_ENTRY, 2, 101, 1, 0), (5, ROLE_EXIT, 4, 103, 2, 10),
                 (7, ROLE_EXIT, 1, 102, 1, 2))
    (found,) = trades_of(kept, "2026-09-01", ["X", "A"], ["spike", "mine"])
    assert (found.symbol, found.source, found.side, found.quantity) == ("A", "mine", 1, 5)
    assert (found.entry_time, found.exit_time) == (OPEN + MINUTE, OPEN + 7 * MINUTE)
    assert found.entry_price == pytest.approx(100.4) and found.exit_price == pytest.approx(102.8)
    assert (found.gross, found.charges, found.net, found.reason) == (12, 6, 6, "stop")
    assert (found.strength, found.score, found.stop, found.target) == (0.8, pytest.approx(0.97), 98, 104)


def test_a_short_trade_has_its_stop_and_target_too():
    (found,) = trades_of(fills((1, ROLE_ENTRY, 5, 100, 2, 0), (5, ROLE_EXIT, 5, 97, 2, 15), side=-1), "2026-09-01", ["X", "A"],
                         ["spike", "mine"])
    assert (found.side, found.stop, found.target, found.gross) == (-1, 98, 104, 15)


def test_a_trade_is_open_until_all_of_it_is_sold_and_ends_for_the_order_s_last_reason():
    kept = fills((1, ROLE_ENTRY, 5, 100, 2, 0), (5, ROLE_EXIT, 4, 103, 2, 10))
    kept.insert(-1, (REC_INTENT, OPEN, record(INTENT, id=2, why=WHY_TARGET)))
    (found,) = trades_of(kept, "2026-09-01", ["X", "A"], ["spike", "mine"])
    assert not found.is_closed and found.reason == "target"


@pytest.mark.parametrize(("kind", "order_type", "reason"), [
    (INTENT_MODIFY, TYPE_SL, "stop"), (INTENT_MODIFY, TYPE_LIMIT, "time"), (INTENT_MODIFY, 0, "time"),
    (INTENT_CANCEL, TYPE_SL, "stop"), (INTENT_CANCEL, 0, "stop")])
def test_a_stop_that_is_filled_while_another_end_is_asked_for_is_what_ended_it(kind, order_type, reason):
    """The modify had not arrived where the venue says that the order was a stop."""
    kept = fills((1, ROLE_ENTRY, 5, 100, 2, 0), (5, ROLE_EXIT, 5, 98, 2, -10))
    kept[-1:-1] = [(REC_INTENT, OPEN, record(INTENT, id=2, kind=kind, why=WHY_TIME)),
                   (REC_ORDER_UPDATE, OPEN, record(ORDER_UPDATE, intent=2, order_type=order_type, filled=5))]
    (found,) = trades_of(kept, "2026-09-01", ["X", "A"], ["spike", "mine"])
    assert found.is_closed and found.reason == reason


@pytest.mark.parametrize(("side", "bid", "ask", "last", "price"), [
    (1, 10_100, 10_110, 10_105, 10_100), (-1, 9_890, 9_900, 9_895, 9_900), (1, 0, 10_110, 10_105, 10_105)])
def test_what_is_held_when_the_data_ends_is_left_at_the_price_shown_and_pays_for_that_side(side, bid, ask, last, price):
    """Ten at Rs 100, four of them left at Rs 102 before. The sim's own table says what leaving costs: tax is on sales alone."""
    entered = 10_000
    plan = {"stop": entered - side * 200, "target": entered + side * 400}
    slot = {"bought": 10, "sold": 4, "left": 6 * entered, "side": side, "inst": 0, "entry": 1, "plan": plan}
    market = SimpleNamespace(row=lambda inst: {"bid": bid, "ask": ask, "ltp": last})
    core = SimpleNamespace(orders=lambda: [{"candidate": 1}], positions=lambda: [slot], market=market,
                           instrument=lambda inst: {"kind": KIND_EQUITY})
    found = trade(0, 0, side=side, exit_time=0, exit_price=10_200.0, gross=800, charges=300)
    over = trade(0, 0)                          # of the same candidate, and ended
    mark_open([over, found], core, OPEN + 100 * MINUTE)
    assert over == trade(0, 0)
    assert (found.gross, found.reason) == (800 + side * 6 * (price - entered), "end of data")
    assert found.charges == 300 + paise_of("equity", side > 0, 6 * price, DAY)
    assert found.exit_price == pytest.approx((4 * 10_200 + 6 * price) / 10) and found.exit_time == OPEN + 100 * MINUTE
    assert (found.stop, found.target) == (plan["stop"], plan["target"])


@pytest.mark.parametrize(("low", "high", "is_ambiguous"), [(98, 104, True), (99, 104, False), (98, 103, False), (97, 105, True)])
def test_a_bar_that_holds_stop_and_target_is_marked(tmp_path, low, high, is_ambiguous):
    day = DayFile(bars_day(tmp_path, [(0, 100, 101, 99, 100, 5), (1, 100, high, low, 100, 5)], [Instrument("NSE_EQ|A", "A")]))
    found = trade(0, 5, exit_time=OPEN + MINUTE + 20_000_000_000, stop=98, target=104)
    mark_ambiguous([found], day)
    assert found.is_ambiguous is is_ambiguous


def test_refusals_are_counted_by_reason_and_exits_are_none():
    kept = [*fills(), (REC_GATE, 0, record(GATE, reason=3)), (REC_GATE, 0, record(GATE, reason=0, is_exit=1))]
    reasons = ["pass", "a", "b", "c"]
    assert counts_of(kept, reasons) == {"candidates": 1, "rules": {"pass": 1}, "gate": {"c": 1}}


def test_the_page_says_what_the_document_holds():
    trades = [trade(0, 3_000), trade(1, -4_000, reason="stop", is_ambiguous=True)]
    document = {"data": "days", "first": DAYS[0], "last": DAYS[1], "rows": 1_234, "seconds": 1.5, "notes": ["a book is modelled"],
                "is_whole": False, "problem": None, "result": results.summary(trades, DAYS[:2], EQUITY),
                "groups": results.groups(trades, DAYS[:2]), "optimistic": {"net": 50.0, "trades": 2},
                "stopped": ["2026-09-01: strategy mine is off"],
                "counts": {"candidates": 9, "rules": {"pass": 4, "low volume": 5}, "gate": {"pass": 2, "too many positions": 2}}}
    page = terminal.page(document)
    for words in ("1,234 rows", "NOT WHOLE: it was interrupted", "a book is modelled", "win rate                     50.0%", "-10",
                  "in the bar of the exit", "the good extreme first", "low volume 5", "too many positions 2", "stop",
                  "STRATEGY OFF on 2026-09-01: strategy mine is off"):
        assert words in page
    assert "pass" not in page
