"""A backtest from its data to its results: day after day on one account, each begun and ended as a live day is."""
import contextlib
import datetime as dt
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.reasons import REASONS
from _ext.core.records import LAYOUT, REC_CLOSED, REC_DATA, REC_LINK, REC_STRATEGY_OFF, STREAM_FEED, WARM_BAR
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.trail.journal import Journal
from engine.backtest import results
from engine.backtest.days import days_of, is_database, must_be_whole
from engine.backtest.drive import MILLI, DayRun
from engine.backtest.options import BacktestOptions
from engine.backtest.remade import ByConfig, paper_run, remake, start_of
from engine.backtest.trades import counts_of, mark_ambiguous, mark_open
from engine.broker.paper.latency import kept_latencies, latency_notes
from engine.config import Config
from engine.errors import DataError, EngineError
from engine.feed.dayfile import DayFile, Head
from engine.feed.rows import data_record, has_book, row_feed
from engine.market import sessions
from engine.market.instruments import Instrument
from engine.run.again import venue_of_start
from engine.run.opening import Boot, begin, closing
from engine.strategies import loading
from engine.strategies.watchdog import ended_if_hung, watched
from engine.trade.inputs import link_record
from engine.trail.resources import ROOM, advice_for
from engine.trail.rundir import RunDir, RunError
from engine.watch.trades import COLUMNS, END, KEPT, Trade, trades_of

SEGMENT = 16 << 20
RUNS = Path("runs")
CACHE = RUNS / "days"
SAY_S = 1.0

Say = Callable[[str], Any]


@dataclass
class Account:
    """What goes on from day to day. Money in paise."""
    cash: int
    bars: dict[str, np.ndarray] = field(default_factory=dict)      # key -> the last minutes that entered its windows
    trades: list[Trade] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    rows: int = 0
    counts: dict[str, Any] = field(default_factory=lambda: {"candidates": 0, "rules": {}, "gate": {}})
    problem: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)     # what the cores were told: sources, their parameters, limits
    stopped: list[str] = field(default_factory=list)   # strategies that were not called any more, on which day and why

    def warm(self, specs: Sequence[Instrument]) -> np.ndarray:
        """WARM_BAR rows of the session before, oldest first of each instrument."""
        parts = []
        for inst, spec in enumerate(specs):
            kept = self.bars.get(spec.key)
            if kept is not None and len(kept):
                rows = np.zeros(len(kept), WARM_BAR)
                rows["inst"] = inst
                for name in ("minute", "open", "high", "low", "close", "volume"):
                    rows[name] = kept[name]
                parts.append(rows)
        return np.concatenate(parts) if parts else np.zeros(0, WARM_BAR)

    def count(self, counts: dict[str, Any]) -> None:
        self.counts["candidates"] += counts["candidates"]
        for stage in ("rules", "gate"):
            for reason, number in counts[stage].items():
                self.counts[stage][reason] = self.counts[stage].get(reason, 0) + number


class Progress:
    """Says once a second how far it is, how fast, and how long it will take."""

    def __init__(self, say: Say, rows: int):
        self.say, self.rows, self.began, self.last = say, max(rows, 1), time.monotonic(), time.monotonic()

    def __call__(self, now: int, account: Account, taken: int) -> None:
        at = time.monotonic()
        if at - self.last < SAY_S:
            return
        self.last, done = at, account.rows + taken
        left = (at - self.began) * (self.rows - done) / max(done, 1)
        moment = dt.datetime.fromtimestamp(now / 1e9, sessions.IST)
        rate = done / (at - self.began) / 1e6
        self.say(f"{moment:%Y-%m-%d %H:%M}: {done / self.rows:.0%} of {self.rows:,} rows, {rate:.1f} M/s, {left:.0f} s left, "
                 f"{len(account.trades)} trades so far")


def backtest(options: BacktestOptions, config: Config, say: Say = lambda _: None) -> dict[str, Any]:
    """Runs what `options` ask for; the document of its results, which `backtest.json` of its folder holds too. Ctrl-C ends it after
    the minute under way, and keeps what is done. With `store`, `stored` is the number of the results in ClickHouse, or `not_stored`
    says why there are none. EngineError where nothing can begin."""
    began = time.process_time()
    run = paper_run(options.data)
    if run is not None:
        folder = _folder(options)
        return _kept(_of_inputs(options, config, folder, run), options, config, folder, began)
    heads = days_of(options.data, CACHE, say, (options.first, options.last), config)
    first, last = heads[0].day, heads[-1].day
    wanted = [head for head in heads if (options.first or first) <= head.day <= (options.last or last)]
    if not wanted:
        raise DataError(f"{options.data}: no day from {options.first or first} to {options.last or last}; there are {first} to "
                        f"{last}")
    _chosen(wanted[0].specs, options.names)
    for name, setting in config.strategies.items():            # what is wrong with one is said before a folder is made
        loading.load(name, loading.path_of(setting.file), setting.parameters)
    folder = _folder(options)
    before = [head for head in heads if head.day < wanted[0].day][-1:]
    try:
        document = _results(options, config, say, folder, before, wanted)
    except BaseException:
        _forget(folder)
        raise
    return _kept(document, options, config, folder, began)


def _kept(document: dict[str, Any], options: BacktestOptions, config: Config, folder: Path, began: float) -> dict[str, Any]:
    """Writes the results into their folder, and where it was asked into ClickHouse; the document with where they are."""
    document |= {"run_dir": str(folder), "seconds": round(time.process_time() - began, 2),
                 "at": dt.datetime.now(sessions.IST).isoformat(timespec="milliseconds")}
    (folder / "backtest.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    return document | (_stored(folder, config) if options.store and document["is_whole"] else {"stored": None, "not_stored": None})


def _stored(folder: Path, config: Config) -> dict[str, Any]:
    """Puts the results into ClickHouse: `stored`, their number there, or why `not_stored`. They are in the folder in any case."""
    from engine.store.storing import put

    try:
        return {"stored": put(folder, config)["backtest"], "not_stored": None}
    except EngineError as error:
        return {"stored": None, "not_stored": str(error)}


def _results(options: BacktestOptions, config: Config, say: Say, folder: Path, before: Sequence[Head],
             wanted: Sequence[Head]) -> dict[str, Any]:
    document = _over_days(options, config, say, folder, before, wanted, False)
    if options.bounds and any(head.kind == "bars" for head in wanted):
        best = _over_days(options, config, say, folder, before, wanted, True)
        document["optimistic"] = best["result"]
    return document


def _folder(options: BacktestOptions) -> Path:
    """The folder of the results, made. RunError where it holds anything, or cannot be made."""
    folder = (options.run_dir or RUNS / f"backtest-{dt.datetime.now():%Y-%m-%d-%H%M%S}").absolute()
    number = 1
    while options.run_dir is None and folder.exists():
        number += 1
        folder = folder.with_name(f"{folder.name.rpartition('_')[0] or folder.name}_{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise RunError(f"cannot make {folder}: {error.strerror}; choose another with --run-dir") from None
    if not is_empty:
        raise RunError(f"{folder} is not empty: name a new folder with --run-dir")
    return folder


def _forget(folder: Path) -> None:
    """What was refused leaves no folder that would be in the way of the next try."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        folder.rmdir()


def _over_days(options: BacktestOptions, config: Config, say: Say, folder: Path, before: Sequence[Head], wanted: Sequence[Head],
               is_favourable: bool) -> dict[str, Any]:
    """One pass; `before`: the session to warm up with, where there is one."""
    cash = round(config.risk.account_size * 100)
    account = Account(cash)
    with interrupted() as is_over:
        for head in before:
            _warm_up(DayFile(head.path), config, options, account)
        progress = Progress(say, sum(head.rows for head in wanted))
        notes = _play(options, config, folder, wanted, is_favourable, account, progress, is_over)
    if not is_favourable:
        _write_trades(folder / "trades.parquet", account.trades)
    is_whole = len(account.days) == len(wanted) and not is_over() and account.problem is None
    return _document(options, account, cash, notes, {head.day.isoformat(): head.content for head in wanted}, is_whole)


def _document(options: BacktestOptions, account: Account, cash: int, notes: list[str], content: dict[str, str],
              is_whole: bool) -> dict[str, Any]:
    """All figures of the days that were played."""
    return {"data": str(options.data), "first": account.days[0] if account.days else None,
            "last": account.days[-1] if account.days else None, "rows": account.rows, "account": cash / 100,
            "result": results.summary(account.trades, account.days, cash),
            "daily": results.by_day(account.trades, account.days), "stopped": account.stopped,
            "groups": results.groups(account.trades, account.days), "counts": account.counts, "notes": notes,
            "options": options.model_dump(mode="json"), "settings": account.settings, "layout": LAYOUT,
            "content": content, "is_whole": is_whole, "problem": account.problem}


def _of_inputs(options: BacktestOptions, config: Config, folder: Path, run: RunDir) -> dict[str, Any]:
    """The day of a run on paper, from its own inputs: frames, timers and the operator's words as they came."""
    cash = round(config.risk.account_size * 100)
    account, into = Account(cash), RunDir.new(folder / start_of(run)["day"]) if options.journal else None
    one_way = options.latency_ms * MILLI // 2
    with interrupted() as is_over:
        made = remake(ByConfig(run, config, into.path if into is not None else None), into, lambda now: not is_over(),
                      lambda core: venue_of_start(core, one_way))
        is_whole = not is_over() and made.problem is None
    account.trades, account.days, account.rows, account.problem = made.trades, [made.day], made.core.updates, made.problem
    account.stopped = [f"{made.day}: {text}" for text in made.stopped]
    account.settings = {name: made.core.config[name] for name in ("sources", "signals", "limits")}
    account.count(counts_of(made.kept, REASONS))
    _write_trades(folder / "trades.parquet", account.trades)
    notes = [f"the day of {run.path} from its own inputs, its seed and its hours: what the venue answered is made again"]
    return _document(options, account, cash, notes, {made.day: made.refers["start"]}, is_whole)


def _play(options: BacktestOptions, config: Config, folder: Path, wanted: Sequence[Head], is_favourable: bool, account: Account,
          progress: Progress, is_over: Callable[[], bool]) -> list[str]:
    """Every wanted day in turn; what is to be said of their data."""
    modelled = bars = 0
    for head in wanted:
        if is_over() or account.problem:
            break
        day = DayFile(head.path)
        must_be_whole(day, CACHE)
        run = RunDir.new(folder / day.day.isoformat()) if options.journal and not is_favourable else None
        _day(day, config, options, account, run, is_favourable, progress, is_over)
        modelled += not has_book(day)
        bars += day.kind == "bars"
    notes = [] if options.latency_ms else latency_notes()
    if modelled:
        notes.append(f"{modelled} of {len(wanted)} days have no book: one is modelled, {options.spread_bp:g} bp or "
                     f"{options.spread_ticks} steps wide, Rs {options.level:,.0f} on each of five levels")
    if bars < len(wanted) and is_database(options.data):
        notes.append("books are the best quotes alone, as the table ticks has them: the gate sizes by what they show")
    if bars:
        notes.append(f"{bars} of {len(wanted)} days are bars: four points each, the extreme against a position first")
    if held := sum(trade.reason == END for trade in account.trades):
        notes.append(f"{held} positions were still held where the data of their day ends: they count as left at the best price "
                     "shown")
    return notes


def _opened(day: DayFile, config: Config, options: BacktestOptions, account: Account, sink: KeepingSink,
            folder: Path | None = None, is_favourable: bool = False, loaded: dict[str, Any] | None = None,
            latencies: list[int] | None = None) -> Core:
    """A core that knows all that a live one knows before the first tick, and whose rows are those of `day`."""
    specs = _chosen(day.specs, options.names)
    core = Core(sink, max(len(specs), 1), config.ring_depth)
    rows = row_feed(day)
    first = min(sessions.epoch_ms(day.day) * MILLI, rows.first_ns)      # rows follow what the core is told first
    boot = Boot("backtest", options.seed, f"{options.seed:x}", folder=folder, loaded=loaded, is_paper=True, latencies=latencies)
    begin(core, config, specs, day.day, account.warm(specs), first, boot, account.cash)
    core.feed(REC_LINK, first, link_record(STREAM_FEED, True))
    core.day_files[rows.sha256] = rows
    core.feed(REC_DATA, first, data_record(day, None if has_book(day) else options.book, is_favourable))
    return core


def _chosen(specs: Sequence[Instrument], names: str) -> list[Instrument]:
    """The instruments of `names`, all for an empty one. DataError for a symbol the day does not have."""
    if not names:
        return list(specs)
    wanted = {name.strip().upper() for name in names.split(",")}
    chosen = [spec for spec in specs if spec.symbol.upper() in wanted]
    if missing := wanted - {spec.symbol.upper() for spec in chosen}:
        raise DataError(f"--names: the data has no {', '.join(sorted(missing))}")
    return chosen


def _warm_up(day: DayFile, config: Config, options: BacktestOptions, account: Account) -> None:
    """Plays the session before the first, for its last minutes alone."""
    alone = config.model_copy(update={"sources": ["spike"], "source": {}, "strategies": {}})
    core = _opened(day, alone, options, account, KeepingSink(()))
    venue = venue_of_start(core)
    run = DayRun(core, venue, "0")
    run.shell.is_barred = True
    run.run()
    _keep_bars(core, _chosen(day.specs, options.names), account)


def _day(day: DayFile, config: Config, options: BacktestOptions, account: Account, run: RunDir | None, is_favourable: bool,
         progress: Progress, is_over: Callable[[], bool]) -> None:
    """One day; what came of it goes into the account."""
    try:
        journal = Journal(run.journal, SEGMENT, 1 << 50, touched=False) if run is not None else None
    except OSError as error:
        raise RunError(f"{error}: {advice_for(str(error), ROOM)}") from None
    sink = KeepingSink(KEPT, journal)
    folder = run.path if run is not None else None
    core = _opened(day, config, options, account, sink, folder, is_favourable, latencies=kept_latencies())
    venue = venue_of_start(core, options.latency_ms * MILLI // 2)

    def each(now: int) -> bool:
        alive()
        progress(now, account, core.rows.taken)
        return not is_over()

    driven = DayRun(core, venue, f"{options.seed:x}", each, folder)
    with watched(core.pipeline.host), ended_if_hung(core.pipeline.host, folder) as alive:
        driven.run()
    account.stopped += [f"{day.day}: {text}" for text in driven.shell.stopped]
    if journal is not None:
        if journal.full:
            account.problem = f"{journal.problem}: {advice_for(journal.problem or '', ROOM)}"
        journal.append(REC_CLOSED, core.now, closing(core))
        journal.close()
    specs = _chosen(day.specs, options.names)
    trades = trades_of(sink.kept, day.day.isoformat(), [spec.symbol for spec in specs], core.pipeline.names)
    mark_open(trades, core, core.now)
    if day.kind == "bars":
        mark_ambiguous(trades, day)
    account.trades += trades
    account.days.append(day.day.isoformat())
    account.rows += core.rows.taken
    account.settings = {name: core.config[name] for name in ("sources", "signals", "limits")}
    account.count(counts_of(sink.kept, REASONS))
    account.cash += sum(trade.net for trade in trades)
    _keep_bars(core, specs, account)


def played(day: DayFile, config: Config, options: BacktestOptions, account: Account, loaded: dict[str, Any],
           wanted: Sequence[int]) -> tuple[Sequence[tuple[int, int, bytes]], int, list[tuple[int, int, str]]]:
    """Plays one day with strategies that are `loaded` already: the records of the types `wanted`, how many positions were entered,
    and (source, call, reason) of strategies that were stopped."""
    sink = KeepingSink((*wanted, REC_STRATEGY_OFF))
    core = _opened(day, config, options, account, sink, loaded=loaded)
    venue = venue_of_start(core, options.latency_ms * MILLI // 2)
    with watched(core.pipeline.host):
        DayRun(core, venue, f"{options.seed:x}").run()
    told = [orjson.loads(payload) for kind, _, payload in sink.kept if kind == REC_STRATEGY_OFF]
    names = [spec.symbol for spec in day.specs]
    return ([record for record in sink.kept if record[0] != REC_STRATEGY_OFF],
            len(trades_of(sink.kept, day.day.isoformat(), names, core.pipeline.names)),
            [(off["source"], off["call"], off["reason"]) for off in told])


def _keep_bars(core: Core, specs: Sequence[Instrument], account: Account) -> None:
    for inst, spec in enumerate(specs):
        account.bars[spec.key] = core.market.kept_bars(inst)


def _write_trades(path: Path, trades: Sequence[Trade]) -> None:
    """Every trade as a row: prices and money in rupees, times in India's."""
    import polars as pl

    frame = pl.DataFrame({name: [getattr(trade, name) for trade in trades] for name in COLUMNS}, strict=False)
    if trades:
        frame = frame.with_columns(
            *(pl.from_epoch(name, "ns").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Kolkata").alias(name)
              for name in ("entry_time", "exit_time")),
            *((pl.col(name) / 100).alias(name) for name in ("entry_price", "exit_price", "gross", "charges", "stop", "target")))
    frame.write_parquet(path)


@contextlib.contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is a wish that can be asked for, a second one ends the process as usual."""
    asked = [False]

    def on_signal(number: int, frame: Any) -> None:
        asked[0] = True
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, on_signal)
    except ValueError:                                         # not the main thread: nobody can interrupt it
        yield lambda: False
        return
    try:
        yield lambda: asked[0]
    finally:
        signal.signal(signal.SIGINT, before)
