"""Every decision of a journal, recomputed."""
from pathlib import Path
from typing import Annotated

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, run_of, show

app = typer.Typer(add_completion=False)


@app.command()
def replay(journal: Annotated[Path | None, typer.Argument(help="run folder or journal folder; by default the latest run")] = None,
           run_dir: Run = None, json: Json = False) -> None:
    """Recompute every decision of a journal from its inputs and compare."""
    from engine.backtest.remade import replayed

    settings = configuration.load()
    if journal is not None and run_dir is not None:
        raise typer.BadParameter("a folder and --run-dir: give one of them")
    document = replayed(journal if journal is not None else run_of(run_dir).path, settings)
    if json:
        show(document)
    else:
        print(f"{document['updates']:,} updates in {document['seconds']} s ({document['updates_per_s']:,}/s), "
              f"{document['candidates']} candidates, {document['intents']} intents, {document['matched']} decisions the same, "
              f"{document['mismatched']} different, {document['corrupt']} corrupt records, {document['lost']} missing")
        print(f"digest {document['digest']}, {'IDENTICAL' if document['identical'] else 'NOT IDENTICAL'}")
    if not document["identical"]:
        raise Failed(document["problem"] or document["first_mismatch"] or "the digests differ")
