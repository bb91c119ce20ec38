"""Every decision of a journal, recomputed."""
from pathlib import Path
from typing import Annotated

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, run_of, show

app = typer.Typer(add_completion=False)


@app.command()
def replay(journal: Annotated[Path | None, typer.Argument(help="run folder or journal folder; by default the latest run")] = None,
           run_dir: Run = None,
           until: Annotated[str, typer.Option("--until", metavar="TIME", help=(
               "stop at this time of the day in India, as 10:31:05.25, and show the run as its engine knew it then"))] = "",
           json: Json = False) -> None:
    """Recompute every decision of a journal from its inputs and compare."""
    settings = configuration.load()
    if journal is not None and run_dir is not None:
        raise typer.BadParameter("a folder and --run-dir: give one of them")
    path = journal if journal is not None else run_of(run_dir).path
    if until:
        _moment(path, until, Path(settings.models), json)
        return
    from engine.backtest.remade import replayed

    document = replayed(path, settings)
    if json:
        show(document)
    else:
        print(f"{document['updates']:,} updates in {document['seconds']} s ({document['updates_per_s']:,}/s), "
              f"{document['candidates']} candidates, {document['intents']} intents, {document['matched']} decisions the same, "
              f"{document['mismatched']} different, {document['corrupt']} corrupt records, {document['lost']} missing")
        print(f"digest {document['digest']}, {'IDENTICAL' if document['identical'] else 'NOT IDENTICAL'}")
    if not document["identical"]:
        raise Failed(document["problem"] or document["first_mismatch"] or "the digests differ")


def _moment(path: Path, until: str, models: Path, json: bool) -> None:
    """The run as its engine knew it at a time."""
    from engine.watch.then import Then, moment_of

    then = Then(path, models)
    then.advance(moment_of(until, path))
    document = then.document()
    if json:
        show(document)
        return
    money, state = document["money"], document["state"]
    print(f"{until}: trading {state['trading']}, operator {state['operator']}, {document['counts']['updates']:,} updates, "
          f"{document['counts']['candidates']} candidates, {document['candidates']['passed']} passed")
    print(f"net Rs {(money['realised'] + money['open'] - money['charges']) / 100:+,.2f} (open {money['open'] / 100:+,.2f}, charges "
          f"{money['charges'] / 100:,.2f})")
    for held in document["positions"]:
        print(f"{held['symbol']:<12} {held['quantity']:+d} at {held['average'] / 100:.2f}, stop {held['stop'] / 100:.2f}, target "
              f"{held['target'] / 100:.2f}, {held['state']}")
    if not document["same"]:
        raise Failed("decisions made again differ from those of the journal: `python -m engine replay` says where")
