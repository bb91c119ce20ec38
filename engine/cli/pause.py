"""No new entries."""
import typer

from _ext.core.records import DO_PAUSE
from engine.cli.operator import instruct
from engine.cli.options import Run

app = typer.Typer(add_completion=False)


@app.command()
def pause(run_dir: Run = None) -> None:
    """No new entries; positions stay protected."""
    instruct(run_dir, DO_PAUSE, "pause")
