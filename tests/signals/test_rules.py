"""The rules of a candidate as a truth table: each below, at and above its edge, each with its input missing, which refuses; and in
which order they are asked. A limit is set to the very number the rule sees, then to the next one beside it.

The second half is about `_ext/signals/pipeline.pyx`: at which update a candidate is decided.
"""
import math

import pytest

from _ext.core.records import MODEL_ACTIVE, MODEL_B, MODEL_NO_B, MODEL_NO_SHADOW, MODEL_SHADOW, REC_MODEL, REC_STOP
from _ext.signals.features import FEATURES
from engine import config
from engine.signals import models
from tests.signals.quiet import BASE, MINUTE, SCORER, Quiet, reason, swings

FREE = {"strength": 0.0, "volume": 0.0, "confirm_share": 9.0, "opposing_s": 300}
"""Nothing is decided before the next trade update."""
JUMP = 400


class Asked:
    """A jump of 400 paise in `direction` with two and a half bars of volume, then the update it is decided at."""

    def __init__(self, direction: int = 1, closes=None, first: int = BASE, at: int | None = None, gap: float = 1.0,
                 threshold: float | None = 0.0, book=(None, None), before=(None, None), is_cas: bool = False, session=None,
                 detector=None, jump: int = JUMP, minute: int = MINUTE, prelude=(), **signals):
        desk = Quiet(closes, minute, threshold, is_cas, signals=FREE | signals, session=session or {},
                     detector={"emit": 0.2, "trade": 0.2, "cooldown_s": 0.9} | (detector or {}))
        desk.tick(first)
        for price, more, after in prelude:
            desk.tick(price, more, after)
        for more in (1000, 1000, 500):
            desk.tick(BASE + direction * jump, more, bid=before[0], ask=before[1])
        desk.tick(BASE + direction * jump + direction if at is None else at, 10, gap, bid=book[0], ask=book[1])
        self.desk = desk
        mine = [v for v in desk.verdicts if v["move"] == direction]
        self.row = mine[-1]

    @property
    def reason(self) -> str:
        return reason(self.row)


UP_DOWN = pytest.mark.parametrize("direction", [1, -1])


@UP_DOWN
def test_a_clear_move_passes(direction):
    asked = Asked(direction)
    assert asked.reason == "pass" and asked.row["move"] == direction
    assert asked.row["measured"] == pytest.approx(asked.row["score_next"]) and 0 <= asked.row["measured"] <= 1
    assert asked.row["updates"] == 1 and asked.row["decided"] == (asked.desk.start + 5000) * 1_000_000


@UP_DOWN
@pytest.mark.parametrize("name", ["strength", "volume"])
def test_strength_and_volume_must_be_more_than_their_limits(name, direction):
    seen = float(Asked(direction).row["strength" if name == "strength" else "volume_ratio"])
    word = {"strength": "weak", "volume": "low volume"}[name]
    for limit, want in ((math.nextafter(seen, 0), "pass"), (seen, word), (math.nextafter(seen, 9), word)):
        asked = Asked(direction, **{name: limit})
        assert asked.reason == want, limit
        if want == word:
            assert (asked.row["measured"], asked.row["limit"]) == (seen, limit)


@pytest.mark.parametrize(("is_cas", "session", "want"), [
    (False, {"first_minute": MINUTE}, "pass"), (False, {"first_minute": MINUTE - 1}, "pass"),
    (False, {"first_minute": MINUTE + 1}, "outside session"),
    (False, {"last_minute": MINUTE + 1}, "pass"), (False, {"last_minute": MINUTE}, "outside session"),
    (False, {"last_minute": MINUTE - 1}, "outside session"), (False, {"last_minute_cas": MINUTE}, "pass"),
    (True, {"last_minute_cas": MINUTE + 1}, "pass"), (True, {"last_minute_cas": MINUTE}, "outside session"),
    (True, {"last_minute": MINUTE}, "pass")])
def test_hours(is_cas, session, want):
    asked = Asked(is_cas=is_cas, session=session)
    assert asked.reason == want
    if want != "pass":
        assert asked.row["measured"] == MINUTE and asked.row["limit"] == next(iter(session.values()))


def test_a_trade_outside_the_session_is_outside():
    """Decided by an update of after its stock's last minute."""
    desk = Quiet(minute=359, is_cas=True, threshold=0.0, signals=FREE, session={"last_minute_cas": 360},
                 detector={"emit": 0.2, "trade": 0.2, "cooldown_s": 30})
    for _ in range(11):
        desk.tick(BASE, after=5)
    desk.tick(BASE + JUMP, 1000, after=4)
    desk.tick(BASE + JUMP + 1, 10, after=1)                # 15:15:00
    assert reason(desk.verdicts[-1]) == "outside session" and desk.verdicts[-1]["measured"] == -1


@UP_DOWN
def test_the_trend_is_the_fifty_minutes_where_they_are_known(direction):
    """The first thirty minutes lay far on the other side: with fifty minutes the trend says no, with forty-nine nobody asks it."""
    far = swings(30, BASE + direction * 3_000, BASE + direction * 3_100)
    asked = Asked(direction, far + swings(20))
    assert asked.reason == "against trend" and asked.row["limit"] == 0.0
    assert asked.row["measured"] == pytest.approx(direction * asked.row["z50"]) and asked.row["measured"] < 0
    assert Asked(direction, far[1:] + swings(20)).reason == "pass"
    assert Asked(direction, swings(30, BASE - direction * 3_000, BASE - direction * 3_100) + swings(20)).reason == "pass"


@pytest.mark.parametrize("count", [49, 50])
def test_no_trend_at_all_is_against_it(count):
    """Minutes that never moved, a price that does not either: both statistics are exactly 0, and volume alone is no move."""
    asked = Asked(closes=[BASE] * count, jump=0, at=BASE + 1, detector={"emit": 0.1, "trade": 0.1})
    assert asked.row["z20"] == 0 and asked.reason == "against trend" and asked.row["measured"] == 0


@UP_DOWN
@pytest.mark.parametrize(("ahead", "want"), [(-1, False), (0, False), (1, True)])
def test_the_minute_must_agree(direction, ahead, want):
    """The five minutes began on the far side, so the last close alone decides."""
    asked = Asked(direction, first=BASE - direction * 50, at=BASE + direction * ahead)
    assert asked.reason == ("pass" if want else "1 and 5 minutes not aligned")
    if not want:
        assert (asked.row["measured"], asked.row["limit"]) == (ahead, 0)


@UP_DOWN
@pytest.mark.parametrize(("ahead", "want"), [(-1, False), (0, False), (1, True)])
def test_the_five_minutes_must_agree(direction, ahead, want):
    """They began at 200 paise ahead: the price must be beyond that."""
    asked = Asked(direction, first=BASE + direction * 200, at=BASE + direction * (200 + ahead))
    assert asked.reason == ("pass" if want else "1 and 5 minutes not aligned")
    if not want:
        assert (asked.row["measured"], asked.row["limit"]) == (ahead, 0)


@UP_DOWN
@pytest.mark.parametrize(("limit", "want"), [(1.999, "pass"), (2.0, "pass"), (2.001, "opposing signal"), (300, "opposing signal")])
def test_an_opposing_signal(direction, limit, want):
    """One the other way at 2 s of the minute; this one is made at 3 s and decided at 4 s."""
    asked = Asked(direction, prelude=2 * [(BASE - direction * JUMP, 1000, 0.5)], opposing_s=limit,
                  detector={"emit": 0.63, "trade": 0.63, "cooldown_s": 300})
    assert [int(c["move"]) for c in asked.desk.candidates] == [-direction, direction]
    assert asked.reason == want
    if want != "pass":
        assert (asked.row["measured"], asked.row["limit"]) == (pytest.approx(2.0), limit)


@UP_DOWN
def test_one_of_its_own_direction_or_too_weak_to_trade_opposes_nothing(direction):
    """The candidate before it reached the lower level only."""
    asked = Asked(direction, prelude=[(BASE - direction * JUMP, 10, 1.0)],
                  detector={"emit": 0.2, "trade": 0.65, "cooldown_s": 300})
    assert {(int(c["level"]), int(c["move"])) for c in asked.desk.candidates} >= {(0, -direction), (1, direction)}
    assert not [c for c in asked.desk.candidates if c["level"] == 1 and c["move"] == -direction]
    assert asked.reason == "pass"
    again = Asked(direction, prelude=[(BASE + direction * JUMP, 2000, 1.0)])
    assert sum(c["move"] == direction for c in again.desk.candidates) > 1 and again.reason == "pass"


@pytest.mark.parametrize("book", [(0, 100_410), (100_390, 0), (0, 0), (100_400, 100_400), (100_401, 100_400)])
def test_without_two_sides_in_order_there_is_no_quote(book):
    asked = Asked(book=book)
    assert asked.reason == "no quote"
    assert (asked.row["measured"], asked.row["limit"]) == (book[1] - book[0], 1)


@UP_DOWN
def test_the_spread_is_at_most_its_limit(direction):
    """30 paise about 1000 rupees: 3 bp, of the middle."""
    price = BASE + direction * JUMP
    book = (price - 10, price + 20)
    seen = 2e4 * 30 / (price - 10 + price + 20)
    for limit, want in ((seen * (1 + 1e-12), "pass"), (seen * (1 - 1e-12), "wide spread"), (seen / 2, "wide spread")):
        asked = Asked(direction, book=book, spread_bp=limit)
        assert asked.reason == want
        if want != "pass":
            assert (asked.row["measured"], asked.row["limit"]) == (pytest.approx(seen), limit)
    assert Asked(direction, book=(price - 500, price + 500), spread_bp=100.5).reason == "pass"


def test_a_spread_of_one_step_exactly_at_the_limit():
    """2 x 10,000 x 100 / 200,000 is 10 bp to the bit."""
    for limit, want in ((10.0, "pass"), (math.nextafter(10.0, 0), "wide spread")):
        assert Asked(book=(99_950, 100_050), spread_bp=limit).reason == want


@UP_DOWN
def test_the_score_must_reach_its_limit(direction):
    seen = float(Asked(direction).row["score_next"])
    assert 0 < seen < 1
    for limit, want in ((math.nextafter(seen, 0), "pass"), (seen, "pass"), (math.nextafter(seen, 1), "noise")):
        asked = Asked(direction, threshold=limit)
        assert asked.reason == want
        assert (asked.row["measured"], asked.row["limit"]) == (pytest.approx(seen), limit)


@pytest.mark.parametrize(("changes", "limits"), [
    ([("active", 0.1)], (0.1, 0.1)), ([("active", 0.1), ("b", 0.2)], (0.1, 0.2)), ([("b", 0.2), ("active", 0.1)], (0.1, 0.2)),
    ([("active", 0.1), ("b", 0.2), ("active", 0.05)], (0.05, 0.2)), ([("active", 0.1), ("b", 0.2), ("no b", 0.0)], (0.1, 0.1)),
    ([("active", 0.1), ("b", 0.2), ("no b", 0.0), ("active", 0.05)], (0.05, 0.05)),
    ([("active", 0.1), ("shadow", 0.4)], (0.1, 0.1)),
    ([("active", 0.1), ("b", 0.2), ("shadow", 0.4), ("no shadow", 0.0)], (0.1, 0.2))])
def test_each_arm_keeps_the_limit_of_its_own_model(changes, limits):
    roles = {"active": MODEL_ACTIVE, "b": MODEL_B, "shadow": MODEL_SHADOW, "no b": MODEL_NO_B, "no shadow": MODEL_NO_SHADOW}
    for arm, limit in enumerate(limits):
        desk = Quiet(signals=FREE, detector={"emit": 0.2, "trade": 0.2, "cooldown_s": 30}, ab={"share": arm})
        desk.core.models[SCORER.sha256] = SCORER
        for role, threshold in changes:
            desk.core.feed(REC_MODEL, desk.start * 1_000_000, models.model_record(SCORER.sha256, threshold, roles[role]))
        for price, more in ((BASE, 0), (BASE + JUMP, 2500), (BASE + JUMP + 1, 10)):
            desk.tick(price, more)
        (row,) = desk.verdicts
        assert (reason(row), row["arm"], row["limit"]) == ("pass", arm, limit)


@pytest.mark.parametrize(("share", "arm"), [(0.0, 0), (0.235, 0), (0.236, 1), (1.0, 1)])
def test_the_share_of_names_in_arm_b_is_no_name_larger(share, arm):
    """FNV-1a of NSE_EQ|A, written anew, ends in 235 thousandths: the share must be more than that."""
    value = 2166136261
    for letter in b"NSE_EQ|A":
        value = (value ^ letter) * 16777619 % 2**32
    assert value % 1000 == 235
    desk = Quiet(signals=FREE, detector={"emit": 0.2, "trade": 0.2, "cooldown_s": 30}, ab={"share": share})
    desk.tick(BASE)
    desk.tick(BASE + JUMP, 2500)
    assert [c["arm"] for c in desk.candidates] == [arm]


def test_the_second_score_decides_not_the_first():
    """Both are journaled; the limit between them lets only the second decide."""
    asked = Asked(at=BASE + 50, first=BASE - 10)
    first, second = float(asked.row["score"]), float(asked.row["score_next"])
    assert first != second
    between = (first + second) / 2
    assert Asked(at=BASE + 50, first=BASE - 10, threshold=between).reason == ("pass" if second > between else "noise")


def test_without_a_model_or_with_a_feature_unknown_there_is_no_score():
    asked = Asked(threshold=None)
    assert asked.reason == "no score" and math.isnan(asked.row["measured"]) and asked.row["limit"] == pytest.approx(0.3)
    asked = Asked(before=(0, 0))                           # no book at the tick: the move of the mid since then is unknown
    assert math.isnan(asked.row["score"]) and math.isnan(asked.row["score_next"]) and asked.reason == "no score"


def test_the_first_rule_that_fails_is_the_reason():
    """Everything wrong at once, then mended one by one in the order of the rules."""
    closes = swings(30, BASE + 3_000, BASE + 3_100) + swings(20)
    wrong = {"strength": 0.99, "volume": 9.0, "session": {"first_minute": 200}, "closes": closes, "first": BASE + 600,
             "prelude": [(BASE - JUMP, 2000, 1.0)], "book": (0, 0), "threshold": None,
             "detector": {"emit": 0.3, "trade": 0.3, "cooldown_s": 0.9}}
    for mended, want in ((None, "weak"), ("strength", "low volume"), ("volume", "outside session"), ("session", "against trend"),
                         ("closes", "1 and 5 minutes not aligned"), ("first", "opposing signal"), ("prelude", "no quote"),
                         ("book", "no score"), ("threshold", "pass")):
        wrong.pop(mended, None)
        assert Asked(**wrong).reason == want
    assert Asked(book=(90_000, 110_000), threshold=None).reason == "wide spread"


def test_the_limits_are_the_published_ones():
    s = config.Config(models="").record()
    assert s["signals"] == {"strength": 0.6, "volume": 1.5, "spread_bp": 15.0, "min_score": pytest.approx(0.3),
                            "opposing_ms": 300_000, "confirm_share": 0.25, "confirm_ns": 60_000_000_000, "kinds": ["equity"]}
    assert s["limits"].items() >= {"first_minute": 5, "last_minute": 360, "last_minute_cas": 345, "flat_minute": 368,
                                   "flat_minute_cas": 353}.items()


# ---- when it is decided ------------------------------------------------------------------------------------------------------
def waiting(minute: int = MINUTE, **signals) -> Quiet:
    """A candidate that was just made, of a move the book has not followed."""
    desk = Quiet(None, minute, 0.0, signals=FREE | signals, detector={"emit": 0.6, "trade": 0.6, "cooldown_s": 300})
    desk.tick(BASE, bid=BASE - 10, ask=BASE + 10)
    desk.tick(BASE + JUMP, 1000, bid=BASE - 10, ask=BASE + 10)
    desk.tick(BASE + JUMP, 1000, bid=BASE - 10, ask=BASE + 10)
    assert len(desk.candidates) == 1 and not desk.verdicts
    assert reason(desk.candidates[0]) == "pending"
    return desk


def test_an_update_without_a_trade_decides_nothing():
    desk = waiting()
    desk.tick(BASE + JUMP, 0, bid=BASE + JUMP - 10, ask=BASE + JUMP + 10)
    assert not desk.verdicts
    desk.tick(BASE + JUMP, 1)
    assert len(desk.verdicts) == 1 and desk.verdicts[0]["id"] == desk.candidates[0]["id"]
    desk.tick(BASE + JUMP, 1)
    assert len(desk.verdicts) == 1                         # once


@pytest.mark.parametrize(("after", "given_up"), [(60.0, False), (60.001, True)])
def test_without_a_trade_in_time_it_is_given_up(after, given_up):
    desk = waiting()
    desk.timer(after)
    assert [reason(v) for v in desk.verdicts] == (["not confirmed"] if given_up else [])
    if given_up:
        assert desk.verdicts[0]["measured"] == pytest.approx(after) and desk.verdicts[0]["limit"] == pytest.approx(60)
        desk.tick(BASE + JUMP, 1)
        assert len(desk.verdicts) == 1


def test_the_end_of_the_run_gives_up_on_all():
    desk = waiting()
    desk.core.feed(REC_STOP, (desk.start + 4000) * 1_000_000)
    assert [reason(v) for v in desk.verdicts] == ["not confirmed"]


@pytest.mark.parametrize(("after", "minute"), [(10.5, 60), (59.5, 60), (59.5, 64)])
def test_a_thin_name_is_asked_at_its_next_trade_however_late(after, minute):
    """Also in the next minute, and the next five minutes: those it was made in must have gone its way."""
    desk = waiting(minute)
    for _ in range(int(after) // 5):                        # quotes without a trade
        desk.tick(BASE + JUMP, 0, 5.0, bid=BASE - 10, ask=BASE + 10)
    assert not desk.verdicts
    desk.tick(BASE + JUMP, 1, after % 5)
    assert [reason(v) for v in desk.verdicts] == ["pass"] and desk.verdicts[0]["updates"] == 1
    assert desk.verdicts[0]["decided"] - desk.verdicts[0]["now"] == after * 1e9


def followed(share: float, direction: int = 1, way: int = 1, beyond: int = 0) -> Quiet:
    """The mid went half of the price's way (or `way` -1: the other way); the price lies `beyond` (paise) the best quote."""
    desk = Quiet(threshold=0.0, signals=FREE | {"confirm_share": share, "spread_bp": 1000.0},
                 detector={"emit": 0.63, "trade": 0.63, "cooldown_s": 300})
    desk.tick(BASE)
    mid = BASE + direction * way * JUMP // 2
    half = abs(BASE + direction * JUMP - mid) - beyond
    for _ in range(2):
        desk.tick(BASE + direction * JUMP, 1000, bid=mid - half, ask=mid + half)
    return desk


@UP_DOWN
def test_where_the_book_has_moved_along_it_is_decided_at_the_tick(direction):
    seen = float(followed(9.0, direction).candidates[0]["feature"][8])
    assert seen == pytest.approx(0.5, abs=2e-3)
    for share, at_once in ((seen, True), (math.nextafter(seen, 1), False)):
        desk = followed(share, direction)
        assert len(desk.candidates) == 1 and len(desk.verdicts) == at_once
    row = followed(seen, direction).verdicts[0]
    assert row["updates"] == 0 and math.isnan(row["score_next"]) and row["measured"] == pytest.approx(float(row["score"]))
    assert not followed(0.0, direction, way=-1).verdicts   # it went the other way
    assert not followed(0.0, direction, way=0).verdicts    # or nowhere


@UP_DOWN
def test_a_price_far_beyond_the_book_waits_whatever_the_mid_did(direction):
    """A price that flickers while the market moves: at one s1m beyond the best quote it may be decided at the tick."""
    s1m = float(followed(9.0, direction).candidates[0]["s1m"])
    for share, at_once in ((0.9, True), (1.1, False)):
        desk = followed(0.0, direction, beyond=round(share * s1m * BASE))
        assert float(desk.candidates[0]["feature"][FEATURES.index("outside_book_s1m")]) == pytest.approx(share, abs=0.05)
        assert len(desk.verdicts) == at_once


UNMEASURED = "no filter was measured on such an instrument"


@pytest.mark.parametrize(("kind", "kinds", "want"), [
    ("equity", ["equity"], "pass"), ("equity", ["future", "equity"], "pass"), ("equity", ["future", "option"], UNMEASURED),
    ("future", ["equity"], UNMEASURED), ("future", ["equity", "future"], "pass")])
def test_an_instrument_no_filter_was_measured_on_is_not_traded(kind, kinds, want):
    desk = Quiet(kind=kind, threshold=0.0, signals=FREE | {"kinds": kinds},
                 detector={"emit": 0.6, "trade": 0.6, "cooldown_s": 300})
    desk.tick(BASE)
    for more in (1000, 1000, 1):
        desk.tick(BASE + JUMP, more)
    assert [reason(v) for v in desk.verdicts] == [want]


def test_an_update_the_other_way_decides_what_waits_and_makes_its_own():
    desk = waiting()
    desk.tick(BASE - JUMP, 1000, bid=BASE - 10, ask=BASE + 10)
    assert [(reason(v), int(v["move"])) for v in desk.verdicts] == [("1 and 5 minutes not aligned", 1)]
    assert len(desk.candidates) == 2 and desk.candidates[1]["move"] == -1
    desk.tick(BASE - JUMP, 1)
    assert [int(v["move"]) for v in desk.verdicts] == [1, -1]


def test_a_candidate_below_the_trade_level_is_journaled_and_not_decided():
    desk = Quiet(threshold=0.0, signals=FREE, detector={"emit": 0.2, "trade": 0.99, "cooldown_s": 300})
    desk.tick(BASE)
    desk.tick(BASE + JUMP, 1000)
    desk.tick(BASE + JUMP, 1)
    assert [reason(c) for c in desk.candidates] == ["weak"] and not desk.verdicts
    row = desk.candidates[0]
    assert row["measured"] == row["strength"] and row["decided"] == row["now"] and row["limit"] == 0.0
    assert desk.core.counts()["candidates"] == 1 and desk.core.counts()["signals"] == 0
