"""What `run` and `day` share: the folder of a run, the processes around an engine, the words at its end."""
import asyncio
import contextlib
import datetime as dt
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from _ext.wiring import Core
from engine.cli.doctor import examine, show_checks
from engine.cli.options import Failed, token_for
from engine.launcher import Launcher, launcher_lock, wait_for
from engine.market.sessions import IST
from engine.trail.resources import in_words
from engine.trail.rundir import Lock, RunDir, RunError, mark_latest, new_run
from engine.watch.signs import about_engine, is_alive, take_over
from engine.watch.view import speeds


class Opening:
    """The folder of a run, made when it begins and not before: what is refused leaves no empty folder, and `latest` as it was."""

    def __init__(self, path: Path | None, is_listed: bool = True):
        self.path, self.is_listed = path, is_listed

    def __call__(self) -> RunDir:
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


def run_max(settings: Any, folder: RunDir, market: Any, data: Path | None, seed: int, seconds: float | None, store: bool,
            json: bool) -> dict[str, Any]:
    """As fast as it goes, in this process, on virtual time; the store follows in its own."""
    from engine.wiring import run_virtual

    lock = Lock(folder.lock, f"run folder {folder.path}")
    launcher = Launcher(folder, "", quiet=True)
    child = launcher.add("store", "store", "--run-dir", str(folder.path), "--once") if store else None
    told = [time.monotonic()]

    def progress(core: Core, now: int) -> None:
        if not json and time.monotonic() - told[0] > 1:
            told[0] = time.monotonic()
            counts = core.counts()
            moment = dt.datetime.fromtimestamp(now / 1e9, IST).strftime("%H:%M:%S")
            print(f"{moment} market time: {counts['updates']:,} updates, {counts['signals']} signals, {counts['orders']} orders",
                  flush=True)

    try:
        document = run_virtual(settings, market, str(data) if data else "synthetic", folder, seed, seconds, progress)
        lock.release()
        if child is not None and child.process is not None:
            if not json:
                print("filling ClickHouse ...", flush=True)
            child.process.wait()
            _, state = launcher.read()
            document |= {"stored": state.get("stored", 0)}
            if child.process.returncode:
                document["problem"] = document["problem"] or f"store: {child.last_words()}"
    except BaseException:
        launcher.stop()
        raise
    return document


def run_live(settings: Any, folder: RunDir, data: Path | None, seed: int, day: dt.date | None, names: int, start: str,
             factor: float, seconds: float | None, observe: bool, store: bool, json: bool, mood: str,
             contracts: int) -> dict[str, Any]:
    """In real time (or `factor` times it): sim, engine, store and logs as processes, the view in this one."""
    lock = launcher_lock(folder)
    market = f"recorded {data}" if data else f"SIMULATED market ({mood} day), x{factor:g}, paper money"
    launcher = Launcher(folder, f"spike · {market} · {folder.path}", quiet=json)
    address = folder.path / "sim.address"
    with attended(launcher, lock, seconds, store):
        launched = ["--speed", str(factor), "--seed", str(seed), "--names", str(names), "--start", start, "--address-file",
                    str(address), "--state-file", str(folder.market), "--mood", mood, "--contracts", str(contracts),
                    "--attend", str(folder.path),
                    *(["--data", str(data)] if data is not None else []), *(["--day", day.isoformat()] if day is not None else [])]
        if not launcher.lives("sim"):
            if folder.reader().read() is not None:
                raise RunError(f"the simulated market of {folder.path} has ended, its positions with it: start a new run, or "
                               "look at this one with replay, query and explain")
            address.unlink(missing_ok=True)
            folder.market.unlink(missing_ok=True)
        sim = launcher.add("sim", "sim", *launched)        # or the one a launcher that died has left
        base = wait_for(address, launcher, sim)
        sim.command += ["--port", base.rsplit(":", 1)[-1]]     # should it die, it comes back where the engine looks for it
        launcher.is_observing = observe
        launcher.add("engine", "engine", "--run-dir", str(folder.path), "--base", base, "--seed", str(seed),
                     *(["--observe"] if observe else []))
    return launcher.summary()


def run_upstox(settings: Any, opening: "Opening", seconds: float | None, live: bool, store: bool, json: bool,
               is_confirmed: bool = False, ending: str = "") -> dict[str, Any]:
    """The broker's feed. Without `live` it decides and sends nothing. `ending`: what becomes of positions when a live run ends."""
    from engine.trade.rollout import STEPS

    step = STEPS[settings.rollout.step - 1]
    if live:
        document = asyncio.run(examine("upstox", None, False))
        show_checks(document)
        if not document["well"]:
            raise Failed("doctor found what must be mended first; no order was sent")
        print(f"step {settings.rollout.step} of going live: {step.symbols} name(s), {step.notional:.1%} of the account each")
        if not is_confirmed and not confirmed("today"):
            raise Failed("not confirmed; no order was sent")
    else:
        token_for("upstox")
    folder = opening.living()
    if folder is not None:
        same = bool(about_engine(folder).get("live")) == live
        words = f"the engine of {folder.path} (process {about_engine(folder)['pid']}) still runs"
        if not same:
            raise Failed(f"{words}, and is another kind of run than this: {take_over(folder.path)} as it was started, or "
                         f"`python -m engine kill --run-dir {folder.path}`")
        print(f"{words}: going on with it", file=sys.stderr)
    folder = folder or opening()
    lock = launcher_lock(folder)
    words = "REAL ORDERS" if live else "observing: nothing is sent"
    launcher = Launcher(folder, f"spike · UPSTOX, {words} · {folder.path}", quiet=json, is_live=live, ending=ending)
    with attended(launcher, lock, seconds, store):
        launcher.is_observing = not live
        launcher.add("engine", "engine", "--source", "upstox", "--run-dir", str(folder.path), *([] if live else ["--observe"]))
    return launcher.summary()


def confirmed(when: str) -> bool:
    """Whether a person at a terminal types the word."""
    return sys.stdin.isatty() and typer.prompt(f"REAL ORDERS with real money, {when}. Type LIVE to go on") == "LIVE"


@contextlib.contextmanager
def attended(launcher: Launcher, lock: Lock, seconds: float | None, store: bool) -> Iterator[None]:
    """The block starts an engine; store and logs join it and all are watched over until told to stop. Whatever happens, every
    process ends, and a RunError becomes the run's problem."""
    folder = str(launcher.run_dir.path)
    with launcher.heeding():
        try:
            launcher.beat()
            yield
            launcher.add("store", "store", "--run-dir", folder, *([] if store else ["--drain-only"]))
            launcher.add("logs", "logs", "--run-dir", folder)
            launcher.loop(seconds)
        except (OSError, MemoryError) as error:
            launcher.failure = launcher.failure or in_words(error)
        except RunError as error:
            launcher.failure = launcher.failure or str(error)
        finally:
            launcher.stop()
            lock.release()


def closing_words(d: dict[str, Any]) -> None:
    """The summary a person reads at the end."""
    for text in d.get("troubles", []):
        print(f"TROUBLE: {text}")
    if "updates" not in d:
        return
    print(f"\n{d['updates']:,} updates of {d['instruments']} instruments: {d['candidates']} candidates, {d['signals']} signals, "
          f"{d['orders']} orders; {d.get('stored', 0):,} ticks in ClickHouse" + (
              "; the filter was OFF" if d.get("filter") == "OFF" else ""))
    print(f"net Rs {d['net']:+,.2f} (realised {d['realised']:+,.2f}, open {d['open']:+,.2f}, charges {d['charges']:,.2f}), "
          "paper money")
    if (market := d.get("market")) is not None and market["reached_in_all"] < 0.95 * market["asked"]:
        print(f"the market ran slower than asked, this machine being too slow for it: "
              f"{speeds(market['asked'], market['reached_in_all'])}")
    print(f"digest {d['digest']}, run folder {d['run_dir']}")
    print("next: `python -m engine replay`, `python -m engine query \"SELECT reason, count() FROM signals GROUP BY 1\"`, "
          "`python -m engine explain 1`")
