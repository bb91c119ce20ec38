"""The gap ledger of a run, from its journal."""
from collections import Counter
from typing import Any

import numpy as np

from _ext.core.records import GAP, GAPS, INSTRUMENT, REC_FEED_NOTE, REC_GAP, REC_INSTRUMENTS
from _ext.trail.journal import Reader
from engine.market.instruments import NO_INST
from engine.watch.events import clock


def rows_of(reader: Reader) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(rows in order, count of each kind): name (`feed` for the whole), kind, begin and end in India's time, seconds, volume traded
    meanwhile, what was measured (s of lag, of the clocks' difference; bars of volume; minutes filled) and against what."""
    symbols: list[str] = []
    rows: list[dict[str, Any]] = []
    for kind, _, _, payload in reader:
        if kind == REC_INSTRUMENTS:
            symbols += [bytes(r["symbol"]).rstrip(b"\0").decode() for r in np.frombuffer(payload, INSTRUMENT)]
        elif kind in (REC_FEED_NOTE, REC_GAP):
            (g,) = np.frombuffer(payload, GAP)
            rows.append({"name": "feed" if g["inst"] == NO_INST else _name(symbols, int(g["inst"])), "kind": GAPS[g["kind"]],
                         "begin": clock(int(g["begin"])), "end": clock(int(g["end"])),
                         "seconds": round((int(g["end"]) - int(g["begin"])) / 1e9, 3), "begin_ns": int(g["begin"]),
                         "end_ns": int(g["end"]), "volume": int(g["volume"]), "measured": float(g["measured"]),
                         "limit": float(g["limit"])})
    return rows, dict(Counter(row["kind"] for row in rows))


def _name(symbols: list[str], inst: int) -> str:
    """By number where the instruments' record is missing from a damaged journal."""
    return symbols[inst] if inst < len(symbols) else str(inst)
