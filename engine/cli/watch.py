"""The page of a run."""
from typing import Annotated

import typer

from engine import config as configuration
from engine.cli.importing import imports
from engine.cli.options import Run, run_of

app = typer.Typer(add_completion=False)


@app.command()
def watch(run_dir: Run = None, attend: Annotated[bool, typer.Option("--attend", hidden=True)] = False) -> None:
    """Serve the page of a run in the browser: one that trades, or one that is over. `run` does so by itself."""
    folder, settings = run_of(run_dir), configuration.load()
    with imports():
        from engine.watch.server.serve import main as work

    work(folder, settings, attend)
