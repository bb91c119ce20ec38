"""Each condition at, below and above its limit; nothing is bad in a run that is well, or of which nothing is known."""
import datetime as dt

import numpy as np
import pytest

from _ext.core.reasons import REASONS, Reason
from _ext.core.records import INSTRUMENT, REC_INSTRUMENTS, REDUCING, RUNNING, STREAM_FEED, STREAM_ORDERS
from _ext.trail.status import STATUS
from engine.config.alerts import Alerts
from engine.market.sessions import epoch_ms
from engine.trail.signs import ENDED, NOT_READY, READY
from engine.watch.alerts.conditions import CONDITIONS, SEVERITIES
from engine.watch.trades import Trade
from engine.watch.watched import Channel, Watched
from tests.conftest import ROOT

DAY = dt.date(2026, 9, 1)
NOW = epoch_ms(DAY, 105) * 1_000_000                       # 11:00
EQUITY = 100_000_000
BY_NAME = {condition.name: condition for condition in CONDITIONS}


def well(minute: float = 105) -> Watched:
    """A live run in which all is as it should be."""
    now = epoch_ms(DAY, minute) * 1_000_000
    status = np.zeros(1, STATUS)[0]
    for name, value in {"heartbeat": now, "now": now, "ready": READY, "trading": RUNNING, "feed_up": 1, "filter": 1,
                        "equity": EQUITY, "updates": 1000, "started": now}.items():
        status[name] = value
    view = Watched(now, now, status=status, store={"stored": 1000, "trouble": "", "drain": "", "damage": ""},
                   launcher={"failure": None, "damage": None, "died": {"engine": 0}}, store_lag_s=4.0, token_s=40_000.0,
                   drift={"enough": True, "psi": {"z20": 0.05, "rz": 0.01}, "drifted": []}, model_age_s=86_400.0, disk_free=10**11,
                   disk_rate=1000.0, channels=[Channel("json 1", 3)])
    view.tally.last_frame = now
    row = np.zeros(1, INSTRUMENT)
    row["symbol"] = b"RELIANCE"
    view.state.take(REC_INSTRUMENTS, row.tobytes())
    return view


def losers(n: int) -> list[Trade]:
    won = Trade("2026-09-01", "A", "spike", 1, 1, 1, NOW - 100, NOW - 90, 1.0, 1.0, 500, 100, "time", 0.7, 0.9, 0, 0)
    return [won, *(Trade("2026-09-01", "A", "spike", 2 + i, 1, 1, NOW - 80, NOW - 70 + i, 1.0, 1.0, 50, 100, "stop", 0.7, 0.9, 0, 0)
                   for i in range(n))]


def happened(what: str, detail: str):
    """So many events, all just now."""
    def put(view: Watched, n: float) -> None:
        view.tally.lately.extend([(NOW - 1, what, detail)] * int(n))
    return put


def at_status(name: str, scale: float = 1):
    def put(view: Watched, value: float) -> None:
        view.status[name] = round(value * scale)
    return put


def put(**fields):
    def change(view: Watched, value: float) -> None:
        for name, of in fields.items():
            setattr(view, name, of(value))
    return change


def since(place: str, key: int):
    def change(view: Watched, seconds: float) -> None:
        getattr(view.tally, place)[key] = NOW - round(seconds * 1e9)
    return change


def silent_feed(view: Watched, seconds: float) -> None:
    view.tally.last_frame = NOW - round(seconds * 1e9)


def heartbeat(view: Watched, seconds: float) -> None:
    view.status["heartbeat"] = view.wall_ns - round(seconds * 1e9)


WORD = {reason.name: REASONS[reason] for reason in Reason}
CASES = {
    "daily_loss": (at_status("realised", -EQUITY), [(0.0099, False), (0.01, False), (0.0101, True)]),
    "losing_streak": (put(trades=lambda n: losers(int(n))), [(0, False), (3, False), (4, True), (5, True)]),
    "feed": (silent_feed, [(9.9, False), (10, False), (10.1, True)]),
    "order_stream": (since("down_since", STREAM_ORDERS), [(14.9, False), (15, False), (15.1, True)]),
    "broker_answers": (happened("answer", "ambiguous"), [(0, False), (2, False), (3, True), (4, True)]),
    "broker_halt": (happened("answer", "halted"), [(0, False), (1, True)]),
    "rate_limit": (happened("denied", WORD["MINUTE_BUDGET"]), [(0, False), (1, True)]),
    "rejections": (happened("rejected", "refused"), [(2, False), (3, True), (4, True)]),
    "without_stop": (since("naked", 0), [(4.9, False), (5, False), (5.1, True)]),
    "unknown_position": (happened("alarm", WORD["TAKEN_OVER"]), [(0, False), (1, True)]),
    "strange_order": (happened("alarm", WORD["SECOND_EXIT"]), [(0, False), (1, True)]),
    "reducing": (at_status("trading"), [(RUNNING, False), (REDUCING, True)]),
    "engine_silent": (heartbeat, [(9.9, False), (10, False), (10.1, True)]),
    "restarted": (put(launcher=lambda n: {"died": {"engine": int(n)}, "deaths": {"engine": [int(n), "SIGSEGV"]}}),
                  [(0, False), (1, True)]),
    "run_failed": (put(launcher=lambda n: {"failure": "sim: gone" if n else None}), [(0, False), (1, True)]),
    "filter_off": (at_status("filter"), [(1, False), (0, True)]),
    "journal_full": (at_status("journal_full"), [(0, False), (1, True)]),
    "store_trouble": (put(store=lambda n: {"stored": 1, "trouble": "refused" if n else ""}), [(0, False), (1, True)]),
    "store_lag": (put(store_lag_s=float), [(59, False), (60, False), (61, True)]),
    "model_drift": (put(drift=lambda v: {"enough": True, "psi": {"z20": v, "rz": 0.01}, "drifted": ["z20"]}),
                    [(0.24, False), (0.25, False), (0.26, True)]),
    "model_age": (put(model_age_s=lambda days: days * 86_400), [(89, False), (90, False), (91, True)]),
    "token": (put(token_s=float), [(3601, False), (3600, False), (3599, True), (-5, True)]),
    "disk_free": (put(disk_free=int), [(2_000_000_001, False), (2_000_000_000, False), (1_999_999_999, True)]),
    "disk_filling": (put(disk_rate=lambda s: 1e11 / s), [(14_401, False), (14_400, False), (14_399, True)]),
    "channel": (put(channels=lambda s: [Channel("json 1", dead_since=NOW - round(s * 1e9) if s else 0)]), [(0, False), (1, True)]),
}


def is_bad(name: str, view: Watched, settings: Alerts | None = None) -> bool:
    settings = settings or Alerts()
    return any(BY_NAME[name].is_bad(r.value, settings) for r in BY_NAME[name].readings(view, settings) or ())


def test_every_condition_is_tried():
    assert list(CASES) == [condition.name for condition in CONDITIONS] and len(BY_NAME) == len(CONDITIONS)


@pytest.mark.parametrize("name", CASES)
def test_below_at_and_above_its_limit(name):
    change, cases = CASES[name]
    for value, expected in cases:
        view = well()
        change(view, value)
        assert is_bad(name, view) is expected, value
        others = {other for other in BY_NAME if other != name and is_bad(other, view)}
        assert not others, f"{value}: {others} too"


def test_nothing_is_bad_in_a_run_that_is_well():
    assert [name for name in BY_NAME if is_bad(name, well())] == []


def test_what_is_not_known_is_no_alarm_and_no_recovery():
    """A view without status, drift, token, disk: those conditions say nothing at all."""
    empty = Watched(NOW, NOW)
    said = {name for name, condition in BY_NAME.items() if condition.readings(empty, Alerts()) is not None}
    assert not said & {"daily_loss", "feed", "reducing", "engine_silent", "filter_off", "journal_full", "store_trouble",
                       "store_lag", "model_drift", "model_age", "token", "disk_free", "disk_filling"}
    assert not any(is_bad(name, empty) for name in said)


def test_an_engine_that_starts_or_has_ended_is_not_missed():
    for ready in (NOT_READY, ENDED):
        view = well()
        view.status["ready"], view.status["filter"], view.status["heartbeat"] = ready, 0, NOW - 600 * 10**9
        assert not [name for name in BY_NAME if is_bad(name, view)]


def test_a_feed_that_was_never_up_is_not_down_and_one_that_broke_is():
    view = well()
    view.tally.down_since[STREAM_FEED] = NOW - 11 * 10**9
    assert is_bad("feed", view)
    assert "no connection for 11 s" in BY_NAME["feed"].readings(view, Alerts())[0].text


def test_events_are_bad_for_as_long_as_they_are_recent():
    """Ten minutes of rejections, five of answers; what lies exactly at the edge is over."""
    for what, detail, name, n, seconds in (("rejected", "refused", "rejections", 3, 600),
                                           ("answer", "ambiguous", "broker_answers", 3, 300),
                                           ("alarm", WORD["TAKEN_OVER"], "unknown_position", 1, 600)):
        for age, expected in ((seconds - 1, True), (seconds, False)):
            view = well()
            view.tally.lately.extend([(NOW - age * 10**9, what, detail)] * n)
            assert is_bad(name, view) is expected, (name, age)


def test_a_token_may_die_while_the_market_is_closed():
    """Bad in session and within the setting's time before it; never after it."""
    for minute, expected in ((-120, False), (-61, False), (-59, True), (0, True), (374.9, True), (375, False), (500, False)):
        view = well(minute)
        view.token_s = 600.0
        assert is_bad("token", view) is expected, minute


def test_only_these_wait_for_the_session():
    assert {c.name for c in CONDITIONS if c.in_session} == {"feed", "order_stream", "reducing", "filter_off"}
    assert [well(m).is_session for m in (-0.1, 0, 374.9, 375)] == [False, True, True, False]


def test_settings_move_the_limits():
    view = well()
    view.status["realised"] = -EQUITY * 3 // 1000
    assert not is_bad("daily_loss", view) and is_bad("daily_loss", view, Alerts(loss=0.002))
    view.trades = losers(2)
    assert not is_bad("losing_streak", view) and is_bad("losing_streak", view, Alerts(losing_streak=2))


def test_the_page_of_alerts_has_each_of_them():
    text = (ROOT / "docs" / "alerts.md").read_text()
    for condition in CONDITIONS:
        assert f"| `{condition.name}` | {condition.severity} |" in text, condition.name
    assert {c.severity for c in CONDITIONS} == set(SEVERITIES)
