"""The shell between core and broker: the same decisions in whatever language a broker speaks, and its promises one by one."""
import dataclasses
import datetime as dt
import itertools
import math

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    CANDIDATE,
    FUNDS,
    INTENT,
    LINK,
    OP_PAUSE,
    OP_RUN,
    OPERATOR_CHANGE,
    OUTCOME_AMBIGUOUS,
    OUTCOME_REFUSED,
    QUOTE,
    REC_ASK,
    REC_FUNDS,
    REC_INTENT,
    REC_LINK,
    REC_OPERATOR,
    REC_QUOTES,
    REC_REPLY,
    REC_TIMER,
    REPLY,
    ROLE_EXIT,
    STREAM_FEED,
    STREAM_ORDERS,
)
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine import config
from engine.broker.base import Broker
from engine.broker.upstox import protocol
from engine.market.instruments import shipped
from engine.market.sessions import epoch_ms
from engine.run import opening
from engine.run.shell import Read, Send, Shell
from engine.run.virtual import VirtualRun
from engine.sim.exchange import Exchange
from engine.sim.market import SyntheticMarket
from engine.sim.rest import Rest
from engine.trade.inputs import link_record
from tests.kit.venue import language
from tests.kit.venue.gateway import Gateway
from tests.trade.conftest import SPECS, Desk

SECOND = 1_000_000_000
DAY = dt.date(2026, 9, 2)
BROKERS = {"upstox": (protocol, Rest), "venue": (language, Gateway)}


def lively_hour(folder, name: str):
    """An hour of three names that trade without a filter, with orders in the language of `name`: (intents, fills, core)."""
    broker, rest = BROKERS[name]
    specs = [dataclasses.replace(spec, is_cas=False) for spec in shipped()[:3]]
    market = SyntheticMarket(specs, DAY, 2, spikes=0.0, artefacts=2.0, bursts=20.0, mood=2.0)
    for inst, begin in ((0, 1500), (1, 2100), (2, 2700)):
        market.plant(inst, begin, 10.0 if inst != 1 else -10.0, 7.0, 30.0)
    chosen = config.Config(models=str(folder / "none"), signals=config.Signals(noise=1.0))
    core = Core(Journal(folder, 16 << 20, 1 << 40), len(specs), 256)
    start = epoch_ms(DAY) * 1_000_000
    opening.begin(core, chosen, specs, DAY, market.history(), start, opening.Boot("test", 2, "d0"), 100_000_000)
    core.feed(REC_LINK, start, link_record(STREAM_FEED, True))
    exchange, asked = Exchange(specs, 100_000_000), {1900: (0, 1), 2200: (1, -1), 2800: (2, 1), 3100: (0, -1)}

    def hour():
        for at, rows, frame in market.frames():
            second = (at - epoch_ms(DAY)) // 1000
            if second > 3900:
                return
            for moment in [m for m in asked if m <= second]:
                enter(core, run, *asked.pop(moment), at * 1_000_000)
            yield at, rows, frame

    run = VirtualRun(core, hour(), exchange, "spk", "d0", broker=broker, rest=rest(exchange))
    run.run()
    intents = [np.frombuffer(r[3], INTENT)[0] for r in Reader(folder) if r[0] == REC_INTENT]
    return intents, exchange.trades, core


def enter(core: Core, run: VirtualRun, inst: int, side: int, now: int) -> None:
    row, last = np.zeros(1, CANDIDATE), core.market.row(inst)["ltp"]
    row["id"], row["inst"], row["side"], row["price"], row["last_close"] = 900 + inst, inst, side, last, last
    core.feed(REC_ASK, now, row.tobytes())
    run.act(now)


def test_two_brokers_of_different_languages_are_sent_the_same_decisions(tmp_path):
    """A day that differs in nothing but the broker's language gives the same intents, fills and digest."""
    ours, fills, core = lively_hour(tmp_path / "a", "upstox")
    theirs, others, second = lively_hour(tmp_path / "b", "venue")
    assert len(ours) >= 8 and len(fills) >= 5
    assert [i.tobytes() for i in ours] == [i.tobytes() for i in theirs]
    assert [(t["quantity"], t["average_price"], t["order_id"]) for t in fills] == [
        (t["quantity"], t["average_price"], t["order_id"]) for t in others]
    assert core.digest == second.digest and core.counts() == second.counts()
    assert core.positions() == second.positions() and core.states() == second.states()


# ---- promises --------------------------------------------------------------------------------------------------------------
class Table:
    """A desk with a shell in the language of a broker."""

    def __init__(self, folder, broker: Broker = protocol, observe: bool = False, ready: bool = True, **risk):
        self.desk = Desk(folder, ready=ready, **risk)
        self.notes: list[str] = []
        self.shell = Shell(broker, self.desk.core, "spk", ["n"], lambda: self.desk.now, observe=observe, is_fresh=False,
                           note=self.notes.append)
        self.shell.funds_at = self.desk.now

    def inputs(self, kind: int, dtype) -> list:
        return self.desk.records(kind, dtype)

    def ask(self, inst: int = 0, direction: int = 1) -> None:
        row = np.zeros(1, CANDIDATE)
        row["price"], row["last_close"], row["id"] = self.desk.mid[inst], self.desk.mid[inst], 1
        row["inst"], row["side"] = inst, direction
        self.desk.core.feed(REC_ASK, self.desk.now, row.tobytes())


def filled(order_id: str, entry: Send) -> bytes:
    """The broker's message that an entry is filled."""
    intent, quantity = entry.intent, int(entry.intent["quantity"])
    return orjson.dumps({
        "update_type": "order", "order_id": order_id, "tag": entry.request.body["tag"], "status": "complete",
        "instrument_token": SPECS[int(intent["inst"])].key, "transaction_type": "BUY", "quantity": quantity,
        "filled_quantity": quantity, "average_price": int(intent["price"]) / 100})


def answered(what: str, name: str, rows) -> object:
    """A good answer of a read in the broker's language."""
    if name == "venue":
        return ["yes", rows]
    return {"status": "success", "data": rows}


@pytest.fixture(params=list(BROKERS))
def name(request) -> str:
    return request.param


def test_orders_may_be_entered_once_book_and_positions_were_read_after_the_stream_came(tmp_path, name):
    table = Table(tmp_path, BROKERS[name][0], ready=False)
    shell, desk = table.shell, table.desk
    early = {read.what: read for read in shell.reads()}
    assert set(early) == {"book"}                          # orders first: positions are judged by what they explain
    shell.on_stream(True)
    desk.now += SECOND
    shell.on_read(early["book"], 200, answered("book", name, []))          # asked for as the stream came: it counts
    late = {read.what: read for read in shell.reads()}
    assert set(late) == {"book", "positions"} and not shell.is_linked
    shell.on_read(late["book"], 503, None)
    shell.on_read(late["positions"], 200, answered("positions", name, []))
    assert shell.is_linked and [(r["which"], r["up"]) for r in table.inputs(REC_LINK, LINK)] == [(STREAM_ORDERS, 1)]
    shell.on_stream(False)
    shell.on_stream(False)
    assert [(r["which"], r["up"]) for r in table.inputs(REC_LINK, LINK)] == [(STREAM_ORDERS, 1), (STREAM_ORDERS, 0)]
    desk.now += SECOND
    shell.on_stream(True)
    assert {"book", "positions"} <= {read.what for read in shell.reads()} and not shell.is_linked      # both anew


@pytest.mark.parametrize("old", ["book", "positions"])
def test_a_read_from_before_the_stream_came_does_not_count(tmp_path, old):
    table = Table(tmp_path, ready=False)
    shell, desk = table.shell, table.desk
    before = desk.now
    desk.now += SECOND
    shell.on_stream(True)
    for what in ("book", "positions"):
        shell.on_read(Read(what, protocol.read_of(what), before if what == old else desk.now), 200, answered(what, "", []))
    assert not shell.is_linked
    shell.on_read(Read(old, protocol.read_of(old), desk.now), 200, answered(old, "", []))
    assert shell.is_linked


@pytest.mark.parametrize(("status", "body"), [(503, None), (0, None), (200, None), (200, {"status": "success"}), (200, []),
                                              (404, {"status": "success", "data": []})])
def test_a_read_without_an_answer_is_asked_for_again_and_said(tmp_path, status, body):
    table = Table(tmp_path, ready=False)
    shell, desk = table.shell, table.desk
    (read,) = [r for r in shell.reads() if r.what == "book"]
    shell.on_read(read, status, body)
    assert len(table.notes) == 1 and table.notes[0].startswith("book not read") and not shell.reconciler.has_book
    assert [r.what for r in shell.reads()] == []
    desk.now += SECOND
    assert [r.what for r in shell.reads()] == ["book"]


def test_bands_funds_and_quotes_that_cannot_be_read_change_nothing(tmp_path, name):
    table = Table(tmp_path, BROKERS[name][0])
    for what in ("bands", "funds", "quotes"):
        for status, body in ((500, None), (200, 7), (200, {}), (0, {"error": "x"})):
            table.shell.on_read(Read(what, BROKERS[name][0].read_of("quotes"), table.desk.now), status, body)
    assert table.notes == [] and table.inputs(REC_QUOTES, QUOTE) == [] and len(table.inputs(REC_FUNDS, FUNDS)) == 1


def test_funds_are_read_once_a_minute_and_recorded_where_they_changed(tmp_path):
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    asked = []
    for _ in range(240):
        desk.now += SECOND
        for read in shell.reads():
            if read.what == "funds":
                asked.append(desk.now)
                total = 900_000 if len(asked) > 2 else 1_000_000
                shell.on_read(read, 200, {"status": "success", "data": {"available_to_trade": {"total": total}}})
    assert len(asked) == 4 and {b - a for a, b in itertools.pairwise(asked)} == {60 * SECOND}
    assert desk.core.money()["available"] == 90_000_000 and desk.core.money()["equity"] == 100_000_000
    assert len(desk.records(REC_FUNDS, FUNDS)) == 2


def test_quotes_are_asked_for_while_the_feed_is_down_and_something_is_held(tmp_path):
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    asked = []

    def seconds(count: int) -> None:
        for _ in range(count):
            desk.now += SECOND
            asked.extend((desk.now, r.request.params["instrument_key"]) for r in shell.reads() if r.what == "quotes")

    shell.on_feed(False, 1006)
    seconds(5)
    assert asked == []                                     # nothing is held
    shell.on_feed(True)
    table.ask()
    shell.on_feed(False, 1006)
    seconds(6)
    assert {key for _, key in asked} == {SPECS[0].key}
    assert {after - at for (at, _), (after, _) in itertools.pairwise(asked)} == {2 * SECOND}
    shell.on_feed(True)
    before = len(asked)
    seconds(5)
    assert len(asked) == before


def test_what_finds_no_room_in_the_journal_waits_and_keeps_its_order(tmp_path):
    table = Table(tmp_path)
    fed, has_room = [], [False]

    class Full:
        def feed(self, kind: int, now: int, record: bytes) -> int:
            if has_room[0]:
                fed.append((kind, now, record))
            return len(fed) if has_room[0] else 0

    table.shell.core = Full()
    table.shell.input(REC_REPLY, b"1")
    table.shell.input(REC_LINK, b"2")
    assert fed == [] and len(table.shell.waiting) == 2
    has_room[0] = True
    table.desk.now += SECOND
    table.shell.input(REC_FUNDS, b"3")
    assert [(kind, record) for kind, _, record in fed] == [(REC_REPLY, b"1"), (REC_LINK, b"2"), (REC_FUNDS, b"3")]
    assert {now for _, now, _ in fed} == {table.desk.now} and not table.shell.waiting


def test_the_operator_has_the_last_word_on_entries_and_none_on_exits(tmp_path):
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    table.ask()
    shell.on_operator(OP_PAUSE)                            # after the gate, before the wire
    assert shell.take() == []
    (reply,) = table.inputs(REC_REPLY, REPLY)
    assert (reply["outcome"], reply["error"]) == (OUTCOME_REFUSED, b"OPERATOR") and desk.core.positions() == []
    shell.on_operator(OP_PAUSE)
    assert [r["state"] for r in table.inputs(REC_OPERATOR, OPERATOR_CHANGE)] == [OP_PAUSE]            # once a change
    shell.on_operator(OP_RUN)
    desk.tick(seconds=40)
    table.ask()
    (entry,) = shell.take()
    shell.on_operator(OP_PAUSE)
    shell.on_reply(entry, 200, {"status": "success", "data": {"order_ids": ["B7"]}}, 5)
    shell.on_message(filled("B7", entry))
    (stop,) = shell.take()
    assert stop.intent["role"] == ROLE_EXIT and stop.request.body["transaction_type"] == "SELL"


def test_a_shell_that_begins_after_the_operators_word_keeps_to_it(tmp_path):
    """What the core had decided before it is still there to be taken."""
    table = Table(tmp_path)
    table.ask()
    table.desk.operator(OP_PAUSE)
    shell = Shell(protocol, table.desk.core, "spk", ["n", "m"], lambda: table.desk.now, is_fresh=False)
    assert shell.take() == [] and table.inputs(REC_REPLY, REPLY)[-1]["error"] == b"OPERATOR"


def test_who_observes_sends_nothing_and_reads_nothing(tmp_path):
    table = Table(tmp_path, observe=True)
    shell = table.shell
    assert shell.is_linked and shell.reads() == []
    table.ask()
    assert shell.take() == [] and table.inputs(REC_REPLY, REPLY)[-1]["error"] == b"OBSERVED"
    assert table.desk.core.positions() == []


def test_no_clear_answer_is_said_and_never_sent_again(tmp_path, name):
    table = Table(tmp_path, BROKERS[name][0])
    shell = table.shell
    table.ask()
    (entry,) = shell.take()
    shell.on_reply(entry, 0, None, 5 * SECOND)
    assert table.inputs(REC_REPLY, REPLY)[-1]["outcome"] == OUTCOME_AMBIGUOUS and "no clear answer" in table.notes[0]
    for _ in range(100):
        table.desk.tick(seconds=0.2)
        assert [s for s in shell.take() if s.intent["kind"] == 1] == []


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b"{}", '{"update_type": "ordr"}'])
def test_a_message_nobody_understands_makes_the_book_be_read_once_a_second(tmp_path, text):
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    for _ in range(500):
        shell.on_message(text)
    assert shell.unread == 500 and desk.core.counts()["unreadable"] == 1
    desk.now += SECOND
    shell.on_message(text)
    assert desk.core.counts()["unreadable"] == 2


def test_a_message_about_an_order_of_ours_becomes_a_record(tmp_path):
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    table.ask()
    (entry,) = shell.take()
    quantity, price = int(entry.intent["quantity"]), int(entry.intent["price"])
    shell.on_reply(entry, 200, {"status": "success", "data": {"order_ids": ["B1"]}}, 5)
    shell.on_message(filled("B1", entry))
    assert desk.core.held(0) == (quantity, 0)
    (stop,) = shell.take()
    assert stop.request.body["transaction_type"] == "SELL" and stop.request.body["order_type"] == "SL"
    assert stop.request.body["tag"] == "spk.n.2.x"
    assert math.isclose(stop.request.body["trigger_price"], price * 0.98 / 100, rel_tol=1e-3)


def test_an_entry_that_could_not_leave_within_a_second_is_given_back(tmp_path):
    """Nobody wakes the shell but the timer: the core must hear that its slot is free, and nothing is sent."""
    table = Table(tmp_path)
    shell, desk = table.shell, table.desk
    shell.outgoing.sent.extend([desk.now] * 10)
    table.ask()
    assert shell.take() == [] and len(desk.core.positions()) == 1
    desk.now += SECOND
    desk.now += 1
    assert shell.take() == [] and desk.core.positions() == []
    (reply,) = table.inputs(REC_REPLY, REPLY)
    assert (reply["outcome"], reply["error"]) == (OUTCOME_REFUSED, b"NOT SENT")


def test_what_waits_for_room_goes_with_the_next_timer(tmp_path):
    table = Table(tmp_path)
    fed, has_room = [], [False]

    class Full:
        def take_ended(self) -> list:
            return []

        def feed(self, kind: int, now: int, record: bytes = b"") -> int:
            if has_room[0]:
                fed.append(kind)
            return len(fed) if has_room[0] else 0

    table.shell.core = Full()
    table.shell.input(REC_REPLY, b"1")
    table.shell.on_timer()
    assert fed == [] and len(table.shell.waiting) == 1      # the timer itself is not kept
    has_room[0] = True
    table.shell.on_timer()
    assert fed == [REC_TIMER, REC_REPLY] and not table.shell.waiting


def test_without_an_order_stream_no_read_lets_orders_be_entered(tmp_path):
    table = Table(tmp_path, ready=False)
    shell, desk = table.shell, table.desk
    for what in ("book", "positions"):
        shell.on_read(Read(what, protocol.read_of(what), desk.now), 200, answered(what, "", []))
    assert not shell.is_linked and table.inputs(REC_LINK, LINK) == []
