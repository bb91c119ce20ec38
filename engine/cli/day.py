"""The morning in one command, or every day from now on."""
import asyncio
import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine import config as configuration
from engine.broker.upstox import login as logins
from engine.broker.upstox.master import MasterError
from engine.cli.closing import agreed, closing_words, confirmed, shown
from engine.cli.login import consented
from engine.cli.options import Failed, Json
from engine.cli.report import report
from engine.trail.rundir import RunError

if TYPE_CHECKING:
    from engine.run.options import RunOptions

app = typer.Typer(add_completion=False)


@app.command()
def day(json: Json = False, live: Annotated[bool, typer.Option("--live", help="REAL ORDERS")] = False,
        paper: Annotated[bool, typer.Option("--paper", help="the engine's own matching, as without --live")] = False,
        observe: Annotated[bool, typer.Option("--observe", help="decide, send nothing")] = False,
        forever: Annotated[bool, typer.Option("--forever", help="day after day, until stopped")] = False,
        flatten: Annotated[bool, typer.Option("--flatten", help="--live: at the end close every position")] = False,
        leave_stops: Annotated[bool, typer.Option("--leave-stops", help="--live: at the end leave them with their stops")] = False,
        ) -> None:
    """The morning in one command: is there a session, log in, doctor, run until the close, the day's report."""
    if live and forever and not confirmed("every trading day from now on"):
        raise Failed("not confirmed; no order was sent")
    from engine.run.options import RunOptions, made
    from engine.run.session import NotReady

    options = made(RunOptions, {"source": "upstox", "live": live, "paper": paper, "observe": observe, "flatten": flatten,
                                "leave_stops": leave_stops})
    is_over = False
    while True:
        if forever:
            _rest(is_over)
        try:
            told_to_stop = _trading_day(options, json, is_attended=not forever)
            is_over = True
        except (Failed, NotReady, RunError, MasterError, ValueError) as error:
            if not forever:
                raise
            print(f"ALARM: this day is over: {error}", flush=True)
            told_to_stop = is_over = False
            time.sleep(60)
        if not forever or told_to_stop:
            return


def _rest(is_over: bool) -> None:
    """Until the next morning with a session, at once within one unless what it had to do is over; the instrument file is fetched
    after the close and before the open."""
    from engine.market import calendar
    from engine.market.sessions import IST

    if not is_over and calendar.is_market_day(dt.datetime.now(IST)):
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
    from engine.broker.upstox import master
    from engine.market.sessions import IST
    from engine.market.universe import SUSPENDED
    from engine.run.universe import take

    today = dt.datetime.now(IST).date()
    try:
        source, note = asyncio.run(master.fetch(today, again=True))
        taken = take(today, source.listing, None, configuration.load().excluded)
    except master.MasterError as error:
        print(f"ALARM: {error}", flush=True)
        return
    blocked = [s.symbol for s in taken.universe.stocks.values() if s.status == SUSPENDED]
    print(f"{len(taken.universe.stocks)} F&O stocks, {len(taken.changes):,} changes" + (f"; ALARM: {note}" if note else "")
          + (f"; not traded until acknowledged: {', '.join(blocked)}" if blocked else ""), flush=True)


def rollout_of_today() -> None:
    """Judges the days that are over and says where going live stands."""
    from engine.backtest.steps import judge
    from engine.run.rollout import add, load

    state = add(judge(load(), Path("runs").glob("*"), configuration.load()))
    print(f"roll-out: {state.words}")


def _token(may_ask: bool) -> logins.Token:
    """Today's token: there, asked for, or waited for."""
    told = False
    while True:
        try:
            return logins.load()
        except logins.LoginError as error:
            if may_ask:
                print(error)
                consented()
                continue
            if not told:
                print(f"waiting for a token: {error}", flush=True)
                told = True
            time.sleep(15)


def _trading_day(options: "RunOptions", json: bool, is_attended: bool) -> bool:
    """One session from now to its close and the account of it, nothing where there is none today; whether a signal ended it.
    `is_attended`: a person is there to log in and to type the word; where nobody is, it was typed for every day."""
    from engine.broker.base import BrokerError
    from engine.broker.upstox.market import ReadOnly
    from engine.market import calendar
    from engine.market.sessions import IST
    from engine.run.session import run

    async def ask(token: str, date: dt.date) -> list[dict[str, Any]] | None:
        api = ReadOnly(token)
        try:
            return await api.timings(date)
        except BrokerError:
            return None
        finally:
            await api.close()

    token = _token(is_attended)
    now = dt.datetime.now(IST)                     # only now: a token may be waited for
    hours, note = calendar.hours_of(now.date(), asyncio.run(ask(token.text, now.date())))
    if note:
        print(note)
    if hours is None:
        print(f"{now:%A %d %B}: no session today")
        return False
    is_live = options.live and hours.is_regular
    if options.live and not is_live:
        print(f"a session from {hours.open:%H:%M} to {hours.close:%H:%M} is watched, not traded")
    close = dt.datetime.combine(now.date(), max(hours.close, dt.time(15, 40)) if hours.is_regular else hours.close, IST)
    if now >= close:
        print("the market has closed")
        return False
    today = options.model_copy(update={"live": is_live, "seconds": (close - now).total_seconds()})
    document = run(today, configuration.load(), quiet=json, confirm=agreed if is_attended else shown)
    closing_words(document)
    if document.get("problem"):
        raise Failed(document["problem"])
    try:
        report(Path(document["run_dir"]), compare=is_live)     # a day with real money is judged by it
    finally:
        if not options.observe:
            rollout_of_today()
    return bool(document.get("told_to_stop"))
