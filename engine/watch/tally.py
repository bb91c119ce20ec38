"""What a run's journal adds up to beside its read model: candidates by what became of them, the broker's answers, stage times, gaps
by kind, and what happened lately. `RunState` has orders, positions and money.
"""
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import SECOND
from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    CANDIDATE,
    GAP,
    GAPS,
    GATE,
    HOLDING,
    INTENT,
    INTENT_PLACE,
    LINK,
    ORDER_UPDATE,
    OUTCOMES,
    POS_PROTECTED,
    POS_UNPROTECTED,
    POSITION,
    REC_CANDIDATE,
    REC_FEED_NOTE,
    REC_FRAME,
    REC_GAP,
    REC_GATE,
    REC_HOLDINGS,
    REC_INTENT,
    REC_LINK,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_START,
    REC_STATE,
    REC_TIMING,
    REC_VERDICT,
    REPLY,
    REQUESTS,
    ROLE_ENTRY,
    ROLE_EXIT,
    STATE,
    STATE_ALARM,
    STATUS_OPEN,
    STATUS_PENDING,
    STATUS_REJECTED,
    STATUS_UNREADABLE,
    STREAM_FEED,
    STREAM_ORDERS,
    TIMING,
)

STAGES = ("decoded", "scored", "decided", "done")
STAGE_EDGES = tuple(n * 10 ** e for e in range(3, 8) for n in (1, 2, 5))
"""Upper edges, ns: 1 us to 50 ms."""
ANSWER_EDGES = tuple(n * 1_000_000 for n in (5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2000, 5000, 10_000))
"""Of the broker's answers, ns: 5 ms to 10 s."""
HOUR = 3600 * SECOND
WINDOWS = {"second": SECOND, "minute": 60 * SECOND, "half_hour": HOUR // 2, "hour": HOUR, "day": 24 * HOUR}
KEPT = 4096
"""Events of the last hour that are kept: more than that are as alarming."""


class Histogram:
    """Counts of durations (ns) up to each edge, and beyond the last."""

    def __init__(self, edges: Sequence[int]):
        self.edges, self.counts, self.sum = edges, [0] * (len(edges) + 1), 0

    def add(self, ns: int) -> None:
        self.counts[bisect_left(self.edges, ns)] += 1
        self.sum += ns

    @property
    def count(self) -> int:
        return sum(self.counts)


class Tally:
    """`take` each record in turn. Times ns of market time."""

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}                     # as the core was told (START)
        self.candidates: Counter[tuple[str, str]] = Counter()  # (watched, refused or passed; the rule that refused)
        self.passed: deque[int] = deque(maxlen=100_000)        # when, oldest first
        self.denied: Counter[str] = Counter()                  # entries, by the gate's reason
        self.requests: Counter[str] = Counter()                # sent, by kind
        self.outcomes: Counter[tuple[str, str]] = Counter()    # (request, outcome) of the broker's answers
        self.answers = {name: Histogram(ANSWER_EDGES) for name in REQUESTS if name}
        self.stages = {name: Histogram(STAGE_EDGES) for name in STAGES}
        self.gaps: Counter[str] = Counter()
        self.naked: dict[int, int] = {}                        # instrument -> since when it is held without an exit at the broker
        self.foreign: dict[int, int] = {}                      # instrument -> held by orders that are not ours, signed
        self.is_up = {STREAM_FEED: False, STREAM_ORDERS: False}
        self.down_since: dict[int, int] = {}                   # stream -> when it broke; one that was never up is not down
        self.now = self.last_frame = 0
        self.lately: deque[tuple[int, str, str]] = deque(maxlen=KEPT)      # (when, what, detail), see `recent`
        self._sent: deque[int] = deque(maxlen=20_000)
        self._entries: deque[int] = deque(maxlen=20_000)
        self._rejected: set[int] = set()
        self._exits: dict[int, int] = {}                       # exit order -> instrument
        self._alive: dict[int, set[int]] = {}                  # instrument -> its exits that the broker has
        self._held: dict[int, int] = {}                        # instrument -> state of its position
        self._of = {REC_START: self._start, REC_CANDIDATE: self._candidate, REC_VERDICT: self._verdict, REC_GATE: self._gate,
                    REC_INTENT: self._intent, REC_REPLY: self._reply, REC_ORDER_UPDATE: self._update, REC_TIMING: self._timing,
                    REC_GAP: self._gap, REC_FEED_NOTE: self._gap, REC_LINK: self._link, REC_POSITION: self._position,
                    REC_STATE: self._state, REC_HOLDINGS: self._holdings}

    @classmethod
    def after(cls, records: Iterable[tuple[int, int, int, bytes]]) -> "Tally":
        """The tally after all of them."""
        tally = cls()
        for kind, _, now, payload in records:
            tally.take(kind, now, payload)
        return tally

    def take(self, kind: int, now: int, payload: bytes) -> None:
        self.now = now
        if kind == REC_FRAME:
            self.last_frame = now
        elif (method := self._of.get(kind)) is not None:
            method(now, payload)

    # ---- what is asked of it -------------------------------------------------------------------------------------------
    def used(self, window: str, now: int) -> int:
        """Requests (place, modify, cancel) sent within the window."""
        return _since(self._sent, now - WINDOWS[window])

    def entries(self, window: str, now: int) -> int:
        """Entry orders sent within the window."""
        return _since(self._entries, now - WINDOWS[window])

    def signals(self, window: str, now: int) -> int:
        """Candidates that passed within the last `hour` or `day`."""
        return _since(self.passed, now - WINDOWS[window])

    def recent(self, what: str, seconds: float, now: int, among: Iterable[str] | None = None) -> int:
        """Events of the last seconds: `alarm` (detail: reason), `denied` (reason), `answer` (outcome), `rejected` (by the broker
        or the exchange)."""
        names = None if among is None else frozenset(among)
        since, found = now - round(seconds * SECOND), 0
        for at, kind, detail in reversed(self.lately):
            if at <= since:
                break
            found += kind == what and (names is None or detail in names)
        return found

    # ---- records -------------------------------------------------------------------------------------------------------
    def _start(self, _: int, payload: bytes) -> None:
        self.limits = orjson.loads(payload).get("limits", {})

    def _candidate(self, _: int, payload: bytes) -> None:
        if _row(payload, CANDIDATE)["level"] == 0:             # of the others the verdict follows
            self.candidates["watched", ""] += 1

    def _verdict(self, now: int, payload: bytes) -> None:
        reason = int(_row(payload, CANDIDATE)["reason"])
        if reason == PASS:
            self.passed.append(now)
        self.candidates["passed" if reason == PASS else "refused", "" if reason == PASS else REASONS[reason]] += 1

    def _gate(self, now: int, payload: bytes) -> None:
        g = _row(payload, GATE)
        if not g["is_exit"] and g["reason"] != PASS:
            self.denied[REASONS[g["reason"]]] += 1
            self.lately.append((now, "denied", REASONS[g["reason"]]))

    def _intent(self, now: int, payload: bytes) -> None:
        i = _row(payload, INTENT)
        self.requests[REQUESTS[i["kind"]]] += 1
        self._sent.append(now)
        if i["kind"] == INTENT_PLACE and i["role"] == ROLE_ENTRY:
            self._entries.append(now)
        elif i["role"] == ROLE_EXIT:
            self._exits[int(i["id"])] = int(i["inst"])

    def _reply(self, now: int, payload: bytes) -> None:
        r = _row(payload, REPLY)
        request, outcome = REQUESTS[r["kind"]], OUTCOMES[r["outcome"]]
        self.outcomes[request, outcome] += 1
        self.lately.append((now, "answer", outcome))
        if outcome == "refused":
            self._reject(now, int(r["intent"]), outcome)
        if outcome == "accepted" and request != "cancel":
            self._exit_is(now, int(r["intent"]), True)
        if r["latency"] > 0 and request:                       # 0: it never left
            self.answers[request].add(int(r["latency"]))

    def _update(self, now: int, payload: bytes) -> None:
        u = _row(payload, ORDER_UPDATE)
        if u["status"] == STATUS_REJECTED and u["intent"]:
            self._reject(now, int(u["intent"]), "rejected")
        if u["status"] != STATUS_UNREADABLE:
            self._exit_is(now, int(u["intent"]), u["status"] in (STATUS_PENDING, STATUS_OPEN))

    def _reject(self, now: int, intent: int, how: str) -> None:
        """Once an order, however often it is told."""
        if intent not in self._rejected:
            self._rejected.add(intent)
            self.lately.append((now, "rejected", how))

    def _timing(self, _: int, payload: bytes) -> None:
        t = _row(payload, TIMING)
        for name in STAGES:
            if t[name] > 0:                                    # 0: that stage was not reached
                self.stages[name].add(int(t[name]))

    def _gap(self, _: int, payload: bytes) -> None:
        self.gaps[GAPS[_row(payload, GAP)["kind"]]] += 1

    def _link(self, now: int, payload: bytes) -> None:
        link = _row(payload, LINK)
        which, up = int(link["which"]), bool(link["up"])
        if self.is_up[which] and not up:
            self.down_since[which] = now
        elif up:
            self.down_since.pop(which, None)
        self.is_up[which] = up

    def _position(self, now: int, payload: bytes) -> None:
        p = _row(payload, POSITION)
        inst = int(p["inst"])
        if p["quantity"]:
            self._held[inst] = int(p["state"])
        else:
            self._held.pop(inst, None)
        self._look(now, inst)

    def _exit_is(self, now: int, intent: int, is_alive: bool) -> None:
        """The broker has this exit, or has it no more; of other orders nothing follows."""
        inst = self._exits.get(intent)
        if inst is not None:
            alive = self._alive.setdefault(inst, set())
            (alive.add if is_alive else alive.discard)(intent)
            self._look(now, inst)

    def _look(self, now: int, inst: int) -> None:
        """Whether what is held there has an exit at the broker that does its work. Of an order of an earlier life, which no intent
        names, the engine's word stands."""
        state = self._held.get(inst)
        is_safe = state is None or state == POS_PROTECTED or (state != POS_UNPROTECTED and bool(self._alive.get(inst)))
        if not is_safe:
            self.naked.setdefault(inst, now)
        else:
            self.naked.pop(inst, None)

    def _holdings(self, _: int, payload: bytes) -> None:
        rows = np.frombuffer(payload, HOLDING)[1:]             # the first says when they were read
        self.foreign = {int(row["inst"]): int(row["others"]) for row in rows if row["others"]}

    def _state(self, now: int, payload: bytes) -> None:
        s = _row(payload, STATE)
        if s["what"] == STATE_ALARM:
            self.lately.append((now, "alarm", REASONS[s["reason"]]))

    @property
    def rejected(self) -> int:
        """Orders that broker or exchange have turned down."""
        return len(self._rejected)


def _since(times: deque[int], begin: int) -> int:
    """How many are later."""
    found = 0
    for at in reversed(times):
        if at <= begin:
            break
        found += 1
    return found


def _row(payload: bytes, dtype: np.dtype[Any]) -> Any:
    return np.frombuffer(payload, dtype)[0]
