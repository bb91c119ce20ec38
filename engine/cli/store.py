"""The store process alone."""
import os

import typer

from engine.cli.options import Run, run_of

app = typer.Typer()


@app.command(hidden=True)
def store(run_dir: Run = None, once: bool = False, drain_only: bool = False) -> None:
    """The store process alone: journal -> ClickHouse. This process becomes it, without its threads and without its secrets."""
    from engine.store import confinement

    flags = [name for name, chosen in (("--once", once), ("--drain-only", drain_only)) if chosen]
    command = confinement.command("--run-dir", str(run_of(run_dir).path), *flags)
    os.execve(command[0], command, confinement.environment())
