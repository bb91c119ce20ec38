"""Operating a run and an account: pause, kill, log in, the morning in one command."""
import asyncio
import datetime as dt
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.commands.looking import evening
from engine.commands.options import Failed, Json, Run, app, run_of, show, token_for
from engine.commands.running import closing_words, run_upstox
from engine.trail.rundir import RunDir, new_run


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
