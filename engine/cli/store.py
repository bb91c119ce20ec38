"""The store process alone."""
import os
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import Run, run_of

app = typer.Typer(add_completion=False)


@app.command(hidden=True)
def store(run_dir: Run = None, once: bool = False, drain_only: bool = False,
          move: Annotated[bool, typer.Option(help="only move a run's own database into that of its folder")] = False,
          backtest: Annotated[Path | None, typer.Option(help="only store the results in the folder of a backtest",
                                                        metavar="FOLDER")] = None) -> None:
    """The store process alone: journal -> ClickHouse. This process becomes it, without its threads and without its secrets."""
    from engine.store import confinement

    if backtest is not None:
        from engine import config as configuration
        from engine.store.storing import put

        said = put(backtest, configuration.load())
        print(f"{backtest}: " + ("stored as" if said["is_new"] else "is there already as") + f" {said['backtest']}")
        return
    flags = [name for name, chosen in (("--once", once), ("--drain-only", drain_only), ("--move", move)) if chosen]
    command = confinement.command("--run-dir", str(run_of(run_dir).path), *flags)
    os.execve(command[0], command, confinement.environment())
