"""The log renderer alone."""
import typer

from engine.cli.options import Run, run_of

app = typer.Typer(add_completion=False)


@app.command(hidden=True)
def logs(run_dir: Run = None) -> None:
    """The log renderer alone: journal -> JSON lines."""
    from engine.watch.logs import main as work

    work(run_of(run_dir))
