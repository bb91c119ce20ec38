"""Keeps the feed whole: which keys are subscribed where, and what is done about those that say nothing. Pure: it has no clock and
no socket; `due` tells what to do, the shell (client.py, or the virtual one of sim/virtual.py) does it and tells what happened.

Upstox answers no subscription but with a snapshot, and refuses in silence (docs/upstox.md 1.2, 1.3): a key without one after two
seconds is moved to another connection, then reported. A name that is silent for longer than its own rate allows while others are
not is subscribed anew; one that answers that and never changes is halted. Evidence, not time alone, ends a connection.
"""
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import SECOND
from _ext.core.records import GAP, GAPS, REC_FEED_NOTE
from _ext.entrance import Core
from _ext.market.gaps import LIVES

BATCH = 500
"""Keys in one message."""
CONFIRM = 2 * SECOND
"""A subscription that no snapshot has answered by then was refused."""
CHECK_EVERY, LOOK_EVERY = SECOND // 2, SECOND
ASK_AGAIN = 30 * SECOND
"""Between two subscriptions of one silent name; twice as long each time, up to eight minutes."""
REFUSED_AGAIN = 60 * SECOND
MUTE, MUTE_FEW, MANY = 8 * SECOND, 20 * SECOND, 50
"""No update of any of a connection's keys for so long, in their session: it is as good as none. Fifty names are never silent
together for eight seconds; of nine, a recorded day has nine such silences that were the recorder's (docs/market.md 3.1)."""
ROTATE_EVERY = 30 * SECOND
BACK_OFF = (SECOND // 5, 30 * SECOND)
FORBIDDEN_PAUSE = 5 * SECOND
STALE, HALTED, CLOSED = LIVES.index("stale"), LIVES.index("halted"), LIVES.index("closed")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account may have (docs/upstox.md 1.3): connections, and keys of each in each mode, alone and beside others."""
    connections: int = 2
    alone: Mapping[str, int] = field(default_factory=lambda: {"ltpc": 5000, "full": 2000, "option_greeks": 3000, "full_d30": 50})
    beside: Mapping[str, int] = field(default_factory=lambda: {"ltpc": 2000, "full": 1500, "option_greeks": 2000, "full_d30": 50})

    def room(self, modes: Mapping[str, int], mode: str) -> int:
        """Keys of `mode` that still fit beside `modes` (mode -> keys)."""
        used = {m: n for m, n in modes.items() if n}
        caps = self.alone if not used.keys() - {mode} else self.beside
        return caps[mode] - used.get(mode, 0)


@dataclass(frozen=True, slots=True)
class Action:
    """`connect`, `send` (a message) or `cut`, on connection `number`."""
    what: str
    number: int
    message: bytes = b""
    why: str = ""


@dataclass(slots=True)
class Connection:
    number: int
    is_up: bool = False
    is_asked: bool = False               # to connect, and has not said yet
    due: int = 0                         # when it may be tried again
    pause: int = BACK_OFF[0]
    up_since: int = 0
    wanted: dict[str, str] = field(default_factory=dict)       # key -> mode
    sent: dict[str, str] = field(default_factory=dict)         # key -> mode that was asked for
    open: dict[str, int] = field(default_factory=dict)         # key -> when it was sent, not confirmed yet

    def count(self) -> Counter[str]:
        """Keys in each mode."""
        return Counter(self.wanted.values())


class SubscriptionManager:
    """Keeps `keys` (in order of importance) subscribed in `mode` for `core`, whose instruments are `insts` (key -> row).

    `record(kind, payload)` takes what belongs into the journal, `note(text)` what a person should read, `draw()` gives a number
    in [0, 1) for the jitter of the back-off. `pace`: market seconds in a second, for a sim that runs fast: a message still takes
    its time, so what waits for one waits as much longer.
    """

    def __init__(self, core: Core, keys: Sequence[str], insts: Mapping[str, int], mode: str = "full", limits: Limits | None = None,
                 record: Callable[[int, bytes], Any] = lambda kind, payload: None, note: Callable[[str], Any] = lambda text: None,
                 draw: Callable[[], float] = lambda: 0.5, pace: float = 1.0):
        self.pace = max(1.0, pace)
        self.core, self.keys, self.insts, self.limits = core, list(keys), dict(insts), limits or Limits()
        self.record, self.note, self.draw = record, note, draw
        self.modes = dict.fromkeys(self.keys, mode)
        self.connections = [Connection(i) for i in range(self.limits.connections)]
        self.spare: list[str] = []                       # what does not fit, taken in turns
        self.asked: dict[str, tuple[int, int]] = {}      # key -> when it was subscribed anew, pause until the next time
        self.halted: set[str] = set()
        self.refused: dict[str, tuple[int, set[int]]] = {}     # key -> when it may be tried again, connections that refused it
        self.next_check = self.next_look = self.next_rotation = 0
        self.number = 0
        self.has_changed = True                          # something is to be asked for or given back
        self.token_ok = True
        self.plan()

    # ---- who is where ----------------------------------------------------------------------------------------------------
    def plan(self, held: Iterable[str] = ()) -> None:
        """Lays the keys out anew, held ones first: as few connections as do, evenly filled; the rest takes turns in a tenth of the
        last one."""
        self.has_changed = True
        first = [k for k in held if k in self.insts]
        order = first + [k for k in self.keys if k not in set(first)]
        rooms = [self.limits.alone[self.modes[order[0]]]] * self.limits.connections if order else []
        needed = next((n for n in range(1, len(rooms) + 1) if sum(rooms[:n]) >= len(order)), len(rooms))
        share = -(-len(order) // needed) if needed else 0
        self.spare = []
        wanted: list[dict[str, str]] = [{} for _ in self.connections]
        at, counts = 0, Counter[str]()
        for key in order:
            mode = self.modes[key]
            while at < needed and (self.limits.room(counts, mode) <= 0 or (len(wanted[at]) >= share and at < needed - 1)):
                at, counts = at + 1, Counter[str]()
            if at < needed:
                wanted[at][key] = mode
                counts[mode] += 1
            else:
                self.spare.append(key)
        if self.spare:
            turns = max(len(wanted[-1]) // 10, 1)
            last = list(wanted[-1])
            for key in last[-turns:]:
                self.spare.append(key)
        for connection, keys in zip(self.connections, wanted, strict=True):
            connection.wanted = keys

    def move(self, key: str, number: int, counts: Counter[str] | None = None) -> bool:
        """Takes a key to another connection; whether there is room. `counts`: what is there, where the caller keeps it."""
        target = self.connections[number]
        counts = target.count() if counts is None else counts
        if self.limits.room(counts, self.modes[key]) <= 0:
            return False
        self.has_changed = True
        counts[self.modes[key]] += 1
        for connection in self.connections:
            connection.wanted.pop(key, None)
        target.wanted[key] = self.modes[key]
        return True

    def set_mode(self, key: str, mode: str) -> None:
        """Another mode for a key: asked for where it is, without a hole."""
        self.modes[key] = mode
        self.has_changed = True
        for connection in self.connections:
            if key in connection.wanted:
                connection.wanted[key] = mode

    @property
    def is_up(self) -> bool:
        return any(c.is_up for c in self.connections)

    # ---- what happened ---------------------------------------------------------------------------------------------------
    def on_up(self, number: int, now: int) -> None:
        connection = self.connections[number]
        connection.is_up, connection.is_asked, connection.up_since = True, False, now
        self.has_changed = True
        connection.sent.clear()
        connection.open.clear()

    def on_down(self, number: int, now: int, status: int = 0) -> None:
        """The connection went, or could not be made: `status` is the HTTP one of a refusal, 0 where there is none.

        401: the token is refused, nothing is tried until another comes (`on_token`). 403: too many connections, no right to the
        feed, or a fault of the broker that may last: tried less often."""
        connection = self.connections[number]
        if connection.is_up and now - connection.up_since > 10 * SECOND:
            connection.pause = BACK_OFF[0]
        connection.is_up = connection.is_asked = False
        connection.sent.clear()
        connection.open.clear()
        if status == 401 and self.token_ok:
            self.token_ok = False
            self.note("the feed refuses the token: waiting for another (`python -m engine login`)")
        if status in (403, 429):
            connection.pause = max(connection.pause, FORBIDDEN_PAUSE)
            self.note(f"feed connection {number}: {status}: " + ("too many requests" if status == 429 else (
                "another program may hold the account's connections, or the broker has a fault; trying on")))
        connection.due = now + round(connection.pause * self.pace * (0.8 + 0.4 * self.draw()))
        connection.pause = min(connection.pause * 2, BACK_OFF[1])

    def on_token(self, now: int) -> None:
        """A new token is there."""
        self.token_ok = True
        for connection in self.connections:
            connection.due, connection.pause = now, BACK_OFF[0]

    # ---- what to do ------------------------------------------------------------------------------------------------------
    def due(self, now: int, held: Iterable[str] = ()) -> list[Action]:
        """What to do now. `held`: keys with a position, which are never without a connection while there is one."""
        actions: list[Action] = []
        for connection in self.connections:
            if not connection.is_up and not connection.is_asked and connection.wanted and self.token_ok and now >= connection.due:
                connection.is_asked = True
                actions.append(Action("connect", connection.number))
        self._rescue(held)
        if now >= self.next_rotation and self.spare:
            self.next_rotation = now + ROTATE_EVERY
            self._rotate(set(held))
        if now >= self.next_check:
            self.next_check = now + CHECK_EVERY
            self._confirm(now)
        if now >= self.next_look:
            self.next_look = now + LOOK_EVERY
            actions += self._look(now)
        if self.has_changed:
            self.has_changed = False
            for connection in self.connections:
                if connection.is_up:
                    actions += self._send(connection, now)
        return actions

    def _message(self, method: str, keys: Sequence[str], mode: str = "") -> bytes:
        self.number += 1
        data: dict[str, Any] = {"instrumentKeys": list(keys)}
        if mode:
            data["mode"] = mode
        return orjson.dumps({"guid": f"{self.number:016x}", "method": method, "data": data})

    def _send(self, connection: Connection, now: int) -> list[Action]:
        """The difference between what is wanted and what was asked for."""
        todo: dict[tuple[str, str], list[str]] = {}
        gone = [key for key in connection.sent if key not in connection.wanted]
        for key in gone:
            del connection.sent[key]
            connection.open.pop(key, None)
        for key, mode in connection.wanted.items():
            was = connection.sent.get(key)
            if was != mode:
                todo.setdefault(("sub" if was is None else "change_mode", mode), []).append(key)
                connection.sent[key] = mode
                connection.open[key] = now
        out = [Action("send", connection.number, self._message("unsub", part)) for part in _parts(gone)]
        return out + [Action("send", connection.number, self._message(method, part, mode))
                      for (method, mode), keys in todo.items() for part in _parts(keys)]

    def _rescue(self, held: Iterable[str]) -> None:
        """Held names on a connection that is down go to one that is up."""
        for key in held:
            home = next((c for c in self.connections if key in c.wanted), None)
            if home is not None and home.is_up:
                continue
            if any(other.is_up and self.move(key, other.number) for other in self.connections):
                continue
            crowded = next((c for c in self.connections if c.is_up and c.wanted), None)
            if crowded is not None and key in self.insts:      # no room: the least important name there gives way
                crowded.wanted.pop(next(reversed(crowded.wanted)))
                self.move(key, crowded.number)

    def _rotate(self, held: set[str]) -> None:
        """The next of those that do not fit take the place of as many that had their turn."""
        self.has_changed = True
        last = self.connections[-1]
        turns, waiting = max(len(last.wanted) // 10, 1), set(self.spare)
        leaving = [k for k in last.wanted if k in waiting and k not in held][:turns]
        coming = [k for k in self.spare if not any(k in c.wanted for c in self.connections)][:len(leaving)]
        for key in leaving:
            del last.wanted[key]
        for key in coming:
            last.wanted[key] = self.modes[key]
        self.spare = [k for k in self.spare if k not in set(coming)] + coming

    def _insts(self, keys: Iterable[str]) -> np.ndarray:
        return np.array([self.insts[k] for k in keys], np.uint32)

    def _confirm(self, now: int) -> None:
        """Finds subscriptions that no snapshot answered, and tries them elsewhere."""
        for connection in self.connections:
            ripe = [key for key, at in connection.open.items() if now - at >= CONFIRM * self.pace]
            if not ripe or not connection.is_up:
                continue
            since = min(connection.open[key] for key in ripe)
            missing = set(self.core.market.unseen(self._insts(ripe), since))
            counts = {c.number: c.count() for c in self.connections} if missing else {}
            for key in ripe:
                at = connection.open.pop(key)
                if self.insts[key] in missing:
                    self._refusal(connection, key, now, at, counts)
                else:
                    self.refused.pop(key, None)
        for key, (due, _) in list(self.refused.items()):
            if due and now >= due:
                self.refused[key] = 0, set()
                self.has_changed = True
                for connection in self.connections:
                    connection.sent.pop(key, None)

    def _refusal(self, connection: Connection, key: str, now: int, at: int, counts: dict[int, Counter[str]]) -> None:
        tried = self.refused.get(key, (0, set()))[1] | {connection.number}
        for other in self.connections:
            is_open = other.number not in tried and (other.is_up or not other.wanted)
            if is_open and self.move(key, other.number, counts[other.number]):
                self.refused[key] = 0, tried
                return
        self.refused[key] = now + REFUSED_AGAIN, tried
        self._row("refused", key, at, now, len(tried))

    def _look(self, now: int) -> list[Action]:
        """Silent names are asked for anew; a connection none of whose names says anything is cut."""
        lives = self.core.market.liveness(now)
        actions: list[Action] = []
        for connection in self.connections:
            if not connection.is_up or not connection.sent:
                continue
            keys = list(connection.sent)
            insts = self._insts(keys)
            mine = lives[insts]
            expected = insts[mine != CLOSED]
            mute = MUTE if len(expected) >= MANY else MUTE_FEW
            since = now - round(mute * self.pace)
            if connection.up_since < since and len(expected) and len(self.core.market.unseen(expected, since)) == len(expected):
                actions.append(Action("cut", connection.number, why=f"none of its names has said anything for {mute // SECOND} s"))
                continue
            silent = [keys[i] for i in np.flatnonzero((mine == STALE) | (mine == HALTED))]
            self._ask(connection, silent, now, {keys[i] for i in np.flatnonzero(mine == HALTED)})
            for i in np.flatnonzero((mine != STALE) & (mine != HALTED)):
                self.asked.pop(keys[i], None)
                self.halted.discard(keys[i])
        return actions

    def _ask(self, connection: Connection, silent: Sequence[str], now: int, halted: set[str]) -> None:
        for key in silent:
            at, pause = self.asked.get(key, (0, ASK_AGAIN // 2))
            if key in halted and key not in self.halted:
                self.halted.add(key)
                self._row("halted", key, at or now, now, 0)
            if now - at < pause or key in connection.open or key in self.refused:
                continue
            if at == 0:
                self._row("stale", key, now, now, 0)
            self.asked[key] = now, min(2 * pause, 16 * ASK_AGAIN)
            del connection.sent[key]                    # subscribed once more; the server answers with a snapshot
            self.has_changed = True

    def _row(self, kind: str, key: str, begin: int, end: int, measured: float) -> None:
        """A row of the gap ledger."""
        row = np.zeros(1, GAP)
        row["inst"], row["kind"], row["measured"] = self.insts[key], GAPS.index(kind), measured
        row["begin"], row["end"] = begin, end
        self.record(REC_FEED_NOTE, row.tobytes())


def _parts(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[i:i + BATCH] for i in range(0, len(keys), BATCH)]
