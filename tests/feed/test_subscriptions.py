"""The feed's keeper: who is subscribed where, what is done about those that say nothing; and a day with every fault.

The day is played over `engine/run/virtual_feed.py`.
"""
import datetime as dt
import json

import numpy as np
import pytest

from _ext.core.records import GAP, GAPS, REC_FEED_NOTE, REC_FRAME, WARM_BAR
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.broker.upstox import candles
from engine.feed import TICK_DTYPE, encode
from engine.feed.backfill import with_still_minutes
from engine.feed.subscriptions import Limits, SubscriptionManager
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms
from engine.run.opening import Boot, begin
from engine.sim.feed import Feed, FeedFault, script_of
from tests.feed import daylong
from tests.kit.counts import count

DAY = dt.date(2026, 9, 1)
SECOND = 1_000_000_000
OPEN = epoch_ms(DAY) * 1_000_000


class Desk:
    """A keeper over a core of `count` names and a sim's feed, with the sockets between played by hand."""

    def __init__(self, count, limits=None, script=()):
        self.specs = [Instrument(f"NSE_EQ|{i:04d}", f"N{i}", price=100_000) for i in range(count)]
        self.trail = KeepingSink((REC_FEED_NOTE,))
        self.core = Core(self.trail, count, 64)
        self.now = OPEN + 60 * SECOND
        begin(self.core, config.Config.model_construct(models="/nonexistent"), self.specs, DAY, np.zeros(0, WARM_BAR), self.now,
              Boot("test", 1, "0"), 10**8)
        self.feed = Feed(self.specs, script=script)
        self.notes = []
        self.keeper = SubscriptionManager(self.core, [s.key for s in self.specs], {s.key: i for i, s in enumerate(self.specs)},
                                          limits=limits,
                             record=lambda kind, payload: self.core.feed(kind, self.now, payload), note=self.notes.append)
        self.cuts = []

    def run(self, seconds, talk=(), held=()):
        """Goes on for `seconds`; the rows `talk` say something every half second."""
        for step in range(round(seconds * 2)):
            self.now += SECOND // 2
            for action in self.keeper.due(self.now, held):
                if action.what == "connect":
                    status = self.feed.authorize(self.now)
                    status = self.feed.open(action.number, self.now)[0] if status == 200 else status
                    if status == 101:
                        self.keeper.on_up(action.number, self.now)
                    else:
                        self.keeper.on_down(action.number, self.now, status)
                elif action.what == "send":
                    for frame in self.feed.request(action.number, action.message, self.now)[0]:
                        self.core.feed(REC_FRAME, self.now, frame)
                else:
                    self.cuts.append(action.why)
                    self.feed.close(action.number)
                    self.keeper.on_down(action.number, self.now)
            if len(talk):
                self.say(talk, step)
        return self

    def say(self, rows, step=0):
        block = np.zeros(len(rows), TICK_DTYPE)
        for row, i in zip(block, rows, strict=True):
            key = self.specs[i].key.encode()
            row["key"], row["key_len"], row["mode"], row["has"] = key, len(key), 1, 1 | 64
            row["ltp"], row["ltt"], row["vtt"] = 100_000 + 5 * (step % 2), self.now // 1_000_000, 1000 + step
        for _, _, frame in self.feed.on_rows(self.now, block, encode(block, self.now // 1_000_000)):
            self.core.feed(REC_FRAME, self.now, frame)

    def rows(self):
        return [(GAPS[g["kind"]], int(g["inst"])) for g in (np.frombuffer(p, GAP)[0] for _, _, p in self.trail.kept)]


def small(full, connections=2):
    return Limits(connections, {"ltpc": full, "full": full, "option_greeks": full, "full_d30": 1},
                  {"ltpc": full, "full": full // 2, "option_greeks": full, "full_d30": 1})


def test_few_keys_take_one_connection_and_many_are_spread_evenly():
    assert [len(c.wanted) for c in Desk(208).keeper.connections] == [208, 0]
    desk = Desk(2500).run(3)
    assert [len(c.wanted) for c in desk.keeper.connections] == [1250, 1250]
    assert sum(int((link.modes >= 0).sum()) for link in desk.feed.links.values()) == 2500 and not desk.rows()


def test_messages_hold_at_most_500_keys():
    desk = Desk(2500)
    desk.run(0.5)
    desk.now += SECOND
    for connection in desk.keeper.connections:
        connection.sent.clear()
    desk.keeper.has_changed = True
    sizes = [len(json.loads(a.message)["data"]["instrumentKeys"]) for a in desk.keeper.due(desk.now) if a.what == "send"]
    assert sizes == [500, 500, 250] * 2


def test_what_does_not_fit_takes_turns():
    desk = Desk(50, small(20))
    seen = set()
    for _ in range(60):
        desk.run(10, talk=range(50))
        seen |= set(np.flatnonzero(sum((link.modes >= 0).astype(int) for link in desk.feed.links.values())))
        assert all((link.modes >= 0).sum() <= 20 for link in desk.feed.links.values())
    assert seen == set(range(50))
    kept = [k for k in desk.keeper.connections[0].wanted]
    assert kept == [s.key for s in desk.specs[:20]]              # the important ones stay


def test_a_refusal_in_silence_is_found_within_two_seconds_and_moved():
    desk = Desk(40, small(30), script=[FeedFault("refuse_keys", OPEN, OPEN + 63 * SECOND, (3, 4))])
    desk.run(2.5)
    first = {c.number for c in desk.keeper.connections if desk.specs[3].key in c.wanted}
    desk.run(6)
    modes = [link.modes for link in desk.feed.links.values()]
    assert sum(int(m[3] >= 0) for m in modes) == sum(int(m[4] >= 0) for m in modes) == 1
    assert {c.number for c in desk.keeper.connections if desk.specs[3].key in c.wanted} and first


def test_names_refused_together_do_not_overfill_the_connection_they_go_to():
    """Twenty on each of two connections of thirty; fifteen of the first are refused at once, ten find room."""
    desk = Desk(40, small(30), script=[FeedFault("refuse_keys", OPEN, OPEN + 62 * SECOND, tuple(range(15)))])
    for _ in range(20):
        desk.run(0.5, talk=range(15, 40))
        assert all(len(connection.wanted) <= 30 for connection in desk.keeper.connections)
    assert len(desk.keeper.connections[1].wanted) == 30 and [r[0] for r in desk.rows()].count("refused") == 5


def test_answers_to_subscriptions_judged_at_once_count_each_from_its_own():
    """A snapshot that came before another name was asked for is an answer all the same."""
    desk = Desk(3).run(3)
    (connection, _) = desk.keeper.connections
    for key in list(connection.sent)[:2]:
        del connection.sent[key]
        desk.keeper.has_changed = True
        for action in desk.keeper.due(desk.now):
            for frame in desk.feed.request(action.number, action.message, desk.now)[0]:
                desk.core.feed(REC_FRAME, desk.now, frame)
        desk.now += SECOND // 5
    desk.now += 2 * SECOND
    assert desk.keeper.due(desk.now) == [] and not connection.open and not desk.keeper.refused


def test_a_key_nobody_serves_is_reported_and_tried_again():
    desk = Desk(10, script=[FeedFault("refuse_keys", OPEN, OPEN + 100 * SECOND, (7,))])
    desk.run(8, talk=[i for i in range(10) if i != 7])
    assert ("refused", 7) in desk.rows()
    desk.run(90, talk=[i for i in range(10) if i != 7])
    assert any(link.modes[7] >= 0 for link in desk.feed.links.values())


def test_a_silent_name_is_asked_anew_and_one_that_only_echoes_is_halted():
    desk = Desk(60)
    desk.run(20, talk=range(60))
    others = list(range(1, 60))
    desk.run(20, talk=others)
    assert ("stale", 0) in desk.rows() and ("stale", 1) not in desk.rows() and not desk.cuts
    desk.run(120, talk=others)
    assert ("halted", 0) in desk.rows()
    was = desk.rows().count(("stale", 0))
    desk.run(10, talk=range(60))
    desk.run(20, talk=others)
    assert desk.rows().count(("stale", 0)) == 2 * was            # it had come back to life in between


def test_a_connection_none_of_whose_names_speaks_is_cut_and_a_quiet_evening_is_not():
    desk = Desk(60)
    desk.run(20, talk=range(60))
    desk.run(12)
    assert desk.cuts == ["none of its names has said anything for 8 s"] and desk.keeper.is_up
    desk = Desk(60)
    desk.run(5, talk=range(60))
    desk.now = OPEN + 400 * 60 * SECOND                          # 15:55
    desk.run(300)
    assert not desk.cuts and not [r for r in desk.rows() if r[0] in ("stale", "halted")]


def test_a_refused_token_waits_and_a_forbidden_connection_backs_off():
    desk = Desk(5, script=[FeedFault("refuse", OPEN, OPEN + 90 * SECOND, (), 401)])
    desk.run(20)
    assert not desk.keeper.is_up and len(desk.notes) == 1 and "token" in desk.notes[0]
    desk.run(20)
    desk.keeper.on_token(desk.now)
    desk.run(2)
    assert desk.keeper.is_up
    desk = Desk(5, script=[FeedFault("refuse", OPEN, OPEN + 200 * SECOND, (), 403)])
    desk.run(120)
    assert 3 <= len(desk.notes) <= 9 and "another program" in desk.notes[0]
    desk.run(60)
    assert desk.keeper.is_up


def test_held_names_leave_a_connection_that_is_down():
    desk = Desk(40, small(30))
    desk.run(3)
    key = next(iter(desk.keeper.connections[1].wanted))
    desk.feed.close(1)
    desk.keeper.on_down(1, desk.now, 403)
    desk.run(0.5, held=[key])
    assert key in desk.keeper.connections[0].wanted and desk.feed.links[0].modes[desk.feed.index[key]] >= 0


def test_a_held_name_is_never_the_one_whose_turn_is_over():
    desk = Desk(50, small(20)).run(3, talk=range(50))
    key = list(desk.keeper.connections[1].wanted)[-1]
    assert key in desk.keeper.spare                              # one of those that take turns
    before = set(desk.keeper.connections[1].wanted)
    for _ in range(200):
        desk.run(0.5, talk=range(50), held=[key])
        assert key in desk.keeper.connections[1].wanted
    assert set(desk.keeper.connections[1].wanted) != before      # others took theirs


def test_held_names_stay_where_they_are_served():
    desk = Desk(40, small(30)).run(3)
    wanted = [list(connection.wanted) for connection in desk.keeper.connections]
    for key in (wanted[0][0], wanted[1][5]):
        assert desk.keeper.due(desk.now + SECOND, [key]) == []
    assert [list(connection.wanted) for connection in desk.keeper.connections] == wanted      # in order of importance still


def test_another_mode_comes_without_a_hole():
    desk = Desk(3)
    desk.run(2)
    desk.keeper.set_mode(desk.specs[1].key, "ltpc")
    (action,) = [a for a in desk.keeper.due(desk.now + SECOND) if a.what == "send"]
    message = json.loads(action.message)
    assert message["method"] == "change_mode" and message["data"] == {"mode": "ltpc", "instrumentKeys": [desk.specs[1].key]}


def test_still_minutes_are_filled_in_and_candles_read():
    rows = [["2026-09-01T10:03:00+05:30", 103, 104, 102.5, 103.05, 7, 0], ["2026-09-01T10:00:00+05:30", 100, 101, 99, 100.5, 5, 0]]
    bars = with_still_minutes(candles.of_rows(rows))
    assert np.diff(bars["minute"]).tolist() == [1, 1, 1]
    assert bars["close"].tolist() == [10050, 10050, 10050, 10305] and bars["volume"].tolist() == [5, 0, 0, 7]
    assert bars["open"][1] == bars["high"][1] == bars["low"][1] == 10050
    minute = int(bars["minute"][0])
    quote = {"open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 9, "ts": minute * 60_000}
    assert candles.of_quotes({"K": quote}, minute)["K"]["high"][0] == 200 and not candles.of_quotes({"K": quote}, minute + 1)


def test_a_script_of_faults_is_read_and_checked():
    (fault,) = script_of([{"kind": "drop", "at": "10:30:00", "seconds": 2, "keys": ["B"], "value": 1001}], DAY, ["A", "B"])
    assert fault == FeedFault("drop", OPEN + 75 * 60 * SECOND, OPEN + (75 * 60 + 2) * SECOND, (1,), 1001.0)
    with pytest.raises(ValueError, match="unknown C"):
        script_of([{"kind": "drop", "at": "10:30:00", "keys": ["C"]}], DAY, ["A"])
    with pytest.raises(ValueError, match="known are"):
        script_of([{"kind": "storm", "at": "10:30:00"}], DAY, ["A"])


@pytest.mark.long
@pytest.mark.parametrize(("seed", "keys", "minutes", "faults", "compared"), [
    (11, count(40, 60), 70, 16, count(4, 6)), (12, count(300, 2500), count(6, 10), 2, count(0, 6))],
    ids=["every kind", "many names"])
def test_a_day_with_faults_decides_like_the_day_without(seed, keys, minutes, faults, compared):
    """Every kind of fault on forty names or sixty, two of them on many, 2,500 in CI; `make soak` runs a whole day with sixty."""
    document = daylong.day(seed, keys, minutes, faults)
    assert document["broken"] == [] and document["given_up"] <= keys
    assert document["compared"] >= compared and document["rows"]["filled"] > 0


def test_the_least_important_name_gives_way_to_a_held_one():
    """Two full connections, one is refused: a held name of it takes the place of the last of the other, not of the first."""
    desk = Desk(40, small(20)).run(3)
    first, second = (list(c.wanted) for c in desk.keeper.connections)
    key = second[3]
    desk.feed.close(1)
    desk.keeper.on_down(1, desk.now, 403)
    desk.run(0.5, held=[first[0], key])
    assert list(desk.keeper.connections[0].wanted) == [*first[:-1], key]



def test_a_silent_name_is_asked_for_half_as_often_each_time_up_to_every_eight_minutes():
    desk = Desk(3).run(3)
    (connection, _), key = desk.keeper.connections, desk.specs[0].key
    pauses = []
    for _ in range(7):
        connection.sent[key], desk.now = "full", desk.now + 480 * SECOND
        desk.keeper._ask(connection, [key], desk.now, set())
        pauses.append(desk.keeper.asked[key][1] // SECOND)
    assert pauses == [30, 60, 120, 240, 480, 480, 480]


@pytest.mark.parametrize(("count", "cuts"), [(49, 0), (50, 1)])
def test_fifty_names_are_never_silent_together_for_eight_seconds_and_fewer_may_be(count, cuts):
    desk = Desk(count).run(20, talk=range(count))
    assert len(desk.run(12).cuts) == cuts


def test_a_refused_name_is_tried_on_a_connection_that_nobody_needed_yet():
    desk = Desk(10, script=[FeedFault("refuse_keys", OPEN, OPEN + 63 * SECOND, (7,))])
    desk.run(8, talk=[i for i in range(10) if i != 7])
    assert list(desk.keeper.connections[1].wanted) == [desk.specs[7].key] and desk.feed.links[1].modes[7] >= 0
    assert not desk.rows()
