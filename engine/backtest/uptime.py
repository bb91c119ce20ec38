"""How much of a session an engine was there for: it wrote, and its feed spoke."""
import datetime as dt
from collections.abc import Iterable, Sequence

import numpy as np

from _ext.core.records import GAP, GAP_LINK, GAP_STALL, INSTRUMENT, REC_FRAME, REC_GAP, REC_INSTRUMENTS
from engine.market import sessions
from engine.market.instruments import NO_INST
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir

Span = tuple[int, int]
SILENT_NS = 5_000_000_000
"""A feed of many names speaks several times a second, and an engine that lives writes down what it says."""
MINUTE_NS = 60_000_000_000
WANTED = 0.995
"""Share of a session, of a good day and of paper days on the whole."""
LONGEST = 375
"""Minutes after 09:15: 15:30."""


def session_of(runs: Sequence[RunDir], day: str) -> Span:
    """From 09:15 until the last instrument of the runs ends its continuous trading, 15:30 at the latest, ns."""
    begin = int(dt.datetime.combine(dt.date.fromisoformat(day), sessions.OPEN, sessions.IST).timestamp() * 1e9)
    closes = [int(row["close_minute"]) for run in runs for _, _, payload in reader_of(run.path).pick((REC_INSTRUMENTS,))
              for row in np.frombuffer(payload, INSTRUMENT)]
    return begin, begin + min(max(closes, default=LONGEST), LONGEST) * MINUTE_NS


def uptime(runs: Sequence[RunDir], day: str) -> float:
    """Share of the session of `day` in which one of its runs was there: from its first frame to its last, less the times it wrote
    none for five seconds, had no feed, or the feed said nothing for all names. Timers say nothing of that: a feed that never came,
    or was lost for the rest of the day, has no row in the gap ledger."""
    begin, end = session_of(runs, day)
    up: list[Span] = []
    for run in runs:
        quiet = reader_of(run.path).quiet(SILENT_NS, begin, REC_FRAME)
        if not quiet:
            continue
        down = [*quiet[1:-1], *_without_feed(run)]
        up += _less((max(quiet[0][0], begin), min(quiet[-1][1], end)), down)
    return sum(until - since for since, until in _joined(up)) / (end - begin)


def _without_feed(run: RunDir) -> list[Span]:
    gaps = (np.frombuffer(payload, GAP)[0] for _, _, payload in reader_of(run.path).pick((REC_GAP,)))
    return [(int(gap["begin"]), int(gap["end"])) for gap in gaps if gap["inst"] == NO_INST and gap["kind"] in (GAP_LINK, GAP_STALL)]


def _less(span: Span, holes: Iterable[Span]) -> list[Span]:
    """What is left of a span without its holes."""
    out, at = [], span[0]
    for since, until in _joined(holes):
        if until > at and since < span[1]:
            if since > at:
                out.append((at, since))
            at = until
    return [*out, (at, span[1])] if at < span[1] else out


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch, as one."""
    out: list[Span] = []
    for since, until in sorted(span for span in spans if span[1] > span[0]):
        if out and since <= out[-1][1]:
            out[-1] = out[-1][0], max(until, out[-1][1])
        else:
            out.append((since, until))
    return out
