"""Looking at what was done: replay, explain, query, status, the evening's account; and training."""
import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.commands.options import Failed, Json, Run, app, fail_where, run_of, show, token_for
from engine.trail.checked import JournalError, damage_of, reader_of, survey
from engine.trail.rundir import RunDir


@app.command()
def evening(run_dir: Run = None, compare: Annotated[bool, typer.Option(help="with the broker's trades and charges")] = False,
            json: Json = False) -> None:
    """The day's account: entries, exits by reason, costs, alarms; --compare holds fills and charges against the broker's."""
    from engine.broker.upstox.api import Api
    from engine.trade.kill import target_of
    from engine.watch import evening as work

    folder = run_of(run_dir)
    reader = reader_of(folder.path)
    done = work.read_day(reader)
    damage = damage_of(folder.path, reader)
    document = work.summary(done) | {"problem": damage}
    if compare:
        target = target_of(folder)

        async def ask() -> list[dict[str, Any]]:
            api = Api(token_for(target["source"]), target["base"], target["orders"])
            try:
                return await work.compare(done, api)
            finally:
                await api.close()

        document["differences"] = asyncio.run(ask())
    if json:
        show(document)
    else:
        exits = ", ".join(f"{n} by {why}" for why, n in sorted(document["exits"].items())) or "none"
        print(f"{document['entries']} entries; exits: {exits}")
        print(f"realised Rs {document['realised']:+,.2f}, charges {document['charges']:,.2f}, net {document['net']:+,.2f}")
        for name, count in document["alarms"].items():
            print(f"alarm: {name} ({count})")
        for row in document.get("differences", []):
            print(f"order {row['order']} {row['symbol']}: {row['what']} ours {row['ours']}, broker {row['broker']}")
        if compare and not document["differences"]:
            print("every fill and every charge agrees with the broker's, to the paisa")
    fail_where(damage)
    if document.get("differences"):
        raise Failed(f"{len(document['differences'])} differences from the broker")


@app.command()
def replay(journal: Annotated[Path | None, typer.Argument(help="run folder or journal folder; by default the latest run")] = None,
           json: Json = False) -> None:
    """Recompute every decision of a journal from its inputs and compare."""
    from engine.trail.replay import replay as work

    settings = configuration.load()
    document = work(journal if journal is not None else run_of(None).path, Path(settings.models))
    if json:
        show(document)
    else:
        print(f"{document['updates']:,} updates in {document['seconds']} s ({document['updates_per_s']:,}/s), "
              f"{document['candidates']} candidates, {document['intents']} intents, {document['matched']} decisions the same, "
              f"{document['mismatched']} different, {document['corrupt']} corrupt records, {document['lost']} missing")
        print(f"digest {document['digest']}, {'IDENTICAL' if document['identical'] else 'NOT IDENTICAL'}")
    if not document["identical"]:
        raise Failed(document["problem"] or document["first_mismatch"] or "the digests differ")


@app.command()
def explain(number: int, run_dir: Run = None, json: Json = False,
            order: Annotated[bool, typer.Option("--order", help="the number is an order's, not a candidate's")] = False) -> None:
    """Show the chain of one candidate: tick, statistics, features, score, the rule that said no, orders, stage times."""
    from engine.watch.explain import against_training, candidate_of
    from engine.watch.explain import explain as work

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
    if json:
        show(document | {"problem": damage})
    else:
        _show_chain(document)
    fail_where(damage)


def _show_chain(document: dict[str, Any]) -> None:
    print(f"candidate {document['candidate']}: {document['symbol']} at {document['time']}, verdict {document['verdict']} "
          f"({document['measured']:.4g} against {document['limit']:.4g})")
    for name in ("tick", "statistics", "features"):
        print(f"  {name}: " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in document[name].items()))
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
    if "stages_ns" in document:
        print("  stages: " + ", ".join(f"{k} {v / 1000:.1f} us" for k, v in document["stages_ns"].items()))


@app.command()
def gaps(run_dir: Run = None, names: Annotated[bool, typer.Option("--names", help="also the rows of single names")] = False,
         json: Json = False) -> None:
    """The ledger of what was missing from the feed: links, stalls, late deliveries, the clocks' difference; what was filled."""
    from engine.watch.ledger import rows_of

    folder = run_of(run_dir)
    reader = reader_of(folder.path)
    rows, counts = rows_of(reader)
    damage = damage_of(folder.path, reader)
    shown = rows if names else [row for row in rows if row["name"] == "feed"]
    if json:
        show({"counts": counts, "rows": shown, "problem": damage})
    else:
        for row in shown:
            print(f"{row['begin']}  {row['name']:<12} {row['kind']:<9} {row['seconds']:>8.1f} s  {row['measured']:.4g}")
        print(", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing was missing from the feed")
    fail_where(damage)


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


@app.command()
def status(run_dir: Run = None, json: Json = False) -> None:
    """Vital signs of a run, and all that is wrong with it."""
    from engine.launcher import is_running
    from engine.watch.signs import summary, troubles, vital_signs

    folder = run_of(run_dir)
    signs, is_alive = vital_signs(folder), is_running(folder)
    wrong = troubles(folder, *signs)
    if not is_alive and (damage := _damage(folder)) and damage not in wrong:
        wrong.append(damage)
    document = summary(folder, *signs, wrong) | {"running": is_alive}
    if json:
        show(document)
    else:
        for name, value in document.items():
            if name != "troubles":
                print(f"{name:>16}  {value}")
        for text in wrong:
            print(f"TROUBLE: {text}")
    if wrong:
        raise Failed(wrong[0])


def _damage(folder: RunDir) -> str | None:
    """What is missing from a journal; None where there is none, as of a run that is just beginning."""
    try:
        return survey(folder.path)
    except JournalError:
        return None
