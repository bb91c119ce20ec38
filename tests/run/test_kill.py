"""What the kill process makes of answers it does not understand: a name is closed, flat, or said to be unclear; never flat for want
of data."""
import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.broker.base import Answer, QuoteRow
from engine.run import kill
from engine.run.kill import Flattener, Report
from engine.trail.rundir import RunError

KEY, ELSE = "NSE_EQ|A", "NSE_EQ|B"
ENTRY = {"tag": "spk.n.1.e", "status": "complete", "order_id": "B1", "instrument_token": KEY, "transaction_type": "BUY",
         "filled_quantity": 40}
HELD = {"instrument_token": KEY, "product": "I", "quantity": 40}
QUOTE = {"instrument_token": KEY, "last_price": 100.0, "lower_circuit_limit": 90.0, "upper_circuit_limit": 110.0,
         "depth": {"buy": [{"price": 99.5, "quantity": 10}], "sell": []}}


class Broker:
    """Shows what it is told to; a close that is placed makes it flat."""

    def __init__(self, book: Any, positions: Any, quotes: Any = None):
        self.shown = {"retrieve-all": book, "short-term-positions": positions, "quotes": {"x": QUOTE} if quotes is None else quotes}
        self.placed: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    async def call(self, request) -> Answer:
        if request.method == "DELETE":
            self.cancelled.append(request.params["order_id"])
            return Answer(200, {})
        if request.method == "POST":
            return self.place(request.body)
        body = self.shown[request.path.rpartition("/")[2]]
        return Answer(200, body if isinstance(body, dict) and "status" in body else {"status": "success", "data": body})

    def place(self, body: dict[str, Any]) -> Answer:
        self.placed.append(body)
        self.shown["short-term-positions"] = [r for r in self.shown["short-term-positions"] if r != HELD]
        self.shown["retrieve-all"] = [*self.shown["retrieve-all"], ENTRY | {
            "tag": body["tag"], "transaction_type": "SELL", "filled_quantity": body["quantity"]}]
        return Answer(200, {"status": "success", "data": {"order_ids": ["9"]}})


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr(kill.asyncio, "sleep", at_once)


def closed(broker: Broker, whole: bool = False) -> Report:
    report = Report()
    asyncio.run(Flattener(broker, "spk", {KEY: (5, 0)}, report, whole).run())
    return report


def test_what_is_ours_is_closed():
    broker = Broker([ENTRY], [HELD, {"instrument_token": ELSE, "product": "I", "quantity": 7}])
    report = closed(broker)
    assert report.left == {} and [(b["instrument_token"], b["quantity"]) for b in broker.placed] == [(KEY, 40)]


@pytest.mark.parametrize(("ours", "shown", "closes"), [
    (40, 40, 40), (40, 25, 25), (40, 60, 40), (40, 0, 0), (40, -40, 0), (-40, 40, 0), (-40, -40, -40), (-40, -70, -40), (0, 40, 0)])
def test_what_others_hold_is_left_to_them(ours, shown, closes):
    """Of what the broker shows only as much as our orders made, on the side they made it; of the whole account everything."""
    book = [ENTRY | {"transaction_type": "BUY" if ours > 0 else "SELL", "filled_quantity": abs(ours)}]
    broker = Broker(book, [HELD | {"quantity": shown}])
    for whole, net in ((False, closes), (True, shown)):
        held = asyncio.run(Flattener(broker, "spk", {KEY: (5, 0)}, Report(), whole)._held())
        assert held == ({KEY: net} if net else {})


@pytest.mark.parametrize("positions", [{"status": "success"}, {"status": "success", "data": None}, {"status": "error"},
                                       {"rows": []}, 7])
def test_an_answer_without_positions_is_not_flat(positions):
    with pytest.raises(RunError, match="does not answer"):
        closed(Broker([ENTRY], positions))


@pytest.mark.parametrize("odd", [
    {"quantity": None}, {"quantity": "many"}, {"quantity": True}, {"quantity": 1.5}, {"quantity": 2**70}, {"product": None},
    {"product": ["I"]}])
def test_a_position_nobody_understands_is_said_and_the_others_are_closed(odd):
    broker = Broker([ENTRY], [HELD, {"instrument_token": ELSE, "product": "I", "quantity": 7} | odd])
    report = closed(broker)
    assert [b["instrument_token"] for b in broker.placed] == [KEY] and report.left == {ELSE: 0}
    assert not report.document()["flat"] and "not understood" in report.steps[-1][0]


@pytest.mark.parametrize("odd", [{"filled_quantity": "x"}, {"filled_quantity": -3}, {"transaction_type": "HOLD"},
                                 {"transaction_type": None}, {"filled_quantity": []}])
def test_an_order_of_ours_nobody_understands_makes_its_name_unclear(odd):
    broker = Broker([ENTRY | odd], [HELD])
    report = closed(broker)
    assert broker.placed == [] and report.left == {KEY: 0}


def test_rows_that_are_none_end_nothing():
    broker = Broker([ENTRY, None, 7, {"tag": "spk.n.2.x", "status": "open"}], [HELD, None, "x"], {"a": None, "b": QUOTE, "c": []})
    report = closed(broker, whole=False)
    assert [b["quantity"] for b in broker.placed] == [] or report.left      # an order without a name works on: nobody knows where
    assert "a row without a name" in report.left and broker.cancelled == []


@pytest.mark.parametrize("quotes", [{"a": QUOTE | {"last_price": "x"}}, {"a": QUOTE | {"depth": 7}}, {}])
def test_no_price_is_no_order(quotes):
    broker = Broker([ENTRY], [HELD], quotes)
    report = closed(broker)
    assert broker.placed == [] and report.left == {KEY: 40}


@pytest.mark.parametrize("answer", [Answer(0, {"error": "TimeoutError"}, 1, 0), Answer(502, None, 1, 0)])
def test_a_close_nobody_answered_is_waited_for_fifteen_seconds_and_then_sent_again(monkeypatch, answer):
    """It may fill unseen as long; one that no read of the book has shown by then does not exist."""
    clock, times = [100.0], []

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    class Losing(Broker):
        def place(self, body: dict[str, Any]) -> Answer:
            times.append(clock[0])
            return answer if len(times) == 1 else Broker.place(self, body)

    monkeypatch.setattr(kill.asyncio, "sleep", sleep)
    monkeypatch.setattr(kill, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    report = closed(Losing([ENTRY], [HELD]))
    assert report.left == {} and len(times) == 2
    assert 15 <= times[1] - times[0] < 16


@pytest.mark.parametrize(("held", "made", "side", "price"), [(40, "BUY", "SELL", 99.0), (-40, "SELL", "BUY", 100.5)])
def test_a_close_goes_the_other_way_at_a_limit_that_trades(held, made, side, price):
    """Half a per cent beyond the other side's best: 99.50 bid, and 100.00 last where nobody asks."""
    row = HELD | {"quantity": held}
    broker = Broker([ENTRY | {"transaction_type": made}], [row])
    asyncio.run(Flattener(broker, "spk", {KEY: (5, 0)}, Report())._close({KEY: held}, 0.005))
    (body,) = broker.placed
    assert (body["transaction_type"], body["quantity"], body["price"], body["order_type"]) == (side, 40, price, "LIMIT")


@pytest.mark.parametrize(("net", "quote", "price"), [
    (40, {"bid": 9_950}, 9_850), (40, {"bid": 9_950, "band": (9_852, 11_000)}, 9_855),
    (40, {"bid": 9_950, "band": (9_950, 11_000)}, 9_950), (40, {"bid": 9_950, "band": (9_970, 11_000)}, 9_850),
    (40, {"bid": 3}, 5), (40, {"ask": 9_960}, 0), (40, {"price": 9_950}, 9_850),
    (-40, {"ask": 9_960}, 10_060), (-40, {"ask": 9_960, "band": (9_000, 10_057)}, 10_055),
    (-40, {"ask": 9_960, "band": (9_000, 9_960)}, 9_960), (-40, {"ask": 9_960, "band": (9_000, 9_900)}, 10_060),
    (-40, {"bid": 9_950}, 0), (-40, {"price": 9_960}, 10_060)])
def test_a_limit_is_one_per_cent_beyond_the_best_on_the_grid_and_within_the_circuit(net, quote, price):
    """Of five paise. A circuit limit that lies this side of the best is an old one."""
    assert kill.limit_price(QuoteRow(KEY, **quote), net, 0.01, 5) == price


def test_an_order_that_works_on_is_not_flat():
    """The broker takes the cancel and the order stays: what it may buy yet, nobody knows."""
    report = closed(Broker([ENTRY | {"status": "open", "filled_quantity": 0}], []))
    assert report.left == {KEY: 0} and report.steps[-1][0] == "gave up"


@pytest.mark.parametrize(("quantity", "left"), [(7, {"a row without a name": 0}), (0, {})])
def test_a_position_without_a_name_is_unclear_where_it_holds_something(quantity, left):
    assert closed(Broker([], [{"product": "I", "quantity": quantity}])).left == left


def test_what_is_held_for_delivery_is_nobodys_to_close():
    broker = Broker([], [HELD | {"product": "D"}])
    assert closed(broker, whole=True).left == {} and broker.placed == []


def test_a_refused_token_is_said_at_once():
    class Refusing(Broker):
        asked = 0

        async def call(self, request) -> Answer:
            self.asked += 1
            return Answer(401, None)

    broker = Refusing([ENTRY], [HELD])
    with pytest.raises(RunError, match="the token was refused"):
        closed(broker)
    assert broker.asked == 1
