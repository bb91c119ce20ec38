"""Command line: `python -m engine`, also installed as `spike`. Exit 0 success, 1 a failed check, 2 bad usage or configuration."""
import asyncio
import datetime as dt
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

try:
    from _ext.wiring import Core
except ImportError as problem:
    sys.exit(f"the compiled path is missing or stale ({problem}): run `make install`")

import orjson
import typer

from engine import config as configuration
from engine.sim.recorded import DataError
from engine.trail.replay import JournalError
from engine.trail.rundir import Lock, RunDir, RunError, mark_latest, new_run

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False,
                  help="A deterministic, explainable trading engine for NSE F&O stocks.")
Run = Annotated[Path | None, typer.Option("--run-dir", help="folder of the run; by default the latest, or a new one")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else")]
DEFAULT_DAY = dt.date(2026, 9, 1)


class Failed(Exception):
    """A check failed: exit 1."""


def seconds_of(text: str) -> float:
    """`60s`, `5m`, `1h` or plain seconds."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise typer.BadParameter(f"{text!r}: write a duration such as 60s, 5m or 1h")
    return value


def speed_of(text: str) -> float | None:
    """A factor, or None for `max`."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 50:
        raise typer.BadParameter(f"{text!r}: a factor of up to 50, or max")
    return value


def show(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def run_of(path: Path | None) -> RunDir:
    return RunDir(path if path is not None else RunDir.latest())


def token_for(source: str) -> str:
    """The token of a source: `demo` for the sim, never another."""
    if source == "sim":
        return "demo"
    from engine.trade.login import stored_token

    return stored_token()


MOODS = {"normal": 1.0, "lively": 4.0}


def mood_of(text: str) -> float:
    if text not in MOODS:
        raise typer.BadParameter(f"--mood {text}: {' or '.join(MOODS)}")
    return MOODS[text]


def source_of(data: Path | None, seed: int, day: dt.date | None, names: int, minutes: int = 375, mood: str = "normal") -> Any:
    from engine.market.instruments import shipped
    from engine.sim import recorded
    from engine.sim.market import SyntheticMarket

    if data is not None and (data / "journal").is_dir():
        return recorded.Journaled(data / "journal")
    if data is not None:
        return recorded.load(data, day)
    market = SyntheticMarket(shipped()[:names], day or DEFAULT_DAY, seed, mood=mood_of(mood))
    market.minutes = min(market.minutes, minutes)
    return market


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        context.invoke(run)


@app.command()
def run(source: Annotated[str, typer.Option(help="sim (no account needed) or upstox")] = "sim",
        data: Annotated[Path | None, typer.Option(help="folder of recorded ticks instead of the synthetic market")] = None,
        speed: Annotated[str, typer.Option(help="market seconds a second, up to 50, or max")] = "10",
        for_: Annotated[str | None, typer.Option("--for", help="stop after this wall time, such as 60s")] = None,
        run_dir: Run = None, seed: Annotated[int, typer.Option(help="of the synthetic market")] = 3,
        day: Annotated[str | None, typer.Option(help="trading day, YYYY-MM-DD")] = None,
        names: Annotated[int, typer.Option(help="names of the synthetic market, up to 208")] = 208,
        start: Annotated[str, typer.Option(help="market time at which a synthetic day is joined")] = "09:15",
        minutes: Annotated[int, typer.Option(help="length of a synthetic day at --speed max")] = 375,
        mood: Annotated[str, typer.Option(help="of the synthetic market: normal, or lively with moves four times as large")] = "",
        observe: Annotated[bool, typer.Option(help="decide, send nothing")] = False,
        live: Annotated[bool, typer.Option("--live", help="REAL ORDERS: needs a passing doctor and a typed word")] = False,
        store: Annotated[bool, typer.Option("--store/--no-store", help="fill ClickHouse")] = True, json: Json = False) -> None:
    """Run the engine: paper trading on a simulated or recorded market, everything journaled and stored."""
    settings = configuration.load()
    factor, seconds = speed_of(speed), seconds_of(for_) if for_ else None
    if source not in ("sim", "upstox"):
        raise typer.BadParameter(f"--source {source}: sim or upstox")
    if live and source != "upstox":
        raise typer.BadParameter("--live trades money: it needs --source upstox")
    date = dt.date.fromisoformat(day) if day else None
    folder = RunDir(run_dir if run_dir is not None else new_run())
    mark_latest(folder.path)
    if source == "upstox":
        document = run_upstox(settings, folder, seconds, live, store, json)
    elif factor is None:
        document = run_max(settings, folder, source_of(data, seed, date, names, minutes, mood or "normal"), data, seed,
                           seconds, store, json)
    else:
        document = run_live(settings, folder, data, seed, date, names, start, factor, seconds, observe, store, json,
                            mood or "lively")
    if json:
        show(document)
    else:
        closing_words(document)
    if document.get("problem"):
        raise Failed(document["problem"])


def run_max(settings: Any, folder: RunDir, market: Any, data: Path | None, seed: int, seconds: float | None, store: bool,
            json: bool) -> dict[str, Any]:
    """As fast as it goes, in this process, on virtual time; the store follows in its own."""
    from engine.launcher import Launcher
    from engine.wiring import run_virtual

    lock = Lock(folder.path / "lock", f"run folder {folder.path}")
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
                document["problem"] = document["problem"] or f"store: {launcher.tail(child)}"
    except BaseException:
        launcher.stop()
        raise
    return document


def run_live(settings: Any, folder: RunDir, data: Path | None, seed: int, day: dt.date | None, names: int, start: str,
             factor: float, seconds: float | None, observe: bool, store: bool, json: bool, mood: str) -> dict[str, Any]:
    """In real time (or `factor` times it): sim, engine, store and logs as processes, the view in this one."""
    from engine.launcher import Launcher, launcher_lock, wait_for

    lock = launcher_lock(folder)
    market = f"recorded {data}" if data else f"SIMULATED market ({mood} day), x{factor:g}, paper money"
    mood_of(mood)
    launcher = Launcher(folder, f"spike · {market} · {folder.path}", quiet=json)
    address = folder.path / "sim.address"
    try:
        launched = ["--speed", str(factor), "--seed", str(seed), "--names", str(names), "--start", start, "--address-file",
                    str(address), "--mood", mood, *(["--data", str(data)] if data is not None else []),
                    *(["--day", day.isoformat()] if day is not None else [])]
        if not launcher.lives("sim"):
            if folder.reader().read() is not None:
                raise RunError(f"the simulated market of {folder.path} has ended, its positions with it: start a new run, or "
                               "look at this one with replay, query and explain")
            address.unlink(missing_ok=True)
        sim = launcher.add("sim", "sim", *launched)        # or the one a launcher that died has left
        base = wait_for(address, launcher, sim)
        sim.command += ["--port", base.rsplit(":", 1)[-1]]     # should it die, it comes back where the engine looks for it
        launcher.add("engine", "engine", "--run-dir", str(folder.path), "--base", base, "--seed", str(seed),
                     *(["--observe"] if observe else []))
        launcher.add("store", "store", "--run-dir", str(folder.path), *([] if store else ["--drain-only"]))
        launcher.add("logs", "logs", "--run-dir", str(folder.path))
        launcher.loop(seconds)
    except RunError as error:
        launcher.failure = str(error)
    finally:
        launcher.stop()
        lock.release()
    return launcher.summary()


def run_upstox(settings: Any, folder: RunDir, seconds: float | None, live: bool, store: bool, json: bool) -> dict[str, Any]:
    """The broker's feed. Without `live` it decides and sends nothing."""
    from engine.launcher import Launcher, launcher_lock
    from engine.trade.rollout import STEPS

    step = STEPS[settings.rollout.step - 1]
    if live:
        document = asyncio.run(examine("upstox", None, False))
        show_checks(document)
        if not document["well"]:
            raise Failed("doctor found what must be mended first; no order was sent")
        print(f"step {settings.rollout.step} of going live: {step.symbols} name(s), {step.notional:.1%} of the account each")
        if not sys.stdin.isatty() or typer.prompt("REAL ORDERS with real money. Type LIVE to go on") != "LIVE":
            raise Failed("not confirmed; no order was sent")
    else:
        token_for("upstox")
    lock = launcher_lock(folder)
    words = "REAL ORDERS" if live else "observing: nothing is sent"
    launcher = Launcher(folder, f"spike · UPSTOX, {words} · {folder.path}", quiet=json)
    try:
        launcher.add("engine", "engine", "--source", "upstox", "--run-dir", str(folder.path), *([] if live else ["--observe"]))
        launcher.add("store", "store", "--run-dir", str(folder.path), *([] if store else ["--drain-only"]))
        launcher.add("logs", "logs", "--run-dir", str(folder.path))
        launcher.loop(seconds)
    except RunError as error:
        launcher.failure = str(error)
    finally:
        launcher.stop()
        lock.release()
    return launcher.summary()


async def examine(source: str, base: str | None, sandbox: bool) -> dict[str, Any]:
    """All of doctor's checks as a document."""
    from engine.trade import login as logins
    from engine.trade.api import Api
    from engine.trade.broker import API, ORDERS
    from engine.watch.doctor import FAIL, SANDBOX, Doctor

    token, api, said = None, None, ""
    if source == "sim":
        if base is None:
            base = str(orjson.loads(run_of(None).engine.read_bytes())["base"])
        api = Api("demo", base, base)
    else:
        try:
            token = logins.load()
            api = Api(token.text, API, ORDERS)
        except logins.LoginError as error:
            said = str(error)
    doctor = Doctor(configuration.load(), api, token, source)
    if said:
        doctor.note("token", FAIL, said)
    try:
        if api is not None:
            await api.open()
        await doctor.run()
        if sandbox:
            box = Api(os.environ.get("ENGINE_SANDBOX_TOKEN", ""), SANDBOX, SANDBOX)
            try:
                await doctor.sandbox(box, Path(__file__).parents[1] / "proto" / "orders")
            finally:
                await box.close()
    finally:
        if api is not None:
            await api.close()
    return doctor.document()


def show_checks(document: dict[str, Any]) -> None:
    for check in document["checks"]:
        print(f"{check['state']:>5}  {check['name']:<16} {check['said']}")


@app.command()
def doctor(source: Annotated[str, typer.Option(help="sim (a running one) or upstox")] = "upstox",
           base: Annotated[str | None, typer.Option(help="of a sim; by default the latest run's")] = None,
           sandbox: Annotated[bool, typer.Option(help="send each golden order body to the broker's sandbox")] = False,
           json: Json = False) -> None:
    """Check everything that must be right before money is risked, and say what to do about what is not."""
    document = asyncio.run(examine(source, base, sandbox))
    if json:
        show(document)
    else:
        show_checks(document)
    if not document["well"]:
        raise Failed("not fit to trade: see the lines that say fail")


@app.command()
def login(paste: Annotated[bool, typer.Option(help="paste a token of the broker's console")] = False,
          phone: Annotated[bool, typer.Option(help="approve on the phone")] = False,
          analytics: Annotated[bool, typer.Option(help="the pasted token is the read-only, year-long one")] = False,
          status: Annotated[bool, typer.Option(help="only say what there is")] = False) -> None:
    """Get the broker's token: by browser, by phone, or pasted. It stays on this machine, readable by you alone."""
    import getpass

    from engine.trade import login as logins

    if status:
        print(repr(logins.load()))
        return
    if paste:
        token = logins.pasted(getpass.getpass("token (not shown): "), "analytics" if analytics else "trading")
    else:
        app_ = logins.app_of_environment()
        way = logins.phone if phone else logins.browser
        token = asyncio.run(way(app_, lambda text: print(f"open or approve: {text}", flush=True)))
    path = logins.save(token)
    print(f"{token!r} kept in {path}")


@app.command()
def day(json: Json = False, live: Annotated[bool, typer.Option("--live", help="REAL ORDERS")] = False) -> None:
    """The morning in one command: is there a session, log in, doctor, run until the close, the evening's account."""
    from engine.market.sessions import IST
    from engine.trade import login as logins
    from engine.trade.api import Api

    now = dt.datetime.now(IST)

    async def session() -> list[dict[str, Any]]:
        api = Api(logins.load().text)
        try:
            return await api.timings(now.date())
        finally:
            await api.close()

    try:
        logins.load()
    except logins.LoginError as error:
        print(error)
        logins.save(asyncio.run(logins.browser(logins.app_of_environment(), lambda text: print(f"open: {text}", flush=True))))
    if not asyncio.run(session()):
        print(f"{now:%A %d %B}: no session today")
        return
    close = now.replace(hour=15, minute=40, second=0, microsecond=0)
    if now >= close:
        print("the market has closed")
        return
    folder = RunDir(new_run())
    document = run_upstox(configuration.load(), folder, (close - now).total_seconds(), live, True, json)
    closing_words(document)
    evening(folder.path)


@app.command()
def evening(run_dir: Run = None, compare: Annotated[bool, typer.Option(help="with the broker's trades and charges")] = False,
            json: Json = False) -> None:
    """The day's account: entries, exits by reason, costs, alarms; --compare holds fills and charges against the broker's."""
    from engine.trade.api import Api
    from engine.trade.kill import target_of
    from engine.watch import evening as work

    folder = run_of(run_dir)
    done = work.read_day(folder.memory, folder.journal)
    document = work.summary(done)
    if compare:
        target = target_of(folder)

        async def ask() -> list[dict[str, Any]]:
            api = Api(token_for(target["source"]), target["base"], target["orders"])
            try:
                return await work.compare(done, api)
            finally:
                await api.close()

        document["differences"] = asyncio.run(ask())
    if json:
        show(document)
    else:
        exits = ", ".join(f"{n} by {why}" for why, n in sorted(document["exits"].items())) or "none"
        print(f"{document['entries']} entries; exits: {exits}")
        print(f"realised Rs {document['realised']:+,.2f}, charges {document['charges']:,.2f}, net {document['net']:+,.2f}")
        for name, count in document["alarms"].items():
            print(f"alarm: {name} ({count})")
        for row in document.get("differences", []):
            print(f"order {row['order']} {row['symbol']}: {row['what']} ours {row['ours']}, broker {row['broker']}")
        if compare and not document["differences"]:
            print("every fill and every charge agrees with the broker's, to the paisa")
    if document.get("differences"):
        raise Failed(f"{len(document['differences'])} differences from the broker")


def closing_words(d: dict[str, Any]) -> None:
    """The summary a person reads at the end."""
    if d.get("problem"):
        return
    print(f"\n{d['updates']:,} updates of {d['instruments']} instruments: {d['candidates']} candidates, {d['signals']} signals, "
          f"{d['orders']} orders; {d.get('stored', 0):,} ticks in ClickHouse")
    print(f"net Rs {d['net']:+,.2f} (realised {d['realised']:+,.2f}, open {d['open']:+,.2f}, charges {d['charges']:,.2f}), "
          "paper money")
    print(f"digest {d['digest']}, run folder {d['run_dir']}")
    print("next: `python -m engine replay`, `python -m engine query \"SELECT reason, count() FROM signals GROUP BY 1\"`, "
          "`python -m engine explain 1`")


@app.command()
def sim(host: str = "127.0.0.1", port: int = 0, data: Path | None = None, speed: str = "1", seed: int = 1,
        day: str | None = None, names: int = 208, start: str = "09:15", token: str = "demo",
        mood: str = "normal",
        plus: Annotated[bool, typer.Option(help="an account with Upstox Plus: full_d30 is served")] = False,
        faults: Annotated[Path | None, typer.Option(help="TOML file with rates of faults (engine/sim/faults.py)")] = None,
        tls_cert: Path | None = None, tls_key: Path | None = None,
        address_file: Annotated[Path | None, typer.Option(hidden=True)] = None) -> None:
    """Serve a local Upstox: feed V3, orders v3, funds, positions, portfolio stream, candles. Token: demo."""
    import ssl

    import uvloop

    from engine.market.sessions import epoch_ms, minute_of_session
    from engine.sim.exchange import Exchange
    from engine.sim.faults import Line, from_file
    from engine.sim.server import SimServer

    try:
        rates = from_file(faults) if faults is not None else None
    except (OSError, ValueError) as error:
        raise configuration.ConfigurationError(str(error)) from None

    factor = speed_of(speed) or 50.0
    settings = configuration.load()
    market = source_of(data, seed, dt.date.fromisoformat(day) if day else None, names, mood=mood)
    first = epoch_ms(market.day, minute_of_session(start))
    if data is None:
        market.skip_to(minute_of_session(start))
    else:
        first = int(market.received[0]) - 1000

    async def serve() -> None:
        exchange = Exchange(market.specs, round(settings.risk.account_size * 100))
        server = SimServer(market, exchange, factor, token, first, plus, Line(exchange, rates))
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
        await asyncio.Event().wait()

    uvloop.run(serve())


@app.command(hidden=True)
def engine(base: str = "", source: str = "sim", run_dir: Run = None, seed: int = 1, observe: bool = False) -> None:
    """The engine process alone (what `run` starts)."""
    from engine.process import Target
    from engine.process import main as work
    from engine.trade.broker import API

    target = Target(base, "demo") if source == "sim" else Target(API, token_for(source), source, "upstox")
    work(configuration.load(), run_of(run_dir), target, seed, observe)


@app.command()
def replay(journal: Annotated[Path | None, typer.Argument(help="run folder or journal folder; by default the latest run")] = None,
           json: Json = False) -> None:
    """Recompute every decision of a journal from its inputs and compare."""
    from engine.trail.replay import replay as work

    settings = configuration.load()
    document = work(journal if journal is not None else RunDir.latest(), Path(settings.models))
    if json:
        show(document)
    else:
        print(f"{document['updates']:,} updates in {document['seconds']} s ({document['updates_per_s']:,}/s), "
              f"{document['candidates']} candidates, {document['intents']} intents, {document['matched']} decisions the same, "
              f"{document['mismatched']} different, {document['corrupt']} corrupt records")
        print(f"digest {document['digest']}, {'IDENTICAL' if document['identical'] else 'NOT IDENTICAL'}")
    if not document["identical"]:
        raise Failed(document["first_mismatch"] or document["problem"] or "the digests differ")


@app.command()
def explain(number: int, run_dir: Run = None, json: Json = False,
            order: Annotated[bool, typer.Option("--order", help="the number is an order's, not a candidate's")] = False) -> None:
    """Show the chain of one candidate: tick, statistics, features, score, the rule that said no, orders, stage times."""
    from engine.watch.explain import candidate_of
    from engine.watch.explain import explain as work

    folder = run_of(run_dir).path
    if order:
        found = candidate_of(folder, number)
        if found is None:
            raise Failed(f"there is no order {number} in this run: `python -m engine query \"SELECT id, event FROM orders\"`")
        number = found
    document = work(folder, number)
    if document is None:
        raise Failed(f"there is no candidate {number} in this run: `python -m engine query \"SELECT id, reason FROM signals\"`")
    if json:
        show(document)
        return
    print(f"candidate {number}: {document['symbol']} at {document['time']}, verdict {document['verdict']} "
          f"({document['measured']:.4g} against {document['limit']:.4g})")
    for name in ("tick", "statistics", "features"):
        print(f"  {name}: " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in document[name].items()))
    print(f"  score {document['score']:.3f}, at the next update {document['score_next']:.3f}, model {document['model']}")
    for line in document["chain"]:
        print(f"  {line}")
    if "stages_ns" in document:
        print("  stages: " + ", ".join(f"{k} {v / 1000:.1f} us" for k, v in document["stages_ns"].items()))


@app.command()
def query(sql: str, run_dir: Run = None, json: Json = False) -> None:
    """Ask the run's ClickHouse, while it runs or afterwards. Read-only."""
    from engine.trail.sidecar import client_of

    with client_of(configuration.load(), run_of(run_dir)) as client:
        try:
            result = client.query(sql)
        except Exception as error:
            raise Failed(str(error).split("(for url")[0].strip()) from None
        names, rows = result.column_names, result.result_rows
    if json:
        show([dict(zip(names, map(_plain, row), strict=True)) for row in rows])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*names)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else str(value)


@app.command()
def status(run_dir: Run = None, json: Json = False) -> None:
    """Vital signs of a run."""
    from engine.launcher import Launcher, is_running

    folder = run_of(run_dir)
    document = Launcher(folder, "").summary() | {"running": is_running(folder)}
    if json:
        show(document)
    else:
        for name, value in document.items():
            print(f"{name:>16}  {value}")


def _operate(run_dir: Path | None, state: int, word: str) -> None:
    from _ext.trail.status import StatusBlock
    from engine.launcher import is_running

    folder = run_of(run_dir)
    if not is_running(folder):
        raise Failed(f"no engine runs in {folder.path}")
    block = StatusBlock(folder.status)
    block.operator = state
    end = time.monotonic() + 2
    while time.monotonic() < end:
        seen = block.read()
        if seen is not None and seen["operator"] == state:
            print(f"{word}: the engine has seen it")
            return
        time.sleep(0.02)
    raise Failed(f"{word}: written, but the engine has not answered within 2 s")


@app.command()
def pause(run_dir: Run = None) -> None:
    """No new entries; positions stay protected."""
    _operate(run_dir, 1, "pause")


@app.command()
def resume(run_dir: Run = None) -> None:
    """Entries again."""
    _operate(run_dir, 0, "resume")


@app.command()
def flatten(run_dir: Run = None) -> None:
    """Cancel entries and close every position; nothing new until `resume`."""
    _operate(run_dir, 3, "flatten")


@app.command()
def kill(run_dir: Run = None, json: Json = False,
         account: Annotated[bool, typer.Option("--account", help="every intraday position, whoever opened it")] = False,
         drill: Annotated[bool, typer.Option("--drill", help="a rehearsal on a sim of its own, with each step's time")] = False,
         switch_off: Annotated[str | None, typer.Option("--switch-off", metavar="SEGMENT", help=(
             "last resort, when all is flat: the broker's own switch of a segment such as NSE_EQ, 12 hours long"))] = None,
         yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """End the engine whatever it does, cancel its orders, close its positions; works on one that hangs."""
    from engine.trade import drill as drills
    from engine.trade import kill as work

    if drill:
        document = drills.run()
    else:
        folder = run_of(run_dir)
        target = work.target_of(folder)
        token = token_for(target["source"])
        if not yes and sys.stdin.isatty():
            typer.confirm(f"End the engine of {folder.path} and close its positions?", abort=True)
        if switch_off:
            document = asyncio.run(work.switch_off(target, token, switch_off))
        else:
            document = asyncio.run(work.kill(folder, token, account, lambda text: print(text, file=sys.stderr)))
    if json:
        show(document)
    else:
        for step in document["steps"]:
            print(f"{step['ms']:>9,.1f} ms  {step['step']}{': ' + step['outcome'] if step['outcome'] else ''}")
        print("flat" if document["flat"] else f"STILL OPEN: {document['left']}; close it in the broker's app")
    if not document["flat"]:
        raise Failed(f"still open: {document['left']}")


@app.command(hidden=True)
def store(run_dir: Run = None, once: bool = False, drain_only: bool = False) -> None:
    """The store process alone: journal -> ClickHouse."""
    from engine.trail.sidecar import main as work

    work(configuration.load(), run_of(run_dir), once, drain_only)


@app.command(hidden=True)
def logs(run_dir: Run = None) -> None:
    """The log renderer alone: journal -> JSON lines."""
    from engine.watch.logs import main as work

    work(run_of(run_dir))


@app.command()
def train(seed: int = 7, days: int = 3, names: int = 60, out: Path = Path("models"), json: Json = False) -> None:
    """Train the noise filter on the generator and make it the active model."""
    from engine.lab.train import train as work

    card = work(out, seed, days, names)
    show(card) if json else print(f"{card['sha256'][:16]}.onnx: {card['rows']} rows; card in {out / 'card.md'}")


def main() -> None:
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (Failed, RunError) as error:
        sys.exit(_say(error, 1))
    except (configuration.ConfigurationError, DataError, JournalError) as error:
        sys.exit(_say(error, 2))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):
            sys.exit(_say(error.format_message(), 2))
        if os.environ.get("ENGINE_DEBUG"):
            raise
        sys.exit(_say(f"{type(error).__name__}: {error}", 1))


def _say(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
