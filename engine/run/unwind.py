"""The end of a paper day whose engine was ended from outside: its book is taken up from the journal and closed.

There is no broker to ask and no feed: positions close at the prices last shown, in the market's time, which goes on by itself.
"""
import secrets
from typing import Any

import numpy as np

from _ext.core.records import OP_KILL, OPERATOR_CHANGE, REC_CLOSED, REC_OPERATOR, REC_QUOTES, REC_STOP
from _ext.trail.journal import Journal
from engine.broker.base import QuoteRow
from engine.config import Config
from engine.run.again import taken_up
from engine.run.fence import Report, note
from engine.run.opening import closing
from engine.run.paper import Paper
from engine.trade.inputs import quotes_record
from engine.trail.checked import capacity_of
from engine.trail.rundir import Lock, RunDir

STEP_NS, STEPS, QUOTES_EVERY = 50_000_000, 1200, 20
"""A minute of the market's time at most, quotes once a second."""
SEGMENT = 16 << 20


def unwind(lock: Lock, run: RunDir, config: Config, report: Report) -> dict[str, Any]:
    """Cancels and closes what a fenced engine on paper has left, under the `lock` of its account; the report as a document.
    RunError where its journal cannot be gone on with."""
    made: list[Journal] = []

    def journal_of(prefix: Any) -> Journal:
        made.append(Journal(run.memory, SEGMENT, 1 << 50, prefix=prefix, folders=(run.journal,)))
        return made[0]

    try:
        paper, _ = taken_up([run.memory, run.journal], journal_of, capacity_of(run.path), config, secrets.token_hex(3), run.path)
        core = paper.core
        report.step("took up its book", f"{len(core.positions())} positions")
        _close(paper)
        report.left = {paper.shell.keys[int(slot["inst"])]: int(slot["side"] * (slot["bought"] - slot["sold"]))
                       for slot in core.positions()}
        report.step("gave up" if report.left else "flat", "at the prices last shown")
        core.feed(REC_STOP, core.now)
        made[0].append(REC_CLOSED, core.now, closing(core))
    finally:
        for journal in made:
            journal.close()
        lock.release()
    note(run, report.document())
    return report.document()


def _close(paper: Paper) -> None:
    """Time goes on with the operator's last word in force until nothing is held and nothing works."""
    core, change = paper.core, np.zeros(1, OPERATOR_CHANGE)
    change["state"] = OP_KILL
    core.feed(REC_OPERATOR, core.now, change.tobytes())
    paper.shell.is_barred = True
    paper.act()
    for step in range(STEPS):
        if step % QUOTES_EVERY == 0:
            core.feed(REC_QUOTES, core.now, quotes_record(_shown(paper), paper.shell.insts))
            paper.act()
        paper.shell.on_timer(core.now + STEP_NS)
        paper.on_timer()
        if not len(core.positions()) and not len(core.live_orders()) and not paper.events:
            break


def _shown(paper: Paper) -> list[QuoteRow]:
    """Prices last shown of what is held."""
    rows = []
    for slot in paper.core.positions():
        inst = int(slot["inst"])
        last, bid, bid_q, ask, ask_q = paper.venue.shown(inst)
        rows.append(QuoteRow(paper.shell.keys[inst], last, bid, bid_q, ask, ask_q))
    return rows
