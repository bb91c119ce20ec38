"""Strategies in Python beside a compiled source: what they are told and when, what they may ask for, and what becomes of one that
misbehaves.

`_ext/signals/strategies.pyx`, `engine/strategies/base.py`, `engine/strategies/loading.py`, `engine/strategies/stops.py`,
`engine/strategies/watchdog.py`.
"""
import signal
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import engine
from _ext.core.reasons import REASONS, Reason
from _ext.core.records import (
    CANDIDATE,
    INTENT,
    REC_CANDIDATE,
    REC_FRAME,
    REC_INTENT,
    REC_STRATEGY_OFF,
    REC_VERDICT,
    WARM_BAR,
    Why,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.market.market import Market
from _ext.signals.strategies import StrategyHost, StrategySource, StrategyTimeout, Timeframe
from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.feed import HAS_FULL, HAS_LTPC, TICK_DTYPE, encode
from engine.feed.dayfile import DayFile
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.run.opening import Boot, begin
from engine.strategies import loading, stops, watchdog
from engine.strategies.base import Strategy, StrategyError
from engine.trail.checked import reader_of
from engine.trail.replay import replay
from engine.watch.events import EventFormatter
from engine.watch.state import RunState
from tests.backtest.test_session import LOOSE, _models
from tests.kit.days import DAY, recorded_day

HEAD = "import engine\nfrom pydantic import Field\n"


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days")
    recorded_day(folder, minutes=60, names=5)
    return folder


@pytest.fixture
def run(days, tmp_path):
    """Backtests strategies by their text: name -> body of a class; beside the spike unless `sources` says else."""

    def run(folder="run", sources=("spike",), parameters=None, head=HEAD, **bodies):
        settings = {}
        for name, body in bodies.items():
            path = tmp_path / f"{name}.py"
            path.write_text(f"{head}\nclass Mine(engine.Strategy):\n" + "\n".join(f"    {line}" for line in body.splitlines()))
            settings[name] = {"file": str(path), "parameters": (parameters or {}).get(name, {})}
        config = Config(**LOOSE | {"sources": list(sources), "strategies": settings}
                        | ({} if "spike" in sources else {"source": {}}))
        document = backtest(BacktestOptions(data=days, run_dir=tmp_path / folder), config)
        return document, tmp_path / folder / str(DAY)

    return run


BUYS = """
timeframes = (5,)
def on_bar(self, instrument, minutes, bars):
    if len(bars) >= 2 and bars.close[-1] > bars.close[-2]:
        self.candidate(instrument, 1, strength=0.7, reason="it rose")
"""


def records(folder, *kinds):
    return [(kind, now, payload) for kind, _, now, payload in reader_of(folder) if kind in kinds]


def candidates(folder, source):
    """The candidates of a source, without their numbers and what the account made of them."""
    out = []
    for _, now, payload in records(folder, REC_CANDIDATE):
        c = np.frombuffer(payload, CANDIDATE)[0].copy()
        if c["source"] == source:
            c["id"] = c["source"] = 0
            out.append((now, c.tobytes()))
    return out


# ---- bars -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("minutes", [1, 3, 5, 15])
def test_bars_of_several_minutes_are_those_that_polars_makes(run, days, tmp_path, minutes):
    seen = tmp_path / "seen.txt"
    run(sources=(), folder="bars", mine=f"""
timeframes = ({minutes},)
def on_bar(self, instrument, minutes, bars):
    with open({str(seen)!r}, "a") as file:
        row = [instrument.symbol, *(float(x) for x in (bars.time[-1], bars.open[-1], bars.high[-1], bars.low[-1], bars.close[-1],
                                                       bars.volume[-1]))]
        print(*row, sep=",", file=file)
""")
    ours = pl.read_csv(seen, has_header=False, new_columns=["symbol", "time", "open", "high", "low", "close", "volume"])
    theirs = _bars(DayFile(days / f"{DAY}.ticks.day"), minutes)
    joined = ours.join(theirs, on=["symbol", "time"], how="inner", suffix="_right")
    assert len(joined) == len(ours) > 10 and len(ours.unique(["symbol", "time"])) == len(ours)
    whole = joined.filter(pl.col("first") == pl.col("time"))           # the first bar of a name begins with its own first trade
    for name in ("high", "low", "close"):
        assert (whole[name] - whole[f"{name}_right"]).abs().max() < 1e-9
    assert (whole["volume"] - whole["volume_right"]).abs().max() == 0


def _bars(day, minutes):
    """By polars, from the ticks: volume is the advance of the day's."""
    rows, _ = day.ticks()
    frame = pl.DataFrame({"key": rows["key"], "ltt": rows["ltt"], "price": rows["ltp"] / 100, "vtt": rows["vtt"],
                          "symbol": np.array([s.symbol for s in day.specs])[np.asarray(day.columns["inst"])]})
    step = minutes * 60_000
    start = 13_500_000                                                 # 03:45 UTC
    frame = frame.with_columns(volume=(pl.col("vtt") - pl.col("vtt").cum_max().shift(1).over("symbol")).clip(0).fill_null(0),
                               time=((pl.col("ltt") - start) // step * step + start) / 1000).filter(pl.col("volume") > 0)
    bars = frame.group_by("symbol", "time", maintain_order=True).agg(
        open=pl.col("price").first(), high=pl.col("price").max(), low=pl.col("price").min(), close=pl.col("price").last(),
        volume=pl.col("volume").sum())
    first = frame.group_by("symbol").agg(first=pl.col("time").min())
    return bars.join(first, on="symbol").with_columns(first=pl.when(pl.col("time") > pl.col("first")).then(pl.col("time")))


def test_a_bar_without_its_last_minute_closes_with_the_next_and_old_bars_move_out():
    """Minutes 0, 1, 3 | 6 | 10..14 of 5-minute bars: the first two lack their last minute."""
    frame = Timeframe(5, 2, 1)
    host = _host(Market(1, 64), 5, 2)
    assert frame.view(0, 9).shape == (0, 6) and host.bars(0, 5).shape == (0, 6)
    with pytest.raises(IndexError):
        frame.view(5, 1)
    with pytest.raises(KeyError):
        host.bars(0, 3)


def test_after_more_bars_than_are_kept_the_last_of_them_lie_in_order():
    """History of 63 minutes and a day of 370: at each close the last 200 of all of them, each minute once."""
    seen = []

    class Looks(Strategy):
        def called(self, method, argument):
            seen.append(argument[2].copy())

    spec = Instrument("NSE_EQ|A", "A", tick=5, is_cas=False)
    core, first = Core(KeepingSink(()), 1, 64), sessions.epoch_ms(DAY) // 60_000
    past = np.zeros(64, WARM_BAR)
    past["minute"] = first - 1440 + 300 + np.arange(64)
    for name in ("open", "high", "low", "close"):
        past[name] = 100_000
    past["volume"] = 100
    loaded = {"mine": (Looks("mine"), loading.Source("mine", "mine.py", {"mine.py": b""}))}
    settings = Config(models="", sources=[], source={}, strategies={"mine": {"file": "mine.py"}})
    begin(core, settings, [spec], DAY, past, first * 60_000_000_000, Boot("t", 1, "1", loaded=loaded), 10**8)
    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["mode"], row["has"] = spec.key.encode(), len(spec.key), 1, HAS_LTPC | HAS_FULL
    for at in range(0, 371 * 60, 5):
        ms = first * 60_000 + 1000 * at
        row["ltp"], row["ltt"], row["vtt"] = 100_000 + at // 60, ms, 1000 + at
        core.feed(REC_FRAME, ms * 1_000_000, encode(row, ms))
    times = [60 * int(minute) for minute in (*past["minute"][1:], *range(first, first + 370))]
    closes = [1000.0] * 63 + [1000 + 0.01 * minute for minute in range(370)]
    assert len(seen) == 370
    for k, bars in enumerate(seen, 64):
        assert bars[:, 0].tolist() == times[max(k - 200, 0):k] and bars[:, 4] == pytest.approx(closes[max(k - 200, 0):k])


def _host(market, minutes, depth):
    class Five(Strategy):
        timeframes = (minutes,)

    from _ext.signals.strategies import StrategySource

    return StrategyHost(market, [StrategySource(1, "five", Five("five"))], depth)


# ---- what it is told and may see --------------------------------------------------------------------------------------------
def test_a_strategy_sees_its_day_and_acts_on_it(run, tmp_path):
    said = tmp_path / "said.txt"
    _, folder = run(mine=f"""
timeframes = (1,)
class Parameters(engine.Parameters):
    most: int = Field(3, ge=1)
def say(self, *words):
    with open({str(said)!r}, "a") as file:
        print(*words, file=file)
def on_start(self):
    self.count = 0
    self.say("start", len(self.instruments), self.instrument(self.instruments[0].symbol).number, self.parameters.most)
def on_bar(self, instrument, minutes, bars):
    book, held = self.book(instrument), self.position(instrument)
    assert book.bid < book.ask and 0 <= book.age < 60 and minutes == 1 and bars.close[-1] == self.bars(instrument, 1).close[-1]
    assert self.now.strftime("%H:%M") >= "09:16" and not bars.values.flags.writeable
    assert set(self.indicators(instrument)) > {{"rsi"}} and self.chain(instrument) == []
    if held is None and self.count < self.parameters.most and len(bars) > 5:
        self.count += 1
        self.candidate(instrument, 1, strength=0.8, stop=bars.close[-1] * 0.99, target=bars.close[-1] * 1.5, hold=120,
                       reason="because")
    elif held is not None and held.quantity and len(bars) % 7 == 0:
        self.exit(instrument, "enough")
def on_fill(self, fill):
    self.say("fill", fill.instrument.symbol, fill.is_entry, fill.side, fill.quantity, round(fill.price), fill.charges > 0)
def on_exit(self, ended):
    self.say("exit", ended.instrument.symbol, ended.side, ended.quantity)
def on_candidate(self, signal):
    self.say("candidate", signal.source, signal.side, signal.strength > 0.4)
""", parameters={"mine": {"most": 2}})
    lines = said.read_text().splitlines()
    assert lines[0] == "start 5 0 2" and any(line.startswith("candidate spike") for line in lines)
    assert not any(line.startswith("candidate mine") for line in lines)
    assert [line for line in lines if line.startswith("fill") and " True 1 " in line]
    assert [line for line in lines if line.startswith("exit")]
    mine = [trade for trade in pl.read_parquet(folder.parent / "trades.parquet").to_dicts() if trade["source"] == "mine"]
    assert 0 < len(mine) <= 2 and all(trade["entry_price"] * 0.985 < trade["stop"] for trade in mine if trade["stop"])
    assert {trade["reason"] for trade in mine} <= {"time", "strategy", "stop", "end of data"}
    minutes = [(trade["exit_time"] - trade["entry_time"]).total_seconds() for trade in mine if trade["reason"] == "time"]
    assert all(119 < spent < 125 for spent in minutes)
    found = engine.explain(mine[0]["candidate"], folder)
    assert found["source"] == "mine" and found["note"] == "because"


def test_two_sources_at_once_make_the_candidates_that_each_makes_alone(run):
    _, both = run(folder="both", mine=BUYS, other=BUYS.replace("> bars", "< bars").replace("1, strength", "-1, strength"))
    _, spike = run(folder="spike")
    _, mine = run(folder="mine", sources=(), mine=BUYS)
    assert len(candidates(both, 0)) > 3 and candidates(both, 0) == candidates(spike, 0)
    assert len(candidates(both, 1)) > 3 and candidates(both, 1) == candidates(mine, 0)


def test_a_run_with_strategies_is_replayed_from_what_it_kept(run, tmp_path):
    (tmp_path / "beside.py").write_text("FACTOR = 1.0\n")
    _, folder = run(mine="from beside import FACTOR\n" + BUYS)
    assert sorted(path.name for path in (folder / "strategies" / "mine").iterdir()) == ["beside.py", "mine.py"]
    (tmp_path / "beside.py").unlink()
    (tmp_path / "mine.py").write_text("nonsense")
    assert replay(folder, _models())["identical"]
    kept = folder / "strategies" / "mine" / "mine.py"
    text = kept.read_text()
    kept.write_text(text + "\n")
    with pytest.raises(StrategyError, match="was changed"):
        replay(folder, _models())
    kept.unlink()
    with pytest.raises(StrategyError, match="is gone"):
        replay(folder, _models())


# ---- one that misbehaves ----------------------------------------------------------------------------------------------------
BAD = {
    "raises": ("1 / 0", "ZeroDivisionError"), "loops": ("while True: pass", "StrategyTimeout"),
    "sleeps": ("__import__('time').sleep(5)", "StrategyTimeout"), "leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "nan": ("self.candidate(instrument, 1, strength=float('nan'))", "strength is nan"),
    "endless": ("x = []\n        while True: x.append(bytearray(1 << 16))", "StrategyTimeout"),
    "deep": ("self.calls -= 1; self.on_bar(instrument, minutes, bars)", "RecursionError"),
    "writes": ("bars.close[-1] = 1.0", "read-only"),
    "side": ("self.candidate(instrument, 2)", "side 2"), "text": ("self.candidate(instrument, 1, stop='x')", "stop is 'x'"),
    "later": ("self.exit(5)", "5 is no instrument"),
    "made up": ("self.candidate(type(instrument)('X', 'equity', 99999, 1.0, 1), 1)", "no instrument of the day"),
    "thread": ("from concurrent.futures import ThreadPoolExecutor as Pool\n"
               "        Pool(1).submit(self.candidate, instrument, 1).result()", "from within the call")}


@pytest.mark.parametrize("name", BAD)
def test_a_strategy_that_misbehaves_is_stopped_and_nobody_else(run, name):
    body, reason = BAD[name]
    document, folder = run(bad=f"""
calls = 0
def on_bar(self, instrument, minutes, bars):
    self.calls += 1
    self.candidate(instrument, 1, strength=0.9, reason="before")
    if self.calls == 40:
        {body}
""", good=BUYS)
    (off,) = [payload for _, _, payload in records(folder, REC_STRATEGY_OFF)]
    assert reason.encode() in off and b'"name":"bad"' in off and b'"call":40' in off
    _, without = run(folder="without", good=BUYS)
    assert candidates(folder, 2) == candidates(without, 1) != []
    assert candidates(folder, 0) == candidates(without, 0) and len(candidates(folder, 1)) == 39
    found = replay(folder, _models())
    assert found["identical"], found
    assert document["is_whole"] and stops.stopped_in(folder) == {"bad": 40}
    assert len(document["stopped"]) == 1 and reason in document["stopped"][0] and "(line " in document["stopped"][0]


def test_the_call_under_way_outlives_its_process(tmp_path):
    """As after SIGKILL: what the mark holds is read by others, and the restart stops before that call; one that came back does not
    count, nor one of a compiled source."""
    mark = stops.mark_in(tmp_path)
    assert stops.under_way(tmp_path) is None
    sources = [{"name": "spike"}, {"name": "mine", "sha256": "00"}]
    for place, call, kept in ((0, 7, {}), (1, 7, {}), (3, 7, {}), (2, 7, {"mine": 7}), (2, 9, {"mine": 9})):
        mark[:] = place, call
        assert stops.under_way(tmp_path) == (stops.Call(place - 1, call) if place else None)
        assert stops.unended_in(tmp_path, sources) == kept
    assert stops.under_way(tmp_path / "nowhere") is None
    (tmp_path / "strategies/under-way").write_bytes(b"odd")
    assert stops.under_way(tmp_path) is None
    stops.mark_in(tmp_path)
    assert stops.under_way(tmp_path) is None


def test_a_call_is_marked_while_it_lasts(tmp_path):
    """A stop that no record tells of is told once; one whose record comes is not told again."""
    mark, seen = stops.mark_in(tmp_path), []

    class Looks(Strategy):
        def on_exit(self, ended):
            seen.append(stops.under_way(tmp_path))

        def called(self, method, argument):
            self.on_exit(argument)

    market = Market(1, 64)
    source = StrategySource(1, "mine", Looks("mine"), hears_fills=True)
    host = StrategyHost(market, [None, source])
    host.mark_calls(mark)
    with pytest.raises(ValueError, match="two numbers"):
        host.mark_calls(np.zeros(3, np.int64))
    for _ in range(2):
        host.tell(1, "exit", None)
        host.call(0)
    assert seen == [stops.Call(1, 1), stops.Call(1, 2)] and stops.under_way(tmp_path) is None
    source.last_call = 3
    host.tell(1, "exit", None)
    host.call(0)
    ((place, call, reason),) = host.ended
    assert (place, call) == (1, 3) and "while this call was under way" in reason and len(seen) == 2 and source.is_off
    host.stop(1)
    assert host.take_ended() == []


@pytest.mark.parametrize(("is_over", "stopped"), [(True, 7), (False, 0)])
def test_a_call_of_a_run_that_goes_on_is_no_call_that_did_not_come_back(tmp_path, is_over, stopped):
    """A replay beside the engine: what is under way may still end well."""
    (tmp_path / "mine.py").write_text(HEAD + "class Mine(engine.Strategy):\n    def on_bar(self, *_): pass\n")
    core = SimpleNamespace(pipeline=SimpleNamespace(strategies={}, stopped={}))
    setting = SimpleNamespace(file=str(tmp_path / "mine.py"), parameters={})
    entries = loading.prepare(core, {"mine": setting}, tmp_path / "run")
    stops.mark_in(tmp_path / "run")[:] = 1, 7
    loading.recall(core, entries, tmp_path / "run", is_over)
    assert core.pipeline.stopped == {"mine": stopped}


def test_each_call_has_its_whole_time_whatever_the_one_before_it_took():
    """Two looks at the same call end it; a look at one and at the next end neither."""
    source = SimpleNamespace(calls=1)
    host = SimpleNamespace(calling=source)
    with watchdog.watched(host):
        for _, timer, _ in watchdog.CLOCKS:
            signal.setitimer(timer, 0)
        look = signal.getsignal(signal.SIGALRM)
        look(signal.SIGALRM, None)
        source.calls = 2
        look(signal.SIGALRM, None)
        with pytest.raises(StrategyTimeout):
            look(signal.SIGALRM, None)
        host.calling = None
        look(signal.SIGALRM, None)


def test_what_a_stopped_call_had_asked_for_does_not_count(run):
    _, folder = run(sources=(), bad="""
def on_bar(self, instrument, minutes, bars):
    self.candidate(instrument, 1, strength=0.9)
    raise ValueError("after asking")
""")
    assert not records(folder, REC_CANDIDATE, REC_INTENT)


def test_a_wish_outside_a_call_is_an_error(run):
    strategy = Strategy("mine")
    with pytest.raises(StrategyError, match="None is no instrument"):
        strategy.exit(None)
    host = StrategyHost(Market(1, 64), [None])
    with pytest.raises(RuntimeError, match="only while it is called"):
        host.wish((0, 0, None))


def test_of_two_wishes_for_a_name_the_newer_waits_and_the_older_is_told_to_be_given_up(run):
    _, folder = run(sources=(), mine="""
is_scored = True
def on_bar(self, instrument, minutes, bars):
    for side in (1, -1):
        self.candidate(instrument, side)
""")
    made, told = ([np.frombuffer(payload, CANDIDATE)[0] for _, _, payload in records(folder, kind)]
                  for kind in (REC_CANDIDATE, REC_VERDICT))
    assert sorted(int(v["id"]) for v in told) == [int(c["id"]) for c in made] != []
    older = [v for v in told if v["side"] == 1 and v["decided"] == v["now"] and REASONS[v["reason"]] == "not confirmed"]
    assert len(older) > 3                      # the others were decided at once, the book having moved along


def test_the_average_of_a_position_is_what_was_paid_for_all_of_it():
    """Ten at Rs 100, four of them sold; then all of them."""
    slot = {"source": 2, "side": 1, "bought": 10, "sold": 4, "cost": 100_000,
            "plan": {"stop": 9_800, "target": 10_400, "opened": 5_000_000_000}}
    strategy = Strategy("mine")
    strategy.bind(SimpleNamespace(position_of=lambda number: slot), None, 2)
    assert strategy.position(SimpleNamespace(number=0)) == (1, 6, 100.0, 98.0, 104.0, 5.0)
    slot["sold"] = 10
    assert strategy.position(SimpleNamespace(number=0))[1:3] == (0, 100.0)
    slot["source"] = 1
    assert strategy.position(SimpleNamespace(number=0)) is None


# ---- exits of its own -------------------------------------------------------------------------------------------------------
def test_a_limit_is_not_exceeded_and_an_exit_takes_an_entry_back(run):
    _, folder = run(sources=(), mine="""
seen = 0
def on_bar(self, instrument, minutes, bars):
    self.seen += 1
    if self.seen == 30:
        self.where = instrument
        self.candidate(instrument, 1, limit=self.book(instrument).bid * 0.97, reason="far below")
    elif self.seen == 31:
        self.exit(self.where, "no more")
""")
    intents = [np.frombuffer(payload, INTENT)[0] for _, _, payload in records(folder, REC_INTENT)]
    assert [(int(intent["kind"]), int(intent["why"])) for intent in intents] == [(1, Why.WHY_ENTRY), (3, Why.WHY_STRATEGY)]
    assert intents[0]["price"] < 0.975 * np.frombuffer(records(folder, REC_CANDIDATE)[0][2], CANDIDATE)[0]["price"]


def test_nobody_ends_what_another_strategy_holds(run):
    _, alone = run(folder="alone", sources=(), mine=BUYS)
    _, beside = run(folder="beside", sources=(), mine=BUYS,
                    other="""
def on_bar(self, instrument, minutes, bars):
    self.exit(instrument)
""")
    made = [[(now, payload) for _, now, payload in records(folder, REC_INTENT)] for folder in (alone, beside)]
    assert len(made[0]) > 3 and made[0] == made[1]


# ---- files ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("text", "words"), [
    ("x = 1", "0 classes"), ("import engine\nclass A(engine.Strategy): pass\nclass B(engine.Strategy): pass", "2 classes"),
    ("import engine\nclass A(engine.Strategy): timeframes = (7,)", "not (7,)"), ("1/0", "line 1: ZeroDivisionError"),
    ("import engine\nclass A(engine.Strategy): kinds = ('bond',)", "no kind bond"), ("def", "SyntaxError"),
    ("import engine\nclass A(engine.Strategy): timeframes = ()", "not ()"), ("import nowhere_at_all", "ModuleNotFoundError")])
def test_a_file_that_is_no_strategy_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(StrategyError) as error:
        loading.load("mine", path, {})
    assert words in str(error.value)


def test_parameters_are_typed_and_bounded(tmp_path):
    path = loading.path_of("moving_average_cross")
    strategy, source = loading.load("cross", path, {"fast": 5})
    assert strategy.parameters.fast == 5 and strategy.parameters.slow == 21 and len(source.sha256) == 64
    for wrong, words in (({"fast": 0}, "fast"), ({"quick": 3}, "quick"), ({"fast": "x"}, "fast")):
        with pytest.raises(StrategyError, match=words):
            loading.load("cross", path, wrong)
    with pytest.raises(StrategyError, match="small letters"):
        loading.load("My Cross", path, {})
    with pytest.raises(StrategyError, match="no such strategy file; those that come with the engine are moving_average_cross"):
        loading.path_of("nothing")
    with pytest.raises(StrategyError, match="no such"):
        loading.path_of(str(tmp_path / "none.py"))
    (tmp_path / "large.py").write_bytes(b"#" * (loading.SIZE_MAX + 1))
    with pytest.raises(StrategyError, match="at most"):
        loading.path_of(str(tmp_path / "large.py"))


def test_sources_and_strategies_are_named_once():
    with pytest.raises(ValueError, match="different ones"):
        Config(strategies={"spike": {"file": "moving_average_cross"}})
    with pytest.raises(ValueError, match="none"):
        Config(sources=[])


# ---- what a user sees -------------------------------------------------------------------------------------------------------
def test_a_stop_that_is_reached_already_is_denied_by_name(run):
    document, _ = run(sources=(), mine="""
def on_bar(self, instrument, minutes, bars):
    self.candidate(instrument, 1, stop=self.book(instrument).ask * 1.01)
    self.candidate(instrument, -1, stop=self.book(instrument).bid * 0.99)
""")
    assert document["result"]["trades"] == 0 and document["counts"]["gate"][REASONS[Reason.OWN_STOP]] > 3


def test_a_strategy_that_is_off_is_seen_in_a_run_on_virtual_time(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(HEAD + "class Mine(engine.Strategy):\n    def on_bar(self, instrument, minutes, bars):\n        1 / 0\n")
    config = Config(strategies={"bad": {"file": str(path)}})
    document = engine.run(speed="max", names=5, minutes=10, store=False, run_dir=tmp_path / "run", unlisted=True, config=config)
    reason = "ZeroDivisionError: division by zero (line 5 of its file)"
    assert document["troubles"] == [f"strategy bad is off since its call 1: {reason}"]
    assert RunState.after(reader_of(tmp_path / "run")).stopped == {"bad": reason}
    assert RunState.after(reader_of(tmp_path / "run")).alarms == {REASONS[Reason.STRATEGY_STOPPED]: 1}
    lines = [event.text for record in reader_of(tmp_path / "run") if (event := FORMATTER.event(*record)) is not None]
    assert f"STRATEGY OFF: bad at its call 1: {reason}" in lines


FORMATTER = EventFormatter()


def test_a_run_with_a_strategy_is_stored(tmp_path):
    from _ext.signals.source import statistics_of

    assert statistics_of({"name": "mine", "sha256": "x"}) == ()
    assert statistics_of({"name": "opening_range"})[0] == ("range_high", "paise")


def test_what_is_wrong_with_a_strategy_leaves_no_folder_in_the_way(run, tmp_path, days):
    with pytest.raises(StrategyError, match="line"):
        run(mine="x = 1 / 0")
    assert not (tmp_path / "run").exists()
    run(mine=BUYS)


@pytest.mark.parametrize(("text", "words"), [
    ("import engine\nclass A(engine.Strategy): pass", "has none of on_bar"),
    ("import engine\nclass A(engine.Strategy):\n    async def on_bar(self, i, m, b): pass", "is async"),
    ("import engine\nclass A(engine.Strategy):\n    timeframes = 5\n    def on_bar(self, i, m, b): pass", "not 5"),
    ("import engine\nclass A(engine.Strategy):\n    def __init__(self, *a): raise RuntimeError('no')\n    def on_bar(self): pass",
     "cannot be made: RuntimeError: no")])
def test_more_files_that_are_no_strategy(tmp_path, text, words):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(StrategyError) as error:
        loading.load("mine", path, {})
    assert words in str(error.value)


def test_a_file_is_looked_for_beside_the_configuration(tmp_path, monkeypatch):
    text = '[strategies.mine]\nfile = "s/mine.py"\n[strategies.cross]\nfile = "moving_average_cross"\n'
    (tmp_path / "engine.toml").write_text(text)
    monkeypatch.setenv("ENGINE_CONFIG", str(tmp_path / "engine.toml"))
    config = Config()
    assert config.strategies["mine"].file == str(tmp_path / "s/mine.py")
    assert config.strategies["cross"].file == "moving_average_cross"
