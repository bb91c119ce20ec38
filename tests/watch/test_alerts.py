"""Days of the sim, watched second by second: each cause that is scripted raises its alert once and it is over once; a day without
faults raises none. `engine/watch/alerts/conditions.py`"""
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from _ext.core.records import REC_LINK, STREAM_FEED
from engine.config import Alerts, Config
from engine.market.sessions import epoch_ms
from engine.run.virtual import VirtualRun
from engine.sim.faults import Rates
from engine.trade.inputs import link_record
from engine.watch.alerts.book import AlertBook
from tests.kit.counts import count
from tests.kit.watched import DAY, WatchedDay, watched_day

QUIET = Alerts(trades=False, losing_streak=1000)
Each = Callable[[VirtualRun, int], None]


def minute(now: int) -> float:
    return (now / 1e6 - epoch_ms(DAY)) / 60_000


def told(day: WatchedDay, settings: Alerts = QUIET) -> list[tuple[str, str]]:
    """(kind, name and subject) of all that was told, in order; the book is restarted at each market minute."""
    book, out = AlertBook(settings), []
    for view in day.moments():
        if view.now_ns % 60_000_000_000 == 0:
            document, book = orjson.dumps(book.document()), AlertBook(settings)
            book.recall(orjson.loads(document))
        for notice in book.take(view):
            row = next((row for row in book.rows if row.id == notice.alert), None)
            out.append((notice.kind, "" if row is None else f"{row.name} {row.subject}".strip()))
    return out


def once(name: str) -> list[tuple[str, str]]:
    return [("alert", name), ("recovery", name)]


def broken(**rates: float) -> Each:
    """The broker fails so from the fifth minute to the eighth."""
    def each(run: VirtualRun, now: int) -> None:
        run.line.is_clear = False
        run.line.rates = Rates(seed=1, **rates) if 5 <= minute(now) < 8 else Rates(seed=1)
    return each


def feed_breaks(run: VirtualRun, now: int) -> None:
    for at, is_up in ((10, False), (10.5, True)):
        if at <= minute(now) < at + 0.0166:
            run.core.feed(REC_LINK, now, link_record(STREAM_FEED, is_up))


def stream_breaks(run: VirtualRun, now: int) -> None:
    if 10 <= minute(now) < 10.0166:
        run.stream_back = now + 40_000_000_000
        run.shell.on_stream(False)


def another_trades(run: VirtualRun, now: int) -> None:
    """Somebody buys seven of the last name in the same account, and sells them two minutes later."""
    for at, side in ((8, "BUY"), (10, "SELL")):
        if at <= minute(now) < at + 0.0166:
            status, _ = run.exchange.place({
                "instrument_token": list(run.exchange.specs)[-1], "quantity": 7, "product": "I", "price": 0, "tag": None,
                "order_type": "MARKET", "transaction_type": side, "trigger_price": 0, "market_protection": 1}, now)
            assert status == 200


def nobody_knows_who_traded(run: VirtualRun, now: int) -> None:
    """The same, and the broker's book does not show the order."""
    if minute(now) < 9:
        another_trades(run, now)
    for order in [order for order in run.exchange.orders.values() if not order.tag and order.filled]:
        del run.exchange.orders[order.order_id]


def exits_are_refused(run: VirtualRun, now: int) -> None:
    """From the fifth minute to the sixth and a half."""
    if not hasattr(run, "way"):
        run.way = run.line.journey

        def journey(request):
            found = run.way(request)
            is_exit = request.method in ("POST", "PUT") and (orjson.loads(request.body) if isinstance(
                request.body, bytes | str) else request.body or {}).get("tag", ".x").endswith(".x")
            is_broken = 5 <= minute(run.now) < 6.5 and is_exit
            return replace(found, error=(400, "UDAPI100036"), is_done=False) if is_broken else found
        run.line.journey = journey


def broker_halts(run: VirtualRun, now: int) -> None:
    run.rest.our_ip = "203.0.113.9" if 5 <= minute(now) < 7 else run.rest.registered_ip


CAUSES: dict[str, tuple[Each | None, dict, Alerts, list[tuple[str, str]]]] = {
    "feed breaks": (feed_breaks, {}, QUIET, once("feed")),
    "feed says nothing": (None, {"silence": (10, 10.5)}, QUIET, once("feed")),
    "order stream breaks": (stream_breaks, {}, QUIET, once("order_stream")),
    "answers are lost": (broken(lost_answer=1.0), {}, QUIET, once("broker_answers")),
    "errors hide what happened": (broken(error_after=1.0), {}, QUIET, once("broker_answers")),
    "orders are refused": (broken(refuse=1.0), {}, QUIET.model_copy(update={"rejections": 2}), once("rejections")),
    "orders are slowed down": (broken(throttle=1.0), {}, QUIET, once("rate_limit")),
    "an entry a minute": (None, {"config": Config(risk={"orders_per_minute": 1})}, QUIET, once("rate_limit")),
    "a streak": (None, {"minutes": 40}, QUIET.model_copy(update={"losing_streak": 4}), once("losing_streak")),
    "a loss": (None, {"minutes": 72}, QUIET.model_copy(update={"loss": 0.00455}), once("daily_loss")),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_once_and_over_once(cause, tmp_path):
    each, options, settings, expected = CAUSES[cause]
    day = watched_day(tmp_path / "run", **{"names": 40, "minutes": 25, "mood": 4.0, "each": each} | options)
    assert told(day, settings) == expected


def test_exits_that_are_refused_leave_positions_without_a_stop(tmp_path):
    """Each position is an alert of its own, told once and over once; that orders are turned down is told too."""
    found = told(watched_day(tmp_path / "run", 40, 18, mood=4.0, each=exits_are_refused))
    names = {name for _, name in found}
    assert names == {"rejections", *(name for name in names if name.startswith("without_stop "))} and len(names) >= 2
    assert all([kind for kind, other in found if other == name] == ["alert", "recovery"] for name in names)


def test_a_broker_that_refuses_for_good(tmp_path):
    """The engine reduces until it is started again: that alert stands to the end."""
    assert told(watched_day(tmp_path / "run", 40, 18, mood=4.0, each=broker_halts)) == [
        ("alert", "broker_halt"), ("alert", "reducing"), ("recovery", "broker_halt")]


def test_a_position_of_others_is_named_until_it_is_gone(tmp_path):
    found = told(watched_day(tmp_path / "run", 40, 22, mood=4.0, each=another_trades))
    (name,) = {name for _, name in found if name.startswith("unknown_position ")}
    assert [kind for kind, other in found if other == name] == ["alert", "recovery"]
    assert {other for _, other in found} <= {name, "strange_order", "reducing"}, "until the book explains it"


def test_a_position_nobody_can_explain(tmp_path):
    found = told(watched_day(tmp_path / "run", 40, 22, mood=4.0, each=nobody_knows_who_traded))
    assert [kind for kind, name in found if name == "unknown_position"] == ["alert", "recovery"]
    assert {name for _, name in found} == {"unknown_position", "strange_order", "reducing"}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 3 + count(1, 2, 8)))
def test_a_clean_day_tells_nothing_but_its_trades(seed, tmp_path):
    """The calibrated market with artefacts of its own, a broker without faults, all settings as they are."""
    day = watched_day(tmp_path / "run", 20, 90, seed, mood=1.0)
    settings = Alerts(losing_streak=1000)                    # whether trades lose is the market's business
    found = told(day, settings)
    closed = len(day.end().closed)
    assert found == [("trade", "")] * closed and closed > 0
