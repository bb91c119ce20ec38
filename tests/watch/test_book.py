"""An alert is told once when it begins and once when it is over, whatever happens in between and whoever is restarted."""
import orjson
import pytest

from engine.config.alerts import Alerts
from engine.watch.alerts.book import AlertBook, Notice, keep, kept
from engine.watch.alerts.conditions import Condition, Reading
from tests.watch.test_conditions import NOW, losers, well

S = 10**9


class Desk:
    """A book over one condition whose value is what the test says, at seconds of the test's own."""

    def __init__(self, value: float = 0.0, settings: Alerts | None = None, is_reborn: bool = False, **fields):
        self.value: float | None = value
        self.subjects = ("",)
        condition = Condition(fields.pop("name", "made_up"), fields.pop("severity", "warn"), "made up", self._read,
                              lambda _: 10.0, **({"clear_s": 0.0} | fields))
        self.conditions, self.settings, self.is_reborn = [condition], settings or Alerts(), is_reborn
        self.book, self.at, self.minute = AlertBook(self.settings, self.conditions), 0, 105.0

    def _read(self, *_):
        return None if self.value is None else [Reading(self.value, f"it is {self.value:g}", s) for s in self.subjects]

    def after(self, seconds: float, value: float | None, **fields) -> list[Notice]:
        """What is told so long after the last look."""
        self.at, self.value = self.at + round(seconds * S), value
        if self.is_reborn:                                   # the process dies at every look
            document = orjson.loads(orjson.dumps(self.book.document()))
            self.book = AlertBook(self.settings, self.conditions)
            self.book.recall(document)
        view = well(self.minute)
        view.wall_ns = NOW + self.at
        for name, given in fields.items():
            setattr(view, name, given)
        return self.book.take(view)

    def kinds(self, *steps: tuple[float, float | None]) -> list[str]:
        return [notice.kind for seconds, value in steps for notice in self.after(seconds, value)]


@pytest.fixture(params=[False, True], ids=["one life", "restarted at every look"])
def reborn(request) -> bool:
    return request.param


def test_told_once_and_over_once(reborn):
    desk = Desk(is_reborn=reborn)
    first = desk.kinds((1, 5), (1, 11), (1, 12), (1, 50), (600, 11))
    assert first == ["alert"] and desk.book.rows[0].text == "it is 11" and desk.book.unacknowledged == 1
    assert desk.kinds((1, 10), (1, 10), (1, 3)) == ["recovery"] and not desk.book.firing
    assert desk.book.by_severity() == {"note": 0, "warn": 0, "page": 0}


def test_it_must_last_before_it_is_told(reborn):
    desk = Desk(hold_s=5, is_reborn=reborn)
    assert desk.kinds((1, 11), (4, 11), (0.5, 9), (1, 11), (4.9, 11)) == []
    assert desk.kinds((0.1, 11)) == ["alert"]


def test_it_must_be_well_for_a_time_before_it_is_over(reborn):
    desk = Desk(clear_s=30, is_reborn=reborn)
    assert desk.kinds((1, 11), (1, 9), (29, 9), (0.5, 11), (1, 9), (29.9, 9)) == ["alert"]
    assert desk.kinds((0.1, 9)) == ["recovery"]


def test_beside_its_limit_it_is_neither_bad_nor_well():
    """slack 0.1: bad above 10, well at 9 and below."""
    desk = Desk(slack=0.1)
    assert desk.kinds((1, 10), (1, 10.1), (1, 9.1), (1, 9.5), (1, 10)) == ["alert"]
    assert desk.kinds((1, 9.0)) == ["recovery"]


def test_one_that_flaps_is_told_once_in_a_quarter_of_an_hour(reborn):
    """Bad every other second for an hour: at 0, 15, 30 and 45 minutes, each with its end, and one row."""
    desk = Desk(is_reborn=reborn)
    told = [(notice.kind, (notice.at - NOW) // (60 * S)) for i in range(3600)
            for notice in desk.after(1, 11 if i % 2 == 0 else 5)]
    assert told == [(kind, minute) for minute in (0, 15, 30, 45) for kind in ("alert", "recovery")]
    assert sum(row.count for row in desk.book.rows) == 1800 and len(desk.book.rows) <= 4


def test_one_that_comes_back_and_stays_is_told_once_it_may_be(reborn):
    desk = Desk(is_reborn=reborn)
    assert desk.kinds((1, 11), (1, 5), (1, 11), (600, 11)) == ["alert", "recovery"]
    assert desk.kinds((300, 11), (60, 11), (1, 5)) == ["alert", "recovery"]


def test_what_is_not_known_changes_nothing(reborn):
    desk = Desk(is_reborn=reborn)
    assert desk.kinds((1, 11), (1, None), (3600, None)) == ["alert"] and len(desk.book.firing) == 1


def test_each_subject_is_an_alert_of_its_own_and_one_that_is_gone_is_over():
    desk = Desk()
    desk.subjects = ("RELIANCE", "TCS")
    assert [n.title for n in desk.after(1, 11)] == ["made_up (RELIANCE)", "made_up (TCS)"]
    desk.subjects = ("TCS",)
    assert [(n.kind, n.title) for n in desk.after(1, 11)] == [("recovery", "made_up (RELIANCE): over")]


def test_a_count_alarms_at_each_rise_and_is_over_when_it_rests(reborn):
    desk = Desk(side="rise", clear_s=600, is_reborn=reborn)
    assert desk.kinds((1, 0), (1, 1), (1, 1), (100, 2), (599, 2)) == ["alert"] and desk.book.rows[0].count == 2
    assert desk.kinds((1, 2)) == ["recovery"]
    assert desk.kinds((900, 2), (1, 0), (1, 1)) == ["alert"], "who counts has begun anew"


def test_outside_the_session_there_is_no_alarm_and_the_close_ends_one():
    desk = Desk(in_session=True)
    desk.minute = -5
    assert desk.kinds((1, 99)) == []
    desk.minute = 374.9
    assert desk.kinds((1, 99)) == ["alert"]
    desk.minute = 375
    (over,) = desk.after(1, 99)
    assert over.kind == "recovery" and "the session is over" in over.text


def test_the_least_severity_is_sent_and_all_are_shown():
    desk = Desk(severity="note")
    assert desk.kinds((1, 11), (1, 5)) == [] and len(desk.book.rows) == 1
    desk = Desk(severity="note", settings=Alerts(least="note", recoveries=False))
    assert desk.kinds((1, 11), (1, 5)) == ["alert"]


def test_so_many_an_hour_and_the_gravest_always():
    settings = Alerts(per_hour=3, again_s=0)
    desk = Desk(settings=settings)
    flapping = [step for _ in range(10) for step in ((1, 11), (1, 5))]
    assert desk.kinds(*flapping) == ["alert", "recovery", "alert", "limit"]
    assert desk.kinds((3600, 11)) == ["alert"], "an hour later there is room"
    desk = Desk(severity="page", settings=settings)
    assert desk.kinds(*flapping) == ["alert", "recovery"] * 10


def test_one_that_the_limit_kept_back_is_told_when_there_is_room():
    desk = Desk(settings=Alerts(per_hour=1))
    desk.subjects = ("a", "b")
    assert [n.kind for n in desk.after(1, 11)] == ["alert", "limit"]
    assert [(n.kind, n.title) for n in desk.after(3601, 11)] == [("alert", "made_up (b)")]


def test_acknowledged_by_whom_and_only_once(reborn):
    desk = Desk(is_reborn=reborn)
    desk.after(1, 11)
    row = desk.book.acknowledge(1, "asha (page)", NOW + 5)
    assert (row.acknowledged_by, row.acknowledged_at) == ("asha (page)", NOW + 5) and desk.book.unacknowledged == 0
    desk.after(1, 11)
    assert desk.book.acknowledge(1, "ravi", NOW + 9).acknowledged_by == "asha (page)"
    with pytest.raises(LookupError, match="no alert 7"):
        desk.book.acknowledge(7, "asha", NOW)


def test_each_closed_trade_is_told_once_realised_and_after_charges(reborn):
    desk = Desk(is_reborn=reborn)
    assert desk.kinds((1, 5)) == []
    trades = losers(1)
    (won, lost) = desk.after(1, 5, trades=trades)
    assert (won.kind, won.title) == ("trade", "paper: A Rs 4.00")
    assert "Rs 0.50 realised, Rs 1.00 charges, Rs -0.50 after charges" in lost.text
    assert desk.after(1, 5, trades=trades) == []
    assert len(desk.after(1, 5, trades=losers(2))) == 1
    assert Desk(settings=Alerts(trades=False)).after(1, 5, trades=trades) == []


def test_a_book_that_begins_in_mid_day_does_not_tell_the_past():
    desk = Desk()
    assert desk.after(1, 5, trades=losers(3)) == [] and len(desk.after(1, 5, trades=losers(4))) == 1


def test_the_file_is_its_owners_alone_and_a_damaged_one_begins_anew(tmp_path):
    desk, path = Desk(), tmp_path / "alerts.json"
    desk.after(1, 11)
    keep(desk.book, path)
    assert path.stat().st_mode & 0o777 == 0o600 and not desk.book.is_changed
    assert kept(desk.settings, path).rows == desk.book.rows
    before = path.stat().st_mtime_ns
    desk.after(1, 11)
    keep(desk.book, path)
    assert path.stat().st_mtime_ns == before, "nothing has changed"
    for text in (b"", b"[]", b'{"rows": [{"id": 1}]}', b"\xff\x00"):
        path.write_bytes(text)
        assert kept(desk.settings, path).rows == []


def test_old_alerts_are_forgotten_and_those_that_stand_are_not():
    desk = Desk(settings=Alerts(again_s=0, per_hour=1000))
    desk.subjects = ("stays",)
    desk.after(1, 11)
    for i in range(600):
        desk.subjects = ("stays", str(i))
        desk.after(1, 11)
    assert len(desk.book.rows) <= 503 and desk.book.firing[0].subject == "stays" and len(desk.book.firing) == 2
    assert len({row.id for row in desk.book.rows}) == len(desk.book.rows)
