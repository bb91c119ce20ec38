"""The engine's own matching: what an order gets of the book shown, when, and in which time. Each row of the tables is by hand.

`_ext/trade/venue.pyx`, `engine/broker/paper/protocol.py`.
"""
import itertools

import numpy as np
import pytest

from _ext.core.records import (
    INTENT,
    INTENT_PLACE,
    OUTCOME_DONE,
    OUTCOME_REFUSED,
    REC_DATA,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_OPEN,
    STATUS_REJECTED,
    TYPE_LIMIT,
    TYPE_SL,
    WARM_BAR,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import ROWS_OVER, Core
from _ext.trade.venue import PaperVenue
from engine.broker.base import OrderRow, PositionRow, QuoteRow
from engine.broker.paper import protocol
from engine.broker.paper.protocol import Reply
from engine.config import Config
from engine.feed import TICK_DTYPE
from engine.feed.dayfile import DayFile, Source, of_ticks, write
from engine.feed.rows import data_record, row_feed
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.run.opening import Boot, begin
from engine.sim.days import path_of
from tests.kit.days import DAY

BUY, SELL = 1, -1
SPEC = Instrument("NSE_EQ|A", "A", tick=5, lot=1, freeze=1_000, lower=800, upper=1_200)


class Market:
    """A venue over ticks of one name, a second apart: each ((bid quantity, bid, ask quantity, ask), ...) and a last price."""

    def __init__(self, folder, *ticks, one_way=0):
        rows = np.zeros(len(ticks), TICK_DTYPE)
        rows["key"], rows["key_len"], rows["mode"] = SPEC.key.encode(), len(SPEC.key), 1
        received = np.array([sessions.epoch_ms(DAY, 1) + 1_000 * k for k in range(len(ticks))])
        for k, (levels, last) in enumerate(ticks):
            rows[k]["has"], rows[k]["ltp"], rows[k]["ltt"], rows[k]["vtt"] = 67 if levels else 65, last, received[k], 100 * (k + 1)
            rows[k]["n_levels"] = len(levels)
            for i, (bid_q, bid, ask_q, ask) in enumerate(levels):
                rows[k]["levels"][i] = bid_q, bid, ask_q, ask
        path = path_of(folder, DAY, "ticks")
        write(path, DAY, "ticks", [SPEC], of_ticks(rows, received, [SPEC]), [Source("made", "")])
        day = DayFile(path)
        self.core = Core(KeepingSink(()), 1, 64)
        begin(self.core, Config(), [SPEC], DAY, np.zeros(0, WARM_BAR), sessions.epoch_ms(DAY) * 1_000_000, Boot("t", 1, "1"), 10**8)
        feed = row_feed(day)
        self.core.day_files[feed.sha256] = feed
        self.core.feed(REC_DATA, self.core.now, data_record(day))
        self.venue = self.core.venue = PaperVenue(self.core.trader, 7, one_way)
        self.first, self.numbers = int(received[0]) * 1_000_000, itertools.count(1)

    def at(self, second: float) -> int:
        return self.first + round(second * 1e9)

    def to(self, second: float) -> None:
        """Up to the price of that second, and past it."""
        while self.core.run_rows(self.at(second) + 1, 250_000_000) == 1:
            pass

    def place(self, side, quantity, price, trigger=0) -> int:
        number = next(self.numbers)
        kind = TYPE_SL if trigger else TYPE_LIMIT
        assert self.venue.place(number, 0, side, kind, quantity, price, trigger, self.core.now) == ""
        return number

    def order(self, number: int) -> dict:
        return dict(self.venue.orders_now())[f"P{number}"]

    def had(self, number: int) -> tuple[int, int, int]:
        order = self.order(number)
        return order["status"], order["filled"], order["value"]


DEEP = ((10, 995, 7, 1_000), (20, 990, 30, 1_005), (40, 985, 50, 1_010))


@pytest.mark.parametrize(("side", "quantity", "price", "had"), [
    (BUY, 5, 1_000, (STATUS_COMPLETE, 5, 5_000)), (BUY, 9, 1_005, (STATUS_COMPLETE, 9, 7_000 + 2 * 1_005)),
    (BUY, 9, 1_000, (STATUS_OPEN, 7, 7_000)), (BUY, 9, 995, (STATUS_OPEN, 0, 0)),
    (SELL, 12, 990, (STATUS_COMPLETE, 12, 9_950 + 2 * 990)), (SELL, 12, 995, (STATUS_OPEN, 10, 9_950)),
    (SELL, 100, 800, (STATUS_OPEN, 70, 9_950 + 20 * 990 + 40 * 985))])
def test_an_order_takes_what_is_shown_within_its_limit_and_rests_with_the_rest(tmp_path, side, quantity, price, had):
    market = Market(tmp_path, (DEEP, 1_000))
    market.to(0)
    assert market.had(market.place(side, quantity, price)) == had
    assert market.venue.n_working == (had[0] == STATUS_OPEN)


@pytest.mark.parametrize(("quantity", "status"), [(SPEC.freeze, STATUS_OPEN), (SPEC.freeze + 1, STATUS_REJECTED)])
def test_the_freeze_quantity_itself_is_taken(tmp_path, quantity, status):
    market = Market(tmp_path, (DEEP, 1_000))
    market.to(0)
    assert market.had(market.place(BUY, quantity, 900)) == (status, 0, 0)


def test_what_an_order_took_is_gone_until_the_next_update(tmp_path):
    market = Market(tmp_path, (DEEP, 1_000), (DEEP, 1_000), (((10, 995, 100, 1_000),), 1_000))
    market.to(0)
    first, second = market.place(BUY, 7, 1_000), market.place(BUY, 9, 1_000)
    assert market.had(first) == (STATUS_COMPLETE, 7, 7_000) and market.had(second) == (STATUS_OPEN, 0, 0)
    market.to(1)
    assert market.had(second) == (STATUS_OPEN, 7, 7_000)
    market.to(2)
    assert market.had(second) == (STATUS_COMPLETE, 9, 9_000)
    assert market.core.run_rows(1 << 62, 250_000_000) in (1, ROWS_OVER)


def test_nothing_is_had_before_anything_was_shown_and_a_trade_at_the_limit_fills_nobody(tmp_path):
    market = Market(tmp_path, (((10, 995, 7, 1_005),), 1_000), (((10, 995, 7, 1_005),), 1_000))
    early = market.place(BUY, 5, 1_000)
    assert market.had(early) == (STATUS_OPEN, 0, 0)
    market.to(1)
    assert market.had(early) == (STATUS_OPEN, 0, 0)            # last price 1,000, but nobody offers at 1,000


@pytest.mark.parametrize(("side", "price", "trigger", "limit", "had"), [
    (SELL, 975, 985, 990, (STATUS_COMPLETE, 5, 5 * 995)), (BUY, 1_025, 1_015, 1_005, (STATUS_COMPLETE, 5, 5_000)),
    (SELL, 975, 985, 1_000, (STATUS_OPEN, 0, 0))])
def test_a_stop_made_a_limit_waits_for_no_trigger(tmp_path, side, price, trigger, limit, had):
    market = Market(tmp_path, (DEEP, 1_000))
    market.to(0)
    stop = market.place(side, 5, price, trigger)
    assert market.had(stop) == (STATUS_OPEN, 0, 0)
    assert market.venue.modify(f"P{stop}".encode(), TYPE_LIMIT, 5, limit, 0, market.core.now) == ""
    assert market.had(stop) == had


@pytest.mark.parametrize(("side", "price", "trigger", "lasts", "had"), [
    (SELL, 975, 985, (1_000, 990), (STATUS_OPEN, 0, 0)), (SELL, 975, 985, (1_000, 985), (STATUS_COMPLETE, 5, 5 * 995)),
    (SELL, 975, 985, (1_000, 900), (STATUS_COMPLETE, 5, 5 * 995)), (BUY, 1_025, 1_015, (1_000, 1_010), (STATUS_OPEN, 0, 0)),
    (BUY, 1_025, 1_015, (1_000, 1_015), (STATUS_COMPLETE, 5, 5_000))])
def test_a_stop_waits_for_the_last_price_to_reach_its_trigger(tmp_path, side, price, trigger, lasts, had):
    market = Market(tmp_path, *((DEEP, last) for last in lasts))
    market.to(0)
    stop = market.place(side, 5, price, trigger)
    assert market.had(stop) == (STATUS_OPEN, 0, 0)
    market.to(1)
    assert market.had(stop) == had


def test_a_triggered_stop_stays_an_order_when_the_price_comes_back(tmp_path):
    thin = ((10, 970, 7, 1_000),)
    market = Market(tmp_path, (DEEP, 1_000), (thin, 985), (thin, 1_000), (DEEP, 1_000))
    market.to(0)
    stop = market.place(SELL, 5, 975, 985)
    market.to(2)
    assert market.had(stop) == (STATUS_OPEN, 0, 0)
    market.to(3)
    assert market.had(stop) == (STATUS_COMPLETE, 5, 5 * 995)


@pytest.mark.parametrize("terms", [
    (BUY, 1_001, 1_000, 0), (BUY, 5, 1_001, 0), (BUY, 5, 795, 0), (BUY, 5, 1_205, 0), (BUY, 5, -5, 0), (SELL, 5, 990, 985),
    (BUY, 5, 1_000, 1_005), (SELL, 5, 975, 983), (SELL, 5, 800, 795)])
def test_what_does_not_fit_the_exchange_is_rejected(tmp_path, terms):
    market = Market(tmp_path, (DEEP, 1_000))
    market.to(0)
    side, quantity, price, trigger = terms
    number = market.place(side, quantity, price, trigger)
    assert market.had(number) == (STATUS_REJECTED, 0, 0)
    assert [order["status"] for _, _, order in market.venue.take_updates()] == [STATUS_REJECTED]
    assert market.venue.cancel(b"P1", market.core.now) == "OVER" and market.venue.n_working == 0


def test_an_order_is_changed_and_ended_while_it_works_and_not_after(tmp_path):
    market = Market(tmp_path, (DEEP, 1_000), (DEEP, 1_000))
    market.to(0)
    number = market.place(BUY, 20, 1_000)
    venue, now = market.venue, market.core.now
    assert market.had(number) == (STATUS_OPEN, 7, 7_000)
    assert venue.modify(b"P1", TYPE_LIMIT, 7, 1_000, 0, now) == "QUANTITY"           # no more than what it has
    assert venue.modify(b"P1", TYPE_LIMIT, 20, 1_001, 0, now) == "" and market.order(number)["price"] == 1_000      # off the grid
    assert venue.modify(b"P1", TYPE_LIMIT, 12, 1_005, 0, now) == ""
    assert market.had(number) == (STATUS_COMPLETE, 12, 7_000 + 5 * 1_005)
    assert venue.modify(b"P1", TYPE_LIMIT, 20, 1_005, 0, now) == "OVER" and venue.cancel(b"P1", now) == "OVER"
    other = market.place(BUY, 20, 990)
    assert venue.cancel(b"P2", now) == "" and market.had(other) == (STATUS_CANCELLED, 0, 0)
    for strange in (b"P3", b"P0", b"", b"X1", b"P-1"):
        assert venue.cancel(strange, now) == "NOT FOUND" and venue.modify(strange, TYPE_LIMIT, 1, 1_000, 0, now) == "NOT FOUND"
    assert venue.place(1, 0, BUY, TYPE_LIMIT, 1, 1_000, 0, now) == "TWICE"
    assert venue.place(9, 5, BUY, TYPE_LIMIT, 1, 1_000, 0, now) == "NO ORDER"
    assert venue.place(9, 0, BUY, TYPE_LIMIT, 0, 1_000, 0, now) == "NO ORDER"
    told = [(order_id, order["status"], order["filled"]) for _, order_id, order in venue.take_updates()]
    assert told == [("P1", STATUS_OPEN, 7), ("P1", STATUS_OPEN, 7), ("P1", STATUS_COMPLETE, 12), ("P2", STATUS_OPEN, 0),
                    ("P2", STATUS_CANCELLED, 0)]
    assert venue.take_updates() == []


def test_an_order_that_was_ended_gets_nothing_of_what_is_shown_later(tmp_path):
    market = Market(tmp_path, (DEEP, 1_000), (((10, 985, 7, 990),), 990))
    market.to(0)
    number = market.place(BUY, 5, 990)
    assert market.venue.cancel(b"P1", market.core.now) == "" and market.venue.n_working == 0
    market.to(1)
    assert market.had(number) == (STATUS_CANCELLED, 0, 0)


def test_two_orders_of_one_name_share_the_book_in_each_update(tmp_path):
    market = Market(tmp_path, (((10, 995, 7, 1_010),), 1_000), (DEEP, 1_000))
    market.to(0)
    numbers = [market.place(BUY, 5, 1_000) for _ in range(2)]
    market.to(1)
    assert sorted(market.order(n)["filled"] for n in numbers) == [2, 5]


# ---- the way there and back -------------------------------------------------------------------------------------------------
def test_the_way_is_drawn_from_what_the_request_is_and_not_from_what_came_before(tmp_path):
    market, other = Market(tmp_path, (DEEP, 1_000)), Market(tmp_path, (DEEP, 1_000))
    ways = {key: market.venue.latency(*key) for key in itertools.product(range(1, 40), (1, 2, 3), range(3))}
    assert {key: other.venue.latency(*key) for key in sorted(ways, reverse=True)} == ways
    every = np.array(list(ways.values())) / 1e6
    assert 15 < np.median(every[:, 0]) < 20 and 15 < np.median(every[:, 1]) < 20            # 17.5 ms one way
    assert 0.38 < np.log(every).std() < 0.52 and abs(np.corrcoef(every.T)[0, 1]) < 0.15
    assert (every % 1 == 0).all() and every.min() >= 1
    assert PaperVenue(market.core.trader, 8).latency(1, 1, 0) != market.venue.latency(1, 1, 0)
    assert Market(tmp_path, (DEEP, 1_000), one_way=9_000_000).venue.latency(1, 1, 0) == (9_000_000, 9_000_000)


# ---- its language -----------------------------------------------------------------------------------------------------------
def test_the_venue_speaks_as_every_broker_does():
    intent = np.zeros(1, INTENT)[0]
    intent["kind"] = INTENT_PLACE
    request = protocol.request_of(intent, "NSE_EQ|A", "spk.1.1.e")
    assert (request.path, request.body["key"], request.body["tag"]) == ("place", "NSE_EQ|A", "spk.1.1.e")
    assert protocol.verdict_of(INTENT_PLACE, 200, Reply("P1")) == (OUTCOME_DONE, "P1", "")
    assert protocol.verdict_of(INTENT_PLACE, 200, Reply(refused="OVER")) == (OUTCOME_REFUSED, "", "OVER")
    row = OrderRow("P1")
    assert protocol.order_of(row) is row and protocol.order_of("P1") is None and protocol.message_of(row) is row
    assert protocol.position_of(PositionRow("a", 1)).quantity == 1 and protocol.position_of(None).quantity is None
    assert protocol.quote_of(QuoteRow("a")) == QuoteRow("a") and protocol.quote_of({}) is None
    assert protocol.rows_of("book", (1, 2)) == [1, 2] and protocol.funds_of(5) == 5
    assert {protocol.read_of("book").method, protocol.exit_all().method} == {"PAPER"}
