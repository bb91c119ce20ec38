"""The sim's market data feed V3 without its sockets: authorize, connections, subscriptions, snapshots, caps, silent refusals, and a
script of what goes wrong. Pure: time is told, frames and closings are taken.

The protocol is the broker's (docs/upstox.md 1): market_info first, initial_feed for each key that is taken, nothing for
one that is not.
"""
import datetime as dt
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _ext.core.clock import SECOND
from engine.feed import HAS_DEPTH, HAS_FIRST, HAS_FULL, HAS_GREEKS, HAS_LTPC, TICK_DTYPE, encode, encode_market_info
from engine.market.instruments import Instrument
from engine.market.sessions import IST
from engine.sim.requests import Refused, subscription

MODES = {"ltpc": 0, "full": 1, "option_greeks": 2, "full_d30": 3}
NAMES = {number: name for name, number in MODES.items()}
CAPS = {"ltpc": 5000, "full": 2000, "option_greeks": 3000, "full_d30": 0}
"""Keys a connection may have in each mode; what is over is ignored without a word, full_d30 without Plus wholly."""
CONNECTIONS = 2
NOT_SUBSCRIBED = -1
SEGMENTS = ("NSE_EQ", "NSE_FO", "NSE_INDEX", "BSE_EQ", "BSE_FO", "BSE_INDEX", "NCD_FO", "BCD_FO", "MCX_FO", "MCX_INDEX", "NSE_COM")
DRAIN = 8
"""A backlog is drained so many times as fast as it came about, half of it lost (docs/market.md 3.2)."""
KINDS = ("drop", "refuse", "half_open", "stall", "backlog", "silence", "halt", "refuse_keys", "corrupt", "duplicate", "reorder",
         "step_back", "wild", "vtt_damage", "lag", "no_candles")


@dataclass(frozen=True, slots=True)
class FeedFault:
    """One thing that goes wrong from `begin` to before `end` (ns). `keys`: rows it concerns, empty: all. `value`: close code, HTTP
    status, seconds of delay, copies."""
    kind: str
    begin: int
    end: int
    keys: tuple[int, ...] = ()
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown feed fault {self.kind}; known are {', '.join(KINDS)}")


@dataclass(slots=True)
class Link:
    """One connection of a client: the mode of each row, and what is held back."""
    number: int
    modes: np.ndarray
    muted: np.ndarray                     # rows that say nothing until they are subscribed anew
    since: int = 0
    held: list[tuple[int, bytes]] = field(default_factory=list)
    has_all: bool = False                 # every row in mode full, none of them muted: frames go as they are

    def look(self) -> None:
        """After modes or muted rows have changed."""
        self.has_all = bool((self.modes == MODES["full"]).all()) and not self.muted.any()


def script_of(document: Iterable[dict[str, Any]], day: dt.date, keys: Sequence[str]) -> list[FeedFault]:
    """Feed faults as a TOML file has them, [[feed]] tables: kind, at (HH:MM:SS), seconds, and keys (names of `keys`) and value
    where the kind wants them. ValueError names what is wrong."""
    out, index = [], {key: i for i, key in enumerate(keys)}
    for row in document:
        unknown = set(row) - {"kind", "at", "seconds", "keys", "value"} or {k for k in row.get("keys", ()) if k not in index}
        if unknown:
            raise ValueError(f"feed fault {row.get('kind')}: unknown {', '.join(sorted(unknown))}")
        begin = round(dt.datetime.combine(day, dt.time.fromisoformat(str(row["at"])), IST).timestamp() * SECOND)
        out.append(FeedFault(row["kind"], begin, begin + round(float(row.get("seconds", 1)) * SECOND),
                             tuple(index[k] for k in row.get("keys", ())), float(row.get("value", 0))))
    return out


class Feed:
    """Serves the updates of `specs` to up to two connections. `script`: what goes wrong, `seed` draws what it leaves open."""

    def __init__(self, specs: Sequence[Instrument], plus: bool = False, script: Iterable[FeedFault] = (), seed: int = 0):
        self.specs = list(specs)
        self.index = {s.key: i for i, s in enumerate(self.specs)}
        self._rows = {s.key.encode(): i for i, s in enumerate(self.specs)}
        self.caps = CAPS | ({"full_d30": 50} if plus else {})
        self.links: dict[int, Link] = {}
        self.script = sorted(script, key=lambda f: f.begin)
        self.draw = random.Random(seed)
        self.closed: list[tuple[int, int]] = []
        self.done: set[FeedFault] = set()
        self.older: list[tuple[int, np.ndarray]] = []
        n, size = len(self.specs), TICK_DTYPE.itemsize
        self.latest = np.zeros(n, TICK_DTYPE)
        self._bytes = self.latest.view(np.uint8).reshape(n, size)
        for row, spec in zip(self.latest, self.specs, strict=True):
            row["key"], row["key_len"], row["mode"], row["has"], row["cp"] = (spec.key.encode(), len(spec.key), 1,
                                                                               HAS_LTPC | HAS_FULL, spec.price)

    # ---- connections -----------------------------------------------------------------------------------------------------
    def _on(self, kind: str, now: int) -> list[FeedFault]:
        return [f for f in self.script if f.kind == kind and f.begin <= now < f.end] if self.script else []

    def authorize(self, now: int) -> int:
        """HTTP status of an authorize call."""
        refused = self._on("refuse", now)
        return int(refused[0].value) if refused else 200

    def open(self, number: int, now: int) -> tuple[int, list[bytes]]:
        """(HTTP status of the handshake, frames it begins with)."""
        if len(self.links) >= CONNECTIONS:
            return 403, []
        n = len(self.specs)
        self.links[number] = Link(number, np.full(n, NOT_SUBSCRIBED, np.int8), np.zeros(n, bool), now)
        return 101, [encode_market_info(dict.fromkeys(SEGMENTS, 2), now // 1_000_000)]

    def close(self, number: int) -> None:
        self.links.pop(number, None)

    def take_closed(self, now: int) -> list[tuple[int, int]]:
        """Connections the script has ended: (number, close code)."""
        for fault in self.script:
            if fault.begin > now:
                break
            late = 20 * SECOND if fault.kind == "half_open" else 0        # found by ping
            if fault.kind in ("drop", "half_open") and fault not in self.done and now >= fault.begin + late:
                self.done.add(fault)
                code = int(fault.value) or 1006
                self.closed += [(number, code) for number, link in self.links.items() if link.since <= fault.begin]
        out, self.closed = self.closed, []
        for number, _ in out:
            self.close(number)
        return out

    # ---- subscriptions ---------------------------------------------------------------------------------------------------
    def request(self, number: int, data: bytes, now: int) -> tuple[list[bytes], str]:
        """(frames, text) that answer one message: sub, unsub, change_mode; what is over a cap or unknown is ignored, as the broker
        ignores it."""
        link = self.links.get(number)
        if link is None:
            return [], ""
        try:
            method, keys, name = subscription(data)
        except Refused:
            return [], json.dumps({"status": "failed", "method": None, "error": "malformed request"})
        rows = [i for i in (self.index.get(key) for key in keys) if i is not None]
        if method == "unsub":
            link.modes[rows] = NOT_SUBSCRIBED
            link.look()
            return [], ""
        if method not in ("sub", "change_mode") or name not in MODES:
            return [], ""
        deaf = {i for f in self._on("refuse_keys", now) for i in f.keys}
        mode, fresh = MODES[name], []
        used = int((link.modes == mode).sum())
        for i in rows:
            if i not in deaf and (link.modes[i] == mode or used < self.caps[name]):
                used += link.modes[i] != mode
                link.modes[i] = mode
                fresh.append(i)
        link.muted[fresh] = False
        link.look()
        if any(link.since <= f.begin for f in self._on("half_open", now)):
            return [], ""
        return [encode(self.in_mode(self.latest[fresh[part:part + 500]], name), now // 1_000_000, 0)
                for part in range(0, len(fresh), 500)], ""

    def in_mode(self, rows: np.ndarray, mode: str) -> np.ndarray:
        """Rows of mode full as another mode shows them."""
        rows = rows.view(np.uint8).copy().view(TICK_DTYPE)
        rows["mode"] = MODES[mode]
        if mode == "ltpc":
            rows["has"] &= HAS_LTPC
        elif mode == "option_greeks":
            rows["has"] = (rows["has"] & (HAS_LTPC | HAS_DEPTH | HAS_GREEKS)) | HAS_FIRST
        return rows

    # ---- the market goes on ----------------------------------------------------------------------------------------------
    def on_rows(self, now: int, rows: np.ndarray, frame: bytes | None) -> list[tuple[int, int, bytes]]:
        """(due ns, connection, frame) of what `rows` become at `now`; `frame` is all of them in mode full."""
        inst = np.array([self._rows[key] for key in rows["key"].tolist()])
        out: list[tuple[int, int, bytes]] = []
        halted = {i for f in self._on("halt", now) for i in f.keys} if self.script else ()
        if halted:
            keep = np.array([i not in halted for i in inst])
            rows, inst, frame = rows[keep], inst[keep], None
        if len(rows):
            self._bytes[inst] = rows.view(np.uint8).reshape(len(rows), -1)
            if self.script:
                rows, frame = self._damage(now, rows, inst, frame)
            for link in list(self.links.values()):
                for data in self._frames(link, now, rows, inst, frame):
                    out += [(due, link.number, part) for due, part in self._journey(link, now, data)] if self.script else [
                        (now, link.number, data)]
        for link in self.links.values():
            if link.held and not self._on("backlog", now):
                began = link.held[0][0]
                out += [(now + (at - began) // DRAIN, link.number, data) for at, data in link.held[::2]]
                link.held.clear()
        return out

    def _frames(self, link: Link, now: int, rows: np.ndarray, inst: np.ndarray, frame: bytes | None) -> list[bytes]:
        if link.has_all and frame is not None:
            return [frame]
        modes = np.where(link.muted[inst], NOT_SUBSCRIBED, link.modes[inst])
        if frame is not None and (modes == MODES["full"]).all():
            return [frame]
        return [encode(self.in_mode(rows[modes == mode], NAMES[int(mode)]), now // 1_000_000)
                for mode in np.unique(modes) if mode != NOT_SUBSCRIBED]

    def _damage(self, now: int, rows: np.ndarray, inst: np.ndarray, frame: bytes | None) -> tuple[np.ndarray, bytes | None]:
        """Faults of single numbers, each once in its time, and names that fall silent."""
        for fault in self.script:
            if not fault.begin <= now < fault.end:
                continue
            if fault.kind == "silence" and fault not in self.done:
                self.done.add(fault)
                for link in self.links.values():
                    link.muted[list(fault.keys)] = True
                    link.look()
            elif fault.kind in ("wild", "vtt_damage") and fault not in self.done and np.isin(inst, fault.keys).any():
                self.done.add(fault)
                rows = rows.view(np.uint8).copy().view(TICK_DTYPE)
                hit = np.isin(inst, fault.keys)
                if fault.kind == "wild":
                    rows["ltp"][hit] = (rows["ltp"][hit] * (1 + (fault.value or 0.3))).astype(np.int64)
                else:
                    rows["vtt"][hit] = rows["vtt"][hit] * 1000 + 1_000_000
                rows["ltt"][hit] += 1
                frame = None
            elif fault.kind == "step_back":
                self.older.append((now, rows))
        return rows, frame

    def _journey(self, link: Link, now: int, data: bytes) -> list[tuple[int, bytes]]:
        """When a frame arrives on a connection, and as what."""
        due, out = now, [data]
        for fault in self.script:
            if fault.begin > now:
                break
            if now >= fault.end:
                continue
            if fault.kind == "stall" or (fault.kind == "half_open" and link.since <= fault.begin):
                return []
            if fault.kind == "backlog":
                link.held.append((now, data))
                return []
            if fault.kind == "lag":
                due = now + round(fault.value * SECOND)
            elif fault.kind == "reorder":
                due = now + round(self.draw.random() * 2 * SECOND)
            elif fault.kind == "duplicate":
                out += [data] * int(fault.value or 3)
            elif fault.kind == "corrupt":
                out = [self._corrupt(data)]
            elif fault.kind == "step_back" and self.older and now - self.older[0][0] > 5 * SECOND:
                at, rows = self.older.pop(0)
                out.append(encode(rows, at // 1_000_000))
        return [(due + 20_000_000 * k, part) for k, part in enumerate(out)]

    def _corrupt(self, data: bytes) -> bytes:
        """Cut short, or noise: what TLS would never let through, and a broken server might send."""
        if self.draw.random() < 0.5:
            return data[:max(1, len(data) - self.draw.randrange(1, 40))]
        return self.draw.randbytes(len(data))

    def has_candles(self, now: int) -> bool:
        """Whether the candles answer."""
        return not self._on("no_candles", now)
