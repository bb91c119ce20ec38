"""Strategies in Python: a new one, and whether one's backtest can be believed."""
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from engine.cli.options import Failed, Json, show
from engine.errors import UsageError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def strategy() -> None:
    """Write a strategy, and check that nothing but the market decides it."""


@app.command("new")
def new_(name: Annotated[str, typer.Argument(help="of the strategy: small letters, digits and _")],
         folder: Annotated[Path, typer.Option(help="where its files go")] = Path("strategies")) -> None:
    """Write a strategy that works, and its test."""
    from engine.strategies.loading import NAME
    from engine.strategies.template import STRATEGY, TEST

    if not NAME.fullmatch(name):
        raise UsageError(f"{name}: a name has small letters, digits and _, at most 31, and begins with a letter")
    kind = "".join(part.capitalize() for part in name.split("_"))
    files = {folder / f"{name}.py": STRATEGY, folder / f"test_{name}.py": TEST}
    if there := [str(path) for path in files if path.exists()]:
        raise UsageError(f"{there[0]} is there already: choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text.format(name=name, kind=kind, folder=folder, title=name.replace("_", " ").capitalize()))
        print(path)
    print(f'engine.toml:\n[strategies.{name}]\nfile = "{folder / name}.py"\n'
          f"then: python -m engine strategy check {folder / name}.py; python -m engine backtest --data DAYS")


@app.command("list")
def list_() -> None:
    """Strategies that come with the engine."""
    from engine.strategies.loading import path_of, shipped

    for name in shipped():
        first = path_of(name).read_text().split('"""')[1].replace("\n", " ")
        print(f"{name}: {first}")


@app.command("check")
def check_(file: Annotated[str, typer.Argument(help="of the strategy, or the name of one that comes with the engine")],
           data: Annotated[Path | None, typer.Option(help="a day file to play; by default a day is generated")] = None,
           parameters: Annotated[str, typer.Option(help="of the strategy, as JSON")] = "{}",
           seed: Annotated[int, typer.Option(help="number the instants and the noise are drawn from", min=0)] = 1,
           json: Json = False) -> None:
    """Play a day often: cut at ten instants with noise after them, with other hash seeds, on a clock a year ahead. Every decision
    up to the cut must be the same; files it opens are named."""
    from engine.backtest.check import check
    from engine.strategies.loading import path_of

    try:
        given = orjson.loads(parameters)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError(f"--parameters {parameters}: write them as '{{\"bars\": 10}}'")
    document = check(path_of(file), given, data, seed, say=lambda text: print(text, file=sys.stderr, flush=True))
    if json:
        show(document)
    else:
        print(f"{document['plays']} plays, {document['calls']:,} calls of {document['us_a_call'] or 0} us, "
              f"{document['candidates']} candidates, {document['trades']} trades")
        for problem in document["problems"]:
            print(f"- {problem}")
        if not document["candidates"]:
            print("note: it proposed nothing, so little was checked: give it a day on which it does (--data)")
        if not document["is_confined"]:
            print("note: this kernel has no Landlock: what a library opens on its own is not seen")
    if document["problems"]:
        raise Failed("a backtest of this strategy cannot be believed: mend what is listed")
    if not json:
        print("the same decisions each time")
