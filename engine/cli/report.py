"""Reports: the day's in a few lines, and days, weeks and backtests as one HTML file each."""
import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, fail_where, run_of, show, token_for
from engine.trail.checked import damage_of, reader_of

app = typer.Typer(add_completion=False)
RUNS, WEEK = Path("runs"), 5

Compare = Annotated[bool, typer.Option(help="with the broker's trades and charges")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="where the HTML file goes; by default beside what it reports on")]


def report(run_dir: Run = None, compare: Compare = False, json: Json = False) -> None:
    """The day's report: entries, exits by reason, costs, alarms; --compare holds fills and charges against the broker's."""
    from engine.backtest.steps import note_evening
    from engine.broker.upstox.api import Api
    from engine.run.fence import target_of
    from engine.watch import day_report as work
    from engine.watch.state import RunState

    folder = run_of(run_dir)
    reader = reader_of(folder.path)
    done = RunState.after(reader)
    damage = damage_of(folder.path, reader)
    document = work.summary(done) | {"problem": damage}
    if compare:
        target = target_of(folder)
        if target.get("paper"):
            raise Failed(f"{folder.path} trades on paper: no broker has its trades; `python -m engine parity` holds it against the "
                         "backtester")

        async def ask() -> list[dict[str, Any]]:
            api = Api(token_for(target["source"]), target["base"], target["orders"])
            try:
                return await work.compare(done, api)
            finally:
                await api.close()

        document["differences"] = asyncio.run(ask())
        note_evening(folder, len(document["differences"]))
    if json:
        show(document)
    else:
        exits = ", ".join(f"{n} by {why}" for why, n in sorted(document["exits"].items())) or "none"
        print(f"{document['entries']} entries; exits: {exits}")
        print(f"realised Rs {document['realised']:+,.2f}, charges {document['charges']:,.2f}, net {document['net']:+,.2f}")
        for name, count in document["alarms"].items():
            print(f"alarm: {name} ({count})")
        for row in document.get("differences", []):
            print(f"order {row['order']} {row['symbol']}: {row['what']} ours {row['ours']}, broker {row['broker']}")
        if compare and not document["differences"]:
            print("every fill and every charge agrees with the broker's, to the paisa")
    fail_where(damage)
    if document.get("differences"):
        raise Failed(f"{len(document['differences'])} differences from the broker")


@app.callback(invoke_without_command=True)
def alone(context: typer.Context, run_dir: Run = None, compare: Compare = False, json: Json = False) -> None:
    """The day's report: entries, exits by reason, costs, alarms; --compare holds fills and charges against the broker's. With a
    word behind it: one HTML file that opens from disk and asks nothing of anybody."""
    if context.invoked_subcommand is None:
        report(run_dir, compare, json)


@app.command("day")
def day_(run: Annotated[Path | None, typer.Argument(help="a run folder; by default the latest")] = None, out: Out = None,
         json: Json = False) -> None:
    """A run's day as an HTML file: what was seen, taken, refused and why, trades on their candles, costs, latency, criteria. The
    run may still go on."""
    from engine.report.gather import of_runs
    from engine.report.runs import day_of

    folder = run_of(run)
    _write(of_runs([(day_of(folder), folder)], configuration.load(), "day", _say), out or folder.path / "report.html", json)


@app.command("week")
def week_(folder: Annotated[Path, typer.Argument(help="with the run folders")] = RUNS,
          days: Annotated[int, typer.Option(help="trading days, the last there are", min=1, max=400)] = WEEK, out: Out = None,
          json: Json = False) -> None:
    """The last five trading days as an HTML file; what their labelled candidates say of the thresholds, each with its interval.
    Nothing is changed by it."""
    from engine.report.gather import of_runs
    from engine.report.runs import chosen

    found = chosen(sorted(folder.glob("*")), days)
    if not found:
        raise Failed(f"there is no run in {folder.absolute()}: start one with `python -m engine`, or name the folder of the runs")
    path = out or folder / f"report-{found[-1][0]}.html"
    _write(of_runs(found, configuration.load(), "week", _say), path, json)


@app.command("backtest")
def backtest_(folder: Annotated[Path | None, typer.Argument(help="of the results; by default the latest in runs")] = None,
              out: Out = None, json: Json = False) -> None:
    """A backtest's results as an HTML file: every trade on its candles, equity, months and hours, groups with intervals."""
    from engine.report.backtests import of_backtest

    if folder is None:
        made = sorted(RUNS.glob("*/backtest.json"), key=lambda path: path.stat().st_mtime_ns)
        if not made:
            raise Failed(f"there is no backtest in {RUNS.absolute()}: run `python -m engine backtest`, or name its folder")
        folder = made[-1].parent
    _write(of_backtest(folder, _say), out or folder / "report.html", json)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(made: tuple[str, dict[str, Any], list[Any]], path: Path, json: bool) -> None:
    """Writes the file and says where it is, and how it stands."""
    from engine.report.html import document, write

    title, header, blocks = made
    text = document(title, header, blocks)
    write(path, text)
    summary = header["summary"]
    if json:
        show({"file": str(path.absolute()), "bytes": len(text.encode()), "title": title, "summary": summary,
              "seen": header["seen"], "costs": header["costs"], "criteria": header["criteria"],
              "suggestions": header["suggestions"], "notes": header["notes"], "problem": header["problem"]})
    else:
        print(f"{title}: {summary['trades']:,} trades, net Rs {summary['net']:+,.2f} after costs of {summary['charges']:,.2f}")
        for note in header["notes"]:
            print(f"note: {note}")
        print(f"{path.absolute()} ({len(text.encode()) / 1e6:.2f} MB): open it in a browser")
    fail_where(header["problem"])


