"""A question to the run's ClickHouse."""
from typing import Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, fail_where, run_of, show
from engine.trail.checked import survey

app = typer.Typer()


@app.command()
def query(sql: str, run_dir: Run = None, json: Json = False) -> None:
    """Ask the run's ClickHouse, while it runs or afterwards. Read-only."""
    from engine.store.process import client_of

    folder = run_of(run_dir)
    with client_of(configuration.load(), folder) as client:
        try:
            result = client.query(sql)
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
