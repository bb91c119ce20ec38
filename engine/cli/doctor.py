"""What must be right before money is risked."""
import asyncio
from typing import Annotated, Any, Literal

import orjson
import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, run_of, show

app = typer.Typer(add_completion=False)


def show_checks(document: dict[str, Any]) -> None:
    for check in document["checks"]:
        print(f"{check['state']:>5}  {check['name']:<16} {check['said']}")


@app.command()
def doctor(source: Annotated[Literal["sim", "upstox"], typer.Option(help="sim (a running one) or upstox")] = "upstox",
           base: Annotated[str | None, typer.Option(help="of a sim; by default the latest run's")] = None,
           sandbox: Annotated[bool, typer.Option(help="send each golden order body to the broker's sandbox")] = False,
           json: Json = False) -> None:
    """Check everything that must be right before money is risked, and say what to do about what is not."""
    from engine.run.doctor import examine

    if source == "sim" and base is None:
        base = str(orjson.loads(run_of(None).engine.read_bytes()).get("base", ""))
    document = asyncio.run(examine(configuration.load(), source, base or "", sandbox))
    if json:
        show(document)
    else:
        show_checks(document)
    if not document["well"]:
        raise Failed("not fit to trade: see the lines that say fail")
