"""What is lost and comes back: windows after a backfill are those of a day without the gap; damaged numbers do no harm."""
import numpy as np
import pytest

from _ext.core.records import GAP, GAPS, LINK, REC_BACKFILL, REC_BARS, REC_FRAME, REC_GAP, REC_LINK, REC_TIMER, WARM_BAR
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.feed.backfill import Backfill, with_still_minutes
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms
from engine.run.opening import Boot, begin
from tests.market.conftest import DAY

OPEN_MS = epoch_ms(DAY)
MINUTE = OPEN_MS // 60_000
STILL = 4
SPEC, OTHER = Instrument("NSE_EQ|AAA", "AAA", price=100_000), Instrument("NSE_EQ|BBB", "BBB", price=100_000)


class Desk:
    """One name, an update every two seconds of a fixed walk; any of them may be left out. Another says nothing unless told to."""

    def __init__(self, history=0):
        self.trail = KeepingSink((REC_GAP,))
        self.core = Core(self.trail, 2, 64)
        bars = np.zeros(history, WARM_BAR)
        bars["minute"] = MINUTE - 1440 + 300 + np.arange(history)
        bars["open"] = bars["high"] = bars["low"] = bars["close"] = 100_000 + 50 * (np.arange(history) % 3)
        bars["volume"] = 900
        settings = config.Config.model_construct(models="/nonexistent")
        begin(self.core, settings, [SPEC, OTHER], DAY, bars, (OPEN_MS - 60_000) * 1_000_000, Boot("test", 1, "0"), 10**8)
        rng = np.random.default_rng(2)
        self.price = 100_000 + 5 * np.cumsum(rng.integers(-3, 4, 4000))
        self.vtt = 1000 + np.cumsum(rng.integers(1, 60, 4000))

    def play(self, first, last, lost=lambda second: False, kind=1):
        for step in range(first // 2, last // 2):
            if not lost(2 * step):
                self.tick(2 * step, int(self.price[step]), int(self.vtt[step]), kind)

    def tick(self, second, price, vtt, kind=1, ltt=None, spec=SPEC):
        row = np.zeros(1, TICK_DTYPE)
        row["key"], row["key_len"], row["mode"], row["has"] = spec.key.encode(), len(spec.key), 1, 1 | 64
        at = OPEN_MS + 1000 * second
        row["ltp"], row["ltt"], row["vtt"] = price, at if ltt is None else ltt, vtt
        self.core.feed(REC_FRAME, (at + 300) * 1_000_000, encode(row, at, kind))

    def rows(self):
        return [(GAPS[g["kind"]], int(g["first_minute"] - MINUTE), int(g["last_minute"] - MINUTE))
                for g in (np.frombuffer(p, GAP)[0] for _, _, p in self.trail.kept)]

    def bars(self, first, last):
        """The minutes from candles, as a desk without a loss has them."""
        kept = self.core.market.kept_bars(0)
        kept = kept[(kept["minute"] >= MINUTE + first) & (kept["minute"] <= MINUTE + last)]
        rows = np.zeros(len(kept), WARM_BAR)
        for name in ("minute", "open", "high", "low", "close", "volume"):
            rows[name] = kept[name]
        return rows


def history(minutes):
    """Closed minutes of today, each ten paise above the one before."""
    rows = np.zeros(len(minutes), WARM_BAR)
    rows["minute"] = MINUTE + np.array(minutes)
    for name in ("open", "high", "low", "close"):
        rows[name] = 100_000 + 10 * np.array(minutes)
    rows["open"] -= 5
    rows["low"] -= 5
    rows["volume"] = 900
    return rows.tobytes()


def state(desk):
    market = desk.core.market
    row = market.row(0)
    names = ("path", "raw", "last_close", "mean20", "inv20", "mean50", "inv50", "s1m", "atr", "expected", "raw20", "open5",
             "minute5")
    return market.window(0), market.indicators_at(0), {name: row[name] for name in names}


@pytest.mark.parametrize(("begin_s", "end_s"), [(1830, 1850), (1790, 1930), (1810, 2050), (1861, 2290), (3590, 3625)])
def test_after_the_backfill_all_is_as_without_the_gap(begin_s, end_s):
    whole, holed = Desk(60), Desk(60)
    until = (end_s // 60 + 2) * 60 + 30
    whole.play(0, until)
    holed.play(0, until, lambda second: begin_s <= second < end_s)
    first, last = begin_s // 60, end_s // 60
    assert {("silence", first, last), ("silence", (begin_s - 2) // 60, last)} & set(holed.rows())
    assert holed.core.market.row(0)["gap_bars"] < 50
    holed.core.feed(REC_BACKFILL, (OPEN_MS + until * 1000) * 1_000_000, whole.bars((begin_s - 2) // 60, last).tobytes())
    for ours, theirs in zip(state(holed), state(whole), strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    assert holed.core.market.row(0)["gap_bars"] > 10**6
    holed.play(until, until + 300)
    whole.play(until, until + 300)
    np.testing.assert_allclose(state(holed)[0]["u"], state(whole)[0]["u"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("history", [*range(24), *range(60, 92)])
def test_a_gap_may_lie_at_any_count_of_bars(history):
    """A state is kept every 32 bars: the gap begins and ends on each of them once, the day's first minute too."""
    begin, end = (1830, 1990) if history >= 24 else (20, 100)
    until = (end // 60 + 2) * 60 + 30
    whole, holed = Desk(history), Desk(history)
    whole.play(0, until)
    holed.play(0, until, lambda second: begin <= second < end)
    assert holed.core.market.row(0)["gap_bars"] < 50
    lost = whole.bars((begin - 2) // 60, end // 60)
    holed.core.feed(REC_BACKFILL, (OPEN_MS + until * 1000) * 1_000_000, lost.tobytes())
    for ours, theirs in zip(state(holed), state(whole), strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    assert holed.core.market.row(0)["gap_bars"] == whole.core.market.row(0)["gap_bars"] > 10**6


def test_a_backfill_of_one_gap_says_nothing_of_another_that_is_still_there():
    """Minutes 10 to 12 and 15 to 17 are lost; the later ones come first."""
    whole, desk = Desk(60), Desk(60)
    whole.play(0, 1230)
    desk.play(0, 1230, lambda s: 600 <= s < 760 or 900 <= s < 1050)
    for first, last, is_whole in ((14, 17, False), (9, 12, True)):
        assert desk.core.market.row(0)["gap_bars"] < 20
        desk.core.feed(REC_BACKFILL, (OPEN_MS + 1_230_000) * 1_000_000, whole.bars(first, last).tobytes())
        kept = desk.core.market.kept_bars(0)["minute"] - MINUTE
        assert set(range(first, last + 1)) <= set(kept.tolist())
        left = desk.core.market.row(0)["gap_bars"]
        assert left > 10**6 if is_whole else left == (kept > 12).sum(), left


def test_a_backfill_says_nothing_of_a_gap_long_before_it_either():
    """Minutes 10 to 12 stay lost, and the state the second begins anew from is one of after them."""
    whole, desk = Desk(60), Desk(60)
    whole.play(0, 5400)
    desk.play(0, 5400, lambda s: 600 <= s < 760 or 4800 <= s < 4900)
    desk.core.feed(REC_BACKFILL, (OPEN_MS + 5_400_000) * 1_000_000, whole.bars(79, 81).tobytes())
    kept = desk.core.market.kept_bars(0)["minute"] - MINUTE
    assert ("filled", 79, 81) in desk.rows() and desk.core.market.row(0)["gap_bars"] == kept[-1] - 12


@pytest.mark.parametrize(("candle", "extremes"), [
    ((100_000, 100_000, 100_000, 99_900), (100_000, 99_900)), ((100_000, 100_000, 100_000, 100_100), (100_100, 100_000)),
    ((100_000, 100_200, 0, 99_900), (100_200, 99_900)), ((100_000, 100_200, 99_800, 100_100), (100_200, 99_800))])
def test_the_extremes_of_a_candle_hold_its_open_and_close(candle, extremes):
    desk = Desk()
    row = np.zeros(1, WARM_BAR)
    row["minute"], row["volume"] = MINUTE, 900
    for name, value in zip(("open", "high", "low", "close"), candle, strict=True):
        row[name] = value
    desk.core.feed(REC_BARS, OPEN_MS * 1_000_000, row.tobytes())
    (bar,) = desk.core.market.kept_bars(0)
    assert (bar["high"], bar["low"]) == extremes


def test_what_was_filled_before_the_first_live_update_stays():
    whole, desk = Desk(60), Desk(60)
    whole.play(0, 3000)
    desk.play(0, 1800)
    desk.tick(2170, int(desk.price[1085]), int(desk.vtt[1085]), kind=0)              # a snapshot after the reconnect
    desk.core.feed(REC_BACKFILL, (OPEN_MS + 2_175_000) * 1_000_000, whole.bars(30, 35).tobytes())
    assert ("filled", 30, 35) in desk.rows()
    desk.play(2180, 2400)
    kept = desk.core.market.kept_bars(0)["minute"] - MINUTE
    assert set(range(30, 36)) <= set(kept.tolist()) and (np.diff(kept[-9:]) >= 1).all()


def test_a_second_loss_begins_from_a_state_that_is_still_true():
    desk, whole = Desk(60), Desk(60)
    whole.play(0, 4000)
    desk.play(0, 4000, lambda s: 1800 <= s < 2150 or 2400 <= s < 2440 or 2470 <= s < 2500)
    kept = desk.core.market.kept_bars(0)["minute"]
    assert (np.diff(kept) > 0).all()
    for first, last in ((41, 41), (29, 35), (39, 40)):           # the last update before a loss lies in the minute before
        desk.core.feed(REC_BACKFILL, (OPEN_MS + 4_000_000) * 1_000_000, whole.bars(first, last).tobytes())
    np.testing.assert_allclose(state(desk)[0]["u"], state(whole)[0]["u"], rtol=1e-9, atol=1e-12)


def test_minutes_that_are_too_old_to_be_put_right_are_not_called_filled():
    whole, desk = Desk(60), Desk(60)
    whole.play(0, 7200)
    desk.play(0, 7200, lambda s: 600 <= s < 640 or 6900 <= s < 6940)
    before = len(desk.rows())
    old = whole.bars(115, 115).copy()
    old["minute"] = MINUTE + 10
    desk.core.feed(REC_BACKFILL, (OPEN_MS + 7_200_000) * 1_000_000, np.concatenate([old, whole.bars(115, 115)]).tobytes())
    assert desk.rows()[before:] == [("filled", 115, 115)]


def test_one_damaged_volume_or_time_does_not_spoil_the_day():
    for ltt, pause in ((None, 0), (None, 12), (OPEN_MS + 1_250_000, 0), (5_400_000, 0)):
        desk = Desk(60)
        desk.play(0, 1300)
        desk.tick(1300 + pause, int(desk.price[650]), 10**12, ltt=ltt)
        desk.play(1302 + pause, 1700)
        assert desk.core.market.row(0)["peak"] < 10**6, (ltt, pause)
        rows = [r for r in desk.rows() if r[0] == "disorder"]
        assert not rows or min(first for _, first, _ in rows) >= 0


def test_links_before_the_open_and_after_the_close_ask_for_nothing():
    desk = Desk()
    asked = []
    backfill = Backfill(desk.core, {0: SPEC.key}, [0], lambda kind, payload: asked.append(kind))
    row = np.zeros(1, LINK)
    for at, up in ((-1500, 1), (-1490, 0), (-1480, 1), (27_000, 0), (27_100, 1)):
        row["up"] = up
        desk.core.feed(REC_LINK, (OPEN_MS + at * 1000) * 1_000_000, row.tobytes())
        assert backfill.due((OPEN_MS + at * 1000 + 500) * 1_000_000) == []
        if at == -1480:
            desk.play(0, 60)
    assert not backfill.wanted and [k for k, _, _ in desk.rows()].count("link") == 2


def test_a_start_within_the_session_knows_what_it_missed():
    whole, desk = Desk(60), Desk(60)
    whole.play(0, 3000)
    rows = whole.bars(0, 39)
    desk.core.feed(REC_BARS, (OPEN_MS + 2_450_000) * 1_000_000, rows.tobytes())
    desk.play(2610, 2800)
    assert ("silence", 40, 43) in desk.rows()
    assert 43 not in desk.core.market.kept_bars(0)["minute"] - MINUTE
    desk.core.feed(REC_BACKFILL, (OPEN_MS + 2_800_000) * 1_000_000, whole.bars(40, 43).tobytes())
    kept = (desk.core.market.kept_bars(0)["minute"] - MINUTE).tolist()
    assert kept[-7:] == [39, 40, 41, 42, 43, 44, 45]


@pytest.mark.parametrize("quiet", [0, 1, 2, 49, 50, 51, 90])
def test_minutes_without_a_trade_since_history_are_still_ones(quiet):
    """The broker opens with a snapshot: where it traded after history, what lies between was missed and is asked of candles, which
    say of each minute whether anybody traded."""
    desk = Desk(60)
    desk.core.feed(REC_BARS, OPEN_MS * 1_000_000, history(range(10)))
    backfill = Backfill(desk.core, {0: SPEC.key}, [0], lambda kind, payload: desk.core.feed(kind, desk.core.now, payload))
    begin = 60 * (10 + quiet)
    desk.tick(begin, 100_500, 5_000, kind=0)
    desk.tick(begin + 2, 100_510, 5_010)
    assert desk.rows() == ([("silence", 10, 10 + quiet)] if quiet else [])
    for n in range(1, 49):
        desk.tick(begin + 2 + 2 * n, 100_510 + 5 * n, 5_010 + n)

    def since():
        minutes = desk.core.market.kept_bars(0)["minute"]
        return (minutes[minutes > MINUTE + 9] - MINUTE).tolist()

    assert since() == ([] if quiet else [10])
    backfill.due(desk.core.now)
    assert backfill.wanted == ({0: set(range(MINUTE + 10, MINUTE + 11 + quiet))} if quiet else {})
    if quiet:
        candles = np.frombuffer(history([9, 10 + quiet]), WARM_BAR)
        desk.core.feed(REC_BACKFILL, desk.core.now, with_still_minutes(candles).tobytes())
        assert since() == list(range(10, 11 + quiet))[-64:]
        moves = desk.core.market.window(0)["u"]
        assert [u == 0 for u in moves[-1 - min(quiet, 49):]] == [True] * min(quiet, 49) + [False]


def test_a_snapshot_that_last_traded_within_history_missed_nothing():
    desk = Desk(60)
    desk.core.feed(REC_BARS, OPEN_MS * 1_000_000, history(range(10)))
    desk.tick(1200, 100_500, 5_000, kind=0, ltt=OPEN_MS + 599_000)
    desk.tick(1202, 100_500, 5_000, ltt=OPEN_MS + 599_000)
    assert desk.rows() == []


@pytest.mark.parametrize("quiet", [1, 2, 5])
def test_quiet_minutes_of_a_thin_name_are_still_ones(quiet):
    """It trades each two minutes, which is its rate after a hundred trades: a minute without one counts, as a move of nothing."""
    desk = Desk()
    for n in range(120):
        for second in range(0, 120, 2):
            desk.tick(120 * n + second, 100_000 + 5 * n, 10 * n, ltt=OPEN_MS + 120_000 * n)
    at = 120 * 119 + 120 + 60 * (quiet - 1)
    for second in range(120 * 120, at, 2):
        desk.tick(second, 100_595, 1190, ltt=OPEN_MS + 120_000 * 119)
    for second in range(at, at + 62, 2):
        desk.tick(second, 101_000, 2000)
    desk.tick(at + 62, 101_000, 2010)
    kept = desk.core.market.kept_bars(0)
    last = kept[-quiet - 1:]
    assert np.diff(last["minute"]).tolist() == [1] * quiet
    assert [(bool(bar["flags"] & STILL), int(bar["volume"])) for bar in last] == [(True, 0)] * quiet + [(False, 810)]
    assert (last["close"][:-1] == 100_595).all()


@pytest.mark.parametrize("lower", [500, 1_000, 20_000])
def test_a_cumulative_volume_that_begins_anew_counts_from_there(lower):
    """From minute 20 on it goes on from a number smaller by `lower`, as after a change of the source, and stays there."""
    whole, desk = Desk(60), Desk(60)
    whole.vtt, desk.vtt = whole.vtt + 30_000, desk.vtt + 30_000
    whole.play(0, 2400)
    desk.play(0, 1200)
    asked = Backfill(desk.core, {0: SPEC.key, 1: OTHER.key}, [0], lambda kind, payload: desk.core.feed(
        kind, desk.core.now, payload))
    desk.vtt = desk.vtt - lower
    desk.play(1200, 2400)
    (found,) = [row for row in desk.rows() if row[0] == "rebased"]
    kept, were = (d.core.market.kept_bars(0) for d in (desk, whole))
    assert found == ("rebased", 20, 20) and MINUTE + 20 not in kept["minute"], "the minute in which it began is not whole"
    later = [rows[rows["minute"] > MINUTE + 20] for rows in (kept, were)]
    assert later[0]["volume"].tolist() == later[1]["volume"].tolist() and len(later[0]) == 18
    assert desk.core.market.row(0)["expected"] == pytest.approx(whole.core.market.row(0)["expected"], rel=0.1)
    asked.due((OPEN_MS + 2_400_000) * 1_000_000)
    assert asked.wanted == {0: {MINUTE + 20}}, "and it is looked up"
    desk.core.feed(REC_BACKFILL, desk.core.now, whole.bars(20, 20).tobytes())
    for name in ("volume", "u"):
        assert desk.core.market.window(0)[name] == pytest.approx(whole.core.market.window(0)[name])


def test_a_thin_name_whose_volume_begins_anew_loses_the_minutes_in_between():
    desk = Desk(60)
    desk.play(0, 600)
    at = desk.vtt[299]
    for n, second in enumerate((620, 690, 770, 845, 910, 985)):
        desk.tick(second, 100_500, int(at) - 4_000 + 10 * n)
        for quiet in range(second + 6, second + 66, 6):
            desk.tick(quiet, 100_500, int(at) - 4_000 + 10 * n, ltt=OPEN_MS + 1000 * second)
    assert [row for row in desk.rows() if row[0] == "rebased"] == [("rebased", 10, 15)]
    kept = desk.core.market.kept_bars(0)["minute"] - MINUTE
    assert not set(range(10, 16)) & set(kept.tolist())


@pytest.mark.parametrize(("lower", "is_rebased"), [
    ([-500] * 4, False),                                   # four trades are one too few
    ([-500, -500, 0, -500, -500, -500, -500], False),      # the peak in between: an old server and a new one by turns
    ([-500, -490, -480, -505, -500, -490, -480], False),   # falls again: from there on it is counted anew
    ([-500, -490, -480, -505, -500, -490, -480, -470], True), ([-500] * 5, True), ([-10**5] * 5, False)])
def test_single_steps_back_are_none(lower, is_rebased):
    """After two hundred updates: numbers below the peak, one a second of trade time; 0 is absent and no smaller number."""
    desk = Desk(60)
    desk.play(0, 400)
    peak = int(desk.vtt[199])
    for n, step in enumerate(lower):
        desk.tick(401 + n, 100_000, max(peak + step, 0))
    assert ("rebased" in [row[0] for row in desk.rows()]) == is_rebased
    assert (desk.core.market.row(0)["peak"] == peak + lower[-1]) == (is_rebased or lower[-1] == 0)


def test_the_same_trade_told_again_and_an_older_one_do_not_begin_anew():
    desk = Desk(60)
    desk.play(0, 400)
    peak = int(desk.vtt[199])
    for n in range(20):
        desk.tick(401 + n, 100_000 + n, peak - 500, ltt=OPEN_MS + 401_000)
        desk.tick(401 + n, 100_000, peak - 500, ltt=OPEN_MS + 390_000 + n)
    assert "rebased" not in [row[0] for row in desk.rows()] and desk.core.market.row(0)["peak"] == peak


@pytest.mark.parametrize(("ms", "is_rebased"), [(745, False), (750, True)])
def test_five_trades_of_less_than_three_seconds_are_waited_out(ms, is_rebased):
    desk = Desk(60)
    desk.play(0, 400)
    for n in range(5):
        desk.tick(401 + n, 100_000, int(desk.vtt[199]) - 400 + n, ltt=OPEN_MS + 401_000 + ms * n)
    assert ("rebased" in [row[0] for row in desk.rows()]) == is_rebased


def test_a_minute_of_history_counts_once():
    once, twice = Desk(), Desk()
    rows = np.frombuffer(history(range(60)), WARM_BAR)
    again = np.concatenate([rows[:50], rows[48:50], rows[50:], rows[58:]])
    for desk, bars in ((once, rows), (twice, again)):
        desk.core.feed(REC_BARS, OPEN_MS * 1_000_000, bars.tobytes())
    assert twice.core.counts()["bars"] == once.core.counts()["bars"] == 60
    assert (twice.core.market.kept_bars(0) == once.core.market.kept_bars(0)).all()
    assert twice.core.market.indicators_at(0) == once.core.market.indicators_at(0)


def test_nobody_trading_is_a_pause_not_a_loss():
    desk = Desk(60)
    backfill = Backfill(desk.core, {0: SPEC.key}, [0], lambda kind, payload: None)
    desk.play(0, 1800)
    for second in range(1800, 1862, 2):
        desk.tick(second, int(desk.price[899]), int(desk.vtt[899]), ltt=OPEN_MS + 1_798_000)
    desk.play(1862, 2000)
    assert [r for r in desk.rows() if r[0] in ("pause", "silence")] == [("pause", 29, 31)]
    backfill.due((OPEN_MS + 2_000_000) * 1_000_000)
    assert not backfill.wanted
    kept = (desk.core.market.kept_bars(0)["minute"] - MINUTE).tolist()
    assert 29 not in kept and 31 not in kept and 32 in kept      # what touches the pause does not count


@pytest.mark.parametrize("trades_only", [True, False])
def test_a_name_that_is_slow_by_nature_is_known_after_a_hundred_updates(trades_only):
    """Its rate is learned from every silence but those of all names, also while each is beyond the limit it starts with."""
    desk = Desk(60)
    for second in range(0, 7000, 2):
        is_turn = second % 20 == 0
        desk.tick(second, int(desk.price[second // 2]), int(desk.vtt[second // 2]), spec=OTHER)
        if is_turn or trades_only:
            step = second // 20 * 10
            desk.tick(second, int(desk.price[step]), int(desk.vtt[step]), ltt=OPEN_MS + 2000 * step)
    found = [first for kind, first, _ in desk.rows() if kind == ("pause" if trades_only else "silence")]
    assert 90 <= len(found) <= 110 and max(found) <= 36
    assert desk.core.market.row(0)["trade_gap_limit_ms" if trades_only else "gap_limit_ms"] == 72_000


@pytest.mark.parametrize("history", [20, 60])
@pytest.mark.parametrize("closes", [True, False])
def test_a_minute_a_timer_closed_within_a_silence_is_not_whole_either(closes, history):
    """The name fell silent ten seconds into minute 10; a timer ended that minute before the name was back in minute 12."""
    whole, desk = Desk(history), Desk(history)
    whole.play(0, 800)
    desk.play(0, 612)
    if closes:
        desk.core.feed(REC_TIMER, (OPEN_MS + 690_000) * 1_000_000)
        assert desk.core.market.kept_bars(0)["minute"][-1] == MINUTE + 10
    desk.play(730, 800)
    assert desk.rows()[-1] == ("silence", 10, 12)
    assert [m - MINUTE for m in desk.core.market.kept_bars(0)["minute"].tolist() if m >= MINUTE + 8] == [8, 9]
    desk.core.feed(REC_BACKFILL, (OPEN_MS + 800_000) * 1_000_000, whole.bars(10, 12).tobytes())
    for ours, theirs in zip(state(desk), state(whole), strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_minute_in_which_a_volume_began_anew_is_lost_though_it_has_closed():
    """The smaller volumes begin in the last seconds of minute 10; the fifth, in minute 11, says that they are no steps back."""
    desk = Desk(20)
    desk.play(0, 654)
    for second in range(654, 664, 2):
        desk.tick(second, 100_000, 100 + second)
    assert desk.rows()[-1] == ("rebased", 10, 11)
    assert [m - MINUTE for m in desk.core.market.kept_bars(0)["minute"].tolist() if m >= MINUTE + 8] == [8, 9]
