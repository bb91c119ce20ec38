"""The end of an engine whatever it does."""
import asyncio
import sys
from typing import Annotated, Any

import typer

from engine.cli.options import Failed, Json, Run, run_of, show, token_for
from engine.trail.rundir import RunDir

app = typer.Typer(add_completion=False)


@app.command()
def kill(run_dir: Run = None, json: Json = False,
         account: Annotated[bool, typer.Option("--account", help="every intraday position, whoever opened it")] = False,
         drill: Annotated[bool, typer.Option("--drill", help="a rehearsal on a sim of its own, with each step's time")] = False,
         switch_off: Annotated[str | None, typer.Option("--switch-off", metavar="SEGMENT", help=(
             "last resort, when all is flat: the broker's own switch of a segment such as NSE_EQ, 12 hours long"))] = None,
         yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """End the engine whatever it does, cancel its orders, close its positions; works on one that hangs."""
    from engine.run.fence import target_of

    is_paper = False
    if drill:
        from engine.run import drill as drills

        document = drills.run()
    else:
        folder = run_of(run_dir)
        target = target_of(folder)
        is_paper = bool(target.get("paper"))
        if not yes and sys.stdin.isatty():
            typer.confirm(f"End the engine of {folder.path} and close its positions?", abort=True)
        document = _on_paper(folder, target) if is_paper else _at_the_broker(folder, target, account, switch_off)
    if json:
        show(document)
    else:
        for step in document["steps"]:
            print(f"{step['ms']:>9,.1f} ms  {step['step']}{': ' + step['outcome'] if step['outcome'] else ''}")
        print("flat" if document["flat"] else f"STILL OPEN: {document['left']}"
              + ("" if is_paper else "; close it in the broker's app"))
    if not document["flat"]:
        raise Failed(f"still open: {document['left']}")


def _at_the_broker(folder: RunDir, target: dict[str, Any], account: bool, switch_off: str | None) -> dict[str, Any]:
    from engine.run.fence import Report, fence

    token = token_for(target["source"])
    if switch_off:
        from engine.run.kill import switch_off as end_segment

        return asyncio.run(end_segment(target, token, switch_off))
    report = Report()
    lock = fence(folder, target, report)
    from engine.run.kill import cancel_and_flatten  # the engine is gone: now there is time for the network

    return asyncio.run(cancel_and_flatten(lock, folder, target, report, token, account, lambda text: print(text, file=sys.stderr)))


def _on_paper(folder: RunDir, target: dict[str, Any]) -> dict[str, Any]:
    """Nothing is asked of anybody: the whole account, and what a broker could switch off, is the run's own book."""
    from engine.run.fence import Report, fence

    report = Report()
    lock = fence(folder, target, report)
    from engine import config as configuration
    from engine.run.unwind import unwind

    return unwind(lock, folder, configuration.load(), report)
