"""No new entries."""
import typer

from engine.cli.operator import instruct
from engine.cli.options import Run

app = typer.Typer()


@app.command()
def pause(run_dir: Run = None) -> None:
    """No new entries; positions stay protected."""
    instruct(run_dir, 1, "pause")
