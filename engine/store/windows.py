"""Store: journal -> ClickHouse, exactly once, in a process of its own.

A batch is a pure function of the journal: the rows of one window of journal time between two boundaries (start, boot, stop),
cut at a fixed number of rows, recomputed by the compiled market stage. A batch that is sent again is the same bytes with
the same deduplication token, and ClickHouse drops it.
"""
import hashlib
import os
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from _ext.core.records import REC_BOOT, REC_CLOSED, REC_START, REC_STOP
from _ext.recorder import BAR_ROW, TICK_ROW, TickRecorder
from _ext.signals.source import statistics_of
from _ext.trail.reader import Reader
from engine.store.rows import Row, RowBuilder, RowWriter, plain
from engine.store.schema import columns, migrate, uuid_of


class Batch(NamedTuple):
    """Rows of one table in one window. `where` finds them, and no others, among the run's; empty where they are not looked for."""
    table: str
    data: bytes
    size: int
    part: int
    where: str


def where_of(table: str, rows: list[Row]) -> str:
    """The condition that finds `rows` of a small table of one run."""
    names = [name for name, _ in columns(table)]
    if "run" not in names:
        return ""                                          # terms of the universe, the same each time they are told
    if "seq" in names:
        values = [int(row[names.index("seq")]) for row in rows]
        return f"seq BETWEEN {min(values)} AND {max(values)}"
    if table == "signals":
        return f"id IN ({', '.join(str(int(row[names.index('id')])) for row in rows)})"
    if "ts" in names:
        values = [int(row[names.index("ts")]) for row in rows]
        return f"toUnixTimestamp64Nano(ts) BETWEEN {min(values)} AND {max(values)}"
    return "1"                                             # once a run


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
        self.is_doubted, self.knows = True, self.queued != (-1, -1)      # how far it came

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
            self.is_doubted = False
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
        self.converter.sources = [(s["name"], [name for name, _ in statistics_of(s)]) for s in document["sources"]]
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
            batches: list[Batch] = []
            if (self.boundary, window) > self.queued:
                for part in range(0, len(mine), self.rows_per_batch):
                    chunk = mine[part:part + self.rows_per_batch]
                    where = f"seq BETWEEN {chunk['seq'][0]} AND {chunk['seq'][-1]}"
                    batches.append(Batch("ticks", chunk.tobytes(), len(chunk), part, where))
                if (of_bars == window).any():
                    minutes = bars[of_bars == window]
                    where = f"version BETWEEN {minutes['version'][0]} AND {minutes['version'][-1]}"
                    batches.append(Batch("bars", minutes.tobytes(), len(minutes), 0, where))
                batches += [Batch(table, self._writer(table).rows(small), len(small), 0, where_of(table, small))
                            for table, small in tables.items()]
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

    def _send(self, batches: list[Batch], boundary: int, window: int, ticks: int) -> None:
        """One window, and that it was sent. The first one may have been under way when an earlier store was killed, and so may each
        of a run that has rows and no cursor: its rows are looked for."""
        if batches and self.is_doubted and not self.knows:
            self.knows = not self._found("ticks", "1")
        for batch in batches:
            self._insert(batch, boundary, window)
            if self.is_doubted and batch.where and self._found(batch.table, batch.where) < batch.size:
                self._insert(batch, boundary, window, ":again")
        if batches:
            self.is_doubted = self.is_doubted and not self.knows
            write_cursor(self.cursor, self.target, boundary, window)
        self.rows += ticks

    def _writer(self, table: str) -> RowWriter:
        if table not in self.writers:
            self.writers[table] = RowWriter([plain(kind) for _, kind in columns(table)])
        return self.writers[table]

    def _found(self, table: str, where: str) -> int:
        """How many such rows of the run the table has. ClickHouse notes a token before the rows are there: killed in between, it
        would drop them as sent before."""
        return int(self.client.query(f"SELECT count() FROM {self.database}.{table} WHERE run = {self.converter.run} "
                                     f"AND {where}").result_rows[0][0])

    def _insert(self, batch: Batch, boundary: int, window: int, attempt: str = "") -> None:
        """One batch, tried until ClickHouse takes it: the journal keeps what it has not."""
        table, data, size, part, _ = batch
        token = (f"{self.converter.run:08x}:{table}:{boundary}:{window}:{part}:{size}:"
                 f"{hashlib.blake2b(data, digest_size=8).hexdigest()}{attempt}")
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
