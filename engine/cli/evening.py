"""The former name of `report`, for one release."""
import typer

from engine.cli.report import report

app = typer.Typer(add_completion=False)
app.command(hidden=True)(report)
