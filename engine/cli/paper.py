"""Paper trading: what its days came to."""
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Json, tell
from engine.watch.trades import END

app = typer.Typer(no_args_is_help=True)
RUNS = Path("runs")


@app.callback()
def paper() -> None:
    """What paper trading came to. `run --source upstox` trades on paper."""


@app.command()
def report(runs: Annotated[list[Path] | None, typer.Argument(help="run folders; by default every paper run on a live feed in "
                                                                  "runs")] = None,
           json: Json = False) -> None:
    """Days of paper trading: what they would have earned after costs, with intervals, each trade beside the backtest of its day,
    and the criteria for going live."""
    from engine.backtest.paper_report import paper_runs
    from engine.backtest.paper_report import report as work

    found = paper_runs(runs or RUNS.glob("*"), is_any=bool(runs))
    document = work(found, configuration.load(), lambda text: print(text, file=sys.stderr, flush=True))
    tell(document, page, json)


def _reason(word: str) -> str:
    return "still held" if word in ("", END) else word


def page(document: dict[str, Any]) -> list[str]:
    """A line a day, a line a trade, the sum, and the criteria."""
    lines = [f"{'day':<12}{'trades':>7}{'net Rs':>12}{'costs Rs':>11}{'uptime':>9}   made again"]
    for day in document["days"]:
        lines.append(f"{day['day']:<12}{day['trades']:>7}{day['net']:>+12,.2f}{day['charges']:>11,.2f}{day['uptime']:>9.1%}   "
                     + ("the same" if day["is_same"] else "ANOTHER DAY"))
    lines += ["", f"{'trade':<12}{'quantity':>9}{'entry':>11}{'exit':>11}{'net Rs':>12}{'backtest Rs':>13}   reason"]
    for row in (row for day in document["days"] for row in day["beside"] if row["run"] and row["run"]["quantity"]):
        run, made = row["run"], row["made"] or {}
        lines.append(f"{row['symbol']:<12}{row['side'] * run['quantity']:>+9,}{run['entry']:>11,.2f}{run['exit']:>11,.2f}"
                     f"{run['net']:>+12,.2f}{made.get('net', float('nan')):>+13,.2f}   {_reason(run['reason'])}")
    result, interval = document["result"], document["result"]["interval"]["net"]
    between = f" ({interval[0]:+,.0f} to {interval[1]:+,.0f} over days drawn anew)" if interval else ""
    lines += ["", f"net Rs {result['net']:+,.2f}{between} of {result['trades']} trades in {result['days']} days, costs "
                  f"{result['charges']:,.2f}", ""]
    for row in document["criteria"]:
        word = {True: "pass", False: "FAIL", None: "open"}[row["passed"]]
        figure = "-" if row["figure"] is None else f"{row['figure']:,.3g}"
        edges = f" ({row['interval'][0]:,.3g} to {row['interval'][1]:,.3g})" if row["interval"] else ""
        lines.append(f"{word:<5} {row['name']:<13}{figure:>10}{edges:<24} {row['words']} {row['target']:g}"
                     + (f"; {row['why']}" if row["why"] else ""))
    return [*lines, "", "Profit is not promised: on the data we have, spikes predict activity, not direction. Whether the filter "
                        "was right cannot be seen on a live day: models/card.md has what was measured."]
