"""Minutes lost in a gap, fetched from the broker's candles and entered where they belong. Pure, like the keeper beside it.

The last completed minute of up to 500 names comes with one call (quotes, interval I1), so a gap inside a minute costs little, and
while the whole feed is silent each minute is fetched as it ends and kept until it is missed. Older minutes need a call a name
(intraday candles) and share what the broker's limits leave, tradable names first.
"""
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from _ext.core.clock import MINUTE, SECOND, day_of_minutes, open_minute
from _ext.core.records import GAP, GAPS, REC_BACKFILL, WARM_BAR
from _ext.entrance import Core
from engine.market.instruments import NO_INST

SETTLE = 4 * SECOND
"""After a minute's end its candle is asked for: the last trades of it may be 1.5 s late, the broker's candle as well."""
BATCH = 500
GATHER = 2 * SECOND
"""Between two calls for the last minute: names come back from a gap one after another."""
AHEAD_KEPT, SLICE, AHEAD_AGAIN = 90, 64, 5 * SECOND
MISSED_BY = 5
"""Minutes after a silence of the whole feed by which every name has said what it missed."""
SILENT = 3 * SECOND
"""Nothing of any name for so long: minutes are fetched before anybody knows what is missing."""
FEW = 100
"""Names that are not traded are worth a call each while they are no more than these."""
TRIES, AGAIN = 12, 15 * SECOND
"""A call that gave nothing is made again after 15 s, 30 s, .. up to four minutes, half an hour in all."""
BUDGET = ((SECOND, 10), (60 * SECOND, 300), (1800 * SECOND, 1200))
"""Calls: the broker allows 50, 500 and 2,000 of each kind (docs/upstox.md 4.1); what else reads candles must find room."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """`minute` or `ahead` (of `keys`, the last completed one) or `day` (of one key: every minute of today)."""
    what: str
    keys: tuple[str, ...]
    minute: int = 0


class Backfill:
    """Looks after the gaps of `core`; `keys` are its instruments' keys by row, `important` the rows whose older minutes are worth a
    call each, most important first. `record(kind, payload)` takes the minutes that came."""

    def __init__(self, core: Core, keys: Mapping[int, str], important: Sequence[int], record: Callable[[int, bytes], Any]):
        self.core, self.keys, self.record = core, dict(keys), record
        self.rank = {inst: i for i, inst in enumerate(important)}
        self.insts = {key: inst for inst, key in self.keys.items()}
        self.closes = {inst: int(core.instrument(inst)["close_minute"]) for inst in self.keys}
        self.wanted: dict[int, set[int]] = {}            # row -> minutes that are missing
        self.tried: dict[int, tuple[int, int]] = {}      # row -> calls for its day, when the next may go
        self.asked: set[int] = set()                     # rows with a call under way
        self.next_minute = 0                             # when the last minute may be asked for again
        self.ahead: dict[int, dict[int, np.ndarray]] = {}      # row -> minute -> bar, fetched while all was silent
        self.ahead_of = self.next_ahead = 0              # the last minute fetched so, and when one may be asked for again
        self.calls: deque[int] = deque(maxlen=2000)
        self.filled = self.given_up = 0

    def _may(self, now: int) -> bool:
        return all(len(self.calls) < limit or self.calls[-limit] <= now - length for length, limit in BUDGET)

    def due(self, now: int) -> list[Fetch]:
        """What to fetch now."""
        if self.core.has_lost:
            for gap in np.frombuffer(self.core.take_lost().tobytes(), GAP):
                self._want(int(gap["inst"]), int(gap["first_minute"]), int(gap["last_minute"]), now)
        exchange = self.core.market.exchange_now(now)
        last = (exchange - SETTLE) // MINUTE - 1         # the last minute whose candle is there
        out = self._look_ahead(now, last)
        if not self.wanted:
            return out
        self._use_ahead()
        if now >= self.next_minute:
            rows = [inst for inst, minutes in self.wanted.items() if last in minutes and self._is_free(inst, now)]
            if rows:
                self.next_minute = now + GATHER
            for part in range(0, len(rows), BATCH):
                if not self._may(now):
                    break
                self.calls.append(now)
                self.asked.update(rows[part:part + BATCH])
                out.append(Fetch("minute", tuple(self.keys[i] for i in rows[part:part + BATCH]), last))
        others = sum(inst not in self.rank for inst in self.wanted)
        older = [inst for inst, minutes in self.wanted.items() if (inst in self.rank or others <= FEW) and max(minutes) <= last
                 and self._is_free(inst, now)]
        for inst in sorted(older, key=lambda i: self.rank.get(i, len(self.rank))):
            if not self._may(now):
                break
            self.calls.append(now)
            self.asked.add(inst)
            out.append(Fetch("day", (self.keys[inst],)))
        if last > 0:                                     # what nobody will fetch is not waited for
            for inst in [i for i, minutes in self.wanted.items() if i not in self.rank and i not in self.asked and others > FEW
                         and max(minutes) < last - 2]:
                del self.wanted[inst]
                self.tried.pop(inst, None)
                self.given_up += 1
        return out

    def _look_ahead(self, now: int, last: int) -> list[Fetch]:
        """While nothing is heard in the session: each minute of every name as it ends."""
        seen, today = self.core.market.last_update, open_minute(day_of_minutes(last))
        if self.ahead and last > self.ahead_of + MISSED_BY and now - seen < SILENT:
            self.ahead.clear()                           # nobody missed them
        is_due = seen and now - seen >= SILENT and last > self.ahead_of and now >= self.next_ahead and self._may(now)
        if not is_due or not today <= last < today + max(self.closes.values(), default=0) or (
                last + 1) * MINUTE < self.core.market.exchange_now(seen):
            return []
        self.ahead_of = last
        rows = [inst for inst in self.keys if last < today + self.closes[inst]]
        out = []
        for part in range(0, len(rows), BATCH):
            self.calls.append(now)
            out.append(Fetch("ahead", tuple(self.keys[i] for i in rows[part:part + BATCH]), last))
        return out

    def _use_ahead(self) -> None:
        """Enters what was fetched before it was missed, a few names at a time."""
        for inst in list(islice((i for i in self.wanted if i in self.ahead), SLICE)):
            kept = self.ahead.pop(inst)
            mine = [kept[minute] for minute in sorted(self.wanted[inst] & kept.keys())]
            if mine:
                self._enter(inst, np.concatenate(mine))

    def _enter(self, inst: int, rows: np.ndarray) -> None:
        rows["inst"] = inst
        self.record(REC_BACKFILL, rows.tobytes())
        minutes = self.wanted[inst]
        minutes.difference_update(int(m) for m in rows["minute"])
        self.filled += len(rows)
        if not minutes:
            del self.wanted[inst]
            self.tried.pop(inst, None)

    def _want(self, row: int, first: int, last: int, now: int) -> None:
        """Notes minutes `first` to `last` as missing, as far as they lie in today's session of the name (NO_INST: of each)."""
        today = open_minute(day_of_minutes(self.core.market.exchange_now(now) // MINUTE))
        for inst in list(self.keys) if row == NO_INST else [row]:
            if first:
                minutes = {m for m in range(max(first, today), min(last, today + self.closes[inst] - 1) + 1)
                           if not self.core.market.has_filled(inst, m)}
                if minutes:
                    self.wanted.setdefault(inst, set()).update(minutes)

    def recall(self, rows: Iterable[np.void], now: int) -> None:
        """After a restart: the ledger's rows of today, of which some were filled and some were not."""
        for gap in rows:
            if GAPS[gap["kind"]] in ("silence", "rebased"):
                self._want(int(gap["inst"]), int(gap["first_minute"]), int(gap["last_minute"]), now)
            elif GAPS[gap["kind"]] == "filled" and int(gap["inst"]) in self.wanted:
                left = self.wanted[int(gap["inst"])]
                left.difference_update(range(int(gap["first_minute"]), int(gap["last_minute"]) + 1))
                if not left:
                    del self.wanted[int(gap["inst"])]

    def failed(self, fetch: Fetch, now: int) -> None:
        """The call gave nothing; it is made again, a few times."""
        if fetch.what == "ahead":                        # while it is the last one it can be had
            self.ahead_of, self.next_ahead = min(self.ahead_of, fetch.minute - 1), now + AHEAD_AGAIN
            return
        for key in fetch.keys:
            self._again(self.insts[key], now)

    def _is_free(self, inst: int, now: int) -> bool:
        """Neither being asked for nor waiting to be asked for again."""
        return inst not in self.asked and self.tried.get(inst, (0, 0))[1] <= now

    def _again(self, inst: int, now: int) -> None:
        self.asked.discard(inst)
        count = self.tried.get(inst, (0, 0))[0] + 1
        if count >= TRIES:
            self.wanted.pop(inst, None)
            self.tried.pop(inst, None)
            self.given_up += 1
        else:
            self.tried[inst] = count, now + min(AGAIN << (count - 1), 16 * AGAIN)

    def on_bars(self, fetch: Fetch, bars: Mapping[str, np.ndarray], now: int) -> None:
        """What came: key -> WARM_BAR rows (minute, prices in paise, volume), oldest first; of a `minute` one row each."""
        for key in fetch.keys:
            inst = self.insts[key]
            if fetch.what == "ahead":
                if key in bars:
                    kept = self.ahead.setdefault(inst, {})
                    kept[fetch.minute] = bars[key]
                    kept.pop(fetch.minute - AHEAD_KEPT, None)
                continue
            self.asked.discard(inst)
            minutes = self.wanted.get(inst)
            if not minutes:
                continue
            rows = with_still_minutes(bars[key]) if key in bars else np.zeros(0, WARM_BAR)
            mine = rows[np.isin(rows["minute"], list(minutes))].copy()
            if len(mine):
                self._enter(inst, mine)
            if inst in self.wanted and (fetch.what == "day" or not len(mine)):
                self._again(inst, now)


def with_still_minutes(rows: np.ndarray) -> np.ndarray:
    """WARM_BAR rows with a still bar (last close, no volume) for each minute between them that is missing."""
    if len(rows) < 2 or (np.diff(rows["minute"]) == 1).all():
        return rows
    minutes = np.arange(rows["minute"][0], rows["minute"][-1] + 1)
    out = np.zeros(len(minutes), WARM_BAR)
    at = np.searchsorted(rows["minute"], minutes, side="right") - 1
    out["inst"], out["minute"] = rows["inst"][at], minutes
    for name in ("open", "high", "low", "close"):
        out[name] = rows["close"][at]
    own = rows["minute"][at] == minutes
    out[own] = rows[at[own]]
    return out
