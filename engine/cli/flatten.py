"""Every position closed."""
import typer

from _ext.core.records import DO_FLATTEN
from engine.cli.operator import instruct
from engine.cli.options import Run

app = typer.Typer(add_completion=False)


@app.command()
def flatten(run_dir: Run = None) -> None:
    """Cancel entries and close every position; nothing new until `resume`."""
    instruct(run_dir, DO_FLATTEN, "flatten")
