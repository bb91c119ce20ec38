"""The engine on a simulated, recorded or real market."""
import typer

from engine import config as configuration
from engine.cli.closing import agreed, closing_words
from engine.cli.options import Failed, Json, show
from engine.cli.typed import options_of
from engine.run.options import RunOptions

app = typer.Typer(add_completion=False)


@app.command()
@options_of(RunOptions)
def run(options: RunOptions, json: Json = False) -> None:
    """Run the engine: paper trading on a simulated or recorded market, everything journaled and stored."""
    from engine.run.session import run as work

    document = work(options, configuration.load(), json, lambda text: json or print(text, flush=True), agreed)
    if json:
        show(document)
    else:
        closing_words(document)
    if document.get("problem"):
        raise Failed(document["problem"])
