"""The engine process alone."""
import typer

from engine import config as configuration
from engine.cli.options import Run, run_of
from engine.trail.rundir import RunDir

app = typer.Typer(add_completion=False)


@app.command(hidden=True)
def engine(base: str = "", source: str = "sim", run_dir: Run = None, seed: int = 1, observe: bool = False,
           paper: bool = False) -> None:
    """The engine process alone (what `run` starts)."""
    from engine.broker.upstox.client import API
    from engine.broker.upstox.login import load
    from engine.run.guards import Target
    from engine.run.live import main as work

    if source == "sim":
        target = Target(base, "demo", is_paper=paper)
    else:
        token = load()
        account = f"paper:{token.user or source}" if paper else source
        target = Target(API, token.text, source, account, token.expires.timestamp(), paper)
    work(configuration.load(), RunDir.new(run_dir) if run_dir is not None else run_of(None), target, seed, observe)
