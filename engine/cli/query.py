"""A question to the run's ClickHouse."""
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, fail_where, run_of, show
from engine.trail.checked import survey

app = typer.Typer(add_completion=False)


@app.command()
def query(sql: Annotated[str, typer.Argument(help="one SELECT; docs/queries.sql has a dozen")],
          run_dir: Run = None, json: Json = False) -> None:
    """Ask ClickHouse, while a run fills it or afterwards. Read-only. {run:UInt32} in the text stands for the run of --run-dir."""
    from engine.store.client import client_of, number_of

    folder = run_of(run_dir)
    with client_of(configuration.load(), folder) as client:
        parameters = {"run": number_of(folder)} if "{run:" in sql else None
        try:
            result = client.query(sql, parameters=parameters)
        except Exception as error:
            raise Failed(str(error).split("(for url")[0].strip()) from None
        names, rows = result.column_names, result.result_rows
    if json:
        show([dict(zip(names, map(_plain, row), strict=True)) for row in rows])
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*names)
        for row in rows:
            table.add_row(*map(str, row))
        Console().print(table)
    fail_where(survey(folder.path))                        # the tables are filled from it


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else str(value)
