"""The report of a day."""
import asyncio
from typing import Annotated, Any

import typer

from engine.cli.options import Failed, Json, Run, fail_where, run_of, show, token_for
from engine.trail.checked import damage_of, reader_of

app = typer.Typer(add_completion=False)


@app.command()
def report(run_dir: Run = None, compare: Annotated[bool, typer.Option(help="with the broker's trades and charges")] = False,
            json: Json = False) -> None:
    """The day's report: entries, exits by reason, costs, alarms; --compare holds fills and charges against the broker's."""
    from engine.backtest.steps import note_evening
    from engine.broker.upstox.api import Api
    from engine.run.fence import target_of
    from engine.watch import day_report as work
    from engine.watch.state import RunState

    folder = run_of(run_dir)
    reader = reader_of(folder.path)
    done = RunState.after(reader)
    damage = damage_of(folder.path, reader)
    document = work.summary(done) | {"problem": damage}
    if compare:
        target = target_of(folder)
        if target.get("paper"):
            raise Failed(f"{folder.path} trades on paper: no broker has its trades; `python -m engine parity` holds it against the "
                         "backtester")

        async def ask() -> list[dict[str, Any]]:
            api = Api(token_for(target["source"]), target["base"], target["orders"])
            try:
                return await work.compare(done, api)
            finally:
                await api.close()

        document["differences"] = asyncio.run(ask())
        note_evening(folder, len(document["differences"]))
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
    fail_where(damage)
    if document.get("differences"):
        raise Failed(f"{len(document['differences'])} differences from the broker")
