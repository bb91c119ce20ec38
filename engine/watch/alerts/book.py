"""The book of alerts: each is told once when it begins and once when it is over, whatever the figures do in between. Pure: time is
given, and what it has to remember is a document.
"""
import contextlib
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import orjson

from engine.config.alerts import Alerts
from engine.watch.alerts.conditions import CONDITIONS, SEVERITIES, Condition, Reading, rupees
from engine.watch.trades import Trade
from engine.watch.watched import Watched

HOUR_NS = 3_600_000_000_000
KEPT = 500
"""Alerts that are over and still shown."""
FILE_MAX = 4 << 20


@dataclass(frozen=True)
class Notice:
    """Something to be told. `at` wall time, ns."""
    kind: Literal["alert", "recovery", "trade", "limit"]
    severity: str
    title: str
    text: str
    at: int
    alert: int = 0                    # its number in the book; 0: of none


@dataclass
class Alert:
    """One alert, from its beginning on; wall times in ns, 0: not yet. `count`: how often it came back while it was young."""
    id: int
    name: str
    subject: str
    severity: str
    text: str
    since: int
    until: int = 0
    acknowledged_by: str = ""
    acknowledged_at: int = 0
    count: int = 1
    told_at: int = 0                  # when its beginning was last told
    is_told: bool = False             # whether this beginning was: then its end is too


@dataclass
class _Watch:
    """What is remembered of a condition's subject beside its alert."""
    bad_since: int = 0
    well_since: int = 0
    seen: float = 0.0                 # of a count, the highest


@dataclass
class AlertBook:
    """`take` about once a second. `conditions` in order of the page."""
    settings: Alerts
    conditions: Sequence[Condition] = CONDITIONS
    rows: list[Alert] = field(default_factory=list)
    is_changed: bool = False          # since it was last kept

    def __post_init__(self) -> None:
        self._watch: dict[tuple[str, str], _Watch] = {}
        self._sent: deque[int] = deque(maxlen=2000)            # times of messages within the hour
        self._trades: set[tuple[int, int]] | None = None       # told: (candidate, entry time)
        self._is_full = False

    # ---- what is asked of it -------------------------------------------------------------------------------------------
    @property
    def firing(self) -> list[Alert]:
        return [row for row in self.rows if not row.until]

    @property
    def unacknowledged(self) -> int:
        return sum(not row.acknowledged_by for row in self.firing)

    def by_severity(self) -> dict[str, int]:
        return {name: sum(row.severity == name for row in self.firing) for name in SEVERITIES}

    def acknowledge(self, number: int, who: str, now: int) -> Alert:
        """Notes who has seen it. LookupError where there is no such alert."""
        row = next((row for row in self.rows if row.id == number), None)
        if row is None:
            raise LookupError(f"there is no alert {number}: the page lists them")
        if not row.acknowledged_by:
            row.acknowledged_by, row.acknowledged_at, self.is_changed = who[:64], now, True
        return row

    # ---- what is given to it -------------------------------------------------------------------------------------------
    def take(self, view: Watched) -> list[Notice]:
        """Everything there is to tell now."""
        now, found = view.wall_ns, list[Notice]()
        for condition in self.conditions:
            if condition.in_session and not view.is_session:
                found += self._close(condition, now, "the session is over")
                continue
            readings = condition.readings(view, self.settings)
            if readings is None:
                continue
            for reading in readings:
                found += self._judge(condition, reading, now)
            gone = {row.subject for row in self.firing if row.name == condition.name} - {r.subject for r in readings}
            for subject in sorted(gone):                       # what is not there any more is well
                found += self._judge(condition, Reading(0.0, "", subject), now, is_gone=True)
        if self.settings.trades:
            found += self._of_trades(view)
        return self._within_limits(found, now)

    def _judge(self, condition: Condition, reading: Reading, now: int, is_gone: bool = False) -> list[Notice]:
        watch = self._watch.setdefault((condition.name, reading.subject), _Watch())
        row = next((r for r in self.firing if r.name == condition.name and r.subject == reading.subject), None)
        is_bad = not is_gone and condition.is_bad(reading.value, self.settings)
        is_well = is_gone or condition.is_well(reading.value, self.settings)
        if condition.side == "rise" and not is_gone:
            is_bad = reading.value > watch.seen
            is_well = not is_bad
            self.is_changed |= reading.value != watch.seen
            watch.seen = reading.value                         # a smaller one: who counts has begun anew
            if is_bad and row is not None:
                row.count += 1
        if is_bad:
            watch.well_since = now if condition.side == "rise" else 0      # a count is well from its last rise on
            watch.bad_since = watch.bad_since or now
            if row is None and now - watch.bad_since >= condition.hold_s * 1e9:
                return self._begin(condition, reading, now)
            if row is not None:
                row.text = reading.text                        # the figures of the moment
                return [] if row.is_told else self._tell(row, now)
        else:
            watch.bad_since = 0
            watch.well_since = (watch.well_since or now) if is_well else 0
            if row is not None and is_well and now - watch.well_since >= condition.clear_s * 1e9:
                return self._end(row, now, "")
        return []

    def _begin(self, condition: Condition, reading: Reading, now: int) -> list[Notice]:
        """A new row, or the last one again where it is young; told unless it was told a short time ago."""
        self.is_changed = True
        last = next((r for r in reversed(self.rows) if r.name == condition.name and r.subject == reading.subject), None)
        if last is not None and now - (last.told_at or last.since) < self.settings.again_s * 1e9:
            last.until, last.count, last.text, last.is_told = 0, last.count + 1, reading.text, False
            return []                                          # told later, where it stays
        row = Alert(max((r.id for r in self.rows), default=0) + 1, condition.name, reading.subject, condition.severity,
                    reading.text, now)
        over = sum(bool(r.until) for r in self.rows) - KEPT
        for r in [r for r in self.rows if r.until][:max(over, 0)]:
            self.rows.remove(r)
        self.rows.append(row)
        return self._tell(row, now)

    def _tell(self, row: Alert, now: int) -> list[Notice]:
        """Its beginning, unless that was told a short time ago or is too small to be told."""
        is_small = SEVERITIES.index(row.severity) < SEVERITIES.index(self.settings.least)
        if is_small or (row.told_at and now - row.told_at < self.settings.again_s * 1e9):
            return []
        row.told_at, row.is_told, self.is_changed = now, True, True
        return [Notice("alert", row.severity, _title(row), row.text, now, row.id)]

    def _end(self, row: Alert, now: int, why: str) -> list[Notice]:
        """Over; told once, where its beginning was."""
        row.until, self.is_changed = now, True
        watch = self._watch.get((row.name, row.subject))
        if watch is not None:
            watch.bad_since = watch.well_since = 0
        if not row.is_told or not self.settings.recoveries:
            return []
        words = f"over after {_span(now - row.since)}{f': {why}' if why else ''}. It was: {row.text}"
        return [Notice("recovery", row.severity, f"{_title(row)}: over", words, now, row.id)]

    def _close(self, condition: Condition, now: int, why: str) -> list[Notice]:
        for (name, _), watch in self._watch.items():
            if name == condition.name:
                watch.bad_since = watch.well_since = 0
        return [notice for row in self.firing if row.name == condition.name for notice in self._end(row, now, why)]

    def _of_trades(self, view: Watched) -> list[Notice]:
        """Each closed trade once. Those closed before this book began are not told: it may begin in mid-day."""
        closed = {(t.candidate, t.entry_time): t for t in view.closed}
        if self._trades is None:
            self._trades, self.is_changed = set(closed), True
            return []
        fresh = [key for key in closed if key not in self._trades]
        self._trades |= set(fresh)
        self.is_changed |= bool(fresh)
        return [Notice("trade", "note", *_of_trade(closed[key], view), view.wall_ns) for key in fresh]

    def _within_limits(self, found: Iterable[Notice], now: int) -> list[Notice]:
        """At most so many an hour, but for the gravest; the first that is too many is replaced by a word that there are more."""
        out: list[Notice] = []
        while self._sent and now - self._sent[0] >= HOUR_NS:
            self._sent.popleft()
        for notice in found:
            if notice.severity == "page":
                out.append(notice)
            elif len(self._sent) < self.settings.per_hour:
                self._is_full = False
                self._sent.append(now)
                out.append(notice)
            else:
                row = next((r for r in self.rows if r.id == notice.alert), None)
                if row is not None and notice.kind == "alert":
                    row.is_told = False
                if not self._is_full:
                    self._is_full = True
                    out.append(Notice("limit", "warn", "too many messages", f"{self.settings.per_hour} messages within the hour: "
                                      "further ones are only on the page", now))
        return out

    # ---- what outlives a restart ---------------------------------------------------------------------------------------
    def document(self) -> dict[str, Any]:
        return {"rows": [asdict(row) for row in self.rows], "sent": list(self._sent), "is_full": self._is_full,
                "trades": None if self._trades is None else sorted(self._trades),
                "watch": [[*key, w.bad_since, w.well_since, w.seen] for key, w in self._watch.items()]}

    def recall(self, document: Mapping[str, Any]) -> None:
        """Goes on with what an earlier book kept. ValueError, KeyError or TypeError for what is none."""
        names = {f.name for f in fields(Alert)}
        self.rows = [Alert(**{name: value for name, value in row.items() if name in names}) for row in document["rows"]]
        self._sent = deque(document["sent"], maxlen=2000)
        self._is_full = bool(document["is_full"])
        self._trades = None if document["trades"] is None else {(int(a), int(b)) for a, b in document["trades"]}
        self._watch = {(name, subject): _Watch(bad, well, seen) for name, subject, bad, well, seen in document["watch"]}


def kept(settings: Alerts, path: Path) -> AlertBook:
    """The book of a run, as it was last written to `path`; a new one where there is none, or none that can be read."""
    book = AlertBook(settings)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = path.read_bytes()
        if len(data) <= FILE_MAX:
            book.recall(orjson.loads(data))
    return book


def keep(book: AlertBook, path: Path) -> None:
    """Writes it where only this user can read it, if anything has changed. OSError where there is no room."""
    if not book.is_changed:
        return
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(orjson.dumps(book.document()))
    fresh.replace(path)
    book.is_changed = False


def _title(row: Alert) -> str:
    words = next((c.words for c in CONDITIONS if c.name == row.name), row.name)
    return f"{words}{f' ({row.subject})' if row.subject else ''}"


def _of_trade(trade: Trade, view: Watched) -> tuple[str, str]:
    """Title and text."""
    side = "long" if trade.side > 0 else "short"
    kind = "paper: " if view.is_paper else ""
    return (f"{kind}{trade.symbol} {rupees(trade.net)}",
            f"{trade.symbol} {side} {trade.quantity} from {trade.entry_price / 100:,.2f} to {trade.exit_price / 100:,.2f} "
            f"({trade.reason}, {_span(trade.exit_time - trade.entry_time)}): {rupees(trade.gross)} realised, "
            f"{rupees(trade.charges)} charges, {rupees(trade.net)} after charges. The day: {rupees(view.net)}")


def _span(ns: int) -> str:
    seconds = ns / 1e9
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
