"""Entries again."""
import typer

from engine.cli.operator import instruct
from engine.cli.options import Run

app = typer.Typer()


@app.command()
def resume(run_dir: Run = None) -> None:
    """Entries again."""
    instruct(run_dir, 0, "resume")
