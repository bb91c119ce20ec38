"""Options the commands share, and what they mean."""
import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from engine.errors import EngineError
from engine.trail.rundir import RunDir, folder_of


def _folder(text: str) -> Path:
    try:
        return Path(folder_of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Run = Annotated[Path | None, typer.Option("--run-dir", parser=_folder, metavar="DIR",
                                          help="folder of the run; by default the latest, or a new one")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else")]


class Failed(EngineError):
    """A check failed: exit 1."""


def show(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def tell(document: dict[str, Any], page: Callable[[dict[str, Any]], list[str]], json: bool) -> None:
    """The document, or its page of lines; a `problem` of it fails the command."""
    if json:
        show(document)
    else:
        print("\n".join(page(document)))
    if document["problem"]:
        raise Failed(document["problem"])


def run_of(path: Path | None) -> RunDir:
    """The run that a command looks at: one that is there. Nothing is made."""
    return RunDir.existing(path if path is not None else RunDir.latest())


def fail_where(damage: str | None) -> None:
    """A journal that is not whole fails the command that has said what it could of it."""
    if damage:
        raise Failed(damage)


def day_of(text: str) -> dt.date | None:
    """The day an option names; None where it names none."""
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"--day {text}: write it as 2026-09-01") from None


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """What ClickHouse says against a question, without its client's words about where it was asked."""
    try:
        yield
    except (OSError, Failed):
        raise
    except Exception as error:
        raise Failed(str(error).split("(for url")[0].strip()) from None


def token_for(source: str) -> str:
    """The token of a source: `demo` for the sim, never another."""
    if source == "sim":
        return "demo"
    from engine.broker.upstox.login import stored_token

    return stored_token()
