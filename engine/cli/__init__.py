"""The command line: one module a command, its name the command's, loaded when it is asked for."""
import os
import pkgutil
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from engine.cli.importing import imports

SHARED = ("closing", "importing", "operator", "options", "typed")
"""Modules that are no command."""
AT_ONCE = frozenset({"pause", "resume", "flatten", "kill", "status", "backtest"})
"""They must act at once, or are measured: the threads of numpy's algebra take a tenth of a second to start, and none of these needs
them."""
NAMES = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name not in SHARED)


class Commands(TyperGroup):
    """Each command from the module of its name, whose `app` has its options: `kill` must not wait for what `train` needs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return NAMES

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in NAMES:
            return None
        if cmd_name in AT_ONCE:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with imports():
            command = typer.main.get_command(import_module(f"engine.cli.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=Commands, add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False,
                  help="A deterministic, explainable trading engine for NSE F&O stocks.")


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from engine.cli.run import run

        context.invoke(run)
