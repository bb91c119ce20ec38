"""A run's day, made again with something changed."""
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, run_of, tell

app = typer.Typer(add_completion=False)
MOST = 12
"""Differences that are shown; all of them stand in whatif.json."""


@app.command()
def whatif(run: Annotated[Path | None, typer.Argument(help="run folder; by default the latest run")] = None,
           settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=(
               "a setting of that day changed, such as risk.stop=0.01 or detector.volume=3; once for each"))] = None,
           strategy: Annotated[list[Path] | None, typer.Option("--strategy", metavar="FILE", help=(
               "a strategy more, or another text of one the run had by that name; once for each"))] = None,
           into: Annotated[Path | None, typer.Option("--run-dir", metavar="DIR", help="folder of the result; by default a new "
                                                                                     "one")] = None,
           json: Json = False) -> None:
    """Make a run's day again with other settings or strategies: which decisions change, by which rule, and what that does to the
    day. The run is not written into; the broker's answers are made by the engine's own matching, with and without the change."""
    from engine.backtest.whatif import whatif as work

    document = work(run_of(run), settings or [], strategy or [], configuration.load(), into,
                    lambda text: print(text, file=sys.stderr, flush=True))
    tell(document, page, json)
    if document["stopped"]:
        raise Failed(document["stopped"][0])


def page(document: dict[str, Any]) -> list[str]:
    """Both accounts, what changed by rule, and the differences that moved most money."""
    before, after, as_run = document["before"], document["after"], document["as_run"]
    lines = [f"{document['run']}, {document['day']}: {document['updates']:,} updates, {document['seconds']:.1f} s"]
    lines.append("as it was, its answers made again: the same day as was run" if as_run["is_same"] else
                 "as it was, its answers made by the engine's own matching (modelled): the run itself had "
                 f"{as_run['trades']} trades, net Rs {as_run['net']:+,.2f}")
    lines += ["", f"{'':<14}{'as it was':>14}{'with it':>14}"]
    lines += [f"{name:<14}{before[name]:>14,}{after[name]:>14,}" for name in ("candidates", "signals", "trades", "wins")]
    lines += [f"{name:<14}{before[name]:>14,.2f}{after[name]:>14,.2f}" for name in ("charges", "net")]
    if not document["differences"]:
        return [*lines, "", "no decision is different"]
    lines += ["", f"{len(document['differences']):,} decisions are different, Rs {document['net']:+,.2f} for the day:"]
    lines += [f"{row['decisions']:>7,}  {row['net']:>+12,.2f}  {row['rule']}" for row in document["rules"][:MOST]]
    lines += ["", "those that moved most money:"]
    for row in sorted(document["differences"], key=lambda row: -abs(row["net"]))[:MOST]:
        lines.append(f"{row['time']} {row['symbol']:<12} {row['move']:<5}{row['source']}  {row['net']:+,.2f}")
        for word in ("before", "after"):
            said = f"{row[word]['said']} (candidate {row[word]['candidate']})" if row[word] else "none"
            lines.append(f"    {word:<6} {said}")
    return [*lines, "", f"{document['run_dir']}: whatif.json, and the run folders before and after",
            f"next: `python -m engine explain NUMBER --run-dir {after['run_dir']}`"]
