"""Candles of the last months."""
import asyncio
import datetime as dt
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.broker.upstox import master
from engine.cli.options import Failed, Json, show, token_for
from engine.market import universe as work
from engine.market.sessions import IST

app = typer.Typer(no_args_is_help=True)


@app.callback()
def history() -> None:
    """Candles of the last months, kept on this machine."""


@app.command()
def sync(months: Annotated[int, typer.Option(min=1, max=12, help="how far back")] = 6,
         names: Annotated[str, typer.Option(help="symbols, separated by commas; by default every F&O stock")] = "",
         json: Json = False) -> None:
    """Fetch one-minute candles, newest month first; stop it and go on with it at will."""
    from engine.broker.base import BrokerError
    from engine.broker.upstox import fetch
    from engine.broker.upstox.api import Api
    from engine.broker.upstox.client import API
    from engine.market import history

    today = dt.datetime.now(IST).date()

    async def missing() -> dict[str, Any]:
        api = Api(token_for("upstox"), API, API)
        try:
            source, _ = await master.fetch(today)
            specs = work.build(source.listing, today, None, configuration.load().excluded).specs()
            wanted = {n.strip().upper() for n in names.split(",") if n.strip()} or {s.symbol for s in specs}
            keys = [s.key for s in specs if s.symbol in wanted and s.kind == "equity"]
            return await fetch.months(api, keys, today, months, lambda done, all_, what: json or print(f"{done}/{all_} {what}"))
        finally:
            await api.close()

    try:
        document = asyncio.run(missing())
    except BrokerError as error:
        raise Failed(str(error)) from None
    if json:
        show(document)
    else:
        print(f"{document['calls']} calls, {document['rows']:,} bars; {document['kept']} files in {history.folder()}")
        for what, why in document["failed"].items():
            print(f"failed: {what}: {why}")
    if document["failed"]:
        raise Failed(f"{len(document['failed'])} months could not be had: run it again")
