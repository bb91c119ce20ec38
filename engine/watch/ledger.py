"""The gap ledger of a run, as rows of words and numbers."""
from collections import Counter
from typing import Any

from _ext.core.records import GAPS
from engine.watch.events import clock
from engine.watch.state import RunState


def rows_of(state: RunState) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(rows in order, count of each kind): name (`feed` for the whole), kind, begin and end in India's time, seconds, volume traded
    meanwhile, what was measured (s of lag, of the clocks' difference; bars of volume; minutes filled) and against what."""
    rows = [{"name": state.symbol(int(g["inst"])), "kind": GAPS[g["kind"]], "begin": clock(int(g["begin"])),
             "end": clock(int(g["end"])), "seconds": round((int(g["end"]) - int(g["begin"])) / 1e9, 3), "begin_ns": int(g["begin"]),
             "end_ns": int(g["end"]), "volume": int(g["volume"]), "measured": float(g["measured"]), "limit": float(g["limit"])}
            for g in state.gaps]
    return rows, dict(Counter(row["kind"] for row in rows))
