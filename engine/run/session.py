"""One run from its first process to its summary: on virtual time in this process, or as processes of its own around an engine."""
import asyncio
import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _ext.entrance import Core
from engine.broker.upstox.login import stored_token
from engine.config import Config
from engine.errors import EngineError
from engine.market.sessions import IST
from engine.run.doctor import examine
from engine.run.launcher import Launcher, launcher_lock, wait_for
from engine.run.options import RunOptions
from engine.run.rollout import STEPS, step_of_live
from engine.sim.markets import market_of
from engine.trail.resources import in_words
from engine.trail.rundir import Lock, RunDir, RunError, mark_latest, new_run
from engine.trail.signs import about_engine, is_alive, take_over

Say = Callable[[str], Any]
Confirm = Callable[[dict[str, Any], str], bool]
"""(doctor's document, what is about to begin) -> whether a person has agreed."""


class NotReady(EngineError):
    """The run was not begun: something must be mended, or nobody agreed to it."""


class Folder:
    """The folder of a run, made when it begins and not before: what is refused leaves no empty folder, and `latest` as it was."""

    def __init__(self, path: Path | None, is_listed: bool = True):
        self.path, self.is_listed = path, is_listed

    def make(self) -> RunDir:
        folder = RunDir.new(self.path if self.path is not None else new_run())
        if self.is_listed:
            mark_latest(folder.path)
        return folder

    def living(self) -> RunDir | None:
        """The latest run where its engine still runs and no other is asked for: it is gone on with."""
        if self.path is not None:
            return None
        with contextlib.suppress(RunError):
            latest = RunDir.existing(RunDir.latest())
            if is_alive(latest) and about_engine(latest).get("source") == "upstox":
                return latest
        return None


def run(options: RunOptions, config: Config, quiet: bool = True, say: Say = lambda _: None,
        confirm: Confirm | None = None) -> dict[str, Any]:
    """Runs what `options` ask for until it ends; its summary, whose `problem` is None where all went well.

    `quiet`: no view on the terminal. `say` hears how far a run on virtual time is. A live run begins only where doctor finds
    nothing to mend and `confirm` agrees. Raises EngineError where nothing can begin.
    """
    may = os.sched_getaffinity(0)
    try:
        return _run(options, config, quiet, say, confirm)
    finally:
        os.sched_setaffinity(0, may)                       # whoever called goes on where it was


def _run(options: RunOptions, config: Config, quiet: bool, say: Say, confirm: Confirm | None) -> dict[str, Any]:
    folder = Folder(options.run_dir, is_listed=not options.unlisted)
    if options.source == "upstox":
        return _at_the_broker(options, config, folder, quiet, confirm)
    if options.speed is None:
        market = market_of(options.data, options.seed, options.day, options.names, options.minutes, options.mood or "normal",
                           options.contracts)
        for note in getattr(market, "notes", ()):
            print(f"note: {note}", file=sys.stderr)
        if not getattr(market, "has_book", True):
            print("note: the data has no order book, and nothing is entered without one: there will be candidates and no trades; "
                  "`python -m engine backtest --data` models a book", file=sys.stderr)
        return _on_virtual_time(options, config, folder.make(), market, say)
    return _on_the_sim(options, config, folder.make(), quiet)


def _on_virtual_time(options: RunOptions, config: Config, folder: RunDir, market: Any, say: Say) -> dict[str, Any]:
    """As fast as it goes, in this process; the store follows in its own."""
    from engine.run.virtual import run_virtual

    lock = Lock(folder.lock, f"run folder {folder.path}")
    launcher = Launcher(folder, "", quiet=True, core=options.cpus)
    child = launcher.add("store", "store", "--run-dir", str(folder.path), "--once") if options.store else None
    try:
        if options.cpus is not None:
            os.sched_setaffinity(0, {options.cpus})
        document = run_virtual(config, market, str(options.data) if options.data else "synthetic", folder, options.seed,
                               options.seconds, _progress(say), options.is_paper)
        lock.release()
        if child is not None and child.process is not None:
            say("filling ClickHouse ...")
            child.process.wait()
            _, state = launcher.read()
            document |= {"stored": state.get("stored", 0)}
            if child.process.returncode:
                document["problem"] = document["problem"] or f"store: {child.last_words()}"
        launcher.pack()
    except BaseException:
        launcher.stop()
        raise
    return document


def _progress(say: Say) -> Callable[[Core, int], None]:
    """Says once a second how far the market's time is."""
    last = [time.monotonic()]

    def progress(core: Core, now: int) -> None:
        if time.monotonic() - last[0] > 1:
            last[0] = time.monotonic()
            counts, moment = core.counts(), dt.datetime.fromtimestamp(now / 1e9, IST)
            say(f"{moment:%H:%M:%S} market time: {counts['updates']:,} updates, {counts['signals']} signals, "
                f"{counts['orders']} orders")
    return progress


def _on_the_sim(options: RunOptions, config: Config, folder: RunDir, quiet: bool) -> dict[str, Any]:
    """In real time (or `speed` times it): sim, engine, store and logs as processes, the view in this one."""
    lock, mood = launcher_lock(folder), options.mood or "lively"
    market = f"recorded {options.data}" if options.data else f"SIMULATED market ({mood} day), x{options.speed:g}, paper money"
    launcher = Launcher(folder, f"spike · {market} · {folder.path}", quiet=quiet, core=options.cpus)
    address = folder.path / "sim.address"
    with attended(launcher, lock, options.seconds, options.store, config):
        asked = {"speed": options.speed, "seed": options.seed, "names": options.names, "start": options.start,
                 "address-file": address, "state-file": folder.market, "mood": mood, "contracts": options.contracts,
                 "attend": folder.path, "data": options.data, "day": options.day,
                 "faults": options.faults and options.faults.absolute()}
        launched = [word for name, value in asked.items() if value is not None for word in (f"--{name}", str(value))]
        if not launcher.lives("sim"):
            if folder.reader().read() is not None:
                raise RunError(f"the simulated market of {folder.path} has ended, its positions with it: start a new run, or "
                               "look at this one with replay, query and explain")
            address.unlink(missing_ok=True)
            folder.market.unlink(missing_ok=True)
        sim = launcher.add("sim", "sim", *launched)        # or the one a launcher that died has left
        base = wait_for(address, launcher, sim)
        sim.command += ["--port", base.rsplit(":", 1)[-1]]     # should it die, it comes back where the engine looks for it
        launcher.is_observing = options.observe
        launcher.add("engine", "engine", "--run-dir", str(folder.path), "--base", base, "--seed", str(options.seed),
                     *_taker(options))
    return launcher.summary()


def _taker(options: RunOptions) -> list[str]:
    """Words for the engine's process: who takes its orders."""
    return ["--observe"] if options.observe else ["--paper"] if options.is_paper else []


def _at_the_broker(options: RunOptions, config: Config, opened: Folder, quiet: bool,
                   confirm: Confirm | None) -> dict[str, Any]:
    """The broker's feed. Without `live` no order leaves this machine: the engine's own matching takes them, or nobody does."""
    if options.live:
        _must_be_fit(config, confirm)
    else:
        stored_token()
    folder = opened.living()
    if folder is not None:
        words = f"the engine of {folder.path} (process {about_engine(folder)['pid']}) still runs"
        note = about_engine(folder)
        if (bool(note.get("live")), bool(note.get("paper"))) != (options.live, options.is_paper):
            raise NotReady(f"{words}, and is another kind of run than this: {take_over(folder.path)} as it was started, or "
                           f"`python -m engine kill --run-dir {folder.path}`")
        print(f"{words}: going on with it", file=sys.stderr)
    folder = folder or opened.make()
    lock = launcher_lock(folder)
    words = "REAL ORDERS" if options.live else "paper money" if options.is_paper else "observing: nothing is sent"
    launcher = Launcher(folder, f"spike · UPSTOX, {words} · {folder.path}", quiet, options.live, options.ending, options.cpus)
    with attended(launcher, lock, options.seconds, options.store, config):
        launcher.is_observing = options.observe
        launcher.add("engine", "engine", "--source", "upstox", "--run-dir", str(folder.path), *_taker(options))
    return launcher.summary()


def _must_be_fit(config: Config, confirm: Confirm | None) -> None:
    """NotReady where real money may not be risked: doctor found something, or nobody agreed."""
    number = step_of_live()
    words = f"step {number} of going live: {STEPS[number - 1].words}"
    document = asyncio.run(examine(config, "upstox"))
    agreed = confirm is not None and confirm(document, words)
    if not document["well"]:
        raise NotReady("doctor found what must be mended first (`python -m engine doctor`); no order was sent")
    if not agreed:
        raise NotReady("not confirmed; no order was sent")


def has_page(config: Config) -> bool:
    """Whether a run serves its page: it is asked to, and what serving needs is installed."""
    return config.watch.is_on and all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "websockets"))


@contextlib.contextmanager
def attended(launcher: Launcher, lock: Lock, seconds: float | None, store: bool, config: Config) -> Iterator[None]:
    """The block starts an engine; store, logs and the page join it and all are watched over until told to stop. Whatever happens,
    every process ends, and a RunError becomes the run's problem."""
    folder = str(launcher.run_dir.path)
    launcher.sign.every_s = config.alerts.heartbeat_s
    with launcher.watching_signals():
        try:
            launcher.beat()
            yield
            launcher.add("store", "store", "--run-dir", folder, *([] if store else ["--drain-only"]))
            launcher.add("logs", "logs", "--run-dir", folder)
            if has_page(config):
                with contextlib.suppress(RunError):            # the run does without; it is started again
                    launcher.add("watch", "watch", "--attend", "--run-dir", folder)
            launcher.loop(seconds)
        except (OSError, MemoryError) as error:
            launcher.failure = launcher.failure or in_words(error)
        except RunError as error:
            launcher.failure = launcher.failure or str(error)
        finally:
            launcher.stop()
            lock.release()
