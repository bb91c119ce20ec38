"""What people ask of a running engine, through the operator ring: journaled with who asked, then done."""
from collections.abc import Callable
from typing import Any

import numpy as np

from _ext.core.records import (
    DO_FLATTEN,
    DO_KILL,
    DO_PAUSE,
    DO_RUN,
    OP_KILL,
    OP_PAUSE,
    OP_RUN,
    OPERATION,
    OPERATIONS,
    REC_OPERATION,
)
from _ext.trail.status import StatusBlock
from engine.broker.upstox.answers import clean

WITHDRAWN = -1
"""What StatusBlock.withdraw makes of an entry."""
STATES = {DO_RUN: OP_RUN, DO_PAUSE: OP_PAUSE, DO_FLATTEN: OP_KILL, DO_KILL: OP_KILL}
"""Operation -> the operator's word it sets; the others are done by whoever asks, and noted here."""


class Operations:
    """Takes entries of the ring of `status`. `record` journals one, `note` takes what a person would read."""

    def __init__(self, status: StatusBlock, record: Callable[[int, bytes], Any], note: Callable[[str], Any]):
        self.status, self.record, self.note = status, record, note

    def left_over(self) -> None:
        """At the start: what was asked of an engine before this one. Only what tightens is done; the rest is old."""
        for entry in self.status.take():
            row = np.frombuffer(entry, OPERATION)[0]
            if STATES.get(int(row["kind"]), 0) > self.status.operator:
                self._do(entry, row)
            elif row["kind"] != WITHDRAWN:
                self.note("an operation that an engine before this one was asked for is left out: ask again")

    def take(self) -> None:
        """Everything asked for since the last call, in order. An entry that is no operation is told and left out."""
        for entry in self.status.take():
            self._do(entry, np.frombuffer(entry, OPERATION)[0])

    def _do(self, entry: bytes, row: np.void) -> None:
        """One entry: journaled, told, done."""
        kind, who = int(row["kind"]), clean(row["who"].decode(errors="replace")) or "somebody"
        if kind == WITHDRAWN:                              # taken back by whoever asked
            return
        if kind not in range(len(OPERATIONS)) or not OPERATIONS[kind]:
            self.note(f"{who} asked for operation {kind}, which there is not: left out")
            return
        self.record(REC_OPERATION, entry)
        argument = clean(row["argument"].decode(errors="replace"))
        self.note(f"{who} asks: {OPERATIONS[kind]}{' ' + argument if argument else ''}")
        if kind in STATES and (kind == DO_RUN or STATES[kind] > self.status.operator):     # only `resume` loosens
            self.status.operator = STATES[kind]
