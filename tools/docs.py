"""`python tools/docs.py` writes the pages of docs/ that say what the code says: settings, commands, records. `--check` names those
that differ and exits 1."""
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402
from pydantic import BaseModel  # noqa: E402
from typer.models import ArgumentInfo  # noqa: E402

import engine  # noqa: E402
from _ext.core import records  # noqa: E402
from _ext.signals import source  # noqa: E402
from engine import cli, public  # noqa: E402
from engine.config import VARIABLES, Config  # noqa: E402

MADE = "<!-- made by `python tools/docs.py` from the code: change it there -->\n"


# ---- settings ----------------------------------------------------------------------------------------------------------
def bounds_of(field: Any) -> str:
    signs = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
    found = [f"{sign}{getattr(part, name):g}" for part in field.metadata for name, sign in signs.items() if hasattr(part, name)]
    return " ".join(found)


def kind_of(annotation: Any) -> str:
    text = getattr(annotation, "__name__", str(annotation)) if isinstance(annotation, type) and not hasattr(
        annotation, "__args__") else str(annotation)
    text = re.sub(r"typing\.Literal\[(.*)\]", r"\1", text).replace("'", "").replace(" | None", "")
    return {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "list[str]": "list of texts",
            "dict[str, dict[str, float]]": "tables of numbers"}.get(text, text)


def default_of(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, str) and value.startswith(str(ROOT)):
        value = value.removeprefix(f"{ROOT}/") + " of this project"
    return "" if value in (None, "", {}) else f"`{value}`" if not isinstance(value, list) else f"`{', '.join(value)}`"


def rows_of(model: type[BaseModel], section: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        choice = kind_of(field.annotation)
        yield (f"| `{name}` | {choice} | {extra.get('unit', '')} | {default_of(field)} | {bounds_of(field)} | "
               f"{field.description or ''} |")


HEAD = "| setting | type | unit | default | bounds | meaning |\n| --- | --- | --- | --- | --- | --- |"


def configuration() -> str:
    """docs/configuration.md"""
    out = ["# Configuration", MADE,
           "`engine.toml` in the folder the engine is started in, or the file that ENGINE_CONFIG names; then environment "
           "variables, which are stronger: `ENGINE_RISK__STOP=0.03` is `stop` of `[risk]`. An unknown name is an error. "
           "Secrets are never here.",
           "## At the top of the file", HEAD, *rows_of(Config)]
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            words = (field.annotation.__doc__ or "").strip().splitlines()
            out += [f"## [{name}]", *([words[0]] if words and "pydantic" not in words[0].lower() else []), HEAD,
                    *rows_of(field.annotation, name)]
    for name in source.names():
        words = (sys.modules[source.source_of(name).__module__].__doc__ or "").split("\n\n")[0]
        out += [f"## [source.{name}]", " ".join(words.split()), HEAD]
        out += [f"| `{key}` | {'whole number' if isinstance(p.default, int) else 'number'} | {p.unit} | `{p.default}` | "
                f"≥ {p.least:g} ≤ {p.most:g} | {p.says} |" for key, p in source.source_of(name).parameters.items()]
    out += ["## Other variables", "| variable | meaning |\n| --- | --- |",
            *(f"| `ENGINE_{name.upper()}` | {words} |" for name, words in VARIABLES.items())]
    return _page(out)


# ---- commands ----------------------------------------------------------------------------------------------------------
def commands() -> str:
    """docs/commands.md"""
    out = ["# Commands", MADE, "`python -m engine COMMAND`, also installed as `spike COMMAND`; without a command it is `run`. "
           "Exit 0: all is well, 1: a check failed or something is wrong, 2: bad usage or configuration."]
    for name in cli.NAMES:
        app = import_module(f"engine.cli.{name}").app
        if app.registered_callback is not None:
            out += _command(f"## {name}", app.registered_callback.callback)
        many = len(app.registered_commands) > 1 or app.registered_callback is not None
        if many and app.registered_callback is None:
            out += [f"## {name}", app.info.help if isinstance(app.info.help, str) else ""]
        for each in app.registered_commands:
            if not each.hidden:
                out += _command(f"### {name} {each.name or each.callback.__name__}" if many else f"## {name}", each.callback)
    return _page([part for part in out if part])


def _command(head: str, callback: Any) -> Iterator[str]:
    yield head
    yield " ".join((callback.__doc__ or "").split())
    rows = [row for p in inspect.signature(callback).parameters.values() if (row := _option(p))]
    if rows:
        yield "| option | value | default | meaning |\n| --- | --- | --- | --- |"
        yield from rows


def _option(p: inspect.Parameter) -> str:
    """A row of the table of options; empty for what is hidden, or no option."""
    if p.annotation is typer.Context:
        return ""
    kind, info = (get_args(p.annotation)[0], get_args(p.annotation)[1]) if get_origin(p.annotation) is Annotated else (
        p.annotation, None)
    is_argument = isinstance(info, ArgumentInfo) or (info is None and p.default is inspect.Parameter.empty)
    if getattr(info, "hidden", False):
        return ""
    declared = [d for d in (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ())) if str(d).startswith("-")]
    flags = [p.name.upper()] if is_argument else declared or [f"--{p.name.replace('_', '-')}"]
    value = "" if kind is bool else getattr(info, "metavar", None) or _value(kind, info)
    default = "" if p.default in (None, False, True, "", inspect.Parameter.empty) else f"`{p.default}`"
    return f"| {', '.join(f'`{flag}`' for flag in flags)} | {_cell(value)} | {default} | {_cell(getattr(info, 'help', '') or '')} |"


def _value(kind: Any, info: Any) -> str:
    plain = [part for part in (kind, *get_args(kind)) if part in (int, float, str, Path)]
    if choices := [c for part in (kind, *get_args(kind)) if get_origin(part) is Literal for c in get_args(part)]:
        return "|".join(choices)
    word = {int: "number", float: "number", str: "text", Path: "path"}[plain[0]] if plain else "text"
    low, high = getattr(info, "min", None), getattr(info, "max", None)
    return word if low is None and high is None else f"{'' if low is None else low}..{'' if high is None else high}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- records -----------------------------------------------------------------------------------------------------------
def journal() -> str:
    """docs/journal-records.md"""
    out = ["# Records of the journal", MADE,
           "What each record type holds; docs/journal.md has the frame around them. Types below "
           f"{records.FIRST_DECISION} are inputs, from there decisions, from {records.FIRST_TELEMETRY} on telemetry, which a "
           "replay does not compare.", "| number | type | struct | bytes |\n| --- | --- | --- | --- |"]
    for number, name in sorted(records.RECORD_NAMES.items()):
        dtype = records.PAYLOADS.get(number)
        struct = "" if dtype is None else f"[{name}](#{name.replace('_', '-')})" if dtype.names else str(dtype)
        out.append(f"| {number} | {name} | {struct} | {dtype.itemsize if dtype is not None else ''} |")
    for number, name in sorted(records.RECORD_NAMES.items()):
        dtype = records.PAYLOADS.get(number)
        if dtype is not None and dtype.names:
            out += [f"## {name.replace('_', '-')}", "| field | offset | type |\n| --- | --- | --- |"]
            out += [f"| `{field}` | {dtype.fields[field][1]} | {_type(dtype.fields[field][0])} |" for field in dtype.names]
    return _page(out)


# ---- Python ------------------------------------------------------------------------------------------------------------
def api() -> str:
    """docs/python.md"""
    out = ["# From Python", MADE, "What `import engine` offers; everything else may change."]
    for name in engine.__all__:
        thing = public.run if name == "run" else getattr(engine, name)
        words = [" ".join(part.split()) for part in (inspect.getdoc(thing) or "").split("\n\n") if part.strip()]
        out += [f"## {name}", f"`{name}{_signature(thing)}`", *words]
        if isinstance(thing, type) and issubclass(thing, BaseModel) and name != "Config":
            out += ["| field | default | meaning |\n| --- | --- | --- |", *(
                f"| `{field}` | {default_of(about)} | {about.description} |" for field, about in thing.model_fields.items()
                if not (about.json_schema_extra or {}).get("hidden"))]
    return _page(out)


def _signature(thing: Any) -> str:
    """Names and defaults; a class's own page says more."""
    if isinstance(thing, type):
        return "(...)" if issubclass(thing, BaseModel) else ""
    parts, is_marked = [], False
    for p in inspect.signature(thing).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not is_marked:
            parts, is_marked = [*parts, "*"], True
        default = "" if p.default is p.empty else "=..." if callable(p.default) else f"={p.default!r}"
        parts.append(("**" if p.kind is p.VAR_KEYWORD else "") + p.name + default)
    return f"({', '.join(parts)})"


def _type(dtype: Any) -> str:
    base, shape = (dtype.subdtype if dtype.subdtype else (dtype, ()))
    name = "struct" if base.names else f"text of {base.itemsize}" if base.kind == "S" else base.name
    return f"{name} x {' x '.join(map(str, shape))}" if shape else name


def _page(parts: list[str]) -> str:
    out = []
    for before, part in zip([None, *parts], parts, strict=False):
        is_row = part.startswith("|") and before is not None and before.startswith("|")
        out.append(part if is_row or before is None else f"\n{part}")
    return "\n".join(out) + "\n"


# ---- metrics -----------------------------------------------------------------------------------------------------------
METRICS = """`GET /metrics` of watch, with `Authorization: Bearer TOKEN`; the run folder's `watch.address` has address and token.
The figures are those of the last look of watch, about a second old; the engine's process computes nothing for them.

- Money is in rupees, time in seconds, sizes in bytes. A figure that is not known has no series: it is not 0.
- A counter begins anew when a run does. An engine that is started again goes on with its journal, and so do its counters.
- Instruments, orders and candidates are never labels.
- Today means the run's trading day. Paper money counts as if it were real; `spike_run_info` has the mode.
- **Accuracy of the filter** is not accuracy against labels: nobody labels the market. It is the share of the last day's scored
  candidates on which filter and market agree, where the market's word is whether a quarter of the move was still there a minute
  later (`python -m engine model drift` has it by fifths of the score). Artefacts that stay and real moves that fade count against
  it. The sim's labels are used when a model is trained (models/card.md), not here.
- **Sharpe** is of days, so it needs two; of a few days it says next to nothing.

## Prometheus and Grafana

`engine/watch/prometheus` has `rules.yml` (alerts, the `absent()` rule among them), examples of `prometheus.yml` and
`alertmanager.yml`, and `rules_test.yml` for `promtool test rules`. `engine/watch/grafana` has two dashboards for Grafana 11.6 and
later: import the files and choose the data source. `python tools/dashboards.py` makes them."""


def metrics() -> str:
    """docs/metrics.md"""
    from engine.watch.metrics import TABLE

    out = ["# Metrics", MADE, METRICS, "## Table", "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |"]
    for m in TABLE:
        labels = ", ".join(f"`{label}`" for label in m.labels)
        out.append(f"| `{m.name}` | {m.kind} | {labels} | {m.words} |")
    return _page(out)


PAGES = {"configuration.md": configuration, "commands.md": commands, "journal-records.md": journal, "python.md": api,
         "metrics.md": metrics}


def main() -> int:
    differ = []
    for name, page in PAGES.items():
        path, text = ROOT / "docs" / name, page()
        if not path.exists() or path.read_text() != text:
            differ.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if differ:
        print(", ".join(differ), "differ: `python tools/docs.py`" if "--check" in sys.argv else "written")
    return 1 if differ and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
