"""The engine on a simulated, recorded or real market."""
import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from engine import config as configuration
from engine.cli.options import Failed, Flatten, Json, LeaveStops, Run, ending_of, mood_of, seconds_of, show, source_of, speed_of
from engine.cli.starting import Opening, closing_words, run_live, run_max, run_upstox

app = typer.Typer()


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
