"""What the market stage tells of its feed, each rule below, at and above its edge: late, stalled, damaged, out of order; and how a
name does.

The stage is `_ext/market/market.pyx`, what it keeps of all names `_ext/market/board.pyx`.
"""
from math import isnan, log

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    GAP,
    GAPS,
    LINK,
    REC_BARS,
    REC_FRAME,
    REC_GAP,
    REC_INSTRUMENTS,
    REC_LINK,
    REC_START,
    REC_TIMER,
    WARM_BAR,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.market.gaps import LIVES
from _ext.signals.features import FEATURES
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import epoch_ms
from tests.market.conftest import DAY, OPEN_MS

MINUTE_0 = OPEN_MS // 60_000
FLAGS = {"traded": 1, "first": 2, "after gap": 4, "step back": 8, "late": 16, "repeat": 32, "outside": 128, "bad time": 256,
         "new bar": 512, "doubted": 1024, "snapshot": 2048}
NAMES = [Instrument("NSE_EQ|AAA", "SBIN", tick=5), Instrument("NSE_EQ|BBB", "HDFCBANK", tick=5), Instrument("NSE_EQ|CCC", "TCS",
                                                                                                            tick=5)]


class Desk:
    """Names without profile; `bars` closed minutes of yesterday of 1,000 shares each. Times are ms after 09:15."""

    def __init__(self, bars: int = 0, specs=NAMES):
        self.trail, self.specs = KeepingSink((REC_GAP,)), specs
        self.core = Core(self.trail, len(specs), 64)
        begin = (OPEN_MS - 60_000) * 1_000_000
        self.core.feed(REC_START, begin, orjson.dumps(config.Config(models="").record()))
        self.core.feed(REC_INSTRUMENTS, begin, table(specs, DAY).tobytes())
        rows = np.zeros(bars, WARM_BAR)
        rows["minute"] = MINUTE_0 - 1440 + 200 + np.arange(bars)
        rows["open"] = rows["high"] = rows["low"] = 100_000
        rows["close"], rows["volume"] = 100_000, 1_000
        for inst in range(len(specs)) if bars else ():
            rows["inst"] = inst
            self.core.feed(REC_BARS, begin, rows.tobytes())
        self.vtt = [10_000] * len(specs)

    def tick(self, at: float, price: int = 100_000, more: int = 10, lag: float = 0, inst: int = 0, kind: int = 1, vtt=None,
             received=None) -> int:
        """Flags of one update of a trade at `at`, received `lag` ms later."""
        self.vtt[inst] += more
        row = np.zeros(1, TICK_DTYPE)
        key = self.specs[inst].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"] = key, len(key), 1, 1 | 64
        row["ltp"], row["ltt"], row["vtt"] = price, OPEN_MS + round(at), self.vtt[inst] if vtt is None else vtt
        now = OPEN_MS + round(at + lag if received is None else received)
        self.core.feed(REC_FRAME, now * 1_000_000, encode(row, now, kind))
        market = self.core.market
        return int(market.ticks(inst)[(market.row(inst)["ring_at"] - 1) % 64]["flags"])

    def timer(self, at: float) -> None:
        self.core.feed(REC_TIMER, (OPEN_MS + round(at)) * 1_000_000)

    def told(self, kind: str) -> list:
        rows = [np.frombuffer(p, GAP)[0] for _, _, p in self.trail.kept]
        return [g for g in rows if GAPS[g["kind"]] == kind]

    def life(self, at: float, inst: int = 0) -> str:
        return LIVES[self.core.market.liveness((OPEN_MS + round(at)) * 1_000_000)[inst]]


def ns(at: float) -> int:
    return (OPEN_MS + round(at)) * 1_000_000


# ---- late ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("lag", "count"), [(5_000, 0), (5_001, 1)])
def test_a_trade_more_than_five_seconds_late_is_told_once_it_is_over(lag, count):
    desk = Desk()
    for second in range(0, 60):
        desk.tick(second * 1000)
    desk.tick(60_000, received=60_000 + lag)
    desk.tick(61_000, received=61_000 + lag + 700)
    assert not desk.told("late")
    for second in range(67, 80):
        desk.tick(second * 1000)
        desk.core.feed(REC_TIMER, ns(second * 1000 + 500))
    found = desk.told("late")
    # the second one is late in both cases; the first only beyond the limit
    assert len(found) == 1
    assert found[0]["begin"] == ns(60_000 + lag if count else 61_000 + lag + 700) and found[0]["end"] == ns(61_000 + lag + 700)
    assert found[0]["measured"] == pytest.approx((lag + 700) / 1000) and found[0]["limit"] == 5.0
    assert (found[0]["first_minute"], found[0]["last_minute"]) == (MINUTE_0 + 1, MINUTE_0 + 1)
    assert found[0]["inst"] == 0xFFFFFFFF


def test_the_longest_lag_of_an_episode_is_told_and_two_episodes_are_two():
    desk = Desk()
    for second in range(0, 30):
        desk.tick(second * 1000)
    desk.tick(30_000, lag=9_000)
    desk.tick(33_100, lag=6_000)
    for second in range(45, 60):
        desk.tick(second * 1000)
    desk.tick(61_000, lag=5_500)
    desk.core.feed(REC_TIMER, ns(61_000 + 5_500 + 5_000))
    assert [round(float(g["measured"]), 3) for g in desk.told("late")] == [9.0]
    desk.core.feed(REC_TIMER, ns(61_000 + 5_500 + 5_001))
    assert [round(float(g["measured"]), 3) for g in desk.told("late")] == [9.0, 5.5]


# ---- damaged --------------------------------------------------------------------------------------------------------------
def test_the_minute_of_a_frame_that_is_none_is_told_and_fetched():
    """What it said, and of whom, nobody knows."""
    desk = Desk()
    desk.tick(30_000)
    desk.core.feed(REC_FRAME, ns(65_000), b"\xff\xff\xff")
    (found,) = desk.told("corrupt")
    assert (found["inst"], found["begin"], found["measured"]) == (0xFFFFFFFF, ns(65_000), 3)
    assert desk.core.has_lost
    (lost,) = np.frombuffer(desk.core.take_lost().tobytes(), GAP)
    assert (GAPS[lost["kind"]], lost["first_minute"], lost["last_minute"]) == ("corrupt", MINUTE_0 + 1, MINUTE_0 + 1)


# ---- silence ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("silence", "count"), [(3_000, 0), (3_001, 1)])
def test_three_seconds_of_nothing_at_all_are_a_stall(silence, count):
    desk = Desk()
    desk.tick(0)
    desk.tick(1_000, inst=1)
    desk.tick(1_000 + silence)
    found = desk.told("stall")
    assert len(found) == count
    if count:
        assert (found[0]["begin"], found[0]["end"]) == (ns(1_000), ns(1_000 + silence))
        assert found[0]["measured"] == pytest.approx(silence / 1000) and found[0]["limit"] == 3.0


@pytest.mark.parametrize(("silence", "is_gap"), [(8_000, False), (8_001, True)])
def test_the_edge_of_a_names_silence(silence, is_gap):
    desk = Desk()
    desk.tick(0)
    for at in range(500, silence, 500):
        desk.tick(at, inst=1)
    flags = desk.tick(silence)
    assert bool(flags & FLAGS["after gap"]) == is_gap
    found = [g for g in desk.told("silence") if g["inst"] == 0]
    assert len(found) == is_gap and desk.core.counts()["gaps"] == is_gap
    if is_gap:
        assert (found[0]["begin"], found[0]["end"], found[0]["volume"]) == (ns(0), ns(silence), 10)
        assert (found[0]["measured"], found[0]["limit"]) == (pytest.approx(silence / 1000), 8.0)


@pytest.mark.parametrize(("gap_ms", "limit"), [
    (125, 8_000), (2_000, 8_000), (2_666, 9_000), (3_000, 9_000), (3_001, 12_000), (4_000, 12_000), (6_000, 18_000)])
def test_the_limit_is_three_times_what_a_name_does_of_itself(gap_ms, limit):
    """A hundred silences of one length, whose bucket of half an octave ends at 125 ms x 2^k or 1.5 times that."""
    desk = Desk()
    for k in range(140):
        desk.tick(k * gap_ms)
        for at in range(k * gap_ms + 1000, (k + 1) * gap_ms, 1000):
            desk.tick(at, inst=1)
    row = desk.core.market.row(0)
    assert row["gap_limit_ms"] == row["trade_gap_limit_ms"] == limit


@pytest.mark.parametrize(("at", "told"), [(8_000, []), (8_001, [(0, 0, 8.001)]), (70_000, [(0, 1, 70.0)])])
def test_a_silence_from_before_the_open_counts_from_the_open(at, told):
    """Ten seconds before it the name was heard; what it says of the time until then is no loss."""
    desk = Desk()
    desk.tick(-10_000)
    desk.tick(at)
    rows = [(int(g["first_minute"]) - MINUTE_0, int(g["last_minute"]) - MINUTE_0, round(float(g["measured"]), 3))
            for g in desk.told("silence")]
    assert rows == told


def test_below_a_hundred_silences_nothing_is_known_yet():
    for count, limit in ((99, 8_000), (101, 12_000)):
        desk = Desk()
        at = 0
        for _ in range(count):
            desk.tick(at)
            at += 4_000
            for k in range(1, 4):
                desk.tick(at - 4_000 + k * 1000, inst=1)
        while at % 60_000 > 4_000 or at == 0:
            at += 1_000
            desk.tick(at, inst=1)
        desk.core.feed(REC_TIMER, ns(at + 90_000))
        assert desk.core.market.row(0)["gap_limit_ms"] == limit, count


@pytest.mark.parametrize(("code", "up_at"), [(1006, 400_000)])
def test_a_link_that_was_down_is_told_when_it_is_back(code, up_at):
    desk = Desk()
    desk.tick(0)
    row = np.zeros(1, LINK)
    for at, up in ((130_000, 0), (131_000, 0), (up_at, 1), (up_at + 1000, 1)):
        row["up"], row["code"] = up, code
        desk.core.feed(REC_LINK, ns(at), row.tobytes())
    found, = desk.told("link")
    assert (found["begin"], found["end"], found["limit"]) == (ns(130_000), ns(up_at), code)
    assert (found["first_minute"] - MINUTE_0, found["last_minute"] - MINUTE_0) == (2, up_at // 60_000)
    assert found["measured"] == pytest.approx((up_at - 130_000) / 1000)


# ---- after the close ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("specs", "close"), [
    ([Instrument("NSE_EQ|AAA", "SBIN", is_cas=True)], 360), ([Instrument("NSE_EQ|AAA", "SBIN", is_cas=False)], 375),
    ([Instrument("NSE_EQ|AAA", "SBIN"), Instrument("NSE_FO|1", "SBIN FUT", "future", underlying="NSE_EQ|AAA", lot=5)], 385)])
def test_nothing_is_made_up_after_the_close(specs, close):
    """The last trades are told again for half an hour, with pauses: neither the clocks' difference changes nor did the feed stall.
    Ten seconds of silence before the close are a stall."""
    desk, last = Desk(specs=specs), close * 60_000 - 1_000
    for at in range(last - 600_000, last - 20_000, 1000):
        desk.tick(at, lag=450)
    desk.tick(last - 10_000, lag=450)
    desk.tick(last, lag=450)
    before = [len(desk.told(kind)) for kind in ("stall", "skew", "late", "silence")]
    assert before[0] == 2
    for minutes in range(30):
        desk.tick(last, more=0, received=last + 2_000 + 60_000 * minutes)
        desk.tick(last, more=0, price=100_005 + 5 * (minutes % 2), received=last + 30_000 + 60_000 * minutes)
        desk.timer(last + 30_000 + 60_000 * minutes)
    assert [len(desk.told(kind)) for kind in ("stall", "skew", "late", "silence")] == before
    assert desk.core.market.exchange_now((OPEN_MS + last + 1_800_000) * 1_000_000) == (OPEN_MS + last + 1_799_550) * 1_000_000


def test_a_volume_corrected_after_the_close_is_no_late_delivery():
    desk, last = Desk(specs=NAMES[:1]), 360 * 60_000 - 1_000
    for at in range(last - 600_000, last + 1, 1000):
        desk.tick(at, lag=450)
    desk.tick(last, more=700, received=last + 600_000)
    desk.timer(last + 700_000)
    assert not desk.told("late")


# ---- order and time --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("back", "count"), [(500, 0), (501, 1)])
def test_an_older_trade_is_told_once_a_minute(back, count):
    desk = Desk()
    for second in range(0, 130):
        desk.tick(second * 1000)
    flags = desk.tick(129_000 - back, more=5, received=129_500)
    assert flags & FLAGS["step back"] and flags & FLAGS["traded"]
    desk.tick(129_000 - back - 1, more=5, received=129_600)
    found = desk.told("disorder")
    assert len(found) == 1                                  # the second is beyond the limit in both cases
    assert (found[0]["first_minute"], found[0]["last_minute"], found[0]["limit"]) == (MINUTE_0 + 2, MINUTE_0 + 2, 0.5)
    assert found[0]["measured"] == pytest.approx((back if count else back + 1) / 1000)
    assert desk.core.market.row(0)["ltt"] == OPEN_MS + 129_000


@pytest.mark.parametrize(("minutes", "count"), [(9, 1), (10, 0)])
def test_what_is_ten_minutes_old_is_no_late_trade(minutes, count):
    desk = Desk()
    for second in range(0, 780, 4):
        desk.tick(second * 1000)
        desk.tick(second * 1000 + 2000, inst=1)
    desk.tick((12 - minutes) * 60_000 + 30_000, received=777_000)
    assert len(desk.told("disorder")) == count


def test_the_volume_of_an_older_trade_of_the_forming_minute_counts():
    desk = Desk()
    desk.tick(0)
    desk.tick(2_000, more=10)
    desk.tick(1_500, price=100_500, more=7, received=2_100)
    row = desk.core.market.row(0)
    assert row["volume"] == 17 and row["high"] == 100_000 and row["ltp"] == 100_000
    for second in range(3, 61):
        desk.tick(second * 1000, more=0, price=100_000 + 5 * (second % 2))
    before = desk.core.market.row(0)["volume"]
    desk.tick(59_900, more=9, received=60_500)             # of the minute before: the new one has nothing of it
    assert desk.core.market.row(0)["volume"] == before


@pytest.mark.parametrize(("ahead", "is_bad"), [(60_000, False), (60_001, True)])
def test_a_trade_time_a_minute_ahead_of_the_clock_is_nonsense(ahead, is_bad):
    desk = Desk()
    desk.tick(0)
    flags = desk.tick(1_000 + ahead, received=1_000)
    assert bool(flags & FLAGS["bad time"]) == is_bad and desk.core.counts()["bad_time"] == is_bad
    if is_bad:
        assert desk.core.market.row(0)["ltt"] == OPEN_MS


def test_the_clocks_difference_is_the_smallest_lag_of_eight_minutes():
    desk = Desk()
    lags = {0: 900, 1: 700, 2: 300, 3: 800, 10: 850}
    for minute in range(0, 12):
        for second in range(0, 60, 2):
            desk.tick(minute * 60_000 + second * 1000, lag=lags.get(minute, 950) + 10 * (second > 40))
        want = {0: 900, 1: 700, 2: 300, 9: 300, 10: 800, 11: 850}.get(minute)
        if want is not None:
            assert desk.core.market.clock_skew_ms() == want, minute
            assert desk.core.market.exchange_now(ns(0)) == ns(-want)


def test_the_smallest_lag_of_long_ago_is_forgotten_also_where_minutes_without_a_trade_lie_between():
    for minute, want in ((7, 100), (9, 900), (40, 900)):
        desk = Desk()
        desk.tick(0, lag=100)
        desk.tick(minute * 60_000, lag=900)
        assert desk.core.market.clock_skew_ms() == want, minute


def test_one_wild_trade_time_does_not_move_the_clock_and_two_names_do():
    desk = Desk()
    for at in range(0, 20_000, 500):
        desk.tick(at, lag=500)
        desk.tick(at, lag=500, inst=1)
    desk.tick(20_000 + 1_501, received=20_500)             # 1,001 ms less than any known
    assert desk.core.market.clock_skew_ms() == 500
    desk.tick(21_000 + 1_501, received=21_000, inst=1)
    assert desk.core.market.clock_skew_ms() == -1_501
    desk = Desk()
    for at in range(0, 20_000, 500):
        desk.tick(at, lag=500)
    desk.tick(20_000 + 500, received=20_000)               # exactly a second less: believed
    assert desk.core.market.clock_skew_ms() == -500
    desk = Desk()
    for at in range(0, 20_000, 500):
        desk.tick(at, lag=500)
    for k in range(1, 4):                                   # the same name, three times
        desk.tick(20_000 + 500 * k + 1_600, received=20_000 + 500 * k)
        assert desk.core.market.clock_skew_ms() == (-1_600 if k == 3 else 500)


def test_a_changed_difference_of_the_clocks_is_a_row():
    desk = Desk()
    for minute, lag in ((0, 400), (1, 400), (2, 900), (9, 900), (10, 900), (11, 1_500), (12, 1_500)):
        for second in range(0, 60, 2):
            desk.tick(minute * 60_000 + second * 1000, lag=lag)
    assert [round(float(g["measured"]), 3) for g in desk.told("skew")] == [0.4]
    for minute in range(13, 24):
        for second in range(0, 60, 2):
            desk.tick(minute * 60_000 + second * 1000, lag=1_500)
    assert [(round(float(g["measured"]), 3), round(float(g["limit"]), 3)) for g in desk.told("skew")] == [(0.4, 0.0), (1.5, 0.4)]


# ---- doubt -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("price", "is_wild"), [(110_000, False), (110_005, True), (90_000, False), (89_995, True)])
def test_a_tenth_away_is_doubted(price, is_wild):
    desk = Desk()
    desk.tick(0)
    flags = desk.tick(1_000, price=price)
    assert bool(flags & FLAGS["doubted"]) == is_wild
    assert desk.core.market.row(0)["ltp"] == (100_000 if is_wild else price)
    assert len(desk.told("doubt")) == is_wild
    if is_wild:
        assert (desk.told("doubt")[0]["measured"], desk.told("doubt")[0]["limit"]) == (price, 100_000)


@pytest.mark.parametrize(("second", "believed"), [
    (120_000, True), (122_395, True), (122_400, False), (117_605, True), (117_600, False), (100_000, True), (80_000, False)])
def test_a_second_update_within_two_hundredths_is_believed(second, believed):
    desk = Desk()
    desk.tick(0)
    desk.tick(1_000, price=120_000)
    flags = desk.tick(2_000, price=second)
    assert bool(flags & FLAGS["doubted"]) != believed and (desk.core.market.row(0)["ltp"] == second) == believed


def test_a_doubt_is_forgotten_when_the_price_was_ordinary_between():
    desk = Desk()
    desk.tick(0)
    desk.tick(1_000, price=120_000)
    desk.tick(2_000)
    assert desk.tick(3_000, price=120_000) & FLAGS["doubted"]
    assert not desk.tick(4_000, price=120_000) & FLAGS["doubted"]


@pytest.mark.parametrize(("more", "wild", "jump"), [
    (5_000, False, False), (5_001, False, True), (61_000, False, True), (61_001, True, False)])
def test_sixty_expected_bars_in_an_update_are_doubted_and_five_are_told(more, wild, jump):
    """1,000 shares a minute; one second more than a minute of time lets 61 bars pass: 60 x (1 + 1/60)."""
    desk = Desk(bars=30)
    desk.tick(0)
    flags = desk.tick(1_000, more=more)
    assert bool(flags & FLAGS["doubted"]) == wild and len(desk.told("jump")) == jump
    if jump:
        assert desk.told("jump")[0]["measured"] == pytest.approx(more / 1000) and desk.told("jump")[0]["limit"] == 5
        assert desk.told("jump")[0]["volume"] == more
    assert desk.core.market.row(0)["peak"] == (10_010 if wild else 10_010 + more)


def test_a_doubted_volume_is_believed_when_the_next_goes_on_from_it():
    wild = 10**7
    for following, believed in ((wild + 500, True), (wild + 60_001, False), (wild - 1, False), (wild, True), (wild + 60_000, True)):
        desk = Desk(bars=30)
        desk.tick(0)
        assert desk.tick(1_000, vtt=wild) & FLAGS["doubted"]
        flags = desk.tick(2_000, price=100_005, vtt=following)
        assert bool(flags & FLAGS["doubted"]) != believed, following


# ---- how names do ----------------------------------------------------------------------------------------------------------
def test_a_name_is_live_quiet_and_stale_by_its_own_limit():
    desk = Desk()
    assert desk.life(0) == "down"
    desk.tick(0, inst=1)
    assert desk.life(0) == "unseen"
    desk.tick(100)
    for at, life in ((100 + 2_666, "live"), (100 + 2_667, "quiet"), (100 + 8_000, "quiet"), (100 + 8_001, "stale")):
        desk.tick(at, inst=1)
        assert desk.life(at) == life, at
    desk.tick(20_000, inst=1)
    assert desk.life(23_000, 1) == "quiet" and desk.life(23_001, 1) == "down"
    assert desk.life(-1, 1) == "closed"
    desk.tick(360 * 60_000 - 1000, inst=1)
    assert desk.life(360 * 60_000 - 1, 1) == "live" and desk.life(360 * 60_000, 1) == "closed"


def test_a_name_that_only_answers_is_halted():
    desk = Desk()
    desk.tick(0)
    desk.tick(0, inst=1)
    for at in (3_000, 6_000, 9_000):
        desk.tick(at, inst=1)
        desk.tick(0, more=0, received=at, kind=0)          # the same again, in answer to a subscription
    assert desk.core.market.row(0)["echoes"] == 3
    desk.tick(9_500, inst=1)
    assert desk.life(8_000) != "halted" and desk.life(9_500) == "halted"
    desk.tick(9_600)
    assert desk.core.market.row(0)["echoes"] == 0 and desk.life(9_600) == "live"


@pytest.mark.parametrize(("answers", "life"), [((3_000,), "quiet"), ((3_000, 6_000), "halted")])
def test_one_answer_without_news_says_nothing_yet(answers, life):
    desk = Desk()
    desk.tick(0)
    for at in answers:
        desk.tick(at, inst=1)
        desk.tick(0, more=0, received=at, kind=0)
    desk.tick(9_000, inst=1)
    assert desk.life(9_000) == life


# ---- the others ------------------------------------------------------------------------------------------------------------
def test_means_of_all_names_and_of_a_sector_by_hand():
    """SBIN and HDFCBANK are banks, TCS is none. Moves of closed minutes, each a mean over the names that closed it."""
    desk = Desk(bars=25)
    closes = {0: (100_100, 100_300, 100_300), 1: (99_900, 99_900, 100_200), 2: (100_500, 100_000, 100_900)}
    for minute in range(4):
        for second in range(0, 60, 5):
            for inst in range(3):
                price = closes[inst][minute] if minute < 3 else 100_000
                desk.tick(minute * 60_000 + second * 1000, price=price if second else closes[inst][minute - 1] if 0 < minute < 3
                          else 100_000, inst=inst)
    f = dict(zip(FEATURES, desk.core.features_at(0, 1).tolist(), strict=True))
    moves = [[log(b / a) for a, b in zip((100_000, *closes[i][:2]), closes[i], strict=True)] for i in range(3)]
    assert f["market_1m_bp"] == pytest.approx(1e4 * sum(m[2] for m in moves) / 3, rel=1e-5)
    assert f["market_5m_bp"] == pytest.approx(1e4 * sum(sum(m) for m in moves) / 3, rel=1e-5)
    assert f["sector_5m_bp"] == pytest.approx(1e4 * sum(sum(m) for m in moves[:2]) / 2, rel=1e-5)
    down = dict(zip(FEATURES, desk.core.features_at(0, -1).tolist(), strict=True))
    assert down["market_1m_bp"] == pytest.approx(-f["market_1m_bp"]) and down["sector_5m_bp"] == pytest.approx(-f["sector_5m_bp"])


def test_names_not_heard_of_since_a_time():
    desk = Desk()
    desk.tick(0)
    desk.tick(1_000, inst=1)
    insts = np.arange(3, dtype=np.uint32)
    assert desk.core.market.unseen(insts, ns(0)) == [2] and desk.core.market.unseen(insts, ns(0) + 1) == [0, 2]


def test_a_minute_ends_a_second_and_a_half_after_its_end_by_the_exchanges_clock():
    for lag in (0, 700):
        desk = Desk()
        for second in range(0, 60, 5):
            desk.tick(second * 1000, lag=lag)
        desk.core.feed(REC_TIMER, ns(61_500 + lag))
        assert desk.core.counts()["bars"] == 0
        desk.core.feed(REC_TIMER, ns(61_501 + lag))
        assert desk.core.counts()["bars"] == 1


def test_the_day_runs_to_the_close_of_each_kind():
    day = epoch_ms(DAY) - OPEN_MS
    specs = [NAMES[0], Instrument("NSE_FO|1", "F", "future", 5, underlying=NAMES[0].key, expiry="2026-09-29", is_cas=False)]
    desk = Desk(specs=specs)
    for inst, close in ((0, 360), (1, 385)):
        assert not desk.tick(day + close * 60_000 - 1, inst=inst) & FLAGS["outside"]
        assert desk.tick(day + close * 60_000, inst=inst) & FLAGS["outside"]
    desk = Desk(specs=specs)
    assert desk.tick(-1) & FLAGS["outside"] and not desk.tick(0) & FLAGS["outside"]


def test_of_two_updates_of_a_name_in_one_frame_the_later_counts_alone():
    desk = Desk()
    desk.tick(0)
    desk.tick(0, inst=1)
    rows = np.zeros(3, TICK_DTYPE)
    for row, (inst, price, vtt) in zip(rows, ((0, 100_500, 10_030), (1, 100_200, 10_020), (0, 100_400, 10_025)), strict=True):
        key = NAMES[inst].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"] = key, len(key), 1, 1 | 64
        row["ltp"], row["ltt"], row["vtt"] = price, OPEN_MS + 1_000, vtt
    before = desk.core.counts()["updates"]
    desk.core.feed(REC_FRAME, ns(1_000), encode(rows, OPEN_MS + 1_000))
    first, second = desk.core.market.row(0), desk.core.market.row(1)
    assert desk.core.counts()["updates"] == before + 2
    assert (first["ltp"], first["high"], first["peak"], second["ltp"]) == (100_400, 100_400, 10_025, 100_200)


def test_of_a_frame_of_two_updates_of_one_name_the_later_counts_alone():
    desk = Desk()
    rows = np.zeros(2, TICK_DTYPE)
    key = NAMES[0].key.encode()
    rows["key"], rows["key_len"], rows["mode"], rows["has"], rows["ltt"] = key, len(key), 1, 1 | 64, OPEN_MS
    rows["ltp"], rows["vtt"] = (100_000, 100_005), (10, 20)
    desk.core.feed(REC_FRAME, ns(100), encode(rows, OPEN_MS))
    assert desk.core.market.row(0)["ring_at"] == 1 and desk.core.market.row(0)["ltp"] == 100_005
    assert desk.core.counts()["updates"] == 1


def test_without_a_volume_the_trade_itself_tells_that_there_was_one():
    """Mode ltpc and indices: a later trade time or another price is a trade; the same again is none, an older one neither."""
    desk = Desk()

    def ltpc(at: float, price: int, received: float) -> int:
        row = np.zeros(1, TICK_DTYPE)
        row["key"], row["key_len"], row["has"], row["ltp"], row["ltt"] = b"NSE_EQ|AAA", 10, 1, price, OPEN_MS + round(at)
        desk.core.feed(REC_FRAME, ns(received), encode(row, OPEN_MS + round(received)))
        market = desk.core.market
        return int(market.ticks(0)[(market.row(0)["ring_at"] - 1) % 64]["flags"])

    assert ltpc(0, 100_000, 0) & FLAGS["traded"]
    assert ltpc(0, 100_000, 500) & FLAGS["repeat"]
    assert ltpc(1_000, 100_000, 1_000) & FLAGS["traded"] and ltpc(1_000, 100_005, 1_500) & FLAGS["traded"]
    assert not ltpc(500, 100_010, 2_000) & FLAGS["traded"]
    assert desk.core.market.row(0)["volume"] == 0


def test_moves_of_an_hour_ago_are_none_of_the_last_five_minutes():
    """Sixty-four minutes later the same places are looked at, and nobody has closed a bar since."""
    desk = Desk(bars=25)
    for second in range(0, 240, 5):
        for inst in range(2):
            desk.tick(second * 1000, price=100_000 + 5 * second, inst=inst)
    for minute in (65.5, 66.5, 67.2):
        for inst in range(2):
            desk.tick(minute * 60_000, price=101_000, inst=inst)
    f = dict(zip(FEATURES, desk.core.features_at(0, 1).tolist(), strict=True))
    assert f["market_5m_bp"] == f["market_1m_bp"] == 0.0 and isnan(f["sector_5m_bp"])


def test_a_doubted_update_after_a_silence_leaves_the_next_one_after_the_gap():
    """Trades every 20 s, updates every second: 10 s without an update lose something, 12 s without a trade say nothing."""
    desk = Desk()
    for second in range(4000):
        begin = second // 20
        desk.tick(begin * 20_000, price=100_000 + begin % 2 * 5, received=second * 1000, more=0 if second % 20 else 10)
    row = desk.core.market.row(0)
    assert row["gap_limit_ms"] == 8_000 and row["trade_gap_limit_ms"] > 20_000
    assert desk.tick(4_009_000, price=120_000) & FLAGS["doubted"]
    flags = desk.tick(4_010_000, price=120_000)
    assert not flags & FLAGS["doubted"] and flags & FLAGS["after gap"]


@pytest.mark.parametrize(("silence", "is_gap"), [(8_000, False), (8_001, True)])
def test_a_silence_counts_from_a_snapshot_that_is_a_names_first_word(silence, is_gap):
    """It says what the name is at; only a later one says nothing of when the name was last heard."""
    desk = Desk()
    desk.tick(0, kind=0)
    for at in range(500, silence, 500):
        desk.tick(at, inst=1)
    desk.tick(silence - 200, kind=0)                       # of a new connection: the name itself has said nothing
    flags = desk.tick(silence)
    assert bool(flags & FLAGS["after gap"]) == is_gap
    assert [(int(g["begin"]), int(g["end"])) for g in desk.told("silence") if g["inst"] == 0] == [(ns(0), ns(silence))] * is_gap


def test_a_snapshot_after_a_silence_tells_of_none_the_next_update_does():
    """It may be as old as the silence: what was lost goes to the first update of the name itself, and is told once."""
    desk = Desk()
    desk.tick(0)
    for at in range(500, 9_000, 500):
        desk.tick(at, inst=1)
    desk.tick(9_000, kind=0)
    assert [g for g in desk.told("silence") if g["inst"] == 0] == [] and desk.core.counts()["gaps"] == 0
    desk.tick(9_500)
    assert [(int(g["begin"]), int(g["end"])) for g in desk.told("silence") if g["inst"] == 0] == [(ns(0), ns(9_500))]
    assert desk.core.counts()["gaps"] == 1


def test_a_wild_volume_of_an_older_trade_does_not_spoil_the_days():
    """It is told out of order, a second before the newest: its volume is beyond an hour's, and counts for nothing."""
    desk = Desk(bars=30)
    desk.tick(0)
    desk.tick(2_000)
    peak = int(desk.core.market.row(0)["peak"])
    assert desk.tick(1_000, received=2_100, vtt=10**9) & FLAGS["doubted"]
    assert desk.core.market.row(0)["peak"] == peak
    assert desk.tick(3_000) & FLAGS["traded"]


@pytest.mark.parametrize(("is_alone", "counts"), [(True, [1, 2]), (False, [0, 1])])
def test_only_a_silence_of_its_own_tells_of_a_names_rate(is_alone, counts):
    """Ten seconds in which others were heard or nobody was; then ten more in which the others were, from the update on that ended
    the first."""
    desk, found = Desk(), []
    desk.tick(0)
    for begin, others in ((0, is_alone), (10_000, True)):
        for at in range(begin + 1000, begin + 10_000, 1000) if others else ():
            desk.tick(at, inst=1)
        desk.tick(begin + 10_000)
        found.append(sum(desk.core.market.row(0)["gaps"]))
    assert found == counts


def test_a_snapshot_within_a_silence_does_not_count_it_the_update_that_ends_it_does():
    """Else a name that is subscribed anew again and again would seem to be silent as often."""
    desk = Desk()
    desk.tick(0)
    for at in range(1000, 10_000, 1000):
        desk.tick(at, inst=1)
    desk.tick(10_000, kind=0)
    assert sum(desk.core.market.row(0)["gaps"]) == 0
    desk.tick(10_500)
    assert sum(desk.core.market.row(0)["gaps"]) == 1
