"""Running things: the engine on a simulated, recorded or real market, and the processes around it."""
import asyncio
import contextlib
import datetime as dt
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from _ext.wiring import Core
from engine import config as configuration
from engine.commands.examining import examine, show_checks
from engine.commands.options import (
    Failed,
    Flatten,
    Json,
    LeaveStops,
    Run,
    app,
    ending_of,
    mood_of,
    run_of,
    seconds_of,
    show,
    source_of,
    speed_of,
    token_for,
)
from engine.launcher import Launcher, launcher_lock, wait_for
from engine.trail.resources import in_words
from engine.trail.rundir import Attendance, Lock, RunDir, RunError, mark_latest, new_run
from engine.watch.signs import about_engine, is_alive, take_over
from engine.watch.view import speeds


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        context.invoke(run)


@app.command()
def run(source: Annotated[str, typer.Option(help="sim (no account needed) or upstox")] = "sim",
        data: Annotated[Path | None, typer.Option(help="folder of recorded ticks instead of the synthetic market")] = None,
        speed: Annotated[str, typer.Option(help="market seconds a second, up to 50 and what the machine can do, or max")] = "10",
        for_: Annotated[str | None, typer.Option("--for", help="stop so long after the engine is ready: wall time, as 60s")] = None,
        run_dir: Run = None, seed: Annotated[int, typer.Option(help="of the synthetic market")] = 3,
        day: Annotated[str | None, typer.Option(help="trading day, YYYY-MM-DD")] = None,
        names: Annotated[int, typer.Option(help="names of the synthetic market, up to 208")] = 208,
        start: Annotated[str, typer.Option(help="market time at which a synthetic day is joined")] = "09:15",
        minutes: Annotated[int, typer.Option(help="length of a synthetic day at --speed max")] = 375,
        contracts: Annotated[int, typer.Option(help="options of each stock besides its future; -1: stocks alone")] = -1,
        mood: Annotated[str, typer.Option(help="of the synthetic market: normal, or lively with moves four times as large")] = "",
        observe: Annotated[bool, typer.Option(help="decide, send nothing")] = False,
        live: Annotated[bool, typer.Option("--live", help="REAL ORDERS: needs a passing doctor and a typed word")] = False,
        store: Annotated[bool, typer.Option("--store/--no-store", help="fill ClickHouse")] = True, json: Json = False,
        flatten: Flatten = False, leave_stops: LeaveStops = False,
        unlisted: Annotated[bool, typer.Option("--unlisted", hidden=True, help="leave runs/latest as it is")] = False) -> None:
    """Run the engine: paper trading on a simulated or recorded market, everything journaled and stored."""
    settings = configuration.load()
    factor, seconds = speed_of(speed), seconds_of(for_) if for_ else None
    if source not in ("sim", "upstox"):
        raise typer.BadParameter(f"--source {source}: sim or upstox")
    if live and source != "upstox":
        raise typer.BadParameter("--live trades money: it needs --source upstox")
    ending = ending_of(flatten, leave_stops)
    date = dt.date.fromisoformat(day) if day else None
    opened = Opening(run_dir, is_listed=not unlisted)
    if source == "upstox":
        document = run_upstox(settings, opened, seconds, live, store, json, ending=ending)
    elif factor is None:
        market_of = source_of(data, seed, date, names, minutes, mood or "normal", contracts)
        document = run_max(settings, opened(), market_of, data, seed, seconds, store, json)
    else:
        mood_of(mood or "lively")
        document = run_live(settings, opened(), data, seed, date, names, start, factor, seconds, observe, store, json,
                            mood or "lively", contracts)
    if json:
        show(document)
    else:
        closing_words(document)
    if document.get("problem"):
        raise Failed(document["problem"])


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
            moment = dt.datetime.fromtimestamp(now / 1e9, dt.timezone(dt.timedelta(hours=5.5))).strftime("%H:%M:%S")
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


def faulty(market: Any, plus: bool, faults: Path | None) -> tuple[Any, Any]:
    """(rates of order faults, the feed with its script) as a file has them. Raises ConfigurationError."""
    from engine.sim.faults import from_file
    from engine.sim.feed import Feed, script_of

    try:
        rates, script = from_file(faults) if faults is not None else (None, [])
        return rates, Feed(market.specs, plus, script_of(script, market.day, [s.key for s in market.specs]))
    except (OSError, KeyError, ValueError) as error:
        raise configuration.ConfigurationError(f"{faults}: {getattr(error, 'strerror', None) or error}") from None


@app.command()
def sim(host: str = "127.0.0.1", port: int = 0, data: Path | None = None, speed: str = "1", seed: int = 1,
        day: str | None = None, names: int = 208, start: str = "09:15", token: str = "demo",
        mood: str = "normal", contracts: int = -1,
        plus: Annotated[bool, typer.Option(help="an account with Upstox Plus: full_d30 is served")] = False,
        faults: Annotated[Path | None, typer.Option(help=(
            "TOML file: rates of order faults (engine/sim/faults.py), [[feed]] faults by time (engine/sim/feed.py)"))] = None,
        tls_cert: Path | None = None, tls_key: Path | None = None,
        allow_host: Annotated[list[str] | None, typer.Option(help=(
            "a name the sim may be called by besides localhost and --host, such as one of a container; once for each"))] = None,
        address_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
        state_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
        attend: Annotated[Path | None, typer.Option(hidden=True, help="end with the run of this folder")] = None) -> None:
    """Serve a local Upstox: feed V3, orders v3, funds, positions, portfolio stream, candles. Token: demo.

    The market's day begins with the first subscription, order or look at prices. Where the machine is too slow for --speed the
    day runs slower; at its end the sim prints what speed was reached."""
    import ssl

    import uvloop

    from engine.market.sessions import epoch_ms, minute_of_session
    from engine.sim.exchange import Exchange
    from engine.sim.faults import Line
    from engine.sim.server import SimServer, serve_until

    factor = speed_of(speed) or 50.0
    settings = configuration.load()
    market = source_of(data, seed, dt.date.fromisoformat(day) if day else None, names, mood=mood, contracts=contracts)
    first = epoch_ms(market.day, minute_of_session(start))
    rates, feed = faulty(market, plus, faults)
    if data is None:
        market.skip_to(minute_of_session(start))
    else:
        first = int(market.received[0]) - 1000

    async def serve() -> None:
        exchange = Exchange(market.specs, round(settings.risk.account_size * 100))
        server = SimServer(market, exchange, factor, token, first, plus, Line(exchange, rates), feed, [host, *(allow_host or ())])
        context = None
        if tls_cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls_cert, tls_key)
        try:
            bound = await server.start(host, port, context)
        except OSError as error:
            raise RunError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
        if address_file is not None:
            address_file.write_text(f"http://{host}:{bound}\n")
        else:
            print(f"sim of {len(market.specs)} instruments, {market.day}, x{factor:g}, at http://{host}:{bound}, token {token}",
                  flush=True)
        attendance = Attendance(RunDir.existing(attend)) if attend is not None else None
        await serve_until(server, state_file, attendance.is_over if attendance is not None else lambda: False)
        if server.failure is not None:
            raise RunError(f"the market broke off: {type(server.failure).__name__}: {server.failure}")

    uvloop.run(serve())


@app.command(hidden=True)
def engine(base: str = "", source: str = "sim", run_dir: Run = None, seed: int = 1, observe: bool = False) -> None:
    """The engine process alone (what `run` starts)."""
    from engine.broker.upstox.client import API
    from engine.broker.upstox.login import load
    from engine.process import Target
    from engine.process import main as work

    if source == "sim":
        target = Target(base, "demo")
    else:
        token = load()
        target = Target(API, token.text, source, "upstox", token.expires.timestamp())
    work(configuration.load(), RunDir.new(run_dir) if run_dir is not None else run_of(None), target, seed, observe)


@app.command(hidden=True)
def store(run_dir: Run = None, once: bool = False, drain_only: bool = False) -> None:
    """The store process alone: journal -> ClickHouse. This process becomes it, without its threads and without its secrets."""
    from engine.store import confinement

    flags = [name for name, chosen in (("--once", once), ("--drain-only", drain_only)) if chosen]
    command = confinement.command("--run-dir", str(run_of(run_dir).path), *flags)
    os.execve(command[0], command, confinement.environment())


@app.command(hidden=True)
def logs(run_dir: Run = None) -> None:
    """The log renderer alone: journal -> JSON lines."""
    from engine.watch.logs import main as work

    work(run_of(run_dir))
