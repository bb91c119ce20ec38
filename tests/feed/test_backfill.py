"""The backfill alone, before a core played by hand: what it asks for and when, what it enters, when it gives up."""
import numpy as np
import pytest

from _ext.core.records import GAP, GAPS, WARM_BAR
from engine.feed.backfill import Backfill, Fetch
from engine.market.sessions import epoch_ms
from tests.market.conftest import DAY

SECOND, MINUTE = 1_000_000_000, 60_000_000_000
OPEN = epoch_ms(DAY) * 1_000_000
FIRST = OPEN // MINUTE
NOBODY = 0xFFFFFFFF


class Core:
    """What the backfill looks at. The exchange's clock is ours."""

    def __init__(self, count: int):
        self.rows, self.last_update, self.filled, self.count = [], 0, set(), count
        self.market = self

    def instrument(self, inst):
        return {"close_minute": 360 if inst < self.count - 1 else 385}

    @property
    def has_lost(self):
        return bool(self.rows)

    def take_lost(self):
        out = np.zeros(len(self.rows), GAP)
        for row, (inst, first, last) in zip(out, self.rows, strict=True):
            row["inst"], row["first_minute"], row["last_minute"] = inst, first, last
        self.rows = []
        return out

    def exchange_now(self, now):
        return now

    def has_filled(self, inst, minute):
        return (inst, minute) in self.filled


class Desk:
    def __init__(self, count: int = 4, important=None):
        self.core, self.entered = Core(count), []
        self.backfill = Backfill(self.core, {i: f"K{i}" for i in range(count)}, range(count) if important is None else important,
                                 lambda kind, payload: self.entered.append((kind, np.frombuffer(payload, WARM_BAR))))

    def lose(self, inst: int, first: int, last: int):
        self.core.rows.append((inst, FIRST + first, FIRST + last))

    def due(self, minute: float, heard: bool = True):
        now = OPEN + round(minute * MINUTE)
        if heard:
            self.core.last_update = now
        return [(f.what, f.keys, f.minute - FIRST if f.minute else 0) for f in self.backfill.due(now)]


def bars(*minutes: int, inst: int = 0) -> np.ndarray:
    rows = np.zeros(len(minutes), WARM_BAR)
    rows["minute"] = FIRST + np.array(minutes)
    for k, name in enumerate(("open", "high", "low", "close", "volume")):
        rows[name] = 100 + 10 * k + np.arange(len(minutes))
    return rows


def test_the_last_minute_is_asked_for_four_seconds_after_its_end_in_one_call():
    desk = Desk()
    desk.lose(0, 30, 30)
    desk.lose(2, 30, 30)
    assert desk.due(31 + 3.9 / 60) == []
    assert desk.due(31 + 4.0 / 60) == [("minute", ("K0", "K2"), 30)]
    assert desk.due(31 + 5.0 / 60) == []                    # under way
    desk.backfill.on_bars(Fetch("minute", ("K0", "K2"), FIRST + 30), {"K0": bars(30), "K2": bars(30)}, OPEN + 31 * MINUTE)
    entered = [(kind, int(rows["inst"][0]), int(rows["minute"][0]) - FIRST) for kind, rows in desk.entered]
    assert entered == [(21, 0, 30), (21, 2, 30)]
    assert not desk.backfill.wanted and desk.backfill.filled == 2


@pytest.mark.parametrize(("after", "what"), [(5.9, "day"), (6.0, "minute")])
def test_a_call_for_the_last_minute_is_made_every_two_seconds(after, what):
    """Between two of them a name that is missed has a call of its own."""
    desk = Desk()
    desk.lose(0, 30, 30)
    assert len(desk.due(31 + 4 / 60)) == 1
    desk.lose(1, 30, 30)
    assert [(w, keys) for w, keys, _ in desk.due(31 + after / 60)] == [(what, ("K1",))]


def test_older_minutes_are_a_call_a_name_the_important_first():
    desk = Desk(important=(3, 1))
    for inst in range(4):
        desk.lose(inst, 10, 12)
    assert desk.due(20.5) == [("day", ("K3",), 0), ("day", ("K1",), 0), ("day", ("K0",), 0), ("day", ("K2",), 0)]


def test_minutes_of_today_s_session_alone():
    desk = Desk()
    desk.lose(NOBODY, -20, 400)
    desk.due(399.0)
    wanted = desk.backfill.wanted
    assert {inst: (min(m) - FIRST, max(m) - FIRST) for inst, m in wanted.items()} == {
        0: (0, 359), 1: (0, 359), 2: (0, 359), 3: (0, 384)}
    desk = Desk()
    desk.core.filled.add((0, FIRST + 11))
    desk.lose(0, 10, 12)
    desk.core.rows.append((1, 0, 0))                        # a row that names no minutes
    desk.due(12.0)
    assert {k: {m - FIRST for m in v} for k, v in desk.backfill.wanted.items()} == {0: {10, 12}}


@pytest.mark.parametrize(("calls", "length"), [(10, 1), (300, 60), (1200, 1800)])
def test_calls_keep_within_each_window(calls, length):
    """As many as a window allows at once or spread over it, and the next when the first has left it."""
    desk = Desk(1)
    now = OPEN + 100 * MINUTE
    step = length * SECOND // calls if calls > 10 else 0
    for k in range(calls):
        desk.backfill.calls.append(now + k * step)
    end = now + length * SECOND
    assert not desk.backfill._may(end - 1) and desk.backfill._may(end + (step if calls > 10 else 0))


def test_no_more_than_ten_calls_leave_at_once():
    desk = Desk(14)
    for inst in range(14):
        desk.lose(inst, 10, 10)
    assert len(desk.due(20.0)) == 10 and desk.due(20 + 0.9 / 60) == [] and len(desk.due(20 + 1 / 60)) == 4


def test_a_failed_call_is_made_again_later_and_later_and_given_up_after_twelve():
    desk = Desk()
    desk.lose(0, 10, 10)
    minute, waits, last = 20.0, [], None
    while desk.backfill.given_up == 0 and minute < 120:
        for what, keys, _ in desk.due(minute):
            if last is not None:
                waits.append(round((minute - last) * 60))
            last = minute
            desk.backfill.failed(Fetch(what, keys), OPEN + round(minute * MINUTE))
        minute += 5 / 60
    assert waits == [15, 30, 60, 120, 240, 240, 240, 240, 240, 240, 240]
    assert desk.backfill.given_up == 1 and not desk.backfill.wanted and desk.due(minute + 10) == []


def test_what_did_not_come_is_asked_for_again_and_what_nobody_wants_is_not_entered():
    desk = Desk()
    desk.lose(0, 10, 12)
    desk.due(20.0)
    desk.backfill.on_bars(Fetch("day", ("K0",)), {"K0": bars(9, 10, 13)}, OPEN + 20 * MINUTE)
    (_, rows), = desk.entered
    assert (rows["minute"] - FIRST).tolist() == [10, 11, 12]       # between two candles nobody traded
    assert rows["volume"].tolist() == [141, 0, 0] and rows["close"].tolist() == [131, 131, 131]
    assert rows["open"].tolist() == [101, 131, 131]
    desk.lose(1, 10, 11)
    desk.due(20.2)
    desk.backfill.on_bars(Fetch("day", ("K1",)), {"K1": bars(10)}, OPEN + 20 * MINUTE)
    assert {m - FIRST for m in desk.backfill.wanted[1]} == {11}
    assert desk.due(20.24) == [] and desk.due(20.25) == [("day", ("K1",), 0)]
    desk.backfill.on_bars(Fetch("day", ("K2",)), {"K2": bars(10)}, OPEN + 20 * MINUTE)
    assert len(desk.entered) == 2


@pytest.mark.parametrize(("silence", "asked"), [(2.9, False), (3.0, True)])
def test_while_all_is_silent_each_minute_is_fetched_as_it_ends(silence, asked):
    desk = Desk()
    desk.due(29.9)
    desk.core.last_update = OPEN + 31 * MINUTE
    got = desk.due(31 + silence / 60 if silence < 4 and not asked else 31 + 4 / 60, heard=False)
    assert got == ([("ahead", ("K0", "K1", "K2", "K3"), 30)] if asked else [])


def test_what_was_fetched_ahead_is_entered_when_it_is_missed():
    desk = Desk()
    desk.due(29.0)
    (what, keys, _), = desk.due(31.2, heard=False)
    assert what == "ahead"
    desk.backfill.on_bars(Fetch("ahead", keys, FIRST + 30), {k: bars(30) for k in keys}, OPEN + 31 * MINUTE)
    assert desk.entered == []
    desk.lose(1, 30, 30)
    desk.due(31.5)
    assert [(int(rows["inst"][0]), int(rows["minute"][0]) - FIRST) for _, rows in desk.entered] == [(1, 30)]
    assert not desk.backfill.wanted and set(desk.backfill.ahead) == {0, 2, 3}
    desk.due(37 + 3.9 / 60)
    assert desk.backfill.ahead
    desk.due(37 + 4 / 60)                                          # five minutes later nobody has missed them
    assert not desk.backfill.ahead


def test_a_failed_look_ahead_is_made_again_after_five_seconds():
    desk = Desk()
    desk.due(29.0)
    (_, keys, _), = desk.due(31.2, heard=False)
    desk.backfill.failed(Fetch("ahead", keys, FIRST + 30), OPEN + round(31.2 * MINUTE))
    assert desk.due(31.2 + 4.9 / 60, heard=False) == []
    assert [w for w, _, _ in desk.due(31.2 + 5 / 60, heard=False)] == ["ahead"]


def test_after_a_restart_what_was_filled_is_not_missed():
    desk = Desk()
    rows = np.zeros(3, GAP)
    for row, (kind, inst, first, last) in zip(rows, (("silence", 0, 10, 14), ("filled", 0, 11, 12), ("filled", 1, 1, 2)),
                                              strict=True):
        row["kind"], row["inst"], row["first_minute"], row["last_minute"] = GAPS.index(kind), inst, FIRST + first, FIRST + last
    desk.backfill.recall(rows, OPEN + 30 * MINUTE)
    assert {m - FIRST for m in desk.backfill.wanted[0]} == {10, 13, 14} and 1 not in desk.backfill.wanted
    desk.backfill.recall(rows[:0], OPEN)
    rows[1]["first_minute"], rows[1]["last_minute"] = FIRST + 10, FIRST + 14
    desk.backfill.recall(rows[1:2], OPEN + 30 * MINUTE)
    assert not desk.backfill.wanted


def test_many_names_that_are_not_traded_are_given_up_when_the_minute_is_past():
    desk = Desk(110, important=(0,))
    for inst in range(105):
        desk.lose(inst, 30, 30)
    assert [w for w, _, _ in desk.due(31 + 4 / 60)] == ["minute"]       # one call has the last minute of all
    desk.backfill.failed(Fetch("minute", tuple(f"K{i}" for i in range(105)), FIRST + 30), OPEN + 31 * MINUTE)
    assert [keys for w, keys, _ in desk.due(33.5) if w == "day"] == [("K0",)]
    desk.due(34.5)
    assert desk.backfill.given_up == 104 and set(desk.backfill.wanted) == {0}


def test_a_name_whose_minute_came_is_asked_for_again_when_it_misses_another():
    desk = Desk()
    for minute in (30, 40):
        desk.lose(0, minute, minute)
        assert desk.due(minute + 1 + 4 / 60) == [("minute", ("K0",), minute)]
        desk.backfill.on_bars(Fetch("minute", ("K0",), FIRST + minute), {"K0": bars(minute)}, OPEN + (minute + 1) * MINUTE)
    assert desk.backfill.filled == 2 and not desk.backfill.asked


@pytest.mark.parametrize(("kind", "is_missed"), [("silence", True), ("rebased", True), ("pause", False), ("jump", False)])
def test_after_a_restart_the_minutes_of_a_silence_and_of_a_volume_that_began_anew_are_missed(kind, is_missed):
    """In a pause nobody traded and a jump is a count: nothing was lost in either."""
    desk = Desk()
    row = np.zeros(1, GAP)
    row["kind"], row["inst"], row["first_minute"], row["last_minute"] = GAPS.index(kind), 2, FIRST + 10, FIRST + 11
    desk.backfill.recall(row, OPEN + 30 * MINUTE)
    assert desk.backfill.wanted == ({2: {FIRST + 10, FIRST + 11}} if is_missed else {})
