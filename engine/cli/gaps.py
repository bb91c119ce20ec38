"""What was missing from the feed."""
from typing import Annotated

import typer

from engine.cli.options import Json, Run, fail_where, run_of, show
from engine.trail.checked import damage_of, reader_of

app = typer.Typer(add_completion=False)


@app.command()
def gaps(run_dir: Run = None, names: Annotated[bool, typer.Option("--names", help="also the rows of single names")] = False,
         json: Json = False) -> None:
    """The ledger of what was missing from the feed: links, stalls, late deliveries, the clocks' difference; what was filled."""
    from engine.watch.ledger import rows_of
    from engine.watch.state import RunState

    folder = run_of(run_dir)
    reader = reader_of(folder.path)
    rows, counts = rows_of(RunState.after(reader))
    damage = damage_of(folder.path, reader)
    shown = rows if names else [row for row in rows if row["name"] == "feed"]
    if json:
        show({"counts": counts, "rows": shown, "problem": damage})
    else:
        for row in shown:
            print(f"{row['begin']}  {row['name']:<12} {row['kind']:<9} {row['seconds']:>8.1f} s  {row['measured']:.4g}")
        print(", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing was missing from the feed")
    fail_where(damage)
