"""A command whose options are the fields of a typed object: what each means and how far it goes is said there alone."""
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from engine.run.options import flag_of, made


def options_of(model: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command that gets an object of `model` as its first argument. Booleans are switches; what is neither a number nor
    a truth value comes as text, which the field parses itself."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in list(inspect.signature(command).parameters.values())[1:]]

        def called(**given: Any) -> None:
            rest = {p.name: given.pop(p.name, p.default) for p in own}     # called without a command line: all as usual
            command(made(model, {name: value for name, value in given.items() if value is not None}), **rest)

        parameters = [*(_parameter(name, field) for name, field in model.model_fields.items()), *own]
        functools.update_wrapper(called, command)
        vars(called)["__signature__"] = inspect.Signature(parameters)
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called
    return decorate


def _parameter(name: str, field: Any) -> inspect.Parameter:
    said, kind, default = field.json_schema_extra or {}, _as_text(field.annotation), field.default
    if kind is str and default is not None:
        default = f"{default:g}" if isinstance(default, float) else str(default)
    option = typer.Option(flag_of(name, field), help=field.description, hidden=said.get("hidden", False),
                          metavar=said.get("metavar") or _range(field))
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default or None if kind == list[str] else default,
                             annotation=Annotated[kind | None if default is None else kind, option])


def _as_text(kind: Any) -> Any:
    """What the command line makes of a field's type."""
    return bool if kind is bool else list[str] if get_origin(kind) is tuple else Path if kind == Path | None else str


def _range(field: Any) -> str | None:
    """The values a field may have, as far as they can be written in a word."""
    choices = next((part for part in (field.annotation, *get_args(field.annotation)) if get_origin(part) is Literal), None)
    if choices is not None:
        return "|".join(get_args(choices))
    low, high = (next((getattr(m, name) for m in field.metadata if hasattr(m, name)), None) for name in ("ge", "le"))
    if field.annotation is not int:
        return None
    return "NUMBER" if None in (low, high) else f"{low}..{high}"
