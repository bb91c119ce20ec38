"""Recorded days through the code that trades."""
import sys

import typer

from engine import config as configuration
from engine.backtest.options import BacktestOptions
from engine.cli.importing import imports
from engine.cli.options import Failed, Json, show
from engine.cli.typed import options_of

app = typer.Typer(add_completion=False)


@app.command()
@options_of(BacktestOptions)
def backtest(options: BacktestOptions, json: Json = False) -> None:
    """Trade recorded days on paper: gate, filter, exits and costs of the day are those of a live run, orders are matched with the
    recorded book. What came of it, with intervals; each day's journal for replay and explain."""
    with imports():
        from engine.backtest.session import backtest as work
        from engine.backtest.terminal import page

    document = work(options, configuration.load(), lambda text: print(text, file=sys.stderr, flush=True))
    if json:
        show(document)
    else:
        print(page(document))
        print(f"\n{document['run_dir']}: backtest.json, trades.parquet" + (", a run folder of each day" if options.journal else ""))
        if options.journal:
            print(f"next: `python -m engine replay {document['run_dir']}/{document['last']}`, "
                  f"`python -m engine explain 1 --run-dir {document['run_dir']}/{document['last']}`")
        if document["stored"]:
            print(f"in ClickHouse as {document['stored']}: `python -m engine query \"SELECT * FROM backtests FINAL\" "
                  f"--run-dir {document['run_dir']}`, more in docs/queries.sql")
    if document["problem"]:
        raise Failed(document["problem"])
    if document["stopped"]:
        raise Failed(f"{len(document['stopped'])} times a strategy was stopped: {document['stopped'][0]}")
    if not document["is_whole"]:
        raise Failed("interrupted: what was done is kept" + (", and not put into ClickHouse" if options.store else ""))
    if document["not_stored"]:
        raise Failed(document["not_stored"])
