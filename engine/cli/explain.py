"""The chain of one candidate."""
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, Run, fail_where, run_of, show
from engine.market.sessions import IST
from engine.trail.checked import survey

app = typer.Typer(add_completion=False)


@app.command()
def explain(number: Annotated[int, typer.Argument(min=1, help="of the candidate, or with --order of the order")],
            run_dir: Run = None, json: Json = False,
            order: Annotated[bool, typer.Option("--order", help="the number is an order's, not a candidate's")] = False) -> None:
    """Show the chain of one candidate: tick, statistics, features, score, the rule that said no, orders, stage times."""
    from engine.watch.explain import against_training, candidate_of
    from engine.watch.explain import explain as work
    from engine.watch.notes import Notes

    folder = run_of(run_dir).path
    damage = survey(folder)
    if order:
        found = candidate_of(folder, number)
        if found is None:
            fail_where(damage)
            raise Failed(f"there is no order {number} in this run: `python -m engine query \"SELECT id, event FROM orders\"`")
        number = found
    document = work(folder, number)
    if document is None:
        fail_where(damage)
        raise Failed(f"there is no candidate {number} in this run: `python -m engine query \"SELECT id, reason FROM signals\"`")
    document["against_training"] = against_training(document, Path(configuration.load().models))
    document["notes"] = [note.shown() for note in Notes(folder).of(number)]
    if json:
        show(document | {"problem": damage})
    else:
        _show_chain(document)
    fail_where(damage)


def _show_chain(document: dict[str, Any]) -> None:
    print(f"candidate {document['candidate']}: {document['symbol']} at {document['time']} by {document['source']}, "
          f"verdict {document['verdict']} "
          f"({document['measured']:.4g} against {document['limit']:.4g})")
    if "note" in document:
        print(f"  it says: {document['note']}")
    for name in ("asked", "tick", "statistics", "own", "features"):
        if not document.get(name):
            continue
        form = ".2f" if name == "asked" else ".4g"
        words = [f"{k} {v:{form}}" if isinstance(v, float) else f"{k} {v}" for k, v in document[name].items()]
        print(f"  {name}: " + ", ".join(words))
    if document["model"] or document["score"] == document["score"]:
        print(f"  score {document['score']:.3f}, at the next update {document['score_next']:.3f}, model {document['model']}")
    if document["against_training"]:
        print("  what the model saw      value   genuine ones in training: 1 %, 50 %, 99 %")
    elif document["model"]:
        print(f"  what training had is not known: model {document['model']} is no longer in {configuration.load().models}")
    for row in document["against_training"]:
        print(f"  {'!' if row['is_outside'] else ' '} {row['feature']:<18} {row['value']:>9.4g}   {row['low']:>9.4g} "
              f"{row['middle']:>9.4g} {row['high']:>9.4g}")
    for line in document["chain"]:
        print(f"  {line}")
    for note in document["notes"]:
        tags = "".join(f" #{tag}" for tag in note["tags"] if f"#{tag}" not in note["text"].casefold())
        at = dt.datetime.fromtimestamp(note["t_us"] / 1e6, IST)
        print(f"  note {note['n']} of {at:%d %b %H:%M}, {note['who']}: {note['text']}{tags}")
    if "stages_ns" in document:
        print("  stages: " + ", ".join(f"{k} {v / 1000:.1f} us" for k, v in document["stages_ns"].items()))
