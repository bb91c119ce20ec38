"""Entries again."""
import typer

from _ext.core.records import DO_RUN
from engine.cli.operator import instruct
from engine.cli.options import Run

app = typer.Typer(add_completion=False)


@app.command()
def resume(run_dir: Run = None) -> None:
    """Entries again."""
    instruct(run_dir, DO_RUN, "resume")
