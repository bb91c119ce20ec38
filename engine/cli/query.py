"""A question to the run's ClickHouse."""
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Json, Run, fail_where, plainly, run_of, show
from engine.trail.checked import survey
from engine.trail.rundir import RunDir

app = typer.Typer(add_completion=False)
RUNS = Path("runs")


class Format(StrEnum):
    """What an answer can be written as."""
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    TSV = "tsv"


CLICKHOUSE = {Format.CSV: "CSVWithNames", Format.JSON: "JSONEachRow", Format.TSV: "TSVWithNames"}


@app.command()
def query(sql: Annotated[str, typer.Argument(help="one SELECT; docs/queries.sql has some twenty")] = "",
          run_dir: Run = None, json: Json = False,
          form: Annotated[Format | None, typer.Option("--format", help="write the answer as this, not as a table")] = None,
          out: Annotated[Path | None, typer.Option(help="a file for the answer; its ending says the format")] = None,
          connection: Annotated[bool, typer.Option("--connection", help="print how other tools connect")] = False,
          serve: Annotated[bool, typer.Option("--serve", help="serve the database to other tools until Ctrl-C")] = False) -> None:
    """Ask ClickHouse, while a run fills it or afterwards. Read-only. {run:UInt32} in the text stands for the run of --run-dir."""
    from engine.store.client import client_of, connection_of, number_of

    folder, config = _folder(run_dir), configuration.load()
    if connection:
        print(connection_of(config, folder))
        return
    if not sql and not serve:
        raise typer.BadParameter("a SELECT is wanted, or --connection, or --serve")
    form = form or (_format_of(out) if out is not None else None)
    with client_of(config, folder) as client:
        if serve:
            _serve(connection_of(config, folder))
            return
        parameters = {"run": number_of(folder)} if "{run:" in sql else None
        with plainly():
            if form is not None:
                _write(_parquet(client.query_arrow(sql, parameters=parameters)) if form is Format.PARQUET else
                       client.raw_query(sql, parameters=parameters, fmt=CLICKHOUSE[form]), out)
                names, rows = [], []
            else:
                result = client.query(sql, parameters=parameters)
                names, rows = list(result.column_names), result.result_rows
    if form is None and json:
        show([dict(zip(names, map(_plain, row), strict=True)) for row in rows])
    elif form is None:
        print_rows(names, rows)
    if folder.journal.exists():                            # the tables are filled from it; a home and a backtest have none
        fail_where(survey(folder.path))


def _folder(run_dir: Path | None) -> RunDir:
    """The run asked about, or the folder of the runs itself where it has a database and no run yet, as after backtests."""
    home = RunDir(RUNS, make=False) if run_dir is None and RUNS.is_dir() and not (RUNS / "latest").exists() else None
    return home if home is not None and home.home == home.path and home.is_run else run_of(run_dir)


def _format_of(out: Path) -> Format:
    try:
        return Format(out.suffix[1:].lower())
    except ValueError:
        raise typer.BadParameter(f"{out}: give --format, or a name that ends in {', '.join('.' + f for f in Format)}") from None


def _parquet(table: Any) -> bytes:
    """By Arrow, which keeps the zone of times: ClickHouse's own Parquet has them in UTC."""
    import io

    import polars as pl

    out = io.BytesIO()
    pl.DataFrame(table).write_parquet(out)
    return out.getvalue()


def _write(data: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        out.write_bytes(data)


def _serve(words: str) -> None:
    print(f"{words}\nserving until Ctrl-C ...", flush=True)
    while True:
        time.sleep(3600)


def print_rows(names: list[str], rows: list[Any]) -> None:
    """A table where it fits the terminal; else each row by itself, a field a line. Nothing is cut."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)
    cells = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    if sum(widths) + 3 * len(widths) + 1 <= console.width and not any("\n" in cell for row in cells for cell in row):
        table = Table(*map(escape, names))
        for column in table.columns:
            column.no_wrap = True
        for row in cells:                                  # text of the database is no markup of the terminal's
            table.add_row(*map(escape, row))
        console.print(table)
        return
    longest = max(map(len, names), default=0)
    for number, row in enumerate(cells, 1):
        print(f"row {number}")
        for name, cell in zip(names, row, strict=True):
            print(f"  {name:<{longest}}  {cell}")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else str(value)
