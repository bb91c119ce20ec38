"""Store: journal -> ClickHouse, exactly once, in a process of its own.

A batch is a pure function of the journal: the rows of one window of journal time between two boundaries (start, boot, stop),
cut at a fixed number of rows, recomputed by the compiled market stage. A batch that is sent again is the same bytes with
the same deduplication token, and ClickHouse drops it.
"""
import datetime as dt
import hashlib
import math
import os
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    CANDIDATE,
    FILL,
    GAP,
    GAPS,
    GATE,
    INSTRUMENT,
    INTENT,
    KINDS,
    ORDER_STATES,
    ORDER_TYPES,
    ORDER_UPDATE,
    OUTCOMES,
    PAYLOADS,
    POSITION,
    POSITION_STATES,
    REC_ADOPTED,
    REC_BOOT,
    REC_CLOSED,
    REC_FUNDS,
    REC_LINK,
    REC_MODEL,
    REC_OPERATOR,
    REC_START,
    REC_STATE,
    REC_STOP,
    RECORD_NAMES,
    REPLY,
    REQUESTS,
    ROLES,
    SHADOW,
    TIMING,
    WHYS,
)
from _ext.recorder import BAR_ROW, TICK_ROW, TickRecorder
from _ext.signals.source import source_of
from _ext.trail.reader import Reader
from engine.market import sessions
from engine.store.schema import columns, migrate, uuid_of

EVENTS = (REC_LINK, REC_FUNDS, REC_OPERATOR, REC_MODEL, REC_BOOT, REC_ADOPTED, REC_STATE)
"""Record types of the table events: links, funds, operator, models, boots, adopted orders, states and alarms."""
Row = list[Any]


class RowWriter:
    """RowBinary of small tables: one function a column type."""
    _PACK = {"Date": "<H", "UInt8": "<B", "Int8": "<b", "Enum8": "<b", "UInt32": "<I", "Int32": "<i", "UInt64": "<Q", "Int64": "<q",
             "Float32": "<f", "Float64": "<d", "DateTime64": "<q", "DateTime": "<I"}

    def __init__(self, types: list[str]):
        self.pack: list[Callable[[Any], bytes]] = [self._packer(t) for t in types]

    def _packer(self, kind: str) -> Callable[[Any], bytes]:
        base = kind.split("(", maxsplit=1)[0]
        if base == "Nullable":
            known = self._packer(kind[9:-1])
            return lambda value: b"\x01" if value is None else b"\x00" + known(value)
        if base == "Map":
            return _map
        if base in self._PACK:
            return struct.Struct(self._PACK[base]).pack
        return _string

    def rows(self, rows: list[Row]) -> bytes:
        return b"".join(pack(value) for row in rows for pack, value in zip(self.pack, row, strict=True))


def _date(text: str) -> int:
    return sessions.number_of(dt.date.fromisoformat(text))


def _length(n: int) -> bytes:
    head = b""
    while n >= 0x80:
        head += bytes([n & 0x7F | 0x80])
        n >>= 7
    return head + bytes([n])


def _string(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    return _length(len(data)) + data


def _map(value: dict[str, float]) -> bytes:
    return _length(len(value)) + b"".join(_string(name) + struct.pack("<d", number) for name, number in value.items())


class RowBuilder:
    """Records to rows of the small tables."""

    def __init__(self, name: str = "") -> None:
        self.run, self.name = 0, name
        self.sources: list[tuple[str, list[str]]] = []       # of the run: name, its statistics

    def rows(self, kind: int, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        """(table, row) of one record."""
        name = RECORD_NAMES.get(kind, "")
        method = getattr(self, f"_{name}", None)
        if method is None:
            return [("events", [self.run, seq, now, name, self._detail(kind, payload)])] if kind in EVENTS else []
        rows: list[tuple[str, Row]] = method(seq, now, payload)
        return rows

    def _detail(self, kind: int, payload: bytes) -> str:
        dtype = PAYLOADS.get(kind)
        if dtype is None:
            return payload.decode(errors="replace")
        row = np.frombuffer(payload, dtype)[0]
        return " ".join(f"{n}={row[n].decode() if isinstance(row[n], bytes) else row[n]}" for n in dtype.names or ())

    def _start(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        document = orjson.loads(payload)
        return [("runs", [self.run, self.name, now, _date(document["day"]), document["source"]])] if "day" in document else []

    def _instruments(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        return [("instruments", [self.run, i, r["key"], r["symbol"], KINDS[r["kind"]], r["tick"], r["lot"], r["freeze"],
                             r["tradable"], r["close_minute"], r["cas"], r["under"], r["strike"], r["right"], r["expiry"]])
                for i, r in enumerate(np.frombuffer(payload, INSTRUMENT))]

    def _universe(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        document = orjson.loads(payload)
        rows: list[tuple[str, Row]] = []
        for r in document["rows"]:
            near = r["futures"][0] if r["futures"] else {"key": "", "expiry": ""}
            rows.append(("symbols", [
                r["symbol"], _date(r["valid_from"]), _date(r["valid_to"]), r["key"], r["isin"], r["name"], r["sector"], r["status"],
                r["reason"], r["lot"], r["tick"], r["freeze"], r["is_cas"], r["banned"],
                math.nan if r["liquidity"] is None else r["liquidity"], near["key"], near["expiry"], len(r["futures"]),
                sum(r["options"].values()), now // 1_000_000_000]))
        return rows + [("symbol_update_log", [_date(document["day"]), *(c[n] for n in (
            "symbol", "what", "key", "kind", "field", "was", "now", "blocking"))]) for c in document["changes"]]

    def _candidate(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        row = np.frombuffer(payload, CANDIDATE)[0]
        return [("signals", self._signal(row))] if row["level"] == 0 else []

    def _verdict(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        return [("signals", self._signal(np.frombuffer(payload, CANDIDATE)[0]))]

    def _signal(self, c: np.void) -> Row:
        verdict = 0 if c["level"] == 0 else 2 if c["reason"] == PASS else 1
        source, statistics = self.sources[c["source"]] if c["source"] < len(self.sources) else ("", ())
        return [self.run, c["id"], c["inst"], c["now"], c["ltt"], c["move"], c["level"], c["price"], c["last_close"],
                c["bid"], c["ask"], c["strength"], c["z20"], c["z50"], c["rz"], c["volume_ratio"], c["s1m"], c["expected"],
                c["score"], c["score_next"], verdict, REASONS[c["reason"]], c["measured"], c["limit"], c["decided"],
                c["tick_seq"], c["model"], c["quality"], c["arm"], c["side"], source,
                dict(zip(statistics, c["own"], strict=False)), *c["feature"]]

    def _shadow(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        s = np.frombuffer(payload, SHADOW)[0]
        return [("shadow_scores", [self.run, s["candidate"], now, s["model"], s["score"], s["updates"]])]

    def _intent(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        i = np.frombuffer(payload, INTENT)[0]
        return [("orders", [self.run, seq, now, i["id"], i["serial"], i["candidate"], i["inst"],
                            REQUESTS[i["kind"]], ROLES[i["role"]], i["side"],
                            ORDER_TYPES[i["order_type"]], WHYS[i["why"]], i["quantity"], i["price"], i["trigger"],
                            i["order_id"], "", 0, 0, ""])]

    def _reply(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        r = np.frombuffer(payload, REPLY)[0]
        return [("orders", [self.run, seq, now, r["intent"], 0, 0, 0, "reply", "", 0, "", "", 0, 0, 0, r["order_id"],
                            OUTCOMES[r["outcome"]], 0, r["latency"], r["error"]])]

    def _order_update(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        u = np.frombuffer(payload, ORDER_UPDATE)[0]
        price = int(u["value"]) // int(u["filled"]) if u["filled"] else 0
        return [("orders", [self.run, seq, now, u["intent"], 0, 0, 0, "look-up" if u["is_look_up"] else "update", "", 0, "", "",
                            u["quantity"], price, 0, u["order_id"], ORDER_STATES[u["status"]], u["filled"], 0, ""])]

    def _fill(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        f = np.frombuffer(payload, FILL)[0]
        return [("trades", [self.run, seq, now, f["intent"], f["candidate"], f["inst"], f["side"],
                            ROLES[f["role"]], f["quantity"], f["price"], f["charges"], f["realised"]])]

    def _position(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        p = np.frombuffer(payload, POSITION)[0]
        return [("positions", [self.run, seq, now, p["inst"], POSITION_STATES[p["state"]], p["quantity"], p["average"],
                               p["realised"], p["charges"], p["stop"], p["target"]])]

    def _gate(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        g = np.frombuffer(payload, GATE)[0]
        return [("rate_limit_log", [self.run, seq, now, g["candidate"], g["inst"], g["is_exit"], REASONS[g["reason"]],
                                    g["measured"], g["limit"], g["quantity"], g["price"], g["used_second"], g["used_minute"],
                                    g["used_half_hour"], g["used_hour"], g["used_day"]])]

    def _gap(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        g = np.frombuffer(payload, GAP)[0]
        return [("gaps", [self.run, seq, now, g["inst"], GAPS[g["kind"]], g["begin"], g["end"],
                          *(60 * int(g[name]) or None for name in ("first_minute", "last_minute")), g["volume"], g["measured"],
                          g["limit"]])]

    _feed_note = _gap

    def _timing(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        t = np.frombuffer(payload, TIMING)[0]
        return [("latency", [self.run, seq, now, t["frame_seq"], t["candidate"], t["decoded"], t["scored"], t["decided"],
                             t["done"]])]


class Store:
    """Follows `reader` and inserts through `client` (clickhouse-connect) into `database`: while one window is sent, in order, by a
    thread of its own, the next is read. What `step` has found nothing new after is stored.

    `cursor` remembers the last window sent; without it everything is sent again and dropped by ClickHouse. `name` is the run's in
    the table `runs`; `identity` tells its rows from those of another run that began alike.
    """

    def __init__(self, reader: Reader, client: Any, database: str, capacity: int, cursor: Path, rows_per_batch: int = 50_000,
                 name: str = "", identity: bytes = b""):
        self.reader, self.client, self.database, self.cursor = reader, client, database, cursor
        self.recorder = TickRecorder(capacity)
        self.converter, self.identity = RowBuilder(name), identity
        self.wait: Callable[[float], Any] = time.sleep
        self.rows_per_batch = rows_per_batch
        self.window_ns = 5_000_000_000
        self.boundary = 0
        self.window = -1
        self.ticks: list[np.ndarray] = []
        self.bars: list[np.ndarray] = []
        self.small: list[tuple[int, str, Row]] = []
        self.rows = 0
        self.finished = False
        self.writers: dict[str, RowWriter] = {}
        self.sender = ThreadPoolExecutor(1, "sender")
        self.under_way: Future[None] | None = None
        migrate(client, database)
        self.target = uuid_of(client, database)
        sent = read_cursor(cursor)
        # the last window given to the sender
        self.queued = sent[1:] if sent is not None and sent[0] == self.target else (-1, -1)

    @property
    def stored(self) -> int:
        """Updates that are in the table ticks, or of which no row can say anything."""
        return self.rows + int(self.recorder.unsaid)

    @property
    def run(self) -> int:
        """The run's number in the tables; 0 until it is known."""
        return self.converter.run

    def step(self) -> bool:
        """Takes what is written; False when there is nothing new, and all there was is stored."""
        record = self.recorder.step(self.reader)
        if record is None:
            self.settle()
            return False
        kind, seq, now, payload = record
        if self.recorder.count:
            self.ticks.append(self.recorder.take())
        if self.recorder.bars_count:
            self.bars.append(self.recorder.take_bars())
        if kind in (REC_START, REC_BOOT, REC_STOP):
            self._flush(None)
            self.boundary += 1
        if kind == REC_START:
            self._begin(payload)
        for table, row in self.converter.rows(kind, seq, now, payload):
            self.small.append((now // self.window_ns, table, row))
        if kind in (REC_STOP, REC_CLOSED):
            self._flush(None)
            self.settle()
            self.boundary += kind == REC_CLOSED
        self.finished = kind == REC_CLOSED
        if kind not in (REC_STOP, REC_CLOSED):
            if now // self.window_ns > self.window:
                self.window = now // self.window_ns
                self._flush(self.window)
        return True

    def _begin(self, payload: bytes) -> None:
        """The run's number and the size of batches come from the REC_START record: the same journal makes the same batches for
        ever."""
        document = orjson.loads(payload)
        self.converter.sources = [(s["name"], [name for name, _ in source_of(s["name"]).statistics]) for s in document["sources"]]
        self.recorder.run = self.converter.run = zlib.crc32(payload + self.identity)
        self.rows_per_batch = document.get("store_rows", self.rows_per_batch)
        self.window_ns = round(document.get("store_seconds", 5) * 1_000_000_000)

    def _flush(self, before: int | None) -> None:
        """Sends every window older than `before`; all of them where it is None."""
        if not self.ticks and not self.bars and not self.small:
            return
        rows = np.concatenate(self.ticks) if self.ticks else np.zeros(0, TICK_ROW)
        bars = np.concatenate(self.bars) if self.bars else np.zeros(0, BAR_ROW)
        windows, of_bars = (at * 1000 // self.window_ns for at in (rows["recv_ts"], bars["closed"]))
        wanted = sorted({*np.unique(windows).tolist(), *np.unique(of_bars).tolist()} | {w for w, _, _ in self.small})
        for window in wanted:
            if before is not None and window >= before:
                break
            mine = rows[windows == window]
            tables: dict[str, list[Row]] = {}
            for at, table, row in self.small:
                if at == window:
                    tables.setdefault(table, []).append(row)
            batches: list[tuple[str, bytes, int, int]] = []
            if (self.boundary, window) > self.queued:
                for part in range(0, len(mine), self.rows_per_batch):
                    chunk = mine[part:part + self.rows_per_batch]
                    batches.append(("ticks", chunk.tobytes(), len(chunk), part))
                if (of_bars == window).any():
                    minutes = bars[of_bars == window]
                    batches.append(("bars", minutes.tobytes(), len(minutes), 0))
                batches += [(table, self._writer(table).rows(small), len(small), 0) for table, small in tables.items()]
                self.queued = self.boundary, window
            self.settle()
            self.under_way = self.sender.submit(self._send, batches, self.boundary, window, len(mine))
        keep, keep_bars = (w >= before if before is not None else np.zeros(len(w), bool) for w in (windows, of_bars))
        self.ticks = [rows[keep]] if keep.any() else []
        self.bars = [bars[keep_bars]] if keep_bars.any() else []
        self.small = [entry for entry in self.small if before is not None and entry[0] >= before]

    def settle(self) -> None:
        """Waits until what was given to the sender is stored; raises what ended it."""
        if self.under_way is not None:
            work, self.under_way = self.under_way, None
            work.result()

    def close(self) -> None:
        """Ends the sender."""
        self.sender.shutdown()

    def _send(self, batches: list[tuple[str, bytes, int, int]], boundary: int, window: int, ticks: int) -> None:
        """One window, and that it was sent."""
        for table, data, count, part in batches:
            self._insert(table, data, count, boundary, window, part)
        if batches:
            write_cursor(self.cursor, self.target, boundary, window)
        self.rows += ticks

    def _writer(self, table: str) -> RowWriter:
        if table not in self.writers:
            self.writers[table] = RowWriter([_plain(kind) for _, kind in columns(table)])
        return self.writers[table]

    def _insert(self, table: str, data: bytes, count: int, boundary: int, window: int, part: int) -> None:
        """One batch, tried until ClickHouse takes it: the journal keeps what it has not."""
        token = (f"{self.converter.run:08x}:{table}:{boundary}:{window}:{part}:{count}:"
                 f"{hashlib.blake2b(data, digest_size=8).hexdigest()}")
        pause = 0.2
        while True:
            try:
                names = [name for name, _ in columns(table)]
                self.client.raw_insert(f"{self.database}.{table}", names, data, fmt="RowBinary", settings={
                    "insert_deduplication_token": token, "async_insert": 0})
                return
            except Exception as error:
                if "Code: 60" in str(error) or "TYPE_MISMATCH" in str(error):
                    raise
                self.on_trouble(str(error))
                self.wait(pause)
                pause = min(pause * 2, 10)

    def on_trouble(self, text: str) -> None:
        """Called when an insert failed and will be tried again."""


def read_cursor(path: Path) -> tuple[str, int, int] | None:
    """(database, boundary, window) of the last batch sent; None where none was."""
    try:
        target, boundary, window = orjson.loads(path.read_bytes())
        return str(target), int(boundary), int(window)
    except (OSError, ValueError, TypeError):
        return None


def write_cursor(path: Path, target: str, boundary: int, window: int) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps([target, boundary, window]))
    os.replace(temporary, path)


def _plain(kind: str) -> str:
    return kind[15:-1] if kind.startswith("LowCardinality(") else kind
