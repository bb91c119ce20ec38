"""The end of an engine whatever it does."""
import asyncio
import sys
from typing import Annotated

import typer

from engine.cli.options import Failed, Json, Run, run_of, show, token_for

app = typer.Typer(add_completion=False)


@app.command()
def kill(run_dir: Run = None, json: Json = False,
         account: Annotated[bool, typer.Option("--account", help="every intraday position, whoever opened it")] = False,
         drill: Annotated[bool, typer.Option("--drill", help="a rehearsal on a sim of its own, with each step's time")] = False,
         switch_off: Annotated[str | None, typer.Option("--switch-off", metavar="SEGMENT", help=(
             "last resort, when all is flat: the broker's own switch of a segment such as NSE_EQ, 12 hours long"))] = None,
         yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """End the engine whatever it does, cancel its orders, close its positions; works on one that hangs."""
    from engine.run.fence import Report, fence, target_of

    if drill:
        from engine.run import drill as drills

        document = drills.run()
    else:
        folder = run_of(run_dir)
        target = target_of(folder)
        token = token_for(target["source"])
        if not yes and sys.stdin.isatty():
            typer.confirm(f"End the engine of {folder.path} and close its positions?", abort=True)
        if switch_off:
            from engine.run.kill import switch_off as end_segment

            document = asyncio.run(end_segment(target, token, switch_off))
        else:
            report = Report()
            lock = fence(folder, target, report)
            from engine.run.kill import cancel_and_flatten  # the engine is gone: now there is time for the network

            document = asyncio.run(cancel_and_flatten(lock, folder, target, report, token, account,
                                                      lambda text: print(text, file=sys.stderr)))
    if json:
        show(document)
    else:
        for step in document["steps"]:
            print(f"{step['ms']:>9,.1f} ms  {step['step']}{': ' + step['outcome'] if step['outcome'] else ''}")
        print("flat" if document["flat"] else f"STILL OPEN: {document['left']}; close it in the broker's app")
    if not document["flat"]:
        raise Failed(f"still open: {document['left']}")
