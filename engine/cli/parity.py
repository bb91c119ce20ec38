"""A recorded day beside the same day made again."""
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, run_of, tell

app = typer.Typer(add_completion=False)


@app.command()
def parity(run: Annotated[Path | None, typer.Argument(help="run folder; by default the latest run")] = None,
           keep: Annotated[bool, typer.Option("--keep", help="from now on backtests and paper runs draw their delays from those "
                                                             "of this day")] = False,
           json: Json = False) -> None:
    """Put a day of paper or of a broker through the backtester's matching: per trade how decision, fill and delay differ, with an
    alarm where the model has drifted. Of a run on paper nothing may differ."""
    from engine.backtest.parity import parity as work

    document = work(run_of(run), configuration.load(), keep)
    tell(document, page, json)
    if document["alarms"]:
        raise Failed(document["alarms"][0])


def page(document: dict[str, Any]) -> list[str]:
    """A line a trade, then the medians and alarms."""
    who = "on paper" if document["is_paper"] else "at a broker"
    lines = [f"{document['run']}, {document['day']}, {who}: {document['matched']} trades in both accounts, "
             f"{document['alone']} in one",
             "every decision, order and fill made again is the same" if document["is_same"] else
             "the day made again: its answers by the engine's own matching"]
    if document["trades"] and not document["is_same"]:
        lines += ["", f"{'':<12}{'decision':<14}{'entry bp':>9}{'later s':>9}{'exit bp':>9}{'later s':>9}{'net Rs':>10}   exit"]
    for row in () if document["is_same"] else document["trades"]:
        made, run = row["made"] or {}, row["run"] or {}
        numbers = [(row.get("entry_bp"), 9, 1), (row.get("entry_delay_s"), 9, 2), (row.get("exit_bp"), 9, 1),
                   (row.get("exit_delay_s"), 9, 2), (row.get("net"), 10, 2)]
        told = "".join(f"{'-':>{width}}" if value is None else f"{value:>+{width}.{digits}f}" for value, width, digits in numbers)
        reasons = f"{run.get('reason') or 'none'}" + (f", made: {made.get('reason') or 'none'}"
                                                      if made.get("reason") != run.get("reason") else "")
        lines.append(f"{row['symbol']:<12}{row['decision'][:13]:<14}{told}   {reasons}")
    lines.append("")
    for name, word in (("run", "the run"), ("made", "made again")):
        took = document["latency_ms"][name]
        if took:
            lines.append(f"{word:<12}net Rs {document['net'][name]:+,.2f}; {took['count']} requests took {took['p50']} ms at the "
                         f"median, {took['p99']} at 99 %, {took['max']} at most")
    lines += [f"ALARM: {alarm}" for alarm in document["alarms"]]
    if document["latencies_kept"]:
        lines.append(f"kept in {document['latencies_kept']}: backtests and paper runs draw from them")
    return lines
