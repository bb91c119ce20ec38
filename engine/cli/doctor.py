"""What must be right before money is risked."""
import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, run_of, show

app = typer.Typer()


async def examine(source: str, base: str | None, sandbox: bool) -> dict[str, Any]:
    """All of doctor's checks as a document."""
    from engine.broker.upstox import login as logins
    from engine.broker.upstox.api import Api
    from engine.broker.upstox.client import API, ORDERS
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
                await doctor.sandbox(box, Path(__file__).parents[2] / "proto" / "orders")
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
