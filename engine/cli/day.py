"""The morning in one command, or every day from now on."""
import asyncio
import datetime as dt
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.broker.upstox import login as logins
from engine.cli.evening import evening
from engine.cli.login import consented
from engine.cli.options import Failed, Flatten, Json, LeaveStops, ending_of
from engine.cli.starting import Opening, closing_words, confirmed, run_upstox
from engine.market.master import MasterError
from engine.trail.rundir import RunError

app = typer.Typer()


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
                consented()
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
