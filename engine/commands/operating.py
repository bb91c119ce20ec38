"""Operating a run and an account: pause, kill, log in, the morning in one command."""
import asyncio
import datetime as dt
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.broker.upstox import login as logins
from engine.commands.looking import evening
from engine.commands.options import Failed, Flatten, Json, LeaveStops, Run, app, ending_of, run_of, show, token_for
from engine.commands.running import Opening, closing_words, confirmed, run_upstox
from engine.market.master import MasterError
from engine.trail.rundir import RunError


@app.command()
def login(paste: Annotated[bool, typer.Option(help="paste a token of the broker's console")] = False,
          phone: Annotated[bool, typer.Option(help="approve on the phone")] = False,
          user: Annotated[str, typer.Option(help="the broker's user id it must be of; by default the last token's")] = "",
          analytics: Annotated[bool, typer.Option(help="the pasted token is the read-only, year-long one")] = False,
          status: Annotated[bool, typer.Option(help="only say what there is")] = False) -> None:
    """Get the broker's token: by browser, by phone, or pasted. It stays on this machine, readable by you alone."""
    import getpass

    if status:
        print(repr(logins.load()))
        return
    if paste:
        token = logins.pasted(getpass.getpass("token (not shown): "), "analytics" if analytics else "trading")
    else:
        token = _consented(phone, user)
    path = logins.token_file() if token.user else logins.save(token)
    print(f"{token!r} kept in {path}")


def _consented(phone: bool = False, user: str = "") -> logins.Token:
    """A token given by browser or phone, verified and kept."""
    from engine.broker.upstox import consent

    way = consent.phone if phone else consent.browser
    return asyncio.run(way(logins.app_of_environment(), lambda text: print(text if phone else f"open: {text}", flush=True),
                           tell=lambda text: print(text, flush=True), user=user))


@app.command()
def day(json: Json = False, live: Annotated[bool, typer.Option("--live", help="REAL ORDERS")] = False,
        forever: Annotated[bool, typer.Option("--forever", help="day after day, until stopped")] = False,
        flatten: Flatten = False, leave_stops: LeaveStops = False) -> None:
    """The morning in one command: is there a session, log in, doctor, run until the close, the evening's account."""
    if live and forever and not confirmed("every trading day from now on"):
        raise Failed("not confirmed; no order was sent")
    ending = ending_of(flatten, leave_stops)
    while True:
        if forever:
            _rest()
        try:
            told_to_stop = _trading_day(json, live, may_ask=not forever, is_confirmed=forever,
                                        ending=ending)
        except (Failed, RunError, MasterError, ValueError) as error:
            if not forever:
                raise
            print(f"ALARM: this day is over: {error}", flush=True)
            told_to_stop = False
            time.sleep(60)
        if not forever or told_to_stop:
            return


def _rest() -> None:
    """Until the next morning with a session, at once within one; the instrument file is fetched after the close and before the
    open."""
    from engine.market import calendar
    from engine.market.sessions import IST

    if calendar.is_market_day(dt.datetime.now(IST)):
        return
    while True:
        at, what = calendar.agenda(dt.datetime.now(IST))[0]
        print(f"next: {what} at {at:%A %d %B %H:%M}", flush=True)
        while (left := (at - dt.datetime.now(IST)).total_seconds()) > 0:       # small steps: a machine may sleep
            time.sleep(min(left, 30))
        if what == "morning":
            return
        _refresh()


def _refresh() -> None:
    from engine.market import master, universe
    from engine.market.sessions import IST

    today = dt.datetime.now(IST).date()
    try:
        source, note = asyncio.run(master.fetch(today, again=True))
        taken = universe.take(today, source, None, configuration.load().excluded)
    except master.MasterError as error:
        print(f"ALARM: {error}", flush=True)
        return
    blocked = [s.symbol for s in taken.universe.stocks.values() if s.status == universe.SUSPENDED]
    print(f"{len(taken.universe.stocks)} F&O stocks, {len(taken.changes):,} changes" + (f"; ALARM: {note}" if note else "")
          + (f"; not traded until acknowledged: {', '.join(blocked)}" if blocked else ""), flush=True)


def _token(may_ask: bool) -> logins.Token:
    """Today's token: there, asked for, or waited for."""
    told = False
    while True:
        try:
            return logins.load()
        except logins.LoginError as error:
            if may_ask:
                print(error)
                _consented()
                continue
            if not told:
                print(f"waiting for a token: {error}", flush=True)
                told = True
            time.sleep(15)


def _trading_day(json: bool, live: bool, may_ask: bool, is_confirmed: bool, ending: str) -> bool:
    """One session from now to its close and the account of it, nothing where there is none today; whether a signal ended it."""
    from engine.broker.upstox.api import Api
    from engine.broker.upstox.client import BrokerError
    from engine.market import calendar
    from engine.market.sessions import IST

    async def ask(token: str, date: dt.date) -> list[dict[str, Any]] | None:
        api = Api(token)
        try:
            return await api.timings(date)
        except BrokerError:
            return None
        finally:
            await api.close()

    token = _token(may_ask)
    now = dt.datetime.now(IST)                     # only now: a token may be waited for
    hours, note = calendar.hours_of(now.date(), asyncio.run(ask(token.text, now.date())))
    if note:
        print(note)
    if hours is None:
        print(f"{now:%A %d %B}: no session today")
        return False
    if live and not hours.is_regular:
        print(f"a session from {hours.open:%H:%M} to {hours.close:%H:%M} is watched, not traded")
        live = False
    close = dt.datetime.combine(now.date(), max(hours.close, dt.time(15, 40)) if hours.is_regular else hours.close, IST)
    if now >= close:
        print("the market has closed")
        return False
    document = run_upstox(configuration.load(), Opening(None), (close - now).total_seconds(), live, True, json, is_confirmed,
                          ending)
    closing_words(document)
    if document.get("problem"):
        raise Failed(document["problem"])
    evening(Path(document["run_dir"]))
    return bool(document.get("told_to_stop"))


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
