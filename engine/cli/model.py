"""The life of a model: what trades, what looks on, what came before."""
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from _ext.core.records import MODEL_B, MODEL_SHADOW
from engine import config as configuration
from engine.cli.options import Failed, Json, Run, run_of, show

Name = Annotated[str, typer.Argument(help="of a model, as `model list` shows it; its beginning is enough")]
app = typer.Typer(no_args_is_help=True, help="Models: which trades, which look on, which came before.")


def _folder() -> Path:
    return Path(configuration.load().models)


@app.command(name="list")
def list_models(json: Json = False) -> None:
    """Every model of the folder and what it does."""
    from engine.signals.models import entries

    rows = entries(_folder())
    if json:
        show(rows)
        return
    for row in rows:
        told = row.get("why") or f"{row['features']} features, removed {row['removed']}, learned from {row['learned from']}"
        print(f"{row['model']}  {row['role'] or '-':<8} {told}")


@app.command(name="show")
def show_model(name: Name) -> None:
    """All a model says of itself."""
    from engine.signals.models import find

    scorer = find(_folder(), name)
    said = {k: orjson.loads(v) if v[:1] in "[{" else v for k, v in scorer.meta.items()}
    show(said | {"sha256": scorer.sha256, "threshold": scorer.threshold})


@app.command()
def promote(name: Name) -> None:
    """Let a model trade, from the next record on; the one before is remembered."""
    from engine.signals import models

    print(f"{models.promote(_folder(), name).sha256[:16]} trades")


@app.command()
def rollback() -> None:
    """Put back the model that traded before."""
    from engine.signals import models

    print(f"{models.rollback(_folder()).sha256[:16]} trades again")


@app.command()
def shadow(name: Name = "",
           off: Annotated[bool, typer.Option(help="no shadow any more")] = False) -> None:
    """Let a model score every candidate beside the one that trades; it decides nothing (table shadow_scores)."""
    from engine.signals import models

    if not name and not off:
        raise Failed("which model? (or --off)")
    models.assign(_folder(), MODEL_SHADOW, "" if off else name)
    print("no shadow any more" if off else f"{name} scores beside")


@app.command()
def arm(name: Name = "", off: Annotated[bool, typer.Option(help="back to one model")] = False) -> None:
    """Give a model the names of arm B (`ab.share` of them, in engine.toml); table signals, column arm."""
    from engine.signals import models

    if not name and not off:
        raise Failed("which model? (or --off)")
    models.assign(_folder(), MODEL_B, "" if off else name)
    share = configuration.load().ab.share
    print("one model trades" if off else f"{name} decides for arm B" + ("" if share else ": set ab.share in engine.toml, it is 0"))


@app.command()
def compare(first: Name, second: Name, run_dir: Run = None, json: Json = False) -> None:
    """Two models on the stored candidates of this run's market: where they differ, and what came of those within a minute."""
    document = _store(run_dir, lambda client, among: _drift().compare(client, _folder(), first, second, among))
    show(document) if json else print("\n".join(_drift().compared(document)))


@app.command()
def drift(run_dir: Run = None, json: Json = False) -> None:
    """Whether the candidates of this run's market look like those the model learned from (PSI), and whether its score still means
    the same."""
    document = _store(run_dir, lambda client, among: _drift().measure(client, _folder(), among))
    show(document) if json else print("\n".join(_drift().lines(document)))


def _drift() -> Any:
    from engine.watch import drift as work

    return work


def _store(run_dir: Path | None, work: Any) -> Any:
    from engine.store.client import client_of, market_of

    run = run_of(run_dir)
    with client_of(configuration.load(), run) as client:
        return work(client, market_of(run))
